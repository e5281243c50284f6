//! What a hub does most: answering refreshes. Once the buffers are warm it allocates nothing.
//!
//! The allocator of this test counts, so it stands alone in its file.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use nhrp_config::{Afi, InterfaceConfig};
use nhrp_engine::{Change, Engine, Input, Instant, Limits, Link, Origin, Output, What};
use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet, flags};

const TUNNEL: u32 = 10;

fn hub(password: Option<&str>) -> Engine {
    let mut engine = Engine::new([3; 32], Limits::default());
    let mut config = InterfaceConfig::default();
    config.ip.network_id = 1;
    config.ip.redirect = true;
    config.authentication = password.map(|p| (Afi::Ip, p.to_owned()));
    let link = Link { ifindex: TUNNEL, name: "gre1".to_owned(), up: true, gre: true, mtu: 1476 };
    let inputs = [
        Input::Configure { name: "gre1".to_owned(), config: Box::new(config) },
        Input::Link(link),
        Input::AddressAdded { ifindex: TUNNEL, address: "10.255.0.1/32".parse().unwrap(), secondary: false },
        Input::Gre { ifindex: TUNNEL, local: Some(Ipv4Addr::new(172, 16, 0, 1)), link: None },
    ];
    for input in inputs {
        engine.handle(Instant::ZERO, input);
    }
    while engine.poll_output().is_some() {}
    engine
}

/// A registration as FRR's and this daemon send it.
fn registration(number: u16, password: Option<&str>, behind_nat: bool) -> (IpAddr, Vec<u8>) {
    let [high, low] = number.to_be_bytes();
    let outside = IpAddr::V4(Ipv4Addr::new(172, 16, high, low));
    let nbma = if behind_nat { IpAddr::V4(Ipv4Addr::new(192, 168, 0, 2)) } else { outside };
    let own = IpAddr::V4(Ipv4Addr::new(10, 255, high, low));
    let hub = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1));
    let cie = Cie { prefix_length: 0xFF, holding_time: 600, ..Cie::default() };
    let nat = Cie { nbma: Some("172.16.0.1".parse().unwrap()), protocol: Some(hub), ..Cie::default() };
    let message =
        Message::RegistrationRequest(Exchange { request_id: 77 + u32::from(number), cies: vec![cie] });
    let mut packet = Packet::new(nbma, own, hub, 1, message)
        .with_flags(flags::REGISTRATION_UNIQUE | flags::NAT)
        .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(Vec::new())))
        .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(Vec::new())))
        .with_extension(Extension::compulsory(ExtensionBody::ReverseTransitNhs(Vec::new())))
        .with_extension(Extension::optional(ExtensionBody::NatAddress(vec![nat])));
    if let Some(password) = password {
        packet = packet.with_extension(Extension::cisco_authentication(password.as_bytes()));
    }
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    (outside, octets)
}

/// Hands a packet in and takes the answer, as a driver does that reuses buffers. Says what was sent.
fn exchange(engine: &mut Engine, now: Instant, source: IpAddr, packet: &[u8]) -> usize {
    let mut octets = engine.buffer();
    octets.extend_from_slice(packet);
    engine.handle(now, Input::Packet { ifindex: TUNNEL, source, octets });
    let mut sent = 0;
    while let Some(output) = engine.poll_output() {
        if let Output::Send { octets, .. } = output {
            sent += octets.len();
            engine.reuse(octets);
        }
    }
    sent
}

fn refreshes(password: Option<&str>, behind_nat: bool) -> AllocationInfo {
    const PEERS: u16 = 100;
    let mut engine = hub(password);
    let packets: Vec<_> = (2..2 + PEERS).map(|n| registration(n, password, behind_nat)).collect();
    let mut now = Instant::ZERO;
    let mut round = |engine: &mut Engine| {
        now = now + Duration::from_millis(10);
        for (source, octets) in &packets {
            assert!(exchange(engine, now, *source, octets) > octets.len(), "answered, with a responder");
        }
    };
    // The first round registers, the second warms the buffers.
    round(&mut engine);
    round(&mut engine);
    let info = measure(|| round(&mut engine));
    assert_eq!(engine.stats().registrations_served, 3 * u64::from(PEERS));
    assert_eq!(engine.cache_view(Afi::Ip).count(), usize::from(PEERS) + 1);
    info
}

#[test]
fn a_refresh_allocates_nothing() {
    for (password, behind_nat) in
        [(None, false), (Some("secret"), false), (None, true), (Some("secret"), true)]
    {
        let info = refreshes(password, behind_nat);
        assert_eq!(
            (info.count_total, info.bytes_total),
            (0, 0),
            "password {password:?}, behind NAT {behind_nat}"
        );
    }
}

/// Who follows hears of a client that comes and goes, not of its refreshes; and these still allocate nothing.
#[test]
fn a_refresh_is_no_change() {
    let mut engine = hub(None);
    engine.follow(true);
    while engine.poll_change().is_some() {}
    let changes = |engine: &mut Engine| -> Vec<(What, Option<IpAddr>)> {
        let all = std::iter::from_fn(|| engine.poll_change());
        all.filter_map(|change| match change {
            Change::Binding(what, row) if row.origin == Origin::Registered => Some((what, row.nbma)),
            _ => None,
        })
        .collect()
    };
    let (source, octets) = registration(2, None, true);
    let second = Duration::from_secs(1);
    exchange(&mut engine, Instant::ZERO, source, &octets);
    assert_eq!(changes(&mut engine), [(What::Added, Some(source))]);
    let mut now = Instant::ZERO;
    // Warms the buffers.
    for _ in 0..10 {
        now = now + second;
        exchange(&mut engine, now, source, &octets);
    }
    now = now + second;
    let info = measure(|| {
        exchange(&mut engine, now, source, &octets);
        assert_eq!(engine.poll_change(), None);
    });
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(172, 16, 9, 9));
    let mut at = engine.next_deadline().unwrap();
    while engine.cache_view(Afi::Ip).any(|row| row.origin == Origin::Registered) {
        engine.handle(at, Input::DeadlineReached);
        at = engine.next_deadline().unwrap_or(at);
    }
    assert_eq!(changes(&mut engine), [(What::Removed("holding time is over".to_owned()), Some(source))]);
    exchange(&mut engine, at, elsewhere, &octets);
    assert_eq!(changes(&mut engine), [(What::Added, Some(elsewhere))]);
    engine.follow(false);
    exchange(&mut engine, at, source, &octets);
    assert_eq!(engine.poll_change(), None);
}

/// The counter counts: a driver that keeps the answers makes the engine allocate one vector for each.
#[test]
fn a_driver_that_keeps_the_answers_makes_it_allocate() {
    let mut engine = hub(None);
    let (source, octets) = registration(2, None, false);
    for _ in 0..3 {
        exchange(&mut engine, Instant::ZERO, source, &octets);
    }
    let mut kept = Vec::with_capacity(8);
    let info = measure(|| {
        let input = Input::Packet { ifindex: TUNNEL, source, octets: octets.clone() };
        engine.handle(Instant::ZERO, input);
        kept.extend(engine.poll_output());
    });
    assert_eq!(kept.len(), 1);
    assert!((1..=3).contains(&info.count_total), "{info:?}");
}
