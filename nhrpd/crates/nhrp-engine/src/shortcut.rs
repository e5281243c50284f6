//! Shortcuts: prefixes with a direct path to the peer behind which they lie.
//!
//! A shortcut lives for the holding time of the reply. In its last third it is renewed, if packets use it. Whether they
//! do is asked shortly before: its peer's neighbour entry is made stale, and the next packet makes the kernel say so.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nhrp_config::Afi;

use crate::Engine;
use crate::ids::{CacheId, InterfaceId, ResolutionId, ShortcutId};
use crate::interface::afi_of;
use crate::io::{NeighbourState, Nexthop, Output, Route};
use crate::notice::Notice;
use crate::prefix_table::{host, truncated};
use crate::route_changes::Change;
use crate::time::Instant;
use crate::timers::Timer;

/// What the kernel takes from a packet that uses a stale entry to the question whether it holds (its
/// `delay_first_probe_time` of 5 s), and a little more.
const TIME_TO_ASK: Duration = Duration::from_secs(6);

/// How long zebra may take to select a route that overrode another one until now.
const TIME_TO_SELECT: Duration = Duration::from_millis(250);

/// Where in its life a shortcut is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is to be known about it yet.
    Fresh,
    /// Whether packets use it is being found out.
    Asked,
    /// In its last third: may be renewed.
    Expiring,
    /// To be removed in a moment, for this reason.
    Leaving(&'static str),
}

/// A prefix with a direct path, or one that is known to be unreachable.
#[derive(Debug)]
pub(crate) struct Shortcut {
    pub(crate) prefix: IpNet,
    /// The address that was looked up; renewals ask for it again.
    pub(crate) target: IpAddr,
    /// The peer; none for a negative shortcut.
    pub(crate) gateway: Option<CacheId>,
    pub(crate) expires: Instant,
    holding: Duration,
    /// The routes that are announced for it.
    announced: Vec<Route>,
    pub(crate) stage: Stage,
    pub(crate) timer: Option<Instant>,
}

impl Shortcut {
    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_))
    }
}

/// Both halves of a prefix; none where they would be hosts, whose routes are their own peers'.
fn halves(prefix: IpNet) -> Option<[IpNet; 2]> {
    let length = prefix.prefix_len().checked_add(1).filter(|length| *length < prefix.max_prefix_len())?;
    let mut halves = prefix.subnets(length).ok()?;
    Some([halves.next()?, halves.next()?])
}

impl Engine {
    /// Takes a positive answer: new shortcut, or renewal of the one for the same prefix.
    pub(crate) fn add_shortcut(
        &mut self,
        prefix: IpNet,
        target: IpAddr,
        gateway: CacheId,
        holding: Duration,
    ) {
        self.put_shortcut(prefix, target, Some(gateway), holding);
        if self.shortcut_index.get(prefix).is_some()
            && let Some(via) = self.cache.get(gateway.key()).map(|e| e.protocol)
        {
            self.push(Output::Notice(Notice::ShortcutAdded { prefix, via }));
        }
    }

    /// Takes "protocol address unreachable": packets to it are rejected here for as long as the own holding time.
    pub(crate) fn add_negative_shortcut(&mut self, interface: InterfaceId, target: IpAddr) {
        let holding = Duration::from_secs(u64::from(self.holdtime(interface, afi_of(target))));
        self.put_shortcut(host(target), target, None, holding);
    }

    fn put_shortcut(&mut self, prefix: IpNet, target: IpAddr, gateway: Option<CacheId>, holding: Duration) {
        let id = match self.shortcut_index.get(prefix) {
            Some(id) => *id,
            None if self.shortcuts.len() >= self.limits.max_shortcuts => {
                self.stats.limit_shortcuts += 1;
                let what = format!(
                    "{} shortcuts: limit reached, further traffic stays on the path through the hub; \
                     raise --max-peers",
                    self.limits.max_shortcuts
                );
                return self.limit_met(what);
            }
            None => {
                let shortcut = Shortcut {
                    prefix,
                    target,
                    gateway: None,
                    expires: self.now,
                    holding,
                    announced: Vec::new(),
                    stage: Stage::Fresh,
                    timer: None,
                };
                let id = ShortcutId::from_key(self.shortcuts.insert(shortcut));
                self.shortcut_index.insert(prefix, id);
                self.shortcut_added(id);
                self.announce_parent(prefix);
                id
            }
        };
        let Some(shortcut) = self.shortcuts.get_mut(id.key()) else { return };
        let old_gateway = shortcut.gateway;
        let differs = old_gateway != gateway || shortcut.target != target;
        shortcut.target = target;
        shortcut.gateway = gateway;
        shortcut.expires = self.now + holding;
        shortcut.holding = holding;
        shortcut.stage = Stage::Fresh;
        let ask = (holding * 2 / 3).saturating_sub(TIME_TO_ASK);
        self.timers.arm(&mut shortcut.timer, Timer::Shortcut(id), self.now + ask);
        if let Some(old) = old_gateway.filter(|old| Some(*old) != gateway) {
            self.unhook(old, id);
        }
        if differs {
            self.shortcut_changed(id);
        }
        if let Some(gateway) = gateway {
            let dependents = self.dependents.entry(gateway).or_default();
            if !dependents.contains(&id) {
                dependents.push(id);
            }
            self.watch_gateway(gateway);
        }
        self.announce(id);
    }

    fn unhook(&mut self, gateway: CacheId, id: ShortcutId) {
        if let Some(dependents) = self.dependents.get_mut(&gateway) {
            dependents.retain(|d| *d != id);
            if dependents.is_empty() {
                self.dependents.remove(&gateway);
                self.unwatch_gateway(gateway);
            }
        }
    }

    /// The routes by which packets find a shortcut: one to its prefix, or, where another daemon has a route to the very
    /// prefix, one to each half of it. Of two routes to one prefix zebra tells what becomes of that one which is in the
    /// kernel, and that would be the shortcut: a route that comes, goes or moves to another next hop behind it would be
    /// noticed late or never. Longest match leaves both in the kernel.
    // draft-detienne-dmvpn 4.7. [dmvpn-4.7-routes]
    pub(crate) fn shortcut_routes(&self, shortcut: &Shortcut) -> Vec<Route> {
        let prefix = shortcut.prefix;
        if prefix == host(prefix.addr()) && self.installed_peer(prefix.addr()).is_some() {
            // A peer's own address has its host route from the cache entry.
            return Vec::new();
        }
        let Some(nexthop) = self.shortcut_nexthop(shortcut) else { return Vec::new() };
        let route = |prefix, overrides| Route { prefix, nexthop, mtu: None, overrides };
        if self.routes.get(prefix).is_none() {
            return vec![route(prefix, false)];
        }
        match halves(prefix) {
            // A half that somebody else has a route to is his, and one that is a shortcut by itself is that one's.
            Some(halves) => {
                let taken = |half: &IpNet| {
                    self.routes.get(*half).is_some() || self.shortcut_index.get(*half).is_some()
                };
                halves.into_iter().filter(|half| !taken(half)).map(|half| route(half, false)).collect()
            }
            // A host has no halves: in the kernel only, so that zebra still tells when the other route goes.
            None => vec![route(prefix, !shortcut.is_leaving())],
        }
    }

    fn shortcut_nexthop(&self, shortcut: &Shortcut) -> Option<Nexthop> {
        let Some(gateway) = shortcut.gateway else { return Some(Nexthop::Reject) };
        let entry = self.cache.get(gateway.key()).filter(|e| e.installed)?;
        let ifindex = self.interfaces.get(entry.interface.key())?.ifindex;
        Some(Nexthop::Gateway { address: entry.protocol, ifindex })
    }

    /// Announces its routes, and withdraws those that it has no more: all of them when its peer cannot be reached.
    pub(crate) fn announce(&mut self, id: ShortcutId) {
        let Some(shortcut) = self.shortcuts.get(id.key()) else { return };
        let routes = self.shortcut_routes(shortcut);
        let Some(shortcut) = self.shortcuts.get_mut(id.key()) else { return };
        let former = std::mem::replace(&mut shortcut.announced, routes.clone());
        // First what is new, so that no packet falls between the two.
        let gone: Vec<IpNet> =
            former.iter().map(|r| r.prefix).filter(|p| !routes.iter().any(|r| r.prefix == *p)).collect();
        for route in routes {
            if !former.contains(&route) {
                self.push(Output::RouteAdd(route));
            }
        }
        for prefix in gone {
            self.push(Output::RouteDelete { prefix });
        }
    }

    /// A peer with this address takes over the host route from a shortcut of the same prefix.
    pub(crate) fn hide_host_shortcut(&mut self, address: IpAddr) {
        let id = self.shortcut_index.get(host(address)).copied();
        if let Some(shortcut) = id.and_then(|id| self.shortcuts.get_mut(id.key())) {
            shortcut.announced.clear();
        }
    }

    /// And gives it back when it is not reachable any more.
    pub(crate) fn announce_host_shortcut(&mut self, address: IpAddr) {
        if let Some(id) = self.shortcut_index.get(host(address)).copied() {
            self.announce(id);
        }
    }

    /// A peer became reachable or unreachable: so do the prefixes behind it.
    pub(crate) fn shortcuts_follow(&mut self, gateway: CacheId) {
        for id in self.dependents.get(&gateway).cloned().unwrap_or_default() {
            self.announce(id);
        }
    }

    pub(crate) fn drop_shortcuts_via(&mut self, gateway: CacheId, reason: &str) {
        for id in self.dependents.get(&gateway).cloned().unwrap_or_default() {
            self.remove_shortcut(id, reason);
        }
    }

    /// Removes a shortcut that lost its ground. One that overrides a route that is not there any more becomes an ordinary
    /// route first: only of a selected one does zebra tell other daemons (`redistribute nhrp`) that it is gone.
    pub(crate) fn retire_shortcut(&mut self, id: ShortcutId, reason: &'static str) {
        let Some(shortcut) = self.shortcuts.get_mut(id.key()) else { return };
        if shortcut.is_leaving() {
            return; // One more reason does not shorten the time that others have to hear of it.
        }
        let overrides = shortcut.announced.iter().any(|route| route.overrides);
        if !overrides || self.routes.get(shortcut.prefix).is_some() {
            return self.remove_shortcut(id, reason);
        }
        shortcut.stage = Stage::Leaving(reason);
        self.timers.arm(&mut shortcut.timer, Timer::Shortcut(id), self.now + TIME_TO_SELECT);
        self.announce(id);
    }

    pub(crate) fn remove_shortcut(&mut self, id: ShortcutId, reason: &str) {
        let last = self.last_of_shortcut(id);
        let Some(mut shortcut) = self.shortcuts.try_remove(id.key()) else { return };
        self.timers.disarm(&mut shortcut.timer, Timer::Shortcut(id));
        self.shortcut_index.remove(shortcut.prefix);
        if let Some(gateway) = shortcut.gateway {
            self.unhook(gateway, id);
        }
        for route in shortcut.announced {
            self.push(Output::RouteDelete { prefix: route.prefix });
        }
        self.push(Output::Notice(Notice::ShortcutRemoved {
            prefix: shortcut.prefix,
            reason: reason.to_owned(),
        }));
        self.announce_parent(shortcut.prefix);
        self.shortcut_gone(id, last, reason);
    }

    /// A shortcut of which this prefix may be a half has the half no more, or again.
    fn announce_parent(&mut self, prefix: IpNet) {
        if let Some(id) = prefix.supernet().and_then(|parent| self.shortcut_index.get(parent)).copied() {
            self.announce(id);
        }
    }

    pub(crate) fn on_shortcut_timer(&mut self, id: ShortcutId) {
        let Some(shortcut) = self.shortcuts.get_mut(id.key()) else { return };
        shortcut.timer = None;
        if let Stage::Leaving(reason) = shortcut.stage {
            return self.remove_shortcut(id, reason);
        }
        if self.now >= shortcut.expires {
            // draft-detienne-dmvpn 4.6. [dmvpn-4.6-expiry]
            return self.remove_shortcut(id, "holding time is over");
        }
        let last_third = shortcut.expires - shortcut.holding / 3;
        let (gateway, target) = (shortcut.gateway, shortcut.target);
        if self.now < last_third {
            shortcut.stage = Stage::Asked;
            self.timers.arm(&mut shortcut.timer, Timer::Shortcut(id), last_third);
            if let Some(gateway) = gateway {
                self.ask_for_use(gateway);
            }
            return;
        }
        // draft-detienne-dmvpn 4.6. [dmvpn-4.6-renewal]
        shortcut.stage = Stage::Expiring;
        let at = shortcut.expires;
        self.timers.arm(&mut shortcut.timer, Timer::Shortcut(id), at);
        if gateway.and_then(|g| self.cache.get(g.key())).is_some_and(|e| e.used) {
            self.resolve(target);
        }
    }

    fn ask_for_use(&mut self, gateway: CacheId) {
        if self.neighbour_of(gateway).is_some_and(|n| n.state == NeighbourState::Reachable) {
            if let Some(entry) = self.cache.get_mut(gateway.key()) {
                entry.used = false;
            }
            self.write_neighbour(gateway, Some(NeighbourState::Stale));
        }
    }

    /// The kernel says that packets go to this peer: what is about to expire behind it is renewed.
    pub(crate) fn renew_shortcuts_via(&mut self, gateway: CacheId) {
        for id in self.dependents.get(&gateway).cloned().unwrap_or_default() {
            if let Some(shortcut) = self.shortcuts.get(id.key())
                && shortcut.stage == Stage::Expiring
            {
                self.resolve(shortcut.target);
            }
        }
    }

    /// NHRP is configured on one interface less: ends what led nowhere else.
    pub(crate) fn forget_unreachable(&mut self, afi: Afi) {
        let everything = match afi {
            Afi::Ip => truncated(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
            Afi::Ipv6 => truncated(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0),
        };
        self.revalidate_shortcuts(everything, Change::Ground);
        // Of both families: a question about an IPv4 address may have been asked along a route with an IPv6 next hop.
        let gone: Vec<ResolutionId> = self
            .resolutions
            .iter()
            .filter(|(_, r)| !self.enters_nbma(r.target))
            .map(|(key, _)| ResolutionId::from_key(key))
            .collect();
        for id in gone {
            self.end_resolution(id);
        }
    }
}
