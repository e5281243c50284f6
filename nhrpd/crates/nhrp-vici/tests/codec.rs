//! The codec: real octets, every message back and forth, and whatever octets anybody sends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_vici::message::{Item, MessageError, Section};
use nhrp_vici::packet::{Deframer, LIMIT, Packet, PacketError};
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What FRR's nhrpd wrote to a charon, each without its length: recorded from FRR 8.4.4.
const FRR: [(&str, &str); 4] = [
    ("register", "03156368696c642d73746174652d696e7374616c6c6564"),
    ("list-sas", "00086c6973742d736173"),
    (
        "initiate",
        "0008696e69746961746503056368696c640005646d76706e030774696d656f757400022d3103056173796e63000131030b696e69742d\
         6c696d69747300013003076d792d686f7374000831302e312e312e31030a6f746865722d686f7374000831302e322e312e32",
    ),
    ("terminate", "00097465726d696e6174650303696b650005646d76706e"),
];

#[test]
fn what_frrs_nhrpd_writes_is_read_and_written_alike() {
    let initiate = Section::new()
        .with("child", "dmvpn")
        .with("timeout", "-1")
        .with("async", "1")
        .with("init-limits", "0")
        .with("my-host", "10.1.1.1")
        .with("other-host", "10.2.1.2");
    let expected = [
        Packet::Register("child-state-installed".to_owned()),
        Packet::Request("list-sas".to_owned(), Section::new()),
        Packet::Request("initiate".to_owned(), initiate),
        Packet::Request("terminate".to_owned(), Section::new().with("ike", "dmvpn")),
    ];
    for ((name, hex), packet) in FRR.iter().zip(expected) {
        let octets = unhex(&hex.replace(' ', ""));
        assert_eq!(Packet::decode(&octets).as_ref(), Ok(&packet), "{name}");
        let mut written = Vec::new();
        packet.encode(&mut written).unwrap();
        assert_eq!(written[4..], octets, "{name}");
    }
}

fn section() -> impl Strategy<Value = Section> {
    let name = "[a-z0-9.:-]{0,20}";
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        value.clone().prop_map(Item::Value),
        prop::collection::vec(value, 0..4).prop_map(Item::List),
    ];
    let item = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop::collection::vec((name, inner), 0..4).prop_map(|items| Item::Section(section_of(items)))
    });
    prop::collection::vec((name, item), 0..6).prop_map(section_of)
}

fn section_of(items: Vec<(String, Item)>) -> Section {
    let mut section = Section::new();
    for (name, item) in items {
        section.push(&name, item);
    }
    section
}

fn packet() -> impl Strategy<Value = Packet> {
    let name = "[a-z-]{0,30}";
    prop_oneof![
        (name, section()).prop_map(|(name, section)| Packet::Request(name, section)),
        section().prop_map(Packet::Response),
        (name, section()).prop_map(|(name, section)| Packet::Event(name, section)),
        name.prop_map(Packet::Register),
        name.prop_map(Packet::Unregister),
        Just(Packet::Confirm),
        Just(Packet::UnknownEvent),
        Just(Packet::UnknownCommand),
    ]
}

proptest! {
    #[test]
    fn every_packet_survives_the_wire(packets in prop::collection::vec(packet(), 1..6), cuts in prop::collection::vec(1..50usize, 1..8)) {
        let mut octets = Vec::new();
        for packet in &packets {
            packet.encode(&mut octets).unwrap();
        }
        let (mut deframer, mut found, mut rest) = (Deframer::default(), Vec::new(), octets.as_slice());
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            deframer.push(now);
            rest = later;
            while let Some(packet) = deframer.next_packet().unwrap() {
                found.push(packet);
            }
        }
        prop_assert_eq!(found, packets);
    }

    #[test]
    fn what_is_read_is_written_alike(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        // Few of these are packets; those that are must not change on the way back.
        if let Ok(packet) = Packet::decode(&octets) {
            let mut written = Vec::new();
            packet.encode(&mut written).unwrap();
            prop_assert_eq!(&written[4..], octets.as_slice());
        }
    }

    #[test]
    fn a_changed_packet_is_an_error_or_another_packet(packet in packet(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        let mut body = octets.split_off(4);
        let at = at.index(body.len());
        body[at] = value;
        if let Ok(read) = Packet::decode(&body) {
            let mut written = Vec::new();
            read.encode(&mut written).unwrap();
            prop_assert_eq!(&written[4..], body.as_slice());
        }
    }
}

#[test]
fn four_gibibytes_are_refused_before_anything_is_kept() {
    let mut deframer = Deframer::default();
    deframer.push(&[0xFF; 4]);
    assert_eq!(deframer.next_packet(), Err(PacketError::TooLong(u32::MAX as usize)));
    let mut deframer = Deframer::default();
    deframer.push(&u32::try_from(LIMIT + 1).unwrap().to_be_bytes());
    assert_eq!(deframer.next_packet(), Err(PacketError::TooLong(LIMIT + 1)));
}

#[test]
fn sections_are_nested_so_deep_and_no_deeper() {
    let deep = |depth: usize| [[1u8, 0].repeat(depth), vec![2; depth]].concat();
    assert!(Section::decode(&deep(16)).is_ok());
    assert_eq!(Section::decode(&deep(17)), Err(MessageError::Depth));
    // Half a megabyte of openings is no reason to run out of stack.
    assert_eq!(Section::decode(&[1u8, 0].repeat(200_000)), Err(MessageError::Depth));
}

#[test]
fn a_packet_that_is_too_long_is_not_half_sent() {
    let packet = Packet::Response((0..10).fold(Section::new(), |s, _| s.with("x", vec![0; 65_000])));
    let mut out = vec![7];
    assert!(matches!(packet.encode(&mut out), Err(PacketError::TooLong(_))));
    assert_eq!(out, [7]);
    let long = Packet::Request("load-conn".to_owned(), Section::new().with("x", vec![0; 70_000]));
    assert_eq!(long.encode(&mut out), Err(PacketError::Message(MessageError::TooLong)));
    assert_eq!(out, [7]);
}

#[test]
fn an_unreadable_packet_does_not_hide_the_next() {
    let mut deframer = Deframer::default();
    deframer.push(&[0, 0, 0, 1, 99]);
    deframer.push(&[0, 0, 0, 1, 5]);
    assert_eq!(deframer.next_packet(), Err(PacketError::Type(99)));
    assert_eq!(deframer.next_packet(), Ok(Some(Packet::Confirm)));
    assert_eq!(deframer.next_packet(), Ok(None));
}
