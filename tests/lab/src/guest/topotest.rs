//! Tests in the form of FRR's topotests, run by pytest in this kernel.
//!
//! Owns what they find there: a folder of daemons with the nhrpd of their kind, an iptables that works, and where their
//! logs go. Never looks inside a test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};

use crate::failure::{Context, Result, ensure};
use crate::mix::Kind;
use crate::plan::{Outcome, PYTHON, TOPOTEST_DAEMONS, TOPOTESTS, Topotest};

/// Where FRR's package has its daemons.
const FRR: &str = "/usr/lib/frr";

/// Daemons that FRR's tests look for before they begin, and that a package may lack. None of the tests run here starts
/// one that is not there.
const LOOKED_FOR: &[&str] = &["pim6d", "pbrd", "isisd", "ldpd", "ripngd", "mgmtd"];

/// For pytest: no router starts sharpd, FRR's daemon for its developers, which packages lack. Tests that need it are
/// [`NEED_SHARPD`].
const NO_SHARPD: &str = "\
def pytest_collection_modifyitems():
    from lib.topogen import TopoRouter
    load = TopoRouter.load_config
    def without_sharpd(self, daemon, *more, **named):
        if daemon != TopoRouter.RD_SHARP:
            return load(self, daemon, *more, **named)
    TopoRouter.load_config = without_sharpd
";

/// Tests that are left out where there is no sharpd.
const NEED_SHARPD: &[&str] = &["nhrp_topo/test_nhrp_topo.py::test_route_install"];

/// Programs of the lab's own for the tests.
const PROGRAMS: &str = "/run/topotest-bin";

/// Where pytest and the routers write; below `/run`, because it is no host's directory.
const RUN: &str = "/run/topotests";

/// The copy of `/etc`.
const ETC: &str = "/run/topotest-etc";

/// Makes the folder of daemons and of programs.
pub(super) fn prepare(dir: &Path) -> Result<()> {
    for directory in [TOPOTEST_DAEMONS, PROGRAMS, RUN] {
        fs::create_dir_all(directory).context(|| format!("creating {directory}"))?;
    }
    writable_etc()?;
    let installed = fs::read_dir(FRR).context(|| format!("reading {FRR}"))?;
    for entry in installed.flatten().filter(|entry| entry.file_name() != "nhrpd") {
        link(&entry.path(), &Path::new(TOPOTEST_DAEMONS).join(entry.file_name()))?;
    }
    for name in LOOKED_FOR {
        let path = Path::new(TOPOTEST_DAEMONS).join(name);
        if !path.exists() {
            link(&Path::new(FRR).join("zebra"), &path)?;
        }
    }
    if !has_sharpd() {
        let plugin = Path::new(PROGRAMS).join("no_sharpd.py");
        fs::write(&plugin, NO_SHARPD).context(|| format!("writing {}", plugin.display()))?;
    }
    // Where nf_tables has no IPv4, the older tables have. Listing succeeds without; only a change shows it.
    for name in ["iptables", "ip6tables"] {
        let works = |change: &str| {
            let mut command = Command::new(format!("{name}-nft"));
            command.args([change, "probe"]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let kind = if works("-N") && works("-X") { "nft" } else { "legacy" };
        link(&Path::new("/usr/sbin").join(format!("{name}-{kind}")), &Path::new(PROGRAMS).join(name))?;
    }
    // FRR's tests insist on a debugger for the dumps of crashed daemons; a crash is seen without it.
    program(&Path::new(PROGRAMS).join("gdb"), "#!/bin/sh\necho 'no debugger in the lab'\n")?;
    ensure!(dir.join(TOPOTESTS).join("lib/topogen.py").is_file(), "no lib/topogen.py among FRR's tests");
    Ok(())
}

fn has_sharpd() -> bool {
    Path::new(FRR).join("sharpd").exists()
}

/// Writes a program.
fn program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .context(|| format!("writing {}", path.display()))
}

/// A copy of `/etc` in its place: each router puts files of its own over some of these, which must be there.
fn writable_etc() -> Result<()> {
    let copied = Command::new("cp").args(["-a", "/etc", ETC]).status();
    ensure!(copied.is_ok_and(|status| status.success()), "copying /etc to {ETC}");
    let none: Option<&str> = None;
    mount(Some(ETC), "/etc", none, MsFlags::MS_BIND, none).context(|| "mounting a copy on /etc".to_owned())
}

/// Runs the tests of a folder. The first note is their counts, the others are why tests were skipped.
pub(super) fn run(dir: &Path, out: &Path, test: &Topotest) -> Result<(Outcome, Vec<String>)> {
    let nhrpd = match test.kind {
        Kind::Frr => Path::new(FRR).join("nhrpd"),
        Kind::Ours => dir.join("bin/nhrpd"),
    };
    link(&nhrpd, &Path::new(TOPOTEST_DAEMONS).join("nhrpd"))?;
    let rundir = Path::new(RUN).join(test.id());
    let log = out.join("pytest.log");
    let file = fs::File::create(&log).context(|| format!("creating {}", log.display()))?;
    let errors = file.try_clone().context(|| "the log".to_owned())?;
    let folder = format!("{}/", test.folder);
    let left_out: Vec<&str> =
        NEED_SHARPD.iter().copied().filter(|id| id.starts_with(&folder) && !has_sharpd()).collect();
    let status = Command::new("python3")
        .args(["-m", "pytest", "-p", "no:cacheprovider", "-rfEs", "-o", "log_cli=true", "--rundir"])
        .arg(&rundir)
        .arg(&test.folder)
        .args(if has_sharpd() { &[][..] } else { &["-p", "no_sharpd"] })
        .args(left_out.iter().flat_map(|id| ["--deselect", id]))
        .current_dir(dir.join(TOPOTESTS))
        .env("PATH", format!("{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"))
        .env("PYTHONPATH", format!("{}:{PROGRAMS}", dir.join(PYTHON).display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .context(|| "starting pytest".to_owned())?;
    let text = fs::read_to_string(&log).context(|| format!("reading {}", log.display()))?;
    let counts = counts(&text);
    let skipped = text.lines().filter(|line| line.starts_with("SKIPPED [")).map(str::to_owned);
    let deselected = text.lines().last().is_some_and(|line| line.contains(" deselected"));
    let left_out =
        left_out.iter().filter(|_| deselected).map(|id| format!("left out, there is no sharpd: {id}"));
    let notes: Vec<String> = counts.iter().cloned().chain(skipped).chain(left_out).collect();
    let passed = counts.as_deref().is_some_and(|counts| counts.contains(" passed"));
    let outcome = match (status.success(), counts) {
        (true, Some(_)) if passed => Outcome::Passed,
        (true, Some(counts)) => {
            Outcome::Skipped(format!("{counts}: {}", notes.get(1..).unwrap_or_default().join("; ")))
        }
        _ => {
            // Sockets do not go there, and are no evidence.
            let _ = Command::new("cp")
                .arg("-r")
                .arg(&rundir)
                .arg(out.join("logs"))
                .stderr(Stdio::null())
                .status();
            Outcome::Failed(end(&text))
        }
    };
    let _ = fs::remove_dir_all(&rundir);
    Ok((outcome, notes))
}

/// Makes a link, instead of one that is there.
fn link(target: &Path, path: &Path) -> Result<()> {
    let _ = fs::remove_file(path);
    symlink(target, path).context(|| format!("linking {} to {}", path.display(), target.display()))
}

/// `2 passed, 1 skipped` of the last line of pytest's, which has its time and counts of warnings, too.
fn counts(text: &str) -> Option<String> {
    let line = text.lines().rev().find(|line| line.starts_with('=') && line.contains(" in "))?;
    let (counts, _) = line.trim_matches(['=', ' ']).split_once(" in ")?;
    let told = counts.split(", ").filter(|count| !count.contains("warning") && !count.contains("deselected"));
    Some(told.collect::<Vec<_>>().join(", "))
}

/// What pytest says went wrong, and the end of it all.
fn end(text: &str) -> String {
    let mut wrong: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| {
        line.starts_with("E  ")
            || line.contains("::") && ["FAILED ", "ERROR "].iter().any(|word| line.starts_with(word))
    }) {
        if !wrong.contains(&line) {
            wrong.push(line);
        }
    }
    wrong.truncate(12);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default();
    [wrong.as_slice(), last].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytests_counts_are_read() {
        let text = "nhrp_topo/test_nhrp_topo.py ..s\n====== 2 passed, 1 skipped, 3 warnings in 96.12s (0:01:36) ======\n";
        assert_eq!(counts(text).unwrap(), "2 passed, 1 skipped");
        assert_eq!(counts("=== 1 failed in 3.0s ===").unwrap(), "1 failed");
        assert_eq!(counts("Traceback (most recent call last):\n"), None);
    }
}
