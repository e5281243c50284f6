//! The engine's own view of the routing table, and the one question it answers: where does this address belong?

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Engine;
use crate::cache::CacheType;
use crate::ids::{CacheId, InterfaceId};
use crate::interface::afi_of;
use crate::prefix_table::host;

/// First next hop of the best route to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RibEntry {
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) ifindex: Option<u32>,
}

/// Where an address belongs, seen from an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// It is ours.
    Local,
    /// It lies behind this peer.
    Peer(CacheId),
    /// It lies outside of the NBMA network, at the end of this route.
    OffNbma(IpNet),
    /// There is no way to it.
    Unreachable,
}

/// Gateways of gateways: as often as FRR follows them.
pub(crate) const MAX_RECURSION: usize = 4;

impl Engine {
    fn network_id(&self, interface: InterfaceId, address: IpAddr) -> u32 {
        self.interfaces.get(interface.key()).map_or(0, |i| i.config.family(afi_of(address)).network_id)
    }

    /// A peer's own address is known by its cache entry, whatever the routing table says: the host route that
    /// leads to it is this daemon's.
    /// RFC 2332 3: what is for a client goes straight to it. [rfc2332-3-straight-to-client]
    pub(crate) fn installed_peer(&self, address: IpAddr) -> Option<CacheId> {
        self.nhrp_interfaces
            .iter()
            .filter_map(|interface| self.find_cache(*interface, address))
            .find(|id| self.is_installed(*id))
    }

    /// FRR's classification: local, behind a peer, off the NBMA network, or nowhere. `from` is the interface on
    /// which the question came up; without it only the route decides.
    pub(crate) fn classify(&self, from: Option<InterfaceId>, address: IpAddr) -> Destination {
        if let Some(interface) = from
            && let Some(id) = self.find_cache(interface, address)
            && self.cache.get(id.key()).is_some_and(|e| e.kind == CacheType::Local)
        {
            return Destination::Local;
        }
        // 0: the question came up on no interface in particular, and every NBMA network will do.
        let network_id = from.map_or(0, |i| self.network_id(i, address));
        let mut hop = address;
        let mut matched: Option<IpNet> = None;
        let mut out: Option<InterfaceId> = None;
        for _ in 0..MAX_RECURSION {
            let peer = self.installed_peer(hop).and_then(|id| self.cache.get(id.key()));
            let gateway = if let Some(entry) = peer {
                matched.get_or_insert(host(hop));
                out = Some(entry.interface);
                None
            } else {
                let Some((prefix, route)) = self.routes.lookup(hop) else { return Destination::Unreachable };
                matched.get_or_insert(prefix);
                match (route.ifindex, route.gateway) {
                    (Some(ifindex), _) => out = self.interface_by_index(ifindex),
                    // zebra does not tell the interface of a gateway that it resolved itself, as BGP's are.
                    (None, Some(gateway)) => {
                        hop = gateway;
                        continue;
                    }
                    (None, None) => return Destination::Unreachable,
                }
                route.gateway
            };
            let out_network = out.map_or(0, |i| self.network_id(i, address));
            if network_id != 0 && out_network != network_id {
                return matched.map_or(Destination::Unreachable, Destination::OffNbma);
            }
            match gateway {
                None => break,
                Some(gateway) => hop = gateway,
            }
        }
        let Some(out) = out else { return Destination::Unreachable };
        match self.find_cache(out, hop) {
            Some(id) => match self.cache.get(id.key()) {
                Some(entry) if entry.kind == CacheType::Local => Destination::Local,
                Some(entry) if entry.installed => Destination::Peer(id),
                _ => Destination::Unreachable,
            },
            None => Destination::Unreachable,
        }
    }

    /// Whether the route to an address enters an NBMA network at all, be the peer there reachable now or not.
    pub(crate) fn enters_nbma(&self, address: IpAddr) -> bool {
        let mut hop = address;
        for _ in 0..MAX_RECURSION {
            if self.installed_peer(hop).is_some() {
                return true;
            }
            let Some((_, RibEntry { gateway, ifindex })) = self.routes.lookup(hop) else { return false };
            let out = ifindex.and_then(|ifindex| self.interface_by_index(ifindex));
            if out.is_some_and(|out| self.network_id(out, address) != 0) {
                return true;
            }
            match gateway {
                Some(gateway) => hop = *gateway,
                None => return false,
            }
        }
        false
    }

    /// Interface and NBMA address of a peer.
    pub(crate) fn peer_address(&self, id: CacheId) -> Option<(InterfaceId, IpAddr)> {
        let entry = self.cache.get(id.key())?;
        Some((entry.interface, entry.nbma?))
    }

    /// Length of the route that currently leads to an address, without this daemon's own routes.
    pub(crate) fn route_length(&self, address: IpAddr) -> Option<u8> {
        self.routes.lookup(address).map(|(prefix, _)| prefix.prefix_len())
    }
}
