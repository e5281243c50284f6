//! `tunnel protection`: what waits for a security association, what its loss takes along, and who is asked to make one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nhrp_config::TunnelProtection;
use nhrp_engine::{ClearWhat, Input, Link, Notice, Output};
use nhrp_wire::CieCode;
use nhrp_wire::PacketType::{RegistrationReply, RegistrationRequest};
use sim::shorthand::{ip, nbma_of, secs};
use sim::{Network, NodeId, Router, Tunnel};

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
    sa_with(net, node, own(net, peer), up, "peer.example");
}

fn sa_with(net: &mut Network, node: NodeId, remote: IpAddr, up: bool, identity: &str) {
    let local = own(net, node);
    let input = if up {
        Input::Protected { local, remote, identity: identity.to_owned() }
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

fn unprotected(net: &Network, node: NodeId) -> Vec<IpAddr> {
    let released = net.node(node).others.iter().filter_map(|(_, output)| match output {
        Output::Unprotect { remote, terminate: true, .. } => Some(*remote),
        _ => None,
    });
    released.collect()
}

/// A hub with two registered spokes, all with associations.
fn protected_three() -> (Network, NodeId, [NodeId; 2]) {
    let (mut net, hub, one) = protected_pair();
    let two = net.add_router(Router::spoke(3, 1));
    protect(&mut net, two);
    guarded(&mut net, two, None);
    for spoke in [one, two] {
        sa(&mut net, hub, spoke, true);
        sa(&mut net, spoke, hub, true);
    }
    net.run_for(secs(3));
    assert_eq!(net.node(hub).fib.neighbours.len(), 2);
    (net, hub, [one, two])
}

/// What ends a mapping before its time ends the associations of that peer, too, and no other's.
#[test]
fn a_purge_or_an_operator_releases_the_association_of_that_peer() {
    let (mut net, hub, [one, two]) = protected_three();
    // The spoke takes its leave: its line goes, and it says so.
    net.configure(one, |c| c.ip.nhs.clear());
    net.run_for(secs(5));
    assert_eq!(unprotected(&net, hub), [own(&net, one)]);
    // It does not want one either, or it would negotiate the next at once.
    assert_eq!(unprotected(&net, one), [own(&net, hub)]);
    assert!(net.node(one).fib.neighbours.is_empty());
    assert_eq!(net.node(hub).fib.neighbours.len(), 1);

    net.input(hub, Input::Clear(ClearWhat::Cache));
    assert_eq!(unprotected(&net, hub), [own(&net, one), own(&net, two)]);
}

#[test]
fn a_peer_that_moves_registers_from_its_new_address_over_a_new_association() {
    let (mut net, hub, [one, two]) = protected_three();
    let (former, new) = (own(&net, one), ip("172.16.9.9"));
    net.relocate(one, new);
    assert_eq!(unprotected(&net, one), [own(&net, hub)], "what was from the former address ends");
    let before = net.now();
    net.run_for(secs(1));
    assert!(net.sent(one, RegistrationRequest, before).is_empty(), "the new address is not guarded yet");
    guarded(&mut net, one, None);
    net.run_for(secs(1));
    assert_eq!(asked(&net, one), [own(&net, hub)]);
    sa_with(&mut net, hub, new, true, "peer.example");
    sa(&mut net, one, hub, true);
    // The hub asks at the former address first, which was unique.
    net.run_for(secs(20));
    let overlay = Router::overlay4(2).to_string();
    assert_eq!(nbma_of(&net, hub, &overlay), Some(new));
    assert_eq!(unprotected(&net, hub), [former], "and the hub ends the former association, no other");
    assert_eq!(nbma_of(&net, hub, &Router::overlay4(3).to_string()), Some(own(&net, two)));
}

/// The other end may have seen a longer loss than we, and forgotten us.
#[test]
fn a_client_registers_again_when_its_association_was_made_anew() {
    let (mut net, hub, spoke) = protected_pair();
    sa(&mut net, hub, spoke, true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(2));
    sa(&mut net, hub, spoke, false);
    sa(&mut net, hub, spoke, true);
    assert_eq!(net.node(hub).fib.neighbours.len(), 0, "the hub has lost it");
    net.run_for(secs(1));
    assert_eq!(net.node(hub).fib.neighbours.len(), 0, "and the spoke does not know");
    let (local, remote) = (own(&net, spoke), own(&net, hub));
    net.input(spoke, Input::Reprotected { local, remote });
    net.run_for(secs(1));
    assert_eq!(net.node(hub).fib.neighbours.len(), 1);
}

/// Two tunnels from one address share its associations: one that goes takes nothing from the other.
#[test]
fn tunnels_from_one_address_share_associations() {
    let (mut net, hub, spoke) = protected_pair();
    sa(&mut net, hub, spoke, true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(2));
    let second = |net: &mut Network, protected: bool| {
        let mut config = net.node(spoke).router.config.clone();
        config.protection = config.protection.filter(|_| protected);
        net.input(spoke, Input::Configure { name: "gre2".to_owned(), config: Box::new(config) });
    };
    second(&mut net, true);
    let nbma = own(&net, spoke);
    net.node_mut(spoke).tunnels.push(Tunnel { ifindex: 11, key: 43, nbma });
    let name = "gre2".to_owned();
    net.input(spoke, Input::Link(Link { ifindex: 11, name: name.clone(), up: true, gre: true, mtu: 1500 }));
    net.input(
        spoke,
        Input::AddressAdded { ifindex: 11, address: "10.254.0.2/32".parse().unwrap(), secondary: false },
    );
    let local = v4(own(&net, spoke));
    net.input(spoke, Input::Gre { ifindex: 11, local: Some(local), link: Some(2) });
    net.input(spoke, Input::Guarded { name, local, failure: None });
    net.run_for(secs(2));
    second(&mut net, false);
    net.run_for(secs(2));
    assert!(unprotected(&net, spoke).is_empty(), "the first tunnel needs it still");
    assert_eq!(net.node(spoke).fib.neighbours.len(), 1);
    net.configure(spoke, |c| c.protection = None);
    assert_eq!(unprotected(&net, spoke), [own(&net, hub)]);
}

fn refusals(net: &Network, hub: NodeId) -> usize {
    net.node(hub).notices.iter().filter(|(_, n)| matches!(n, Notice::IdentityRefused { .. })).count()
}

#[test]
fn a_client_registers_what_its_identity_may_have_and_nothing_else() {
    let (mut net, hub, spoke) = protected_pair();
    let (overlay, there) = (Router::overlay4(2), own(&net, spoke));
    net.configure(hub, |c| c.ip.require_identity = true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(3));
    assert!(
        net.sent(hub, RegistrationReply, Default::default()).is_empty(),
        "not judged before charon has told who it is"
    );
    assert_eq!(refusals(&net, hub), 0);

    sa_with(&mut net, hub, there, true, "spoke2.example");
    net.run_for(secs(90));
    assert_eq!(nbma_of(&net, hub, &overlay.to_string()), None);
    assert!(refusals(&net, hub) > 0);
    let replies = net.sent(hub, RegistrationReply, Default::default());
    let codes: Vec<_> = replies
        .iter()
        .map(|frame| match frame.packet().message {
            nhrp_wire::Message::RegistrationReply(exchange) => exchange.cies[0].code,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        !codes.is_empty() && codes.iter().all(|code| *code == CieCode::AdministrativelyProhibited),
        "{codes:?}"
    );

    // A line lets it, in any case of letters.
    let prefix = "10.255.0.0/24".parse().unwrap();
    net.configure(hub, |c| c.ip.identities.push((prefix, "Spoke2.Example".to_owned())));
    net.run_for(secs(130));
    assert_eq!(nbma_of(&net, hub, &overlay.to_string()), Some(there));
    // Without the line it has it no more.
    net.configure(hub, |c| c.ip.identities.clear());
    assert_eq!(nbma_of(&net, hub, &overlay.to_string()), None);
    // The address itself is an identity, and one that changes is judged anew.
    sa_with(&mut net, hub, there, true, &overlay.to_string());
    net.run_for(secs(7200));
    assert_eq!(nbma_of(&net, hub, &overlay.to_string()), Some(there));
    sa_with(&mut net, hub, there, true, "");
    assert_eq!(nbma_of(&net, hub, &overlay.to_string()), None, "several stations at that address");
}

/// Before zebra has answered, a tunnel might seem to be at the address of its source, where another tunnel has associations:
/// what it sent then would be in clear.
#[test]
fn a_tunnel_whose_own_address_is_not_known_yet_sends_nothing() {
    let (mut net, hub, spoke) = protected_pair();
    sa(&mut net, hub, spoke, true);
    sa(&mut net, spoke, hub, true);
    net.run_for(secs(2));
    let mut config = net.node(spoke).router.config.clone();
    config.tunnel_source = Some("eth0".to_owned());
    let (name, other) = ("gre2".to_owned(), ip("172.16.9.9"));
    net.input(spoke, Input::Configure { name: name.clone(), config: Box::new(config) });
    net.node_mut(spoke).tunnels.push(Tunnel { ifindex: 11, key: 43, nbma: other });
    net.input(spoke, Input::Link(Link { ifindex: 11, name: name.clone(), up: true, gre: true, mtu: 1500 }));
    net.input(
        spoke,
        Input::AddressAdded { ifindex: 11, address: "10.254.0.2/32".parse().unwrap(), secondary: false },
    );
    let (own, before) = (v4(own(&net, spoke)), net.now());
    net.input(spoke, Input::Guarded { name: name.clone(), local: own, failure: None });
    net.run_for(secs(2));
    let sent = net.sent(spoke, RegistrationRequest, before);
    assert!(sent.is_empty(), "{} registrations from an address that is not guarded", sent.len());

    net.input(spoke, Input::Gre { ifindex: 11, local: Some(v4(other)), link: Some(2) });
    let guard = |(_, output): &(_, Output)| matches!(output, Output::Guard { name, local: Some(local) } if name == "gre2" && *local == v4(other));
    assert!(net.node(spoke).others.iter().any(guard));
    net.input(spoke, Input::Guarded { name, local: v4(other), failure: None });
    net.run_for(secs(1));
    assert!(
        net.node(spoke)
            .others
            .iter()
            .any(|(_, output)| matches!(output, Output::Protect { local, .. } if *local == other))
    );
}
