//! From [`Packet`] to octets.
//!
//! Owns the layout of what is sent: sizes, offsets and the checksum are computed here and never taken from the
//! packet. Writes what it is told otherwise, so that tests can send packets that make no sense. The layout is drawn
//! in `decode.rs`.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::decode::{ADDRESSES_AT, CIE_FIXED, COMPULSORY, EXTENSION_TYPE_BITS, HEADER, LENGTH_BITS, VERSION};
use crate::{Cie, Extension, ExtensionBody, Family, Message, Packet, checksum, field};

/// Octets of an extension before its value, and of End altogether.
const EXTENSION_FIXED: usize = 4;

/// Why a packet cannot be written: a part is longer than its length field can say, or an address is not of the
/// packet's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} does not fit")]
pub struct EncodeError {
    /// RFC 2332's name of the field, one of [`crate::field`].
    pub field: &'static str,
}

impl Packet {
    /// Appends the packet to `out`, with size, checksum, extension offset and, if there are extensions, End.
    ///
    /// An unknown extension with a number that has a body of its own is written as told, and read back as that.
    ///
    /// # Errors
    /// [`EncodeError`] when something is too long for its field, an address is of another family than the packet
    /// says, or an unknown extension has the number of End; `out` is then as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        if let Err(error) = self.write(out) {
            out.truncate(start);
            return Err(error);
        }
        if let Some(packet) = out.get_mut(start..) {
            let sum = checksum::internet(packet).to_be_bytes();
            // Always there: `write` begins with the fixed header.
            if let Some(slot) = packet.get_mut(12..14) {
                slot.copy_from_slice(&sum);
            }
        }
        Ok(())
    }

    /// Octets that [`Packet::encode`] writes, or would write if they fitted.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let extensions = match self.extensions.as_slice() {
            [] => 0,
            some => {
                some.iter().map(|x| EXTENSION_FIXED + value_len(&x.body)).sum::<usize>() + EXTENSION_FIXED
            }
        };
        self.mandatory_end() + extensions
    }

    /// Octets before the extensions.
    fn mandatory_end(&self) -> usize {
        let message = match &self.message {
            Message::ErrorIndication { packet, .. } | Message::TrafficIndication { packet, .. } => {
                packet.len()
            }
            Message::ResolutionRequest(x)
            | Message::ResolutionReply(x)
            | Message::RegistrationRequest(x)
            | Message::RegistrationReply(x)
            | Message::PurgeRequest(x)
            | Message::PurgeReply(x) => cies_len(&x.cies),
        };
        ADDRESSES_AT
            + address_len(self.source_nbma)
            + self.source_nbma_subaddress.len()
            + address_len(self.source_protocol)
            + address_len(self.destination_protocol)
            + message
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let size = length16(self.encoded_len(), field::PKTSZ)?;
        out.reserve(usize::from(size));
        let extension_offset = match self.extensions.as_slice() {
            [] => 0,
            _ => length16(self.mandatory_end(), field::EXTOFF)?,
        };
        let [afn_high, afn_low] = self.nbma_family.afn().to_be_bytes();
        let [protocol_high, protocol_low] = self.protocol_family.protocol_type().to_be_bytes();
        let [size_high, size_low] = size.to_be_bytes();
        let [extensions_high, extensions_low] = extension_offset.to_be_bytes();
        let [flags_high, flags_low] = self.flags.to_be_bytes();
        let nbma_type_length = family_length(self.source_nbma, self.nbma_family, field::SHTL)?;
        let subaddress_type_length = length6(&self.source_nbma_subaddress, field::SSTL)?;
        let source_length = family_length(self.source_protocol, self.protocol_family, field::SRC_PROTO_LEN)?;
        let destination_length =
            family_length(self.destination_protocol, self.protocol_family, field::DST_PROTO_LEN)?;
        // In one piece, since each piece asks again whether there is room. ar$pro.snap is zero: the short form of the
        // protocol type, and no long one (RFC 2332 5.1). [rfc2332-5.1-short-form] So is ar$chksum, until all is there.
        #[rustfmt::skip]
        let header: [u8; HEADER] = [
            afn_high, afn_low, protocol_high, protocol_low,
            0, 0, 0, 0, 0, self.hop_count, size_high, size_low,
            0, 0, extensions_high, extensions_low,
            VERSION, u8::from(self.message.packet_type()), nbma_type_length, subaddress_type_length,
            source_length, destination_length, flags_high, flags_low,
        ];
        out.extend_from_slice(&header);
        match &self.message {
            Message::ErrorIndication { code, offset, .. } => {
                put16(out, u16::from(*code));
                put16(out, *offset);
            }
            Message::TrafficIndication { unused, .. } => out.extend_from_slice(&unused.to_be_bytes()),
            other => {
                let request_id = other.exchange().map_or(0, |x| x.request_id);
                out.extend_from_slice(&request_id.to_be_bytes());
            }
        }
        put_address(out, self.source_nbma);
        out.extend_from_slice(&self.source_nbma_subaddress);
        put_address(out, self.source_protocol);
        put_address(out, self.destination_protocol);
        match &self.message {
            Message::ErrorIndication { packet, .. } | Message::TrafficIndication { packet, .. } => {
                out.extend_from_slice(packet);
            }
            other => {
                for cie in other.exchange().map_or(&[][..], |x| &x.cies) {
                    family_length(cie.protocol, self.protocol_family, field::CIE_PROTO_LEN)?;
                    put_cie(out, cie, self.nbma_family, field::CIE_ADDR_TL, field::CIE_SADDR_TL)?;
                }
            }
        }
        self.write_extensions(out)
    }

    fn write_extensions(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.extensions.is_empty() {
            return Ok(());
        }
        for Extension { compulsory, body } in &self.extensions {
            let kind = u16::from(body.extension_type());
            // RFC 2332 5.3: the bit above is unused. [rfc2332-5.3-unused-bit]
            if kind == 0 || kind > EXTENSION_TYPE_BITS {
                return Err(EncodeError { field: field::EXTENSION_TYPE });
            }
            put16(out, if *compulsory { kind | COMPULSORY } else { kind });
            put16(out, length16(value_len(body), field::EXTENSION_LENGTH)?);
            match body {
                ExtensionBody::ResponderAddress(cies)
                | ExtensionBody::ForwardTransitNhs(cies)
                | ExtensionBody::ReverseTransitNhs(cies)
                | ExtensionBody::NatAddress(cies) => {
                    for cie in cies {
                        let (nbma, subaddress) =
                            (field::EXTENSION_CIE_ADDR_TL, field::EXTENSION_CIE_SADDR_TL);
                        put_cie(out, cie, self.nbma_family, nbma, subaddress)?;
                    }
                }
                ExtensionBody::Authentication { reserved, spi, data } => {
                    put16(out, *reserved);
                    put16(out, *spi);
                    out.extend_from_slice(data);
                }
                ExtensionBody::VendorPrivate { vendor, data } => {
                    out.extend_from_slice(vendor);
                    out.extend_from_slice(data);
                }
                ExtensionBody::Unknown { data, .. } => out.extend_from_slice(data),
            }
        }
        // End, compulsory as FRR and Cisco send it, without a value.
        put16(out, COMPULSORY);
        put16(out, 0);
        Ok(())
    }
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_address(out: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        None => {}
        Some(IpAddr::V4(address)) => out.extend_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => out.extend_from_slice(&address.octets()),
    }
}

/// One entry. The family of its protocol address is the caller's to check: a transit NHS passes on extensions as
/// they came, and in them FRR's is not always the packet's.
fn put_cie(
    out: &mut Vec<u8>,
    cie: &Cie,
    nbma_family: Family,
    nbma_field: &'static str,
    subaddress_field: &'static str,
) -> Result<(), EncodeError> {
    let [mtu_high, mtu_low] = cie.mtu.to_be_bytes();
    let [time_high, time_low] = cie.holding_time.to_be_bytes();
    let nbma = family_length(cie.nbma, nbma_family, nbma_field)?;
    let subaddress = length6(&cie.nbma_subaddress, subaddress_field)?;
    // The third and the fourth are unused: 0, and not looked at by the reader (RFC 2332 5). [rfc2332-5-unused]
    #[rustfmt::skip]
    let fixed: [u8; CIE_FIXED] = [
        u8::from(cie.code), cie.prefix_length, 0, 0, mtu_high, mtu_low, time_high, time_low,
        nbma, subaddress, wire_length(cie.protocol), cie.preference,
    ];
    out.extend_from_slice(&fixed);
    put_address(out, cie.nbma);
    out.extend_from_slice(&cie.nbma_subaddress);
    put_address(out, cie.protocol);
    Ok(())
}

fn wire_length(address: Option<IpAddr>) -> u8 {
    match address {
        None => 0,
        Some(IpAddr::V4(_)) => 4,
        Some(IpAddr::V6(_)) => 16,
    }
}

fn address_len(address: Option<IpAddr>) -> usize {
    usize::from(wire_length(address))
}

fn family_length(address: Option<IpAddr>, family: Family, field: &'static str) -> Result<u8, EncodeError> {
    match address {
        Some(address) if Family::of(address) != family => Err(EncodeError { field }),
        _ => Ok(wire_length(address)),
    }
}

fn length6(octets: &[u8], field: &'static str) -> Result<u8, EncodeError> {
    u8::try_from(octets.len()).ok().filter(|length| *length <= LENGTH_BITS).ok_or(EncodeError { field })
}

fn length16(length: usize, field: &'static str) -> Result<u16, EncodeError> {
    u16::try_from(length).map_err(|_| EncodeError { field })
}

fn cies_len(cies: &[Cie]) -> usize {
    let each =
        |cie: &Cie| CIE_FIXED + address_len(cie.nbma) + cie.nbma_subaddress.len() + address_len(cie.protocol);
    cies.iter().map(each).sum()
}

fn value_len(body: &ExtensionBody) -> usize {
    match body {
        ExtensionBody::ResponderAddress(cies)
        | ExtensionBody::ForwardTransitNhs(cies)
        | ExtensionBody::ReverseTransitNhs(cies)
        | ExtensionBody::NatAddress(cies) => cies_len(cies),
        ExtensionBody::Authentication { data, .. } => 4 + data.len(),
        ExtensionBody::VendorPrivate { data, .. } => 3 + data.len(),
        ExtensionBody::Unknown { data, .. } => data.len(),
    }
}
