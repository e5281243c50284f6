//! The verbs of `cargo lab`.
//!
//! Owns what is printed and the exit codes. Never looks inside a scenario.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::boot::{BootDir, Console, boot, console_end, locked_up};
use super::build::{self, Nhrpd, Program, Tally};
use super::cache::Cache;
use super::interrupt;
use super::matrix::{Batch, batches};
use super::package;
use super::probe::Machine;
use super::say;
use super::tree::{Tree, tree};
use crate::failure::{Failure, Result, ensure};
use crate::mix::Mix;
use crate::plan::{Backend, Case, Outcome, Plan, Report, Task};
use crate::release::Release;
use crate::scenarios::{self, GRPC_SCENARIO};

/// Boots that run at the same time.
pub(super) const WORKERS: usize = 2;

/// Longest time of the demo on a machine that is busy with other things; alone it takes half a minute.
const DEMO_LIMIT: Duration = Duration::from_secs(180);

/// `cargo lab demo`.
pub(crate) fn demo(backend: Option<Backend>, release: Release, mix: Mix) -> Result<()> {
    interrupt::watch()?;
    let cache = Cache::open()?;
    let (machine, mut trees, programs) =
        while_fetching(&cache, backend, &[release], || build::programs(nhrpd_of(mix.uses_ours())))?;
    let tree = trees.pop().ok_or_else(|| Failure::new("no tree was made"))?;
    let started = Instant::now();
    let plan = plan(&machine, &tree, release, Task::Demo(mix));
    let dir = BootDir::new(&programs, &plan)?;
    let mut outcome = None;
    let booted = boot(&machine, &tree, &dir, Console::Story, Some(&[DEMO_LIMIT]), |report| {
        outcome = Some(report.outcome);
    });
    let problem = match (booted, outcome) {
        (Ok(()), Some(Outcome::Passed)) => {
            println!(
                "The demo took {:.1} s with the boot. All of it happened on the wire.",
                started.elapsed().as_secs_f64()
            );
            return Ok(());
        }
        (_, Some(Outcome::Failed(reason) | Outcome::Skipped(reason))) => reason,
        (Err(failure), _) => failure.to_string(),
        (Ok(()), _) => format!("the guest ended without a result:\n{}", console_end(&dir.console_log())),
    };
    if interrupt::interrupted() {
        return Err(Failure::new(problem));
    }
    Err(Failure::new(format!("{problem}\nlogs and captures: {}", dir.keep().display())))
}

/// `cargo lab shell`.
pub(crate) fn shell(backend: Option<Backend>, release: Release, mix: Mix) -> Result<()> {
    ensure!(std::io::stdin().is_terminal(), "cargo lab shell needs a terminal");
    interrupt::watch()?;
    let cache = Cache::open()?;
    let programs = build::programs(nhrpd_of(mix.uses_ours()))?;
    let machine = Machine::find(&cache, backend)?;
    let tree = tree(&cache, release)?;
    let plan = plan(&machine, &tree, release, Task::Shell(mix));
    let dir = BootDir::new(&programs, &plan)?;
    boot(&machine, &tree, &dir, Console::Terminal, None, drop)
}

/// `cargo lab prepare`.
pub(crate) fn prepare(backend: Option<Backend>, release: Option<Release>) -> Result<()> {
    let cache = Cache::open()?;
    Machine::find(&cache, backend)?;
    for release in release.map_or_else(|| Release::ALL.to_vec(), |release| vec![release]) {
        let tree = tree(&cache, release)?;
        println!("FRR {release}: {} in {}", tree.frr_version, tree.path.display());
    }
    Ok(())
}

/// `cargo lab list`.
pub(crate) fn list() {
    let mut out = std::io::stdout().lock();
    for scenario in scenarios::ALL {
        // A reader that has seen enough (`| head`) is no failure.
        if writeln!(out, "{:24} {}", scenario.name, scenario.about).is_err() {
            return;
        }
    }
}

/// `cargo lab test`: whether everything passed. With `whole` in every release and mix, also of what is else picked.
pub(crate) fn test(
    backend: Option<Backend>,
    release: Option<Release>,
    mix: Option<&Mix>,
    names: &[String],
    whole: bool,
) -> Result<bool> {
    interrupt::watch()?;
    let batches = batches(names, release, mix, whole);
    if batches.is_empty() {
        return Err(Failure::new(format!("no scenario is named {}: see cargo lab list", names.join(", "))));
    }
    let cache = Cache::open()?;
    let ours = batches.iter().flat_map(|batch| &batch.cases).any(|case| case.mix.uses_ours());
    let grpc = batches.iter().flat_map(|batch| &batch.cases).any(|case| case.scenario == GRPC_SCENARIO);
    let mut total = Tally::default();
    let (machine, mut programs) = if names.is_empty() {
        let (machine, trees, ()) = while_fetching(&cache, backend, &Release::ALL, build::build_tests)?;
        total += build::test_workspace(&trees)?;
        (machine, build::programs(Nhrpd::OfTests)?)
    } else {
        let (machine, _, programs) = while_fetching(&cache, backend, &[], || {
            build::programs(if grpc { Nhrpd::BuildWithFeatures } else { nhrpd_of(ours) })
        })?;
        (machine, programs)
    };
    if batches.iter().flat_map(|batch| &batch.cases).any(|case| case.scenario == scenarios::PACKAGE_SCENARIO)
    {
        programs.push(package::build(&cache, &programs)?);
    }
    let queue = Mutex::new(VecDeque::from(batches));
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(batch) = next(&queue) {
                    let counted = run_batch(&cache, &machine, &programs, &batch);
                    if let Ok(mut tally) = tally.lock() {
                        *tally += counted;
                    }
                }
            });
        }
    });
    total += tally.into_inner().unwrap_or_default();
    if interrupt::interrupted() {
        return Err(Failure::new("interrupted"));
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    let skips_fail = std::env::var("CI").is_ok_and(|value| value == "true");
    Ok(total.failed == 0 && (total.skipped == 0 || !skips_fail))
}

fn nhrpd_of(ours: bool) -> Nhrpd {
    if ours { Nhrpd::Build } else { Nhrpd::None }
}

/// Finds the machine and makes the trees, mostly waiting for the network, while `build` uses the processors.
pub(super) fn while_fetching<T>(
    cache: &Cache,
    backend: Option<Backend>,
    releases: &[Release],
    build: impl FnOnce() -> Result<T>,
) -> Result<(Machine, Vec<Tree>, T)> {
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let machine = Machine::find(cache, backend)?;
            let trees: Result<Vec<Tree>> = releases.iter().map(|release| tree(cache, *release)).collect();
            Ok((machine, trees?))
        });
        let built = build();
        let fetched = fetching.join().map_err(|_| Failure::new("making the trees panicked"))?;
        let (machine, trees) = fetched?;
        Ok((machine, trees, built?))
    })
}

fn next(queue: &Mutex<VecDeque<Batch>>) -> Option<Batch> {
    if interrupt::interrupted() {
        return None;
    }
    queue.lock().ok()?.pop_front()
}

/// Runs a batch; prints a line per case; keeps the evidence if any failed. An emulated kernel was seen to lock
/// up in its threads for packets, nobody knows why: if one does, what it said of it is shown, and what is left of the batch
/// gets one more boot.
fn run_batch(cache: &Cache, machine: &Machine, programs: &[Program], batch: &Batch) -> Tally {
    let (mut tally, left) = boot_batch(cache, machine, programs, batch, true);
    if let Some(left) = left {
        tally += boot_batch(cache, machine, programs, &left, false).0;
    }
    tally
}

/// One boot of a batch. With `again`, what a kernel that locked up did not come to is not counted but returned.
fn boot_batch(
    cache: &Cache,
    machine: &Machine,
    programs: &[Program],
    batch: &Batch,
    again: bool,
) -> (Tally, Option<Batch>) {
    let mut tally = Tally::default();
    let mut done = Vec::new();
    let mut directory = None;
    let result = (|| {
        let tree = tree(cache, batch.release)?;
        let forced = match batch.backend {
            Some(backend) if backend != machine.backend() => Some(Machine::find(cache, Some(backend))?),
            _ => None,
        };
        let machine = forced.as_ref().unwrap_or(machine);
        let plan = plan(machine, &tree, batch.release, Task::Cases(batch.cases.clone()));
        let dir = directory.insert(BootDir::new(programs, &plan)?);
        let limits = batch.limits()?;
        boot(machine, &tree, dir, Console::Quiet, Some(&limits), |report| {
            if let Some(case) = batch.cases.iter().find(|case| case.id() == report.id) {
                print_result(&case.label(batch.release), &report, &mut tally);
            }
            done.push(report.id);
        })
    })();
    let missing: Vec<Case> = batch.cases.iter().filter(|case| !done.contains(&case.id())).cloned().collect();
    if again && !missing.is_empty() && directory.as_ref().is_some_and(|dir| locked_up(&dir.console_log())) {
        if let Some(dir) = directory {
            println!(
                "the guest's kernel locked up and gets a successor:\n{}",
                console_end(&dir.console_log())
            );
            println!("     logs and captures: {}", dir.keep().display());
        }
        return (tally, Some(Batch { cases: missing, ..batch.clone() }));
    }
    let missing = missing.iter().map(|case| (case.id(), case.label(batch.release)));
    conclude(&result, directory, missing, &mut tally);
    (tally, None)
}

/// After a boot: counts what it did not come to, id and label of each, as failed; keeps the evidence if anything failed.
pub(super) fn conclude(
    booted: &Result<()>,
    directory: Option<BootDir>,
    missing: impl IntoIterator<Item = (String, String)>,
    tally: &mut Tally,
) {
    let mut reason = match (booted, &directory) {
        (Err(failure), _) => failure.to_string(),
        (Ok(()), Some(dir)) => format!("the guest ended before it:\n{}", console_end(&dir.console_log())),
        (Ok(()), None) => "it was not started".to_owned(),
    };
    for (id, label) in missing {
        let outcome = Outcome::Failed(std::mem::replace(&mut reason, "for the same reason".to_owned()));
        print_result(&label, &Report { id, outcome, seconds: 0.0, notes: Vec::new() }, tally);
    }
    if tally.failed > 0
        && let Some(dir) = directory
        && !interrupt::interrupted()
    {
        println!("     logs and captures: {}", dir.keep().display());
    }
}

/// A line for a result, counted.
pub(super) fn print_result(label: &str, report: &Report, tally: &mut Tally) {
    let (word, reason) = match &report.outcome {
        Outcome::Passed => {
            tally.passed += 1;
            ("ok", None)
        }
        Outcome::Failed(reason) => {
            tally.failed += 1;
            ("FAILED", Some(reason))
        }
        Outcome::Skipped(reason) => {
            tally.skipped += 1;
            ("skipped", Some(reason))
        }
    };
    let notes =
        if report.notes.is_empty() { String::new() } else { format!("  ({})", report.notes.join("; ")) };
    println!("{label} … {word} {:.1} s{notes}", report.seconds);
    if let Some(reason) = reason {
        println!("     {}", reason.replace('\n', "\n     "));
    }
}

pub(super) fn plan(machine: &Machine, tree: &Tree, release: Release, task: Task) -> Plan {
    Plan { release, frr_version: tree.frr_version.clone(), backend: machine.backend(), task }
}

/// Says that a verb failed.
pub(crate) fn failed(failure: &Failure) {
    say(&failure.to_string());
}
