//! The loop for one target: `fuzz [--keep] TARGET SECONDS`, or `fuzz --write-seeds TARGET FOLDER` for libFuzzer. `cargo
//! lab soak` runs it for all. With `--keep` inputs that reached a new state are added to the corpus.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fuzz::{TARGETS, Target, add_to_corpus, hammer};

const USAGE: &str = "usage: fuzz [--keep] TARGET SECONDS\n       fuzz --write-seeds TARGET FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = |name: &str| TARGETS.iter().find(|target| target.name == name);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["--write-seeds", name, folder] => target(name).map(|target| write_seeds(target, Path::new(folder))),
        [name, seconds] => timed(target(name), seconds, false),
        ["--keep", name, seconds] => timed(target(name), seconds, true),
        _ => None,
    };
    match result {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(what)) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
        None => {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("{USAGE}\ntargets: {}", names.join(" "));
            ExitCode::from(2)
        }
    }
}

fn timed(target: Option<&Target>, seconds: &str, keep: bool) -> Option<Result<(), String>> {
    Some(run(target?, seconds.parse().ok()?, keep))
}

fn run(target: &Target, seconds: u64, keep: bool) -> Result<(), String> {
    let harvest = hammer(target, Duration::from_secs(seconds)).map_err(|found| {
        format!("{}: FAILED: {}\nits input is kept in {}", target.name, found.what, found.path.display())
    })?;
    let (executions, new) = (harvest.executions, harvest.new.len());
    println!("{}: {executions} executions in {seconds} s, {new} of them new states, all held", target.name);
    for octets in harvest.new.iter().filter(|_| keep) {
        let path = add_to_corpus(target, octets).map_err(|error| format!("{}: {error}", target.name))?;
        println!("{}: {}", target.name, path.display());
    }
    Ok(())
}

fn write_seeds(target: &Target, folder: &Path) -> Result<(), String> {
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        let path = folder.join(format!("seed-{number:04}"));
        std::fs::write(&path, seed).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
