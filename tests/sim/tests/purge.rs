//! Purging: who says when that something is over, who believes it, and that nothing depends on an answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::Afi;
use nhrp_engine::{ClearWhat, Input, Instant, Notice};
use nhrp_wire::PacketType::{PurgeReply, PurgeRequest};
use nhrp_wire::{Cie, Exchange, Message, Packet, flags};
use sim::shorthand::{ip, ms, secs, triangle};
use sim::{Network, NodeId, Router};

/// The same, with a shortcut from 2 to 4.
fn direct() -> (Network, NodeId, NodeId, NodeId) {
    let (mut net, hub, two, four) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    assert_eq!(shortcuts(&net, two), 1);
    (net, hub, two, four)
}

fn shortcuts(net: &Network, node: NodeId) -> usize {
    net.node(node).engine.shortcut_view(Afi::Ip).len()
}

fn knows(net: &Network, node: NodeId, protocol: &str) -> bool {
    net.node(node).fib.neighbours.contains_key(&(Router::TUNNEL, ip(protocol)))
}

fn purge(source_nbma: &str, source: &str, destination: &str, about: &[(&str, u8)]) -> Packet {
    let cies = about.iter().map(|(address, length)| Cie {
        protocol: Some(ip(address)),
        prefix_length: *length,
        ..Cie::default()
    });
    let message = Message::PurgeRequest(Exchange { request_id: 77, cies: cies.collect() });
    Packet::new(ip(source_nbma), ip(source), ip(destination), 64, message)
}

fn inject(net: &mut Network, to: NodeId, source: &str, packet: &Packet) {
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    net.inject(to, source, octets);
    net.node(to).assert_consistent();
}

#[test]
fn a_leaving_spoke_is_forgotten_at_once_and_asks_for_no_reply() {
    let (mut net, hub, two, four) = direct();
    let start = net.now();
    net.input(four, Input::Leaving);
    net.node_mut(four).online = false;
    net.run_for(ms(100));
    assert!(!knows(&net, hub, "10.255.0.4"));
    let sent = net.sent(four, PurgeRequest, start);
    let to_hub: Vec<_> = sent.iter().filter(|f| f.destination == ip("172.16.0.1")).collect();
    assert_eq!(to_hub.len(), 1);
    let packet = to_hub[0].packet();
    assert_eq!(packet.flags & flags::PURGE_NO_REPLY, flags::PURGE_NO_REPLY);
    assert_eq!(packet.destination_protocol, Some(ip("10.255.0.1")));
    let exchange = packet.message.exchange().unwrap();
    let cie = Cie { prefix_length: 32, protocol: Some(ip("10.255.0.4")), ..Cie::default() };
    assert_eq!(exchange.cies, [cie]);
    assert!(net.sent(hub, PurgeReply, start).is_empty());
    // Whoever talked to it directly goes through the hub again.
    assert_eq!(shortcuts(&net, two), 0);
    assert!(!knows(&net, two, "10.255.0.4"));
    for node in [hub, two] {
        net.node(node).assert_consistent();
        assert_eq!(net.node(node).fib.vain_deletions, 0);
    }
    net.run_for(secs(10));
    assert_eq!(net.node(two).engine.pending_requests(), 0);
}

#[test]
fn leaving_is_never_announced_by_a_holding_time_of_zero() {
    let (mut net, _, _, four) = direct();
    net.input(four, Input::Leaving);
    net.run_for(secs(5));
    for frame in &net.wire {
        if let Message::RegistrationRequest(exchange) = &frame.packet().message {
            assert!(exchange.cies.iter().all(|c| c.holding_time > 0));
        }
    }
}

#[test]
fn a_removed_nhs_line_is_a_purge_that_is_answered() {
    let (mut net, hub, two, _) = triangle();
    let start = net.now();
    net.configure(two, |c| c.ip.nhs.clear());
    net.run_for(secs(10));
    assert!(!knows(&net, hub, "10.255.0.2"));
    assert_eq!(net.sent(two, PurgeRequest, start).len(), 1, "the reply came");
    assert_eq!(net.sent(hub, PurgeReply, start).len(), 1);
    assert_eq!(net.node(two).engine.stats().purges_acknowledged, 1);
    assert_eq!(net.node(two).engine.purge_sizes(), [0, 0]);
}

#[test]
fn an_unanswered_purge_is_repeated_twice_with_the_same_id_and_given_up() {
    let (mut net, hub, two, _) = triangle();
    net.node_mut(hub).online = false;
    let start = net.now();
    net.configure(two, |c| c.ip.nhs.clear());
    net.run_for(secs(30));
    let sent = net.sent(two, PurgeRequest, start);
    let waits: Vec<u64> = sent.windows(2).map(|w| w[1].at.since(w[0].at).as_secs()).collect();
    assert_eq!(waits, [1, 2]);
    let id = |f: &&sim::Frame| f.packet().message.exchange().unwrap().request_id;
    assert!(sent.iter().all(|f| id(f) == id(&sent[0])));
    assert_eq!(net.node(two).engine.stats().purges_unanswered, 1);
    assert_eq!(net.node(two).engine.pending_requests(), 0);
}

#[test]
fn who_registers_again_is_not_purged_by_a_repetition() {
    let (mut net, hub, two, _) = triangle();
    net.node_mut(hub).online = false;
    let nhs = net.node(two).router.config.ip.nhs.clone();
    net.configure(two, |c| c.ip.nhs.clear());
    net.run_for(ms(500));
    net.node_mut(hub).online = true;
    net.configure(two, |c| c.ip.nhs = nhs);
    net.run_for(secs(10));
    assert!(knows(&net, hub, "10.255.0.2"));
    assert_eq!(net.sent(two, PurgeRequest, Instant::ZERO).len(), 1);
}

#[test]
fn a_reply_from_elsewhere_or_about_something_else_does_not_count() {
    let (mut net, hub, two, _) = triangle();
    net.node_mut(hub).online = false;
    net.configure(two, |c| c.ip.nhs.clear());
    let request = net.sent(two, PurgeRequest, Instant::ZERO)[0].packet();
    let Message::PurgeRequest(exchange) = request.message.clone() else { panic!() };
    let reply = Packet { message: Message::PurgeReply(exchange), ..request };
    inject(&mut net, two, "172.16.0.9", &reply);
    let other = Packet { destination_protocol: Some(ip("10.255.0.9")), ..reply.clone() };
    inject(&mut net, two, "172.16.0.1", &other);
    assert_eq!(net.node(two).engine.stats().replies_from_stranger, 2);
    assert_eq!(net.node(two).engine.stats().purges_acknowledged, 0);
    inject(&mut net, two, "172.16.0.1", &reply);
    assert_eq!(net.node(two).engine.stats().purges_acknowledged, 1);
    inject(&mut net, two, "172.16.0.1", &reply);
    assert_eq!(net.node(two).engine.stats().replies_unexpected, 1, "an unsolicited reply is ignored");
}

#[test]
fn only_the_registrant_purges_its_registration() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let about = purge("172.16.0.2", "10.255.0.2", "10.255.0.1", &[("10.255.0.2", 32)]);
    inject(&mut net, hub, "172.16.0.9", &about);
    let named = purge("172.16.0.4", "10.255.0.4", "10.255.0.1", &[("10.255.0.2", 32)]);
    inject(&mut net, hub, "172.16.0.4", &named);
    assert!(knows(&net, hub, "10.255.0.2"));
    assert_eq!(net.node(hub).engine.stats().purges_refused, 2);
    net.run_for(ms(100));
    assert!(net.sent(hub, PurgeReply, start).is_empty(), "a reply would say that it is gone");
    inject(&mut net, hub, "172.16.0.2", &about);
    assert!(!knows(&net, hub, "10.255.0.2"));
}

#[test]
fn a_purge_of_nothing_known_is_answered_all_the_same() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let unknown = purge("172.16.0.2", "10.255.0.2", "10.255.0.1", &[("10.255.0.77", 32), ("10.9.0.0", 24)]);
    inject(&mut net, hub, "172.16.0.2", &unknown);
    let replies = net.sent(hub, PurgeReply, start);
    assert_eq!(replies.len(), 1);
    let reply = replies[0].packet();
    assert_eq!(reply.message.exchange(), unknown.message.exchange(), "formed by changing the type");
    assert_eq!(
        (reply.source_protocol, reply.destination_protocol),
        (unknown.source_protocol, unknown.destination_protocol)
    );
    // The N bit: no reply.
    inject(&mut net, hub, "172.16.0.2", &unknown.clone().with_flags(flags::PURGE_NO_REPLY));
    assert_eq!(net.sent(hub, PurgeReply, start).len(), 1);
    // A client that does not know its server's address has its own in its place.
    let own = purge("172.16.0.2", "10.255.0.2", "10.255.0.2", &[("10.255.0.2", 0)]);
    inject(&mut net, hub, "172.16.0.2", &own);
    assert!(!knows(&net, hub, "10.255.0.2"), "length 0 is a host");
}

#[test]
fn an_nbma_address_narrows_a_purge() {
    let (mut net, hub, _, _) = triangle();
    let mut about = purge("172.16.0.2", "10.255.0.2", "10.255.0.1", &[("10.255.0.2", 32)]);
    about.message.exchange_mut().unwrap().cies[0].nbma = Some(ip("172.16.0.77"));
    inject(&mut net, hub, "172.16.0.2", &about);
    assert!(knows(&net, hub, "10.255.0.2"));
    about.message.exchange_mut().unwrap().cies[0].nbma = Some(ip("172.16.0.2"));
    inject(&mut net, hub, "172.16.0.2", &about);
    assert!(!knows(&net, hub, "10.255.0.2"));
}

#[test]
fn a_purge_of_a_prefix_takes_every_binding_of_its_sender_in_it() {
    let (mut net, hub, _, _) = triangle();
    let wide = purge("172.16.0.2", "10.255.0.2", "10.255.0.1", &[("10.255.0.0", 24)]);
    inject(&mut net, hub, "172.16.0.2", &wide);
    assert!(!knows(&net, hub, "10.255.0.2"));
    assert!(knows(&net, hub, "10.255.0.4"), "which is not the sender's");
    assert_eq!(net.node(hub).engine.stats().purges_refused, 1);
    // The whole cache is not looked through for every packet.
    let start = net.now();
    for _ in 0..100 {
        inject(
            &mut net,
            hub,
            "172.16.0.4",
            &purge("172.16.0.4", "10.255.0.4", "10.255.0.1", &[("10.0.0.0", 24)]),
        );
    }
    assert!(net.sent(hub, PurgeReply, start).is_empty());
}

/// The search through all bindings, which a packet may cause once in a while only, is for all entries of that packet.
#[test]
fn two_prefixes_in_one_packet_are_both_purged() {
    let (mut net, hub, two, four) = direct();
    let start = net.now();
    net.add_route(four, "10.14.0.0/24", None, 3);
    net.add_route(hub, "10.14.0.0/24", Some("10.255.0.4"), Router::TUNNEL);
    net.trace(two, "10.2.0.5", "10.14.0.5");
    net.run_for(secs(1));
    assert_eq!(shortcuts(&net, two), 2);
    let both = purge("172.16.0.4", "10.255.0.4", "10.255.0.2", &[("10.4.0.0", 24), ("10.14.0.0", 24)]);
    inject(&mut net, two, "172.16.0.4", &both);
    assert_eq!(shortcuts(&net, two), 0);
    let replies = net.sent(two, PurgeReply, start);
    assert_eq!(replies.len(), 1, "one reply for both");
    assert_eq!(replies[0].packet().message.exchange(), both.message.exchange());
    // Bindings: a station with an address in each of two prefixes.
    for (own, id) in [("10.255.1.9", 1), ("10.255.2.9", 2)] {
        let cie = Cie { prefix_length: 32, holding_time: 600, ..Cie::default() };
        let message = Message::RegistrationRequest(Exchange { request_id: id, cies: vec![cie] });
        inject(
            &mut net,
            hub,
            "172.16.0.9",
            &Packet::new(ip("172.16.0.9"), ip(own), ip("10.255.0.1"), 1, message),
        );
        assert!(knows(&net, hub, own));
    }
    let both = purge("172.16.0.9", "10.255.1.9", "10.255.0.1", &[("10.255.1.0", 24), ("10.255.2.0", 24)]);
    inject(&mut net, hub, "172.16.0.9", &both);
    assert!(!knows(&net, hub, "10.255.1.9") && !knows(&net, hub, "10.255.2.9"));
    let replies = net.sent(hub, PurgeReply, start);
    assert_eq!(replies.last().unwrap().packet().message.exchange(), both.message.exchange());
}

#[test]
fn nothing_configured_is_purged() {
    let (mut net, _, two, _) = triangle();
    for about in ["10.255.0.1", "10.255.0.2"] {
        inject(&mut net, two, "172.16.0.1", &purge("172.16.0.1", "10.255.0.1", "10.255.0.2", &[(about, 32)]));
    }
    assert!(knows(&net, two, "10.255.0.1"), "the NHS stays");
    assert!(net.node(two).engine.nhs_view(Afi::Ip)[0].registered);
    assert_eq!(net.node(two).engine.cache_view(Afi::Ip).count(), 2);
}

#[test]
fn a_prefix_that_moves_away_is_purged_where_it_was_told() {
    let (mut net, _, two, four) = direct();
    let start = net.now();
    net.delete_route(four, "10.4.0.0/24");
    net.run_for(ms(100));
    assert_eq!(shortcuts(&net, two), 0);
    assert_eq!(net.sent(four, PurgeRequest, start).len(), 1);
    assert_eq!(net.sent(two, PurgeReply, start).len(), 1);
    assert!(knows(&net, two, "10.255.0.4"), "its peer is still there");
    net.run_for(secs(10));
    assert_eq!(net.sent(four, PurgeRequest, start).len(), 1);
}

#[test]
fn a_part_of_a_prefix_that_moves_away_is_purged_too() {
    let (mut net, _, two, four) = direct();
    net.add_route(four, "10.4.0.128/25", Some("10.255.0.1"), Router::TUNNEL);
    net.run_for(ms(100));
    assert_eq!(shortcuts(&net, two), 0);
    // A route that leads the same way as before says nothing new.
    let (mut net, _, two, four) = direct();
    let start = net.now();
    net.add_route(four, "10.4.0.128/25", None, 3);
    net.add_route(four, "0.0.0.0/0", Some("10.255.0.1"), Router::TUNNEL);
    net.run_for(secs(1));
    assert_eq!(shortcuts(&net, two), 1);
    assert!(net.sent(four, PurgeRequest, start).is_empty());
}

#[test]
fn a_client_that_moves_is_purged_where_it_was_asked_for() {
    let (mut net, hub, two, four) = direct();
    net.node_mut(four).router.nbma = ip("172.16.9.9");
    net.node_mut(four).router.config.ip.no_unique = true;
    net.restart(four);
    let start = net.now();
    net.run_for(secs(10));
    assert!(!net.sent(hub, PurgeRequest, start).is_empty());
    assert_eq!(shortcuts(&net, two), 0);
    assert!(!knows(&net, two, "10.255.0.4"), "the former address is forgotten before its holding time");
}

#[test]
fn clear_on_the_hub_purges_where_its_clients_were_asked_for() {
    let (mut net, hub, two, four) = direct();
    let start = net.now();
    net.input(hub, Input::Clear(ClearWhat::Cache));
    net.run_for(ms(100));
    assert_eq!(net.sent(hub, PurgeRequest, start).len(), 1);
    assert_eq!(shortcuts(&net, two), 0);
    net.run_for(secs(21));
    assert!(knows(&net, hub, "10.255.0.2") && knows(&net, hub, "10.255.0.4"));
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    net.node(four).assert_consistent();
}

#[test]
fn a_server_passes_no_purge_in_the_name_of_another() {
    let (mut net, hub, two, _) = direct();
    let lie = purge("172.16.0.4", "10.255.0.4", "10.255.0.2", &[("10.4.0.0", 24)]);
    inject(&mut net, hub, "172.16.0.66", &lie);
    net.run_for(ms(100));
    assert_eq!(shortcuts(&net, two), 1);
    assert_eq!(net.node(hub).engine.stats().purges_refused, 1);
    // A stranger asks at the door itself.
    inject(&mut net, two, "172.16.0.66", &lie);
    assert_eq!(shortcuts(&net, two), 1);
    // The same by the one whose it is, through the server.
    inject(&mut net, hub, "172.16.0.4", &lie);
    net.run_for(ms(100));
    assert_eq!(shortcuts(&net, two), 0);
}

#[test]
fn the_memory_of_who_asked_is_bounded() {
    let (mut net, _, _, four) = triangle();
    net.add_route(four, "10.255.0.0/16", Some("10.255.0.1"), Router::TUNNEL);
    for n in 0..20_000u32 {
        let [_, _, a, b] = n.to_be_bytes();
        let own = format!("10.255.{}.{b}", 10 + a);
        let target = format!("10.4.0.{}", n % 250);
        let cie = Cie { prefix_length: 32, holding_time: 600, ..Cie::default() };
        let message = Message::ResolutionRequest(Exchange { request_id: 1, cies: vec![cie] });
        let packet = Packet::new(ip("172.16.0.1"), ip(&own), ip(&target), 64, message);
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        net.inject(four, "172.16.0.1", octets);
    }
    let [waiting, told] = net.node(four).engine.purge_sizes();
    assert_eq!((waiting, told), (0, 512), "one prefix has so many holders at most");
    assert!(net.node(four).engine.stats().limit_told > 0);
    let said =
        |n: &Notice| n.to_string().contains("limit reached, further ones learn of a change by their holding");
    assert!(net.node(four).notices.iter().any(|(_, n)| said(n)));
    net.delete_route(four, "10.4.0.0/24");
    let [waiting, told] = net.node(four).engine.purge_sizes();
    assert!(waiting <= 1024 && told == 0, "{waiting} {told}");
    net.run_for(secs(10));
    assert_eq!(net.node(four).engine.purge_sizes(), [0, 0]);
}

#[test]
fn a_purge_without_an_address_is_refused() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let mut empty = purge("172.16.0.2", "10.255.0.2", "10.255.0.1", &[("10.255.0.2", 32)]);
    empty.message.exchange_mut().unwrap().cies[0].protocol = None;
    inject(&mut net, hub, "172.16.0.2", &empty);
    assert!(knows(&net, hub, "10.255.0.2"));
    assert!(net.sent(hub, PurgeReply, start).is_empty());
}
