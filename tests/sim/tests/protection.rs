//! `tunnel protection`: what waits for a security association, what its loss takes along, and who is asked to make one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nhrp_config::TunnelProtection;
use nhrp_engine::{Input, Output};
use nhrp_wire::PacketType::{RegistrationReply, RegistrationRequest};
use sim::shorthand::{nbma_of, secs};
use sim::{Network, NodeId, Router};

fn own(net: &Network, node: NodeId) -> IpAddr {
    net.node(node).tunnels[0].nbma
}

fn v4(address: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(address) = address else { panic!("{address}") };
    address
}

fn protect(net: &mut Network, node: NodeId) {
    net.configure(node, |c| {
        c.protection = Some(TunnelProtection { profile: "dmvpn".to_owned(), fallback: None });
    });
}

fn guarded(net: &mut Network, node: NodeId, failure: Option<&str>) {
    let local = v4(own(net, node));
    let failure = failure.map(str::to_owned);
    net.input(node, Input::Guarded { name: "gre1".to_owned(), local, failure });
}

fn sa(net: &mut Network, node: NodeId, peer: NodeId, up: bool) {
    let (local, remote) = (own(net, node), own(net, peer));
    let input = if up {
        Input::Protected { local, remote, identity: "peer.example".to_owned() }
    } else {
        Input::Unprotected { local, remote }
    };
    net.input(node, input);
}

/// Protected peers that the engine has asked for and not released, in the order of asking.
fn asked(net: &Network, node: NodeId) -> Vec<IpAddr> {
    let mut asked = Vec::new();
    for (_, output) in &net.node(node).others {
        match output {
            Output::Protect { remote, .. } => asked.push(*remote),
            Output::Unprotect { remote, .. } => asked.retain(|peer| peer != remote),
            _ => {}
        }
    }
    asked
}

/// A hub and a spoke, protected and guarded, without an association.
fn protected_pair() -> (Network, NodeId, NodeId) {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    protect(&mut net, hub);
    guarded(&mut net, hub, None);
    let spoke = net.add_router(Router::spoke(2, 1));
    protect(&mut net, spoke);
    guarded(&mut net, spoke, None);
    (net, hub, spoke)
}

#[test]
fn nothing_is_sent_before_the_guard_stands() {
    let mut net = Network::new(1);
    net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    protect(&mut net, spoke);
    let local = Some(v4(own(&net, spoke)));
    let guard = Output::Guard { name: "gre1".to_owned(), local };
    assert!(net.node(spoke).others.iter().any(|(_, output)| *output == guard));
    assert!(net.node(spoke).fib.neighbours.is_empty(), "the hub is not reached in clear");
    let before = net.wire.len();
    net.run_for(secs(30));
    assert_eq!(net.wire.len(), before);
    guarded(&mut net, spoke, Some("Protocol not supported"));
    net.run_for(secs(30));
    assert_eq!(net.wire.len(), before);
    net.configure(spoke, |c| c.protection = None);
    let gone = Output::Guard { name: "gre1".to_owned(), local: None };
    assert!(net.node(spoke).others.iter().any(|(_, output)| *output == gone));
    net.run_for(secs(5));
    assert!(net.wire.len() > before, "and without protection all is as before");
}

#[test]
fn a_client_is_used_and_answered_when_its_association_is_up() {
    let (mut net, hub, spoke) = protected_pair();
    net.run_for(secs(1));
    assert_eq!(asked(&net, spoke), [own(&net, hub)], "the spoke asks, once");
    assert!(asked(&net, hub).len() <= 1);
    assert!(net.node(hub).fib.neighbours.is_empty());
    let start = net.now();
    assert!(net.sent(hub, RegistrationReply, Default::default()).is_empty(), "the answer waits");
    sa(&mut net, hub, spoke, true);
    assert_eq!(nbma_of(&net, hub, &Router::overlay4(2).to_string()), Some(own(&net, spoke)));
    assert_eq!(net.node(hub).fib.neighbours.len(), 1);
    assert!(!net.sent(hub, RegistrationReply, start).is_empty());
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(1));
    assert_eq!(net.node(spoke).fib.neighbours.len(), 1);
}

#[test]
fn an_association_that_comes_up_makes_the_spoke_register_at_once() {
    // The hub does not answer, as one that a packet in clear cannot reach.
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    protect(&mut net, hub);
    let spoke = net.add_router(Router::spoke(2, 1));
    protect(&mut net, spoke);
    guarded(&mut net, spoke, None);
    net.run_for(secs(40));
    let before = net.now();
    sa(&mut net, spoke, hub, true);
    assert_eq!(net.sent(spoke, RegistrationRequest, before).len(), 1);
}

#[test]
fn the_loss_of_the_last_association_takes_along_what_was_learned() {
    let (mut net, hub, spoke) = protected_pair();
    sa(&mut net, hub, spoke, true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(2));
    assert_eq!(net.node(hub).fib.neighbours.len(), 1);
    sa(&mut net, hub, spoke, false);
    assert!(net.node(hub).fib.neighbours.is_empty());
    assert_eq!(nbma_of(&net, hub, &Router::overlay4(2).to_string()), None);
    let before = net.now();
    sa(&mut net, spoke, hub, false);
    assert!(net.node(spoke).fib.neighbours.is_empty());
    assert_eq!(asked(&net, spoke), [own(&net, hub)], "the spoke goes on asking");
    sa(&mut net, hub, spoke, true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(1));
    assert!(!net.sent(spoke, RegistrationRequest, before).is_empty());
    assert_eq!(net.node(hub).fib.neighbours.len(), 1, "and both are back");
    assert_eq!(net.node(spoke).fib.neighbours.len(), 1);
}

#[test]
fn the_last_mapping_releases_the_association() {
    let (mut net, hub, spoke) = protected_pair();
    sa(&mut net, hub, spoke, true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(2));
    net.configure(spoke, |c| c.ip.nhs.clear());
    // Both have a mapping of the other for as long as it was to hold.
    net.run_for(Duration::from_secs(8000));
    assert!(asked(&net, spoke).is_empty());
    for (node, peer) in [(hub, spoke), (spoke, hub)] {
        assert!(net.node(node).fib.neighbours.is_empty());
        let released = Output::Unprotect { local: own(&net, node), remote: own(&net, peer), terminate: true };
        assert!(net.node(node).others.iter().any(|(_, output)| *output == released));
    }
}

#[test]
fn an_association_that_was_there_first_is_used() {
    let mut net = Network::new(1);
    let hub = net.add_router(Router::hub(1));
    let spoke = net.add_router(Router::spoke(2, 1));
    for (node, peer) in [(hub, spoke), (spoke, hub)] {
        sa(&mut net, node, peer, true);
        protect(&mut net, node);
        guarded(&mut net, node, None);
    }
    net.run_for(secs(3));
    assert_eq!((net.node(hub).fib.neighbours.len(), net.node(spoke).fib.neighbours.len()), (1, 1));
    assert!(asked(&net, spoke).is_empty(), "nobody needs to make another");
}
