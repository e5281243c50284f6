//! Fuzzing: what must hold for any octets, and a loop that makes octets up.
//!
//! Owns the checks behind each target ([`TARGETS`]), their seeds and the mutations ([`hammer`]). The same checks run
//! under libFuzzer (`libfuzzer/`, nightly), in the loop of `cargo lab soak` (stable) and over the committed corpora in
//! `cargo test`. Never decides what is right elsewhere: a check that fails here is a defect there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod hammer;
#[cfg(feature = "northbound")]
mod northbound;
mod packets;
#[path = "../../../nhrpd/crates/nhrp-engine/tests/sequences/sequence/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "a test of nhrp-engine, shared"
)]
mod sequences;
mod vici;
mod vty;
mod zapi;

use std::path::{Path, PathBuf};

#[cfg(feature = "northbound")]
pub use self::northbound::northbound;
pub use hammer::{Found, Harvest, add_to_corpus, hammer};
pub use packets::{decode, roundtrip};
pub use sequences::{Depth, engine};
pub use vici::vici;
pub use vty::vty;
pub use zapi::zapi;

/// Something that takes any octets.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its folder in `corpus/` and of its binary in `libfuzzer/`.
    pub name: &'static str,
    /// Panics when something does not hold. Says which states were reached, if the target knows: inputs that reach another
    /// one are worth changing further.
    pub check: fn(&[u8]) -> Vec<u32>,
    /// Inputs to begin with, besides the corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longest input that is of use.
    pub longest: usize,
}

/// The checks of the other targets know no states.
macro_rules! stateless {
    ($check:path) => {
        |octets| {
            $check(octets);
            Vec::new()
        }
    };
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "decode", check: stateless!(decode), seeds: packet_seeds, longest: 600 },
    Target { name: "roundtrip", check: stateless!(roundtrip), seeds: packet_seeds, longest: 600 },
    Target { name: "engine", check: engine_states, seeds: Vec::new, longest: 1600 },
    Target { name: "zapi", check: stateless!(zapi), seeds: zapi::seeds, longest: 4096 },
    Target { name: "vici", check: stateless!(vici), seeds: vici::seeds, longest: 4096 },
    Target { name: "vty", check: stateless!(vty), seeds: vty::seeds, longest: 4096 },
    #[cfg(feature = "northbound")]
    Target { name: NORTHBOUND, check: northbound, seeds: self::northbound::seeds, longest: 4096 },
];

/// The target that is there only with the feature of its name, for libyang is in C.
pub const NORTHBOUND: &str = "northbound";

/// How often each thing happened in a sequence, to the power of two.
fn engine_states(octets: &[u8]) -> Vec<u32> {
    let counts = (0..).zip(engine(octets).counts());
    counts.filter_map(|(what, count)| Some(what << 8 | count.checked_ilog2()?)).collect()
}

/// Golden packets and the samples that tshark judges.
fn packet_seeds() -> Vec<Vec<u8>> {
    files(&folder("seeds")).into_iter().map(|(_, octets)| octets).collect()
}

/// A folder of this crate: `corpus/TARGET`, `seeds`.
#[must_use]
pub fn folder(name: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files of a folder with their names, by name; none if there is no such folder.
#[must_use]
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, std::fs::read(entry.path()).ok()?)))
        .collect();
    files.sort();
    files
}
