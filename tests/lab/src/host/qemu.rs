//! QEMU with Debian's cloud kernel: a virtual machine with two processors, emulated, or hardware-assisted
//! with `NHRPD_LAB_QEMU_ACCEL=kvm`.
//!
//! Owns its parts (kernel, initial file system, file servers) and its command line. The guest's files are
//! the host's, over virtiofs: the tree, the shared directory, the kernel's modules. QEMU itself runs in a cage: a tree
//! of Debian 12 with it, so that the host needs neither.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use nix::mount::{MsFlags, mount};
use nix::unistd::{Uid, chdir, chroot};

use super::cache::Cache;
use super::cpio::Archive;
use super::probe::Prepared;
use super::tools::{dependencies, run_logged, unpacked};
use super::tree::{Tree, tools_tree};
use crate::failure::{Context, Failure, Result, ensure};

/// What a virtual machine is made of.
#[derive(Debug, Clone)]
pub(crate) struct Qemu {
    /// A tree with QEMU and its file server.
    cage: PathBuf,
    /// The kernel image.
    kernel: PathBuf,
    /// The initial file system.
    initrd: PathBuf,
    /// Directory with one subdirectory per kernel release, as `/lib/modules`.
    modules: PathBuf,
}

/// What the first process is told.
#[derive(Debug, Args)]
pub(crate) struct Parts {
    cage: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    modules: PathBuf,
    tree: PathBuf,
    dir: PathBuf,
}

/// Modules that the initial file system needs, in the order of loading.
const BOOT_MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "fuse",
    "virtiofs",
];

/// The shared directories: tag, and where the initial file system mounts them.
const SHARES: [(&str, &str); 3] = [("tree", "/new"), ("lab", "/new/lab"), ("modules", "/new/lib/modules")];

/// The packages of the cage.
const PACKAGES: &[&str] = &["qemu-system-x86", "seabios"];

/// QEMU and its file server in the cage.
const MACHINE: &str = "/usr/bin/qemu-system-x86_64";
const FILE_SERVER: &str = "/usr/lib/qemu/virtiofsd";

/// Finds or gets the parts. `tools` is a tree with the programs to make them.
pub(crate) fn parts(cache: &Cache, tools: &Tree) -> Result<Qemu> {
    ensure!(Uid::effective().is_root(), "the qemu back end needs root: virtiofsd serves files of all owners");
    let cage = tools_tree(cache, "tree-qemu", PACKAGES)?;
    let meta = dependencies(cache, "linux-image-cloud-amd64", "bookworm")?;
    let package = meta
        .split([',', ' '])
        .find(|word| word.starts_with("linux-image-") && word.ends_with("-cloud-amd64"))
        .context(|| format!("linux-image-cloud-amd64 depends on no kernel: {meta}"))?
        .to_owned();
    let root = unpacked(cache, &package, Some("bookworm"))?;
    let release = package.trim_start_matches("linux-image-").to_owned();
    let busybox = unpacked(cache, "busybox-static", Some("bookworm"))?.join("bin/busybox");
    let made = cache.directory(&format!("qemu-{release}"), "2", |partial| {
        let log = cache.file(&format!("qemu-{release}.log"));
        // A tree's depmod: its modprobe wants the binary index, which busybox's does not write.
        let script = "mount --bind \"$1\" \"$2/mnt\" && chroot \"$2\" depmod -b /mnt \"$3\"";
        let mut depmod = Command::new("unshare");
        depmod.args(["--mount", "sh", "-c", script, "depmod"]).args([&root, &tools.path]).arg(&release);
        run_logged(&mut depmod, &log)?;
        let initrd = initial_file_system(&busybox, &root.join("lib/modules").join(&release))?;
        fs::write(partial.join("initrd"), initrd).context(|| "writing the initial file system".to_owned())
    })?;
    Ok(Qemu {
        cage,
        kernel: root.join("boot").join(format!("vmlinuz-{release}")),
        initrd: made.join("initrd"),
        modules: root.join("lib/modules"),
    })
}

fn initial_file_system(busybox: &Path, modules: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["bin", "proc", "new", "modules"] {
        archive.directory(directory);
    }
    let read = |path: &Path| fs::read(path).context(|| format!("reading {}", path.display()));
    archive.file("bin/busybox", &read(busybox)?);
    let mut script = String::from("#!/bin/busybox sh\n");
    let list =
        fs::read_to_string(modules.join("modules.dep")).context(|| "reading modules.dep".to_owned())?;
    for module in BOOT_MODULES {
        let wanted = format!("/{}.ko", module.replace('_', "-"));
        let path = list.lines().filter_map(|line| line.split(':').next()).find(|path| {
            let path = path.replace('_', "-");
            path.strip_prefix("kernel").is_some_and(|path| path.ends_with(&wanted))
        });
        let Some(path) = path else { continue }; // built in
        archive.file(&format!("modules/{module}.ko"), &read(&modules.join(path))?);
        script.push_str(&format!("/bin/busybox insmod /modules/{module}.ko\n"));
    }
    for (tag, place) in SHARES {
        let flags = if tag == "lab" { "" } else { "-o ro " };
        script.push_str(&format!("/bin/busybox mount -t virtiofs {flags}{tag} {place}\n"));
    }
    script.push_str("exec /bin/busybox switch_root /new /lab/init\n");
    archive.file("init", script.as_bytes());
    Ok(archive.finish())
}

/// The command that boots the tree with `dir` at `/lab`, in process and mount namespaces of its own: when
/// the machine is off, its file servers end too.
pub(super) fn command(qemu: &Qemu, tree: &Tree, dir: &Path) -> Result<Prepared> {
    let lab = std::env::current_exe().context(|| "finding this program".to_owned())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]).arg(lab).arg("qemu-init");
    command.args([&qemu.cage, &qemu.kernel, &qemu.initrd, &qemu.modules, &tree.path]).arg(dir);
    Ok(Prepared { command })
}

/// First process in those namespaces: makes the cage the root, with everything else below `/mnt`, starts the file
/// servers and becomes QEMU.
pub(crate) fn init(parts: &Parts) -> Result<()> {
    let none: Option<&str> = None;
    let cage = &parts.cage;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context(|| "making mounts private".to_owned())?;
    mount(Some("tmpfs"), &cage.join("mnt"), Some("tmpfs"), MsFlags::empty(), none)
        .context(|| "mounting a tmpfs".to_owned())?;
    let show = |from: &Path, name: &str| {
        let to = cage.join("mnt").join(name);
        if from.is_dir() { fs::create_dir(&to) } else { fs::write(&to, "") }
            .and_then(|()| Ok(mount(Some(from), &to, none, MsFlags::MS_BIND, none)?))
            .context(|| format!("binding {} to {}", from.display(), to.display()))?;
        Ok(Path::new("/mnt").join(name))
    };
    let shared = show(&parts.dir, "lab")?;
    let shares = [show(&parts.tree, "tree")?, shared.clone(), show(&parts.modules, "modules")?];
    let (kernel, initrd) = (show(&parts.kernel, "vmlinuz")?, show(&parts.initrd, "initrd")?);
    mount(Some("/dev"), &cage.join("dev"), none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .context(|| "binding /dev".to_owned())?;
    for (kind, name) in [("proc", "proc"), ("tmpfs", "tmp"), ("tmpfs", "run")] {
        mount(Some(kind), &cage.join(name), Some(kind), MsFlags::empty(), none)
            .context(|| format!("mounting {name}"))?;
    }
    chroot(cage).context(|| format!("chroot to {}", cage.display()))?;
    chdir("/").context(|| "chdir".to_owned())?;
    let mut command = Command::new(MACHINE);
    // Emulation unless asked otherwise: a nested hypervisor may offer KVM and then hang in it.
    let accelerator = std::env::var("NHRPD_LAB_QEMU_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".to_owned());
    command.args(["-accel", &accelerator, "-cpu", "max", "-smp", "2", "-m", "1G"]);
    command.args(["-object", "memory-backend-memfd,id=mem,size=1G,share=on", "-numa", "node,memdev=mem"]);
    for ((tag, _), source) in SHARES.iter().zip(&shares) {
        let socket = shared.join(format!("{tag}.sock"));
        serve(source, &socket)?;
        command.arg("-chardev").arg(format!("socket,id={tag},path={}", socket.display()));
        command.arg("-device").arg(format!("vhost-user-fs-pci,chardev={tag},tag={tag}"));
    }
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    // A kernel that has locked up says where and ends, instead of being silent until its time is over.
    let arguments = "console=ttyS0 quiet panic=-1 softlockup_panic=1 mitigations=off random.trust_cpu=on";
    command.args(["-append", arguments]);
    command.args(["-nographic", "-no-reboot", "-net", "none"]);
    Err(Failure::new(format!("starting qemu-system-x86_64: {}", command.exec())))
}

fn serve(source: &Path, socket: &Path) -> Result<()> {
    let mut command = Command::new(FILE_SERVER);
    command.arg(format!("--socket-path={}", socket.display()));
    command.arg("-o").arg(format!("source={}", source.display()));
    command.args(["-o", "cache=auto", "-o", "sandbox=chroot", "-o", "log_level=err"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().context(|| format!("starting {FILE_SERVER}"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        ensure!(Instant::now() < deadline, "{FILE_SERVER} opened no {}", socket.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
