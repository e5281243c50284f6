//! NHRP's own commands: FRR 10.3's, with `priority` and `map multicast nhs` of the development branch, and with every
//! `no` form that a printed line can be turned into.

use ipnet::IpNet;
use nhrp_config::{
    Afi, DEFAULT_HOLDTIME, Edit, InterfaceEdit, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol,
    TunnelProtection, Uniqueness,
};

use super::{CONFIG, ENABLE, INTERFACE, VIEW, command, entry};
use crate::grammar::args::Args;
use crate::grammar::{Action, Entry};
use crate::{ClearTarget, Command, NhrpTable, Show};

pub(super) const COMMANDS: &[Entry] = &[
    entry(VIEW, "show <ip|ipv6>$afi nhrp [cache|nhs|shortcut|opennhrp]$table [json]", show_nhrp),
    entry(VIEW, "show dmvpn [json]", |args| command(Command::Show(Show::Dmvpn { json: args.has("json") }))),
    entry(VIEW, "show nhrp ipsec [json]", |args| {
        command(Command::Show(Show::Ipsec { json: args.has("json") }))
    }),
    entry(ENABLE, "clear <ip|ipv6>$afi nhrp <cache|shortcut>$table", clear),
    entry(CONFIG, "nhrp event socket SOCKET", |args| edit(Edit::EventSocket(Some(args.text("SOCKET")?)))),
    entry(CONFIG, "no nhrp event socket [SOCKET]", |_| edit(Edit::EventSocket(None))),
    entry(CONFIG, "nhrp nflog-group (1-65535)$group", |args| {
        edit(Edit::NflogGroup(Some(args.number("group")?)))
    }),
    entry(CONFIG, "no nhrp nflog-group [(1-65535)]", |_| edit(Edit::NflogGroup(None))),
    entry(CONFIG, "nhrp multicast-nflog-group (1-65535)$group", |args| {
        edit(Edit::MulticastNflogGroup(Some(args.number("group")?)))
    }),
    entry(CONFIG, "no nhrp multicast-nflog-group [(1-65535)]", |_| edit(Edit::MulticastNflogGroup(None))),
    entry(CONFIG, "no interface IFNAME [vrf NAME]", |args| edit(Edit::DeleteInterface(args.text("IFNAME")?))),
    entry(INTERFACE, "description LINE...$text", |args| {
        args.interface_edit(InterfaceEdit::Description(Some(args.text("text")?)))
    }),
    entry(INTERFACE, "no description [LINE...]", |args| {
        args.interface_edit(InterfaceEdit::Description(None))
    }),
    entry(INTERFACE, "tunnel protection vici profile PROFILE [fallback-profile FALLBACK]", |args| {
        let protection = TunnelProtection { profile: args.text("PROFILE")?, fallback: args.text("FALLBACK") };
        args.interface_edit(InterfaceEdit::Protection(Some(protection)))
    }),
    entry(INTERFACE, "no tunnel protection [vici profile PROFILE [fallback-profile FALLBACK]]", |args| {
        args.interface_edit(InterfaceEdit::Protection(None))
    }),
    entry(INTERFACE, "tunnel source INTERFACE", |args| {
        args.interface_edit(InterfaceEdit::TunnelSource(Some(args.text("INTERFACE")?)))
    }),
    entry(INTERFACE, "no tunnel source [INTERFACE]", |args| {
        args.interface_edit(InterfaceEdit::TunnelSource(None))
    }),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp network-id (1-4294967295)$id", |args| {
        args.interface_edit(InterfaceEdit::NetworkId(args.afi()?, args.number("id")?))
    }),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp network-id [(1-4294967295)]", |args| {
        args.interface_edit(InterfaceEdit::NetworkId(args.afi()?, 0))
    }),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp holdtime (1-65000)$seconds", |args| {
        args.interface_edit(InterfaceEdit::Holdtime(args.afi()?, args.number("seconds")?))
    }),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp holdtime [(1-65000)]", |args| {
        args.interface_edit(InterfaceEdit::Holdtime(args.afi()?, DEFAULT_HOLDTIME))
    }),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp authentication PASSWORD", |args| {
        args.interface_edit(InterfaceEdit::Authentication(args.afi()?, Some(args.text("PASSWORD")?)))
    }),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp authentication PASSWORD", |args| {
        args.interface_edit(InterfaceEdit::Authentication(args.afi()?, None))
    }),
    entry(INTERFACE, "ip nhrp mtu <(576-1500)|opennhrp>$mtu", |args| {
        let mtu = args.number("mtu").map_or(Mtu::OpenNhrp, Mtu::Octets);
        args.interface_edit(InterfaceEdit::Mtu(mtu))
    }),
    entry(INTERFACE, "no ip nhrp mtu [(576-1500)|opennhrp]", |args| {
        args.interface_edit(InterfaceEdit::Mtu(Mtu::Unset))
    }),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp <shortcut|redirect>$what", flag),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp <shortcut|redirect>$what", flag),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp registration no-unique", no_unique),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp registration no-unique", no_unique),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp registration unique <strict|replace>$policy", unique),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp registration unique [strict|replace]", unique),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp registration require-identity", require_identity),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp registration require-identity", require_identity),
    entry(
        INTERFACE,
        "<ip|ipv6>$afi nhrp registration identity <A.B.C.D/M|X:X::X:X/M>$prefix LINE...$identity",
        identity,
    ),
    entry(
        INTERFACE,
        "no <ip|ipv6>$afi nhrp registration identity <A.B.C.D/M|X:X::X:X/M>$prefix LINE...$identity",
        identity,
    ),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp map <A.B.C.D|X:X::X:X>$protocol <A.B.C.D|local>$nbma", |args| {
        let target = args.address("nbma").map_or(MapTarget::Local, MapTarget::Nbma);
        args.interface_edit(InterfaceEdit::Map(args.afi()?, args.address("protocol")?, target))
    }),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp map <A.B.C.D|X:X::X:X>$protocol [<A.B.C.D|local>]", |args| {
        args.interface_edit(InterfaceEdit::NoMap(args.afi()?, args.address("protocol")?))
    }),
    entry(INTERFACE, "<ip|ipv6>$afi nhrp map multicast <A.B.C.D|X:X::X:X|dynamic|nhs>$target", multicast),
    entry(INTERFACE, "no <ip|ipv6>$afi nhrp map multicast <A.B.C.D|X:X::X:X|dynamic|nhs>$target", multicast),
    entry(
        INTERFACE,
        "<ip|ipv6>$afi nhrp nhs <A.B.C.D|X:X::X:X|dynamic>$protocol nbma <A.B.C.D|FQDN>$nbma [priority (0-255)$priority]",
        nhs,
    ),
    entry(
        INTERFACE,
        "no <ip|ipv6>$afi nhrp nhs <A.B.C.D|X:X::X:X|dynamic>$protocol nbma <A.B.C.D|FQDN>$nbma [priority (0-255)$priority]",
        nhs,
    ),
];

fn edit(edit: Edit) -> Option<Action> {
    command(Command::Edit(edit))
}

fn show_nhrp(args: &Args<'_>) -> Option<Action> {
    let (afi, json) = (args.afi()?, args.has("json"));
    let table = match args.get("table") {
        Some("nhs") => NhrpTable::Nhs,
        Some("shortcut") => NhrpTable::Shortcut,
        Some("opennhrp") => NhrpTable::OpenNhrp,
        // FRR takes `json` for a table it does not know and ends up here.
        None if json => NhrpTable::OpenNhrp,
        _ => NhrpTable::Cache,
    };
    command(Command::Show(Show::Nhrp { afi, table, json }))
}

fn clear(args: &Args<'_>) -> Option<Action> {
    let target = if args.get("table")? == "cache" { ClearTarget::Cache } else { ClearTarget::Shortcut };
    command(Command::Clear(args.afi()?, target))
}

fn flag(args: &Args<'_>) -> Option<Action> {
    let make: fn(Afi, bool) -> InterfaceEdit =
        if args.get("what")? == "shortcut" { InterfaceEdit::Shortcut } else { InterfaceEdit::Redirect };
    args.interface_edit(make(args.afi()?, args.is_set()))
}

fn no_unique(args: &Args<'_>) -> Option<Action> {
    args.interface_edit(InterfaceEdit::NoUnique(args.afi()?, args.is_set()))
}

/// Of this daemon only: for its vty socket and its own file. vtysh does not pass on what it does not know.
fn unique(args: &Args<'_>) -> Option<Action> {
    let strict = args.is_set() && args.get("policy") == Some("strict");
    let policy = if strict { Uniqueness::Strict } else { Uniqueness::Replace };
    args.interface_edit(InterfaceEdit::Uniqueness(args.afi()?, policy))
}

/// Of this daemon only, as are those that follow.
fn require_identity(args: &Args<'_>) -> Option<Action> {
    args.interface_edit(InterfaceEdit::RequireIdentity(args.afi()?, args.is_set()))
}

fn identity(args: &Args<'_>) -> Option<Action> {
    let make: fn(Afi, IpNet, String) -> InterfaceEdit =
        if args.is_set() { InterfaceEdit::Identity } else { InterfaceEdit::NoIdentity };
    args.interface_edit(make(args.afi()?, args.get("prefix")?.parse().ok()?, args.text("identity")?))
}

fn multicast(args: &Args<'_>) -> Option<Action> {
    let target = match args.get("target")? {
        "dynamic" => MulticastTarget::Dynamic,
        "nhs" => MulticastTarget::Nhs,
        _ => MulticastTarget::Nbma(args.address("target")?),
    };
    let make: fn(Afi, MulticastTarget) -> InterfaceEdit =
        if args.is_set() { InterfaceEdit::Multicast } else { InterfaceEdit::NoMulticast };
    args.interface_edit(make(args.afi()?, target))
}

fn nhs(args: &Args<'_>) -> Option<Action> {
    let (afi, nbma) = (args.afi()?, args.text("nbma")?);
    let protocol = args.address("protocol").map_or(NhsProtocol::Dynamic, NhsProtocol::Address);
    if !args.is_set() {
        return args.interface_edit(InterfaceEdit::NoNhs(afi, protocol, nbma));
    }
    let priority = args.number("priority").unwrap_or(0);
    args.interface_edit(InterfaceEdit::Nhs(afi, NhsConfig { protocol, nbma, priority }))
}
