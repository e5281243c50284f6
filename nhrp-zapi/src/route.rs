//! Routes in both directions: one body layout for what the daemon announces and for what zebra redistributes.
//!
//! Owns the layout. Never decides which route is better or which ones to ignore; it only marks own and local ones.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::buffer::{AF_INET, AF_INET6, Reader, Write};
use crate::{DecodeError, EncodeError, ReleaseTable};

/// Message bits: which optional fields follow.
mod field {
    pub(super) const NEXTHOP: u32 = 0x001;
    pub(super) const DISTANCE: u32 = 0x002;
    pub(super) const METRIC: u32 = 0x004;
    pub(super) const TAG: u32 = 0x008;
    pub(super) const MTU: u32 = 0x010;
    pub(super) const SOURCE_PREFIX: u32 = 0x020;
    pub(super) const NEXTHOP_GROUP: u32 = 0x080;
}

/// Flags of a nexthop.
mod nexthop_flag {
    pub(super) const ONLINK: u8 = 0x01;
    pub(super) const WEIGHT: u8 = 0x04;
}

/// Kinds of nexthop.
mod nexthop_type {
    pub(super) const NONE: u8 = 0;
    pub(super) const IFINDEX: u8 = 1;
    pub(super) const IPV4: u8 = 2;
    pub(super) const IPV4_IFINDEX: u8 = 3;
    pub(super) const IPV6: u8 = 4;
    pub(super) const IPV6_IFINDEX: u8 = 5;
    pub(super) const BLACKHOLE: u8 = 6;
}

const ALLOW_RECURSION: u32 = 0x01;
const FIB_OVERRIDE: u32 = 0x10;
const UNICAST: u8 = 1;
/// ICMP unreachable is answered, as for a negative cache entry.
const BLACKHOLE_REJECT: u8 = 2;

/// A route to announce, in the default VRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination; host bits are cleared on the wire.
    pub prefix: IpNet,
    /// Where it goes.
    pub nexthop: RouteNexthop,
    /// Path MTU in octets.
    pub mtu: Option<u32>,
    /// Other routes may resolve over it. FRR sets it on every NHRP route.
    pub allow_recursion: bool,
    /// Goes to the kernel even if another protocol's route is preferred. FRR sets it for cached entries, not for
    /// dynamic, NHS, static and negative ones.
    pub fib_override: bool,
    /// The gateway is reachable although no connected route covers it. zebra finds that by itself on interfaces
    /// with a host prefix.
    pub onlink: bool,
    /// Administrative distance; zebra takes 10 for NHRP if absent.
    pub distance: Option<u8>,
    /// Route tag.
    pub tag: Option<u32>,
}

impl Route {
    /// A route as FRR's nhrpd announces it for a registered peer or a shortcut.
    #[must_use]
    pub fn new(prefix: IpNet, nexthop: RouteNexthop) -> Self {
        Self {
            prefix,
            nexthop,
            mtu: None,
            allow_recursion: true,
            fib_override: false,
            onlink: false,
            distance: None,
            tag: None,
        }
    }
}

/// Nexthop of a route to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteNexthop {
    /// On the link of an interface: a peer's own host prefix.
    Interface {
        /// Interface.
        ifindex: u32,
    },
    /// Through a gateway.
    Gateway {
        /// Gateway.
        addr: IpAddr,
        /// Interface; `None` lets zebra look for it.
        ifindex: Option<u32>,
    },
    /// Nowhere, and say so: a negative entry. FRR 10.5 and later mean to send this too but write a nexthop of type
    /// 0, which zebra drops; this is what zebra of every release installs as `unreachable`.
    Blackhole,
}

/// The first nexthop of a route in zebra's RIB. It is all that nhrpd, FRR's or this one, looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RibNexthop {
    /// VRF of the nexthop.
    pub vrf: u32,
    /// Gateway, if the route is not on link.
    pub gateway: Option<IpAddr>,
    /// Interface, if known.
    pub ifindex: Option<u32>,
    /// Goes nowhere.
    pub blackhole: bool,
    /// The gateway is taken to be on link.
    pub onlink: bool,
}

/// A route that zebra selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedistributedRoute {
    /// VRF of the table.
    pub vrf: u32,
    /// Destination.
    pub prefix: IpNet,
    /// Protocol, numbered as the release does.
    pub route_type: u8,
    /// Own route come back, or one of another NHRP daemon.
    pub is_nhrp: bool,
    /// Host prefix of a connected address (10.0 and later).
    pub is_local: bool,
    /// Nexthops in all.
    pub nexthops: u16,
    /// First nexthop.
    pub nexthop: Option<RibNexthop>,
    /// Administrative distance, if the message could be read to its end.
    pub distance: Option<u8>,
    /// Metric, likewise.
    pub metric: Option<u32>,
    /// MTU in octets, likewise; `None` for 0.
    pub mtu: Option<u32>,
}

/// A destination that has no eligible route any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithdrawnRoute {
    /// VRF of the table.
    pub vrf: u32,
    /// Destination.
    pub prefix: IpNet,
    /// Protocol of the last route, numbered as the release does.
    pub route_type: u8,
    /// It was a route of NHRP.
    pub is_nhrp: bool,
    /// It was the host prefix of a connected address.
    pub is_local: bool,
}
