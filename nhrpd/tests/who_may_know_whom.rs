//! The rules of docs/design.md about who depends on whom, checked against what cargo says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Members of the workspace and what each may depend on directly, of the workspace.
const RULES: [(&str, &[&str]); 14] = [
    ("nhrp-wire", &[]),
    ("nhrp-config", &[]),
    ("nhrp-engine", &["nhrp-config", "nhrp-wire"]),
    // Drivers never see the engine; the daemon translates.
    ("nhrp-kernel", &[]),
    ("nhrp-vici", &[]),
    ("nhrp-zapi", &[]),
    ("vtysh-plugin", &["nhrp-config"]),
    ("sim", &["nhrp-config", "nhrp-engine", "nhrp-wire"]),
    (
        "fuzz",
        &[
            "nhrp-config",
            "nhrp-engine",
            "nhrp-vici",
            "nhrp-wire",
            "nhrp-yang",
            "nhrp-zapi",
            "northbound",
            "vtysh-plugin",
        ],
    ),
    ("lab", &["nhrp-record", "nhrp-wire"]),
    ("nhrp-record", &["nhrp-engine", "nhrp-wire"]),
    // The model and the datastores know the configuration, and of the protocol nothing; commands are vtysh's.
    ("nhrp-yang", &["nhrp-config"]),
    ("northbound", &["nhrp-config", "nhrp-yang", "vtysh-plugin"]),
    (
        "nhrpd",
        &[
            "nhrp-config",
            "nhrp-engine",
            "nhrp-kernel",
            "nhrp-record",
            "nhrp-vici",
            "nhrp-wire",
            "nhrp-yang",
            "nhrp-zapi",
            "northbound",
            "vtysh-plugin",
        ],
    ),
];

/// Crates that know nothing of sockets, tasks and C, not even through others.
const PURE: [&str; 3] = ["nhrp-wire", "nhrp-config", "nhrp-engine"];
const IMPURE: [&str; 8] = ["tokio", "socket2", "nix", "mio", "rtnetlink", "netlink-sys", "yang5", "tonic"];

fn metadata() -> Value {
    // Crates for other systems need not even be downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Name and dependencies (without those of tests) of every package, by id.
fn graph(metadata: &Value) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeMap<String, String> =
        packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let dependencies = |node: &Value| -> BTreeSet<String> {
        let normal =
            |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
        node["deps"].as_array().unwrap().iter().filter(normal).map(|dep| text(&dep["pkg"])).collect()
    };
    nodes.iter().map(|n| (text(&n["id"]), (names[&text(&n["id"])].clone(), dependencies(n)))).collect()
}

#[test]
fn members_depend_only_on_whom_they_may() {
    let metadata = metadata();
    let graph = graph(&metadata);
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    for id in &members {
        let (name, dependencies) = &graph[*id];
        let rule = RULES.iter().find(|(ruled, _)| ruled == name);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("{name} has no rule: whom may it know?"));
        for dependency in dependencies.iter().filter(|d| members.contains(d.as_str())) {
            let dependency = &graph[dependency].0;
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_protocol_knows_no_sockets() {
    let metadata = metadata();
    let graph = graph(&metadata);
    for pure in PURE {
        let start = graph.iter().find(|(_, (name, _))| name == pure).unwrap().0;
        let (mut seen, mut todo) = (BTreeSet::new(), vec![start.clone()]);
        while let Some(id) = todo.pop() {
            if seen.insert(id.clone()) {
                let (name, dependencies) = &graph[&id];
                assert!(!IMPURE.contains(&name.as_str()), "{pure} depends on {name}");
                todo.extend(dependencies.iter().cloned());
            }
        }
        assert!(seen.len() > 1, "{pure} has dependencies, and none was looked at");
    }
}
