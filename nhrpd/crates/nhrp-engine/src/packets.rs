//! Pieces of packets that several parts of the engine build alike.

use std::net::IpAddr;

use nhrp_wire::{Cie, CieCode, Extension, ExtensionBody, Family};

/// Family of an address on the wire.
pub(crate) fn wire_family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

pub(crate) fn empty_extension(body: ExtensionBody, compulsory: bool) -> Extension {
    Extension { compulsory, body }
}

/// What FRR and Cisco put into every request: transit records and responder, to be filled on the way.
/// RFC 2332 5.3.1, 5.3.2, 5.3.3. [rfc2332-5.3.1-asked-for]
pub(crate) fn empty_request_extensions() -> Vec<Extension> {
    vec![
        empty_extension(ExtensionBody::ForwardTransitNhs(Vec::new()), true),
        empty_extension(ExtensionBody::ReverseTransitNhs(Vec::new()), true),
        empty_extension(ExtensionBody::ResponderAddress(Vec::new()), true),
    ]
}

/// An entry that names a station: in responder and transit records, without prefix length and code.
/// RFC 2332 5.3.1, 5.3.2, 5.3.3. [rfc2332-5.3.1-prefix-zero]
pub(crate) fn station(nbma: IpAddr, protocol: IpAddr, mtu: u16, holding_time: u16) -> Cie {
    Cie {
        code: CieCode::Success,
        prefix_length: 0,
        mtu,
        holding_time,
        preference: 0,
        nbma: Some(nbma),
        nbma_subaddress: Vec::new(),
        protocol: Some(protocol),
    }
}

/// A request's extensions become its reply's: who answers is filled in, the rest goes back as it came.
/// RFC 2332 5.3.1. [rfc2332-5.3.1-responder]
pub(crate) fn name_responder(extensions: &mut [Extension], responder: &Cie) {
    for extension in extensions {
        if let ExtensionBody::ResponderAddress(cies) = &mut extension.body {
            *cies = vec![responder.clone()];
        }
    }
}

/// Entries of the NAT extension, if the packet has one.
pub(crate) fn nat_entries(extensions: &[Extension]) -> &[Cie] {
    extensions
        .iter()
        .find_map(|e| match &e.body {
            ExtensionBody::NatAddress(cies) => Some(cies.as_slice()),
            _ => None,
        })
        .unwrap_or_default()
}

/// Whether an address can be one station's: packets have told us, and routes and neighbours are made of it.
pub(crate) fn is_station(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

/// SPI of Cisco's clear-text authentication.
pub(crate) const CISCO_CLEAR_TEXT: u16 = 1;
