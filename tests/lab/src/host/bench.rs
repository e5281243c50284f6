//! `cargo lab bench`.
//!
//! Owns what is printed: progress to standard error, the result to standard output.

use std::fs;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::boot::{BootDir, Console, boot, console_end};
use super::build::{Nhrpd, programs, release_programs};
use super::cache::Cache;
use super::probe::Machine;
use super::tree::tree;
use super::{interrupt, say};
use crate::bench::{Bench, SAMPLES, Sample, Summary};
use crate::failure::{Context, Failure, Result};
use crate::plan::{Backend, Outcome, Plan, Task};
use crate::release::Release;

/// How `cargo lab bench hub` is done and told.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Manner {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Use programs as the tests do, not as they are released: builds sooner, to try the benchmark itself
    #[arg(long)]
    test_build: bool,
}

/// `cargo lab bench hub`.
pub(crate) fn hub(backend: Option<Backend>, release: Release, bench: &Bench, manner: Manner) -> Result<()> {
    interrupt::watch()?;
    let cache = Cache::open()?;
    let programs = if manner.test_build { programs(Nhrpd::Build)? } else { release_programs()? };
    // A system call of User-mode Linux costs more than the work of a daemon between two of them.
    let machine = Machine::find(&cache, Some(backend.unwrap_or(Backend::Qemu)))?;
    let tree = tree(&cache, release)?;
    let plan = Plan {
        release,
        frr_version: tree.frr_version.clone(),
        backend: machine.backend(),
        task: Task::Bench(bench.clone()),
    };
    let dir = BootDir::new(&programs, &plan)?;
    // Some registrations and routes a second, and the start of everything.
    let limit = Duration::from_secs(120 + u64::from(bench.peers) / 10);
    let limits: Vec<Duration> = bench.turns().map(|_| limit).collect();
    let total = limits.len();
    let mut done = 0;
    let mut problem = None;
    let mut loads = Vec::new();
    let booted = boot(&machine, &tree, &dir, Console::Quiet, Some(&limits), |report| {
        done += 1;
        loads.push(load());
        match report.outcome {
            Outcome::Passed => {
                let load = loads.last().copied().unwrap_or_default();
                say(&format!(
                    "{done} of {total}: {} in {:.0} s, host load {load}",
                    report.id, report.seconds
                ));
            }
            Outcome::Failed(reason) | Outcome::Skipped(reason) => {
                problem.get_or_insert(format!("{}: {reason}", report.id));
            }
        }
    });
    let samples = fs::read_to_string(dir.path().join(SAMPLES)).unwrap_or_default();
    let ended = (done < total).then(|| {
        let end = console_end(&dir.console_log());
        format!("the guest ended after {done} of {total} measurements; the end of its console:\n{end}")
    });
    let problem = booted.err().map(|failure| failure.to_string()).or(problem).or(ended);
    let samples: std::result::Result<Vec<Sample>, _> = samples.lines().map(serde_json::from_str).collect();
    let samples = samples.context(|| "reading the samples".to_owned())?;
    let summary = Summary::new(bench, &samples);
    let failed = problem.map(|problem| Failure::new(format!("{problem}\nlogs: {}", dir.keep().display())));
    // An emulated kernel may hang in its tenth measurement: the nine before are told, with how many there are of each.
    if let Some(failure) = failed.as_ref().filter(|_| !summary.says_something()) {
        return Err(Failure::new(failure.to_string()));
    }
    if manner.json {
        let environment = environment(&plan, &loads, manner);
        let text = serde_json::to_string_pretty(&summary.json(environment));
        println!("{}", text.context(|| "writing the result".to_owned())?);
    } else {
        println!("{}", summary.table());
    }
    failed.map_or(Ok(()), Err)
}

/// Processes that ran or wanted to, on average over a minute.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// What may make two results incomparable.
fn environment(plan: &Plan, loads: &[f64], manner: Manner) -> Value {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({
        "backend": plan.backend,
        "build": if manner.test_build { "test" } else { "release" },
        "frr": plan.frr_version,
        "host_processors": processors,
        "host_load": loads,
    })
}
