//! Configuration of one interface.

use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Address family of the overlay: the `ip` or `ipv6` that begins a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Afi {
    /// `ip`
    Ip,
    /// `ipv6`
    Ipv6,
}

/// Everything configured below one `interface NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceConfig {
    /// `description TEXT`
    pub description: Option<String>,
    /// `tunnel protection vici profile P [fallback-profile F]`
    pub protection: Option<TunnelProtection>,
    /// `tunnel source IF`
    pub tunnel_source: Option<String>,
    /// `<ip|ipv6> nhrp authentication SECRET`: one per interface, with the family it was typed with.
    pub authentication: Option<(Afi, String)>,
    /// Settings of the IPv4 overlay.
    pub ip: AddressFamilySettings,
    /// Settings of the IPv6 overlay.
    pub ipv6: AddressFamilySettings,
}

/// `tunnel protection vici profile P [fallback-profile F]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelProtection {
    /// strongSwan connection or child name.
    pub profile: String,
    /// Tried when the first one fails.
    pub fallback: Option<String>,
}

/// What `ip nhrp …` or `ipv6 nhrp …` set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressFamilySettings {
    /// `network-id`; 0 switches NHRP off for this family.
    pub network_id: u32,
    /// `holdtime` in seconds, 7200 by default.
    pub holdtime: u16,
    /// `mtu` (IPv4 only).
    pub mtu: Mtu,
    /// `shortcut`
    pub shortcut: bool,
    /// `redirect`
    pub redirect: bool,
    /// `registration no-unique`
    pub no_unique: bool,
    /// `registration unique strict|replace`
    pub uniqueness: Uniqueness,
    /// `registration require-identity`: clients register addresses of their own only, by what IPsec knows of them.
    pub require_identity: bool,
    /// `registration identity PREFIX IDENTITY`, in the order typed: who may register addresses of which prefix.
    pub identities: Vec<(IpNet, String)>,
    /// `map PROTOCOL <NBMA|local>`, in the order typed.
    pub maps: IndexMap<IpAddr, MapTarget>,
    /// `nhs … nbma …`, in the order typed.
    pub nhs: Vec<NhsConfig>,
    /// `map multicast …`, in the order typed.
    pub multicast: Vec<MulticastTarget>,
}

/// FRR's default holding time in seconds.
pub const DEFAULT_HOLDTIME: u16 = 7200;

impl Default for AddressFamilySettings {
    fn default() -> Self {
        Self {
            network_id: 0,
            holdtime: DEFAULT_HOLDTIME,
            mtu: Mtu::default(),
            shortcut: false,
            redirect: false,
            no_unique: false,
            uniqueness: Uniqueness::default(),
            require_identity: false,
            identities: Vec::new(),
            maps: IndexMap::new(),
            nhs: Vec::new(),
            multicast: Vec::new(),
        }
    }
}

/// `registration unique …`: what becomes of a client's unique binding when another station registers its address. Of
/// this daemon only; FRR's nhrpd replaces every binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Uniqueness {
    /// `strict`: it stays until its holding time ends or its station gives it up.
    Strict,
    /// `replace`: it gives way if its station does not answer any more.
    #[default]
    Replace,
}

/// `ip nhrp mtu …`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mtu {
    /// Nothing is advertised.
    #[default]
    Unset,
    /// `opennhrp`: advertise the MTU of the underlay interface.
    OpenNhrp,
    /// Octets.
    Octets(u16),
}

/// Second word of `map PROTOCOL …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapTarget {
    /// The address is answered here.
    Local,
    /// Static binding.
    Nbma(IpAddr),
}

/// `nhs <A|dynamic> nbma <ADDRESS|NAME> [priority N]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NhsConfig {
    /// Overlay address of the server.
    pub protocol: NhsProtocol,
    /// NBMA address or DNS name, as typed.
    pub nbma: String,
    /// Lower is preferred; 0 by default.
    pub priority: u8,
}

/// First word of `nhs …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NhsProtocol {
    /// Learned from the registration reply.
    Dynamic,
    /// Known beforehand.
    Address(IpAddr),
}

/// `map multicast …`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MulticastTarget {
    /// One NBMA address.
    Nbma(IpAddr),
    /// Every registered client.
    Dynamic,
    /// Every next hop server.
    Nhs,
}

impl InterfaceConfig {
    /// Settings of one family.
    #[must_use]
    pub fn family(&self, afi: Afi) -> &AddressFamilySettings {
        match afi {
            Afi::Ip => &self.ip,
            Afi::Ipv6 => &self.ipv6,
        }
    }

    /// Settings of one family, to change.
    pub fn family_mut(&mut self, afi: Afi) -> &mut AddressFamilySettings {
        match afi {
            Afi::Ip => &mut self.ip,
            Afi::Ipv6 => &mut self.ipv6,
        }
    }
}
