//! The half of the lab that runs inside the kernel under test.
//!
//! Owns preparing that kernel and running what the plan says. Never ends the guest: its init does, when
//! this program returns.

mod demo;
mod prepare;
mod shell;
mod topotest;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::bench;
use crate::failure::{Context, Result};
use crate::net::be_patient;
use crate::plan::{Case, GUEST_DIR, Outcome, Plan, Report, STORY, Task, results_file};
use crate::scenarios::{self, Lab};

/// Runs the plan in `/lab/plan.json`.
pub(crate) fn run() -> Result<()> {
    let dir = Path::new(GUEST_DIR);
    let text = fs::read_to_string(dir.join("plan.json")).context(|| "reading the plan".to_owned())?;
    let plan: Plan = serde_json::from_str(&text).context(|| "reading the plan".to_owned())?;
    be_patient(plan.backend.slowness());
    prepare::kernel(plan.backend)?;
    match &plan.task {
        Task::Cases(cases) => {
            let mut lab: Option<Lab> = None;
            for case in cases {
                // The same lab for neighbours with the same daemons: it may keep its network.
                if lab.as_ref().is_none_or(|lab| *lab.mix() != case.mix) {
                    drop(lab.take());
                }
                let lab = lab.get_or_insert_with(|| Lab::new(plan.release, plan.backend, case.mix.clone()));
                report(dir, &run_case(dir, lab, case))?;
            }
        }
        Task::Bench(bench) => {
            for turn in bench.turns() {
                let id = turn.to_string();
                let started = Instant::now();
                let sample = case_dir(dir, &id)
                    .and_then(|out| bench::run(&out, plan.release, bench, turn))
                    .and_then(|sample| add_line(&dir.join(bench::SAMPLES), &sample));
                let outcome = match sample {
                    Ok(()) => Outcome::Passed,
                    Err(failure) => Outcome::Failed(failure.to_string()),
                };
                let seconds = started.elapsed().as_secs_f64();
                report(dir, &Report { id, outcome, seconds, notes: Vec::new() })?;
            }
        }
        Task::Demo(mix) => {
            let started = Instant::now();
            let shown = demo::run(&case_dir(dir, "demo")?, &plan, mix);
            let outcome = match shown {
                Ok(()) => Outcome::Passed,
                Err(failure) => Outcome::Failed(failure.to_string()),
            };
            let seconds = started.elapsed().as_secs_f64();
            report(dir, &Report { id: "demo".to_owned(), outcome, seconds, notes: Vec::new() })?;
        }
        Task::Topotests(tests) => {
            topotest::prepare(dir)?;
            for test in tests {
                let started = Instant::now();
                let (outcome, notes) = match topotest::run(dir, &case_dir(dir, &test.id())?, test) {
                    Ok(said) => said,
                    Err(failure) => (Outcome::Failed(failure.to_string()), Vec::new()),
                };
                let seconds = started.elapsed().as_secs_f64();
                report(dir, &Report { id: test.id(), outcome, seconds, notes })?;
            }
        }
        Task::Shell(mix) => shell::run(&case_dir(dir, "shell")?, &plan, mix)?,
    }
    Ok(())
}

/// Tells the person at the terminal.
pub(crate) fn tell(text: &str) {
    for line in text.trim_end().split('\n') {
        println!("{STORY}{}", line.trim_end());
    }
}

fn run_case(dir: &Path, lab: &mut Lab, case: &Case) -> Report {
    let started = Instant::now();
    let result = scenarios::find(&case.scenario).and_then(|scenario| {
        lab.next(case_dir(dir, &case.id())?);
        (scenario.run)(lab)
    });
    let outcome = match (result, lab.skipped()) {
        (Ok(()), None) => Outcome::Passed,
        (Ok(()), Some(reason)) => Outcome::Skipped(reason.to_owned()),
        (Err(failure), _) => Outcome::Failed(failure.to_string()),
    };
    let notes = lab.notes().to_vec();
    Report { id: case.id(), outcome, seconds: started.elapsed().as_secs_f64(), notes }
}

fn case_dir(dir: &Path, id: &str) -> Result<std::path::PathBuf> {
    let out = dir.join("out").join(id);
    fs::create_dir_all(&out).context(|| format!("creating {}", out.display()))?;
    Ok(out)
}

fn report(dir: &Path, report: &Report) -> Result<()> {
    add_line(&results_file(dir), report)?;
    println!("LAB-RESULT {} {:?}", report.id, report.outcome);
    Ok(())
}

fn add_line(path: &Path, value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value).context(|| "writing the result".to_owned())?;
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .context(|| format!("opening {}", path.display()))?;
    writeln!(file, "{line}").context(|| format!("writing {}", path.display()))
}
