//! Error indications (RFC 2332 section 5.2.7) and refusals: when one is sent, to whom, and what one means that arrives.
//!
//! Owns the limits: never an error about an error, never more than one about a packet, a few in a second. Never decides
//! what is wrong; those who find out call.
//!
//! An error indication has our own addresses as its source and the sender of the offending packet as its destination.
//! The RFC wants no extensions in it; where a password is configured it carries that one extension all the same, because
//! FRR's nhrpd refuses every packet without.

use std::net::IpAddr;
use std::time::Duration;

use nhrp_wire::{CieCode, DecodeError, ErrorCode, Extension, ExtensionBody, Message, Packet, PacketType};

use crate::Engine;
use crate::cache::CacheType;
use crate::engine::Pending;
use crate::ids::InterfaceId;
use crate::interface::afi_of;
use crate::packets::wire_family;
use crate::routing::Destination;
use crate::server::REPLY_HOPS;

/// Octets of an offending packet that an error carries: header, addresses, and the begin of what follows.
const ERROR_OCTETS: usize = 128;
/// Errors sent in a second, all peers together.
const ERRORS_PER_SECOND: u32 = 10;
/// Octet of the header at which the hop count is.
pub(crate) const HOP_COUNT_AT: u16 = 9;
/// Octet of the header at which the offset of the extensions is.
const EXTENSION_OFFSET_AT: usize = 14;

/// What a code of an entry means, for people. FRR's nhrpd names another number "no binding" than the RFC.
/// RFC 2332 5.2.2, 5.2.4: the codes of an entry. [rfc2332-5.2.2-codes]
pub(crate) fn refusal_words(code: CieCode) -> String {
    let words = match code {
        CieCode::Success => "accepted",
        CieCode::AdministrativelyProhibited => "administratively prohibited",
        CieCode::InsufficientResources => "it has no room; see its limits",
        CieCode::NoBinding | CieCode::Other(11) => "it knows no binding",
        CieCode::BindingNotUnique => "the binding is not unique",
        CieCode::AlreadyRegistered => {
            "another station has registered this address as unique; compare the tunnel addresses"
        }
        CieCode::Other(_) => "for a reason that RFC 2332 does not name",
    };
    format!("{words} (code {})", u8::from(code))
}

/// What the code of an error indication means, for people. FRR's nhrpd names another number "loop detected".
/// RFC 2332 5.2.7: the codes of an error. [rfc2332-5.2.7-codes]
pub(crate) fn error_words(code: ErrorCode) -> String {
    let words = match code {
        ErrorCode::UnrecognizedExtension => "it does not understand an extension",
        ErrorCode::LoopDetected | ErrorCode::Other(2) => {
            "the packet ran in a loop; see the routes of the servers"
        }
        ErrorCode::ProtocolAddressUnreachable => "it has no way to the address",
        ErrorCode::ProtocolError => "it cannot read the packet",
        ErrorCode::SduSizeExceeded => "the packet is too large",
        ErrorCode::InvalidExtension => "it cannot read an extension",
        ErrorCode::InvalidResolutionReply => "it did not ask",
        ErrorCode::AuthenticationFailure => {
            "authentication failure; compare 'nhrp authentication' on both sides"
        }
        ErrorCode::HopCountExceeded => "the packet passed too many servers",
        ErrorCode::Other(_) => "for a reason that RFC 2332 does not name",
    };
    format!("{words} (error {})", u16::from(code))
}

/// The first extension that whoever answers must understand, and that we do not.
fn not_understood(extensions: &[Extension]) -> Option<u16> {
    extensions.iter().filter(|e| e.compulsory).find_map(|e| match e.body {
        ExtensionBody::Unknown { kind, .. } => Some(kind),
        ExtensionBody::VendorPrivate { .. } => Some(u16::from(e.body.extension_type())),
        _ => None,
    })
}

/// Octet at which the extension of a type begins.
fn extension_offset(octets: &[u8], wanted: u16) -> Option<u16> {
    let word = |at: usize| Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]));
    let mut at = usize::from(word(EXTENSION_OFFSET_AT)?);
    loop {
        let kind = word(at)? & 0x3FFF;
        if kind == wanted || kind == 0 {
            return u16::try_from(at).ok();
        }
        at += 4 + usize::from(word(at + 2)?);
    }
}

impl Engine {
    /// Whether a request can be answered as far as its extensions are concerned.
    /// RFC 2332 5.3: a compulsory extension that the responder does not understand is error 1.
    /// [rfc2332-5.3-compulsory-responder]
    pub(crate) fn understands(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        request: &Packet,
        octets: &[u8],
    ) -> bool {
        let asks = matches!(
            request.message,
            Message::ResolutionRequest(_) | Message::RegistrationRequest(_) | Message::PurgeRequest(_)
        );
        let Some(kind) = not_understood(&request.extensions).filter(|_| asks) else { return true };
        self.refuse(source, "compulsory extension that is not understood");
        let offset = extension_offset(octets, kind).unwrap_or(0);
        self.send_error(interface, source, request, octets, ErrorCode::UnrecognizedExtension, offset);
        false
    }

    /// RFC 2332 5.3: whoever only passes on a packet with such an extension takes no part: does not learn from it, does
    /// not put itself into its records. [rfc2332-5.3-compulsory-transit]
    pub(crate) fn takes_part(packet: &Packet) -> bool {
        not_understood(&packet.extensions).is_none()
    }

    /// A packet of our own that came back.
    /// RFC 2332 5.2.7: an error indication with our own addresses as its source is dropped quietly; requests as well.
    /// [rfc2332-5.2.7-own-error]
    pub(crate) fn is_own_packet(&self, interface: InterfaceId, packet: &Packet) -> bool {
        let (Some(from), false) = (packet.source_protocol, packet.message.packet_type().is_reply()) else {
            return false;
        };
        let own = self.interfaces.get(interface.key()).and_then(|i| i.nbma);
        own.is_some() && packet.source_nbma == own && self.is_local(from)
    }

    /// One of our overlay addresses, on whatever interface.
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        self.nhrp_interfaces.iter().any(|interface| {
            let entry = self.find_cache(*interface, address).and_then(|id| self.cache.get(id.key()));
            entry.is_some_and(|e| e.kind == CacheType::Local)
        })
    }

    /// Whether a packet that is to be passed on has been here before; then its sender hears of it.
    /// RFC 2332 5.3.1, 5.3.2, 5.3.3: own protocol address in a record, or as responder of a reply, is error 3.
    /// [rfc2332-5.3.1-loop] [rfc2332-5.3.2-loop] [rfc2332-5.3.3-loop]
    pub(crate) fn was_here(&self, packet: &Packet) -> bool {
        let is_reply = packet.message.packet_type().is_reply();
        packet.extensions.iter().any(|extension| {
            let record = match &extension.body {
                ExtensionBody::ForwardTransitNhs(record) if !is_reply => record,
                ExtensionBody::ReverseTransitNhs(record) if is_reply => record,
                ExtensionBody::ResponderAddress(record)
                    if matches!(packet.message, Message::ResolutionReply(_)) =>
                {
                    record
                }
                _ => return false,
            };
            record.iter().filter_map(|c| c.protocol).any(|address| self.is_local(address))
        })
    }

    /// There is no way to the address that a packet is about.
    pub(crate) fn on_unreachable(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        packet: Packet,
        octets: &[u8],
    ) {
        self.stats.packets_unreachable += 1;
        match packet.message {
            // An error 6 makes FRR's nhrpd reject the traffic for its holding time, which would be worse than the detour
            // through us. A refusal just ends the search.
            // RFC 2332 5.2.2: no binding is code 12. [rfc2332-5.2.2-nak]
            Message::ResolutionRequest(_) => {
                self.refuse_resolution(interface, source, packet, CieCode::NoBinding);
            }
            // RFC 2332 5.2.7: error 6. [rfc2332-5.2.7-unreachable]
            // RFC 2332 5.2.3. [rfc2332-5.2.3-wrong-nhs]
            Message::RegistrationRequest(_) | Message::PurgeRequest(_) => {
                let code = ErrorCode::ProtocolAddressUnreachable;
                self.send_error(interface, source, &packet, octets, code, 0);
            }
            _ => {}
        }
    }

    /// Where an error about a packet that was to be passed on goes: towards its sender; where that is unknown, back.
    pub(crate) fn way_back(&self, interface: InterfaceId, source: IpAddr, packet: &Packet) -> IpAddr {
        let Some(from) = packet.source_protocol else { return source };
        let Destination::Peer(peer) = self.classify(Some(interface), from) else { return source };
        match self.peer_address(peer) {
            Some((out, nbma)) if out == interface => nbma,
            _ => source,
        }
    }

    /// Tells the sender of a packet why it was not handled; whoever calls does so once, and drops the packet.
    /// RFC 2332 5.2.7. [rfc2332-5.2.7-one-error]
    /// RFC 2332 5.2.7: never about an error indication. [rfc2332-5.2.7-never-about-error]
    pub(crate) fn send_error(
        &mut self,
        interface: InterfaceId,
        destination: IpAddr,
        offending: &Packet,
        octets: &[u8],
        code: ErrorCode,
        offset: u16,
    ) {
        if matches!(offending.message, Message::ErrorIndication { .. }) {
            return;
        }
        if let Some(to) = offending.source_protocol {
            self.write_error(interface, destination, to, octets, (code, offset));
        }
    }

    /// The same about a packet that could not be read, if it can be read from whom it is.
    /// RFC 2332 5.2.7: codes 7 and 9. [rfc2332-5.2.7-protocol-error] [rfc2332-5.2.7-invalid-extension]
    pub(crate) fn send_decode_error(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        octets: &[u8],
        error: &DecodeError,
    ) {
        let (Some(code), Some(inner)) = (error.error_code(), Packet::decode_inner_header(octets)) else {
            return;
        };
        let (Some(kind), Some(to)) = (inner.packet_type(), inner.source_protocol) else { return };
        if kind != PacketType::ErrorIndication {
            let offset = u16::try_from(error.offset).unwrap_or(0);
            self.write_error(interface, source, to, octets, (code, offset));
        }
    }

    fn write_error(
        &mut self,
        interface: InterfaceId,
        destination: IpAddr,
        to: IpAddr,
        octets: &[u8],
        (code, offset): (ErrorCode, u16),
    ) {
        if self.now.since(self.errors_since) >= Duration::from_secs(1) {
            self.errors_since = self.now;
            self.errors_in_second = 0;
        }
        if self.errors_in_second >= ERRORS_PER_SECOND {
            self.stats.errors_suppressed += 1;
            return;
        }
        self.errors_in_second += 1;
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi_of(to)).protocol) else { return };
        // FRR up to 10.7 computes the checksum of odd lengths wrongly.
        let length = octets.len().min(ERROR_OCTETS) & !1;
        // RFC 2332 5.2.7: from the one who observed the error to the one who sent the packet, with the octet at which it
        // went wrong, and the packet. [rfc2332-5.2.7-form]
        let message = Message::ErrorIndication {
            code,
            offset,
            packet: octets.get(..length).unwrap_or_default().to_vec(),
        };
        let packet = Packet {
            protocol_family: wire_family(own),
            ..Packet::new(own_nbma, own, to, REPLY_HOPS, message)
        };
        // RFC 2332 5.2.7. [rfc2332-5.2.7-no-extensions]
        self.stats.errors_sent += 1;
        self.send(interface, destination, packet);
    }

    /// Somebody could not handle a packet of ours. It counts if it quotes a request of ours that waits for its reply:
    /// id, type and addresses.
    pub(crate) fn on_error_indication(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        error: &Packet,
        code: ErrorCode,
        offending: &[u8],
    ) {
        self.stats.errors_received += 1;
        let Some(inner) = Packet::decode_inner_header(offending) else { return };
        let ours = inner.source_protocol.is_some_and(|from| self.is_local(from));
        let Some(pending) = self.pending.get(&inner.request_id).copied().filter(|_| ours) else { return };
        match (pending, inner.packet_type()) {
            (Pending::Registration(id), Some(PacketType::RegistrationRequest)) => {
                self.on_registration_reply(id, source, error);
            }
            (Pending::Resolution(id), Some(PacketType::ResolutionRequest)) => {
                self.on_resolution_reply(id, interface, source, error);
            }
            (Pending::Purge(id), Some(PacketType::PurgeRequest)) => self.on_purge_error(id, source),
            (Pending::Contest(id), Some(PacketType::RegistrationRequest)) => {
                self.on_contest_error(id, source, code);
            }
            _ => {}
        }
    }
}
