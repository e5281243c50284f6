//! From octets to [`Packet`].
//!
//! Owns the checks on what arrives: sizes, checksum, numbers that must be known, lengths that must fit the family.
//! Never panics, never looks behind `ar$pktsz`, reads each octet once (the checksum apart).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   RFC 2332
//! |            ar$afn             |          ar$pro.type          |   5.1 fixed header
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                          ar$pro.snap                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  ar$pro.snap  |   ar$hopcnt   |           ar$pktsz            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           ar$chksum           |           ar$extoff           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | ar$op.version |  ar$op.type   |    ar$shtl    |    ar$sstl    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | Src Proto Len | Dst Proto Len |             Flags             |   5.2.0.1 mandatory part
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |               Request ID, or Error Code and Offset            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   Source NBMA Address, Source NBMA Subaddress (ar$shtl, ar$sstl)
//! |   Source Protocol Address, Destination Protocol Address
//! +-+-+-+-+-+-+-+-+-
//! |   Client Information Entries, or the start of another packet
//! +-+-+-+-+-+-+-+-+-
//! |   Extensions (5.3), from ar$extoff to ar$pktsz
//! ```

use alloc::vec::Vec;

use crate::reader::Reader;
use crate::{
    Buffers, Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Family, Message, Packet,
    PacketType, checksum, field,
};

/// The one version there is (RFC 2332 section 5.1).
pub(crate) const VERSION: u8 = 1;
/// Octets of the fixed header and of what all types share of the mandatory part.
pub(crate) const HEADER: usize = 24;
/// Octets before the addresses: these, and a word that depends on the type.
pub(crate) const ADDRESSES_AT: usize = 28;
/// Octets of a client information entry before its addresses.
pub(crate) const CIE_FIXED: usize = 12;
/// Low bits of a type/length octet that hold the length; the others say how the address is written in ATM.
pub(crate) const LENGTH_BITS: u8 = 0x3F;
/// Low bits of an extension type; above them the compulsory bit and an unused one.
pub(crate) const EXTENSION_TYPE_BITS: u16 = 0x3FFF;
/// The compulsory bit of an extension type.
pub(crate) const COMPULSORY: u16 = 0x8000;

/// Why a packet was refused: the field and the octet offset in the packet at which it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at octet {offset}: {kind}")]
pub struct DecodeError {
    /// RFC 2332's name of the field, one of [`crate::field`], for example `ar$pktsz`.
    pub field: &'static str,
    /// Octet offset from the start of the packet.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    /// The code of the error indication with which RFC 2332 section 5.2.7 would answer such a packet.
    ///
    /// `None` where its octets cannot be trusted to say who sent it: packets cut short and bad checksums.
    /// Whether to answer at all (never an error indication) is the caller's decision;
    /// [`Packet::decode_inner_header`] gives the addresses to answer to.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self.field {
            field::PKTSZ | field::CHKSUM => None,
            field::EXTENSION_TYPE
            | field::EXTENSION_LENGTH
            | field::EXTENSION_VALUE
            | field::EXTENSION_CIE
            | field::EXTENSION_CIE_ADDR_TL
            | field::EXTENSION_CIE_SADDR_TL
            | field::EXTENSION_CIE_PROTO_LEN
            | field::EXTENSION_CIE_ADDRESSES => Some(ErrorCode::InvalidExtension),
            _ if self.offset < ADDRESSES_AT && matches!(self.kind, DecodeErrorKind::Truncated { .. }) => None,
            _ => Some(ErrorCode::ProtocolError),
        }
    }
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// More octets needed than there are up to the end of the part (packet, entry list or extension).
    #[error("{needed} octets needed, {available} there")]
    Truncated {
        /// Octets that the field, or a size before it, asks for.
        needed: usize,
        /// Octets that are left.
        available: usize,
    },
    /// A number that is unknown where it must be known, or contradicts the rest of the packet.
    #[error("bad value {0:#x}")]
    BadValue(u32),
    /// The packet does not add up.
    #[error("checksum {found:#06x} should be {expected:#06x}")]
    BadChecksum {
        /// As received.
        found: u16,
        /// What the octets received ask for.
        expected: u16,
    },
    /// An address whose length is neither 0 nor that of its family.
    #[error("address of {stated} octets in a family of {family}")]
    LengthMismatch {
        /// Octets stated in the packet.
        stated: usize,
        /// Octets of an address of the family.
        family: usize,
    },
}

/// The fixed header (section 5.1) and the part of the mandatory part that all types share, before any check.
struct Header {
    afn: u16,
    protocol_type: u16,
    hop_count: u8,
    size: u16,
    checksum: u16,
    extension_offset: u16,
    version: u8,
    packet_type: u8,
    nbma_type_length: u8,
    subaddress_type_length: u8,
    source_length: u8,
    destination_length: u8,
    flags: u16,
}

/// Fields of [`Header`] in their order, and how many octets each takes.
const HEADER_FIELDS: [(&str, usize); 14] = [
    (field::AFN, 2),
    (field::PRO_TYPE, 2),
    (field::PRO_SNAP, 5),
    (field::HOPCNT, 1),
    (field::PKTSZ, 2),
    (field::CHKSUM, 2),
    (field::EXTOFF, 2),
    (field::OP_VERSION, 1),
    (field::OP_TYPE, 1),
    (field::SHTL, 1),
    (field::SSTL, 1),
    (field::SRC_PROTO_LEN, 1),
    (field::DST_PROTO_LEN, 1),
    (field::FLAGS, 2),
];

impl Header {
    fn read(octets: &[u8]) -> Result<Self, DecodeError> {
        let Some(fixed) = octets.first_chunk::<HEADER>() else {
            return Err(Self::cut_short(octets));
        };
        #[rustfmt::skip]
        let [
            afn_high, afn_low, protocol_high, protocol_low,
            _, _, _, _, _, hop_count, size_high, size_low,
            sum_high, sum_low, extensions_high, extensions_low,
            version, packet_type, nbma_type_length, subaddress_type_length,
            source_length, destination_length, flags_high, flags_low,
        ] = *fixed;
        Ok(Self {
            afn: u16::from_be_bytes([afn_high, afn_low]),
            protocol_type: u16::from_be_bytes([protocol_high, protocol_low]),
            hop_count,
            size: u16::from_be_bytes([size_high, size_low]),
            checksum: u16::from_be_bytes([sum_high, sum_low]),
            extension_offset: u16::from_be_bytes([extensions_high, extensions_low]),
            version,
            packet_type,
            nbma_type_length,
            subaddress_type_length,
            source_length,
            destination_length,
            flags: u16::from_be_bytes([flags_high, flags_low]),
        })
    }

    /// The first field that fewer than [`HEADER`] octets do not have.
    fn cut_short(octets: &[u8]) -> DecodeError {
        let mut reader = Reader::new(octets);
        let missing = HEADER_FIELDS.iter().find_map(|&(field, octets)| reader.take(octets, field).err());
        missing.unwrap_or_else(|| reader.truncated(1, field::FLAGS))
    }
}

fn bad(field: &'static str, offset: usize, value: impl Into<u32>) -> DecodeError {
    DecodeError { field, offset, kind: DecodeErrorKind::BadValue(value.into()) }
}

/// An address length of a family, or 0 for an absent address.
fn checked_length(
    stated: usize,
    family: Family,
    field: &'static str,
    offset: usize,
) -> Result<usize, DecodeError> {
    if stated == 0 || stated == family.address_len() {
        return Ok(stated);
    }
    let kind = DecodeErrorKind::LengthMismatch { stated, family: family.address_len() };
    Err(DecodeError { field, offset, kind })
}

/// The length in a subaddress's type/length octet; IP has no address types, so the upper bits must be clear.
fn subaddress_length(octet: u8, field: &'static str, offset: usize) -> Result<usize, DecodeError> {
    if octet & !LENGTH_BITS != 0 {
        return Err(bad(field, offset, octet));
    }
    Ok(usize::from(octet))
}

impl Packet {
    /// Decodes one packet; octets behind the stated packet size are ignored.
    ///
    /// The order of the checks is that of trust: size, checksum, then version, type and families, so that a packet
    /// refused for one of these is otherwise undamaged and can be answered (see [`DecodeError::error_code`]), then
    /// lengths, entries and extensions. Extensions end with End or with the packet; what follows End is ignored.
    ///
    /// # Errors
    /// [`DecodeError`] names the field and its offset.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        decode(octets, &mut Buffers::default())
    }
}

/// [`Packet::decode`], with vectors of former packets.
pub(crate) fn decode(octets: &[u8], buffers: &mut Buffers) -> Result<Packet, DecodeError> {
    let header = Header::read(octets)?;
    let size = usize::from(header.size);
    if size < ADDRESSES_AT {
        // RFC 2332 5.1. [rfc2332-5.1-size]
        return Err(bad(field::PKTSZ, 10, header.size));
    }
    let Some(octets) = octets.get(..size) else {
        let kind = DecodeErrorKind::Truncated { needed: size, available: octets.len() };
        return Err(DecodeError { field: field::PKTSZ, offset: 10, kind });
    };
    if !checksum::verify(octets) {
        let expected = expected_checksum(octets, header.checksum);
        // RFC 2332 5.1. [rfc2332-5.1-checksum]
        let kind = DecodeErrorKind::BadChecksum { found: header.checksum, expected };
        return Err(DecodeError { field: field::CHKSUM, offset: 12, kind });
    }
    // RFC 2332 5.2.7. [rfc2332-5.2.7-version-type]
    if header.version != VERSION {
        return Err(bad(field::OP_VERSION, 16, header.version));
    }
    let packet_type = PacketType::from_wire(header.packet_type)
        .ok_or_else(|| bad(field::OP_TYPE, 17, header.packet_type))?;
    let nbma_family = Family::from_afn(header.afn).ok_or_else(|| bad(field::AFN, 0, header.afn))?;
    let protocol_family = Family::from_protocol_type(header.protocol_type)
        .ok_or_else(|| bad(field::PRO_TYPE, 2, header.protocol_type))?;
    read_body(octets, &header, packet_type, nbma_family, protocol_family, buffers)
}

/// What the checksum field should hold, from a packet that does not add up.
fn expected_checksum(octets: &[u8], found: u16) -> u16 {
    // Ones' complement arithmetic: the sum of everything includes `found`, so take it out again.
    let all = u32::from(!checksum::internet(octets));
    let without = all + u32::from(!found);
    !u16::try_from((without & 0xFFFF) + (without >> 16)).unwrap_or(u16::MAX)
}

fn read_body(
    octets: &[u8],
    header: &Header,
    packet_type: PacketType,
    nbma_family: Family,
    protocol_family: Family,
    buffers: &mut Buffers,
) -> Result<Packet, DecodeError> {
    let nbma_length = checked_length(usize::from(header.nbma_type_length), nbma_family, field::SHTL, 18)?;
    // RFC 2332 5.1. [rfc2332-5.1-subaddress] [rfc2332-5.1-address-type]
    let subaddress_length = subaddress_length(header.subaddress_type_length, field::SSTL, 19)?;
    let source_length =
        checked_length(usize::from(header.source_length), protocol_family, field::SRC_PROTO_LEN, 20)?;
    let destination_length =
        checked_length(usize::from(header.destination_length), protocol_family, field::DST_PROTO_LEN, 21)?;

    let mandatory_end = match usize::from(header.extension_offset) {
        0 => octets.len(),
        offset => offset,
    };
    let addresses_end = ADDRESSES_AT + nbma_length + subaddress_length + source_length + destination_length;
    // FRR refuses an offset at the very end too: it announces an extension and there is none.
    if header.extension_offset != 0 && !(addresses_end..octets.len()).contains(&mandatory_end) {
        return Err(bad(field::EXTOFF, 14, header.extension_offset));
    }

    let mut whole = Reader::new(octets);
    let mut reader = whole.part(mandatory_end, field::EXTOFF)?;
    reader.take(ADDRESSES_AT - 4, field::FLAGS)?;
    let word = reader.u32(field::REQUEST_ID)?;
    let source_nbma = reader.address(nbma_length, field::SOURCE_NBMA)?;
    let source_nbma_subaddress = reader.take(subaddress_length, field::SOURCE_NBMA_SUBADDRESS)?.to_vec();
    let source_protocol = reader.address(source_length, field::SOURCE_PROTOCOL)?;
    let destination_protocol = reader.address(destination_length, field::DESTINATION_PROTOCOL)?;

    Ok(Packet {
        nbma_family,
        protocol_family,
        hop_count: header.hop_count,
        flags: header.flags,
        source_nbma,
        source_nbma_subaddress,
        source_protocol,
        destination_protocol,
        message: read_message(reader, packet_type, word, nbma_family, protocol_family, buffers)?,
        extensions: read_extensions(whole, nbma_family, protocol_family, buffers)?,
    })
}

/// What is left, in a vector.
fn copied(reader: Reader<'_>, buffers: &mut Buffers) -> Vec<u8> {
    let mut octets = buffers.octets();
    octets.extend_from_slice(reader.rest());
    octets
}

fn read_message(
    reader: Reader<'_>,
    packet_type: PacketType,
    word: u32,
    nbma_family: Family,
    protocol_family: Family,
    buffers: &mut Buffers,
) -> Result<Message, DecodeError> {
    let shape = match packet_type {
        PacketType::ErrorIndication => {
            let [a, b, c, d] = word.to_be_bytes();
            return Ok(Message::ErrorIndication {
                code: ErrorCode::from(u16::from_be_bytes([a, b])),
                offset: u16::from_be_bytes([c, d]),
                packet: copied(reader, buffers),
            });
        }
        PacketType::TrafficIndication => {
            return Ok(Message::TrafficIndication { unused: word, packet: copied(reader, buffers) });
        }
        PacketType::ResolutionRequest => Message::ResolutionRequest,
        PacketType::ResolutionReply => Message::ResolutionReply,
        PacketType::RegistrationRequest => Message::RegistrationRequest,
        PacketType::RegistrationReply => Message::RegistrationReply,
        PacketType::PurgeRequest => Message::PurgeRequest,
        PacketType::PurgeReply => Message::PurgeReply,
    };
    let cies = read_cies(reader, nbma_family, protocol_family, &MANDATORY, buffers)?;
    Ok(shape(Exchange { request_id: word, cies }))
}

/// How an entry is read depends on where it stands.
struct CiePlace {
    entry: &'static str,
    nbma: &'static str,
    subaddress: &'static str,
    protocol: &'static str,
    addresses: &'static str,
    /// FRR's nhrpd takes the family of a responder address from the NBMA network, so that an IPv6 packet can carry
    /// an entry with an IPv4 address. Such entries are records for people, and refusing the reply would lose the
    /// answer in it.
    any_protocol_family: bool,
}

const MANDATORY: CiePlace = CiePlace {
    entry: field::CIE,
    nbma: field::CIE_ADDR_TL,
    subaddress: field::CIE_SADDR_TL,
    protocol: field::CIE_PROTO_LEN,
    addresses: field::CIE_ADDRESSES,
    any_protocol_family: false,
};

const EXTENSION: CiePlace = CiePlace {
    entry: field::EXTENSION_CIE,
    nbma: field::EXTENSION_CIE_ADDR_TL,
    subaddress: field::EXTENSION_CIE_SADDR_TL,
    protocol: field::EXTENSION_CIE_PROTO_LEN,
    addresses: field::EXTENSION_CIE_ADDRESSES,
    any_protocol_family: true,
};

fn read_cies(
    mut reader: Reader<'_>,
    nbma_family: Family,
    protocol_family: Family,
    place: &CiePlace,
    buffers: &mut Buffers,
) -> Result<Vec<Cie>, DecodeError> {
    // Exact for entries with both addresses, which is what nearly all are.
    let usual = CIE_FIXED + nbma_family.address_len() + protocol_family.address_len();
    let mut cies = buffers.cies();
    cies.reserve_exact(reader.remaining().div_ceil(usual));
    while !reader.is_empty() {
        cies.push(read_cie(&mut reader, nbma_family, protocol_family, place)?);
    }
    Ok(cies)
}

fn read_cie(
    reader: &mut Reader<'_>,
    nbma_family: Family,
    protocol_family: Family,
    place: &CiePlace,
) -> Result<Cie, DecodeError> {
    let start = reader.offset();
    #[rustfmt::skip]
    let [
        code, prefix_length, _, _, mtu_high, mtu_low, time_high, time_low,
        nbma, subaddress, protocol, preference,
    ] = reader.array::<CIE_FIXED>(place.entry)?;
    let protocol = usize::from(protocol);

    let nbma = checked_length(usize::from(nbma), nbma_family, place.nbma, start + 8)?;
    let subaddress = subaddress_length(subaddress, place.subaddress, start + 9)?;
    let family = match protocol {
        4 if place.any_protocol_family => Family::V4,
        16 if place.any_protocol_family => Family::V6,
        _ => protocol_family,
    };
    let protocol = checked_length(protocol, family, place.protocol, start + 10)?;

    Ok(Cie {
        code: CieCode::from(code),
        prefix_length,
        mtu: u16::from_be_bytes([mtu_high, mtu_low]),
        holding_time: u16::from_be_bytes([time_high, time_low]),
        preference,
        nbma: reader.address(nbma, place.addresses)?,
        nbma_subaddress: reader.take(subaddress, place.addresses)?.to_vec(),
        protocol: reader.address(protocol, place.addresses)?,
    })
}

fn read_extensions(
    mut reader: Reader<'_>,
    nbma_family: Family,
    protocol_family: Family,
    buffers: &mut Buffers,
) -> Result<Vec<Extension>, DecodeError> {
    let mut extensions = buffers.extensions();
    while !reader.is_empty() {
        let kind = reader.u16(field::EXTENSION_TYPE)?;
        let length = reader.u16(field::EXTENSION_LENGTH)?;
        let compulsory = kind & COMPULSORY != 0;
        let kind = kind & EXTENSION_TYPE_BITS;
        // RFC 2332 5.3.0. [rfc2332-5.3.0-end]
        if kind == 0 {
            break;
        }
        let value = reader.part(usize::from(length), field::EXTENSION_VALUE)?;
        let body = read_extension(kind, value, nbma_family, protocol_family, buffers)?;
        extensions.push(Extension { compulsory, body });
    }
    Ok(extensions)
}

fn read_extension(
    kind: u16,
    mut value: Reader<'_>,
    nbma_family: Family,
    protocol_family: Family,
    buffers: &mut Buffers,
) -> Result<ExtensionBody, DecodeError> {
    use crate::ExtensionType as Type;
    let mut cies = |value| read_cies(value, nbma_family, protocol_family, &EXTENSION, buffers);
    Ok(match Type::from(kind) {
        Type::ResponderAddress => ExtensionBody::ResponderAddress(cies(value)?),
        Type::ForwardTransitNhs => ExtensionBody::ForwardTransitNhs(cies(value)?),
        Type::ReverseTransitNhs => ExtensionBody::ReverseTransitNhs(cies(value)?),
        Type::NatAddress => ExtensionBody::NatAddress(cies(value)?),
        Type::Authentication => ExtensionBody::Authentication {
            reserved: value.u16(field::EXTENSION_VALUE)?,
            spi: value.u16(field::EXTENSION_VALUE)?,
            data: copied(value, buffers),
        },
        Type::VendorPrivate => ExtensionBody::VendorPrivate {
            vendor: value.array(field::EXTENSION_VALUE)?,
            data: copied(value, buffers),
        },
        Type::End | Type::Other(_) => ExtensionBody::Unknown { kind, data: copied(value, buffers) },
    })
}
