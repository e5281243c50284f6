//! What zebra sends, decoded in every epoch.
//!
//! Owns the bodies from zebra. Total: whatever the octets are, the answer is a message, a reason to skip it, or a
//! typed error; never a panic. A body must end where its last field ends: octets left over mean that the epoch is
//! wrong, and a wrong number must not pass for a right one.

use std::net::Ipv4Addr;

use crate::buffer::Reader;
use crate::request::NeighbourBody;
use crate::route::RouteBody;
use crate::{
    Capabilities, Command, DecodeError, Gre, Header, Interface, InterfaceAddress, InterfaceChange,
    InterfaceFlags, InterfaceRef, LinkType, Neighbour, NeighbourKind, RedistributedRoute, ReleaseTable,
    RouterId, Vrf, VrfBackend, WithdrawnRoute,
};

/// Octets of an interface name.
pub(crate) const NAME: usize = 16;
/// Octets of the names of a VRF and of its namespace.
pub(crate) const VRF_NAME: usize = 36;
/// Longest link-layer address, as FRR holds it.
const HW_ADDR_MAX: u32 = 20;
pub(crate) const VRF_UNKNOWN: u32 = u32::MAX;

/// A message from zebra.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// CAPABILITIES.
    Capabilities(Capabilities),
    /// ERROR, with zebra's number: 1 = no such VRF, 2 = no such command.
    Error(u32),
    /// VRF_ADD.
    VrfAdded(Vrf),
    /// VRF_DELETE.
    VrfDeleted(Vrf),
    /// INTERFACE_ADD, INTERFACE_UP, INTERFACE_DOWN.
    Interface(Interface),
    /// INTERFACE_DELETE.
    InterfaceDeleted(InterfaceRef),
    /// INTERFACE_ADDRESS_ADD.
    AddressAdded(InterfaceAddress),
    /// INTERFACE_ADDRESS_DELETE.
    AddressDeleted(InterfaceAddress),
    /// ROUTER_ID_UPDATE.
    RouterId(RouterId),
    /// REDISTRIBUTE_ROUTE_ADD.
    RouteAdded(RedistributedRoute),
    /// REDISTRIBUTE_ROUTE_DEL.
    RouteDeleted(WithdrawnRoute),
    /// NEIGH_ADDED, NEIGH_REMOVED, NEIGH_GET.
    Neighbour(Neighbour),
    /// GRE_UPDATE.
    Gre(Gre),
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A message of use.
    Message(Command, Message),
    /// A known command of no use to nhrpd, or a neighbour whose link-layer address is no IPv4 address.
    Ignored(Command),
    /// A number that this crate does not know.
    Unknown(u16),
}

impl Message {
    /// Reads one frame.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a known command does not have the shape that it has in the epoch of `table`.
    pub fn decode(table: &ReleaseTable, header: Header, body: &[u8]) -> Result<Decoded, DecodeError> {
        let Some(command) = table.command(header.command) else {
            return Ok(Decoded::Unknown(header.command));
        };
        let vrf = header.vrf;
        let mut reader = Reader::new(header.command, body);
        let reader = &mut reader;
        let message = match command {
            Command::Capabilities => Self::Capabilities(capabilities(table, reader)?),
            Command::Error => {
                let kind = reader.u32_native("error type")?;
                reader.end("error type")?;
                Self::Error(kind)
            }
            Command::VrfAdd => Self::VrfAdded(vrf_body(vrf, reader)?),
            Command::VrfDelete => Self::VrfDeleted(vrf_body(vrf, reader)?),
            Command::InterfaceAdd => Self::Interface(interface(table, InterfaceChange::Add, vrf, reader)?),
            Command::InterfaceUp => Self::Interface(interface(table, InterfaceChange::Up, vrf, reader)?),
            Command::InterfaceDown => Self::Interface(interface(table, InterfaceChange::Down, vrf, reader)?),
            Command::InterfaceDelete => {
                let Interface { ifindex, name, .. } = interface(table, InterfaceChange::Down, vrf, reader)?;
                Self::InterfaceDeleted(InterfaceRef { vrf, ifindex, name })
            }
            Command::InterfaceAddressAdd => Self::AddressAdded(address(vrf, reader)?),
            Command::InterfaceAddressDelete => Self::AddressDeleted(address(vrf, reader)?),
            Command::RouterIdUpdate => {
                let family = reader.family("family")?;
                let address = reader.address("router id", family)?;
                let length = reader.u8("prefix length")?;
                let prefix = reader.prefix("prefix length", address, length)?;
                reader.end("prefix length")?;
                Self::RouterId(RouterId { vrf, prefix })
            }
            Command::RedistributeRouteAdd => {
                Self::RouteAdded(RedistributedRoute::new(table, vrf, &RouteBody::decode(table, *reader)?))
            }
            Command::RedistributeRouteDelete => {
                Self::RouteDeleted(WithdrawnRoute::new(table, vrf, &RouteBody::decode(table, *reader)?))
            }
            Command::NeighAdded | Command::NeighRemoved | Command::NeighGet => {
                let kind = match command {
                    Command::NeighAdded => NeighbourKind::Added,
                    Command::NeighRemoved => NeighbourKind::Removed,
                    _ => NeighbourKind::Get,
                };
                let body = NeighbourBody::decode(table, reader)?;
                // From 10.0 on Ethernet neighbours come too, cut to the first four octets of their address.
                if !matches!(body.length, None | Some(0 | 4)) {
                    return Ok(Decoded::Ignored(command));
                }
                let NeighbourBody { protocol, nbma, ifindex, state, .. } = body;
                Self::Neighbour(Neighbour { kind, vrf, ifindex, protocol, nbma, state })
            }
            Command::GreUpdate => Self::Gre(gre(vrf, reader)?),
            _ => return Ok(Decoded::Ignored(command)),
        };
        Ok(Decoded::Message(command, message))
    }
}

fn capabilities(table: &ReleaseTable, reader: &mut Reader<'_>) -> Result<Capabilities, DecodeError> {
    let backend = if table.capabilities_short_backend {
        reader.u8("vrf backend")?.into()
    } else {
        reader.u32("vrf backend")?
    };
    let mpls = reader.u8("mpls")? != 0;
    let multipath = reader.u32("multipath")?;
    let mlag_role = reader.u8("mlag role")?;
    let mut optional = |field| -> Result<Option<bool>, DecodeError> {
        if reader.remaining() == 0 { Ok(None) } else { reader.u8(field).map(|value| Some(value != 0)) }
    };
    let v6_with_v4_nexthop = optional("v6 with v4 nexthop")?;
    let graceful_restart = optional("graceful restart")?;
    reader.end("graceful restart")?;
    let vrf_backend = match backend {
        0 => VrfBackend::Lite,
        1 => VrfBackend::Namespaces,
        other => VrfBackend::Other(other),
    };
    Ok(Capabilities { vrf_backend, mpls, multipath, mlag_role, v6_with_v4_nexthop, graceful_restart })
}

fn vrf_body(vrf: u32, reader: &mut Reader<'_>) -> Result<Vrf, DecodeError> {
    let table = reader.u32_native("table")?;
    let namespace = reader.name("namespace", VRF_NAME)?;
    let name = reader.name("vrf name", VRF_NAME)?;
    reader.end("vrf name")?;
    Ok(Vrf { vrf, name, table, namespace })
}

fn interface(
    table: &ReleaseTable,
    change: InterfaceChange,
    vrf: u32,
    reader: &mut Reader<'_>,
) -> Result<Interface, DecodeError> {
    let name = reader.name("interface name", NAME)?;
    let ifindex = reader.u32("ifindex")?;
    let status = reader.u8("status")?;
    let flags = InterfaceFlags(reader.u64("flags")?);
    reader.bytes("ptm", 2)?;
    let metric = reader.u32("metric")?;
    let speed = reader.u32("speed")?;
    let txqlen = if table.interface_has_txqlen { Some(reader.u32("txqlen")?) } else { None };
    let mtu = reader.u32("mtu")?;
    let mtu6 = reader.u32("mtu6")?;
    let bandwidth = reader.u32("bandwidth")?;
    let link_ifindex = Some(reader.u32("link ifindex")?).filter(|link| *link != 0);
    let zif_type = if table.interface_has_zif_type { Some(reader.u32("zif type")?) } else { None };
    let link_type = LinkType(reader.u32("link type")?);
    let length = reader.u32("hardware address length")?;
    if length > HW_ADDR_MAX {
        return Err(reader.invalid("hardware address length", 4, length));
    }
    let hw_addr = reader.bytes("hardware address", usize::try_from(length).unwrap_or(0))?.to_vec();
    // The traffic engineering block behind this octet differs between releases and is of no use.
    if reader.u8("link parameters")? == 0 {
        reader.end("link parameters")?;
    }
    Ok(Interface {
        change,
        vrf,
        ifindex,
        name,
        status,
        flags,
        metric,
        speed,
        txqlen,
        mtu,
        mtu6,
        bandwidth,
        link_ifindex,
        zif_type,
        link_type,
        hw_addr,
    })
}

fn address(vrf: u32, reader: &mut Reader<'_>) -> Result<InterfaceAddress, DecodeError> {
    let ifindex = reader.u32("ifindex")?;
    let flags = reader.u8("address flags")?;
    let family = reader.family("family")?;
    let address = reader.address("address", family)?;
    let length = reader.u8("prefix length")?;
    let prefix = reader.prefix("prefix length", address, length)?;
    let peer = Some(reader.address("destination", family)?).filter(|peer| !peer.is_unspecified());
    reader.end("destination")?;
    Ok(InterfaceAddress { vrf, ifindex, prefix, flags, peer })
}

fn gre(vrf: u32, reader: &mut Reader<'_>) -> Result<Gre, DecodeError> {
    let ifindex = reader.u32("ifindex")?;
    let key = u32::from_be_bytes(reader.reversed("input key")?);
    // The input key once more: zebra has no other.
    reader.reversed("output key")?;
    let link_ifindex = reader.u32("link ifindex")?;
    let link_vrf = reader.u32("link vrf")?;
    let local = Ipv4Addr::from(reader.reversed("local address")?);
    let remote = Ipv4Addr::from(reader.reversed("remote address")?);
    reader.end("remote address")?;
    Ok(Gre {
        vrf,
        ifindex,
        key: Some(key).filter(|key| *key != 0),
        link_ifindex: Some(link_ifindex).filter(|link| *link != 0),
        link_vrf: Some(link_vrf).filter(|vrf| *vrf != VRF_UNKNOWN),
        local: Some(local).filter(|address| !address.is_unspecified()),
        remote: Some(remote).filter(|address| !address.is_unspecified()),
    })
}
