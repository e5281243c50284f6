//! What changes, told to the clients of `nhrpd.v1.Events`: the engine's changes as rows of the model, and what is compared
//! because there is little of it. While nobody follows, a turn of the loop looks at one vector that is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use nhrp_config::Afi;
use nhrp_engine::{CacheType, CacheView, Change, Instant, Origin, ShortcutStanding, ShortcutState, What};
use nhrp_vici::{Event, Pair};
use nhrp_yang::state::{CacheEntry, Family, FamilyState, Registration, SecurityAssociation, Shortcut};
use northbound::{Filter, Operation, Row, Subscribe};

use super::facts::{FAMILIES, registration, short};
use crate::daemon::Daemon;

/// Those who follow, and what they were told of that is compared.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    told: northbound::Followers,
    standings: BTreeMap<Key, Row>,
    associations: BTreeSet<Pair>,
}

/// Which interface or server a row is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Interface(String, Afi),
    Server(String, Afi, String, u32),
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn operation(what: What) -> Operation {
    match what {
        What::Added => Operation::Added,
        What::Changed => Operation::Changed,
        What::Removed(reason) => Operation::Removed(reason),
    }
}

/// Whether two rows of a key differ in more than the time that passes and the requests that are repeated meanwhile.
fn differ(one: &Row, other: &Row) -> bool {
    let lasting = |server: &Registration| Registration {
        since: None,
        requests: None,
        renewal_in: None,
        ..server.clone()
    };
    match (one, other) {
        (Row::Server(_, one), Row::Server(_, other)) => lasting(one) != lasting(other),
        (
            Row::Interface { nbma, nat, family, .. },
            Row::Interface { nbma: other_nbma, nat: other_nat, family: other, .. },
        ) => (nbma, nat, family) != (other_nbma, other_nat, other),
        _ => true,
    }
}

impl Daemon {
    /// A client wants to know what there is, and what changes from now on.
    pub(super) fn subscribe(&mut self, request: Subscribe) {
        // What has happened so far is not for this one.
        self.tell_followers();
        if self.followers.told.is_empty() {
            self.engine.follow(true);
            self.followers.standings = self.standings();
            let up = self.ipsec.status().peers.into_iter().filter(|peer| !peer.sas.is_empty());
            self.followers.associations = up.map(|peer| peer.pair).collect();
        }
        let mut followers = std::mem::take(&mut self.followers);
        followers.told.subscribe(request, now_ms(), |filter| {
            let mut rows: Vec<Row> = followers.standings.values().cloned().collect();
            rows.extend(followers.associations.iter().map(|pair| self.association(*pair)));
            self.add_tables(filter, &mut rows);
            rows
        });
        self.followers = followers;
    }

    fn add_tables(&self, filter: &Filter, rows: &mut Vec<Row>) {
        for (afi, _) in FAMILIES {
            if filter.wants_bindings() {
                rows.extend(self.engine.cache_view(afi).map(|view| self.binding(view)));
            }
            if filter.wants_shortcuts() {
                let all = self.engine.shortcut_standings(afi).into_iter();
                rows.extend(all.filter_map(|standing| self.shortcut(standing)));
            }
        }
    }

    /// At the end of every turn: what has changed in it.
    pub(crate) fn tell_followers(&mut self) {
        if self.followers.told.is_empty() {
            return;
        }
        while let Some(change) = self.engine.poll_change() {
            match change {
                Change::Binding(what, view) => {
                    let row = self.binding(view);
                    self.followers.told.tell(now_ms(), operation(what), row);
                }
                Change::Shortcut(what, standing) => {
                    if let Some(row) = self.shortcut(standing) {
                        self.followers.told.tell(now_ms(), operation(what), row);
                    }
                }
                Change::Standings => self.compare_standings(),
            }
        }
        self.forget_if_alone();
    }

    fn forget_if_alone(&mut self) {
        if self.followers.told.is_empty() {
            self.engine.follow(false);
            self.followers = Followers::default();
        }
    }

    fn compare_standings(&mut self) {
        let new = self.standings();
        let mut old = std::mem::replace(&mut self.followers.standings, new.clone());
        let told = &mut self.followers.told;
        let mut fresh = Vec::new();
        for (key, row) in new {
            match old.remove(&key) {
                Some(former) if differ(&former, &row) => fresh.push((Operation::Changed, row)),
                Some(_) => {}
                None => fresh.push((Operation::Added, row)),
            }
        }
        // First those that went: one that was configured anew has another key.
        for row in old.into_values() {
            told.tell(now_ms(), Operation::Removed("not configured any more".to_owned()), row);
        }
        for (operation, row) in fresh {
            told.tell(now_ms(), operation, row);
        }
    }

    fn standings(&self) -> BTreeMap<Key, Row> {
        let mut rows = BTreeMap::new();
        for row in self.engine.interface_standings() {
            let family = FamilyState {
                family: family_of(row.afi),
                running: row.obstacle.is_none(),
                reason: row.obstacle,
                protocol_address: row.protocol,
            };
            let key = Key::Interface(row.name.clone(), row.afi);
            rows.insert(key, Row::Interface { name: row.name, nbma: row.nbma, nat: row.nat, family });
        }
        for (afi, family) in FAMILIES {
            for row in self.nhs_details(afi) {
                let mut key = Key::Server(row.interface.clone(), afi, row.fqdn.clone(), 1);
                while let (true, Key::Server(.., instance)) = (rows.contains_key(&key), &mut key) {
                    *instance += 1;
                }
                let Key::Server(.., instance) = key else { continue };
                let interface = row.interface.clone();
                rows.insert(key, Row::Server(interface, registration(family, instance, row)));
            }
        }
        rows
    }

    /// IPsec with a peer has changed.
    pub(crate) fn follow_ipsec(&mut self, event: &Event) {
        if self.followers.told.is_empty() {
            return;
        }
        let (operation, pair) = match event {
            Event::Up { pair, .. } if self.followers.associations.insert(*pair) => (Operation::Added, *pair),
            Event::Up { pair, .. } | Event::Remade { pair } => (Operation::Changed, *pair),
            Event::Down { pair } if self.followers.associations.remove(pair) => {
                (Operation::Removed("it is down".to_owned()), *pair)
            }
            Event::Down { .. } | Event::Notice { .. } => return,
        };
        let row = self.association(pair);
        self.followers.told.tell(now_ms(), operation, row);
    }

    fn association(&self, pair: Pair) -> Row {
        let (associations, identity) = self.ipsec.sas(Some(pair.local), pair.remote);
        Row::Association(SecurityAssociation {
            local_nbma: Some(pair.local),
            remote_nbma: pair.remote,
            associations,
            identity,
        })
    }

    fn seconds_to(&self, at: Instant) -> u32 {
        short(at.since(self.now()).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
    }

    fn binding(&self, view: CacheView) -> Row {
        let own = view.kind == CacheType::Local;
        let up = own || view.installed;
        let reason = (!up).then(|| {
            let awaited =
                view.nbma.filter(|nbma| self.engine.unprotected_from(&view.interface, *nbma).is_some());
            awaited
                .map_or("NHRP does not run there".to_owned(), |nbma| format!("waiting for IPsec with {nbma}"))
        });
        let entry = CacheEntry {
            protocol_address: view.protocol,
            kind: view.kind.name(),
            origin: match view.origin {
                Origin::Resolved => "resolved",
                Origin::Registered => "registered",
                Origin::Configured => "configured",
            },
            nbma_address: view.nbma,
            claimed_nbma_address: view.claimed,
            nat_nbma_address: view.nat,
            up,
            reason,
            used: view.used,
            unique: view.unique,
            mtu: Some(view.mtu).filter(|mtu| *mtu != 0),
            age: short(self.now().since(view.since).as_secs()),
            expires_in: view.expires.map(|at| self.seconds_to(at)),
            identity: None,
        };
        Row::Binding(view.interface, entry)
    }

    /// None for a question under way.
    fn shortcut(&self, standing: ShortcutStanding) -> Option<Row> {
        let (state, used) = match standing.state {
            ShortcutState::Asking { .. } | ShortcutState::Refused(_) => return None,
            ShortcutState::Unreachable => ("unreachable", None),
            ShortcutState::Waiting => ("waiting", None),
            ShortcutState::Active { used, .. } => ("active", Some(used)),
        };
        Some(Row::Shortcut(Shortcut {
            prefix: standing.prefix,
            state,
            reason: None,
            target: standing.target,
            via: standing.via,
            nbma_address: standing.nbma,
            interface: standing.interface,
            used,
            expires_in: standing.expires.map(|at| self.seconds_to(at)),
        }))
    }
}

fn family_of(afi: Afi) -> Family {
    match afi {
        Afi::Ip => Family::Ipv4,
        Afi::Ipv6 => Family::Ipv6,
    }
}
