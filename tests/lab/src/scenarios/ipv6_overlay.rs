//! An IPv6 overlay on the tunnel that carries an IPv4 one already: the same life, beside the other.
//!
//! Node N (the hub is 0) has the overlay address fd00:255::N+1 and the LAN fd00:N::/64. NBMA addresses stay IPv4.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use serde_json::Value;

use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, nbma, text};
use crate::failure::{Context, Result, ensure};
use crate::judge::{Payload, Type, Verdict};
use crate::mix::Kind;
use crate::net::wait_until;

/// Holding time of both overlays, seconds: longer than the scenario, so that no shortcut ends by itself.
const HOLDING: u16 = 120;

/// Position of a node, as in its addresses.
fn position(node: &str) -> Result<u16> {
    node.strip_prefix('s').map_or(Ok(0), |number| number.parse().context(|| format!("no node {node}")))
}

fn overlay(node: &str) -> Result<Ipv6Addr> {
    Ok(Ipv6Addr::new(0xfd00, 0x255, 0, 0, 0, 0, 0, position(node)? + 1))
}

fn lan(node: &str) -> Result<Ipv6Addr> {
    Ok(Ipv6Addr::new(0xfd00, position(node)?, 0, 0, 0, 0, 0, 1))
}

/// Gives a node its IPv6 addresses and, on the hub, the rule that tells nhrpd of a detour.
fn address(dmvpn: &Dmvpn, node: &str, kind: Kind) -> Result<()> {
    // FRR's nhrpd takes the link-local address of a tunnel for its overlay address.
    if kind == Kind::Frr {
        dmvpn.node(node)?.sh("ip link set gre1 addrgenmode none; ip -6 address flush dev gre1 scope link")?;
    }
    dmvpn.node(node)?.sh(&format!(
        "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
         ip -6 address add {}/128 dev gre1 nodad
         ip -6 address add {}/64 dev lan0 nodad",
        overlay(node)?,
        lan(node)?
    ))?;
    if node == "hub" {
        dmvpn.node(node)?.sh("for iptables in ip6tables-nft ip6tables-legacy; do
               $iptables -A FORWARD -i gre1 -o gre1 -m hashlimit --hashlimit-upto 1/second \
                 --hashlimit-burst 1 --hashlimit-mode srcip,dstip --hashlimit-srcmask 64 \
                 --hashlimit-dstmask 64 --hashlimit-name nhrp6 -j NFLOG --nflog-group 1 \
                 --nflog-size 128 --nflog-threshold 1 && exit 0
             done
             exit 1")?;
    }
    Ok(())
}

fn configure(dmvpn: &mut Dmvpn, node: &str) -> Result<()> {
    let hub = overlay("hub")?;
    let mut lines = Vec::new();
    if node == "hub" {
        for spoke in dmvpn.spokes() {
            let network = format!("fd00:{}::/64", position(&spoke)?);
            lines.push(format!("ipv6 route {network} {} gre1 onlink", overlay(&spoke)?));
        }
    } else {
        lines.push(format!("ipv6 route fd00::/16 {hub} gre1 onlink"));
    }
    lines.extend([
        "interface gre1".to_owned(),
        "ipv6 nhrp network-id 1".to_owned(),
        format!("ipv6 nhrp holdtime {HOLDING}"),
        format!("ip nhrp holdtime {HOLDING}"),
    ]);
    if node == "hub" {
        lines.push("ipv6 nhrp redirect".to_owned());
    } else {
        lines.push(format!("ipv6 nhrp nhs dynamic nbma {}", nbma("hub")?));
        lines.push("ipv6 nhrp registration no-unique".to_owned());
        lines.push("ipv6 nhrp shortcut".to_owned());
    }
    let mut commands = vec!["configure terminal"];
    commands.extend(lines.iter().map(String::as_str));
    let said = dmvpn.frr(node)?.vtysh(&commands)?;
    let refused = said.contains('%') && !said.contains("% Configuration applied");
    ensure!(!refused, "configuring IPv6 on {node}: {said}");
    Ok(())
}

fn cache(dmvpn: &mut Dmvpn, node: &str) -> Result<Vec<Value>> {
    dmvpn.frr(node)?.table("show ipv6 nhrp cache json")
}

/// Waits until `node` has this entry for a peer: type, and the NBMA address of that node.
fn wait_entry(dmvpn: &mut Dmvpn, node: &str, peer: &str, kind: &str, timeout: Duration) -> Result<()> {
    let (protocol, nbma) = (overlay(peer)?.to_string(), nbma(peer)?.to_string());
    wait_until(&format!("{peer} as {kind} in the IPv6 cache of {node}"), timeout, || {
        match cache(dmvpn, node) {
            Ok(rows)
                if rows.iter().any(|row| {
                    text(row, "protocol") == protocol
                        && text(row, "type") == kind
                        && text(row, "nbma") == nbma
                }) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
}

fn wait_via(dmvpn: &Dmvpn, node: &str, target: Ipv6Addr, through_hub: bool, timeout: Duration) -> Result<()> {
    let hub = format!("via {}", overlay("hub")?);
    wait_until(&format!("{node} to send {target} through the hub: {through_hub}"), timeout, || {
        match dmvpn.node(node).and_then(|node| node.sh(&format!("ip -6 route get {target}"))) {
            Ok(route) if route.contains("dev gre1") && route.contains(&hub) == through_hub => Ok(()),
            other => {
                let commands = ["vtysh", "-c", "show ipv6 nhrp shortcut", "-c", "show ipv6 route"];
                let known = dmvpn.node(node).and_then(|node| node.run(&commands)).map(|output| output.stdout);
                Err(format!("{other:?} {known:?}"))
            }
        }
    })
}

fn ping(dmvpn: &Dmvpn, from: &str, to: &str, count: u32, interval: &str) -> Result<u32> {
    let (source, target) = (lan(from)?.to_string(), lan(to)?.to_string());
    let count = count.to_string();
    let words = ["ping", "-6", "-n", "-W", "2", "-c", &count, "-i", interval, "-I", &source, &target];
    let output = dmvpn.node(from)?.run(&words)?;
    let received = output.stdout.split(", ").find_map(|part| part.strip_suffix(" received"));
    received
        .and_then(|number| number.parse().ok())
        .context(|| format!("ping on {from}: {}{}", output.stdout, output.stderr))
}

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    for node in dmvpn.names() {
        address(&dmvpn, &node, lab.mix().of(&node))?;
        configure(&mut dmvpn, &node)?;
    }
    show(&mut dmvpn, lab.mix().of("s1"))?;
    let wire = dmvpn.finish(&[])?;
    let counts = counts(&wire);
    for (kind, least) in [
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ] {
        let seen = counts.get(&kind).copied().unwrap_or_default();
        ensure!(seen >= least, "{seen} {kind} of the IPv6 overlay, expected at least {least}: {counts:?}");
    }
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        let packets = direct(&wire, from, to)?;
        ensure!(packets >= 5, "{packets} IPv6 packets went straight from {from} to {to}");
    }
    Ok(())
}

fn show(dmvpn: &mut Dmvpn, kind: Kind) -> Result<()> {
    for spoke in dmvpn.spokes() {
        wait_entry(dmvpn, "hub", &spoke, "dynamic", REGISTER)?;
        wait_entry(dmvpn, &spoke, "hub", "nhs", REGISTER)?;
    }
    let received = ping(dmvpn, "s1", "s2", 5, "0.3")?;
    ensure!(received >= 4, "{received} of 5 IPv6 echo replies while the path changed");
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        wait_via(dmvpn, from, lan(to)?, false, RESOLVE)?;
        wait_entry(dmvpn, from, to, "dynamic", RESOLVE)?;
        let neighbours = dmvpn.node(from)?.sh(&format!("ip -6 neigh show {} dev gre1", overlay(to)?))?;
        let link_address = format!("lladdr {}", nbma(to)?);
        ensure!(neighbours.contains(&link_address), "{from} has {neighbours:?} for {to}");
    }
    let shortcut = ("fd00:2::/64".to_owned(), overlay("s2")?.to_string());
    let shortcuts = dmvpn.frr("s1")?.table("show ipv6 nhrp shortcut json")?;
    let mut rows = shortcuts.iter().map(|row| (text(row, "prefix").to_owned(), text(row, "via").to_owned()));
    ensure!(rows.any(|row| row == shortcut), "s1 has the shortcuts {shortcuts:?}");
    let received = ping(dmvpn, "s1", "s2", 5, "0.2")?;
    ensure!(received == 5, "{received} of 5 IPv6 echo replies on the direct path");

    // The other overlay has its own life.
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(200))?;
    ensure!(received == 5, "{received} of 5 IPv4 echo replies beside IPv6");
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    let said = dmvpn.frr("s1")?.vtysh(&["clear ipv6 nhrp shortcut"])?;
    ensure!(said.contains("entries cleared"), "clear ipv6 nhrp shortcut said {said:?}");
    wait_via(dmvpn, "s1", lan("s2")?, true, RESOLVE)?;
    // FRR's forgets the peers of both families with it.
    let left = dmvpn.shortcuts("s1")?;
    let alone = kind == Kind::Frr || !left.is_empty();
    ensure!(alone, "clear ipv6 nhrp shortcut took the IPv4 shortcut, too");
    Ok(())
}

/// How many NHRP packets of the IPv6 overlay of each type.
fn counts(wire: &Verdict) -> BTreeMap<Type, usize> {
    let mut counts = BTreeMap::new();
    wire.nhrp()
        .filter(|(_, nhrp)| nhrp.ipv6)
        .for_each(|(_, nhrp)| *counts.entry(nhrp.kind).or_default() += 1);
    counts
}

/// IPv6 packets of this direction that went straight from one spoke to the other.
fn direct(wire: &Verdict, from: &str, to: &str) -> Result<usize> {
    let (outer, inner) = ((nbma(from)?, nbma(to)?), (lan(from)?, lan(to)?));
    let carried = wire.packets.iter().filter(|packet| packet.nbma == outer);
    Ok(carried.filter(|p| matches!(p.payload, Payload::Ipv6(a, b) if (a, b) == inner)).count())
}
