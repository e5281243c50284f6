//! The numbers of one moment, copied from the daemon in one turn of its loop. Knows no names of metrics.

use nhrp_config::Afi;
use nhrp_engine::{Census, ServerState};

use crate::counters::Counts;
use crate::daemon::Daemon;
use crate::turns::Turns;

/// Both families, in the order of all arrays here.
pub(crate) const FAMILIES: [(Afi, &str); 2] = [(Afi::Ip, "ipv4"), (Afi::Ipv6, "ipv6")];

/// States of a registration, in the order of [`Snapshot::registrations`]; the words are the YANG model's.
pub(crate) const REGISTRATION_STATES: [&str; 9] = [
    "stopped",
    "no-address",
    "looking-up",
    "unresolved",
    "standby",
    "awaiting-ipsec",
    "asking",
    "refused",
    "registered",
];

/// One moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Of this daemon, and of the FRR whose texts it has.
    pub(crate) version: String,
    pub(crate) frr: String,
    pub(crate) counts: Counts,
    pub(crate) entries: [Census; 2],
    pub(crate) registrations: [[u64; REGISTRATION_STATES.len()]; 2],
    /// Name, family, and whether NHRP runs there.
    pub(crate) interfaces: Vec<(String, &'static str, bool)>,
    /// Routes that zebra told, and timers.
    pub(crate) routes: u64,
    pub(crate) timers: u64,
    /// IPsec SAs that are up.
    pub(crate) associations: u64,
    pub(crate) zebra: bool,
    pub(crate) turns: Turns,
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Daemon {
    /// What is now.
    pub(crate) fn metrics(&self) -> Snapshot {
        let [_, _, _, routes, timers] = self.engine.sizes().map(number);
        let [(_, ipv4), (_, ipv6)] = FAMILIES;
        let family = |afi| if afi == Afi::Ip { ipv4 } else { ipv6 };
        let interfaces = self.engine.interface_standings().into_iter();
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            frr: self.frr.version.clone(),
            counts: self.counts(),
            entries: self.engine.census(),
            registrations: FAMILIES.map(|(afi, _)| self.registrations(afi)),
            interfaces: interfaces.map(|i| (i.name, family(i.afi), i.obstacle.is_none())).collect(),
            routes,
            timers,
            associations: number(self.ipsec.associations()),
            zebra: self.zebra.table().is_some(),
            turns: self.turns.clone(),
        }
    }

    /// Own registrations in each of [`REGISTRATION_STATES`].
    fn registrations(&self, afi: Afi) -> [u64; REGISTRATION_STATES.len()] {
        let mut counts = [0; REGISTRATION_STATES.len()];
        for server in self.engine.server_standings(afi) {
            let asks = matches!(server.state, ServerState::Asking { .. } | ServerState::Refused { .. });
            let unprotected = server.nbma.filter(|_| asks);
            let unprotected = unprotected.and_then(|n| self.engine.unprotected_from(&server.interface, n));
            let state = match server.state {
                _ if unprotected.is_some() => "awaiting-ipsec",
                ServerState::Stopped(_) => "stopped",
                ServerState::NoAddress => "no-address",
                ServerState::LookingUp => "looking-up",
                ServerState::Unresolved(_) => "unresolved",
                ServerState::Standby => "standby",
                ServerState::Asking { .. } => "asking",
                ServerState::Refused { .. } => "refused",
                ServerState::Registered { .. } => "registered",
            };
            for (count, _) in counts.iter_mut().zip(REGISTRATION_STATES).filter(|(_, word)| *word == state) {
                *count += 1;
            }
        }
        counts
    }
}
