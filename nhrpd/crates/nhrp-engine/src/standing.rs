//! How servers, shortcuts and interfaces stand, and why: what FRR's tables do not tell an operator. Owns no state; the
//! words for a state are whoever's who prints it, but for those of the protocol's codes.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_config::{Afi, NhsProtocol};
use nhrp_wire::{CieCode, ErrorCode};

use crate::Engine;
use crate::errors::{error_words, refusal_words};
use crate::interface::{FAMILIES, Interface, afi_of};
use crate::prefix_table::host;
use crate::registration::Registration;
use crate::shortcut::{Shortcut, Stage};
use crate::time::Instant;

/// After as many requests without an answer a refusal that came before is no longer what matters.
const SILENT_AFTER: u32 = 3;

/// What a station answered instead of what was asked for. Its `Display` is for people and names the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Code of an entry of a reply (RFC 2332 section 5.2.0.1).
    Entry(u8),
    /// Code of an error indication (RFC 2332 section 5.2.7).
    Error(u16),
    /// An answer with nothing in it that could be used.
    Unusable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(code) => f.write_str(&refusal_words(CieCode::from(*code))),
            Self::Error(code) => f.write_str(&error_words(ErrorCode::from(*code))),
            Self::Unusable => f.write_str("its answer names no station that could be used"),
        }
    }
}

/// How a registration with a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// NHRP does not run on the interface; in words what is in the way, and what to do.
    Stopped(String),
    /// The interface has no overlay address that could be registered.
    NoAddress,
    /// The server's name is being looked up.
    LookingUp,
    /// The server's name leads nowhere, in the resolver's words.
    Unresolved(String),
    /// A server of better priority comes first.
    Standby,
    /// Asked since then, with so many requests, without an answer.
    Asking {
        /// The first request.
        since: Instant,
        /// How many there were.
        requests: u32,
    },
    /// It answers, and refuses.
    Refused {
        /// How.
        refusal: Refusal,
        /// The first time.
        since: Instant,
    },
    /// Accepted.
    Registered {
        /// The first time.
        since: Instant,
        /// When it is asked again.
        renewal: Option<Instant>,
        /// Renewals without an answer.
        unanswered: u32,
    },
}

/// One NBMA address of an `nhs` line, or a line without any yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStanding {
    /// Interface name.
    pub interface: String,
    /// As configured.
    pub name: String,
    /// NBMA address, if resolved.
    pub nbma: Option<IpAddr>,
    /// Overlay address: learned, or without a registration as configured.
    pub protocol: Option<IpAddr>,
    /// Priority.
    pub priority: u8,
    /// How it stands.
    pub state: ServerState,
}

/// How a shortcut stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortcutState {
    /// Asked since then, with so many requests, without an answer.
    Asking {
        /// The first request.
        since: Instant,
        /// How many there were.
        requests: usize,
    },
    /// Refused; traffic goes through the hub, and nothing is asked for a few seconds.
    Refused(Refusal),
    /// Known to be unreachable: packets are rejected here.
    Unreachable,
    /// Its peer is known, and not reachable at present: the interface is down, or NHRP does not run there.
    Waiting,
    /// In use, or ready for it.
    Active {
        /// The peer was used lately, as the kernel says.
        used: bool,
        /// It is being asked for anew.
        renewing: bool,
        /// It ends if nothing uses it.
        expiring: bool,
    },
}

/// One shortcut, or a question under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortcutStanding {
    /// Prefix.
    pub prefix: IpNet,
    /// The address that was asked for.
    pub target: IpAddr,
    /// Overlay address of the peer.
    pub via: Option<IpAddr>,
    /// NBMA address of the peer.
    pub nbma: Option<IpAddr>,
    /// Interface of the peer.
    pub interface: Option<String>,
    /// When it ends; none for a question under way.
    pub expires: Option<Instant>,
    /// How it stands.
    pub state: ShortcutState,
}

/// An interface on which NHRP is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStanding {
    /// Name.
    pub name: String,
    /// Family of the overlay.
    pub afi: Afi,
    /// Own NBMA address.
    pub nbma: Option<IpAddr>,
    /// Own NBMA address as the servers see it, if that differs.
    pub nat: Option<IpAddr>,
    /// Own overlay address.
    pub protocol: Option<IpAddr>,
    /// Why NHRP does not run; none if it does.
    pub obstacle: Option<String>,
}

impl Engine {
    /// Interfaces on which NHRP is configured, by name.
    #[must_use]
    pub fn interface_standings(&self) -> Vec<InterfaceStanding> {
        let mut rows: Vec<InterfaceStanding> = Vec::new();
        for (_, i) in &self.interfaces {
            for afi in FAMILIES.into_iter().filter(|afi| i.config.family(*afi).network_id != 0) {
                rows.push(InterfaceStanding {
                    name: i.name.clone(),
                    afi,
                    nbma: i.nbma,
                    nat: i.nat_nbma,
                    protocol: i.family(afi).protocol,
                    obstacle: self.obstacle(i, i.nbma),
                });
            }
        }
        rows.sort_by(|a, b| (&a.name, a.afi).cmp(&(&b.name, b.afi)));
        rows
    }

    /// Next hop servers of a family and how the registration with each stands, in the order of the configuration; also
    /// of interfaces on which NHRP does not run.
    #[must_use]
    pub fn server_standings(&self, afi: Afi) -> Vec<ServerStanding> {
        let mut interfaces: Vec<&Interface> = self.interfaces.iter().map(|(_, i)| i).collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        let mut rows = Vec::new();
        for interface in interfaces {
            if !interface.family(afi).running {
                let obstacle = if interface.config.family(afi).network_id == 0 {
                    Some(format!("'{afi} nhrp network-id' is not configured"))
                } else {
                    self.obstacle(interface, interface.nbma)
                };
                rows.extend(interface.config.family(afi).nhs.iter().map(|line| ServerStanding {
                    interface: interface.name.clone(),
                    name: line.nbma.clone(),
                    nbma: line.nbma.parse().ok(),
                    protocol: configured(line.protocol),
                    priority: line.priority,
                    state: ServerState::Stopped(obstacle.clone().unwrap_or_default()),
                }));
                continue;
            }
            for nhs in interface.family(afi).nhs.iter().filter_map(|id| self.nhs.get(id.key())) {
                let row = ServerStanding {
                    interface: interface.name.clone(),
                    name: nhs.name.clone(),
                    nbma: None,
                    protocol: configured(nhs.protocol),
                    priority: nhs.priority,
                    state: nhs.lookup_error.clone().map_or(ServerState::LookingUp, ServerState::Unresolved),
                };
                if nhs.registrations.is_empty() {
                    rows.push(row);
                    continue;
                }
                for r in nhs.registrations.iter().filter_map(|id| self.registrations.get(id.key())) {
                    rows.push(ServerStanding {
                        nbma: Some(r.nbma),
                        protocol: r.learned.or(row.protocol),
                        state: server_state(r, interface.family(afi).protocol.is_some()),
                        ..row.clone()
                    });
                }
            }
        }
        rows
    }

    /// Shortcuts of a family and questions under way, by prefix.
    #[must_use]
    pub fn shortcut_standings(&self, afi: Afi) -> Vec<ShortcutStanding> {
        let mut rows: Vec<ShortcutStanding> = self
            .shortcuts
            .iter()
            .filter(|(_, s)| afi_of(s.prefix.addr()) == afi)
            .map(|(_, s)| self.shortcut_row(s))
            .collect();
        let asked = self.resolutions.iter().map(|(_, r)| r).filter(|r| afi_of(r.target) == afi);
        // A renewal is not a shortcut of its own.
        for r in asked.filter(|r| self.shortcut_index.lookup(r.target).is_none()) {
            let state = match r.refusal {
                Some(refusal) => ShortcutState::Refused(refusal),
                None => ShortcutState::Asking { since: r.started, requests: r.attempt },
            };
            rows.push(ShortcutStanding {
                prefix: host(r.target),
                target: r.target,
                via: None,
                nbma: None,
                interface: r.asker.map(|i| self.interface_name(i)),
                expires: None,
                state,
            });
        }
        rows.sort_by_key(|r| r.prefix);
        rows
    }

    pub(crate) fn shortcut_row(&self, s: &Shortcut) -> ShortcutStanding {
        let peer = s.gateway.and_then(|g| self.cache.get(g.key()));
        let state = match peer {
            None => ShortcutState::Unreachable,
            Some(peer) if !peer.installed => ShortcutState::Waiting,
            Some(peer) => ShortcutState::Active {
                used: peer.used,
                renewing: self.resolving.contains_key(&s.target),
                expiring: matches!(s.stage, Stage::Expiring | Stage::Leaving(_)),
            },
        };
        ShortcutStanding {
            prefix: s.prefix,
            target: s.target,
            via: peer.map(|e| e.protocol),
            nbma: peer.and_then(|e| e.nbma),
            interface: peer.map(|e| self.interface_name(e.interface)),
            expires: Some(s.expires),
            state,
        }
    }
}

fn configured(protocol: NhsProtocol) -> Option<IpAddr> {
    match protocol {
        NhsProtocol::Address(address) => Some(address),
        NhsProtocol::Dynamic => None,
    }
}

fn server_state(r: &Registration, has_address: bool) -> ServerState {
    if r.standby {
        return ServerState::Standby;
    }
    let (since, requests) = r.asked.unzip();
    let requests = requests.unwrap_or(0);
    match (r.registered, r.refused, since) {
        (true, ..) => ServerState::Registered {
            since: r.accepted.unwrap_or(Instant::ZERO),
            renewal: r.timer,
            unanswered: r.failures,
        },
        (false, Some((refusal, since)), _) if requests < SILENT_AFTER => {
            ServerState::Refused { refusal, since }
        }
        (false, _, Some(since)) if has_address => ServerState::Asking { since, requests },
        _ => ServerState::NoAddress,
    }
}
