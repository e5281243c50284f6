//! The API of the FRR zebra daemon (ZAPI), releases 8.4 to 10.7, as nhrpd uses it.
//!
//! Owns everything between a Unix socket and typed values: the numbers and layouts of each release
//! ([`ReleaseTable`]), framing and codec ([`Message`], [`Request`]), the session with its probe of the release
//! ([`Session`], no socket, no clock) and the tokio adapter ([`ZebraClient`]). Never decides what a route or a
//! neighbour means: that is the daemon's business.
//!
//! ZAPI has no version negotiation worth the name: the header says version 6 in every release while command
//! numbers, route types and bodies move. A wrong guess is not rejected by zebra but read as another command, so
//! nothing but a HELLO is sent before zebra's answer has proved which epoch it speaks.
//!
//! ```no_run
//! # async fn daemon() {
//! use nhrp_zapi::{Event, Options, Request, Route, RouteNexthop, ZebraClient};
//!
//! let mut zebra = ZebraClient::new(Options::new("/var/run/frr/zserv.api"));
//! loop {
//!     tokio::select! {
//!         event = zebra.next() => match event {
//!             Event::Connected { .. } => {
//!                 let peer = "172.16.0.2/32".parse().unwrap();
//!                 zebra.send(Request::RouteAdd(Route::new(peer, RouteNexthop::Interface { ifindex: 6 })));
//!             }
//!             other => println!("{other:?}"),
//!         },
//!         // ... the daemon's other inputs
//!     }
//! }
//! # }
//! ```
//!
//! # Where it differs from FRR's nhrpd on the wire
#![doc = include_str!("../differences.md")]
//!
//! # Adding a release
//!
//! Compare its command numbers with the last column of the table in `table.rs`. If one that is listed there moved, or
//! a body changed, it begins a new [`Epoch`]: a row in `release.rs`, a column or a switch in `table.rs`, a captured
//! conversation in `tests/data`.

mod buffer;
mod client;
mod encode;
mod error;
mod event;
mod frame;
mod message;
mod release;
mod request;
mod route;
mod running;
mod session;
mod statistics;
mod table;
mod types;

pub use client::{Backoff, Options, ZebraClient};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use event::{DisconnectReason, Event, ZebraError};
pub use frame::{FrameBuffer, FrameError, Header, MAX_REQUEST};
pub use message::{Decoded, Message};
pub use release::{Epoch, Release, ReleaseError, release_in_text};
pub use request::Request;
pub use route::{RedistributedRoute, RibNexthop, Route, RouteNexthop, WithdrawnRoute};
pub use running::RunningFrr;
pub use session::{Session, SessionError};
pub use statistics::Statistics;
pub use table::{Command, ReleaseTable};
pub use types::{
    Afi, Capabilities, Gre, Interface, InterfaceAddress, InterfaceChange, InterfaceFlags, InterfaceRef,
    LinkType, Neighbour, NeighbourKind, NeighbourState, RouterId, VRF_DEFAULT, Vrf, VrfBackend,
};
