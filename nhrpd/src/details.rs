//! What operators see beyond FRR's tables: the engine's standing of servers, bindings and shortcuts as rows for the
//! renderer, and which entries are cleared. Takes no decision.

use std::cell::LazyCell;
use std::net::IpAddr;

use nhrp_config::Afi;
use nhrp_engine::{
    CacheType, CacheView, ClearTable, ClearWhat, Input, Instant, Origin, Refusal, Selection, ServerStanding,
    ServerState, ShortcutState,
};
use vtysh_plugin::render::{
    self, BindingOrigin, BindingState, CacheDetail, DirectPath, InterfaceDetail, NhsDetail, NhsState,
    PeerDetail, ShortcutDetail, Statistics,
};
use vtysh_plugin::{ClearTarget, DetailTable, Reply, Selected};

use crate::counters::Counter;
use crate::daemon::Daemon;
use crate::ipsec::Reasons;
use crate::vty::cache_kind;

/// Counters at the time they were cleared.
#[derive(Debug, Default)]
pub(crate) struct Cleared {
    at: Instant,
    counters: Vec<Counter>,
}

fn code(refusal: Refusal) -> Option<u32> {
    match refusal {
        Refusal::Entry(code) => Some(code.into()),
        Refusal::Error(code) => Some(code.into()),
        Refusal::Unusable => None,
    }
}

impl Daemon {
    pub(crate) fn show_detail(&self, afi: Afi, table: DetailTable, json: bool) -> Reply {
        let release = self.frr.release;
        match table {
            DetailTable::Cache => render::cache_detail(&self.cache_details(afi), json, release),
            DetailTable::Nhs => render::nhs_detail(&self.nhs_details(afi), json, release),
            DetailTable::Peer => render::peer_detail(&self.peer_details(afi), json, release),
            DetailTable::Shortcut => render::shortcut_detail(&self.shortcut_details(afi), json, release),
        }
    }

    pub(crate) fn nhs_details(&self, afi: Afi) -> Vec<NhsDetail> {
        let ipsec = self.ipsec.reasons();
        let rows = self.engine.server_standings(afi).into_iter().map(|s| NhsDetail {
            state: self.nhs_state(&s, &ipsec),
            interface: s.interface,
            fqdn: s.name,
            nbma: s.nbma,
            protocol: s.protocol,
            priority: s.priority,
        });
        rows.collect()
    }

    fn seconds_since(&self, instant: Instant) -> u64 {
        self.now().since(instant).as_secs()
    }

    /// Rounded up: what has a moment to go has a second.
    fn seconds_until(&self, instant: Instant) -> u64 {
        instant.since(self.now()).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
    }

    /// What is waited for, if packets to an NBMA address have to be protected first.
    fn awaited(&self, interface: &str, nbma: Option<IpAddr>, ipsec: &Reasons) -> Option<String> {
        let nbma = nbma?;
        let local = self.engine.unprotected_from(interface, nbma)?;
        Some(format!("waiting for IPsec with {nbma}: {}", ipsec.of(local, nbma)))
    }

    pub(crate) fn cache_details(&self, afi: Afi) -> Vec<CacheDetail> {
        self.with_details(self.engine.cache_view(afi)).into_iter().map(|(_, row)| row).collect()
    }

    /// Entries, and what is shown of each.
    pub(crate) fn with_details(
        &self,
        views: impl Iterator<Item = CacheView>,
    ) -> Vec<(CacheView, CacheDetail)> {
        // Only for what is not up, of which there may be nothing.
        let interfaces = LazyCell::new(|| self.engine.interface_standings());
        let ipsec = LazyCell::new(|| self.ipsec.reasons());
        let obstacle = |view: &CacheView| {
            let afi = if view.protocol.is_ipv4() { Afi::Ip } else { Afi::Ipv6 };
            let standing = interfaces.iter().find(|i| i.name == view.interface && i.afi == afi);
            let stopped = standing.and_then(|i| i.obstacle.clone());
            stopped.or_else(|| self.awaited(&view.interface, view.nbma, &ipsec))
        };
        let row = |view: &CacheView| CacheDetail {
            kind: cache_kind(view.kind),
            origin: match view.origin {
                Origin::Resolved => BindingOrigin::Resolved,
                Origin::Registered => BindingOrigin::Registered,
                Origin::Configured => BindingOrigin::Configured,
            },
            protocol: view.protocol,
            nbma: view.nbma,
            claimed: view.claimed,
            state: match (view.kind, view.installed) {
                (CacheType::Local, _) => BindingState::Own,
                (_, true) => BindingState::Up,
                (_, false) => {
                    BindingState::Down(obstacle(view).unwrap_or_else(|| "NHRP does not run there".to_owned()))
                }
            },
            used: view.used,
            unique: view.unique,
            mtu: view.mtu,
            age: self.seconds_since(view.since),
            expires_in: view.expires.map(|at| self.seconds_until(at)),
            interface: view.interface.clone(),
        };
        let with_row = |view| {
            let row = row(&view);
            (view, row)
        };
        views.map(with_row).collect()
    }

    fn nhs_state(&self, standing: &ServerStanding, ipsec: &Reasons) -> NhsState {
        let asks = matches!(standing.state, ServerState::Asking { .. } | ServerState::Refused { .. });
        if asks && let Some(reason) = self.awaited(&standing.interface, standing.nbma, ipsec) {
            return NhsState::AwaitsIpsec(reason);
        }
        match standing.state.clone() {
            ServerState::Stopped(obstacle) => NhsState::Stopped(obstacle),
            ServerState::NoAddress => NhsState::NoAddress,
            ServerState::LookingUp => NhsState::LookingUp,
            ServerState::Unresolved(error) => NhsState::Unresolved(error),
            ServerState::Standby => NhsState::Standby,
            ServerState::Asking { since, requests } => {
                NhsState::Asking { since: self.seconds_since(since), requests: requests.into() }
            }
            ServerState::Refused { refusal, since } => NhsState::Refused {
                refusal: refusal.to_string(),
                code: code(refusal),
                since: self.seconds_since(since),
            },
            ServerState::Registered { since, renewal, unanswered } => NhsState::Registered {
                since: self.seconds_since(since),
                renewal: renewal.map(|at| self.seconds_until(at)),
                unanswered: unanswered.into(),
            },
        }
    }

    pub(crate) fn shortcut_details(&self, afi: Afi) -> Vec<ShortcutDetail> {
        let rows = self.engine.shortcut_standings(afi).into_iter().map(|s| ShortcutDetail {
            prefix: s.prefix,
            target: s.target,
            via: s.via,
            nbma: s.nbma,
            interface: s.interface,
            expires_in: s.expires.map(|at| self.seconds_until(at)),
            state: match s.state {
                ShortcutState::Asking { since, requests } => DirectPath::Asking {
                    since: self.seconds_since(since),
                    requests: u64::try_from(requests).unwrap_or(u64::MAX),
                },
                ShortcutState::Refused(refusal) => DirectPath::Refused(refusal.to_string()),
                ShortcutState::Unreachable => DirectPath::Unreachable,
                ShortcutState::Waiting => DirectPath::Waiting,
                ShortcutState::Active { used, renewing, expiring } => {
                    DirectPath::Active { used, renewing, expiring }
                }
            },
        });
        rows.collect()
    }

    pub(crate) fn peer_details(&self, afi: Afi) -> Vec<PeerDetail> {
        let mut rows: std::collections::BTreeMap<_, PeerDetail> = std::collections::BTreeMap::new();
        let empty = |interface: &str, nbma| PeerDetail {
            interface: interface.to_owned(),
            nbma,
            bindings: Vec::new(),
            shortcuts: Vec::new(),
            server: None,
        };
        for binding in self.cache_details(afi) {
            if let Some(nbma) = binding.nbma.filter(|_| binding.state != BindingState::Own) {
                let peer = rows.entry((binding.interface.clone(), nbma));
                peer.or_insert_with(|| empty(&binding.interface, nbma)).bindings.push(binding);
            }
        }
        let ipsec = self.ipsec.reasons();
        for server in self.engine.server_standings(afi) {
            if let Some(nbma) = server.nbma {
                let peer = rows.entry((server.interface.clone(), nbma));
                peer.or_insert_with(|| empty(&server.interface, nbma)).server =
                    Some(self.nhs_state(&server, &ipsec));
            }
        }
        for shortcut in self.engine.shortcut_standings(afi) {
            if let (Some(nbma), Some(interface)) = (shortcut.nbma, shortcut.interface)
                && let Some(peer) = rows.get_mut(&(interface, nbma))
            {
                peer.shortcuts.push(shortcut.prefix);
            }
        }
        rows.into_values().collect()
    }

    pub(crate) fn show_statistics(&self, json: bool) -> Reply {
        let interfaces = self.engine.interface_standings().into_iter().map(|i| InterfaceDetail {
            name: i.name,
            family: if i.afi == Afi::Ip { "ip" } else { "ipv6" },
            nbma: i.nbma,
            nat: i.nat,
            protocol: i.protocol,
            obstacle: i.obstacle,
        });
        let mut counters = self.counts().all();
        for ((_, _, value), (_, _, before)) in counters.iter_mut().zip(&self.counters_cleared.counters) {
            *value = value.saturating_sub(*before);
        }
        let statistics = Statistics {
            interfaces: interfaces.collect(),
            sizes: self.sizes(),
            since: self.seconds_since(self.counters_cleared.at),
            counters,
        };
        render::statistics(&statistics, json, self.frr.release)
    }

    /// `clear … nhrp counters`: the statistics begin anew; `show memory` goes on counting.
    pub(crate) fn clear_counters(&mut self) -> Reply {
        self.counters_cleared = Cleared { at: self.now(), counters: self.counts().all() };
        self.turns.forget_longest();
        Reply::ok()
    }

    /// `clear … nhrp <cache|shortcut>` of some entries.
    pub(crate) fn clear_selected(&mut self, afi: Afi, target: ClearTarget, selected: Selected) -> Reply {
        let table = match target {
            ClearTarget::Cache => ClearTable::Cache,
            ClearTarget::Shortcut => ClearTable::Shortcuts,
        };
        let selection = match selected {
            Selected::Prefix(prefix) => Selection::Prefix(prefix.trunc()),
            Selected::Peer(address) => Selection::Peer(address),
            Selected::Interface(name) => Selection::Interface(name),
        };
        render::cleared(self.clear(Input::Clear(ClearWhat::Selected(table, afi, selection))))
    }

    /// Entries held now.
    fn sizes(&self) -> Vec<Counter> {
        let [cache, shortcuts, resolutions, routes, timers] =
            self.engine.sizes().map(|size| u64::try_from(size).unwrap_or(u64::MAX));
        vec![
            ("cacheEntries", "cache entries", cache),
            ("shortcuts", "shortcuts", shortcuts),
            ("resolutions", "resolutions under way", resolutions),
            ("routes", "routes known", routes),
            ("timers", "timers", timers),
        ]
    }
}
