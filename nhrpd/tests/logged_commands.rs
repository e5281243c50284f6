//! `log commands` writes the same words as FRR's nhrpd about the same lines, from vtysh and by telnet, as does
//! `--command-log-always`; but no line of the log comes from what was typed.
//!
//! `NHRPD_TREES` lists root file systems with FRR, separated by colons; needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../vtysh-plugin/tests/trees/mod.rs"]
mod trees;

mod in_a_tree;

use std::ffi::OsStr;
use std::path::Path;

use in_a_tree::{FRRS, OURS, with_daemon};
use regex_lite::Regex;
use trees::tree_of;

/// A log of its own, and a password.
const BEFORE: &str = r#"
printf 'hostname r1\npassword zebra\nlog file /var/log/frr/log informational\nlog commands\n' > "$TREE/etc/frr/nhrpd.conf"
touch "$TREE/etc/frr/vtysh.conf"
"#;

/// Lines by vtysh and by telnet, good and bad ones.
const THEN: &str = r#"
sleep 1
chroot "$TREE" vtysh -d nhrpd -c 'show ip nhrp cache' -c 'configure terminal' -c 'interface gre7' \
    -c ' ip nhrp network-id 3' -c ' no ip nhrp  network-id' -c 'exit' -c 'no log commands' -c 'log commands' \
    -c 'end' > /dev/null || true
printf 'interface gre8\n ip nhrp network-id 4\nexit\n' > "$TREE/tmp/lines"
chroot "$TREE" vtysh -d nhrpd -f /tmp/lines > /dev/null || true
python3 - <<'TYPED'
import socket
import time

telnet = socket.create_connection(("127.0.0.1", 2610))
telnet.settimeout(0.3)
for line in (None, "zebra", "show ip nhrp cache", "   show bogus x", "", "!remark", "sh ver | inc x", "exit"):
    if line is not None:
        telnet.send(line.encode() + b"\r\n")
        time.sleep(0.2)
    try:
        telnet.recv(9000)
    except TimeoutError:
        pass
TYPED
cat "$TREE/var/log/frr/log"
"#;

/// Requests on the vty socket, as vtysh frames them, each with its code and text; the file `requests` has them.
const ASK: &str = r#"
python3 - "$TREE" <<'ASKED'
import socket
import sys

vty = socket.socket(socket.AF_UNIX)
vty.connect(sys.argv[1] + "/run/frr/nhrpd.vty")
vty.settimeout(10)
with open(sys.argv[1] + "/etc/frr/requests", "rb") as file:
    requests = file.read().split(b"|")
for request in requests:
    vty.sendall(request + b"\0")
    answer = b""
    while not (len(answer) >= 4 and answer[-4:-1] == b"\0\0\0"):
        part = vty.recv(65536)
        assert part, answer
        answer += part
    print(request, answer[-1], answer[:-4].decode())
ASKED
"#;

/// What is logged of connections and commands, without time, message number and descriptor, which are each daemon's own.
fn logged(tree: &Path, daemon: &str) -> Vec<String> {
    let text = with_daemon(tree, daemon, &[], BEFORE, THEN);
    let line = Regex::new(r"(?:vty\[[0-9]+\]|Vty connection)(.*)$").unwrap();
    text.lines().filter_map(|text| Some(line.captures(text)?[1].to_owned())).collect()
}

fn compare(release: &str) {
    let Some(tree) = tree_of(release, &format!("nhrpd of FRR {release} logged nothing")) else { return };
    let theirs = logged(&tree, FRRS);
    assert!(theirs.len() >= 15, "{theirs:?}");
    assert_eq!(theirs, logged(&tree, OURS), "FRR's first");
}

#[test]
fn as_the_nhrpd_of_8_4() {
    compare("8.4");
}

#[test]
fn as_the_nhrpd_of_10_3() {
    compare("10.3");
}

#[test]
fn as_the_nhrpd_of_10_7() {
    compare("10.7");
}

/// The option says it for good: `log commands` is in the running configuration, and `no` is refused.
fn always(tree: &Path, daemon: &str) -> String {
    let before = r#"
printf 'hostname r1\n' > "$TREE/etc/frr/nhrpd.conf"
touch "$TREE/etc/frr/vtysh.conf"
printf 'enable|show running-config|configure terminal|no log commands|do show running-config|log commands|end' \
    > "$TREE/etc/frr/requests"
"#;
    with_daemon(tree, daemon, &[("OPTIONS", OsStr::new("--command-log-always"))], before, ASK)
}

fn compare_always(release: &str) {
    let Some(tree) = tree_of(release, &format!("--command-log-always of FRR {release} was not seen")) else {
        return;
    };
    let theirs = always(&tree, FRRS);
    assert_eq!(theirs.lines().filter(|line| *line == "log commands").count(), 2, "{theirs}");
    assert!(theirs.contains("permanent logging"), "{theirs}");
    assert_eq!(theirs, always(&tree, OURS), "FRR's first");
}

#[test]
fn always_as_with_the_nhrpd_of_8_4() {
    compare_always("8.4");
}

#[test]
fn always_as_with_the_nhrpd_of_10_3() {
    compare_always("10.3");
}

#[test]
fn always_as_with_the_nhrpd_of_10_7() {
    compare_always("10.7");
}

/// FRR's nhrpd writes a request with a line feed as two lines, the second in whatever words were sent.
#[test]
fn a_request_forges_no_line() {
    let Some(tree) = tree_of("10.3", "no request with a line feed was logged") else { return };
    let before = format!(
        "{BEFORE}
printf 'enable|show ip nhrp cache\\n2026/01/01 00:00:00 NHRP: forged\\r\\033[2Jand gone' > \"$TREE/etc/frr/requests\""
    );
    // The answer quotes the request as it was.
    let then = format!("sleep 1\n{ASK}\necho THE LOG\ncat \"$TREE/var/log/frr/log\"");
    let text = with_daemon(&tree, OURS, &[], &before, &then);
    let log = text.split_once("THE LOG\n").map_or("", |(_, log)| log);
    assert!(
        log.contains(r"show ip nhrp cache\n2026/01/01 00:00:00 NHRP: forged\r\u{1b}[2Jand gone"),
        "{text}"
    );
    assert!(!log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("2026/01/01")), "{text}");
}
