//! IPsec between NHRP peers through strongSwan's IKE daemon, charon, over its VICI socket.
//!
//! From the wire up:
//!
//! - [`message`] and [`packet`] are the codec of VICI, without I/O and bounded;
//! - [`settings`] reads `swanctl.conf`, [`template`] makes of a profile in it the connection to one peer;
//! - [`sa`] reads what charon tells of security associations;
//! - [`backend`] decides: which peers need an SA, what charon is to do for it, what became of it. No I/O, no clock;
//! - [`client`] carries the backend's packets over the sockets, within the owner's event loop.
//!
//! Nothing here knows NHRP. A peer is a pair of addresses and the name of a profile. What keeps packets from leaving in
//! clear is not here either: the kernel's policies are, and they do not depend on charon.

pub mod backend;
pub mod client;
pub mod message;
pub mod packet;
pub mod sa;
pub mod settings;
pub mod template;

pub use backend::{Backend, Event, Mode, Pair, PeerStatus, Profiles, Status};
pub use client::{Charon, Options};
