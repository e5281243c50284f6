//! Next hops that the kernel asks for (phase 2): a routing protocol preserved the overlay address of another spoke as
//! next hop, the tunnel's own prefix covers it, and a packet waits until its NBMA address is known.
//!
//! Owns what is remembered about addresses that could not be resolved, and how many questions a second become
//! requests. The request itself, its repetitions and the binding it brings are those of every resolution; the kernel
//! sends the packets that wait as soon as the neighbour entry is written.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ahash::RandomState;
use nhrp_config::Afi;

use crate::Engine;
use crate::cache::CacheType;
use crate::ids::{CacheId, InterfaceId};
use crate::interface::afi_of;
use crate::io::Output;
use crate::packets::is_station;
use crate::routing::Destination;
use crate::time::Instant;

/// How long an address that could not be resolved is not asked for again. Long enough that traffic to it costs next to
/// nothing, short enough that nobody waits for a spoke that has just come up.
const NEGATIVE: Duration = Duration::from_secs(10);
/// Unresolvable addresses that are remembered. Of more, each question becomes a request.
const MOST_NEGATIVE: usize = 4096;
/// Questions that become requests within a second: a host that scans the tunnel's prefix must not flood the server.
const QUESTIONS_PER_SECOND: u32 = 100;

/// What this module remembers.
#[derive(Debug)]
pub(crate) struct NextHops {
    /// Until when an address counts as unresolvable.
    negative: HashMap<(InterfaceId, IpAddr), Instant, RandomState>,
    /// Start of the second in which `asked` is counted.
    since: Instant,
    asked: u32,
}

impl NextHops {
    /// Nothing yet.
    pub(crate) fn with_hasher(hasher: RandomState) -> Self {
        Self { negative: HashMap::with_hasher(hasher), since: Instant::ZERO, asked: 0 }
    }
}

impl Engine {
    /// The kernel looks for an address of which nothing is known here.
    pub(crate) fn on_next_hop_wanted(&mut self, interface: InterfaceId, address: IpAddr) {
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let link_local = matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
        if !i.family(afi_of(address)).running || !is_station(address) || link_local {
            return;
        }
        if self.resolving.contains_key(&address) {
            // The kernel asks again every second; the request is repeated by its own timer.
            return;
        }
        if self.next_hops.negative.get(&(interface, address)).is_some_and(|until| self.now < *until) {
            // It was told once. It drops what waits by itself after a second.
            self.stats.next_hops_negative += 1;
            return;
        }
        if self.now.since(self.next_hops.since) >= Duration::from_secs(1) {
            self.next_hops.since = self.now;
            self.next_hops.asked = 0;
        }
        if self.next_hops.asked >= QUESTIONS_PER_SECOND {
            self.stats.limit_next_hops += 1;
            let what = format!(
                "packets wait for more than {QUESTIONS_PER_SECOND} unknown next hops a second: no request is sent for \
                 the rest; is a host scanning the tunnel's network?"
            );
            return self.limit_met(what);
        }
        self.next_hops.asked += 1;
        self.stats.next_hops_wanted += 1;
        self.resolve_for(address, Some(interface));
    }

    /// A next hop that was wanted cannot be resolved: what waits for it is refused at once, and for a short time
    /// nobody is asked again.
    pub(crate) fn next_hop_unresolvable(&mut self, interface: InterfaceId, address: IpAddr) {
        let now = self.now;
        let negative = &mut self.next_hops.negative;
        if negative.len() >= MOST_NEGATIVE {
            negative.retain(|_, until| *until > now);
        }
        if negative.len() < MOST_NEGATIVE {
            negative.insert((interface, address), now + NEGATIVE);
        }
        self.stats.next_hops_unresolvable += 1;
        if self.find_cache(interface, address).is_some() {
            // It was learned in the meantime from its own request.
            return;
        }
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let ifindex = i.ifindex;
        self.push(Output::NeighbourUnreachable { ifindex, protocol: address });
    }

    /// The same at the end of a resolution that the kernel waited for, if it did.
    pub(crate) fn refuse_waiting(&mut self, asker: Option<InterfaceId>, address: IpAddr) {
        if let Some(interface) = asker {
            self.next_hop_unresolvable(interface, address);
        }
    }

    /// The peer to which a packet about `address` goes: that behind which it lies, or, for an address that belongs to the
    /// network of `asker` without a route that says so, a server with which we are registered there. Repetitions take the
    /// next one.
    pub(crate) fn way_to(
        &self,
        asker: Option<InterfaceId>,
        address: IpAddr,
        attempt: usize,
    ) -> Option<CacheId> {
        let destination = self.classify(asker, address);
        match (destination, asker) {
            (Destination::Peer(peer), _) => Some(peer),
            (Destination::Unreachable | Destination::OffNbma(_), Some(interface)) => {
                let servers = self.servers_of(interface, afi_of(address));
                servers.get(attempt.checked_rem(servers.len())?).copied()
            }
            _ => None,
        }
    }

    /// Servers of an interface that accepted our registration, the preferred ones first.
    fn servers_of(&self, interface: InterfaceId, afi: Afi) -> Vec<CacheId> {
        let Some(i) = self.interfaces.get(interface.key()) else { return Vec::new() };
        let mut lines: Vec<_> = i.family(afi).nhs.iter().filter_map(|id| self.nhs.get(id.key())).collect();
        lines.sort_by_key(|nhs| nhs.priority);
        lines
            .iter()
            .flat_map(|nhs| &nhs.registrations)
            .filter_map(|id| self.registrations.get(id.key())?.learned)
            .filter_map(|server| self.find_cache(interface, server))
            .filter(|id| self.cache.get(id.key()).is_some_and(|e| e.installed && e.kind >= CacheType::Nhs))
            .collect()
    }
}
