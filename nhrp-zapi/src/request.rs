//! What the daemon asks of zebra.
//!
//! Owns the bodies of requests in every epoch. Never knows the connection: which VRF a request is for comes from
//! the session, which has seen the interfaces.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::{Afi, Route};

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
