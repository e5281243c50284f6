//! Transit: packets for stations behind other peers go on towards them (RFC 2332 sections 5.3.2 and 5.3.3).

use std::net::IpAddr;

use nhrp_wire::{Cie, ErrorCode, ExtensionBody, Message, Packet};

use crate::Engine;
use crate::cache::CacheEntry;
use crate::errors::HOP_COUNT_AT;
use crate::ids::{CacheId, InterfaceId};
use crate::interface::afi_of;
use crate::packets::station;

impl Engine {
    /// Sends a packet on to the peer behind which its target lies. Nothing is learned from it.
    /// RFC 2332 5.2.0.1. [rfc2332-5.2.0.1-nothing-else-cached]
    pub(crate) fn forward(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        mut packet: Packet,
        octets: &[u8],
        next: CacheId,
    ) {
        let Some((out, next_nbma)) = self.peer_address(next) else { return };
        let Some(afi) = packet.destination_protocol.map(afi_of) else { return };
        let Some(i) = self.interfaces.get(out.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else { return };
        // RFC 2332 5.1: no hop left is error 15 to the source. [rfc2332-5.1-hop-count]
        if packet.hop_count == 0 {
            self.stats.hop_count_exceeded += 1;
            let back = self.way_back(interface, source, &packet);
            let code = ErrorCode::HopCountExceeded;
            return self.send_error(interface, back, &packet, octets, code, HOP_COUNT_AT);
        }
        if self.was_here(&packet) {
            self.stats.loops_detected += 1;
            let back = self.way_back(interface, source, &packet);
            return self.send_error(interface, back, &packet, octets, ErrorCode::LoopDetected, 0);
        }
        let takes_part = Self::takes_part(&packet);
        // RFC 2332 5.3.1: the address of this tunnel, here and as responder. [rfc2332-5.3.1-same-address]
        if !self.may_pass(interface, source, next, &packet, takes_part) {
            return;
        }
        packet.hop_count -= 1;

        let is_reply = packet.message.packet_type().is_reply();
        let mtu = self.advertised_mtu(out);
        let holdtime = self.holdtime(out, afi);
        let inserted = self.translated_entry(interface, &packet, is_reply);
        // RFC 2332 5.3.2, 5.3.3: every NHS on the way adds itself. [rfc2332-5.3.2-record] [rfc2332-5.3.3-record]
        for extension in packet.extensions.iter_mut().filter(|_| takes_part) {
            match &mut extension.body {
                ExtensionBody::ForwardTransitNhs(record) if !is_reply => {
                    record.push(station(own_nbma, own, mtu, holdtime));
                }
                ExtensionBody::ReverseTransitNhs(record) if is_reply => {
                    record.push(station(own_nbma, own, mtu, holdtime));
                }
                ExtensionBody::NatAddress(entries) if entries.is_empty() => entries.extend(inserted.clone()),
                _ => {}
            }
        }
        self.stats.forwarded += 1;
        self.send(out, next_nbma, packet);
    }

    /// For an empty NAT extension: what we, who see it from outside, know about a station behind NAT.
    fn translated_entry(&self, interface: InterfaceId, packet: &Packet, is_reply: bool) -> Option<Cie> {
        let exchange = packet.message.exchange()?;
        let subject =
            if is_reply { exchange.cies.first().and_then(|c| c.protocol)? } else { packet.source_protocol? };
        let entry: &CacheEntry = self.cache.get(self.find_cache(interface, subject)?.key())?;
        let holdtime = self.holdtime(interface, afi_of(subject));
        Some(station(entry.nat?, subject, 0, holdtime))
    }
}

/// The address that decides where a packet goes: its destination, or for replies its source.
pub(crate) fn target_of(packet: &Packet) -> Option<IpAddr> {
    match packet.message {
        Message::ResolutionReply(_) | Message::RegistrationReply(_) | Message::PurgeReply(_) => {
            packet.source_protocol
        }
        _ => packet.destination_protocol,
    }
}
