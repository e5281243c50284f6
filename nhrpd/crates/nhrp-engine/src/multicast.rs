//! Who gets a copy of a multicast packet that leaves by a tunnel: the lines `map multicast …`, FRR's extension.
//!
//! Owns the receivers of each interface. Never copies a packet, and looks no further into it than to its destination and
//! length; [`crate::offload`] completes its checksum.
//!
//! As in FRR, the lines of both families serve the packets of both. Unlike there, `dynamic` means the clients that
//! registered here, not also the peers of shortcuts, and everybody gets one copy, by whatever lines he is meant.

use std::net::IpAddr;
use std::sync::Arc;

use nhrp_config::{Afi, MulticastTarget};

use crate::Engine;
use crate::cache::{CacheEntry, CacheType, Origin};
use crate::ids::InterfaceId;
use crate::indication::ip_addresses;
use crate::interface::{FAMILIES, Interface, afi_of};
use crate::io::Output;
use crate::notice::Notice;
use crate::offload::complete_checksum;

/// Octets of an IPv6 header, which its length field leaves out (RFC 8200 section 3).
const IPV6_HEADER: usize = 40;

/// Length that an IP packet says it has.
fn stated_length(octets: &[u8], afi: Afi) -> Option<usize> {
    let field = |at: usize| Some(usize::from(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?)));
    match afi {
        Afi::Ip => field(2),
        Afi::Ipv6 => Some(field(4)? + IPV6_HEADER),
    }
}

/// Whether a packet to this address is for many: multicast, or a broadcast that the interface knows.
fn for_many(interface: &Interface, to: IpAddr) -> bool {
    let IpAddr::V4(v4) = to else { return to.is_multicast() };
    let broadcast_of = |net: &ipnet::IpNet| net.prefix_len() < 31 && net.broadcast() == to;
    v4.is_multicast() || v4.is_broadcast() || interface.addresses.iter().any(|(net, _)| broadcast_of(net))
}

/// Why a packet is not replicated, with the remedy.
fn refusal(interface: &Interface, octets: &[u8]) -> Option<String> {
    let Some((_, to)) = ip_addresses(octets) else { return Some("it is no IP packet".to_owned()) };
    if !for_many(interface, to) {
        return Some(format!(
            "its destination {to} is not multicast; restrict the firewall's rule, for example with '-d 224.0.0.0/24'"
        ));
    }
    let reason = if !interface.running() {
        "NHRP does not run there; restrict the firewall's rule with '-o', or configure the interface"
    } else if FAMILIES.iter().all(|afi| interface.config.family(*afi).multicast.is_empty()) {
        "there is no 'map multicast' line; add one, or restrict the firewall's rule with '-o'"
    } else if stated_length(octets, afi_of(to)).is_none_or(|length| length > octets.len()) {
        "it was cut short; remove '--nflog-size' from the firewall's rule"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

impl Engine {
    /// A packet for many leaves by a tunnel: it is sent to everybody whom the lines `map multicast …` mean.
    pub(crate) fn on_multicast(&mut self, ifindex: u32, mut octets: Vec<u8>) {
        let Some(id) = self.interface_by_index(ifindex) else { return self.stats.multicast_refused += 1 };
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        if let Some(reason) = refusal(interface, &octets) {
            let name = interface.name.clone();
            self.stats.multicast_refused += 1;
            return self.push(Output::Notice(Notice::MulticastRefused { name, reason }));
        }
        let Some((_, to)) = ip_addresses(&octets) else { return };
        let receivers = self.receivers(id);
        if self.traces_packets() {
            let name = self.interface_name(id);
            let (octets, receivers) = (octets.len(), receivers.len());
            self.push(Output::Notice(Notice::Multicast { name, to, octets, receivers }));
        }
        if receivers.is_empty() {
            // Nobody has registered yet, or no server has answered.
            return self.stats.multicast_without_receiver += 1;
        }
        complete_checksum(&mut octets);
        self.stats.multicast_packets += 1;
        self.stats.multicast_copies += receivers.len() as u64;
        self.push(Output::Replicate { ifindex, afi: afi_of(to), receivers, octets });
    }

    /// The receivers of an interface have changed, or may have.
    pub(crate) fn forget_receivers(&mut self, interface: InterfaceId) {
        if let Some(interface) = self.interfaces.get_mut(interface.key()) {
            interface.receivers = None;
        }
    }

    /// NBMA addresses, each once. Kept until something changes: with many clients the list is long, and Hellos come often.
    fn receivers(&mut self, id: InterfaceId) -> Arc<[IpAddr]> {
        let kept = self.interfaces.get(id.key()).and_then(|i| i.receivers.clone());
        let listed = kept.unwrap_or_else(|| {
            let listed: Arc<[IpAddr]> = self.listed_receivers(id).into();
            if let Some(interface) = self.interfaces.get_mut(id.key()) {
                interface.receivers = Some(Arc::clone(&listed));
            }
            listed
        });
        // Servers are few, and come and go with their answers.
        let servers = self.servers_to_tell(id);
        if servers.iter().all(|server| listed.contains(server)) {
            return listed;
        }
        one_each(listed.iter().copied().chain(servers)).into()
    }

    /// `map multicast ADDRESS` and `map multicast dynamic`. Peers of shortcuts get none: no routing protocol shall
    /// become neighbour over a shortcut.
    /// draft-detienne-dmvpn 4.8. [dmvpn-4.8-no-adjacency]
    fn listed_receivers(&self, id: InterfaceId) -> Vec<IpAddr> {
        let Some(interface) = self.interfaces.get(id.key()) else { return Vec::new() };
        let targets = || FAMILIES.iter().flat_map(|afi| &interface.config.family(*afi).multicast);
        let fixed = targets().filter_map(|target| match target {
            MulticastTarget::Nbma(address) => Some(*address),
            MulticastTarget::Dynamic | MulticastTarget::Nhs => None,
        });
        let is_client = |entry: &CacheEntry| {
            entry.interface == id
                && entry.installed
                && entry.kind == CacheType::Dynamic
                && entry.origin == Origin::Registered
        };
        let dynamic = targets().any(|target| *target == MulticastTarget::Dynamic);
        let entries = dynamic.then(|| self.cache.iter()).into_iter().flatten();
        let clients = entries.filter(|(_, entry)| is_client(entry)).filter_map(|(_, entry)| entry.nbma);
        one_each(fixed.chain(clients).filter(|to| reachable(interface, *to)))
    }

    /// `map multicast nhs`: the servers that accepted our registration.
    fn servers_to_tell(&self, id: InterfaceId) -> Vec<IpAddr> {
        let Some(interface) = self.interfaces.get(id.key()) else { return Vec::new() };
        let wanted = |afi: &&Afi| interface.config.family(**afi).multicast.contains(&MulticastTarget::Nhs);
        if !FAMILIES.iter().any(|afi| wanted(&afi)) {
            return Vec::new();
        }
        let lines = FAMILIES.iter().flat_map(|afi| &interface.family(*afi).nhs);
        let registrations =
            lines.filter_map(|line| self.nhs.get(line.key())).flat_map(|nhs| &nhs.registrations);
        registrations
            .filter_map(|registration| self.registrations.get(registration.key()))
            .filter(|registration| registration.registered)
            .map(|registration| registration.nbma)
            // The tunnel may have moved to the address of a server.
            .filter(|server| reachable(interface, *server))
            .collect()
    }
}

/// The tunnel carries packets only within the family of its own address; a copy to ourselves would be a loop.
fn reachable(interface: &Interface, to: IpAddr) -> bool {
    !to.is_unspecified() && interface.nbma.is_some_and(|own| own != to && own.is_ipv4() == to.is_ipv4())
}

fn one_each(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
