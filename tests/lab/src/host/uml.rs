//! User-mode Linux: a complete kernel as an ordinary process, booted from a directory of the host.
//!
//! Owns its command line and the cage that it runs in: namespaces of its own in which a tree is the root
//! directory. So the kernel program finds a C library that is new enough whatever the host has, and when
//! the lab ends, the host's kernel ends every process of the guest.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::unistd::{Uid, chdir, chroot};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::boot::Console;
use super::probe::Prepared;
use super::tools::Uml;
use super::tree::Tree;
use crate::failure::{Context, Failure, Result};

/// Memory of a guest. It is taken from the host only as it is used.
const MEMORY: &str = "mem=1G";

/// Where the cage shows the guest's tree, the unpacked kernel and the shared directory: directories that
/// every tree has.
const TREE: &str = "mnt";
const KERNEL: &str = "opt";
const SHARED: &str = "lab";

/// The command that boots the tree, which is mounted read-only, with `dir` at `/lab`. `cage` is a tree
/// whose C library suits the kernel program.
pub(super) fn command(uml: &Uml, cage: &Tree, tree: &Tree, dir: &Path, console: Console) -> Result<Prepared> {
    let lab = std::env::current_exe().context(|| "finding this program".to_owned())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    if !Uid::effective().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--").arg(lab).arg("uml-init").args([&cage.path, &uml.root, &tree.path]).arg(dir);
    if console == Console::Terminal {
        command.arg("--terminal");
    }
    Ok(Prepared { command })
}

/// First process in those namespaces: builds the cage and becomes the kernel.
pub(crate) fn init(cage: &Path, kernel: &Path, tree: &Path, dir: &Path, terminal: bool) -> Result<()> {
    let none: Option<&str> = None;
    let bind = |from: &Path, to: PathBuf| {
        mount(Some(from), &to, none, MsFlags::MS_BIND, none)
            .context(|| format!("binding {} to {}", from.display(), to.display()))
    };
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context(|| "making mounts private".to_owned())?;
    bind(tree, cage.join(TREE))?;
    bind(&dir.join("init"), cage.join(TREE).join("usr/sbin/lab-init"))?;
    bind(kernel, cage.join(KERNEL))?;
    bind(dir, cage.join(SHARED))?;
    for (kind, name) in [("proc", "proc"), ("tmpfs", "tmp"), ("tmpfs", "dev/shm")] {
        mount(Some(kind), &cage.join(name), Some(kind), MsFlags::empty(), none)
            .context(|| format!("mounting {name}"))?;
    }
    chroot(cage).context(|| format!("chroot to {}", cage.display()))?;
    chdir("/").context(|| "chdir".to_owned())?;
    let mut command = Command::new(format!("/{KERNEL}/usr/bin/linux.uml"));
    command.env_clear().env("TERM", "linux").env("HOME", "/tmp");
    command.args([MEMORY, "root=/dev/root", "rootfstype=hostfs", "ro", "init=/usr/sbin/lab-init"]);
    command.arg(format!("rootflags=/{TREE}"));
    // Names that the kernel does not know become init's environment.
    command.arg(format!("LAB_DIR=/{SHARED}"));
    command.arg(format!("LAB_MODULES=/{KERNEL}/usr/lib/uml/modules"));
    command.args(["con=null", if terminal { "con0=fd:0,fd:1" } else { "con0=null,fd:1" }]);
    // The state that is not covered is AVX's: the C library, its main user, does without.
    command.arg(
        "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load",
    );
    command.args(["quiet", "loglevel=3", "panic=1"]);
    hide_extended_state()?;
    Err(Failure::new(format!("starting linux.uml: {}", command.exec())))
}

/// From now on this process and its children cannot use `ptrace(PTRACE_GETREGSET)`.
///
/// Kernels before 6.13 keep the extended floating point state of a guest's process in a buffer of fixed
/// size, and on processors whose state is larger, those with AMX, the first process dies. Without that
/// request the kernel falls back to the older one, which covers the state up to SSE.
fn hide_extended_state() -> Result<()> {
    const PTRACE: i64 = 101;
    const PTRACE_GETREGSET: u64 = 0x4204;
    let refuse = || -> std::result::Result<BpfProgram, seccompiler::Error> {
        let request = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, PTRACE_GETREGSET)?;
        let rules = [(PTRACE, vec![SeccompRule::new(vec![request])?])].into();
        let eio = SeccompAction::Errno(nix::errno::Errno::EIO as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, eio, TargetArch::x86_64)?;
        Ok(filter.try_into()?)
    };
    let program = refuse().context(|| "making the filter for linux.uml".to_owned())?;
    seccompiler::apply_filter(&program).context(|| "setting the filter for linux.uml".to_owned())
}
