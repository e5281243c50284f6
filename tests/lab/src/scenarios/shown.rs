//! What a node's nhrpd shows of itself: its log, its counters, its memory.

use std::time::Duration;

use super::ask::ask;
use crate::failure::{Context, Result};
use crate::net::Node;

/// Its vty socket, in every node.
pub(super) const VTY: &str = "/run/frr/nhrpd.vty";

/// What it has said so far.
pub(super) fn log(node: &Node) -> Result<String> {
    let path = node.out().join("nhrpd.log");
    std::fs::read_to_string(&path).context(|| format!("reading {}", path.display()))
}

/// A number in `show memory`, by the beginning of its line.
pub(super) fn counter(node: &Node, name: &str) -> Result<u64> {
    let (_, text) = ask(node, VTY, "show memory")?;
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.rsplit(' ').next()).and_then(|word| word.parse().ok());
    number.context(|| format!("no counter of {name} in {text}"))
}

/// The longest turn of the daemon's loop during some work, and what came of that.
pub(super) fn longest_turn<T>(node: &Node, work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    ask(node, VTY, "clear ip nhrp counters")?;
    let done = work()?;
    Ok((Duration::from_micros(counter(node, "longest since counters cleared")?), done))
}

/// Resident memory, kB.
pub(super) fn resident(node: &Node) -> Result<u64> {
    let text = node.sh("cat /proc/$(cat /run/frr/nhrpd.pid)/status")?;
    let number =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")).map(|rest| rest.trim_end_matches("kB"));
    number.and_then(|number| number.trim().parse().ok()).context(|| format!("no VmRSS in {text}"))
}
