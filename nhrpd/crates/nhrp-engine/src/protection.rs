//! Peers behind IPsec (`tunnel protection`): what waits for a security association, and what goes when it is lost.
//!
//! On a protected tunnel a peer is used only while packets to its NBMA address are protected. Whoever needs one asks for
//! it: an entry that is to be installed, a registration, a packet to be sent. Negotiating is not done here; that both
//! ends of an association are up or down is an input. Nor does anything here keep packets from leaving in clear: that is
//! the kernel's part, by policies that are in place before NHRP starts on the tunnel ([`Output::Guard`]).
//! draft-detienne-dmvpn 1: all traffic is protected. [dmvpn-1-ipsec]
//!
//! Registrations are sent without waiting: where the IKE daemon has a trap, it is they who make it negotiate, and the
//! kernel drops them otherwise. All else waits, a few packets a peer, and not for long.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ahash::RandomState;

use crate::Engine;
use crate::cache::{CacheType, Origin};
use crate::ids::{CacheId, InterfaceId, RegistrationId};
use crate::io::Output;
use crate::time::Instant;
use crate::timers::Timer;

/// Packets that wait for an association with one peer.
const WAITING: usize = 4;
/// Peers for which packets wait.
const WAITED_FOR: usize = 1024;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What hangs on an association with one peer.
#[derive(Debug, Default)]
struct User {
    /// It was asked for.
    asked: bool,
    entries: BTreeSet<CacheId>,
    waiting: VecDeque<Vec<u8>>,
}

/// Associations, and who uses them.
#[derive(Debug)]
pub(crate) struct Protection {
    /// Own and peer's address of those that are up, with the peer's identity.
    up: HashMap<(IpAddr, IpAddr), String, RandomState>,
    users: HashMap<(InterfaceId, IpAddr), User, RandomState>,
    /// For whom packets wait, and until when; the first to be forgotten first.
    patience: VecDeque<(Instant, InterfaceId, IpAddr)>,
    pub(crate) timer: Option<Instant>,
}

impl Protection {
    pub(crate) fn with_hasher(hasher: RandomState) -> Self {
        Self {
            up: HashMap::with_hasher(hasher.clone()),
            users: HashMap::with_hasher(hasher),
            patience: VecDeque::new(),
            timer: None,
        }
    }

    /// Who the peer is, while an association with it is up.
    pub(crate) fn identity(&self, local: IpAddr, remote: IpAddr) -> Option<&str> {
        self.up.get(&(local, remote)).map(String::as_str)
    }
}

/// Where an interface's guard is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum GuardState {
    /// None is wanted.
    #[default]
    None,
    /// Asked for.
    Asked(Ipv4Addr),
    /// The kernel has it.
    Stands(Ipv4Addr),
    /// It could not be had, and why.
    Failed(Ipv4Addr, String),
}

impl GuardState {
    fn local(&self) -> Option<Ipv4Addr> {
        match self {
            Self::None => None,
            Self::Asked(local) | Self::Stands(local) | Self::Failed(local, _) => Some(*local),
        }
    }

    /// Why NHRP does not run yet. `Some(None)`: it will be known in a moment.
    pub(crate) fn obstacle(&self) -> Option<Option<String>> {
        match self {
            Self::Stands(_) => None,
            Self::None | Self::Asked(_) => Some(None),
            Self::Failed(_, reason) => Some(Some(format!(
                "'tunnel protection' is configured, and the kernel does not take the policies that keep GRE from leaving \
                 in clear: {reason}; load xfrm_user and esp4, or remove 'tunnel protection'"
            ))),
        }
    }
}

impl Engine {
    /// The guard follows configuration and own address. One that stands stays while the address is unknown.
    pub(crate) fn update_guard(&mut self, id: InterfaceId, nbma: Option<IpAddr>) {
        let Some(interface) = self.interfaces.get_mut(id.key()) else { return };
        let protected = interface.config.protection.is_some();
        let local = match nbma {
            Some(IpAddr::V4(local)) if protected => Some(local),
            _ if protected => return,
            _ => None,
        };
        if interface.guard.local() == local {
            return;
        }
        interface.guard = local.map_or(GuardState::None, GuardState::Asked);
        let name = interface.name.clone();
        self.push(Output::Guard { name, local });
    }

    pub(crate) fn on_guarded(&mut self, name: &str, local: Ipv4Addr, failure: Option<String>) {
        let Some(id) = self.by_name.get(name).copied() else { return };
        let Some(interface) = self.interfaces.get_mut(id.key()) else { return };
        if interface.guard.local() != Some(local) {
            return;
        }
        interface.guard = match failure {
            None => GuardState::Stands(local),
            Some(reason) => GuardState::Failed(local, reason),
        };
        self.update_interface(id);
    }

    /// Whether an interface is protected, and from which address.
    fn protected_from(&self, id: InterfaceId) -> Option<IpAddr> {
        let interface = self.interfaces.get(id.key())?;
        interface.config.protection.as_ref()?;
        interface.nbma
    }

    /// Whether packets to an NBMA address may be sent.
    pub(crate) fn may_send(&self, id: InterfaceId, nbma: IpAddr) -> bool {
        let Some(interface) = self.interfaces.get(id.key()) else { return false };
        interface.config.protection.is_none()
            || interface.nbma.is_some_and(|local| self.protection.up.contains_key(&(local, nbma)))
    }

    /// The own address from which packets to an NBMA address are to be protected, and are not yet.
    #[must_use]
    pub fn unprotected_from(&self, interface: &str, nbma: IpAddr) -> Option<IpAddr> {
        let id = *self.by_name.get(interface)?;
        self.protected_from(id).filter(|_| !self.may_send(id, nbma))
    }

    /// Asks for an association, unless that was done. `eager`: the peer does not do so at the same time.
    pub(crate) fn ask_for_protection(&mut self, id: InterfaceId, nbma: IpAddr, eager: bool) {
        let Some(local) = self.protected_from(id) else { return };
        let user = self.protection.users.entry((id, nbma)).or_default();
        if std::mem::replace(&mut user.asked, true) {
            return;
        }
        let Some(protection) = self.interfaces.get(id.key()).and_then(|i| i.config.protection.clone()) else {
            return;
        };
        self.push(Output::Protect { local, remote: nbma, protection, eager });
    }

    /// An entry is to be told to kernel and zebra. False: it has to wait.
    pub(crate) fn entry_may_be_used(&mut self, id: CacheId) -> bool {
        let Some((interface, Some(nbma))) = self.cache.get(id.key()).map(|e| (e.interface, e.nbma)) else {
            return true;
        };
        if self.protected_from(interface).is_none() {
            return true;
        }
        self.protection.users.entry((interface, nbma)).or_default().entries.insert(id);
        // A client that registers has negotiated already, and does so again; its address may not even be reachable.
        if self.cache.get(id.key()).is_some_and(|e| e.origin != Origin::Registered) {
            self.ask_for_protection(interface, nbma, false);
        }
        self.may_send(interface, nbma)
    }

    /// An entry goes, or its NBMA address changes.
    pub(crate) fn entry_leaves(&mut self, id: CacheId) {
        if self.protection.users.is_empty() {
            return;
        }
        let Some((interface, Some(nbma))) = self.cache.get(id.key()).map(|e| (e.interface, e.nbma)) else {
            return;
        };
        let Some(user) = self.protection.users.get_mut(&(interface, nbma)) else { return };
        if user.entries.remove(&id) {
            self.release_if_unused(interface, nbma, true);
        }
    }

    /// A packet is to be sent to a peer without an association. Not for long, and not many.
    pub(crate) fn hold_packet(&mut self, id: InterfaceId, nbma: IpAddr, octets: Vec<u8>) {
        if self.protected_from(id).is_none() {
            return;
        }
        let first = self.protection.users.get(&(id, nbma)).is_none_or(|user| user.waiting.is_empty());
        if first && self.protection.patience.len() >= WAITED_FOR {
            self.stats.limit_protection += 1;
            return self.limit_met(format!(
                "packets wait for IPsec with {WAITED_FOR} peers: limit reached, more are dropped; see 'show nhrp ipsec'"
            ));
        }
        let user = self.protection.users.entry((id, nbma)).or_default();
        if user.waiting.len() >= WAITING {
            user.waiting.pop_front();
        }
        user.waiting.push_back(octets);
        if first {
            self.protection.patience.push_back((self.now + PATIENCE, id, nbma));
            self.arm_patience();
        }
        self.ask_for_protection(id, nbma, false);
    }

    fn arm_patience(&mut self) {
        match self.protection.patience.front() {
            Some((at, ..)) => self.timers.arm(&mut self.protection.timer, Timer::Protection, *at),
            None => self.timers.disarm(&mut self.protection.timer, Timer::Protection),
        }
    }

    pub(crate) fn on_protection_timer(&mut self) {
        self.protection.timer = None;
        while let Some((at, id, nbma)) = self.protection.patience.front().copied() {
            if at > self.now {
                break;
            }
            self.protection.patience.pop_front();
            if let Some(user) = self.protection.users.get_mut(&(id, nbma))
                && !user.waiting.is_empty()
            {
                user.waiting.clear();
                self.release_if_unused(id, nbma, false);
            }
        }
        self.arm_patience();
    }

    fn registrations_with(&self, id: InterfaceId, nbma: IpAddr) -> Vec<RegistrationId> {
        let Some(interface) = self.interfaces.get(id.key()) else { return Vec::new() };
        let lines = crate::interface::FAMILIES.iter().flat_map(|afi| &interface.family(*afi).nhs);
        let all = lines.filter_map(|nhs| self.nhs.get(nhs.key())).flat_map(|nhs| &nhs.registrations);
        let with = |r: &&RegistrationId| self.registrations.get(r.key()).is_some_and(|r| r.nbma == nbma);
        all.filter(with).copied().collect()
    }

    /// Nobody asks for an association any more. `terminate`: nor shall it stay, for the last mapping that it was for is
    /// over.
    pub(crate) fn release_if_unused(&mut self, id: InterfaceId, nbma: IpAddr, terminate: bool) {
        let Some(user) = self.protection.users.get(&(id, nbma)) else { return };
        if !user.entries.is_empty()
            || !user.waiting.is_empty()
            || !self.registrations_with(id, nbma).is_empty()
        {
            return;
        }
        self.protection.users.remove(&(id, nbma));
        if let Some(local) = self.interfaces.get(id.key()).and_then(|i| i.nbma) {
            self.unprotect(local, nbma, terminate);
        }
    }

    /// One interface needs no association with a peer any more. Another tunnel from the same address may.
    fn unprotect(&mut self, local: IpAddr, nbma: IpAddr, terminate: bool) {
        // By interface: there are few of them, and many peers may go at once.
        let shared = self.interfaces.iter().any(|(key, interface)| {
            interface.nbma == Some(local)
                && self.protection.users.contains_key(&(InterfaceId::from_key(key), nbma))
        });
        if !shared {
            self.push(Output::Unprotect { local, remote: nbma, terminate });
        }
    }

    /// The interface is protected no more, from another address, or by another profile: who needs what is found out anew.
    pub(crate) fn forget_protection_of(&mut self, id: InterfaceId) {
        let peers: Vec<IpAddr> =
            self.protection.users.keys().filter(|(i, _)| *i == id).map(|(_, nbma)| *nbma).collect();
        self.protection.patience.retain(|(_, interface, _)| *interface != id);
        self.arm_patience();
        let local = self.interfaces.get(id.key()).and_then(|i| i.nbma);
        for nbma in peers {
            self.protection.users.remove(&(id, nbma));
            if let Some(local) = local {
                self.unprotect(local, nbma, true);
            }
        }
    }

    /// `tunnel protection` was configured, changed or removed. What was told to the kernel is withdrawn and told again,
    /// each entry as soon as it may be.
    pub(crate) fn reconsider_protection(&mut self, id: InterfaceId) {
        self.forget_protection_of(id);
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        let protected = interface.config.protection.is_some();
        let guarded = matches!(interface.guard, GuardState::Stands(_));
        for afi in crate::interface::FAMILIES {
            if protected {
                self.install_all_of(id, afi, false);
            }
            // Where there is no guard yet, all is told when it stands.
            if protected == guarded {
                self.install_all_of(id, afi, true);
            }
        }
    }

    fn interfaces_protected_from(&self, local: IpAddr) -> Vec<InterfaceId> {
        self.interfaces
            .iter()
            .filter(|(_, i)| i.nbma == Some(local) && i.config.protection.is_some())
            .map(|(key, _)| InterfaceId::from_key(key))
            .collect()
    }

    /// Packets between two addresses are protected from now on, or the peer has another identity.
    pub(crate) fn on_protected(&mut self, local: IpAddr, remote: IpAddr, identity: String) {
        if self.protection.up.insert((local, remote), identity).is_some() {
            for id in self.interfaces_protected_from(local) {
                self.judge_registered(id, Some(remote));
            }
            return;
        }
        for id in self.interfaces_protected_from(local) {
            let (entries, waiting) = match self.protection.users.get_mut(&(id, remote)) {
                Some(user) => (user.entries.clone(), std::mem::take(&mut user.waiting)),
                None => (BTreeSet::new(), VecDeque::new()),
            };
            self.judge_registered(id, Some(remote));
            for entry in entries {
                self.install(entry);
            }
            let Some(ifindex) = self.interfaces.get(id.key()).map(|i| i.ifindex) else { continue };
            for octets in waiting {
                self.push(Output::Send { ifindex, destination: remote, octets });
            }
            for registration in self.registrations_with(id, remote) {
                self.register_if_waiting(registration);
            }
            self.release_if_unused(id, remote, false);
        }
    }

    /// There was none for a moment, too short to be believed; the other end may have seen a longer one, and then it has
    /// forgotten us.
    pub(crate) fn on_reprotected(&mut self, local: IpAddr, remote: IpAddr) {
        for id in self.interfaces_protected_from(local) {
            for registration in self.registrations_with(id, remote) {
                self.register_again(registration);
            }
        }
    }

    /// They are not any more: what was learned of that NBMA address goes, what is configured waits.
    pub(crate) fn on_unprotected(&mut self, local: IpAddr, remote: IpAddr) {
        if self.protection.up.remove(&(local, remote)).is_none() {
            return;
        }
        for id in self.interfaces_protected_from(local) {
            let entries =
                self.protection.users.get(&(id, remote)).map(|u| u.entries.clone()).unwrap_or_default();
            for entry in entries {
                let learned = self.cache.get(entry.key()).is_some_and(|e| e.kind < CacheType::Static);
                if learned {
                    self.remove_cache(entry, "its last security association is gone");
                } else {
                    self.withdraw(entry);
                }
            }
            for registration in self.registrations_with(id, remote) {
                self.lose_server(registration);
                self.register_again(registration);
            }
        }
    }
}
