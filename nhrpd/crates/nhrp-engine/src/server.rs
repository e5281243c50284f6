//! The server's side: registrations of clients (RFC 2332 sections 5.2.3 and 5.2.4).

use std::net::IpAddr;
use std::time::Duration;

use nhrp_config::Afi;
use nhrp_wire::{Cie, CieCode, Exchange, ExtensionBody, Message, Packet, flags};

use crate::Engine;
use crate::cache::{BindError, Binding, CacheType, Origin};
use crate::ids::InterfaceId;
use crate::interface::afi_of;
use crate::packets::{is_station, station};
use crate::prefix_table::host;

/// Hops that a reply may travel: as many as a request.
/// RFC 2332 5.1. [rfc2332-5.1-reply-hop-count]
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
        if self.identity_to_come(interface, afi, source) {
            return self.refuse(source, "registration of a peer about whom charon has said nothing yet");
        }
        let unique = request.flags & flags::REGISTRATION_UNIQUE != 0;
        let behind_nat = source != source_nbma;
        let own_holdtime = self.holdtime(interface, afi);
        if exchange.cies.len() > MAX_CIES {
            self.too_many_entries(source);
        }
        // RFC 2332 5.2.3: several entries, each with its own answer; with the U bit only one. [rfc2332-5.2.3-entries]
        for (index, cie) in exchange.cies.iter_mut().enumerate() {
            cie.code = if index >= MAX_CIES {
                CieCode::InsufficientResources
            } else if unique && index > 0 {
                CieCode::AdministrativelyProhibited
            } else {
                let client = Client { interface, afi, source, source_nbma, source_protocol, unique };
                self.register(&client, cie)
            };
            // RFC 2332 5.2.0.1: on a NAK the holding time is 0. [rfc2332-5.2.0.1-nak-holding]
            if cie.code != CieCode::Success {
                cie.holding_time = 0;
            }
        }
        self.stats.registrations_served += 1;

        let mtu = self.advertised_mtu(interface);
        // RFC 2332 5.3. [rfc2332-5.3-optional-returned]
        // RFC 2332 5.3.5. [rfc2332-5.3.5-vendor]
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
            // RFC 2332 5.2.4 leaves it as it was. [rfc2332-5.2.4-form]
            destination_protocol: Some(own),
            message: Message::RegistrationReply(Exchange {
                request_id: exchange.request_id,
                cies: exchange.cies,
            }),
            extensions,
        };
        // RFC 2332 5.2.4: straight to the client. [rfc2332-5.2.4-direct]
        self.send(interface, source, reply);
    }

    /// One entry of a registration request.
    fn register(&mut self, client: &Client, cie: &Cie) -> CieCode {
        let Client { interface, source, .. } = *client;
        // RFC 2332 5.2.3: addresses that are left out are those of the header. [rfc2332-5.2.3-addresses]
        let protocol = cie.protocol.unwrap_or(client.source_protocol);
        if afi_of(protocol) != client.afi || !is_station(protocol) {
            return CieCode::AdministrativelyProhibited;
        }
        if cie.prefix_length != 0 && cie.prefix_length < host(protocol).prefix_len() {
            // Only hosts register here, and the codes are FRR's. [rfc2332-5.2.3-prefixes]
            return if client.unique {
                CieCode::AdministrativelyProhibited
            } else {
                CieCode::BindingNotUnique
            };
        }
        if cie.holding_time == 0 {
            return self.unregister(interface, source, protocol);
        }
        if !self.may_register(interface, protocol, source) {
            return CieCode::AdministrativelyProhibited;
        }
        if self.is_contested(interface, protocol, source) {
            return CieCode::AlreadyRegistered;
        }
        let binding = Binding {
            kind: CacheType::Dynamic,
            origin: Origin::Registered,
            nbma: Some(source),
            nat: (source != client.source_nbma).then_some(source),
            claimed: Some(cie.nbma.unwrap_or(client.source_nbma)),
            mtu: cie.mtu,
            unique: client.unique,
            holding: Some(Duration::from_secs(u64::from(cie.holding_time))),
        };
        match self.bind(interface, protocol, binding) {
            // The client is told so before anybody is asked, as FRR does: it has no other way to wait.
            Ok(_) | Err(BindError::Unauthorised) => CieCode::Success,
            Err(BindError::Precedence) => CieCode::AdministrativelyProhibited,
            // RFC 2332 5.2.3. [rfc2332-5.2.3-overflow]
            Err(BindError::Limit) => CieCode::InsufficientResources,
        }
    }

    /// RFC 2332 5.2.0.1: a holding time of 0 is over at once. FRR takes it for its own default; its clients never send
    /// it, and ours leave by purge. [rfc2332-5.2.0.1-holding-zero]
    fn unregister(&mut self, interface: InterfaceId, source: IpAddr, protocol: IpAddr) -> CieCode {
        self.drop_waiting(interface, protocol, source);
        let Some(id) = self.find_cache(interface, protocol) else { return CieCode::Success };
        let Some(entry) = self.cache.get(id.key()) else { return CieCode::Success };
        if entry.kind != CacheType::Dynamic || entry.nbma != Some(source) {
            return CieCode::AdministrativelyProhibited;
        }
        self.purge_binding(id);
        CieCode::Success
    }
}

/// Who registers.
struct Client {
    interface: InterfaceId,
    afi: Afi,
    /// NBMA source of the packet.
    source: IpAddr,
    /// NBMA address that the client believes to have.
    source_nbma: IpAddr,
    source_protocol: IpAddr,
    unique: bool,
}
