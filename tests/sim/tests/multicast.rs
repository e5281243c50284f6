//! Who gets copies of multicast packets: everybody once who is meant by a line `map multicast`, and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;

use nhrp_config::{Afi, MulticastTarget};
use nhrp_engine::{ClearWhat, Input, Notice, Output, Stats};
use sim::shorthand::{ip, secs};
use sim::{Network, NodeId, Router};

const NOBODY: [IpAddr; 0] = [];

/// An IP packet to this address, with four octets after its header.
fn packet(to: &str) -> Vec<u8> {
    match ip(to) {
        IpAddr::V4(to) => {
            let mut packet = vec![0x45, 0, 0, 24, 0, 1, 0, 0, 1, 89, 0, 0, 10, 255, 0, 1];
            packet.extend(to.octets());
            packet.extend([1, 2, 3, 4]);
            packet
        }
        IpAddr::V6(to) => {
            let mut packet = vec![0x60, 0, 0, 0, 0, 4, 89, 1];
            packet.extend(Router::overlay6(1).to_string().parse::<std::net::Ipv6Addr>().unwrap().octets());
            packet.extend(to.octets());
            packet.extend([1, 2, 3, 4]);
            packet
        }
    }
}

/// Hands a packet to a node, as the firewall does; the receivers of the copies.
fn multicast(net: &mut Network, node: NodeId, octets: &[u8]) -> Vec<IpAddr> {
    let before = net.node(node).others.len();
    net.input(node, Input::Multicast { ifindex: Router::TUNNEL, octets: octets.to_owned() });
    let mut receivers = Vec::new();
    for (_, output) in &net.node(node).others[before..] {
        if let Output::Replicate { ifindex, afi, receivers: to, octets: copied } = output {
            assert_eq!((*ifindex, copied.as_slice()), (Router::TUNNEL, octets));
            assert_eq!(*afi == Afi::Ip, octets[0] >> 4 == 4);
            assert!(!to.is_empty());
            receivers.extend(to.iter().copied());
        }
    }
    receivers
}

fn hello(net: &mut Network, node: NodeId) -> Vec<IpAddr> {
    multicast(net, node, &packet("224.0.0.5"))
}

fn map(net: &mut Network, node: NodeId, targets: &[MulticastTarget]) {
    net.configure(node, |config| config.ip.multicast = targets.to_vec());
}

fn refusal(net: &Network, node: NodeId) -> String {
    match net.node(node).notices.last() {
        Some((_, notice @ Notice::MulticastRefused { .. })) => notice.to_string(),
        other => panic!("{other:?}"),
    }
}

fn stats(net: &Network, node: NodeId) -> Stats {
    net.node(node).engine.stats().clone()
}

#[test]
fn dynamic_means_those_who_registered_and_as_long_as_they_are() {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1).behind(2).behind(4));
    map(&mut net, hub, &[MulticastTarget::Dynamic]);
    assert_eq!(hello(&mut net, hub), NOBODY, "nobody is there yet");
    assert_eq!(stats(&net, hub).multicast_without_receiver, 1);
    let two = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    assert_eq!(hello(&mut net, hub), [ip("172.16.0.2")]);
    let four = net.add_router(Router::spoke(4, 1));
    net.run_for(secs(1));
    assert_eq!(hello(&mut net, hub), [ip("172.16.0.2"), ip("172.16.0.4")]);
    assert_eq!((stats(&net, hub).multicast_packets, stats(&net, hub).multicast_copies), (2, 3));

    // Refreshes change nothing, a move does, and so do the end of a holding time and a clearing.
    net.run_for(secs(40));
    assert_eq!(hello(&mut net, hub), [ip("172.16.0.2"), ip("172.16.0.4")]);
    net.node_mut(two).nat = Some(ip("203.0.113.2"));
    net.run_for(secs(40));
    assert_eq!(hello(&mut net, hub), [ip("172.16.0.4"), ip("203.0.113.2")]);
    net.node_mut(four).online = false;
    net.run_for(secs(61));
    assert_eq!(hello(&mut net, hub), [ip("203.0.113.2")]);
    net.input(hub, Input::Clear(ClearWhat::Cache));
    assert_eq!(hello(&mut net, hub), NOBODY);
    net.run_for(secs(25));
    assert_eq!(hello(&mut net, hub), [ip("203.0.113.2")], "registered again");
}

#[test]
fn peers_of_shortcuts_are_no_clients() {
    let mut net = Network::new(3);
    let _hub = net.add_router(Router::hub(1).behind(2).behind(4));
    let two = net.add_router(Router::spoke(2, 1));
    net.add_router(Router::spoke(4, 1));
    net.run_for(secs(1));
    net.trace(two, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    let peers = net.node(two).engine.cache_view(Afi::Ip).filter(|row| row.nbma == Some(ip("172.16.0.4")));
    assert!(peers.count() > 0, "there is a shortcut to the other spoke");
    map(&mut net, two, &[MulticastTarget::Dynamic]);
    assert_eq!(hello(&mut net, two), NOBODY);
}

#[test]
fn fixed_addresses_and_servers_each_once() {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1));
    let two = net.add_router(Router::spoke(2, 1));
    let fixed = |address: &str| MulticastTarget::Nbma(ip(address));
    map(&mut net, two, &[fixed("172.16.0.9")]);
    assert_eq!(hello(&mut net, two), [ip("172.16.0.9")], "whether he is known or not");
    map(&mut net, two, &[MulticastTarget::Nhs]);
    net.run_for(secs(1));
    assert_eq!(hello(&mut net, two), [ip("172.16.0.1")]);
    map(
        &mut net,
        two,
        &[MulticastTarget::Nhs, fixed("172.16.0.9"), fixed("172.16.0.1"), MulticastTarget::Dynamic],
    );
    assert_eq!(hello(&mut net, two), [ip("172.16.0.1"), ip("172.16.0.9")]);
    // Ourselves, another network's address, and none.
    map(&mut net, two, &[fixed("172.16.0.2"), fixed("2001:db8::1"), fixed("0.0.0.0")]);
    assert_eq!(hello(&mut net, two), NOBODY);
    // A server that does not answer is none.
    map(&mut net, two, &[MulticastTarget::Nhs]);
    net.node_mut(hub).online = false;
    net.run_for(secs(120));
    assert_eq!(hello(&mut net, two), NOBODY);
}

#[test]
fn a_client_of_both_families_gets_one_copy_of_either() {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1).with_ipv6(None));
    net.add_router(Router::spoke(2, 1).with_ipv6(Some(1)));
    net.run_for(secs(1));
    net.configure(hub, |config| {
        config.ip.multicast = vec![MulticastTarget::Dynamic];
        config.ipv6.multicast = vec![MulticastTarget::Dynamic];
    });
    for group in ["224.0.0.5", "239.1.2.3", "255.255.255.255", "ff02::5", "ff05::1:3"] {
        assert_eq!(multicast(&mut net, hub, &packet(group)), [ip("172.16.0.2")], "{group}");
    }
}

#[test]
fn what_is_not_for_many_is_refused_with_the_remedy() {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1));
    net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    assert_eq!(hello(&mut net, hub), NOBODY);
    assert!(refusal(&net, hub).contains("'map multicast'"), "{}", refusal(&net, hub));
    map(&mut net, hub, &[MulticastTarget::Dynamic]);
    for unicast in ["10.255.0.2", "fd00:255::2"] {
        assert_eq!(multicast(&mut net, hub, &packet(unicast)), NOBODY);
        assert!(refusal(&net, hub).contains("-d 224.0.0.0/24"), "{}", refusal(&net, hub));
    }
    for group in ["224.0.0.5", "ff02::5"] {
        let mut short = packet(group);
        short.pop();
        assert_eq!(multicast(&mut net, hub, &short), NOBODY);
        assert!(refusal(&net, hub).contains("--nflog-size"), "{}", refusal(&net, hub));
    }
    assert_eq!(multicast(&mut net, hub, &[0x45; 3]), NOBODY);
    net.configure(hub, |config| config.ip.network_id = 0);
    assert_eq!(hello(&mut net, hub), NOBODY);
    assert!(refusal(&net, hub).contains("does not run"), "{}", refusal(&net, hub));
    net.input(hub, Input::Multicast { ifindex: 4711, octets: packet("224.0.0.5") });
    let stats = stats(&net, hub);
    assert_eq!((stats.multicast_refused, stats.multicast_packets), (8, 0));
}

#[test]
fn a_checksum_that_was_left_to_the_device_is_completed_in_the_copies() {
    let mut net = Network::new(3);
    let hub = net.add_router(Router::hub(1));
    map(&mut net, hub, &[MulticastTarget::Nbma(ip("172.16.0.9"))]);
    // 10.255.0.1 to 224.0.0.9, UDP, 12 octets: the pseudo header adds up to eb26, all of it to f348.
    let mut octets = packet("224.0.0.9");
    octets[9] = 17;
    octets[3] = 32;
    octets.truncate(20);
    octets.extend([0x02, 0x08, 0x02, 0x08, 0x00, 0x0C, 0xEB, 0x26, 1, 2, 3, 4]);
    net.input(hub, Input::Multicast { ifindex: Router::TUNNEL, octets });
    let Some((_, Output::Replicate { octets, .. })) = net.node(hub).others.last() else { panic!() };
    assert_eq!(octets[26..28], [0x0C, 0xB7]);
}
