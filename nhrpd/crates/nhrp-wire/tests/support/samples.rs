//! Packets that the golden ones do not cover: IPv6 above and below, purges, odd lengths, subaddresses, vendor and
//! unknown extensions, several entries, no extensions.

use std::net::IpAddr;

use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cie(nbma: &str, protocol: &str) -> Cie {
    Cie {
        prefix_length: 32,
        mtu: 1400,
        holding_time: 600,
        preference: 7,
        nbma: Some(ip(nbma)),
        protocol: Some(ip(protocol)),
        ..Cie::default()
    }
}

fn exchange(request_id: u32, cies: &[Cie]) -> Exchange {
    Exchange { request_id, cies: cies.to_vec() }
}

fn v4(message: Message) -> Packet {
    Packet::new(ip("192.0.2.1"), ip("10.255.255.1"), ip("10.255.255.2"), 64, message)
}

fn v6_over_v4(message: Message) -> Packet {
    Packet::new(ip("192.0.2.1"), ip("2001:db8:1::1"), ip("2001:db8:2::2"), 64, message)
}

fn v6_over_v6(message: Message) -> Packet {
    Packet::new(ip("2001:db8:ff::1"), ip("2001:db8:1::1"), ip("2001:db8:2::2"), 255, message)
}

fn v4_over_v6(message: Message) -> Packet {
    Packet::new(ip("2001:db8:ff::1"), ip("10.255.255.1"), ip("10.255.255.2"), 3, message)
}

/// The extensions of FRR's requests, empty.
fn requested(packet: Packet) -> Packet {
    packet
        .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(vec![])))
        .with_extension(Extension::compulsory(ExtensionBody::ReverseTransitNhs(vec![])))
        .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(vec![])))
        .with_extension(Extension::optional(ExtensionBody::NatAddress(vec![])))
}

/// A valid UDP packet without UDP checksum: 10.1.0.1 > 10.2.0.1, discard port, `payload` octets.
fn udp(payload: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28 + payload, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    let sum = nhrp_wire::checksum::internet(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend([0x30, 0x39, 0, 9, 0, 8 + payload, 0, 0]);
    packet.extend((0..payload).map(|x| x | 0x40));
    packet
}

/// An IPv6 packet without a next header.
fn ipv6_nothing() -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
    for address in ["2001:db8:1::9", "2001:db8:2::9"] {
        let IpAddr::V6(address) = ip(address) else { unreachable!() };
        packet.extend(address.octets());
    }
    packet
}

/// All samples.
pub(crate) fn all() -> Vec<(&'static str, Packet)> {
    let purge = exchange(0xFFFF_FFFF, &[cie("192.0.2.1", "10.255.255.1"), cie("192.0.2.9", "10.1.9.0")]);
    let refused = Cie { code: CieCode::NoBinding, holding_time: 0, ..Cie::default() };
    // No protocol address behind the subaddress: tshark 4.0 would look for it in the subaddress.
    let odd = Cie {
        code: CieCode::Other(200),
        nbma_subaddress: vec![1, 2, 3],
        protocol: None,
        ..cie("192.0.2.7", "10.0.0.7")
    };
    let mut contained = Vec::new();
    v4(Message::PurgeRequest(purge.clone())).encode(&mut contained).unwrap();
    vec![
        ("IPv6 over IPv4, registration request", {
            let own = Cie { prefix_length: 0xFF, nbma: None, protocol: None, ..cie("192.0.2.1", "::") };
            requested(v6_over_v4(Message::RegistrationRequest(exchange(1, &[own]))))
                .with_flags(flags::REGISTRATION_UNIQUE | flags::NAT)
        }),
        ("IPv6 over IPv6, resolution reply", {
            let answer = Cie { prefix_length: 64, ..cie("2001:db8:ff::2", "2001:db8:2::2") };
            v6_over_v6(Message::ResolutionReply(exchange(2, &[answer])))
                .with_flags(flags::RESOLUTION_AUTHORITATIVE | flags::RESOLUTION_DESTINATION_STABLE)
                .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(vec![
                    cie("2001:db8:ff::3", "2001:db8:3::3"),
                    cie("2001:db8:ff::4", "2001:db8:4::4"),
                ])))
                .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(vec![cie(
                    "2001:db8:ff::2",
                    "2001:db8:2::2",
                )])))
        }),
        ("IPv4 over IPv6, resolution request", {
            let wanted = Cie { nbma: None, protocol: None, ..cie("::", "::") };
            requested(v4_over_v6(Message::ResolutionRequest(exchange(3, &[wanted]))))
                .with_flags(flags::RESOLUTION_SOURCE_IS_ROUTER | flags::RESOLUTION_SOURCE_STABLE)
        }),
        ("negative resolution reply", v4(Message::ResolutionReply(exchange(4, &[refused])))),
        ("purge request without extensions", {
            v4(Message::PurgeRequest(purge.clone())).with_flags(flags::PURGE_NO_REPLY)
        }),
        ("purge reply with extensions", requested(v4(Message::PurgeReply(purge)))),
        ("IPv6 purge", {
            v6_over_v4(Message::PurgeRequest(exchange(6, &[cie("192.0.2.1", "2001:db8:1::1")])))
        }),
        ("traffic indication of odd length", {
            v4(Message::TrafficIndication { unused: 0, packet: udp(7) })
        }),
        ("traffic indication of even length", {
            v4(Message::TrafficIndication { unused: 0, packet: udp(8) })
        }),
        ("IPv6 traffic indication with password", {
            v6_over_v4(Message::TrafficIndication { unused: 0, packet: ipv6_nothing() })
                .with_extension(Extension::cisco_authentication(b"as long as an IPv6 address"))
        }),
        ("error indication with a whole packet", {
            v4(Message::ErrorIndication { code: ErrorCode::ProtocolError, offset: 17, packet: contained })
        }),
        ("error indication without contents", {
            let (code, packet) = (ErrorCode::Other(999), vec![]);
            v6_over_v6(Message::ErrorIndication { code, offset: 0xFFFF, packet })
        }),
        ("odd password", {
            let own = Cie { nbma: None, protocol: None, ..cie("192.0.2.1", "10.0.0.1") };
            v4(Message::RegistrationReply(exchange(7, &[own])))
                .with_extension(Extension::cisco_authentication(b"secrets"))
        }),
        ("vendor and unknown extensions of odd length", {
            v4(Message::RegistrationRequest(exchange(8, &[cie("192.0.2.1", "10.255.255.1")])))
                .with_extension(Extension::optional(ExtensionBody::VendorPrivate {
                    vendor: [0x00, 0x00, 0x0C],
                    data: vec![1, 2, 3, 4, 5, 6],
                }))
                .with_extension(Extension::compulsory(ExtensionBody::Unknown {
                    kind: 0x3FFF,
                    data: vec![0xAB, 0xCD, 0xEF],
                }))
                .with_extension(Extension::optional(ExtensionBody::Unknown { kind: 100, data: vec![] }))
        }),
        ("NAT extension with several entries", {
            v4(Message::ResolutionReply(exchange(9, &[cie("192.0.2.2", "10.255.255.2")])))
                .with_flags(flags::NAT)
                .with_extension(Extension::optional(ExtensionBody::NatAddress(vec![
                    cie("192.0.2.3", "10.255.255.3"),
                    cie("192.0.2.4", "10.255.255.4"),
                    cie("192.0.2.5", "10.255.255.5"),
                ])))
        }),
        ("subaddresses and unknown code", {
            let mut packet = v4(Message::RegistrationReply(exchange(10, &[odd])));
            packet.source_nbma_subaddress = vec![9, 8, 7, 6, 5];
            packet
        }),
        ("no addresses, no entries", {
            let mut packet = v4(Message::ResolutionRequest(exchange(0, &[])));
            (packet.source_nbma, packet.source_protocol, packet.destination_protocol) = (None, None, None);
            packet
        }),
    ]
}
