//! The reasons that an operator is told: why a spoke is not registered, what became of a question, and that only what was
//! named is cleared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::{Afi, NhsConfig, NhsProtocol};
use nhrp_engine::{
    ClearTable, ClearWhat, Input, Link, Output, Refusal, Selection, ServerState, ShortcutState,
};
use sim::shorthand::{ip, ms, nbma_of, secs};
use sim::{Network, NodeId, Router};

fn state(net: &Network, spoke: NodeId) -> ServerState {
    net.node(spoke).engine.server_standings(Afi::Ip)[0].state.clone()
}

fn link(up: bool) -> Input {
    Input::Link(Link { ifindex: Router::TUNNEL, name: "gre1".into(), up, gre: true, mtu: 1500 })
}

#[test]
fn a_server_that_does_not_answer() {
    let mut net = Network::new(1);
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(12));
    let ServerState::Asking { since, requests } = state(&net, spoke) else {
        panic!("{:?}", state(&net, spoke))
    };
    assert_eq!((net.now().since(since).as_secs(), requests), (12, 4), "asked after 0, 1, 3, 7 s");
    // It comes, and everything before is forgotten; it goes, and the count begins anew.
    let hub = net.add_router(Router::hub(1));
    net.run_for(secs(20));
    let ServerState::Registered { unanswered: 0, renewal: Some(_), .. } = state(&net, spoke) else {
        panic!("{:?}", state(&net, spoke))
    };
    net.node_mut(hub).online = false;
    net.run_for(secs(30));
    let ServerState::Registered { unanswered, .. } = state(&net, spoke) else { panic!() };
    assert!(unanswered > 0);
    net.run_for(secs(60));
    assert!(matches!(state(&net, spoke), ServerState::Asking { requests: 3.., .. }));
}

#[test]
fn a_server_that_refuses() {
    let mut net = Network::new(1);
    let mut hub = Router::hub(1);
    hub.config.authentication = Some((Afi::Ip, "secret".to_owned()));
    let hub = net.add_router(hub);
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(5));
    let ServerState::Refused { refusal, since } = state(&net, spoke) else {
        panic!("{:?}", state(&net, spoke))
    };
    assert_eq!((refusal, net.now().since(since).as_secs()), (Refusal::Error(11), 4));
    assert!(refusal.to_string().contains("authentication"), "{refusal}");
    // When it falls silent, that is what matters.
    net.node_mut(hub).online = false;
    net.run_for(secs(70));
    assert!(matches!(state(&net, spoke), ServerState::Asking { .. }), "{:?}", state(&net, spoke));
}

#[test]
fn what_is_missing_on_the_interface() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(ms(100));
    assert!(matches!(state(&net, spoke), ServerState::Registered { .. }));
    let stopped = |net: &Network, word: &str| match state(net, spoke) {
        ServerState::Stopped(obstacle) => assert!(obstacle.contains(word), "{obstacle}"),
        other => panic!("{other:?}"),
    };
    net.input(spoke, link(false));
    stopped(&net, "is down");
    net.input(spoke, link(true));
    net.input(spoke, Input::Gre { ifindex: Router::TUNNEL, local: None, link: None });
    stopped(&net, "no 'local' address");
    let standing = &net.node(spoke).engine.interface_standings()[0];
    assert!(standing.obstacle.is_some() && standing.nbma.is_none());
    net.configure(spoke, |config| config.ip.network_id = 0);
    stopped(&net, "network-id");
}

#[test]
fn an_interface_without_an_address_of_its_own() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let mut router = Router::spoke(2, 1);
    router.overlay.clear();
    let spoke = net.add_router(router);
    net.run_for(secs(3));
    assert_eq!(state(&net, spoke), ServerState::NoAddress);
}

#[test]
fn a_server_that_stands_by_and_one_without_an_address() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.configure(spoke, |config| {
        for (nbma, priority) in [("172.16.0.77", 9), ("hub.example", 0)] {
            let (protocol, nbma) = (NhsProtocol::Dynamic, nbma.to_owned());
            config.ip.nhs.push(NhsConfig { protocol, nbma, priority });
        }
    });
    net.run_for(secs(2));
    let rows = net.node(spoke).engine.server_standings(Afi::Ip);
    assert!(rows.iter().any(|r| r.state == ServerState::Standby && r.priority == 9), "{rows:?}");
    let unresolved = |r: &nhrp_engine::ServerStanding| matches!(&r.state, ServerState::Unresolved(error) if error == "no such name");
    assert!(rows.iter().any(unresolved), "{rows:?}");
}

#[test]
fn what_became_of_a_question() {
    let mut net = Network::new(7);
    net.add_router(Router::hub(1).behind(2).behind(3).behind(4));
    let two = net.add_router(Router::spoke(2, 1));
    let four = net.add_router(Router::spoke(4, 1));
    net.run_for(secs(1));
    net.node_mut(four).online = false;
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    let states = |net: &Network| {
        let rows = net.node(two).engine.shortcut_standings(Afi::Ip);
        rows.into_iter().map(|row| row.state).collect::<Vec<_>>()
    };
    assert!(matches!(states(&net)[..], [ShortcutState::Asking { requests: 2, .. }]), "{:?}", states(&net));
    net.node_mut(four).online = true;
    net.run_for(secs(3));
    assert!(
        matches!(states(&net)[..], [ShortcutState::Active { renewing: false, .. }]),
        "{:?}",
        states(&net)
    );
    net.input(two, link(false));
    assert!(!matches!(states(&net)[..], [ShortcutState::Active { .. }]), "{:?}", states(&net));
}

#[test]
fn only_what_is_named_is_cleared() {
    let mut net = Network::new(7);
    let hub = net.add_router(Router::hub(1).behind(2).behind(3).behind(4));
    let two = net.add_router(Router::spoke(2, 1));
    net.add_router(Router::spoke(3, 1));
    net.add_router(Router::spoke(4, 1));
    net.run_for(secs(1));
    let clear = |net: &mut Network, node, table, selection, expected| {
        let before = net.node(node).others.len();
        net.input(node, Input::Clear(ClearWhat::Selected(table, Afi::Ip, selection)));
        let cleared = net.node(node).others[before..].iter().find_map(|(_, output)| match output {
            Output::Cleared { count } => Some(*count),
            _ => None,
        });
        assert_eq!(cleared, Some(expected));
        net.node(node).assert_consistent();
    };
    use Selection::{Interface, Peer, Prefix};
    clear(&mut net, hub, ClearTable::Cache, Prefix("10.255.0.2/32".parse().unwrap()), 1);
    assert!(nbma_of(&net, hub, "10.255.0.2").is_none() && nbma_of(&net, hub, "10.255.0.3").is_some());
    clear(&mut net, hub, ClearTable::Cache, Peer(ip("172.16.0.3")), 1);
    assert!(nbma_of(&net, hub, "10.255.0.3").is_none() && nbma_of(&net, hub, "10.255.0.4").is_some());
    clear(&mut net, hub, ClearTable::Cache, Interface("gre7".into()), 0);
    clear(&mut net, hub, ClearTable::Cache, Interface("gre1".into()), 1);

    net.run_for(secs(60));
    for to in ["10.3.0.5", "10.4.0.5"] {
        net.trace(two, "10.2.0.5", to);
    }
    net.run_for(secs(2));
    let left = |net: &Network| net.node(two).engine.shortcut_standings(Afi::Ip).len();
    assert_eq!(left(&net), 2);
    clear(&mut net, two, ClearTable::Shortcuts, Prefix("10.9.0.0/16".parse().unwrap()), 0);
    clear(&mut net, two, ClearTable::Shortcuts, Prefix("10.3.0.0/16".parse().unwrap()), 1);
    clear(&mut net, two, ClearTable::Shortcuts, Peer(ip("10.255.0.4")), 1);
    assert_eq!(left(&net), 0);
}
