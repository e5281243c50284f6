//! One machine: an engine, its pretended kernel, and what it said.

use std::net::IpAddr;

use nhrp_engine::{Engine, Instant, Neighbour, Notice, Output};

use crate::kernel::Fib;
use crate::router::Router;

/// An interface through which a node reaches the transport network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Interface index.
    pub ifindex: u32,
    /// GRE key: packets arrive at the tunnel with the same one.
    pub key: u32,
    /// Own address in the transport network.
    pub nbma: IpAddr,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// The engine, to be asked for its views and counters.
    pub engine: Engine,
    /// What the engine and others wrote into the kernel.
    pub fib: Fib,
    /// Tunnels.
    pub tunnels: Vec<Tunnel>,
    /// Source address after translation; none if there is no NAT in front of the node.
    pub nat: Option<IpAddr>,
    /// Connected to the transport network.
    pub online: bool,
    /// Notices with their time.
    pub notices: Vec<(Instant, Notice)>,
    /// Outputs that neither kernel nor network nor resolver took: `Cleared`, `Enable`, `QueryGre`, `BindGre`.
    pub others: Vec<(Instant, Output)>,
    /// How it was built, for a restart.
    pub router: Router,
}

impl Node {
    /// Address by which others reach this node.
    #[must_use]
    pub fn public(&self, own: IpAddr) -> IpAddr {
        self.nat.unwrap_or(own)
    }

    /// The same number of routes and neighbours in the engine's view as in the kernel, and the same ones.
    ///
    /// # Panics
    /// If they differ: the engine's accounts and its outputs contradict each other.
    pub fn assert_consistent(&self) {
        if let Err(difference) = self.consistent() {
            panic!("{difference}");
        }
    }

    /// The same as a question.
    pub(crate) fn consistent(&self) -> Result<(), String> {
        let mut wanted: Vec<_> = self.engine.routes().collect();
        wanted.sort_by_key(|r| r.prefix);
        if !wanted.iter().eq(self.fib.nhrp.values()) {
            let there: Vec<_> = self.fib.nhrp.values().collect();
            return Err(format!("routes in the engine's view {wanted:?} and in zebra {there:?}"));
        }
        let short = |n: &Neighbour| (n.ifindex, n.protocol, n.nbma);
        let mut wanted: Vec<_> = self.engine.neighbours().map(|n| short(&n)).collect();
        wanted.sort_unstable();
        let there: Vec<_> = self.fib.neighbours.values().map(short).collect();
        if wanted != there {
            return Err(format!("neighbours in the engine's view {wanted:?} and in the kernel {there:?}"));
        }
        Ok(())
    }
}
