//! Traffic indications (draft-detienne-dmvpn-01: the hub tells the sender that there is a shorter way), and whose a
//! reply is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nhrp_wire::{Exchange, Message, Packet};

use crate::Engine;
use crate::engine::Pending;
use crate::ids::InterfaceId;
use crate::interface::afi_of;
use crate::packets::wire_family;
use crate::routing::Destination;

/// Octets of a data packet that an indication carries: IP header, and some more for whoever reads captures.
const INDICATED_OCTETS: usize = 128;
/// The one code of an indication that there is: the packet was redirected.
const REDIRECT: u32 = 0;
/// One indication a second for the same pair of hosts: the sender needs that long to act on the first.
const INDICATION_INTERVAL: Duration = Duration::from_secs(1);
/// Pairs that are remembered for it.
const INDICATION_MEMORY: usize = 4096;

/// Source and destination of an IP packet of which the fixed header is there.
pub(crate) fn ip_addresses(octets: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match octets.first()? >> 4 {
        4 => {
            let source: [u8; 4] = octets.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = octets.get(16..20)?.try_into().ok()?;
            Some((IpAddr::V4(Ipv4Addr::from(source)), IpAddr::V4(Ipv4Addr::from(destination))))
        }
        6 => {
            let source: [u8; 16] = octets.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = octets.get(24..40)?.try_into().ok()?;
            Some((IpAddr::V6(Ipv6Addr::from(source)), IpAddr::V6(Ipv6Addr::from(destination))))
        }
        _ => None,
    }
}

impl Engine {
    /// A data packet went in and out of the NBMA network: its sender could have gone the direct way.
    pub(crate) fn on_flow(&mut self, ifindex: u32, octets: &[u8]) {
        let Some(interface) = self.interface_by_index(ifindex) else { return };
        let Some((from, to)) = ip_addresses(octets) else { return };
        let afi = afi_of(from);
        let Some(i) = self.interfaces.get(interface.key()) else { return };
        if !i.family(afi).running || !i.config.family(afi).redirect {
            return;
        }
        let (Some(own_nbma), Some(own)) = (i.nbma, i.family(afi).protocol) else { return };
        let Destination::Peer(peer) = self.classify(Some(interface), from) else { return };
        let Some((out, nbma)) = self.peer_address(peer) else { return };
        if self.indicated_lately(nbma, to) {
            self.stats.indications_suppressed += 1;
            return;
        }
        let length = octets.len().min(INDICATED_OCTETS);
        // FRR up to 10.7 computes the checksum of odd lengths wrongly.
        let kept = octets.get(..length & !1).unwrap_or_default().to_vec();
        let packet = Packet {
            nbma_family: wire_family(own_nbma),
            protocol_family: wire_family(own),
            hop_count: 1,
            flags: 0,
            source_nbma: Some(own_nbma),
            source_nbma_subaddress: Vec::new(),
            source_protocol: Some(own),
            destination_protocol: Some(from),
            // draft-detienne-dmvpn 5.1, 4.3. [dmvpn-5.1-format] [dmvpn-4.3-octets]
            message: Message::TrafficIndication { unused: 0, packet: kept },
            extensions: Vec::new(),
        };
        // draft-detienne-dmvpn 4.3. [dmvpn-4.3-redirect] [dmvpn-4.3-same-tunnel]
        self.stats.indications_sent += 1;
        self.send(out, nbma, packet);
    }

    // draft-detienne-dmvpn 4.3. [dmvpn-4.3-rate]
    fn indicated_lately(&mut self, nbma: IpAddr, to: IpAddr) -> bool {
        let now = self.now;
        let fresh = |at: &crate::Instant| now.since(*at) < INDICATION_INTERVAL;
        if self.indicated.get(&(nbma, to)).is_some_and(fresh) {
            return true;
        }
        if self.indicated.len() >= INDICATION_MEMORY {
            // Looked through four times a second at most, not for each packet of a flood.
            if now.since(self.indicated_swept) >= INDICATION_INTERVAL / 4 {
                self.indicated_swept = now;
                self.indicated.retain(|_, at| fresh(at));
            }
            if self.indicated.len() >= INDICATION_MEMORY {
                // So many pairs within a second: whoever floods us gets no packet for each packet.
                return true;
            }
        }
        self.indicated.insert((nbma, to), now);
        false
    }

    /// The hub says that what we sent could go directly.
    /// draft-detienne-dmvpn 4.4. [dmvpn-4.4-resolve]
    pub(crate) fn on_traffic_indication(&mut self, interface: InterfaceId, code: u32, octets: &[u8]) {
        let Some((from, to)) = ip_addresses(octets) else { return };
        self.stats.indications_received += 1;
        // What came out of the NBMA network and only passed here is for its ingress to ask about, not for everybody on
        // its way. draft-detienne-dmvpn 4.3, RFC 2332 6.4. [dmvpn-4.3-intermediate] [rfc2332-6.4-domino]
        let only_passed_here = matches!(self.classify(Some(interface), from), Destination::Peer(_));
        // draft-detienne-dmvpn 5.1: there is one code yet. [dmvpn-5.1-code]
        if code >> 16 != REDIRECT || only_passed_here {
            self.stats.indications_passed_over += 1;
            return;
        }
        let shortcut =
            self.interfaces.get(interface.key()).is_some_and(|i| i.config.family(afi_of(to)).shortcut);
        // RFC 2332 2.2: the packet itself goes on along the routed path. [rfc2332-2.2-routed-path]
        // A server speaks for the network on whose tunnel it does: what lies behind another one is none of its business.
        if shortcut && matches!(self.classify(Some(interface), to), Destination::Peer(_)) {
            self.resolve(to);
        }
    }

    /// Takes apart what arrived with this request id, if we asked for it.
    pub(crate) fn on_reply(
        &mut self,
        interface: InterfaceId,
        source: IpAddr,
        packet: &Packet,
        exchange: &Exchange,
    ) {
        match (self.pending.get(&exchange.request_id).copied(), &packet.message) {
            (Some(Pending::Registration(id)), Message::RegistrationReply(_)) => {
                self.on_registration_reply(id, source, packet);
            }
            (Some(Pending::Contest(id)), Message::RegistrationReply(_)) => self.on_contest_reply(id, source),
            (Some(Pending::Purge(id)), Message::PurgeReply(_)) => self.on_purge_reply(id, source, packet),
            (Some(Pending::Resolution(id)), Message::ResolutionReply(_)) => {
                self.on_resolution_reply(id, interface, source, packet);
            }
            // RFC 2332 5.2.5. [rfc2332-5.2.5-unsolicited]
            _ => self.stats.replies_unexpected += 1,
        }
    }
}
