//! Whether the machine has a way to the NBMA address of a peer. A shortcut to one that cannot be reached leads nowhere,
//! while the way through the hub may still be there.
//!
//! Owns the NBMA addresses of all peers that shortcuts lead to. Never sends a probe: it believes the routing table.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use ahash::RandomState;
use ipnet::IpNet;

use crate::Engine;
use crate::cache::Origin;
use crate::ids::{CacheId, InterfaceId};
use crate::interface::FAMILIES;
use crate::prefix_table::{PrefixTable, host};
use crate::routing::MAX_RECURSION;
use crate::time::Instant;
use crate::timers::Timer;

/// How long an NBMA address may be without a route: an address that is renewed, or a default route that is replaced, is
/// no reason to give up anything.
const PATIENCE: Duration = Duration::from_millis(300);

const REASON: &str = "there is no route to its peer's NBMA address";

/// What this module remembers.
#[derive(Debug)]
pub(crate) struct Underlay {
    /// Peers that shortcuts lead to, by their NBMA address.
    peers: PrefixTable<Vec<CacheId>>,
    addresses: HashMap<CacheId, IpAddr, RandomState>,
    /// Peers that had no route when one was last looked for.
    suspects: BTreeSet<CacheId>,
    pub(crate) timer: Option<Instant>,
}

impl Underlay {
    /// Nothing yet.
    pub(crate) fn with_hasher(hasher: RandomState) -> Self {
        Self {
            peers: PrefixTable::default(),
            addresses: HashMap::with_hasher(hasher),
            suspects: BTreeSet::new(),
            timer: None,
        }
    }
}

/// What the routing table says about an NBMA address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Packets leave for it.
    There,
    /// They are rejected, or would enter the very tunnel that they carry.
    Refused,
    /// There is no route.
    None,
}

impl Engine {
    /// A shortcut leads to this peer, or still does after the peer's address has changed.
    pub(crate) fn watch_gateway(&mut self, id: CacheId) {
        let Some(nbma) = self.cache.get(id.key()).and_then(|e| e.nbma) else { return };
        if self.underlay.addresses.get(&id) == Some(&nbma) {
            return;
        }
        self.unwatch_gateway(id);
        self.underlay.addresses.insert(id, nbma);
        let mut peers = self.underlay.peers.remove(host(nbma)).unwrap_or_default();
        peers.push(id);
        self.underlay.peers.insert(host(nbma), peers);
    }

    /// The same for one that may be watched already, and only if it is.
    pub(crate) fn rewatch_gateway(&mut self, id: CacheId) {
        if self.underlay.addresses.contains_key(&id) {
            self.watch_gateway(id);
        }
    }

    /// No shortcut leads to this peer any more.
    pub(crate) fn unwatch_gateway(&mut self, id: CacheId) {
        let Some(nbma) = self.underlay.addresses.remove(&id) else { return };
        let mut peers = self.underlay.peers.remove(host(nbma)).unwrap_or_default();
        peers.retain(|peer| *peer != id);
        if !peers.is_empty() {
            self.underlay.peers.insert(host(nbma), peers);
        }
        self.underlay.suspects.remove(&id);
        if self.underlay.suspects.is_empty() {
            self.timers.disarm(&mut self.underlay.timer, Timer::Underlay);
        }
    }

    /// A route changed: peers below it may have lost their way.
    pub(crate) fn suspect_gateways(&mut self, prefix: IpNet) {
        if self.underlay.addresses.is_empty() {
            return;
        }
        let below: Vec<CacheId> =
            self.underlay.peers.within(prefix).into_iter().flat_map(|(_, peers)| peers.clone()).collect();
        let lost: Vec<CacheId> = below.into_iter().filter(|id| self.has_no_way(*id)).collect();
        if lost.is_empty() {
            return;
        }
        self.underlay.suspects.extend(lost);
        if self.underlay.timer.is_none() {
            let at = self.now + PATIENCE;
            self.timers.arm(&mut self.underlay.timer, Timer::Underlay, at);
        }
    }

    pub(crate) fn on_underlay_timer(&mut self) {
        self.underlay.timer = None;
        for id in std::mem::take(&mut self.underlay.suspects) {
            if !self.has_no_way(id) {
                continue;
            }
            self.stats.gateways_unreachable += 1;
            match self.cache.get(id.key()).map(|e| e.origin) {
                // What was only heard of goes as a whole, so that its address is looked for through the hub as well.
                Some(Origin::Resolved) => self.remove_cache(id, REASON),
                _ => self.drop_shortcuts_via(id, REASON),
            }
        }
    }

    fn has_no_way(&self, id: CacheId) -> bool {
        let Some(nbma) = self.underlay.addresses.get(&id) else { return false };
        let Some(entry) = self.cache.get(id.key()) else { return false };
        self.way_to_nbma(entry.interface, *nbma) != Way::There
    }

    /// Whether a binding to this NBMA address is worth having. Where the routing table does not know the way to our own
    /// servers either, it has no say.
    pub(crate) fn may_reach(&self, interface: InterfaceId, nbma: IpAddr) -> bool {
        match self.way_to_nbma(interface, nbma) {
            Way::There => true,
            Way::Refused => false,
            Way::None => !self.knows_underlay(interface),
        }
    }

    fn knows_underlay(&self, interface: InterfaceId) -> bool {
        let Some(i) = self.interfaces.get(interface.key()) else { return false };
        FAMILIES
            .iter()
            .flat_map(|afi| i.family(*afi).nhs.iter())
            .filter_map(|n| self.nhs.get(n.key()))
            .flat_map(|n| n.registrations.iter())
            .filter_map(|r| self.registrations.get(r.key()))
            .any(|r| self.way_to_nbma(interface, r.nbma) == Way::There)
    }

    fn way_to_nbma(&self, interface: InterfaceId, nbma: IpAddr) -> Way {
        let Some(i) = self.interfaces.get(interface.key()) else { return Way::None };
        if i.gre_link.is_some_and(|link| link != 0 && self.interface_by_index(link).is_none()) {
            // Another VRF carries the tunnel: the routes that we are told of are not those of its packets.
            return Way::There;
        }
        let mut hop = nbma;
        for _ in 0..MAX_RECURSION {
            let Some((_, route)) = self.routes.lookup(hop) else { return Way::None };
            match (route.ifindex, route.gateway) {
                (Some(ifindex), _) if ifindex == i.ifindex => return Way::Refused,
                (Some(_), _) => return Way::There,
                (None, Some(gateway)) => hop = gateway,
                (None, None) => return Way::Refused,
            }
        }
        Way::None
    }
}
