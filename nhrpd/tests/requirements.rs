//! The table of requirements in docs/rfc2332.md against the code that cites them and the tests that it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../../docs/rfc2332.md");

/// Where code cites requirements.
const SOURCES: [&str; 4] = [
    "nhrpd/crates/nhrp-engine/src",
    "nhrpd/crates/nhrp-wire/src",
    "nhrpd/crates/nhrp-kernel/src",
    "nhrpd/src",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The table's short names of folders.
fn expand(short: &str) -> PathBuf {
    let (folder, rest) = short.split_once('/').unwrap_or_else(|| panic!("{short} names no folder"));
    let folder = match folder {
        "engine" => "nhrpd/crates/nhrp-engine/src",
        "wire" => "nhrpd/crates/nhrp-wire/src",
        "kernel" => "nhrpd/crates/nhrp-kernel/src",
        "kernel-tests" => "nhrpd/crates/nhrp-kernel/tests",
        "wire-tests" => "nhrpd/crates/nhrp-wire/tests",
        "sim" => "tests/sim/tests",
        "lab" => "tests/lab/src/scenarios",
        other => panic!("{short}: the table does not explain {other}/"),
    };
    root().join(folder).join(rest)
}

struct Row {
    id: String,
    section: String,
    state: String,
    code: String,
    test: String,
    reason: String,
}

fn rows(table: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells = cells(line);
            let [id, section, _, _, state, code, test, reason] = &cells[..] else {
                panic!("eight columns: {line}")
            };
            let [id, section, state, code, test, reason] =
                [id, section, state, code, test, reason].map(Clone::clone);
            Row { id, section, state, code, test, reason }
        })
        .collect()
}

/// Ids in square brackets: `[rfc2332-5.2.3-unique]`, `[dmvpn-5.1-format]`.
fn citations(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split('[').skip(1) {
        let Some((id, _)) = part.split_once(']') else { continue };
        if id.starts_with("rfc2332-") || id.starts_with("dmvpn-") {
            found.insert(id.to_owned());
        }
    }
    found
}

fn cited() -> BTreeMap<String, Vec<PathBuf>> {
    let mut cited: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut todo: Vec<PathBuf> = SOURCES.iter().map(|source| root().join(source)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            for id in citations(&fs::read_to_string(&path).unwrap()) {
                cited.entry(id).or_default().push(path.clone());
            }
        }
    }
    cited
}

fn faults(rows: &[Row], cited: &BTreeMap<String, Vec<PathBuf>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for row in rows {
        let id = &row.id;
        if !ids.insert(id.clone()) {
            faults.push(format!("{id}: twice in the table"));
        }
        if id.split('-').nth(1) != Some(&row.section) {
            faults.push(format!("{id}: in section {}", row.section));
        }
        match row.state.as_str() {
            "met" | "partly" => {
                let at = expand(&row.code);
                if !cited.get(id).is_some_and(|places| places.contains(&at)) {
                    faults.push(format!("{id}: not cited in {}", row.code));
                }
                for named in row.test.split(", ").map(|test| test.trim_matches('`')) {
                    let (file, test) = named.split_once("::").unwrap_or((named, ""));
                    let text = fs::read_to_string(expand(file)).unwrap_or_default();
                    let there = text.lines().any(|line| {
                        line.trim_start().trim_start_matches("async ").starts_with(&format!("fn {test}("))
                    });
                    if test.is_empty() || !there {
                        faults.push(format!("{id}: no test {named}"));
                    }
                }
                if row.state == "partly" && row.reason.is_empty() {
                    faults.push(format!("{id}: met in part, and no word why"));
                }
            }
            "not met" | "not applicable" => {
                if row.reason.is_empty() {
                    faults.push(format!("{id}: {}, and no word why", row.state));
                }
                if cited.contains_key(id) {
                    faults.push(format!("{id}: {}, but cited", row.state));
                }
            }
            other => faults.push(format!("{id}: no state {other:?}")),
        }
    }
    faults.extend(
        cited.keys().filter(|id| !ids.contains(*id)).map(|id| format!("{id}: cited, not in the table")),
    );
    faults
}

#[test]
fn every_requirement_has_its_code_its_test_or_a_reason() {
    let rows = rows(TABLE);
    assert!(rows.len() > 60, "{} rows: the table is not read as it should be", rows.len());
    let faults = faults(&rows, &cited());
    assert!(faults.is_empty(), "docs/rfc2332.md:\n{}", faults.join("\n"));
}

#[test]
fn a_gap_is_seen() {
    let row = |state: &str, code: &str, test: &str| {
        rows(&format!("| `rfc2332-5.1-hop-count` | 5.1 | MUST | text | {state} | `{code}` | `{test}` |  |"))
    };
    let (code, test) =
        ("engine/forward.rs", "sim/hostile.rs::hop_count_zero_is_answered_with_error_15_and_not_forwarded");
    let cited = BTreeMap::from([("rfc2332-5.1-hop-count".to_owned(), vec![expand(code)])]);
    assert!(faults(&row("met", code, test), &cited).is_empty());
    assert_eq!(faults(&row("met", code, test), &BTreeMap::new()).len(), 1, "not cited");
    assert_eq!(faults(&row("met", "engine/purge.rs", test), &cited).len(), 1, "cited elsewhere");
    assert_eq!(faults(&row("met", code, "sim/hostile.rs::no_such_test"), &cited).len(), 1);
    let second = format!("{test}`, `lab/refusals.rs::no_such_step");
    assert_eq!(faults(&row("met", code, &second), &cited).len(), 1, "of two tests one is missing");
    assert_eq!(faults(&row("not met", "", ""), &BTreeMap::new()).len(), 1, "no reason");
    assert_eq!(faults(&[], &cited).len(), 1, "cited, not in the table");
    let mut elsewhere = row("met", code, test);
    elsewhere[0].section = "5.2".to_owned();
    assert_eq!(faults(&elsewhere, &cited).len(), 1, "another section than its id says");
    assert_eq!(citations("// RFC 2332 5.1. [rfc2332-5.1-hop-count] [other]").len(), 1);
}
