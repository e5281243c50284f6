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

mod in_a_tree;

use std::collections::BTreeMap;
use std::path::Path;

use in_a_tree::{FRRS, OURS, with_daemon};
use trees::tree_of;

/// What to ask, and files that the daemon reads.
const BEFORE: &str = r#"
cp "$FILES/ask.py" "$FILES/masks.txt" "$COMMANDS" "$TREE/run/"
touch "$TREE/etc/frr/frr.conf" "$TREE/etc/frr/vtysh.conf"
"#;

/// Asks it all that there is for `$RELEASE`.
const THEN: &str = r#"
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
    let (files, commands) =
        (here.join("tests/every_command"), here.join("../vtysh-plugin/tests/forwarded/commands.txt"));
    let variables =
        [("FILES", files.as_os_str()), ("COMMANDS", commands.as_os_str()), ("RELEASE", release.as_ref())];
    let text = with_daemon(tree, daemon, &variables, BEFORE, THEN);
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
    let theirs = answers(&tree, release, FRRS);
    let ours = answers(&tree, release, OURS);
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
