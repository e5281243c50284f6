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
    /// Learned by a routing protocol ([`ReleaseTable::is_routing_protocol`]).
    pub is_learned: bool,
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

impl Route {
    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        match self.nexthop {
            RouteNexthop::Gateway { addr, .. } if addr.is_ipv4() != self.prefix.addr().is_ipv4() => {
                Err(EncodeError::MixedFamilies)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn put(&self, table: &ReleaseTable, out: &mut Vec<u8>) {
        let mut flags = 0;
        if self.allow_recursion {
            flags |= ALLOW_RECURSION;
        }
        if self.fib_override {
            flags |= FIB_OVERRIDE;
        }
        let mut fields = field::NEXTHOP;
        for (present, bit) in [
            (self.distance.is_some(), field::DISTANCE),
            (self.tag.is_some(), field::TAG),
            (self.mtu.is_some(), field::MTU),
        ] {
            if present {
                fields |= bit;
            }
        }
        put_start(table, flags, fields, self.prefix, out);
        let onlink = if self.onlink { nexthop_flag::ONLINK } else { 0 };
        match self.nexthop {
            RouteNexthop::Interface { ifindex } => {
                out.put_u8(nexthop_type::IFINDEX);
                out.put_u8(onlink);
                out.put_u32(ifindex);
            }
            RouteNexthop::Gateway { addr, ifindex } => {
                out.put_u8(match (addr.is_ipv4(), ifindex.is_some()) {
                    (true, false) => nexthop_type::IPV4,
                    (true, true) => nexthop_type::IPV4_IFINDEX,
                    (false, false) => nexthop_type::IPV6,
                    (false, true) => nexthop_type::IPV6_IFINDEX,
                });
                out.put_u8(onlink);
                out.put_address(addr);
                out.put_u32(ifindex.unwrap_or(0));
            }
            RouteNexthop::Blackhole => {
                out.put_u8(nexthop_type::BLACKHOLE);
                out.put_u8(0);
                out.put_u8(BLACKHOLE_REJECT);
            }
        }
        if let Some(distance) = self.distance {
            out.put_u8(distance);
        }
        if let Some(tag) = self.tag {
            out.put_u32(tag);
        }
        if let Some(mtu) = self.mtu {
            out.put_u32(mtu);
        }
    }
}

/// Everything up to the first nexthop's kind: one nexthop, in the default VRF.
fn put_start(table: &ReleaseTable, flags: u32, fields: u32, prefix: IpNet, out: &mut Vec<u8>) {
    out.put_u8(table.route_type_nhrp);
    out.put_u16(0);
    out.put_u32(flags);
    out.put_u32(fields);
    out.put_u8(UNICAST);
    out.put_family(prefix.addr());
    out.put_short_prefix(prefix);
    out.put_u16(1);
    out.put_u32(crate::VRF_DEFAULT);
}

/// A deletion as FRR writes it: zebra looks at type, instance and prefix and skips one empty nexthop.
pub(crate) fn put_delete(table: &ReleaseTable, prefix: IpNet, out: &mut Vec<u8>) {
    put_start(table, ALLOW_RECURSION | FIB_OVERRIDE, field::NEXTHOP, prefix, out);
    out.put_u8(nexthop_type::NONE);
    out.put_u8(0);
}

/// What every reader of a route body gets; [`RedistributedRoute`] and [`Route`] are views of it.
pub(crate) struct RouteBody {
    pub(crate) route_type: u8,
    pub(crate) flags: u32,
    pub(crate) prefix: IpNet,
    pub(crate) nexthops: u16,
    pub(crate) first: Option<RibNexthop>,
    pub(crate) tail: Option<Tail>,
}

/// Fields behind the nexthops.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tail {
    pub(crate) distance: Option<u8>,
    pub(crate) metric: Option<u32>,
    pub(crate) tag: Option<u32>,
    pub(crate) mtu: Option<u32>,
}

impl RouteBody {
    /// Reads up to the first nexthop, which is the same in all releases, and fails if that is malformed. What
    /// follows differs between and even within releases (labels, segments), so it is read only if one known layout
    /// fits the frame to its last octet.
    pub(crate) fn decode(table: &ReleaseTable, mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let route_type = reader.u8("route type")?;
        reader.u16("instance")?;
        let flags = reader.u32("flags")?;
        let fields = reader.u32("message")?;
        reader.u8("safi")?;
        let family = reader.family("family")?;
        let prefix = reader.short_prefix("prefix", family)?;
        if fields & field::SOURCE_PREFIX != 0 {
            reader.short_prefix("source prefix", family)?;
        }
        if fields & field::NEXTHOP_GROUP != 0 {
            reader.u32("nexthop group")?;
        }
        let nexthops = if fields & field::NEXTHOP != 0 { reader.u16("nexthop count")? } else { 0 };
        let start = reader;
        let mut first = None;
        if nexthops > 0 {
            first = nexthop(&mut reader)?.0;
        }
        let tail = table.weight_widths.iter().find_map(|width| tail(start, fields, nexthops, *width));
        Ok(Self { route_type, flags, prefix, nexthops, first, tail })
    }
}

/// Reads kind, flags and target of a nexthop. An empty or unknown kind has no target.
fn nexthop(reader: &mut Reader<'_>) -> Result<(Option<RibNexthop>, u8), DecodeError> {
    let vrf = reader.u32("nexthop vrf")?;
    let kind = reader.u8("nexthop type")?;
    let flags = reader.u8("nexthop flags")?;
    let mut hop = RibNexthop {
        vrf,
        gateway: None,
        ifindex: None,
        blackhole: false,
        onlink: flags & nexthop_flag::ONLINK != 0,
    };
    match kind {
        nexthop_type::IFINDEX => {}
        nexthop_type::IPV4 | nexthop_type::IPV4_IFINDEX => {
            hop.gateway = Some(reader.address("nexthop gateway", AF_INET)?);
        }
        nexthop_type::IPV6 | nexthop_type::IPV6_IFINDEX => {
            hop.gateway = Some(reader.address("nexthop gateway", AF_INET6)?);
        }
        nexthop_type::BLACKHOLE => {
            reader.u8("blackhole type")?;
            hop.blackhole = true;
            return Ok((Some(hop), flags));
        }
        nexthop_type::NONE => return Ok((None, flags)),
        other => return Err(reader.invalid("nexthop type", 2, other.into())),
    }
    hop.ifindex = Some(reader.u32("nexthop ifindex")?).filter(|ifindex| *ifindex != 0);
    Ok((Some(hop), flags))
}

fn tail(mut reader: Reader<'_>, fields: u32, nexthops: u16, weight_width: usize) -> Option<Tail> {
    const READABLE: u32 = field::NEXTHOP
        | field::DISTANCE
        | field::METRIC
        | field::TAG
        | field::MTU
        | field::SOURCE_PREFIX
        | field::NEXTHOP_GROUP;
    if fields & !READABLE != 0 {
        return None;
    }
    for _ in 0..nexthops {
        let (_, flags) = nexthop(&mut reader).ok()?;
        if flags & !(nexthop_flag::ONLINK | nexthop_flag::WEIGHT) != 0 {
            return None;
        }
        if flags & nexthop_flag::WEIGHT != 0 {
            reader.bytes("nexthop weight", weight_width).ok()?;
        }
    }
    let mut tail = Tail::default();
    if fields & field::DISTANCE != 0 {
        tail.distance = Some(reader.u8("distance").ok()?);
    }
    if fields & field::METRIC != 0 {
        tail.metric = Some(reader.u32("metric").ok()?);
    }
    if fields & field::TAG != 0 {
        tail.tag = Some(reader.u32("tag").ok()?);
    }
    if fields & field::MTU != 0 {
        tail.mtu = Some(reader.u32("mtu").ok()?);
    }
    reader.end("mtu").ok()?;
    Some(tail)
}

impl RedistributedRoute {
    pub(crate) fn new(table: &ReleaseTable, vrf: u32, body: &RouteBody) -> Self {
        let tail = body.tail.unwrap_or_default();
        Self {
            vrf,
            prefix: body.prefix,
            route_type: body.route_type,
            is_nhrp: body.route_type == table.route_type_nhrp,
            is_local: Some(body.route_type) == table.route_type_local,
            is_learned: table.is_routing_protocol(body.route_type),
            nexthops: body.nexthops,
            nexthop: body.first,
            distance: tail.distance,
            metric: tail.metric,
            mtu: tail.mtu.filter(|mtu| *mtu != 0),
        }
    }
}

impl WithdrawnRoute {
    pub(crate) fn new(table: &ReleaseTable, vrf: u32, body: &RouteBody) -> Self {
        Self {
            vrf,
            prefix: body.prefix,
            route_type: body.route_type,
            is_nhrp: body.route_type == table.route_type_nhrp,
            is_local: Some(body.route_type) == table.route_type_local,
        }
    }
}

/// The view of zebra: what a client announced. For tests and fakes that stand in zebra's place.
impl From<&RouteBody> for Route {
    fn from(body: &RouteBody) -> Self {
        let tail = body.tail.unwrap_or_default();
        let nexthop = match body.first {
            Some(RibNexthop { gateway: Some(addr), ifindex, .. }) => RouteNexthop::Gateway { addr, ifindex },
            Some(RibNexthop { blackhole: false, ifindex, .. }) => {
                RouteNexthop::Interface { ifindex: ifindex.unwrap_or(0) }
            }
            Some(_) | None => RouteNexthop::Blackhole,
        };
        Self {
            prefix: body.prefix,
            nexthop,
            mtu: tail.mtu,
            allow_recursion: body.flags & ALLOW_RECURSION != 0,
            fib_override: body.flags & FIB_OVERRIDE != 0,
            onlink: body.first.is_some_and(|hop| hop.onlink),
            distance: tail.distance,
            tag: tail.tag,
        }
    }
}

impl RedistributedRoute {
    /// Writes it as zebra does, with one nexthop at most: for fakes.
    pub(crate) fn put(&self, table: &ReleaseTable, weighted: bool, out: &mut Vec<u8>) {
        let mut fields = field::DISTANCE | field::METRIC | field::MTU;
        if self.nexthop.is_some() {
            fields |= field::NEXTHOP;
        }
        out.put_u8(self.route_type);
        out.put_u16(0);
        out.put_u32(0);
        out.put_u32(fields);
        out.put_u8(UNICAST);
        out.put_family(self.prefix.addr());
        out.put_short_prefix(self.prefix);
        if let Some(hop) = self.nexthop {
            let mut flags = if hop.onlink { nexthop_flag::ONLINK } else { 0 };
            if weighted {
                flags |= nexthop_flag::WEIGHT;
            }
            out.put_u16(1);
            out.put_u32(hop.vrf);
            match (hop.blackhole, hop.gateway) {
                (true, _) => {
                    out.put(&[nexthop_type::BLACKHOLE, flags, BLACKHOLE_REJECT]);
                }
                (false, None) => {
                    out.put(&[nexthop_type::IFINDEX, flags]);
                    out.put_u32(hop.ifindex.unwrap_or(0));
                }
                (false, Some(gateway)) => {
                    let kind = if gateway.is_ipv4() {
                        nexthop_type::IPV4_IFINDEX
                    } else {
                        nexthop_type::IPV6_IFINDEX
                    };
                    out.put(&[kind, flags]);
                    out.put_address(gateway);
                    out.put_u32(hop.ifindex.unwrap_or(0));
                }
            }
            if weighted {
                for _ in 1..table.weight_widths.last().copied().unwrap_or(4) {
                    out.put_u8(0);
                }
                out.put_u8(1);
            }
        }
        out.put_u8(self.distance.unwrap_or(0));
        out.put_u32(self.metric.unwrap_or(0));
        out.put_u32(self.mtu.unwrap_or(0));
    }
}
