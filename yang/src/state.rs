//! What is known at present, as data. Owns the correspondence of nodes and facts; the facts are the daemon's, in
//! plain types that any thread may write down.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::{Schema, Tree, TreeError};

/// Everything that is known.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Interfaces on which anything is configured or known.
    pub interfaces: Vec<InterfaceState>,
    /// What belongs to none.
    pub global: GlobalState,
}

/// `/frr-interface:lib/interface/frr-nhrpd:nhrp/state`
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InterfaceState {
    /// Key of the entry that all this is in.
    #[serde(skip)]
    pub name: String,
    /// Own NBMA address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbma_address: Option<IpAddr>,
    /// As the servers see it, if that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_nbma_address: Option<IpAddr>,
    /// Families that have a network id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<FamilyState>,
    /// Bindings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<CacheEntry>,
    /// Registrations with servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registration: Vec<Registration>,
    /// Peers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer: Vec<Peer>,
}

/// Family of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `ip`
    Ipv4,
    /// `ipv6`
    Ipv6,
}

/// One family of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FamilyState {
    /// Key.
    pub family: Family,
    /// NHRP runs.
    pub running: bool,
    /// What is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Own overlay address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_address: Option<IpAddr>,
}

/// One binding. Words are those of the model's enumerations.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CacheEntry {
    /// Key.
    pub protocol_address: IpAddr,
    /// `dynamic`, `nhs`, `static`, `local`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `resolved`, `registered`, `configured`.
    pub origin: &'static str,
    /// Where packets are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbma_address: Option<IpAddr>,
    /// What the peer believes to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_nbma_address: Option<IpAddr>,
    /// After translation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_nbma_address: Option<IpAddr>,
    /// Told to kernel and zebra.
    pub up: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Packets went there lately.
    pub used: bool,
    /// Nobody else may register it.
    pub unique: bool,
    /// Octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Seconds.
    pub age: u32,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
    /// Of IPsec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registration {
    /// Key.
    pub family: Family,
    /// Key: as configured.
    pub nhs: String,
    /// Key: from 1.
    pub instance: u32,
    /// If known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbma_address: Option<IpAddr>,
    /// Configured or learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_address: Option<IpAddr>,
    /// Lower is preferred.
    pub priority: u8,
    /// A word of `registration-state`.
    pub state: &'static str,
    /// Why it is not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u32>,
    /// Without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_in: Option<u32>,
}

/// One peer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Peer {
    /// Key.
    pub nbma_address: IpAddr,
    /// Overlay addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocol_address: Vec<IpAddr>,
    /// Prefixes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<IpNet>,
    /// Configured as a server.
    pub next_hop_server: bool,
}

/// `/frr-nhrpd:nhrp/state`
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GlobalState {
    /// Direct paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<Shortcut>,
    /// `show dmvpn`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_association: Vec<SecurityAssociation>,
    /// charon.
    pub ipsec: Ipsec,
    /// Counters.
    pub statistics: Statistics,
}

/// One direct path, or a question for one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shortcut {
    /// Key.
    pub prefix: IpNet,
    /// `asking`, `refused`, `unreachable`, `waiting`, `active`.
    pub state: &'static str,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was asked for.
    pub target: IpAddr,
    /// Overlay address of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// NBMA address of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbma_address: Option<IpAddr>,
    /// Of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Packets went there lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<bool>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// One pair of NBMA addresses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecurityAssociation {
    /// Key; without an address it is unknown.
    #[serde(serialize_with = "or_unknown")]
    pub local_nbma: Option<IpAddr>,
    /// Key.
    pub remote_nbma: IpAddr,
    /// That are up.
    pub associations: u32,
    /// Of the peer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identity: String,
}

fn or_unknown<S: Serializer>(address: &Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => address.serialize(serializer),
        None => "unknown".serialize(serializer),
    }
}

/// charon.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ipsec {
    /// `none`, `down`, `probing`, `patched`, `stock`.
    pub mode: &'static str,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Default for Ipsec {
    fn default() -> Self {
        Self { mode: "none", reason: None, version: None, last_error: None }
    }
}

/// Counters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Statistics {
    /// By packet type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<Packets>,
    /// All else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counter: Vec<Counter>,
}

/// Words of the model's `packet-type`, by number minus one.
pub const PACKET_TYPES: [&str; 8] = [
    "resolution-request",
    "resolution-reply",
    "registration-request",
    "registration-reply",
    "purge-request",
    "purge-reply",
    "error-indication",
    "traffic-indication",
];

/// Packets of one type.
#[derive(Clone, Debug, Serialize)]
pub struct Packets {
    /// Key: one of [`PACKET_TYPES`].
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Received.
    #[serde(serialize_with = "as_text")]
    pub received: u64,
    /// Sent.
    #[serde(serialize_with = "as_text")]
    pub sent: u64,
}

/// One counter.
#[derive(Clone, Debug, Serialize)]
pub struct Counter {
    /// Key: for programs.
    pub name: &'static str,
    /// For people.
    pub meaning: &'static str,
    /// Value.
    #[serde(serialize_with = "as_text")]
    pub count: u64,
}

/// RFC 7951 section 6.1: numbers of 64 bits are strings.
fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "frr-interface:lib")]
    lib: Lib<'a>,
    #[serde(rename = "frr-nhrpd:nhrp")]
    nhrp: Holder<&'a GlobalState>,
}

#[derive(Serialize)]
struct Lib<'a> {
    interface: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    #[serde(rename = "frr-nhrpd:nhrp")]
    nhrp: Holder<&'a InterfaceState>,
}

#[derive(Serialize)]
struct Holder<T> {
    state: T,
}

impl State {
    /// As data, with nothing of the configuration but the names of interfaces.
    ///
    /// # Errors
    /// Facts that the model does not know, which tests rule out.
    pub fn document<'s>(&self, schema: &'s Schema) -> Result<Tree<'s>, TreeError> {
        let interface =
            self.interfaces.iter().map(|state| Entry { name: &state.name, nhrp: Holder { state } }).collect();
        let document = Document { lib: Lib { interface }, nhrp: Holder { state: &self.global } };
        let text = serde_json::to_string(&document).map_err(|e| TreeError::Document(e.to_string()))?;
        Tree::parse_own(schema, &text)
    }
}
