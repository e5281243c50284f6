//! `clear … nhrp …`: an operator wants learned entries forgotten, all of a table or some.
//!
//! Owns which entries are meant and in what order they go: whoever was told of them hears it while it is still known
//! where they are, and questions under way end before an answer can bring back what is cleared.

use ipnet::IpNet;
use nhrp_config::Afi;

use crate::Engine;
use crate::cache::{CacheEntry, CacheType, Origin};
use crate::ids::{CacheId, InterfaceId, ResolutionId, ShortcutId};
use crate::interface::afi_of;
use crate::io::{ClearTable, ClearWhat, Output, Selection};
use crate::prefix_table::host;
use crate::resolution::Resolution;
use crate::shortcut::Shortcut;

impl Engine {
    pub(crate) fn on_clear(&mut self, what: ClearWhat) {
        let count = match what {
            ClearWhat::Cache => {
                self.drop_all_waiting();
                self.clear_peers(|_, _| true)
            }
            ClearWhat::Shortcuts(afi) => {
                let count = self.clear_shortcuts(afi, None);
                self.clear_resolved(afi);
                count
            }
            ClearWhat::Selected(ClearTable::Cache, afi, selection) => {
                self.clear_peers(|engine, e| afi_of(e.protocol) == afi && engine.selects_peer(e, &selection))
            }
            ClearWhat::Selected(ClearTable::Shortcuts, afi, selection) => {
                self.clear_shortcuts(afi, Some(&selection))
            }
        };
        self.push(Output::Cleared { count });
    }

    /// Forgets those learned peers that are meant; how many.
    fn clear_peers(&mut self, is_meant: impl Fn(&Self, &CacheEntry) -> bool) -> usize {
        let learned = self.cache.iter().filter(|(_, e)| e.kind == CacheType::Dynamic);
        let meant = learned.filter(|(_, e)| is_meant(self, e));
        let ids: Vec<CacheId> = meant.map(|(key, _)| CacheId::from_key(key)).collect();
        for id in &ids {
            if let Some(protocol) = self.cache.get(id.key()).map(|e| e.protocol) {
                self.purge_holders(host(protocol));
            }
        }
        for id in &ids {
            self.remove_cache(*id, "cleared");
        }
        ids.len()
    }

    /// Ends shortcuts of a family and the questions for them; how many were to be seen. The kernel's own questions are
    /// not the operator's and go on.
    fn clear_shortcuts(&mut self, afi: Afi, selection: Option<&Selection>) -> usize {
        let of_family = self.shortcuts.iter().filter(|(_, s)| afi_of(s.prefix.addr()) == afi);
        let meant = of_family.filter(|(_, s)| selection.is_none_or(|meant| self.selects_shortcut(s, meant)));
        let (ids, prefixes): (Vec<ShortcutId>, Vec<IpNet>) =
            meant.map(|(key, s)| (ShortcutId::from_key(key), s.prefix)).unzip();
        let is_asked = |r: &Resolution| match selection {
            None => true,
            Some(Selection::Prefix(prefix)) if prefix.contains(&r.target) => true,
            Some(_) => prefixes.iter().any(|prefix| prefix.contains(&r.target)),
        };
        let of_family = self.resolutions.iter().filter(|(_, r)| r.asker.is_none() && afi_of(r.target) == afi);
        let asked: Vec<ResolutionId> =
            of_family.filter(|(_, r)| is_asked(r)).map(|(key, _)| ResolutionId::from_key(key)).collect();
        // FRR's incomplete shortcuts: neither a refusal that is remembered nor the renewal of a shortcut is one.
        let is_shown = |id: &&ResolutionId| {
            let resolution = self.resolutions.get(id.key());
            resolution.is_some_and(|r| !r.refused && self.shortcut_index.lookup(r.target).is_none())
        };
        let incomplete = asked.iter().filter(is_shown).count();
        for id in asked {
            self.end_resolution(id);
        }
        for id in &ids {
            self.remove_shortcut(*id, "cleared");
        }
        incomplete + ids.len()
    }

    /// What resolutions taught about a family, without what peers registered. FRR forgets both families.
    fn clear_resolved(&mut self, afi: Afi) {
        let ids: Vec<CacheId> = self
            .cache
            .iter()
            .filter(|(_, e)| {
                e.kind == CacheType::Dynamic && e.origin == Origin::Resolved && afi_of(e.protocol) == afi
            })
            .map(|(key, _)| CacheId::from_key(key))
            .collect();
        for id in ids {
            self.remove_cache(id, "cleared");
        }
    }

    /// Whether a selection means this peer.
    fn selects_peer(&self, e: &CacheEntry, selection: &Selection) -> bool {
        match selection {
            Selection::Prefix(prefix) => prefix.contains(&e.protocol),
            Selection::Peer(address) => e.protocol == *address || e.nbma == Some(*address),
            Selection::Interface(name) => self.is_named(e.interface, name),
        }
    }

    /// Whether a selection means this shortcut: by its prefix, or by the peer it leads to.
    fn selects_shortcut(&self, s: &Shortcut, selection: &Selection) -> bool {
        match selection {
            Selection::Prefix(prefix) => prefix.contains(&s.prefix),
            _ => {
                let peer = s.gateway.and_then(|gateway| self.cache.get(gateway.key()));
                peer.is_some_and(|e| self.selects_peer(e, selection))
            }
        }
    }

    fn is_named(&self, interface: InterfaceId, name: &str) -> bool {
        self.interfaces.get(interface.key()).is_some_and(|i| i.name == name)
    }
}
