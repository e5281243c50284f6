//! The transport network and the clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nhrp_engine::{Engine, Input, Instant, Output};
use nhrp_wire::{Packet, PacketType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kernel::{Fib, Hop};
use crate::node::Node;
use crate::router::{Router, UNDERLAY};
use crate::watch::{Heard, Rule, Violation, Watch};

/// A node of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

/// What the transport network does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// One-way delay, at least.
    pub delay: Duration,
    /// Random delay that comes on top, up to this: packets overtake each other.
    pub jitter: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { delay: Duration::from_millis(5), jitter: Duration::ZERO, loss: 0.0, duplicate: 0.0 }
    }
}

/// Changes what a node sends, or has written, before anybody sees it. Is told what the node received.
pub type Saboteur = Box<dyn FnMut(NodeId, Option<&Heard>, &mut Vec<Output>)>;

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
    Arrival { destination: IpAddr, key: u32, heard: Heard },
}

/// A network in virtual time.
pub struct Network {
    pub(crate) now: Instant,
    nodes: Vec<Node>,
    /// By time and, at the same time, in the order in which they were made.
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: HashMap<u64, Event>,
    sequence: u64,
    /// Deadlines of all engines, and that of each by its number.
    deadlines: BTreeSet<(Instant, NodeId)>,
    armed: Vec<Option<Instant>>,
    /// Who is reached at which address with which key; made anew when a node was changed from outside.
    owners: Option<HashMap<(u32, IpAddr), (NodeId, u32)>>,
    pub(crate) watch: Option<Watch>,
    saboteur: Option<Saboteur>,
    deaf: Option<NodeId>,
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
            events: HashMap::new(),
            sequence: 0,
            deadlines: BTreeSet::new(),
            armed: Vec::new(),
            owners: None,
            watch: None,
            saboteur: None,
            deaf: None,
            rng: StdRng::seed_from_u64(seed),
            conditions: Conditions::default(),
            names: BTreeMap::new(),
            wire: Vec::new(),
        }
    }

    /// The same with a watchman: the first violation of a [`Rule`] ends the run.
    #[must_use]
    pub fn watched(seed: u64) -> Self {
        Self { watch: Some(Watch::default()), ..Self::new(seed) }
    }

    /// Lets somebody change what nodes do. Violations are then noted, see [`Network::violations`].
    pub fn sabotage(&mut self, saboteur: impl FnMut(NodeId, Option<&Heard>, &mut Vec<Output>) + 'static) {
        self.saboteur = Some(Box::new(saboteur));
        self.note_violations();
    }

    /// This node's engine is not told of its deadlines any more.
    pub fn deafen(&mut self, id: NodeId) {
        self.deaf = Some(id);
        self.note_violations();
    }

    /// A violation does not end the run.
    pub fn note_violations(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.lenient = true;
        }
    }

    /// Peers that are no nodes: a test makes packets in their name.
    pub fn expect_strangers(&mut self, count: usize) {
        if let Some(watch) = &mut self.watch {
            watch.strangers = count;
        }
    }

    /// Rules broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        self.watch.as_ref().map_or(&[], |w| &w.violations)
    }

    /// Looks at everything that every node knows; in between large nodes are looked at now and then.
    pub fn look_at_all(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            for id in self.nodes() {
                watch.walk(self.now, id, self.node(id));
            }
            self.watch = Some(watch);
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
        self.owners = None;
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
        let now = self.now;
        if let Some(watch) = &mut self.watch {
            watch.forgot(now, id, &self.nodes[id.0].fib);
        }
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

    /// Gives a node another address in the transport network, as DHCP does: interface, tunnel and engine follow.
    pub fn relocate(&mut self, id: NodeId, nbma: IpAddr) {
        let node = self.node_mut(id);
        let former = std::mem::replace(&mut node.router.nbma, nbma);
        for tunnel in &mut node.tunnels {
            tunnel.nbma = nbma;
        }
        let (old, new) = (IpNet::from(former), IpNet::from(nbma));
        self.input(id, Input::AddressDeleted { ifindex: UNDERLAY, address: old });
        self.input(id, Input::AddressAdded { ifindex: UNDERLAY, address: new, secondary: false });
        if let IpAddr::V4(local) = nbma {
            let ifindex = Router::TUNNEL;
            self.input(id, Input::Gre { ifindex, local: Some(local), link: Some(UNDERLAY) });
        }
    }

    /// Hands an input to a node now and carries out what the engine wants done.
    pub fn input(&mut self, id: NodeId, input: Input) {
        let heard = match &input {
            Input::Packet { source, octets, .. } if self.watch.is_some() => {
                Some(Heard { source: *source, octets: octets.clone(), path: Vec::new() })
            }
            _ => None,
        };
        self.give(id, input, heard.as_ref());
    }

    fn give(&mut self, id: NodeId, input: Input, heard: Option<&Heard>) {
        if self.owners.is_none() {
            self.survey();
        }
        let now = self.now;
        let engine = &mut self.nodes[id.0].engine;
        engine.handle(now, input);
        let mut outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        if let Some(saboteur) = &mut self.saboteur {
            saboteur(id, heard, &mut outputs);
        }
        if let Some(mut watch) = self.watch.take() {
            watch.lossy |= self.conditions.loss > 0.0;
            watch.step(now, id, self.node(id), heard, &outputs);
            self.watch = Some(watch);
        }
        for output in outputs {
            self.carry_out(id, output, heard);
        }
        let next = self.nodes[id.0].engine.next_deadline();
        if self.armed.len() <= id.0 {
            self.armed.resize(id.0 + 1, None);
        }
        let former = std::mem::replace(&mut self.armed[id.0], next);
        if former != next {
            if let Some(former) = former {
                self.deadlines.remove(&(former, id));
            }
            self.deadlines.extend(next.map(|at| (at, id)));
        }
        if let Some(watch) = &mut self.watch {
            let stations = self.nodes.len();
            watch.settled(now, id, &self.nodes[id.0], stations);
        }
    }

    /// Nodes may have been changed from outside: who is where, and who says so.
    fn survey(&mut self) {
        let mut owners = HashMap::new();
        for id in self.nodes() {
            let node = self.node(id);
            for tunnel in node.tunnels.iter().filter(|_| node.online) {
                owners.entry((tunnel.key, node.public(tunnel.nbma))).or_insert((id, tunnel.ifindex));
            }
        }
        self.owners = Some(owners);
        if let Some(watch) = &mut self.watch {
            for (index, node) in self.nodes.iter().enumerate() {
                watch.station(self.now, NodeId(index), node);
            }
        }
    }

    /// Changes the configuration of a node's tunnel.
    pub fn configure(&mut self, id: NodeId, change: impl FnOnce(&mut nhrp_config::InterfaceConfig)) {
        let router = &mut self.nodes[id.0].router;
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

    fn carry_out(&mut self, id: NodeId, output: Output, heard: Option<&Heard>) {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        if node.fib.apply(&output) {
            return;
        }
        match output {
            Output::Send { ifindex, destination, octets } => {
                self.send(id, ifindex, destination, octets, heard);
            }
            Output::Resolve { token, name } => {
                let addresses = self.names.get(&name).cloned().ok_or_else(|| "no such name".to_owned());
                self.at(
                    now + Duration::from_millis(3),
                    Event::Input(id, Input::Resolved { token, addresses }),
                );
            }
            Output::Notice(notice) => node.notices.push((now, notice)),
            other => node.others.push((now, other)),
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn send(
        &mut self,
        from: NodeId,
        ifindex: u32,
        destination: IpAddr,
        octets: Vec<u8>,
        heard: Option<&Heard>,
    ) {
        let node = self.node(from);
        let Some(tunnel) = node.tunnels.iter().find(|t| t.ifindex == ifindex).cloned() else {
            panic!("the engine sends on interface {ifindex}, which is no tunnel of this node");
        };
        let source = node.public(tunnel.nbma);
        let online = node.online;
        let to = self.owner(destination, tunnel.key).map(|(id, _)| id);
        let lost = !online || self.rng.random_bool(self.conditions.loss);
        let to = to.filter(|_| !lost);
        self.wire.push(Frame { at: self.now, from, to, source, destination, octets: octets.clone() });
        if lost {
            return;
        }
        // Only what is sent on has a past.
        let mut path = match heard {
            Some(heard) if passed_on(&heard.octets, &octets) => heard.path.clone(),
            _ => Vec::new(),
        };
        path.push(from);
        let heard = Heard { source, octets, path };
        let copies = 1 + usize::from(self.rng.random_bool(self.conditions.duplicate));
        for _ in 0..copies {
            let mut at = self.now + self.conditions.delay;
            if !self.conditions.jitter.is_zero() {
                at = at + self.conditions.jitter.mul_f64(self.rng.random());
            }
            self.at(at, Event::Arrival { destination, key: tunnel.key, heard: heard.clone() });
        }
    }

    /// Who has an address of the transport network, with the interface at which a packet for it arrives.
    pub(crate) fn owner(&mut self, destination: IpAddr, key: u32) -> Option<(NodeId, u32)> {
        if self.owners.is_none() {
            self.survey();
        }
        self.owners.as_ref()?.get(&(key, destination)).copied()
    }

    /// Takes the next step, if it is due by `until`.
    fn step(&mut self, until: Instant) -> bool {
        let event = self.queue.peek().map(|Reverse(e)| e.0);
        let deadline = self.deadlines.first().copied();
        match (event, deadline) {
            (Some(at), d) if at <= until && d.is_none_or(|(d, _)| at <= d) => {
                self.now = self.now.max(at);
                let Some(Reverse((_, sequence))) = self.queue.pop() else { return false };
                match self.events.remove(&sequence) {
                    Some(Event::Input(id, input)) => self.input(id, input),
                    Some(Event::Arrival { destination, key, heard }) => {
                        if let Some((id, ifindex)) = self.owner(destination, key) {
                            let (source, octets) = (heard.source, heard.octets.clone());
                            self.give(id, Input::Packet { ifindex, source, octets }, Some(&heard));
                        }
                    }
                    None => {}
                }
                true
            }
            (_, Some((at, id))) if at <= until => {
                self.now = self.now.max(at);
                if self.deaf != Some(id) {
                    self.input(id, Input::DeadlineReached);
                }
                self.after_deadline(id);
                true
            }
            _ => false,
        }
    }

    fn after_deadline(&mut self, id: NodeId) {
        let (now, next) = (self.now, self.node(id).engine.next_deadline());
        if next.is_none_or(|next| next > now) {
            return;
        }
        let what = format!("the next deadline is in the past: {next:?}");
        match &mut self.watch {
            Some(watch) => {
                watch.report(Rule::DeadlineStays, now, id, what);
                // Whoever goes on all the same must not stay here for ever.
                self.armed[id.0] = None;
                self.deadlines.retain(|(_, armed)| *armed != id);
            }
            None => panic!("{what}"),
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
}

/// Two packets are one on its way: the same exchange, or the same contents of an indication.
fn passed_on(before: &[u8], after: &[u8]) -> bool {
    let (Ok(before), Ok(after)) = (Packet::decode(before), Packet::decode(after)) else { return false };
    let same_exchange = match (before.message.exchange(), after.message.exchange()) {
        (Some(a), Some(b)) => a.request_id == b.request_id && before.source_protocol == after.source_protocol,
        (None, None) => before.message == after.message,
        _ => false,
    };
    same_exchange && before.message.packet_type() == after.message.packet_type()
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
