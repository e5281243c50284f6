//! NHRP packets, client information entries and extensions (RFC 2332, draft-detienne-dmvpn-01, Cisco extensions).
//!
//! Owns the octets on the wire and nothing else: [`Packet::decode`] never panics and never reads past the packet
//! size that the header states, [`Packet::encode`] writes what it is told. Whether a packet makes sense to the
//! protocol is the engine's business.
//!
//! ```
//! use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet, flags};
//!
//! let wanted = Cie { prefix_length: 32, holding_time: 600, ..Cie::default() };
//! let message = Message::ResolutionRequest(Exchange { request_id: 7, cies: vec![wanted] });
//! let (nbma, own, target) = ([192, 0, 2, 1].into(), [10, 0, 0, 1].into(), [10, 9, 0, 1].into());
//! let request = Packet::new(nbma, own, target, 64, message)
//!     .with_flags(flags::RESOLUTION_SOURCE_IS_ROUTER | flags::NAT)
//!     .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(vec![])));
//!
//! let mut octets = Vec::new();
//! request.encode(&mut octets)?;
//! assert_eq!(Packet::decode(&octets), Ok(request));
//! # Ok::<(), nhrp_wire::EncodeError>(())
//! ```
#![cfg_attr(not(test), no_std)]
extern crate alloc;

mod buffers;
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

pub use buffers::Buffers;
pub use cie::Cie;
pub use codes::{CieCode, ErrorCode, ExtensionType, PacketType, flags};
pub use decode::{DecodeError, DecodeErrorKind};
pub use encode::EncodeError;
pub use extension::{Extension, ExtensionBody};
pub use inner::InnerHeader;
pub use packet::{Exchange, Family, Message, Packet};
