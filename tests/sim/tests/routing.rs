//! What routing above and below the tunnel does to shortcuts: withdrawals, more specific routes, unrelated ones, and
//! peers whose NBMA address has no route.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::Afi;
use nhrp_engine::{Input, Nexthop, Output};
use sim::shorthand::{ip, ms};
use sim::{Network, NodeId, Router};

/// Where zebra's gateways of gateways lie: BGP's routes come without an interface.
fn bgp_route(net: &mut Network, node: NodeId, prefix: &str, gateway: &str) {
    net.add_route(node, prefix, Some(gateway), Router::TUNNEL);
    let prefix = prefix.parse().unwrap();
    net.input(node, Input::RouteAdded { prefix, gateway: Some(ip(gateway)), ifindex: None });
}

/// A hub and the spokes 2, 4 and 6; spoke 2 has only what BGP told it.
fn network() -> (Network, NodeId, NodeId) {
    let mut net = Network::new(7);
    let hub = net.add_router(Router::hub(1).behind(2).behind(4).behind(6));
    let two = net.add_router(Router::spoke(2, 1));
    for n in [4, 6] {
        net.add_router(Router::spoke(n, 1));
    }
    net.run_for(Duration::from_secs(1));
    net.delete_route(two, "10.0.0.0/8");
    (net, hub, two)
}

fn shortcuts(net: &Network, node: NodeId) -> Vec<String> {
    net.node(node).engine.shortcut_view(Afi::Ip).iter().map(|r| r.prefix.to_string()).collect()
}

/// The routes that zebra has of it for shortcuts.
fn announced(net: &Network, node: NodeId) -> Vec<String> {
    let routes = net.node(node).engine.routes();
    let gateways = routes.filter(|r| matches!(r.nexthop, Nexthop::Gateway { .. }));
    let mut prefixes: Vec<String> = gateways.map(|r| r.prefix.to_string()).collect();
    prefixes.sort();
    assert!(prefixes.iter().all(|p| net.node(node).fib.nhrp.contains_key(&p.parse().unwrap())));
    prefixes
}

fn direct(net: &mut Network, node: NodeId, host: &str) {
    net.trace(node, "10.2.0.5", host);
    net.run_for(ms(500));
    assert!(net.trace(node, "10.2.0.5", host).direct(), "{:?}", shortcuts(net, node));
}

fn assert_all_consistent(net: &Network) {
    for node in net.nodes() {
        net.node(node).assert_consistent();
        assert_eq!(net.node(node).fib.vain_deletions, 0);
    }
}

#[test]
fn a_withdrawn_route_takes_the_shortcut_of_the_same_prefix_although_a_summary_remains() {
    let (mut net, hub, two) = network();
    bgp_route(&mut net, two, "10.4.0.0/24", "10.255.0.1");
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    assert_eq!(shortcuts(&net, two), ["10.4.0.0/24"]);
    // Beside BGP's route and not in its place: zebra tells of a route only while it is in the kernel.
    assert_eq!(announced(&net, two), ["10.4.0.0/25", "10.4.0.128/25"]);
    net.run_for(Duration::from_secs(2));
    net.delete_route(two, "10.4.0.0/24");
    assert!(shortcuts(&net, two).is_empty() && announced(&net, two).is_empty());
    let trace = net.trace(two, "10.2.0.5", "10.4.0.5");
    assert_eq!(trace.nodes[1], hub);
    assert_all_consistent(&net);
}

#[test]
fn a_later_route_to_the_very_prefix_is_obeyed() {
    let (mut net, hub, two) = network();
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    assert_eq!(announced(&net, two), ["10.4.0.0/24"]);
    // It leads where the summary led, and then to the shortcut's own peer: nothing new.
    for gateway in ["10.255.0.1", "10.255.0.4"] {
        bgp_route(&mut net, two, "10.4.0.0/24", gateway);
        assert_eq!(announced(&net, two), ["10.4.0.0/25", "10.4.0.128/25"]);
        assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    }
    net.delete_route(two, "10.4.0.0/24");
    assert!(announced(&net, two).is_empty());
    // A spoke that nobody has resolved yet, and somewhere outside of the tunnel.
    let elsewhere = |ifindex| Input::RouteAdded {
        prefix: "10.4.0.0/24".parse().unwrap(),
        gateway: (ifindex != 2).then(|| ip("10.255.0.6")),
        ifindex: Some(ifindex),
    };
    for ifindex in [Router::TUNNEL, 2] {
        net.run_for(Duration::from_secs(2));
        direct(&mut net, two, "10.4.0.5");
        assert_eq!(announced(&net, two), ["10.4.0.0/24"]);
        net.input(two, elsewhere(ifindex));
        assert!(announced(&net, two).is_empty(), "by interface {ifindex}");
        net.input(two, Input::RouteDeleted { prefix: "10.4.0.0/24".parse().unwrap() });
    }
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes[1], hub);
    assert_all_consistent(&net);
}

#[test]
fn a_half_that_somebody_else_has_a_route_to_is_left_to_him() {
    let (mut net, hub, two) = network();
    bgp_route(&mut net, two, "10.4.0.0/24", "10.255.0.1");
    bgp_route(&mut net, two, "10.4.0.128/25", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    assert_eq!(announced(&net, two), ["10.4.0.0/25"]);
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.200").nodes[1], hub);
    net.delete_route(two, "10.4.0.128/25");
    assert_eq!(announced(&net, two), ["10.4.0.0/25", "10.4.0.128/25"]);
    bgp_route(&mut net, two, "10.4.0.128/25", "10.255.0.1");
    assert_eq!(announced(&net, two), ["10.4.0.0/25"]);
    net.delete_route(two, "10.4.0.0/24");
    assert!(announced(&net, two).is_empty());
    assert_all_consistent(&net);
}

/// A shortcut to a host, to which another daemon has a route, too.
fn host_shortcut() -> (Network, NodeId) {
    let (mut net, _, two) = network();
    let four = net.nodes().nth(2).unwrap();
    net.add_route(four, "10.4.0.5/32", None, 3);
    bgp_route(&mut net, two, "10.4.0.5/32", "10.255.0.1");
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    assert_eq!(shortcuts(&net, two), ["10.4.0.5/32"]);
    net.run_for(Duration::from_secs(2));
    (net, two)
}

#[test]
fn a_host_has_no_halves_and_its_shortcut_overrides_in_the_kernel_only() {
    let (mut net, two) = host_shortcut();
    let overriding = |net: &Network| net.node(two).engine.routes().any(|r| r.overrides);
    assert!(overriding(&net), "BGP's route must stay the selected one");
    net.delete_route(two, "10.4.0.5/32");
    // Selected for a moment, so that zebra tells others when it goes.
    assert!(!overriding(&net));
    net.run_for(ms(300));
    assert!(shortcuts(&net, two).is_empty());
    assert_all_consistent(&net);
}

/// A second reason in the same instant does not cut short the time in which zebra hears that the route is an ordinary one.
#[test]
fn two_withdrawals_in_one_instant_leave_zebra_its_time() {
    let (mut net, two) = host_shortcut();
    bgp_route(&mut net, two, "0.0.0.0/0", "10.255.0.1");
    net.delete_route(two, "10.4.0.5/32");
    net.delete_route(two, "10.0.0.0/8");
    let routes = |net: &Network| -> Vec<bool> {
        let target = "10.4.0.5/32".parse().unwrap();
        net.node(two).engine.routes().filter(|r| r.prefix == target).map(|r| r.overrides).collect()
    };
    assert_eq!(routes(&net), [false], "still there, as an ordinary route");
    net.run_for(ms(240));
    assert_eq!(routes(&net), [false]);
    net.run_for(ms(20));
    assert!(routes(&net).is_empty() && shortcuts(&net, two).is_empty());
    assert_all_consistent(&net);
}

#[test]
fn a_new_answer_in_the_last_moment_keeps_the_shortcut() {
    let (mut net, two) = host_shortcut();
    net.delete_route(two, "10.4.0.5/32");
    assert_eq!(net.node(two).engine.sizes()[1], 1, "leaving");
    bgp_route(&mut net, two, "10.4.0.5/32", "10.255.0.1");
    net.run_for(Duration::from_secs(1));
    direct(&mut net, two, "10.4.0.5");
    assert_all_consistent(&net);
}

#[test]
fn a_more_specific_route_narrows_the_shortcut_to_what_it_leaves() {
    let (mut net, hub, two) = network();
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    direct(&mut net, two, "10.6.0.5");
    assert_eq!(shortcuts(&net, two), ["10.4.0.0/24", "10.6.0.0/24"]);
    // The upper half is elsewhere now: longest match sees to it, the lower half stays direct.
    bgp_route(&mut net, two, "10.4.0.128/25", "10.255.0.1");
    assert_eq!(shortcuts(&net, two), ["10.4.0.0/24", "10.6.0.0/24"]);
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.200").nodes[1], hub);
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
    // Now the host that the shortcut was made for: it goes, its neighbour's does not.
    net.run_for(Duration::from_secs(2));
    bgp_route(&mut net, two, "10.4.0.0/26", "10.255.0.1");
    assert_eq!(shortcuts(&net, two).last().unwrap(), "10.6.0.0/24");
    assert!(!shortcuts(&net, two).contains(&"10.4.0.0/24".to_owned()));
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes[1], hub);
    // What comes next is as narrow as the route.
    net.run_for(ms(500));
    assert!(shortcuts(&net, two).contains(&"10.4.0.0/26".to_owned()), "{:?}", shortcuts(&net, two));
    assert_all_consistent(&net);
}

#[test]
fn unrelated_routes_touch_nothing() {
    let (mut net, _, two) = network();
    net.input(two, underlay("172.16.0.0/16"));
    bgp_route(&mut net, two, "10.4.0.0/16", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    let count = |net: &Network| net.node(two).others.len() + net.node(two).notices.len();
    let before = count(&net);
    for (prefix, gateway) in
        [("0.0.0.0/0", "10.255.0.1"), ("10.9.0.0/16", "10.255.0.1"), ("10.5.0.0/16", "10.255.0.1")]
    {
        bgp_route(&mut net, two, prefix, gateway);
        bgp_route(&mut net, two, prefix, gateway);
        net.delete_route(two, prefix);
    }
    // Told again, and a wider one through the hub that comes and goes.
    bgp_route(&mut net, two, "10.4.0.0/16", "10.255.0.1");
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    net.delete_route(two, "10.0.0.0/8");
    net.run_for(Duration::from_secs(5));
    assert_eq!(shortcuts(&net, two), ["10.4.0.0/24"]);
    assert_eq!(count(&net), before, "{:?}", net.node(two).notices);
    assert!(net.trace(two, "10.2.0.5", "10.4.0.5").direct());
}

#[test]
fn a_preserved_next_hop_that_names_another_spoke_takes_the_shortcut() {
    let (mut net, _, two) = network();
    bgp_route(&mut net, two, "10.4.0.0/24", "10.255.0.1");
    bgp_route(&mut net, two, "10.6.0.0/24", "10.255.0.1");
    direct(&mut net, two, "10.4.0.5");
    direct(&mut net, two, "10.6.0.5");
    bgp_route(&mut net, two, "10.4.0.0/24", "10.255.0.6");
    assert_eq!(shortcuts(&net, two), ["10.6.0.0/24"]);
}

#[test]
fn a_peer_without_a_route_to_its_nbma_address_is_given_up_for_the_hub() {
    let (mut net, hub, two) = network();
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    net.input(two, underlay("172.16.0.0/16"));
    net.input(two, underlay("172.16.0.4/32"));
    direct(&mut net, two, "10.4.0.5");
    direct(&mut net, two, "10.6.0.5");
    // Its own route goes, a wider one remains: no reason.
    net.input(two, Input::RouteDeleted { prefix: "172.16.0.4/32".parse().unwrap() });
    net.run_for(Duration::from_secs(1));
    assert_eq!(shortcuts(&net, two), ["10.4.0.0/24", "10.6.0.0/24"]);
    // Gone and back within the patience: no reason.
    net.input(two, Input::RouteDeleted { prefix: "172.16.0.0/16".parse().unwrap() });
    net.run_for(ms(100));
    net.input(two, underlay("172.16.0.0/16"));
    net.run_for(Duration::from_secs(1));
    assert_eq!(shortcuts(&net, two), ["10.4.0.0/24", "10.6.0.0/24"]);
    // Rejected: the peer and what lies behind it go within a second, others stay.
    let prefix = "172.16.0.4/32".parse().unwrap();
    net.input(two, Input::RouteAdded { prefix, gateway: None, ifindex: None });
    net.run_for(ms(400));
    assert_eq!(shortcuts(&net, two), ["10.6.0.0/24"]);
    assert_eq!(net.node(two).engine.stats().gateways_unreachable, 1);
    // Traffic goes through the hub and does not come back to a path that is none.
    for _ in 0..5 {
        assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes[1], hub);
        net.run_for(Duration::from_secs(1));
    }
    assert_all_consistent(&net);
    net.input(two, Input::RouteDeleted { prefix });
    // An answer that was of no use is not asked for again for 5 s.
    net.run_for(Duration::from_secs(5));
    direct(&mut net, two, "10.4.0.5");
    assert!(net.node(two).others.iter().all(|(_, o)| !matches!(o, Output::NeighbourUnreachable { .. })));
}

#[test]
fn a_peer_whose_way_leads_into_the_tunnel_is_no_peer() {
    let (mut net, hub, two) = network();
    bgp_route(&mut net, two, "10.0.0.0/8", "10.255.0.1");
    net.input(two, underlay("172.16.0.1/32"));
    // A default route through the tunnel, and only the hub's own address outside of it.
    bgp_route(&mut net, two, "0.0.0.0/0", "10.255.0.1");
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.trace(two, "10.2.0.5", "10.4.0.5").nodes[1], hub);
    assert!(shortcuts(&net, two).is_empty());
}

/// A route of the transport network, of which the simulated kernel knows nothing.
fn underlay(prefix: &str) -> Input {
    Input::RouteAdded { prefix: prefix.parse().unwrap(), gateway: None, ifindex: Some(2) }
}

#[test]
fn an_underlay_in_another_vrf_is_not_judged_by_the_routes_of_this_one() {
    let (mut net, _, two) = network();
    bgp_route(&mut net, two, "0.0.0.0/0", "10.255.0.1");
    let IpAddr::V4(local) = net.node(two).router.nbma else { panic!() };
    // Interface 99 is not told of: it belongs to that VRF.
    net.input(two, Input::Gre { ifindex: Router::TUNNEL, local: Some(local), link: Some(99) });
    direct(&mut net, two, "10.4.0.5");
}
