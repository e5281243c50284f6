//! Phase 2: next hops that a routing protocol preserved are resolved when the kernel asks for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;
use std::time::Duration;

use nhrp_engine::{Instant, Notice, Output};
use nhrp_wire::PacketType::{ResolutionReply, ResolutionRequest, TrafficIndication};
use sim::shorthand::{ip, secs, triangle_of};
use sim::{Network, NodeId, Router};

/// A router whose tunnel address has the prefix of the whole overlay, and which sends each LAN of `lans` to the
/// router that has it.
fn phase2(mut router: Router, lans: &[u16]) -> Router {
    router.overlay = vec![format!("{}/16", Router::overlay4(router.number)).parse().unwrap()];
    router.routes.clear();
    for lan in lans {
        router.routes.push((format!("10.{lan}.0.0/24").parse().unwrap(), Router::overlay4(*lan)));
    }
    router
}

/// A hub that does not redirect, and the spokes 2 and 4, registered.
fn triangle() -> (Network, NodeId, NodeId, NodeId) {
    let mut hub = phase2(Router::hub(1), &[2, 4]);
    hub.config.ip.redirect = false;
    let (two, four) = (phase2(Router::spoke(2, 1), &[4, 6]), phase2(Router::spoke(4, 1), &[2]));
    triangle_of(Network::new(7), [hub, two, four])
}

/// Traffic for the LAN behind 10.255.0.6, which nobody is, for 39 s: in which of them that next hop was asked for.
fn asked_for_six(net: &mut Network, two: NodeId) -> Vec<u64> {
    let start = net.now();
    for _ in 0..39 {
        net.trace(two, "10.2.0.5", "10.6.0.5");
        net.run_for(secs(1));
    }
    net.sent(two, ResolutionRequest, start).iter().map(|f| f.at.since(start).as_secs()).collect()
}

fn refused(net: &Network, node: NodeId) -> Vec<Instant> {
    let others = net.node(node).others.iter();
    others.filter(|(_, o)| matches!(o, Output::NeighbourUnreachable { .. })).map(|(at, _)| *at).collect()
}

#[test]
fn a_preserved_next_hop_is_resolved_when_a_packet_waits_for_it() {
    let (mut net, hub, two, four) = triangle();
    let first = net.trace(two, "10.2.0.5", "10.4.0.5");
    assert!(first.lost.is_some(), "it waits in the kernel: {first:?}");
    net.run_for(Duration::from_millis(100));
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes, [two, four]);
    // The answer taught the other side as well: no question of its own is needed.
    assert_eq!(net.trace(four, "10.4.0.5", "10.2.0.5").nodes, [four, two]);
    assert_eq!(net.sent(two, ResolutionRequest, Instant::ZERO).len(), 1);
    assert_eq!(net.sent(four, ResolutionReply, Instant::ZERO).len(), 1);
    assert!(net.sent(hub, TrafficIndication, Instant::ZERO).is_empty(), "nobody was redirected");
    assert!(refused(&net, two).is_empty());
    for node in net.nodes() {
        net.node(node).assert_consistent();
    }
}

#[test]
fn a_used_next_hop_stays_resolved() {
    let (mut net, _, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    for _ in 0..300 {
        assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
        net.run_for(secs(1));
    }
    let requests = net.sent(two, ResolutionRequest, Instant::ZERO).len();
    assert!((5..=10).contains(&requests), "{requests}");
}

#[test]
fn a_next_hop_that_no_server_answers_about_is_asked_for_a_while_and_then_left_alone() {
    let (mut net, hub, two, _) = triangle();
    // The hub says nothing about what it does not know, as FRR's nhrpd.
    net.sabotage(move |node, _, outputs| {
        let reply = |octets: &[u8]| octets.get(17) == Some(&(ResolutionReply as u8));
        outputs.retain(|o| node != hub || !matches!(o, Output::Send { octets, .. } if reply(octets)));
    });
    let start = net.now();
    let sent = asked_for_six(&mut net, two);
    assert_eq!(sent, [0, 1, 3, 7, 14, 21, 28], "and none for 10 s after the end");
    let refusals = refused(&net, two);
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].since(start), secs(30));
    assert!(net.node(two).engine.stats().next_hops_negative >= 8);
}

#[test]
fn an_unknown_next_hop_is_refused_at_once_and_asked_for_again_ten_seconds_later() {
    let (mut net, _, two, _) = triangle();
    let start = net.now();
    let sent = asked_for_six(&mut net, two);
    assert_eq!(sent, [0, 11, 22, 33]);
    let refusals: Vec<u64> = refused(&net, two).iter().map(|at| at.since(start).as_secs()).collect();
    assert_eq!(refusals, sent, "the packet that waits is refused with the server's answer");
    // Another spoke that has come up meanwhile is found.
    net.add_router(phase2(Router::spoke(6, 1), &[2]));
    net.run_for(secs(6));
    net.trace(two, "10.2.0.5", "10.6.0.5");
    net.run_for(secs(1));
    assert!(net.trace(two, "10.2.0.5", "10.6.0.5").direct());
}

#[test]
fn a_scan_of_the_tunnels_network_does_not_flood_the_server() {
    let (mut net, _, two, _) = triangle();
    let start = net.now();
    for n in 0..2000_u32 {
        let address =
            IpAddr::from([10, 255, 1 + u8::try_from(n / 250).unwrap(), u8::try_from(n % 250).unwrap() + 1]);
        net.trace(two, "10.2.0.5", &address.to_string());
    }
    assert_eq!(net.sent(two, ResolutionRequest, start).len(), 100);
    assert_eq!(net.node(two).engine.stats().limit_next_hops, 1900);
    // 1,900 notices of one kind, of which the log writes few: no text names an address.
    let notices = net.node(two).notices.iter().map(|(_, notice)| notice);
    let limits: Vec<_> = notices.filter(|notice| matches!(notice, Notice::Limit { .. })).collect();
    assert_eq!(limits.len(), 1900);
    assert!(limits.iter().all(|notice| notice.kind().is_some() && notice.kind() == limits[0].kind()));
}

#[test]
fn before_the_registration_nobody_is_asked_and_nothing_is_held_against_the_address() {
    let mut net = Network::new(7);
    let two = net.add_router(phase2(Router::spoke(2, 1), &[4]));
    net.run_for(secs(1));
    net.trace(two, "10.2.0.5", "10.4.0.5");
    assert!(net.sent(two, ResolutionRequest, Instant::ZERO).is_empty());
    net.add_router(phase2(Router::hub(1), &[2, 4]));
    let four = net.add_router(phase2(Router::spoke(4, 1), &[2]));
    net.run_for(secs(3));
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes, [two, four]);
}

#[test]
fn own_and_foreign_addresses_are_not_asked_for() {
    let (mut net, _, two, _) = triangle();
    let start = net.now();
    for address in ["10.255.0.2", "0.0.0.0", "255.255.255.255", "224.0.0.5", "fe80::1", "fd00::1"] {
        let event = nhrp_engine::NeighbourEvent::Wanted;
        net.input(
            two,
            nhrp_engine::Input::Neighbour { ifindex: Router::TUNNEL, protocol: ip(address), event },
        );
    }
    assert!(net.sent(two, ResolutionRequest, start).is_empty());
}
