//! What the daemon knows, as rows of the model: the same facts that `show … detail` prints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nhrp_config::Afi;
use nhrp_engine::{CacheType, CacheView};
use nhrp_yang::state::{
    CacheEntry, Counter, Family, FamilyState, GlobalState, InterfaceState, Ipsec, PACKET_TYPES, Packets,
    Peer, Registration, SecurityAssociation, Shortcut, State, Statistics,
};
use vtysh_plugin::render::{
    BindingOrigin, BindingState, CacheDetail, CacheKind, DirectPath, NhsDetail, NhsState, ShortcutDetail,
};

use crate::daemon::Daemon;

pub(super) const FAMILIES: [(Afi, Family); 2] = [(Afi::Ip, Family::Ipv4), (Afi::Ipv6, Family::Ipv6)];

/// The model's counters of seconds and of requests have 32 bits.
pub(super) fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `identity`: that of the peer, while an association with it is up.
fn cache_entry(view: &CacheView, row: &CacheDetail, identity: String) -> CacheEntry {
    CacheEntry {
        protocol_address: row.protocol,
        kind: match row.kind {
            CacheKind::Nhs => "nhs",
            CacheKind::Static => "static",
            CacheKind::Local => "local",
            _ => "dynamic",
        },
        origin: match row.origin {
            BindingOrigin::Resolved => "resolved",
            BindingOrigin::Registered => "registered",
            BindingOrigin::Configured => "configured",
        },
        nbma_address: row.nbma,
        claimed_nbma_address: row.claimed,
        nat_nbma_address: view.nat,
        up: matches!(row.state, BindingState::Own | BindingState::Up),
        reason: match &row.state {
            BindingState::Down(reason) => Some(reason.clone()),
            BindingState::Own | BindingState::Up => None,
        },
        used: row.used,
        unique: row.unique,
        mtu: Some(row.mtu).filter(|mtu| *mtu != 0),
        age: short(row.age),
        expires_in: row.expires_in.map(short),
        identity: Some(identity).filter(|identity| !identity.is_empty()),
    }
}

pub(super) fn registration(family: Family, instance: u32, row: NhsDetail) -> Registration {
    let mut entry = Registration {
        family,
        nhs: row.fqdn,
        instance,
        nbma_address: row.nbma,
        protocol_address: row.protocol,
        priority: row.priority,
        state: "registered",
        reason: None,
        code: None,
        since: None,
        requests: None,
        renewal_in: None,
    };
    match row.state {
        NhsState::Stopped(reason) => (entry.state, entry.reason) = ("stopped", Some(reason)),
        NhsState::NoAddress => entry.state = "no-address",
        NhsState::LookingUp => entry.state = "looking-up",
        NhsState::Unresolved(reason) => (entry.state, entry.reason) = ("unresolved", Some(reason)),
        NhsState::Standby => entry.state = "standby",
        NhsState::AwaitsIpsec(reason) => (entry.state, entry.reason) = ("awaiting-ipsec", Some(reason)),
        NhsState::Asking { since, requests } => {
            entry.state = "asking";
            (entry.since, entry.requests) = (Some(short(since)), Some(short(requests)));
        }
        NhsState::Refused { refusal, code, since } => {
            (entry.state, entry.reason) = ("refused", Some(refusal));
            entry.code = code.and_then(|code| u16::try_from(code).ok());
            entry.since = Some(short(since));
        }
        NhsState::Registered { since, renewal, unanswered } => {
            entry.since = Some(short(since));
            entry.requests = Some(short(unanswered)).filter(|count| *count != 0);
            entry.renewal_in = renewal.map(short);
        }
    }
    entry
}

fn shortcut(row: ShortcutDetail) -> Shortcut {
    let (state, reason, used) = match row.state {
        DirectPath::Asking { .. } => ("asking", None, None),
        DirectPath::Refused(reason) => ("refused", Some(reason), None),
        DirectPath::Unreachable => ("unreachable", None, None),
        DirectPath::Waiting => ("waiting", None, None),
        DirectPath::Active { used, .. } => ("active", None, Some(used)),
    };
    Shortcut {
        prefix: row.prefix,
        state,
        reason,
        target: row.target,
        via: row.via,
        nbma_address: row.nbma,
        interface: row.interface,
        used,
        expires_in: row.expires_in.map(short),
    }
}

/// Interfaces as they are found.
#[derive(Default)]
struct Interfaces(BTreeMap<String, InterfaceState>);

impl Interfaces {
    fn named(&mut self, name: &str) -> &mut InterfaceState {
        let fresh = || InterfaceState { name: name.to_owned(), ..InterfaceState::default() };
        self.0.entry(name.to_owned()).or_insert_with(fresh)
    }
}

impl Daemon {
    /// Everything that is known.
    pub(super) fn facts(&self) -> State {
        let mut interfaces = Interfaces::default();
        for row in self.engine.interface_standings() {
            let family = if row.afi == Afi::Ip { Family::Ipv4 } else { Family::Ipv6 };
            let interface = interfaces.named(&row.name);
            interface.nbma_address = row.nbma;
            interface.nat_nbma_address = row.nat;
            interface.family.push(FamilyState {
                family,
                running: row.obstacle.is_none(),
                reason: row.obstacle,
                protocol_address: row.protocol,
            });
        }
        // A peer may have bindings of both families.
        let mut peers: BTreeMap<(String, IpAddr), Peer> = BTreeMap::new();
        for (afi, family) in FAMILIES {
            for (view, row) in self.cache_with_details(afi) {
                let interface = interfaces.named(&row.interface);
                let peer = view.nbma.filter(|_| view.kind != CacheType::Local);
                let association = peer.map(|nbma| self.ipsec.sas(interface.nbma_address, nbma));
                let (_, identity) = association.filter(|(up, _)| *up > 0).unwrap_or_default();
                interface.cache.push(cache_entry(&view, &row, identity));
            }
            for row in self.nhs_details(afi) {
                let known = &mut interfaces.named(&row.interface).registration;
                let same = |r: &&Registration| r.family == family && r.nhs == row.fqdn;
                let instance = 1 + known.iter().filter(same).count();
                known.push(registration(family, u32::try_from(instance).unwrap_or(u32::MAX), row));
            }
            for row in self.peer_details(afi) {
                let peer = peers.entry((row.interface, row.nbma)).or_insert_with(|| Peer {
                    nbma_address: row.nbma,
                    protocol_address: Vec::new(),
                    shortcut: Vec::new(),
                    next_hop_server: false,
                });
                peer.protocol_address.extend(row.bindings.iter().map(|binding| binding.protocol));
                peer.shortcut.extend(row.shortcuts);
                peer.next_hop_server |= row.server.is_some();
            }
        }
        for ((name, _), peer) in peers {
            interfaces.named(&name).peer.push(peer);
        }
        State { interfaces: interfaces.0.into_values().collect(), global: self.global_facts() }
    }

    fn global_facts(&self) -> GlobalState {
        let shortcuts = FAMILIES.iter().flat_map(|(afi, _)| self.shortcut_details(*afi)).map(shortcut);
        let associations = self.engine.nbma_pairs().into_iter().map(|(local_nbma, remote_nbma)| {
            let (associations, identity) = self.ipsec.sas(local_nbma, remote_nbma);
            SecurityAssociation { local_nbma, remote_nbma, associations, identity }
        });
        let ipsec = self.ipsec_view();
        let stats = self.engine.stats();
        let packets =
            PACKET_TYPES.into_iter().zip(stats.packets_received.into_iter().zip(stats.packets_sent));
        let counters = self.counts().others().into_iter();
        GlobalState {
            shortcut: shortcuts.collect(),
            security_association: associations.collect(),
            ipsec: Ipsec {
                mode: ipsec.mode,
                reason: ipsec.reason,
                version: ipsec.version,
                last_error: ipsec.last_error,
            },
            statistics: Statistics {
                packets: packets.map(|(kind, (received, sent))| Packets { kind, received, sent }).collect(),
                counter: counters.map(|(name, meaning, count)| Counter { name, meaning, count }).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nhrp_engine::{Instant, Origin};

    /// A client that a translator hides, as the engine and its table show it.
    fn client() -> (CacheView, CacheDetail) {
        let view = CacheView {
            interface: "gre1".to_owned(),
            kind: CacheType::Dynamic,
            origin: Origin::Registered,
            protocol: IpAddr::from([10, 255, 255, 2]),
            nbma: Some(IpAddr::from([198, 51, 100, 7])),
            claimed: Some(IpAddr::from([192, 168, 1, 2])),
            nat: Some(IpAddr::from([198, 51, 100, 7])),
            used: true,
            expires: None,
            installed: true,
            since: Instant::ZERO,
            mtu: 0,
            unique: false,
        };
        let row = CacheDetail {
            interface: "gre1".to_owned(),
            kind: CacheKind::Dynamic,
            origin: BindingOrigin::Registered,
            protocol: view.protocol,
            nbma: view.nbma,
            claimed: view.claimed,
            state: BindingState::Up,
            used: true,
            unique: false,
            mtu: 0,
            age: 5,
            expires_in: None,
        };
        (view, row)
    }

    #[test]
    fn a_client_behind_a_translator_and_with_a_certificate() {
        let (view, row) = client();
        let entry = cache_entry(&view, &row, "CN=spoke1".to_owned());
        assert_eq!(entry.nat_nbma_address, view.nat);
        assert_eq!(entry.claimed_nbma_address, view.claimed);
        assert_eq!(entry.identity.as_deref(), Some("CN=spoke1"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let (view, row) = client();
        let entry = cache_entry(&CacheView { nat: None, ..view }, &row, String::new());
        assert_eq!((entry.nat_nbma_address, entry.identity), (None, None));
    }
}
