//! The configuration as data: [`Config`] to a tree and back. Owns the correspondence of nodes and settings, as types
//! of serde in the form of RFC 7951; what libyang knows (types, keys, defaults) is not repeated.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_config::{
    AddressFamilySettings, Afi, Config, DEFAULT_HOLDTIME, DebugTopics, EditError, InterfaceConfig, MapTarget,
    Mtu, MulticastTarget, NhsConfig, NhsProtocol, TunnelProtection, Uniqueness,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Schema, Tree, TreeError};

/// Why data are no configuration of this daemon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not valid as data.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Valid data of a module that is served and not configured by this way.
    #[error("{0} cannot be configured here; use vtysh")]
    Elsewhere(String),
    /// Valid data that no command could have made.
    #[error("interface {interface}: {reason}")]
    Interface {
        /// Interface name.
        interface: String,
        /// As the command line would say it.
        reason: EditError,
    },
    /// The same of what belongs to no interface.
    #[error("/frr-nhrpd:nhrp: {0}")]
    Global(EditError),
    /// The model and this program do not agree, which tests rule out.
    #[error("cannot be understood: {0}")]
    Mapping(String),
}

/// Configuration to data, valid and with defaults.
///
/// # Errors
/// Settings that the model does not know, which tests rule out.
pub fn document_of<'s>(schema: &'s Schema, config: &Config) -> Result<Tree<'s>, DocumentError> {
    let document = Document::from(config);
    let text = serde_json::to_string(&document).map_err(|e| DocumentError::Mapping(e.to_string()))?;
    Ok(Tree::parse(schema, &text, crate::Format::Json)?)
}

/// Data to configuration. The tree has to be valid, and is checked as the command line would.
///
/// # Errors
/// What the data ask for cannot be configured; the text names the path or interface.
pub fn config_of(tree: &Tree<'_>) -> Result<Config, DocumentError> {
    let document: Document =
        serde_json::from_str(&tree.json()?).map_err(|e| DocumentError::Mapping(e.to_string()))?;
    if let Some(other) = document.others.into_keys().next() {
        return Err(DocumentError::Elsewhere(format!("/{other}")));
    }
    let mut config = Config {
        event_socket: document.nhrp.event_socket,
        nflog_group: document.nhrp.nflog_group,
        multicast_nflog_group: document.nhrp.multicast_nflog_group,
        debug: topics(&document.nhrp.debug)?,
        interfaces: BTreeMap::new(),
    };
    config.validate().map_err(DocumentError::Global)?;
    for entry in document.lib.interface {
        let name = entry.name.clone();
        let interface = InterfaceConfig::from(entry);
        let alone = Config { interfaces: [(name.clone(), interface.clone())].into(), ..Config::default() };
        alone.validate().map_err(|reason| DocumentError::Interface { interface: name.clone(), reason })?;
        config.interfaces.insert(name, interface);
    }
    Ok(config)
}

fn topics(names: &[String]) -> Result<DebugTopics, DocumentError> {
    let mut bits = 0;
    for name in names {
        let topic = DebugTopics::NAMES.iter().find(|(_, topic)| topic == name).map(|(bit, _)| *bit);
        let topic = topic.or((name == "all").then_some(DebugTopics::ALL));
        bits |= topic.ok_or_else(|| DocumentError::Mapping(format!("debug topic {name}")))?;
    }
    Ok(DebugTopics(bits))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(rename = "frr-interface:lib", skip_serializing_if = "is_default")]
    lib: Lib,
    #[serde(rename = "frr-nhrpd:nhrp", skip_serializing_if = "is_default")]
    nhrp: Global,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lib {
    interface: Vec<Interface>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Global {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_socket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nflog_group: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multicast_nflog_group: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    debug: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Interface {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(rename = "frr-nhrpd:nhrp", skip_serializing_if = "is_default")]
    nhrp: Nhrp,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nhrp {
    #[serde(skip_serializing_if = "is_default")]
    tunnel: Tunnel,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<Authentication>,
    #[serde(skip_serializing_if = "is_default")]
    ipv4: Family,
    #[serde(skip_serializing_if = "is_default")]
    ipv6: Family,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tunnel {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<Protection>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Protection {
    profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback_profile: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FamilyName {
    #[default]
    Ipv4,
    Ipv6,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Authentication {
    secret: String,
    #[serde(default, skip_serializing_if = "is_default")]
    configured_under: FamilyName,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Family {
    #[serde(skip_serializing_if = "is_default")]
    network_id: u32,
    holdtime: u16,
    #[serde(skip_serializing_if = "is_default")]
    shortcut: bool,
    #[serde(skip_serializing_if = "is_default")]
    redirect: bool,
    #[serde(skip_serializing_if = "is_default")]
    registration_no_unique: bool,
    #[serde(skip_serializing_if = "is_default")]
    registration_unique: Unique,
    #[serde(skip_serializing_if = "is_default")]
    registration_require_identity: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    registration_identity: Vec<Identity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    multicast: Vec<Multicast>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<MtuValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nhs: Vec<Nhs>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    map: Vec<Map>,
}

impl Default for Family {
    fn default() -> Self {
        Self {
            network_id: 0,
            holdtime: DEFAULT_HOLDTIME,
            shortcut: false,
            redirect: false,
            registration_no_unique: false,
            registration_unique: Unique::default(),
            registration_require_identity: false,
            registration_identity: Vec::new(),
            multicast: Vec::new(),
            mtu: None,
            nhs: Vec::new(),
            map: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unique {
    #[default]
    Replace,
    Strict,
}

/// Of a union the numbers and addresses are tried first, then the words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum MtuValue {
    Octets(u16),
    Word(OpenNhrp),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OpenNhrp {
    OpenNhrp,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Multicast {
    Address(IpAddr),
    Word(MulticastWord),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MulticastWord {
    Dynamic,
    Nhs,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum ProtocolAddress {
    Address(IpAddr),
    Word(Dynamic),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dynamic {
    Dynamic,
}

fn dynamic() -> ProtocolAddress {
    ProtocolAddress::Word(Dynamic::Dynamic)
}

/// Who may register addresses of a prefix.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    prefix: IpNet,
    identity: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Nhs {
    nbma: String,
    #[serde(default = "dynamic")]
    protocol_address: ProtocolAddress,
    #[serde(default, skip_serializing_if = "is_default")]
    priority: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Target {
    Address(IpAddr),
    Word(Local),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Local {
    Local,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Map {
    protocol_address: IpAddr,
    nbma: Target,
}

impl From<&Config> for Document {
    fn from(config: &Config) -> Self {
        Self {
            lib: Lib { interface: config.interfaces.iter().map(Interface::from).collect() },
            nhrp: Global {
                event_socket: config.event_socket.clone(),
                nflog_group: config.nflog_group,
                multicast_nflog_group: config.multicast_nflog_group,
                debug: config.debug.topic_names().into_iter().map(str::to_owned).collect(),
            },
            others: BTreeMap::new(),
        }
    }
}

impl From<(&String, &InterfaceConfig)> for Interface {
    fn from((name, config): (&String, &InterfaceConfig)) -> Self {
        Self {
            name: name.clone(),
            description: config.description.clone(),
            nhrp: Nhrp {
                tunnel: Tunnel {
                    source: config.tunnel_source.clone(),
                    protection: config
                        .protection
                        .clone()
                        .map(|p| Protection { profile: p.profile, fallback_profile: p.fallback }),
                },
                authentication: config.authentication.clone().map(|(afi, secret)| Authentication {
                    secret,
                    configured_under: match afi {
                        Afi::Ip => FamilyName::Ipv4,
                        Afi::Ipv6 => FamilyName::Ipv6,
                    },
                }),
                ipv4: Family::from(&config.ip),
                ipv6: Family::from(&config.ipv6),
            },
        }
    }
}

impl From<&AddressFamilySettings> for Family {
    fn from(settings: &AddressFamilySettings) -> Self {
        Self {
            network_id: settings.network_id,
            holdtime: settings.holdtime,
            shortcut: settings.shortcut,
            redirect: settings.redirect,
            registration_no_unique: settings.no_unique,
            registration_unique: match settings.uniqueness {
                Uniqueness::Replace => Unique::Replace,
                Uniqueness::Strict => Unique::Strict,
            },
            registration_require_identity: settings.require_identity,
            registration_identity: settings
                .identities
                .iter()
                .map(|(prefix, identity)| Identity { prefix: *prefix, identity: identity.clone() })
                .collect(),
            multicast: settings
                .multicast
                .iter()
                .map(|target| match target {
                    MulticastTarget::Nbma(address) => Multicast::Address(*address),
                    MulticastTarget::Dynamic => Multicast::Word(MulticastWord::Dynamic),
                    MulticastTarget::Nhs => Multicast::Word(MulticastWord::Nhs),
                })
                .collect(),
            mtu: match settings.mtu {
                Mtu::Unset => None,
                Mtu::OpenNhrp => Some(MtuValue::Word(OpenNhrp::OpenNhrp)),
                Mtu::Octets(octets) => Some(MtuValue::Octets(octets)),
            },
            nhs: settings
                .nhs
                .iter()
                .map(|nhs| Nhs {
                    nbma: nhs.nbma.clone(),
                    protocol_address: match nhs.protocol {
                        NhsProtocol::Dynamic => dynamic(),
                        NhsProtocol::Address(address) => ProtocolAddress::Address(address),
                    },
                    priority: nhs.priority,
                })
                .collect(),
            map: settings
                .maps
                .iter()
                .map(|(protocol, target)| Map {
                    protocol_address: *protocol,
                    nbma: match target {
                        MapTarget::Local => Target::Word(Local::Local),
                        MapTarget::Nbma(address) => Target::Address(*address),
                    },
                })
                .collect(),
        }
    }
}

impl From<Interface> for InterfaceConfig {
    fn from(entry: Interface) -> Self {
        let nhrp = entry.nhrp;
        Self {
            description: entry.description,
            protection: nhrp
                .tunnel
                .protection
                .map(|p| TunnelProtection { profile: p.profile, fallback: p.fallback_profile }),
            tunnel_source: nhrp.tunnel.source,
            authentication: nhrp.authentication.map(|a| {
                let afi = match a.configured_under {
                    FamilyName::Ipv4 => Afi::Ip,
                    FamilyName::Ipv6 => Afi::Ipv6,
                };
                (afi, a.secret)
            }),
            ip: nhrp.ipv4.into(),
            ipv6: nhrp.ipv6.into(),
        }
    }
}

impl From<Family> for AddressFamilySettings {
    fn from(family: Family) -> Self {
        Self {
            network_id: family.network_id,
            holdtime: family.holdtime,
            mtu: match family.mtu {
                None => Mtu::Unset,
                Some(MtuValue::Word(OpenNhrp::OpenNhrp)) => Mtu::OpenNhrp,
                Some(MtuValue::Octets(octets)) => Mtu::Octets(octets),
            },
            shortcut: family.shortcut,
            redirect: family.redirect,
            no_unique: family.registration_no_unique,
            uniqueness: match family.registration_unique {
                Unique::Replace => Uniqueness::Replace,
                Unique::Strict => Uniqueness::Strict,
            },
            require_identity: family.registration_require_identity,
            identities: family
                .registration_identity
                .into_iter()
                .map(|entry| (entry.prefix.trunc(), entry.identity))
                .collect(),
            maps: family
                .map
                .into_iter()
                .map(|map| {
                    let target = match map.nbma {
                        Target::Word(Local::Local) => MapTarget::Local,
                        Target::Address(address) => MapTarget::Nbma(address),
                    };
                    (map.protocol_address, target)
                })
                .collect(),
            nhs: family
                .nhs
                .into_iter()
                .map(|nhs| NhsConfig {
                    protocol: match nhs.protocol_address {
                        ProtocolAddress::Word(Dynamic::Dynamic) => NhsProtocol::Dynamic,
                        ProtocolAddress::Address(address) => NhsProtocol::Address(address),
                    },
                    nbma: nhs.nbma,
                    priority: nhs.priority,
                })
                .collect(),
            multicast: family
                .multicast
                .into_iter()
                .map(|target| match target {
                    Multicast::Address(address) => MulticastTarget::Nbma(address),
                    Multicast::Word(MulticastWord::Dynamic) => MulticastTarget::Dynamic,
                    Multicast::Word(MulticastWord::Nhs) => MulticastTarget::Nhs,
                })
                .collect(),
        }
    }
}
