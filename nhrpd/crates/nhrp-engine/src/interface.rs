//! Interfaces: which of them run NHRP, with which NBMA and protocol address, and why not if not.
//!
//! Every change of link, address, GRE parameter or configuration ends in [`Engine::update_interface`], which
//! compares what should be with what is and carries out the difference.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use nhrp_config::{Afi, InterfaceConfig, MapTarget, Mtu};

use crate::Engine;
use crate::cache::{Binding, CacheType, Origin};
use crate::ids::{InterfaceId, NhsId};
use crate::io::{Link, Output};
use crate::notice::Notice;
use crate::protection::GuardState;

/// Overlay families in the order in which FRR handles them.
pub(crate) const FAMILIES: [Afi; 2] = [Afi::Ip, Afi::Ipv6];

/// The family of an address.
pub(crate) fn afi_of(address: IpAddr) -> Afi {
    if address.is_ipv4() { Afi::Ip } else { Afi::Ipv6 }
}

/// State of one overlay family on an interface.
#[derive(Debug, Default)]
pub(crate) struct FamilyState {
    /// NHRP is to run (`network-id`).
    configured: bool,
    /// NHRP runs.
    pub(crate) running: bool,
    /// Own overlay address, which has a `local` cache entry.
    pub(crate) protocol: Option<IpAddr>,
    /// The configured `nhs` lines, in their order.
    pub(crate) nhs: Vec<NhsId>,
    /// Obstacle that was last told to the operator; the outer `None`: nothing was told yet.
    told: Option<Option<String>>,
}

/// An interface of the machine, tunnel or not.
#[derive(Debug, Default)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// 0: configured, but not (yet) there.
    pub(crate) ifindex: u32,
    pub(crate) up: bool,
    pub(crate) gre: bool,
    /// Why NHRP cannot run here at all.
    unsuited: Option<String>,
    pub(crate) mtu: u32,
    pub(crate) gre_local: Option<Ipv4Addr>,
    pub(crate) gre_link: Option<u32>,
    /// Both are what the kernel says, not what is assumed until it has answered.
    gre_answered: bool,
    pub(crate) addresses: Vec<(IpNet, bool)>,
    pub(crate) config: InterfaceConfig,
    /// Own NBMA address.
    pub(crate) nbma: Option<IpAddr>,
    /// Own NBMA address as an NHS sees it, if that differs.
    pub(crate) nat_nbma: Option<IpAddr>,
    pub(crate) ip: FamilyState,
    pub(crate) ipv6: FamilyState,
    /// Who gets copies of multicast, if that has been found out since the last change.
    pub(crate) receivers: Option<Arc<[IpAddr]>>,
    /// What keeps GRE from leaving in clear, with `tunnel protection`.
    pub(crate) guard: GuardState,
}

impl Interface {
    pub(crate) fn family(&self, afi: Afi) -> &FamilyState {
        match afi {
            Afi::Ip => &self.ip,
            Afi::Ipv6 => &self.ipv6,
        }
    }

    pub(crate) fn family_mut(&mut self, afi: Afi) -> &mut FamilyState {
        match afi {
            Afi::Ip => &mut self.ip,
            Afi::Ipv6 => &mut self.ipv6,
        }
    }

    /// NHRP runs for at least one family.
    pub(crate) fn running(&self) -> bool {
        self.ip.running || self.ipv6.running
    }

    /// A protected tunnel of which the kernel has not said from which address it sends. It may have another one than `tunnel
    /// source`, for which the guard would be then, and an association with it would let out in clear what this tunnel sends.
    fn awaits_own_address(&self) -> bool {
        self.gre && self.config.protection.is_some() && !self.gre_answered
    }

    /// The first IPv4 address that FRR would choose: not secondary, then the shortest prefix, then the first.
    fn first_ipv4(&self) -> Option<IpAddr> {
        select_address(&self.addresses, Afi::Ip)
    }
}

/// The address that represents an interface. FRR up to 10.4 insists on host prefixes; here any length will do.
/// IPv6 link-local addresses are no overlay addresses.
fn select_address(addresses: &[(IpNet, bool)], afi: Afi) -> Option<IpAddr> {
    addresses
        .iter()
        .filter(|(net, _)| afi_of(net.addr()) == afi)
        .filter(|(net, _)| !matches!(net.addr(), IpAddr::V6(a) if a.is_unicast_link_local()))
        .min_by_key(|(net, secondary)| (*secondary, net.prefix_len()))
        .map(|(net, _)| net.addr())
}

/// Families whose servers are to be told, or asked again, because our requests say something else now.
fn registers_differently(old: &InterfaceConfig, new: &InterfaceConfig) -> Vec<Afi> {
    let secret = |config: &InterfaceConfig| config.authentication.as_ref().map(|(_, secret)| secret.clone());
    let both = secret(old) != secret(new) || old.ip.mtu != new.ip.mtu;
    let differs = |afi: &Afi| {
        let (old, new) = (old.family(*afi), new.family(*afi));
        // Not on the way in and out, and not together with new lines: those register anyway.
        let stays = old.network_id == new.network_id && old.nhs == new.nhs;
        stays && (both || old.holdtime != new.holdtime || old.no_unique != new.no_unique)
    };
    FAMILIES.into_iter().filter(differs).collect()
}

impl Engine {
    pub(crate) fn interface_by_index(&self, ifindex: u32) -> Option<InterfaceId> {
        self.by_ifindex.get(&ifindex).copied()
    }

    fn interface_by_name(&mut self, name: &str) -> InterfaceId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let key = self.interfaces.insert(Interface { name: name.to_owned(), ..Interface::default() });
        let id = InterfaceId::from_key(key);
        self.by_name.insert(name.to_owned(), id);
        id
    }

    pub(crate) fn on_configure(&mut self, name: &str, config: InterfaceConfig) {
        let id = self.interface_by_name(name);
        let mut says_otherwise = Vec::new();
        let mut protection_changed = false;
        let mut identities_changed = false;
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            if interface.config == config {
                return;
            }
            says_otherwise = registers_differently(&interface.config, &config);
            protection_changed = interface.config.protection != config.protection;
            let identities = |c: &InterfaceConfig| {
                [Afi::Ip, Afi::Ipv6].map(|afi| {
                    let family = c.family(afi);
                    (family.require_identity, family.identities.clone())
                })
            };
            identities_changed = identities(&interface.config) != identities(&config);
            interface.config = config;
        }
        if identities_changed {
            self.judge_registered(id, None);
        }
        if protection_changed {
            self.reconsider_protection(id);
        }
        self.bind_tunnel_source(id);
        self.update_interface(id);
        for afi in says_otherwise {
            self.register_now(id, afi);
        }
        self.forget_if_unused(id);
    }

    pub(crate) fn on_link(&mut self, link: &Link) {
        // A name that moved to another index: the old index is another interface now, or none.
        let former = self.by_name.get(&link.name).and_then(|id| self.interfaces.get(id.key()));
        if let Some(former) = former.map(|i| i.ifindex).filter(|former| *former != link.ifindex) {
            self.on_link_deleted(former);
        }
        // An index that comes with another name: the interface was renamed. Its addresses did not change for that.
        let mut addresses = Vec::new();
        if let Some(other) = self.interface_by_index(link.ifindex)
            && let Some(old) = self.interfaces.get_mut(other.key())
            && old.name != link.name
        {
            addresses = std::mem::take(&mut old.addresses);
            self.on_link_deleted(link.ifindex);
        }
        let id = self.interface_by_name(&link.name);
        let Some(interface) = self.interfaces.get_mut(id.key()) else { return };
        let former = interface.ifindex;
        interface.addresses.append(&mut addresses);
        self.by_ifindex.insert(link.ifindex, id);
        // zebra tells of a link that is up once more when something about it changed, such as the tunnel's local address.
        let ask_gre = link.gre && (former != link.ifindex || interface.up || link.up);
        interface.gre_answered &= former == link.ifindex;
        interface.ifindex = link.ifindex;
        interface.up = link.up;
        interface.gre = link.gre;
        interface.mtu = link.mtu;
        if ask_gre {
            self.push(Output::QueryGre { ifindex: link.ifindex });
        }
        self.bind_tunnel_source(id);
        self.update_with_dependents(id);
    }

    pub(crate) fn on_link_deleted(&mut self, ifindex: u32) {
        let Some(id) = self.by_ifindex.remove(&ifindex) else { return };
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            interface.up = false;
            interface.addresses.clear();
            interface.gre_local = None;
            interface.gre_link = None;
            interface.gre_answered = false;
            interface.unsuited = None;
        }
        self.update_with_dependents(id);
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            interface.ifindex = 0;
        }
        self.forget_if_unused(id);
    }

    pub(crate) fn on_unsuited(&mut self, ifindex: u32, reason: String) {
        let Some(id) = self.interface_by_index(ifindex) else { return };
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            interface.unsuited = Some(reason);
        }
        self.update_interface(id);
    }

    pub(crate) fn on_gre(&mut self, ifindex: u32, local: Option<Ipv4Addr>, link: Option<u32>) {
        let Some(id) = self.interface_by_index(ifindex) else { return };
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            // The kernel says "not fixed" as 0.0.0.0.
            interface.gre_local = local.filter(|local| !local.is_unspecified());
            interface.gre_link = link;
            interface.gre_answered = true;
        }
        self.bind_tunnel_source(id);
        self.update_interface(id);
    }

    pub(crate) fn on_address(&mut self, ifindex: u32, address: IpNet, secondary: Option<bool>) {
        let Some(id) = self.interface_by_index(ifindex) else { return };
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            match (interface.addresses.iter().position(|(net, _)| *net == address), secondary) {
                (None, Some(secondary)) => interface.addresses.push((address, secondary)),
                (Some(at), Some(secondary)) => {
                    if let Some(slot) = interface.addresses.get_mut(at) {
                        slot.1 = secondary;
                    }
                }
                (Some(at), None) => {
                    interface.addresses.remove(at);
                }
                (None, None) => {}
            }
        }
        self.update_with_dependents(id);
    }

    /// An interface that does not exist and has no configuration needs no slot.
    fn forget_if_unused(&mut self, id: InterfaceId) {
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        if interface.ifindex == 0 && interface.config == InterfaceConfig::default() {
            for afi in FAMILIES {
                self.drop_cache_of(id, afi);
            }
            let gone = self.interfaces.remove(id.key());
            self.by_name.remove(&gone.name);
        }
    }

    /// `tunnel source IF`: the tunnel is bound to IF, if it is not.
    fn bind_tunnel_source(&mut self, id: InterfaceId) {
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        let (ifindex, current) = (interface.ifindex, interface.gre_link);
        if !interface.gre || ifindex == 0 {
            return;
        }
        let Some(source) = interface.config.tunnel_source.as_deref() else { return };
        let link =
            self.by_name.get(source).and_then(|id| self.interfaces.get(id.key())).map_or(0, |i| i.ifindex);
        // Without an answer to QueryGre yet, `current` is unknown and nothing is known to be wrong.
        if link != 0 && current.is_some_and(|c| c != link) {
            self.push(Output::BindGre { ifindex, link });
        }
    }

    /// Updates an interface and all that use it as their underlay.
    fn update_with_dependents(&mut self, id: InterfaceId) {
        self.update_interface(id);
        let Some(changed) = self.interfaces.get(id.key()) else { return };
        let (name, ifindex) = (changed.name.clone(), changed.ifindex);
        let dependents: Vec<InterfaceId> = self
            .interfaces
            .iter()
            .filter(|(_, i)| {
                i.config.tunnel_source.as_deref() == Some(name.as_str())
                    || (ifindex != 0 && i.gre_link == Some(ifindex))
            })
            .map(|(key, _)| InterfaceId::from_key(key))
            .filter(|d| *d != id)
            .collect();
        for dependent in dependents {
            self.update_interface(dependent);
        }
    }

    /// Own NBMA address: `local` of the GRE tunnel, else the address of `tunnel source`, else of the tunnel's link.
    fn own_nbma(&self, interface: &Interface) -> Option<IpAddr> {
        if interface.awaits_own_address() {
            return None;
        }
        let source = interface.config.tunnel_source.as_deref();
        let by_source = || {
            let id = self.by_name.get(source?)?;
            self.interfaces.get(id.key())?.first_ipv4()
        };
        if !interface.gre {
            return by_source();
        }
        let by_link = || {
            let id = self.interface_by_index(interface.gre_link?)?;
            self.interfaces.get(id.key())?.first_ipv4()
        };
        interface.gre_local.map(IpAddr::V4).or_else(by_source).or_else(by_link)
    }

    /// Why NHRP does not run for a family, in words for the operator.
    pub(crate) fn obstacle(&self, interface: &Interface, nbma: Option<IpAddr>) -> Option<String> {
        if interface.ifindex == 0 {
            return Some("there is no such interface".to_owned());
        }
        if let Some(reason) = &interface.unsuited {
            return Some(reason.clone());
        }
        if !interface.up {
            return Some(format!(
                "the interface is down; bring it up with 'ip link set {} up'",
                interface.name
            ));
        }
        if interface.awaits_own_address() {
            // Empty: known in a moment, and not to be told.
            return Some(String::new());
        }
        if nbma.is_none() {
            return Some(if interface.gre {
                "own NBMA address unknown: the tunnel has no 'local' address and no link with an IPv4 address; \
                 set one of them, or 'tunnel source'"
                    .to_owned()
            } else {
                "it is no GRE tunnel; NHRP runs on one (ip link add NAME type gre key N local ADDRESS), or on \
                 another link with 'tunnel source'"
                    .to_owned()
            });
        }
        if interface.config.protection.is_some() {
            // Empty: not known yet, and not to be told.
            return interface.guard.obstacle().map(Option::unwrap_or_default);
        }
        None
    }

    /// Brings one interface from what it was to what it should be.
    pub(crate) fn update_interface(&mut self, id: InterfaceId) {
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        let nbma = self.own_nbma(interface);
        let nbma_changed = interface.nbma != nbma;
        if nbma_changed {
            self.forget_protection_of(id);
        }
        self.update_guard(id, nbma);
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        let obstacle = self.obstacle(interface, nbma);
        if let Some(interface) = self.interfaces.get_mut(id.key()) {
            interface.nbma = nbma;
            interface.receivers = None;
            if nbma_changed {
                interface.nat_nbma = None;
            }
        }
        if nbma_changed {
            self.own_bindings_changed(id);
        }
        for afi in FAMILIES {
            self.update_family(id, afi, obstacle.as_deref(), nbma_changed);
        }
    }

    fn update_family(&mut self, id: InterfaceId, afi: Afi, obstacle: Option<&str>, nbma_changed: bool) {
        let Some(interface) = self.interfaces.get_mut(id.key()) else { return };
        let configured = interface.config.family(afi).network_id != 0;
        let should_run = configured && obstacle.is_none();
        let was_running = interface.family(afi).running;
        let (ifindex, name) = (interface.ifindex, interface.name.clone());
        let protocol = if should_run { select_address(&interface.addresses, afi) } else { None };
        let old_protocol = interface.family(afi).protocol;
        let state = interface.family_mut(afi);
        let was_configured = std::mem::replace(&mut state.configured, configured);
        state.running = should_run;
        state.protocol = protocol;
        let message = if configured { Some(obstacle.map(str::to_owned)) } else { None };
        let known = obstacle != Some("");
        let tell = known && message.is_some() && state.told != message;
        if known {
            state.told.clone_from(&message);
        }

        if tell && let Some(obstacle) = message {
            self.push(Output::Notice(Notice::InterfaceState { name: name.clone(), obstacle }));
        }
        if should_run && !was_running {
            self.push(Output::Enable { ifindex, name, afi });
        }
        if old_protocol != protocol {
            if let Some(old) = old_protocol {
                self.remove_local(id, old);
            }
            if let Some(new) = protocol {
                self.add_local(id, new);
            }
        }
        if was_running != should_run {
            let running = self.interfaces.iter().filter(|(_, i)| i.running());
            self.nhrp_interfaces = running.map(|(key, _)| InterfaceId::from_key(key)).collect();
            self.install_all_of(id, afi, should_run);
        }
        self.sync_maps(id, afi);
        if should_run && nbma_changed {
            // Which addresses of a name are ours has changed.
            self.resolve_all_nhs(id, afi);
        }
        if should_run && (nbma_changed || old_protocol != protocol) {
            self.register_now(id, afi);
        }
        // New lines register by themselves.
        self.sync_nhs(id, afi);
        if was_configured && !configured {
            self.drop_purges_of(id, afi);
            self.drop_contests_of(id, afi);
            self.drop_cache_of(id, afi);
            self.forget_unreachable(afi);
        }
    }

    fn add_local(&mut self, id: InterfaceId, address: IpAddr) {
        let binding = Binding { kind: CacheType::Local, origin: Origin::Configured, ..Binding::default() };
        // Nothing ranks above `local`, so this cannot be refused.
        let _ = self.bind(id, address, binding);
    }

    fn remove_local(&mut self, id: InterfaceId, address: IpAddr) {
        self.purge_own_answers(id, address);
        if let Some(entry) = self.find_cache(id, address) {
            self.remove_cache(entry, "own address removed");
        }
    }

    /// Makes the static entries equal to the `map` lines.
    fn sync_maps(&mut self, id: InterfaceId, afi: Afi) {
        let Some(interface) = self.interfaces.get(id.key()) else { return };
        let own = interface.family(afi).protocol;
        let configured = interface.family(afi).running;
        let wanted: Vec<(IpAddr, MapTarget)> = if configured {
            interface.config.family(afi).maps.iter().map(|(a, t)| (*a, *t)).collect()
        } else {
            Vec::new()
        };
        let stale: Vec<_> = self
            .static_entries
            .iter()
            .filter(|(i, address)| {
                *i == id && afi_of(*address) == afi && !wanted.iter().any(|(w, _)| w == address)
            })
            .copied()
            .collect();
        for (_, address) in stale {
            self.static_entries.remove(&(id, address));
            if own != Some(address)
                && let Some(entry) = self.find_cache(id, address)
            {
                self.remove_cache(entry, "map removed");
            }
        }
        for (address, target) in wanted {
            if own == Some(address) {
                continue;
            }
            let (kind, nbma) = match target {
                MapTarget::Local => (CacheType::Local, None),
                MapTarget::Nbma(nbma) => (CacheType::Static, Some(nbma)),
            };
            if let Some(entry) = self.find_cache(id, address)
                && self.cache.get(entry.key()).is_some_and(|e| e.kind != kind && e.kind >= CacheType::Static)
            {
                // The line was retyped with another target; precedence is between sources, not between lines.
                self.remove_cache(entry, "map changed");
            }
            self.static_entries.insert((id, address));
            let _ = self.bind(
                id,
                address,
                Binding { kind, origin: Origin::Configured, nbma, ..Binding::default() },
            );
        }
    }

    /// MTU to advertise: as configured, or that of the underlay; 0 says nothing (FRR: 1500 and more as well).
    pub(crate) fn advertised_mtu(&self, id: InterfaceId) -> u16 {
        let Some(interface) = self.interfaces.get(id.key()) else { return 0 };
        let octets = match interface.config.ip.mtu {
            Mtu::Unset => 0,
            Mtu::Octets(octets) => u32::from(octets),
            Mtu::OpenNhrp => {
                let source =
                    interface.config.tunnel_source.as_deref().and_then(|n| self.by_name.get(n).copied());
                let link = source.or_else(|| self.interface_by_index(interface.gre_link?));
                link.and_then(|l| self.interfaces.get(l.key())).map_or(0, |l| l.mtu)
            }
        };
        if octets >= 1500 { 0 } else { u16::try_from(octets).unwrap_or(0) }
    }

    /// Configured holding time in seconds.
    pub(crate) fn holdtime(&self, id: InterfaceId, afi: Afi) -> u16 {
        self.interfaces.get(id.key()).map_or(0, |i| i.config.family(afi).holdtime)
    }
}
