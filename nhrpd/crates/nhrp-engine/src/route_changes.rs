//! What a change in the routing table does to shortcuts.
//!
//! Owns the rules by which one loses its ground. Never looks at more than the shortcuts at, below and above the prefix
//! that changed: the default route comes and goes without touching any that hang on a better one.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Engine;
use crate::cache::CacheType;
use crate::ids::ShortcutId;
use crate::routing::{Destination, RibEntry};

/// What happened to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Appeared,
    LeadsElsewhere,
    Withdrawn,
    /// Not the route, but an interface that it may lead to.
    Ground,
}

/// Where the routing table sends a host: what lies there, and the next hop.
type Way = (Destination, Option<IpAddr>);

impl Engine {
    pub(crate) fn on_route_added(&mut self, prefix: IpNet, entry: RibEntry) {
        let ways = if self.routes.get(prefix).is_none() { self.ways_below(prefix) } else { Vec::new() };
        match self.routes.insert(prefix, entry) {
            Some(former) if former == entry => {}
            Some(_) => self.route_changed(prefix, Change::LeadsElsewhere),
            None => {
                self.route_changed(prefix, Change::Appeared);
                self.retire_redirected(ways);
            }
        }
    }

    /// The shortcuts at and below a prefix, and where the routing table sends their hosts.
    fn ways_below(&self, prefix: IpNet) -> Vec<(ShortcutId, Way)> {
        if self.shortcuts.is_empty() {
            return Vec::new();
        }
        let below = self.shortcut_index.within(prefix).into_iter().map(|(_, id)| *id);
        below.filter_map(|id| Some((id, self.way_of(id)?))).collect()
    }

    /// The next hop by its name as well: one that nobody has resolved yet may lie behind the server that the former is.
    fn way_of(&self, id: ShortcutId) -> Option<Way> {
        let target = self.shortcuts.get(id.key())?.target;
        Some((self.classify(None, target), self.routes.lookup(target).and_then(|(_, route)| route.gateway)))
    }

    /// Ends the shortcuts whose hosts a route that came sends another way than the one before it, unless that is the
    /// shortcut's own: whoever announces it says something about the prefix that nobody had said when it was asked for.
    fn retire_redirected(&mut self, ways: Vec<(ShortcutId, Way)>) {
        for (id, before) in ways {
            let Some(now) = self.way_of(id) else { continue };
            let own = self.shortcuts.get(id.key()).and_then(|s| s.gateway).map(Destination::Peer);
            if now != before && Some(now.0) != own {
                self.retire_shortcut(id, "a route through another next hop came");
            }
        }
    }

    pub(crate) fn on_route_deleted(&mut self, prefix: IpNet) {
        if self.routes.remove(prefix).is_some() {
            self.route_changed(prefix, Change::Withdrawn);
        }
    }

    fn route_changed(&mut self, prefix: IpNet, change: Change) {
        self.revalidate_shortcuts(prefix, change);
        self.revalidate_answers(prefix);
        self.suspect_gateways(prefix);
    }

    /// Removes the shortcuts that a change at `prefix` deprived of their ground.
    pub(crate) fn revalidate_shortcuts(&mut self, prefix: IpNet, change: Change) {
        if self.shortcuts.is_empty() {
            return;
        }
        let below: Vec<ShortcutId> =
            self.shortcut_index.within(prefix).into_iter().map(|(_, id)| *id).collect();
        for id in below {
            match self.lost_ground(id, prefix, change) {
                Some(reason) => self.retire_shortcut(id, reason),
                // A route to the very prefix decides how the shortcut is announced; an interface, whether it is.
                None if change == Change::Ground || self.shortcut_index.get(prefix) == Some(&id) => {
                    self.announce(id);
                }
                None => {}
            }
        }
        let above: Vec<ShortcutId> =
            self.shortcut_index.covering(prefix).into_iter().map(|(_, id)| *id).collect();
        for id in above {
            let Some(shortcut) = self.shortcuts.get(id.key()) else { continue };
            if shortcut.prefix.prefix_len() + 1 == prefix.prefix_len() {
                // One of its halves: somebody else's from now on, or not any more.
                self.announce(id);
            }
            if change != Change::Appeared {
                continue;
            }
            let Some(shortcut) = self.shortcuts.get(id.key()) else { continue };
            // Hosts elsewhere in the shortcut's prefix were not asked about: they find the hub, and if need be each
            // other, again. Where the host that was asked about does not lie in the new prefix, longest match keeps the
            // new prefix's traffic out of the shortcut by itself.
            if shortcut.prefix != prefix && prefix.contains(&shortcut.target) {
                self.retire_shortcut(id, "a more specific route leads to the host that it was made for");
            }
        }
    }

    fn lost_ground(&self, id: ShortcutId, prefix: IpNet, change: Change) -> Option<&'static str> {
        let shortcut = self.shortcuts.get(id.key())?;
        // A server that does not answer for a while takes no direct path with it.
        if !self.enters_nbma(shortcut.target) {
            return Some("no route through the NBMA network any more");
        }
        let now = self.routes.lookup(shortcut.target).map_or(0, |(best, _)| best.prefix_len());
        match change {
            // A less specific one may lead to the same peer, but who lies behind it is to be asked anew.
            Change::Withdrawn if now < prefix.prefix_len() => Some("the route that it hung on was withdrawn"),
            Change::Appeared | Change::LeadsElsewhere if now == prefix.prefix_len() => {
                if shortcut.gateway.is_none() {
                    return Some("there is a new route");
                }
                let contradicted = change == Change::LeadsElsewhere && self.leads_to_another_peer(id);
                contradicted.then_some("its route leads to another peer now")
            }
            _ => None,
        }
    }

    /// The route names a peer that is no server: a next hop that a routing protocol preserved, and another one.
    fn leads_to_another_peer(&self, id: ShortcutId) -> bool {
        let Some(shortcut) = self.shortcuts.get(id.key()) else { return false };
        match self.classify(None, shortcut.target) {
            Destination::Peer(peer) => {
                Some(peer) != shortcut.gateway
                    && self.cache.get(peer.key()).is_some_and(|e| e.kind == CacheType::Dynamic)
            }
            _ => false,
        }
    }
}
