//! A node's pretended kernel and zebra: routes from elsewhere, routes and neighbours that the engine wrote. Decides
//! where a data packet goes next; never knows why a route is there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_engine::{Neighbour, Nexthop, Output, Route};

/// First next hop of a route that is not the engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Next router; none for connected networks.
    pub gateway: Option<IpAddr>,
    /// Interface.
    pub ifindex: u32,
}

/// The forwarding tables of one node.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    /// Static and connected routes. At equal length they beat the engine's (FRR: distance 0 and 1 against 10), unless
    /// that overrides them.
    pub routes: BTreeMap<IpNet, Hop>,
    /// Routes that the engine wrote.
    pub nhrp: BTreeMap<IpNet, Route>,
    /// Neighbours that the engine wrote, by interface and overlay address.
    pub neighbours: BTreeMap<(u32, IpAddr), Neighbour>,
    /// Deletions of something that was not there: the engine lost count.
    pub vain_deletions: usize,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To this neighbour on this interface.
    Out { ifindex: u32, neighbour: IpAddr },
    /// Nowhere.
    Drop,
}

impl Fib {
    /// Carries out what the engine asked for; false if the output is none of the kernel's business.
    pub(crate) fn apply(&mut self, output: &Output) -> bool {
        match output {
            Output::RouteAdd(route) => {
                self.nhrp.insert(route.prefix, route.clone());
            }
            Output::RouteDelete { prefix } => {
                self.vain_deletions += usize::from(self.nhrp.remove(prefix).is_none());
            }
            Output::NeighbourSet(neighbour) => {
                self.neighbours.insert((neighbour.ifindex, neighbour.protocol), *neighbour);
            }
            Output::NeighbourDelete { ifindex, protocol } => {
                self.vain_deletions += usize::from(self.neighbours.remove(&(*ifindex, *protocol)).is_none());
            }
            _ => return false,
        }
        true
    }

    pub(crate) fn forward(&self, to: IpAddr) -> Verdict {
        let (foreign, own) = (longest(&self.routes, to), longest(&self.nhrp, to));
        match (foreign, own) {
            (Some((fp, hop)), Some((op, route)))
                if fp.prefix_len() > op.prefix_len()
                    || (fp.prefix_len() == op.prefix_len() && !route.overrides) =>
            {
                via(hop, to)
            }
            (_, Some((_, route))) => match route.nexthop {
                Nexthop::Interface { ifindex } => Verdict::Out { ifindex, neighbour: to },
                Nexthop::Gateway { address, ifindex } => Verdict::Out { ifindex, neighbour: address },
                Nexthop::Reject => Verdict::Drop,
            },
            (Some((_, hop)), None) => via(hop, to),
            (None, None) => Verdict::Drop,
        }
    }
}

/// Longest match.
fn longest<T>(table: &BTreeMap<IpNet, T>, to: IpAddr) -> Option<(IpNet, &T)> {
    let lengths = (0..=IpNet::from(to).max_prefix_len()).rev();
    let prefixes = lengths.filter_map(|length| IpNet::new(to, length).ok().map(|p| p.trunc()));
    prefixes.into_iter().find_map(|prefix| table.get(&prefix).map(|value| (prefix, value)))
}

fn via(hop: &Hop, to: IpAddr) -> Verdict {
    Verdict::Out { ifindex: hop.ifindex, neighbour: hop.gateway.unwrap_or(to) }
}
