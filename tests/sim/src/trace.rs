//! The way of one data packet, as kernels would send it: by routes and neighbours, never by asking an engine.

use std::net::IpAddr;

use nhrp_engine::{Input, Instant, NeighbourEvent, NeighbourState};

use crate::kernel::Verdict;
use crate::network::{Network, NodeId};
use crate::router::LAN;
use crate::watch::Rule;

/// Nodes that a data packet passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When it was sent.
    pub at: Instant,
    /// Nodes in order, beginning with the sender.
    pub nodes: Vec<NodeId>,
    /// Why it did not arrive.
    pub lost: Option<String>,
}

impl Trace {
    /// It reached its destination.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.lost.is_none()
    }

    /// It reached its destination over one tunnel hop.
    #[must_use]
    pub fn direct(&self) -> bool {
        self.delivered() && self.nodes.len() == 2
    }
}

impl Network {
    /// Sends a data packet from a host behind (or on) a node and follows it. A node that sends it out of the tunnel
    /// through which it came tells its engine, as NFLOG would. A neighbour entry that is missing or stale makes the
    /// kernel ask. Data packets are never lost on the way and take no time.
    ///
    /// # Panics
    /// If an address does not parse.
    pub fn trace(&mut self, from: NodeId, source: &str, destination: &str) -> Trace {
        let source: IpAddr = source.parse().expect("an address");
        let destination: IpAddr = destination.parse().expect("an address");
        let mut trace = Trace { at: self.now, nodes: vec![from], lost: None };
        let mut here = from;
        let mut arrived_on = None;
        for _ in 0..16 {
            if self.node(here).router.overlay.iter().any(|a| a.addr() == destination) {
                return trace;
            }
            let Verdict::Out { ifindex, neighbour } = self.node(here).fib.forward(destination) else {
                trace.lost = Some(format!("{here:?} has no route"));
                return trace;
            };
            if ifindex == LAN {
                return trace;
            }
            if arrived_on == Some(ifindex) {
                let octets = data_packet(source, destination);
                self.input(here, Input::Flow { ifindex, octets });
            }
            let Some(entry) = self.node(here).fib.neighbours.get(&(ifindex, neighbour)).copied() else {
                let event = NeighbourEvent::Wanted;
                self.input(here, Input::Neighbour { ifindex, protocol: neighbour, event });
                trace.lost = Some(format!("{here:?} has no neighbour {neighbour}"));
                return trace;
            };
            if entry.state == NeighbourState::Stale {
                let event = NeighbourEvent::Probe;
                self.input(here, Input::Neighbour { ifindex, protocol: neighbour, event });
            }
            let node = self.node(here);
            let key = node.tunnels.iter().find(|t| t.ifindex == ifindex).map_or(0, |t| t.key);
            let online = node.online;
            let next = self.owner(entry.nbma, key).filter(|_| online);
            let Some((next, at)) = next else {
                trace.lost = Some(format!("nobody answers at {}", entry.nbma));
                return trace;
            };
            trace.nodes.push(next);
            here = next;
            arrived_on = Some(at);
        }
        let what = format!("a packet from {source} to {destination} circles: {:?}", trace.nodes);
        trace.lost = Some("it circles".to_owned());
        let now = self.now;
        if let Some(watch) = &mut self.watch {
            watch.report(Rule::Circle, now, from, what);
        }
        trace
    }
}

/// An ICMP echo request of 84 (IPv4) or 104 (IPv6) octets, without checksums.
fn data_packet(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut octets = Vec::with_capacity(104);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            octets.extend_from_slice(&[0x45, 0, 0, 84, 0, 0, 0x40, 0, 63, 1, 0, 0]);
            octets.extend_from_slice(&source.octets());
            octets.extend_from_slice(&destination.octets());
            octets.push(8);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            octets.extend_from_slice(&[0x60, 0, 0, 0, 0, 64, 58, 63]);
            octets.extend_from_slice(&source.octets());
            octets.extend_from_slice(&destination.octets());
            octets.push(128);
        }
        _ => panic!("source and destination are of one family"),
    }
    octets.extend_from_slice(&[0; 63]);
    octets
}
