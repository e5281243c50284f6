//! Registration, shortcut and redirect behind `tunnel protection`, and no GRE in clear before, during and after.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Encrypted, NODES, REGISTER};
use crate::charon::Profile;
use crate::dmvpn::{Shape, nbma, overlay, took};
use crate::failure::{Result, ensure};
use crate::net::wait_until;
use crate::scenarios::{Lab, RESOLVE};

/// What a run of all has time for.
pub(in crate::scenarios) fn in_short(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::with_shortcut(lab, Shape::default())?;
    let hops = net.dmvpn.trace("s1", "s2")?;
    ensure!(hops.len() == 1, "the path from s1 to s2: {hops:?}");
    let esp = net.nothing_in_clear()?;
    ensure!(esp > 10, "only {esp} ESP packets");
    lab.note(format!("{esp} ESP packets, no GRE"));
    Ok(())
}

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab, Shape::default(), |_| Ok(Profile::default()))?;

    // Without charon: configured, not running, nothing in clear.
    let tried =
        net.dmvpn.node("s1")?.run(&["ping", "-n", "-c", "2", "-W", "1", &overlay("hub")?.to_string()])?;
    ensure!(tried.status != 0, "the hub answered without IPsec");
    let policies = net.dmvpn.node("s1")?.sh("ip xfrm policy")?;
    ensure!(policies.matches("action block").count() == 4, "policies of s1 without charon: {policies}");

    let waits = format!("waiting for IPsec with {}: charon is not reached: ", nbma("hub")?);
    let standing = net.asked("s1", "show ip nhrp nhs detail")?;
    ensure!(standing.contains(&waits), "s1 does not say {waits}: {standing}");

    let answers = net.start_charons()?;
    net.dmvpn.wait_registered(REGISTER)?;
    let standing = net.asked("s1", "show ip nhrp nhs detail")?;
    ensure!(standing.contains("registered since") && !standing.contains("IPsec"), "s1 says {standing}");
    let shown = net.asked("s1", "show nhrp ipsec")?;
    let (own, hub) = (nbma("s1")?.to_string(), nbma("hub")?.to_string());
    let up = |line: &str| line.starts_with(&own) && line.contains(&hub) && line.contains(" up ");
    ensure!(shown.contains("Mode: stock") && shown.lines().any(up), "s1 says of IPsec: {shown}");
    lab.note(format!("registered {} after charon answered", took(answers)));

    // The hub redirects, the spokes find each other and have an SA of their own.
    let received = net.dmvpn.ping("s1", "s2", 10, Duration::from_millis(300))?;
    ensure!(received >= 8, "{received} of 10 echo replies while the path became direct");
    net.dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    net.wait_installed("s1", "s2")?;
    let hops = net.dmvpn.trace("s1", "s2")?;
    ensure!(hops.len() == 1, "the path from s1 to s2: {hops:?}");

    // charon dies on a spoke and comes back.
    let s1 = net.charon("s1")?;
    s1.stop(Signal::SIGKILL)?;
    s1.start()?;
    let back = Instant::now();
    net.wait_listed("s1", "hub", REGISTER + RESOLVE)?;
    lab.note(format!("a new SA with the hub {} after charon was restarted", took(back)));
    ensure!(net.reaches("s1", "hub")?, "s1 has a new SA with the hub and does not reach it");

    let esp = net.nothing_in_clear()?;
    ensure!(esp > 20, "only {esp} ESP packets");
    lab.note(format!("{esp} ESP packets, no GRE"));

    // The same filter sees GRE where it is not protected, and nothing of ours is left that blocks it.
    unprotect(&mut net)
}

/// `no tunnel protection` everywhere: the tunnels work, in clear.
fn unprotect(net: &mut Encrypted) -> Result<()> {
    net.stop_charons(Signal::SIGTERM)?;
    for node in NODES {
        net.dmvpn.frr(node)?.configure_tunnel(&["no tunnel protection"])?;
    }
    let policies = net.dmvpn.node("s1")?.sh("ip xfrm policy")?;
    ensure!(!policies.contains("action block"), "policies of s1 without protection: {policies}");
    // What the killed charon left.
    net.dmvpn.node("s1")?.sh("ip xfrm state flush; ip xfrm policy flush")?;
    wait_until("s1 to reach the hub in clear", RESOLVE, || match net.reaches("s1", "hub") {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let clear = net.dmvpn.captured("ip proto 47")?.len();
    ensure!(clear > 0, "the filter for GRE in clear matches nothing without protection either");
    Ok(())
}
