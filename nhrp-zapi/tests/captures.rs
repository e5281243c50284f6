//! Conversations between FRR's zebra and FRR's nhrpd of seven releases, replayed: zebra's octets must decode to what
//! was configured when they were taken, and FRR's requests must equal ours, octet for octet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::{all, frame, named};
use nhrp_zapi::{
    Afi, Command, Decoded, Event, Gre, LinkType, Message, Neighbour, NeighbourKind, NeighbourState,
    ReleaseTable, Request, RibNexthop, Route, RouteNexthop, Session,
};

/// A session with a forced release, fed with everything that zebra said.
fn replay(capture: &common::Capture) -> (Session, Vec<Event>) {
    let mut session = Session::new("zserv.api".into(), Some(capture.epoch.first_release()));
    session.open().unwrap();
    for bytes in &capture.received {
        session.receive(bytes).unwrap();
    }
    let events = std::iter::from_fn(|| session.poll_event()).collect();
    (session, events)
}

#[test]
fn every_message_of_zebra_decodes() {
    for capture in all() {
        let (session, events) = replay(&capture);
        let statistics = session.statistics();
        assert_eq!(statistics.decode_errors, 0, "{}", capture.name);
        assert_eq!(statistics.unknown, 0, "{}", capture.name);
        assert_eq!(
            statistics.received_total() + statistics.ignored,
            capture.received.len() as u64,
            "{}: every frame was looked at",
            capture.name
        );
        assert!(
            matches!(events[0], Event::Connected { epoch, .. } if epoch == capture.epoch),
            "{}: {:?}",
            capture.name,
            events[0]
        );
        for wanted in
            [Command::VrfAdd, Command::InterfaceAdd, Command::InterfaceAddressAdd, Command::RouterIdUpdate]
        {
            assert!(statistics.received(wanted) > 0, "{}: no {wanted:?}", capture.name);
        }
    }
}

/// What zebra wrote comes out again from our side of zebra's codec, so no field was skipped, swapped or cut.
#[test]
fn messages_of_zebra_encode_to_the_same_octets() {
    let mut compared = 0;
    for capture in all() {
        let table = ReleaseTable::of(capture.epoch);
        for bytes in &capture.received {
            let (header, body) = frame(bytes);
            let Decoded::Message(command, message) = Message::decode(table, header, &body).unwrap() else {
                continue;
            };
            // Exceptions: flags and the nexthop's weight of routes are not kept, and of an interface that is gone
            // only VRF, name and index are.
            if matches!(command, Command::RedistributeRouteAdd | Command::RedistributeRouteDelete) {
                continue;
            }
            let mut again = Vec::new();
            message.encode(table, &mut again).unwrap();
            if command == Command::InterfaceDelete {
                assert_eq!(again[2..30], bytes[2..30], "{}: {message:?}", capture.name);
            } else {
                assert_eq!(&again, bytes, "{}: {message:?}", capture.name);
            }
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared}");
}

/// Each request of FRR's nhrpd, read and written again by our side.
#[test]
fn requests_of_frr_equal_ours() {
    for capture in all() {
        let table = ReleaseTable::of(capture.epoch);
        for bytes in &capture.sent {
            let (header, body) = frame(bytes);
            let request = Request::decode(table, header, &body).unwrap().expect("a request of nhrpd");
            let mut again = Vec::new();
            request.encode(table, header.vrf, &mut again).unwrap();
            assert_eq!(&again, bytes, "{}: {request:?}", capture.name);
        }
    }
}

/// The requests that the daemon makes for one registered peer, spelled out, found among FRR's octets.
#[test]
fn requests_for_a_peer_are_those_of_frr() {
    let peer = IpAddr::from([172, 16, 0, 2]);
    for (name, ifindex) in
        [("8.4.4-gre", 6), ("9.1.3", 5), ("10.0.5", 5), ("10.3.4-gre", 6), ("10.7.0-gre", 6)]
    {
        let capture = named(name);
        let table = ReleaseTable::of(capture.epoch);
        let prefix = "172.16.0.2/32".parse().unwrap();
        let mut wanted = vec![
            Request::RouteAdd(Route::new(prefix, RouteNexthop::Interface { ifindex })),
            Request::NeighAdd { ifindex, protocol: peer, nbma: Ipv4Addr::new(10, 9, 8, 1) },
            Request::ConfigureArp { ifindex, family: Afi::Ip },
            Request::GreGet { ifindex },
        ];
        if name != "9.1.3" {
            // That conversation ends before the peer is withdrawn.
            wanted.push(Request::RouteDelete(prefix));
            wanted.push(Request::NeighDelete { ifindex, protocol: peer });
        }
        if table.has_set_arp() {
            wanted.push(Request::SetArp { ifindex, enable: true });
        }
        if name.ends_with("-gre") {
            wanted.push(Request::NeighUnregister(Afi::Ip));
            wanted.push(Request::NeighUnregister(Afi::Ip6));
        } else {
            wanted.push(Request::GreSourceSet { ifindex, link_ifindex: 3, link_vrf: 0, mtu: 0 });
        }
        for request in wanted {
            let mut bytes = Vec::new();
            request.encode(table, 0, &mut bytes).unwrap();
            assert!(capture.sent.contains(&bytes), "{name}: {request:?} {bytes:02x?}");
        }
    }
}

/// The one list of what may differ from FRR's nhrpd.
const DIFFERENCES: &str = include_str!("../differences.md");

/// FRR's start sequence in its order, but for what is listed: nothing but HELLO goes before zebra's answer, the
/// interfaces are asked for once instead of twice, and a question with a known answer marks the end of the dump.
#[test]
fn the_start_is_that_of_frr() {
    for capture in all() {
        let mut session = Session::new("zserv.api".into(), Some(capture.epoch.first_release()));
        session.open().unwrap();
        assert_eq!(session.unwritten(), capture.sent[0], "{}: HELLO", capture.name);
        session.wrote(capture.sent[0].len());
        session.receive(&capture.received[0]).unwrap();
        let mut frr = capture.sent[1..8].to_vec();
        assert_eq!(frr.remove(2), frr[0], "{}: the second question for interfaces", capture.name);
        let ours = session.unwritten();
        let (start, barrier) = ours.split_at(frr.concat().len());
        assert_eq!(start, frr.concat(), "{}", capture.name);
        let (header, body) = frame(barrier);
        let table = ReleaseTable::of(capture.epoch);
        let request = Request::decode(table, header, &body).unwrap().unwrap();
        assert!(matches!(request, Request::GreGet { ifindex } if ifindex > 0x7000_0000), "{request:?}");
    }
    let of_this_test = DIFFERENCES.lines().filter(|line| line.contains("| captures"));
    let names: Vec<_> = of_this_test.filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(names, ["hello-waits", "interfaces-once", "barrier"]);
}

#[test]
fn a_real_gre_is_understood_in_every_release() {
    for name in ["8.4.4-gre", "10.3.4-gre", "10.7.0-gre"] {
        let (_, events) = replay(&named(name));
        let interface = |wanted: &str| {
            events
                .iter()
                .find_map(|event| match event {
                    Event::Interface(interface) if interface.name == wanted => Some(interface),
                    _ => None,
                })
                .unwrap_or_else(|| panic!("{name}: no {wanted}"))
        };
        let gre1 = interface("gre1");
        assert_eq!((gre1.ifindex, gre1.vrf, gre1.link_type), (6, 0, LinkType::GRE));
        assert_eq!((gre1.mtu, gre1.mtu6, gre1.link_ifindex), (1472, 1472, None));
        assert_eq!(gre1.gre_local(), Some(Ipv4Addr::new(10, 9, 8, 7)));
        assert!(gre1.is_operative());
        let gre2 = interface("gre2");
        assert_eq!((gre2.gre_local(), gre2.link_ifindex), (None, Some(5)));
        let lo = interface("lo");
        assert!(lo.flags.is_loopback());
        assert_eq!((lo.link_type, lo.mtu), (LinkType::LOOPBACK, 65536));
        assert_eq!(interface("v0").hw_addr.len(), 6);

        let address = events
            .iter()
            .find_map(|event| match event {
                Event::AddressAdded(found) if found.ifindex == 6 && found.prefix.addr().is_ipv4() => {
                    Some(*found)
                }
                _ => None,
            })
            .unwrap_or_else(|| panic!("{name}: no address"));
        assert_eq!((address.prefix, address.peer), ("172.16.0.1/32".parse().unwrap(), None), "{name}");
        assert!(!address.is_secondary());

        let gre = |wanted: u32| {
            events
                .iter()
                .find_map(|event| match event {
                    Event::GreUpdate(gre) if gre.ifindex == wanted => Some(*gre),
                    _ => None,
                })
                .unwrap_or_else(|| panic!("{name}: no GRE {wanted}"))
        };
        let local = Some(Ipv4Addr::new(10, 9, 8, 7));
        let none = Gre {
            vrf: 0,
            ifindex: 6,
            key: None,
            link_ifindex: None,
            link_vrf: None,
            local: None,
            remote: None,
        };
        assert_eq!(gre(6), Gre { key: Some(42), local, ..none });
        assert_eq!(
            gre(7),
            Gre { ifindex: 7, key: Some(43), link_ifindex: Some(5), link_vrf: Some(0), ..none }
        );
        assert!(gre(2).is_empty());
    }
}

#[test]
fn routes_are_understood_in_every_release() {
    for capture in all() {
        let (_, events) = replay(&capture);
        let routes: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::RouteAdded(route) => Some(route),
                _ => None,
            })
            .collect();
        assert!(!routes.is_empty(), "{}", capture.name);
        for route in &routes {
            // Redistributed routes of these releases are read to their last octet, so these are never missing.
            assert!(route.distance.is_some() && route.metric.is_some(), "{}: {route:?}", capture.name);
            assert_eq!(route.is_nhrp, route.distance == Some(10), "{}: {route:?}", capture.name);
            assert_eq!(
                route.is_local,
                capture.epoch >= nhrp_zapi::Epoch::Frr10_0 && route.route_type == 3,
                "{}",
                capture.name
            );
        }
        let connected = routes.iter().find(|route| route.prefix == "10.9.8.0/24".parse().unwrap()).unwrap();
        assert_eq!((connected.route_type, connected.nexthops), (2, 1), "{}", capture.name);
        let nexthop = connected.nexthop.unwrap();
        assert_eq!((nexthop.gateway, nexthop.blackhole), (None, false));
    }
    let own = |name: &str, ifindex: u32| {
        let (_, events) = replay(&named(name));
        let own = events.iter().find_map(|event| match event {
            Event::RouteAdded(route) if route.is_nhrp => Some(*route),
            _ => None,
        });
        let own = own.unwrap_or_else(|| panic!("{name}: no route of NHRP"));
        assert_eq!(own.prefix, "172.16.0.2/32".parse().unwrap());
        let hop =
            RibNexthop { vrf: 0, gateway: None, ifindex: Some(ifindex), blackhole: false, onlink: false };
        assert_eq!(own.nexthop, Some(hop));
        assert_eq!((own.distance, own.metric, own.mtu), (Some(10), Some(0), None));
        let withdrawn = events.iter().any(
            |event| matches!(event, Event::RouteDeleted(gone) if gone.is_nhrp && gone.prefix == own.prefix),
        );
        assert!(withdrawn, "{name}");
    };
    own("8.4.4-gre", 6);
    own("10.3.4-gre", 6);
    own("10.7.0-gre", 6);
}

#[test]
fn neighbours_are_understood_in_every_release() {
    let nbma = Some(Ipv4Addr::new(10, 9, 8, 1));
    let peer = IpAddr::from([172, 16, 0, 2]);
    let probed = Neighbour {
        kind: NeighbourKind::Get,
        vrf: 0,
        ifindex: 6,
        protocol: peer,
        nbma,
        state: NeighbourState::PROBE,
    };
    for name in ["8.4.4-gre", "10.3.4-gre", "10.7.0-gre"] {
        let (session, events) = replay(&named(name));
        let neighbours: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Neighbour(neighbour) => Some(*neighbour),
                _ => None,
            })
            .collect();
        assert!(neighbours.contains(&probed), "{name}: {neighbours:?}");
        let asked = Neighbour { nbma: None, state: NeighbourState::INCOMPLETE, ..probed };
        let missed = neighbours.iter().any(|neighbour| Neighbour { protocol: peer, ..*neighbour } == asked);
        assert!(missed, "{name}: the kernel asked for somebody unknown");
        let echoes = neighbours.iter().filter(|neighbour| neighbour.is_echo()).count();
        assert_eq!(echoes > 0, name == "10.7.0-gre", "{name}: only 10.5 and later echo");
        if name != "8.4.4-gre" {
            assert!(session.statistics().ignored > 0, "{name}");
        }
        // The Ethernet side is never shown.
        assert!(neighbours.iter().all(|neighbour| neighbour.ifindex != 5), "{name}: {neighbours:?}");
    }
}
