//! Commands that look or act once: `echo`, `write`, the library's `show`, `clear` and `terminal`.

use super::{ALL, BELOW_ENABLE, CONFIG, ENABLE, VIEW, command, entry, hidden};
use crate::grammar::{Action, Entry};
use crate::{Command, LibraryEdit, ListFamily, LogEdit, Monitoring, Show, WriteTarget};

const WRITABLE: u8 = ENABLE | BELOW_ENABLE;

pub(super) const COMMANDS: &[Entry] = &[
    entry(VIEW, "show commandtree [permutations]", |_| Some(Action::List)),
    entry(VIEW, "show version", |_| command(Command::Show(Show::Version))),
    hidden(ALL, "echo MESSAGE...$text", |args| command(Command::Echo(args.text("text")?))),
    entry(WRITABLE, "write [<file|memory|terminal>$target]", |args| {
        let terminal = args.get("target") == Some("terminal");
        command(Command::Write(if terminal { WriteTarget::Terminal } else { WriteTarget::File }))
    }),
    entry(WRITABLE, "show running-config", |_| command(Command::Show(Show::RunningConfig))),
    entry(ENABLE, "copy running-config startup-config", |_| command(Command::Write(WriteTarget::File))),
    entry(ENABLE, "show startup-config", |_| command(Command::Show(Show::StartupConfig))),
    entry(VIEW, "terminal length (0-512)$lines", |args| {
        Some(Action::PageLength(Some(args.number("lines")?)))
    }),
    entry(VIEW, "terminal no length", |_| Some(Action::PageLength(None))),
    entry(ENABLE, "terminal monitor [detach]", |args| {
        let how = if args.has("detach") { Monitoring::Detached } else { Monitoring::Session };
        command(Command::TerminalMonitor(how))
    }),
    entry(ENABLE, "terminal no monitor", |_| command(Command::TerminalMonitor(Monitoring::Off))),
    entry(ENABLE, "no terminal monitor [detach]", |_| command(Command::TerminalMonitor(Monitoring::Off))),
    entry(
        ENABLE,
        "logmsg <emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level MESSAGE...$text",
        |args| command(Command::LogMessage { level: args.level(), text: args.text("text")? }),
    ),
    entry(
        VIEW,
        "send log [level <emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>$level] LINE...$text",
        |args| {
            let level = args.get("level").and_then(crate::LogLevel::from_word);
            let level = level.unwrap_or(crate::LogLevel::Notifications);
            command(Command::LogMessage { level, text: args.text("text")? })
        },
    ),
    entry(VIEW, "show <event|thread> cpu [FILTER]", |_| command(Command::Show(Show::EventCpu))),
    entry(VIEW, "show <event|thread> poll", |_| command(Command::Show(Show::EventPoll))),
    entry(VIEW, "show <event|thread> timers", |_| command(Command::Show(Show::EventTimers))),
    entry(ENABLE, "clear <event|thread> cpu [FILTER]", |_| Some(Action::Ignore)),
    entry(VIEW, "show work-queues", |_| command(Command::Show(Show::WorkQueues))),
    entry(VIEW, "show logging", |_| command(Command::Show(Show::Logging))),
    entry(VIEW, "show logging filter-text", |_| command(Command::Show(Show::LoggingFilterText))),
    entry(ENABLE, "clear log cmdline-targets", |_| command(Command::ClearCommandLineLogTargets)),
    entry(CONFIG, "clear log filter-text", |_| {
        command(Command::Library(LibraryEdit::Log(LogEdit::ClearFilterText)))
    }),
    entry(VIEW, "who", |_| command(Command::Show(Show::Who))),
    entry(VIEW, "show history", |_| command(Command::Show(Show::History))),
    entry(VIEW, "show memory [json]", |args| command(Command::Show(Show::Memory { json: args.has("json") }))),
    entry(VIEW, "show modules", |_| command(Command::Show(Show::Modules))),
    entry(VIEW, "show rcu [json]", |args| command(Command::Show(Show::Rcu { json: args.has("json") }))),
    entry(VIEW, "show error <(1-4294967295)|all> [json]", |_| command(Command::Show(Show::Errors))),
    entry(ENABLE, "show yang LINE...", |_| command(Command::Show(Show::Yang))),
    entry(ENABLE, "show configuration running [LINE...]", |_| command(Command::Show(Show::Yang))),
    entry(ENABLE, "show <ip|ipv6|mac>$family access-list [ACCESSLIST_NAME$name] [json]", |args| {
        let family = match args.get("family")? {
            "ipv6" => ListFamily::AccessIpv6,
            "mac" => ListFamily::AccessMac,
            _ => ListFamily::Access,
        };
        let (name, json) = (args.text("name"), args.has("json"));
        command(Command::Show(Show::AccessLists { family, name, json }))
    }),
    hidden(ALL, "autocomplete TYPE TOKEN VARNAME", |args| {
        command(Command::Autocomplete { token: args.text("TOKEN")?, variable: args.text("VARNAME")? })
    }),
    hidden(CONFIG, "XFRR_start_configuration", |_| command(Command::BulkStart)),
    hidden(CONFIG, "XFRR_end_configuration", |_| command(Command::BulkEnd)),
];
