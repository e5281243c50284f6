//! A profile whose selectors carry the tunnel's key: SAs are for GRE with that key, shortcuts have them too, and a tunnel
//! with another key between the same addresses is neither let through nor heard in clear.
//!
//! charon knows ports and no keys. The kernel takes the upper half of a key for the source port and the lower half for the
//! destination port, of packets in either direction, so a key has to have equal halves.

use super::{Encrypted, NODES, REGISTER, STATIC_HUB};
use crate::charon::Profile;
use crate::dmvpn::{Shape, nbma};
use crate::failure::{Result, ensure};
use crate::scenarios::Lab;

/// As charon has it, and as `ip` has it.
const PORT: &str = "gre/42";
const KEY: &str = "0.42.0.42";
/// The same as a number, as `ip xfrm` shows it.
const NUMBER: u32 = (42 << 16) | 42;

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let profile = Profile { selector: PORT, ..Profile::default() };
    let mut net = Encrypted::start(lab, Shape::default(), |_| Ok(profile.clone()))?;
    for node in NODES {
        let change = format!("ip link change gre1 type gre key {KEY} ttl 64 local {} dev eth0", nbma(node)?);
        net.dmvpn.node(node)?.sh(&change)?;
    }
    net.start_charons()?;
    net.dmvpn.wait_registered(REGISTER)?;
    net.make_shortcut()?;
    for (node, other) in [("s1", "hub"), ("s1", "s2")] {
        let policies = net.dmvpn.node(node)?.sh("ip xfrm policy")?;
        let wanted = format!("src {}/32 dst {}/32 proto gre key {NUMBER}", nbma(node)?, nbma(other)?);
        ensure!(policies.contains(&wanted), "no policy '{wanted}': {policies}");
        ensure!(net.sas(node, other)?.len() == 1, "{node} does not count the SA with {other} as one for GRE");
    }
    lab.note(format!("registered and a shortcut, by SAs for GRE with key {KEY} alone"));

    net.make_static_tunnel()?;
    let other = net.dmvpn.node("s1")?.run(&["ping", "-n", "-c", "3", "-i", "0.3", "-W", "1", STATIC_HUB])?;
    ensure!(other.status != 0, "a tunnel with another key was let through: {}", other.stdout);
    ensure!(net.reaches("s1", "hub")?, "the tunnel with the key does not reach the hub any more");
    let esp = net.nothing_in_clear()?;
    ensure!(esp > 20, "only {esp} ESP packets");
    Ok(())
}
