//! The server's side: registrations of clients (RFC 2332 sections 5.2.3 and 5.2.4).

use std::net::IpAddr;
use std::time::Duration;

use nhrp_wire::{CieCode, Exchange, ExtensionBody, Message, Packet, flags};

use crate::Engine;
use crate::cache::{BindError, Binding, CacheType, Origin};
use crate::ids::InterfaceId;
use crate::interface::afi_of;
use crate::packets::{is_station, station};
use crate::prefix_table::host;

/// Hops that a reply may travel.
pub(crate) const REPLY_HOPS: u8 = 64;

/// Entries of one request that are looked at; a packet of 90 would otherwise be 90 registrations.
pub(crate) const MAX_CIES: usize = 16;

impl Engine {
    pub(crate) fn on_registration_request(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        request: Packet,
    ) {
        let Packet { source_nbma: Some(source_nbma), source_protocol: Some(source_protocol), .. } = request
        else {
            return self.refuse(source, "registration without source address");
        };
        let Message::RegistrationRequest(mut exchange) = request.message else { return };
        let afi = afi_of(source_protocol);
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else {
            return self
                .refuse(source, "registration, but this interface has no overlay address of its own yet");
        };
        let unique = request.flags & flags::REGISTRATION_UNIQUE != 0;
        let behind_nat = source != source_nbma;
        let own_holdtime = self.holdtime(interface, afi);
        exchange.cies.truncate(MAX_CIES);
        for cie in &mut exchange.cies {
            let protocol = cie.protocol.unwrap_or(source_protocol);
            let full = host(protocol).prefix_len();
            cie.code = if afi_of(protocol) != afi || !is_station(protocol) {
                CieCode::AdministrativelyProhibited
            } else if cie.prefix_length != 0 && cie.prefix_length < full {
                // Only hosts register here.
                if unique { CieCode::AdministrativelyProhibited } else { CieCode::BindingNotUnique }
            } else {
                let seconds = if cie.holding_time == 0 { own_holdtime } else { cie.holding_time };
                let binding = Binding {
                    kind: CacheType::Dynamic,
                    origin: Origin::Registered,
                    nbma: Some(source),
                    nat: behind_nat.then_some(source),
                    claimed: Some(cie.nbma.unwrap_or(source_nbma)),
                    mtu: cie.mtu,
                    holding: Some(Duration::from_secs(u64::from(seconds))),
                };
                match self.bind(interface, protocol, binding) {
                    Ok(_) => CieCode::Success,
                    Err(BindError::Precedence) => CieCode::AdministrativelyProhibited,
                    Err(BindError::Limit) => CieCode::InsufficientResources,
                }
            };
        }
        self.stats.registrations_served += 1;

        let mtu = self.advertised_mtu(interface);
        let mut extensions = request.extensions;
        for extension in &mut extensions {
            match &mut extension.body {
                ExtensionBody::ResponderAddress(cies) => {
                    cies.clear();
                    cies.push(station(own_nbma, own, mtu, own_holdtime));
                }
                ExtensionBody::NatAddress(cies) if behind_nat => {
                    let mut seen = station(source, source_protocol, mtu, 0);
                    seen.prefix_length = host(source_protocol).prefix_len();
                    cies.push(seen);
                }
                _ => {}
            }
        }
        let reply = Packet {
            nbma_family: request.nbma_family,
            protocol_family: request.protocol_family,
            hop_count: REPLY_HOPS,
            flags: request.flags & (flags::REGISTRATION_UNIQUE | flags::NAT),
            source_nbma: Some(source_nbma),
            source_nbma_subaddress: request.source_nbma_subaddress,
            source_protocol: Some(source_protocol),
            destination_protocol: Some(own),
            message: Message::RegistrationReply(Exchange {
                request_id: exchange.request_id,
                cies: exchange.cies,
            }),
            extensions,
        };
        self.send(interface, source, reply);
    }
}
