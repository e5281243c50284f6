//! What a node's nhrpd shows of itself: its log, its counters, its memory.

use super::ask::ask;
use crate::failure::{Context, Result};
use crate::net::Node;

/// What it has said so far.
pub(super) fn log(node: &Node) -> Result<String> {
    let path = node.out().join("nhrpd.log");
    std::fs::read_to_string(&path).context(|| format!("reading {}", path.display()))
}

/// A number in `show memory`, by the beginning of its line.
pub(super) fn counter(node: &Node, name: &str) -> Result<u64> {
    let (_, text) = ask(node, "/run/frr/nhrpd.vty", "show memory")?;
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.rsplit(' ').next()).and_then(|word| word.parse().ok());
    number.context(|| format!("no counter of {name} in {text}"))
}

/// Resident memory, kB.
pub(super) fn resident(node: &Node) -> Result<u64> {
    let text = node.sh("cat /proc/$(cat /run/frr/nhrpd.pid)/status")?;
    let number =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")).map(|rest| rest.trim_end_matches("kB"));
    number.and_then(|number| number.trim().parse().ok()).context(|| format!("no VmRSS in {text}"))
}
