//! Two spokes behind one translated address, which are one peer to transport mode: tunnels between addresses of their own,
//! which nobody else routes, make two of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::translators::translate;
use super::{Encrypted, NODES, REGISTER};
use crate::charon::Profile;
use crate::dmvpn::{Shape, overlay, text, took};
use crate::failure::{Result, ensure};
use crate::net::wait_until;
use crate::scenarios::{Lab, RESOLVE};

/// What both are seen as.
const SEEN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Addresses that tunnels begin at, in the order of [`NODES`].
const INNER: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2), Ipv4Addr::new(198, 18, 0, 3)];

/// The profiles of docs/ipsec.md.
fn profile(node: &str) -> Profile {
    let (connection, child) = match node {
        "hub" => (
            "",
            "mode = tunnel
             local_ts = 198.18.0.1/32[gre]
             remote_ts = 198.18.0.0/16[gre]",
        ),
        "s1" => (
            "remote_addrs = 192.0.2.2",
            "mode = tunnel
             local_ts = 198.18.0.2/32[gre]
             remote_ts = 198.18.0.1/32[gre]",
        ),
        _ => (
            "remote_addrs = 192.0.2.2",
            "mode = tunnel
             local_ts = 198.18.0.3/32[gre]
             remote_ts = 198.18.0.1/32[gre]",
        ),
    };
    Profile { connection, child, ..Profile::default() }
}

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab, Shape::default(), |node| Ok(profile(node)))?;
    translate(&net.dmvpn, &[("s1", SEEN), ("s2", SEEN)])?;
    let [hub, first, second] = INNER;
    for (node, inner) in NODES.iter().zip(INNER) {
        net.dmvpn.node(node)?.sh(&format!(
            "ip address add {inner}/32 dev lo
             ip tunnel change gre1 mode gre key 42 ttl 64 local {inner} dev eth0"
        ))?;
        if *node != "hub" {
            let lines = ["no ip nhrp nhs dynamic nbma 192.0.2.2", &format!("ip nhrp nhs dynamic nbma {hub}")];
            net.dmvpn.frr(node)?.configure_tunnel(&lines)?;
        }
    }
    // Without charon there is no way. The hub's address has a route, so that a packet in clear would leave and be counted.
    for spoke in ["s1", "s2"] {
        ensure!(!net.reaches(spoke, "hub")?, "{spoke} reaches the hub without charon");
    }

    let answers = net.start_charons()?;
    for (spoke, inner) in [("s1", first), ("s2", second)] {
        let inner = inner.to_string();
        wait_until(&format!("{spoke} at the hub as {inner}"), REGISTER, || {
            match net.dmvpn.registration(spoke) {
                Ok(Some(row)) if text(&row, "nbma") == inner => Ok(()),
                other => Err(format!("{other:?}; {:?}", net.asked(spoke, "show nhrp ipsec"))),
            }
        })?;
        net.wait_reaches(spoke, "hub", RESOLVE)?;
    }
    lab.note(format!("both registered {} after charon answered", took(answers)));
    // An IKE SA's line on the hub is "remote '192.0.2.6' @ 203.0.113.1[4500]".
    let listed = net.dmvpn.node("hub")?.sh("swanctl --list-sas")?;
    let from_there = listed.matches(&format!("@ {SEEN}[")).count();
    ensure!(from_there == 2, "{from_there} IKE SAs with {SEEN}: {listed}");

    // Neither is sent what is the other's, and a tunnel to the hub is no way to anybody else.
    let received = net.dmvpn.ping("s1", "s2", 40, Duration::from_millis(200))?;
    ensure!(received >= 39, "{received} of 40 echo replies by way of the hub");
    let hops = net.dmvpn.trace("s1", "s2")?;
    ensure!(
        hops.len() == 2 && hops.first() == Some(&Some(overlay("hub")?)),
        "the path from s1 to s2: {hops:?}"
    );
    net.wait_said("s1", "show nhrp ipsec", &["which is not 198.18.0.3"], RESOLVE)?;
    // What is up ends with charon, and nothing takes its place.
    net.stop_charons(Signal::SIGTERM)?;
    for spoke in ["s1", "s2"] {
        ensure!(!net.reaches(spoke, "hub")?, "{spoke} reaches the hub although charon has ended");
    }
    let answers = net.start_charons()?;
    for spoke in ["s1", "s2"] {
        net.wait_reaches(spoke, "hub", REGISTER + RESOLVE)?;
    }
    lab.note(format!("both back {} after charon answered again", took(answers)));
    net.nothing_in_clear()?;
    let carried = net.captured("udp port 4500")?.len();
    ensure!(carried > 100, "only {carried} packets of ESP in UDP");
    Ok(())
}
