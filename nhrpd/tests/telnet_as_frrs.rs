//! The same keys typed into the telnet vty of FRR's nhrpd and of this one bring the same octets back: greeting, passwords,
//! help, completion, editing, history, pages, idle time and access lists.
//!
//! `NHRPD_TREES` lists root file systems with FRR, separated by colons; needs root. What is typed is
//! `telnet_as_frrs/dialogues.py`'s, what may differ `telnet_as_frrs/masks.txt`'s alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../vtysh-plugin/tests/trees/mod.rs"]
mod trees;

mod in_a_tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use in_a_tree::{FRRS, OURS, with_daemon};
use regex_lite::Regex;
use trees::tree_of;

/// The daemon's configuration, which has the passwords.
const BEFORE: &str = r#"
cp "$FILES/dialogues.py" "$TREE/run/"
printf 'hostname r1\npassword zebra\nenable password secret\n' > "$TREE/etc/frr/nhrpd.conf"
"#;

/// All dialogues, when it has been read.
const THEN: &str = r#"
sleep 1
chroot "$TREE" timeout 300 python3 -u /run/dialogues.py
"#;

/// Fewer lines than this would mean that the dialogues broke off.
const LEAST: usize = 250;

/// What was typed and what came back, by the name of the dialogue and the number of what was typed in it.
type Transcript = BTreeMap<String, String>;

fn transcript(tree: &Path, daemon: &str) -> Transcript {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = here.join("tests/telnet_as_frrs");
    let text = with_daemon(tree, daemon, &[("FILES", files.as_os_str())], BEFORE, THEN);
    let masks = std::fs::read_to_string(files.join("masks.txt")).unwrap();
    let masks: Vec<(Regex, &str)> = masks
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (pattern, replacement) =
                line.split_once(" | ").unwrap_or_else(|| panic!("not a mask: {line}"));
            (Regex::new(pattern).unwrap(), replacement)
        })
        .collect();
    let masked = |line: &str| {
        masks.iter().fold(line.to_owned(), |line, (pattern, replacement)| {
            pattern.replace_all(&line, *replacement).into_owned()
        })
    };
    text.lines()
        .map(|line| {
            let (name, said) = line.split_once(" | ").unwrap_or_else(|| panic!("not understood: {line}"));
            (name.to_owned(), masked(said))
        })
        .collect()
}

fn compare(release: &str) {
    let without = format!("nobody typed to nhrpd of FRR {release}");
    let Some(tree) = tree_of(release, &without) else { return };
    // Most of the time is waiting for what does not come.
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| transcript(&tree, FRRS));
        let ours = transcript(&tree, OURS);
        (theirs.join().unwrap(), ours)
    });
    assert!(theirs.len() >= LEAST, "only {} things were typed", theirs.len());
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter(|name| theirs.get(*name) != ours.get(*name))
        .map(|name| {
            format!("{name}\n  FRR's nhrpd {:?}\n  this one    {:?}", theirs.get(name), ours.get(name))
        })
        .collect();
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn frr_8_4_types_alike() {
    compare("8.4");
}

#[test]
fn frr_10_3_types_alike() {
    compare("10.3");
}

#[test]
fn frr_10_7_types_alike() {
    compare("10.7");
}
