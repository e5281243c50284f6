//! Phase 2: the hub's BGP reflects routes with the next hop of the spoke that announced them, the tunnel's prefix
//! covers that address, and the kernel has to find out where it is.
//!
//! FRR's nhrpd up to 10.7 ignores the kernel's question for an address that it does not know, so it is always a spoke
//! of ours that sends the first packet. FRR's answers, and forwards, like ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, lan, nbma, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::mix::Kind;
use crate::net::wait_until;

/// Longest time until BGP has told everybody everything, from the registrations on.
const BGP: Duration = Duration::from_secs(30);

/// An address in the tunnel's prefix that no spoke has.
const NOBODY: &str = "10.255.255.77";

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let (from, to) = if lab.mix().of("s1") == Kind::Ours { ("s1", "s2") } else { ("s2", "s1") };
    let mut blocks = vec![("hub".to_owned(), reflector(""))];
    for spoke in ["s1", "s2"] {
        let mut block = client(spoke)?;
        if lab.mix().of(spoke) == Kind::Frr {
            // Its tunnel address covers nobody else's: until others are resolved they lie behind the hub.
            block.push_str(&format!("ip route 10.255.255.0/24 {}\n", overlay("hub")?));
        }
        blocks.push((spoke.to_owned(), block));
    }
    let mut dmvpn = lab.dmvpn(Shape {
        redirect: false,
        static_routes: false,
        overlay_length: 24,
        daemons: &["bgpd"],
        blocks,
        ..Shape::default()
    })?;
    dmvpn.wait_registered(REGISTER)?;
    let preserved = format!("via {} ", overlay(to)?);
    wait_route(&dmvpn, from, to, &preserved)?;
    wait_route(&dmvpn, to, from, "proto bgp")?;

    let seconds = first_packets(&dmvpn, from, to)?;
    lab.note(format!("first echo {:.0} ms after it was sent", seconds * 1000.0));
    if lab.mix().of(to) == Kind::Ours {
        // What the request taught the other side serves the way back.
        ensure!(dmvpn.is_direct(to, from)?, "{to} answers through the hub");
    }
    unresolvable(&dmvpn, from)?;
    let wire = dmvpn.finish(&[(Type::ResolutionRequest, 2), (Type::ResolutionReply, 1)])?;
    ensure!(wire.of(Type::TrafficIndication).next().is_none(), "somebody was redirected");
    Ok(())
}

/// bgpd of the hub: a route reflector for whoever comes from the overlay.
pub(super) fn reflector(more: &str) -> String {
    format!(
        "router bgp 65000\n bgp router-id 10.255.255.1\n no bgp network import-check\n timers bgp 1 3\n neighbor SPOKES peer-group\n \
         neighbor SPOKES remote-as 65000\n bgp listen range 10.255.255.0/24 peer-group SPOKES\n \
         address-family ipv4 unicast\n  neighbor SPOKES route-reflector-client\n{more} exit-address-family\nexit\n"
    )
}

/// bgpd of a spoke: announces its LAN to the hub.
pub(super) fn client(spoke: &str) -> Result<String> {
    let ([a, b, c, _], own, hub) = (lan(spoke)?.octets(), overlay(spoke)?, overlay("hub")?);
    Ok(format!(
        "router bgp 65000\n bgp router-id {own}\n timers bgp 1 3\n neighbor {hub} remote-as 65000\n \
         neighbor {hub} timers connect 1\n address-family ipv4 unicast\n  network {a}.{b}.{c}.0/24\n \
         exit-address-family\nexit\n"
    ))
}

/// Waits until the kernel of `from` has a route to the LAN of `to` that says `what`.
pub(super) fn wait_route(dmvpn: &Dmvpn, from: &str, to: &str, what: &str) -> Result<()> {
    let [a, b, c, _] = lan(to)?.octets();
    let command = format!("ip route show {a}.{b}.{c}.0/24");
    wait_until(&format!("{from} to have {command:?} with {what:?}"), BGP, || {
        match dmvpn.node(from).and_then(|node| node.sh(&command)) {
            Ok(routes) if routes.contains(what) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

/// The first packet waits in the kernel, arrives, and goes the direct way, as do all others. Returns the time to its
/// answer in seconds.
fn first_packets(dmvpn: &Dmvpn, from: &str, to: &str) -> Result<f64> {
    let (source, target) = (lan(from)?, lan(to)?);
    let since =
        SystemTime::now().duration_since(UNIX_EPOCH).context(|| "the clock".to_owned())?.as_secs_f64();
    // The kernel keeps a packet for a second, which may be over before a busy guest has resolved anything.
    let said = wait_until(&format!("the first echo from {from} to {to}"), RESOLVE, || {
        let said = dmvpn.node(from).and_then(|node| {
            node.run(&[
                "ping",
                "-n",
                "-c",
                "4",
                "-i",
                "0.2",
                "-W",
                "2",
                "-I",
                &source.to_string(),
                &target.to_string(),
            ])
        });
        match said {
            Ok(said) if said.stdout.contains(" 4 received") => Ok(said.stdout),
            other => Err(format!("{other:?}")),
        }
    })?;
    let wire = dmvpn.wire()?;
    let inner = (source, target);
    ensure!(
        wire.first_carried(inner, (nbma(from)?, nbma(to)?), since).is_some(),
        "no packet from {from} to {to} went the direct way"
    );
    let detour = wire.first_carried(inner, (nbma(from)?, nbma("hub")?), since);
    ensure!(detour.is_none(), "packets from {from} to {to} went through the hub: {detour:?}");
    let first = said.lines().find(|line| line.contains("icmp_seq=1 "));
    let time = first.and_then(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    Ok(time.context(|| format!("no time in {said}"))? / 1000.0)
}

/// Nobody has that address: the kernel's users are told so, and the hub is not flooded.
fn unresolvable(dmvpn: &Dmvpn, from: &str) -> Result<()> {
    let said = dmvpn.node(from)?.run(&["ping", "-n", "-c", "15", "-i", "0.2", "-W", "1", NOBODY])?;
    ensure!(said.stdout.contains("Host Unreachable"), "ping to an address that nobody has: {}", said.stdout);
    let nobody = NOBODY.parse().ok();
    let wire = dmvpn.wire()?;
    let own = nbma(from)?;
    let asked = wire
        .of(Type::ResolutionRequest)
        .filter(|(packet, request)| packet.nbma.0 == own && request.destination == nobody)
        .count();
    ensure!((1..=5).contains(&asked), "{asked} requests for {NOBODY} in 3 s");
    Ok(())
}
