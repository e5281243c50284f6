//! The tests that docs/frr-differences.md names are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = include_str!("../../docs/frr-differences.md");

/// The list's short names of folders, and where they are.
const FOLDERS: [(&str, &str); 9] = [
    ("sim/", "tests/sim/tests/"),
    ("wire/", "nhrpd/crates/nhrp-wire/tests/"),
    ("kernel/", "nhrpd/crates/nhrp-kernel/src/"),
    ("zapi/", "nhrp-zapi/tests/"),
    ("vty/", "vtysh-plugin/"),
    ("config/", "nhrpd/crates/nhrp-config/src/"),
    ("engine/", "nhrpd/crates/nhrp-engine/"),
    ("daemon/", "nhrpd/src/"),
    ("lab/", "tests/lab/src/scenarios/"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What is wrong with a name in backquotes that begins like one of the folders.
fn fault(name: &str) -> Option<String> {
    let (short, folder) = FOLDERS.iter().find(|(short, _)| name.starts_with(short))?;
    let rest = name.strip_prefix(short)?;
    let (file, test) = rest.split_once("::").unwrap_or((rest, ""));
    let file = if *short == "lab/" { format!("{file}.rs") } else { file.to_owned() };
    let Ok(text) = fs::read_to_string(root().join(folder).join(&file)) else {
        return Some(format!("{name}: no file {folder}{file}"));
    };
    let begins = [format!("fn {test}("), format!("async fn {test}(")];
    let there = text.lines().any(|line| begins.iter().any(|begin| line.trim_start().starts_with(begin)));
    (*short != "lab/" && !there).then(|| format!("{name}: no such test"))
}

fn quoted(line: &str) -> Vec<&str> {
    let known = |name: &&str| FOLDERS.iter().any(|(short, _)| name.starts_with(short) && name != short);
    line.split('`').skip(1).step_by(2).filter(known).collect()
}

/// Names in backquotes of a text, and its rows without one.
fn names(text: &str) -> (Vec<&str>, Vec<&str>) {
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let rows = rows.filter(|line| !line.starts_with("| FRR's nhrpd |"));
    (text.lines().flat_map(quoted).collect(), rows.filter(|row| quoted(row).is_empty()).collect())
}

#[test]
fn every_difference_has_a_test_that_is_there() {
    let (names, without) = names(LIST);
    assert!(names.len() > 35, "{} tests: the list is not read as it should be", names.len());
    let faults: Vec<String> = names.into_iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "docs/frr-differences.md:\n{}", faults.join("\n"));
    assert!(without.is_empty(), "no test: {without:#?}");
}

#[test]
fn a_gap_is_seen() {
    assert!(fault("sim/frr_faults.rs::a_removed_map_leaves_no_peer").is_none());
    assert!(fault("sim/frr_faults.rs::no_such_test").unwrap().contains("no such test"));
    assert!(fault("sim/nowhere.rs::a_removed_map_leaves_no_peer").unwrap().contains("no file"));
    assert!(fault("lab/nowhere").is_some() && fault("lab/renewal").is_none());
    assert_eq!(names("| a | all | b | `sim/x.rs::y` |\n| a | all | b | nothing |").1.len(), 1);
}
