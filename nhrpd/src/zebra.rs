//! Between zebra's messages and the engine's inputs and outputs.
//!
//! After each (re)connection zebra tells everything again. What it does not tell any more until it is done
//! ([`Event::Synced`]) is gone, and only then the engine is told so: a restart of zebra costs nothing. Routes are given
//! more time, because the other daemons have to find the new zebra too before it can tell theirs.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_config::Afi;
use nhrp_engine::{Engine, Input, Link, NeighbourEvent, Nexthop, Output, Route};
use nhrp_zapi::{
    Event, LinkType, NeighbourKind, NeighbourState, ReleaseTable, Request, RouteNexthop, VRF_DEFAULT,
};

#[cfg(test)]
mod replay;
#[cfg(test)]
mod tests;

/// Seen on Linux 6.1: the kernel takes a neighbour entry with an address of 16 octets, and drops every packet that
/// would need it; what sends on such a tunnel looks at the next hop's address instead, or at a route's encapsulation.
const NO_GRE6: &str = "it is a GRE tunnel over IPv6, which Linux does not send to several peers by neighbour entries; \
                       make it over IPv4 (ip link add NAME type gre key N local ADDRESS). IPv6 inside of it is no problem";

/// Distance of shortcuts beside routing protocols: the worst that is still used. zebra tells of a route only when it is
/// the one in the kernel, so with NHRP's own distance of 10 a shortcut would hide every later route of a protocol to the
/// very same prefix.
const YIELDING: u8 = 254;

/// What was told since the last `Connected`.
#[derive(Debug, Default)]
pub(crate) struct Resync {
    links: HashSet<u32>,
    addresses: HashSet<(u32, IpNet)>,
    routes: HashSet<IpNet>,
    /// The dump is complete.
    synced: bool,
}

/// Zebra's side of the translation.
#[derive(Debug, Default)]
pub(crate) struct ZebraSide {
    resync: Option<Resync>,
    /// Administrative distance of our routes; none: zebra's default.
    distance: Option<u8>,
    /// Tag of our routes.
    tag: Option<u32>,
    /// A routing protocol runs beside us: zebra has told a route of one.
    protocols: bool,
}

/// What a zebra event asks of the daemon besides the engine's inputs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Nothing,
    /// zebra is there and complete: it is to be told everything.
    TellAll,
    /// Routes are to be told again: their distance has changed.
    TellRoutes,
}

impl ZebraSide {
    /// Distance and tag are given to every route.
    pub(crate) fn new(distance: Option<u8>, tag: Option<u32>) -> Self {
        Self { resync: None, distance, tag, protocols: false }
    }

    /// Translates one event; inputs are appended in the order in which the engine must see them.
    pub(crate) fn translate(
        &mut self,
        event: Event,
        engine: &Engine,
        own_neighbours: bool,
        inputs: &mut Vec<Input>,
    ) -> Reaction {
        match event {
            Event::Connected { epoch, .. } => {
                tracing::debug!(target: "nhrp::event", "zebra speaks epoch {epoch:?}");
                self.resync = Some(Resync::default());
            }
            Event::Synced => {
                self.sweep(engine, inputs);
                return Reaction::TellAll;
            }
            Event::Disconnected { .. } => self.resync = None,
            Event::Interface(interface) if interface.vrf == VRF_DEFAULT => {
                if let Some(resync) = &mut self.resync {
                    resync.links.insert(interface.ifindex);
                }
                let ifindex = interface.ifindex;
                inputs.push(Input::Link(Link {
                    ifindex,
                    name: interface.name,
                    up: interface.flags.is_up(),
                    gre: interface.link_type == LinkType::GRE,
                    mtu: interface.mtu,
                }));
                if interface.link_type == LinkType::GRE6 {
                    inputs.push(Input::Unsuited { ifindex, reason: NO_GRE6.to_owned() });
                }
            }
            // An interface that moved to another VRF is gone from ours.
            Event::Interface(interface) => inputs.push(Input::LinkDeleted { ifindex: interface.ifindex }),
            Event::InterfaceDeleted(interface) => {
                if interface.vrf == VRF_DEFAULT {
                    inputs.push(Input::LinkDeleted { ifindex: interface.ifindex });
                }
            }
            Event::AddressAdded(address) => {
                if let Some(resync) = &mut self.resync {
                    resync.addresses.insert((address.ifindex, address.prefix));
                }
                inputs.push(Input::AddressAdded {
                    ifindex: address.ifindex,
                    address: address.prefix,
                    secondary: address.is_secondary(),
                });
            }
            Event::AddressDeleted(address) => {
                inputs.push(Input::AddressDeleted { ifindex: address.ifindex, address: address.prefix });
            }
            Event::RouteAdded(route) if route.vrf == VRF_DEFAULT && !route.is_nhrp && !route.is_local => {
                if let Some(resync) = &mut self.resync {
                    resync.routes.insert(route.prefix.trunc());
                }
                let nexthop = route.nexthop;
                let gateway = nexthop.and_then(|n| n.gateway).filter(|g: &IpAddr| !g.is_unspecified());
                let ifindex = nexthop.filter(|n| !n.blackhole).and_then(|n| n.ifindex);
                inputs.push(Input::RouteAdded { prefix: route.prefix.trunc(), gateway, ifindex });
                if route.is_learned && !self.protocols {
                    self.protocols = true;
                    // With the others, if it is one of the first.
                    let dumping = self.resync.as_ref().is_some_and(|resync| !resync.synced);
                    if !dumping && self.distance.is_none() {
                        return Reaction::TellRoutes;
                    }
                }
            }
            Event::RouteDeleted(route) if route.vrf == VRF_DEFAULT && !route.is_nhrp && !route.is_local => {
                inputs.push(Input::RouteDeleted { prefix: route.prefix.trunc() });
            }
            // The kernel's own messages say more, and say it in every release.
            Event::Neighbour(neighbour) if !own_neighbours && !neighbour.is_echo() => {
                if let Some(event) = neighbour_event(neighbour.kind, neighbour.state) {
                    inputs.push(Input::Neighbour {
                        ifindex: neighbour.ifindex,
                        protocol: neighbour.protocol,
                        event,
                    });
                }
            }
            Event::GreUpdate(gre) => {
                inputs.push(Input::Gre { ifindex: gre.ifindex, local: gre.local, link: gre.link_ifindex });
            }
            // Of an error the client has told the operator.
            Event::Error(_)
            | Event::RouteAdded(_)
            | Event::RouteDeleted(_)
            | Event::Neighbour(_)
            | Event::RouterId(_)
            | Event::VrfAdded(_)
            | Event::VrfDeleted { .. } => {}
        }
        Reaction::Nothing
    }

    /// The dump is complete: links and addresses that the engine knows and zebra did not tell do not exist.
    fn sweep(&mut self, engine: &Engine, inputs: &mut Vec<Input>) {
        let Some(seen) = &mut self.resync else { return };
        seen.synced = true;
        for (ifindex, addresses) in engine.links() {
            if !seen.links.contains(&ifindex) {
                inputs.push(Input::LinkDeleted { ifindex });
                continue;
            }
            let gone = addresses.filter(|a| !seen.addresses.contains(&(ifindex, *a)));
            inputs.extend(gone.map(|address| Input::AddressDeleted { ifindex, address }));
        }
    }

    /// The other daemons had time to tell zebra their routes: what it did not tell us does not exist.
    pub(crate) fn settle(&mut self, engine: &Engine) -> Vec<Input> {
        // zebra may have gone once more since.
        let Some(seen) = self.resync.take_if(|seen| seen.synced) else { return Vec::new() };
        let gone = engine.known_routes().into_iter().filter(|p| !seen.routes.contains(p));
        gone.map(|prefix| Input::RouteDeleted { prefix }).collect()
    }
}

/// FRR's reading of neighbour messages: a question with a known address is use, one without is a miss.
fn neighbour_event(kind: NeighbourKind, state: NeighbourState) -> Option<NeighbourEvent> {
    match kind {
        NeighbourKind::Get if state == NeighbourState::INCOMPLETE => Some(NeighbourEvent::Wanted),
        NeighbourKind::Get => Some(NeighbourEvent::Probe),
        NeighbourKind::Added if state == NeighbourState::REACHABLE => Some(NeighbourEvent::Probe),
        NeighbourKind::Added if state == NeighbourState::FAILED => Some(NeighbourEvent::Lost),
        NeighbourKind::Added | NeighbourKind::Removed => Some(NeighbourEvent::Stale),
    }
}

/// Makes the kernel ask user space for the neighbours of a tunnel, as far as zebra does it: one up to 9.1 cannot clear
/// `IFF_NOARP`.
pub(crate) fn arp_requests(table: Option<&ReleaseTable>, ifindex: u32, afi: Afi) -> Vec<Request> {
    let set_arp = table.is_some_and(ReleaseTable::has_set_arp);
    let set_arp = set_arp.then_some(Request::SetArp { ifindex, enable: true });
    let configure = Request::ConfigureArp { ifindex, family: zebra_afi(afi) };
    set_arp.into_iter().chain([configure]).collect()
}

impl ZebraSide {
    /// What zebra is to do of what the engine wants done; `None` if it is another's business. Neighbours are zebra's only
    /// if the daemon does not write them itself.
    pub(crate) fn request(&self, output: &Output, engine: &Engine, own_neighbours: bool) -> Option<Request> {
        match output {
            Output::RouteAdd(route) => Some(self.route_request(route, engine)),
            Output::RouteDelete { prefix } => Some(Request::RouteDelete(*prefix)),
            Output::NeighbourSet(neighbour) if !own_neighbours => {
                // zebra's message has room for an IPv4 NBMA address only.
                let IpAddr::V4(nbma) = neighbour.nbma else { return None };
                Some(Request::NeighAdd { ifindex: neighbour.ifindex, protocol: neighbour.protocol, nbma })
            }
            Output::NeighbourDelete { ifindex, protocol } if !own_neighbours => {
                Some(Request::NeighDelete { ifindex: *ifindex, protocol: *protocol })
            }
            Output::QueryGre { ifindex } => Some(Request::GreGet { ifindex: *ifindex }),
            _ => None,
        }
    }

    /// What a zebra that has just started has to be told and asked.
    pub(crate) fn everything(&self, table: Option<&ReleaseTable>, engine: &Engine) -> Vec<Request> {
        let gre = engine.gre_interfaces().map(|ifindex| Request::GreGet { ifindex });
        let arp = engine.running_interfaces().flat_map(|(ifindex, _, afi)| arp_requests(table, ifindex, afi));
        gre.chain(arp).chain(engine.routes().map(|route| self.route_request(&route, engine))).collect()
    }

    /// The engine's route as zebra wants it.
    pub(crate) fn route_request(&self, route: &Route, engine: &Engine) -> Request {
        // A peer's own host route leads to the interface itself; everything else is a shortcut.
        let shortcut = !matches!(route.nexthop, Nexthop::Interface { .. });
        let yielding = (shortcut && self.protocols && !route.overrides).then_some(YIELDING);
        let nexthop = match route.nexthop {
            Nexthop::Interface { ifindex } => RouteNexthop::Interface { ifindex },
            Nexthop::Gateway { address, ifindex } => {
                RouteNexthop::Gateway { addr: address, ifindex: Some(ifindex) }
            }
            Nexthop::Reject => RouteNexthop::Blackhole,
        };
        // Else zebra resolves the gateway by the route to the peer that was announced a moment before: if that is not in
        // the kernel yet, the route stays inactive, and up to 9.0 it does so for ever. Of IPv4 gateways on an interface with
        // nothing but a host prefix zebra finds out itself that they need no resolving.
        let onlink = match route.nexthop {
            Nexthop::Gateway { address: IpAddr::V6(_), .. } => true,
            Nexthop::Gateway { ifindex, .. } => engine.has_ipv4_network(ifindex),
            Nexthop::Interface { .. } | Nexthop::Reject => false,
        };
        Request::RouteAdd(nhrp_zapi::Route {
            mtu: route.mtu,
            onlink,
            fib_override: route.overrides,
            distance: self.distance.or(yielding),
            tag: self.tag,
            ..nhrp_zapi::Route::new(route.prefix, nexthop)
        })
    }
}

/// The family as zebra numbers it.
fn zebra_afi(afi: Afi) -> nhrp_zapi::Afi {
    match afi {
        Afi::Ip => nhrp_zapi::Afi::Ip,
        Afi::Ipv6 => nhrp_zapi::Afi::Ip6,
    }
}
