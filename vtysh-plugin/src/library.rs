//! What FRR's library configures in every daemon: access and prefix lists, passwords, `service …`, logging, terminals.
//! Most of it is kept because it must be printed back. Enforces nothing.

mod access_lists;

use std::collections::BTreeMap;

use self::access_lists::impossible_range;
use crate::telnet::{AccessRule, Password, TerminalSettings};
use crate::{LogEdit, LogTarget, Logging, Release, Reply, ReturnCode};

/// Kinds of list, in the order in which FRR prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListFamily {
    /// `access-list`
    Access,
    /// `ipv6 access-list`
    AccessIpv6,
    /// `mac access-list`
    AccessMac,
    /// `ip prefix-list`
    Prefix,
    /// `ipv6 prefix-list`
    PrefixIpv6,
}

impl ListFamily {
    /// The words that begin a line of this list.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Access => "access-list",
            Self::AccessIpv6 => "ipv6 access-list",
            Self::AccessMac => "mac access-list",
            Self::Prefix => "ip prefix-list",
            Self::PrefixIpv6 => "ipv6 prefix-list",
        }
    }

    fn remark_keyword(self) -> &'static str {
        match self {
            Self::Access | Self::AccessIpv6 | Self::AccessMac => "remark",
            Self::Prefix | Self::PrefixIpv6 => "description",
        }
    }
}

/// One change of one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEdit {
    /// A rule; without a number it goes to the end.
    Add {
        /// Sequence number.
        seq: Option<u32>,
        /// `permit …` or `deny …`, words in full.
        rule: String,
    },
    /// `no` of a rule, found by number if there is one, else by text.
    Remove {
        /// Sequence number.
        seq: Option<u32>,
        /// `permit …` or `deny …`; empty if only the number was given.
        rule: String,
    },
    /// `remark`, `description`, or their `no`.
    Remark(Option<String>),
    /// `no` of the list.
    Delete,
}

/// One change of what the library keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryEdit {
    /// `log …`
    Log(LogEdit),
    /// `access-list …`, `prefix-list …`
    List {
        /// Kind.
        family: ListFamily,
        /// Name.
        name: String,
        /// Change.
        edit: ListEdit,
    },
    /// `hostname NAME`
    Hostname(Option<String>),
    /// `domainname NAME`
    Domainname(Option<String>),
    /// `frr defaults PROFILE`
    Defaults(String),
    /// `[no] allow-reserved-ranges`
    AllowReservedRanges(bool),
    /// `password …`, the words after it as typed.
    Password(Option<String>),
    /// `enable password …`
    EnablePassword(Option<String>),
    /// `[no] service password-encryption`
    PasswordEncryption(bool),
    /// `[no] service advanced-vty`
    AdvancedVty(bool),
    /// `[no] service cputime-stats`, on by default.
    CpuTimeStats(bool),
    /// `[no] service cputime-warning [MS]`; 0 is off, 5000 the default.
    CpuTimeWarning(u32),
    /// `[no] service walltime-warning [MS]`
    WallTimeWarning(u32),
    /// `[no] service terminal-length N`
    TerminalLength(Option<u16>),
    /// `[no] debug memstats-at-exit`
    MemstatsAtExit(bool),
    /// `exec-timeout MINUTES [SECONDS]`; 0 0 is none, 10 0 the default.
    ExecTimeout((u32, u32)),
    /// `[no] login`
    Login(bool),
    /// `[ipv6] access-class NAME`
    AccessClass(ListFamily, Option<String>),
    /// `banner motd …`
    Banner(Banner),
}

/// What a client reads before it logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Banner {
    /// The built-in text.
    #[default]
    Default,
    /// `no banner motd`
    None,
    /// `banner motd line TEXT`
    Line(String),
    /// `banner motd file FILE`; read for each client.
    File(String),
}

const MONITOR_DOES_NOTHING: &str = "% \"log monitor\" is deprecated and does nothing.\n";

const DEFAULT_WARNING_MS: u32 = 5000;
const DEFAULT_EXEC_TIMEOUT: (u32, u32) = (10, 0);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    remark: Option<String>,
    rules: BTreeMap<u32, String>,
}

/// The library's part of the running configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryConfig {
    /// `log …`
    pub logging: Logging,
    /// `hostname NAME`, if it was set; FRR prints the system's node name otherwise.
    pub hostname: Option<String>,
    /// `traditional` or `datacenter`.
    pub profile: String,
    domainname: Option<String>,
    allow_reserved_ranges: bool,
    password: Option<String>,
    enable_password: Option<String>,
    password_encryption: bool,
    advanced_vty: bool,
    cputime_stats: bool,
    cputime_warning: u32,
    walltime_warning: u32,
    terminal_length: Option<u16>,
    memstats_at_exit: bool,
    exec_timeout: (u32, u32),
    login: bool,
    access_class: Option<String>,
    access_class_ipv6: Option<String>,
    banner: Banner,
    lists: BTreeMap<(ListFamily, String), List>,
}

impl Default for LibraryConfig {
    fn default() -> Self {
        Self {
            logging: Logging::default(),
            hostname: None,
            profile: "traditional".into(),
            domainname: None,
            allow_reserved_ranges: false,
            password: None,
            enable_password: None,
            password_encryption: false,
            advanced_vty: false,
            cputime_stats: true,
            cputime_warning: DEFAULT_WARNING_MS,
            walltime_warning: DEFAULT_WARNING_MS,
            terminal_length: None,
            memstats_at_exit: false,
            exec_timeout: DEFAULT_EXEC_TIMEOUT,
            login: true,
            access_class: None,
            access_class_ipv6: None,
            banner: Banner::Default,
            lists: BTreeMap::new(),
        }
    }
}

impl LibraryConfig {
    /// Applies one change, and answers as this release does. The daemon still has to act on [`LibraryEdit::Log`] by
    /// itself.
    pub fn apply(&mut self, edit: &LibraryEdit, release: Release) -> Reply {
        match edit {
            LibraryEdit::Log(edit) => {
                let reply = self.log_reply(edit, release);
                self.logging.apply(edit);
                return reply;
            }
            LibraryEdit::List { family, name, edit } => {
                return self.apply_list(*family, name, edit, release);
            }
            LibraryEdit::Hostname(name) => self.hostname.clone_from(name),
            LibraryEdit::Domainname(name) => self.domainname.clone_from(name),
            LibraryEdit::Defaults(profile) => {
                // Printed back even if it is unknown, so that it stays equal to what zebra prints.
                self.profile.clone_from(profile);
                if !matches!(profile.as_str(), "traditional" | "datacenter") {
                    return Reply::warning(format_args!(
                        "% WARNING: profile {profile} is not known in this version"
                    ));
                }
            }
            LibraryEdit::AllowReservedRanges(on) => self.allow_reserved_ranges = *on,
            LibraryEdit::Password(words) => self.password = words.clone().map(|words| self.stored(words)),
            LibraryEdit::EnablePassword(words) => {
                self.enable_password = words.clone().map(|words| self.stored(words));
            }
            LibraryEdit::PasswordEncryption(on) => {
                self.password_encryption = *on;
                self.password = self.password.take().map(|words| self.stored(words));
                self.enable_password = self.enable_password.take().map(|words| self.stored(words));
            }
            LibraryEdit::AdvancedVty(on) => self.advanced_vty = *on,
            LibraryEdit::CpuTimeStats(on) => self.cputime_stats = *on,
            LibraryEdit::CpuTimeWarning(ms) => self.cputime_warning = *ms,
            LibraryEdit::WallTimeWarning(ms) => self.walltime_warning = *ms,
            LibraryEdit::TerminalLength(lines) => self.terminal_length = *lines,
            LibraryEdit::MemstatsAtExit(on) => self.memstats_at_exit = *on,
            // FRR keeps seconds.
            LibraryEdit::ExecTimeout((minutes, seconds)) => {
                let seconds = minutes.saturating_mul(60).saturating_add(*seconds);
                self.exec_timeout = (seconds / 60, seconds % 60);
            }
            LibraryEdit::Login(on) => self.login = *on,
            LibraryEdit::AccessClass(family, name) => {
                let (kept, kind) = match family {
                    ListFamily::AccessIpv6 => (&mut self.access_class_ipv6, "IPv6 access-class"),
                    _ => (&mut self.access_class, "Access-class"),
                };
                if kept.is_none() && name.is_none() {
                    return Reply::config_failed(format_args!("{kind} is not currently applied to vty"));
                }
                kept.clone_from(name);
            }
            LibraryEdit::Banner(banner) => self.banner = banner.clone(),
        }
        Reply::ok()
    }

    /// What follows `password`: hashed if that is wanted, and what was hashed once stays so.
    fn stored(&self, words: String) -> String {
        if self.password_encryption { Password::parse(&words).hashed() } else { words }
    }

    fn apply_list(&mut self, family: ListFamily, name: &str, edit: &ListEdit, release: Release) -> Reply {
        let key = (family, name.to_owned());
        let found = match edit {
            ListEdit::Add { seq, rule } => {
                let prefixes = matches!(family, ListFamily::Prefix | ListFamily::PrefixIpv6);
                let known = self.lists.get(&key).map(|list| &list.rules);
                let again = known.is_some_and(|rules| rules.values().any(|known| known == rule));
                // Whatever its number, where FRR looks for it at all.
                let once = !prefixes || release.finds_prefixes(seq.is_some());
                if again && once {
                    return Reply::ok();
                }
                let last = known.and_then(|rules| rules.last_key_value()).map_or(0, |(last, _)| *last);
                let seq = seq.or_else(|| (last / 5 + 1).checked_mul(5));
                let prefix = impossible_range(rule);
                let seq = match (seq, prefix) {
                    (Some(seq), None) => seq,
                    (seq, Some(prefix)) if seq.is_some() || release.checks_ranges_first() => {
                        return Reply::config_failed(format_args!(
                            "% Configuration failed.\n\nError type: validation\nError description: Invalid prefix range \
                             for {prefix}: Make sure that mask length <= ge <= le"
                        ));
                    }
                    _ => return Reply::config_failed("% Malformed sequence value"),
                };
                self.lists.entry(key).or_default().rules.insert(seq, rule.clone());
                return Reply::ok();
            }
            ListEdit::Remark(Some(text)) => {
                self.lists.entry(key).or_default().remark = Some(text.clone());
                return Reply::ok();
            }
            ListEdit::Delete => {
                self.lists.remove(&key);
                return Reply::ok();
            }
            // Without a remark this changes nothing, and neither does the removal of a rule by its number; of a rule
            // without a number FRR says that there is none.
            ListEdit::Remark(None) => {
                if let Some(list) = self.lists.get_mut(&key) {
                    list.remark = None;
                }
                true
            }
            // By its number a rule is found whatever it says, and as little missed.
            ListEdit::Remove { seq: Some(seq), .. } => {
                if let Some(list) = self.lists.get_mut(&key) {
                    list.rules.remove(seq);
                }
                true
            }
            // Of several that say the same, the first.
            ListEdit::Remove { seq: None, rule } => self.lists.get_mut(&key).is_some_and(|list| {
                let first = list.rules.iter().find(|(_, known)| *known == rule).map(|(number, _)| *number);
                first.is_some_and(|number| list.rules.remove(&number).is_some())
            }),
        };
        self.lists.retain(|_, list| !list.rules.is_empty() || list.remark.is_some());
        Self::found(found)
    }

    /// FRR refuses without a word.
    fn found(found: bool) -> Reply {
        if found { Reply::ok() } else { Reply::new(ReturnCode::ConfigFailed, "") }
    }

    /// What is said to a change of the log that is still to be made.
    fn log_reply(&self, edit: &LogEdit, release: Release) -> Reply {
        match edit {
            LogEdit::FilterText { .. } if release.configures_log_by_northbound() => Reply::ok(),
            LogEdit::FilterText { text, add } => match (self.logging.filters(text), add) {
                (true, true) => Reply::warning("% failed to apply log filter"),
                (false, false) => Reply::warning("% failed to remove log filter"),
                _ => Reply::text(format!(" {text}\n")),
            },
            LogEdit::Commands(false) if self.logging.commands_always => {
                Reply::warning("Daemon started with permanent logging turned on for commands, ignoring")
            }
            LogEdit::On(LogTarget::Monitor, _) => Reply::text(MONITOR_DOES_NOTHING),
            LogEdit::Off(LogTarget::Monitor) if release.configures_log_by_northbound() => {
                Reply::text(MONITOR_DOES_NOTHING)
            }
            _ => Reply::ok(),
        }
    }

    /// Lines of FRR's host block: host name, passwords, logging, services.
    #[must_use]
    pub fn host_lines(
        &self,
        release: Release,
        default_hostname: &str,
        command_line_log: Option<&str>,
    ) -> Vec<String> {
        let mut out = vec![format!("hostname {}", self.hostname.as_deref().unwrap_or(default_hostname))];
        let mut optional = |prefix: &str, value: &Option<String>| {
            if let Some(value) = value {
                out.push(format!("{prefix} {value}"));
            }
        };
        optional("domainname", &self.domainname);
        optional("password", &self.password);
        optional("enable password", &self.enable_password);
        if self.allow_reserved_ranges {
            out.push("allow-reserved-ranges".into());
        }
        if release.prints_log_lines() {
            self.logging.render(command_line_log, &mut out);
        }
        if !self.cputime_stats {
            out.push("no service cputime-stats".into());
        }
        for (name, ms) in [("cputime", self.cputime_warning), ("walltime", self.walltime_warning)] {
            match ms {
                DEFAULT_WARNING_MS => {}
                0 => out.push(format!("no service {name}-warning")),
                // The same line as zebra's, or there would be two in the file.
                ms if release.prints_warnings_in_microseconds() => {
                    out.push(format!("service {name}-warning {}", u64::from(ms) * 1000));
                }
                ms => out.push(format!("service {name}-warning {ms}")),
            }
        }
        if self.advanced_vty {
            out.push("service advanced-vty".into());
        }
        if self.password_encryption {
            out.push("service password-encryption".into());
        }
        if let Some(lines) = self.terminal_length {
            out.push(format!("service terminal-length {lines}"));
        }
        out
    }

    /// The line between the first two separators.
    pub(crate) fn memstats_line(&self) -> &'static str {
        if self.memstats_at_exit { "debug memstats-at-exit\n" } else { "" }
    }

    /// The last lines: `line vty` and `log commands`.
    pub(crate) fn vty_lines(&self) -> String {
        let mut line = String::new();
        if let Some(name) = &self.access_class {
            line.push_str(&format!(" access-class {name}\n"));
        }
        if let Some(name) = &self.access_class_ipv6 {
            line.push_str(&format!(" ipv6 access-class {name}\n"));
        }
        if self.exec_timeout != DEFAULT_EXEC_TIMEOUT {
            let (minutes, seconds) = self.exec_timeout;
            line.push_str(&format!(" exec-timeout {minutes} {seconds}\n"));
        }
        if !self.login {
            line.push_str(" no login\n");
        }
        let mut out = if line.is_empty() { line } else { format!("line vty\n{line}exit\n") };
        if self.logging.logs_commands() {
            out.push_str("log commands\n");
        }
        out
    }

    /// That of the command `hostname`, or else the machine's.
    #[must_use]
    pub fn hostname<'a>(&'a self, machines: &'a str) -> &'a str {
        self.hostname.as_deref().unwrap_or(machines)
    }

    /// What terminals need to know of all this; `version` as FRR prints it, `default_hostname` as in
    /// [`Self::host_lines`].
    #[must_use]
    pub fn terminal(&self, default_hostname: &str, version: &str) -> TerminalSettings {
        let (minutes, seconds) = self.exec_timeout;
        let seconds = u64::from(minutes) * 60 + u64::from(seconds);
        let rules = |family, name: &Option<String>| {
            let name = name.as_ref()?;
            // As in FRR, a list that does not exist keeps nobody out.
            let list = self.lists.get(&(family, name.clone()))?;
            Some(list.rules.values().filter_map(|rule| AccessRule::parse(rule)).collect())
        };
        TerminalSettings {
            hostname: self.hostname(default_hostname).to_owned(),
            version: version.to_owned(),
            banner: self.banner.clone(),
            login: self.login,
            password: self.password.as_deref().map(Password::parse),
            enable_password: self.enable_password.as_deref().map(Password::parse),
            advanced: self.advanced_vty,
            timeout: (seconds > 0).then(|| std::time::Duration::from_secs(seconds)),
            page_length: self.terminal_length,
            log_commands: self.logging.logs_commands(),
            access: [
                rules(ListFamily::Access, &self.access_class),
                rules(ListFamily::AccessIpv6, &self.access_class_ipv6),
            ],
        }
    }

    /// Lines of all access and prefix lists.
    #[must_use]
    pub fn list_lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        for ((family, name), list) in &self.lists {
            let keyword = family.keyword();
            if let Some(remark) = &list.remark {
                out.push(format!("{keyword} {name} {} {remark}", family.remark_keyword()));
            }
            out.extend(list.rules.iter().map(|(seq, rule)| format!("{keyword} {name} seq {seq} {rule}")));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: Release = Release::new(10, 3);

    fn prefix_list(config: &mut LibraryConfig, edit: ListEdit) -> Reply {
        config.apply(&LibraryEdit::List { family: ListFamily::Prefix, name: "p".into(), edit }, R)
    }

    #[test]
    fn what_frr_says_of_numbers_and_ranges() {
        let mut config = LibraryConfig::default();
        let add = |seq, rule: &str| ListEdit::Add { seq, rule: rule.into() };
        for rule in ["permit 10.0.0.0/8 ge 7", "deny 10.0.0.0/8 ge 12 le 10", "deny 10.0.0.0/8 le 0"] {
            let reply = prefix_list(&mut config, add(Some(5), rule));
            assert_eq!(reply.rc, ReturnCode::ConfigFailed);
            let end = "Invalid prefix range for 10.0.0.0/8: Make sure that mask length <= ge <= le\n";
            assert!(reply.text.ends_with(end), "{rule}: {}", reply.text);
        }
        assert_eq!(config, LibraryConfig::default());
        for rule in
            ["permit 10.0.0.0/8 ge 8", "permit 10.0.0.0/8 le 8", "deny any", "deny 10.0.0.0/8 ge 9 le 32"]
        {
            assert_eq!(prefix_list(&mut config, add(None, rule)), Reply::ok(), "{rule}");
        }
        let by_number = |seq| ListEdit::Remove { seq: Some(seq), rule: "permit 99.0.0.0/8".into() };
        assert_eq!(prefix_list(&mut config, by_number(777)), Reply::ok());
        assert_eq!(prefix_list(&mut config, by_number(5)), Reply::ok());
        assert_eq!(config.list_lines().len(), 3);
        assert_eq!(prefix_list(&mut config, add(Some(u32::MAX), "deny any")), Reply::ok());
        assert_eq!(prefix_list(&mut config, add(None, "permit any")).text, "% Malformed sequence value\n");
        let edit = add(None, "permit 10.0.0.0/8 ge 7");
        assert_eq!(prefix_list(&mut config, edit.clone()).text, "% Malformed sequence value\n");
        let edit = LibraryEdit::List { family: ListFamily::Prefix, name: "p".into(), edit };
        assert!(config.apply(&edit, Release::new(10, 7)).text.contains("Invalid prefix range"));
    }

    #[test]
    fn what_frr_says_of_log_filters_depends_on_the_release() {
        let mut config = LibraryConfig::default();
        let mut say = |text: &str, add, release| {
            let edit = LibraryEdit::Log(LogEdit::FilterText { text: text.into(), add });
            let reply = config.apply(&edit, release);
            (reply.rc, reply.text)
        };
        assert_eq!(say("one", true, R), (ReturnCode::Success, " one\n".into()));
        assert_eq!(say("one", true, R), (ReturnCode::Warning, "% failed to apply log filter\n".into()));
        assert_eq!(say("one", false, R), (ReturnCode::Success, " one\n".into()));
        assert_eq!(say("one", false, R), (ReturnCode::Warning, "% failed to remove log filter\n".into()));
        assert_eq!(say("one", false, Release::new(10, 7)), (ReturnCode::Success, String::new()));
    }

    #[test]
    fn frr_8_4_prints_its_warnings_a_thousand_times_too_long() {
        let mut config = LibraryConfig::default();
        config.apply(&LibraryEdit::CpuTimeWarning(7), R);
        let lines = |release| config.host_lines(release, "r1", None);
        assert_eq!(lines(Release::new(8, 4)), ["hostname r1", "service cputime-warning 7000"]);
        assert_eq!(lines(R), ["hostname r1", "service cputime-warning 7"]);
    }

    fn add(config: &mut LibraryConfig, seq: Option<u32>, rule: &str) {
        let edit = ListEdit::Add { seq, rule: rule.into() };
        let edit = LibraryEdit::List { family: ListFamily::Access, name: "a1".into(), edit };
        assert_eq!(config.apply(&edit, R), Reply::ok());
    }

    #[test]
    fn rules_without_a_number_go_to_the_end_in_steps_of_five() {
        let mut config = LibraryConfig::default();
        add(&mut config, None, "permit any");
        add(&mut config, Some(12), "deny 10.0.0.0/8");
        add(&mut config, None, "deny any");
        add(&mut config, None, "deny any");
        assert_eq!(
            config.list_lines(),
            [
                "access-list a1 seq 5 permit any",
                "access-list a1 seq 12 deny 10.0.0.0/8",
                "access-list a1 seq 15 deny any"
            ]
        );
    }

    #[test]
    fn the_last_rule_takes_the_list_with_it() {
        let mut config = LibraryConfig::default();
        add(&mut config, Some(5), "permit any");
        let remove = ListEdit::Remove { seq: None, rule: "permit any".into() };
        let edit = LibraryEdit::List { family: ListFamily::Access, name: "a1".into(), edit: remove };
        assert_eq!(config.apply(&edit, R), Reply::ok());
        assert_eq!(config, LibraryConfig::default());
        assert_eq!(config.apply(&edit, R).rc, crate::ReturnCode::ConfigFailed);
    }

    #[test]
    fn log_lines_belong_to_mgmtd_since_10_5() {
        let mut config = LibraryConfig::default();
        config.apply(
            &LibraryEdit::Log(LogEdit::On(crate::LogTarget::Syslog, crate::LogLevel::Informational)),
            R,
        );
        config.apply(&LibraryEdit::AllowReservedRanges(true), R);
        assert_eq!(
            config.host_lines(Release::new(10, 3), "r1", None),
            ["hostname r1", "allow-reserved-ranges", "log syslog informational"]
        );
        assert_eq!(
            config.host_lines(Release::new(10, 7), "r1", None),
            ["hostname r1", "allow-reserved-ranges"]
        );
    }
}
