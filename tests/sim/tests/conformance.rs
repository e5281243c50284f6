//! Clauses of RFC 2332 and draft-detienne-dmvpn-01 that have no test of their own elsewhere, each seen on the wire or in
//! what a node would write into its kernel. `docs/rfc2332.md` says which test shows which clause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::Afi;
use nhrp_engine::{Input, Instant};
use nhrp_wire::PacketType::{
    ErrorIndication, PurgeReply, RegistrationReply, ResolutionReply, ResolutionRequest,
};
use nhrp_wire::{Cie, CieCode, Exchange, Extension, ExtensionBody, Message, Packet, PacketType, flags};
use sim::shorthand::{ip, ms, nbma_of, octets, secs, triangle, triangle_of};
use sim::{Network, NodeId, Router};

fn entry(seconds: u16) -> Cie {
    Cie { prefix_length: 32, holding_time: seconds, ..Cie::default() }
}

fn exchange(cies: Vec<Cie>) -> Exchange {
    Exchange { request_id: 0x5EED, cies }
}

/// A question of station 9, of which nobody knows, about a host behind spoke 4.
fn question(cies: Vec<Cie>) -> Packet {
    let message = Message::ResolutionRequest(exchange(cies));
    Packet::new(ip("172.16.0.9"), ip("10.255.0.9"), ip("10.4.0.5"), 64, message)
        .with_flags(flags::RESOLUTION_SOURCE_STABLE)
}

/// Spoke 4, with a way back to station 9 through the hub.
fn asked() -> (Network, NodeId) {
    let (mut net, _, _, four) = triangle();
    net.add_route(four, "10.255.0.9/32", Some("10.255.0.1"), Router::TUNNEL);
    (net, four)
}

fn last(net: &Network, from: NodeId, kind: PacketType) -> Packet {
    net.sent(from, kind, Instant::ZERO).last().expect("a packet").packet()
}

#[test]
fn a_question_without_entry_is_answered_and_of_several_entries_the_first_counts() {
    let learned = |cies: Vec<Cie>| {
        let (mut net, four) = asked();
        net.inject(four, "172.16.0.9", octets(&question(cies)));
        assert_eq!(
            last(&net, four, ResolutionReply).message.exchange().unwrap().cies[0].code,
            CieCode::Success
        );
        nbma_of(&net, four, "10.255.0.9").is_some()
    };
    assert!(!learned(vec![]));
    assert!(learned(vec![entry(600)]));
    assert!(learned(vec![entry(600), entry(0)]));
    assert!(!learned(vec![entry(0), entry(600)]), "the second entry was looked at");
}

#[test]
fn a_question_is_about_its_sender_whatever_addresses_its_entry_has() {
    let (mut net, four) = asked();
    let cie = Cie { nbma: Some(ip("172.16.0.66")), protocol: Some(ip("10.255.0.66")), ..entry(600) };
    net.inject(four, "172.16.0.1", octets(&question(vec![cie])));
    assert_eq!(nbma_of(&net, four, "10.255.0.66"), None, "in the name of another station");
    assert_eq!(nbma_of(&net, four, "10.255.0.9"), Some(ip("172.16.0.9")));
}

fn registration(cie: Cie, flag: u16) -> Packet {
    let message = Message::RegistrationRequest(exchange(vec![cie]));
    Packet::new(ip("172.16.0.9"), ip("10.255.0.9"), ip("10.255.0.1"), 1, message).with_flags(flag)
}

fn register(net: &mut Network, hub: NodeId, cie: Cie, flag: u16) -> CieCode {
    let before = net.wire.len();
    net.inject(hub, "172.16.0.9", octets(&registration(cie, flag)));
    let reply = net.wire[before..].iter().find(|f| f.kind() == RegistrationReply).expect("an answer");
    reply.packet().message.exchange().unwrap().cies[0].code
}

#[test]
fn a_prefix_length_of_0_and_of_255_is_a_host() {
    for length in [0, 32, 255] {
        let (mut net, hub, _, _) = triangle();
        let cie = Cie { prefix_length: length, ..entry(600) };
        assert_eq!(register(&mut net, hub, cie, 0), CieCode::Success);
        assert_eq!(nbma_of(&net, hub, "10.255.0.9"), Some(ip("172.16.0.9")));
    }
    for length in [0, 32, 255] {
        assert_eq!(shortcut_of_an_answer_with(length), "10.4.0.5/32");
    }
    assert_eq!(shortcut_of_an_answer_with(24), "10.4.0.0/24");
}

/// Spoke 2 asks, and is answered by hand.
fn shortcut_of_an_answer_with(prefix_length: u8) -> String {
    let (mut net, _, two, four) = triangle();
    net.node_mut(four).online = false;
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(ms(50));
    let request = last(&net, two, ResolutionRequest);
    let request_id = request.message.exchange().unwrap().request_id;
    let (nbma, protocol) = (Some(ip("172.16.0.4")), Some(ip("10.255.0.4")));
    let cie = Cie { prefix_length, holding_time: 60, nbma, protocol, ..Cie::default() };
    let message = Message::ResolutionReply(Exchange { request_id, cies: vec![cie] });
    net.inject(two, "172.16.0.1", octets(&Packet { message, ..request }));
    net.node(two).engine.shortcut_view(Afi::Ip)[0].prefix.to_string()
}

#[test]
fn a_prefix_is_not_registered() {
    let (mut net, hub, _, _) = triangle();
    let wide = Cie { prefix_length: 24, ..entry(600) };
    let unique = flags::REGISTRATION_UNIQUE;
    assert_eq!(register(&mut net, hub, wide.clone(), unique), CieCode::AdministrativelyProhibited);
    assert_eq!(register(&mut net, hub, wide, 0), CieCode::BindingNotUnique, "FRR's code");
    assert_eq!(nbma_of(&net, hub, "10.255.0.9"), None);
}

#[test]
fn the_mtu_of_a_station_is_that_of_the_route_to_it() {
    for (told, route) in [(1400, Some(1400)), (0, None)] {
        let (mut net, hub, _, _) = triangle();
        assert_eq!(register(&mut net, hub, Cie { mtu: told, ..entry(600) }, 0), CieCode::Success);
        let host = net.node(hub).fib.nhrp.get(&"10.255.0.9/32".parse().unwrap()).expect("a host route");
        assert_eq!(host.mtu, route);
    }
}

#[test]
fn a_registration_is_passed_on_to_the_server_that_it_is_for() {
    let (mut net, hub, two, _) = triangle();
    let start = net.now();
    let request = Packet { destination_protocol: Some(ip("10.255.0.2")), ..registration(entry(600), 0) };
    net.inject(hub, "172.16.0.9", octets(&request));
    assert!(net.sent(hub, RegistrationReply, start).is_empty());
    assert_eq!(nbma_of(&net, hub, "10.255.0.9"), None);
    let passed = net.sent(hub, PacketType::RegistrationRequest, start);
    assert_eq!(passed.iter().map(|f| f.to).collect::<Vec<_>>(), [Some(two)]);
    net.run_for(ms(20));
    assert_eq!(
        nbma_of(&net, two, "10.255.0.9"),
        Some(ip("172.16.0.1")),
        "its station is reached through the hub"
    );
}

/// Two extensions that nobody here knows and a password, which is not the last one.
fn odd_extensions() -> Vec<Extension> {
    vec![
        Extension::optional(ExtensionBody::VendorPrivate { vendor: [0, 0, 9], data: vec![7] }),
        Extension::cisco_authentication(b"secret"),
        Extension::optional(ExtensionBody::Unknown { kind: 77, data: vec![1, 2, 3, 4] }),
        Extension::optional(ExtensionBody::VendorPrivate { vendor: [0, 0, 8], data: vec![] }),
    ]
}

fn with_password(mut router: Router) -> Router {
    router.config.authentication = Some((Afi::Ip, "secret".to_owned()));
    router
}

#[test]
fn extensions_come_back_and_go_on_all_of_them_and_in_their_order() {
    let routers = [Router::hub(1).behind(2).behind(4), Router::spoke(2, 1), Router::spoke(4, 1)];
    let (mut net, hub, _, four) = triangle_of(Network::new(7), routers.map(with_password));
    let extensions = odd_extensions();
    let purge = Message::PurgeRequest(exchange(vec![Cie { protocol: Some(ip("10.255.0.9")), ..entry(0) }]));
    let own = |message| Packet::new(ip("172.16.0.9"), ip("10.255.0.9"), ip("10.255.0.1"), 64, message);
    for (request, answer) in [
        (registration(entry(600), 0), RegistrationReply),
        (own(Message::ResolutionRequest(exchange(vec![]))), ResolutionReply),
        (own(purge), PurgeReply),
    ] {
        if answer == ResolutionReply {
            net.configure(hub, |c| c.ip.shortcut = true);
        }
        net.inject(hub, "172.16.0.9", octets(&Packet { extensions: extensions.clone(), ..request }));
        assert_eq!(last(&net, hub, answer).extensions, extensions, "{answer:?}");
    }
    // The same by a server on the way, and by the one who refuses.
    let through = Packet { extensions: extensions.clone(), ..question(vec![]) };
    net.inject(hub, "172.16.0.9", octets(&through));
    assert_eq!(last(&net, hub, ResolutionRequest).extensions, extensions);
    net.configure(four, |c| c.ip.shortcut = false);
    net.run_for(ms(20));
    let refusal = last(&net, four, ResolutionReply);
    assert_eq!(
        refusal.message.exchange().unwrap().cies,
        [Cie { code: CieCode::AdministrativelyProhibited, ..Cie::default() }]
    );
    assert_eq!(refusal.extensions, extensions);
}

#[test]
fn the_password_is_checked_at_each_hop_and_never_passed_on() {
    let passwords = |packet: &Packet| -> Vec<Vec<u8>> {
        let bodies = packet.extensions.iter().map(|e| &e.body);
        let data = bodies.filter_map(|b| match b {
            ExtensionBody::Authentication { data, .. } => Some(data.clone()),
            _ => None,
        });
        data.collect()
    };
    let routers = [Router::hub(1).behind(2).behind(4), Router::spoke(2, 1), Router::spoke(4, 1)];
    let (mut net, hub, _, _) = triangle_of(Network::new(7), routers.map(with_password));
    let passed = |net: &Network| net.sent(hub, ResolutionRequest, Instant::ZERO).len();
    for wrong in [vec![], vec![Extension::cisco_authentication(b"other")]] {
        net.inject(hub, "172.16.0.2", octets(&Packet { extensions: wrong, ..question(vec![]) }));
        assert_eq!(passed(&net), 0, "it is checked by whoever passes it on");
    }
    assert_eq!(net.sent(hub, ErrorIndication, Instant::ZERO).len(), 2);
    // Two of them: one goes on, the hop's own.
    let two = vec![Extension::cisco_authentication(b"secret"), Extension::cisco_authentication(b"other")];
    net.inject(hub, "172.16.0.2", octets(&Packet { extensions: two, ..question(vec![]) }));
    assert_eq!(passwords(&last(&net, hub, ResolutionRequest)), [b"secret".to_vec()]);
    // None is asked for any more: none goes on.
    net.configure(hub, |c| c.authentication = None);
    let one = vec![Extension::cisco_authentication(b"secret")];
    net.inject(hub, "172.16.0.2", octets(&Packet { extensions: one, ..question(vec![]) }));
    assert_eq!(passed(&net), 2);
    assert_eq!(passwords(&last(&net, hub, ResolutionRequest)), Vec::<Vec<u8>>::new());
}

#[test]
fn a_server_answers_for_nobody_and_learns_nothing_from_what_it_passes_on() {
    let (mut net, hub, two, four) = triangle();
    let known = |net: &Network| net.node(hub).engine.cache_view(Afi::Ip).count();
    let before = known(&net);
    net.node_mut(four).online = false;
    net.add_route(hub, "10.255.0.9/32", Some("10.255.0.2"), Router::TUNNEL);
    // The station asked about is registered here.
    for target in ["10.255.0.4", "10.4.0.5"] {
        let request = Packet { destination_protocol: Some(ip(target)), ..question(vec![entry(600)]) };
        net.inject(hub, "172.16.0.2", octets(&request));
    }
    net.run_for(secs(1));
    assert_eq!(net.sent(hub, ResolutionRequest, Instant::ZERO).len(), 2, "on to the station itself");
    assert!(net.sent(hub, ResolutionReply, Instant::ZERO).is_empty());
    // A reply on its way, about a station of which nothing is known here.
    let cie = Cie { nbma: Some(ip("172.16.0.77")), protocol: Some(ip("10.255.0.77")), ..entry(600) };
    let reply = Packet {
        message: Message::ResolutionReply(exchange(vec![cie])),
        source_nbma: Some(ip("172.16.0.2")),
        source_protocol: Some(ip("10.255.0.2")),
        ..question(vec![])
    };
    net.inject(hub, "172.16.0.4", octets(&reply));
    assert_eq!(net.sent(hub, ResolutionReply, Instant::ZERO).len(), 1, "on to spoke 2");
    assert_eq!(known(&net), before);
    assert!(net.node(two).engine.shortcut_view(Afi::Ip).is_empty(), "which had not asked");
}

fn indication(code: u16, from: &str, to: &str, destination: &str) -> Packet {
    let mut data = vec![0x45; 64];
    for (at, address) in [(12, from), (16, to)] {
        let std::net::IpAddr::V4(address) = ip(address) else { panic!() };
        data[at..at + 4].copy_from_slice(&address.octets());
    }
    let message = Message::TrafficIndication { unused: u32::from(code) << 16, packet: data };
    Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip(destination), 1, message)
}

#[test]
fn an_indication_concerns_the_ingress_alone_and_has_a_known_code() {
    let asked = |code: u16, from: &str, destination: &str| {
        let (mut net, _, two, _) = triangle();
        let start = net.now();
        let packet = octets(&indication(code, from, "10.4.0.5", destination));
        net.inject(two, "172.16.0.1", packet);
        assert!(net.sent(two, PacketType::TrafficIndication, start).is_empty());
        (net.sent(two, ResolutionRequest, start).len(), net.node(two).engine.stats().indications_passed_over)
    };
    let own_lan = "10.2.0.5";
    assert_eq!(asked(0, own_lan, own_lan), (1, 0), "as FRR writes it: to the source of the data");
    assert_eq!(asked(0, own_lan, "10.4.0.5"), (1, 0), "as the draft has it: to its destination");
    assert_eq!(asked(0, "10.255.0.2", "10.4.0.5"), (1, 0), "our own traffic");
    assert_eq!(asked(0, "10.9.0.5", "10.4.0.5"), (0, 1), "it came out of the network and went in again here");
    assert_eq!(asked(1, own_lan, own_lan), (0, 1), "a code that nobody has given out");
}

/// Every server on the way sends an indication about the same packet; only its ingress asks.
#[test]
fn no_server_on_the_way_asks_for_the_packets_that_it_passes_on() {
    let mut net = Network::new(7);
    let server = |number: u16| {
        let mut router = Router::hub(number);
        router.config.ip.shortcut = true;
        router
    };
    let one = net.add_router(server(1).behind(2));
    let mut second = server(3).behind(4);
    second.config.ip.nhs = Router::spoke(3, 1).config.ip.nhs;
    let three = net.add_router(second);
    let (two, four) = (net.add_router(Router::spoke(2, 1)), net.add_router(Router::spoke(4, 3)));
    net.run_for(secs(1));
    net.add_route(one, "10.4.0.0/24", Some("10.255.0.3"), Router::TUNNEL);
    net.add_route(one, "10.255.0.4/32", Some("10.255.0.3"), Router::TUNNEL);
    net.add_route(three, "10.2.0.0/24", Some("10.255.0.1"), Router::TUNNEL);
    net.add_route(three, "10.255.0.2/32", Some("10.255.0.1"), Router::TUNNEL);
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes, [two, one, three, four]);
    net.run_for(secs(1));
    assert!(!net.sent(one, PacketType::TrafficIndication, Instant::ZERO).is_empty());
    assert!(!net.sent(three, PacketType::TrafficIndication, Instant::ZERO).is_empty());
    let asks = |node: NodeId| {
        let own = net.node(node).router.address(Afi::Ip);
        let sent = net.sent(node, ResolutionRequest, Instant::ZERO);
        sent.iter().filter(|f| f.packet().source_protocol == own).count()
    };
    assert_eq!([two, one, three, four].map(asks), [1, 0, 0, 0]);
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
}

#[test]
fn an_answer_covers_no_route_that_leads_elsewhere() {
    let answered = |routes: &[(&str, Option<&str>, u32)]| {
        let (mut net, _, two, four) = triangle();
        net.delete_route(four, "10.4.0.0/24");
        for (prefix, gateway, ifindex) in routes {
            net.add_route(four, prefix, *gateway, *ifindex);
        }
        net.trace(two, "10.2.0.5", "10.4.0.5");
        net.run_for(secs(1));
        let reply = last(&net, four, ResolutionReply).message.exchange().unwrap().cies[0].clone();
        (reply.prefix_length, nbma_of(&net, two, "10.255.0.4").is_some())
    };
    let (lan, tunnel, hub) = (3, Router::TUNNEL, Some("10.255.0.1"));
    let wide = ("10.4.0.0/16", None, lan);
    assert_eq!(answered(&[wide]), (16, true));
    assert_eq!(answered(&[wide, ("10.4.128.0/17", hub, tunnel)]), (17, true));
    assert_eq!(answered(&[wide, ("10.4.128.0/17", hub, tunnel), ("10.4.0.64/26", hub, tunnel)]), (26, true));
    assert_eq!(answered(&[wide, ("10.4.0.4/32", hub, tunnel)]), (32, true), "the neighbour");
    // What also ends here, as zebra's own host routes do, is no reason.
    assert_eq!(
        answered(&[wide, ("10.4.0.1/32", None, lan), ("10.4.7.0/24", Some("10.4.0.2"), lan)]),
        (16, true)
    );
    // More routes than are looked at: just the host.
    let (mut net, four) = asked();
    net.add_route(four, "10.4.0.0/16", None, lan);
    net.delete_route(four, "10.4.0.0/24");
    for n in 0..1100_u32 {
        let [_, _, high, low] = (n * 16).to_be_bytes();
        net.add_route(four, &format!("10.4.{}.{low}/28", 128 + (high & 0x7F)), None, lan);
    }
    net.inject(four, "172.16.0.9", octets(&question(vec![])));
    assert_eq!(last(&net, four, ResolutionReply).message.exchange().unwrap().cies[0].prefix_length, 32);
}

#[test]
fn after_a_purge_only_the_station_itself_is_asked() {
    let (mut net, _, two, four) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    net.delete_route(four, "10.4.0.0/24");
    net.run_for(ms(100));
    let then = net.now();
    net.add_route(four, "10.4.0.0/24", None, 3);
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    let sent = net.sent(two, ResolutionRequest, then);
    assert!(!sent.is_empty());
    assert!(sent.iter().all(|f| f.packet().flags & flags::RESOLUTION_AUTHORITATIVE != 0));
}

/// A server whose clients' names lead on, and an error about a packet that went in a loop: one for each packet.
#[test]
fn one_error_about_a_packet_which_goes_no_further() {
    let (mut net, hub, _, _) = triangle();
    let start = net.now();
    let bodies = [
        ExtensionBody::ForwardTransitNhs(vec![Cie { protocol: Some(ip("10.255.0.1")), ..Cie::default() }]),
        ExtensionBody::Unknown { kind: 77, data: vec![] },
    ];
    let mut looped = question(vec![entry(600)]);
    looped.hop_count = 0;
    looped.extensions = bodies.into_iter().map(Extension::compulsory).collect();
    net.inject(hub, "172.16.0.2", octets(&looped));
    net.input(hub, Input::DeadlineReached);
    net.run_for(ms(100));
    assert_eq!(net.sent(hub, ErrorIndication, start).len(), 1, "three faults, one error");
    assert!(net.sent(hub, ResolutionRequest, start).is_empty());
}
