//! The loop for one target: `fuzz TARGET SECONDS`, or `fuzz --write-seeds TARGET FOLDER` for libFuzzer. `cargo lab soak`
//! runs it for all.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fuzz::{TARGETS, Target, hammer};

const USAGE: &str = "usage: fuzz TARGET SECONDS\n       fuzz --write-seeds TARGET FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = |name: &str| TARGETS.iter().find(|target| target.name == name);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["--write-seeds", name, folder] => target(name).map(|target| write_seeds(target, Path::new(folder))),
        [name, seconds] => {
            target(name).zip(seconds.parse().ok()).map(|(target, seconds)| run(target, seconds))
        }
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

fn run(target: &Target, seconds: u64) -> Result<(), String> {
    let inputs = hammer(target, Duration::from_secs(seconds)).map_err(|found| {
        format!("{}: FAILED: {}\nits input is kept in {}", target.name, found.what, found.path.display())
    })?;
    println!("{}: {inputs} inputs in {seconds} s, all held", target.name);
    Ok(())
}

fn write_seeds(target: &Target, folder: &Path) -> Result<(), String> {
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        let path = folder.join(format!("seed-{number:04}"));
        std::fs::write(&path, seed).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
