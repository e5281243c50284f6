//! What FRR's library configures in every daemon, except the lists.

use super::{CONFIG, ENABLE, LINE, command, entry, hidden};
use crate::grammar::args::Args;
use crate::grammar::{Action, Entry};
use crate::{Banner, Command, LibraryEdit, ListFamily, LogEdit, LogTarget};

const IGNORE: fn(&Args<'_>) -> Option<Action> = |_| Some(Action::Ignore);

pub(super) const COMMANDS: &[Entry] = &[
    entry(CONFIG, "frr version VERSION...", IGNORE),
    entry(CONFIG, "frr defaults PROFILE...$profile", |args| {
        library(LibraryEdit::Defaults(args.text("profile")?))
    }),
    entry(CONFIG, "hostname WORD$name", |args| library(LibraryEdit::Hostname(Some(args.text("name")?)))),
    entry(CONFIG, "no hostname [HOSTNAME]", |_| library(LibraryEdit::Hostname(None))),
    entry(CONFIG, "domainname WORD$name", |args| library(LibraryEdit::Domainname(Some(args.text("name")?)))),
    entry(CONFIG, "no domainname [DOMAINNAME]", |_| library(LibraryEdit::Domainname(None))),
    entry(CONFIG, "password [(8-8)$words] WORD$words", |args| {
        library(LibraryEdit::Password(Some(args.words_from("words"))))
    }),
    entry(CONFIG, "no password [LINE...]", |_| library(LibraryEdit::Password(None))),
    entry(CONFIG, "enable password [(8-8)$words] WORD$words", |args| {
        library(LibraryEdit::EnablePassword(Some(args.words_from("words"))))
    }),
    entry(CONFIG, "no enable password [LINE...]", |_| library(LibraryEdit::EnablePassword(None))),
    entry(CONFIG, "[no] service password-encryption", |args| {
        library(LibraryEdit::PasswordEncryption(args.is_set()))
    }),
    entry(CONFIG, "[no] service advanced-vty", |args| library(LibraryEdit::AdvancedVty(args.is_set()))),
    entry(CONFIG, "[no] service cputime-stats", |args| library(LibraryEdit::CpuTimeStats(args.is_set()))),
    entry(CONFIG, "service cputime-warning (1-4294967295)$ms", |args| {
        library(LibraryEdit::CpuTimeWarning(args.number("ms")?))
    }),
    entry(CONFIG, "no service cputime-warning [(1-4294967295)]", |_| library(LibraryEdit::CpuTimeWarning(0))),
    entry(CONFIG, "service walltime-warning (1-4294967295)$ms", |args| {
        library(LibraryEdit::WallTimeWarning(args.number("ms")?))
    }),
    entry(CONFIG, "no service walltime-warning [(1-4294967295)]", |_| {
        library(LibraryEdit::WallTimeWarning(0))
    }),
    entry(CONFIG, "service terminal-length (0-512)$lines", |args| {
        library(LibraryEdit::TerminalLength(Some(args.number("lines")?)))
    }),
    entry(CONFIG, "no service terminal-length [(0-512)]", |_| library(LibraryEdit::TerminalLength(None))),
    entry(CONFIG, "[no] allow-reserved-ranges", |args| {
        library(LibraryEdit::AllowReservedRanges(args.is_set()))
    }),
    entry(CONFIG, "banner motd default", |_| banner(Banner::Default)),
    entry(CONFIG, "banner motd file FILE", |args| banner(Banner::File(args.text("FILE")?))),
    entry(CONFIG, "banner motd line LINE...$text", |args| banner(Banner::Line(args.text("text")?))),
    entry(CONFIG, "no banner motd", |_| banner(Banner::None)),
    entry(CONFIG, "no vrf NAME", IGNORE),
    entry(CONFIG, "yang module-translator <load|unload> FILENAME", IGNORE),
    entry(CONFIG | ENABLE, "[no] debug unique-id UID backtrace", |_| Some(Action::NothingToDo)),
    entry(
        CONFIG,
        "log stdout [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level]",
        |args| on(args, LogTarget::Stdout),
    ),
    entry(CONFIG, "no log stdout [LEVEL]", |_| off(LogTarget::Stdout)),
    hidden(
        CONFIG,
        "log monitor [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level]",
        |args| on(args, LogTarget::Monitor),
    ),
    hidden(CONFIG, "no log monitor [LEVEL]", |_| off(LogTarget::Monitor)),
    entry(
        CONFIG,
        "log syslog [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level]",
        |args| on(args, LogTarget::Syslog),
    ),
    entry(
        CONFIG,
        "no log syslog [<kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|local0|local1|local2|local3|local4|local5|local6|local7>] [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>]",
        |_| off(LogTarget::Syslog),
    ),
    entry(
        CONFIG,
        "log file FILENAME [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level]",
        |args| on(args, LogTarget::File(args.text("FILENAME")?)),
    ),
    entry(CONFIG, "no log file [FILENAME [LEVEL]]", |args| {
        off(LogTarget::File(args.text("FILENAME").unwrap_or_default()))
    }),
    entry(
        CONFIG,
        "log filtered-file FILENAME [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level]",
        |args| on(args, LogTarget::FilteredFile(args.text("FILENAME")?)),
    ),
    entry(CONFIG, "no log filtered-file [FILENAME [LEVEL]]", |args| {
        off(LogTarget::FilteredFile(args.text("FILENAME").unwrap_or_default()))
    }),
    // Concerns this daemon only if it is the one named; the line of another one is none of ours to print.
    entry(
        CONFIG,
        "log daemon <nhrpd|DAEMON>$daemon file FILENAME [<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level]",
        |args| {
            if args.get("daemon") == Some("nhrpd") {
                on(args, LogTarget::File(args.text("FILENAME")?))
            } else {
                Some(Action::Ignore)
            }
        },
    ),
    entry(CONFIG, "no log daemon <nhrpd|DAEMON>$daemon file [FILENAME [LEVEL]]", |args| {
        if args.get("daemon") == Some("nhrpd") {
            off(LogTarget::File(String::new()))
        } else {
            Some(Action::Ignore)
        }
    }),
    entry(
        CONFIG,
        "log facility <kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|local0|local1|local2|local3|local4|local5|local6|local7>$facility",
        |args| log(LogEdit::Facility(args.text("facility")?)),
    ),
    entry(CONFIG, "no log facility [FACILITY [LEVEL]]", |_| log(LogEdit::Facility("daemon".into()))),
    entry(CONFIG, "[no] log record-priority", |args| log(LogEdit::RecordPriority(args.is_set()))),
    // FRR's since 10.5, and not to make `log rec` ambiguous before.
    Entry {
        own: true,
        ..entry(CONFIG, "[no] log record-severity", |args| log(LogEdit::RecordSeverity(args.is_set())))
    },
    entry(CONFIG, "log timestamp precision (0-6)$digits", |args| {
        log(LogEdit::TimestampPrecision(args.number("digits")?))
    }),
    entry(CONFIG, "no log timestamp precision [(0-6)]", |_| log(LogEdit::TimestampPrecision(0))),
    entry(CONFIG, "[no] log error-category", |args| log(LogEdit::ErrorCategory(args.is_set()))),
    entry(CONFIG, "[no] log unique-id", |args| log(LogEdit::UniqueId(args.is_set()))),
    entry(CONFIG, "[no] log immediate-mode", |args| log(LogEdit::ImmediateMode(args.is_set()))),
    entry(CONFIG, "[no] log commands", |args| log(LogEdit::Commands(args.is_set()))),
    entry(CONFIG, "[no] log filter-text WORD$text", |args| {
        log(LogEdit::FilterText { text: args.text("text")?, add: args.is_set() })
    }),
    entry(CONFIG, "[no] log extended-syslog EXTLOGNAME", IGNORE),
    entry(LINE, "exec-timeout (0-35791)$minutes [(0-2147483)$seconds]", |args| {
        library(LibraryEdit::ExecTimeout((args.number("minutes")?, args.number("seconds").unwrap_or(0))))
    }),
    entry(LINE, "no exec-timeout", |_| library(LibraryEdit::ExecTimeout((0, 0)))),
    entry(LINE, "[no] login", |args| library(LibraryEdit::Login(args.is_set()))),
    entry(LINE, "access-class WORD$name", |args| access_class(ListFamily::Access, args.text("name"))),
    entry(LINE, "no access-class [WORD]", |_| access_class(ListFamily::Access, None)),
    entry(LINE, "ipv6 access-class WORD$name", |args| {
        access_class(ListFamily::AccessIpv6, args.text("name"))
    }),
    entry(LINE, "no ipv6 access-class [WORD]", |_| access_class(ListFamily::AccessIpv6, None)),
];

fn library(edit: LibraryEdit) -> Option<Action> {
    command(Command::Library(edit))
}

fn access_class(family: ListFamily, name: Option<String>) -> Option<Action> {
    library(LibraryEdit::AccessClass(family, name))
}

fn banner(banner: Banner) -> Option<Action> {
    library(LibraryEdit::Banner(banner))
}

fn log(edit: LogEdit) -> Option<Action> {
    library(LibraryEdit::Log(edit))
}

fn on(args: &Args<'_>, target: LogTarget) -> Option<Action> {
    log(LogEdit::On(target, args.level()))
}

fn off(target: LogTarget) -> Option<Action> {
    log(LogEdit::Off(target))
}
