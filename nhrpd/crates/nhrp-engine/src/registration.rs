//! The client's side: registering with every configured NHS (RFC 2332 section 5.2.3).
//!
//! One registration a resolved NBMA address of an `nhs` line. Accepted ones are renewed after a third of the holding time;
//! unanswered ones are repeated after 1, 2, 4 … 64 s, but never later than they would be renewed.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::{Afi, NhsProtocol};
use nhrp_wire::{Cie, CieCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};

use crate::Engine;
use crate::cache::{Binding, CacheType, Origin};
use crate::engine::Pending;
use crate::errors::{error_words, refusal_words};
use crate::ids::{InterfaceId, NhsId, RegistrationId};
use crate::interface::afi_of;
use crate::io::Output;
use crate::nhs::UNREACHABLE_AFTER;
use crate::notice::Notice;
use crate::packets::{empty_extension, empty_request_extensions, wire_family};
use crate::prefix_table::host;
use crate::standing::Refusal;
use crate::time::Instant;
use crate::timers::Timer;

const FIRST_WAIT: u64 = 1;
const WAIT_AFTER_SUCCESS: u64 = 2;
const LONGEST_WAIT: u64 = 64;
/// After an attempt in vain at this step of the backoff, what is known about the NHS is no longer believed.
const GIVE_UP_WAIT: u64 = 16;

/// A registration with one NBMA address.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) nhs: NhsId,
    pub(crate) nbma: IpAddr,
    /// Overlay address from the last accepted reply.
    pub(crate) learned: Option<IpAddr>,
    pub(crate) registered: bool,
    /// Own NBMA and overlay address that the NHS has accepted.
    pub(crate) told: Option<(IpAddr, IpAddr)>,
    /// Attempts without an answer since the last one that had one.
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// When it was accepted for the first time without an interruption.
    pub(crate) accepted: Option<Instant>,
    /// The first request since the last answer of any kind, and how many there were.
    pub(crate) asked: Option<(Instant, u32)>,
    /// The server's last word was a refusal: the first of the same in a row.
    pub(crate) refused: Option<(Refusal, Instant)>,
    /// Step of the backoff: seconds to wait for an answer to the next attempt, if it is not renewed sooner.
    wait: u64,
    /// The last attempt was not accepted (yet). An error or a refusal is no acceptance: its sender wants to be asked
    /// less, not more.
    awaiting: bool,
    pub(crate) request_id: Option<u32>,
    pub(crate) timer: Option<Instant>,
    /// The name does not have this address any more; kept until a server at one of the new ones has accepted.
    pub(crate) retiring: bool,
    /// A server of better priority is registered with, or is being tried.
    pub(crate) standby: bool,
}

impl Registration {
    pub(crate) fn new(nhs: NhsId, nbma: IpAddr) -> Self {
        Self {
            nhs,
            nbma,
            learned: None,
            registered: false,
            told: None,
            failures: 0,
            last_error: None,
            accepted: None,
            asked: None,
            refused: None,
            wait: FIRST_WAIT,
            awaiting: false,
            request_id: None,
            timer: None,
            retiring: false,
            standby: false,
        }
    }
}

impl Engine {
    pub(crate) fn remove_registration(&mut self, id: RegistrationId) {
        self.deregister(id);
        let Some(mut registration) = self.registrations.try_remove(id.key()) else { return };
        self.timers.disarm(&mut registration.timer, Timer::Registration(id));
        if let Some(request) = registration.request_id {
            self.pending.remove(&request);
        }
        if let Some(interface) = self.nhs.get(registration.nhs.key()).map(|n| n.interface) {
            self.release_if_unused(interface, registration.nbma, true);
        }
    }

    /// Packets reach the server now: what it has not answered is asked again at once.
    pub(crate) fn register_if_waiting(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        if registration.awaiting && !registration.standby {
            registration.wait = FIRST_WAIT;
            self.send_registration(id);
        }
    }

    /// Packets do not reach the server any more.
    pub(crate) fn register_again(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        if !registration.standby {
            registration.wait = FIRST_WAIT;
            self.send_registration(id);
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
            let Some(registration) = self.registrations.get_mut(id.key()) else { continue };
            if registration.standby {
                continue;
            }
            registration.wait = FIRST_WAIT;
            // An answer to the old request would be about the old addresses.
            self.forget_request(id);
            self.send_registration(id);
        }
    }

    pub(crate) fn on_registration_timer(&mut self, id: RegistrationId) {
        self.standings_moved();
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.timer = None;
        if registration.awaiting {
            self.registration_unanswered(id);
        }
        // The third request in vain may have made others register, and this one wait or go.
        if self.registrations.get(id.key()).is_some_and(|r| !r.standby) {
            self.register_if_idle(id);
        }
    }

    /// Registers now, unless a request or a renewal is on its way already.
    pub(crate) fn register_if_idle(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.standby = false;
        if registration.timer.is_none() {
            self.send_registration(id);
        }
    }

    /// Stops registering until [`Engine::register_if_idle`]: a server of better priority is there.
    pub(crate) fn stand_by(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.standby = true;
        registration.awaiting = false;
        registration.failures = 0;
        registration.wait = FIRST_WAIT;
        registration.last_error = None;
        registration.asked = None;
        registration.refused = None;
        self.timers.disarm(&mut registration.timer, Timer::Registration(id));
        self.forget_request(id);
        self.lose_server(id);
    }

    /// What is known about a server is no longer believed.
    pub(crate) fn lose_server(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.registered = false;
        let Some(learned) = registration.learned.take() else { return };
        let (nbma, nhs) = (registration.nbma, registration.nhs);
        // Without what was learned the next request says something else, so it is no repetition of this one.
        self.forget_request(id);
        if let Some(interface) = self.nhs.get(nhs.key()).map(|n| n.interface) {
            self.forget_server(interface, learned, nbma);
        }
    }

    fn registration_unanswered(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        let waited = registration.wait;
        registration.failures = registration.failures.saturating_add(1);
        registration.wait = if waited >= LONGEST_WAIT { WAIT_AFTER_SUCCESS } else { waited * 2 };
        let (nhs, failures) = (registration.nhs, registration.failures);
        // A refusal, or an error, was told when it came.
        let silent = registration.request_id.is_some();
        if silent && (failures == UNREACHABLE_AFTER || failures % 60 == 0) {
            let reason = if self.has_no_protection(id) {
                "no IPsec with it; 'show nhrp ipsec' says why".to_owned()
            } else {
                format!(
                    "no answer to {failures} requests; is it up and reachable over the transport network?"
                )
            };
            self.note_registration_failure(id, &reason);
        }
        if waited >= GIVE_UP_WAIT {
            self.lose_server(id);
        }
        if failures >= UNREACHABLE_AFTER {
            self.resolve_name_of(nhs);
            self.server_changed(nhs);
        }
    }

    /// The server answered, and not with what was wanted.
    fn registration_refused(&mut self, id: RegistrationId, refusal: Refusal) {
        let now = self.now;
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        registration.asked = None;
        let first = registration.refused.filter(|(former, _)| *former == refusal).map(|(_, since)| since);
        registration.refused = Some((refusal, first.unwrap_or(now)));
    }

    fn has_no_protection(&self, id: RegistrationId) -> bool {
        let registration = self.registrations.get(id.key());
        let nhs = registration.and_then(|r| Some((self.nhs.get(r.nhs.key())?.interface, r.nbma)));
        nhs.is_some_and(|(interface, nbma)| !self.may_send(interface, nbma))
    }

    fn note_registration_failure(&mut self, id: RegistrationId, reason: &str) {
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        // The same again is told once in a while only.
        if registration.last_error.as_deref() == Some(reason) && registration.failures % 60 != 0 {
            return;
        }
        registration.last_error = Some(reason.to_owned());
        let nbma = registration.nbma;
        let interface = self.nhs.get(registration.nhs.key()).map(|n| n.interface);
        let name = interface.map(|i| self.interface_name(i)).unwrap_or_default();
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
        let refused = registration.refused.is_some();

        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else {
            // An address that appears later calls `register_now`: no timer is needed until then.
            return;
        };
        if !i.family(afi).running {
            return;
        }
        let no_unique = i.config.family(afi).no_unique;
        // RFC 2332 5.2.0.1. [rfc2332-5.2.0.1-same-id-on-retry]
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
            // RFC 2332 5.2.3. [rfc2332-5.2.3-u-bit-prefix]
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
            // RFC 2332 5.2.3. [rfc2332-5.2.3-destination]
            // Without knowing the NHS, RFC 2332 section 5.2.3 has the own address here.
            destination_protocol: Some(configured.unwrap_or(own)),
            message: Message::RegistrationRequest(Exchange { request_id, cies: vec![cie] }),
            extensions,
        };
        let backoff = Duration::from_secs(wait);
        // A server that refuses wants to be asked less. From one that is silent only the answers may be lost: asked seldom,
        // it would forget us, and others who look for us would be told so.
        let wait = if refused { backoff } else { backoff.min(self.renewal(interface, afi)) };
        let at = self.now + wait + self.jitter(Duration::from_millis(20));
        if let Some(registration) = self.registrations.get_mut(id.key()) {
            registration.request_id = Some(request_id);
            registration.awaiting = true;
            let (since, requests) = registration.asked.unwrap_or((self.now, 0));
            registration.asked = Some((since, requests.saturating_add(1)));
            self.timers.arm(&mut registration.timer, Timer::Registration(id), at);
        }
        if let Some(server) = learned.or(configured) {
            self.forget_purges(server, host(own));
        }
        self.send(interface, nbma, packet);
    }

    /// How long after one request the next goes to the same NHS: a third of the holding time.
    /// FRR divides in whole seconds; a holding time below 3 s must not become a busy loop.
    /// RFC 2332 5.2.3. [rfc2332-5.2.3-renewal]
    fn renewal(&self, interface: InterfaceId, afi: Afi) -> Duration {
        (Duration::from_secs(u64::from(self.holdtime(interface, afi))) / 3).max(Duration::from_secs(1))
    }

    /// A reply to a registration, or an error about it (`reply` is then that error).
    pub(crate) fn on_registration_reply(&mut self, id: RegistrationId, source: IpAddr, reply: &Packet) {
        self.standings_moved();
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
                    self.registration_refused(id, Refusal::Error((*code).into()));
                    format!("it answers: {}", error_words(*code))
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
            // RFC 2332 5.2.4: any code but 0 is a refusal. FRR's clients go on as if nothing were. [rfc2332-5.2.4-nak]
            let reason = format!("it refuses: {}", refusal_words(refused.code));
            self.registration_refused(id, Refusal::Entry(refused.code.into()));
            if let Some(registration) = self.registrations.get_mut(id.key()) {
                registration.registered = false;
            }
            self.note_registration_failure(id, &reason);
            // The next attempt is another request: this one has had its answer.
            self.forget_request(id);
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
        let again = self.renewal(interface, afi);
        self.forget_request(id);
        let Some(registration) = self.registrations.get_mut(id.key()) else { return };
        let news = !registration.registered || registration.learned != Some(server);
        let reachable_again = news || registration.failures >= UNREACHABLE_AFTER;
        let nhs = registration.nhs;
        let former = registration.learned.filter(|former| *former != server);
        if !registration.registered {
            registration.accepted = Some(self.now);
        }
        registration.registered = true;
        registration.asked = None;
        registration.refused = None;
        registration.told = told;
        registration.awaiting = false;
        registration.failures = 0;
        registration.last_error = None;
        registration.learned = Some(server);
        registration.wait = WAIT_AFTER_SUCCESS;
        self.timers.arm(&mut registration.timer, Timer::Registration(id), self.now + again);
        if let Some(i) = self.interfaces.get_mut(interface.key())
            && std::mem::replace(&mut i.nat_nbma, nat) != nat
        {
            self.own_bindings_changed(interface);
        }
        let binding = Binding {
            kind: CacheType::Nhs,
            origin: Origin::Registered,
            nbma: Some(source),
            nat: None,
            claimed,
            mtu,
            unique: false,
            holding: Some(holding),
        };
        if let Some(former) = former {
            self.forget_server(interface, former, source);
        }
        let bound = self.bind(interface, server, binding);
        self.stats.registrations_accepted += 1;
        if news && bound.is_ok() {
            let name = self.interface_name(interface);
            self.push(Output::Notice(Notice::Registered { name, nhs: source, protocol: server }));
        }
        if reachable_again {
            self.server_changed(nhs);
        }
    }

    /// The NHS is told that the binding it has from us is over, if it has one.
    pub(crate) fn deregister(&mut self, id: RegistrationId) {
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
