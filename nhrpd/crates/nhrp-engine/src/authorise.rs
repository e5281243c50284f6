//! Bindings that a program of the operator has to accept (`nhrp event socket`).
//!
//! What is asked, and when, is as in FRR: new and changed bindings of clients, servers and resolved stations, not
//! refreshes, and not what the operator has configured. The client is answered at once; the binding is used once it is
//! accepted, and what was there before stays until then. A binding that nobody accepts within ten seconds is dropped; its
//! station asks again with its next renewal.
//!
//! Owns the bindings that wait. Decides nothing about them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ahash::RandomState;
use ipnet::IpNet;
use nhrp_config::Afi;
use serde::{Deserialize, Serialize};
use slab::Slab;

use crate::Engine;
use crate::cache::{BindError, Binding, CacheType, sanitised_mtu};
use crate::ids::{AuthorisationId, InterfaceId};
use crate::interface::afi_of;
use crate::io::Output;
use crate::notice::Notice;
use crate::time::Instant;
use crate::timers::Timer;

/// How long an answer is waited for (FRR).
const PATIENCE: Duration = Duration::from_secs(10);
/// Bindings that wait at the same time.
const MAX_WAITING: usize = 1024;

/// A question about a binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorisation {
    /// Number of the question, never 0; to be handed back.
    pub event: u32,
    /// Type of the binding.
    pub kind: CacheType,
    /// Type of the binding that it replaces.
    pub former: Option<CacheType>,
    /// Servers in the cache, all interfaces together.
    pub servers: u32,
    /// Interface name.
    pub interface: String,
    /// Own overlay address.
    pub local: Option<IpAddr>,
    /// Own NBMA address.
    pub local_nbma: Option<IpAddr>,
    /// Overlay address of the station.
    pub remote: IpAddr,
    /// Its NBMA address.
    pub remote_nbma: Option<IpAddr>,
}

/// A binding that waits, and the shortcuts that wait for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    event: u32,
    interface: InterfaceId,
    protocol: IpAddr,
    binding: Binding,
    since: Instant,
    /// Prefix, address that was asked for, holding time.
    shortcuts: Vec<(IpNet, IpAddr, Duration)>,
    pub(crate) timer: Option<Instant>,
}

/// Bindings that wait.
#[derive(Debug)]
pub(crate) struct Authorising {
    /// Somebody is to be asked.
    on: bool,
    last_event: u32,
    pub(crate) waiting: Slab<Waiting>,
    by_address: HashMap<(InterfaceId, IpAddr), AuthorisationId, RandomState>,
    by_event: HashMap<u32, AuthorisationId, RandomState>,
}

impl Authorising {
    pub(crate) fn with_hasher(hasher: RandomState) -> Self {
        Self {
            on: false,
            last_event: 0,
            waiting: Slab::new(),
            by_address: HashMap::with_hasher(hasher.clone()),
            by_event: HashMap::with_hasher(hasher),
        }
    }

    /// Numbers in both indexes, for the audit: each as many as bindings that wait.
    pub(crate) fn indexed(&self) -> [usize; 2] {
        [self.by_address.len(), self.by_event.len()]
    }
}

impl Engine {
    /// From now on bindings have to be accepted, or need not be any more: then those that wait are.
    pub(crate) fn on_authorising(&mut self, on: bool) {
        self.authorising.on = on;
        if !on {
            for id in self.waiting_bindings(|_| true) {
                self.accept_binding(id);
            }
        }
    }

    /// Whether a binding has to wait for an answer. `mtu` is that of the binding as it will be kept.
    pub(crate) fn needs_authorisation(
        &self,
        interface: InterfaceId,
        protocol: IpAddr,
        binding: &Binding,
        mtu: u16,
    ) -> bool {
        if !self.authorising.on || binding.kind >= CacheType::Static {
            return false;
        }
        if self.static_entries.contains(&(interface, protocol)) {
            return false;
        }
        let Some(entry) = self.find_cache(interface, protocol).and_then(|id| self.cache.get(id.key())) else {
            return true;
        };
        // What ranks lower is refused, or only lets the better one live longer.
        let outranked =
            entry.kind > binding.kind || (entry.kind == binding.kind && entry.origin > binding.origin);
        let same = entry.kind == binding.kind && entry.nbma == binding.nbma && entry.mtu == mtu;
        !outranked && !same
    }

    /// Lets a binding wait for its answer. It always ends in an error: there is no entry yet.
    pub(crate) fn ask_authorisation(
        &mut self,
        interface: InterfaceId,
        protocol: IpAddr,
        binding: Binding,
    ) -> BindError {
        let known = self.authorising.by_address.get(&(interface, protocol)).copied();
        if let Some(waiting) = known.and_then(|id| self.authorising.waiting.get_mut(id.key())) {
            if waiting.binding.kind > binding.kind {
                return BindError::Precedence;
            }
            if waiting.binding.kind == binding.kind && waiting.binding.nbma == binding.nbma {
                // The same again, such as an impatient client's: one question is enough.
                waiting.binding = binding;
                waiting.since = self.now;
                return BindError::Unauthorised;
            }
        }
        if let Some(former) = known {
            // An answer to the former question would be about something else.
            self.forget_waiting(former);
        }
        if self.authorising.waiting.len() >= MAX_WAITING {
            self.stats.limit_waiting += 1;
            self.limit_met(format!(
                "{MAX_WAITING} bindings wait for the event socket: limit reached, new peers are refused; let whoever reads \
                 it answer faster"
            ));
            return BindError::Limit;
        }
        self.authorising.last_event = self.authorising.last_event.checked_add(1).unwrap_or(1);
        let event = self.authorising.last_event;
        let id = AuthorisationId::from_key(self.authorising.waiting.insert(Waiting {
            event,
            interface,
            protocol,
            binding,
            since: self.now,
            shortcuts: Vec::new(),
            timer: None,
        }));
        self.authorising.by_address.insert((interface, protocol), id);
        self.authorising.by_event.insert(event, id);
        if let Some(waiting) = self.authorising.waiting.get_mut(id.key()) {
            self.timers.arm(&mut waiting.timer, Timer::Authorisation(id), self.now + PATIENCE);
        }
        let former = self.find_cache(interface, protocol).and_then(|id| self.cache.get(id.key()));
        let former = former.map(|entry| entry.kind);
        let Some(i) = self.interfaces.get(interface.key()) else { return BindError::Unauthorised };
        let question = Authorisation {
            event,
            kind: binding.kind,
            former,
            servers: self.servers_in_cache(),
            interface: i.name.clone(),
            local: i.family(afi_of(protocol)).protocol,
            local_nbma: i.nbma,
            remote: protocol,
            remote_nbma: binding.nbma,
        };
        self.stats.authorisations_asked += 1;
        self.push(Output::Authorise(question));
        BindError::Unauthorised
    }

    fn servers_in_cache(&self) -> u32 {
        let mut found: Vec<(InterfaceId, IpAddr)> = self
            .registrations
            .iter()
            .filter_map(|(_, r)| Some((self.nhs.get(r.nhs.key())?.interface, r.learned?)))
            .collect();
        found.sort_unstable();
        found.dedup();
        let is_server = |(interface, protocol): &(InterfaceId, IpAddr)| {
            let entry = self.find_cache(*interface, *protocol).and_then(|id| self.cache.get(id.key()));
            entry.is_some_and(|entry| entry.kind == CacheType::Nhs)
        };
        u32::try_from(found.iter().filter(|key| is_server(key)).count()).unwrap_or(u32::MAX)
    }

    /// A shortcut was learned whose peer waits: it begins when that is accepted.
    pub(crate) fn shortcut_waits(
        &mut self,
        interface: InterfaceId,
        gateway: IpAddr,
        shortcut: (IpNet, IpAddr, Duration),
    ) {
        let id = self.authorising.by_address.get(&(interface, gateway));
        if let Some(waiting) = id.and_then(|id| self.authorising.waiting.get_mut(id.key())) {
            // A question is asked once for each target, of which there is a limit.
            waiting.shortcuts.retain(|(prefix, ..)| *prefix != shortcut.0);
            waiting.shortcuts.push(shortcut);
        }
    }

    /// The answer. One to a question that nobody asks any more is nothing.
    pub(crate) fn on_authorised(&mut self, event: u32, accepted: bool) {
        let Some(id) = self.authorising.by_event.get(&event).copied() else { return };
        if accepted {
            self.accept_binding(id);
        } else {
            self.drop_unauthorised(id, "refused by the program at 'nhrp event socket'");
        }
    }

    pub(crate) fn on_authorisation_timer(&mut self, id: AuthorisationId) {
        if let Some(waiting) = self.authorising.waiting.get_mut(id.key()) {
            waiting.timer = None;
            self.drop_unauthorised(id, "the program at 'nhrp event socket' did not answer within 10 s");
        }
    }

    fn accept_binding(&mut self, id: AuthorisationId) {
        let Some(waiting) = self.forget_waiting(id) else { return };
        let passed = self.now.since(waiting.since);
        let mut binding = waiting.binding;
        binding.holding = binding.holding.map(|holding| holding.saturating_sub(passed));
        if binding.holding == Some(Duration::ZERO) {
            return;
        }
        // Refused only by precedence or if the table is full, which is told and counted.
        let mtu = sanitised_mtu(afi_of(waiting.protocol), binding.mtu);
        let Ok(entry) = self.bind_at_once(waiting.interface, waiting.protocol, binding, mtu) else { return };
        for (prefix, target, holding) in waiting.shortcuts {
            self.add_shortcut(prefix, target, entry, holding.saturating_sub(passed));
        }
    }

    fn drop_unauthorised(&mut self, id: AuthorisationId, reason: &str) {
        let Some(waiting) = self.forget_waiting(id) else { return };
        self.stats.authorisations_refused += 1;
        let name = self.interface_name(waiting.interface);
        let (protocol, nbma) = (waiting.protocol, waiting.binding.nbma);
        self.push(Output::Notice(Notice::NotAuthorised { name, protocol, nbma, reason: reason.to_owned() }));
    }

    fn forget_waiting(&mut self, id: AuthorisationId) -> Option<Waiting> {
        let mut waiting = self.authorising.waiting.try_remove(id.key())?;
        self.timers.disarm(&mut waiting.timer, Timer::Authorisation(id));
        self.authorising.by_address.remove(&(waiting.interface, waiting.protocol));
        self.authorising.by_event.remove(&waiting.event);
        Some(waiting)
    }

    fn waiting_bindings(&self, which: impl Fn(&Waiting) -> bool) -> Vec<AuthorisationId> {
        let found = self.authorising.waiting.iter().filter(|(_, w)| which(w));
        found.map(|(key, _)| AuthorisationId::from_key(key)).collect()
    }

    /// The station at this NBMA address has left, or NHRP forgets what it knows.
    pub(crate) fn drop_waiting(&mut self, interface: InterfaceId, protocol: IpAddr, nbma: IpAddr) {
        let same =
            |w: &Waiting| w.interface == interface && w.protocol == protocol && w.binding.nbma == Some(nbma);
        for id in self.waiting_bindings(same) {
            self.forget_waiting(id);
        }
    }

    /// `clear … nhrp cache`
    pub(crate) fn drop_all_waiting(&mut self) {
        for id in self.waiting_bindings(|_| true) {
            self.forget_waiting(id);
        }
    }

    /// NHRP is no longer configured for a family of an interface.
    pub(crate) fn drop_waiting_of(&mut self, interface: InterfaceId, afi: Afi) {
        for id in self.waiting_bindings(|w| w.interface == interface && afi_of(w.protocol) == afi) {
            self.forget_waiting(id);
        }
    }
}
