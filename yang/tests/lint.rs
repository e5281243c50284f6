//! The modules, judged by others: pyang and yanglint, where they are installed (`NHRPD_PYANG`, `NHRPD_YANGLINT` name
//! them), and FRR's list of what a daemon of its own serves.
#![cfg(feature = "libyang")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use nhrp_yang::Schema;

fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("modules")
}

/// A program, if it is there.
fn tool(variable: &str, name: &str) -> Option<Command> {
    let program = std::env::var_os(variable).unwrap_or_else(|| name.into());
    if Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        let mut command = Command::new(program);
        command.current_dir(modules());
        return Some(command);
    }
    eprintln!("SKIPPED: there is no {name}; {variable} names one");
    None
}

fn has_nothing_to_say(mut command: Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{command:?}\n{said}");
}

#[test]
fn pyang_has_nothing_to_say() {
    for file in std::fs::read_dir(modules()).unwrap() {
        let Some(mut pyang) = tool("NHRPD_PYANG", "pyang") else { return };
        pyang.args(["--lint", "--max-line-length", "72", "-p", "."]).arg(file.unwrap().file_name());
        has_nothing_to_say(pyang);
    }
}

#[test]
fn the_documents_have_the_tree_of_today() {
    let Some(mut pyang) = tool("NHRPD_PYANG", "pyang") else { return };
    pyang.args(["-f", "tree", "--tree-line-length", "100", "-p", ".", "frr-nhrpd.yang"]);
    let output = pyang.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let page = std::fs::read_to_string(modules().join("../../docs/yang.md")).unwrap();
    let drawn: Vec<&str> = page.lines().skip_while(|line| !line.contains("pyang -f tree")).skip(2).collect();
    let drawn: Vec<&str> = drawn.into_iter().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    assert_eq!(drawn, tree.lines().collect::<Vec<_>>());
}

#[test]
fn yanglint_has_nothing_to_say() {
    let Some(mut yanglint) = tool("NHRPD_YANGLINT", "yanglint") else { return };
    // The default of a node of frr-logging is an identity of the first one, which therefore has to be implemented.
    yanglint.args([
        "-p",
        ".",
        "ietf-syslog-types.yang",
        "frr-logging.yang",
        "frr-host.yang",
        "frr-filter.yang",
    ]);
    yanglint.arg("frr-nhrpd.yang");
    has_nothing_to_say(yanglint);
}

#[test]
fn names_and_revisions_are_those_of_frr() {
    let modules = Schema::load(None).unwrap().modules();
    let told: Vec<(&str, &str)> = modules.iter().map(|m| (m.name.as_str(), m.revision.as_str())).collect();
    assert_eq!(
        told,
        [
            ("frr-filter", "2019-07-04"),
            ("frr-host", "2025-06-12"),
            ("frr-interface", "2020-02-05"),
            ("frr-logging", "2025-06-07"),
            ("frr-nhrpd", "2026-11-22"),
            ("frr-vrf", "2019-12-06"),
            ("ietf-syslog-types", "2015-10-14"),
        ]
    );
}

#[test]
fn installed_modules_take_the_place_of_embedded_ones() {
    let folder = std::env::temp_dir().join(format!("nhrp-yang-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let text = std::fs::read_to_string(modules().join("frr-host.yang")).unwrap();
    std::fs::write(folder.join("frr-host.yang"), text.replace("2025-06-12", "2026-01-01")).unwrap();
    let schema = Schema::load(Some(&folder));
    std::fs::write(folder.join("frr-host.yang"), "module frr-host {").unwrap();
    let broken = Schema::load(Some(&folder));
    std::fs::remove_dir_all(&folder).unwrap();
    let host = schema.unwrap().modules().into_iter().find(|m| m.name == "frr-host").unwrap();
    assert_eq!(host.revision, "2026-01-01");
    assert_eq!(broken.unwrap_err().module, "frr-host");
}
