//! Questions that scenarios ask of a hub with a crowd.
//!
//! Owns how they are asked. Never asserts what a scenario is about.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::dmvpn::Dmvpn;
use crate::failure::{Context, Result};

/// How many hosts are pinged at the same time.
const AT_ONCE: usize = 8;

/// An entry of the kernel's neighbour table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// Overlay address.
    pub(crate) address: Ipv4Addr,
    /// Its state as `ip neigh` names it.
    pub(crate) state: String,
    /// Whether it was written by an nhrpd or for one.
    pub(crate) of_nhrp: bool,
}

/// Sends one echo request from the hub to each; returns who answered.
pub(crate) fn answering(dmvpn: &Dmvpn, targets: &[Ipv4Addr]) -> Result<Vec<Ipv4Addr>> {
    let mut answered = Vec::new();
    for group in targets.chunks(AT_ONCE) {
        let names = group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let script = format!(
            "for target in {names}; do ping -n -c 1 -W 4 $target > /dev/null 2>&1 && echo $target & done; wait"
        );
        let said = dmvpn.node("hub")?.sh(&script)?;
        answered.extend(said.lines().filter_map(|line| line.parse::<Ipv4Addr>().ok()));
    }
    Ok(answered)
}

/// The neighbours on the hub's tunnel.
pub(crate) fn neighbours(dmvpn: &Dmvpn) -> Result<Vec<Neighbour>> {
    let text = dmvpn.node("hub")?.sh("ip -json -4 neigh show dev gre1 nud all")?;
    let rows: Vec<Value> = serde_json::from_str(&text).context(|| "ip -json neigh".to_owned())?;
    let neighbour = |row: &Value| {
        let states = row.get("state").and_then(Value::as_array).into_iter().flatten();
        Some(Neighbour {
            address: row.get("dst")?.as_str()?.parse().ok()?,
            state: states.filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            of_nhrp: row
                .get("protocol")
                .and_then(Value::as_str)
                .is_some_and(|name| name == "nhrp" || name == "191"),
        })
    };
    rows.iter().map(|row| neighbour(row).context(|| format!("ip -json neigh: {row}"))).collect()
}

/// `3000 PERMANENT, 1 NOARP`.
pub(crate) fn states(neighbours: &[Neighbour]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for neighbour in neighbours {
        *counts.entry(&neighbour.state).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// How many spokes the hub's `show ip nhrp cache` has.
pub(crate) fn registered(dmvpn: &mut Dmvpn) -> Result<usize> {
    let rows = dmvpn.frr("hub")?.table("show ip nhrp cache json")?;
    Ok(rows.iter().filter(|row| row.get("type").and_then(Value::as_str) == Some("dynamic")).count())
}

/// Memory that the hub's nhrpd occupies, in octets.
pub(crate) fn resident(dmvpn: &Dmvpn) -> Result<u64> {
    let text = dmvpn.node("hub")?.sh("grep VmRSS /proc/$(cat /run/frr/nhrpd.pid)/status")?;
    let kilobytes = text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    Ok(kilobytes.context(|| format!("VmRSS: {text}"))? * 1024)
}
