//! A table that is kept by changes alone, as a follower of the daemon keeps it, and compared with the engine's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_config::Afi;
use nhrp_engine::{
    CacheView, Change, Engine, InterfaceStanding, ServerStanding, ServerState, ShortcutStanding,
    ShortcutState, What,
};

const FAMILIES: [Afi; 2] = [Afi::Ip, Afi::Ipv6];

#[derive(Default)]
pub struct Mirror {
    bindings: BTreeMap<(String, IpAddr), CacheView>,
    shortcuts: BTreeMap<IpNet, ShortcutStanding>,
    standings: (Vec<InterfaceStanding>, Vec<ServerStanding>),
}

/// Without what changes all the time.
fn binding(row: CacheView) -> CacheView {
    CacheView { used: false, expires: None, ..row }
}

fn shortcut(row: ShortcutStanding) -> ShortcutStanding {
    let state = match row.state {
        ShortcutState::Active { .. } => {
            ShortcutState::Active { used: false, renewing: false, expiring: false }
        }
        other => other,
    };
    ShortcutStanding { expires: None, state, ..row }
}

fn standings(engine: &Engine) -> (Vec<InterfaceStanding>, Vec<ServerStanding>) {
    let mut servers: Vec<_> = FAMILIES.into_iter().flat_map(|afi| engine.server_standings(afi)).collect();
    for server in &mut servers {
        match &mut server.state {
            ServerState::Registered { renewal, .. } => *renewal = None,
            ServerState::Asking { requests, .. } => *requests = 0,
            _ => {}
        }
    }
    (engine.interface_standings(), servers)
}

impl Mirror {
    /// Takes what has changed; afterwards both are the same.
    pub fn follow(&mut self, engine: &mut Engine) {
        while let Some(change) = engine.poll_change() {
            match change {
                Change::Binding(what, row) => {
                    let key = (row.interface.clone(), row.protocol);
                    let former = self.bindings.remove(&key);
                    assert_eq!(former.is_some(), what != What::Added, "{what:?} {row:?}");
                    if !matches!(what, What::Removed(_)) {
                        self.bindings.insert(key, binding(row));
                    }
                }
                Change::Shortcut(what, row) => {
                    let former = self.shortcuts.remove(&row.prefix);
                    assert_eq!(former.is_some(), what != What::Added, "{what:?} {row:?}");
                    if !matches!(what, What::Removed(_)) {
                        self.shortcuts.insert(row.prefix, shortcut(row));
                    }
                }
                Change::Standings => self.standings = standings(engine),
            }
        }
        let bindings = FAMILIES.into_iter().flat_map(|afi| engine.cache_view(afi)).map(binding);
        let bindings: BTreeMap<_, _> =
            bindings.map(|row| ((row.interface.clone(), row.protocol), row)).collect();
        assert_eq!(self.bindings, bindings, "bindings");
        let all = FAMILIES.into_iter().flat_map(|afi| engine.shortcut_standings(afi));
        let made =
            all.filter(|s| !matches!(s.state, ShortcutState::Asking { .. } | ShortcutState::Refused(_)));
        let shortcuts: BTreeMap<_, _> = made.map(|row| (row.prefix, shortcut(row))).collect();
        assert_eq!(self.shortcuts, shortcuts, "shortcuts");
        assert_eq!(self.standings, standings(engine), "servers and interfaces");
    }
}
