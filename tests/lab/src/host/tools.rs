//! Programs that the lab needs on the host and the host may not have.
//!
//! Owns getting them without changing the host: packages are downloaded with apt and unpacked into the
//! cache. Never installs a package unless there is no other way, and says so then.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cache::Cache;
use super::mirror::debian_mirror;
use super::say;
use crate::failure::{Context, Failure, Result};

/// User-mode Linux: the kernel, which is a program, and its modules, unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Uml {
    /// Directory with `usr/bin/linux.uml` and `usr/lib/uml/modules`.
    pub(crate) root: PathBuf,
}

/// Debian 12's User-mode Linux, unpacked into the cache, whatever the host is: later kernels have no
/// iptables of either kind, and so no way to feed NFLOG.
pub(crate) fn uml(cache: &Cache) -> Result<Uml> {
    Ok(Uml { root: unpacked(cache, "user-mode-linux", Some("bookworm"))? })
}

/// A command that runs debootstrap: the host's, or Debian's, unpacked into the cache.
pub(crate) fn debootstrap(cache: &Cache) -> Result<Command> {
    if find("debootstrap").is_some() && std::env::var_os("NHRPD_LAB_IGNORE_HOST").is_none() {
        return Ok(Command::new("debootstrap"));
    }
    if find("wget").is_none() {
        install(&["wget"])?; // debootstrap downloads with it and with nothing else
    }
    let root = unpacked(cache, "debootstrap", None)?;
    let mut command = Command::new(root.join("usr/sbin/debootstrap"));
    command.env("DEBOOTSTRAP_DIR", root.join("usr/share/debootstrap"));
    Ok(command)
}

/// Directory with the content of a Debian package: of the host's own suite, or of another one.
pub(crate) fn unpacked(cache: &Cache, package: &str, suite: Option<&str>) -> Result<PathBuf> {
    let name = format!("host-{package}{}", suite.map(|suite| format!("-{suite}")).unwrap_or_default());
    cache.directory(&name, package, |partial| {
        say(&format!("fetching Debian's {package} into the cache (the host stays as it is)"));
        let log = cache.file(&format!("{name}.log"));
        let _ = fs::remove_file(&log);
        if let Some(suite) = suite {
            let apt = Apt::new(partial, Kind::Binary, suite, &log)?;
            apt.run(&["download", package])?;
            apt.done()?;
        } else {
            let apt = |arguments: &[&str]| run_logged(plain_apt(partial).args(arguments), &log);
            if apt(&["download", package]).is_err() {
                apt(&["update"])?;
                apt(&["download", package])?;
            }
        }
        let deb = files(partial, |name| name.ends_with(".deb"))?
            .pop()
            .context(|| format!("apt-get downloaded no {package}"))?;
        unpack(&deb, partial, &log)?;
        run_logged(Command::new("dpkg-deb").arg("-e").arg(&deb).arg(partial.join("DEBIAN")), &log)?;
        fs::remove_file(&deb).context(|| format!("removing {}", deb.display()))
    })
}

/// Directory with the content of several packages of a suite, without what they depend on.
pub(crate) fn unpacked_together(
    cache: &Cache,
    name: &str,
    packages: &[&str],
    suite: &str,
) -> Result<PathBuf> {
    cache.directory(name, &packages.join("\n"), |partial| {
        say(&format!("fetching Debian {suite}'s {} into the cache", packages.join(", ")));
        let log = cache.file(&format!("{name}.log"));
        let _ = fs::remove_file(&log);
        let apt = Apt::new(partial, Kind::Binary, suite, &log)?;
        apt.run(&[&["download"], packages].concat())?;
        apt.done()?;
        for deb in files(partial, |name| name.ends_with(".deb"))? {
            unpack(&deb, partial, &log)?;
            fs::remove_file(&deb).context(|| format!("removing {}", deb.display()))?;
        }
        Ok(())
    })
}

/// Puts `wanted` (patterns of tar's, below the source's first directory) of a source package's upstream archive into
/// `partial`, which is empty, without the first `strip` directories. Of this version, or of the suite's if the archive
/// has moved on.
pub(crate) fn source(
    partial: &Path,
    package: (&str, &str),
    suite: &str,
    wanted: &[String],
    strip: usize,
    log: &Path,
) -> Result<()> {
    let (name, version) = package;
    let apt = Apt::new(partial, Kind::Source, suite, log)?;
    let exactly = format!("{name}={version}");
    // The archive alone: a moving suite's lists may name a packaging that its pool has lost already.
    if apt.run(&["source", "--download-only", "--tar-only", &exactly]).is_err() {
        apt.run(&["source", "--download-only", "--tar-only", name])?;
        say(&format!("  note: the archive has no source of {name} {version} any more; taking {suite}'s"));
    }
    apt.done()?;
    let archive = files(partial, |name| name.contains(".orig.tar.") && !name.ends_with(".asc"))?
        .pop()
        .context(|| format!("apt-get downloaded no archive of {name}"))?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&archive).arg("-C").arg(partial).arg(format!("--strip-components={strip}"));
    run_logged(tar.args(["--wildcards", "--no-same-owner"]).args(wanted), log)?;
    let downloaded = format!("{name}_");
    for file in files(partial, |file| file.starts_with(&downloaded))? {
        fs::remove_file(&file).context(|| format!("removing {}", file.display()))?;
    }
    Ok(())
}

fn unpack(deb: &Path, to: &Path, log: &Path) -> Result<()> {
    run_logged(Command::new("dpkg-deb").arg("-x").arg(deb).arg(to), log)
}

/// The files in a directory whose name is wanted.
fn files(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).context(|| format!("reading {}", directory.display()))?;
    let paths = entries.flatten().filter(|entry| wanted(&entry.file_name().to_string_lossy()));
    Ok(paths.map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

/// apt with the host's lists, working in a directory.
fn plain_apt(directory: &Path) -> Command {
    let mut apt = Command::new("apt-get");
    // apt's own download user cannot enter a private cache directory.
    apt.args(["-o", "APT::Sandbox::User=root"]).current_dir(directory);
    apt
}

/// What is got from Debian's archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Binary,
    Source,
}

/// apt for one suite of Debian's, with lists of its own in a directory, away from the host's.
struct Apt<'a> {
    directory: &'a Path,
    log: &'a Path,
}

impl<'a> Apt<'a> {
    /// Writes its source list and fetches its lists.
    fn new(directory: &'a Path, kind: Kind, suite: &str, log: &'a Path) -> Result<Self> {
        for name in ["apt/lists/partial", "apt/archives/partial"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).context(|| format!("creating {}", path.display()))?;
        }
        let line = format!(
            "{} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {suite} main\n",
            if kind == Kind::Source { "deb-src" } else { "deb" },
            debian_mirror()
        );
        fs::write(directory.join("apt/sources.list"), line).context(|| "writing sources.list".to_owned())?;
        let apt = Self { directory, log };
        apt.run(&["update"])?;
        Ok(apt)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        run_logged(plain_apt(self.directory).args(private_apt(self.directory)).args(arguments), self.log)
    }

    /// Removes its state; what it downloaded stays.
    fn done(self) -> Result<()> {
        fs::remove_dir_all(self.directory.join("apt")).context(|| "removing apt's state".to_owned())
    }
}

/// The `Depends` field of a package that has no other content worth unpacking.
pub(crate) fn dependencies(cache: &Cache, package: &str, suite: &str) -> Result<String> {
    let root = unpacked(cache, package, Some(suite))?;
    let control = root.join("DEBIAN/control");
    let text = fs::read_to_string(&control).context(|| format!("reading {}", control.display()))?;
    let depends = text.lines().find_map(|line| line.strip_prefix("Depends: "));
    depends.map(str::to_owned).context(|| format!("{package} depends on nothing"))
}

/// Options that keep apt to lists of its own in a directory, away from the host's.
fn private_apt(directory: &Path) -> Vec<String> {
    let at = |name: &str| directory.join("apt").join(name).display().to_string();
    [
        format!("Dir::State::lists={}", at("lists")),
        format!("Dir::Cache={}", at("")),
        format!("Dir::Etc::sourcelist={}", at("sources.list")),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        // A mirror may be a snapshot of some days ago.
        "Acquire::Check-Valid-Until=false".to_owned(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

/// Installs packages on the host, which is announced, because it is the only thing that changes it.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    say(&format!("installing on this host: apt-get install {}", packages.join(" ")));
    let run = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    if run(&arguments) || (run(&["update"]) && run(&arguments)) {
        return Ok(());
    }
    Err(Failure::new(format!("apt-get install {} failed: install it by hand", packages.join(" "))))
}

/// Where a program is, searched in PATH and in the directories of the superuser's programs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Runs a command to its end with its output appended to a log; a failure quotes the log's end.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .context(|| format!("opening {}", log.display()))?;
    let errors = file.try_clone().context(|| format!("opening {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .context(|| format!("starting {name}"))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n    ");
    Err(Failure::new(format!("{name} failed ({status}); the end of {}:\n    {tail}", log.display())))
}
