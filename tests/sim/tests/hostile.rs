//! What others send that they should not: floods, loops, garbage, lies. Nothing stops, nothing learned is lost,
//! nothing grows without bound, no packet begets a stream of packets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::Ipv4Addr;
use std::time::Duration;

use nhrp_config::{Afi, MapTarget};
use nhrp_engine::{Input, Instant, Limits, Notice};
use nhrp_wire::PacketType::{
    ErrorIndication, PurgeReply, RegistrationReply, ResolutionRequest, TrafficIndication,
};
use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Message, Packet};
use sim::shorthand::{ip, octets, secs, triangle};
use sim::{Network, NodeId, Router};

fn exchange(cies: Vec<Cie>) -> Exchange {
    Exchange { request_id: 0x1234, cies }
}

fn lifetime(seconds: u16) -> Cie {
    Cie { prefix_length: 32, holding_time: seconds, ..Cie::default() }
}

fn registration(nbma: &str, protocol: &str) -> Packet {
    let message = Message::RegistrationRequest(exchange(vec![lifetime(600)]));
    Packet::new(ip(nbma), ip(protocol), ip(protocol), 1, message)
}

fn resolution(nbma: &str, protocol: &str, target: &str, hops: u8) -> Packet {
    let message = Message::ResolutionRequest(exchange(vec![lifetime(600)]));
    Packet::new(ip(nbma), ip(protocol), ip(target), hops, message)
        .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(Vec::new())))
}

fn last_reply(net: &Network, from: NodeId, kind: nhrp_wire::PacketType) -> Packet {
    net.sent(from, kind, Instant::ZERO).last().unwrap().packet()
}

#[test]
fn hop_count_zero_is_answered_with_error_15_and_not_forwarded() {
    let (mut net, hub, two, _) = triangle();
    let start = net.now();
    net.inject(hub, "172.16.0.2", octets(&resolution("172.16.0.2", "10.255.0.2", "10.4.0.5", 0)));
    net.run_for(secs(5));
    let errors = net.sent(hub, ErrorIndication, start);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to, Some(two));
    let Message::ErrorIndication { code, packet, .. } = errors[0].packet().message else { panic!() };
    assert_eq!(code, ErrorCode::HopCountExceeded);
    assert_eq!(Packet::decode_inner_header(&packet).unwrap().request_id, 0x1234);
    assert!(net.sent(hub, ResolutionRequest, start).is_empty());
    // One hop left is enough to be passed on.
    net.inject(hub, "172.16.0.2", octets(&resolution("172.16.0.2", "10.255.0.2", "10.4.0.5", 1)));
    assert_eq!(net.sent(hub, ResolutionRequest, start)[0].packet().hop_count, 0);
}

#[test]
fn servers_that_point_at_each_other_drop_what_comes_back() {
    let mut net = Network::new(7);
    let one = net.add_router(Router::hub(1));
    let mut router = Router::hub(3);
    router.config.ip.nhs = Router::spoke(3, 1).config.ip.nhs;
    let three = net.add_router(router);
    net.run_for(secs(1));
    net.add_route(one, "203.0.113.0/24", Some("10.255.0.3"), Router::TUNNEL);
    net.add_route(three, "203.0.113.0/24", Some("10.255.0.1"), Router::TUNNEL);
    let start = net.now();
    net.inject(one, "172.16.0.2", octets(&resolution("172.16.0.2", "10.255.0.2", "203.0.113.5", 64)));
    net.run_for(secs(5));
    let kinds: Vec<_> = net.wire.iter().filter(|f| f.at >= start).map(sim::Frame::kind).collect();
    let there_and_back = [ResolutionRequest, ResolutionRequest, ErrorIndication];
    assert_eq!(kinds, there_and_back, "then it is recognised, and its sender told");
    assert_eq!(net.node(one).engine.stats().loops_detected, 1);
    // Error indications have no record: their hop count ends it, without an error about an error.
    let start = net.now();
    let message = Message::ErrorIndication { code: ErrorCode::ProtocolError, offset: 0, packet: vec![0; 40] };
    let error = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("203.0.113.5"), 255, message);
    net.inject(one, "172.16.0.2", octets(&error));
    net.run_for(secs(10));
    let count = net.wire.iter().filter(|f| f.at >= start && f.kind() == ErrorIndication).count();
    assert_eq!(count, 255);
}

#[test]
fn garbage_is_counted_and_named() {
    let (mut net, hub, _, _) = triangle();
    let good = octets(&registration("172.16.0.9", "10.255.0.9"));
    let before = net.node(hub).engine.stats().packets_malformed;
    for cut in 0..good.len() {
        net.inject(hub, "172.16.0.9", good[..cut].to_vec());
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        net.inject(hub, "172.16.0.9", bad);
    }
    let refused = net.node(hub).engine.stats().packets_malformed - before;
    // The internet checksum finds every single flipped bit.
    assert_eq!(refused, good.len() as u64 * 9);
    assert!(matches!(net.node(hub).notices.last().unwrap().1, Notice::PacketRefused { .. }));
    assert_eq!(net.node(hub).fib.neighbours.len(), 2);
}

#[test]
fn addresses_that_are_no_station_are_not_bound() {
    let (mut net, hub, _, _) = triangle();
    for protocol in ["0.0.0.0", "224.0.0.1", "127.0.0.1", "255.255.255.255"] {
        net.inject(hub, "172.16.0.9", octets(&registration("172.16.0.9", protocol)));
        let reply = last_reply(&net, hub, RegistrationReply);
        assert_eq!(reply.message.exchange().unwrap().cies[0].code, CieCode::AdministrativelyProhibited);
    }
    assert_eq!(net.node(hub).fib.neighbours.len(), 2);
}

#[test]
fn the_hubs_own_address_cannot_be_registered() {
    let (mut net, hub, _, _) = triangle();
    net.inject(hub, "172.16.0.9", octets(&registration("172.16.0.9", "10.255.0.1")));
    let reply = last_reply(&net, hub, RegistrationReply);
    assert_eq!(reply.message.exchange().unwrap().cies[0].code, CieCode::AdministrativelyProhibited);
    assert!(!net.node(hub).fib.neighbours.contains_key(&(Router::TUNNEL, ip("10.255.0.1"))));
}

#[test]
fn another_nbma_family_is_refused_before_anything_is_learned() {
    let (mut net, hub, _, _) = triangle();
    net.inject(hub, "172.16.0.9", octets(&registration("2001:db8::9", "10.255.0.9")));
    assert_eq!(net.node(hub).fib.neighbours.len(), 2);
    assert_eq!(net.node(hub).engine.stats().encode_errors, 0);
}

#[test]
fn a_flood_of_registrations_stops_at_the_limit_and_spares_the_known() {
    let mut net = Network::new(7);
    let mut router = Router::hub(1);
    router.limits = Limits { max_cache_entries: 100, max_resolutions: 10, ..Limits::default() };
    router.config.ip.maps.insert(ip("10.255.0.77"), MapTarget::Nbma(ip("172.16.0.77")));
    let hub = net.add_router(router);
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    for n in 0..10_000u32 {
        let protocol = Ipv4Addr::from(0x0b00_0001 + n).to_string();
        net.inject(hub, "172.16.0.9", octets(&registration("172.16.0.9", &protocol)));
    }
    assert_eq!(net.node(hub).engine.sizes()[0], 100);
    let reply = last_reply(&net, hub, RegistrationReply);
    assert_eq!(reply.message.exchange().unwrap().cies[0].code, CieCode::InsufficientResources);
    assert!(net.node(hub).notices.iter().any(|(_, n)| matches!(n, Notice::Limit { .. })));
    net.run_for(secs(100));
    assert!(net.node(spoke).engine.nhs_view(Afi::Ip)[0].registered, "renewals go on");
    net.run_for(secs(600));
    assert_eq!(net.node(hub).engine.sizes()[0], 3, "the flood has expired");
    net.node(hub).assert_consistent();
}

#[test]
fn of_far_too_many_entries_the_first_are_looked_at_and_the_sender_is_named() {
    let (mut net, hub, _, _) = triangle();
    let message = Message::RegistrationRequest(exchange(vec![lifetime(600); 90]));
    let packet = Packet::new(ip("172.16.0.9"), ip("10.255.0.9"), ip("10.255.0.1"), 1, message);
    net.inject(hub, "172.16.0.9", octets(&packet));
    let reply = last_reply(&net, hub, RegistrationReply);
    let codes: Vec<CieCode> = reply.message.exchange().unwrap().cies.iter().map(|c| c.code).collect();
    assert!(codes[..16].iter().all(|code| *code == CieCode::Success));
    assert!(codes.len() == 90 && codes[16..].iter().all(|code| *code == CieCode::InsufficientResources));
    let entry = Cie { protocol: Some(ip("10.255.0.9")), prefix_length: 32, ..Cie::default() };
    let message = Message::PurgeRequest(exchange(vec![entry; 90]));
    let packet = Packet::new(ip("172.16.0.9"), ip("10.255.0.9"), ip("10.255.0.1"), 1, message);
    net.inject(hub, "172.16.0.9", octets(&packet));
    assert!(net.sent(hub, PurgeReply, Instant::ZERO).is_empty(), "it would stand for all of them");
    let node = net.node(hub);
    assert_eq!(node.engine.stats().limit_entries, 2);
    let said =
        |n: &Notice| n.to_string().contains("From 172.16.0.9: error: more than 16 entries in a packet");
    assert_eq!(node.notices.iter().filter(|(_, n)| said(n)).count(), 2);
}

#[test]
fn a_spoke_whose_table_is_full_still_finds_its_hub() {
    let mut net = Network::new(7);
    let hub = net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.limits = Limits { max_cache_entries: 10, max_resolutions: 10, ..Limits::default() };
    let spoke = net.add_router(router);
    net.node_mut(hub).online = false;
    for n in 0..50 {
        let protocol = format!("11.0.0.{n}");
        net.inject(spoke, "172.16.0.9", octets(&registration("172.16.0.9", &protocol)));
    }
    net.node_mut(hub).online = true;
    net.run_for(secs(5));
    assert!(net.node(spoke).fib.neighbours.contains_key(&(Router::TUNNEL, ip("10.255.0.1"))));
}

#[test]
fn a_flood_of_indications_stops_at_the_limit_of_resolutions() {
    let mut net = Network::new(7);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.limits = Limits { max_cache_entries: 100, max_resolutions: 10, ..Limits::default() };
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    let start = net.now();
    for n in 0..5_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let inner = [&[0x45; 12][..], &[10, 2, 0, 5], &[10, 100 + a, b, c]].concat();
        let message = Message::TrafficIndication { unused: 0, packet: inner };
        let packet = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.2.0.5"), 1, message);
        net.inject(spoke, "172.16.0.1", octets(&packet));
    }
    assert_eq!(net.node(spoke).engine.sizes()[2], 10);
    assert_eq!(net.sent(spoke, ResolutionRequest, start).len(), 10);
    net.run_for(secs(31));
    assert_eq!(net.node(spoke).engine.sizes()[2], 0);
}

#[test]
fn a_flood_of_flows_makes_a_bounded_number_of_indications() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    for n in 0..20_000u32 {
        let [_, _, b, c] = n.to_be_bytes();
        let octets = [&[0x45; 12][..], &[10, 2, 0, 5], &[10, 4, b, c]].concat();
        net.input(hub, Input::Flow { ifindex: Router::TUNNEL, octets });
    }
    assert!(net.sent(hub, TrafficIndication, start).len() <= 4096);
}

#[test]
fn unauthenticated_floods_get_few_errors() {
    let (mut net, hub, _, _) = triangle();
    net.configure(hub, |c| c.authentication = Some((Afi::Ip, "secret".to_owned())));
    let start = net.now();
    for _ in 0..1_000 {
        net.inject(hub, "172.16.0.9", octets(&registration("172.16.0.9", "10.255.0.9")));
    }
    assert!(net.sent(hub, ErrorIndication, start).len() <= 10);
    assert_eq!(net.node(hub).engine.stats().authentication_failures, 1_000);
}

#[test]
fn replies_that_nobody_asked_for_teach_nothing() {
    let (mut net, _, two, _) = triangle();
    for id in 0..2_000 {
        let cie = Cie { nbma: Some(ip("172.16.0.66")), protocol: Some(ip("10.255.0.66")), ..lifetime(600) };
        let message = Message::ResolutionReply(Exchange { request_id: id, cies: vec![cie] });
        let packet = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("10.4.0.5"), 64, message);
        net.inject(two, "172.16.0.66", octets(&packet));
    }
    assert_eq!(net.node(two).engine.stats().replies_unexpected, 2_000);
    assert_eq!(net.node(two).fib.neighbours.len(), 1);
}

/// Starts a resolution at spoke 2 and answers it by hand.
fn answered(change: impl FnOnce(&mut Packet)) -> (Network, NodeId) {
    let (mut net, _, two, four) = triangle();
    net.node_mut(four).online = false;
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(Duration::from_millis(50));
    let request = last_reply(&net, two, ResolutionRequest);
    let request_id = request.message.exchange().unwrap().request_id;
    let cie = Cie {
        nbma: Some(ip("172.16.0.4")),
        protocol: Some(ip("10.255.0.4")),
        prefix_length: 24,
        ..lifetime(600)
    };
    let message = Message::ResolutionReply(Exchange { request_id, cies: vec![cie] });
    let mut reply = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("10.4.0.5"), 64, message);
    change(&mut reply);
    net.inject(two, "172.16.0.1", octets(&reply));
    net.node(two).assert_consistent();
    (net, two)
}

#[test]
fn a_reply_that_names_ourselves_makes_no_shortcut() {
    let count = |change: fn(&mut Cie)| {
        let (net, two) = answered(|p| change(&mut p.message.exchange_mut().unwrap().cies[0]));
        net.node(two).engine.shortcut_view(Afi::Ip).len()
    };
    assert_eq!(count(|_| {}), 1, "the untouched reply is good");
    assert_eq!(count(|c| c.protocol = Some("10.255.0.2".parse().unwrap())), 0);
    assert_eq!(count(|c| c.nbma = Some("172.16.0.2".parse().unwrap())), 0);
    assert_eq!(count(|c| c.nbma = Some("0.0.0.0".parse().unwrap())), 0);
    assert_eq!(count(|c| c.nbma = Some("224.0.0.9".parse().unwrap())), 0);
    assert_eq!(count(|c| c.nbma = None), 0);
    assert_eq!(count(|c| c.code = CieCode::NoBinding), 0);
}

#[test]
fn unreachable_is_remembered_and_gives_way_to_a_peer_of_that_address() {
    let (mut net, hub, two, _) = triangle();
    net.node_mut(hub).online = false;
    net.add_route(two, "10.255.0.0/16", Some("10.255.0.1"), Router::TUNNEL);
    let inner = [&[0x45; 12][..], &[10, 2, 0, 5], &[10, 255, 0, 4]].concat();
    let message = Message::TrafficIndication { unused: 0, packet: inner };
    let packet = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.2.0.5"), 1, message);
    net.inject(two, "172.16.0.1", octets(&packet));
    let request = net.sent(two, ResolutionRequest, Instant::ZERO).last().unwrap().octets.clone();
    let message = Message::ErrorIndication {
        code: ErrorCode::ProtocolAddressUnreachable,
        offset: 0,
        packet: request[..40].to_vec(),
    };
    let error = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.255.0.2"), 64, message);
    net.inject(two, "172.16.0.1", octets(&error));
    let rows = net.node(two).engine.shortcut_view(Afi::Ip);
    assert_eq!((rows.len(), rows[0].kind), (1, "negative"));
    net.node(two).assert_consistent();
    // Then the address turns up as a peer: its host route is the peer's, also after the negative one has expired.
    net.inject(two, "172.16.0.4", octets(&registration("172.16.0.4", "10.255.0.4")));
    net.node(two).assert_consistent();
    net.run_for(secs(61));
    assert!(net.node(two).engine.shortcut_view(Afi::Ip).is_empty());
    net.node(two).assert_consistent();
    assert!(net.node(two).fib.nhrp.contains_key(&"10.255.0.4/32".parse().unwrap()));
    assert_eq!(net.node(two).fib.vain_deletions, 0);
}

#[test]
fn an_odd_number_of_logged_octets_is_trimmed() {
    let (mut net, hub, _, _) = triangle();
    for length in [20, 21, 84, 85, 128, 1499] {
        let start = net.now();
        let to = [10, 4, 0, u8::try_from(length % 251).unwrap()];
        let mut octets = [&[0x45; 12][..], &[10, 2, 0, 5], &to].concat();
        octets.resize(length, 1);
        net.input(hub, Input::Flow { ifindex: Router::TUNNEL, octets });
        let frame = net.sent(hub, TrafficIndication, start)[0].octets.clone();
        assert_eq!(frame.len(), 40 + length.min(128) / 2 * 2);
        net.run_for(secs(1));
    }
}
