//! Commands that move a session between nodes.

use super::{ALL, BELOW_ENABLE, CONFIG, ENABLE, INTERFACE, VIEW, VRF, entry};
use crate::grammar::{Action, Entry};

pub(super) const COMMANDS: &[Entry] = &[
    entry(VIEW, "enable", |_| Some(Action::Enable)),
    entry(ENABLE, "disable", |_| Some(Action::Disable)),
    entry(ENABLE, "configure [terminal [file-lock]]", |args| {
        Some(if args.has("file-lock") { Action::ConfigureFile } else { Action::Configure })
    }),
    entry(ALL, "exit", |_| Some(Action::Exit)),
    entry(ALL, "quit", |_| Some(Action::Exit)),
    entry(ENABLE | BELOW_ENABLE, "end", |_| Some(Action::End)),
    entry(ALL, "list [permutations]", |_| Some(Action::List)),
    entry(ALL, "find REGEX...$regex", |args| Some(Action::Find(args.text("regex")?))),
    entry(ALL, "help", |_| Some(Action::Help)),
    // Only the default VRF is known here; the name is accepted because vtysh forwards it.
    entry(CONFIG | INTERFACE, "interface IFNAME [vrf NAME]", |args| {
        Some(Action::EnterInterface(args.text("IFNAME")?))
    }),
    entry(CONFIG | VRF, "vrf NAME", |args| Some(Action::EnterVrf(args.text("NAME")?))),
    entry(VRF, "exit-vrf", |_| Some(Action::Exit)),
    entry(CONFIG, "line vty", |_| Some(Action::EnterLine)),
];
