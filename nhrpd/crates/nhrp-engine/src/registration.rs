//! The client's side: registering with every configured NHS (RFC 2332 section 5.2.3).
//!
//! One registration a resolved NBMA address of an `nhs` line. Unanswered ones are repeated after 1, 2, 4 … 64 s,
//! accepted ones renewed after a third of the holding time.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::{Afi, NhsProtocol};
use nhrp_wire::{Cie, CieCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};

use crate::Engine;
use crate::cache::{Binding, CacheType, Origin};
use crate::engine::Pending;
use crate::ids::{InterfaceId, NhsId, RegistrationId};
use crate::interface::{FAMILIES, afi_of};
use crate::io::Output;
use crate::notice::Notice;
use crate::packets::{empty_extension, empty_request_extensions, wire_family};
use crate::prefix_table::host;
use crate::time::Instant;
use crate::timers::Timer;

const FIRST_WAIT: u64 = 1;
const WAIT_AFTER_SUCCESS: u64 = 2;
const LONGEST_WAIT: u64 = 64;
/// After an attempt that waited this long in vain, what is known about the NHS is no longer believed.
const GIVE_UP_WAIT: u64 = 16;
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);
const RESOLVE_REFRESH: Duration = Duration::from_secs(7200);
/// As many addresses of one name as FRR takes.
const MAX_ADDRESSES: usize = 16;

/// A configured `nhs` line.
#[derive(Debug)]
pub(crate) struct Nhs {
    pub(crate) interface: InterfaceId,
    pub(crate) afi: Afi,
    pub(crate) protocol: NhsProtocol,
    pub(crate) name: String,
    pub(crate) priority: u8,
    pub(crate) registrations: Vec<RegistrationId>,
    /// The name leads to ourselves as well: we are one of several hubs that share it.
    shared: bool,
    /// Distinguishes the answer to this line's question from that to a former line in the same slot.
    token: u64,
    pub(crate) timer: Option<Instant>,
}

/// A registration with one NBMA address.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) nhs: NhsId,
    pub(crate) nbma: IpAddr,
    /// Overlay address from the last accepted reply.
    pub(crate) learned: Option<IpAddr>,
    pub(crate) registered: bool,
    /// Own NBMA and overlay address that the NHS has accepted.
    told: Option<(IpAddr, IpAddr)>,
    /// Attempts without an answer since the last one that had one.
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// Seconds to wait for an answer to the next attempt.
    wait: u64,
    /// The last attempt was not accepted (yet). An error or a refusal is no acceptance: its sender wants to be asked
    /// less, not more.
    awaiting: bool,
    pub(crate) request_id: Option<u32>,
    pub(crate) timer: Option<Instant>,
}

impl Engine {
    /// Makes the `nhs` lines of a family and their registrations equal to the configuration.
    pub(crate) fn sync_nhs(&mut self, interface: InterfaceId, afi: Afi) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let wanted = if i.family(afi).running { i.config.family(afi).nhs.clone() } else { Vec::new() };
        let current = i.family(afi).nhs.clone();
        let mut kept = Vec::with_capacity(wanted.len());
        for line in &wanted {
            let same = current.iter().copied().find(|id| {
                self.nhs.get(id.key()).is_some_and(|n| n.protocol == line.protocol && n.name == line.nbma)
            });
            if let Some(id) = same {
                if let Some(nhs) = self.nhs.get_mut(id.key()) {
                    nhs.priority = line.priority;
                }
                kept.push(id);
                continue;
            }
            self.next_token += 1;
            let id = NhsId::from_key(self.nhs.insert(Nhs {
                interface,
                afi,
                protocol: line.protocol,
                name: line.nbma.clone(),
                priority: line.priority,
                registrations: Vec::new(),
                shared: false,
                token: self.next_token,
                timer: None,
            }));
            self.resolve_nhs(id);
            kept.push(id);
        }
        for id in current.into_iter().filter(|id| !kept.contains(id)) {
            self.remove_nhs(id);
        }
        if let Some(i) = self.interfaces.get_mut(interface.key()) {
            i.family_mut(afi).nhs = kept;
        }
    }

    fn remove_nhs(&mut self, id: NhsId) {
        for registration in self.nhs.get(id.key()).map(|n| n.registrations.clone()).unwrap_or_default() {
            self.deregister(registration);
        }
        let Some(mut nhs) = self.nhs.try_remove(id.key()) else { return };
        self.timers.disarm(&mut nhs.timer, Timer::Nhs(id));
        for registration in nhs.registrations {
            self.remove_registration(registration);
        }
    }

    fn remove_registration(&mut self, id: RegistrationId) {
        self.deregister(id);
        let Some(mut registration) = self.registrations.try_remove(id.key()) else { return };
        self.timers.disarm(&mut registration.timer, Timer::Registration(id));
        if let Some(request) = registration.request_id {
            self.pending.remove(&request);
        }
    }

    fn resolve_nhs(&mut self, id: NhsId) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        if let Ok(address) = nhs.name.parse::<IpAddr>() {
            self.set_nhs_addresses(id, &[address]);
            return;
        }
        let (token, name) = (nhs.token, nhs.name.clone());
        self.push(Output::Resolve { token, name });
    }

    pub(crate) fn resolve_all_nhs(&mut self, interface: InterfaceId, afi: Afi) {
        let lines = self.interfaces.get(interface.key()).map(|i| i.family(afi).nhs.clone());
        for id in lines.unwrap_or_default() {
            self.resolve_nhs(id);
        }
    }

    pub(crate) fn on_nhs_timer(&mut self, id: NhsId) {
        if let Some(nhs) = self.nhs.get_mut(id.key()) {
            nhs.timer = None;
            self.resolve_nhs(id);
        }
    }

    pub(crate) fn on_resolved(&mut self, token: u64, addresses: Result<Vec<IpAddr>, String>) {
        let Some((key, nhs)) = self.nhs.iter_mut().find(|(_, n)| n.token == token) else { return };
        let id = NhsId::from_key(key);
        let addresses: Result<Vec<IpAddr>, String> = match addresses {
            Ok(list) if list.is_empty() => Err("it has no address".to_owned()),
            other => other,
        };
        let again = if addresses.is_ok() { RESOLVE_REFRESH } else { RESOLVE_AGAIN };
        self.timers.arm(&mut nhs.timer, Timer::Nhs(id), self.now + again);
        match addresses {
            Ok(mut list) => {
                list.truncate(MAX_ADDRESSES);
                self.set_nhs_addresses(id, &list);
            }
            Err(error) => {
                // What an earlier answer said stays in use.
                self.note_unresolved(id, error);
            }
        }
    }

    fn note_unresolved(&mut self, id: NhsId, error: String) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        let host = nhs.name.clone();
        let name = self.interfaces.get(nhs.interface.key()).map(|i| i.name.clone()).unwrap_or_default();
        self.push(Output::Notice(Notice::NameUnresolved { name, host, error }));
    }

    fn set_nhs_addresses(&mut self, id: NhsId, addresses: &[IpAddr]) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        let mut gone = nhs.registrations.clone();
        let own = self.interfaces.get(nhs.interface.key()).and_then(|i| i.nbma);
        // A name shared by all hubs resolves to ourselves as well: a hub does not register with itself.
        let shared = addresses.iter().any(|a| Some(*a) == own);
        let mut wanted: Vec<IpAddr> = Vec::with_capacity(addresses.len());
        for address in addresses {
            // Packets travel over the network of our own NBMA address, whatever else the name has.
            let reachable = own.is_none_or(|own| own.is_ipv4() == address.is_ipv4());
            if reachable && Some(*address) != own && !wanted.contains(address) {
                wanted.push(*address);
            }
        }
        if wanted.is_empty() && !shared {
            let error = "it has no address of the family of the own NBMA address".to_owned();
            self.note_unresolved(id, error);
        }
        let mut kept = Vec::with_capacity(wanted.len());
        for nbma in wanted {
            let existing =
                gone.iter().position(|r| self.registrations.get(r.key()).is_some_and(|r| r.nbma == nbma));
            if let Some(at) = existing {
                kept.push(gone.remove(at));
                continue;
            }
            let new = RegistrationId::from_key(self.registrations.insert(Registration {
                nhs: id,
                nbma,
                learned: None,
                registered: false,
                told: None,
                failures: 0,
                last_error: None,
                wait: FIRST_WAIT,
                awaiting: false,
                request_id: None,
                timer: None,
            }));
            kept.push(new);
        }
        for registration in gone {
            self.remove_registration(registration);
        }
        let fresh = kept.clone();
        if let Some(nhs) = self.nhs.get_mut(id.key()) {
            nhs.registrations = kept;
            nhs.shared = shared;
        }
        for registration in fresh {
            if self.registrations.get(registration.key()).is_some_and(|r| r.timer.is_none()) {
                self.send_registration(registration);
            }
        }
    }

    /// Own addresses changed, or the interface came up: what the NHS knows about us may be wrong now.
    pub(crate) fn register_now(&mut self, interface: InterfaceId, afi: Afi) {
        let ids: Vec<RegistrationId> = self
            .interfaces
            .get(interface.key())
            .map(|i| i.family(afi).nhs.clone())
            .unwrap_or_default()
            .iter()
            .filter_map(|n| self.nhs.get(n.key()))
            .flat_map(|n| n.registrations.clone())
            .collect();
        for id in ids {
            if let Some(registration) = self.registrations.get_mut(id.key()) {
                registration.wait = FIRST_WAIT;
                // An answer to the old request would be about the old addresses.
                if let Some(request) = registration.request_id.take() {
                    self.pending.remove(&request);
                }
            }
            self.send_registration(id);
        }
    }

    pub(crate) fn on_registration_timer(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.timer = None;
        if registration.awaiting {
            self.registration_unanswered(id);
        }
        self.send_registration(id);
    }

    fn registration_unanswered(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        let waited = registration.wait;
        registration.failures = registration.failures.saturating_add(1);
        registration.wait = if waited >= LONGEST_WAIT { WAIT_AFTER_SUCCESS } else { waited * 2 };
        let (nbma, nhs, failures) = (registration.nbma, registration.nhs, registration.failures);
        let interface = self.nhs.get(nhs.key()).map(|n| n.interface);
        if failures == 3 || failures % 60 == 0 {
            let reason = format!(
                "no answer to {failures} requests; is it up and reachable over the transport network?"
            );
            self.note_registration_failure(id, &reason);
        }
        if waited < GIVE_UP_WAIT {
            return;
        }
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.registered = false;
        // Without what was learned the next request says something else, so it is no repetition of this one.
        if registration.learned.is_some()
            && let Some(request) = registration.request_id.take()
        {
            self.pending.remove(&request);
        }
        if let (Some(learned), Some(interface)) = (registration.learned.take(), interface) {
            self.forget_server(interface, learned, nbma);
        }
        // The name may lead elsewhere by now.
        if self.nhs.get(nhs.key()).is_some_and(|n| n.name.parse::<IpAddr>().is_err()) {
            self.resolve_nhs(nhs);
        }
    }

    /// Removes the cache entry of a server, if it still is the one at this NBMA address.
    fn forget_server(&mut self, interface: InterfaceId, protocol: IpAddr, nbma: IpAddr) {
        if let Some(entry) = self.find_cache(interface, protocol)
            && self.cache.get(entry.key()).is_some_and(|e| e.kind == CacheType::Nhs && e.nbma == Some(nbma))
        {
            self.remove_cache(entry, "NHS does not answer under this address any more");
        }
    }

    fn note_registration_failure(&mut self, id: RegistrationId, reason: &str) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.last_error = Some(reason.to_owned());
        let nbma = registration.nbma;
        let interface = self.nhs.get(registration.nhs.key()).map(|n| n.interface);
        let name =
            interface.and_then(|i| self.interfaces.get(i.key())).map(|i| i.name.clone()).unwrap_or_default();
        self.push(Output::Notice(Notice::RegistrationFailed { name, nhs: nbma, reason: reason.to_owned() }));
    }

    fn send_registration(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get(id.key()) else { return };
        let Some(nhs) = self.nhs.get(registration.nhs.key()) else { return };
        let (interface, afi, nbma, wait) = (nhs.interface, nhs.afi, registration.nbma, registration.wait);
        let configured = match nhs.protocol {
            NhsProtocol::Address(address) => Some(address),
            NhsProtocol::Dynamic => None,
        };
        let learned = registration.learned;
        let reuse = registration.request_id;

        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else {
            // An address that appears later calls `register_now`: no timer is needed until then.
            return;
        };
        if !i.family(afi).running {
            return;
        }
        let no_unique = i.config.family(afi).no_unique;
        let request_id = match reuse {
            Some(request_id) => request_id,
            None => self.new_request(Pending::Registration(id)),
        };
        let mtu = self.advertised_mtu(interface);
        let host_length = host(own).prefix_len();
        let server = learned.or(configured).unwrap_or(match own {
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        });
        let cie = Cie {
            code: CieCode::Success,
            prefix_length: if no_unique { host_length } else { 0xFF },
            mtu,
            holding_time: self.holdtime(interface, afi),
            preference: 0,
            nbma: None,
            nbma_subaddress: Vec::new(),
            protocol: None,
        };
        let nat = Cie {
            prefix_length: host_length,
            holding_time: 0,
            nbma: Some(nbma),
            protocol: Some(server),
            ..cie.clone()
        };
        let mut extensions = empty_request_extensions();
        extensions.push(Extension { compulsory: false, body: ExtensionBody::NatAddress(vec![nat]) });
        let packet = Packet {
            nbma_family: wire_family(own_nbma),
            protocol_family: wire_family(own),
            hop_count: 1,
            flags: flags::NAT | if no_unique { 0 } else { flags::REGISTRATION_UNIQUE },
            source_nbma: Some(own_nbma),
            source_nbma_subaddress: Vec::new(),
            source_protocol: Some(own),
            // Without knowing the NHS, RFC 2332 section 5.2.3 has the own address here.
            destination_protocol: Some(configured.unwrap_or(own)),
            message: Message::RegistrationRequest(Exchange { request_id, cies: vec![cie] }),
            extensions,
        };
        let at = self.now + Duration::from_secs(wait) + self.jitter(Duration::from_millis(20));
        if let Some(registration) = self.registrations.get_mut(id.key()) {
            registration.request_id = Some(request_id);
            registration.awaiting = true;
            self.timers.arm(&mut registration.timer, Timer::Registration(id), at);
        }
        if let Some(server) = learned.or(configured) {
            self.forget_purges(server, host(own));
        }
        self.send(interface, nbma, packet);
    }

    /// A reply to a registration, or an error about it (`reply` is then that error).
    pub(crate) fn on_registration_reply(&mut self, id: RegistrationId, source: IpAddr, reply: &Packet) {
        let Some(registration) = self.registrations.get(id.key()) else { return };
        if registration.nbma != source {
            // Only the NHS that was asked may answer.
            self.stats.replies_from_stranger += 1;
            return;
        }
        let Some(nhs) = self.nhs.get(registration.nhs.key()) else { return };
        let (interface, afi) = (nhs.interface, nhs.afi);
        let Message::RegistrationReply(exchange) = &reply.message else {
            let reason = match &reply.message {
                Message::ErrorIndication { code, .. } => {
                    format!(
                        "it answered with error {code:?}; compare 'nhrp authentication' and the tunnel's network"
                    )
                }
                _ => "it answered with another packet type".to_owned(),
            };
            self.note_registration_failure(id, &reason);
            self.forget_request(id);
            return;
        };
        // A hub that shares its name with us knows us as its server, which ranks above a client: that is no refusal.
        let fine = |c: &Cie| {
            c.code == CieCode::Success || (nhs.shared && c.code == CieCode::AdministrativelyProhibited)
        };
        if let Some(refused) = exchange.cies.iter().find(|c| !fine(c)) {
            let reason = format!("it refuses with code {:?}", refused.code);
            self.note_registration_failure(id, &reason);
            return;
        }
        let Some(server) = reply.destination_protocol else { return };
        if afi_of(server) != afi {
            return;
        }
        let mtu = exchange.cies.last().map_or(0, |c| c.mtu);
        let told = self.interfaces.get(interface.key()).and_then(|i| i.nbma.zip(i.family(afi).protocol));
        if let Some((_, own)) = told {
            self.deregister_former(id, own);
        }
        let claimed = reply.extensions.iter().find_map(|e| match &e.body {
            ExtensionBody::ResponderAddress(cies) => cies.first().and_then(|c| c.nbma),
            _ => None,
        });
        // The NHS appends a second entry when it saw our packet come from another address than ours.
        let nat = reply.extensions.iter().find_map(|e| match &e.body {
            ExtensionBody::NatAddress(cies) => cies.get(1).and_then(|c| c.nbma),
            _ => None,
        });
        let holding = Duration::from_secs(u64::from(self.holdtime(interface, afi)));
        self.forget_request(id);
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        let news = !registration.registered || registration.learned != Some(server);
        let former = registration.learned.filter(|former| *former != server);
        registration.registered = true;
        registration.told = told;
        registration.awaiting = false;
        registration.failures = 0;
        registration.last_error = None;
        registration.learned = Some(server);
        registration.wait = WAIT_AFTER_SUCCESS;
        // FRR divides in whole seconds; a holding time below 3 s must not become a busy loop.
        let again = (holding / 3).max(Duration::from_secs(1));
        self.timers.arm(&mut registration.timer, Timer::Registration(id), self.now + again);
        if let Some(i) = self.interfaces.get_mut(interface.key()) {
            i.nat_nbma = nat;
        }
        let binding = Binding {
            kind: CacheType::Nhs,
            origin: Origin::Registered,
            nbma: Some(source),
            nat: None,
            claimed,
            mtu,
            holding: Some(holding),
        };
        if let Some(former) = former {
            self.forget_server(interface, former, source);
        }
        let bound = self.bind(interface, server, binding);
        self.stats.registrations_accepted += 1;
        if news && bound.is_ok() {
            let name = self.interfaces.get(interface.key()).map(|i| i.name.clone()).unwrap_or_default();
            self.push(Output::Notice(Notice::Registered { name, nhs: source, protocol: server }));
        }
    }

    /// The NHS is told that the binding it has from us is over, if it has one.
    fn deregister(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        let nbma = registration.nbma;
        let (Some(told), Some(server)) = (registration.told.take(), registration.learned) else { return };
        let Some(interface) = self.nhs.get(registration.nhs.key()).map(|n| n.interface) else { return };
        self.purge_registration(interface, nbma, server, told);
    }

    /// The own overlay address is another one now: the binding of the former one is over.
    fn deregister_former(&mut self, id: RegistrationId, own: IpAddr) {
        let told = self.registrations.get(id.key()).and_then(|r| r.told);
        if told.is_some_and(|(_, former)| former != own) {
            self.deregister(id);
        }
    }

    /// The daemon ends.
    pub(crate) fn deregister_all(&mut self) {
        let ids: Vec<RegistrationId> =
            self.registrations.iter().map(|(key, _)| RegistrationId::from_key(key)).collect();
        for id in ids {
            self.deregister(id);
        }
    }

    fn forget_request(&mut self, id: RegistrationId) {
        if let Some(registration) = self.registrations.get_mut(id.key())
            && let Some(request) = registration.request_id.take()
        {
            self.pending.remove(&request);
        }
    }

    /// The NBMA address is one of ours or of our servers: not evidence of a peer behind NAT.
    pub(crate) fn is_nhs_address(&self, interface: InterfaceId, nbma: IpAddr) -> bool {
        let Some(i) = self.interfaces.get(interface.key()) else { return false };
        FAMILIES
            .iter()
            .flat_map(|afi| i.family(*afi).nhs.iter())
            .filter_map(|n| self.nhs.get(n.key()))
            .flat_map(|n| n.registrations.iter())
            .filter_map(|r| self.registrations.get(r.key()))
            .any(|r| r.nbma == nbma)
    }

    /// The empty NAT extension of a resolution request, or one that tells our translated address.
    pub(crate) fn own_nat_extension(&self, interface: InterfaceId, own: IpAddr) -> Extension {
        let Some(nat) = self.interfaces.get(interface.key()).and_then(|i| i.nat_nbma) else {
            return empty_extension(ExtensionBody::NatAddress(Vec::new()), false);
        };
        let cie = Cie {
            code: CieCode::Success,
            prefix_length: host(own).prefix_len(),
            mtu: self.advertised_mtu(interface),
            holding_time: 0,
            preference: 0,
            nbma: Some(nat),
            nbma_subaddress: Vec::new(),
            protocol: Some(own),
        };
        Extension { compulsory: false, body: ExtensionBody::NatAddress(vec![cie]) }
    }
}
