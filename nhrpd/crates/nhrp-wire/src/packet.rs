//! The packet as a value: fixed header, mandatory part, extensions (RFC 2332 section 5).

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::{Cie, ErrorCode, Extension, ExtensionType, PacketType};

/// Address family of the NBMA network or of the protocol above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: address family number 1, protocol type 0x0800.
    V4,
    /// IPv6: address family number 2, protocol type 0x86DD.
    V6,
}

impl Family {
    /// Family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Family with this number in `ar$afn`.
    #[must_use]
    pub fn from_afn(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }

    /// Family with this number in `ar$pro.type`, an Ethertype.
    #[must_use]
    pub fn from_protocol_type(number: u16) -> Option<Self> {
        match number {
            0x0800 => Some(Self::V4),
            0x86DD => Some(Self::V6),
            _ => None,
        }
    }

    /// Number for `ar$afn`.
    #[must_use]
    pub fn afn(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }

    /// Number for `ar$pro.type`, an Ethertype.
    #[must_use]
    pub fn protocol_type(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86DD,
        }
    }

    /// Octets of an address.
    #[must_use]
    pub fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// A decoded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// `ar$afn`.
    pub nbma_family: Family,
    /// `ar$pro.type`.
    pub protocol_family: Family,
    /// Hops that the packet may still travel.
    pub hop_count: u8,
    /// Flag bits, see [`crate::flags`].
    pub flags: u16,
    /// NBMA address of the station that started the exchange; kept by those that forward and answer.
    pub source_nbma: Option<IpAddr>,
    /// Source NBMA subaddress, normally empty.
    pub source_nbma_subaddress: Vec<u8>,
    /// Protocol address of the station that started the exchange.
    pub source_protocol: Option<IpAddr>,
    /// Protocol address that the exchange is about.
    pub destination_protocol: Option<IpAddr>,
    /// The rest of the mandatory part.
    pub message: Message,
    /// Extensions in their order, without End.
    pub extensions: Vec<Extension>,
}

impl Packet {
    /// A packet from `source` about `destination`, without flags and extensions; the families follow from the
    /// addresses.
    #[must_use]
    pub fn new(
        source_nbma: IpAddr,
        source_protocol: IpAddr,
        destination_protocol: IpAddr,
        hop_count: u8,
        message: Message,
    ) -> Self {
        Self {
            nbma_family: Family::of(source_nbma),
            protocol_family: Family::of(destination_protocol),
            hop_count,
            flags: 0,
            source_nbma: Some(source_nbma),
            source_nbma_subaddress: Vec::new(),
            source_protocol: Some(source_protocol),
            destination_protocol: Some(destination_protocol),
            message,
            extensions: Vec::new(),
        }
    }

    /// The same packet with these flag bits set.
    #[must_use]
    pub fn with_flags(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }

    /// The same packet with an extension more.
    #[must_use]
    pub fn with_extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The first extension of a type.
    #[must_use]
    pub fn extension(&self, wanted: ExtensionType) -> Option<&Extension> {
        self.extensions.iter().find(|x| x.body.extension_type() == wanted)
    }

    /// The first extension of a type, to be changed in place.
    pub fn extension_mut(&mut self, wanted: ExtensionType) -> Option<&mut Extension> {
        self.extensions.iter_mut().find(|x| x.body.extension_type() == wanted)
    }
}

/// What the six request and reply types share.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Exchange {
    /// Request id, copied from the request into its reply.
    pub request_id: u32,
    /// Client information entries.
    pub cies: Vec<Cie>,
}

/// Mandatory part by packet type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1.
    ResolutionRequest(Exchange),
    /// Type 2.
    ResolutionReply(Exchange),
    /// Type 3.
    RegistrationRequest(Exchange),
    /// Type 4.
    RegistrationReply(Exchange),
    /// Type 5.
    PurgeRequest(Exchange),
    /// Type 6.
    PurgeReply(Exchange),
    /// Type 7.
    ErrorIndication {
        /// What went wrong.
        code: ErrorCode,
        /// Octet in the offending packet at which it went wrong.
        offset: u16,
        /// As much of the offending packet as the sender kept.
        packet: Vec<u8>,
    },
    /// Type 8. The 32 bits of the request id are unused: FRR sends 0.
    TrafficIndication {
        /// The 32 bits where other types have their request id.
        unused: u32,
        /// Start of the data packet that took the detour, from its IP header.
        packet: Vec<u8>,
    },
}

impl Message {
    /// The packet type that carries this message.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::ResolutionRequest(_) => PacketType::ResolutionRequest,
            Self::ResolutionReply(_) => PacketType::ResolutionReply,
            Self::RegistrationRequest(_) => PacketType::RegistrationRequest,
            Self::RegistrationReply(_) => PacketType::RegistrationReply,
            Self::PurgeRequest(_) => PacketType::PurgeRequest,
            Self::PurgeReply(_) => PacketType::PurgeReply,
            Self::ErrorIndication { .. } => PacketType::ErrorIndication,
            Self::TrafficIndication { .. } => PacketType::TrafficIndication,
        }
    }

    /// Request id and entries, for the six types that have them.
    #[must_use]
    pub fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::ResolutionRequest(x)
            | Self::ResolutionReply(x)
            | Self::RegistrationRequest(x)
            | Self::RegistrationReply(x)
            | Self::PurgeRequest(x)
            | Self::PurgeReply(x) => Some(x),
            Self::ErrorIndication { .. } | Self::TrafficIndication { .. } => None,
        }
    }

    /// Request id and entries, for the six types that have them, to be changed in place.
    pub fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match self {
            Self::ResolutionRequest(x)
            | Self::ResolutionReply(x)
            | Self::RegistrationRequest(x)
            | Self::RegistrationReply(x)
            | Self::PurgeRequest(x)
            | Self::PurgeReply(x) => Some(x),
            Self::ErrorIndication { .. } | Self::TrafficIndication { .. } => None,
        }
    }
}
