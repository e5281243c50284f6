//! Unique registrations: protected, but nobody is locked out by an address that the registrant has left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use nhrp_config::Uniqueness;
use nhrp_engine::{Instant, Notice};
use nhrp_wire::PacketType::{RegistrationReply, RegistrationRequest};
use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Message, Packet, flags};
use sim::shorthand::{ip, nbma_of, secs};
use sim::{Network, NodeId, Router};

fn registration(source: &str, protocols: &[&str], flag: u16, seconds: u16) -> Packet {
    let cies = protocols.iter().map(|p| Cie {
        prefix_length: if flag == 0 { 32 } else { 0xFF },
        holding_time: seconds,
        protocol: Some(ip(p)),
        ..Cie::default()
    });
    let message = Message::RegistrationRequest(Exchange { request_id: 5, cies: cies.collect() });
    Packet::new(ip(source), ip(protocols[0]), ip("10.255.0.1"), 1, message).with_flags(flag)
}

/// Codes and holding times of the answer.
fn register(net: &mut Network, hub: NodeId, source: &str, packet: &Packet) -> Vec<(CieCode, u16)> {
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    let before = net.wire.len();
    net.inject(hub, source, octets);
    let answers: Vec<_> = net.wire[before..]
        .iter()
        .filter(|f| f.from == hub && f.kind() == RegistrationReply && f.destination == ip(source))
        .collect();
    assert_eq!(answers.len(), 1, "one answer to one request");
    let reply = answers[0].packet();
    reply.message.exchange().unwrap().cies.iter().map(|c| (c.code, c.holding_time)).collect()
}

fn pair() -> (Network, NodeId, NodeId) {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    (net, hub, spoke)
}

const UNIQUE: u16 = flags::REGISTRATION_UNIQUE;

#[test]
fn a_station_that_is_there_keeps_its_address() {
    let (mut net, hub, spoke) = pair();
    let thief = registration("172.16.0.9", &["10.255.0.2"], UNIQUE, 600);
    for _ in 0..60 {
        let answer = register(&mut net, hub, "172.16.0.9", &thief);
        assert_eq!(answer, [(CieCode::AlreadyRegistered, 0)]);
        net.run_for(secs(1));
    }
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    // It was asked once in ten seconds, not for each attempt, and by a packet that registers nothing.
    let asked = net.sent(hub, RegistrationRequest, Instant::ZERO);
    assert!((5..=7).contains(&asked.len()), "{}", asked.len());
    assert!(asked.iter().all(|f| f.destination == ip("172.16.0.2")));
    assert!(asked.iter().all(|f| f.packet().message.exchange().unwrap().cies.is_empty()));
    assert!(net.node(hub).notices.iter().any(|(_, n)| matches!(n, Notice::AddressContested { .. })));
    net.node(spoke).assert_consistent();
    assert!(net.node(spoke).engine.nhs_view(nhrp_config::Afi::Ip)[0].registered);
    // Without the unique bit it is no better.
    let answer = register(&mut net, hub, "172.16.0.9", &registration("172.16.0.9", &["10.255.0.2"], 0, 600));
    assert_eq!(answer, [(CieCode::AlreadyRegistered, 0)]);
    net.run_for(secs(60));
    assert_eq!(net.node(hub).engine.pending_requests(), 0);
}

#[test]
fn a_spoke_whose_address_changed_is_back_within_seconds() {
    let (mut net, hub, spoke) = pair();
    net.node_mut(spoke).router.nbma = ip("172.16.9.9");
    net.restart(spoke);
    let start = net.now();
    assert!(net.run_until(secs(8), |n| nbma_of(n, hub, "10.255.0.2") == Some(ip("172.16.9.9"))));
    assert!(net.now().since(start) < Duration::from_millis(3200), "{:?}", net.now().since(start));
    net.node(hub).assert_consistent();
    net.run_for(secs(60));
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.9.9")));
    assert_eq!(net.node(hub).engine.pending_requests(), 0);
}

/// A station is at the address of a registration, but that one is not its own any more: it says so by the error that its
/// kind of nhrpd has for it.
#[test]
fn a_station_that_says_that_it_is_not_the_owner_is_none() {
    for code in [ErrorCode::ProtocolAddressUnreachable, ErrorCode::HopCountExceeded, ErrorCode::LoopDetected]
    {
        let (mut net, hub, spoke) = pair();
        net.node_mut(spoke).online = false;
        let newcomer = registration("172.16.0.9", &["10.255.0.2"], UNIQUE, 600);
        let answer = register(&mut net, hub, "172.16.0.9", &newcomer);
        assert_eq!(answer, [(CieCode::AlreadyRegistered, 0)]);
        let asked = net.sent(hub, RegistrationRequest, Instant::ZERO)[0].octets.clone();
        let message = Message::ErrorIndication { code, offset: 0, packet: asked };
        let error = Packet::new(ip("172.16.0.2"), ip("10.255.0.66"), ip("10.255.0.1"), 1, message);
        let mut octets = Vec::new();
        error.encode(&mut octets).unwrap();
        net.inject(hub, "172.16.0.2", octets);
        let answer = register(&mut net, hub, "172.16.0.9", &newcomer);
        assert_eq!(answer, [(CieCode::Success, 600)], "{code:?}");
        assert_eq!(net.node(hub).engine.pending_requests(), 0);
    }
}

#[test]
fn contests_have_a_limit_that_is_said_and_counted() {
    let (mut net, hub, _) = pair();
    for n in 0..1100_u32 {
        let own = format!("10.254.{}.{}", n / 250, n % 250 + 1);
        register(&mut net, hub, "172.16.0.8", &registration("172.16.0.8", &[&own], UNIQUE, 600));
        register(&mut net, hub, "172.16.0.9", &registration("172.16.0.9", &[&own], UNIQUE, 600));
    }
    let node = net.node(hub);
    assert_eq!(node.engine.stats().limit_contests, 1100 - 1024);
    let said = |n: &Notice| n.to_string().starts_with("1024 contested addresses: limit reached");
    assert!(node.notices.iter().any(|(_, n)| said(n)));
    net.run_for(secs(60));
    assert_eq!(net.node(hub).engine.pending_requests(), 0);
}

#[test]
fn with_strict_it_waits_for_its_own_former_registration_to_expire() {
    let (mut net, hub, spoke) = pair();
    net.configure(hub, |c| c.ip.uniqueness = Uniqueness::Strict);
    net.node_mut(spoke).router.nbma = ip("172.16.9.9");
    net.restart(spoke);
    net.run_for(secs(55));
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    assert!(net.sent(hub, RegistrationRequest, Instant::ZERO).is_empty(), "nobody is asked");
    assert!(net.run_until(secs(80), |n| nbma_of(n, hub, "10.255.0.2") == Some(ip("172.16.9.9"))));
}

#[test]
fn a_binding_that_is_not_unique_is_replaced_at_once() {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1));
    assert_eq!(
        register(&mut net, hub, "172.16.0.9", &registration("172.16.0.9", &["10.255.0.2"], 0, 600)),
        [(CieCode::Success, 600)]
    );
    let newcomer = registration("172.16.0.8", &["10.255.0.2"], UNIQUE, 600);
    assert_eq!(register(&mut net, hub, "172.16.0.8", &newcomer), [(CieCode::Success, 600)]);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.8")));
    // Now it is unique; the same address renews it.
    assert_eq!(register(&mut net, hub, "172.16.0.8", &newcomer), [(CieCode::Success, 600)]);
    let third = registration("172.16.0.7", &["10.255.0.2"], UNIQUE, 600);
    assert_eq!(register(&mut net, hub, "172.16.0.7", &third), [(CieCode::AlreadyRegistered, 0)]);
}

#[test]
fn an_answer_from_elsewhere_is_not_the_stations() {
    let (mut net, hub, spoke) = pair();
    net.node_mut(spoke).online = false;
    let thief = registration("172.16.0.9", &["10.255.0.2"], UNIQUE, 600);
    register(&mut net, hub, "172.16.0.9", &thief);
    let asked = net.sent(hub, RegistrationRequest, Instant::ZERO)[0].packet();
    let Message::RegistrationRequest(exchange) = asked.message.clone() else { panic!() };
    let reply = Packet { message: Message::RegistrationReply(exchange), ..asked };
    let mut octets = Vec::new();
    reply.encode(&mut octets).unwrap();
    net.inject(hub, "172.16.0.9", octets);
    net.run_for(secs(3));
    let answer = register(&mut net, hub, "172.16.0.9", &thief);
    assert_eq!(answer, [(CieCode::Success, 600)], "the station at the former address said nothing");
}

#[test]
fn a_holding_time_of_zero_ends_a_registration_of_the_same_station() {
    let (mut net, hub, _) = pair();
    let gone = |source: &str| registration(source, &["10.255.0.2"], UNIQUE, 0);
    assert_eq!(
        register(&mut net, hub, "172.16.0.9", &gone("172.16.0.9")),
        [(CieCode::AdministrativelyProhibited, 0)]
    );
    assert!(nbma_of(&net, hub, "10.255.0.2").is_some());
    assert_eq!(register(&mut net, hub, "172.16.0.2", &gone("172.16.0.2")), [(CieCode::Success, 0)]);
    assert!(nbma_of(&net, hub, "10.255.0.2").is_none());
    assert_eq!(register(&mut net, hub, "172.16.0.2", &gone("172.16.0.2")), [(CieCode::Success, 0)]);
    net.node(hub).assert_consistent();
}

#[test]
fn every_entry_has_its_answer() {
    let (mut net, hub, _) = pair();
    let several =
        registration("172.16.0.9", &["10.255.0.9", "224.0.0.1", "10.255.0.10", "10.255.0.1"], 0, 600);
    assert_eq!(
        register(&mut net, hub, "172.16.0.9", &several),
        [
            (CieCode::Success, 600),
            (CieCode::AdministrativelyProhibited, 0),
            (CieCode::Success, 600),
            (CieCode::AdministrativelyProhibited, 0)
        ]
    );
    let unique = registration("172.16.0.9", &["10.255.0.9", "10.255.0.11"], UNIQUE, 600);
    let answers = register(&mut net, hub, "172.16.0.9", &unique);
    assert_eq!(answers, [(CieCode::Success, 600), (CieCode::AdministrativelyProhibited, 0)]);
    let names: Vec<String> = (0..40).map(|n| format!("10.255.1.{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answers = register(&mut net, hub, "172.16.0.9", &registration("172.16.0.9", &names, 0, 600));
    assert_eq!(answers.len(), 40);
    assert!(answers[..16].iter().all(|a| *a == (CieCode::Success, 600)));
    assert!(answers[16..].iter().all(|a| *a == (CieCode::InsufficientResources, 0)));
}
