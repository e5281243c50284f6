//! What goes into the engine and what comes out. Both are plain values that can be written to a file and
//! played back.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use nhrp_config::{Afi, InterfaceConfig, TunnelProtection};
use serde::{Deserialize, Serialize};

use crate::authorise::Authorisation;
use crate::notice::Notice;

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// The configuration below `interface NAME` is now this; default for none.
    Configure {
        /// Interface name.
        name: String,
        /// All of its settings.
        config: Box<InterfaceConfig>,
    },
    /// An interface appeared or changed.
    Link(Link),
    /// An interface is gone.
    LinkDeleted {
        /// Kernel's interface index.
        ifindex: u32,
    },
    /// NHRP cannot run on this interface whatever is configured; after [`Input::Link`], until the interface is gone.
    Unsuited {
        /// Kernel's interface index.
        ifindex: u32,
        /// Why, and what to do instead.
        reason: String,
    },
    /// An address was added to an interface, or repeated.
    AddressAdded {
        /// Kernel's interface index.
        ifindex: u32,
        /// Address with prefix length.
        address: IpNet,
        /// The kernel's mark for a second address of the same subnet.
        secondary: bool,
    },
    /// An address was removed from an interface.
    AddressDeleted {
        /// Kernel's interface index.
        ifindex: u32,
        /// Address with prefix length.
        address: IpNet,
    },
    /// Parameters of a GRE interface, answer to [`Output::QueryGre`].
    Gre {
        /// Kernel's interface index.
        ifindex: u32,
        /// `local` of the tunnel, if fixed.
        local: Option<Ipv4Addr>,
        /// Interface that the tunnel is bound to (`dev`).
        link: Option<u32>,
    },
    /// The best route to a prefix, new or changed. NHRP's own routes are not told.
    RouteAdded {
        /// Destination.
        prefix: IpNet,
        /// First next hop; none for connected and blackhole routes.
        gateway: Option<IpAddr>,
        /// Interface of the first next hop.
        ifindex: Option<u32>,
    },
    /// No route to exactly this prefix any more.
    RouteDeleted {
        /// Destination.
        prefix: IpNet,
    },
    /// The kernel says something about a neighbour on an interface.
    Neighbour {
        /// Kernel's interface index.
        ifindex: u32,
        /// Overlay address.
        protocol: IpAddr,
        /// What it says.
        event: NeighbourEvent,
    },
    /// A neighbour entry that an earlier life of this daemon left in the kernel. It is taken as a registered
    /// client until its holding time is over, so that a restart interrupts nobody.
    Adopted {
        /// Kernel's interface index.
        ifindex: u32,
        /// Overlay address.
        protocol: IpAddr,
        /// NBMA address.
        nbma: IpAddr,
    },
    /// An NHRP packet arrived.
    Packet {
        /// Interface on which it arrived.
        ifindex: u32,
        /// NBMA source address of the carrying packet.
        source: IpAddr,
        /// NHRP header onwards.
        #[serde(with = "crate::hex")]
        octets: Vec<u8>,
    },
    /// A data packet took the way in and out of the same NBMA network (from NFLOG).
    Flow {
        /// Interface on which it arrived.
        ifindex: u32,
        /// IP header onwards, possibly cut short.
        #[serde(with = "crate::hex")]
        octets: Vec<u8>,
    },
    /// A packet for many leaves by an interface (from NFLOG).
    Multicast {
        /// Interface by which it leaves.
        ifindex: u32,
        /// The whole packet, IP header onwards.
        #[serde(with = "crate::hex")]
        octets: Vec<u8>,
    },
    /// Answer to [`Output::Resolve`].
    Resolved {
        /// As in the question.
        token: u64,
        /// Addresses in the resolver's order, or its error in words.
        addresses: Result<Vec<IpAddr>, String>,
    },
    /// Answer to [`Output::Guard`] with an address.
    Guarded {
        /// Interface name, as in the request.
        name: String,
        /// Own address, as in the request.
        local: Ipv4Addr,
        /// Why GRE may still leave in clear; none if it cannot.
        failure: Option<String>,
    },
    /// Packets between two addresses are protected, from now on or still; or the peer is known by another identity.
    Protected {
        /// Own NBMA address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
        /// Who the peer is, as it has proved.
        identity: String,
    },
    /// Packets between two addresses were not protected for a moment, and are again: what the peer had learned may be lost.
    Reprotected {
        /// Own NBMA address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// Packets between two addresses are protected no more.
    Unprotected {
        /// Own NBMA address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// An operator clears something; answered by [`Output::Cleared`].
    Clear(ClearWhat),
    /// From now on bindings have to be accepted (`nhrp event socket`), or need not be.
    Authorising {
        /// They have to.
        on: bool,
    },
    /// Answer to [`Output::Authorise`].
    Authorised {
        /// As in the question.
        event: u32,
        /// The binding may be used.
        accepted: bool,
    },
    /// The daemon is about to end: those who would go on believing what is true only while it runs are told.
    Leaving,
    /// A deadline of [`crate::Engine::next_deadline`] has come.
    DeadlineReached,
}

/// An interface as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Kernel's interface index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// An IPv4 GRE tunnel.
    pub gre: bool,
    /// MTU in octets.
    pub mtu: u32,
}

/// State of a neighbour entry, as far as the engine cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeighbourEvent {
    /// A packet waits for an address that the kernel does not know.
    Wanted,
    /// The kernel asks whether an entry that is in use still holds.
    Probe,
    /// Nothing has used the entry for a while.
    Stale,
    /// The entry is gone or has failed, although nobody here removed it.
    Lost,
}

/// What `clear … nhrp …` is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClearWhat {
    /// Learned cache entries; of both families, as in FRR.
    Cache,
    /// Shortcuts of a family, then learned cache entries.
    Shortcuts(Afi),
    /// Some learned entries of a table.
    Selected(ClearTable, Afi, Selection),
}

/// A table of which some entries are cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClearTable {
    /// Learned cache entries.
    Cache,
    /// Shortcuts, and questions under way.
    Shortcuts,
}

/// Which entries of a table are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Overlay addresses and prefixes that lie in this one.
    Prefix(IpNet),
    /// What leads to the peer with this overlay or NBMA address.
    Peer(IpAddr),
    /// What belongs to the interface of this name.
    Interface(String),
}

/// Something that the engine wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Send an NHRP packet.
    Send {
        /// Interface to send on.
        ifindex: u32,
        /// NBMA address of the receiver.
        destination: IpAddr,
        /// NHRP header onwards.
        #[serde(with = "crate::hex")]
        octets: Vec<u8>,
    },
    /// Send a copy of an IP packet to each of these.
    Replicate {
        /// Interface to send on.
        ifindex: u32,
        /// Family of the packet.
        afi: Afi,
        /// NBMA addresses of the receivers, sorted, at least one, none twice.
        receivers: Arc<[IpAddr]>,
        /// IP header onwards.
        #[serde(with = "crate::hex")]
        octets: Vec<u8>,
    },
    /// Add a route, or replace that of the same prefix.
    RouteAdd(Route),
    /// Remove this daemon's route.
    RouteDelete {
        /// Destination.
        prefix: IpNet,
    },
    /// Write a neighbour entry, whatever was there.
    NeighbourSet(Neighbour),
    /// Remove a neighbour entry.
    NeighbourDelete {
        /// Kernel's interface index.
        ifindex: u32,
        /// Overlay address.
        protocol: IpAddr,
    },
    /// A next hop for which packets wait cannot be resolved: refuse them.
    NeighbourUnreachable {
        /// Kernel's interface index.
        ifindex: u32,
        /// Overlay address.
        protocol: IpAddr,
    },
    /// NHRP starts for a family on this interface: make the kernel ask user space for neighbours, stop it from
    /// sending redirects of its own.
    Enable {
        /// Kernel's interface index.
        ifindex: u32,
        /// Interface name.
        name: String,
        /// Family of the overlay.
        afi: Afi,
    },
    /// Ask for the parameters of a GRE interface.
    QueryGre {
        /// Kernel's interface index.
        ifindex: u32,
    },
    /// Bind a GRE interface to another underlay interface (`tunnel source`).
    BindGre {
        /// Kernel's interface index of the tunnel.
        ifindex: u32,
        /// Kernel's interface index of the underlay.
        link: u32,
    },
    /// Look up the addresses of an NHS by name.
    Resolve {
        /// To be handed back.
        token: u64,
        /// Host name.
        name: String,
    },
    /// `tunnel protection` is configured on an interface: keep GRE from leaving and entering in clear there, whatever
    /// else happens, and answer with [`Input::Guarded`]. Without an address: let it through again.
    Guard {
        /// Interface name.
        name: String,
        /// Own address of the tunnel.
        local: Option<Ipv4Addr>,
    },
    /// A security association is needed, from now on and until [`Output::Unprotect`].
    Protect {
        /// Own NBMA address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
        /// By which profile.
        protection: TunnelProtection,
        /// The peer does not negotiate at the same time.
        eager: bool,
    },
    /// No security association is needed any more.
    Unprotect {
        /// Own NBMA address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
        /// Those that are there shall end.
        terminate: bool,
    },
    /// Ask whether a binding may be used; without an answer it is dropped after ten seconds.
    Authorise(Authorisation),
    /// Answer to [`Input::Clear`].
    Cleared {
        /// Entries removed.
        count: usize,
    },
    /// Something an operator may want to know.
    Notice(Notice),
}

/// A route of this daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub prefix: IpNet,
    /// Where to.
    pub nexthop: Nexthop,
    /// Path MTU in octets, if known.
    pub mtu: Option<u32>,
    /// Another daemon has a route to the same prefix: this one shall be used for forwarding, and the other one stay
    /// the selected one, so that its fate is still told.
    pub overrides: bool,
}

/// Next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nexthop {
    /// Directly on the tunnel: a peer's own address.
    Interface {
        /// Kernel's interface index.
        ifindex: u32,
    },
    /// Through a peer: a shortcut.
    Gateway {
        /// Overlay address of the peer.
        address: IpAddr,
        /// Kernel's interface index.
        ifindex: u32,
    },
    /// Unreachable: a negative shortcut.
    Reject,
}

/// A neighbour entry: overlay address to NBMA address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Kernel's interface index.
    pub ifindex: u32,
    /// Overlay address.
    pub protocol: IpAddr,
    /// NBMA address that packets are sent to.
    pub nbma: IpAddr,
    /// How the kernel shall treat it.
    pub state: NeighbourState,
}

/// How the kernel shall treat a neighbour entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeighbourState {
    /// Registered, static and NHS peers: stays until removed, is never probed.
    Permanent,
    /// Peers of shortcuts: the kernel asks now and then while packets use it, so that unused ones can go.
    Reachable,
    /// The same entry, about to expire: the next packet makes the kernel ask within seconds.
    Stale,
}
