//! Commands that FRR does not have: what FRR's tables do not tell, clearing of some entries, and the daemon's own file.
//! vtysh passes none of them on; they are for `nhrpctl` and telnet. A line that could be FRR's is never taken for one.

use ipnet::IpNet;
use nhrp_config::Afi;

use super::{BELOW_ENABLE, ENABLE, VIEW, command};
use crate::grammar::args::Args;
use crate::grammar::{Action, Build, Entry};
use crate::{ClearTarget, Command, DetailTable, Selected, Show, WriteTarget};

const fn own(nodes: u8, syntax: &'static str, build: Build) -> Entry {
    Entry { nodes, syntax, build, hidden: false, own: true }
}

pub(super) const COMMANDS: &[Entry] = &[
    own(VIEW, "show <ip|ipv6>$afi nhrp <cache|nhs|peer|shortcut>$table detail [json]", |args| {
        let table = match args.get("table")? {
            "cache" => DetailTable::Cache,
            "nhs" => DetailTable::Nhs,
            "peer" => DetailTable::Peer,
            _ => DetailTable::Shortcut,
        };
        command(Command::Show(Show::Detail { afi: args.afi()?, table, json: args.has("json") }))
    }),
    own(VIEW, "show <ip|ipv6> nhrp statistics [json]", |args| {
        command(Command::Show(Show::Statistics { json: args.has("json") }))
    }),
    own(
        ENABLE,
        "clear <ip|ipv6>$afi nhrp <cache|shortcut>$table <A.B.C.D|A.B.C.D/M|X:X::X:X|X:X::X:X/M>$prefix",
        clear,
    ),
    own(ENABLE, "clear <ip|ipv6>$afi nhrp <cache|shortcut>$table peer <A.B.C.D|X:X::X:X>$peer", clear),
    own(ENABLE, "clear <ip|ipv6>$afi nhrp <cache|shortcut>$table interface IFNAME", clear),
    own(ENABLE, "clear <ip|ipv6> nhrp counters", |_| command(Command::ClearCounters)),
    own(ENABLE | BELOW_ENABLE, "write extra", |_| command(Command::Write(WriteTarget::Extra))),
    own(ENABLE | BELOW_ENABLE, "show running-config extra", |_| command(Command::Show(Show::ExtraConfig))),
];

fn clear(args: &Args<'_>) -> Option<Action> {
    let target = if args.get("table")? == "cache" { ClearTarget::Cache } else { ClearTarget::Shortcut };
    let afi = args.afi()?;
    let selected = if let Some(prefix) = args.get("prefix") {
        let host = args.address("prefix").map(IpNet::from);
        let prefix = prefix.parse().ok().or(host)?;
        Selected::Prefix(Some(prefix).filter(|p| p.addr().is_ipv4() == (afi == Afi::Ip))?)
    } else if args.has("peer") {
        // An NBMA address may be of another family.
        Selected::Peer(args.address("peer")?)
    } else {
        Selected::Interface(args.text("IFNAME")?)
    };
    command(Command::ClearSelected(afi, target, selected))
}
