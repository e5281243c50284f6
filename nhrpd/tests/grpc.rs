//! gRPC from the outside: clients in Python, with stubs made of the project's descriptions of the services. One configures
//! the daemon by FRR's and reads it back by the vty; one uses those that FRR does not have.
//!
//! `NHRPD_GRPC_PYTHON=/path/of/python3 cargo test -p nhrpd --test grpc` names a Python with grpcio and grpcio-tools.
//! Needs root, for a network namespace of its own.
#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};

/// Runs a program of the folder `grpc` with the daemon, a description and whatever else it needs.
fn run(program: &str, description: &str, more: &[&Path]) {
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
        .args(more)
        // One of them is a module of the others.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .expect("unshare");
    assert!(status.success());
}

#[test]
fn a_python_client_configures_a_spoke() {
    run("client.py", "frr-northbound.proto", &[]);
}

#[test]
fn a_python_client_types_commands() {
    run("commands.py", "nhrpd-v1.proto", &[]);
}

/// An authority of the moment.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes NAME.crt and NAME.key.
fn issue(folder: &Path, name: &str, authority: &CertifiedIssuer<'_, KeyPair>) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// A folder of certificates: see tls.py.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    std::fs::write(folder.path().join("ca.crt"), ours.pem()).unwrap();
    std::fs::write(folder.path().join("other-ca.crt"), theirs.pem()).unwrap();
    for name in ["hub1", "operator"] {
        issue(folder.path(), name, &ours);
    }
    issue(folder.path(), "stranger", &theirs);
    folder
}

#[test]
fn nhrpctl_compares_and_commits() {
    let program = Path::new(env!("CARGO_BIN_EXE_nhrpd")).with_file_name("nhrpctl");
    let without = Command::new(&program).args(["--grpc", "unix:/nowhere", "get"]).output();
    if without.is_ok_and(|out| String::from_utf8_lossy(&out.stderr).contains("cannot reach")) {
        run("nhrpctl.py", "nhrpd-v1.proto", &[&program, certificates().path()]);
    } else {
        eprintln!("SKIPPED: needs nhrpctl with gRPC; add -p vtysh-plugin --features vtysh-plugin/grpc");
    }
}

#[test]
fn clients_show_certificates() {
    let folder = certificates();
    run("tls.py", "frr-northbound.proto", &[folder.path()]);
}

#[test]
fn python_clients_follow_what_changes() {
    run("follow.py", "nhrpd-v1.proto", &[]);
}

#[test]
fn python_clients_are_told_that_the_daemon_ends() {
    run("shutdown.py", "nhrpd-v1.proto", &[]);
}

#[test]
fn python_clients_that_mean_no_good() {
    run("hostile.py", "frr-northbound.proto", &[]);
}
