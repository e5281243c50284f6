//! What happens to real networks, at random: loss, reordering, restarts, moves, translators that forget, tunnels that
//! flap, operators who clear, hosts that talk.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nhrp_config::Afi;
use nhrp_engine::{ClearWhat, Input, Link};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::network::{Network, NodeId};
use crate::router::Router;

/// Something that happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// Reboots and forgets.
    Restart,
    /// Gets another address from its provider.
    Move,
    /// Sits behind a translator from now on, or the translator takes another address.
    Rebind,
    /// Its provider is down, or up again.
    Outage,
    /// Its tunnel goes down, or up again.
    Flap,
    /// `clear ip nhrp cache`.
    ClearCache,
    /// `clear ip nhrp shortcut`.
    ClearShortcuts,
}

/// A source of incidents and traffic.
#[derive(Debug)]
pub struct Turmoil {
    rng: StdRng,
    fresh: u16,
    down: Vec<NodeId>,
}

impl Turmoil {
    /// The same seed makes the same turmoil.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed ^ 0x7075_6d6f_696c), fresh: 0, down: Vec::new() }
    }

    /// Sets loss, delay, reordering and duplication at random, within what networks do.
    pub fn weather(&mut self, net: &mut Network) {
        net.conditions.loss = self.rng.random_range(0.0..0.3);
        net.conditions.duplicate = self.rng.random_range(0.0..0.2);
        net.conditions.delay = Duration::from_millis(self.rng.random_range(1..150));
        net.conditions.jitter = Duration::from_millis(self.rng.random_range(0..100));
    }

    /// One of these nodes.
    ///
    /// # Panics
    /// If there are none.
    pub fn choose(&mut self, nodes: &[NodeId]) -> NodeId {
        nodes[self.rng.random_range(0..nodes.len())]
    }

    /// Something happens to one of these nodes.
    pub fn strike(&mut self, net: &mut Network, nodes: &[NodeId]) -> (NodeId, Incident) {
        const ALL: [Incident; 7] = [
            Incident::Restart,
            Incident::Move,
            Incident::Rebind,
            Incident::Outage,
            Incident::Flap,
            Incident::ClearCache,
            Incident::ClearShortcuts,
        ];
        let (node, incident) = (self.choose(nodes), ALL[self.rng.random_range(0..ALL.len())]);
        self.make(net, node, incident);
        (node, incident)
    }

    /// This happens to this node.
    pub fn make(&mut self, net: &mut Network, id: NodeId, incident: Incident) {
        self.fresh += 1;
        let [high, low] = self.fresh.to_be_bytes();
        match incident {
            Incident::Restart => {
                self.down.retain(|down| *down != id);
                net.restart(id);
            }
            Incident::Move => net.relocate(id, IpAddr::V4(Ipv4Addr::new(172, 18, high, low))),
            Incident::Rebind => {
                let nat = Some(IpAddr::V4(Ipv4Addr::new(198, 18, high, low)));
                let node = net.node_mut(id);
                node.nat = nat;
                node.router.nat = nat;
            }
            Incident::Outage => {
                let node = net.node_mut(id);
                node.online = !node.online;
            }
            Incident::Flap => {
                let up = self.down.contains(&id);
                if up {
                    self.down.retain(|down| *down != id);
                } else {
                    self.down.push(id);
                }
                Self::tunnel(net, id, up);
            }
            Incident::ClearCache => net.input(id, Input::Clear(ClearWhat::Cache)),
            Incident::ClearShortcuts => net.input(id, Input::Clear(ClearWhat::Shortcuts(Afi::Ip))),
        }
    }

    fn tunnel(net: &mut Network, id: NodeId, up: bool) {
        let link = Link { ifindex: Router::TUNNEL, name: "gre1".to_owned(), up, gre: true, mtu: 1500 };
        net.input(id, Input::Link(link));
    }

    /// A host behind one node sends a packet to a host behind another.
    pub fn talk(&mut self, net: &mut Network, nodes: &[NodeId]) {
        let (from, to) = (self.choose(nodes), self.choose(nodes));
        let lan = |id: NodeId| net.node(id).router.number;
        let (a, b) = (lan(from), lan(to));
        if a != b {
            net.trace(from, &format!("10.{a}.0.5"), &format!("10.{b}.0.5"));
        }
    }

    /// All is well again: everything up and online, nothing lost.
    pub fn calm(&mut self, net: &mut Network) {
        net.conditions = crate::Conditions::default();
        for id in net.nodes() {
            if !net.node(id).online {
                net.node_mut(id).online = true;
            }
        }
        for id in std::mem::take(&mut self.down) {
            Self::tunnel(net, id, true);
        }
    }
}
