//! `log commands` writes the same words as FRR's nhrpd about the same lines, from vtysh and by telnet.
//!
//! `NHRPD_TREES` lists root file systems with FRR, separated by colons; needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../vtysh-plugin/tests/trees/mod.rs"]
mod trees;

mod in_a_tree;

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

/// What is logged of connections and commands, without time, message number and descriptor, which are each daemon's own.
fn logged(tree: &Path, daemon: &str) -> Vec<String> {
    let text = with_daemon(tree, daemon, &[], BEFORE, THEN);
    let line = Regex::new(r"(?:vty\[[0-9]+\]|Vty connection)(.*)$").unwrap();
    text.lines().filter_map(|text| Some(line.captures(text)?[1].to_owned())).collect()
}

fn compare(release: &str) {
    let Some(tree) = tree_of(release, &format!("nhrpd of FRR {release} logged nothing")) else { return };
    let theirs = logged(&tree, FRRS);
    assert!(theirs.len() >= 12, "{theirs:?}");
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
