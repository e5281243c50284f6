//! What the daemon knows, as rows of the model: the same facts that `show … detail` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
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

/// Cache entries that one turn of the loop looks at.
const SLICE: usize = 64;

/// What is known, as far as it has been gathered: a large cache takes several turns of the event loop, between which
/// others have theirs. Rows that changes overtake are told as they were, or as they are; none is told twice.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Where the next turn goes on in the cache; none before the first.
    next: Option<usize>,
    complete: bool,
    interfaces: BTreeMap<String, InterfaceState>,
    cache: BTreeMap<(String, IpAddr), CacheEntry>,
    servers: BTreeSet<(String, IpAddr)>,
    shortcuts: Vec<(String, IpAddr, IpNet)>,
    associations: BTreeMap<(Option<IpAddr>, IpAddr), (u32, String)>,
    global: GlobalState,
}

impl Gathering {
    fn named(&mut self, name: &str) -> &mut InterfaceState {
        let fresh = || InterfaceState { name: name.to_owned(), ..InterfaceState::default() };
        self.interfaces.entry(name.to_owned()).or_insert_with(fresh)
    }

    /// Whether nothing is left to be asked for.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// All of it, put together; by whoever has asked, since it takes its time.
    pub(super) fn into_state(mut self) -> State {
        // A peer may have bindings of both families.
        let mut peers: BTreeMap<(String, IpAddr), Peer> = BTreeMap::new();
        let fresh = |nbma_address| Peer {
            nbma_address,
            protocol_address: Vec::new(),
            shortcut: Vec::new(),
            next_hop_server: false,
        };
        for ((interface, address), entry) in std::mem::take(&mut self.cache) {
            if let Some(nbma) = entry.nbma_address.filter(|_| entry.kind != "local") {
                let peer = peers.entry((interface.clone(), nbma)).or_insert_with(|| fresh(nbma));
                peer.protocol_address.push(address);
            }
            self.named(&interface).cache.push(entry);
        }
        for (interface, nbma) in self.servers {
            peers.entry((interface, nbma)).or_insert_with(|| fresh(nbma)).next_hop_server = true;
        }
        for (interface, nbma, prefix) in self.shortcuts {
            if let Some(peer) = peers.get_mut(&(interface, nbma)) {
                peer.shortcut.push(prefix);
            }
        }
        for ((name, _), peer) in peers {
            let fresh = || InterfaceState { name: name.clone(), ..InterfaceState::default() };
            self.interfaces.entry(name.clone()).or_insert_with(fresh).peer.push(peer);
        }
        let associations =
            self.associations.into_iter().map(|((local_nbma, remote_nbma), (associations, identity))| {
                SecurityAssociation { local_nbma, remote_nbma, associations, identity }
            });
        self.global.security_association = associations.collect();
        State { interfaces: self.interfaces.into_values().collect(), global: self.global }
    }
}

impl Daemon {
    /// One turn's share of what is known.
    pub(super) fn gather(&self, gathering: &mut Gathering) {
        match gathering.next {
            None => {
                self.gather_all_but_the_cache(gathering);
                gathering.next = Some(0);
            }
            Some(from) => {
                self.gather_cache(gathering, from..from.saturating_add(SLICE));
                gathering.next = Some(from.saturating_add(SLICE));
                gathering.complete = from.saturating_add(SLICE) >= self.engine.cache_slots();
            }
        }
    }

    fn gather_all_but_the_cache(&self, gathering: &mut Gathering) {
        for row in self.engine.interface_standings() {
            let family = if row.afi == Afi::Ip { Family::Ipv4 } else { Family::Ipv6 };
            let interface = gathering.named(&row.name);
            interface.nbma_address = row.nbma;
            interface.nat_nbma_address = row.nat;
            interface.family.push(FamilyState {
                family,
                running: row.obstacle.is_none(),
                reason: row.obstacle,
                protocol_address: row.protocol,
            });
        }
        for (afi, family) in FAMILIES {
            for row in self.nhs_details(afi) {
                let interface = gathering.named(&row.interface);
                let local = interface.nbma_address;
                let known = &mut interface.registration;
                let same = |r: &&Registration| r.family == family && r.nhs == row.fqdn;
                let instance = 1 + known.iter().filter(same).count();
                let (name, nbma) = (row.interface.clone(), row.nbma);
                known.push(registration(family, u32::try_from(instance).unwrap_or(u32::MAX), row));
                if let Some(nbma) = nbma {
                    gathering.associations.insert((local, nbma), self.ipsec.sas(local, nbma));
                    gathering.servers.insert((name, nbma));
                }
            }
            for row in self.shortcut_details(afi) {
                if let (Some(interface), Some(nbma)) = (row.interface.clone(), row.nbma) {
                    gathering.shortcuts.push((interface, nbma, row.prefix));
                }
                gathering.global.shortcut.push(shortcut(row));
            }
        }
        self.global_facts(&mut gathering.global);
    }

    fn gather_cache(&self, gathering: &mut Gathering, slots: Range<usize>) {
        for (view, row) in self.with_details(self.engine.cache_view_of(slots)) {
            let local = gathering.interfaces.get(&row.interface).and_then(|interface| interface.nbma_address);
            let peer = view.nbma.filter(|_| view.kind != CacheType::Local);
            let association = peer.map(|nbma| ((local, nbma), self.ipsec.sas(local, nbma)));
            let with = association.as_ref().filter(|(_, (up, _))| *up > 0);
            let identity = with.map(|(_, (_, identity))| identity.clone()).unwrap_or_default();
            gathering.associations.extend(association);
            let entry = cache_entry(&view, &row, identity);
            gathering.cache.insert((row.interface, row.protocol), entry);
        }
    }

    fn global_facts(&self, global: &mut GlobalState) {
        let ipsec = self.ipsec_view();
        let stats = self.engine.stats();
        let packets =
            PACKET_TYPES.into_iter().zip(stats.packets_received.into_iter().zip(stats.packets_sent));
        let counters = self.counts().others().into_iter();
        global.ipsec = Ipsec {
            mode: ipsec.mode,
            reason: ipsec.reason,
            version: ipsec.version,
            last_error: ipsec.last_error,
        };
        global.statistics = Statistics {
            packets: packets.map(|(kind, (received, sent))| Packets { kind, received, sent }).collect(),
            counter: counters.map(|(name, meaning, count)| Counter { name, meaning, count }).collect(),
        };
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

    #[test]
    fn what_several_turns_have_gathered_is_one_state() {
        let mut gathering = Gathering::default();
        let (view, row) = client();
        let nbma = view.nbma.unwrap();
        // As it was, as it is by now, and one of the other family.
        for (protocol, age) in [(row.protocol, 5), (row.protocol, 6), ("fd00::2".parse().unwrap(), 5)] {
            let row = CacheDetail { protocol, age, ..client().1 };
            let entry = cache_entry(&view, &row, String::new());
            gathering.cache.insert((row.interface, protocol), entry);
        }
        let own =
            CacheDetail { kind: CacheKind::Local, protocol: "10.255.255.1".parse().unwrap(), ..client().1 };
        gathering.cache.insert(("gre1".to_owned(), own.protocol), cache_entry(&view, &own, String::new()));
        gathering.servers.insert(("gre2".to_owned(), nbma));
        gathering.shortcuts.push(("gre1".to_owned(), nbma, "192.168.2.0/24".parse().unwrap()));
        gathering.shortcuts.push((
            "gre1".to_owned(),
            "192.0.2.9".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ));
        gathering.associations.insert((None, nbma), (1, "CN=spoke1".to_owned()));

        let state = gathering.into_state();
        assert_eq!(state.global.security_association.len(), 1);
        let [gre1, gre2] = state.interfaces.try_into().unwrap();
        let cache: Vec<_> =
            gre1.cache.iter().map(|entry| (entry.protocol_address.to_string(), entry.age)).collect();
        let expected = [("10.255.255.1", 5), ("10.255.255.2", 6), ("fd00::2", 5)];
        assert_eq!(cache, expected.map(|(address, age)| (address.to_owned(), age)));
        let [peer] = gre1.peer.try_into().unwrap();
        assert_eq!((peer.protocol_address.len(), peer.shortcut.len(), peer.next_hop_server), (2, 1, false));
        let [server] = gre2.peer.try_into().unwrap();
        assert!(server.next_hop_server && gre2.cache.is_empty());
    }
}
