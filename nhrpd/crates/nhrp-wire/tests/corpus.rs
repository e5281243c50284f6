//! The seeds of the fuzz targets for packets: the golden packets and the samples, one file each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;

use support::{golden, samples};

fn fuzz_folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fuzz").join(name)
}

/// Name and contents of each file in a folder of tests/fuzz, by name.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz_folder(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The seeds as they should be: golden packets and samples.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let golden = golden().into_iter().map(|x| (format!("golden-{}", x.name), x.octets));
    let samples = samples::all().into_iter().map(|(name, packet)| {
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        (format!("sample-{}", name.replace(", ", "-").replace(' ', "-").to_lowercase()), octets)
    });
    let mut seeds: Vec<_> = golden.chain(samples).collect();
    seeds.sort();
    seeds
}

#[test]
fn seeds_are_the_golden_packets_and_the_samples() {
    if files("seeds") == seeds() {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_SEEDS").is_some(),
        "tests/fuzz/seeds is out of date: UPDATE_SEEDS=1 cargo test -p nhrp-wire --test corpus"
    );
    let folder = fuzz_folder("seeds");
    for (name, _) in files("seeds") {
        fs::remove_file(folder.join(name)).unwrap();
    }
    for (name, octets) in seeds() {
        fs::write(folder.join(name), octets).unwrap();
    }
}
