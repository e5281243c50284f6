//! On which interfaces NHRP runs, with which NBMA address, and that several of them keep apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nhrp_config::{Afi, InterfaceConfig, TunnelProtection};
use nhrp_engine::{Input, Instant, Link, Notice, Output};
use nhrp_wire::PacketType::{RegistrationRequest, ResolutionRequest};
use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet};
use sim::shorthand::ip;
use sim::{Network, NodeId, Router, Tunnel};

const UNDERLAY: u32 = 2;

fn link(ifindex: u32, name: &str, up: bool, gre: bool) -> Input {
    Input::Link(Link { ifindex, name: name.to_owned(), up, gre, mtu: 1476 })
}

fn address(ifindex: u32, address: &str) -> Input {
    Input::AddressAdded { ifindex, address: address.parse().unwrap(), secondary: false }
}

fn own_nbma(net: &Network, node: NodeId) -> Option<IpAddr> {
    net.node(node)
        .engine
        .cache_view(Afi::Ip)
        .find(|e| e.protocol == Router::overlay4(2))
        .and_then(|e| e.claimed)
}

fn obstacle(net: &Network, node: NodeId) -> Option<String> {
    let told = net.node(node).notices.iter().rev();
    told.filter_map(|(_, n)| match n {
        Notice::InterfaceState { obstacle, .. } => Some(obstacle.clone()),
        _ => None,
    })
    .next()
    .unwrap()
}

#[test]
fn own_nbma_address_is_gre_local_then_tunnel_source_then_the_link() {
    let mut net = Network::new(1);
    let spoke = net.add_router(Router::spoke(2, 1));
    net.input(spoke, link(5, "ppp0", true, false));
    net.input(spoke, address(5, "198.51.100.2/32"));
    net.configure(spoke, |c| c.tunnel_source = Some("ppp0".to_owned()));
    let gre = |local: Option<&str>, link| Input::Gre {
        ifindex: Router::TUNNEL,
        local: local.map(|l| l.parse().unwrap()),
        link,
    };
    assert_eq!(own_nbma(&net, spoke), Some(ip("172.16.0.2")), "a fixed local address wins");
    let bound = net.node(spoke).others.iter().any(|(_, o)| matches!(o, Output::BindGre { link: 5, .. }));
    assert!(bound, "the tunnel is bound to its source interface");
    net.input(spoke, gre(Some("0.0.0.0"), Some(5)));
    assert_eq!(own_nbma(&net, spoke), Some(ip("198.51.100.2")));
    net.configure(spoke, |c| c.tunnel_source = None);
    net.input(spoke, gre(None, Some(UNDERLAY)));
    assert_eq!(own_nbma(&net, spoke), Some(ip("172.16.0.2")));
    // An address change of the underlay is followed only where it matters, and told to the NHS at once.
    let before = net.sent(spoke, RegistrationRequest, Instant::ZERO).len();
    net.input(spoke, Input::AddressDeleted { ifindex: UNDERLAY, address: "172.16.0.2/32".parse().unwrap() });
    net.input(spoke, address(UNDERLAY, "172.16.99.2/24"));
    assert_eq!(own_nbma(&net, spoke), Some(ip("172.16.99.2")));
    let sent = net.sent(spoke, RegistrationRequest, Instant::ZERO);
    assert_eq!(sent.len(), before + 1);
    assert_eq!(sent.last().unwrap().packet().source_nbma, Some(ip("172.16.99.2")));
    net.input(spoke, gre(Some("172.16.0.2"), Some(UNDERLAY)));
    net.input(spoke, address(UNDERLAY, "203.0.113.9/8"));
    assert_eq!(own_nbma(&net, spoke), Some(ip("172.16.0.2")));
}

#[test]
fn a_link_that_is_no_gre_tunnel_needs_a_tunnel_source() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.gre = false;
    let spoke = net.add_router(router);
    net.run_for(Duration::from_secs(3));
    assert!(obstacle(&net, spoke).unwrap().contains("tunnel source"));
    assert!(net.sent(spoke, RegistrationRequest, Instant::ZERO).is_empty());
    assert_eq!(net.node(spoke).engine.next_deadline(), None);
    net.configure(spoke, |c| c.tunnel_source = Some("eth0".to_owned()));
    net.run_for(Duration::from_millis(100));
    assert_eq!(obstacle(&net, spoke), None);
    assert!(net.node(spoke).engine.nhs_view(Afi::Ip)[0].registered);
}

#[test]
fn each_obstacle_is_told_once_and_names_what_to_do() {
    let mut net = Network::new(1);
    let spoke = net.add_router(Router::spoke(2, 1));
    for _ in 0..3 {
        net.input(spoke, link(Router::TUNNEL, "gre1", false, true));
    }
    assert!(obstacle(&net, spoke).unwrap().contains("ip link set gre1 up"));
    let told = net.node(spoke).notices.iter().filter(
        |(_, n)| matches!(n, Notice::InterfaceState { obstacle: Some(o), .. } if o.contains("is down")),
    );
    assert_eq!(told.count(), 1);
    net.input(spoke, link(Router::TUNNEL, "gre1", true, true));
    let before = net.wire.len();
    net.configure(spoke, |c| {
        c.protection = Some(TunnelProtection { profile: "dmvpn".to_owned(), fallback: None });
    });
    net.run_for(Duration::from_secs(10));
    let local = match net.node(spoke).tunnels[0].nbma {
        IpAddr::V4(local) => local,
        IpAddr::V6(_) => panic!("a tunnel over IPv6"),
    };
    let failure = Some("Protocol not supported".to_owned());
    net.input(spoke, Input::Guarded { name: "gre1".to_owned(), local, failure });
    assert!(obstacle(&net, spoke).unwrap().contains("tunnel protection"));
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.wire.len(), before, "nothing goes out in clear");
}

#[test]
fn a_renamed_link_keeps_its_addresses_and_loses_its_configuration() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    net.add_router(Router::spoke(2, 1));
    net.run_for(Duration::from_secs(1));
    net.input(hub, link(Router::TUNNEL, "gre9", true, true));
    assert!(net.node(hub).fib.neighbours.is_empty() && net.node(hub).fib.vain_deletions == 0);
    net.input(hub, link(Router::TUNNEL, "gre1", true, true));
    let local = Some(Ipv4Addr::new(172, 16, 0, 1));
    net.input(hub, Input::Gre { ifindex: Router::TUNNEL, local, link: Some(UNDERLAY) });
    assert_eq!(net.node(hub).fib.neighbours.len(), 1, "what was learned is there again");
    net.node(hub).assert_consistent();
}

/// `ip tunnel change NAME local ADDRESS`: zebra says of it only that the link, which was up, is up.
#[test]
fn a_tunnel_that_gets_another_local_address_registers_from_there() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(Duration::from_secs(1));
    let asked = |net: &Network| {
        let others = net.node(spoke).others.iter();
        others.filter(|(_, o)| matches!(o, Output::QueryGre { ifindex: Router::TUNNEL })).count()
    };
    let before = asked(&net);
    net.input(spoke, link(Router::TUNNEL, "gre1", true, true));
    assert_eq!(asked(&net), before + 1);
    net.node_mut(spoke).tunnels[0].nbma = ip("172.16.9.9");
    let local = Some(Ipv4Addr::new(172, 16, 9, 9));
    net.input(spoke, Input::Gre { ifindex: Router::TUNNEL, local, link: Some(UNDERLAY) });
    net.run_for(Duration::from_secs(10));
    let neighbour = net.node(hub).fib.neighbours.get(&(Router::TUNNEL, ip("10.255.0.2"))).unwrap();
    assert_eq!(neighbour.nbma, ip("172.16.9.9"));
    net.node(hub).assert_consistent();
}

/// A hub with a second tunnel, gre2, of the given network-id, and a client on each.
fn two_tunnels(network_id: u32) -> (Network, NodeId) {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    net.node_mut(hub).tunnels.push(Tunnel { ifindex: 11, key: 43, nbma: ip("172.16.0.1") });
    let mut config = InterfaceConfig::default();
    config.ip.network_id = network_id;
    config.ip.shortcut = true;
    net.input(hub, Input::Configure { name: "gre2".to_owned(), config: Box::new(config) });
    net.input(hub, link(11, "gre2", true, true));
    net.input(hub, address(11, "10.254.0.1/32"));
    let local = Some(Ipv4Addr::new(172, 16, 0, 1));
    net.input(hub, Input::Gre { ifindex: 11, local, link: Some(UNDERLAY) });
    net.add_route(hub, "10.254.0.1/32", None, 11);
    let exchange = || Exchange {
        request_id: 7,
        cies: vec![Cie { prefix_length: 32, holding_time: 600, ..Cie::default() }],
    };
    for (ifindex, nbma, protocol) in [(10, "172.16.0.2", "10.255.0.2"), (11, "172.16.0.3", "10.254.0.3")] {
        let message = Message::RegistrationRequest(exchange());
        let packet = Packet::new(ip(nbma), ip(protocol), ip(protocol), 1, message);
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        net.input(hub, Input::Packet { ifindex, source: ip(nbma), octets });
    }
    net.add_route(hub, "10.3.0.0/24", Some("10.254.0.3"), 11);
    net.configure(hub, |c| c.ip.shortcut = true);
    let message = Message::ResolutionRequest(exchange());
    let packet = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("10.3.0.5"), 64, message)
        .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(Vec::new())));
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    net.inject(hub, "172.16.0.2", octets);
    (net, hub)
}

#[test]
fn networks_with_different_ids_keep_apart() {
    let (net, hub) = two_tunnels(2);
    assert!(net.sent(hub, ResolutionRequest, Instant::ZERO).is_empty());
    let replies = net.sent(hub, nhrp_wire::PacketType::ResolutionReply, Instant::ZERO);
    let cie = &replies[0].packet().message.exchange().unwrap().cies[0].clone();
    assert_eq!((cie.protocol, cie.prefix_length), (Some(ip("10.255.0.1")), 24), "the hub is the way there");
    net.node(hub).assert_consistent();
}

#[test]
fn tunnels_with_one_id_are_one_network() {
    let (net, hub) = two_tunnels(1);
    let forwarded = net.sent(hub, ResolutionRequest, Instant::ZERO);
    assert_eq!(forwarded.len(), 1);
    assert_eq!(forwarded[0].destination, ip("172.16.0.3"));
    net.node(hub).assert_consistent();
}

#[test]
fn an_address_on_two_tunnels_keeps_its_route_while_one_is_left() {
    let (mut net, hub) = two_tunnels(2);
    let message = Message::RegistrationRequest(Exchange {
        request_id: 8,
        cies: vec![Cie { prefix_length: 32, holding_time: 30, ..Cie::default() }],
    });
    let packet = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("10.255.0.2"), 1, message);
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    net.input(hub, Input::Packet { ifindex: 11, source: ip("172.16.0.2"), octets });
    net.node(hub).assert_consistent();
    net.run_for(Duration::from_secs(31));
    net.node(hub).assert_consistent();
    assert!(net.node(hub).fib.nhrp.contains_key(&"10.255.0.2/32".parse().unwrap()));
    assert_eq!(net.node(hub).fib.vain_deletions, 0);
}

#[test]
fn an_interface_that_goes_takes_all_with_it_and_comes_back_with_another_index() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    net.add_router(Router::spoke(2, 1));
    net.run_for(Duration::from_secs(1));
    net.input(hub, Input::LinkDeleted { ifindex: Router::TUNNEL });
    assert!(net.node(hub).fib.neighbours.is_empty() && net.node(hub).fib.nhrp.is_empty());
    net.node_mut(hub).tunnels[0].ifindex = 20;
    net.input(hub, link(20, "gre1", true, true));
    net.input(hub, address(20, "10.255.0.1/32"));
    let local = Some(Ipv4Addr::new(172, 16, 0, 1));
    net.input(hub, Input::Gre { ifindex: 20, local, link: Some(UNDERLAY) });
    let neighbours: Vec<_> = net.node(hub).fib.neighbours.keys().copied().collect();
    assert_eq!(neighbours, [(20, ip("10.255.0.2"))]);
    net.node(hub).assert_consistent();
}

#[test]
fn a_tunnel_of_the_wrong_kind_is_refused_with_its_reason_even_with_a_tunnel_source() {
    let mut net = Network::new(1);
    let mut router = Router::spoke(2, 1);
    router.gre = false;
    let spoke = net.add_router(router);
    let reason = "it is a GRE tunnel over IPv6".to_owned();
    net.input(spoke, Input::Unsuited { ifindex: Router::TUNNEL, reason: reason.clone() });
    net.configure(spoke, |c| c.tunnel_source = Some("eth0".to_owned()));
    net.run_for(Duration::from_secs(60));
    assert_eq!(obstacle(&net, spoke), Some(reason));
    assert!(net.sent(spoke, RegistrationRequest, Instant::ZERO).is_empty());
    // Another interface of the name may do.
    net.input(spoke, Input::LinkDeleted { ifindex: Router::TUNNEL });
    net.input(spoke, link(Router::TUNNEL, "gre1", true, false));
    net.input(spoke, address(Router::TUNNEL, "10.255.0.2/32"));
    assert_eq!(obstacle(&net, spoke), None);
}
