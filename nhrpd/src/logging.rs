//! Log messages in FRR's form, to file, syslog and standard output, with levels and debug topics that change while
//! running.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nhrp_config::DebugTopics;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use vtysh_plugin::{LogLevel, Logging};

/// syslog's facility `daemon`.
const FACILITY_DAEMON: u8 = 3;
/// Messages of one kind within [`WINDOW`] before the rest is only counted.
const BURST: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct OpenFile {
    path: String,
    level: LogLevel,
    file: Option<File>,
}

#[derive(Debug, Default)]
struct State {
    debug: DebugTopics,
    stdout: Option<LogLevel>,
    syslog: Option<LogLevel>,
    file: Option<OpenFile>,
    /// Targets of the command line, which stay when the configuration says otherwise.
    fixed_stdout: Option<LogLevel>,
    fixed_syslog: Option<LogLevel>,
    fixed_file: Option<OpenFile>,
    record_priority: bool,
    socket: Option<UnixDatagram>,
}

/// Handle to the log: where it goes and what goes there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<State>>);

/// Opens, or says on standard error what is wrong with the path.
fn open(path: &str) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn open_file(path: &str, level: LogLevel) -> (OpenFile, Result<(), String>) {
    let (file, outcome) = match open(path) {
        Ok(file) => (Some(file), Ok(())),
        Err(error) => (None, Err(error.to_string())),
    };
    (OpenFile { path: path.to_owned(), level, file }, outcome)
}

impl Log {
    /// Makes this the log of the process. `targets` are the values of `--log`.
    pub(crate) fn install(targets: &[String], level: Option<&str>) -> Result<Self, String> {
        let level = match level {
            None => LogLevel::Debugging,
            Some(word) => parse_level(word).ok_or_else(|| format!("unknown log level '{word}'"))?,
        };
        let log = Self::default();
        {
            let mut state = log.lock();
            for target in targets {
                match target.split_once(':') {
                    None if target == "stdout" => state.fixed_stdout = Some(level),
                    None if target == "syslog" => state.fixed_syslog = Some(level),
                    Some(("file", path)) => {
                        let (file, outcome) = open_file(path, level);
                        outcome.map_err(|e| format!("cannot open log file {path}: {e}"))?;
                        state.fixed_file = Some(file);
                    }
                    Some(("monitor", _)) => {}
                    _ => {
                        return Err(format!(
                            "invalid log target '{target}': use stdout, syslog or file:NAME"
                        ));
                    }
                }
            }
        }
        let subscriber = tracing_subscriber::registry().with(FrrLayer(log.clone()));
        tracing::subscriber::set_global_default(subscriber).map_err(|e| e.to_string())?;
        Ok(log)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which debug topics are written.
    pub(crate) fn set_debug(&self, topics: DebugTopics) {
        self.lock().debug = topics;
        tracing::callsite::rebuild_interest_cache();
    }

    /// Follows the configuration. The error is about a file that cannot be opened.
    pub(crate) fn configure(&self, logging: &Logging) -> Result<(), String> {
        let mut state = self.lock();
        state.stdout = logging.stdout;
        state.syslog = logging.syslog;
        state.record_priority = logging.record_priority;
        let mut outcome = Ok(());
        match &logging.file {
            None => state.file = None,
            Some((path, level)) => {
                let same = state.file.as_ref().is_some_and(|f| f.path == *path && f.file.is_some());
                if same {
                    if let Some(file) = state.file.as_mut() {
                        file.level = *level;
                    }
                } else {
                    let (file, opened) = open_file(path, *level);
                    outcome = opened.map_err(|_| format!("can't open logfile {path}"));
                    state.file = Some(file);
                }
            }
        }
        drop(state);
        tracing::callsite::rebuild_interest_cache();
        outcome
    }

    /// SIGUSR1: logrotate has moved the files.
    pub(crate) fn reopen(&self) {
        let mut state = self.lock();
        let State { file, fixed_file, .. } = &mut *state;
        for target in [file, fixed_file].into_iter().flatten() {
            if let Ok(fresh) = open(&target.path) {
                target.file = Some(fresh);
            }
        }
    }

    /// `clear log cmdline-targets`
    pub(crate) fn clear_command_line(&self) {
        let mut state = self.lock();
        state.fixed_file = None;
        state.fixed_stdout = None;
        state.fixed_syslog = None;
    }
}

fn parse_level(word: &str) -> Option<LogLevel> {
    // FRR takes the beginning of a word: debug, info, warn …
    const WORDS: [&str; 8] = [
        "emergencies",
        "alerts",
        "critical",
        "errors",
        "warnings",
        "notifications",
        "informational",
        "debugging",
    ];
    let full = WORDS.iter().find(|w| !word.is_empty() && w.starts_with(word))?;
    LogLevel::from_word(full)
}

/// The debug topic of a target that this project's crates use.
fn topic_bit(target: &str) -> u16 {
    match target {
        "nhrp::kernel" => DebugTopics::KERNEL,
        "nhrp::interface" => DebugTopics::INTERFACE,
        "nhrp::route" => DebugTopics::ROUTE,
        "nhrp::vici" => DebugTopics::VICI,
        "nhrp::event" => DebugTopics::EVENT,
        _ => DebugTopics::COMMON,
    }
}

struct FrrLayer(Log);

fn severity(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Errors,
        Level::WARN => LogLevel::Warnings,
        Level::INFO => LogLevel::Informational,
        _ => LogLevel::Debugging,
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = if field.name() == "message" {
            write!(self.message, "{value}")
        } else {
            write!(self.fields, " {}={value}", field.name())
        };
    }
}

impl<S: Subscriber> Layer<S> for FrrLayer {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        match *metadata.level() {
            Level::TRACE => false,
            Level::DEBUG => {
                metadata.target().starts_with("nhrp::")
                    && self.0.lock().debug.0 & topic_bit(metadata.target()) != 0
            }
            _ => true,
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = severity(*event.metadata().level());
        let mut state = self.0.lock();
        state.write(level, &format!("{}{}", text.message, text.fields));
    }
}

impl State {
    fn write(&mut self, level: LogLevel, text: &str) {
        let stamp = chrono::Local::now().format("%Y/%m/%d %H:%M:%S");
        let priority = if self.record_priority { format!("{}: ", level.word()) } else { String::new() };
        let line = format!("{stamp} {priority}NHRP: {text}\n");
        let wanted = |limit: Option<LogLevel>| limit.is_some_and(|limit| level <= limit);
        if wanted(self.stdout) || wanted(self.fixed_stdout) {
            // A closed terminal must not end the daemon.
            let _ = std::io::stdout().write_all(line.as_bytes());
        }
        for target in [&mut self.file, &mut self.fixed_file].into_iter().flatten() {
            if level <= target.level
                && let Some(file) = &mut target.file
            {
                let _ = file.write_all(line.as_bytes());
            }
        }
        if wanted(self.syslog) || wanted(self.fixed_syslog) {
            self.send_to_syslog(level, text);
        }
    }

    fn send_to_syslog(&mut self, level: LogLevel, text: &str) {
        let priority = FACILITY_DAEMON * 8 + level as u8;
        let message = format!("<{priority}>nhrpd[{}]: {text}", std::process::id());
        for _ in 0..2 {
            if self.socket.is_none() {
                let connected = UnixDatagram::unbound().and_then(|s| {
                    s.set_nonblocking(true)?;
                    s.connect("/dev/log")?;
                    Ok(s)
                });
                self.socket = connected.ok();
            }
            // A restarted syslog daemon has a new socket: connect once more.
            match self.socket.as_ref().map(|s| s.send(message.as_bytes())) {
                Some(Err(_)) => self.socket = None,
                _ => return,
            }
        }
    }
}

/// Lets a few messages of a kind through and counts the others, so that a flood of bad packets is no flood of
/// messages.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    kinds: HashMap<String, (Instant, u32)>,
}

/// Kinds that are told apart; what peers cause has fewer, and this is so if that should ever be wrong.
const KINDS: usize = 64;

impl RateLimit {
    /// Whether a message of this kind is to be written now; `Some(n)`: yes, after `n` were left out.
    pub(crate) fn admit(&mut self, kind: &str) -> Option<u32> {
        let now = Instant::now();
        let known = self.kinds.contains_key(kind);
        let kind = if known || self.kinds.len() < KINDS { kind } else { "others" };
        if !self.kinds.contains_key(kind) {
            self.kinds.insert(kind.to_owned(), (now, 0));
        }
        let (since, count) = self.kinds.get_mut(kind)?;
        if now.duration_since(*since) >= WINDOW {
            let left_out = count.saturating_sub(BURST);
            (*since, *count) = (now, 1);
            return Some(left_out);
        }
        *count += 1;
        (*count <= BURST).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_may_be_abbreviated_as_in_frr() {
        assert_eq!(parse_level("debug"), Some(LogLevel::Debugging));
        assert_eq!(parse_level("warn"), Some(LogLevel::Warnings));
        assert_eq!(parse_level("loud"), None);
        assert_eq!(parse_level(""), None);
    }

    #[test]
    fn a_flood_is_cut_after_a_burst() {
        let mut limit = RateLimit::default();
        let admitted = (0..100).filter(|_| limit.admit("bad packet").is_some()).count();
        assert_eq!(admitted, BURST as usize);
        assert!(limit.admit("another kind").is_some());
        for n in 0..1000 {
            limit.admit(&format!("kind {n}"));
        }
        assert!(limit.kinds.len() <= KINDS + 1, "{}", limit.kinds.len());
    }
}
