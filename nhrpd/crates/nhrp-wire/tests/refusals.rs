//! What is refused, with which field, offset and kind; and what is taken although it is not as it should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use nhrp_wire::DecodeErrorKind::{BadChecksum, BadValue, LengthMismatch, Truncated};
use nhrp_wire::{
    Cie, DecodeErrorKind, ErrorCode, Exchange, Extension, ExtensionBody, Family, Message, Packet, PacketType,
    field,
};
use support::{golden_named, resealed, sealed};

/// A packet with every kind of part: 92 octets, entry at 40, extensions at 52 (4, 5, 3, NAT with an entry, End).
fn registration() -> Vec<u8> {
    golden_named("plain-registration-request-first")
}

#[track_caller]
fn refused(octets: &[u8], field: &'static str, offset: usize, kind: DecodeErrorKind) -> Option<ErrorCode> {
    let error = Packet::decode(octets).expect_err("refused");
    assert_eq!((error.field, error.offset, error.kind), (field, offset, kind), "{error}");
    error.error_code()
}

/// The registration with one octet changed and the checksum made right again.
fn with(at: usize, value: u8) -> Vec<u8> {
    let mut octets = registration();
    octets[at] = value;
    resealed(octets)
}

#[test]
fn header() {
    let protocol_error = Some(ErrorCode::ProtocolError);
    assert_eq!(refused(&[], field::AFN, 0, Truncated { needed: 2, available: 0 }), None);
    assert_eq!(
        refused(&registration()[..17], field::OP_TYPE, 17, Truncated { needed: 1, available: 0 }),
        None
    );
    let short = registration()[..91].to_vec();
    assert_eq!(refused(&short, field::PKTSZ, 10, Truncated { needed: 92, available: 91 }), None);
    assert_eq!(refused(&with(11, 27), field::PKTSZ, 10, BadValue(27)), None);
    assert_eq!(refused(&with(16, 2), field::OP_VERSION, 16, BadValue(2)), protocol_error);
    assert_eq!(refused(&with(17, 0), field::OP_TYPE, 17, BadValue(0)), protocol_error);
    assert_eq!(refused(&with(17, 9), field::OP_TYPE, 17, BadValue(9)), protocol_error);
    assert_eq!(refused(&with(1, 3), field::AFN, 0, BadValue(3)), protocol_error);
    assert_eq!(refused(&with(3, 6), field::PRO_TYPE, 2, BadValue(0x0806)), protocol_error);
    assert_eq!(
        refused(&with(18, 3), field::SHTL, 18, LengthMismatch { stated: 3, family: 4 }),
        protocol_error
    );
    assert_eq!(
        refused(&with(18, 0x44), field::SHTL, 18, LengthMismatch { stated: 0x44, family: 4 }),
        protocol_error,
        "a native E.164 address"
    );
    assert_eq!(refused(&with(19, 0x41), field::SSTL, 19, BadValue(0x41)), protocol_error);
    refused(&with(20, 16), field::SRC_PROTO_LEN, 20, LengthMismatch { stated: 16, family: 4 });
    refused(&with(21, 5), field::DST_PROTO_LEN, 21, LengthMismatch { stated: 5, family: 4 });
}

#[test]
fn checksum() {
    let mut octets = registration();
    octets[50] ^= 0x10;
    let expected = resealed(octets.clone());
    let expected = u16::from_be_bytes([expected[12], expected[13]]);
    let kind = BadChecksum { found: 0x3003, expected };
    assert_eq!(refused(&octets, field::CHKSUM, 12, kind), None, "nobody knows who sent it");
    assert_eq!(Packet::decode(&octets).unwrap_err().to_string(), {
        format!("ar$chksum at octet 12: checksum 0x3003 should be {expected:#06x}")
    });
}

/// Damage to version or type is found before anything that only version 1 defines, so that it can be answered.
#[test]
fn unknown_version_and_type_can_be_answered() {
    let mut octets = registration();
    (octets[0], octets[15], octets[16], octets[18]) = (9, 255, 77, 63);
    refused(&resealed(octets), field::OP_VERSION, 16, BadValue(77));

    let octets = with(17, 99);
    let inner = Packet::decode_inner_header(&octets).unwrap();
    assert_eq!((inner.packet_type(), inner.type_number), (None, 99));
    assert_eq!(inner.source_nbma, Some([10, 1, 1, 1].into()));
    assert_eq!(inner.destination_protocol, Some([10, 255, 255, 1].into()));
}

#[test]
fn extension_offset() {
    refused(&with(15, 39), field::EXTOFF, 14, BadValue(39)); // inside the addresses
    refused(&with(15, 92), field::EXTOFF, 14, BadValue(92)); // at the end
    refused(&with(14, 0xFF), field::EXTOFF, 14, BadValue(0xFF34));
    // In the middle of the entry: the entry list ends too early.
    refused(&with(15, 44), field::CIE, 40, Truncated { needed: 12, available: 4 });
    // Before the entry, which is then read as extensions until one of them (04000A02, from an address) is too long.
    let code =
        refused(&with(15, 40), field::EXTENSION_VALUE, 82, Truncated { needed: 0x0A02, available: 10 });
    assert_eq!(code, Some(ErrorCode::InvalidExtension));
}

#[test]
fn addresses_missing() {
    let mut octets = sealed(registration()[..38].to_vec());
    octets[15] = 0;
    let kind = Truncated { needed: 4, available: 2 };
    assert_eq!(
        refused(&resealed(octets), field::DESTINATION_PROTOCOL, 36, kind),
        Some(ErrorCode::ProtocolError)
    );
}

#[test]
fn entries() {
    refused(&with(48, 16), field::CIE_ADDR_TL, 48, LengthMismatch { stated: 16, family: 4 });
    refused(&with(48, 4), field::CIE_ADDRESSES, 52, Truncated { needed: 4, available: 0 });
    refused(&with(49, 0x80), field::CIE_SADDR_TL, 49, BadValue(0x80));
    refused(&with(49, 9), field::CIE_ADDRESSES, 52, Truncated { needed: 9, available: 0 });
    refused(&with(50, 16), field::CIE_PROTO_LEN, 50, LengthMismatch { stated: 16, family: 4 });
}

#[test]
fn extensions() {
    let invalid = Some(ErrorCode::InvalidExtension);
    // NAT extension at 64: type, length 20, entry from 68 on; End at 88.
    assert_eq!(
        refused(&with(67, 25), field::EXTENSION_VALUE, 68, Truncated { needed: 25, available: 24 }),
        invalid
    );
    assert_eq!(
        refused(&with(67, 11), field::EXTENSION_CIE, 68, Truncated { needed: 12, available: 11 }),
        invalid
    );
    assert_eq!(
        refused(&with(76, 5), field::EXTENSION_CIE_ADDR_TL, 76, LengthMismatch { stated: 5, family: 4 }),
        invalid
    );
    assert_eq!(
        refused(&with(78, 16), field::EXTENSION_CIE_ADDRESSES, 84, Truncated { needed: 16, available: 4 }),
        invalid
    );
    assert_eq!(
        refused(&with(78, 6), field::EXTENSION_CIE_PROTO_LEN, 78, LengthMismatch { stated: 6, family: 4 }),
        invalid
    );
    // End cut in the middle.
    let octets = sealed(registration()[..90].to_vec());
    let kind = Truncated { needed: 2, available: 0 };
    assert_eq!(refused(&octets, field::EXTENSION_LENGTH, 90, kind), invalid);
    // An authentication extension without room for its SPI, a vendor extension without room for the vendor.
    for (number, kind) in
        [(7, Truncated { needed: 2, available: 1 }), (8, Truncated { needed: 3, available: 2 })]
    {
        let length = if number == 7 { 3 } else { 2 };
        let mut octets = registration()[..52].to_vec();
        octets.extend([0x80, number, 0, length, 0, 0, 0]);
        octets.truncate(56 + usize::from(length));
        let at = if number == 7 { 58 } else { 56 };
        assert_eq!(refused(&sealed(octets), field::EXTENSION_VALUE, at, kind), invalid);
    }
}

#[test]
fn taken_although_not_as_it_should_be() {
    let packet = Packet::decode(&registration()).unwrap();
    // Octets behind the packet, as Ethernet pads.
    let mut padded = registration();
    padded.extend([0xEE; 18]);
    assert_eq!(Packet::decode(&padded).unwrap(), packet);
    // No End: the extensions end with the packet.
    assert_eq!(Packet::decode(&sealed(registration()[..88].to_vec())).unwrap(), packet);
    // Something behind End: FRR reads on, RFC 2332 section 5.3 does not.
    let mut behind = registration();
    behind.extend([0x80, 0x07, 0xFF, 0xFF]);
    assert_eq!(Packet::decode(&sealed(behind)).unwrap(), packet);
    // A value in the long form of the protocol type, and in an entry's unused field.
    assert_eq!(Packet::decode(&with(5, 1)).unwrap(), packet);
    assert_eq!(Packet::decode(&with(43, 1)).unwrap(), packet);
    // Codes that nobody has given out.
    let odd = Packet::decode(&with(40, 99)).unwrap();
    assert_eq!(u8::from(odd.message.exchange().unwrap().cies[0].code), 99);
}

/// FRR writes an IPv4 address into the responder address of an IPv6 packet.
#[test]
fn responder_address_of_the_wrong_family() {
    let own = Cie { protocol: Some([10, 255, 255, 2].into()), ..Cie::default() };
    let message = Message::ResolutionReply(Exchange::default());
    let (nbma, protocol) = ([192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap());
    let packet = Packet::new(nbma, protocol, protocol, 64, message)
        .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(vec![own.clone()])));
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    assert_eq!(Packet::decode(&octets).unwrap(), packet);
    // In the mandatory part it is refused, in both directions.
    let mut wrong = packet;
    wrong.message.exchange_mut().unwrap().cies.push(own);
    assert_eq!(wrong.encode(&mut octets).unwrap_err().field, field::CIE_PROTO_LEN);
}

#[test]
fn encoder_refuses_what_does_not_fit() {
    let base = || Packet::decode(&registration()).unwrap();
    let encode = |packet: &Packet| {
        let mut out = vec![1, 2, 3];
        let error = packet.encode(&mut out).unwrap_err();
        assert_eq!(out, [1, 2, 3], "out is as before");
        error.field
    };
    let unknown = |kind, data| Extension::optional(ExtensionBody::Unknown { kind, data });

    assert_eq!(encode(&Packet { nbma_family: Family::V6, ..base() }), field::SHTL);
    assert_eq!(encode(&Packet { protocol_family: Family::V6, ..base() }), field::SRC_PROTO_LEN);
    assert_eq!(encode(&Packet { source_nbma_subaddress: vec![0; 64], ..base() }), field::SSTL);
    assert_eq!(encode(&base().with_extension(unknown(1, vec![0; 65_536]))), field::PKTSZ);
    assert_eq!(encode(&base().with_extension(unknown(0, vec![]))), field::EXTENSION_TYPE);
    assert_eq!(encode(&base().with_extension(unknown(0x4000, vec![]))), field::EXTENSION_TYPE);
    let mut packet = base();
    packet.extension_mut(nhrp_wire::ExtensionType::NatAddress).unwrap().body.cies_mut().unwrap()[0]
        .nbma_subaddress = vec![0; 64];
    assert_eq!(encode(&packet), field::EXTENSION_CIE_SADDR_TL);
    packet.message = Message::TrafficIndication { unused: 0, packet: vec![0; 65_500] };
    assert_eq!(encode(&packet), field::PKTSZ);
}

/// The largest packet there is, and one octet more.
#[test]
fn sizes_up_to_the_last_octet() {
    let mut packet = Packet::decode(&golden_named("plain-traffic-indication")).unwrap();
    packet.message = Message::TrafficIndication { unused: 0, packet: vec![0xA5; 65_535 - 40] };
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    assert_eq!(octets.len(), 65_535);
    assert_eq!(Packet::decode(&octets).unwrap(), packet);
    packet.message = Message::TrafficIndication { unused: 0, packet: vec![0xA5; 65_536 - 40] };
    assert_eq!(packet.encode(&mut octets).unwrap_err().field, field::PKTSZ);
}

#[test]
fn inner_header_of_what_is_left() {
    let whole = registration();
    assert_eq!(Packet::decode_inner_header(&whole[..27]), None);
    for end in 28..whole.len() {
        let inner = Packet::decode_inner_header(&whole[..end]).unwrap();
        assert_eq!(inner.packet_type(), Some(PacketType::RegistrationRequest));
        assert_eq!((inner.request_id, inner.flags), (1, 0x8002));
        assert_eq!(inner.source_nbma, (end >= 32).then(|| [10, 1, 1, 1].into()), "cut at {end}");
        assert_eq!(inner.source_protocol, (end >= 36).then(|| [10, 255, 255, 1].into()), "cut at {end}");
        assert_eq!(inner.destination_protocol, (end >= 40).then(|| [10, 255, 255, 1].into()), "cut at {end}");
        assert_eq!(inner.len, end.min(40));
    }
    // An address that is not of its family is passed over, the others are still found.
    let mut octets = whole;
    octets[18] = 3;
    octets.remove(28);
    let inner = Packet::decode_inner_header(&octets).unwrap();
    assert_eq!(inner.source_nbma, None);
    assert_eq!(inner.source_protocol, Some([10, 255, 255, 1].into()));
}
