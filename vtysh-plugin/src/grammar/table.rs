//! The command table. Owns which command exists in which node and the order of `list`.

mod debugging;
mod library;
mod lists;
mod movement;
mod nhrp;
mod operation;
mod own;

use super::{Action, Build, Command, Entry, NodeKind};

/// VIEW commands work in ENABLE, too.
const VIEW: u8 = NodeKind::View as u8 | NodeKind::Enable as u8;
const ENABLE: u8 = NodeKind::Enable as u8;
const CONFIG: u8 = NodeKind::Config as u8;
const INTERFACE: u8 = NodeKind::Interface as u8;
const VRF: u8 = NodeKind::Vrf as u8;
const LINE: u8 = NodeKind::Line as u8;
const BELOW_ENABLE: u8 = CONFIG | INTERFACE | VRF | LINE;
const ALL: u8 = VIEW | BELOW_ENABLE;

const fn entry(nodes: u8, syntax: &'static str, build: Build) -> Entry {
    Entry { nodes, syntax, build, hidden: false, own: false }
}

const fn hidden(nodes: u8, syntax: &'static str, build: Build) -> Entry {
    Entry { nodes, syntax, build, hidden: true, own: false }
}

/// Shorthand for builders.
fn command(command: Command) -> Option<Action> {
    Some(Action::Command(command))
}

/// Every command.
pub(super) fn all() -> impl Iterator<Item = &'static Entry> {
    [
        movement::COMMANDS,
        operation::COMMANDS,
        debugging::COMMANDS,
        library::COMMANDS,
        lists::COMMANDS,
        nhrp::COMMANDS,
        own::COMMANDS,
    ]
    .into_iter()
    .flatten()
}
