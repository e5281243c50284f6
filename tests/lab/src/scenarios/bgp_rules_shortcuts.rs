//! Phase 3 below BGP: the hub announces every LAN with itself as next hop, shortcuts lead past it, and routing above and
//! below the tunnel stays their master.
//!
//! FRR's nhrpd does not pass: zebra selects its shortcut in place of BGP's route to the same prefix and then never tells
//! it that BGP's came, moved or went; and any route that covers an unused shortcut drops it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::best::best;
use super::preserved_next_hops::{client, reflector, wait_route};
use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::net::wait_until;

/// Longest time for BGP to tell somebody something, on a guest that is slow.
const BGP: Duration = Duration::from_secs(15);

/// Longest time from zebra's knowing it to a shortcut's being gone, with what it takes to look, at best of three.
const GONE: Duration = Duration::from_secs(1);

/// FRR's nhrpd drops an unused shortcut 3 s after a route that covers it has come.
const FRR_DROPS: Duration = Duration::from_secs(4);

/// Longest time to wait for it; what is promised is [`GONE`].
const PATIENCE: Duration = Duration::from_secs(8);

const LAN: &str = "10.2.0.0/24";

/// The shortcut has half of that each where BGP has a route to all of it.
const HALF: &str = "10.2.0.0/25";

/// AWAY sends what MARK has marked outside of the tunnel; TAGGED marks what has our tag.
const ROUTE_MAPS: &str = "route-map AWAY permit 10\n match metric 99\n set ip next-hop 192.0.2.5\nexit\n\
                          route-map AWAY permit 20\nexit\n\
                          route-map MARK permit 10\n set metric 99\nexit\n\
                          route-map TAGGED permit 10\n match tag 4711\n set metric 77\nexit\n\
                          route-map TAGGED permit 20\nexit\n";

/// What ends a shortcut. Each begins with what it needs and may be repeated.
type Step = fn(&mut Dmvpn, bool) -> Result<Duration>;

const STEPS: [(&str, Step); 6] = [
    ("withdrawn", withdrawn),
    ("another way", another_way),
    ("more specific", more_specific),
    ("no route to the peer", no_route_to_the_peer),
    ("tunnel down", tunnel_down),
    ("peer gone", peer_gone),
];

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let more =
        "  neighbor SPOKES next-hop-self force\n  neighbor SPOKES route-map AWAY out\n  network 10.0.0.0/8\n";
    // The hub knows the way to s2's LAN whatever BGP says.
    let always = format!("ip route {LAN} {} gre1 onlink 250\n", overlay("s2")?);
    let mut blocks = vec![("hub".to_owned(), format!("{always}{ROUTE_MAPS}{}", reflector(more)))];
    for spoke in ["s1", "s2"] {
        blocks.push((spoke.to_owned(), client(spoke)?));
    }
    let mut dmvpn = lab.dmvpn(Shape {
        holdtime: 600,
        static_routes: false,
        daemons: &["bgpd"],
        blocks,
        nhrpd_options: &["--route-tag", "4711"],
        ..Shape::default()
    })?;
    dmvpn.wait_registered(REGISTER)?;
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        wait_route(&dmvpn, from, to, "proto bgp")?;
    }

    become_direct(&mut dmvpn)?;
    distance_and_tag(&mut dmvpn)?;
    unrelated(&mut dmvpn)?;
    for (what, step) in STEPS {
        let took = best(Some(GONE), |first| step(&mut dmvpn, first))?;
        lab.note(format!("{what}: {:.1} s", took.as_secs_f64()));
    }
    dmvpn.finish(&[(Type::TrafficIndication, 4), (Type::ResolutionReply, 4)])?;
    Ok(())
}

/// Traffic finds the direct path.
fn become_direct(dmvpn: &mut Dmvpn) -> Result<()> {
    wait_until("s1 to reach s2 directly", RESOLVE * 2, || {
        // The firewall rule lets one indication a second pass.
        dmvpn.ping("s1", "s2", 3, Duration::from_millis(400)).map_err(|f| f.to_string())?;
        match dmvpn.node("s1").and_then(|node| node.sh(&format!("ip route show root {LAN}"))) {
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

/// A peer's own route has NHRP's distance, a shortcut the worst, so that it hides nobody's; both have the tag of the
/// command line, which the hub's BGP redistributes by.
fn distance_and_tag(dmvpn: &mut Dmvpn) -> Result<()> {
    for (prefix, distance) in [("10.255.255.3/32", 10), (HALF, 254)] {
        let entries = rib(dmvpn, "s1", prefix)?;
        let nhrp =
            of_protocol(&entries, "nhrp").context(|| format!("no NHRP route to {prefix}: {entries:?}"))?;
        let number = |key: &str| nhrp.get(key).and_then(Value::as_u64);
        ensure!(number("distance") == Some(distance) && number("tag") == Some(4711), "{prefix}: {nhrp}");
    }
    beside_each_other(dmvpn)?;
    // The hub tells everybody where its clients are.
    bgp_on(dmvpn, "hub", "redistribute nhrp route-map TAGGED")?;
    wait_until("s1 to hear from the hub's BGP of s2's tunnel address, by its tag", BGP, || {
        let entries = rib(dmvpn, "s1", "10.255.255.3/32").map_err(|f| f.to_string())?;
        let metric = of_protocol(&entries, "bgp").and_then(|bgp| bgp.get("metric")?.as_u64());
        if metric == Some(77) { Ok(()) } else { Err(format!("{entries:?}")) }
    })?;
    bgp_on(dmvpn, "hub", "no redistribute nhrp")
}

/// BGP's route to the whole LAN is selected and in the kernel, and so are the shortcut's to both halves.
fn beside_each_other(dmvpn: &mut Dmvpn) -> Result<()> {
    let entries = rib(dmvpn, "s1", LAN)?;
    let bgp = of_protocol(&entries, "bgp").context(|| format!("no BGP route to {LAN}: {entries:?}"))?;
    ensure!(bgp.get("selected").is_some(), "the shortcut hides BGP's route: {entries:?}");
    let routes = dmvpn.node("s1")?.sh(&format!("ip route show root {LAN}"))?;
    let via = |prefix: &str, gateway: &str| {
        routes.lines().any(|line| line.starts_with(prefix) && line.contains(&format!("via {gateway} ")))
    };
    let (hub, peer) = ("10.255.255.1", "10.255.255.3");
    ensure!(
        via(LAN, hub) && via(HALF, peer) && via("10.2.0.128/25", peer) && routes.lines().count() == 3,
        "the kernel of s1 has {routes}"
    );
    Ok(())
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

/// Waits until the shortcut to s2's LAN is gone from the kernel of s1; how long that took.
fn wait_gone(dmvpn: &Dmvpn, since: Instant) -> Result<Duration> {
    wait_until(&format!("the shortcut to {LAN} to be gone"), PATIENCE, || {
        match dmvpn.node("s1").and_then(|node| node.sh(&format!("ip route show root {LAN} proto 191"))) {
            Ok(routes) if routes.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    Ok(since.elapsed())
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

/// s2 does not announce its LAN any more; the hub's summary remains.
fn withdrawn(dmvpn: &mut Dmvpn, first: bool) -> Result<Duration> {
    if !first {
        bgp_on(dmvpn, "s2", &format!("network {LAN}"))?;
        wait_bgp(dmvpn, LAN, true)?;
        become_direct(dmvpn)?;
    }
    bgp_on(dmvpn, "s2", &format!("no network {LAN}"))?;
    wait_bgp(dmvpn, LAN, false)?;
    wait_gone(dmvpn, Instant::now())
}

/// A shortcut that hangs on the summary; then somebody announces its very prefix with another next hop, and takes that
/// back. What s2 announces in the end leads where the summary leads, and touches nothing.
fn another_way(dmvpn: &mut Dmvpn, _: bool) -> Result<Duration> {
    become_direct(dmvpn)?;
    let entries = rib(dmvpn, "s1", LAN)?;
    let distance = of_protocol(&entries, "nhrp").and_then(|nhrp| nhrp.get("distance")?.as_u64());
    ensure!(distance == Some(254), "the shortcut would hide what comes: {entries:?}");
    bgp_on(dmvpn, "hub", &format!("network {LAN} route-map MARK"))?;
    wait_bgp(dmvpn, LAN, true)?;
    let took = wait_gone(dmvpn, Instant::now())?;
    let route = dmvpn.node("s1")?.sh("ip route get 10.2.0.1")?;
    ensure!(route.contains("via 192.0.2.5"), "traffic goes elsewhere: {route}");
    bgp_on(dmvpn, "hub", &format!("no network {LAN}"))?;
    wait_bgp(dmvpn, LAN, false)?;
    become_direct(dmvpn)?;
    let monitor = dmvpn.node("s1")?.spawn("beside", &["ip", "monitor", "route"])?;
    bgp_on(dmvpn, "s2", &format!("network {LAN}"))?;
    wait_bgp(dmvpn, LAN, true)?;
    wait_until("the shortcut beside BGP's route", BGP, || {
        beside_each_other(dmvpn).map_err(|failure| failure.to_string())
    })?;
    let log = monitor.output();
    ensure!(log.contains(HALF) && !log.contains(&format!("Deleted {HALF}")), "it was not kept: {log}");
    Ok(took)
}

/// A part of the LAN, the host of the shortcut in it, is announced by the hub.
fn more_specific(dmvpn: &mut Dmvpn, _: bool) -> Result<Duration> {
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
fn no_route_to_the_peer(dmvpn: &mut Dmvpn, _: bool) -> Result<Duration> {
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

/// The kernel drops the routes of an interface that is down by itself; zebra does not: there the daemon withdraws its own.
fn tunnel_down(dmvpn: &mut Dmvpn, _: bool) -> Result<Duration> {
    let nhrp = |dmvpn: &mut Dmvpn| {
        let rows = dmvpn.frr("s1").and_then(|frr| frr.vtysh(&["show ip route nhrp"]));
        rows.map(|rows| {
            rows.lines().filter(|row| row.starts_with('N')).map(str::to_owned).collect::<Vec<_>>()
        })
    };
    let before = nhrp(dmvpn)?;
    ensure!(before.iter().any(|row| row.contains(HALF)), "zebra does not have the shortcut: {before:?}");
    dmvpn.node("s1")?.sh("ip link set gre1 down")?;
    let since = Instant::now();
    wait_until("zebra to have no NHRP route over a tunnel that is down", PATIENCE, || match nhrp(dmvpn) {
        Ok(rows) if rows.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let took = since.elapsed();
    dmvpn.node("s1")?.sh("ip link set gre1 up")?;
    dmvpn.wait_spoke_registered("s1", REGISTER)?;
    wait_bgp(dmvpn, LAN, true)?;
    become_direct(dmvpn)?;
    Ok(took)
}

/// s2 is switched off: BGP's hold timer finds out, and its route takes the shortcut along.
fn peer_gone(dmvpn: &mut Dmvpn, first: bool) -> Result<Duration> {
    if !first {
        dmvpn.node("s2")?.sh("ip link set eth0 up; ip route replace default via 192.0.2.9")?;
        dmvpn.wait_spoke_registered("s2", REGISTER)?;
        wait_bgp(dmvpn, LAN, true)?;
        become_direct(dmvpn)?;
    }
    dmvpn.node("s2")?.sh("ip link set eth0 down")?;
    wait_bgp(dmvpn, LAN, false)?;
    wait_gone(dmvpn, Instant::now())
}
