//! Unique bindings (RFC 2332 section 5.2.3): who may take over an overlay address that another station registered as
//! unique.
//!
//! The station at the registered NBMA address always may. For others the RFC knows only "no" (code 14), which locks out a
//! spoke whose DHCP address changed until its own former registration expires. So, unless `registration unique strict` is
//! configured, a conflict makes us ask the former address whether the station is still there: with a registration request
//! that registers nothing (no entries), addressed to the overlay address in question. Every nhrpd answers one that is for
//! its own address, FRR's of all releases included, whatever else is configured. The newcomer gets code 14 meanwhile. If no
//! answer comes, the binding loses its uniqueness, and the newcomer's next attempt, a second or two later, is accepted.
//!
//! Owns conflicts under way. Never changes a binding other than by taking its uniqueness away.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::Uniqueness;
use nhrp_wire::{ErrorCode, Exchange, Message, Packet};
use slab::Slab;

use crate::Engine;
use crate::cache::{CacheType, Origin};
use crate::engine::Pending;
use crate::ids::{ContestId, InterfaceId};
use crate::interface::afi_of;
use crate::io::Output;
use crate::notice::Notice;
use crate::packets::wire_family;
use crate::time::Instant;
use crate::timers::Timer;

/// How often the former address is asked.
const ATTEMPTS: u8 = 3;
/// How long each time; all together a little less than the third attempt of a client that is refused (1 + 2 s).
const WAIT: Duration = Duration::from_millis(850);
/// How long an answer counts: further conflicts about the address are not worth a question.
const BELIEVED: Duration = Duration::from_secs(10);
/// Conflicts at the same time; in further ones the registered station stays.
const MAX_CONTESTS: usize = 1024;

/// A conflict about an overlay address.
#[derive(Debug)]
pub(crate) struct Contest {
    interface: InterfaceId,
    protocol: IpAddr,
    /// Where the registered station is, or was.
    holder: IpAddr,
    request_id: u32,
    attempt: u8,
    answered: bool,
    pub(crate) timer: Option<Instant>,
}

impl Contest {
    /// The answer to this request would end it.
    pub(crate) fn waits_for(&self, request_id: u32) -> bool {
        !self.answered && self.request_id == request_id
    }
}

impl Engine {
    /// Whether a registration from `source` has to be refused, because another station has the address as its own.
    ///
    /// RFC 2332 5.2.3: a unique binding is protected, code 14. [rfc2332-5.2.3-unique]
    pub(crate) fn is_contested(&mut self, interface: InterfaceId, protocol: IpAddr, source: IpAddr) -> bool {
        let Some(entry) = self.find_cache(interface, protocol).and_then(|id| self.cache.get(id.key())) else {
            return false;
        };
        let registered = entry.kind == CacheType::Dynamic && entry.origin == Origin::Registered;
        let Some(holder) = entry.nbma.filter(|nbma| registered && entry.unique && *nbma != source) else {
            return false;
        };
        self.stats.registrations_contested += 1;
        let policy = self
            .interfaces
            .get(interface.key())
            .map_or(Uniqueness::default(), |i| i.config.family(afi_of(protocol)).uniqueness);
        match policy {
            Uniqueness::Strict => {
                let outcome = "refused, since 'registration unique strict' is configured";
                self.note_contest(interface, protocol, holder, source, outcome);
            }
            Uniqueness::Replace => self.ask_holder(interface, protocol, holder, source),
        }
        true
    }

    fn note_contest(
        &mut self,
        interface: InterfaceId,
        protocol: IpAddr,
        holder: IpAddr,
        newcomer: IpAddr,
        outcome: &str,
    ) {
        let name = self.interface_name(interface);
        let outcome = outcome.to_owned();
        self.push(Output::Notice(Notice::AddressContested { name, protocol, holder, newcomer, outcome }));
    }

    fn ask_holder(&mut self, interface: InterfaceId, protocol: IpAddr, holder: IpAddr, newcomer: IpAddr) {
        let same = |c: &Contest| c.interface == interface && c.protocol == protocol && c.holder == holder;
        if self.contests.iter().any(|(_, c)| same(c)) {
            return;
        }
        if self.contests.len() >= MAX_CONTESTS {
            self.stats.limit_contests += 1;
            return self.limit_met(format!(
                "{MAX_CONTESTS} contested addresses: limit reached, registered stations keep theirs; see with tcpdump who \
                 registers so many"
            ));
        }
        let outcome = "refused while the former one is asked whether it is still there";
        self.note_contest(interface, protocol, holder, newcomer, outcome);
        let id = ContestId::from_key(self.contests.vacant_key());
        let request_id = self.new_request(Pending::Contest(id));
        self.contests.insert(Contest {
            interface,
            protocol,
            holder,
            request_id,
            attempt: 0,
            answered: false,
            timer: None,
        });
        self.on_contest_timer(id);
    }

    /// Asks again, or draws the conclusion.
    pub(crate) fn on_contest_timer(&mut self, id: ContestId) {
        let Some(contest) = self.contests.get_mut(id.key()) else { return };
        contest.timer = None;
        if contest.answered {
            return self.end_contest(id);
        }
        if contest.attempt == ATTEMPTS {
            return self.lose_contest(id);
        }
        contest.attempt += 1;
        self.timers.arm(&mut contest.timer, Timer::Contest(id), self.now + WAIT);
        let (interface, protocol, holder) = (contest.interface, contest.protocol, contest.holder);
        let message =
            Message::RegistrationRequest(Exchange { request_id: contest.request_id, cies: Vec::new() });
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi_of(protocol)).protocol) else { return };
        let packet =
            Packet { protocol_family: wire_family(own), ..Packet::new(own_nbma, own, protocol, 1, message) };
        self.stats.holders_asked += 1;
        self.send(interface, holder, packet);
    }

    /// Nobody is at the former address who says that the overlay address is his.
    fn lose_contest(&mut self, id: ContestId) {
        let Some(contest) = self.contests.get(id.key()) else { return };
        let (interface, protocol, holder) = (contest.interface, contest.protocol, contest.holder);
        self.end_contest(id);
        if let Some(id) = self.find_cache(interface, protocol)
            && let Some(entry) = self.cache.get_mut(id.key())
            && entry.nbma == Some(holder)
            && entry.unique
        {
            entry.unique = false;
            self.binding_changed(id);
        }
    }

    /// A station answers by an error. Those of one that looks for the way to the address, since it is not its own, say that
    /// it is not the owner; one about anything else, such as the password, does not.
    pub(crate) fn on_contest_error(&mut self, id: ContestId, source: IpAddr, code: ErrorCode) {
        let elsewhere =
            [ErrorCode::ProtocolAddressUnreachable, ErrorCode::HopCountExceeded, ErrorCode::LoopDetected];
        let asked = self.contests.get(id.key()).is_some_and(|c| c.holder == source && !c.answered);
        if asked && elsewhere.contains(&code) {
            self.lose_contest(id);
        } else {
            self.on_contest_reply(id, source);
        }
    }

    /// The registered station says something: it is still there, whatever it says.
    pub(crate) fn on_contest_reply(&mut self, id: ContestId, source: IpAddr) {
        let Some(contest) = self.contests.get_mut(id.key()) else { return };
        if contest.holder != source {
            self.stats.replies_from_stranger += 1;
            return;
        }
        contest.answered = true;
        self.timers.arm(&mut contest.timer, Timer::Contest(id), self.now + BELIEVED);
        let request_id = contest.request_id;
        self.pending.remove(&request_id);
    }

    fn end_contest(&mut self, id: ContestId) {
        if let Some(mut contest) = self.contests.try_remove(id.key()) {
            self.timers.disarm(&mut contest.timer, Timer::Contest(id));
            // An answered one has given its id back, and somebody else may have it by now.
            if !contest.answered {
                self.pending.remove(&contest.request_id);
            }
        }
    }

    /// NHRP is no longer configured for a family of an interface.
    pub(crate) fn drop_contests_of(&mut self, interface: InterfaceId, afi: nhrp_config::Afi) {
        let of = |c: &Contest| c.interface == interface && afi_of(c.protocol) == afi;
        let ids: Vec<ContestId> =
            self.contests.iter().filter(|(_, c)| of(c)).map(|(key, _)| ContestId::from_key(key)).collect();
        for id in ids {
            self.end_contest(id);
        }
    }
}

/// Conflicts under way.
pub(crate) type Contests = Slab<Contest>;
