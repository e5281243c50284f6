//! The YANG model of nhrpd: the modules, which are part of the program, data trees over them, and what they mean.
//!
//! This is the only place that calls libyang ([`Tree`]): nothing that came from a client reaches it unchecked, and its
//! words for an error are used only where they are known to belong to it. What the data mean is [`document`] for the
//! configuration, [`state`] for what is known at present and [`operation`] for actions. Nothing here knows a datastore,
//! a candidate or a socket.

#[cfg(feature = "libyang")]
pub mod document;
#[cfg(feature = "libyang")]
mod modules;
#[cfg(feature = "libyang")]
pub mod operation;
#[cfg(feature = "libyang")]
pub mod state;
#[cfg(feature = "libyang")]
mod tree;

#[cfg(feature = "libyang")]
pub use document::{DocumentError, config_of, document_of};
#[cfg(feature = "libyang")]
pub use modules::{ModuleInfo, SERVED, Schema, SchemaError};
#[cfg(feature = "libyang")]
pub use operation::{ClearTable, Operation, Which};
#[cfg(feature = "libyang")]
pub use tree::{Format, MAX_PATH, Tree, TreeError, WithDefaults};
