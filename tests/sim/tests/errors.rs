//! Error indications and refusals: when they are sent, what they say, and what becomes of those that arrive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::Afi;
use nhrp_engine::{Instant, Notice};
use nhrp_wire::PacketType::{
    ErrorIndication, RegistrationReply, RegistrationRequest, ResolutionReply, ResolutionRequest,
};
use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};
use sim::shorthand::{ip, ms, octets, secs, triangle};
use sim::{Frame, Network, NodeId, Router};

fn exchange(seconds: u16) -> Exchange {
    let cie = Cie { prefix_length: 32, holding_time: seconds, ..Cie::default() };
    Exchange { request_id: 0x1234, cies: vec![cie] }
}

fn resolution(source: u8, target: &str, extensions: Vec<ExtensionBody>) -> Packet {
    let message = Message::ResolutionRequest(exchange(600));
    let (nbma, own) = (ip(&format!("172.16.0.{source}")), ip(&format!("10.255.0.{source}")));
    let mut packet =
        Packet::new(nbma, own, ip(target), 64, message).with_flags(flags::RESOLUTION_SOURCE_STABLE);
    packet.extensions = extensions.into_iter().map(Extension::compulsory).collect();
    packet
}

fn foreign() -> ExtensionBody {
    ExtensionBody::Unknown { kind: 77, data: vec![1, 2, 3, 4] }
}

fn error(frame: &Frame) -> (ErrorCode, u16, Vec<u8>) {
    match frame.packet().message {
        Message::ErrorIndication { code, offset, packet } => (code, offset, packet),
        other => panic!("{other:?}"),
    }
}

fn record(protocol: &str) -> Cie {
    Cie { nbma: Some(ip("192.168.1.2")), protocol: Some(ip(protocol)), ..Cie::default() }
}

#[test]
fn a_compulsory_extension_that_the_responder_does_not_know_is_error_1() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let request = resolution(2, "10.255.0.1", vec![ExtensionBody::ForwardTransitNhs(vec![]), foreign()]);
    let sent = octets(&request);
    net.inject(hub, "172.16.0.2", sent.clone());
    let errors = net.sent(hub, ErrorIndication, start);
    assert_eq!(errors.len(), 1);
    let (code, offset, quoted) = error(errors[0]);
    assert_eq!(code, ErrorCode::UnrecognizedExtension);
    let at = usize::from(offset);
    assert_eq!(sent[at..at + 2], [0x80, 77]);
    assert_eq!(quoted, sent[..quoted.len()]);
    let packet = errors[0].packet();
    assert_eq!(
        (packet.source_nbma, packet.source_protocol),
        (Some(ip("172.16.0.1")), Some(ip("10.255.0.1")))
    );
    assert_eq!(packet.destination_protocol, Some(ip("10.255.0.2")));
    assert!(packet.extensions.is_empty());
    assert!(net.sent(hub, ResolutionReply, start).is_empty());
}

#[test]
fn an_extension_that_is_not_compulsory_goes_back_as_it_came() {
    let (mut net, hub, _, _) = triangle();
    let message = Message::RegistrationRequest(exchange(600));
    let mut request = Packet::new(ip("172.16.0.9"), ip("10.255.0.9"), ip("10.255.0.1"), 1, message);
    request.extensions = vec![
        Extension::optional(foreign()),
        Extension::optional(ExtensionBody::VendorPrivate { vendor: [0, 0, 9], data: vec![7] }),
    ];
    net.inject(hub, "172.16.0.9", octets(&request));
    let reply = net.sent(hub, RegistrationReply, Instant::ZERO).last().unwrap().packet();
    assert_eq!(reply.extensions, request.extensions);
}

#[test]
fn a_transit_server_takes_no_part_in_what_it_does_not_understand() {
    let (mut net, hub, _, four) = triangle();
    let start = net.now();
    let bodies = vec![ExtensionBody::ForwardTransitNhs(vec![]), foreign(), ExtensionBody::NatAddress(vec![])];
    let request = resolution(2, "10.4.0.5", bodies);
    net.inject(hub, "172.16.0.2", octets(&request));
    let passed = net.sent(hub, ResolutionRequest, start)[0].packet();
    assert_eq!(passed.extensions, request.extensions, "neither record nor translation");
    assert_eq!(passed.hop_count, 63);
    assert_eq!(net.node(hub).engine.purge_sizes(), [0, 0], "nothing is kept");
    net.run_for(ms(100));
    let errors = net.sent(four, ErrorIndication, start);
    assert_eq!(error(errors[0]).0, ErrorCode::UnrecognizedExtension, "the responder says so");
}

#[test]
fn a_request_that_comes_back_is_error_3_by_the_own_protocol_address() {
    let (mut net, hub, two, _) = triangle();
    let start = net.now();
    // Another server behind another NAT may well have our NBMA address.
    let same_nbma = Cie { nbma: Some(ip("172.16.0.1")), ..record("10.255.7.7") };
    let fine = resolution(2, "10.4.0.5", vec![ExtensionBody::ForwardTransitNhs(vec![same_nbma])]);
    net.inject(hub, "172.16.0.2", octets(&fine));
    assert_eq!(net.sent(hub, ResolutionRequest, start).len(), 1);
    let looped =
        resolution(2, "10.4.0.5", vec![ExtensionBody::ForwardTransitNhs(vec![record("10.255.0.1")])]);
    net.inject(hub, "172.16.0.8", octets(&looped));
    assert_eq!(net.sent(hub, ResolutionRequest, start).len(), 1);
    let errors = net.sent(hub, ErrorIndication, start);
    assert_eq!(errors.len(), 1);
    assert_eq!(error(errors[0]).0, ErrorCode::LoopDetected);
    assert_eq!(u16::from(ErrorCode::LoopDetected), 3);
    assert_eq!(errors[0].to, Some(two), "towards its sender, not to where it came from last");
}

#[test]
fn a_reply_that_comes_back_is_error_3() {
    for body in [
        ExtensionBody::ReverseTransitNhs(vec![record("10.255.0.1")]),
        ExtensionBody::ResponderAddress(vec![record("10.255.0.1")]),
    ] {
        let (mut net, hub, two, _) = triangle();
        let start = net.now();
        let mut reply = resolution(2, "10.4.0.5", vec![body]);
        reply.message = Message::ResolutionReply(exchange(600));
        net.inject(hub, "172.16.0.4", octets(&reply));
        assert!(net.sent(hub, ResolutionReply, start).is_empty());
        let errors = net.sent(hub, ErrorIndication, start);
        assert_eq!((error(errors[0]).0, errors[0].to), (ErrorCode::LoopDetected, Some(two)));
    }
}

#[test]
fn what_cannot_be_read_is_error_7_or_9_and_never_about_an_error() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let fix = |packet: &mut Vec<u8>| {
        packet[12..14].fill(0);
        let sum = nhrp_wire::checksum::internet(packet).to_be_bytes();
        packet[12..14].copy_from_slice(&sum);
    };
    let good = octets(&resolution(2, "10.4.0.5", vec![ExtensionBody::ForwardTransitNhs(vec![])]));
    let mut version = good.clone();
    version[16] = 9;
    fix(&mut version);
    net.inject(hub, "172.16.0.2", version.clone());
    let mut extension = good.clone();
    let at = usize::from(u16::from_be_bytes([good[14], good[15]]));
    extension[at + 3] = 200;
    fix(&mut extension);
    net.inject(hub, "172.16.0.2", extension);
    let codes: Vec<ErrorCode> = net.sent(hub, ErrorIndication, start).iter().map(|f| error(f).0).collect();
    assert_eq!(codes, [ErrorCode::ProtocolError, ErrorCode::InvalidExtension]);
    // An error that cannot be read, and octets that cannot be trusted to say from whom they are.
    version[17] = 7;
    fix(&mut version);
    net.inject(hub, "172.16.0.2", version);
    net.inject(hub, "172.16.0.2", good[..good.len() - 1].to_vec());
    let mut sum = good;
    sum[12] ^= 1;
    net.inject(hub, "172.16.0.2", sum);
    assert_eq!(net.sent(hub, ErrorIndication, start).len(), 2);
}

#[test]
fn errors_are_a_few_in_a_second() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    for _ in 0..1000 {
        net.inject(hub, "172.16.0.2", octets(&resolution(2, "10.255.0.1", vec![foreign()])));
    }
    assert_eq!(net.sent(hub, ErrorIndication, start).len(), 10);
    assert_eq!(net.node(hub).engine.stats().errors_suppressed, 990);
}

#[test]
fn our_own_error_that_comes_back_is_dropped_quietly() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let message = Message::ErrorIndication { code: ErrorCode::LoopDetected, offset: 0, packet: vec![0; 40] };
    let own = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.255.0.2"), 64, message);
    net.inject(hub, "172.16.0.4", octets(&own));
    assert!(net.sent(hub, ErrorIndication, start).is_empty());
    assert_eq!(net.node(hub).engine.stats().loops_detected, 1);
}

#[test]
fn a_target_without_a_way_is_refused_with_code_12() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    net.inject(hub, "172.16.0.2", octets(&resolution(2, "203.0.113.1", vec![])));
    let replies = net.sent(hub, ResolutionReply, start);
    let cies = replies[0].packet().message.exchange().unwrap().cies.clone();
    assert_eq!(cies, [Cie { code: CieCode::NoBinding, ..Cie::default() }]);
    assert_eq!(u8::from(CieCode::NoBinding), 12);
    assert!(net.sent(hub, ErrorIndication, start).is_empty());
    // A registration that cannot reach its server is an error.
    let message = Message::RegistrationRequest(exchange(600));
    let lost = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("203.0.113.1"), 1, message);
    net.inject(hub, "172.16.0.2", octets(&lost));
    let errors = net.sent(hub, ErrorIndication, start);
    assert_eq!(error(errors[0]).0, ErrorCode::ProtocolAddressUnreachable);
}

#[test]
fn a_refusal_keeps_the_requester_quiet_for_a_while() {
    let (mut net, _, two, four) = triangle();
    net.configure(four, |c| c.ip.shortcut = false);
    let start = net.now();
    for _ in 0..100 {
        net.trace(two, "10.2.0.5", "10.4.0.5");
        net.run_for(ms(100));
    }
    let asked = net.sent(two, ResolutionRequest, start).len();
    assert!((2..=3).contains(&asked), "{asked} in ten seconds");
    assert_eq!(net.sent(four, ResolutionReply, start).len(), asked);
    assert!(net.node(two).engine.shortcut_view(Afi::Ip).is_empty());
    net.run_for(secs(10));
    assert_eq!(net.node(two).engine.pending_requests(), 0);
    // Once it is allowed, it works.
    net.configure(four, |c| c.ip.shortcut = true);
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
}

#[test]
fn a_requester_is_kept_only_if_it_says_that_it_is_stable() {
    let learned = |change: fn(&mut Packet)| {
        let (mut net, _, _, four) = triangle();
        let mut request = resolution(9, "10.4.0.5", vec![]);
        net.add_route(four, "10.255.0.9/32", Some("10.255.0.1"), Router::TUNNEL);
        change(&mut request);
        net.inject(four, "172.16.0.1", octets(&request));
        assert_eq!(net.sent(four, ResolutionReply, Instant::ZERO).len(), 1);
        net.node(four).fib.neighbours.contains_key(&(Router::TUNNEL, ip("10.255.0.9")))
    };
    assert!(learned(|_| {}));
    assert!(!learned(|p| p.flags = 0));
    assert!(!learned(|p| p.message.exchange_mut().unwrap().cies[0].holding_time = 0));
}

#[test]
fn of_several_entries_in_a_reply_the_preferred_usable_one_is_taken() {
    let (mut net, _, two, four) = triangle();
    net.node_mut(four).online = false;
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(ms(50));
    let request = net.sent(two, ResolutionRequest, Instant::ZERO)[0].packet();
    let request_id = request.message.exchange().unwrap().request_id;
    let cie = |preference, n: u8, holding_time| Cie {
        preference,
        holding_time,
        prefix_length: 24,
        nbma: Some(ip(&format!("172.16.0.{n}"))),
        protocol: Some(ip(&format!("10.255.0.{n}"))),
        ..Cie::default()
    };
    let cies = vec![cie(1, 5, 60), cie(9, 6, 0), cie(7, 7, 60)];
    let message = Message::ResolutionReply(Exchange { request_id, cies });
    let reply = Packet { message, ..request };
    // Of another requester it is not ours.
    let other = Packet { source_protocol: Some(ip("10.255.0.77")), ..reply.clone() };
    net.inject(two, "172.16.0.1", octets(&other));
    assert!(net.node(two).engine.shortcut_view(Afi::Ip).iter().all(|s| s.via.is_none()));
    net.inject(two, "172.16.0.1", octets(&reply));
    let rows = net.node(two).engine.shortcut_view(Afi::Ip);
    assert_eq!(rows[0].via, Some(ip("10.255.0.7")), "a holding time of 0 is no answer");
}

/// Answers the last registration request of spoke 2 by hand.
fn answer_registration(net: &mut Network, two: NodeId, code: u8) {
    let request = net.sent(two, RegistrationRequest, Instant::ZERO).last().unwrap().packet();
    let Message::RegistrationRequest(mut exchange) = request.message.clone() else { panic!() };
    exchange.cies[0].code = CieCode::from(code);
    let message = Message::RegistrationReply(exchange);
    let reply = Packet { message, destination_protocol: Some(ip("10.255.0.1")), ..request };
    net.inject(two, "172.16.0.1", octets(&reply));
}

#[test]
fn every_refusal_of_a_server_is_told_once_and_shown() {
    for (code, words) in [
        (4, "administratively prohibited (code 4)"),
        (5, "limits (code 5)"),
        (11, "knows no binding (code 11)"),
        (12, "knows no binding (code 12)"),
        (13, "not unique (code 13)"),
        (14, "as unique; compare the tunnel addresses (code 14)"),
        (7, "does not name (code 7)"),
    ] {
        let mut net = Network::new(7);
        let two = net.add_router(Router::spoke(2, 1));
        let mut answered = 0;
        for _ in 0..800 {
            net.run_for(ms(50));
            let asked = net.sent(two, RegistrationRequest, Instant::ZERO).len();
            if asked > answered {
                answered = asked;
                answer_registration(&mut net, two, code);
            }
        }
        assert!((5..=7).contains(&answered), "less and less often: {answered}");
        let row = &net.node(two).engine.nhs_view(Afi::Ip)[0];
        let reason = row.reason.as_deref().unwrap_or_default();
        assert!(!row.registered && reason.contains(words), "{row:?}");
        let told = net.node(two).notices.iter();
        let told = told.filter(
            |(_, n)| matches!(n, Notice::RegistrationFailed { reason, .. } if reason.contains(words)),
        );
        assert_eq!(told.count(), 1, "{words}");
        // And it goes on asking.
        let start = net.now();
        net.run_for(secs(70));
        assert!(!net.sent(two, RegistrationRequest, start).is_empty());
        answer_registration(&mut net, two, 0);
        assert!(net.node(two).engine.nhs_view(Afi::Ip)[0].registered);
    }
}

#[test]
fn an_error_counts_only_if_it_quotes_a_request_of_ours() {
    let mut net = Network::new(7);
    let two = net.add_router(Router::spoke(2, 1));
    net.run_for(ms(10));
    let request = net.sent(two, RegistrationRequest, Instant::ZERO)[0].octets.clone();
    let indicate = |net: &mut Network, quoted: Vec<u8>, code: u16| {
        let message = Message::ErrorIndication { code: ErrorCode::from(code), offset: 0, packet: quoted };
        let packet = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.255.0.2"), 0, message);
        net.inject(two, "172.16.0.1", octets(&packet));
        net.node(two).engine.nhs_view(Afi::Ip)[0].reason.clone()
    };
    let mut another_type = request[..40].to_vec();
    another_type[17] = 1;
    assert_eq!(indicate(&mut net, another_type, 11), None);
    let mut another_source = request[..40].to_vec();
    another_source[35] = 99;
    assert_eq!(indicate(&mut net, another_source, 11), None);
    assert!(indicate(&mut net, request[..40].to_vec(), 2).unwrap().contains("loop"), "FRR's number for it");
}

#[test]
fn errors_are_accepted_with_authentication_configured() {
    let mut net = Network::new(7);
    let mut router = Router::spoke(2, 1);
    router.config.authentication = Some((Afi::Ip, "secret".to_owned()));
    let two = net.add_router(router);
    net.run_for(ms(10));
    let request = net.sent(two, RegistrationRequest, Instant::ZERO)[0].octets.clone();
    let message = Message::ErrorIndication {
        code: ErrorCode::AuthenticationFailure,
        offset: 0,
        packet: request[..40].to_vec(),
    };
    // FRR sends them without the password.
    let packet = Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.255.0.2"), 0, message);
    net.inject(two, "172.16.0.1", octets(&packet));
    let reason = net.node(two).engine.nhs_view(Afi::Ip)[0].reason.clone();
    assert!(reason.unwrap().contains("nhrp authentication"));
    assert!(net.sent(two, ErrorIndication, Instant::ZERO).is_empty());
}
