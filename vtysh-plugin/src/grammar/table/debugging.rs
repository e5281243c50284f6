//! `debug …` and `show debugging`.

use nhrp_config::{DebugTopics, Edit};

use super::{CONFIG, ENABLE, command, entry, hidden};
use crate::grammar::args::Args;
use crate::grammar::{Action, Entry};
use crate::{Command, LibraryEdit, Show};

const BOTH: u8 = ENABLE | CONFIG;

pub(super) const COMMANDS: &[Entry] = &[
    entry(ENABLE, "show debugging [nhrp]", |_| command(Command::Show(Show::Debugging))),
    entry(ENABLE, "show debugging hashtable [statistics]", |_| command(Command::Show(Show::Hashtables))),
    entry(BOTH, "debug nhrp <all|common|event|interface|kernel|route|vici>$topic", debug),
    entry(BOTH, "no debug nhrp <all|common|event|interface|kernel|route|vici>$topic", debug),
    entry(BOTH, "[no] debug all$topic", debug),
    entry(BOTH, "[no] debug memstats-at-exit", |args| {
        command(Command::Library(LibraryEdit::MemstatsAtExit(args.is_set())))
    }),
    // Debug switches of FRR's library for parts that do not exist here.
    entry(BOTH, "[no] debug vrf", |_| Some(Action::Ignore)),
    entry(BOTH, "[no] debug resolver", |_| Some(Action::Ignore)),
    entry(
        BOTH,
        "[no] debug northbound [<callbacks [{configuration|state|rpc|notify}]|notifications|events|libyang>]",
        |_| Some(Action::Ignore),
    ),
    hidden(BOTH, "[no] debug mgmt <backend|client> [LINE...]", |_| Some(Action::Ignore)),
];

fn debug(args: &Args<'_>) -> Option<Action> {
    let bits = match args.get("topic")? {
        "all" => DebugTopics::ALL,
        "common" => DebugTopics::COMMON,
        "event" => DebugTopics::EVENT,
        "interface" => DebugTopics::INTERFACE,
        "kernel" => DebugTopics::KERNEL,
        "route" => DebugTopics::ROUTE,
        "vici" => DebugTopics::VICI,
        _ => return None,
    };
    command(Command::Edit(Edit::Debug { bits, on: args.is_set() }))
}
