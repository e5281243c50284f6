//! What a script sees of a start: FRR's nhrpd and this one are started in the same ways, one after the other, and must
//! look alike from outside: exit codes and which stream is written to, user, groups and capabilities, socket, pid file
//! and log with their owners and modes, locks, signals.
//!
//! Owns the comparison and the few differences that are wanted. Never says how it ought to be: FRR's does.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::failure::{Context, Result, ensure};
use crate::net::{Node, wait_until};

/// Longest time for all starts of one of them.
const LONGEST: Duration = Duration::from_secs(120);

/// Starts one of them, watches it, and prints what it saw.
const WATCH: &str = include_str!("start_up.py");

/// Compares `ours` with `frrs`.
pub(super) fn compare(node: &Node, frrs: &str, ours: &str) -> Result<()> {
    let (frrs, ours) = (watch(node, frrs)?, watch(node, ours)?);
    let said = text(&ours, "/runs/TERM/says");
    ensure!(said.contains("nhrpd ") && said.contains(" starting"), "--log stdout says {said}");
    let differences = differences(&frrs, &ours);
    ensure!(differences.is_empty(), "FRR's nhrpd and this one:\n{}", differences.join("\n"));
    Ok(())
}

/// What is not alike, and ought to be.
fn differences(frrs: &Value, ours: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    told(frrs, ours, &mut differences);
    for part in ["runs", "background"] {
        differ(part, at(frrs, part), at(ours, part), &mut differences);
    }
    help(frrs, ours, &mut differences);
    differences
}

fn watch(node: &Node, nhrpd: &str) -> Result<Value> {
    let report = "/run/start_up.json";
    let mut watching = node.spawn("start_up", &["python3", "-c", WATCH, nhrpd, "/run/start_up", report])?;
    let end = wait_until(&format!("the end of watching {nhrpd}"), LONGEST, || {
        watching.ended().ok_or_else(|| watching.output())
    })?;
    ensure!(end == "exit code 0", "watching {nhrpd}: {end}, {}", watching.output());
    let seen = node.read_file(report)?;
    serde_json::from_str(&seen).context(|| format!("what was seen of {nhrpd}: {seen}"))
}

/// A member of an object, null if there is none.
fn at<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// The text at a path, empty if there is none.
fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Exit codes, and whether it is standard output that something is written to. The words are compared as far as scripts
/// look for them.
fn told(frrs: &Value, ours: &Value, differences: &mut Vec<String>) {
    for (arguments, frrs) in at(frrs, "told").as_object().into_iter().flatten() {
        let ours = at(at(ours, "told"), arguments);
        let seen = |told: &Value| {
            let invalid = text(told, "/stderr").contains("Invalid options.");
            (at(told, "rc").clone(), text(told, "/stdout").is_empty(), invalid)
        };
        if seen(frrs) != seen(ours) {
            differences.push(format!("nhrpd {arguments}: FRR's {frrs}, ours {ours}"));
        }
    }
}

/// `nhrpd version X` first, and every option of FRR's in the help.
fn help(frrs: &Value, ours: &Value, differences: &mut Vec<String>) {
    for whose in [frrs, ours] {
        let version = text(whose, "/told/--version/stdout");
        let mut words = version.split_whitespace();
        let number = |word: &str| word.split('.').take(2).all(|part| part.parse::<u32>().is_ok());
        if !(words.next() == Some("nhrpd")
            && words.next() == Some("version")
            && words.next().is_some_and(number))
        {
            differences.push(format!("--version: {version}"));
        }
    }
    let options = |help: &str| -> Vec<String> {
        let words = help.split(|c: char| c.is_whitespace() || c == ',' || c == '[' || c == '=');
        words.filter(|word| word.starts_with('-') && word.len() > 1).map(str::to_owned).collect()
    };
    let here = options(text(ours, "/told/--help/stdout"));
    for option in options(text(frrs, "/told/--help/stdout")) {
        if !here.contains(&option) {
            differences.push(format!("--help does not name {option}"));
        }
    }
}

/// Every leaf that is not the same, by its path.
fn differ(path: &str, frrs: &Value, ours: &Value, differences: &mut Vec<String>) {
    if let (Value::Object(frrs), Value::Object(ours)) = (frrs, ours) {
        for (name, value) in frrs {
            differ(&format!("{path}, {name}"), value, ours.get(name).unwrap_or(&Value::Null), differences);
        }
        // Runs with options that the release does not have yet.
        if path != "runs" {
            differences.extend(only_in(ours, frrs).map(|name| format!("{path}, {name}: only ours has it")));
        }
        return;
    }
    if frrs != ours && !is_wanted(path, frrs, ours) {
        differences.push(format!("{path}: FRR's {frrs}, ours {ours}"));
    }
}

fn only_in<'a>(
    one: &'a Map<String, Value>,
    other: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a String> {
    one.keys().filter(|name| !other.contains_key(*name))
}

/// Where ours is meant to differ: words of its own, and fewer rights between the calls that need them.
fn is_wanted(path: &str, frrs: &Value, ours: &Value) -> bool {
    let set = |value: &Value| value.as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
    match path.rsplit(", ").next() {
        Some("says") => true,
        Some("CapEff") => set(frrs).zip(set(ours)).is_some_and(|(frrs, ours)| ours & !frrs == 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen() -> Value {
        let version = json!({"rc": 0, "stdout": "nhrpd version 10.3\n", "stderr": ""});
        let help = json!({"rc": 0, "stdout": "  -d, --daemon  Runs\n  -K, --graceful_restart", "stderr": ""});
        json!({
            "told": {"--version": version, "--help": help, "-X": {"rc": 1, "stdout": "", "stderr": "Invalid options."}},
            "runs": {"TERM": {"vty": "140770", "status": {"CapEff": "0000000000003002"}, "says": "x", "end": 0}},
            "background": {"session of its own": true},
        })
    }

    #[test]
    fn what_is_meant_to_differ_does_not_count() {
        let mut ours = seen();
        ours["told"]["--version"]["stdout"] = json!("nhrpd version 0.1.0\nand more");
        ours["told"]["--help"]["stdout"] =
            json!("  -d, --daemon\n  -K, --graceful_restart[=<SECONDS>]\n  --own");
        ours["runs"]["TERM"]["says"] = json!("y");
        ours["runs"]["TERM"]["status"]["CapEff"] = json!("0000000000003000");
        ours["runs"]["graceful restart"] = json!({"end": 0});
        assert_eq!(differences(&seen(), &ours), [""; 0]);
    }

    #[test]
    fn the_rest_does() {
        let faults: [(&[&str], Value); 8] = [
            (&["told", "-X", "rc"], json!(0)),
            (&["told", "-X", "stdout"], json!("Invalid options.")),
            (&["told", "-X", "stderr"], json!("what?")),
            (&["told", "--version", "stdout"], json!("version 10.3")),
            (&["told", "--help", "stdout"], json!("  -d, --daemon  Runs\n  -K")),
            (&["runs", "TERM", "status", "CapEff"], json!("0000000000003006")),
            (&["runs", "TERM", "end"], json!(143)),
            (&["background"], json!({"fails": [1, false, "x"]})),
        ];
        for (path, value) in faults {
            let mut ours = seen();
            let place = path.iter().fold(&mut ours, |place, name| &mut place[*name]);
            *place = value;
            assert_ne!(differences(&seen(), &ours), [""; 0], "{path:?}");
        }
    }
}
