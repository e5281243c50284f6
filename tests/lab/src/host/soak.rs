//! `cargo lab soak`: what takes long, for a given time.
//!
//! Owns how the time is shared between the fuzz targets and the simulation, and by what targets are driven: libFuzzer
//! where a nightly toolchain with cargo-fuzz is there, else the loop of the crate `fuzz`. The scenarios that `cargo lab
//! test` runs in few mixes or in small come last, and tests in FRR's form; they take the time that they take.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::build::has_libyang;
use super::{interrupt, topotest, verbs};
use crate::failure::{Context, Failure, Result, ensure};
use crate::scenarios::{self, Mixes, Scenario};

/// The simulation's networks by chance.
const TURMOIL: &str = "turmoil";

/// Tests in FRR's form.
const TOPOTEST: &str = "topotest";

/// The fuzz target that needs libyang, and the feature of that name.
const NORTHBOUND: &str = "northbound";

/// Whether everything held.
pub(crate) fn run(minutes: u64, names: &[String]) -> Result<bool> {
    interrupt::watch()?;
    let wanted = |name: &&str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let targets: Vec<String> = targets()?.into_iter().filter(|name| wanted(&name.as_str())).collect();
    let turmoil = wanted(&TURMOIL);
    let long =
        |scenario: &&Scenario| matches!(scenario.mixes, Mixes::Picked(..) | Mixes::Soak | Mixes::SoakOurs);
    let scenarios = scenarios::ALL.iter().filter(long).map(|scenario| scenario.name);
    let scenarios: Vec<String> = scenarios.filter(wanted).map(str::to_owned).collect();
    let topotest = wanted(&TOPOTEST);
    if targets.is_empty() && !turmoil && scenarios.is_empty() && !topotest {
        return Err(Failure::new(format!(
            "no fuzz target, simulation, long scenario or form of tests is named {}",
            names.join(", ")
        )));
    }
    let mut held = true;
    let count = u32::try_from(targets.len() + usize::from(turmoil)).unwrap_or(u32::MAX).max(1);
    let share = Duration::from_secs(minutes * 60) / count;
    let libfuzzer = has_cargo_fuzz();
    // Before the clock starts.
    let fuzz = [&["build", "--quiet", "--package", "fuzz"][..], features()].concat();
    for build in [&fuzz[..], &["test", "--quiet", "--package", "sim", "--no-run"]] {
        ensure!(
            cargo(build).status().context(|| "starting cargo".to_owned())?.success(),
            "cargo {} fails",
            build.join(" ")
        );
    }
    for target in targets {
        if target == NORTHBOUND && !has_libyang() {
            println!(
                "{target}: SKIPPED, for want of cmake or pcre2.h (apt-get install cmake make libpcre2-dev)"
            );
            continue;
        }
        held &= if libfuzzer { with_libfuzzer(&target, share)? } else { with_loop(&target, share)? };
        if interrupt::interrupted() {
            return Err(Failure::new("interrupted"));
        }
    }
    if turmoil {
        println!("{TURMOIL}: new networks in virtual time for {} s", share.as_secs());
        let mut command = cargo(&["test", "--quiet", "--package", "sim", "--test", "turmoil"]);
        let status = command.env("NHRP_SIM_SECONDS", share.as_secs().to_string()).status();
        held &= status.context(|| "starting cargo".to_owned())?.success();
    }
    if !scenarios.is_empty() {
        held &= verbs::test(None, None, None, &scenarios, true)?;
    }
    if topotest {
        held &= topotest::run(None, &topotest::Wanted::default())?;
    }
    Ok(held)
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The fuzz targets: each has a folder of inputs, and no other folder is there, of which tests/fuzz makes sure.
fn targets() -> Result<Vec<String>> {
    let corpus = fuzz_folder().join("corpus");
    let entries = std::fs::read_dir(&corpus).context(|| format!("reading {}", corpus.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    ensure!(!names.is_empty(), "no fuzz targets in {}", corpus.display());
    Ok(names)
}

fn has_cargo_fuzz() -> bool {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "--version"]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// libFuzzer with the corpus, and the seeds in a folder of their own. What it adds to the corpus stays; what fails it
/// keeps in `artifacts`.
fn with_libfuzzer(target: &str, time: Duration) -> Result<bool> {
    let folder = fuzz_folder();
    let seeds = tempfile::tempdir().context(|| "making a folder for seeds".to_owned())?;
    let wrote = loop_command(&["--write-seeds", target]).arg(seeds.path()).status();
    ensure!(wrote.context(|| "starting cargo".to_owned())?.success(), "no seeds for {target}");
    let inputs = || std::fs::read_dir(folder.join("corpus").join(target)).map_or(0, Iterator::count);
    let before = inputs();
    println!("{target}: libFuzzer for {} s", time.as_secs());
    let status = Command::new("cargo")
        .args(["+nightly", "fuzz", "run", "--fuzz-dir", "tests/fuzz/libfuzzer"])
        .args(if target == NORTHBOUND { &["--features", NORTHBOUND][..] } else { &[] })
        .arg(target)
        .arg(folder.join("corpus").join(target))
        .arg(seeds.path())
        .args(["--", "-verbosity=0", "-print_final_stats=1", "-timeout=20"])
        .arg(format!("-max_total_time={}", time.as_secs()))
        .current_dir(folder.join("../.."))
        .stdin(Stdio::null())
        .status()
        .context(|| "starting cargo +nightly fuzz".to_owned())?;
    println!("{target}: {} new inputs in tests/fuzz/corpus/{target}", inputs().saturating_sub(before));
    if !status.success() && !interrupt::interrupted() {
        println!("{target}: FAILED; see tests/fuzz/README.md for what to do with the input named above");
    }
    Ok(status.success())
}

fn with_loop(target: &str, time: Duration) -> Result<bool> {
    let seconds = time.as_secs().to_string();
    let status = loop_command(&[target, &seconds]).status().context(|| "starting cargo".to_owned())?;
    Ok(status.success())
}

/// Features of the crate `fuzz`, where they can be built.
fn features() -> &'static [&'static str] {
    if has_libyang() { &["--features", NORTHBOUND] } else { &[] }
}

/// The program of the crate `fuzz`.
fn loop_command(arguments: &[&str]) -> Command {
    let mut command = cargo(&["run", "--quiet", "--package", "fuzz"]);
    command.args(features()).arg("--").args(arguments);
    command
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(fuzz_folder().join("../..")).stdin(Stdio::null());
    command
}
