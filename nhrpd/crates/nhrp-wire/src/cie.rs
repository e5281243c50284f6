//! Client information entry, RFC 2332 section 5.2.0.1.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::CieCode;

/// One client information entry. Addresses may be absent (length 0), as in a request that asks about "myself".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cie {
    /// Outcome; `Success` in requests.
    pub code: CieCode,
    /// Prefix length in bits; 0xFF in a request wants a unique binding, 0 means a host.
    pub prefix_length: u8,
    /// Maximum transmission unit in octets; 0 says nothing.
    pub mtu: u16,
    /// Holding time in seconds.
    pub holding_time: u16,
    /// Preference among several entries, higher is better.
    pub preference: u8,
    /// NBMA address of the client.
    pub nbma: Option<IpAddr>,
    /// NBMA subaddress, normally empty.
    pub nbma_subaddress: Vec<u8>,
    /// Protocol (overlay) address of the client.
    pub protocol: Option<IpAddr>,
}

impl Default for Cie {
    /// An entry that says nothing: code success, no addresses, all numbers 0.
    fn default() -> Self {
        Self {
            code: CieCode::Success,
            prefix_length: 0,
            mtu: 0,
            holding_time: 0,
            preference: 0,
            nbma: None,
            nbma_subaddress: Vec::new(),
            protocol: None,
        }
    }
}
