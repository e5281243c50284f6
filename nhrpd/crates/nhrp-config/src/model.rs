//! The whole configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::InterfaceConfig;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `nhrp event socket PATH`
    pub event_socket: Option<String>,
    /// `nhrp nflog-group N`
    pub nflog_group: Option<u16>,
    /// `nhrp multicast-nflog-group N`
    pub multicast_nflog_group: Option<u16>,
    /// `debug nhrp …`
    pub debug: DebugTopics,
    /// By interface name; an interface need not exist (yet).
    pub interfaces: BTreeMap<String, InterfaceConfig>,
}

/// FRR's debug flag word: one bit a topic, 0xFFFF for `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugTopics(pub u16);

impl DebugTopics {
    /// Packets, registration, resolution, cache, multicast.
    pub const COMMON: u16 = 0x01;
    /// Raw packet addresses, neighbour notifications, NFLOG.
    pub const KERNEL: u16 = 0x02;
    /// Interfaces, addresses, NBMA, MTU.
    pub const INTERFACE: u16 = 0x04;
    /// Route feed and shortcut routes.
    pub const ROUTE: u16 = 0x08;
    /// strongSwan.
    pub const VICI: u16 = 0x10;
    /// Event socket, GRE updates.
    pub const EVENT: u16 = 0x20;
    /// `debug nhrp all`.
    pub const ALL: u16 = 0xFFFF;
}
