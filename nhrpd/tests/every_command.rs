//! Every command that a release's vtysh passes on, asked of FRR's nhrpd and of this one: the same code and the same text,
//! also for what is cut short, incomplete, or has a word too many.
//!
//! `NHRPD_TREES` lists root file systems with FRR, separated by colons; needs root. Each daemon runs in a tree, in mount and
//! network namespaces of its own; everything written goes to tmpfs mounts in them. What the lines are is
//! `every_command/ask.py`'s, what may differ `every_command/masks.txt`'s alone. There are no peers: tables with entries are
//! compared by the lab's `vtysh_speaks_to_it`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../vtysh-plugin/tests/trees/mod.rs"]
mod trees;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use trees::tree_of;

/// Starts the program `$DAEMON` of the tree, or a copy of ours, and asks it all that there is for `$RELEASE`.
const SCRIPT: &str = r#"
set -eu
mount --make-rprivate /
for place in run etc/frr tmp var/log; do mount -t tmpfs tmpfs "$TREE/$place"; done
mount --bind /proc "$TREE/proc"
mkdir -p "$TREE/run/frr" "$TREE/var/log/frr"
chroot "$TREE" chown -R frr:frr /run/frr /etc/frr /var/log/frr
ip link set lo up
cp "$FILES/ask.py" "$FILES/masks.txt" "$COMMANDS" "$TREE/run/"
cp "$OURS" "$TREE/run/nhrpd-ours"
touch "$TREE/etc/frr/frr.conf" "$TREE/etc/frr/vtysh.conf"
chroot "$TREE" "$DAEMON" -A 127.0.0.1 --log stdout --log-level debugging > /dev/null 2>&1 &
daemon=$!
trap 'kill $daemon' EXIT
for _ in $(seq 200); do [ -S "$TREE/run/frr/nhrpd.vty" ] && break; sleep 0.05; done
for what in tables all; do
    chroot "$TREE" timeout 200 python3 /run/ask.py "$RELEASE" /run/commands.txt /run/masks.txt $what
done
"#;

/// Fewer lines than this would mean that the list was not read.
const LEAST: usize = 2000;

/// How a line was made, in which node it was asked, and the line; and code and text of the answer.
type Answers = BTreeMap<String, String>;

fn answers(tree: &Path, release: &str, daemon: &str) -> Answers {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("unshare")
        .args(["--mount", "--net", "bash", "-c", SCRIPT])
        .env("TREE", tree)
        .env("RELEASE", release)
        .env("DAEMON", daemon)
        .env("FILES", here.join("tests/every_command"))
        .env("COMMANDS", here.join("../vtysh-plugin/tests/forwarded/commands.txt"))
        .env("OURS", env!("CARGO_BIN_EXE_nhrpd"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "asking {daemon} of FRR {release} ended with {}: {errors}",
        output.status
    );
    text.lines()
        .map(|line| {
            // No line that is asked has a bar between blanks.
            let at = line.match_indices(" | ").nth(2).unwrap_or_else(|| panic!("not understood: {line}")).0;
            (line[..at].to_owned(), line[at + 3..].to_owned())
        })
        .collect()
}

fn compare(release: &str) {
    let without = format!("nhrpd of FRR {release} was not asked");
    let Some(tree) = tree_of(release, &without) else { return };
    let theirs = answers(&tree, release, "/usr/lib/frr/nhrpd");
    let ours = answers(&tree, release, "/run/nhrpd-ours");
    assert!(theirs.len() >= LEAST, "only {} lines were asked", theirs.len());
    assert_eq!(theirs.len(), ours.len());
    let differences: Vec<String> = theirs
        .iter()
        // What is ambiguous to one daemon is so to vtysh, which knows the commands of all, and goes no further.
        .filter(|(asked, said)| !(asked.starts_with("short | ") && said.starts_with("'3 ")))
        .filter(|(asked, said)| ours.get(*asked) != Some(said))
        .map(|(asked, said)| format!("{asked}\n  FRR's nhrpd {said}\n  this one    {:?}", ours.get(asked)))
        .collect();
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn frr_8_4_is_answered_alike() {
    compare("8.4");
}

#[test]
fn frr_10_3_is_answered_alike() {
    compare("10.3");
}

#[test]
fn frr_10_7_is_answered_alike() {
    compare("10.7");
}
