//! Redirect, resolution and shortcut: how they come, how long they stay, what takes them away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;

use nhrp_config::{Afi, MapTarget};
use nhrp_engine::{ClearWhat, Input, Instant, Link, NeighbourEvent, Output};
use nhrp_wire::CieCode;
use nhrp_wire::PacketType::{ResolutionReply, ResolutionRequest, TrafficIndication};
use sim::shorthand::{ip, ms, secs, triangle, triangle_of};
use sim::{Network, NodeId, Router};

fn shortcuts(net: &Network, node: NodeId) -> Vec<(String, &'static str, Option<IpAddr>)> {
    let rows = net.node(node).engine.shortcut_view(Afi::Ip);
    rows.into_iter().map(|r| (r.prefix.to_string(), r.kind, r.via)).collect()
}

/// Codes of all resolution replies of a node.
fn refusals(net: &Network, from: NodeId) -> Vec<CieCode> {
    let replies = net.sent(from, ResolutionReply, Instant::ZERO);
    replies.iter().map(|f| f.packet().message.exchange().unwrap().cies[0].code).collect()
}

fn assert_all_consistent(net: &Network) {
    for node in net.nodes() {
        net.node(node).assert_consistent();
        assert_eq!(net.node(node).fib.vain_deletions, 0);
    }
}

#[test]
fn two_spokes_find_each_other_within_300_ms() {
    let (mut net, hub, two, four) = triangle();
    let start = net.now();
    let first = net.trace(two, "10.2.0.5", "10.4.0.5");
    assert_eq!(first.nodes, [two, hub, four]);
    assert!(net.run_until(ms(300), |n| shortcuts(n, two).iter().any(|s| s.1 == "dynamic")));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.9").direct());
    assert_eq!(shortcuts(&net, two), [("10.4.0.0/24".to_owned(), "dynamic", Some(ip("10.255.0.4")))]);
    assert_eq!(net.sent(hub, TrafficIndication, start).len(), 1);
    assert_eq!(net.sent(two, ResolutionRequest, start).len(), 1);
    assert_eq!(net.sent(hub, ResolutionRequest, start).len(), 1, "forwarded");
    assert_eq!(net.sent(four, ResolutionReply, start).len(), 1);

    // The other side learned where 2 is, and gets its own shortcut by its own traffic.
    assert_eq!(net.trace(four, "10.4.0.5", "10.255.0.2").nodes, [four, two]);
    assert_eq!(net.trace(four, "10.4.0.5", "10.2.0.5").nodes, [four, hub, two]);
    net.run_for(ms(300));
    assert!(net.trace(four, "10.4.0.5", "10.2.0.5").direct());
    assert_all_consistent(&net);
}

#[test]
fn the_second_reply_goes_the_direct_way() {
    let (mut net, hub, two, four) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    let then = net.now();
    net.trace(four, "10.4.0.5", "10.2.0.5");
    net.run_for(secs(1));
    let replies = net.sent(two, ResolutionReply, then);
    assert_eq!(replies[0].destination, ip("172.16.0.4"));
    assert!(net.sent(hub, ResolutionReply, then).is_empty());
}

#[test]
fn one_indication_a_second_for_the_same_flow() {
    let (mut net, hub, two, _) = triangle();
    net.configure(two, |c| c.ip.shortcut = false);
    let start = net.now();
    for _ in 0..100 {
        net.trace(two, "10.2.0.5", "10.4.0.5");
        net.run_for(ms(50));
    }
    assert_eq!(net.sent(hub, TrafficIndication, start).len(), 5);
    assert!(net.sent(two, ResolutionRequest, start).is_empty());
}

#[test]
fn without_redirect_or_shortcut_traffic_stays_on_the_hub() {
    let (mut net, hub, two, four) = triangle();
    net.configure(hub, |c| c.ip.redirect = false);
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    assert!(net.sent(hub, TrafficIndication, Instant::ZERO).is_empty());
    net.configure(hub, |c| c.ip.redirect = true);
    net.configure(four, |c| c.ip.shortcut = false);
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    assert_eq!(refusals(&net, four), [CieCode::AdministrativelyProhibited]);
    assert!(shortcuts(&net, two).is_empty());
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes, [two, hub, four]);
}

#[test]
fn an_unanswered_resolution_is_repeated_with_the_same_id_for_30_seconds() {
    let (mut net, _, two, four) = triangle();
    net.node_mut(four).online = false;
    let start = net.now();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(40));
    let sent = net.sent(two, ResolutionRequest, start);
    let waits: Vec<u64> = sent.windows(2).map(|w| w[1].at.since(w[0].at).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 7, 7, 7]);
    let id = |f: &&sim::Frame| f.packet().message.exchange().unwrap().request_id;
    assert!(sent.iter().all(|f| id(f) == id(&sent[0])));
    assert_eq!(net.node(two).engine.stats().resolutions_unanswered, 1);
    assert_eq!(net.node(two).engine.sizes()[2], 0);
}

#[test]
fn clear_ends_the_questions_under_way_so_that_no_late_answer_undoes_it() {
    let (mut net, _, two, four) = triangle();
    net.node_mut(four).online = false;
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    net.input(two, Input::Clear(ClearWhat::Shortcuts(Afi::Ip)));
    assert!(net.node(two).others.iter().any(|(_, o)| *o == Output::Cleared { count: 1 }));
    let cleared = net.now();
    net.node_mut(four).online = true;
    net.run_for(secs(30));
    assert!(net.sent(two, ResolutionRequest, cleared).is_empty());
    assert!(shortcuts(&net, two).is_empty());
    assert_all_consistent(&net);
}

#[test]
fn a_prefix_is_narrowed_to_the_present_route() {
    let (mut net, _, two, _) = triangle();
    net.add_route(two, "10.4.0.0/26", Some("10.255.0.1"), Router::TUNNEL);
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert_eq!(shortcuts(&net, two)[0].0, "10.4.0.0/26");
}

#[test]
fn a_default_route_of_the_answerer_is_not_handed_out() {
    let (mut net, hub, two, four) = triangle();
    net.add_route(hub, "192.0.2.0/24", Some("10.255.0.4"), Router::TUNNEL);
    net.add_route(two, "192.0.2.0/24", Some("10.255.0.1"), Router::TUNNEL);
    net.add_route(four, "0.0.0.0/0", Some("172.16.0.254"), 2);
    net.trace(two, "10.2.0.5", "192.0.2.1");
    net.run_for(secs(1));
    assert_eq!(refusals(&net, four), [CieCode::AdministrativelyProhibited]);
    assert_eq!(net.node(four).engine.stats().requests_not_answered, 1);
    assert!(shortcuts(&net, two).is_empty());
}

#[test]
fn clearing_the_shortcuts_of_one_family_leaves_the_other_alone() {
    let (mut net, _, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    let (before, neighbours) = (shortcuts(&net, two), net.node(two).fib.neighbours.len());
    assert_eq!(before.len(), 1);
    net.input(two, Input::Clear(ClearWhat::Shortcuts(Afi::Ipv6)));
    assert_eq!(shortcuts(&net, two), before);
    assert_eq!(net.node(two).fib.neighbours.len(), neighbours);
    net.input(two, Input::Clear(ClearWhat::Shortcuts(Afi::Ip)));
    assert!(shortcuts(&net, two).is_empty());
    assert!(net.node(two).fib.neighbours.len() < neighbours);
}

#[test]
fn an_unused_shortcut_expires() {
    let (mut net, _, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert_eq!(shortcuts(&net, two).len(), 1);
    let then = net.now();
    net.run_for(secs(57));
    assert_eq!(shortcuts(&net, two).len(), 1);
    net.run_for(secs(3));
    assert!(shortcuts(&net, two).is_empty());
    assert!(net.sent(two, ResolutionRequest, then).is_empty());
    assert_eq!(net.node(two).fib.neighbours.len(), 1, "only the hub");
    assert_all_consistent(&net);
}

#[test]
fn a_used_shortcut_is_renewed_without_a_gap() {
    let (mut net, _, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    for _ in 0..600 {
        assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
        net.run_for(secs(1));
    }
    assert_eq!(shortcuts(&net, two).len(), 1);
    // Every 40 s or so; not every second.
    let requests = net.sent(two, ResolutionRequest, Instant::ZERO).len();
    assert!((11..=17).contains(&requests), "{requests}");
    assert_all_consistent(&net);
}

#[test]
fn renewal_is_asked_for_when_the_kernel_probes() {
    let (mut net, _, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(42));
    let then = net.now();
    let probe = |event| Input::Neighbour { ifindex: Router::TUNNEL, protocol: ip("10.255.0.4"), event };
    net.input(two, probe(NeighbourEvent::Probe));
    assert_eq!(net.sent(two, ResolutionRequest, then).len(), 1);
    net.run_for(secs(1));
    net.input(two, probe(NeighbourEvent::Stale));
    net.run_for(secs(42));
    let then = net.now();
    net.input(two, probe(NeighbourEvent::Wanted));
    assert_eq!(net.sent(two, ResolutionRequest, then).len(), 1, "a packet that waits is use");
}

#[test]
fn clear_removes_shortcuts_or_everything_learned() {
    let (mut net, hub, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    net.input(two, Input::Clear(ClearWhat::Shortcuts(Afi::Ip)));
    assert!(shortcuts(&net, two).is_empty());
    assert!(net.node(two).others.iter().any(|(_, o)| *o == Output::Cleared { count: 1 }));
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes.len(), 3, "by the hub again");
    assert_all_consistent(&net);
    net.run_for(secs(2));
    assert_eq!(shortcuts(&net, two).len(), 1);

    // The peers go, and with them what lies behind them.
    net.input(two, Input::Clear(ClearWhat::Cache));
    assert!(shortcuts(&net, two).is_empty());
    assert_eq!(net.node(two).fib.nhrp.len(), 1, "the hub's");

    net.input(hub, Input::Clear(ClearWhat::Cache));
    assert!(net.node(hub).fib.neighbours.is_empty());
    net.run_for(secs(21));
    assert_eq!(net.node(hub).fib.neighbours.len(), 2, "renewals bring the clients back");
    assert_all_consistent(&net);
}

#[test]
fn a_route_takes_only_the_shortcut_that_it_concerns() {
    let mut net = Network::new(7);
    let hub = net.add_router(Router::hub(1).behind(2).behind(4).behind(6));
    let two = net.add_router(Router::spoke(2, 1));
    for n in [4, 6] {
        net.add_router(Router::spoke(n, 1));
    }
    net.run_for(secs(1));
    net.delete_route(two, "10.0.0.0/8");
    net.add_route(two, "10.4.0.0/16", Some("10.255.0.1"), Router::TUNNEL);
    net.add_route(two, "10.6.0.0/16", Some("10.255.0.1"), Router::TUNNEL);
    net.add_route(two, "10.255.0.0/16", Some("10.255.0.1"), Router::TUNNEL);
    for host in ["10.4.0.5", "10.6.0.5"] {
        net.trace(two, "10.2.0.5", host);
        net.run_for(secs(1));
    }
    assert_eq!(shortcuts(&net, two).len(), 2);
    // A default route, routes elsewhere, the same route again, another way through the same network: no effect.
    net.add_route(two, "0.0.0.0/0", Some("172.16.0.254"), 2);
    net.add_route(two, "10.9.0.0/16", None, 3);
    net.add_route(two, "10.4.0.0/16", Some("10.255.0.1"), Router::TUNNEL);
    net.add_route(two, "10.0.0.0/8", Some("10.255.0.1"), Router::TUNNEL);
    net.delete_route(two, "10.0.0.0/8");
    assert_eq!(shortcuts(&net, two).len(), 2);
    // The hub is away and so is its cache entry: still no reason.
    net.node_mut(hub).online = false;
    net.run_for(secs(54));
    assert!(!net.node(two).fib.neighbours.contains_key(&(Router::TUNNEL, ip("10.255.0.1"))));
    net.add_route(two, "0.0.0.0/0", Some("172.16.0.253"), 2);
    assert_eq!(shortcuts(&net, two).len(), 2);
    // Withdrawn.
    net.delete_route(two, "10.4.0.0/16");
    let left = shortcuts(&net, two);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].0, "10.6.0.0/24");
    // Now behind another interface.
    net.add_route(two, "10.6.0.0/16", Some("10.2.0.254"), 3);
    assert!(shortcuts(&net, two).is_empty());
    assert_all_consistent(&net);
}

#[test]
fn down_and_up_brings_the_shortcut_back() {
    let (mut net, _, two, _) = triangle();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    let link =
        |up| Input::Link(Link { ifindex: Router::TUNNEL, name: "gre1".to_owned(), up, gre: true, mtu: 1500 });
    net.input(two, link(false));
    assert!(net.node(two).fib.nhrp.is_empty() && net.node(two).fib.neighbours.is_empty());
    net.input(two, link(true));
    net.run_for(ms(100));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    assert_all_consistent(&net);
}

#[test]
fn without_network_id_no_resolution_goes_on() {
    let (mut net, _, two, four) = triangle();
    net.node_mut(four).online = false;
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert_eq!(net.node(two).engine.sizes()[2], 1);
    net.configure(two, |c| c.ip.network_id = 0);
    assert_eq!(net.node(two).engine.sizes()[2], 0);
    assert_eq!(net.node(two).engine.next_deadline(), None);
}

#[test]
fn a_spoke_behind_nat_is_reached_at_its_translated_address() {
    let mut four = Router::spoke(4, 1);
    four.nat = Some(ip("198.51.100.4"));
    let (mut net, hub, two, four) =
        triangle_of(Network::new(7), [Router::hub(1).behind(2).behind(4), Router::spoke(2, 1), four]);
    let neighbour = |net: &Network, node, protocol: &str| {
        net.node(node).fib.neighbours.get(&(Router::TUNNEL, ip(protocol))).map(|n| n.nbma)
    };
    assert_eq!(neighbour(&net, hub, "10.255.0.4"), Some(ip("198.51.100.4")));
    let own = net.node(four).engine.cache_view(Afi::Ip).find(|e| e.protocol == ip("10.255.0.4")).unwrap();
    assert_eq!((own.nbma, own.claimed), (Some(ip("198.51.100.4")), Some(ip("172.16.0.4"))));
    let row = net.node(hub).engine.cache_view(Afi::Ip).find(|e| e.protocol == ip("10.255.0.4")).unwrap();
    assert_eq!((row.claimed, row.nat), (Some(ip("172.16.0.4")), Some(ip("198.51.100.4"))));

    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert_eq!(neighbour(&net, two, "10.255.0.4"), Some(ip("198.51.100.4")));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    // And back: the one behind NAT asks.
    net.trace(four, "10.4.0.5", "10.2.0.5");
    net.run_for(secs(1));
    assert_eq!(neighbour(&net, four, "10.255.0.2"), Some(ip("172.16.0.2")));
    assert!(net.trace(four, "10.4.0.5", "10.2.0.5").direct());
    assert_all_consistent(&net);
}

#[test]
fn two_spokes_behind_nat_find_each_other() {
    let mut two = Router::spoke(2, 1);
    two.nat = Some(ip("198.51.100.2"));
    let mut four = Router::spoke(4, 1);
    four.nat = Some(ip("198.51.100.4"));
    let (mut net, _, two, four) =
        triangle_of(Network::new(7), [Router::hub(1).behind(2).behind(4), two, four]);
    for (from, source, to) in [(two, "10.2.0.5", "10.4.0.5"), (four, "10.4.0.5", "10.2.0.5")] {
        net.trace(from, source, to);
        net.run_for(secs(1));
        assert!(net.trace(from, source, to).direct());
    }
    assert_all_consistent(&net);
}

#[test]
fn ipv6_over_ipv4_registers_and_takes_shortcuts_of_its_own() {
    let (mut net, _, two, four) = triangle_of(
        Network::new(7),
        [
            Router::hub(1).behind(2).behind(4).with_ipv6(None),
            Router::spoke(2, 1).with_ipv6(Some(1)),
            Router::spoke(4, 1).with_ipv6(Some(1)),
        ],
    );
    assert!(net.node(two).engine.nhs_view(Afi::Ipv6).iter().all(|r| r.registered));
    assert_eq!(net.trace(two, "fd00:2::5", "fd00:4::5").nodes.len(), 3);
    net.run_for(ms(300));
    assert!(net.trace(two, "fd00:2::5", "fd00:4::5").direct());
    assert!(shortcuts(&net, two).is_empty(), "the IPv4 overlay has its own");
    let row = &net.node(two).engine.shortcut_view(Afi::Ipv6)[0];
    assert_eq!((row.prefix.to_string(), row.via), ("fd00:4::/64".to_owned(), Some(ip("fd00:255::4"))));
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(ms(300));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    net.trace(four, "fd00:4::5", "fd00:2::5");
    net.run_for(secs(1));
    assert_all_consistent(&net);
}

#[test]
fn a_shortcut_to_the_hubs_own_lan_is_none() {
    // The hub forwards such packets off the tunnel, so no indication is sent; nobody asks.
    let (mut net, hub, two, _) = triangle();
    assert_eq!(net.trace(two, "10.2.0.5", "10.1.0.5").nodes, [two, hub]);
    net.run_for(secs(1));
    assert!(shortcuts(&net, two).is_empty());
}

#[test]
fn traffic_to_a_mapped_local_address_is_answered_with_a_host() {
    let (mut net, hub, two, four) = triangle();
    net.configure(four, |c| {
        c.ip.maps.insert(ip("10.77.0.1"), MapTarget::Local);
    });
    net.add_route(hub, "10.77.0.1/32", Some("10.255.0.4"), Router::TUNNEL);
    net.trace(two, "10.2.0.5", "10.77.0.1");
    net.run_for(secs(1));
    assert_eq!(shortcuts(&net, two), [("10.77.0.1/32".to_owned(), "dynamic", Some(ip("10.255.0.4")))]);
    assert_all_consistent(&net);
}

#[test]
fn a_static_map_needs_no_registration() {
    let mut two = Router::spoke(2, 1);
    two.config.ip.maps.insert(ip("10.255.0.4"), MapTarget::Nbma(ip("172.16.0.4")));
    let (mut net, _, two, four) =
        triangle_of(Network::new(7), [Router::hub(1).behind(2).behind(4), two, Router::spoke(4, 1)]);
    assert_eq!(net.trace(two, "10.2.0.5", "10.255.0.4").nodes, [two, four]);
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(1));
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    // The shortcut goes, the line stays.
    net.run_for(secs(100));
    assert_eq!(net.trace(two, "10.2.0.5", "10.255.0.4").nodes, [two, four]);
    assert_all_consistent(&net);
}

#[test]
fn loss_does_not_prevent_direct_paths() {
    let (mut net, _, two, _) = triangle();
    net.conditions.loss = 0.4;
    net.conditions.duplicate = 0.2;
    let mut direct = false;
    for _ in 0..60 {
        direct |= net.trace(two, "10.2.0.5", "10.4.0.5").direct();
        net.run_for(secs(1));
    }
    assert!(direct);
}
