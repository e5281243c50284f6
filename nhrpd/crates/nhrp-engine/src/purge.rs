//! Purging (RFC 2332 sections 5.2.5, 5.2.6 and 6.2.1): those who were told something are told when it is over, and
//! what others say is over goes.
//!
//! Owns the memory of who was told what, purge requests on their way, and who may purge what. Never decides that a
//! binding or a route has ceased to be true: those who know call.
//!
//! FRR's nhrpd follows no purge and answers none, so that everything here is an improvement on holding times and
//! nothing relies on it: requests are repeated twice and given up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nhrp_config::Afi;
use nhrp_wire::{Cie, Exchange, Message, Packet, flags};
use slab::Slab;

use crate::Engine;
use crate::cache::{CacheEntry, CacheType, Origin};
use crate::engine::Pending;
use crate::ids::{CacheId, InterfaceId, PurgeId, ShortcutId};
use crate::interface::{FAMILIES, afi_of};
use crate::io::Output;
use crate::notice::Notice;
use crate::packets::{empty_request_extensions, name_responder, station, wire_family};
use crate::prefix_table::{PrefixTable, host, truncated};
use crate::routing::Destination;
use crate::server::{MAX_CIES, REPLY_HOPS};
use crate::time::Instant;
use crate::timers::Timer;

/// Waits after each sending, in seconds; after the last one the request is given up.
const WAITS: [u64; 3] = [1, 2, 4];
/// Requests whose reply is waited for; further ones ask for none.
const MAX_WAITING: usize = 1024;
/// Pairs of prefix and requester that are remembered; further requesters learn of changes by their holding time.
const MAX_TOLD: usize = 16_384;
/// Requesters of one prefix that are remembered.
const MAX_HOLDERS: usize = 512;
/// A purge of a prefix looks through whole tables, which no packet makes us do more often than this.
const SCAN_INTERVAL: Duration = Duration::from_millis(100);
/// How often outdated memories are looked for when there is no room.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Who was told something: interface and overlay address of the requester.
type Holder = (InterfaceId, IpAddr);

/// What a holder was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// When the holder has forgotten it by itself.
    until: Instant,
    /// By ourselves, or by a client of ours to whom we passed the question on.
    by_us: bool,
}

/// A purge request without a reply yet.
#[derive(Debug)]
struct Purge {
    interface: InterfaceId,
    /// Where it was sent to.
    nbma: IpAddr,
    request_id: u32,
    packet: Packet,
    attempt: usize,
    timer: Option<Instant>,
}

/// All that purging remembers.
#[derive(Debug, Default)]
pub(crate) struct Purging {
    waiting: Slab<Purge>,
    told: PrefixTable<BTreeMap<Holder, Told>>,
    /// Pairs in `told`.
    count: usize,
    swept: Option<Instant>,
    scanned: Option<Instant>,
    /// The daemon is about to end: nobody will be here to take a reply.
    leaving: bool,
}

impl Purging {
    /// Requests without a reply: request id and timer.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (PurgeId, u32, Option<Instant>)> + '_ {
        self.waiting.iter().map(|(key, p)| (PurgeId::from_key(key), p.request_id, p.timer))
    }
}

/// What an entry of a purge request is about.
fn purged_prefix(cie: &Cie, protocol: IpAddr) -> IpNet {
    let full = host(protocol).prefix_len();
    truncated(protocol, if cie.prefix_length == 0 { full } else { cie.prefix_length.min(full) })
}

impl Engine {
    /// We have answered a requester about a prefix.
    /// RFC 2332 6.2.1: who answers remembers, for a purge. [rfc2332-6.2.1-remember-requesters]
    pub(crate) fn remember_answer(
        &mut self,
        interface: InterfaceId,
        requester: IpAddr,
        prefix: IpNet,
        seconds: u16,
    ) {
        self.remember(prefix, (interface, requester), Duration::from_secs(u64::from(seconds)), true);
    }

    /// Whether a packet may be passed on; what a client will answer to a question passed on is remembered.
    pub(crate) fn may_pass(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        next: CacheId,
        packet: &Packet,
        takes_part: bool,
    ) -> bool {
        let Some(from) = packet.source_protocol else { return true };
        match packet.message {
            Message::ResolutionRequest(_) if takes_part => {
                let Some(entry) = self.cache.get(next.key()) else { return true };
                if entry.kind == CacheType::Dynamic && entry.origin == Origin::Registered {
                    let left = entry.expires.map_or(Duration::ZERO, |at| at.since(self.now));
                    let own = Duration::from_secs(u64::from(self.holdtime(interface, afi_of(from))));
                    self.remember(host(entry.protocol), (interface, from), left.max(own), false);
                }
                true
            }
            // A client believes its server, so the server sees to it that nobody purges in another's name.
            Message::PurgeRequest(_) => {
                let back = self.classify(Some(interface), from);
                let known = matches!(back, Destination::Peer(id)
                    if self.peer_address(id).is_some_and(|(_, nbma)| nbma == source));
                if !known {
                    self.stats.purges_refused += 1;
                    self.refuse(source, "purge request in the name of another station");
                }
                known
            }
            _ => true,
        }
    }

    fn remember(&mut self, prefix: IpNet, holder: Holder, holding: Duration, by_us: bool) {
        // Who asks again is told something new; a repeated purge would take that away.
        self.forget_purges(holder.1, prefix);
        let until = self.now + holding;
        let known = self.purging.told.get_mut(prefix).and_then(|holders| holders.get_mut(&holder));
        if let Some(told) = known {
            *told = Told { until: told.until.max(until), by_us };
            return;
        }
        if !self.has_room_for_holder(prefix) {
            self.sweep_told();
        }
        if !self.has_room_for_holder(prefix) {
            self.stats.limit_told += 1;
            return self.limit_met(format!(
                "{MAX_TOLD} requesters, {MAX_HOLDERS} of one prefix: limit reached, further ones learn of a change by \
                 their holding time; see with tcpdump who asks for so many addresses"
            ));
        }
        self.purging.count += 1;
        match self.purging.told.get_mut(prefix) {
            Some(holders) => {
                holders.insert(holder, Told { until, by_us });
            }
            None => {
                self.purging.told.insert(prefix, BTreeMap::from([(holder, Told { until, by_us })]));
            }
        }
    }

    fn has_room_for_holder(&self, prefix: IpNet) -> bool {
        let of_prefix = self.purging.told.get(prefix).map_or(0, BTreeMap::len);
        self.purging.count < MAX_TOLD && of_prefix < MAX_HOLDERS
    }

    fn sweep_told(&mut self) {
        let now = self.now;
        if self.purging.swept.is_some_and(|at| now.since(at) < SWEEP_INTERVAL) {
            return;
        }
        self.purging.swept = Some(now);
        self.retain_told(|_, told| told.until > now);
    }

    fn retain_told(&mut self, keep: impl Fn(&Holder, &Told) -> bool) {
        for prefix in self.purging.told.prefixes() {
            if let Some(holders) = self.purging.told.get_mut(prefix) {
                let before = holders.len();
                holders.retain(|holder, told| keep(holder, told));
                self.purging.count -= before - holders.len();
                if holders.is_empty() {
                    self.purging.told.remove(prefix);
                }
            }
        }
    }

    /// Takes those who were told about exactly this prefix and have not forgotten it yet.
    fn take_holders(&mut self, prefix: IpNet) -> Vec<Holder> {
        let Some(holders) = self.purging.told.remove(prefix) else { return Vec::new() };
        self.purging.count -= holders.len();
        holders.into_iter().filter(|(_, told)| told.until > self.now).map(|(holder, _)| holder).collect()
    }

    /// A binding is over, or leads elsewhere: whoever asked for it through us is told.
    /// RFC 2332 5.2.5: an NHS purges what it, or a client it serves, has answered. [rfc2332-5.2.5-nhs-purges-holders]
    pub(crate) fn purge_holders(&mut self, prefix: IpNet) {
        for (interface, holder) in self.take_holders(prefix) {
            self.purge_at(interface, holder, prefix);
        }
    }

    /// An own address is over: everything that was answered with it as next hop is.
    pub(crate) fn purge_own_answers(&mut self, interface: InterfaceId, own: IpAddr) {
        let of_ours = |prefix: &IpNet, (at, _): &Holder, told: &Told| {
            told.by_us && *at == interface && afi_of(prefix.addr()) == afi_of(own)
        };
        let now = self.now;
        let mut holders: Vec<IpAddr> = Vec::new();
        for prefix in self.purging.told.prefixes() {
            let Some(all) = self.purging.told.get_mut(prefix) else { continue };
            let before = all.len();
            all.retain(|holder, told| {
                let gone = of_ours(&prefix, holder, told);
                if gone && told.until > now {
                    holders.push(holder.1);
                }
                !gone
            });
            self.purging.count -= before - all.len();
            if all.is_empty() {
                self.purging.told.remove(prefix);
            }
        }
        holders.sort_unstable();
        holders.dedup();
        for holder in holders {
            self.purge_at(interface, holder, host(own));
        }
    }

    /// A route changed: what we answered about prefixes at or below it may lie elsewhere now.
    /// RFC 2332 5.2.5: the egress point has changed. [rfc2332-5.2.5-egress-moved]
    pub(crate) fn revalidate_answers(&mut self, changed: IpNet) {
        if self.purging.count == 0 {
            return;
        }
        let mut concerned: Vec<(IpNet, IpNet)> =
            self.purging.told.within(changed).into_iter().map(|(prefix, _)| (prefix, prefix)).collect();
        // Of prefixes that cover the changed one, only that part may have gone.
        let around = self.purging.told.covering(changed).into_iter().filter(|(prefix, _)| *prefix != changed);
        concerned.extend(around.map(|(prefix, _)| (prefix, changed)));
        for (prefix, part) in concerned {
            let Some(holders) = self.purging.told.get(prefix) else { continue };
            let gone: Vec<Holder> = holders
                .iter()
                .filter(|(_, told)| told.by_us && told.until > self.now)
                .map(|(holder, _)| *holder)
                .filter(|(interface, _)| {
                    let now_at = self.classify(Some(*interface), part.addr());
                    !matches!(now_at, Destination::Local | Destination::OffNbma(_))
                })
                .collect();
            if let Some(holders) = self.purging.told.get_mut(prefix) {
                for holder in &gone {
                    holders.remove(holder);
                    self.purging.count -= 1;
                }
                if holders.is_empty() {
                    self.purging.told.remove(prefix);
                }
            }
            for (interface, holder) in gone {
                self.purge_at(interface, holder, part);
            }
        }
    }

    /// Tells one holder that what it knows about a prefix is over.
    fn purge_at(&mut self, interface: InterfaceId, holder: IpAddr, prefix: IpNet) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let afi = afi_of(holder);
        // An own address that is being removed is the one that the holder knows us by.
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol.or(Some(prefix.addr()))) else {
            return;
        };
        let Destination::Peer(next) = self.classify(Some(interface), holder) else { return };
        let Some((out, nbma)) = self.peer_address(next) else { return };
        self.send_purge(out, nbma, (own_nbma, own), holder, prefix);
    }

    /// A client leaves its server.
    /// RFC 2332 5.2.5: an NHC may end its registration by a purge request. [rfc2332-5.2.5-nhc-deregisters]
    pub(crate) fn purge_registration(
        &mut self,
        interface: InterfaceId,
        nbma: IpAddr,
        server: IpAddr,
        told: (IpAddr, IpAddr),
    ) {
        self.send_purge(interface, nbma, told, server, host(told.1));
    }

    fn send_purge(
        &mut self,
        interface: InterfaceId,
        nbma: IpAddr,
        (own_nbma, own): (IpAddr, IpAddr),
        destination: IpAddr,
        prefix: IpNet,
    ) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        if !i.up || i.ifindex == 0 {
            return;
        }
        let running = i.family(afi_of(own)).running;
        let room = self.purging.waiting.len() < MAX_WAITING;
        if !room {
            self.stats.limit_purges += 1;
            self.limit_met(format!(
                "{MAX_WAITING} purge requests without a reply: limit reached, further ones ask for none; who misses one \
                 learns of it by the holding time"
            ));
        }
        let reply = running && !self.purging.leaving && room;
        // RFC 2332 5.2.5: code, MTU, preference and holding time are zero. [rfc2332-5.2.5-cie]
        let cie = Cie { prefix_length: prefix.prefix_len(), protocol: Some(prefix.addr()), ..Cie::default() };
        let id = PurgeId::from_key(self.purging.waiting.vacant_key());
        let request_id = self.new_request(Pending::Purge(id));
        let packet = Packet {
            nbma_family: wire_family(own_nbma),
            protocol_family: wire_family(own),
            hop_count: REPLY_HOPS,
            flags: if reply { 0 } else { flags::PURGE_NO_REPLY },
            source_nbma: Some(own_nbma),
            source_nbma_subaddress: Vec::new(),
            source_protocol: Some(own),
            destination_protocol: Some(destination),
            message: Message::PurgeRequest(Exchange { request_id, cies: vec![cie] }),
            extensions: empty_request_extensions(),
        };
        self.stats.purges_sent += 1;
        if reply {
            let purge = Purge { interface, nbma, request_id, packet, attempt: 0, timer: None };
            self.purging.waiting.insert(purge);
            self.on_purge_timer(id);
        } else {
            self.pending.remove(&request_id);
            self.send(interface, nbma, packet);
        }
    }

    /// Sends a purge request, or gives it up.
    pub(crate) fn on_purge_timer(&mut self, id: PurgeId) {
        let Some(purge) = self.purging.waiting.get_mut(id.key()) else { return };
        purge.timer = None;
        let (interface, nbma) = (purge.interface, purge.nbma);
        let up = self.interfaces.get(interface.key()).is_some_and(|i| i.up);
        // RFC 2332 5.2.5. [rfc2332-5.2.5-repeat]
        let Some(wait) = WAITS.get(purge.attempt).filter(|_| up) else {
            self.stats.purges_unanswered += 1;
            return self.end_purge(id);
        };
        purge.attempt += 1;
        self.timers.arm(&mut purge.timer, Timer::Purge(id), self.now + Duration::from_secs(*wait));
        let packet = purge.packet.clone();
        self.send(interface, nbma, packet);
    }

    fn end_purge(&mut self, id: PurgeId) {
        if let Some(mut purge) = self.purging.waiting.try_remove(id.key()) {
            self.timers.disarm(&mut purge.timer, Timer::Purge(id));
            self.pending.remove(&purge.request_id);
        }
    }

    /// What was said to be over is true again: the receiver must not hear another time that it is not.
    pub(crate) fn forget_purges(&mut self, destination: IpAddr, prefix: IpNet) {
        let same = |purge: &Purge| {
            let entry = purge.packet.message.exchange().and_then(|x| x.cies.first());
            purge.packet.destination_protocol == Some(destination)
                && entry.is_some_and(|c| {
                    c.prefix_length == prefix.prefix_len() && c.protocol == Some(prefix.addr())
                })
        };
        let ids: Vec<PurgeId> = self
            .purging
            .waiting
            .iter()
            .filter(|(_, purge)| same(purge))
            .map(|(key, _)| PurgeId::from_key(key))
            .collect();
        for id in ids {
            self.end_purge(id);
        }
    }

    /// RFC 2332 5.2.0.1: a reply counts if its request id and its addresses are those of the request.
    /// [rfc2332-5.2.0.1-reply-matched]
    pub(crate) fn on_purge_reply(&mut self, id: PurgeId, source: IpAddr, reply: &Packet) {
        let Some(purge) = self.purging.waiting.get(id.key()) else { return };
        let asked = &purge.packet;
        let same = reply.source_protocol == asked.source_protocol
            && reply.destination_protocol == asked.destination_protocol;
        let direct = asked.destination_protocol.and_then(|to| self.installed_peer(to));
        let from_there = source == purge.nbma
            || direct.and_then(|id| self.peer_address(id)).is_some_and(|(_, nbma)| nbma == source);
        if !(same && from_there) {
            self.stats.replies_from_stranger += 1;
            return;
        }
        self.stats.purges_acknowledged += 1;
        self.end_purge(id);
    }

    /// Whoever cannot handle a purge will not handle its repetition.
    pub(crate) fn on_purge_error(&mut self, id: PurgeId, source: IpAddr) {
        if self.purging.waiting.get(id.key()).is_some_and(|purge| purge.nbma == source) {
            self.stats.purges_unanswered += 1;
            self.end_purge(id);
        }
    }

    /// NHRP is no longer configured for a family of an interface: nobody is to be told anything there.
    pub(crate) fn drop_purges_of(&mut self, interface: InterfaceId, afi: Afi) {
        let family = |packet: &Packet| packet.source_protocol.map(afi_of) == Some(afi);
        let ids: Vec<PurgeId> = self
            .purging
            .waiting
            .iter()
            .filter(|(_, p)| p.interface == interface && family(&p.packet))
            .map(|(key, _)| PurgeId::from_key(key))
            .collect();
        for id in ids {
            self.end_purge(id);
        }
        self.retain_told(|(at, holder), _| *at != interface || afi_of(*holder) != afi);
    }

    /// The daemon ends. Nobody waits for replies, so none are asked for.
    pub(crate) fn on_leaving(&mut self) {
        self.purging.leaving = true;
        self.deregister_all();
        for interface in self.nhrp_interfaces.clone() {
            for afi in FAMILIES {
                let own = self.interfaces.get(interface.key()).and_then(|i| i.family(afi).protocol);
                if let Some(own) = own {
                    self.purge_own_answers(interface, own);
                }
            }
        }
    }

    /// Somebody says that what we know is over.
    pub(crate) fn on_purge_request(&mut self, interface: InterfaceId, source: IpAddr, request: Packet) {
        let Packet { source_protocol: Some(sender), message: Message::PurgeRequest(ref exchange), .. } =
            request
        else {
            return self.refuse(source, "purge request without source address");
        };
        let afi = afi_of(sender);
        let entries = || exchange.cies.iter().take(MAX_CIES);
        let wide = entries().any(|cie| cie.protocol.is_some_and(|p| purged_prefix(cie, p) != host(p)));
        let scan = wide && self.purging.scanned.is_none_or(|at| self.now.since(at) >= SCAN_INTERVAL);
        if scan {
            self.purging.scanned = Some(self.now);
        }
        let mut entitled = true;
        for cie in entries() {
            // RFC 2332 5.2.5: the client protocol address must be there. [rfc2332-5.2.5-client-address]
            let Some(protocol) = cie.protocol.filter(|p| afi_of(*p) == afi) else {
                return self.refuse(source, "purge request that does not say of which address");
            };
            self.drop_waiting(interface, protocol, source);
            entitled &= self.purge_entry(interface, source, sender, cie, protocol, scan);
        }
        if !entitled {
            self.stats.purges_refused += 1;
            return self.refuse(source, "purge of a binding that is not the sender's");
        }
        if wide && !scan {
            return; // Not all is looked through: the sender repeats what is not answered.
        }
        if exchange.cies.len() > MAX_CIES {
            return self.too_many_entries(source); // Without an answer, which would stand for all of them.
        }
        self.stats.purges_served += 1;
        // RFC 2332 5.2.5: without the N bit it is answered, whether or not something matched.
        // [rfc2332-5.2.5-reply] [rfc2332-5.2.5-n-bit]
        if request.flags & flags::PURGE_NO_REPLY == 0 {
            self.answer_purge(interface, source, request);
        }
    }

    /// RFC 2332 5.2.6: the reply is the request with another type and its extensions filled in. [rfc2332-5.2.6-form]
    fn answer_purge(&mut self, interface: InterfaceId, source: IpAddr, mut request: Packet) {
        let Message::PurgeRequest(exchange) = request.message else { return };
        let Some(afi) = request.source_protocol.map(afi_of) else { return };
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        if let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) {
            let me = station(own_nbma, own, self.advertised_mtu(interface), self.holdtime(interface, afi));
            name_responder(&mut request.extensions, &me);
        }
        request.message = Message::PurgeReply(exchange);
        request.hop_count = REPLY_HOPS;
        self.send(interface, source, request);
    }

    /// RFC 2332 5.2.5: what matches goes. [rfc2332-5.2.5-discard]
    ///
    /// Removes what matches an entry of a purge request; bindings under a prefix only if the cache may be scanned.
    /// Says whether everything that matches was the sender's to purge.
    fn purge_entry(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        sender: IpAddr,
        cie: &Cie,
        protocol: IpAddr,
        scan: bool,
    ) -> bool {
        let prefix = purged_prefix(cie, protocol);
        let mut all = true;

        let mut shortcuts: Vec<(ShortcutId, bool)> =
            self.shortcut_index.within(prefix).into_iter().map(|(_, id)| (*id, true)).collect();
        // What is known about a shorter prefix around it is not true as a whole any more.
        let around = self.shortcut_index.covering(prefix).into_iter().filter(|(wider, _)| *wider != prefix);
        shortcuts.extend(around.map(|(_, id)| (*id, false)));
        for (id, named) in shortcuts {
            let Some(shortcut) = self.shortcuts.get(id.key()) else { continue };
            let entry = shortcut.gateway.and_then(|gateway| self.cache.get(gateway.key()));
            let yes = match entry {
                Some(entry) => {
                    entry.interface == interface && self.may_purge(interface, source, sender, entry)
                }
                None => self.is_nhs_address(interface, source),
            };
            if yes {
                self.stats.purged += 1;
                self.remove_shortcut(id, "its peer says that it is over");
            } else if named {
                all = false;
            }
        }

        // RFC 2332 5.2.5: every protocol address within the prefix. [rfc2332-5.2.5-prefix]
        for id in self.bindings_within(interface, prefix, scan) {
            let Some(entry) = self.cache.get(id.key()) else { continue };
            // RFC 2332 5.2.5: an NBMA address narrows the scope. [rfc2332-5.2.5-nbma-narrows]
            let meant = cie.nbma.is_none_or(|n| entry.nbma == Some(n) || entry.claimed == Some(n));
            if entry.kind != CacheType::Dynamic || !meant {
                continue;
            }
            if self.may_purge(interface, source, sender, entry) {
                self.purge_binding(id);
            } else {
                all = false;
            }
        }
        all
    }

    fn bindings_within(&self, interface: InterfaceId, prefix: IpNet, scan: bool) -> Vec<CacheId> {
        if prefix == host(prefix.addr()) {
            return self.find_cache(interface, prefix.addr()).into_iter().collect();
        }
        if !scan {
            return Vec::new();
        }
        let within =
            self.cache.iter().filter(|(_, e)| e.interface == interface && prefix.contains(&e.protocol));
        within.map(|(key, _)| CacheId::from_key(key)).collect()
    }

    /// A binding is its own station's to purge: the one at its NBMA address. What we learned through a server, that
    /// server may purge as well, in its own name or in that of the station.
    fn may_purge(&self, interface: InterfaceId, source: IpAddr, sender: IpAddr, entry: &CacheEntry) -> bool {
        if entry.nbma == Some(source) {
            return true;
        }
        let of_server = |id: CacheId| {
            self.cache.get(id.key()).is_some_and(|e| e.kind == CacheType::Nhs && e.nbma == Some(source))
        };
        entry.origin == Origin::Resolved
            && self.is_nhs_address(interface, source)
            && (sender == entry.protocol || self.find_cache(interface, sender).is_some_and(of_server))
    }

    /// Removes a binding because its station, or a server, says so; those who were told of it are told.
    pub(crate) fn purge_binding(&mut self, id: CacheId) {
        let Some(entry) = self.cache.get(id.key()) else { return };
        let (protocol, registered) = (entry.protocol, entry.origin == Origin::Registered);
        let name = self.interface_name(entry.interface);
        self.stats.purged += 1;
        self.purge_holders(host(protocol));
        self.remove_cache(id, "its peer says that it is over");
        if registered {
            let reason = "it has left".to_owned();
            self.push(Output::Notice(Notice::ClientLeft { name, protocol, reason }));
        }
    }

    /// Sizes for tests of bounds: requests waiting for a reply, memories of who was told what.
    #[must_use]
    pub fn purge_sizes(&self) -> [usize; 2] {
        [self.purging.waiting.len(), self.purging.count]
    }
}
