//! charon and nhrpd end, cleanly or not, on the hub and on a spoke, and come back: nothing leaves in clear meanwhile, what
//! the kernel protects goes on, and what was lost is there again in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::running_ping::RunningPing;
use super::{Encrypted, IKE_SA_INIT, REGISTER};
use crate::dmvpn::{Shape, nbma, now, overlay, text, took};
use crate::failure::{Result, ensure};
use crate::scenarios::{Lab, RESOLVE};

/// A peer that is dead is noticed after 5 s (`dpd_delay`) and four transmissions (14 s); negotiating takes its time here.
const NOTICED: Duration = Duration::from_secs(40);

/// Between echo requests.
const EVERY: Duration = Duration::from_millis(200);

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    // The tunnel's prefix has a route of its own: those of nhrpd go with it when it is killed.
    let shape = Shape { overlay_length: 24, ..Shape::default() };
    let mut net = Encrypted::with_shortcut(lab, shape)?;
    let hub = overlay("hub")?.to_string();
    let from_s1 = RunningPing::start(net.dmvpn.node("s1")?, "ping-all-the-time", &hub, EVERY)?;

    killed_on_the_hub(lab, &mut net)?;
    for node in ["hub", "s1"] {
        stopped(lab, &mut net, node)?;
    }
    net.make_shortcut()?;
    for node in ["s1", "hub"] {
        our_own_crash(lab, &mut net, node)?;
    }

    let pings = from_s1.stop()?;
    let esp = net.nothing_in_clear()?;
    ensure!(esp > 100 && pings.received > 50, "only {esp} ESP packets, {pings:?}");
    lab.note(format!("{esp} ESP packets and no GRE in all of this"));
    Ok(())
}

/// Killed, and down for less than the hold-down: what was learned stays, and packets flow. Then it is back without
/// memory, which the spokes notice by dead peer detection, or by its own attempt.
fn killed_on_the_hub(lab: &mut Lab, net: &mut Encrypted) -> Result<()> {
    let hub = overlay("hub")?.to_string();
    net.charon("hub")?.stop(Signal::SIGKILL)?;
    let during = RunningPing::start(net.dmvpn.node("s2")?, "ping-charon-killed", &hub, EVERY)?;
    net.wait_said("hub", "show nhrp ipsec", &["Mode: down"], RESOLVE)?;
    std::thread::sleep(Duration::from_secs(4));
    for spoke in ["s1", "s2"] {
        ensure!(
            net.dmvpn.registration(spoke)?.is_some(),
            "the hub has forgotten {spoke} while charon was down"
        );
    }
    let pings = during.stop()?;
    ensure!(pings.lost == 0, "while charon was down on the hub: {pings:?}");

    net.charon("hub")?.start()?;
    let back = Instant::now();
    for spoke in ["s1", "s2"] {
        net.wait_listed("hub", spoke, NOTICED)?;
        net.wait_reaches(spoke, "hub", NOTICED)?;
    }
    net.dmvpn.wait_registered(NOTICED)?;
    lab.note(format!("charon killed on the hub and back: all registered after {}", took(back)));
    Ok(())
}

/// A clean stop ends the SAs on both sides: the tunnel stays silent until charon is there again.
fn stopped(lab: &mut Lab, net: &mut Encrypted, node: &str) -> Result<()> {
    net.charon(node)?.stop(Signal::SIGTERM)?;
    net.wait_said("s1", "show ip nhrp nhs detail", &["waiting for IPsec with"], NOTICED)?;
    ensure!(!net.reaches("s1", "hub")?, "s1 reaches the hub without charon on {node}");
    let policies = net.dmvpn.node(node)?.sh("ip xfrm policy")?;
    ensure!(policies.matches("action block").count() == 4, "policies of {node}: {policies}");
    net.charon(node)?.start()?;
    let back = Instant::now();
    net.wait_listed("s1", "hub", NOTICED)?;
    net.dmvpn.wait_registered(NOTICED)?;
    net.wait_reaches("s1", "hub", RESOLVE)?;
    lab.note(format!("stopped on {node} and back: registered after {}", took(back)));
    Ok(())
}

/// nhrpd is killed: neighbours and SAs stay, packets flow, and its next life takes over what it finds.
fn our_own_crash(lab: &mut Lab, net: &mut Encrypted, node: &str) -> Result<()> {
    let other = if node == "hub" { "s1" } else { "hub" };
    let before = net.wait_up(node, other, RESOLVE)?;
    let since = now()?;
    let target = overlay(other)?.to_string();
    let during = RunningPing::start(net.dmvpn.node(node)?, "ping-nhrpd-killed", &target, EVERY)?;
    let frr = net.dmvpn.frr(node)?;
    frr.stop_nhrpd(Signal::SIGKILL)?;
    std::thread::sleep(Duration::from_secs(1));
    frr.start_nhrpd()?;
    frr.load(Some("nhrpd"))?;
    let back = Instant::now();
    let after = net.wait_up(node, other, REGISTER)?;
    net.dmvpn.wait_registered(REGISTER)?;
    lab.note(format!("nhrpd killed on {node} and back: registered after {}", took(back)));
    ensure!(after == before, "SAs of {node} with {other} before {before:?} and after {after:?}");
    let pings = during.stop()?;
    ensure!(pings.lost == 0 && pings.received > 5, "while nhrpd was killed on {node}: {pings:?}");
    let begun = net.captured(IKE_SA_INIT)?.into_iter().filter(|at| *at >= since).count();
    ensure!(begun == 0, "{begun} negotiations after nhrpd was killed on {node}, which has SAs");
    let neighbours = net.dmvpn.node(node)?.sh("ip neigh show dev gre1")?;
    let row = |line: &str| line.starts_with(&target) && line.contains("PERMANENT");
    ensure!(
        neighbours.lines().any(row) && neighbours.contains(&nbma(other)?.to_string()),
        "neighbours of {node}: {neighbours}"
    );
    let peer = net.peer(node, other)?;
    ensure!(text(&peer, "state") == "up", "{node} says of {other}: {peer}");
    Ok(())
}
