//! Next hop servers by name and by priority: what moves, when, and what stays meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;

use nhrp_config::{Afi, NhsConfig, NhsProtocol};
use nhrp_engine::{Instant, Notice};
use nhrp_wire::PacketType::{PurgeRequest, RegistrationReply, RegistrationRequest};
use sim::shorthand::{ip, secs};
use sim::{Network, NodeId, Router, Tunnel};

/// NBMA addresses of a spoke's servers that are registered with.
fn servers(net: &Network, spoke: NodeId) -> Vec<String> {
    let rows = net.node(spoke).engine.nhs_view(Afi::Ip);
    rows.iter().filter(|r| r.registered).filter_map(|r| Some(r.nbma?.to_string())).collect()
}

/// A hub with this number is a neighbour of the spoke.
fn reaches(net: &Network, spoke: NodeId, hub: u16) -> bool {
    net.node(spoke).fib.neighbours.contains_key(&(Router::TUNNEL, Router::overlay4(hub)))
}

fn requests_to(net: &Network, spoke: NodeId, nbma: &str, since: Instant) -> usize {
    net.sent(spoke, RegistrationRequest, since).iter().filter(|f| f.destination == ip(nbma)).count()
}

/// Hubs 1 and 3, and spoke 2 that finds its server by the name hub.example.
fn named() -> (Network, NodeId, NodeId, NodeId) {
    let mut net = Network::new(1);
    let one = net.add_router(Router::hub(1));
    let three = net.add_router(Router::hub(3));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0] =
        NhsConfig { protocol: NhsProtocol::Dynamic, nbma: "hub.example".to_owned(), priority: 0 };
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.1")]);
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    (net, one, three, spoke)
}

/// Hubs 1, 3 and 4 with these priorities on spoke 2.
fn ranked(priorities: [u8; 3]) -> (Network, [NodeId; 3], NodeId) {
    let mut net = Network::new(1);
    let hubs = [1, 3, 4].map(|n| net.add_router(Router::hub(n)));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs = [1, 3, 4]
        .into_iter()
        .zip(priorities)
        .map(|(n, priority)| NhsConfig {
            protocol: NhsProtocol::Dynamic,
            nbma: format!("172.16.0.{n}"),
            priority,
        })
        .collect();
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    (net, hubs, spoke)
}

#[test]
fn every_address_of_a_name_is_a_server() {
    let (mut net, _, _, spoke) = named();
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.1"), ip("2001:db8::1"), ip("172.16.0.3")]);
    net.run_for(secs(301));
    assert_eq!(servers(&net, spoke), ["172.16.0.1", "172.16.0.3"]);
    assert!(reaches(&net, spoke, 1) && reaches(&net, spoke, 3));
    assert_eq!(net.node(spoke).engine.stats().encode_errors, 0);
}

#[test]
fn a_name_that_moves_is_registered_at_before_the_old_server_is_left() {
    let (mut net, _, _, spoke) = named();
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    // Never without a server on the way.
    let mut without = 0;
    let moved = net.run_until(secs(301), |n| {
        without +=
            usize::from(servers(n, spoke).is_empty() || !(reaches(n, spoke, 1) || reaches(n, spoke, 3)));
        reaches(n, spoke, 3)
    });
    assert!(moved && without == 0, "{without} steps without a server");
    assert_eq!(servers(&net, spoke), ["172.16.0.3"]);
    assert!(!reaches(&net, spoke, 1), "the old server is left");
    net.node(spoke).assert_consistent();
    let since = net.now();
    net.run_for(secs(100));
    assert_eq!(requests_to(&net, spoke, "172.16.0.1", since), 0);
}

#[test]
fn a_name_that_moves_to_a_dead_address_keeps_the_living_one() {
    let (mut net, _, three, spoke) = named();
    net.node_mut(three).online = false;
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    net.run_for(secs(900));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    assert!(reaches(&net, spoke, 1));
    // Once the new one lives, it takes over.
    net.node_mut(three).online = true;
    net.run_for(secs(70));
    assert_eq!(servers(&net, spoke), ["172.16.0.3"]);
    assert!(!reaches(&net, spoke, 1) && reaches(&net, spoke, 3));
}

#[test]
fn a_name_that_moves_back_before_the_change_was_made_loses_nothing() {
    let (mut net, _, three, spoke) = named();
    net.node_mut(three).online = false;
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    net.run_for(secs(310));
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.1")]);
    net.run_for(secs(310));
    assert_eq!(net.node(spoke).engine.nhs_view(Afi::Ip).len(), 1);
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
}

#[test]
fn a_server_that_moves_itself_keeps_the_registration_it_got_at_its_new_address() {
    let (mut net, one, _, spoke) = named();
    let moved = Tunnel { ifindex: Router::TUNNEL, key: 42, nbma: ip("172.16.7.7") };
    net.node_mut(one).tunnels.insert(0, moved);
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.7.7")]);
    net.run_for(secs(301));
    assert_eq!(servers(&net, spoke), ["172.16.7.7"]);
    // To end the registration at the former address would end the only one that there is.
    assert!(net.sent(spoke, PurgeRequest, Instant::ZERO).is_empty());
    assert!(net.node(one).fib.neighbours.contains_key(&(Router::TUNNEL, Router::overlay4(2))));
}

#[test]
fn a_server_that_a_name_has_no_more_is_told_so() {
    let (mut net, one, three, spoke) = named();
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    net.run_for(secs(301));
    let knows = |hub| net.node(hub).fib.neighbours.contains_key(&(Router::TUNNEL, Router::overlay4(2)));
    assert!(!net.sent(spoke, PurgeRequest, Instant::ZERO).is_empty());
    assert_eq!((knows(one), knows(three)), (false, true));
}

#[test]
fn a_silent_server_is_looked_up_again_at_once() {
    let (mut net, one, _, spoke) = named();
    net.node_mut(one).online = false;
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    // Its renewal is due within 20 s, and three requests take 2 + 4 + 8 s.
    assert!(net.run_until(secs(35), |n| servers(n, spoke) == ["172.16.0.3"]));
    assert!(!reaches(&net, spoke, 1), "nobody answers there");
}

#[test]
fn nothing_is_forgotten_while_the_resolver_fails() {
    let (mut net, _, _, spoke) = named();
    net.names.clear();
    net.run_for(secs(7200));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    assert!(reaches(&net, spoke, 1));
    let told: Vec<String> = net
        .node(spoke)
        .notices
        .iter()
        .filter(|(_, n)| matches!(n, Notice::NameUnresolved { .. }))
        .map(|(_, n)| n.to_string())
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("hub.example") && told[0].contains("stay in use"), "{told:?}");
    // An answer without any address is a failure of the same kind, not an order to leave.
    net.names.insert("hub.example".to_owned(), Vec::new());
    net.run_for(secs(600));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    net.run_for(secs(6));
    assert_eq!(servers(&net, spoke), ["172.16.0.3"]);
}

#[test]
fn a_name_without_a_usable_address_is_told_once() {
    let mut net = Network::new(1);
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0].nbma = "hub.example".to_owned();
    net.names.insert("hub.example".to_owned(), vec![ip("2001:db8::1")]);
    let spoke = net.add_router(router);
    net.run_for(secs(900));
    let row = &net.node(spoke).engine.nhs_view(Afi::Ip)[0];
    assert!(row.reason.as_ref().unwrap().contains("no IPv4 address"), "{row:?}");
    let notices = net.node(spoke).notices.iter();
    assert_eq!(notices.filter(|(_, n)| matches!(n, Notice::NameUnresolved { .. })).count(), 1);
}

#[test]
fn only_the_best_priority_is_registered_with() {
    let (mut net, _, spoke) = ranked([0, 50, 255]);
    net.run_for(secs(300));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    for other in ["172.16.0.3", "172.16.0.4"] {
        assert_eq!(requests_to(&net, spoke, other, Instant::ZERO), 0);
    }
    let rows = net.node(spoke).engine.nhs_view(Afi::Ip);
    let rows: Vec<(Option<IpAddr>, u8)> = rows.iter().map(|r| (r.nbma, r.priority)).collect();
    let expected = [("172.16.0.1", 0), ("172.16.0.3", 50), ("172.16.0.4", 255)];
    assert_eq!(rows, expected.map(|(nbma, priority)| (Some(ip(nbma)), priority)));
}

#[test]
fn servers_of_equal_priority_are_all_registered_with() {
    let (net, _, spoke) = ranked([100, 10, 10]);
    assert_eq!(servers(&net, spoke), ["172.16.0.3", "172.16.0.4"]);
    // FRR's development branch treats 255 no different when there is nothing else.
    let (net, _, spoke) = ranked([255, 255, 255]);
    assert_eq!(servers(&net, spoke).len(), 3);
}

#[test]
fn the_next_best_stands_in_and_is_left_again() {
    let (mut net, [one, three, _], spoke) = ranked([0, 50, 255]);
    net.node_mut(one).online = false;
    // 20 s to the renewal, 2 + 4 + 8 s for three requests.
    assert!(net.run_until(secs(35), |n| servers(n, spoke) == ["172.16.0.3"]));
    assert!(!reaches(&net, spoke, 1), "traffic does not wait for the dead one");
    assert!(reaches(&net, spoke, 3));
    assert_eq!(requests_to(&net, spoke, "172.16.0.4", Instant::ZERO), 0);
    // The next after that.
    net.node_mut(three).online = false;
    assert!(net.run_until(secs(35), |n| servers(n, spoke) == ["172.16.0.4"]));
    // The best comes back: the one that stood in serves until then.
    net.node_mut(one).online = true;
    let mut without = 0;
    assert!(net.run_until(secs(66), |n| {
        without += usize::from(servers(n, spoke).is_empty());
        servers(n, spoke) == ["172.16.0.1"]
    }));
    assert_eq!(without, 0);
    assert!(reaches(&net, spoke, 1) && !reaches(&net, spoke, 4));
    net.node(spoke).assert_consistent();
    let since = net.now();
    net.run_for(secs(200));
    for other in ["172.16.0.3", "172.16.0.4"] {
        assert_eq!(requests_to(&net, spoke, other, since), 0);
    }
}

#[test]
fn without_any_reachable_server_all_are_tried() {
    let (mut net, hubs, spoke) = ranked([0, 50, 255]);
    for hub in hubs {
        net.node_mut(hub).online = false;
    }
    let since = net.now();
    net.run_for(secs(300));
    assert!(servers(&net, spoke).is_empty());
    for nbma in ["172.16.0.1", "172.16.0.3", "172.16.0.4"] {
        assert!(requests_to(&net, spoke, nbma, since) > 5, "{nbma}");
    }
    net.node_mut(hubs[2]).online = true;
    net.run_for(secs(70));
    assert_eq!(servers(&net, spoke), ["172.16.0.4"]);
}

#[test]
fn a_better_line_takes_over_when_it_is_added_and_gives_way_when_it_is_removed() {
    let (mut net, [one, ..], spoke) = ranked([10, 50, 255]);
    let five = net.add_router(Router::hub(5));
    let line = NhsConfig { protocol: NhsProtocol::Dynamic, nbma: "172.16.0.5".to_owned(), priority: 1 };
    net.configure(spoke, |c| c.ip.nhs.push(line.clone()));
    net.run_for(secs(1));
    assert_eq!(servers(&net, spoke), ["172.16.0.5"]);
    net.configure(spoke, |c| c.ip.nhs.retain(|n| *n != line));
    net.run_for(secs(1));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    // A dead one takes nothing over.
    net.node_mut(five).online = false;
    let since = net.now();
    net.configure(spoke, |c| c.ip.nhs.push(line.clone()));
    let mut without = 0;
    net.run_until(secs(200), |n| {
        without += usize::from(servers(n, spoke) != ["172.16.0.1"]);
        false
    });
    assert_eq!(without, 0);
    // The one that is there was asked all the time, and the dead one again and again.
    let answered = net.sent(one, RegistrationReply, since).len();
    assert!((9..=11).contains(&answered), "every 20 s: {answered}");
    assert!(requests_to(&net, spoke, "172.16.0.5", since) > 5);
}

#[test]
fn a_changed_priority_takes_effect_at_once() {
    let (mut net, _, spoke) = ranked([0, 50, 255]);
    net.configure(spoke, |c| c.ip.nhs[0].priority = 60);
    net.run_for(secs(1));
    assert_eq!(servers(&net, spoke), ["172.16.0.3"]);
}

#[test]
fn a_name_without_address_does_not_keep_the_next_best_waiting() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.config.ip.nhs[0].priority = 10;
    let line = NhsConfig { protocol: NhsProtocol::Dynamic, nbma: "hub.example".to_owned(), priority: 1 };
    router.config.ip.nhs.push(line);
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    assert_eq!(servers(&net, spoke), ["172.16.0.1"]);
    net.add_router(Router::hub(3));
    net.names.insert("hub.example".to_owned(), vec![ip("172.16.0.3")]);
    net.run_for(secs(6));
    assert_eq!(servers(&net, spoke), ["172.16.0.3"]);
}

#[test]
fn each_family_has_its_own_priorities() {
    let mut net = Network::new(1);
    let one = net.add_router(Router::hub(1).with_ipv6(None));
    net.add_router(Router::hub(3).with_ipv6(None));
    let mut router = Router::spoke(2, 1).with_ipv6(Some(1));
    router.config.ip.nhs[0].priority = 1;
    let three = NhsConfig { protocol: NhsProtocol::Dynamic, nbma: "172.16.0.3".to_owned(), priority: 2 };
    router.config.ip.nhs.push(three.clone());
    router.config.ipv6.nhs.push(NhsConfig { priority: 0, ..three });
    let spoke = net.add_router(router);
    net.run_for(secs(1));
    let six =
        |net: &Network| net.node(spoke).engine.nhs_view(Afi::Ipv6).iter().filter(|r| r.registered).count();
    assert_eq!((servers(&net, spoke), six(&net)), (vec!["172.16.0.1".to_owned()], 2));
    net.node_mut(one).online = false;
    net.run_for(secs(90));
    assert_eq!((servers(&net, spoke), six(&net)), (vec!["172.16.0.3".to_owned()], 1));
}
