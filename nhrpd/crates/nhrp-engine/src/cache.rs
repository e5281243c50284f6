//! The cache: protocol address on an interface to NBMA address, with precedence, expiry and what the kernel and
//! zebra are told about it.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::Afi;
use serde::{Deserialize, Serialize};

use crate::Engine;
use crate::ids::{CacheId, InterfaceId};
use crate::interface::afi_of;
use crate::io::{Neighbour, NeighbourEvent, NeighbourState, Nexthop, Output, Route};
use crate::notice::Notice;
use crate::prefix_table::host;
use crate::time::Instant;
use crate::timers::Timer;

/// Where a binding ranks: a lower one never replaces a higher one (FRR's order).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CacheType {
    /// Learned from a registration, or from a resolution.
    #[default]
    Dynamic,
    /// A next hop server that accepted our registration.
    Nhs,
    /// `map ADDRESS NBMA`.
    Static,
    /// Own address, or `map ADDRESS local`.
    Local,
}

impl CacheType {
    /// FRR's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Nhs => "nhs",
            Self::Static => "static",
            Self::Local => "local",
        }
    }
}

/// How a binding was learned. Decides whether the kernel keeps the neighbour for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// From a resolution: may go when unused.
    #[default]
    Resolved,
    /// The peer registered here, or we there.
    Registered,
    /// By the operator.
    Configured,
}

/// What is to be bound.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Binding {
    pub(crate) kind: CacheType,
    pub(crate) origin: Origin,
    /// Address that packets are sent to.
    pub(crate) nbma: Option<IpAddr>,
    /// Address after translation, if the peer is known to be behind NAT.
    pub(crate) nat: Option<IpAddr>,
    /// Address that the peer itself believes to have.
    pub(crate) claimed: Option<IpAddr>,
    pub(crate) mtu: u16,
    /// Its station wants to be the only one with this address (RFC 2332 5.2.3: kept with it).
    pub(crate) unique: bool,
    /// None: does not expire.
    pub(crate) holding: Option<Duration>,
}

/// One cache entry.
#[derive(Debug)]
pub(crate) struct CacheEntry {
    pub(crate) interface: InterfaceId,
    pub(crate) protocol: IpAddr,
    pub(crate) kind: CacheType,
    pub(crate) origin: Origin,
    pub(crate) nbma: Option<IpAddr>,
    pub(crate) nat: Option<IpAddr>,
    pub(crate) claimed: Option<IpAddr>,
    pub(crate) mtu: u16,
    pub(crate) expires: Option<Instant>,
    /// Told to kernel and zebra.
    pub(crate) installed: bool,
    /// Packets went to it lately, as the kernel says.
    pub(crate) used: bool,
    /// Nobody else may register the address.
    pub(crate) unique: bool,
    /// When this NBMA address was learned.
    pub(crate) since: Instant,
    pub(crate) timer: Option<Instant>,
}

/// Why a binding was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindError {
    /// There is one of higher precedence.
    Precedence,
    /// The table is full.
    Limit,
    /// It has to be accepted first.
    Unauthorised,
}

/// FRR's heuristic for the MTU that a peer advertises, in octets; 0: none. IPv6 has none.
pub(crate) fn sanitised_mtu(afi: Afi, mtu: u16) -> u16 {
    match (afi, mtu) {
        (Afi::Ipv6, _) | (Afi::Ip, 0..=575 | 1500..) => 0,
        (Afi::Ip, 1421..) => (mtu & !15) - 80,
        (Afi::Ip, _) => mtu,
    }
}

impl Engine {
    pub(crate) fn find_cache(&self, interface: InterfaceId, protocol: IpAddr) -> Option<CacheId> {
        self.cache_index.get(&(interface, protocol)).copied()
    }

    /// Takes a binding, unless one of higher precedence is there.
    pub(crate) fn bind(
        &mut self,
        interface: InterfaceId,
        protocol: IpAddr,
        binding: Binding,
    ) -> Result<CacheId, BindError> {
        let mtu = sanitised_mtu(afi_of(protocol), binding.mtu);
        if self.needs_authorisation(interface, protocol, &binding, mtu) {
            return Err(self.ask_authorisation(interface, protocol, binding));
        }
        self.bind_at_once(interface, protocol, binding, mtu)
    }

    /// The same for a binding that has been accepted, or need not be; `mtu` is that which is kept.
    pub(crate) fn bind_at_once(
        &mut self,
        interface: InterfaceId,
        protocol: IpAddr,
        binding: Binding,
        mtu: u16,
    ) -> Result<CacheId, BindError> {
        let expires = binding.holding.map(|holding| self.now + holding);
        let Some(id) = self.find_cache(interface, protocol) else {
            return self.insert_cache(interface, protocol, &binding, mtu, expires);
        };
        let Some(entry) = self.cache.get_mut(id.key()) else { return Err(BindError::Precedence) };
        if entry.kind > binding.kind {
            return Err(BindError::Precedence);
        }
        if entry.kind == binding.kind && entry.origin > binding.origin {
            // What a peer registered is better than what a third party says about it: at most, it lives longer.
            if entry.nbma != binding.nbma {
                return Err(BindError::Precedence);
            }
            entry.expires = entry.expires.max(expires);
            return Ok(id);
        }
        if binding.nbma.is_none() && entry.installed {
            // A peer's address becomes our own: nothing is to be sent there any more.
            self.withdraw(id);
            self.drop_shortcuts_via(id, "its peer's address is ours now");
        }
        let moves = self.cache.get(id.key()).is_some_and(|entry| entry.nbma != binding.nbma);
        if moves {
            self.entry_leaves(id);
            if binding.nbma.is_some_and(|nbma| !self.may_send(interface, nbma)) {
                self.withdraw(id);
            }
        }
        let Some(entry) = self.cache.get_mut(id.key()) else { return Err(BindError::Precedence) };
        let state_changed = entry.origin != binding.origin || entry.kind != binding.kind;
        let moved = entry.nbma != binding.nbma;
        let route_changed = moved || entry.mtu != mtu || entry.kind != binding.kind;
        let told = (entry.nat, entry.claimed, entry.unique);
        let changed =
            state_changed || route_changed || told != (binding.nat, binding.claimed, binding.unique);
        entry.kind = binding.kind;
        entry.origin = binding.origin;
        entry.nbma = binding.nbma;
        entry.nat = binding.nat;
        entry.claimed = binding.claimed;
        entry.mtu = mtu;
        entry.unique = binding.unique;
        entry.expires = expires;
        if moved {
            entry.used = false;
            entry.since = self.now;
        }
        let armed = entry.timer;
        // A later expiry is found out when the armed timer fires; only an earlier one needs a new timer now.
        match expires {
            Some(at) if armed.is_none_or(|armed| at < armed) => self.arm_cache(id, at),
            _ => {}
        }
        if moved {
            self.rewatch_gateway(id);
        }
        if !self.is_installed(id) {
            self.install(id);
        } else if moved && !self.entry_may_be_used(id) {
            self.withdraw(id);
        } else if moved || state_changed || route_changed {
            self.forget_receivers(interface);
            self.write_neighbour(id, None);
            if route_changed {
                self.write_route(id);
            }
        }
        if changed {
            self.binding_changed(id);
        }
        if moved && binding.origin == Origin::Registered && binding.kind == CacheType::Dynamic {
            self.purge_holders(host(protocol));
            self.notify_client(id);
        }
        Ok(id)
    }

    fn insert_cache(
        &mut self,
        interface: InterfaceId,
        protocol: IpAddr,
        binding: &Binding,
        mtu: u16,
        expires: Option<Instant>,
    ) -> Result<CacheId, BindError> {
        // Peers may fill the table, but not so that the own server finds no place in it.
        if self.cache.len() >= self.limits.max_cache_entries && binding.kind < CacheType::Nhs {
            self.stats.limit_cache += 1;
            let what = format!(
                "{} cache entries: limit reached, new peers are refused; raise --max-peers",
                self.limits.max_cache_entries
            );
            self.limit_met(what);
            return Err(BindError::Limit);
        }
        let key = self.cache.insert(CacheEntry {
            interface,
            protocol,
            kind: binding.kind,
            origin: binding.origin,
            nbma: binding.nbma,
            nat: binding.nat,
            claimed: binding.claimed,
            mtu,
            expires,
            installed: false,
            used: false,
            unique: binding.unique,
            since: self.now,
            timer: None,
        });
        let id = CacheId::from_key(key);
        self.cache_index.insert((interface, protocol), id);
        self.binding_added(id);
        if let Some(at) = expires {
            self.arm_cache(id, at);
        }
        self.install(id);
        if binding.origin == Origin::Registered && binding.kind == CacheType::Dynamic {
            self.notify_client(id);
        }
        Ok(id)
    }

    fn notify_client(&mut self, id: CacheId) {
        let Some(entry) = self.cache.get(id.key()) else { return };
        let Some(interface) = self.interfaces.get(entry.interface.key()) else { return };
        let (name, protocol) = (interface.name.clone(), entry.protocol);
        if let Some(nbma) = entry.nbma {
            self.push(Output::Notice(Notice::ClientRegistered { name, protocol, nbma }));
        }
    }

    fn arm_cache(&mut self, id: CacheId, at: Instant) {
        if let Some(entry) = self.cache.get_mut(id.key()) {
            self.timers.arm(&mut entry.timer, Timer::Cache(id), at);
        }
    }

    pub(crate) fn on_cache_timer(&mut self, id: CacheId) {
        let Some(entry) = self.cache.get_mut(id.key()) else { return };
        entry.timer = None;
        match entry.expires {
            Some(at) if at > self.now => self.arm_cache(id, at),
            // RFC 2332 5.2.0.1. [rfc2332-5.2.0.1-expiry]
            Some(_) => self.remove_cache(id, "holding time is over"),
            None => {}
        }
    }

    pub(crate) fn is_installed(&self, id: CacheId) -> bool {
        self.cache.get(id.key()).is_some_and(|e| e.installed)
    }

    /// Tells kernel and zebra, if the entry has a peer and NHRP runs; then those who wait for it.
    pub(crate) fn install(&mut self, id: CacheId) {
        let Some(entry) = self.cache.get(id.key()) else { return };
        let running = self
            .interfaces
            .get(entry.interface.key())
            .is_some_and(|i| i.family(afi_of(entry.protocol)).running);
        if entry.installed || !running || entry.nbma.is_none() || !self.entry_may_be_used(id) {
            return;
        }
        let Some(entry) = self.cache.get_mut(id.key()) else { return };
        entry.installed = true;
        let (interface, protocol) = (entry.interface, entry.protocol);
        self.forget_receivers(interface);
        self.hide_host_shortcut(protocol);
        self.write_neighbour(id, None);
        self.write_route(id);
        self.shortcuts_follow(id);
        self.binding_changed(id);
    }

    pub(crate) fn withdraw(&mut self, id: CacheId) {
        let Some(entry) = self.cache.get_mut(id.key()) else { return };
        if !entry.installed {
            return;
        }
        entry.installed = false;
        let (interface, protocol) = (entry.interface, entry.protocol);
        self.forget_receivers(interface);
        let ifindex = self.interfaces.get(interface.key()).map_or(0, |i| i.ifindex);
        self.push(Output::NeighbourDelete { ifindex, protocol });
        // The same prefix may be wanted for another reason: the address on another tunnel, or a shortcut to it.
        if let Some(other) = self.installed_peer(protocol) {
            self.write_route(other);
        } else {
            self.push(Output::RouteDelete { prefix: host(protocol) });
            self.announce_host_shortcut(protocol);
        }
        self.shortcuts_follow(id);
        self.binding_changed(id);
    }

    pub(crate) fn write_neighbour(&mut self, id: CacheId, state: Option<NeighbourState>) {
        let Some(mut neighbour) = self.neighbour_of(id) else { return };
        if let Some(state) = state {
            neighbour.state = state;
        }
        self.push(Output::NeighbourSet(neighbour));
    }

    pub(crate) fn neighbour_of(&self, id: CacheId) -> Option<Neighbour> {
        let entry = self.cache.get(id.key())?;
        if !entry.installed {
            return None;
        }
        let state = match entry.origin {
            Origin::Resolved => NeighbourState::Reachable,
            Origin::Registered | Origin::Configured => NeighbourState::Permanent,
        };
        let ifindex = self.interfaces.get(entry.interface.key())?.ifindex;
        Some(Neighbour { ifindex, protocol: entry.protocol, nbma: entry.nbma?, state })
    }

    pub(crate) fn route_of(&self, id: CacheId) -> Option<Route> {
        let entry = self.cache.get(id.key())?;
        if self.installed_peer(entry.protocol) != Some(id) {
            // Not told, or a peer of the same address on another tunnel has the host route.
            return None;
        }
        let ifindex = self.interfaces.get(entry.interface.key())?.ifindex;
        // RFC 2332 5.2.0.1. [rfc2332-5.2.0.1-mtu]
        let mtu = (entry.mtu != 0).then_some(u32::from(entry.mtu));
        Some(Route {
            prefix: host(entry.protocol),
            nexthop: Nexthop::Interface { ifindex },
            mtu,
            overrides: false,
        })
    }

    fn write_route(&mut self, id: CacheId) {
        if let Some(route) = self.route_of(id) {
            self.push(Output::RouteAdd(route));
        }
    }

    /// Removes an entry and everything that hangs on it.
    pub(crate) fn remove_cache(&mut self, id: CacheId, reason: &str) {
        let last = self.last_of_binding(id);
        self.withdraw(id);
        self.drop_shortcuts_via(id, reason);
        self.entry_leaves(id);
        let Some(entry) = self.cache.get_mut(id.key()) else { return };
        self.timers.disarm(&mut entry.timer, Timer::Cache(id));
        let key = (entry.interface, entry.protocol);
        self.cache.remove(id.key());
        self.cache_index.remove(&key);
        self.binding_gone(id, last, reason);
    }

    /// The family on this interface starts or stops: what was learned is kept, only kernel and zebra are told.
    pub(crate) fn install_all_of(&mut self, interface: InterfaceId, afi: Afi, on: bool) {
        let ids: Vec<CacheId> = self
            .cache
            .iter()
            .filter(|(_, e)| e.interface == interface && afi_of(e.protocol) == afi)
            .map(|(key, _)| CacheId::from_key(key))
            .collect();
        for id in ids {
            if on {
                self.install(id);
            } else {
                self.withdraw(id);
            }
        }
    }

    /// NHRP is no longer configured for a family of an interface, or the interface is gone for good.
    pub(crate) fn drop_cache_of(&mut self, interface: InterfaceId, afi: Afi) {
        self.drop_waiting_of(interface, afi);
        let ids: Vec<CacheId> = self
            .cache
            .iter()
            .filter(|(_, e)| e.interface == interface && afi_of(e.protocol) == afi)
            .map(|(key, _)| CacheId::from_key(key))
            .collect();
        for id in ids {
            self.remove_cache(id, "NHRP is not configured any more");
        }
    }

    pub(crate) fn on_adopted(&mut self, ifindex: u32, protocol: IpAddr, nbma: IpAddr) {
        let Some(interface) = self.interface_by_index(ifindex) else { return };
        if self.find_cache(interface, protocol).is_some() {
            // What is known by now is newer.
            return;
        }
        let seconds = self.holdtime(interface, afi_of(protocol));
        let binding = Binding {
            kind: CacheType::Dynamic,
            origin: Origin::Registered,
            nbma: Some(nbma),
            claimed: Some(nbma),
            holding: Some(Duration::from_secs(u64::from(seconds))),
            ..Binding::default()
        };
        // Refused only if the table is full, which is told and counted.
        let _ = self.bind(interface, protocol, binding);
    }

    pub(crate) fn on_neighbour(&mut self, ifindex: u32, protocol: IpAddr, event: NeighbourEvent) {
        let Some(interface) = self.interface_by_index(ifindex) else { return };
        let Some(id) = self.find_cache(interface, protocol) else {
            if event == NeighbourEvent::Wanted {
                self.on_next_hop_wanted(interface, protocol);
            }
            return;
        };
        let Some(entry) = self.cache.get_mut(id.key()) else { return };
        match event {
            NeighbourEvent::Wanted | NeighbourEvent::Lost => {
                // Wanted: a packet waits for it.
                let used = event == NeighbourEvent::Wanted;
                entry.used |= used;
                if entry.installed {
                    self.stats.neighbours_repaired += 1;
                }
                self.write_neighbour(id, None);
                if used {
                    self.renew_shortcuts_via(id);
                }
            }
            NeighbourEvent::Probe => {
                entry.used = true;
                self.write_neighbour(id, None);
                self.renew_shortcuts_via(id);
            }
            NeighbourEvent::Stale => entry.used = false,
        }
    }
}
