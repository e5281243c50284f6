//! How many entries of each kind there are: what is watched from outside, often and for years, so that it is counted in
//! one walk over the tables, without a copy of any entry.

use std::collections::HashSet;
use std::net::IpAddr;

use ahash::RandomState;
use nhrp_config::Afi;

use crate::Engine;
use crate::cache::CacheType;
use crate::ids::InterfaceId;
use crate::interface::{FAMILIES, afi_of};

/// Entries of one address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Cache entries: dynamic, nhs, static, local.
    pub cache: [u64; 4],
    /// Those of others that kernel and zebra were not told of, because the tunnel or IPsec is not up.
    pub down: u64,
    /// Different NBMA addresses of others, per interface.
    pub peers: u64,
    /// Shortcuts whose peer can be reached.
    pub active: u64,
    /// Shortcuts whose peer is not up yet.
    pub waiting: u64,
    /// Negative shortcuts: nobody is to be reached there.
    pub unreachable: u64,
    /// Targets that are being asked for, renewals apart.
    pub asking: u64,
    /// Targets about which a refusal is remembered.
    pub refused: u64,
}

impl Engine {
    /// Entries of IPv4, then of IPv6.
    #[must_use]
    pub fn census(&self) -> [Census; 2] {
        let [ipv4, ipv6] = FAMILIES;
        [self.count(ipv4), self.count(ipv6)]
    }

    fn count(&self, afi: Afi) -> Census {
        let mut census = Census::default();
        let mut peers: HashSet<(InterfaceId, IpAddr), RandomState> = HashSet::default();
        for (_, entry) in self.cache.iter().filter(|(_, e)| afi_of(e.protocol) == afi) {
            let [dynamic, nhs, fixed, local] = &mut census.cache;
            *match entry.kind {
                CacheType::Dynamic => dynamic,
                CacheType::Nhs => nhs,
                CacheType::Static => fixed,
                CacheType::Local => local,
            } += 1;
            if entry.kind == CacheType::Local {
                continue;
            }
            census.down += u64::from(!entry.installed);
            peers.extend(entry.nbma.map(|nbma| (entry.interface, nbma)));
        }
        census.peers = peers.len() as u64;
        for (_, shortcut) in self.shortcuts.iter().filter(|(_, s)| afi_of(s.prefix.addr()) == afi) {
            *match shortcut.gateway.and_then(|gateway| self.cache.get(gateway.key())) {
                None => &mut census.unreachable,
                Some(peer) if !peer.installed => &mut census.waiting,
                Some(_) => &mut census.active,
            } += 1;
        }
        let asked = self.resolutions.iter().map(|(_, r)| r).filter(|r| afi_of(r.target) == afi);
        for resolution in asked.filter(|r| self.shortcut_index.lookup(r.target).is_none()) {
            *if resolution.refused { &mut census.refused } else { &mut census.asking } += 1;
        }
        census
    }
}
