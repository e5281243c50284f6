//! Building and testing the workspace with cargo.
//!
//! Owns calling cargo and reading its test summary.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::say;
use super::tree::Tree;
use crate::failure::{Context, Result, ensure};

/// Counts of tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Ran and were right.
    pub(crate) passed: usize,
    /// Ran and were wrong.
    pub(crate) failed: usize,
    /// Did not run.
    pub(crate) skipped: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The workspace.
pub(super) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// cargo, in the workspace.
pub(super) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(ROOT).stdin(Stdio::null());
    command
}

/// A program that guests run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its name in the guest.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// Where the nhrpd of guests comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nhrpd {
    /// No guest runs it.
    None,
    /// It is built now.
    Build,
    /// Likewise, with the optional features that can be built here.
    BuildWithFeatures,
    /// [`build_tests`] has built it: its integration tests start it. Another build would only compile half of the
    /// dependencies again, without the features that tests add.
    OfTests,
}

/// The programs that guests need: this one and, if they run it, nhrpd with nhrpctl.
pub(crate) fn programs(nhrpd: Nhrpd) -> Result<Vec<Program>> {
    let lab = std::env::current_exe().context(|| "finding this program".to_owned())?;
    let mut programs = vec![Program { name: "lab", path: lab.clone() }];
    let build = ["build", "--quiet", "--package", "nhrpd", "--package", "vtysh-plugin", "--bins"];
    match nhrpd {
        Nhrpd::Build => run_cargo(&build)?,
        Nhrpd::BuildWithFeatures => run_cargo(&[&build[..], features()].concat())?,
        Nhrpd::None | Nhrpd::OfTests => {}
    }
    if nhrpd != Nhrpd::None {
        for name in ["nhrpd", "nhrpctl"] {
            let path = lab.with_file_name(name);
            ensure!(path.is_file(), "cargo built no {}", path.display());
            programs.push(Program { name, path });
        }
    }
    Ok(programs)
}

/// Builds what [`test_workspace`] runs.
pub(crate) fn build_tests() -> Result<()> {
    let features = tested_features();
    if features.is_empty() {
        say("gRPC is not tested, for want of cmake or pcre2.h (apt-get install cmake make libpcre2-dev)");
    }
    run_cargo(&[&["test", "--workspace", "--no-run"], features].concat())
}

/// Features of the programs beside the default ones: gRPC, where libyang can be built.
fn features() -> &'static [&'static str] {
    if has_libyang() { &["--features", "nhrpd/grpc,vtysh-plugin/grpc"] } else { &[] }
}

/// Features that are tested beside the default ones.
fn tested_features() -> &'static [&'static str] {
    if has_libyang() { &["--features", "nhrpd/grpc,vtysh-plugin/grpc,fuzz/northbound"] } else { &[] }
}

/// Whether libyang, which is in C, can be built.
pub(crate) fn has_libyang() -> bool {
    let cmake = Command::new("cmake").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    cmake.is_ok_and(|status| status.success()) && Path::new("/usr/include/pcre2.h").is_file()
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    let status = cargo().args(arguments).status().context(|| "starting cargo".to_owned())?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// Both programs as they are released, built now, whatever this one was built for.
pub(crate) fn release_programs() -> Result<Vec<Program>> {
    run_cargo(&["build", "--quiet", "--release", "--package", "nhrpd", "--package", "lab"])?;
    let lab = std::env::current_exe().context(|| "finding this program".to_owned())?;
    let target = lab.ancestors().nth(2).context(|| format!("{} has no target directory", lab.display()))?;
    let programs = ["lab", "nhrpd"].map(|name| Program { name, path: target.join("release").join(name) });
    for program in &programs {
        ensure!(program.path.is_file(), "cargo built no {}", program.path.display());
    }
    Ok(programs.into())
}

/// Runs `cargo test --workspace`, showing its output, and counts. Tests that need real FRR daemons or tshark find
/// them in `trees`.
pub(crate) fn test_workspace(trees: &[Tree]) -> Result<Tally> {
    let mut cargo = cargo();
    let paths = std::env::join_paths(trees.iter().map(|tree| &tree.path))
        .context(|| "the cache's path has a colon".to_owned())?;
    cargo.env("NHRPD_TREES", paths);
    // That of the oldest release: the tests know how tshark 4.0 prints fields; later ones print some differently.
    if let Some(tree) = trees.first() {
        cargo.env("NHRP_TSHARK", format!("chroot {} tshark", tree.path.display()));
    }
    let mut child = cargo
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(tested_features())
        .stdout(Stdio::piped())
        .spawn()
        .context(|| "starting cargo".to_owned())?;
    let output = child.stdout.take().context(|| "cargo has no output".to_owned())?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
        println!("{line}");
        if let Some(counts) = summary(&line) {
            tally += counts;
        }
    }
    let status = child.wait().context(|| "cargo test".to_owned())?;
    if !status.success() && tally.failed == 0 {
        println!("cargo test did not get as far as running every test ({status})");
        tally.failed = 1;
    }
    Ok(tally)
}

/// The counts of a `test result: ok. 3 passed; 0 failed; 1 ignored; …` line.
fn summary(line: &str) -> Option<Tally> {
    let rest = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word: &str| {
        let part = rest.split("; ").find_map(|part| part.strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_summary_is_counted() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(summary(line), Some(Tally { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(summary("test foo ... ok"), None);
    }
}
