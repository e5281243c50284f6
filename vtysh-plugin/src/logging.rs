//! The `log …` commands that every FRR daemon knows: what they set and how they are printed back. Opens no file.

/// syslog severities under FRR's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0
    Emergencies,
    /// 1
    Alerts,
    /// 2
    Critical,
    /// 3
    Errors,
    /// 4
    Warnings,
    /// 5
    Notifications,
    /// 6
    Informational,
    /// 7, the default of every target.
    Debugging,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Emergencies, "emergencies"),
        (Self::Alerts, "alerts"),
        (Self::Critical, "critical"),
        (Self::Errors, "errors"),
        (Self::Warnings, "warnings"),
        (Self::Notifications, "notifications"),
        (Self::Informational, "informational"),
        (Self::Debugging, "debugging"),
    ];

    /// From FRR's full word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(level, _)| *level)
    }

    /// FRR's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(level, _)| *level == self).map_or("debugging", |(_, name)| name)
    }
}

/// Where log messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// `log file PATH`
    File(String),
    /// `log filtered-file PATH`
    FilteredFile(String),
    /// `log syslog`
    Syslog,
    /// `log stdout`
    Stdout,
    /// `log monitor`
    Monitor,
}

/// One change of the logging configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEdit {
    /// Target on, with this level.
    On(LogTarget, LogLevel),
    /// Target off; the path of a file is ignored.
    Off(LogTarget),
    /// `log facility F`; `daemon` is the default.
    Facility(String),
    /// `log record-priority`
    RecordPriority(bool),
    /// `log record-severity`, since FRR 10.5; both put the word in front of each message here.
    RecordSeverity(bool),
    /// `log timestamp precision N` (0 to 6 digits).
    TimestampPrecision(u8),
    /// `log error-category`, on by default.
    ErrorCategory(bool),
    /// `log unique-id`, on by default.
    UniqueId(bool),
    /// `log immediate-mode`
    ImmediateMode(bool),
    /// `log commands`
    Commands(bool),
    /// `[no] log filter-text WORD`
    FilterText {
        /// Text to look for.
        text: String,
        /// Add, or remove.
        add: bool,
    },
    /// `clear log filter-text`
    ClearFilterText,
}

/// The logging configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// `log file`
    pub file: Option<(String, LogLevel)>,
    /// `log filtered-file`
    pub filtered_file: Option<(String, LogLevel)>,
    /// `log syslog`
    pub syslog: Option<LogLevel>,
    /// `log stdout`
    pub stdout: Option<LogLevel>,
    /// `log monitor`, on by default.
    pub monitor: Option<LogLevel>,
    /// `log facility`
    pub facility: String,
    /// `log record-priority`
    pub record_priority: bool,
    /// `log record-severity`; never printed back, since mgmtd does that where it exists.
    pub record_severity: bool,
    /// `log timestamp precision`
    pub timestamp_precision: u8,
    /// `log error-category`
    pub error_category: bool,
    /// `log unique-id`
    pub unique_id: bool,
    /// `log immediate-mode`
    pub immediate_mode: bool,
    /// `log commands`
    pub commands: bool,
    /// `--command-log-always`: whatever the configuration says of `log commands`.
    pub commands_always: bool,
    /// `log filter-text`
    pub filter_text: Vec<String>,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            file: None,
            filtered_file: None,
            syslog: None,
            stdout: None,
            monitor: Some(LogLevel::Debugging),
            facility: "daemon".into(),
            record_priority: false,
            record_severity: false,
            timestamp_precision: 0,
            error_category: true,
            unique_id: true,
            immediate_mode: false,
            commands: false,
            commands_always: false,
            filter_text: Vec::new(),
        }
    }
}

impl Logging {
    /// Whether what is typed is logged.
    #[must_use]
    pub fn logs_commands(&self) -> bool {
        self.commands || self.commands_always
    }

    /// Applies one change.
    pub fn apply(&mut self, edit: &LogEdit) {
        match edit {
            LogEdit::On(target, level) => self.switch(target, Some(*level)),
            LogEdit::Off(target) => self.switch(target, None),
            LogEdit::Facility(name) => self.facility.clone_from(name),
            LogEdit::RecordPriority(on) => self.record_priority = *on,
            LogEdit::RecordSeverity(on) => self.record_severity = *on,
            LogEdit::TimestampPrecision(digits) => self.timestamp_precision = *digits,
            LogEdit::ErrorCategory(on) => self.error_category = *on,
            LogEdit::UniqueId(on) => self.unique_id = *on,
            LogEdit::ImmediateMode(on) => self.immediate_mode = *on,
            LogEdit::Commands(on) => self.commands = *on,
            LogEdit::FilterText { text, add } => {
                self.filter_text.retain(|known| known != text);
                if *add {
                    self.filter_text.push(text.clone());
                }
            }
            LogEdit::ClearFilterText => self.filter_text.clear(),
        }
    }

    fn switch(&mut self, target: &LogTarget, level: Option<LogLevel>) {
        match target {
            LogTarget::File(path) => self.file = level.map(|level| (path.clone(), level)),
            LogTarget::FilteredFile(path) => self.filtered_file = level.map(|level| (path.clone(), level)),
            LogTarget::Syslog => self.syslog = level,
            LogTarget::Stdout => self.stdout = level,
            LogTarget::Monitor => self.monitor = level,
        }
    }

    /// Lines of the running configuration, in FRR's order. `command_line` is the target of the `--log` option, which
    /// FRR mentions in a comment. `log commands` stands elsewhere; filters and `log monitor` are never written.
    pub(crate) fn render(&self, command_line: Option<&str>, out: &mut Vec<String>) {
        let line = |name: &str, path: &str, level: LogLevel| {
            let level = if level == LogLevel::Debugging { "" } else { level.word() };
            [format!("log {name}"), path.to_owned(), level.to_owned()].iter().fold(
                String::new(),
                |mut line, word| {
                    if !line.is_empty() && !word.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(word);
                    line
                },
            )
        };
        out.extend(self.stdout.map(|level| line("stdout", "", level)));
        out.extend(self.file.as_ref().map(|(path, level)| line("file", path, *level)));
        out.extend(self.filtered_file.as_ref().map(|(path, level)| line("filtered-file", path, *level)));
        if let Some(target) = command_line {
            out.push(format!("! \"{target}\" enabled by \"--log\" startup option"));
            out.push("! use \"clear log cmdline-targets\" to remove this target".into());
        }
        out.extend(self.syslog.map(|level| line("syslog", "", level)));
        if self.facility != "daemon" {
            out.push(format!("log facility {}", self.facility));
        }
        if self.record_priority {
            out.push("log record-priority".into());
        }
        if self.timestamp_precision > 0 {
            out.push(format!("log timestamp precision {}", self.timestamp_precision));
        }
        let flags = [
            (!self.error_category, "no log error-category"),
            (!self.unique_id, "no log unique-id"),
            (self.immediate_mode, "log immediate-mode"),
        ];
        out.extend(flags.iter().filter(|(on, _)| *on).map(|(_, line)| (*line).to_owned()));
    }

    /// Whether messages with this text alone are written.
    pub(crate) fn filters(&self, text: &str) -> bool {
        self.filter_text.iter().any(|known| known == text)
    }

    /// `show logging filter-text`
    #[must_use]
    pub fn filter_lines(&self) -> String {
        self.filter_text.iter().map(|text| format!(" {text}\n")).collect()
    }
}
