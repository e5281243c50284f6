//! Extensions, RFC 2332 section 5.3, and the two that Cisco added.

use alloc::vec::Vec;

use crate::Cie;

/// One extension other than End, which is written and read implicitly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The C bit: who does not understand it must not go on as if nothing were.
    pub compulsory: bool,
    /// Type and contents.
    pub body: ExtensionBody,
}

/// Contents of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionBody {
    /// Type 3, section 5.3.1: empty in a request, one entry in a reply.
    ResponderAddress(Vec<Cie>),
    /// Type 4, section 5.3.2: one entry for each NHS that forwarded the request.
    ForwardTransitNhs(Vec<Cie>),
    /// Type 5, section 5.3.3: one entry for each NHS that forwarded the reply.
    ReverseTransitNhs(Vec<Cie>),
    /// Type 7, section 5.3.4; Cisco's clear-text password is SPI 1 with the password as data.
    Authentication {
        /// First 16 bits, zero.
        reserved: u16,
        /// Security parameter index; 1 for Cisco's clear text.
        spi: u16,
        /// Everything behind the SPI.
        data: Vec<u8>,
    },
    /// Type 8, section 5.3.5.
    VendorPrivate {
        /// IEEE 802 company identifier.
        vendor: [u8; 3],
        /// Vendor's data.
        data: Vec<u8>,
    },
    /// Type 9, Cisco: addresses of stations behind NAT.
    NatAddress(Vec<Cie>),
    /// Any other type, kept as received.
    Unknown {
        /// Type without the compulsory bit (14 bits).
        kind: u16,
        /// Value octets.
        data: Vec<u8>,
    },
}
