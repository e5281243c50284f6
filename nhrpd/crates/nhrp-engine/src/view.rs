//! What others may see of the engine's state: rows for `show`, and everything that must be told again to a
//! zebra or kernel that has forgotten.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use nhrp_config::{Afi, NhsProtocol};

use crate::Engine;
use crate::cache::{CacheEntry, CacheType, Origin};
use crate::ids::CacheId;
use crate::interface::{FAMILIES, Interface, afi_of};
use crate::io::{Neighbour, Route};
use crate::prefix_table::host;
use crate::time::Instant;

/// One cache entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheView {
    /// Interface name.
    pub interface: String,
    /// Rank.
    pub kind: CacheType,
    /// How it was learned.
    pub origin: Origin,
    /// Overlay address.
    pub protocol: IpAddr,
    /// NBMA address that packets are sent to; for own addresses the own one, after translation if known.
    pub nbma: Option<IpAddr>,
    /// NBMA address that the peer believes to have.
    pub claimed: Option<IpAddr>,
    /// NBMA address after translation.
    pub nat: Option<IpAddr>,
    /// Packets went to it lately.
    pub used: bool,
    /// When it ends; none if it does not.
    pub expires: Option<Instant>,
    /// Told to kernel and zebra.
    pub installed: bool,
    /// When this NBMA address was learned.
    pub since: Instant,
    /// MTU that its station advertised, after FRR's heuristic; 0 for none.
    pub mtu: u16,
    /// Nobody else may register the address.
    pub unique: bool,
}

/// One NBMA address of an `nhs` line, or a line without any yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NhsView {
    /// Interface name.
    pub interface: String,
    /// As configured.
    pub name: String,
    /// NBMA address, if resolved.
    pub nbma: Option<IpAddr>,
    /// Overlay address: learned, or without a registration as configured.
    pub protocol: Option<IpAddr>,
    /// Priority.
    pub priority: u8,
    /// The last request was answered.
    pub registered: bool,
    /// Requests without an answer since the last answered one.
    pub failures: u32,
    /// Why it is not registered, in words.
    pub reason: Option<String>,
}

/// One shortcut, or a resolution under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortcutView {
    /// FRR's word: incomplete, dynamic, negative.
    pub kind: &'static str,
    /// Prefix.
    pub prefix: IpNet,
    /// Overlay address of the peer.
    pub via: Option<IpAddr>,
    /// When it ends; none for a resolution under way.
    pub expires: Option<Instant>,
}

impl Engine {
    /// Cache entries of a family. Their order is that of their creation, with gaps reused.
    pub fn cache_view(&self, afi: Afi) -> impl Iterator<Item = CacheView> + '_ {
        let of_family = self.cache.iter().filter(move |(_, e)| afi_of(e.protocol) == afi);
        of_family.filter_map(|(_, e)| self.cache_row(e))
    }

    /// Those of both families in some of the slots, for who cannot take all of them at once. An entry never moves.
    pub fn cache_view_of(&self, slots: Range<usize>) -> impl Iterator<Item = CacheView> + '_ {
        let slots = slots.start..slots.end.min(self.cache_slots());
        slots.filter_map(|slot| self.cache_row(self.cache.get(slot)?))
    }

    /// Slots up to the last one with an entry.
    #[must_use]
    pub fn cache_slots(&self) -> usize {
        self.cache.iter().next_back().map_or(0, |(slot, _)| slot + 1)
    }

    pub(crate) fn cache_row(&self, e: &CacheEntry) -> Option<CacheView> {
        let interface = self.interfaces.get(e.interface.key())?;
        let (nbma, claimed) = if e.kind == CacheType::Local {
            (interface.nat_nbma.or(interface.nbma), interface.nbma)
        } else {
            (e.nbma, e.claimed)
        };
        Some(CacheView {
            interface: interface.name.clone(),
            kind: e.kind,
            origin: e.origin,
            protocol: e.protocol,
            nbma,
            claimed,
            nat: e.nat,
            used: e.used,
            expires: e.expires,
            installed: e.installed,
            since: e.since,
            mtu: e.mtu,
            unique: e.unique,
        })
    }

    /// Next hop servers of a family, in the order of the configuration.
    #[must_use]
    pub fn nhs_view(&self, afi: Afi) -> Vec<NhsView> {
        let mut rows = Vec::new();
        let mut interfaces: Vec<_> = self.interfaces.iter().map(|(_, i)| i).collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        for interface in interfaces {
            for nhs in interface.family(afi).nhs.iter().filter_map(|id| self.nhs.get(id.key())) {
                let row = NhsView {
                    interface: interface.name.clone(),
                    name: nhs.name.clone(),
                    nbma: None,
                    protocol: match nhs.protocol {
                        NhsProtocol::Address(address) => Some(address),
                        NhsProtocol::Dynamic => None,
                    },
                    priority: nhs.priority,
                    registered: false,
                    failures: 0,
                    reason: Some(
                        nhs.lookup_error.clone().unwrap_or_else(|| "its name is being looked up".to_owned()),
                    ),
                };
                if nhs.registrations.is_empty() {
                    rows.push(row);
                    continue;
                }
                for r in nhs.registrations.iter().filter_map(|id| self.registrations.get(id.key())) {
                    rows.push(NhsView {
                        nbma: Some(r.nbma),
                        protocol: r.learned,
                        registered: r.registered,
                        failures: r.failures,
                        reason: if r.standby {
                            Some("a server of better priority comes first".to_owned())
                        } else {
                            r.last_error.clone()
                        },
                        ..row.clone()
                    });
                }
            }
        }
        rows
    }

    /// Shortcuts of a family by prefix, with the resolutions that are under way.
    #[must_use]
    pub fn shortcut_view(&self, afi: Afi) -> Vec<ShortcutView> {
        let of_family = |address: IpAddr| afi_of(address) == afi;
        let mut rows: Vec<ShortcutView> = self
            .shortcuts
            .iter()
            .filter(|(_, s)| of_family(s.prefix.addr()))
            .map(|(_, s)| ShortcutView {
                kind: if s.gateway.is_some() { "dynamic" } else { "negative" },
                prefix: s.prefix,
                via: s.gateway.and_then(|g| self.cache.get(g.key())).map(|e| e.protocol),
                expires: Some(s.expires),
            })
            .collect();
        let under_way = self.resolutions.iter().filter(|(_, r)| !r.refused);
        let incomplete = under_way.map(|(_, r)| r.target).filter(|t| of_family(*t));
        // A renewal is not a shortcut of its own.
        for target in incomplete.filter(|t| self.shortcut_index.lookup(*t).is_none()) {
            rows.push(ShortcutView { kind: "incomplete", prefix: host(target), via: None, expires: None });
        }
        rows.sort_by_key(|r| r.prefix);
        rows
    }

    /// Pairs of own and peer's NBMA address that something refers to, without repetition (`show dmvpn`).
    #[must_use]
    pub fn nbma_pairs(&self) -> Vec<(Option<IpAddr>, IpAddr)> {
        let by_cache = self.cache.iter().filter_map(|(_, e)| Some((e.interface, e.nbma?)));
        let by_nhs = self
            .registrations
            .iter()
            .filter_map(|(_, r)| Some((self.nhs.get(r.nhs.key())?.interface, r.nbma)));
        let mut pairs: Vec<_> = by_cache
            .chain(by_nhs)
            .map(|(i, nbma)| (self.interfaces.get(i.key()).and_then(|i| i.nbma), nbma))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// All routes that zebra should have.
    pub fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        let hosts = self.cache.iter().filter_map(|(key, _)| self.route_of(CacheId::from_key(key)));
        hosts.chain(self.shortcuts.iter().flat_map(|(_, s)| self.shortcut_routes(s)))
    }

    /// All neighbour entries that the kernel should have.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour> + '_ {
        self.cache.iter().filter_map(|(key, _)| self.neighbour_of(CacheId::from_key(key)))
    }

    /// The neighbour entry that the kernel should have for an address.
    #[must_use]
    pub fn neighbour(&self, ifindex: u32, protocol: IpAddr) -> Option<Neighbour> {
        let interface = self.interface_by_index(ifindex)?;
        self.neighbour_of(self.find_cache(interface, protocol)?)
    }

    /// Interfaces on which NHRP runs, with name and families.
    pub fn running_interfaces(&self) -> impl Iterator<Item = (u32, &str, Afi)> + '_ {
        self.interfaces.iter().flat_map(|(_, i)| {
            FAMILIES
                .iter()
                .filter(|afi| i.family(**afi).running)
                .map(|afi| (i.ifindex, i.name.as_str(), *afi))
        })
    }

    /// Whether NHRP runs on an interface.
    #[must_use]
    pub fn runs_on(&self, ifindex: u32) -> bool {
        self.interface_by_index(ifindex)
            .and_then(|id| self.interfaces.get(id.key()))
            .is_some_and(Interface::running)
    }

    /// Whether an interface has an IPv4 address with a network around it: anything but a host prefix.
    #[must_use]
    pub fn has_ipv4_network(&self, ifindex: u32) -> bool {
        let interface = self.interface_by_index(ifindex).and_then(|id| self.interfaces.get(id.key()));
        interface.is_some_and(|i| {
            i.addresses.iter().any(|(net, _)| matches!(net, IpNet::V4(net) if net.prefix_len() < 32))
        })
    }

    /// Interfaces that exist, with their addresses: for the comparison with a zebra that starts anew.
    pub fn links(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = IpNet> + '_)> + '_ {
        self.interfaces
            .iter()
            .filter(|(_, i)| i.ifindex != 0)
            .map(|(_, i)| (i.ifindex, i.addresses.iter().map(|(address, _)| *address)))
    }

    /// Prefixes of the routes that zebra told: for the same comparison.
    #[must_use]
    pub fn known_routes(&self) -> Vec<IpNet> {
        self.routes.prefixes()
    }

    /// Names of all interfaces, existing or only configured.
    #[must_use]
    pub fn interface_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.interfaces.iter().map(|(_, i)| i.name.clone()).collect();
        names.sort();
        names
    }

    /// GRE interfaces.
    pub fn gre_interfaces(&self) -> impl Iterator<Item = u32> + '_ {
        self.interfaces.iter().filter(|(_, i)| i.gre && i.ifindex != 0).map(|(_, i)| i.ifindex)
    }

    /// Sizes of the tables, for tests of bounds and for `show memory`: cache, shortcuts, resolutions, routes, timers.
    #[must_use]
    pub fn sizes(&self) -> [usize; 5] {
        [self.cache.len(), self.shortcuts.len(), self.resolutions.len(), self.routes.len(), self.timers.len()]
    }
}
