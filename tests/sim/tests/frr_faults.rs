//! Faults of FRR's nhrpd that no other test would find here. docs/frr-differences.md has the list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};

use nhrp_config::{Afi, InterfaceConfig, MapTarget};
use nhrp_engine::{Input, Instant, Link};
use nhrp_wire::PacketType::{RegistrationReply, ResolutionRequest};
use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet};
use sim::shorthand::{ip, nbma_of, octets, secs, triangle};
use sim::{Network, NodeId, Router, Tunnel};

fn address(ifindex: u32, address: &str) -> Input {
    Input::AddressAdded { ifindex, address: address.parse().unwrap(), secondary: false }
}

/// A hub says that what we sent to this address could go directly.
fn indicated(net: &mut Network, node: NodeId, target: [u8; 4]) {
    let packet = [&[0x45; 12][..], &[10, 2, 0, 5], &target].concat();
    let message = Message::TrafficIndication { unused: 0, packet };
    let indication = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.2.0.5"), 1, message);
    net.inject(node, "172.16.0.1", octets(&indication));
}

#[test]
fn an_own_address_is_forgotten_with_the_interfaces() {
    let (mut net, hub, _, _) = triangle();
    let local = |net: &Network, address: IpAddr| {
        net.node(hub).engine.cache_view(Afi::Ip).any(|row| row.protocol == address && row.nbma.is_some())
    };
    assert!(local(&net, ip("10.255.0.1")));
    let former = "10.255.0.1/32".parse().unwrap();
    net.input(hub, address(Router::TUNNEL, "10.255.0.9/32"));
    net.input(hub, Input::AddressDeleted { ifindex: Router::TUNNEL, address: former });
    assert!(local(&net, ip("10.255.0.9")) && !local(&net, ip("10.255.0.1")));
}

#[test]
fn a_removed_map_leaves_no_peer() {
    let (mut net, hub, _, _) = triangle();
    let before = net.node(hub).engine.nbma_pairs();
    let mapped = ip("10.255.0.77");
    net.configure(hub, |c| c.ip.maps.extend([(mapped, MapTarget::Nbma(ip("172.16.0.77")))]));
    assert_eq!(net.node(hub).engine.nbma_pairs().len(), before.len() + 1);
    net.configure(hub, |c| c.ip.maps.clear());
    assert_eq!(net.node(hub).engine.nbma_pairs(), before);
}

#[test]
fn a_static_map_outlives_a_tunnel_that_flaps() {
    let (mut net, hub, _, _) = triangle();
    net.configure(hub, |c| c.ip.maps.extend([(ip("10.255.0.77"), MapTarget::Nbma(ip("172.16.0.77")))]));
    for up in [false, true] {
        let name = "gre1".to_owned();
        net.input(hub, Input::Link(Link { ifindex: Router::TUNNEL, name, up, gre: true, mtu: 1500 }));
    }
    assert_eq!(nbma_of(&net, hub, "10.255.0.77"), Some(ip("172.16.0.77")));
    net.node(hub).assert_consistent();
}

#[test]
fn a_responder_says_its_overlay_address_in_the_family_of_the_overlay() {
    let mut net = Network::new(7);
    let hub = net.add_router(Router::hub(1).with_ipv6(None));
    net.add_router(Router::spoke(2, 1).with_ipv6(Some(1)));
    net.run_for(secs(1));
    let replies = net.sent(hub, RegistrationReply, Instant::ZERO);
    let mut responders = Vec::new();
    for packet in replies.iter().map(|frame| frame.packet()) {
        for extension in packet.extensions {
            if let ExtensionBody::ResponderAddress(entries) = extension.body {
                responders.extend(entries.into_iter().map(|entry| (entry.nbma, entry.protocol)));
            }
        }
    }
    let nbma = Some(ip("172.16.0.1"));
    responders.sort();
    assert_eq!(responders, [(nbma, Some(ip("10.255.0.1"))), (nbma, Some(ip("fd00:255::1")))]);
}

/// Spoke 2 asks for 10.4.0.5, and gets an answer with this NAT extension straight from spoke 4.
fn answered_with_nat(entry: Cie) -> Option<IpAddr> {
    let (mut net, _, two, _) = triangle();
    let start = net.now();
    indicated(&mut net, two, [10, 4, 0, 5]);
    let request = net.sent(two, ResolutionRequest, start)[0].packet();
    let station = Cie {
        prefix_length: 24,
        holding_time: 600,
        nbma: Some(ip("172.16.0.4")),
        protocol: Some(ip("10.255.0.4")),
        ..Cie::default()
    };
    let request_id = request.message.exchange().unwrap().request_id;
    let exchange = Exchange { request_id, cies: vec![station] };
    let (nbma, protocol, target) = (ip("172.16.0.2"), ip("10.255.0.2"), ip("10.4.0.5"));
    let reply = Packet::new(nbma, protocol, target, 64, Message::ResolutionReply(exchange))
        .with_extension(Extension { compulsory: false, body: ExtensionBody::NatAddress(vec![entry]) });
    net.inject(two, "172.16.0.4", octets(&reply));
    nbma_of(&net, two, "10.255.0.4")
}

#[test]
fn of_a_nat_extension_only_the_entry_about_the_station_counts() {
    let outer = |protocol: &str| Cie {
        prefix_length: 32,
        nbma: Some(ip("198.51.100.9")),
        protocol: Some(ip(protocol)),
        ..Cie::default()
    };
    assert_eq!(answered_with_nat(outer("10.255.0.4")), Some(ip("198.51.100.9")));
    assert_eq!(answered_with_nat(outer("10.255.0.6")), Some(ip("172.16.0.4")));
}

/// Spoke 2 with a second tunnel, of this network-id, with a server of its own behind which 10.9.0.0/16 lies.
fn two_networks(network_id: u32) -> (Network, NodeId) {
    let (mut net, _, two, _) = triangle();
    net.node_mut(two).tunnels.push(Tunnel { ifindex: 11, key: 43, nbma: ip("172.16.0.2") });
    let mut config = InterfaceConfig::default();
    config.ip.network_id = network_id;
    config.ip.shortcut = true;
    config.ip.maps.insert(ip("10.254.0.1"), MapTarget::Nbma(ip("172.16.0.1")));
    net.input(two, Input::Configure { name: "gre2".to_owned(), config: Box::new(config) });
    let name = "gre2".to_owned();
    net.input(two, Input::Link(Link { ifindex: 11, name, up: true, gre: true, mtu: 1500 }));
    net.input(two, address(11, "10.254.0.2/32"));
    let local = Some(Ipv4Addr::new(172, 16, 0, 2));
    net.input(two, Input::Gre { ifindex: 11, local, link: None });
    net.add_route(two, "10.9.0.0/16", Some("10.254.0.1"), 11);
    (net, two)
}

#[test]
fn an_indication_concerns_the_network_in_which_it_came() {
    for (network_id, requests) in [(1, 1), (2, 0)] {
        let (mut net, two) = two_networks(network_id);
        let start = net.now();
        // On gre1, about what lies behind gre2.
        indicated(&mut net, two, [10, 9, 0, 5]);
        assert_eq!(net.sent(two, ResolutionRequest, start).len(), requests, "network-id {network_id}");
    }
}

#[test]
fn a_question_whose_route_is_gone_is_in_nobodys_way() {
    let (mut net, _, two, _) = triangle();
    net.conditions.loss = 1.0;
    indicated(&mut net, two, [10, 4, 0, 5]);
    net.delete_route(two, "10.0.0.0/8");
    net.run_for(secs(2));
    net.add_route(two, "10.0.0.0/8", Some("10.255.0.1"), Router::TUNNEL);
    let start = net.now();
    indicated(&mut net, two, [10, 4, 0, 5]);
    assert_eq!(net.sent(two, ResolutionRequest, start).len(), 1, "asked anew, and at once");
    net.node(two).assert_consistent();
}
