//! The root file systems: one Debian suite each, with its FRR and strongSwan.
//!
//! Owns the recipe of a tree. Never runs anything in it except its package manager.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::cache::Cache;
use super::tools::{self, run_logged};
use super::{mirror, say};
use crate::failure::{Context, Failure, Result, ensure};
use crate::release::{RECIPE, Release};

/// A root file system ready to boot.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// Where it is on the host.
    pub(crate) path: PathBuf,
    /// Version of Debian's `frr` package in it.
    pub(crate) frr_version: String,
}

/// The tree of a release, made now if it is not in the cache.
pub(crate) fn tree(cache: &Cache, release: Release) -> Result<Tree> {
    let name = format!("tree-frr{release}");
    let stamp = format!("recipe {RECIPE}\n{}\n", release.packages().join("\n"));
    let path = cache.directory(&name, &stamp, |partial| {
        make(cache, release, partial, &cache.file(&format!("{name}.log")))
    })?;
    let frr_version = fs::read_to_string(path.join("frr-version"))
        .context(|| format!("reading the FRR version of {}", path.display()))?
        .trim()
        .to_owned();
    Ok(Tree { path, frr_version })
}

fn make(cache: &Cache, release: Release, dir: &Path, log: &Path) -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Failure::new(format!(
            "the Debian {} tree with FRR {release} is not in the cache yet, and making it needs root \
             (debootstrap): run this once as root",
            release.suite()
        )));
    }
    let started = Instant::now();
    let mirror = mirror::debian_mirror();
    let suite = release.suite();
    say(&format!(
        "making the root file system with FRR {release} (Debian {suite}, from {mirror}; once, about two minutes)"
    ));
    say(&format!("  log: {}", log.display()));
    let _ = fs::remove_file(log);
    say("  debootstrap …");
    bootstrap(cache, suite, &mirror, dir, log)?;
    say(&format!("  {} packages …", release.packages().len()));
    add(dir, release.packages(), log)?;
    let ask = "dpkg-query -W -f '${Version}\\n' frr > /frr-version";
    run_logged(inside(dir).args(["/bin/sh", "-c", ask]), log)?;
    let version = fs::read_to_string(dir.join("frr-version")).unwrap_or_default();
    if !version.starts_with(release.name()) {
        say(&format!("  note: Debian {suite} now carries FRR {}, not {release}", version.trim()));
    }
    say(&format!("  FRR {} in {:.0} s", version.trim(), started.elapsed().as_secs_f64()));
    Ok(())
}

/// The smallest system of a suite, with the places that the lab mounts things on.
fn bootstrap(cache: &Cache, suite: &str, mirror: &str, dir: &Path, log: &Path) -> Result<()> {
    let mut debootstrap = tools::debootstrap(cache)?;
    debootstrap.args(["--variant=minbase", suite]).arg(dir).arg(mirror);
    run_logged(&mut debootstrap, log)?;
    write(dir, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)?; // nothing starts in a tree
    write(dir, "usr/sbin/lab-init", "", 0o755)?; // every boot puts its own in this place
    for directory in ["lab", "lib/modules"] {
        let path = dir.join(directory);
        fs::create_dir_all(&path).context(|| format!("creating {}", path.display()))?;
    }
    Ok(())
}

/// Installs packages in a tree.
fn add(dir: &Path, packages: &[&str], log: &Path) -> Result<()> {
    let preseed = "wireshark-common wireshark-common/install-setuid boolean false\n\
                   iperf3 iperf3/start_daemon boolean false\n";
    write(dir, "tmp/preseed", preseed, 0o644)?;
    let script = format!(
        "set -e; debconf-set-selections /tmp/preseed || true; rm /tmp/preseed; \
         apt-get install -y --no-install-recommends {}; apt-get clean",
        packages.join(" ")
    );
    run_logged(inside(dir).args(["/bin/sh", "-c", &script]), log)
}

/// A command in a tree; the program and its arguments are to be added.
fn inside(dir: &Path) -> Command {
    let mut chroot = Command::new("chroot");
    chroot.arg(dir);
    chroot.env_clear().env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Some(value) = std::env::var_os(proxy) {
            chroot.env(proxy, value);
        }
    }
    chroot
}

/// A tree of the given packages of Debian 12 and no FRR: programs for the lab itself, so that the machine needs
/// none. Made now if it is not in the cache.
pub(crate) fn tools_tree(cache: &Cache, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let stamp = format!("recipe {RECIPE}\n{}\n", packages.join("\n"));
    cache.directory(name, &stamp, |partial| {
        ensure!(
            nix::unistd::Uid::effective().is_root(),
            "making {name} needs root (debootstrap): run this once as root"
        );
        let (mirror, log) = (mirror::debian_mirror(), cache.file(&format!("{name}.log")));
        say(&format!(
            "making a file system with {} (Debian 12, from {mirror}; once, about a minute)",
            packages.join(", ")
        ));
        say(&format!("  log: {}", log.display()));
        let _ = fs::remove_file(&log);
        bootstrap(cache, "bookworm", &mirror, partial, &log)?;
        add(partial, packages, &log)
    })
}

fn write(dir: &Path, path: &str, text: &str, mode: u32) -> Result<()> {
    let path = dir.join(path);
    fs::write(&path, text).context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        .context(|| format!("chmod {}", path.display()))
}
