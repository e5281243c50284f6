//! Packets as text: one line for logs, several (`{:#}`) for people.
//!
//! Owns the wording. Passwords in authentication extensions are never printed.

use core::fmt::{self, Display, Formatter};
use core::net::IpAddr;

use crate::{
    Cie, CieCode, ErrorCode, Extension, ExtensionBody, ExtensionType, Family, Message, Packet, PacketType,
};

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl Display for PacketType {
    /// The names in FRR's debug messages.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ResolutionRequest => "Resolution-Request",
            Self::ResolutionReply => "Resolution-Reply",
            Self::RegistrationRequest => "Registration-Request",
            Self::RegistrationReply => "Registration-Reply",
            Self::PurgeRequest => "Purge-Request",
            Self::PurgeReply => "Purge-Reply",
            Self::ErrorIndication => "Error-Indication",
            Self::TrafficIndication => "Traffic-Indication",
        })
    }
}

impl Display for CieCode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Success => "success",
            Self::AdministrativelyProhibited => "administratively prohibited",
            Self::InsufficientResources => "insufficient resources",
            Self::NoBinding => "no binding",
            Self::BindingNotUnique => "binding not unique",
            Self::AlreadyRegistered => "already registered",
            Self::Other(number) => return write!(f, "code {number}"),
        })
    }
}

impl Display for ErrorCode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::UnrecognizedExtension => "unrecognized extension",
            Self::LoopDetected => "loop detected",
            Self::ProtocolAddressUnreachable => "protocol address unreachable",
            Self::ProtocolError => "protocol error",
            Self::SduSizeExceeded => "SDU size exceeded",
            Self::InvalidExtension => "invalid extension",
            Self::InvalidResolutionReply => "invalid resolution reply",
            Self::AuthenticationFailure => "authentication failure",
            Self::HopCountExceeded => "hop count exceeded",
            Self::Other(number) => return write!(f, "error {number}"),
        })
    }
}

impl Display for ExtensionType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::End => "end",
            Self::ResponderAddress => "responder",
            Self::ForwardTransitNhs => "forward-transit",
            Self::ReverseTransitNhs => "reverse-transit",
            Self::Authentication => "authentication",
            Self::VendorPrivate => "vendor",
            Self::NatAddress => "nat",
            Self::Other(number) => return write!(f, "extension {number}"),
        })
    }
}

/// An address, or `-` where there is none.
struct Address(Option<IpAddr>);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Octets in hexadecimal; long ones are cut, since their sender chooses their length.
struct Hex<'a>(&'a [u8]);

impl Hex<'_> {
    const SHOWN: usize = 32;
}

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().take(Self::SHOWN).try_for_each(|octet| write!(f, "{octet:02x}"))?;
        match self.0.len() {
            0..=Self::SHOWN => Ok(()),
            length => write!(f, "... ({length} octets)"),
        }
    }
}

/// Entries in brackets.
struct Cies<'a>(&'a [Cie]);

impl Display for Cies<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, cie) in self.0.iter().enumerate() {
            write!(f, "{}{cie}", if index == 0 { "[" } else { ", " })?;
        }
        f.write_str(if self.0.is_empty() { "[]" } else { "]" })
    }
}

impl Display for Cie {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} nbma {}", Address(self.protocol), self.prefix_length, Address(self.nbma))?;
        if !self.nbma_subaddress.is_empty() {
            write!(f, " subaddress {}", Hex(&self.nbma_subaddress))?;
        }
        write!(f, " {} hold {} mtu {}", self.code, self.holding_time, self.mtu)?;
        if self.preference != 0 {
            write!(f, " preference {}", self.preference)?;
        }
        Ok(())
    }
}

impl Display for Extension {
    /// A compulsory extension is marked with an exclamation mark.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.body.extension_type(), if self.compulsory { "!" } else { "" })?;
        match &self.body {
            ExtensionBody::ResponderAddress(cies)
            | ExtensionBody::ForwardTransitNhs(cies)
            | ExtensionBody::ReverseTransitNhs(cies)
            | ExtensionBody::NatAddress(cies)
                if cies.is_empty() =>
            {
                Ok(())
            }
            ExtensionBody::ResponderAddress(cies)
            | ExtensionBody::ForwardTransitNhs(cies)
            | ExtensionBody::ReverseTransitNhs(cies)
            | ExtensionBody::NatAddress(cies) => write!(f, " {}", Cies(cies)),
            ExtensionBody::Authentication { spi, data, .. } => {
                write!(f, " spi {spi} ({} octets)", data.len())
            }
            ExtensionBody::VendorPrivate { vendor, data } => write!(f, " {} {}", Hex(vendor), Hex(data)),
            ExtensionBody::Unknown { data, .. } => write!(f, " {}", Hex(data)),
        }
    }
}

impl Display for Packet {
    /// `{}` is one line; `{:#}` has the entries and extensions on lines of their own, without a last line feed.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let packet_type = self.message.packet_type();
        let (source, destination) = (Address(self.source_protocol), Address(self.destination_protocol));
        write!(f, "{packet_type}({}) {source} -> {destination}", u8::from(packet_type))?;
        write!(f, " nbma {}", Address(self.source_nbma))?;
        if !self.source_nbma_subaddress.is_empty() {
            write!(f, " subaddress {}", Hex(&self.source_nbma_subaddress))?;
        }
        write!(f, " hop {} flags {:#06x}", self.hop_count, self.flags)?;

        let item = if f.alternate() { "\n  " } else { " " };
        match &self.message {
            Message::ErrorIndication { code, offset, packet } => {
                write!(f, " {code} at {offset}")?;
                if let Some(inner) = Self::decode_inner_header(packet) {
                    write!(f, "{item}about ")?;
                    match inner.packet_type() {
                        Some(known) => write!(f, "{known}({})", inner.type_number)?,
                        None => write!(f, "type {}", inner.type_number)?,
                    }
                    let (source, destination) = (inner.source_protocol, inner.destination_protocol);
                    write!(f, " {} -> {} id {}", Address(source), Address(destination), inner.request_id)?;
                }
            }
            Message::TrafficIndication { packet, .. } => write!(f, "{item}about {} octets", packet.len())?,
            other => {
                let (id, cies) = other.exchange().map_or((0, &[][..]), |x| (x.request_id, x.cies.as_slice()));
                write!(f, " id {id}")?;
                for cie in cies {
                    write!(f, "{item}cie [{cie}]")?;
                }
            }
        }
        for extension in &self.extensions {
            write!(f, "{item}+{extension}")?;
        }
        Ok(())
    }
}
