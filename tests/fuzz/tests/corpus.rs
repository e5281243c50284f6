//! The committed corpora and the seeds, with the fuzz targets' own checks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use fuzz::{Depth, NORTHBOUND, TARGETS, engine, files, folder, hammer};

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

/// Sequences of the engine that stay at its door would show nothing: each of these states is reached by more than one input of
/// the corpus.
#[test]
fn the_corpus_of_engine_goes_deep() {
    type Reached = (&'static str, fn(&Depth) -> bool);
    let states: [Reached; 11] = [
        ("registered again", |d| d.renewed > 0),
        ("clients", |d| d.clients > 0),
        ("several peers", |d| d.peers > 2),
        ("shortcuts", |d| d.shortcuts > 0),
        ("several shortcuts", |d| d.shortcuts > 2),
        ("answers given", |d| d.answered > 0),
        ("packets passed on", |d| d.passed_on > 0),
        ("multicast", |d| d.multicast > 0),
        ("purges followed", |d| d.purged > 0),
        ("purges sent", |d| d.purges_sent > 0),
        ("unique addresses contested", |d| d.contested > 0),
    ];
    let depths: Vec<Depth> =
        files(&folder("corpus/engine")).iter().map(|(_, octets)| engine(octets)).collect();
    let counts = states.map(|(name, reached)| (name, depths.iter().filter(|d| reached(d)).count()));
    eprintln!("of {} inputs: {counts:?}", depths.len());
    for (name, count) in counts {
        assert!(count >= 2, "{name}: reached by {count} of {} inputs", depths.len());
    }
}

#[test]
fn each_target_has_its_binary_and_its_corpus() {
    let mut wanted: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    if !cfg!(feature = "northbound") {
        wanted.push(NORTHBOUND.to_owned());
    }
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
        let harvest = hammer(target, Duration::from_millis(500)).unwrap_or_else(|found| {
            panic!("{}: {}; kept as {}", target.name, found.what, found.path.display())
        });
        assert!(harvest.executions > 0, "{}", target.name);
    }
}

/// An input that reaches another state is changed further, so that the loop comes to where chance alone does not.
#[test]
fn the_loop_climbs_from_state_to_state() {
    let mut target = TARGETS[0];
    target.name = "none";
    target.seeds = Vec::new;
    // As many leading octets are right as the state says.
    target.check = |octets| {
        let right = octets.iter().zip(b"NHRP").take_while(|(a, b)| a == b).count();
        vec![u32::try_from(right).unwrap()]
    };
    let harvest = hammer(&target, Duration::from_secs(5)).unwrap();
    assert!(harvest.new.iter().any(|octets| octets.starts_with(b"NHRP")), "{harvest:?}");
}

/// The loop notices what does not hold, and keeps the input.
#[test]
fn what_does_not_hold_is_found() {
    let mut target = TARGETS[0];
    target.check = |octets| {
        assert!(octets.len() < 100, "long");
        Vec::new()
    };
    let found = hammer(&target, Duration::from_secs(20)).unwrap_err();
    let octets = std::fs::read(&found.path).unwrap();
    std::fs::remove_file(&found.path).unwrap();
    assert!(octets.len() >= 100 && found.what == "long", "{found:?}");
}
