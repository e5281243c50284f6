//! What a matched line asks for. Owns the vocabulary between vty and the daemon; executes nothing.

use nhrp_config::{Afi, Edit};

use crate::LibraryEdit;

/// One request to the daemon. Node movement never gets this far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A change of NHRP's own configuration.
    Edit(Edit),
    /// A change of what FRR's library configures in every daemon: logging, access lists, passwords.
    Library(LibraryEdit),
    /// Something to print.
    Show(Show),
    /// `clear <ip|ipv6> nhrp <cache|shortcut>`
    Clear(Afi, ClearTarget),
    /// `clear <ip|ipv6> nhrp <cache|shortcut> <PREFIX|peer ADDRESS|interface IFNAME>`
    ClearSelected(Afi, ClearTarget, Selected),
    /// `clear <ip|ipv6> nhrp counters`
    ClearCounters,
    /// `write [terminal|memory|file]`, `copy running-config startup-config`. Terminal prints the running
    /// configuration exactly as [`Show::RunningConfig`].
    Write(WriteTarget),
    /// `configure terminal file-lock`: may a file be read now? vtysh asks again every 100 ms while the answer is
    /// [`crate::ReturnCode::ConfigFailed`], and only then sends the file.
    FileLock,
    /// `XFRR_start_configuration`: many edits follow; apply them together if that is cheaper.
    BulkStart,
    /// `XFRR_end_configuration`
    BulkEnd,
    /// `echo TEXT`: answer `TEXT` and a newline. watchfrr takes a late answer for a hung daemon, so it has to come
    /// from the daemon's own loop.
    Echo(String),
    /// `[no] terminal monitor [detach]`: on is to be answered with a [`crate::LiveLog`].
    TerminalMonitor(Monitoring),
    /// `logmsg LEVEL TEXT`, `send log [level LEVEL] TEXT`: put this into the log.
    LogMessage {
        /// Severity.
        level: crate::LogLevel,
        /// The message.
        text: String,
    },
    /// `autocomplete TYPE TOKEN VARNAME`: candidates for vtysh's completion, one a line.
    Autocomplete {
        /// Token text of the grammar, such as `IFNAME`.
        token: String,
        /// Name of the variable, or `-`.
        variable: String,
    },
    /// `clear log cmdline-targets`: forget the log targets of the command line.
    ClearCommandLineLogTargets,
}

/// What to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// `show <ip|ipv6> nhrp [cache|nhs|shortcut|opennhrp] [json]`
    Nhrp {
        /// Address family of the rows.
        afi: Afi,
        /// Which table.
        table: NhrpTable,
        /// JSON instead of columns.
        json: bool,
    },
    /// `show <ip|ipv6> nhrp <cache|nhs|peer|shortcut> detail [json]`
    Detail {
        /// Address family of the rows.
        afi: Afi,
        /// Which table.
        table: DetailTable,
        /// JSON instead of text.
        json: bool,
    },
    /// `show <ip|ipv6> nhrp statistics [json]`
    Statistics {
        /// JSON instead of text.
        json: bool,
    },
    /// `show running-config extra`: what the installed vtysh could not read back.
    ExtraConfig,
    /// `show dmvpn [json]`
    Dmvpn {
        /// JSON instead of columns.
        json: bool,
    },
    /// `show nhrp ipsec [json]`, of this daemon only: vtysh does not pass on what it does not know.
    Ipsec {
        /// JSON instead of lines.
        json: bool,
    },
    /// `show running-config`, `write terminal`
    RunningConfig,
    /// `show startup-config`
    StartupConfig,
    /// `show debugging [nhrp]`
    Debugging,
    /// `show debugging hashtable [statistics]`
    Hashtables,
    /// `show logging`
    Logging,
    /// `show logging filter-text`
    LoggingFilterText,
    /// `show memory [json]`
    Memory {
        /// JSON instead of columns.
        json: bool,
    },
    /// `show modules`
    Modules,
    /// `show work-queues`
    WorkQueues,
    /// `show thread cpu`, `show event cpu`
    EventCpu,
    /// `show thread poll`, `show event poll`
    EventPoll,
    /// `show thread timers`, `show event timers`
    EventTimers,
    /// `show error …`
    Errors,
    /// `show rcu [json]`
    Rcu {
        /// JSON instead of text.
        json: bool,
    },
    /// `show yang …`, `show configuration running …`
    Yang,
    /// `show version`
    Version,
    /// `show <ip|ipv6|mac> access-list [NAME] [json]`
    AccessLists {
        /// Kind of list.
        family: crate::ListFamily,
        /// Only this one.
        name: Option<String>,
        /// JSON instead of text.
        json: bool,
    },
    /// `who`
    Who,
    /// `show history`
    History,
}

/// Tables of `show <ip|ipv6> nhrp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NhrpTable {
    /// `cache`, also without any word.
    Cache,
    /// `nhs`
    Nhs,
    /// `shortcut`
    Shortcut,
    /// `opennhrp`; FRR answers `show ip nhrp json` with it, too.
    OpenNhrp,
}

/// Tables of `show <ip|ipv6> nhrp … detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailTable {
    /// `cache`
    Cache,
    /// `nhs`
    Nhs,
    /// `peer`
    Peer,
    /// `shortcut`
    Shortcut,
}

/// Entries that are meant, of those of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// What lies in this prefix.
    Prefix(ipnet::IpNet),
    /// What leads to the peer with this overlay or NBMA address.
    Peer(std::net::IpAddr),
    /// What belongs to the interface.
    Interface(String),
}

/// Tables of `clear <ip|ipv6> nhrp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearTarget {
    /// `cache`
    Cache,
    /// `shortcut`
    Shortcut,
}

/// How long a session's live log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitoring {
    /// `no terminal monitor`
    Off,
    /// `terminal monitor`: until the session ends.
    Session,
    /// `terminal monitor detach`: until its reader closes it.
    Detached,
}

/// Where `write` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTarget {
    /// The vty itself.
    Terminal,
    /// The daemon's start-up file (`write`, `write memory`, `write file`).
    File,
    /// `write extra`: the file for what the installed vtysh could not read back.
    Extra,
}
