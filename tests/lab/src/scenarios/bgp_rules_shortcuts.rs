//! Phase 3 below BGP: the hub announces every LAN with itself as next hop, shortcuts lead past it, and routing above and
//! below the tunnel stays their master.
//!
//! FRR's nhrpd does not pass: zebra selects its shortcut in place of BGP's route to the same prefix and then never tells
//! it that BGP's is gone; and any route that covers an unused shortcut drops it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::preserved_next_hops::{client, reflector, wait_route};
use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::net::wait_until;

/// Longest time for BGP to tell somebody something, on a guest that is slow.
const BGP: Duration = Duration::from_secs(15);

/// Longest time from zebra's knowing it to a shortcut's being gone, with what it takes to look.
const GONE: Duration = Duration::from_secs(1);

/// FRR's nhrpd drops an unused shortcut 3 s after a route that covers it has come.
const FRR_DROPS: Duration = Duration::from_secs(4);

const LAN: &str = "10.2.0.0/24";

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut blocks = vec![("hub".to_owned(), reflector("  neighbor SPOKES next-hop-self force\n"))];
    for spoke in ["s1", "s2"] {
        blocks.push((spoke.to_owned(), client(spoke)?));
    }
    let mut dmvpn = lab.dmvpn(Shape {
        holdtime: 600,
        static_routes: false,
        daemons: &["bgpd"],
        blocks,
        nhrpd_options: &["--route-distance", "17", "--route-tag", "4711"],
        ..Shape::default()
    })?;
    dmvpn.wait_registered(REGISTER)?;
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        wait_route(&dmvpn, from, to, "proto bgp")?;
    }

    become_direct(&mut dmvpn)?;
    distance_and_tag(&mut dmvpn)?;
    unrelated(&mut dmvpn)?;
    lab.note(format!("withdrawn: {}", withdrawn(&mut dmvpn)?));
    lab.note(format!("more specific: {}", more_specific(&mut dmvpn)?));
    lab.note(format!("no route to the peer: {}", no_route_to_the_peer(&mut dmvpn)?));
    tunnel_down(&mut dmvpn)?;
    lab.note(format!("peer gone: {}", peer_gone(&mut dmvpn)?));
    dmvpn.finish(&[(Type::TrafficIndication, 4), (Type::ResolutionReply, 4)])?;
    Ok(())
}

/// Traffic finds the direct path.
fn become_direct(dmvpn: &mut Dmvpn) -> Result<()> {
    wait_until("s1 to reach s2 directly", RESOLVE * 2, || {
        // The firewall rule lets one indication a second pass.
        dmvpn.ping("s1", "s2", 3, Duration::from_millis(400)).map_err(|f| f.to_string())?;
        match dmvpn.node("s1").and_then(|node| node.sh(&format!("ip route show {LAN}"))) {
            Ok(routes) if routes.contains("via 10.255.255.3") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)
}

/// The entries of zebra for a prefix on a node.
fn rib(dmvpn: &mut Dmvpn, node: &str, prefix: &str) -> Result<Vec<Value>> {
    let text = dmvpn.frr(node)?.vtysh(&[&format!("show ip route {prefix} json")])?;
    let document: Value =
        serde_json::from_str(&text).context(|| format!("zebra's routes to {prefix} on {node}: {text:?}"))?;
    Ok(document.get(prefix).and_then(Value::as_array).cloned().unwrap_or_default())
}

fn of_protocol<'a>(entries: &'a [Value], protocol: &str) -> Option<&'a Value> {
    entries.iter().find(|entry| entry.get("protocol").and_then(Value::as_str) == Some(protocol))
}

/// What was given on the command line is in zebra, on the peer's own route and on the shortcut, and others can have it.
fn distance_and_tag(dmvpn: &mut Dmvpn) -> Result<()> {
    for prefix in ["10.255.255.3/32", LAN] {
        let entries = rib(dmvpn, "s1", prefix)?;
        let nhrp =
            of_protocol(&entries, "nhrp").context(|| format!("no NHRP route to {prefix}: {entries:?}"))?;
        let number = |key: &str| nhrp.get(key).and_then(Value::as_u64);
        ensure!(number("distance") == Some(17) && number("tag") == Some(4711), "{prefix}: {nhrp}");
    }
    let entries = rib(dmvpn, "s1", LAN)?;
    let bgp = of_protocol(&entries, "bgp").context(|| format!("no BGP route to {LAN}: {entries:?}"))?;
    ensure!(bgp.get("selected").is_some(), "the shortcut hides BGP's route: {entries:?}");
    // The hub tells everybody where its clients are.
    bgp_on(dmvpn, "hub", "redistribute nhrp")?;
    wait_until("s1 to hear from the hub's BGP of s2's tunnel address", BGP, || {
        let entries = rib(dmvpn, "s1", "10.255.255.3/32").map_err(|f| f.to_string())?;
        of_protocol(&entries, "bgp").map(drop).ok_or(format!("{entries:?}"))
    })?;
    bgp_on(dmvpn, "hub", "no redistribute nhrp")
}

/// Changes the IPv4 part of a node's BGP.
fn bgp_on(dmvpn: &mut Dmvpn, node: &str, line: &str) -> Result<()> {
    let commands = ["configure terminal", "router bgp 65000", "address-family ipv4 unicast", line];
    let said = dmvpn.frr(node)?.vtysh(&commands)?;
    ensure!(!said.contains('%') || said.contains("% Configuration applied"), "{line:?} on {node}: {said}");
    Ok(())
}

/// Waits until the kernel of s1 has (or has not) an entry for a prefix that BGP brings.
fn wait_bgp(dmvpn: &mut Dmvpn, prefix: &str, there: bool) -> Result<()> {
    wait_until(&format!("BGP's route to {prefix} to be {there} on s1"), BGP, || {
        let entries = rib(dmvpn, "s1", prefix).map_err(|f| f.to_string())?;
        if of_protocol(&entries, "bgp").is_some() == there { Ok(()) } else { Err(format!("{entries:?}")) }
    })
}

/// The shortcut to s2's LAN is gone from the kernel of s1; how long that took.
fn wait_gone(dmvpn: &Dmvpn, since: Instant) -> Result<String> {
    wait_until(&format!("the shortcut to {LAN} to be gone"), GONE, || {
        match dmvpn.node("s1").and_then(|node| node.sh(&format!("ip route show {LAN} proto 191"))) {
            Ok(routes) if routes.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    Ok(crate::dmvpn::took(since))
}

/// A route elsewhere and a default route come; the shortcut is not even written anew.
fn unrelated(dmvpn: &mut Dmvpn) -> Result<()> {
    // The default route is to be BGP's: the transport network is reached without one.
    dmvpn.node("s1")?.sh(
        "ip route add 192.0.2.0/24 via 192.0.2.5 dev eth0; ip route delete default via 192.0.2.5 dev eth0",
    )?;
    let monitor = dmvpn.node("s1")?.spawn("routes", &["ip", "monitor", "route"])?;
    for (line, prefix) in
        [("network 10.99.0.0/16", "10.99.0.0/16"), ("neighbor SPOKES default-originate", "0.0.0.0/0")]
    {
        bgp_on(dmvpn, "hub", line)?;
        wait_bgp(dmvpn, prefix, true)?;
        bgp_on(dmvpn, "hub", &format!("no {line}"))?;
        wait_bgp(dmvpn, prefix, false)?;
    }
    std::thread::sleep(FRR_DROPS);
    let log = monitor.output();
    ensure!(log.contains("10.99.0.0/16") && log.contains("default"), "the monitor saw nothing: {log}");
    ensure!(!log.contains(LAN), "the shortcut was touched: {log}");
    Ok(())
}

/// s2 does not announce its LAN any more.
fn withdrawn(dmvpn: &mut Dmvpn) -> Result<String> {
    bgp_on(dmvpn, "s2", &format!("no network {LAN}"))?;
    wait_bgp(dmvpn, LAN, false)?;
    let took = wait_gone(dmvpn, Instant::now())?;
    bgp_on(dmvpn, "s2", &format!("network {LAN}"))?;
    wait_bgp(dmvpn, LAN, true)?;
    become_direct(dmvpn)?;
    Ok(took)
}

/// A part of the LAN, the host of the shortcut in it, is announced by the hub.
fn more_specific(dmvpn: &mut Dmvpn) -> Result<String> {
    bgp_on(dmvpn, "hub", "network 10.2.0.0/26")?;
    wait_bgp(dmvpn, "10.2.0.0/26", true)?;
    let took = wait_gone(dmvpn, Instant::now())?;
    let route = dmvpn.node("s1")?.sh("ip route get 10.2.0.1")?;
    ensure!(route.contains(&format!("via {}", overlay("hub")?)), "traffic goes elsewhere: {route}");
    bgp_on(dmvpn, "hub", "no network 10.2.0.0/26")?;
    wait_bgp(dmvpn, "10.2.0.0/26", false)?;
    become_direct(dmvpn)?;
    Ok(took)
}

/// The transport network rejects packets for s2, from s1 only: both still reach the hub.
fn no_route_to_the_peer(dmvpn: &mut Dmvpn) -> Result<String> {
    dmvpn.node("s1")?.sh("ip route add unreachable 192.0.2.10/32")?;
    let took = wait_gone(dmvpn, Instant::now())?;
    // s2 still answers directly; what counts is that s1 sends through the hub, redirected or not.
    for _ in 0..3 {
        let received = dmvpn.ping("s1", "s2", 4, Duration::from_millis(300))?;
        ensure!(received >= 3, "{received} of 4 echo replies through the hub");
    }
    dmvpn.node("s1")?.sh("ip route delete unreachable 192.0.2.10/32")?;
    become_direct(dmvpn)?;
    Ok(took)
}

fn tunnel_down(dmvpn: &mut Dmvpn) -> Result<()> {
    dmvpn.node("s1")?.sh("ip link set gre1 down")?;
    wait_gone(dmvpn, Instant::now())?;
    wait_until("zebra to have no NHRP route over a tunnel that is down", GONE, || {
        let rows = dmvpn.frr("s1").and_then(|frr| frr.vtysh(&["show ip route nhrp"]));
        match rows {
            Ok(rows) if !rows.lines().any(|row| row.starts_with('N')) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    dmvpn.node("s1")?.sh("ip link set gre1 up")?;
    dmvpn.wait_spoke_registered("s1", REGISTER)?;
    wait_bgp(dmvpn, LAN, true)?;
    become_direct(dmvpn)
}

/// s2 is switched off: BGP's hold timer finds out, and its route takes the shortcut along.
fn peer_gone(dmvpn: &mut Dmvpn) -> Result<String> {
    dmvpn.node("s2")?.sh("ip link set eth0 down")?;
    wait_bgp(dmvpn, LAN, false)?;
    wait_gone(dmvpn, Instant::now())
}
