//! OSPF over the tunnel: its multicast reaches every neighbour once, adjacencies come up, its routes carry traffic.
//!
//! The tunnel is a point-to-multipoint network to OSPF, as DMVPN with shortcuts wants it: the hub is next hop to
//! everything, and NHRP finds the direct path.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::Value;

use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, firewall, nbma, overlay, text as text_of};
use crate::failure::{Result, ensure};
use crate::mix::Kind;
use crate::net::{Process, wait_until};
use crate::overlay_multicast::{Copies, Original, carried};

const NODES: [&str; 3] = ["hub", "s1", "s2"];
/// Longest time from registrations to adjacencies: a few Hellos, and the exchange of databases.
const ADJACENT: Duration = Duration::from_secs(40);
/// Hellos of each node that are looked at.
const HELLOS: usize = 3;
/// OSPF's type of a Hello (RFC 2328 section A.3.1).
const HELLO: u16 = 1;
/// All OSPF routers (RFC 2328 section A.1).
const ALL_SPF_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 5);

/// Host that only a `map` line of the hub knows.
const MAPPED: &str = "10.77.0.1";
const TAGGED: &str = "route-map TAGGED permit 10\n match tag 4711\nexit\n";

/// Sends a packet to a group by gre1: group, port.
const SEND: &str = "
import socket, sys
group, port = sys.argv[1], int(sys.argv[2])
index = socket.if_nametoindex('gre1')
six = ':' in group
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
if six:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + index.to_bytes(4, sys.byteorder))
try:
    s.sendto(b'packet 0', (group, port))
except PermissionError:
    pass # the rule that drops the original
";

/// Waits for a packet to a group on gre1: group, port. Says `joined` first, then what came.
const RECEIVE: &str = "
import socket, struct, sys
group, port = sys.argv[1], int(sys.argv[2])
index = socket.if_nametoindex('gre1')
if ':' in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    member = socket.inet_pton(socket.AF_INET6, group) + struct.pack('@I', index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    s.bind(('::', port))
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    member = socket.inet_aton(group) + bytes(4) + struct.pack('@i', index)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    s.bind(('', port))
print('joined', flush=True)
print(s.recv(2048).decode(), flush=True)
";

/// Hellos every 2 s: more than the second for which a kernel may keep packets for NFLOG back.
fn block(node: &str) -> Result<(String, String)> {
    // Of NHRP's routes the hub announces those that have the tag given to them on the command line.
    let more = match node {
        "hub" => (TAGGED, " redistribute nhrp route-map TAGGED\n"),
        _ => ("", ""),
    };
    let block = format!(
        "{}interface gre1\n ip ospf area 0\n ip ospf network point-to-multipoint\n ip ospf hello-interval 2\n \
         ip ospf dead-interval 10\nexit\ninterface lan0\n ip ospf area 0\nexit\n\
         router ospf\n ospf router-id {}\n passive-interface lan0\n{}exit\n",
        more.0,
        overlay(node)?,
        more.1
    );
    Ok((node.to_owned(), block))
}

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let shape = Shape {
        daemons: &["ospfd"],
        static_routes: false,
        multicast: true,
        nhrpd_options: &["--route-distance", "17", "--route-tag", "4711"],
        interface_lines: vec![("hub".to_owned(), format!("ip nhrp map {MAPPED} {}", nbma("s1")?))],
        blocks: NODES.iter().map(|node| block(node)).collect::<Result<_>>()?,
        ..Shape::default()
    };
    let mut dmvpn = lab.dmvpn(shape)?;
    dmvpn.wait_registered(REGISTER)?;
    adjacent(&mut dmvpn)?;
    routes_carry_traffic(&mut dmvpn)?;
    if lab.mix().of("hub") == Kind::Ours {
        redistributed(&mut dmvpn)?;
    }
    replicated(lab, &dmvpn)?;
    if lab.mix().of("hub") == Kind::Ours {
        // FRR's copies have wrong checksums, and of IPv6 the wrong ethertype.
        arrives(&dmvpn, "224.0.0.9", 1520)?;
        arrives(&dmvpn, "ff02::9", 1521)?;
    }
    dmvpn.finish(&[]).map(drop)
}

/// Waits until every adjacency is complete, in both directions.
fn adjacent(dmvpn: &mut Dmvpn) -> Result<()> {
    for (node, neighbour) in [("hub", "s1"), ("hub", "s2"), ("s1", "hub"), ("s2", "hub")] {
        let id = overlay(neighbour)?.to_string();
        wait_until(&format!("{node}'s OSPF adjacency with {neighbour}"), ADJACENT, || {
            let text = dmvpn.frr(node).and_then(|frr| frr.vtysh(&["show ip ospf neighbor"]));
            let text = text.map_err(|failure| failure.to_string())?;
            let full = |line: &str| line.trim_start().starts_with(&id) && line.contains("Full/");
            if text.lines().any(full) { Ok(()) } else { Err(text) }
        })?;
    }
    Ok(())
}

/// The LANs are known by OSPF alone: through the hub at first, directly when NHRP has found the way.
fn routes_carry_traffic(dmvpn: &mut Dmvpn) -> Result<()> {
    // Each node computes its routes when its own timers say so, and a packet needs those of three for its way and back.
    let (hub, s1, s2) = (overlay("hub")?, overlay("s1")?, overlay("s2")?);
    for (node, lan, via) in [
        ("s1", "10.2.0.0/24", hub),
        ("s2", "10.1.0.0/24", hub),
        ("hub", "10.1.0.0/24", s1),
        ("hub", "10.2.0.0/24", s2),
    ] {
        wait_until(&format!("{node}'s route to {lan} by OSPF"), REGISTER, || {
            let route = dmvpn.node(node).and_then(|node| node.sh(&format!("ip route show proto ospf {lan}")));
            match route {
                Ok(route) if route.contains(&format!("via {via} dev gre1")) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
    }
    let received = dmvpn.ping("s1", "s2", 10, Duration::from_millis(200))?;
    ensure!(received >= 9, "{received} of 10 echo replies on the way that OSPF found");
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(200))?;
    ensure!(received == 5, "{received} of 5 echo replies on the direct path");
    Ok(())
}

/// The hub's route to a mapped host has distance and tag of the command line, and OSPF tells the spokes of it by the tag.
fn redistributed(dmvpn: &mut Dmvpn) -> Result<()> {
    for (node, protocol, distance) in [("hub", "nhrp", 17), ("s2", "ospf", 110)] {
        wait_until(&format!("{node}'s {protocol} route to {MAPPED}"), ADJACENT, || {
            let command = format!("show ip route {MAPPED}/32 json");
            let text = dmvpn.frr(node).and_then(|frr| frr.vtysh(&[&command])).map_err(|f| f.to_string())?;
            let entry = serde_json::from_str::<Value>(&text).ok().and_then(|document| {
                let entries = document.get(format!("{MAPPED}/32"))?.as_array()?.clone();
                entries.into_iter().find(|entry| text_of(entry, "protocol") == protocol)
            });
            let number = |key: &str| entry.as_ref()?.get(key)?.as_u64();
            let right = number("distance") == Some(distance) && number("tag") == Some(4711);
            if right { Ok(()) } else { Err(text) }
        })?;
    }
    Ok(())
}

/// From now on every OSPF packet of every node is on the wire, its multicast once to each neighbour and to nobody else.
///
/// ospfd numbers its packets in the identification of the IP header: a number that is missing was lost.
fn replicated(lab: &mut Lab, dmvpn: &Dmvpn) -> Result<()> {
    let before = sent(dmvpn)?;
    let wait = Duration::from_secs(40);
    let all = wait_until(&format!("{HELLOS} more Hellos of every node"), wait, || {
        let all = sent(dmvpn).map_err(|failure| failure.to_string())?;
        let enough = NODES.iter().all(|node| {
            let hellos =
                since(&all, &before, node).into_iter().filter(|(_, packet)| packet.1.ospf == Some(HELLO));
            // The copies of the last one may still be under way.
            hellos.count() > HELLOS
        });
        if enough { Ok(all) } else { Err(format!("{all:?}")) }
    })?;
    for node in NODES {
        let expected: Vec<Ipv4Addr> = match node {
            "hub" => vec![nbma("s1")?, nbma("s2")?],
            _ => vec![nbma("hub")?],
        };
        let mut packets = since(&all, &before, node);
        packets.pop_last();
        let numbers: Vec<u16> = packets.keys().copied().collect();
        let gapless = (1..).zip(&numbers).all(|(expected, number)| expected == *number);
        ensure!(gapless, "OSPF packets of {node} are missing on the wire, or were sent twice: {numbers:?}");
        let multicast = packets.values().filter(|(packet, _)| packet.target == IpAddr::V4(ALL_SPF_ROUTERS));
        for (packet, copies) in multicast.clone() {
            ensure!(
                copies.receivers() == expected
                    && copies.carriers.iter().all(|(from, _)| nbma(node).is_ok_and(|own| own == *from)),
                "{node}'s packet {packet:?} went as {copies:?}, expected once to {expected:?}"
            );
        }
        let (count, neighbours) = (multicast.count(), expected.len());
        ensure!(count >= HELLOS, "{count} multicast packets of {node}");
        lab.note(format!("{node}: {count} multicast packets, each once to {neighbours}"));
    }
    Ok(())
}

/// The OSPF packets that have passed, by the node that sent them.
type Sent = BTreeMap<IpAddr, Vec<(Original, Copies)>>;

fn sent(dmvpn: &Dmvpn) -> Result<Sent> {
    let mut sent = Sent::new();
    for (packet, copies) in carried(dmvpn.wire_file()?, "ospf")? {
        sent.entry(packet.source).or_default().push((packet, copies));
    }
    Ok(sent)
}

/// What a node has sent since, by how many packets after the last one before.
fn since(all: &Sent, before: &Sent, node: &str) -> BTreeMap<u16, (Original, Copies)> {
    let Ok(source) = overlay(node).map(IpAddr::V4) else { return BTreeMap::new() };
    let number = |(packet, _): &(Original, Copies)| packet.id;
    // Seeded with the time, and far from its end unless it has wrapped around: half of the numbers lie behind.
    let known: Vec<u16> = before.get(&source).into_iter().flatten().map(number).collect();
    let last = known
        .iter()
        .copied()
        .reduce(|a, b| if b.wrapping_sub(a) < 0x8000 { b } else { a })
        .unwrap_or_default();
    let packets = all.get(&source).into_iter().flatten();
    let numbered = packets.map(|packet| (packet.0.id.wrapping_sub(last), packet.clone()));
    numbered.filter(|(number, _)| (1..0x8000).contains(number)).collect()
}

/// A program on a spoke gets what one on the hub sends to a group, and everybody gets it once.
fn arrives(dmvpn: &Dmvpn, group: &str, port: u16) -> Result<()> {
    let (hub, s1, port) = (dmvpn.node("hub")?, dmvpn.node("s1")?, port.to_string());
    if group.contains(':') {
        for target in ["NFLOG --nflog-group 2", "DROP"] {
            firewall(hub, "ip6tables", &format!("-A OUTPUT -d {group} -o gre1 -j {target}"))?;
        }
    }
    let mut receiver = s1.spawn(&format!("receiver-{port}"), &["python3", "-c", RECEIVE, group, &port])?;
    let said = |receiver: &mut Process, what: &str| {
        wait_until(&format!("'{what}' from the receiver of {group} on s1"), Duration::from_secs(15), || {
            let text = receiver.output();
            if text.contains(what) { Ok(()) } else { Err(format!("{text} {:?}", receiver.ended())) }
        })
    };
    said(&mut receiver, "joined")?;
    let output = hub.run(&["python3", "-c", SEND, group, &port])?;
    ensure!(output.status == 0, "sending a packet to {group}: {}", output.stderr);
    said(&mut receiver, "packet 0")?;
    let expected = vec![nbma("s1")?, nbma("s2")?];
    wait_until(&format!("two copies of the packet to {group}"), Duration::from_secs(5), || {
        let packets = dmvpn.wire_file().and_then(|file| carried(file, &format!("udp.dstport == {port}")));
        match packets {
            Ok(packets)
                if packets.len() == 1 && packets.values().all(|copies| copies.receivers() == expected) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
}
