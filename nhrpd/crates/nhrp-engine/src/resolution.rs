//! Resolution (RFC 2332 sections 5.2.1 and 5.2.2): asking for the peer behind an address, and answering.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};

use crate::Engine;
use crate::cache::{BindError, Binding, CacheType, Origin};
use crate::engine::Pending;
use crate::ids::{InterfaceId, ResolutionId};
use crate::interface::afi_of;
use crate::io::Output;
use crate::notice::Notice;
use crate::packets::{
    empty_request_extensions, is_station, name_responder, nat_entries, station, wire_family,
};
use crate::prefix_table::{host, shared_bits, truncated};
use crate::routing::Destination;
use crate::server::{MAX_CIES, REPLY_HOPS};
use crate::standing::Refusal;
use crate::time::Instant;
use crate::timers::Timer;

/// How long an answer is waited for.
const GIVE_UP: Duration = Duration::from_secs(30);
/// How long nothing is asked again after a refusal, while indications go on.
const QUIET: Duration = Duration::from_secs(5);
/// Waits between repetitions, in seconds; the last one goes on (FRR: at most a quarter of [`GIVE_UP`]).
const WAITS: [u64; 4] = [1, 2, 4, 7];
/// Routes shorter than this are not handed out: a default route must not attract everybody's traffic (FRR).
const SHORTEST_ANSWER: u8 = 8;

/// More specific routes that are looked at to find the prefix of an answer; with more it is about the host alone.
const ROUTES_LOOKED_AT: usize = 1024;

/// A transit record that somebody filled: the packet's NBMA source is then a server, not the station itself.
fn has_record(extensions: &[Extension], filled: impl Fn(&ExtensionBody) -> bool) -> bool {
    extensions.iter().any(|e| filled(&e.body))
}

/// A request without an answer yet.
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) target: IpAddr,
    /// The interface on which the kernel waits for `target` as a next hop.
    pub(crate) asker: Option<InterfaceId>,
    pub(crate) request_id: u32,
    /// Requests sent.
    pub(crate) attempt: usize,
    /// Answered with a refusal; kept so that the next indication does not ask the same again at once.
    pub(crate) refused: bool,
    /// Why it was refused.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) started: Instant,
    pub(crate) timer: Option<Instant>,
}

impl Engine {
    /// Starts a resolution, unless one for this address is under way.
    pub(crate) fn resolve(&mut self, target: IpAddr) {
        self.resolve_for(target, None);
    }

    /// The same for a next hop that the kernel wants on the interface `asker`.
    pub(crate) fn resolve_for(&mut self, target: IpAddr, asker: Option<InterfaceId>) {
        // RFC 2332 2.2, 6.2.1: one question at a time, whatever number of packets asks for it.
        // [rfc2332-2.2-not-every-packet] [rfc2332-6.2.1-incomplete]
        // draft-detienne-dmvpn 4.4, 4.5: who has no way into the tunnel asks nobody. [dmvpn-4.4-rate]
        if self.resolving.contains_key(&target) || self.way_to(asker, target, 0).is_none() {
            return;
        }
        if self.resolutions.len() >= self.limits.max_resolutions {
            self.stats.limit_resolutions += 1;
            let what = format!(
                "{} resolutions without an answer: limit reached, further traffic stays on the path through the hub; \
                 see with tcpdump who asks for so many addresses",
                self.limits.max_resolutions
            );
            return self.limit_met(what);
        }
        let id = ResolutionId::from_key(self.resolutions.vacant_key());
        let request_id = self.new_request(Pending::Resolution(id));
        self.resolutions.insert(Resolution {
            target,
            asker,
            request_id,
            attempt: 0,
            refused: false,
            refusal: None,
            started: self.now,
            timer: None,
        });
        self.resolving.insert(target, id);
        self.send_resolution(id);
    }

    fn send_resolution(&mut self, id: ResolutionId) {
        let Some(resolution) = self.resolutions.get_mut(id.key()) else { return };
        let (target, asker, request_id) = (resolution.target, resolution.asker, resolution.request_id);
        let attempt = resolution.attempt;
        let wait = WAITS.get(resolution.attempt).or(WAITS.last()).copied().unwrap_or(1);
        resolution.attempt += 1;
        let give_up = resolution.started + GIVE_UP;
        let at = (self.now + Duration::from_secs(wait)).min(give_up);
        self.timers.arm(&mut resolution.timer, Timer::Resolution(id), at);

        // RFC 2332 3, draft-detienne-dmvpn 4.5. [rfc2332-3-serving-nhs] [dmvpn-4.5-next-hop-is-nhs]
        let Some(peer) = self.way_to(asker, target, attempt) else {
            // The route that it was asked along is gone. Kept, it would be in the way of the next indication.
            self.end_resolution(id);
            return;
        };
        let Some((interface, nbma)) = self.peer_address(peer) else { return };
        let afi = afi_of(target);
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else { return };
        let no_unique = i.config.family(afi).no_unique;
        let cie = Cie {
            code: CieCode::Success,
            // RFC 2332 5.2.1. [rfc2332-5.2.1-u-bit-prefix]
            prefix_length: if no_unique { host(own).prefix_len() } else { 0xFF },
            mtu: self.advertised_mtu(interface),
            // RFC 2332 5.2.1: it is not 0 because the S bit is set. [rfc2332-5.2.1-holding-if-stable]
            holding_time: self.holdtime(interface, afi),
            preference: 0,
            nbma: None,
            nbma_subaddress: Vec::new(),
            protocol: None,
        };
        let mut extensions = empty_request_extensions();
        extensions.push(self.own_nat_extension(interface, own));
        let packet = Packet {
            nbma_family: wire_family(own_nbma),
            protocol_family: wire_family(target),
            hop_count: REPLY_HOPS,
            // RFC 2332 5.2.5: after a purge only authoritative answers are wanted; always, here.
            // [rfc2332-5.2.5-authoritative-after]
            flags: flags::RESOLUTION_SOURCE_IS_ROUTER
                | flags::RESOLUTION_AUTHORITATIVE
                | flags::RESOLUTION_SOURCE_STABLE
                | flags::NAT,
            source_nbma: Some(own_nbma),
            source_nbma_subaddress: Vec::new(),
            source_protocol: Some(own),
            destination_protocol: Some(target),
            message: Message::ResolutionRequest(Exchange { request_id, cies: vec![cie] }),
            extensions,
        };
        self.send(interface, nbma, packet);
    }

    pub(crate) fn on_resolution_timer(&mut self, id: ResolutionId) {
        let Some(resolution) = self.resolutions.get_mut(id.key()) else { return };
        resolution.timer = None;
        if resolution.refused {
            self.end_resolution(id);
            return;
        }
        if self.now >= resolution.started + GIVE_UP {
            self.stats.resolutions_unanswered += 1;
            let (target, asker) = (resolution.target, resolution.asker);
            self.end_resolution(id);
            return self.refuse_waiting(asker, target);
        }
        let target = resolution.target;
        self.push(Output::Notice(Notice::ResolutionRetry { target }));
        self.send_resolution(id);
    }

    /// It was refused, or answered with something of no use.
    fn resolution_refused(&mut self, id: ResolutionId, refusal: Refusal) {
        self.stats.resolutions_refused += 1;
        let Some(resolution) = self.resolutions.get_mut(id.key()) else { return };
        if resolution.asker.is_some() {
            // The kernel waits for it, and hears of it once; a next hop is asked for when it is wanted again.
            let (target, asker) = (resolution.target, resolution.asker);
            self.end_resolution(id);
            return self.refuse_waiting(asker, target);
        }
        resolution.refused = true;
        resolution.refusal = Some(refusal);
        let request_id = resolution.request_id;
        self.timers.arm(&mut resolution.timer, Timer::Resolution(id), self.now + QUIET);
        self.pending.remove(&request_id);
    }

    pub(crate) fn end_resolution(&mut self, id: ResolutionId) -> Option<IpAddr> {
        let mut resolution = self.resolutions.try_remove(id.key())?;
        self.timers.disarm(&mut resolution.timer, Timer::Resolution(id));
        // A refused one has given its id back, and somebody else may have it by now.
        if !resolution.refused {
            self.pending.remove(&resolution.request_id);
        }
        self.resolving.remove(&resolution.target);
        Some(resolution.target)
    }

    /// A reply to our request, or an error about it.
    pub(crate) fn on_resolution_reply(
        &mut self,
        id: ResolutionId,
        interface: InterfaceId,
        source: IpAddr,
        reply: &Packet,
    ) {
        let Some(resolution) = self.resolutions.get(id.key()) else { return };
        let (target, asker) = (resolution.target, resolution.asker);
        let exchange = match &reply.message {
            // RFC 2332 5.2.0.1: id and addresses are those of the request. [rfc2332-5.2.0.1-reply-matched]
            Message::ResolutionReply(exchange)
                if reply.destination_protocol == Some(target)
                    && reply.source_protocol.is_some_and(|from| self.is_local(from)) =>
            {
                exchange
            }
            Message::ErrorIndication { code: ErrorCode::ProtocolAddressUnreachable, .. } => {
                self.end_resolution(id);
                match asker {
                    Some(_) => self.refuse_waiting(asker, target),
                    None => self.add_negative_shortcut(interface, target),
                }
                return;
            }
            Message::ErrorIndication { code, .. } => {
                return self.resolution_refused(id, Refusal::Error((*code).into()));
            }
            _ => {
                self.stats.replies_from_stranger += 1;
                return;
            }
        };
        let forwarded = has_record(
            &reply.extensions,
            |b| matches!(b, ExtensionBody::ReverseTransitNhs(r) if !r.is_empty()),
        );
        let via = if forwarded { None } else { Some(source) };
        if exchange.cies.len() > MAX_CIES {
            self.too_many_entries(source);
        }
        // RFC 2332 5.2.2: of several entries that with the highest preference counts. [rfc2332-5.2.2-several]
        let mut entries: Vec<&Cie> = exchange.cies.iter().take(MAX_CIES).collect();
        entries.sort_by_key(|c| std::cmp::Reverse(c.preference));
        let usable = entries.into_iter().find_map(|cie| {
            let gateway = cie.protocol.or(reply.destination_protocol)?;
            let usable = cie.code == CieCode::Success && afi_of(gateway) == afi_of(target);
            let claimed = cie.nbma.filter(|_| usable)?;
            let (binding, holding) =
                self.learned(interface, via, gateway, claimed, cie, &reply.extensions)?;
            Some((gateway, binding, holding, cie.prefix_length))
        });
        // RFC 2332 5.2.2: a refusal, codes 4, 5, 12 and 13. [rfc2332-5.2.2-nak-received]
        let Some((gateway, binding, holding, prefix_length)) = usable else {
            let code = exchange.cies.iter().map(|cie| cie.code).find(|code| *code != CieCode::Success);
            let refusal = code.map_or(Refusal::Unusable, |code| Refusal::Entry(code.into()));
            return self.resolution_refused(id, refusal);
        };
        self.end_resolution(id);
        let prefix = self.usable_prefix(target, prefix_length);
        self.stats.resolutions_answered += 1;
        // RFC 2332 6.2.1: what is in use is kept. [rfc2332-6.2.1-replies-kept]
        // A gateway that we know better (it registered here, or is configured) stays as it is.
        let entry = match self.bind(interface, gateway, binding) {
            Ok(entry) => entry,
            Err(BindError::Unauthorised) => {
                return self.shortcut_waits(interface, gateway, (prefix, target, holding));
            }
            Err(BindError::Precedence | BindError::Limit) => match self.find_cache(interface, gateway) {
                Some(entry) => entry,
                None => return,
            },
        };
        self.add_shortcut(prefix, target, entry, holding);
    }

    /// What an entry teaches about a station, and for how long; none if it cannot be a peer's. `via` is the NBMA
    /// source of the packet, if that came straight from the station.
    fn learned(
        &self,
        interface: InterfaceId,
        via: Option<IpAddr>,
        protocol: IpAddr,
        claimed: IpAddr,
        cie: &Cie,
        extensions: &[Extension],
    ) -> Option<(Binding, Duration)> {
        // Behind NAT the claimed address is of no use: the extension knows the outer one, or the packet itself
        // does, if it did not come through one of our servers.
        let translated =
            nat_entries(extensions).iter().find(|c| c.protocol == Some(protocol)).and_then(|c| c.nbma);
        let seen = via.filter(|source| !self.is_nhs_address(interface, *source));
        let nbma = translated.or(seen).unwrap_or(claimed);
        if !self.is_peer(interface, protocol, nbma) {
            return None;
        }
        // RFC 2332 6.2.1: a holding time of 0 is not to be kept. [rfc2332-6.2.1-holding-zero]
        if cie.holding_time == 0 {
            return None;
        }
        let holding = Duration::from_secs(u64::from(cie.holding_time));
        let binding = Binding {
            kind: CacheType::Dynamic,
            origin: Origin::Resolved,
            nbma: Some(nbma),
            nat: Some(nbma),
            claimed: Some(claimed),
            mtu: cie.mtu,
            unique: false,
            holding: Some(holding),
        };
        Some((binding, holding))
    }

    /// Whether a binding that we were told can be another station's, and is not our own coming back.
    fn is_peer(&self, interface: InterfaceId, protocol: IpAddr, nbma: IpAddr) -> bool {
        let own = self.interfaces.get(interface.key()).and_then(|i| i.nbma);
        let local = self.find_cache(interface, protocol).and_then(|id| self.cache.get(id.key()));
        is_station(protocol)
            && is_station(nbma)
            && own != Some(nbma)
            && local.is_none_or(|e| e.kind != CacheType::Local)
            && self.may_reach(interface, nbma)
    }

    /// The prefix of a reply, narrowed to the route that the traffic takes today: a shortcut must not attract what goes
    /// elsewhere.
    /// RFC 2332 6.3. [rfc2332-6.3-prefix]
    fn usable_prefix(&self, target: IpAddr, prefix_length: u8) -> IpNet {
        let full = host(target).prefix_len();
        // RFC 2332 5.2.0.1: 0 says nothing. [rfc2332-5.2.0.1-prefix-zero]
        if prefix_length == 0 || prefix_length >= full {
            return host(target);
        }
        let current = self.route_length(target).unwrap_or(0);
        truncated(target, prefix_length.max(current))
    }

    /// Somebody asks for an address that is ours or lies behind us.
    /// draft-detienne-dmvpn 4.5 to 4.7. [dmvpn-4.5-egress] [dmvpn-4.7-prefix]
    pub(crate) fn on_resolution_request(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        request: Packet,
        destination: Destination,
    ) {
        let (Some(source_nbma), Some(source_protocol), Some(target)) =
            (request.source_nbma, request.source_protocol, request.destination_protocol)
        else {
            return self.refuse(source, "resolution request without addresses");
        };
        let afi = afi_of(target);
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else { return };
        // RFC 2332 5.2.2: what is not to be told is refused with code 4. FRR says nothing. [rfc2332-5.2.2-prohibited]
        if !i.config.family(afi).shortcut {
            let code = CieCode::AdministrativelyProhibited;
            return self.refuse_resolution(interface, source, request, code);
        }
        let prefix_length = match destination {
            Destination::OffNbma(route) if route.prefix_len() < SHORTEST_ANSWER => {
                let code = CieCode::AdministrativelyProhibited;
                return self.refuse_resolution(interface, source, request, code);
            }
            Destination::OffNbma(route) => self.length_to_answer(interface, target, route),
            // draft-detienne-dmvpn 4.9: there may be nothing behind us. [dmvpn-4.9-no-lan]
            _ => host(target).prefix_len(),
        };
        // The answer goes the way that is known now, normally through the hub, not the one about to be learned.
        let Some(next) = self.way_to(Some(interface), source_protocol, 0) else {
            self.stats.requests_not_answered += 1;
            return;
        };
        let Some((out, next_nbma)) = self.peer_address(next) else { return };
        let Message::ResolutionRequest(exchange) = request.message else { return };

        let forwarded = has_record(
            &request.extensions,
            |b| matches!(b, ExtensionBody::ForwardTransitNhs(r) if !r.is_empty()),
        );
        let via = if forwarded { None } else { Some(source) };
        // RFC 2332 5.2.1: a request has one entry at most; addresses in it are ignored: it is about the sender of the
        // request, who is in the header. [rfc2332-5.2.1-one-entry] [rfc2332-5.2.1-other-fields]
        // RFC 2332 6.2.1: that is kept only with the S bit. [rfc2332-6.2.1-source-stable]
        // draft-detienne-dmvpn 4.6. [dmvpn-4.6-requester]
        let stable = request.flags & flags::RESOLUTION_SOURCE_STABLE != 0;
        if let Some(cie) = exchange.cies.first().filter(|_| stable && afi_of(source_protocol) == afi)
            && let Some((binding, _)) =
                self.learned(interface, via, source_protocol, source_nbma, cie, &request.extensions)
        {
            // Refused when we know the requester better already.
            let _ = self.bind(interface, source_protocol, binding);
        }

        let mtu = self.advertised_mtu(interface);
        let holdtime = self.holdtime(interface, afi);
        // RFC 2332 5.2.2: one entry, about ourselves, with all of the holding time. [rfc2332-5.2.2-preferred-first]
        // [rfc2332-5.2.2-holding-left]
        let mut answer = station(own_nbma, own, mtu, holdtime);
        answer.prefix_length = prefix_length;
        let own_nat = self.own_nat_extension(interface, own);
        // RFC 2332 5.2.2, 5.3: what was in the request is in the reply, and nothing else; 5.3.2: we add ourselves to no
        // record. [rfc2332-5.2.2-extensions] [rfc2332-5.3-only-asked] [rfc2332-5.3.2-responder-adds-nothing]
        let mut extensions = request.extensions;
        for extension in &mut extensions {
            match &mut extension.body {
                ExtensionBody::ResponderAddress(cies) => *cies = vec![station(own_nbma, own, mtu, holdtime)],
                ExtensionBody::NatAddress(_) => extension.body = own_nat.body.clone(),
                _ => {}
            }
        }
        let reply = Packet {
            nbma_family: request.nbma_family,
            protocol_family: request.protocol_family,
            hop_count: REPLY_HOPS,
            // RFC 2332 5.2.2: Q, U and S are the request's; A and D are ours. [rfc2332-5.2.2-flags]
            // [rfc2332-5.2.2-stable]
            flags: (request.flags
                & (flags::RESOLUTION_SOURCE_IS_ROUTER
                    | flags::RESOLUTION_UNIQUE
                    | flags::RESOLUTION_SOURCE_STABLE))
                | flags::RESOLUTION_AUTHORITATIVE
                | flags::RESOLUTION_DESTINATION_STABLE,
            source_nbma: Some(source_nbma),
            source_nbma_subaddress: request.source_nbma_subaddress,
            source_protocol: Some(source_protocol),
            destination_protocol: Some(target),
            message: Message::ResolutionReply(Exchange {
                request_id: exchange.request_id,
                cies: vec![answer],
            }),
            extensions,
        };
        self.stats.resolutions_served += 1;
        self.remember_answer(interface, source_protocol, truncated(target, prefix_length), holdtime);
        self.send(out, next_nbma, reply);
    }

    /// Length of the prefix to answer with about a target behind `route`: as short as can be without covering a route
    /// that does not end here.
    /// RFC 2332 6.3. [rfc2332-6.3-no-route-within]
    fn length_to_answer(&self, interface: InterfaceId, target: IpAddr, route: IpNet) -> u8 {
        let Some(within) = self.routes.few_within(route, ROUTES_LOOKED_AT) else {
            return host(target).prefix_len();
        };
        let elsewhere = within.into_iter().map(|(prefix, _)| prefix).filter(|prefix| {
            !prefix.contains(&target)
                && !matches!(
                    self.classify(Some(interface), prefix.addr()),
                    Destination::Local | Destination::OffNbma(_)
                )
        });
        elsewhere
            .fold(route.prefix_len(), |length, prefix| length.max(shared_bits(target, prefix.addr()) + 1))
    }

    /// A negative reply, back to where the request came from: it knows the way to the requester.
    pub(crate) fn refuse_resolution(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        mut request: Packet,
        code: CieCode,
    ) {
        self.stats.requests_not_answered += 1;
        let (Some(afi), Message::ResolutionRequest(exchange)) =
            (request.destination_protocol.map(afi_of), request.message)
        else {
            return;
        };
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else { return };
        let me = station(own_nbma, own, self.advertised_mtu(interface), self.holdtime(interface, afi));
        name_responder(&mut request.extensions, &me);
        // RFC 2332 5.2.2: one entry, in which only the code is set. [rfc2332-5.2.2-nak-form]
        let refusal =
            Exchange { request_id: exchange.request_id, cies: vec![Cie { code, ..Cie::default() }] };
        request.message = Message::ResolutionReply(refusal);
        request.hop_count = REPLY_HOPS;
        request.flags &=
            flags::RESOLUTION_SOURCE_IS_ROUTER | flags::RESOLUTION_UNIQUE | flags::RESOLUTION_SOURCE_STABLE;
        self.send(interface, source, request);
    }
}
