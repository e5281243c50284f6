//! gRPC from the outside: clients in Python, with stubs made of the project's descriptions of the services. One configures
//! the daemon by FRR's and reads it back by the vty; one uses those that FRR does not have.
//!
//! `NHRPD_GRPC_PYTHON=/path/of/python3 cargo test -p nhrpd --test grpc` names a Python with grpcio and grpcio-tools.
//! Needs root, for a network namespace of its own.
#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

/// Runs a program of the folder `grpc` with the daemon and a description.
fn run(program: &str, description: &str) {
    let python = std::env::var_os("NHRPD_GRPC_PYTHON").unwrap_or_else(|| "python3".into());
    let has_grpc = Command::new(&python).args(["-c", "import grpc, grpc_tools"]).output();
    if !has_grpc.is_ok_and(|output| output.status.success()) || !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: needs root, and NHRPD_GRPC_PYTHON with grpcio and grpcio-tools");
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(&python)
        .arg(here.join("tests/grpc").join(program))
        .arg(env!("CARGO_BIN_EXE_nhrpd"))
        .arg(here.join("../yang/northbound/proto").join(description))
        // One of them is a module of the others.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .expect("unshare");
    assert!(status.success());
}

#[test]
fn a_python_client_configures_a_spoke() {
    run("client.py", "frr-northbound.proto");
}

#[test]
fn a_python_client_types_commands() {
    run("commands.py", "nhrpd-v1.proto");
}

#[test]
fn python_clients_follow_what_changes() {
    run("follow.py", "nhrpd-v1.proto");
}
