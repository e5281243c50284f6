//! The transport network and the clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nhrp_engine::{Engine, Input, Instant, NeighbourEvent, NeighbourState, Output};
use nhrp_wire::{Packet, PacketType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kernel::{Fib, Hop, Verdict};
use crate::node::Node;
use crate::router::{LAN, Router};
use crate::trace::Trace;

/// A node of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// What the transport network does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// One-way delay.
    pub delay: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
}

/// An NHRP packet on the wire.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When it was sent.
    pub at: Instant,
    /// Sender.
    pub from: NodeId,
    /// Receiver; none if it was lost or nobody has the address.
    pub to: Option<NodeId>,
    /// Outer source, after translation.
    pub source: IpAddr,
    /// Outer destination.
    pub destination: IpAddr,
    /// NHRP header onwards.
    pub octets: Vec<u8>,
}

impl Frame {
    /// The packet.
    ///
    /// # Panics
    /// If it does not decode: an engine sent something malformed.
    #[must_use]
    pub fn packet(&self) -> Packet {
        Packet::decode(&self.octets).expect("engines send well-formed packets")
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> PacketType {
        self.packet().message.packet_type()
    }
}

#[derive(Debug)]
enum Event {
    Input(NodeId, Input),
    Arrival { source: IpAddr, destination: IpAddr, key: u32, octets: Vec<u8> },
}

/// A network in virtual time.
#[derive(Debug)]
pub struct Network {
    now: Instant,
    nodes: Vec<Node>,
    /// By time and, at the same time, in the order in which they were made.
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    rng: StdRng,
    /// Delay, loss, duplication.
    pub conditions: Conditions,
    /// What names resolve to. Names that are not here do not exist.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// All NHRP packets sent so far.
    pub wire: Vec<Frame>,
}

impl Network {
    /// An empty network. The same seed gives the same run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            rng: StdRng::seed_from_u64(seed),
            conditions: Conditions { delay: Duration::from_millis(5), loss: 0.0, duplicate: 0.0 },
            names: BTreeMap::new(),
            wire: Vec::new(),
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// A node, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Builds a router and starts it now.
    pub fn add_router(&mut self, router: Router) -> NodeId {
        let id = NodeId(self.nodes.len());
        let engine = Engine::new(self.rng.random(), router.limits);
        self.nodes.push(Node {
            engine,
            fib: Fib::default(),
            tunnels: vec![router.tunnel()],
            nat: router.nat,
            online: true,
            notices: Vec::new(),
            others: Vec::new(),
            router,
        });
        self.boot(id);
        id
    }

    /// Restarts a node as if its machine had been rebooted: nothing learned survives. What was changed in
    /// [`Node::router`] beforehand takes effect.
    pub fn restart(&mut self, id: NodeId) {
        let seed = self.rng.random();
        let node = self.node_mut(id);
        node.engine = Engine::new(seed, node.router.limits);
        node.tunnels = vec![node.router.tunnel()];
        node.nat = node.router.nat;
        node.fib = Fib::default();
        self.boot(id);
    }

    fn boot(&mut self, id: NodeId) {
        let router = &self.node(id).router;
        let (inputs, hops) = (router.inputs(), router.hops());
        self.node_mut(id).fib.routes = hops.into_iter().collect();
        for input in inputs {
            self.input(id, input);
        }
    }

    /// Hands an input to a node now and carries out what the engine wants done.
    pub fn input(&mut self, id: NodeId, input: Input) {
        let now = self.now;
        self.node_mut(id).engine.handle(now, input);
        self.drain(id);
    }

    /// Changes the configuration of a node's tunnel.
    pub fn configure(&mut self, id: NodeId, change: impl FnOnce(&mut nhrp_config::InterfaceConfig)) {
        let router = &mut self.node_mut(id).router;
        change(&mut router.config);
        let config = Box::new(router.config.clone());
        self.input(id, Input::Configure { name: "gre1".to_owned(), config });
    }

    /// Adds or replaces a route of a node, as a routing protocol would.
    pub fn add_route(&mut self, id: NodeId, prefix: &str, gateway: Option<&str>, ifindex: u32) {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        let gateway = gateway.map(|g| g.parse().expect("an address"));
        self.node_mut(id).fib.routes.insert(prefix, Hop { gateway, ifindex });
        self.input(id, Input::RouteAdded { prefix, gateway, ifindex: Some(ifindex) });
    }

    /// Removes a route of a node.
    pub fn delete_route(&mut self, id: NodeId, prefix: &str) {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        self.node_mut(id).fib.routes.remove(&prefix);
        self.input(id, Input::RouteDeleted { prefix });
    }

    /// Injects an NHRP packet from the transport network.
    pub fn inject(&mut self, to: NodeId, source: &str, octets: Vec<u8>) {
        let source = source.parse().expect("an address");
        self.input(to, Input::Packet { ifindex: Router::TUNNEL, source, octets });
    }

    fn drain(&mut self, id: NodeId) {
        while let Some(output) = self.node_mut(id).engine.poll_output() {
            let now = self.now;
            if self.node_mut(id).fib.apply(&output) {
                continue;
            }
            match output {
                Output::Send { ifindex, destination, octets } => self.send(id, ifindex, destination, &octets),
                Output::Resolve { token, name } => {
                    let addresses = self.names.get(&name).cloned().ok_or_else(|| "no such name".to_owned());
                    self.at(
                        now + Duration::from_millis(3),
                        Event::Input(id, Input::Resolved { token, addresses }),
                    );
                }
                Output::Notice(notice) => self.node_mut(id).notices.push((now, notice)),
                other => self.node_mut(id).others.push((now, other)),
            }
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn send(&mut self, from: NodeId, ifindex: u32, destination: IpAddr, octets: &[u8]) {
        let node = self.node(from);
        let Some(tunnel) = node.tunnels.iter().find(|t| t.ifindex == ifindex).cloned() else {
            panic!("the engine sends on interface {ifindex}, which is no tunnel of this node");
        };
        let source = node.public(tunnel.nbma);
        let online = node.online;
        let to = self.owner(destination, tunnel.key).map(|(id, _)| id);
        let lost = !online || self.rng.random_bool(self.conditions.loss);
        self.wire.push(Frame {
            at: self.now,
            from,
            to: to.filter(|_| !lost),
            source,
            destination,
            octets: octets.to_vec(),
        });
        if lost {
            return;
        }
        let copies = 1 + usize::from(self.rng.random_bool(self.conditions.duplicate));
        for _ in 0..copies {
            let at = self.now + self.conditions.delay;
            self.at(at, Event::Arrival { source, destination, key: tunnel.key, octets: octets.to_vec() });
        }
    }

    /// Who has an address of the transport network, with the interface at which a packet for it arrives.
    fn owner(&self, destination: IpAddr, key: u32) -> Option<(NodeId, u32)> {
        self.nodes().find_map(|id| {
            let node = self.node(id);
            let mut tunnels = node.tunnels.iter();
            let tunnel = tunnels.find(|t| t.key == key && node.public(t.nbma) == destination)?;
            node.online.then_some((id, tunnel.ifindex))
        })
    }

    /// Takes the next step, if it is due by `until`.
    fn step(&mut self, until: Instant) -> bool {
        let event = self.queue.peek().map(|Reverse(e)| e.0);
        let deadline =
            self.nodes().filter_map(|id| self.node(id).engine.next_deadline().map(|at| (at, id))).min();
        match (event, deadline) {
            (Some(at), d) if at <= until && d.is_none_or(|(d, _)| at <= d) => {
                self.now = self.now.max(at);
                let Some(Reverse((_, sequence))) = self.queue.pop() else { return false };
                match self.events.remove(&sequence) {
                    Some(Event::Input(id, input)) => self.input(id, input),
                    Some(Event::Arrival { source, destination, key, octets }) => {
                        if let Some((id, ifindex)) = self.owner(destination, key) {
                            self.input(id, Input::Packet { ifindex, source, octets });
                        }
                    }
                    None => {}
                }
                true
            }
            (_, Some((at, id))) if at <= until => {
                self.now = self.now.max(at);
                self.input(id, Input::DeadlineReached);
                let next = self.node(id).engine.next_deadline();
                assert!(next.is_none_or(|n| n > self.now), "a deadline stays in the past: {next:?}");
                true
            }
            _ => false,
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Lets time pass until `done` holds, but no longer than `limit`. Says whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                self.now = until;
                return done(self);
            }
        }
    }

    /// Packets of a type sent by a node since a point in time.
    #[must_use]
    pub fn sent(&self, from: NodeId, kind: PacketType, since: Instant) -> Vec<&Frame> {
        self.wire.iter().filter(|f| f.from == from && f.at >= since && f.kind() == kind).collect()
    }

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
            let next = self.owner(entry.nbma, key).filter(|_| node.online);
            let Some((next, at)) = next else {
                trace.lost = Some(format!("nobody answers at {}", entry.nbma));
                return trace;
            };
            trace.nodes.push(next);
            here = next;
            arrived_on = Some(at);
        }
        trace.lost = Some("it circles".to_owned());
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
