//! Packets that FRR's nhrpd sent: each decodes to what it says and encodes to the same octets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use nhrp_wire::{
    CieCode, ErrorCode, ExtensionBody, ExtensionType, Family, Message, Packet, PacketType, checksum, flags,
};
use support::{answers, golden, golden_named};

#[test]
fn all_decode_and_encode_to_the_same_octets() {
    let packets = golden();
    assert_eq!(packets.len(), 31);
    let answers = answers();
    assert_eq!(answers.len(), 14);
    // There is no exception: all come back octet for octet.
    for golden in packets.into_iter().chain(answers) {
        let packet =
            Packet::decode(&golden.octets).unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        assert_eq!(octets, golden.octets, "{}: {packet:#}", golden.name);
        assert_eq!(packet.encoded_len(), golden.octets.len(), "{}", golden.name);
    }
}

/// The names say the type, so that a mix-up of types would show.
#[test]
fn types_are_what_the_names_say() {
    for golden in golden() {
        let packet = Packet::decode(&golden.octets).unwrap();
        let expected = match golden.name.as_str() {
            name if name.contains("registration-request") => PacketType::RegistrationRequest,
            name if name.contains("registration-reply") => PacketType::RegistrationReply,
            name if name.contains("resolution-reply") => PacketType::ResolutionReply,
            name if name.contains("traffic-indication") => PacketType::TrafficIndication,
            name if name.contains("error") => PacketType::ErrorIndication,
            _ => PacketType::ResolutionRequest,
        };
        assert_eq!(packet.message.packet_type(), expected, "{}", golden.name);
    }
}

#[test]
fn registration_of_a_spoke() {
    let packet = Packet::decode(&golden_named("plain-registration-request-first")).unwrap();
    assert_eq!((packet.nbma_family, packet.protocol_family), (Family::V4, Family::V4));
    assert_eq!(packet.hop_count, 1);
    assert_eq!(packet.flags, flags::REGISTRATION_UNIQUE | flags::NAT);
    assert_eq!(packet.source_nbma, Some([10, 1, 1, 1].into()));
    assert_eq!(packet.source_protocol, Some([10, 255, 255, 1].into()));
    assert_eq!(packet.destination_protocol, Some([10, 255, 255, 1].into()));
    let exchange = packet.message.exchange().unwrap();
    assert_eq!(exchange.request_id, 1);
    let [cie] = exchange.cies.as_slice() else { panic!("one entry") };
    assert_eq!((cie.code, cie.prefix_length, cie.mtu), (CieCode::Success, 0xFF, 1400));
    assert_eq!((cie.holding_time, cie.preference), (30, 0));
    assert_eq!((cie.nbma, cie.protocol), (None, None));
    let extensions: Vec<_> =
        packet.extensions.iter().map(|x| (x.body.extension_type(), x.compulsory)).collect();
    assert_eq!(
        extensions,
        [
            (ExtensionType::ForwardTransitNhs, true),
            (ExtensionType::ReverseTransitNhs, true),
            (ExtensionType::ResponderAddress, true),
            (ExtensionType::NatAddress, false),
        ]
    );
    let nat = packet.extension(ExtensionType::NatAddress).unwrap().body.cies().unwrap();
    assert_eq!(nat.len(), 1);
    assert_eq!((nat[0].prefix_length, nat[0].nbma), (32, Some([10, 2, 1, 2].into())));
    assert_eq!(nat[0].protocol, Some([0, 0, 0, 0].into()));
}

#[test]
fn entries_of_a_reply_through_nat() {
    let packet = Packet::decode(&golden_named("nat-registration-reply-natted-spoke4")).unwrap();
    let nat = packet.extension(ExtensionType::NatAddress).unwrap().body.cies().unwrap();
    assert_eq!(nat.len(), 2);
    assert_eq!(nat[1].nbma, Some([98, 99, 99, 4].into()));
    assert_eq!(nat[1].protocol, Some([10, 255, 255, 4].into()));
    let responder = packet.extension(ExtensionType::ResponderAddress).unwrap().body.cies().unwrap();
    assert_eq!(responder[0].nbma, Some([10, 2, 1, 2].into()));
}

/// Codes, unknown extensions and missing extensions in FRR's answers.
#[test]
fn answers_say_what_frr_was_asked_to_say() {
    let answer = |name: &str| {
        let octets = answers().into_iter().find(|x| x.name == name).unwrap().octets;
        Packet::decode(&octets).unwrap()
    };
    let code = |name| answer(name).message.exchange().unwrap().cies[0].code;
    assert_eq!(code("registration-for-hub-own-address"), CieCode::AdministrativelyProhibited);
    assert_eq!(code("registration-plen-24-non-unique"), CieCode::BindingNotUnique);
    assert_eq!(answer("registration-two-cies").message.exchange().unwrap().cies.len(), 2);
    assert!(answer("registration-no-ext").extensions.is_empty());
    for (name, compulsory) in [
        ("registration-unknown-compulsory-ext-0x8064", true),
        ("registration-unknown-non-compulsory-ext-0x0064", false),
    ] {
        let packet = answer(name);
        let unknown = packet.extension(ExtensionType::Other(0x64)).unwrap();
        assert_eq!(unknown.compulsory, compulsory);
        assert_eq!(unknown.body, ExtensionBody::Unknown { kind: 0x64, data: b"abcd".to_vec() });
    }
}

#[test]
fn password_is_read_and_compared() {
    let packet = Packet::decode(&golden_named("auth-nounique-registration-request")).unwrap();
    let body = &packet.extension(ExtensionType::Authentication).unwrap().body;
    assert_eq!(*body, ExtensionBody::Authentication { reserved: 0, spi: 1, data: b"secret".to_vec() });
    assert!(body.is_cisco_password(b"secret"));
    assert!(!body.is_cisco_password(b"secreT") && !body.is_cisco_password(b"secre"));
    assert!(!packet.to_string().contains("secret") && !format!("{packet:#}").contains("736563"));
}

#[test]
fn traffic_indication_carries_the_data_packet() {
    let packet = Packet::decode(&golden_named("plain-traffic-indication")).unwrap();
    let Message::TrafficIndication { unused: 0, packet: data } = &packet.message else { panic!("type 8") };
    assert_eq!(data.len(), 84);
    assert_eq!(data[..4], [0x45, 0, 0, 0x54]);
    assert!(packet.extensions.is_empty());
}

#[test]
fn error_indication_contains_a_packet_cut_short() {
    let octets = golden_named("authfail-error-indication-1-hub");
    let packet = Packet::decode(&octets).unwrap();
    assert_eq!(packet.hop_count, 0);
    let Message::ErrorIndication { code, offset, packet: inner } = &packet.message else { panic!("type 7") };
    assert_eq!((*code, *offset, inner.len()), (ErrorCode::AuthenticationFailure, 0, 40));
    assert!(Packet::decode(inner).is_err(), "what is left of the offending packet is no packet");
    let inner = Packet::decode_inner_header(inner).unwrap();
    assert_eq!(inner.packet_type(), Some(PacketType::RegistrationRequest));
    assert_eq!((inner.request_id, inner.flags, inner.hop_count), (2, flags::NAT, 1));
    assert_eq!(inner.source_nbma, Some([10, 1, 1, 1].into()));
    assert_eq!(inner.source_protocol, Some([10, 255, 255, 1].into()));
    assert_eq!(inner.destination_protocol, Some([10, 255, 255, 1].into()));
    assert_eq!(inner.len, 40);
}

#[test]
fn both_forms_of_text() {
    let packet = Packet::decode(&golden_named("plain-resolution-request-forwarded-by-hub")).unwrap();
    assert_eq!(
        packet.to_string(),
        "Resolution-Request(1) 10.255.255.1 -> 192.168.4.4 nbma 10.1.1.1 hop 63 flags 0xc802 id 2 \
         cie [-/255 nbma - success hold 30 mtu 1400] \
         +forward-transit! [10.255.255.2/0 nbma 10.2.1.2 success hold 30 mtu 0] \
         +reverse-transit! +responder! +nat"
    );
    assert_eq!(format!("{packet:#}").lines().count(), 6);
    let packet = Packet::decode(&golden_named("authfail-error-indication-2-spoke-storm")).unwrap();
    assert_eq!(
        packet.to_string(),
        "Error-Indication(7) 10.255.255.1 -> 10.255.255.1 nbma 10.1.1.1 hop 0 flags 0x0002 \
         authentication failure at 0 \
         about Error-Indication(7) 10.255.255.1 -> 10.255.255.1 id 720896"
    );
}

/// FRR up to 10.7 sums an odd last octet in the wrong half; its packet is taken, ours has the right sum.
#[test]
fn odd_length_with_either_checksum() {
    let mut octets = golden_named("plain-traffic-indication");
    assert_eq!(octets.pop(), Some(0x37));
    let right = support::sealed(octets.clone());
    let packet = Packet::decode(&right).unwrap();

    // As FRR sums it: the last octet as a word of its own, 0x0036 and not 0x3600.
    let mut padded = right.clone();
    let last = padded.pop().unwrap();
    padded.extend([0, last]);
    padded[12..14].fill(0);
    let wrong = checksum::internet(&padded).to_be_bytes();
    let mut frr = right.clone();
    frr[12..14].copy_from_slice(&wrong);
    assert_ne!(frr, right);
    assert_eq!(Packet::decode(&frr).unwrap(), packet);

    let mut again = Vec::new();
    packet.encode(&mut again).unwrap();
    assert_eq!(again, right);
}
