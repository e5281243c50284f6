//! Next hop servers as configured: their names, and which of them are registered with.
//!
//! Owns the `nhs` lines, the addresses that a name has, and the choice by priority. Never builds or reads a packet:
//! [`crate::registration`] does, one registration an address.
//!
//! **Names.** Every address of a name is a server (FRR). It is asked again every few minutes, and when a server does not
//! answer. An address that the name has no more is left only after those that it has now were tried and one of them has
//! accepted, so that a name that moves costs nothing; and while the resolver fails, everything stays as it is.
//!
//! **Priority** (FRR's development branch). The lowest number among the reachable lines is registered with, all lines of
//! that number alike. A line is unreachable after three requests in a row without an answer, or if its name has no
//! address. It goes on asking; when it answers, the lines that stood in for it are left.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::{Afi, NhsConfig, NhsProtocol};

use crate::Engine;
use crate::cache::CacheType;
use crate::ids::{InterfaceId, NhsId, RegistrationId};
use crate::io::Output;
use crate::notice::Notice;
use crate::registration::Registration;
use crate::time::Instant;
use crate::timers::Timer;

/// As often as FRR asks for a name that did not resolve.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);
/// How long an answer is believed. The system's resolver does not tell for how long it may be (FRR: two hours).
const RESOLVE_REFRESH: Duration = Duration::from_secs(300);
/// Spokes that started together must not ask together for ever: up to so much is taken off.
const RESOLVE_JITTER: Duration = Duration::from_secs(60);
/// As many addresses of one name as FRR takes.
const MAX_ADDRESSES: usize = 16;
/// Requests in a row without an answer after which a server counts as unreachable (FRR's development branch).
pub(crate) const UNREACHABLE_AFTER: u32 = 3;

/// A configured `nhs` line.
#[derive(Debug)]
pub(crate) struct Nhs {
    pub(crate) interface: InterfaceId,
    pub(crate) afi: Afi,
    pub(crate) protocol: NhsProtocol,
    /// NBMA address or name.
    pub(crate) name: String,
    pub(crate) priority: u8,
    pub(crate) registrations: Vec<RegistrationId>,
    /// The name leads to ourselves as well: we are one of several hubs that share it.
    pub(crate) shared: bool,
    /// Why the last lookup gave no server.
    pub(crate) lookup_error: Option<String>,
    /// Distinguishes the answer to this line's question from that to a former line in the same slot.
    token: u64,
    /// An answer is being waited for.
    asking: bool,
    pub(crate) timer: Option<Instant>,
}

impl Nhs {
    /// The address, if the line has one instead of a name.
    fn literal(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }
}

impl Engine {
    /// Makes the `nhs` lines of a family and their registrations equal to the configuration.
    pub(crate) fn sync_nhs(&mut self, interface: InterfaceId, afi: Afi) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let wanted = if i.family(afi).running { i.config.family(afi).nhs.clone() } else { Vec::new() };
        let current = i.family(afi).nhs.clone();
        let mut kept = Vec::with_capacity(wanted.len());
        let mut fresh = Vec::new();
        let mut changed = false;
        for line in &wanted {
            let same = current.iter().copied().find(|id| {
                self.nhs.get(id.key()).is_some_and(|n| n.protocol == line.protocol && n.name == line.nbma)
            });
            if let Some(id) = same {
                if let Some(nhs) = self.nhs.get_mut(id.key()) {
                    changed |= nhs.priority != line.priority;
                    nhs.priority = line.priority;
                }
                kept.push(id);
            } else {
                let id = self.insert_nhs(interface, afi, line);
                fresh.push(id);
                kept.push(id);
            }
        }
        let gone: Vec<NhsId> = current.into_iter().filter(|id| !kept.contains(id)).collect();
        changed |= !gone.is_empty();
        for id in gone {
            self.remove_nhs(id);
        }
        if let Some(i) = self.interfaces.get_mut(interface.key()) {
            i.family_mut(afi).nhs = kept;
        }
        // Only now, with all lines in place: who registers depends on the others' priority.
        for id in fresh {
            self.resolve_nhs(id);
        }
        if changed {
            self.choose_servers(interface, afi);
        }
    }

    fn insert_nhs(&mut self, interface: InterfaceId, afi: Afi, line: &NhsConfig) -> NhsId {
        self.next_token += 1;
        NhsId::from_key(self.nhs.insert(Nhs {
            interface,
            afi,
            protocol: line.protocol,
            name: line.nbma.clone(),
            priority: line.priority,
            registrations: Vec::new(),
            shared: false,
            lookup_error: None,
            token: self.next_token,
            asking: false,
            timer: None,
        }))
    }

    /// What was learned of the server goes as well, and with it the association that it was for. FRR's believes it for the
    /// rest of its holding time, while the server has been told to forget us.
    fn remove_nhs(&mut self, id: NhsId) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        let (interface, registrations) = (nhs.interface, nhs.registrations.clone());
        for registration in registrations {
            self.leave(interface, registration);
        }
        if let Some(mut nhs) = self.nhs.try_remove(id.key()) {
            self.timers.disarm(&mut nhs.timer, Timer::Nhs(id));
        }
    }

    /// Asks for the addresses of a name, unless an answer is being waited for already.
    fn resolve_nhs(&mut self, id: NhsId) {
        let Some(nhs) = self.nhs.get_mut(id.key()) else { return };
        if let Some(address) = nhs.literal() {
            return self.set_nhs_addresses(id, &[address]);
        }
        if std::mem::replace(&mut nhs.asking, true) {
            return;
        }
        self.timers.disarm(&mut nhs.timer, Timer::Nhs(id));
        let (token, name) = (nhs.token, nhs.name.clone());
        self.push(Output::Resolve { token, name });
    }

    /// Which of the addresses are ours has changed.
    pub(crate) fn resolve_all_nhs(&mut self, interface: InterfaceId, afi: Afi) {
        let lines = self.interfaces.get(interface.key()).map(|i| i.family(afi).nhs.clone());
        for id in lines.unwrap_or_default() {
            self.resolve_nhs(id);
        }
    }

    /// A server does not answer: its name may lead elsewhere by now.
    pub(crate) fn resolve_name_of(&mut self, id: NhsId) {
        if self.nhs.get(id.key()).is_some_and(|n| n.literal().is_none()) {
            self.resolve_nhs(id);
        }
    }

    pub(crate) fn on_nhs_timer(&mut self, id: NhsId) {
        self.standings_moved();
        if let Some(nhs) = self.nhs.get_mut(id.key()) {
            nhs.timer = None;
            self.resolve_nhs(id);
        }
    }

    pub(crate) fn on_resolved(&mut self, token: u64, addresses: Result<Vec<IpAddr>, String>) {
        let Some((key, nhs)) = self.nhs.iter_mut().find(|(_, n)| n.token == token) else { return };
        let id = NhsId::from_key(key);
        nhs.asking = false;
        let addresses: Result<Vec<IpAddr>, String> = match addresses {
            Ok(list) if list.is_empty() => Err("the name has no address".to_owned()),
            other => other,
        };
        let again = match addresses {
            Ok(_) => RESOLVE_REFRESH - self.jitter(RESOLVE_JITTER),
            Err(_) => RESOLVE_AGAIN,
        };
        if let Some(nhs) = self.nhs.get_mut(key) {
            self.timers.arm(&mut nhs.timer, Timer::Nhs(id), self.now + again);
        }
        match addresses {
            Ok(mut list) => {
                list.truncate(MAX_ADDRESSES);
                self.set_nhs_addresses(id, &list);
            }
            // What an earlier answer said stays in use.
            Err(error) => self.note_unresolved(id, error),
        }
    }

    /// Keeps the reason, and tells it if it is another one than before.
    fn note_unresolved(&mut self, id: NhsId, error: String) {
        let Some(nhs) = self.nhs.get_mut(id.key()) else { return };
        if nhs.lookup_error.as_ref() == Some(&error) {
            return;
        }
        nhs.lookup_error = Some(error.clone());
        let (host, interface, afi) = (nhs.name.clone(), nhs.interface, nhs.afi);
        let kept = !nhs.registrations.is_empty();
        let name = self.interface_name(interface);
        self.push(Output::Notice(Notice::NameUnresolved { name, host, error, kept }));
        self.choose_servers(interface, afi);
    }

    /// Makes the registrations of a line equal to the addresses of its name.
    fn set_nhs_addresses(&mut self, id: NhsId, addresses: &[IpAddr]) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        let (interface, afi) = (nhs.interface, nhs.afi);
        let mut gone = nhs.registrations.clone();
        let own = self.interfaces.get(interface.key()).and_then(|i| i.nbma);
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
            let family = if own.is_some_and(|own| own.is_ipv6()) { "IPv6" } else { "IPv4" };
            let error = format!("it has no {family} address, which the own NBMA address is");
            return self.note_unresolved(id, error);
        }
        let mut kept = Vec::with_capacity(wanted.len());
        let mut news = false;
        for nbma in &wanted {
            let existing =
                gone.iter().position(|r| self.registrations.get(r.key()).is_some_and(|r| r.nbma == *nbma));
            if let Some(at) = existing {
                let registration = gone.remove(at);
                if let Some(r) = self.registrations.get_mut(registration.key()) {
                    r.retiring = false;
                }
                kept.push(registration);
                continue;
            }
            news = true;
            kept.push(RegistrationId::from_key(self.registrations.insert(Registration::new(id, *nbma))));
        }
        for registration in gone {
            let Some(r) = self.registrations.get_mut(registration.key()) else { continue };
            if Some(r.nbma) != own && r.registered && !wanted.is_empty() {
                r.retiring = true;
                kept.push(registration);
            } else {
                self.remove_registration(registration);
            }
        }
        if let Some(nhs) = self.nhs.get_mut(id.key()) {
            nhs.registrations = kept;
            nhs.shared = shared;
            let failed = nhs.lookup_error.take().is_some();
            if (news || failed) && nhs.literal().is_none() {
                let host = nhs.name.clone();
                let name = self.interface_name(interface);
                self.push(Output::Notice(Notice::NameResolved { name, host, addresses: wanted }));
            }
        }
        self.leave_retiring(id);
        self.choose_servers(interface, afi);
    }

    /// A server answered for the first time, or not for the third time: what waited for that goes on.
    pub(crate) fn server_changed(&mut self, id: NhsId) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        let (interface, afi) = (nhs.interface, nhs.afi);
        self.leave_retiring(id);
        self.choose_servers(interface, afi);
    }

    /// Leaves the former addresses of a name, once those that it has now were all tried and one has accepted.
    fn leave_retiring(&mut self, id: NhsId) {
        let Some(nhs) = self.nhs.get(id.key()) else { return };
        let interface = nhs.interface;
        let mut accepted = false;
        let mut untried = false;
        let (mut retiring, mut silent) = (Vec::new(), Vec::new());
        for (id, r) in
            nhs.registrations.iter().filter_map(|id| Some((*id, self.registrations.get(id.key())?)))
        {
            if r.retiring && !r.registered {
                silent.push(id);
            } else if r.retiring {
                retiring.push(id);
            } else if !r.registered && !r.standby && r.failures < UNREACHABLE_AFTER {
                untried = true;
            }
            accepted |= r.registered && !r.retiring;
        }
        if !accepted || untried {
            retiring.clear();
        }
        // They did not outlive the change.
        retiring.append(&mut silent);
        if let Some(nhs) = self.nhs.get_mut(id.key()) {
            nhs.registrations.retain(|r| !retiring.contains(r));
        }
        for id in retiring {
            self.leave(interface, id);
        }
    }

    /// Ends the registration at an address that a name has no more, or whose line is gone.
    fn leave(&mut self, interface: InterfaceId, id: RegistrationId) {
        let former = self.registrations.get(id.key()).and_then(|r| Some((r.learned?, r.nbma)));
        if let Some((learned, nbma)) = former {
            let mut others = self.registrations.iter().filter(|(key, _)| *key != id.key());
            let same_server = others.any(|(_, r)| r.learned == Some(learned) && r.registered);
            if same_server && let Some(r) = self.registrations.get_mut(id.key()) {
                // The server itself has moved: there is nothing to end there, it has our binding anew.
                r.told = None;
            }
            self.remove_registration(id);
            if !self.is_nhs_address(interface, nbma) {
                self.forget_server(interface, learned, nbma);
            }
        } else {
            self.remove_registration(id);
        }
    }

    /// Lets those register whose turn it is by priority, and the others wait.
    pub(crate) fn choose_servers(&mut self, interface: InterfaceId, afi: Afi) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let lines: Vec<(u8, Vec<RegistrationId>, bool, bool)> = i
            .family(afi)
            .nhs
            .iter()
            .filter_map(|id| self.nhs.get(id.key()))
            .map(|n| (n.priority, n.registrations.clone(), self.may_serve(n), self.serves(n)))
            .collect();
        let best = lines.iter().filter(|l| l.2).map(|l| l.0).min();
        let serving = lines.iter().filter(|l| l.3).map(|l| l.0).min();
        for (priority, registrations, ..) in lines {
            let outranked = best.is_some_and(|best| best < priority);
            let replaced = serving.is_some_and(|serving| serving < priority);
            let failed_over = serving.is_some_and(|serving| serving > priority);
            for id in registrations {
                let Some(r) = self.registrations.get(id.key()) else { continue };
                // A server that stands in is left when the better one has accepted, not when it is being tried.
                if outranked && (replaced || !r.registered) {
                    self.stand_by(id);
                } else {
                    if failed_over && r.failures >= UNREACHABLE_AFTER {
                        // Its place is taken: traffic need not wait for it until its holding time is over.
                        self.lose_server(id);
                    }
                    self.register_if_idle(id);
                }
            }
        }
    }

    /// The line is worth waiting for: it answers, or nothing speaks against it yet.
    fn may_serve(&self, nhs: &Nhs) -> bool {
        if nhs.registrations.is_empty() {
            return !nhs.shared && nhs.lookup_error.is_none();
        }
        let mut registrations = nhs.registrations.iter().filter_map(|r| self.registrations.get(r.key()));
        registrations.any(|r| r.failures < UNREACHABLE_AFTER)
    }

    /// We are registered there.
    fn serves(&self, nhs: &Nhs) -> bool {
        let mut registrations = nhs.registrations.iter().filter_map(|r| self.registrations.get(r.key()));
        registrations.any(|r| r.registered && r.failures < UNREACHABLE_AFTER)
    }

    /// Removes the cache entry of a server, if it still is the one at this NBMA address.
    pub(crate) fn forget_server(&mut self, interface: InterfaceId, protocol: IpAddr, nbma: IpAddr) {
        if let Some(entry) = self.find_cache(interface, protocol)
            && self.cache.get(entry.key()).is_some_and(|e| e.kind == CacheType::Nhs && e.nbma == Some(nbma))
        {
            self.remove_cache(entry, "its server is not registered with any more");
        }
    }

    pub(crate) fn interface_name(&self, interface: InterfaceId) -> String {
        self.interfaces.get(interface.key()).map(|i| i.name.clone()).unwrap_or_default()
    }

    /// The NBMA address is one of our servers': not evidence of a peer behind NAT.
    pub(crate) fn is_nhs_address(&self, interface: InterfaceId, nbma: IpAddr) -> bool {
        let Some(i) = self.interfaces.get(interface.key()) else { return false };
        crate::interface::FAMILIES
            .iter()
            .flat_map(|afi| i.family(*afi).nhs.iter())
            .filter_map(|n| self.nhs.get(n.key()))
            .flat_map(|n| n.registrations.iter())
            .filter_map(|r| self.registrations.get(r.key()))
            .any(|r| r.nbma == nbma)
    }
}
