//! Networks of NHRP engines in virtual time.
//!
//! A [`Network`] owns nodes (each an [`nhrp_engine::Engine`] with a pretended kernel), the transport network between
//! them and a clock that jumps from event to event, so that hours pass in milliseconds and the same seed gives the
//! same run. Whether a data packet takes the direct way is decided by the routes and neighbours that the engines had
//! written, never by asking an engine.
//!
//! It never opens a socket, starts a thread or reads a clock.
//!
//! ```
//! use std::time::Duration;
//! use sim::{Network, Router};
//!
//! let mut net = Network::new(1);
//! let hub = net.add_router(Router::hub(1));
//! let spoke = net.add_router(Router::spoke(2, 1));
//! net.run_for(Duration::from_millis(100));
//! assert!(net.trace(spoke, "10.2.0.5", "10.1.0.5").delivered());
//! assert!(net.node(hub).engine.stats().registrations_served > 0);
//! ```
// A simulator is a test tool: a node that does not exist is a mistake in the test, and it shall stop there.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod bindings;
mod kernel;
mod network;
mod node;
mod router;
mod seeds;
pub mod shorthand;
mod trace;
mod turmoil;
mod watch;

pub use kernel::{Fib, Hop};
pub use network::{Conditions, Frame, Network, NodeId, Saboteur};
pub use node::{Node, Tunnel};
pub use router::Router;
pub use seeds::for_each_seed;
pub use trace::Trace;
pub use turmoil::{Incident, Turmoil};
pub use watch::{Heard, Rule, Violation};
