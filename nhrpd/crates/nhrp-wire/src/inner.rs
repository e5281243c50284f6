//! The start of a packet that is not whole: the contents of an error indication (RFC 2332 section 5.2.7), or a
//! packet that [`Packet::decode`] refused and that is to be answered.
//!
//! Owns a reading without checks of size, checksum, version or type. What it yields is a hint from whoever sent it
//! and must be matched against something known, such as a pending request id.

use core::net::IpAddr;

use crate::decode::{ADDRESSES_AT, LENGTH_BITS};
use crate::reader::Reader;
use crate::{DecodeError, Family, Packet, PacketType, field};

/// Header and addresses of a packet that may be cut short behind them, or in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerHeader {
    /// `ar$op.version`.
    pub version: u8,
    /// `ar$op.type` as received.
    pub type_number: u8,
    /// `ar$hopcnt`.
    pub hop_count: u8,
    /// Flag bits, see [`crate::flags`].
    pub flags: u16,
    /// Request id; of an error indication its code and offset.
    pub request_id: u32,
    /// `ar$afn`, if known.
    pub nbma_family: Option<Family>,
    /// `ar$pro.type`, if known.
    pub protocol_family: Option<Family>,
    /// Source NBMA address, if there and of its family's length.
    pub source_nbma: Option<IpAddr>,
    /// Source protocol address, if there and of its family's length.
    pub source_protocol: Option<IpAddr>,
    /// Destination protocol address, if there and of its family's length.
    pub destination_protocol: Option<IpAddr>,
    /// Octets up to the end of the addresses, or to where the packet is cut: what FRR's nhrpd returns of a packet
    /// in an error indication.
    pub len: usize,
}

impl InnerHeader {
    /// Packet type, if known.
    #[must_use]
    pub fn packet_type(&self) -> Option<PacketType> {
        PacketType::from_wire(self.type_number)
    }

    fn read(octets: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let nbma_family = Family::from_afn(reader.u16(field::AFN)?);
        let protocol_family = Family::from_protocol_type(reader.u16(field::PRO_TYPE)?);
        reader.array::<5>(field::PRO_SNAP)?;
        let hop_count = reader.u8(field::HOPCNT)?;
        reader.take(6, field::PKTSZ)?; // size, checksum, extension offset: of the whole packet, which is not here
        let version = reader.u8(field::OP_VERSION)?;
        let type_number = reader.u8(field::OP_TYPE)?;
        let nbma_length = usize::from(reader.u8(field::SHTL)? & LENGTH_BITS);
        let subaddress_length = usize::from(reader.u8(field::SSTL)? & LENGTH_BITS);
        let source_length = usize::from(reader.u8(field::SRC_PROTO_LEN)?);
        let destination_length = usize::from(reader.u8(field::DST_PROTO_LEN)?);
        let flags = reader.u16(field::FLAGS)?;
        let request_id = reader.u32(field::REQUEST_ID)?;

        let mut address = |length, family| optional_address(&mut reader, length, family);
        let source_nbma = address(nbma_length, nbma_family);
        address(subaddress_length, None);
        let source_protocol = address(source_length, protocol_family);
        let destination_protocol = address(destination_length, protocol_family);
        let addresses = nbma_length + subaddress_length + source_length + destination_length;
        Ok(Self {
            version,
            type_number,
            hop_count,
            flags,
            request_id,
            nbma_family,
            protocol_family,
            source_nbma,
            source_protocol,
            destination_protocol,
            len: (ADDRESSES_AT + addresses).min(octets.len()),
        })
    }
}

/// An address if it is whole and of its family; its octets are passed over either way.
fn optional_address(reader: &mut Reader<'_>, length: usize, family: Option<Family>) -> Option<IpAddr> {
    let available = length.min(reader.remaining());
    let mut part = reader.part(available, field::SOURCE_NBMA).ok()?;
    family.filter(|family| family.address_len() == available && available == length)?;
    part.address(length, field::SOURCE_NBMA).ok()?
}

impl Packet {
    /// Reads what can be read of a packet that is cut short, as error indications contain them, without any check.
    ///
    /// `None` if even the 28 octets before the addresses are not there.
    #[must_use]
    pub fn decode_inner_header(octets: &[u8]) -> Option<InnerHeader> {
        InnerHeader::read(octets).ok()
    }
}
