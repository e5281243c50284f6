//! What the daemon asks of zebra.
//!
//! Owns the bodies of requests in every epoch. Never knows the connection: which VRF a request is for comes from
//! the session, which has seen the interfaces.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::buffer::{AF_INET, AF_INET6, Reader, Write};
use crate::frame::put_frame;
use crate::route::{RouteBody, put_delete};
use crate::{Afi, Command, DecodeError, EncodeError, Header, NeighbourState, ReleaseTable, Route};

/// A request. The first group is sent by the session itself when it opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Opens the session as the daemon of NHRP routes.
    Hello,
    /// Asks for all interfaces, now and later.
    Interfaces,
    /// Asks for the router id of an address family.
    RouterId(Afi),
    /// Asks for all selected routes of an address family, now and later.
    Redistribute(Afi),
    /// Asks for neighbour events of an address family.
    NeighRegister(Afi),
    /// Ends them.
    NeighUnregister(Afi),

    /// Announces a route, or replaces the one of the same prefix.
    RouteAdd(Route),
    /// Withdraws the route of that prefix.
    RouteDelete(IpNet),
    /// Writes a neighbour of the kernel, reachable.
    NeighAdd {
        /// Interface.
        ifindex: u32,
        /// Protocol (overlay) address.
        protocol: IpAddr,
        /// NBMA address.
        nbma: Ipv4Addr,
    },
    /// Deletes a neighbour of the kernel.
    NeighDelete {
        /// Interface.
        ifindex: u32,
        /// Protocol (overlay) address.
        protocol: IpAddr,
    },
    /// Makes the kernel ask user space, and nobody else, for neighbours of an interface.
    ConfigureArp {
        /// Interface.
        ifindex: u32,
        /// Address family.
        family: Afi,
    },
    /// Clears (`enable`) or sets `IFF_NOARP`. Dropped where [`crate::ReleaseTable::has_set_arp`] is false.
    SetArp {
        /// Interface.
        ifindex: u32,
        /// Resolution wanted.
        enable: bool,
    },
    /// Asks for the parameters of a GRE interface; exactly one [`crate::Event::GreUpdate`] answers.
    GreGet {
        /// Interface.
        ifindex: u32,
    },
    /// Binds a GRE interface to a lower device. **Destructive in every FRR release**: zebra rebuilds the tunnel from
    /// the lower device's data, so that it goes down and loses key and local address. For compatibility only.
    GreSourceSet {
        /// GRE interface.
        ifindex: u32,
        /// Lower device.
        link_ifindex: u32,
        /// VRF of the lower device.
        link_vrf: u32,
        /// MTU to set, 0 to keep.
        mtu: u32,
    },
}

impl Request {
    /// The command that carries it.
    #[must_use]
    pub fn command(&self) -> Command {
        match self {
            Self::Hello => Command::Hello,
            Self::Interfaces => Command::InterfaceAdd,
            Self::RouterId(_) => Command::RouterIdAdd,
            Self::Redistribute(_) => Command::RedistributeAdd,
            Self::NeighRegister(_) => Command::NeighRegister,
            Self::NeighUnregister(_) => Command::NeighUnregister,
            Self::RouteAdd(_) => Command::RouteAdd,
            Self::RouteDelete(_) => Command::RouteDelete,
            Self::NeighAdd { .. } => Command::NeighIpAdd,
            Self::NeighDelete { .. } => Command::NeighIpDelete,
            Self::ConfigureArp { .. } => Command::ConfigureArp,
            Self::SetArp { .. } => Command::InterfaceSetArp,
            Self::GreGet { .. } => Command::GreGet,
            Self::GreSourceSet { .. } => Command::GreSourceSet,
        }
    }

    /// The interface that it is about, whose VRF goes into the header.
    #[must_use]
    pub fn ifindex(&self) -> Option<u32> {
        match *self {
            Self::NeighAdd { ifindex, .. }
            | Self::NeighDelete { ifindex, .. }
            | Self::ConfigureArp { ifindex, .. }
            | Self::SetArp { ifindex, .. }
            | Self::GreGet { ifindex }
            | Self::GreSourceSet { ifindex, .. } => Some(ifindex),
            _ => None,
        }
    }

    /// Appends the frame of the request, for the VRF `vrf`. On an error `out` is left as it was.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the release has no such command or the request contradicts itself.
    pub fn encode(&self, table: &ReleaseTable, vrf: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let command =
            table.number(self.command()).ok_or(EncodeError::NoSuchCommand(table.epoch.first_release()))?;
        if let Self::RouteAdd(route) = self {
            route.check()?;
        }
        put_frame(out, Header { vrf, command }, |out| self.put_body(table, out)).ok_or(EncodeError::TooLong)
    }

    fn put_body(&self, table: &ReleaseTable, out: &mut Vec<u8>) {
        match *self {
            Self::Hello => {
                out.put_u8(table.route_type_nhrp);
                out.put_u16(0);
                out.put_u32(0);
                if table.hello_has_notify {
                    out.put_u8(0);
                }
                out.put_u8(0);
            }
            Self::Interfaces => {}
            Self::RouterId(afi) | Self::NeighRegister(afi) | Self::NeighUnregister(afi) => {
                out.put_u16(afi.number().into());
            }
            Self::Redistribute(afi) => {
                out.put_u8(afi.number());
                out.put_u8(table.route_type_all);
                out.put_u16(0);
            }
            Self::RouteAdd(ref route) => route.put(table, out),
            Self::RouteDelete(prefix) => put_delete(table, prefix, out),
            Self::NeighAdd { ifindex, protocol, nbma } => {
                put_neighbour(table, protocol, Some(nbma), 0, ifindex, NeighbourState::REACHABLE, out);
            }
            Self::NeighDelete { ifindex, protocol } => {
                put_neighbour(table, protocol, None, 0, ifindex, NeighbourState::FAILED, out);
            }
            Self::ConfigureArp { ifindex, family } => {
                out.put_u8(if family == Afi::Ip { AF_INET } else { AF_INET6 });
                out.put_u32(ifindex);
            }
            Self::SetArp { ifindex, enable } => {
                out.put_u32(ifindex);
                out.put_u8(enable.into());
            }
            Self::GreGet { ifindex } => out.put_u32(ifindex),
            Self::GreSourceSet { ifindex, link_ifindex, link_vrf, mtu } => {
                for value in [ifindex, link_ifindex, link_vrf, mtu] {
                    out.put_u32(value);
                }
            }
        }
    }

    /// Reads a request as zebra would: for tests and for fakes that stand in zebra's place. `None` for a command
    /// that is no request of nhrpd.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the body does not have the shape of the command.
    pub fn decode(table: &ReleaseTable, header: Header, body: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(header.command, body);
        let Some(command) = table.command(header.command) else { return Ok(None) };
        let request = match command {
            Command::Hello => {
                let protocol = reader.u8("protocol")?;
                if protocol != table.route_type_nhrp {
                    return Err(reader.invalid("protocol", 1, protocol.into()));
                }
                reader.bytes("instance and session", if table.hello_has_notify { 8 } else { 7 })?;
                Self::Hello
            }
            Command::InterfaceAdd => Self::Interfaces,
            Command::RouterIdAdd => Self::RouterId(afi16(&mut reader)?),
            Command::NeighRegister => Self::NeighRegister(afi16(&mut reader)?),
            Command::NeighUnregister => Self::NeighUnregister(afi16(&mut reader)?),
            Command::RedistributeAdd => {
                let afi = reader.u8("afi")?;
                let afi = Afi::from_number(afi.into()).ok_or_else(|| reader.invalid("afi", 1, afi.into()))?;
                let kind = reader.u8("route type")?;
                if kind != table.route_type_all {
                    return Err(reader.invalid("route type", 1, kind.into()));
                }
                reader.u16("instance")?;
                Self::Redistribute(afi)
            }
            Command::RouteAdd => {
                return RouteBody::decode(table, reader).map(|body| Some(Self::RouteAdd(Route::from(&body))));
            }
            Command::RouteDelete => {
                return RouteBody::decode(table, reader).map(|body| Some(Self::RouteDelete(body.prefix)));
            }
            Command::NeighIpAdd => {
                let body = NeighbourBody::decode(table, &mut reader)?;
                let nbma = body.nbma.ok_or_else(|| reader.invalid("link-layer address", 0, 0))?;
                Self::NeighAdd { ifindex: body.ifindex, protocol: body.protocol, nbma }
            }
            Command::NeighIpDelete => {
                let body = NeighbourBody::decode(table, &mut reader)?;
                Self::NeighDelete { ifindex: body.ifindex, protocol: body.protocol }
            }
            Command::ConfigureArp => {
                let family = if reader.family("family")? == AF_INET { Afi::Ip } else { Afi::Ip6 };
                Self::ConfigureArp { family, ifindex: reader.u32("ifindex")? }
            }
            Command::InterfaceSetArp => {
                Self::SetArp { ifindex: reader.u32("ifindex")?, enable: reader.u8("enable")? != 0 }
            }
            Command::GreGet => Self::GreGet { ifindex: reader.u32("ifindex")? },
            Command::GreSourceSet => Self::GreSourceSet {
                ifindex: reader.u32("ifindex")?,
                link_ifindex: reader.u32("link ifindex")?,
                link_vrf: reader.u32("link vrf")?,
                mtu: reader.u32("mtu")?,
            },
            _ => return Ok(None),
        };
        reader.end("end of request")?;
        Ok(Some(request))
    }
}

fn afi16(reader: &mut Reader<'_>) -> Result<Afi, DecodeError> {
    let afi = reader.u16("afi")?;
    Afi::from_number(afi).ok_or_else(|| reader.invalid("afi", 2, afi.into()))
}

/// The body that neighbours have in both directions.
pub(crate) struct NeighbourBody {
    pub(crate) protocol: IpAddr,
    pub(crate) nbma: Option<Ipv4Addr>,
    /// Octets of the kernel's link-layer address, where the release tells it.
    pub(crate) length: Option<u32>,
    pub(crate) ifindex: u32,
    pub(crate) state: NeighbourState,
}

impl NeighbourBody {
    pub(crate) fn decode(table: &ReleaseTable, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let family = reader.family("protocol family")?;
        let protocol = reader.address("protocol address", family)?;
        let nbma = match reader.u8("link-layer family")? {
            0 => None,
            AF_INET => Some(Ipv4Addr::from(reader.array("link-layer address")?)),
            other => return Err(reader.invalid("link-layer family", 1, other.into())),
        };
        let length = if table.neighbour_has_length { Some(reader.u32("link-layer length")?) } else { None };
        let ifindex = reader.u32("ifindex")?;
        let state = NeighbourState(reader.u32("state")?);
        reader.end("state")?;
        Ok(Self { protocol, nbma, length, ifindex, state })
    }
}

pub(crate) fn put_neighbour(
    table: &ReleaseTable,
    protocol: IpAddr,
    nbma: Option<Ipv4Addr>,
    length: u32,
    ifindex: u32,
    state: NeighbourState,
    out: &mut Vec<u8>,
) {
    out.put_family(protocol);
    out.put_address(protocol);
    match nbma {
        Some(nbma) => {
            out.put_u8(AF_INET);
            out.put_address(nbma.into());
        }
        None => out.put_u8(0),
    }
    if table.neighbour_has_length {
        out.put_u32(length);
    }
    out.put_u32(ifindex);
    out.put_u32(state.0);
}
