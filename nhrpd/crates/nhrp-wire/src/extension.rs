//! Extensions, RFC 2332 section 5.3, and the two that Cisco added.

use alloc::vec::Vec;

use crate::{Cie, ExtensionType};

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

/// Security parameter index of Cisco's clear-text password.
const SPI_CLEAR_TEXT: u16 = 1;

impl Extension {
    /// An extension that whoever answers must understand.
    #[must_use]
    pub fn compulsory(body: ExtensionBody) -> Self {
        Self { compulsory: true, body }
    }

    /// An extension that may be ignored.
    #[must_use]
    pub fn optional(body: ExtensionBody) -> Self {
        Self { compulsory: false, body }
    }

    /// Cisco's authentication: the password in clear text, without padding, compulsory as FRR 10.2 and later send it.
    #[must_use]
    pub fn cisco_authentication(password: &[u8]) -> Self {
        Self::compulsory(ExtensionBody::Authentication {
            reserved: 0,
            spi: SPI_CLEAR_TEXT,
            data: password.to_vec(),
        })
    }
}

impl ExtensionBody {
    /// Type number, without the compulsory bit.
    #[must_use]
    pub fn extension_type(&self) -> ExtensionType {
        match self {
            Self::ResponderAddress(_) => ExtensionType::ResponderAddress,
            Self::ForwardTransitNhs(_) => ExtensionType::ForwardTransitNhs,
            Self::ReverseTransitNhs(_) => ExtensionType::ReverseTransitNhs,
            Self::Authentication { .. } => ExtensionType::Authentication,
            Self::VendorPrivate { .. } => ExtensionType::VendorPrivate,
            Self::NatAddress(_) => ExtensionType::NatAddress,
            Self::Unknown { kind, .. } => ExtensionType::from(*kind),
        }
    }

    /// Entries, for the four types that consist of them.
    #[must_use]
    pub fn cies(&self) -> Option<&[Cie]> {
        match self {
            Self::ResponderAddress(cies)
            | Self::ForwardTransitNhs(cies)
            | Self::ReverseTransitNhs(cies)
            | Self::NatAddress(cies) => Some(cies),
            Self::Authentication { .. } | Self::VendorPrivate { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Entries, for the four types that consist of them, to be added to.
    pub fn cies_mut(&mut self) -> Option<&mut Vec<Cie>> {
        match self {
            Self::ResponderAddress(cies)
            | Self::ForwardTransitNhs(cies)
            | Self::ReverseTransitNhs(cies)
            | Self::NatAddress(cies) => Some(cies),
            Self::Authentication { .. } | Self::VendorPrivate { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Whether this is Cisco's clear-text authentication with this password.
    ///
    /// Takes the same time wherever the passwords differ, so that a peer cannot guess one octet by octet.
    #[must_use]
    pub fn is_cisco_password(&self, password: &[u8]) -> bool {
        let Self::Authentication { reserved: 0, spi: SPI_CLEAR_TEXT, data } = self else { return false };
        data.len() == password.len() && data.iter().zip(password).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}
