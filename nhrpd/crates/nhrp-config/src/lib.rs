//! The one typed configuration of nhrpd. Every door (vty line, file, later YANG) edits it; the running
//! configuration is always this, rendered, never remembered text.

mod edit;
mod interface;
mod model;
mod render;

pub use edit::{Edit, EditError, InterfaceEdit};
pub use interface::{
    AddressFamilySettings, Afi, DEFAULT_HOLDTIME, InterfaceConfig, MapTarget, Mtu, MulticastTarget,
    NhsConfig, NhsProtocol, TunnelProtection,
};
pub use model::{Config, DebugTopics};
