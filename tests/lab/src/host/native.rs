//! The native back end: the running kernel, in namespaces of its own, with the tree as root.
//!
//! Owns entering the tree. Needs root and a kernel with GRE.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::unistd::{Uid, chdir, chroot};

use super::probe::Prepared;
use super::tree::Tree;
use crate::failure::{Context, Result, ensure};
use crate::guest;

/// The command that runs the guest half in new mount, network, host name and process namespaces: when
/// it ends, the kernel ends everything that was started in them.
pub(super) fn command(tree: &Tree, dir: &Path) -> Result<Prepared> {
    ensure!(Uid::effective().is_root(), "the native back end needs root (or use --backend uml)");
    let lab = std::env::current_exe().context(|| "finding this program".to_owned())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--"]);
    command.arg(lab).arg("native-init").arg(&tree.path).arg(dir);
    Ok(Prepared { command })
}

/// First process in those namespaces: makes the tree the root and runs the plan.
pub(crate) fn init(tree: &Path, dir: &Path) -> Result<()> {
    let none: Option<&str> = None;
    let bind = |from: &Path, to: PathBuf, flags: MsFlags| {
        mount(Some(from), &to, none, MsFlags::MS_BIND | flags, none)
            .context(|| format!("binding {} to {}", from.display(), to.display()))
    };
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context(|| "making mounts private".to_owned())?;
    bind(tree, tree.to_owned(), MsFlags::empty())?;
    mount(none, tree, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)
        .context(|| "making the tree read-only".to_owned())?;
    bind(dir, tree.join("lab"), MsFlags::empty())?;
    bind(Path::new("/dev"), tree.join("dev"), MsFlags::MS_REC)?;
    for (kind, name) in [("proc", "proc"), ("sysfs", "sys")] {
        mount(Some(kind), &tree.join(name), Some(kind), MsFlags::empty(), none)
            .context(|| format!("mounting {name}"))?;
    }
    chroot(tree).context(|| format!("chroot to {}", tree.display()))?;
    chdir("/").context(|| "chdir".to_owned())?;
    guest::run()
}
