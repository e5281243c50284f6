//! NHRP packets, client information entries and extensions (RFC 2332, draft-detienne-dmvpn-01, Cisco extensions).
//!
//! Owns the octets on the wire and nothing else: [`Packet::decode`] never panics and never reads past the packet
//! size that the header states, [`Packet::encode`] writes what it is told. Whether a packet makes sense to the
//! protocol is the engine's business.
#![cfg_attr(not(test), no_std)]
extern crate alloc;

pub mod checksum;
mod cie;
mod codes;
mod decode;
mod display;
mod encode;
mod extension;
pub mod field;
mod inner;
mod packet;
mod reader;

pub use cie::Cie;
pub use codes::{CieCode, ErrorCode, ExtensionType, PacketType, flags};
pub use decode::{DecodeError, DecodeErrorKind};
pub use encode::EncodeError;
pub use extension::{Extension, ExtensionBody};
pub use inner::InnerHeader;
pub use packet::{Exchange, Family, Message, Packet};
