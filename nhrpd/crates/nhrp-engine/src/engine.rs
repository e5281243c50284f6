//! The state machine itself: tables, dispatch of inputs and packets, sending.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ahash::RandomState;
use nhrp_wire::{Buffers, ErrorCode, Extension, ExtensionBody, Message, Packet};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use slab::Slab;

use crate::authorise::Authorising;
use crate::cache::CacheEntry;
use crate::follow::{Following, moves_standings};
use crate::forward::target_of;
use crate::ids::{CacheId, ContestId, InterfaceId, PurgeId, RegistrationId, ResolutionId, ShortcutId};
use crate::indication::ip_addresses;
use crate::interface::{Interface, afi_of};
use crate::io::{Input, Output};
use crate::next_hop::NextHops;
use crate::nhs::Nhs;
use crate::notice::Notice;
use crate::packets::{CISCO_CLEAR_TEXT, wire_family};
use crate::prefix_table::PrefixTable;
use crate::protection::Protection;
use crate::purge::Purging;
use crate::registration::Registration;
use crate::resolution::Resolution;
use crate::routing::{Destination, RibEntry};
use crate::server::MAX_CIES;
use crate::shortcut::Shortcut;
use crate::stats::Stats;
use crate::time::Instant;
use crate::timers::{Timer, Timers};
use crate::underlay::Underlay;
use crate::unique::Contests;

/// Bounds of what peers can make us remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Cache entries that were not configured.
    pub max_cache_entries: usize,
    /// Resolution requests without an answer.
    pub max_resolutions: usize,
    /// Shortcuts, refusals among them.
    pub max_shortcuts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_cache_entries: 200_000, max_resolutions: 4096, max_shortcuts: 200_000 }
    }
}

/// Whom the answer to a request id is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Registration(RegistrationId),
    Resolution(ResolutionId),
    Purge(PurgeId),
    Contest(ContestId),
}

/// The NHRP protocol of one machine. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) now: Instant,
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    pub(crate) interfaces: Slab<Interface>,
    pub(crate) by_ifindex: HashMap<u32, InterfaceId, RandomState>,
    pub(crate) by_name: HashMap<String, InterfaceId, RandomState>,
    /// Interfaces on which NHRP runs: few, and looked through for each packet.
    pub(crate) nhrp_interfaces: Vec<InterfaceId>,
    pub(crate) cache: Slab<CacheEntry>,
    pub(crate) cache_index: HashMap<(InterfaceId, IpAddr), CacheId, RandomState>,
    pub(crate) static_entries: HashSet<(InterfaceId, IpAddr), RandomState>,
    pub(crate) nhs: Slab<Nhs>,
    pub(crate) registrations: Slab<Registration>,
    pub(crate) resolutions: Slab<Resolution>,
    pub(crate) resolving: HashMap<IpAddr, ResolutionId, RandomState>,
    pub(crate) shortcuts: Slab<Shortcut>,
    pub(crate) shortcut_index: PrefixTable<ShortcutId>,
    /// Shortcuts by the cache entry that they lead to.
    pub(crate) dependents: HashMap<CacheId, Vec<ShortcutId>, RandomState>,
    pub(crate) routes: PrefixTable<RibEntry>,
    pub(crate) purging: Purging,
    pub(crate) contests: Contests,
    pub(crate) authorising: Authorising,
    pub(crate) pending: HashMap<u32, Pending, RandomState>,
    pub(crate) indicated: HashMap<(IpAddr, IpAddr), Instant, RandomState>,
    /// When pairs that count no longer were last removed from `indicated`.
    pub(crate) indicated_swept: Instant,
    pub(crate) next_hops: NextHops,
    pub(crate) underlay: Underlay,
    pub(crate) protection: Protection,
    pub(crate) errors_since: Instant,
    pub(crate) errors_in_second: u32,
    pub(crate) next_token: u64,
    pub(crate) timers: Timers,
    outputs: VecDeque<Output>,
    /// Memory of packets that are done with.
    buffers: Buffers,
    rng: StdRng,
    trace_packets: bool,
    pub(crate) following: Option<Box<Following>>,
}

impl Engine {
    /// An engine without interfaces. The same seed and the same inputs give the same outputs.
    #[must_use]
    pub fn new(seed: [u8; 32], limits: Limits) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let hasher = RandomState::with_seeds(rng.random(), rng.random(), rng.random(), rng.random());
        Self {
            now: Instant::ZERO,
            limits,
            stats: Stats::default(),
            interfaces: Slab::new(),
            by_ifindex: HashMap::with_hasher(hasher.clone()),
            by_name: HashMap::with_hasher(hasher.clone()),
            nhrp_interfaces: Vec::new(),
            cache: Slab::new(),
            cache_index: HashMap::with_hasher(hasher.clone()),
            static_entries: HashSet::with_hasher(hasher.clone()),
            nhs: Slab::new(),
            registrations: Slab::new(),
            resolutions: Slab::new(),
            resolving: HashMap::with_hasher(hasher.clone()),
            shortcuts: Slab::new(),
            shortcut_index: PrefixTable::default(),
            dependents: HashMap::with_hasher(hasher.clone()),
            routes: PrefixTable::default(),
            purging: Purging::default(),
            contests: Contests::new(),
            authorising: Authorising::with_hasher(hasher.clone()),
            pending: HashMap::with_hasher(hasher.clone()),
            indicated: HashMap::with_hasher(hasher.clone()),
            next_hops: NextHops::with_hasher(hasher.clone()),
            underlay: Underlay::with_hasher(hasher.clone()),
            protection: Protection::with_hasher(hasher),
            indicated_swept: Instant::ZERO,
            errors_since: Instant::ZERO,
            errors_in_second: 0,
            next_token: 0,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            buffers: Buffers::default(),
            rng,
            trace_packets: false,
            following: None,
        }
    }

    /// Whether each packet sent and received becomes a [`Notice::Packet`] (`debug nhrp common`).
    pub fn set_packet_trace(&mut self, on: bool) {
        self.trace_packets = on;
    }

    pub(crate) fn traces_packets(&self) -> bool {
        self.trace_packets
    }

    /// Takes one input. Afterwards the outputs are to be fetched until there are none.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        if moves_standings(&input) {
            self.standings_moved();
        }
        match input {
            Input::Configure { name, config } => self.on_configure(&name, *config),
            Input::Link(link) => self.on_link(&link),
            Input::LinkDeleted { ifindex } => self.on_link_deleted(ifindex),
            Input::Unsuited { ifindex, reason } => self.on_unsuited(ifindex, reason),
            Input::AddressAdded { ifindex, address, secondary } => {
                self.on_address(ifindex, address, Some(secondary));
            }
            Input::AddressDeleted { ifindex, address } => self.on_address(ifindex, address, None),
            Input::Gre { ifindex, local, link } => self.on_gre(ifindex, local, link),
            Input::RouteAdded { prefix, gateway, ifindex } => {
                // zebra says "none" as the unspecified address.
                let gateway = gateway.filter(|gateway| !gateway.is_unspecified());
                self.on_route_added(prefix, RibEntry { gateway, ifindex });
            }
            Input::RouteDeleted { prefix } => self.on_route_deleted(prefix),
            Input::Neighbour { ifindex, protocol, event } => self.on_neighbour(ifindex, protocol, event),
            Input::Adopted { ifindex, protocol, nbma } => self.on_adopted(ifindex, protocol, nbma),
            Input::Packet { ifindex, source, octets } => {
                self.on_packet(ifindex, source, &octets);
                self.buffers.keep_octets(octets);
            }
            Input::Flow { ifindex, octets } => self.on_flow(ifindex, &octets),
            Input::Multicast { ifindex, octets } => self.on_multicast(ifindex, octets),
            Input::Resolved { token, addresses } => self.on_resolved(token, addresses),
            Input::Guarded { name, local, failure } => self.on_guarded(&name, local, failure),
            Input::Protected { local, remote, identity } => self.on_protected(local, remote, identity),
            Input::Reprotected { local, remote } => self.on_reprotected(local, remote),
            Input::Unprotected { local, remote } => self.on_unprotected(local, remote),
            Input::Clear(what) => self.on_clear(what),
            Input::Authorising { on } => self.on_authorising(on),
            Input::Authorised { event, accepted } => self.on_authorised(event, accepted),
            Input::Leaving => self.on_leaving(),
            Input::DeadlineReached => self.on_deadline(),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// An empty vector for the octets of the next [`Input::Packet`]; with room, if there is a used one.
    #[must_use]
    pub fn buffer(&mut self) -> Vec<u8> {
        self.buffers.octets()
    }

    /// Takes the octets of an [`Output::Send`] that was carried out. Who gives them back, and takes those of inputs from
    /// [`Engine::buffer`], has refreshes answered without an allocation.
    pub fn reuse(&mut self, octets: Vec<u8>) {
        self.buffers.keep_octets(octets);
    }

    /// When [`Input::DeadlineReached`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Requests whose answer is waited for.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn on_deadline(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Authorisation(id) => self.on_authorisation_timer(id),
                Timer::Cache(id) => self.on_cache_timer(id),
                Timer::Contest(id) => self.on_contest_timer(id),
                Timer::Nhs(id) => self.on_nhs_timer(id),
                Timer::Protection => self.on_protection_timer(),
                Timer::Purge(id) => self.on_purge_timer(id),
                Timer::Registration(id) => self.on_registration_timer(id),
                Timer::Resolution(id) => self.on_resolution_timer(id),
                Timer::Shortcut(id) => self.on_shortcut_timer(id),
                Timer::Underlay => self.on_underlay_timer(),
            }
        }
    }

    /// A request id that nobody can guess, registered for its owner.
    pub(crate) fn new_request(&mut self, owner: Pending) -> u32 {
        loop {
            let id: u32 = self.rng.random();
            if id != 0 && !self.pending.contains_key(&id) {
                self.pending.insert(id, owner);
                return id;
            }
        }
    }

    /// A random time up to `most`: peers that started together must not stay together.
    pub(crate) fn jitter(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.random_range(0..=most))
    }

    /// Sends a packet on an interface, with the authentication of that interface.
    pub(crate) fn send(&mut self, interface: InterfaceId, destination: IpAddr, mut packet: Packet) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let ifindex = i.ifindex;
        // A server that asks for no password echoes the client's, which is what FRR's clients with one wait for.
        let echo =
            i.config.authentication.is_none() && matches!(packet.message, Message::RegistrationReply(_));
        let is_password = |e: &Extension| matches!(e.body, ExtensionBody::Authentication { .. });
        let place = packet.extensions.iter().position(is_password);
        if !echo {
            for password in packet.extensions.extract_if(.., |e| is_password(e)) {
                self.buffers.keep_extension(password);
            }
        }
        // RFC 2332 5.3.4 has it in requests and replies only. [rfc2332-5.3.4-requests-and-replies]
        if let Some((_, password)) = &i.config.authentication {
            let mut data = self.buffers.octets();
            data.extend_from_slice(password.as_bytes());
            let body = ExtensionBody::Authentication { reserved: 0, spi: CISCO_CLEAR_TEXT, data };
            // RFC 2332 5.3.4: it is renewed at each hop; 5.3: extensions stay in their order.
            // [rfc2332-5.3.4-hop-by-hop] [rfc2332-5.3-order]
            let place = place.unwrap_or(packet.extensions.len()).min(packet.extensions.len());
            packet.extensions.insert(place, Extension::compulsory(body));
        }
        let mut octets = self.buffers.octets();
        if let Err(error) = packet.encode(&mut octets) {
            self.stats.encode_errors += 1;
            let reason = format!("the answer cannot be written: {error}");
            return self.push(Output::Notice(Notice::PacketRefused {
                source: destination,
                reason,
                malformed: true,
            }));
        }
        let kind = packet.message.packet_type();
        self.stats.sent(kind);
        if self.trace_packets {
            self.push(Output::Notice(Notice::Packet {
                sent: true,
                kind: kind as u8,
                from: packet.source_protocol,
                to: packet.destination_protocol,
                nbma: destination,
            }));
        }
        let registers = matches!(packet.message, Message::RegistrationRequest(_));
        self.buffers.keep_packet(packet);
        if !self.may_send(interface, destination) {
            if !registers {
                return self.hold_packet(interface, destination, octets);
            }
            self.ask_for_protection(interface, destination, true);
        }
        self.push(Output::Send { ifindex, destination, octets });
    }

    pub(crate) fn refuse(&mut self, source: IpAddr, reason: &str) {
        self.stats.packets_refused += 1;
        let reason = reason.to_owned();
        self.push(Output::Notice(Notice::PacketRefused { source, reason, malformed: false }));
    }

    /// A limit was met. `what` names it and says what to do, and is the same each time.
    pub(crate) fn limit_met(&mut self, what: String) {
        self.push(Output::Notice(Notice::Limit { what }));
    }

    /// A packet has more entries than are looked at.
    pub(crate) fn too_many_entries(&mut self, source: IpAddr) {
        self.stats.limit_entries += 1;
        let reason = format!(
            "more than {MAX_CIES} entries in a packet: limit reached; let the sender put fewer into one"
        );
        self.push(Output::Notice(Notice::PacketRefused { source, reason, malformed: false }));
    }

    fn on_packet(&mut self, ifindex: u32, source: IpAddr, octets: &[u8]) {
        let Some(interface) = self.interface_by_index(ifindex) else {
            self.stats.packets_refused += 1;
            return;
        };
        if !self.interfaces.get(interface.key()).is_some_and(Interface::running) {
            return self.refuse(source, "peer not online");
        }
        let packet = match self.buffers.decode(octets) {
            Ok(packet) => packet,
            Err(error) => {
                self.stats.packets_malformed += 1;
                self.stats.packets_refused += 1;
                let reason = error.to_string();
                self.push(Output::Notice(Notice::PacketRefused { source, reason, malformed: true }));
                return self.send_decode_error(interface, source, octets, &error);
            }
        };
        let kind = packet.message.packet_type();
        self.stats.received(kind);
        if self.trace_packets {
            self.push(Output::Notice(Notice::Packet {
                sent: false,
                kind: kind as u8,
                from: packet.source_protocol,
                to: packet.destination_protocol,
                nbma: source,
            }));
        }
        let Some(target) = target_of(&packet) else { return self.refuse(source, "no protocol address") };
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        if !i.family(afi_of(target)).running {
            return self.refuse(source, "nhrp not enabled");
        }
        if i.nbma.map(wire_family) != Some(packet.nbma_family) {
            return self.refuse(source, "NBMA addresses of another family than ours");
        }
        if !self.authentic(interface, &packet) {
            // RFC 2332 5.3.4. [rfc2332-5.3.4-failure]
            self.stats.authentication_failures += 1;
            self.refuse(source, "authentication failure");
            return self.send_error(interface, source, &packet, octets, ErrorCode::AuthenticationFailure, 0);
        }
        if self.is_own_packet(interface, &packet) {
            self.stats.loops_detected += 1;
            return;
        }
        let destination = if is_for_whoever_gets_it(&packet) {
            Destination::Local
        } else {
            self.classify(Some(interface), target)
        };
        match destination {
            // Towards the station itself, whatever we know about it: RFC 2332 2.2, 5.2.3, draft-detienne-dmvpn 4.4.
            // [rfc2332-2.2-no-cached-answer] [dmvpn-4.4-intermediate-silent] [rfc2332-5.2.3-passed-on]
            Destination::Peer(next) => self.forward(interface, source, packet, octets, next),
            Destination::Unreachable => self.on_unreachable(interface, source, packet, octets),
            Destination::Local | Destination::OffNbma(_) => {
                if self.understands(interface, source, &packet, octets) {
                    self.on_own_packet(interface, source, packet, destination);
                }
            }
        }
    }

    fn on_own_packet(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        packet: Packet,
        destination: Destination,
    ) {
        match &packet.message {
            Message::RegistrationRequest(_) => self.on_registration_request(interface, source, packet),
            Message::ResolutionRequest(_) => {
                self.on_resolution_request(interface, source, packet, destination);
            }
            Message::PurgeRequest(_) => self.on_purge_request(interface, source, packet),
            Message::RegistrationReply(exchange)
            | Message::ResolutionReply(exchange)
            | Message::PurgeReply(exchange) => {
                self.on_reply(interface, source, &packet, exchange);
            }
            Message::TrafficIndication { unused: code, packet: octets } => {
                self.on_traffic_indication(interface, *code, octets);
            }
            Message::ErrorIndication { code, packet: octets, .. } => {
                self.on_error_indication(interface, source, &packet, *code, octets);
            }
        }
    }

    /// Whether a packet carries the password of the interface, if that has one. Error indications are let
    /// through: FRR sends them without, and one only counts if it quotes a request id of ours.
    fn authentic(&self, interface: InterfaceId, packet: &Packet) -> bool {
        let Some(i) = self.interfaces.get(interface.key()) else { return false };
        let Some((_, password)) = &i.config.authentication else { return true };
        if matches!(packet.message, Message::ErrorIndication { .. }) {
            return true;
        }
        packet.extensions.iter().any(|e| match &e.body {
            ExtensionBody::Authentication { reserved: 0, spi: CISCO_CLEAR_TEXT, data } => {
                constant_time_equal(data, password.as_bytes())
            }
            _ => false,
        })
    }
}

/// Whether a packet is for whoever gets it, whatever address it is for.
fn is_for_whoever_gets_it(packet: &Packet) -> bool {
    match &packet.message {
        // A client that does not know its server's address has its own as destination.
        Message::RegistrationRequest(_) | Message::PurgeRequest(_) => {
            packet.source_protocol == packet.destination_protocol
        }
        // draft-detienne-dmvpn 5.1 has the destination of the data packet there, FRR's nhrpd its source.
        // [dmvpn-5.1-destination]
        Message::TrafficIndication { packet: octets, .. } => ip_addresses(octets)
            .is_some_and(|(from, to)| from != to && packet.destination_protocol == Some(to)),
        _ => false,
    }
}

/// Compares without telling by its duration where the first difference is.
fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}
