//! Properties over arbitrary packets, arbitrary octets and damaged golden packets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../../../tests/fuzz/src/packets.rs"]
mod oracle;
mod support;

use std::net::IpAddr;

use nhrp_wire::{
    Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Family, Message, Packet, checksum,
};
use oracle::decode as check;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use support::{golden, resealed, samples};

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn address(family: Family) -> BoxedStrategy<Option<IpAddr>> {
    match family {
        Family::V4 => option::of(any::<[u8; 4]>().prop_map(IpAddr::from)).boxed(),
        Family::V6 => option::of(any::<[u8; 16]>().prop_map(IpAddr::from)).boxed(),
    }
}

fn cie(nbma: Family, protocol: Family) -> impl Strategy<Value = Cie> {
    let numbers = (any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>(), any::<u8>());
    (numbers, address(nbma), vec(any::<u8>(), 0..64), address(protocol)).prop_map(
        |((code, prefix_length, mtu, holding_time, preference), nbma, nbma_subaddress, protocol)| Cie {
            code: CieCode::from(code),
            prefix_length,
            mtu,
            holding_time,
            preference,
            nbma,
            nbma_subaddress,
            protocol,
        },
    )
}

fn message(nbma: Family, protocol: Family) -> impl Strategy<Value = Message> {
    let exchange = (any::<u32>(), vec(cie(nbma, protocol), 0..4))
        .prop_map(|(request_id, cies)| Exchange { request_id, cies });
    (1..=8_u8, exchange, vec(any::<u8>(), 0..200)).prop_map(|(kind, exchange, packet)| match kind {
        1 => Message::ResolutionRequest(exchange),
        2 => Message::ResolutionReply(exchange),
        3 => Message::RegistrationRequest(exchange),
        4 => Message::RegistrationReply(exchange),
        5 => Message::PurgeRequest(exchange),
        6 => Message::PurgeReply(exchange),
        7 => {
            let [a, b, c, d] = exchange.request_id.to_be_bytes();
            let code = ErrorCode::from(u16::from_be_bytes([a, b]));
            Message::ErrorIndication { code, offset: u16::from_be_bytes([c, d]), packet }
        }
        _ => Message::TrafficIndication { unused: exchange.request_id, packet },
    })
}

fn extension(nbma: Family) -> impl Strategy<Value = Extension> {
    // The entries of extensions may have protocol addresses of either family.
    let cies = vec(family().prop_flat_map(move |protocol| cie(nbma, protocol)), 0..3).boxed();
    let data = vec(any::<u8>(), 0..40);
    // Numbers that have a body of their own are not unknown.
    let unknown = (1..=0x3FFF_u16).prop_filter("known", |kind| ![3, 4, 5, 7, 8, 9].contains(kind));
    let body = prop_oneof![
        cies.clone().prop_map(ExtensionBody::ResponderAddress),
        cies.clone().prop_map(ExtensionBody::ForwardTransitNhs),
        cies.clone().prop_map(ExtensionBody::ReverseTransitNhs),
        cies.prop_map(ExtensionBody::NatAddress),
        (any::<u16>(), any::<u16>(), data.clone())
            .prop_map(|(reserved, spi, data)| ExtensionBody::Authentication { reserved, spi, data }),
        (any::<[u8; 3]>(), data.clone())
            .prop_map(|(vendor, data)| ExtensionBody::VendorPrivate { vendor, data }),
        (unknown, data).prop_map(|(kind, data)| ExtensionBody::Unknown { kind, data }),
    ];
    (any::<bool>(), body).prop_map(|(compulsory, body)| Extension { compulsory, body })
}

fn packet() -> impl Strategy<Value = Packet> {
    (family(), family()).prop_flat_map(|(nbma_family, protocol_family)| {
        (
            (any::<u8>(), any::<u16>(), address(nbma_family), vec(any::<u8>(), 0..64)),
            (address(protocol_family), address(protocol_family)),
            message(nbma_family, protocol_family),
            vec(extension(nbma_family), 0..5),
        )
            .prop_map(move |(head, (source_protocol, destination_protocol), message, extensions)| {
                let (hop_count, flags, source_nbma, source_nbma_subaddress) = head;
                Packet {
                    nbma_family,
                    protocol_family,
                    hop_count,
                    flags,
                    source_nbma,
                    source_nbma_subaddress,
                    source_protocol,
                    destination_protocol,
                    message,
                    extensions,
                }
            })
    })
}

/// Golden packets and samples, as a base for damage.
fn valid() -> Vec<Vec<u8>> {
    let encoded = samples::all().into_iter().map(|(_, packet)| {
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        octets
    });
    golden().into_iter().map(|x| x.octets).chain(encoded).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encode_then_decode_gives_the_same_packet(packet in packet()) {
        let mut octets = vec![0xEE];
        packet.encode(&mut octets).unwrap();
        prop_assert_eq!(octets.len() - 1, packet.encoded_len());
        prop_assert_eq!(checksum::internet(&octets[1..]), 0);
        prop_assert_eq!(Packet::decode(&octets[1..]).unwrap(), packet);
    }

    #[test]
    fn arbitrary_octets(octets in vec(any::<u8>(), 0..300)) {
        check(&octets);
        oracle::roundtrip(&octets);
    }

    /// Arbitrary octets behind a header that lets them through to the parts behind it.
    #[test]
    fn arbitrary_octets_behind_a_good_header(
        kind in 1..=8_u8, lengths in (0..2_u8, 0..3_u8, 0..2_u8, 0..2_u8),
        extensions in 28..100_u8, rest in vec(prop_oneof![3 => 0..20_u8, 1 => any::<u8>()], 0..200),
    ) {
        let (nbma, subaddress, source, destination) = lengths;
        let mut octets = vec![0, 1, 8, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, extensions, 1, kind];
        octets.extend([nbma * 4, subaddress, source * 4, destination * 4, 0, 0, 0, 0, 0, 1]);
        octets.extend(rest);
        check(&support::sealed(octets));
    }

    /// Several changes at once to a good packet, with a checksum that fits.
    #[test]
    fn damaged_good_packets(
        index in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let valid = valid();
        let mut octets = valid[index.index(valid.len())].clone();
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        check(&resealed(octets));
    }
}

#[test]
fn every_truncation() {
    for octets in valid() {
        for end in 0..octets.len() {
            // With the old size it is too short, always.
            assert!(Packet::decode(&octets[..end]).is_err());
            check(&octets[..end]);
            if end >= 28 {
                check(&support::sealed(octets[..end].to_vec()));
            }
        }
    }
}

/// Every octet with every single-bit change and the extremes, with the checksum left wrong and made right.
#[test]
fn every_single_octet() {
    for octets in valid() {
        for at in 0..octets.len() {
            let old = octets[at];
            let values = (0..8).map(|bit| old ^ (1 << bit)).chain([0, 1, 0x7F, 0xFF, old.wrapping_add(1)]);
            for value in values.filter(|value| *value != old) {
                let mut damaged = octets.clone();
                damaged[at] = value;
                // A single changed octet changes any checksum, unless the size that it covers changed with it.
                assert!((10..12).contains(&at) || Packet::decode(&damaged).is_err(), "octet {at}");
                check(&damaged);
                check(&resealed(damaged));
            }
        }
    }
}
