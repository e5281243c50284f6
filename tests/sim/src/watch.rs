//! What must hold after every step of every network, whatever is lost, delayed, repeated or restarted.
//!
//! Rules are judged by what a node was given, what it sent and what it had written into its kernel; only the rules
//! about an engine's own tables ask that engine. Nothing here changes the run.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nhrp_engine::{Engine, Instant, Nexthop, Output};
use nhrp_wire::{Message, Packet, PacketType};

use crate::bindings::Bindings;
use crate::kernel::Fib;
use crate::network::NodeId;
use crate::node::Node;

/// One of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// No node sends packets for an overlay address to where it is not, for longer than a holding time.
    Disagreement,
    /// No request is sent on by the same node twice.
    VisitedTwice,
    /// Whoever receives an error indication sends nothing to anybody because of it, except the error itself on.
    AnswerToError,
    /// Tables, indices and timers of an engine agree: every timer has an owner, and whoever waits has a timer.
    TimerWithoutOwner,
    /// What an engine remembers is bounded by the number of peers.
    UnboundedState,
    /// A reply is sent only by whom its request has reached.
    UnaskedReply,
    /// One packet in makes at most two packets back to its sender.
    Amplification,
    /// What is sent on has one hop less than before.
    HopCount,
    /// What is sent is well-formed.
    Malformed,
    /// Kernel and zebra have what the engine believes that they have, and are never told to delete anything else.
    KernelDiffers,
    /// A route through a peer leads to a neighbour that the kernel knows.
    RouteIntoVoid,
    /// No neighbour entry leads back to the own NBMA address.
    SendsToItself,
    /// No data packet circles.
    Circle,
    /// When a deadline was handled, the next one is later.
    DeadlineStays,
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// When.
    pub at: Instant,
    /// By whom.
    pub node: NodeId,
    /// How, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_micros(self.at.as_micros()).as_secs_f64();
        write!(f, "{:?} at {seconds:.6} s by {:?}: {}", self.rule, self.node, self.what)
    }
}

/// A packet as a node received it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// NBMA address it came from.
    pub source: IpAddr,
    /// Octets.
    pub octets: Vec<u8>,
    /// Nodes that sent it on before, beginning with the one that made it.
    pub path: Vec<NodeId>,
}

/// Table entries of all kinds together for each peer: entry, shortcut, host shortcut and resolution with their timers,
/// and a pending request.
const STATE_PER_PEER: usize = 10;
/// And for a node itself: own addresses, servers, what is configured.
const STATE_OF_ITS_OWN: usize = 32;
/// Packets back to the sender of one: an answer, and a question of one's own that it caused.
const MOST_BACK: usize = 2;
/// What walks over all that a node knows is done at each step for small nodes, and for large ones often enough to cost
/// as much as this many entries a step.
const ENTRIES_A_STEP: usize = 24;

/// How long others may go on believing what was true, besides a holding time: packets may be under way.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// And where packets are lost, a whole series of repetitions.
const REPETITIONS: Duration = Duration::from_secs(64);

/// The watchman of a network.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) violations: Vec<Violation>,
    /// A violation is noted instead of ending the run.
    pub(crate) lenient: bool,
    /// Peers that each node may know of besides the nodes of the network.
    pub(crate) strangers: usize,
    /// Packets are lost, or were.
    pub(crate) lossy: bool,
    bindings: Bindings,
    /// Holding time with which the station of an overlay address announces itself.
    holding: HashMap<IpAddr, u64>,
    /// Nodes that are, or were, behind a translator.
    translated: HashSet<NodeId>,
    requests: HashSet<(NodeId, u32, Option<IpAddr>)>,
    /// Entries that may still be walked over, by node.
    credit: Vec<usize>,
}

/// A packet's identity on its way: type, request id, who asked.
fn exchange_of(packet: &Packet) -> Option<(PacketType, u32, Option<IpAddr>)> {
    packet.message.exchange().map(|x| (packet.message.packet_type(), x.request_id, packet.source_protocol))
}

fn holding_time(node: &Node, overlay: IpAddr) -> u64 {
    let config = &node.router.config;
    u64::from(if overlay.is_ipv4() { config.ip.holdtime } else { config.ipv6.holdtime })
}

fn request_of(reply: PacketType) -> Option<PacketType> {
    match reply {
        PacketType::ResolutionReply => Some(PacketType::ResolutionRequest),
        PacketType::RegistrationReply => Some(PacketType::RegistrationRequest),
        PacketType::PurgeReply => Some(PacketType::PurgeRequest),
        _ => None,
    }
}

impl Watch {
    pub(crate) fn report(&mut self, rule: Rule, at: Instant, node: NodeId, what: String) {
        let violation = Violation { rule, at, node, what };
        assert!(self.lenient, "{violation}");
        self.violations.push(violation);
    }

    /// A node is what it is from now on.
    pub(crate) fn station(&mut self, now: Instant, id: NodeId, node: &Node) {
        if node.nat.is_some() {
            self.translated.insert(id);
        }
        let nbma = node.tunnels.first().filter(|_| node.online).map(|t| node.public(t.nbma));
        for overlay in node.router.overlay.iter().map(IpNet::addr) {
            let holding = holding_time(node, overlay);
            self.holding.insert(overlay, holding);
            // A station learns of another translation when it registers next.
            let unaware = if self.translated.contains(&id) { holding / 3 } else { 0 };
            self.bindings.is_now(now, overlay, nbma, Duration::from_secs(unaware));
        }
    }

    /// How long a node may believe that an overlay address is where it was: the holding time of whoever has it, which
    /// came with the binding; of a server one's own.
    fn patience(&self, node: &Node, overlay: IpAddr) -> Duration {
        let its = self.holding.get(&overlay).copied().unwrap_or_default();
        let slack = if self.lossy { REPETITIONS } else { UNDER_WAY };
        Duration::from_secs(its.max(holding_time(node, overlay))) + slack
    }

    /// A node lost all that it had written.
    pub(crate) fn forgot(&mut self, now: Instant, node: NodeId, fib: &Fib) {
        for (_, protocol) in fib.neighbours.keys() {
            self.bindings.believes(now, node, *protocol, None, Duration::ZERO);
        }
    }

    /// A node was given something and wants this done.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        id: NodeId,
        node: &Node,
        heard: Option<&Heard>,
        outputs: &[Output],
    ) {
        let packet = heard.and_then(|h| Packet::decode(&h.octets).ok());
        if let Some((kind, request, asker)) = packet.as_ref().and_then(exchange_of)
            && !kind.is_reply()
        {
            self.requests.insert((id, request, asker));
        }
        let mut back = 0;
        for output in outputs {
            match output {
                Output::Send { destination, octets, .. } => {
                    back += usize::from(heard.is_some_and(|h| h.source == *destination));
                    match Packet::decode(octets) {
                        Ok(sent) => self.sent(now, id, heard, packet.as_ref(), &sent),
                        Err(error) => {
                            self.report(Rule::Malformed, now, id, format!("sends {error}: {octets:02x?}"));
                        }
                    }
                }
                Output::NeighbourSet(n) => {
                    if node.tunnels.iter().any(|t| t.nbma == n.nbma || node.public(t.nbma) == n.nbma) {
                        let what = format!("{} is said to be at {}, which is this node", n.protocol, n.nbma);
                        self.report(Rule::SendsToItself, now, id, what);
                    }
                    let patience = self.patience(node, n.protocol);
                    self.bindings.believes(now, id, n.protocol, Some(n.nbma), patience);
                }
                Output::NeighbourDelete { protocol, .. } => {
                    self.bindings.believes(now, id, *protocol, None, Duration::ZERO);
                }
                _ => {}
            }
        }
        if back > MOST_BACK {
            let what = format!("{back} packets back for one");
            self.report(Rule::Amplification, now, id, what);
        }
        while let Some((node, protocol, nbma)) = self.bindings.overdue(now) {
            let what = format!("still believes that {protocol} is at {nbma}");
            self.report(Rule::Disagreement, now, node, what);
        }
    }

    fn sent(&mut self, now: Instant, id: NodeId, heard: Option<&Heard>, got: Option<&Packet>, sent: &Packet) {
        let kind = sent.message.packet_type();
        let same = got.filter(|got| match (exchange_of(got), exchange_of(sent)) {
            (None, None) => got.message == sent.message,
            (got, sent) => got == sent,
        });
        if let Some(Packet { message: Message::ErrorIndication { .. }, .. }) = got
            && same.is_none()
        {
            self.report(Rule::AnswerToError, now, id, format!("answers an error with {kind:?}"));
        }
        if let Some(got) = same {
            if sent.hop_count >= got.hop_count {
                let what =
                    format!("{kind:?} came with {} hops and goes with {}", got.hop_count, sent.hop_count);
                self.report(Rule::HopCount, now, id, what);
            }
            if !kind.is_reply()
                && exchange_of(sent).is_some()
                && heard.is_some_and(|heard| heard.path.contains(&id))
            {
                self.report(Rule::VisitedTwice, now, id, format!("sends the same {kind:?} on again"));
            }
        } else if let (Some(_), Some(exchange)) = (request_of(kind), sent.message.exchange())
            && !self.requests.contains(&(id, exchange.request_id, sent.source_protocol))
        {
            let what = format!("{kind:?} {:#x} to a request that never came", exchange.request_id);
            self.report(Rule::UnaskedReply, now, id, what);
        }
    }

    /// The outputs of a step have been carried out. `stations`: nodes of the network.
    pub(crate) fn settled(&mut self, now: Instant, id: NodeId, node: &Node, stations: usize) {
        let entries: usize = node.engine.sizes().iter().sum::<usize>() + node.engine.pending_requests();
        let known = node.fib.routes.len() + STATE_OF_ITS_OWN + STATE_PER_PEER * (stations + self.strangers);
        if entries > known {
            self.report(
                Rule::UnboundedState,
                now,
                id,
                format!("remembers {entries} things of {stations} peers"),
            );
        }
        if node.fib.vain_deletions > 0 {
            self.report(Rule::KernelDiffers, now, id, "deletes what is not there".to_owned());
        }
        if self.credit.len() <= id.0 {
            self.credit.resize(id.0 + 1, 0);
        }
        let Some(credit) = self.credit.get_mut(id.0) else { return };
        *credit += ENTRIES_A_STEP;
        if *credit >= entries {
            *credit = 0;
            self.walk(now, id, node);
        }
    }

    /// Everything that a node knows.
    pub(crate) fn walk(&mut self, now: Instant, id: NodeId, node: &Node) {
        self.audit(now, id, &node.engine);
        if let Err(what) = node.consistent() {
            self.report(Rule::KernelDiffers, now, id, what);
        }
        let void = node.fib.nhrp.values().find_map(|route| match route.nexthop {
            Nexthop::Gateway { address, ifindex }
                if !node.fib.neighbours.contains_key(&(ifindex, address)) =>
            {
                Some(format!("{} goes to {address}, which the kernel does not know", route.prefix))
            }
            _ => None,
        });
        if let Some(what) = void {
            self.report(Rule::RouteIntoVoid, now, id, what);
        }
    }

    fn audit(&mut self, now: Instant, id: NodeId, engine: &Engine) {
        for fault in engine.audit() {
            self.report(Rule::TimerWithoutOwner, now, id, fault);
        }
    }
}
