//! `show debugging` and the answers of `clear`.

use std::fmt::Write;

use nhrp_config::DebugTopics;

use crate::Reply;

/// `show debugging`: one line for every topic that is on, in FRR's order.
#[must_use]
pub fn debugging(topics: DebugTopics) -> Reply {
    let names = [
        (DebugTopics::COMMON, "common"),
        (DebugTopics::INTERFACE, "interface"),
        (DebugTopics::KERNEL, "kernel"),
        (DebugTopics::ROUTE, "route"),
        (DebugTopics::VICI, "vici"),
        (DebugTopics::EVENT, "event"),
    ];
    let mut out = String::from("NHRP debugging status:\n");
    for (_, name) in names.iter().filter(|(bit, _)| topics.0 & bit != 0) {
        let _ = writeln!(out, "  NHRP {name} debugging is on");
    }
    Reply::text(out)
}

/// `clear <ip|ipv6> nhrp …`
#[must_use]
pub fn cleared(entries: usize) -> Reply {
    if entries == 0 {
        Reply::warning("% No entries")
    } else {
        Reply::text(format!("% {entries} entries cleared\n"))
    }
}
