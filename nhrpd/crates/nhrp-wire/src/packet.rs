//! The packet as a value: fixed header, mandatory part, extensions (RFC 2332 section 5).

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::{Cie, ErrorCode, Extension, PacketType};

/// Address family of the NBMA network or of the protocol above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: address family number 1, protocol type 0x0800.
    V4,
    /// IPv6: address family number 2, protocol type 0x86DD.
    V6,
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
}
