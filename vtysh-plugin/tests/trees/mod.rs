//! Root file systems with real FRR, which `NHRPD_TREES` names.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// The one with this release, if any were named. `without`: what is not tested otherwise.
pub(crate) fn tree_of(release: &str, without: &str) -> Option<PathBuf> {
    let Some(trees) = std::env::var_os("NHRPD_TREES") else {
        // Not `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "SKIPPED: NHRPD_TREES is not set, {without}");
        return None;
    };
    let has_release = |tree: &PathBuf| {
        let output =
            Command::new("chroot").arg(tree).args(["/usr/lib/frr/zebra", "--version"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).starts_with(&format!("zebra version {release}"))
    };
    let tree = std::env::split_paths(&trees).find(has_release);
    Some(tree.unwrap_or_else(|| panic!("no FRR {release} in {}", trees.display())))
}
