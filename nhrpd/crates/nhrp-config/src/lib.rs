//! The one typed configuration of nhrpd. Every door (vty line, file, later YANG) edits it; the running
//! configuration is always this, rendered, never remembered text.
//!
//! [`Config`] is a value: [`Config::apply`] changes it by one [`Edit`] or leaves it alone, [`Config::diff`] says which
//! edits turn one into another, [`Config::render`] prints it as FRR does. Nothing here reads a file or knows a socket.

mod apply;
mod diff;
mod edit;
mod interface;
mod model;
mod order;
mod render;

pub use edit::{Edit, EditError, InterfaceEdit};
pub use interface::{
    AddressFamilySettings, Afi, DEFAULT_HOLDTIME, InterfaceConfig, MapTarget, Mtu, MulticastTarget,
    NhsConfig, NhsProtocol, TunnelProtection, Uniqueness,
};
pub use model::{Config, DebugTopics};
pub use order::compare_interface_names;
pub use render::{AuthenticationForm, RenderOptions, View, Vocabulary};
