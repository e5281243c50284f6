//! What the engine has to say to an operator: typed, so that the daemon can rate-limit and count by kind.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_wire::PacketType;
use serde::{Deserialize, Serialize};

/// One message with its topic and weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// A packet was refused as it stands.
    PacketRefused {
        /// NBMA source.
        source: IpAddr,
        /// Why.
        reason: String,
        /// It could not be read, or its answer not be written: the reason names a field, and there are many of them.
        malformed: bool,
    },
    /// A packet came or went (debug).
    Packet {
        /// Sent, or received.
        sent: bool,
        /// Type number.
        kind: u8,
        /// Source protocol address.
        from: Option<IpAddr>,
        /// Destination protocol address.
        to: Option<IpAddr>,
        /// NBMA address of the other side.
        nbma: IpAddr,
    },
    /// A multicast packet is replicated (debug).
    Multicast {
        /// Interface by which it leaves.
        name: String,
        /// The group.
        to: IpAddr,
        /// Its length.
        octets: usize,
        /// How many copies are sent.
        receivers: usize,
    },
    /// A packet that the firewall handed over for replication is not replicated.
    MulticastRefused {
        /// Interface by which it was to leave.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// NHRP starts or stops on an interface.
    InterfaceState {
        /// Name.
        name: String,
        /// The reason why it does not run, none if it does.
        obstacle: Option<String>,
    },
    /// An NHS accepted our registration for the first time, or again after a failure.
    Registered {
        /// Interface.
        name: String,
        /// NBMA address of the NHS.
        nhs: IpAddr,
        /// Its overlay address.
        protocol: IpAddr,
    },
    /// An NHS does not answer, or refuses.
    RegistrationFailed {
        /// Interface.
        name: String,
        /// NBMA address of the NHS.
        nhs: IpAddr,
        /// Why.
        reason: String,
    },
    /// The name of an NHS does not resolve.
    NameUnresolved {
        /// Interface.
        name: String,
        /// The host name.
        host: String,
        /// The resolver's words.
        error: String,
        /// What it resolved to before stays in use.
        kept: bool,
    },
    /// The name of an NHS leads somewhere for the first time, elsewhere than before, or again.
    NameResolved {
        /// Interface.
        name: String,
        /// The host name.
        host: String,
        /// The NBMA addresses that are registered with.
        addresses: Vec<IpAddr>,
    },
    /// A client registered for the first time or moved.
    ClientRegistered {
        /// Interface.
        name: String,
        /// Its overlay address.
        protocol: IpAddr,
        /// Its NBMA address.
        nbma: IpAddr,
    },
    /// A station wants an overlay address that another one has registered as its own.
    AddressContested {
        /// Interface.
        name: String,
        /// The overlay address.
        protocol: IpAddr,
        /// NBMA address of the one that has it.
        holder: IpAddr,
        /// NBMA address of the one that wants it.
        newcomer: IpAddr,
        /// What happens.
        outcome: String,
    },
    /// A client wants an overlay address that its IPsec identity may not have.
    IdentityRefused {
        /// Interface.
        name: String,
        /// The overlay address.
        protocol: IpAddr,
        /// Its NBMA address.
        nbma: IpAddr,
        /// Why.
        reason: String,
    },
    /// A client left, or its registration was taken away.
    ClientLeft {
        /// Interface.
        name: String,
        /// Its overlay address.
        protocol: IpAddr,
        /// Why.
        reason: String,
    },
    /// A binding was not accepted by whoever has to.
    NotAuthorised {
        /// Interface.
        name: String,
        /// Overlay address.
        protocol: IpAddr,
        /// NBMA address.
        nbma: Option<IpAddr>,
        /// Why.
        reason: String,
    },
    /// A shortcut came.
    ShortcutAdded {
        /// Prefix.
        prefix: IpNet,
        /// Overlay address of the peer.
        via: IpAddr,
    },
    /// A shortcut went.
    ShortcutRemoved {
        /// Prefix.
        prefix: IpNet,
        /// Why.
        reason: String,
    },
    /// A resolution request is repeated (FRR's words, which its tests count).
    ResolutionRetry {
        /// What is looked up.
        target: IpAddr,
    },
    /// A configured limit was met.
    Limit {
        /// Which one and what to do.
        what: String,
    },
}

/// Weight of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Something is wrong that an operator can mend.
    Warning,
    /// A change of state.
    Info,
    /// For those who look.
    Debug,
}

/// FRR's debug topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Packets, registration, resolution, cache.
    Common,
    /// Interfaces.
    Interface,
    /// Routes and shortcuts.
    Route,
}

impl Notice {
    /// What kind of message it is, for a limit of its own to how often it is written: each kind of fault of a packet
    /// and each limit is one. None for what peers cannot cause at will.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match self {
            // No more kinds of it than fields: they would make a message for each octet of a flood.
            Self::PacketRefused { malformed: true, .. } => Some("malformed"),
            Self::PacketRefused { reason, .. } => Some(reason),
            // Its text names what was configured, never what a peer chose: that would be a kind for each peer.
            Self::Limit { what } => Some(what),
            Self::NameUnresolved { .. } => Some("names"),
            Self::RegistrationFailed { .. } => Some("registrations"),
            Self::AddressContested { .. } => Some("contested addresses"),
            Self::IdentityRefused { .. } => Some("identities"),
            Self::MulticastRefused { .. } => Some("multicast refused"),
            Self::NotAuthorised { .. } => Some("not authorised"),
            _ => None,
        }
    }

    /// Weight.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::RegistrationFailed { .. }
            | Self::NameUnresolved { .. }
            | Self::AddressContested { .. }
            | Self::IdentityRefused { .. }
            | Self::MulticastRefused { .. }
            | Self::Limit { .. }
            | Self::InterfaceState { obstacle: Some(_), .. } => Level::Warning,
            Self::PacketRefused { .. }
            | Self::InterfaceState { .. }
            | Self::Registered { .. }
            | Self::NotAuthorised { .. }
            | Self::NameResolved { .. } => Level::Info,
            Self::Packet { .. }
            | Self::Multicast { .. }
            | Self::ClientRegistered { .. }
            | Self::ClientLeft { .. }
            | Self::ShortcutAdded { .. }
            | Self::ShortcutRemoved { .. }
            | Self::ResolutionRetry { .. } => Level::Debug,
        }
    }

    /// Debug topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::InterfaceState { .. } => Topic::Interface,
            Self::ShortcutAdded { .. } | Self::ShortcutRemoved { .. } => Topic::Route,
            _ => Topic::Common,
        }
    }
}

struct OrDash(Option<IpAddr>);

impl fmt::Display for OrDash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// FRR's name of a packet type in its debug lines.
#[must_use]
pub fn packet_type_name(kind: u8) -> &'static str {
    const NAMES: [(PacketType, &str); 8] = [
        (PacketType::ResolutionRequest, "Resolution-Request"),
        (PacketType::ResolutionReply, "Resolution-Reply"),
        (PacketType::RegistrationRequest, "Registration-Request"),
        (PacketType::RegistrationReply, "Registration-Reply"),
        (PacketType::PurgeRequest, "Purge-Request"),
        (PacketType::PurgeReply, "Purge-Reply"),
        (PacketType::ErrorIndication, "Error-Indication"),
        (PacketType::TrafficIndication, "Traffic-Indication"),
    ];
    NAMES.iter().find(|(t, _)| *t as u8 == kind).map_or("Unknown", |(_, name)| name)
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketRefused { source, reason, .. } => write!(f, "From {source}: error: {reason}"),
            Self::Packet { sent, kind, from, to, nbma } => write!(
                f,
                "{} {}({kind}) {} -> {} ({} {nbma})",
                if *sent { "Send" } else { "Recv" },
                packet_type_name(*kind),
                OrDash(*from),
                OrDash(*to),
                if *sent { "to" } else { "from" },
            ),
            Self::Multicast { name, to, octets, receivers } => {
                write!(f, "Multicast packet to {to} leaving {name}, {octets} octets: {receivers} copies")
            }
            Self::MulticastRefused { name, reason } => {
                write!(f, "{name}: a packet of the multicast NFLOG group is not replicated: {reason}")
            }
            Self::InterfaceState { name, obstacle: None } => write!(f, "{name}: NHRP is running"),
            Self::InterfaceState { name, obstacle: Some(why) } => {
                write!(f, "{name}: NHRP does not run: {why}")
            }
            Self::Registered { name, nhs, protocol } => {
                write!(f, "{name}: registered with NHS {protocol} at {nhs}")
            }
            Self::RegistrationFailed { name, nhs, reason } => {
                write!(f, "{name}: not registered with NHS {nhs}: {reason}")
            }
            Self::NameUnresolved { name, host, error, kept } => write!(
                f,
                "{name}: NHS name {host} does not resolve: {error}; {}retrying every 5 s",
                if *kept { "its former addresses stay in use, " } else { "" }
            ),
            Self::NameResolved { name, host, addresses } => {
                write!(f, "{name}: NHS name {host} leads to ")?;
                for (at, address) in addresses.iter().enumerate() {
                    write!(f, "{}{address}", if at == 0 { "" } else { ", " })?;
                }
                if addresses.is_empty() { f.write_str("this node alone") } else { Ok(()) }
            }
            Self::ClientRegistered { name, protocol, nbma } => {
                write!(f, "{name}: {protocol} registered from {nbma}")
            }
            Self::AddressContested { name, protocol, holder, newcomer, outcome } => write!(
                f,
                "{name}: {newcomer} wants to register {protocol}, which {holder} has registered as unique: {outcome}"
            ),
            Self::IdentityRefused { name, protocol, nbma, reason } => {
                write!(f, "{name}: {nbma} may not register {protocol}: {reason}")
            }
            Self::ClientLeft { name, protocol, reason } => {
                write!(f, "{name}: {protocol} is not registered any more: {reason}")
            }
            Self::NotAuthorised { name, protocol, nbma, reason } => {
                write!(f, "{name}: {protocol} at {} is not used: {reason}", OrDash(*nbma))
            }
            Self::ShortcutAdded { prefix, via } => write!(f, "Shortcut: {prefix} via {via}"),
            Self::ShortcutRemoved { prefix, reason } => write!(f, "Shortcut: {prefix} removed: {reason}"),
            Self::ResolutionRetry { target } => {
                write!(f, "Shortcut: Retrying Resolution Request for {target}")
            }
            Self::Limit { what } => f.write_str(what),
        }
    }
}
