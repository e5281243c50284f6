//! Access and prefix lists: kept and printed back, used by nothing here.

use super::{CONFIG, command, entry};
use crate::grammar::args::Args;
use crate::grammar::{Action, Entry};
use crate::{Command, LibraryEdit, ListEdit, ListFamily};

pub(super) const COMMANDS: &[Entry] = &[
    entry(
        CONFIG,
        "[no] access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <[host] A.B.C.D|A.B.C.D A.B.C.D>",
        |args| rule(args, ListFamily::Access),
    ),
    entry(
        CONFIG,
        "[no] access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule ip <A.B.C.D A.B.C.D|host A.B.C.D|any> <A.B.C.D A.B.C.D|host A.B.C.D|any>",
        |args| rule(args, ListFamily::Access),
    ),
    entry(
        CONFIG,
        "[no] access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <A.B.C.D/M [exact-match]|any>",
        |args| rule(args, ListFamily::Access),
    ),
    entry(CONFIG, "no access-list WORD$name", |args| list(args, ListFamily::Access, ListEdit::Delete)),
    entry(CONFIG, "access-list WORD$name remark LINE...$text", |args| remark(args, ListFamily::Access)),
    entry(CONFIG, "no access-list WORD$name remark [LINE...]", |args| remark(args, ListFamily::Access)),
    entry(
        CONFIG,
        "[no] ipv6 access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <X:X::X:X/M [exact-match]|any>",
        |args| rule(args, ListFamily::AccessIpv6),
    ),
    // Hosts, masks and destinations since 10.7.
    entry(
        CONFIG,
        "[no] ipv6 access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <X:X::X:X X:X::X:X|[host] X:X::X:X>",
        |args| rule(args, ListFamily::AccessIpv6),
    ),
    entry(
        CONFIG,
        "[no] ipv6 access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule ipv6 <X:X::X:X X:X::X:X|host X:X::X:X|any> <X:X::X:X X:X::X:X|host X:X::X:X|any>",
        |args| rule(args, ListFamily::AccessIpv6),
    ),
    entry(CONFIG, "no ipv6 access-list WORD$name", |args| {
        list(args, ListFamily::AccessIpv6, ListEdit::Delete)
    }),
    entry(CONFIG, "ipv6 access-list WORD$name remark LINE...$text", |args| {
        remark(args, ListFamily::AccessIpv6)
    }),
    entry(CONFIG, "no ipv6 access-list WORD$name remark [LINE...]", |args| {
        remark(args, ListFamily::AccessIpv6)
    }),
    entry(
        CONFIG,
        "[no] mac access-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <X:X:X:X:X:X|any>",
        |args| rule(args, ListFamily::AccessMac),
    ),
    entry(CONFIG, "no mac access-list WORD$name", |args| list(args, ListFamily::AccessMac, ListEdit::Delete)),
    entry(CONFIG, "mac access-list WORD$name remark LINE...$text", |args| {
        remark(args, ListFamily::AccessMac)
    }),
    entry(CONFIG, "no mac access-list WORD$name remark [LINE...]", |args| {
        remark(args, ListFamily::AccessMac)
    }),
    entry(
        CONFIG,
        "[no] ip prefix-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <any|A.B.C.D/M [{ge (0-32)$ge|le (0-32)$le}]>",
        |args| rule(args, ListFamily::Prefix),
    ),
    entry(CONFIG, "no ip prefix-list WORD$name seq (1-4294967295)$seq", |args| {
        rule(args, ListFamily::Prefix)
    }),
    entry(CONFIG, "no ip prefix-list WORD$name", |args| list(args, ListFamily::Prefix, ListEdit::Delete)),
    entry(CONFIG, "ip prefix-list WORD$name description LINE...$text", |args| {
        remark(args, ListFamily::Prefix)
    }),
    entry(CONFIG, "no ip prefix-list WORD$name description [LINE...]", |args| {
        remark(args, ListFamily::Prefix)
    }),
    entry(
        CONFIG,
        "[no] ipv6 prefix-list WORD$name [seq (1-4294967295)$seq] <deny|permit>$rule <any|X:X::X:X/M [{ge (0-128)$ge|le (0-128)$le}]>",
        |args| rule(args, ListFamily::PrefixIpv6),
    ),
    entry(CONFIG, "no ipv6 prefix-list WORD$name seq (1-4294967295)$seq", |args| {
        rule(args, ListFamily::PrefixIpv6)
    }),
    entry(CONFIG, "no ipv6 prefix-list WORD$name", |args| {
        list(args, ListFamily::PrefixIpv6, ListEdit::Delete)
    }),
    entry(CONFIG, "ipv6 prefix-list WORD$name description LINE...$text", |args| {
        remark(args, ListFamily::PrefixIpv6)
    }),
    entry(CONFIG, "no ipv6 prefix-list WORD$name description [LINE...]", |args| {
        remark(args, ListFamily::PrefixIpv6)
    }),
];

fn list(args: &Args<'_>, family: ListFamily, edit: ListEdit) -> Option<Action> {
    let name = args.text("name")?;
    command(Command::Library(LibraryEdit::List { family, name, edit }))
}

fn remark(args: &Args<'_>, family: ListFamily) -> Option<Action> {
    list(args, family, ListEdit::Remark(args.text("text").filter(|_| args.is_set())))
}

fn rule(args: &Args<'_>, family: ListFamily) -> Option<Action> {
    let seq = args.number("seq");
    let mut rule = args.words_from("rule");
    // Typed in any order, printed in one.
    if let (Some(ge), Some(le)) = (args.get("ge"), args.get("le")) {
        let head: Vec<&str> = rule.split(' ').take(2).collect();
        rule = format!("{} ge {ge} le {le}", head.join(" "));
    }
    let rule = normalised(family, &rule);
    let edit = if args.is_set() { ListEdit::Add { seq, rule } } else { ListEdit::Remove { seq, rule } };
    list(args, family, edit)
}

/// As FRR prints it: prefixes without host bits, and no `host` where only a host can stand.
fn normalised(family: ListFamily, rule: &str) -> String {
    let words = rule.split(' ').enumerate().filter_map(|(index, word)| {
        let standard = matches!(family, ListFamily::Access | ListFamily::AccessIpv6);
        if standard && index == 1 && word == "host" {
            return None;
        }
        let prefix = word.contains('/').then(|| word.parse::<ipnet::IpNet>().ok()).flatten();
        Some(prefix.map_or_else(|| word.to_owned(), |prefix| prefix.trunc().to_string()))
    });
    words.collect::<Vec<_>>().join(" ")
}
