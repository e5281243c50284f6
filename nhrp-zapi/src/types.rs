//! What zebra tells: interfaces, addresses, neighbours, GRE parameters, VRFs.
//!
//! Owns the values only; The message codec turns octets into them. Never holds a decision, and never a number
//! that differs between releases.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// The VRF that always exists. Every request that names no interface is made in it, as FRR's nhrpd does.
pub const VRF_DEFAULT: u32 = 0;

/// Address family identifier, as ZAPI numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Afi {
    /// IPv4 (1).
    Ip,
    /// IPv6 (2).
    Ip6,
}

impl Afi {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Ip => 1,
            Self::Ip6 => 2,
        }
    }

    pub(crate) fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Ip),
            2 => Some(Self::Ip6),
            _ => None,
        }
    }
}

/// What zebra says about itself in answer to HELLO. A field that the release does not send is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How VRFs are made.
    pub vrf_backend: VrfBackend,
    /// The kernel forwards MPLS.
    pub mpls: bool,
    /// Most nexthops a route may have.
    pub multipath: u32,
    /// MLAG role, 0 for none.
    pub mlag_role: u8,
    /// IPv4 routes may have IPv6 gateways (9.1 and later).
    pub v6_with_v4_nexthop: Option<bool>,
    /// zebra was started with graceful restart (10.2 and later).
    pub graceful_restart: Option<bool>,
}

/// How zebra makes VRFs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VrfBackend {
    /// VRF devices (0).
    Lite,
    /// Network namespaces (1).
    Namespaces,
    /// A number not known to this crate.
    Other(u32),
}

/// Why the full body of an interface was sent. All three are upserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterfaceChange {
    /// Part of a dump, or a property changed. Arrives at least twice at start with FRR's own start sequence.
    Add,
    /// The interface became operative; repeated when, for example, its MTU changes.
    Up,
    /// The interface is no longer operative.
    Down,
}

/// The kernel's `IFF_*` flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InterfaceFlags(pub u64);

impl InterfaceFlags {
    /// `IFF_UP`: administratively up.
    #[must_use]
    pub fn is_up(self) -> bool {
        self.0 & 0x1 != 0
    }

    /// `IFF_LOOPBACK`.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.0 & 0x8 != 0
    }

    /// `IFF_RUNNING`: has its resources, for a GRE tunnel always together with up.
    #[must_use]
    pub fn is_running(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// `IFF_NOARP`: the kernel asks nobody for neighbours. Must be off for NHRP to learn of misses.
    #[must_use]
    pub fn is_noarp(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Link type, numbered as FRR's `ZEBRA_LLT_*`, the same in every release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// Ethernet, and everything that looks like it (veth, dummy).
    pub const ETHERNET: Self = Self(1);
    /// Loopback.
    pub const LOOPBACK: Self = Self(30);
    /// GRE over IPv4: the only kind NHRP runs on.
    pub const GRE: Self = Self(35);
    /// GRE over IPv6.
    pub const GRE6: Self = Self(36);
}

/// An interface with everything zebra says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Why it was sent.
    pub change: InterfaceChange,
    /// VRF that the interface is in.
    pub vrf: u32,
    /// Kernel index.
    pub ifindex: u32,
    /// Kernel name, at most 15 octets. What is no UTF-8 is replaced.
    pub name: String,
    /// zebra's own status bits: active 1, sub-interface 2, link detection 4, VRF loopback 8, dummy 16.
    pub status: u8,
    /// `IFF_*`.
    pub flags: InterfaceFlags,
    /// Interface metric.
    pub metric: u32,
    /// Mbit/s.
    pub speed: u32,
    /// Transmit queue length (9.1 and later).
    pub txqlen: Option<u32>,
    /// Octets.
    pub mtu: u32,
    /// IPv6 MTU, octets.
    pub mtu6: u32,
    /// Configured bandwidth, Mbit/s; 0 if none.
    pub bandwidth: u32,
    /// Lower device (`ip link add … dev X`); for a veth its peer.
    pub link_ifindex: Option<u32>,
    /// zebra's interface type (10.6 and later; 8 = GRE).
    pub zif_type: Option<u32>,
    /// Link type.
    pub link_type: LinkType,
    /// Link-layer address: 4 octets for a GRE with a local address, none for one without, 6 for Ethernet.
    pub hw_addr: Vec<u8>,
}

impl Interface {
    /// Up and running: FRR's test for "operative".
    #[must_use]
    pub fn is_operative(&self) -> bool {
        self.flags.is_up() && self.flags.is_running()
    }

    /// The NBMA address of a GRE interface that has a fixed local address.
    #[must_use]
    pub fn gre_local(&self) -> Option<Ipv4Addr> {
        if self.link_type != LinkType::GRE {
            return None;
        }
        let octets: [u8; 4] = self.hw_addr.as_slice().try_into().ok()?;
        Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified())
    }
}

/// Names an interface that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceRef {
    /// VRF that the interface was in.
    pub vrf: u32,
    /// Kernel index, still the old one.
    pub ifindex: u32,
    /// Kernel name.
    pub name: String,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// VRF that the interface is in.
    pub vrf: u32,
    /// Interface.
    pub ifindex: u32,
    /// Address with its prefix length; host bits are kept.
    pub prefix: IpNet,
    /// Secondary 1, has a peer 2, unnumbered 4 (set for every host prefix), no prefix route 8.
    pub flags: u8,
    /// Address of the other end of a point-to-point address.
    pub peer: Option<IpAddr>,
}

impl InterfaceAddress {
    /// A secondary address. FRR's nhrpd never takes one as its own protocol address.
    #[must_use]
    pub fn is_secondary(&self) -> bool {
        self.flags & 0x1 != 0
    }
}

/// zebra's choice of a router id in a VRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterId {
    /// VRF.
    pub vrf: u32,
    /// The id as an address with its prefix length.
    pub prefix: IpNet,
}

/// A VRF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vrf {
    /// Its number in every header.
    pub vrf: u32,
    /// Its name; `default` for 0.
    pub name: String,
    /// Kernel routing table.
    pub table: u32,
    /// Network namespace, empty for VRF devices.
    pub namespace: String,
}

/// What happened to a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighbourKind {
    /// The kernel's entry changed (also: it failed, see the state).
    Added,
    /// The kernel's entry is gone.
    Removed,
    /// The kernel asks user space: a packet waits for a link-layer address, or an entry is probed while in use.
    Get,
}

/// The kernel's `NUD_*` state bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighbourState(pub u32);

impl NeighbourState {
    /// No state.
    pub const NONE: Self = Self(0);
    /// A packet waits for the answer.
    pub const INCOMPLETE: Self = Self(0x01);
    /// Confirmed.
    pub const REACHABLE: Self = Self(0x02);
    /// Usable, no longer confirmed.
    pub const STALE: Self = Self(0x04);
    /// Used while stale, probe to follow.
    pub const DELAY: Self = Self(0x08);
    /// Being probed: traffic uses it.
    pub const PROBE: Self = Self(0x10);
    /// Resolution failed.
    pub const FAILED: Self = Self(0x20);
    /// Needs no resolution.
    pub const NOARP: Self = Self(0x40);
    /// Set by hand.
    pub const PERMANENT: Self = Self(0x80);
}

/// A neighbour of an interface. Entries whose link-layer address is no IPv4 address are never reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// What happened.
    pub kind: NeighbourKind,
    /// VRF that the interface is in.
    pub vrf: u32,
    /// Interface.
    pub ifindex: u32,
    /// Protocol (overlay) address.
    pub protocol: IpAddr,
    /// NBMA address, if the kernel has one.
    pub nbma: Option<Ipv4Addr>,
    /// Kernel state; see [`Neighbour::is_echo`].
    pub state: NeighbourState,
}

impl Neighbour {
    /// zebra from 10.5 on reports a client's own additions and deletions back to it, with a state that is a
    /// constant of its data plane and none of the kernel's. Such a report tells nothing about use or failure.
    #[must_use]
    pub fn is_echo(&self) -> bool {
        match self.kind {
            NeighbourKind::Added => self.nbma.is_none() && self.state == NeighbourState::INCOMPLETE,
            NeighbourKind::Removed => self.nbma.is_none() && self.state == NeighbourState::NOARP,
            NeighbourKind::Get => false,
        }
    }
}

/// Answer to a question for the parameters of a GRE interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// VRF of the header.
    pub vrf: u32,
    /// Interface asked for.
    pub ifindex: u32,
    /// Input key; `None` for 0, which zebra cannot tell from no key. zebra never tells the output key.
    pub key: Option<u32>,
    /// Lower device.
    pub link_ifindex: Option<u32>,
    /// VRF of the lower device, if it was found.
    pub link_vrf: Option<u32>,
    /// Local NBMA address, `None` for `local any`.
    pub local: Option<Ipv4Addr>,
    /// Remote NBMA address, `None` for multipoint.
    pub remote: Option<Ipv4Addr>,
}

impl Gre {
    /// Nothing is known: the interface is unknown to zebra, no GRE, or a GRE without local address, key and link.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.link_ifindex.is_none() && self.local.is_none() && self.remote.is_none()
    }
}
