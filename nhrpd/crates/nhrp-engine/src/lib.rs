//! The NHRP protocol as a deterministic state machine: no socket, clock, task or file.
//!
//! The caller feeds [`Input`]s with the time at which they happened, then fetches [`Output`]s until there are none,
//! and sees to it that [`Input::DeadlineReached`] comes no later than [`Engine::next_deadline`].
//!
//! ```
//! use nhrp_engine::{Engine, Input, Instant, Limits};
//! let mut engine = Engine::new([7; 32], Limits::default());
//! engine.handle(Instant::ZERO, Input::DeadlineReached);
//! while let Some(output) = engine.poll_output() {
//!     println!("{output:?}");
//! }
//! ```

mod audit;
mod authorise;
mod cache;
mod census;
mod clear;
mod engine;
mod errors;
mod follow;
mod forward;
mod hex;
mod identity;
mod ids;
mod indication;
mod interface;
mod io;
mod multicast;
mod next_hop;
mod nhs;
mod notice;
mod offload;
mod packets;
mod prefix_table;
mod protection;
mod purge;
mod registration;
mod resolution;
mod route_changes;
mod routing;
mod server;
mod shortcut;
mod standing;
mod stats;
mod time;
mod timers;
mod underlay;
mod unique;
mod view;

pub use authorise::Authorisation;
pub use cache::{CacheType, Origin};
pub use census::Census;
pub use engine::{Engine, Limits};
pub use follow::{Change, What};
pub use io::{
    ClearTable, ClearWhat, Input, Link, Neighbour, NeighbourEvent, NeighbourState, Nexthop, Output, Route,
    Selection,
};
pub use notice::{Level, Notice, Topic, packet_type_name};
pub use standing::{
    InterfaceStanding, Refusal, ServerStanding, ServerState, ShortcutStanding, ShortcutState,
};
pub use stats::Stats;
pub use time::Instant;
pub use view::{CacheView, NhsView, ShortcutView};
