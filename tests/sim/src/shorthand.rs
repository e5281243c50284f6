//! What tests write again and again: addresses, times, octets, and the smallest network in which a shortcut can be.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_wire::Packet;

use crate::{Network, NodeId, Router};

/// The address that is written so.
#[must_use]
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Seconds.
#[must_use]
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
#[must_use]
pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A packet as it is on the wire.
#[must_use]
pub fn octets(packet: &Packet) -> Vec<u8> {
    let mut octets = Vec::new();
    packet.encode(&mut octets).expect("a packet that can be written");
    octets
}

/// A hub and the spokes 2 and 4, registered, one second old.
#[must_use]
pub fn triangle() -> (Network, NodeId, NodeId, NodeId) {
    triangle_of(
        Network::new(7),
        [Router::hub(1).behind(2).behind(4), Router::spoke(2, 1), Router::spoke(4, 1)],
    )
}

/// The same of other routers and with another network around them.
#[must_use]
pub fn triangle_of(mut net: Network, routers: [Router; 3]) -> (Network, NodeId, NodeId, NodeId) {
    let [hub, two, four] = routers.map(|router| net.add_router(router));
    net.run_for(secs(1));
    (net, hub, two, four)
}

/// Where the kernel of a node would send packets for an overlay address.
#[must_use]
pub fn nbma_of(net: &Network, node: NodeId, protocol: &str) -> Option<IpAddr> {
    net.node(node).fib.neighbours.get(&(Router::TUNNEL, ip(protocol))).map(|neighbour| neighbour.nbma)
}
