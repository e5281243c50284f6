//! FRR's own query script, out of FRR's source tree, asks this daemon; and the daemon serves with the YANG modules that
//! FRR has installed.
//!
//! `NHRPD_FRR_TREE=/path/of/frr` is FRR's source, `NHRPD_GRPC_PYTHON` a Python with grpcio, grpcio-tools and pytest,
//! `NHRPD_TREES` root file systems with FRR. Needs root, for a network namespace of its own.
#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../vtysh-plugin/tests/trees/mod.rs"]
mod trees;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

/// Starts `$NHRPD` with `$OPTIONS`, and does what `$WHAT` says when it is there.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
folder=$(mktemp -d)
trap 'kill $daemon; wait $daemon || true; rm -r "$folder"' EXIT
printf '%s\n' 'interface gre1' ' tunnel source eth0' ' ip nhrp network-id 1' ' ip nhrp holdtime 77' ' ip nhrp nhs 10.255.255.1 nbma 192.0.2.1' exit > "$folder/nhrpd.conf"
"$NHRPD" --vty_socket "$folder" -i "$folder/pid" -z "$folder/zebra" -f "$folder/nhrpd.conf" -u root -g root -P 0 \
    --vici-socket "$folder/vici" --zebra-release 10.3 -M grpc:50999 $OPTIONS > "$folder/log" 2>&1 &
daemon=$!
for _ in $(seq 200); do [ -S "$folder/nhrpd.vty" ] && break; sleep 0.05; done
cd "$folder"
(eval "$WHAT") || { cat "$folder/log"; exit 1; }
"#;

fn skipped(why: &str) {
    // Not `eprintln!`, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

fn with_a_daemon(options: &str, what: &str) -> Output {
    Command::new("unshare")
        .args(["--net", "bash", "-c", SCRIPT])
        .env("NHRPD", env!("CARGO_BIN_EXE_nhrpd"))
        .env("OPTIONS", options)
        .env("WHAT", what)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn frrs_query_script_is_answered() {
    let (Some(tree), Some(python)) =
        (std::env::var_os("NHRPD_FRR_TREE"), std::env::var_os("NHRPD_GRPC_PYTHON"))
    else {
        return skipped("NHRPD_FRR_TREE and NHRPD_GRPC_PYTHON are not set, FRR's query script asked nothing");
    };
    let script = Path::new(&tree).join("tests/topotests/lib/grpc-query.py");
    let python = Path::new(&python);
    // The script calls another `python3`, by that name.
    let ask = format!(
        "PATH={}:$PATH {} {} -s 127.0.0.1 -p 50999 GETCAP GET-CONFIG,/frr-interface:lib GET-STATE,/frr-interface:lib",
        python.parent().unwrap_or(Path::new("/")).display(),
        python.display(),
        script.display()
    );
    let text = said(&with_a_daemon("", &ask));
    for wanted in ["name: \"frr-nhrpd\"", "\"name\":", "gre1", "\"holdtime\":", "77", "\"registration\""] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
    let xml = said(&with_a_daemon("", &format!("{ask} --xml")));
    assert!(xml.contains("<holdtime>77</holdtime>"), "{xml}");
}

/// Modules of the same name are FRR's then, and ours, which augments them, has to go with them.
fn serves_with_the_modules_of(release: &str) {
    let Some(tree) = trees::tree_of(release, &format!("no modules of FRR {release} were loaded")) else {
        return;
    };
    let modules = tree.join("usr/share/yang");
    assert!(modules.join("frr-interface.yang").exists());
    let ready = "for _ in $(seq 100); do grep -q . /proc/net/tcp && (: < /dev/tcp/127.0.0.1/50999) 2> /dev/null && exit 0; \
                 sleep 0.05; done; exit 1";
    said(&with_a_daemon(&format!("--yang-dir {}", modules.display()), ready));
}

#[test]
fn frr_8_4s_modules_are_served() {
    serves_with_the_modules_of("8.4");
}

#[test]
fn frr_10_3s_modules_are_served() {
    serves_with_the_modules_of("10.3");
}

#[test]
fn frr_10_7s_modules_are_served() {
    serves_with_the_modules_of("10.7");
}
