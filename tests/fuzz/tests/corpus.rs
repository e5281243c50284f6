//! The committed corpora and the seeds, with the fuzz targets' own checks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use fuzz::{TARGETS, files, folder, hammer};

#[test]
fn replay() {
    for target in TARGETS {
        let corpus = files(&folder("corpus").join(target.name));
        assert!(!corpus.is_empty(), "no corpus for {}", target.name);
        for (name, octets) in corpus {
            eprintln!("{} {name}", target.name); // the last one printed is the culprit
            (target.check)(&octets);
        }
        for (number, octets) in (target.seeds)().into_iter().enumerate() {
            eprintln!("{} seed {number}", target.name);
            (target.check)(&octets);
        }
    }
}

#[test]
fn each_target_has_its_binary_and_its_corpus() {
    let mut wanted: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    wanted.sort();
    let mut corpora: Vec<String> = std::fs::read_dir(folder("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    corpora.sort();
    assert_eq!(corpora, wanted);
    let binaries: Vec<String> = files(&folder("libfuzzer/fuzz_targets"))
        .into_iter()
        .map(|(name, _)| name.replace(".rs", ""))
        .collect();
    assert_eq!(binaries, wanted);
}

/// The loop of `cargo lab soak`, for a moment.
#[test]
fn a_second_of_chance() {
    for target in TARGETS {
        let inputs = hammer(&target, Duration::from_millis(500)).unwrap_or_else(|found| {
            panic!("{}: {}; kept as {}", target.name, found.what, found.path.display())
        });
        assert!(inputs > 0, "{}", target.name);
    }
}

/// The loop notices what does not hold, and keeps the input.
#[test]
fn what_does_not_hold_is_found() {
    let mut target = TARGETS[0];
    target.check = |octets| assert!(octets.len() < 100, "long");
    let found = hammer(&target, Duration::from_secs(20)).unwrap_err();
    let octets = std::fs::read(&found.path).unwrap();
    std::fs::remove_file(&found.path).unwrap();
    assert!(octets.len() >= 100 && found.what == "long", "{found:?}");
}
