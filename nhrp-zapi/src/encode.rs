//! zebra's side of the codec: writes what zebra would send.
//!
//! For tests and for fakes that stand in zebra's place; the daemon never calls it. Fields that the values do not
//! hold (such as the PTM state) are written as zebra writes them by default.

use std::net::Ipv4Addr;

use crate::buffer::Write;
use crate::frame::put_frame;
use crate::message::{NAME, VRF_NAME, VRF_UNKNOWN};
use crate::request::put_neighbour;
use crate::{
    Capabilities, Command, EncodeError, Gre, Header, Interface, InterfaceAddress, InterfaceChange, Message,
    NeighbourKind, ReleaseTable, Vrf, VrfBackend,
};

impl Message {
    /// Appends the frame that zebra of that epoch would send. On an error `out` is left as it was.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if it does not fit a frame.
    pub fn encode(&self, table: &ReleaseTable, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (command, vrf) = match self {
            Self::Capabilities(_) => (Command::Capabilities, 0),
            Self::Error(_) => (Command::Error, 0),
            Self::VrfAdded(vrf) => (Command::VrfAdd, vrf.vrf),
            Self::VrfDeleted(vrf) => (Command::VrfDelete, vrf.vrf),
            Self::Interface(interface) => (
                match interface.change {
                    InterfaceChange::Add => Command::InterfaceAdd,
                    InterfaceChange::Up => Command::InterfaceUp,
                    InterfaceChange::Down => Command::InterfaceDown,
                },
                interface.vrf,
            ),
            Self::InterfaceDeleted(interface) => (Command::InterfaceDelete, interface.vrf),
            Self::AddressAdded(address) => (Command::InterfaceAddressAdd, address.vrf),
            Self::AddressDeleted(address) => (Command::InterfaceAddressDelete, address.vrf),
            Self::RouterId(id) => (Command::RouterIdUpdate, id.vrf),
            Self::RouteAdded(route) => (Command::RedistributeRouteAdd, route.vrf),
            Self::RouteDeleted(route) => (Command::RedistributeRouteDelete, route.vrf),
            Self::Neighbour(neighbour) => (
                match neighbour.kind {
                    NeighbourKind::Added => Command::NeighAdded,
                    NeighbourKind::Removed => Command::NeighRemoved,
                    NeighbourKind::Get => Command::NeighGet,
                },
                neighbour.vrf,
            ),
            Self::Gre(gre) => (Command::GreUpdate, gre.vrf),
        };
        let number = table.number(command).ok_or(EncodeError::NoSuchCommand(table.epoch.first_release()))?;
        put_frame(out, Header { vrf, command: number }, |out| self.put_body(table, out))
            .ok_or(EncodeError::TooLong)
    }

    fn put_body(&self, table: &ReleaseTable, out: &mut Vec<u8>) {
        match self {
            Self::Capabilities(capabilities) => put_capabilities(table, capabilities, out),
            // As zebra copies it from memory.
            Self::Error(kind) => out.put(&kind.to_ne_bytes()),
            Self::VrfAdded(vrf) | Self::VrfDeleted(vrf) => put_vrf(vrf, out),
            Self::Interface(interface) => put_interface(table, interface, out),
            Self::InterfaceDeleted(gone) => {
                let interface = Interface {
                    change: InterfaceChange::Down,
                    vrf: gone.vrf,
                    ifindex: gone.ifindex,
                    name: gone.name.clone(),
                    status: 0,
                    flags: crate::InterfaceFlags(0),
                    metric: 0,
                    speed: 0,
                    txqlen: None,
                    mtu: 0,
                    mtu6: 0,
                    bandwidth: 0,
                    link_ifindex: None,
                    zif_type: None,
                    link_type: crate::LinkType(0),
                    hw_addr: Vec::new(),
                };
                put_interface(table, &interface, out);
            }
            Self::AddressAdded(address) | Self::AddressDeleted(address) => {
                put_interface_address(address, out);
            }
            Self::RouterId(id) => {
                out.put_family(id.prefix.addr());
                out.put_address(id.prefix.addr());
                out.put_u8(id.prefix.prefix_len());
            }
            Self::RouteAdded(route) => route.put(table, true, out),
            Self::RouteDeleted(gone) => {
                let route = crate::RedistributedRoute {
                    vrf: gone.vrf,
                    prefix: gone.prefix,
                    route_type: gone.route_type,
                    is_nhrp: gone.is_nhrp,
                    is_local: gone.is_local,
                    is_learned: false,
                    nexthops: 0,
                    nexthop: None,
                    distance: None,
                    metric: None,
                    mtu: None,
                };
                route.put(table, false, out);
            }
            Self::Neighbour(neighbour) => {
                let length = if neighbour.nbma.is_some() { 4 } else { 0 };
                put_neighbour(
                    table,
                    neighbour.protocol,
                    neighbour.nbma,
                    length,
                    neighbour.ifindex,
                    neighbour.state,
                    out,
                );
            }
            Self::Gre(gre) => put_gre(gre, out),
        }
    }
}

fn put_capabilities(table: &ReleaseTable, capabilities: &Capabilities, out: &mut Vec<u8>) {
    let start = out.len();
    let (short, long) = match capabilities.vrf_backend {
        VrfBackend::Lite => (0, 0),
        VrfBackend::Namespaces => (1, 1),
        VrfBackend::Other(number) => (u8::try_from(number).unwrap_or(u8::MAX), number),
    };
    if table.capabilities_short_backend {
        out.put_u8(short);
    } else {
        out.put_u32(long);
    }
    out.put_u8(capabilities.mpls.into());
    out.put_u32(capabilities.multipath);
    out.put_u8(capabilities.mlag_role);
    out.put_u8(capabilities.v6_with_v4_nexthop.unwrap_or(false).into());
    out.put_u8(capabilities.graceful_restart.unwrap_or(false).into());
    out.truncate(start.saturating_add(table.capabilities_length));
}

fn put_vrf(vrf: &Vrf, out: &mut Vec<u8>) {
    out.put(&vrf.table.to_ne_bytes());
    out.put_name(&vrf.namespace, VRF_NAME);
    out.put_name(&vrf.name, VRF_NAME);
}

fn put_interface(table: &ReleaseTable, interface: &Interface, out: &mut Vec<u8>) {
    out.put_name(&interface.name, NAME);
    out.put_u32(interface.ifindex);
    out.put_u8(interface.status);
    out.put(&interface.flags.0.to_be_bytes());
    // PTM off, state unknown.
    out.put(&[0, 2]);
    out.put_u32(interface.metric);
    out.put_u32(interface.speed);
    if table.interface_has_txqlen {
        out.put_u32(interface.txqlen.unwrap_or(0));
    }
    for value in [interface.mtu, interface.mtu6, interface.bandwidth, interface.link_ifindex.unwrap_or(0)] {
        out.put_u32(value);
    }
    if table.interface_has_zif_type {
        out.put_u32(interface.zif_type.unwrap_or(0));
    }
    out.put_u32(interface.link_type.0);
    out.put_u32(u32::try_from(interface.hw_addr.len()).unwrap_or(u32::MAX));
    out.put(&interface.hw_addr);
    out.put_u8(0);
}

fn put_interface_address(address: &InterfaceAddress, out: &mut Vec<u8>) {
    out.put_u32(address.ifindex);
    out.put_u8(address.flags);
    out.put_family(address.prefix.addr());
    out.put_address(address.prefix.addr());
    out.put_u8(address.prefix.prefix_len());
    match (address.peer, address.prefix.addr().is_ipv4()) {
        (Some(peer), _) => out.put_address(peer),
        (None, true) => out.put(&[0; 4]),
        (None, false) => out.put(&[0; 16]),
    }
}

fn put_gre(gre: &Gre, out: &mut Vec<u8>) {
    let key = gre.key.unwrap_or(0).to_be_bytes();
    let address = |address: Option<Ipv4Addr>| address.map_or([0; 4], |address| address.octets());
    out.put_u32(gre.ifindex);
    out.put_reversed(key);
    out.put_reversed(key);
    out.put_u32(gre.link_ifindex.unwrap_or(0));
    out.put_u32(gre.link_vrf.unwrap_or(VRF_UNKNOWN));
    out.put_reversed(address(gre.local));
    out.put_reversed(address(gre.remote));
}
