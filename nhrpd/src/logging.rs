//! Log messages in FRR's form, to file, syslog and standard output, with levels and debug topics that change while
//! running.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nhrp_config::DebugTopics;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, send, shutdown, socketpair};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use vtysh_plugin::{LiveLog, LiveMessage, LogLevel, Logging, Monitoring, Release};

use crate::process::with_file_rights;

/// syslog's facility `daemon`.
const FACILITY_DAEMON: u8 = 3;
/// Messages of one kind within [`WINDOW`] before the rest is only counted.
const BURST: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// Live logs at a time; one a vtysh is the use of it.
const MAX_MONITORS: usize = 32;

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
    monitors: Vec<Monitor>,
}

/// `terminal monitor` of a session.
#[derive(Debug)]
struct Monitor {
    socket: OwnedFd,
    /// Gone when the session has ended or wants no more; none: only the reader ends it.
    session: Option<Weak<()>>,
    release: Release,
    /// Messages that did not fit into the socket. vtysh computes what is new of them.
    lost: u32,
}

impl Monitor {
    fn is_wanted(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.strong_count() > 0)
    }

    /// Whether the other side still listens.
    fn send(&mut self, level: LogLevel, text: &str) -> bool {
        if !self.is_wanted() {
            return false;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let message = LiveMessage { time, pid: std::process::id(), level, lost: self.lost, text };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), &message.packet(self.release), flags) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::ENOBUFS) => self.lost = self.lost.wrapping_add(1),
            Err(_) => return false,
        }
        true
    }
}

/// Handle to the log: where it goes and what goes there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<State>>);

/// Who named a file, and so whose rights open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// Root, by `--log`: FRR's nhrpd makes that file before it becomes another user, and would have this one go on in it.
    AtStart,
    /// Whoever may configure, by `log file`: nobody gets a file of root's written by that.
    Configured,
}

/// Opens a file for appending.
fn open(path: &str, named: Named) -> std::io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    match named {
        Named::AtStart => with_file_rights(open),
        Named::Configured => open(),
    }
}

fn open_file(path: &str, level: LogLevel, named: Named) -> (OpenFile, Result<(), String>) {
    let (file, outcome) = match open(path, named) {
        Ok(file) => (Some(file), Ok(())),
        Err(error) => (None, Err(error.to_string())),
    };
    (OpenFile { path: path.to_owned(), level, file }, outcome)
}

impl Log {
    /// Makes this the log of the process. `targets` are the values of `--log`.
    pub(crate) fn install(targets: &[String], level: Option<&str>) -> Result<Self, String> {
        let level = match level {
            // Without a target it is never looked at, in FRR neither.
            Some(word) if !targets.is_empty() => {
                parse_level(word).ok_or_else(|| format!("invalid log level \"{word}\""))?
            }
            _ => LogLevel::Debugging,
        };
        let log = Self::default();
        {
            let mut state = log.lock();
            for target in targets {
                match target.split_once(':') {
                    None if target == "stdout" => state.fixed_stdout = Some(level),
                    None if target == "syslog" => state.fixed_syslog = Some(level),
                    Some(("file", path)) => {
                        let (file, outcome) = open_file(path, level, Named::AtStart);
                        if let Err(error) = outcome {
                            // As in FRR no reason not to run; SIGUSR1 tries again.
                            eprintln!("nhrpd: Unable to set log file: {path}: {error}");
                        }
                        state.fixed_file = Some(file);
                    }
                    Some(("monitor", _)) => {
                        eprintln!("nhrpd: --log {target} is not supported; 'terminal monitor' is");
                    }
                    _ => {
                        return Err(format!(
                            "invalid log target \"{target}\": use stdout, syslog or file:NAME"
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
        state.record_priority = logging.record_priority || logging.record_severity;
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
                    let (file, opened) = open_file(path, *level, Named::Configured);
                    outcome = opened.map_err(|_| format!("can't open logfile {path}"));
                    state.file = Some(file);
                }
            }
        }
        drop(state);
        tracing::callsite::rebuild_interest_cache();
        outcome
    }

    /// `terminal monitor`: every message from now on, whatever other targets get, to the socket that is returned.
    pub(crate) fn monitor(&self, release: Release, how: Monitoring) -> std::io::Result<LiveLog> {
        let mut state = self.lock();
        state.monitors.retain(Monitor::is_wanted);
        if state.monitors.len() >= MAX_MONITORS {
            return Err(std::io::Error::other(format!("{MAX_MONITORS} are open; end one of their sessions")));
        }
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // Nobody here would read what a reader writes.
        shutdown(ours.as_raw_fd(), Shutdown::Read)?;
        let session = (how == Monitoring::Session).then(|| Arc::new(()));
        let watched = session.as_ref().map(Arc::downgrade);
        state.monitors.push(Monitor { socket: ours, session: watched, release, lost: 0 });
        Ok(LiveLog { socket: Arc::new(theirs), session })
    }

    /// A message of an operator (`logmsg`), whatever is being debugged.
    pub(crate) fn message(&self, level: LogLevel, text: &str) {
        self.lock().write(level, text);
    }

    /// SIGUSR1: logrotate has moved the files.
    pub(crate) fn reopen(&self) {
        let mut state = self.lock();
        let State { file, fixed_file, .. } = &mut *state;
        for (target, named) in [(file, Named::Configured), (fixed_file, Named::AtStart)] {
            let Some(target) = target else { continue };
            if let Ok(fresh) = open(&target.path, named) {
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

/// A message never ends its line before its own end, nor moves a terminal's cursor: what it quotes may come from anybody.
fn one_line(text: &str) -> Cow<'_, str> {
    // vtysh sends the lines of a file with their ends.
    let text = text.trim_end_matches('\n');
    let harmful = |c: char| c.is_control() && c != '\t';
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
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
        let text = &*one_line(text);
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
        self.monitors.retain_mut(|monitor| monitor.send(level, text));
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
    use nix::sys::socket::recv;

    #[test]
    fn levels_may_be_abbreviated_as_in_frr() {
        assert_eq!(parse_level("debug"), Some(LogLevel::Debugging));
        assert_eq!(parse_level("warn"), Some(LogLevel::Warnings));
        assert_eq!(parse_level("loud"), None);
        assert_eq!(parse_level(""), None);
    }

    #[test]
    fn a_message_is_one_line_whatever_it_quotes() {
        assert_eq!(one_line("show ip nhrp\tcache\n"), "show ip nhrp\tcache");
        assert_eq!(
            one_line("echo x\n2026/01/01 00:00:00 NHRP: forged\r\u{1b}[2J\u{9b}é"),
            "echo x\\n2026/01/01 00:00:00 NHRP: forged\\r\\u{1b}[2J\\u{9b}é"
        );
    }

    #[test]
    fn a_live_log_counts_what_its_reader_missed_and_ends_with_its_session() {
        let log = Log::default();
        let say = |text: &str| log.lock().write(LogLevel::Errors, text);
        let live = log.monitor(Release::new(10, 3), Monitoring::Session).unwrap();
        let receive = || {
            let mut packet = [0; 4200];
            let count = recv(live.socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT).unwrap();
            let lost = u32::from_ne_bytes(packet[32..36].try_into().unwrap());
            (lost, String::from_utf8_lossy(&packet[72..count]).into_owned())
        };
        say("first");
        assert_eq!(receive(), (0, "first".to_owned()));
        for n in 0..10_000 {
            say(&format!("flood {n}"));
        }
        let lost = log.lock().monitors[0].lost;
        assert!(lost > 0, "an unread socket takes everything");
        while recv(live.socket.as_raw_fd(), &mut [0; 4200], MsgFlags::MSG_DONTWAIT).is_ok() {}
        for _ in 0..2 {
            say("after");
            assert_eq!(receive(), (lost, "after".to_owned()));
        }
        drop(live.session);
        say("nobody");
        assert!(log.lock().monitors.is_empty());
    }

    #[test]
    fn a_detached_live_log_ends_with_its_reader_and_there_are_not_many() {
        let log = Log::default();
        let open = || log.monitor(Release::new(8, 4), Monitoring::Detached);
        let mut live: Vec<LiveLog> = (0..MAX_MONITORS).map(|_| open().unwrap()).collect();
        assert!(open().is_err());
        live.pop();
        log.lock().write(LogLevel::Errors, "one has gone");
        assert_eq!(log.lock().monitors.len(), MAX_MONITORS - 1);
        assert!(open().is_ok());
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
