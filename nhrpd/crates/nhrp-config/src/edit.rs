//! One change of the configuration, and why it can be refused.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Afi, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol, TunnelProtection, Uniqueness};

/// One change. What a `no` form takes but ignores is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `[no] nhrp event socket PATH`
    EventSocket(Option<String>),
    /// `[no] nhrp nflog-group N`
    NflogGroup(Option<u16>),
    /// `[no] nhrp multicast-nflog-group N`
    MulticastNflogGroup(Option<u16>),
    /// `[no] debug nhrp TOPIC`: these bits on or off.
    Debug {
        /// Bits of [`crate::DebugTopics`].
        bits: u16,
        /// On, or off.
        on: bool,
    },
    /// `interface NAME`: makes the (empty) section.
    CreateInterface(String),
    /// `no interface NAME`
    DeleteInterface(String),
    /// A command inside `interface NAME`.
    Interface {
        /// Interface name.
        name: String,
        /// The change.
        edit: InterfaceEdit,
    },
}

/// One change below `interface NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceEdit {
    /// `[no] description TEXT`
    Description(Option<String>),
    /// `[no] tunnel protection vici profile P [fallback-profile F]`
    Protection(Option<TunnelProtection>),
    /// `[no] tunnel source IF`
    TunnelSource(Option<String>),
    /// `[no] <ip|ipv6> nhrp authentication SECRET`
    Authentication(Afi, Option<String>),
    /// `[no] … network-id N` (0 for `no`)
    NetworkId(Afi, u32),
    /// `[no] … holdtime N` (the default for `no`)
    Holdtime(Afi, u16),
    /// `[no] ip nhrp mtu …`
    Mtu(Mtu),
    /// `[no] … shortcut`
    Shortcut(Afi, bool),
    /// `[no] … redirect`
    Redirect(Afi, bool),
    /// `[no] … registration no-unique`
    NoUnique(Afi, bool),
    /// `[no] … registration unique <strict|replace>` (the default for `no`)
    Uniqueness(Afi, Uniqueness),
    /// `[no] … registration require-identity`
    RequireIdentity(Afi, bool),
    /// `… registration identity PREFIX IDENTITY`
    Identity(Afi, IpNet, String),
    /// `no … registration identity PREFIX IDENTITY`
    NoIdentity(Afi, IpNet, String),
    /// `… map PROTOCOL TARGET`
    Map(Afi, IpAddr, MapTarget),
    /// `no … map PROTOCOL`
    NoMap(Afi, IpAddr),
    /// `… map multicast TARGET`
    Multicast(Afi, MulticastTarget),
    /// `no … map multicast TARGET`
    NoMulticast(Afi, MulticastTarget),
    /// `… nhs PROTOCOL nbma NBMA [priority N]`
    Nhs(Afi, NhsConfig),
    /// `no … nhs PROTOCOL nbma NBMA`
    NoNhs(Afi, NhsProtocol, String),
}

/// Why an edit is refused. `Display` is FRR's text for vty, without the trailing newline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// An IPv6 address below `ip`, or the other way round.
    #[error("% Protocol address family does not match command (ip/ipv6 mismatch)")]
    FamilyMismatch,
    /// The same NHS or multicast map is there already.
    #[error("% Entry exists already")]
    Exists,
    /// `no` of an NHS or multicast map that is not there.
    #[error("% Entry not found")]
    NotFound,
    /// `no map` of an unknown address.
    #[error("% Command failed")]
    Failed,
    /// Password longer than eight characters.
    #[error("Password size limit exceeded ({0}>8)")]
    PasswordTooLong(usize),
    /// A text that could not be read back as it was typed: empty, several words where one is meant, or with control
    /// characters. The vty grammar lets none through; other doors might.
    #[error("% Malformed {0}")]
    Malformed(&'static str),
}
