//! Registration: how fast, how often, and what happens when either side restarts, moves, or is not what it should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::{Afi, MapTarget, NhsProtocol};
use nhrp_engine::{CacheType, Input, Instant, Link, Notice, Output};
use nhrp_wire::PacketType::{
    ErrorIndication, RegistrationReply, RegistrationRequest, ResolutionReply, ResolutionRequest,
};
use sim::shorthand::{ip, ms, nbma_of, secs};
use sim::{Network, NodeId, Router};

fn registered(net: &Network, spoke: NodeId) -> bool {
    let rows = net.node(spoke).engine.nhs_view(Afi::Ip);
    !rows.is_empty() && rows.iter().all(|r| r.registered)
}

#[test]
fn a_spoke_is_registered_within_100_ms_with_one_packet() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    assert!(net.run_until(ms(100), |n| registered(n, spoke)));
    net.run_for(secs(1));
    assert_eq!(net.sent(spoke, RegistrationRequest, Instant::ZERO).len(), 1);
    assert_eq!(net.sent(hub, RegistrationReply, Instant::ZERO).len(), 1);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    assert_eq!(nbma_of(&net, spoke, "10.255.0.1"), Some(ip("172.16.0.1")));
    for node in net.nodes() {
        net.node(node).assert_consistent();
    }
}

#[test]
fn unanswered_requests_are_repeated_after_1_2_4_up_to_64_then_2_seconds() {
    let mut net = Network::new(1);
    let mut router = Router::spoke(2, 1);
    router.config.ip.holdtime = 7200;
    let spoke = net.add_router(router);
    net.run_for(secs(200));
    let sent = net.sent(spoke, RegistrationRequest, Instant::ZERO);
    let waits: Vec<u64> = sent.windows(2).map(|w| w[1].at.since(w[0].at).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 2, 4, 8, 16, 32]);
    // RFC 2332 section 5.2.0.1: a repetition has the request id of the original.
    let ids: Vec<u32> = sent.iter().map(|f| f.packet().message.exchange().unwrap().request_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let row = &net.node(spoke).engine.nhs_view(Afi::Ip)[0];
    assert!(!row.registered && row.failures == 12 && row.reason.is_some(), "{row:?}");
}

#[test]
fn a_spoke_that_hears_no_answers_stays_known_and_is_not_told_to_be_gone() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1).behind(2).behind(3));
    let deaf = net.add_router(Router::spoke(2, 1));
    let other = net.add_router(Router::spoke(3, 1));
    net.run_for(secs(1));
    let to_deaf = net.node(deaf).router.nbma;
    net.sabotage(move |_, _, outputs| {
        outputs.retain(|o| !matches!(o, Output::Send { destination, .. } if *destination == to_deaf));
    });
    let cut = net.now();
    net.run_for(secs(300));
    let sent = net.sent(deaf, RegistrationRequest, cut);
    let waits: Vec<u64> = sent.windows(2).map(|w| w[1].at.since(w[0].at).as_secs()).collect();
    assert!(waits.iter().all(|wait| *wait <= 20) && sent.len() <= 30, "{waits:?}");
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(to_deaf));
    assert!(!registered(&net, deaf));
    // Who looks for it is not refused: the question goes on to it, and is repeated.
    let asked = net.now();
    net.trace(other, "10.3.0.5", "10.2.0.5");
    net.trace(other, "10.3.0.5", "10.2.0.5");
    net.run_for(secs(29));
    assert_eq!(net.sent(other, ResolutionRequest, asked).len(), 7);
    assert!(net.sent(hub, ResolutionReply, asked).is_empty());
}

#[test]
fn it_is_renewed_after_a_third_of_the_holding_time_with_a_new_id() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(65));
    let sent = net.sent(spoke, RegistrationRequest, Instant::ZERO);
    let waits: Vec<u64> = sent.windows(2).map(|w| w[1].at.since(w[0].at).as_secs()).collect();
    assert_eq!(waits, [20, 20, 20]);
    let mut ids: Vec<u32> = sent.iter().map(|f| f.packet().message.exchange().unwrap().request_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_restarted_hub_knows_its_spokes_again_after_their_renewal() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    net.restart(hub);
    assert!(nbma_of(&net, hub, "10.255.0.2").is_none());
    net.run_for(secs(21));
    assert!(nbma_of(&net, hub, "10.255.0.2").is_some());
    assert!(registered(&net, spoke));
}

#[test]
fn a_hub_that_stays_away_is_forgotten_and_found_again() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    net.node_mut(hub).online = false;
    net.run_for(secs(60));
    assert!(!registered(&net, spoke));
    assert!(nbma_of(&net, spoke, "10.255.0.1").is_none(), "the entry of a dead NHS is not kept");
    assert!(net.node(spoke).notices.iter().any(|(_, n)| matches!(n, Notice::RegistrationFailed { .. })));
    net.node_mut(hub).online = true;
    assert!(net.run_until(secs(65), |n| registered(n, spoke)));
    assert!(nbma_of(&net, spoke, "10.255.0.1").is_some());
}

#[test]
fn a_spoke_that_restarts_with_another_address_replaces_its_entry() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    net.node_mut(spoke).router.nbma = ip("172.16.9.9");
    net.restart(spoke);
    // Its former address is asked whether it is still there, and does not answer.
    net.run_for(secs(4));
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.9.9")));
    net.node(hub).assert_consistent();
}

#[test]
fn a_client_that_goes_silent_expires_with_its_holding_time() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    // Renewed at 20, 40, 60 and 80 s.
    net.run_for(secs(80));
    net.node_mut(spoke).online = false;
    net.run_for(secs(58));
    assert!(nbma_of(&net, hub, "10.255.0.2").is_some());
    net.run_for(secs(2));
    assert!(nbma_of(&net, hub, "10.255.0.2").is_none());
    assert!(net.node(hub).fib.nhrp.is_empty());
    assert_eq!(net.node(hub).fib.vain_deletions, 0);
}

#[test]
fn a_dynamic_nhs_address_is_learned() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0].protocol = NhsProtocol::Dynamic;
    let spoke = net.add_router(router);
    net.run_for(ms(100));
    let row = &net.node(spoke).engine.nhs_view(Afi::Ip)[0];
    assert!(row.registered && row.protocol == Some(ip("10.255.0.1")), "{row:?}");
    let request = net.sent(spoke, RegistrationRequest, Instant::ZERO)[0].packet();
    assert_eq!(request.destination_protocol, request.source_protocol);
}

#[test]
fn a_name_that_does_not_resolve_is_tried_again_and_registered_once_it_does() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0].nbma = "hub.example".to_owned();
    let spoke = net.add_router(router);
    net.run_for(secs(12));
    assert!(net.sent(spoke, RegistrationRequest, Instant::ZERO).is_empty());
    let told =
        net.node(spoke).notices.iter().filter(|(_, n)| matches!(n, Notice::NameUnresolved { .. })).count();
    assert_eq!(told, 1, "the same error is told once");
    let row = &net.node(spoke).engine.nhs_view(Afi::Ip)[0];
    assert!(row.nbma.is_none() && row.reason.is_some());
    // The same address twice is one server.
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.1"), ip("172.16.0.1")]);
    assert!(net.run_until(secs(6), |n| registered(n, spoke)));
    assert_eq!(net.node(spoke).engine.nhs_view(Afi::Ip).len(), 1);
}

#[test]
fn a_name_that_moves_is_followed_when_the_old_address_is_silent() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0].nbma = "hub.example".to_owned();
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.1")]);
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    assert!(registered(&net, spoke));
    net.node_mut(hub).router.nbma = ip("172.16.7.7");
    net.restart(hub);
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.7.7")]);
    assert!(net.run_until(secs(90), |n| nbma_of(n, spoke, "10.255.0.1") == Some(ip("172.16.7.7"))));
    assert!(registered(&net, spoke));
}

#[test]
fn addresses_of_the_wrong_family_are_not_servers() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0].nbma = "hub.example".to_owned();
    net.names.insert("hub.example".to_owned(), vec![ip("2001:db8::1"), ip("172.16.0.1")]);
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    assert!(registered(&net, spoke));
    assert_eq!(net.node(spoke).engine.stats().encode_errors, 0);
}

#[test]
fn a_spoke_registers_with_two_hubs() {
    let mut net = Network::new(1);
    let one = net.add_router(Router::hub(1));
    let two = net.add_router(Router::hub(3));
    let router = Router::spoke(2, 1).registering_with(NhsProtocol::Address(ip("10.255.0.3")), "172.16.0.3");
    let spoke = net.add_router(router);
    net.run_for(ms(100));
    assert!(registered(&net, spoke));
    for hub in [one, two] {
        assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    }
    assert!(nbma_of(&net, spoke, "10.255.0.1").is_some() && nbma_of(&net, spoke, "10.255.0.3").is_some());
    // One of them goes; the other stays.
    net.node_mut(one).online = false;
    net.run_for(secs(90));
    assert!(nbma_of(&net, spoke, "10.255.0.1").is_none() && nbma_of(&net, spoke, "10.255.0.3").is_some());
}

#[test]
fn hubs_that_share_a_name_register_with_each_other_and_not_with_themselves() {
    let mut net = Network::new(1);
    net.names.insert("hubs.example".to_owned(), vec![ip("172.16.0.1"), ip("172.16.0.3")]);
    let hub = |n| {
        let mut router = Router::hub(n).registering_with(NhsProtocol::Dynamic, "hubs.example");
        router.config.ip.holdtime = 60;
        router
    };
    let one = net.add_router(hub(1));
    let two = net.add_router(hub(3));
    // Past the first renewals, which the other side refuses as from its own server.
    net.run_for(secs(300));
    for (hub, other) in [(one, "10.255.0.3"), (two, "10.255.0.1")] {
        assert!(registered(&net, hub), "{:?}", net.node(hub).engine.nhs_view(Afi::Ip));
        assert!(nbma_of(&net, hub, other).is_some());
        let kinds: Vec<_> =
            net.node(hub).engine.cache_view(Afi::Ip).map(|e| (e.kind, e.protocol.to_string())).collect();
        assert!(kinds.contains(&(CacheType::Nhs, other.to_owned())), "{kinds:?}");
    }
}

#[test]
fn a_hub_that_takes_over_the_address_of_its_server_does_not_register_with_itself() {
    let mut net = Network::new(1);
    let mut router = Router::spoke(2, 1);
    router.nbma = ip("172.16.0.9");
    let node = net.add_router(router);
    net.run_for(secs(1));
    assert_eq!(net.node(node).engine.nhs_view(Afi::Ip)[0].nbma, Some(ip("172.16.0.1")));
    let local = Some("172.16.0.1".parse().unwrap());
    net.input(node, Input::Gre { ifindex: Router::TUNNEL, local, link: Some(2) });
    assert_eq!(net.node(node).engine.nhs_view(Afi::Ip)[0].nbma, None);
    assert_eq!(net.node(node).engine.next_deadline(), None);
    // And back.
    let local = Some("172.16.0.9".parse().unwrap());
    net.input(node, Input::Gre { ifindex: Router::TUNNEL, local, link: Some(2) });
    assert_eq!(net.node(node).engine.nhs_view(Afi::Ip)[0].nbma, Some(ip("172.16.0.1")));
}

#[test]
fn precedence_static_beats_what_is_learned() {
    let mut net = Network::new(1);
    let mut router = Router::hub(1);
    router.config.ip.maps.insert(ip("10.255.0.2"), MapTarget::Nbma(ip("172.16.5.5")));
    let hub = net.add_router(router);
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.5.5")));
    let row = &net.node(spoke).engine.nhs_view(Afi::Ip)[0];
    assert!(!row.registered, "refused with code 4");
    // Without the line, the next attempt is accepted.
    net.configure(hub, |c| c.ip.maps.clear());
    assert!(nbma_of(&net, hub, "10.255.0.2").is_none());
    net.run_for(secs(70));
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    net.node(hub).assert_consistent();
}

#[test]
fn a_static_map_takes_the_place_of_what_was_learned() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    net.configure(hub, |c| {
        c.ip.maps.insert(ip("10.255.0.2"), MapTarget::Nbma(ip("172.16.5.5")));
    });
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.5.5")));
    net.configure(hub, |c| {
        c.ip.maps.insert(ip("10.255.0.2"), MapTarget::Local);
    });
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), None);
    net.node(hub).assert_consistent();
}

#[test]
fn an_own_address_that_was_somebody_elses_leaves_nothing_behind() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    let address = "10.255.0.2/32".parse().unwrap();
    net.input(
        hub,
        Input::AddressDeleted { ifindex: Router::TUNNEL, address: "10.255.0.1/32".parse().unwrap() },
    );
    net.input(hub, Input::AddressAdded { ifindex: Router::TUNNEL, address, secondary: false });
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), None);
    net.node(hub).assert_consistent();
}

#[test]
fn different_passwords_make_no_storm_and_retries_back_off() {
    for (hub_password, spoke_password) in
        [(Some("secret"), Some("other")), (Some("secret"), None), (None, Some("secret"))]
    {
        let mut net = Network::new(1);
        let with = |mut router: Router, password: Option<&str>| {
            router.config.authentication = password.map(|p| (Afi::Ip, p.to_owned()));
            router
        };
        let hub = net.add_router(with(Router::hub(1), hub_password));
        let spoke = net.add_router(with(Router::spoke(2, 1), spoke_password));
        net.run_for(secs(125));
        let requests = net.sent(spoke, RegistrationRequest, Instant::ZERO).len();
        if hub_password.is_none() {
            // The hub takes what it does not check, and echoes the password: FRR does so as well.
            assert!(registered(&net, spoke) && requests == 7, "renewed every 20 s: {requests}");
            continue;
        }
        assert_eq!(requests, 7, "0, 1, 3, 7, 15, 31, 63 s: {hub_password:?} {spoke_password:?}");
        assert!(!registered(&net, spoke));
        assert!(nbma_of(&net, hub, "10.255.0.2").is_none());
        let errors = net.sent(hub, ErrorIndication, Instant::ZERO).len();
        assert!((1..=requests).contains(&errors), "{errors} errors about {requests} requests");
        assert!(net.sent(spoke, ErrorIndication, Instant::ZERO).is_empty());
        let row = &net.node(spoke).engine.nhs_view(Afi::Ip)[0];
        assert!(row.reason.as_ref().is_some_and(|r| r.contains("authentication")), "{row:?}");
    }
}

#[test]
fn a_password_that_was_mended_takes_effect_at_once() {
    let mut net = Network::new(1);
    let mut router = Router::hub(1);
    router.config.authentication = Some((Afi::Ip, "secret".to_owned()));
    net.add_router(router);
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(40));
    assert!(!registered(&net, spoke));
    net.configure(spoke, |c| c.authentication = Some((Afi::Ip, "secret".to_owned())));
    assert!(net.run_until(ms(100), |n| registered(n, spoke)));
}

#[test]
fn down_and_up_keeps_what_was_learned_and_installs_it_again() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    let link =
        |up| Input::Link(Link { ifindex: Router::TUNNEL, name: "gre1".to_owned(), up, gre: true, mtu: 1500 });
    net.input(hub, link(false));
    assert!(net.node(hub).fib.nhrp.is_empty() && net.node(hub).fib.neighbours.is_empty());
    net.input(hub, link(true));
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    net.node(hub).assert_consistent();
    assert_eq!(net.node(hub).fib.vain_deletions, 0);
}

#[test]
fn without_network_id_nothing_is_left() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    for node in [hub, spoke] {
        net.configure(node, |c| c.ip.network_id = 0);
        let engine = &net.node(node).engine;
        assert_eq!(engine.cache_view(Afi::Ip).count(), 0);
        assert_eq!(engine.next_deadline(), None);
        assert!(net.node(node).fib.nhrp.is_empty() && net.node(node).fib.neighbours.is_empty());
    }
}

#[test]
fn loss_and_duplication_do_not_keep_spokes_out() {
    let mut net = Network::new(5);
    net.conditions.loss = 0.3;
    net.conditions.duplicate = 0.3;
    let hub = net.add_router(Router::hub(1));
    let spokes: Vec<_> = (2..52).map(|n| net.add_router(Router::spoke(n, 1))).collect();
    net.run_for(secs(600));
    net.conditions.loss = 0.0;
    net.run_for(secs(65));
    assert!(spokes.iter().all(|s| registered(&net, *s)));
    assert_eq!(net.node(hub).fib.neighbours.len(), 50);
    net.node(hub).assert_consistent();
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut net = Network::new(seed);
        net.conditions.loss = 0.2;
        net.add_router(Router::hub(1));
        for n in 2..12 {
            net.add_router(Router::spoke(n, 1));
        }
        net.run_for(secs(100));
        net.wire.iter().map(|f| (f.at, f.source, f.octets.clone())).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_thousand_spokes_register_at_once() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spokes: Vec<_> = (300..1300).map(|n| net.add_router(Router::spoke(n, 1))).collect();
    assert!(net.run_until(secs(1), |n| n.node(hub).fib.neighbours.len() == 1000));
    net.run_for(secs(65));
    assert!(spokes.iter().all(|s| registered(&net, *s)));
    net.node(hub).assert_consistent();
    assert_eq!(net.node(hub).engine.sizes()[0], 1001);
}
