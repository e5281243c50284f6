//! Packets of a crowd: IPv4 around GRE around NHRP or IPv4, as a tunnel with a key sends and takes them.
//!
//! Owns building and taking apart. Never sends, never remembers.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |               IPv4 header, 20 octets, protocol 47             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0|0|1|0|   zero, version 0     |  0x2001 NHRP or 0x0800 IPv4   |  RFC 2784, RFC 2890
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                              key                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use std::net::Ipv4Addr;

use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet, checksum, flags};

use super::spokes::Spokes;
use crate::failure::{Context, Result};

/// IP protocol number of GRE.
pub(crate) const GRE: u8 = 47;

const ICMP: u8 = 1;
const GRE_KEY_PRESENT: u16 = 0x2000;
const NHRP: u16 = 0x2001;
const IPV4: u16 = 0x0800;
const ECHO_REQUEST: u8 = 8;
const IPV4_HEADER: usize = 20;
pub(super) const TUNNEL_HEADER: usize = IPV4_HEADER + 8;

/// What a crowd and its hub agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cloud {
    /// The crowd.
    pub(crate) spokes: Spokes,
    /// The hub's NBMA address.
    pub(crate) hub_nbma: Ipv4Addr,
    /// The hub's overlay address.
    pub(crate) hub: Ipv4Addr,
    /// GRE key.
    pub(crate) key: u32,
    /// Holding time that spokes ask for, in seconds.
    pub(crate) holdtime: u16,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to a registration request.
    RegistrationReply {
        /// Whose request, by the NBMA address that it was sent to.
        spoke: u32,
        /// Id of the request.
        request_id: u32,
        /// Code of its entry, 0 for success.
        code: u8,
    },
    /// An echo request to a spoke's overlay address, and the packet to answer with.
    EchoRequest {
        /// Whole answer, from its outer IPv4 header.
        answer: Vec<u8>,
    },
    /// Anything else that came through the tunnel of a spoke, such as an echo request to an overlay address
    /// that is not the one of the NBMA address it was sent to.
    Unexpected,
    /// Nothing to do with the crowd: another key, another tunnel, another address.
    Foreign,
}

impl Cloud {
    /// A spoke's registration request, from its outer IPv4 header, with what FRR's and Cisco's spokes put into
    /// one.
    pub(crate) fn registration_request(&self, spoke: u32, request_id: u32) -> Result<Vec<u8>> {
        let (nbma, overlay) = (self.spokes.nbma(spoke), self.spokes.overlay(spoke));
        // 255: the spoke's own address alone, as FRR writes it.
        let entry = Cie { prefix_length: 255, mtu: 1400, holding_time: self.holdtime, ..Cie::default() };
        let hub = Cie {
            holding_time: 0,
            nbma: Some(self.hub_nbma.into()),
            protocol: Some(self.hub.into()),
            ..entry.clone()
        };
        let exchange = Exchange { request_id, cies: vec![entry] };
        let message = Message::RegistrationRequest(exchange);
        let packet = Packet::new(nbma.into(), overlay.into(), self.hub.into(), 1, message)
            .with_flags(flags::REGISTRATION_UNIQUE | flags::NAT)
            .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(Vec::new())))
            .with_extension(Extension::compulsory(ExtensionBody::ReverseTransitNhs(Vec::new())))
            .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(Vec::new())))
            .with_extension(Extension::optional(ExtensionBody::NatAddress(vec![hub])));
        let mut octets = self.tunnel_header(spoke, NHRP);
        packet.encode(&mut octets).context(|| "encoding a registration request".to_owned())?;
        Ok(octets)
    }

    /// What a received IPv4 packet means to the crowd.
    pub(crate) fn understand(&self, octets: &[u8]) -> Incoming {
        let Some((outer, gre)) = Ipv4::read(octets) else { return Incoming::Foreign };
        let Some(spoke) = self.spokes.at(outer.destination) else { return Incoming::Foreign };
        let Some((header, payload)) = gre.split_first_chunk::<8>() else { return Incoming::Foreign };
        let [f0, f1, p0, p1, key @ ..] = *header;
        let key_only = u16::from_be_bytes([f0, f1]) == GRE_KEY_PRESENT;
        if outer.protocol != GRE || !key_only || u32::from_be_bytes(key) != self.key {
            return Incoming::Foreign;
        }
        let understood = match u16::from_be_bytes([p0, p1]) {
            NHRP => self.understand_nhrp(spoke, payload),
            IPV4 => self.understand_ipv4(spoke, payload),
            _ => None,
        };
        understood.unwrap_or(Incoming::Unexpected)
    }

    fn understand_nhrp(&self, spoke: u32, octets: &[u8]) -> Option<Incoming> {
        let packet = Packet::decode(octets).ok()?;
        let Message::RegistrationReply(exchange) = packet.message else { return None };
        let own = packet.source_protocol == Some(self.spokes.overlay(spoke).into());
        let code = exchange.cies.first()?.code.into();
        own.then_some(Incoming::RegistrationReply { spoke, request_id: exchange.request_id, code })
    }

    fn understand_ipv4(&self, spoke: u32, octets: &[u8]) -> Option<Incoming> {
        let (inner, icmp) = Ipv4::read(octets)?;
        let (header, rest) = icmp.split_first_chunk::<4>()?;
        let for_us = inner.protocol == ICMP && inner.destination == self.spokes.overlay(spoke);
        if !for_us || *header.first()? != ECHO_REQUEST {
            return None;
        }
        let mut reply = vec![0; 4];
        reply.extend_from_slice(rest);
        let sum = checksum::internet(&reply).to_be_bytes();
        reply.get_mut(2..4)?.copy_from_slice(&sum);
        let mut answer = self.tunnel_header(spoke, IPV4);
        let length = u16::try_from(IPV4_HEADER + reply.len()).ok()?;
        answer.extend_from_slice(&ipv4_header(length, ICMP, inner.destination, inner.source));
        answer.extend_from_slice(&reply);
        Some(Incoming::EchoRequest { answer })
    }

    /// From a spoke to the hub. The kernel writes the outer length and checksum itself.
    fn tunnel_header(&self, spoke: u32, protocol: u16) -> Vec<u8> {
        let mut octets = Vec::with_capacity(TUNNEL_HEADER + 128);
        octets.extend_from_slice(&ipv4_header(0, GRE, self.spokes.nbma(spoke), self.hub_nbma));
        octets.extend_from_slice(&GRE_KEY_PRESENT.to_be_bytes());
        octets.extend_from_slice(&protocol.to_be_bytes());
        octets.extend_from_slice(&self.key.to_be_bytes());
        octets
    }
}

/// What is needed of an IPv4 header.
struct Ipv4 {
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl Ipv4 {
    /// The header and what it carries, without what lies behind the stated length.
    fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let header = octets.first_chunk::<IPV4_HEADER>()?;
        let [first, _, l0, l1, _, _, _, _, _, protocol, _, _, addresses @ ..] = *header;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let header_length = usize::from(first & 0x0F) * 4;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if first >> 4 != 4 || header_length < IPV4_HEADER {
            return None;
        }
        let payload = octets.get(header_length..length)?;
        let (source, destination) = ([s0, s1, s2, s3].into(), [d0, d1, d2, d3].into());
        Some((Self { protocol, source, destination }, payload))
    }
}

fn ipv4_header(length: u16, protocol: u8, source: Ipv4Addr, destination: Ipv4Addr) -> [u8; IPV4_HEADER] {
    let [l0, l1] = length.to_be_bytes();
    let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (source.octets(), destination.octets());
    let mut header = [0x45, 0, l0, l1, 0, 0, 0, 0, 64, protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3];
    let [c0, c1] = checksum::internet(&header).to_be_bytes();
    let [_, _, _, _, _, _, _, _, _, _, high, low, ..] = &mut header;
    (*high, *low) = (c0, c1);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud() -> Cloud {
        Cloud {
            spokes: Spokes { count: 3000, nbma: [198, 18, 0, 1].into(), overlay: [10, 254, 0, 1].into() },
            hub_nbma: [192, 0, 2, 2].into(),
            hub: [10, 255, 255, 1].into(),
            key: 42,
            holdtime: 600,
        }
    }

    /// As the hub would send it, with every length in place.
    fn from_hub(to: Ipv4Addr, key: u32, protocol: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(TUNNEL_HEADER + payload.len()).unwrap();
        let mut octets = ipv4_header(length, GRE, cloud().hub_nbma, to).to_vec();
        octets.extend_from_slice(&[0x20, 0]);
        octets.extend_from_slice(&protocol.to_be_bytes());
        octets.extend_from_slice(&key.to_be_bytes());
        octets.extend_from_slice(payload);
        octets
    }

    fn echo(to: Ipv4Addr) -> Vec<u8> {
        let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xAA, 0xBB, 0xCC];
        let sum = checksum::internet(&icmp).to_be_bytes();
        icmp[2..4].copy_from_slice(&sum);
        let mut octets = ipv4_header(31, ICMP, cloud().hub, to).to_vec();
        octets.extend_from_slice(&icmp);
        octets
    }

    #[test]
    fn a_registration_request_octet_by_octet() {
        let octets = cloud().registration_request(256, 0x0102_0304).unwrap();
        let expected = [
            &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 47][..],
            &octets[10..12], // checksum, judged below
            &[198, 18, 1, 1, 192, 0, 2, 2, 0x20, 0, 0x20, 0x01, 0, 0, 0, 42],
            // Fixed header: IPv4 over IPv4, one hop, type 3.
            &[0, 1, 0x08, 0, 0, 0, 0, 0, 0, 1],
        ]
        .concat();
        assert_eq!(octets[..38], expected);
        assert_eq!(checksum::internet(&octets[..20]), 0);
        let packet = Packet::decode(&octets[TUNNEL_HEADER..]).unwrap();
        assert_eq!(packet.source_nbma, Some(Ipv4Addr::new(198, 18, 1, 1).into()));
        assert_eq!(packet.source_protocol, Some(Ipv4Addr::new(10, 254, 1, 1).into()));
        assert_eq!(packet.destination_protocol, Some(Ipv4Addr::new(10, 255, 255, 1).into()));
        let Message::RegistrationRequest(exchange) = packet.message else { panic!("{packet:?}") };
        assert_eq!((exchange.request_id, exchange.cies[0].holding_time), (0x0102_0304, 600));
    }

    #[test]
    fn a_reply_is_its_spokes_if_the_addresses_belong_together() {
        let cloud = cloud();
        let reply = |spoke: u32| {
            let request = cloud.registration_request(spoke, 9).unwrap();
            let mut packet = Packet::decode(&request[TUNNEL_HEADER..]).unwrap();
            let Message::RegistrationRequest(exchange) = packet.message else { panic!() };
            packet.message = Message::RegistrationReply(exchange);
            let mut octets = Vec::new();
            packet.encode(&mut octets).unwrap();
            octets
        };
        let octets = from_hub(cloud.spokes.nbma(7), 42, NHRP, &reply(7));
        let expected = Incoming::RegistrationReply { spoke: 7, request_id: 9, code: 0 };
        assert_eq!(cloud.understand(&octets), expected);
        let octets = from_hub(cloud.spokes.nbma(8), 42, NHRP, &reply(7));
        assert_eq!(cloud.understand(&octets), Incoming::Unexpected);
        let octets = from_hub(cloud.spokes.nbma(7), 43, NHRP, &reply(7));
        assert_eq!(cloud.understand(&octets), Incoming::Foreign);
    }

    #[test]
    fn an_echo_request_is_answered_by_the_spoke_that_it_is_for() {
        let cloud = cloud();
        let target = cloud.spokes.overlay(2999);
        let octets = from_hub(cloud.spokes.nbma(2999), 42, IPV4, &echo(target));
        let Incoming::EchoRequest { answer } = cloud.understand(&octets) else { panic!() };
        assert_eq!(answer[12..20], [198, 18, 11, 184, 192, 0, 2, 2]);
        assert_eq!(answer[20..28], [0x20, 0, 0x08, 0, 0, 0, 0, 42]);
        let (inner, icmp) = Ipv4::read(&answer[28..]).unwrap();
        assert_eq!((inner.source, inner.destination), (target, cloud.hub));
        assert_eq!(checksum::internet(&answer[28..48]), 0);
        assert_eq!(icmp[..2], [0, 0]);
        assert_eq!(icmp[4..], [0x12, 0x34, 0, 1, 0xAA, 0xBB, 0xCC]);
        assert_eq!(checksum::internet(icmp), 0);
        // The hub has confused two spokes: nobody answers.
        let octets = from_hub(cloud.spokes.nbma(2998), 42, IPV4, &echo(target));
        assert_eq!(cloud.understand(&octets), Incoming::Unexpected);
    }

    #[test]
    fn no_prefix_of_a_packet_is_mistaken_for_one() {
        let cloud = cloud();
        let octets = from_hub(cloud.spokes.nbma(1), 42, IPV4, &echo(cloud.spokes.overlay(1)));
        for length in 0..octets.len() {
            assert_eq!(cloud.understand(&octets[..length]), Incoming::Foreign, "{length}");
        }
    }
}
