//! The connection to zebra on tokio.
//!
//! Owns the socket, the pauses between attempts and what the operator reads about the connection. Has no task of its
//! own: everything happens while [`ZebraClient::next`] is polled. Never blocks and never loses an event or a request
//! when that future is dropped.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    DisconnectReason, Event, RedistributedRoute, Release, ReleaseTable, Request, RunningFrr, Session,
    SessionError, Statistics, WithdrawnRoute, ZebraError,
};

/// Octets asked for in one read.
const READ: usize = 64 << 10;
/// Reads in a row before the events go out, so that a flood does not grow the queue without bound.
const READS_IN_A_ROW: usize = 4;
/// FRR's daemons ask for as much.
const SEND_BUFFER: usize = 1 << 20;
/// How long [`ZebraClient::close`] waits for zebra to read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long zebra's socket is left alone after echoes of own routes: zebra tells each on its own as the kernel takes it, for
/// seconds if there were thousands, and to be woken for each costs more than the route.
const REST: Duration = Duration::from_millis(20);
/// An absent zebra is mentioned again after this long.
const REMIND: Duration = Duration::from_secs(600);

/// How often a connection is tried. The first try is made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause between the first failures.
    pub fast: Duration,
    /// How many of them.
    pub fast_tries: u32,
    /// Pause after that.
    pub slow: Duration,
}

impl Default for Backoff {
    /// As FRR 10.3: 1 s for 30 failures, then 5 s.
    fn default() -> Self {
        Self { fast: Duration::from_secs(1), fast_tries: 30, slow: Duration::from_secs(5) }
    }
}

impl Backoff {
    fn pause(&self, failures: u32) -> Duration {
        if failures <= self.fast_tries { self.fast } else { self.slow }
    }
}

/// What the client needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// zebra's socket, `/var/run/frr/zserv.api` or what `-z` says.
    pub socket: PathBuf,
    /// `--zebra-release`: not probed, but still checked against zebra's answer.
    pub forced_release: Option<Release>,
    /// zebra's vty socket, `/var/run/frr/zebra.vty`, to ask what zebra calls itself. Without it, or without an answer,
    /// the probe decides alone.
    pub vty: Option<PathBuf>,
    /// Pauses between attempts.
    pub reconnect: Backoff,
    /// Octets that may wait for zebra to read before the connection is given up and built anew.
    pub max_backlog: usize,
    /// How long HELLO may stay without an answer.
    pub answer_timeout: Duration,
    /// Whether routes of type NHRP are events. zebra tells them back to who announced them; a daemon that knows what it
    /// announced is spared being woken for each.
    pub own_routes: bool,
}

impl Options {
    /// The defaults, for a socket.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            forced_release: None,
            vty: None,
            reconnect: Backoff::default(),
            max_backlog: 8 << 20,
            answer_timeout: Duration::from_secs(30),
            own_routes: true,
        }
    }
}

/// A connection, and what zebra calls itself.
type Reached = (UnixStream, Option<RunningFrr>);
type Connecting = Pin<Box<dyn Future<Output = io::Result<Reached>> + Send>>;

enum Link {
    /// Next attempt then.
    Waiting(Instant),
    /// Kept across polls: an attempt that starts anew with every poll might never end.
    Connecting(Connecting),
    /// A stream; while HELLO is unanswered, until when.
    Up { stream: UnixStream, deadline: Instant },
    /// [`ZebraClient::close`] was called.
    Closed,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Connecting(_) => "Connecting",
            Self::Up { .. } => "Up",
            Self::Closed => "Closed",
        })
    }
}

/// Connects, then asks for the name: a zebra that is not there is not asked.
async fn reach(socket: PathBuf, vty: Option<PathBuf>) -> io::Result<Reached> {
    let stream = UnixStream::connect(socket).await?;
    let Some(vty) = vty else { return Ok((stream, None)) };
    let running = RunningFrr::ask(&vty).await;
    if let Err(error) = &running {
        tracing::debug!(target: "nhrp::zebra", "zebra's release not asked at {}: {error}", vty.display());
    }
    Ok((stream, running.ok()))
}

/// What woke [`ZebraClient::next`].
enum Woken {
    Ready,
    Connected(Reached),
    Failed(io::Error),
    NoAnswer,
}

/// The connection to zebra.
#[derive(Debug)]
pub struct ZebraClient {
    options: Options,
    session: Session,
    link: Link,
    failures: u32,
    /// The daemon has seen `Connected` and not yet lost that connection.
    connected: bool,
    /// What was last said about a failure, and when.
    complaint: Option<(String, Instant)>,
    buffer: Vec<u8>,
    /// Comes behind the session's own events.
    disconnected: Option<DisconnectReason>,
    error: Option<ZebraError>,
    /// Echoes of own routes were passed over since the socket was last waited for.
    echoed: bool,
    /// The socket is not looked at before.
    rest_until: Option<Instant>,
}

impl ZebraClient {
    /// A client that connects when it is polled.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let session = Session::new(options.socket.clone(), options.forced_release);
        Self {
            options,
            session,
            link: Link::Waiting(Instant::now()),
            failures: 0,
            connected: false,
            complaint: None,
            buffer: vec![0; READ],
            disconnected: None,
            error: None,
            echoed: false,
            rest_until: None,
        }
    }

    /// The next event. Connects, reconnects, reads, decodes, and writes what [`ZebraClient::send`] queued.
    /// Cancel-safe: dropping the future loses nothing. Pending for ever after [`ZebraClient::close`].
    pub async fn next(&mut self) -> Event {
        loop {
            self.flush();
            if let Some(event) = self.queued() {
                return event;
            }
            if std::mem::take(&mut self.echoed) {
                self.rest_until = Some(Instant::now() + REST);
            }
            match self.wait().await {
                Woken::Ready => self.read(),
                Woken::Connected((stream, running)) => self.up(stream, running),
                Woken::Failed(error) => self.absent(&error),
                Woken::NoAnswer => {
                    let error = ZebraError::NoAnswer {
                        socket: self.options.socket.clone(),
                        seconds: self.options.answer_timeout.as_secs(),
                    };
                    self.unusable(error);
                }
            }
        }
    }

    /// The next of the events that were read together with the last one, without a look at the socket.
    pub fn queued(&mut self) -> Option<Event> {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::RouteAdded(RedistributedRoute { is_nhrp: true, .. })
                | Event::RouteDeleted(WithdrawnRoute { is_nhrp: true, .. })
                    if !self.options.own_routes =>
                {
                    self.echoed = true;
                    continue;
                }
                Event::Connected { .. } => {
                    // Unless it is already over again, in which case requests have nowhere to go.
                    self.connected = self.session.is_open();
                }
                Event::Synced => {
                    tracing::info!(target: "nhrp::zebra", "zebra's interfaces, addresses and routes are complete");
                }
                _ => {}
            }
            return Some(event);
        }
        if let Some(reason) = self.disconnected.take() {
            return Some(Event::Disconnected { reason });
        }
        self.error.take().map(Event::Error)
    }

    async fn wait(&mut self) -> Woken {
        loop {
            match &mut self.link {
                Link::Closed => std::future::pending().await,
                Link::Waiting(until) => {
                    // Not even one poll of a timer that is due, for a loop that drops this future at once.
                    if Instant::now() < *until {
                        sleep_until(*until).await;
                    }
                    let attempt = reach(self.options.socket.clone(), self.options.vty.clone());
                    self.link = Link::Connecting(Box::pin(attempt));
                }
                Link::Connecting(attempt) => {
                    return match attempt.as_mut().await {
                        Ok(reached) => Woken::Connected(reached),
                        Err(error) => Woken::Failed(error),
                    };
                }
                Link::Up { stream, deadline } => {
                    if let Some(until) = self.rest_until {
                        sleep_until(until).await;
                        self.rest_until = None;
                    }
                    let interest = if self.session.unwritten().is_empty() {
                        Interest::READABLE
                    } else {
                        Interest::READABLE | Interest::WRITABLE
                    };
                    let ready = stream.ready(interest);
                    let ready = if self.session.is_open() {
                        ready.await
                    } else {
                        tokio::select! {
                            ready = ready => ready,
                            () = sleep_until(*deadline) => return Woken::NoAnswer,
                        }
                    };
                    return match ready {
                        Ok(_) => Woken::Ready,
                        Err(error) => Woken::Failed(error),
                    };
                }
            }
        }
    }

    fn up(&mut self, stream: UnixStream, running: Option<RunningFrr>) {
        // A smaller buffer only means more writes.
        if let Err(error) = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER) {
            tracing::debug!(target: "nhrp::zebra", %error, "send buffer of zebra's socket left as it is");
        }
        self.link = Link::Up { stream, deadline: Instant::now() + self.options.answer_timeout };
        self.session.set_running(running);
        match self.session.open() {
            Ok(()) => {}
            Err(SessionError::Zebra(error)) => self.unusable(error),
            Err(SessionError::Framing(error)) => self.lost(DisconnectReason::Framing(error)),
        }
    }

    fn read(&mut self) {
        for _ in 0..READS_IN_A_ROW {
            let Link::Up { stream, .. } = &self.link else { return };
            let was_open = self.session.is_open();
            match stream.try_read(&mut self.buffer) {
                Ok(0) => return self.lost(DisconnectReason::ClosedByZebra),
                Ok(octets) => {
                    let result = self.session.receive(self.buffer.get(..octets).unwrap_or_default());
                    if !was_open && self.session.is_open() {
                        self.opened();
                    }
                    match result {
                        Ok(()) if octets < self.buffer.len() => return,
                        Ok(()) => {}
                        Err(SessionError::Framing(error)) => {
                            return self.lost(DisconnectReason::Framing(error));
                        }
                        Err(SessionError::Zebra(error)) => return self.unusable(error),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lost(DisconnectReason::Io(error.to_string())),
            }
        }
    }

    /// Writes what is queued as far as zebra's socket takes it, without waiting. [`ZebraClient::next`] does this each
    /// time it is polled anew; calling it is of use only if that may take long.
    pub fn flush(&mut self) {
        loop {
            let Link::Up { stream, .. } = &self.link else { return };
            let unwritten = self.session.unwritten();
            if unwritten.is_empty() {
                return;
            }
            match stream.try_write(unwritten) {
                Ok(octets) => self.session.wrote(octets),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What zebra wrote before it went away is still to be read; the end of the stream follows it.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.read();
                    if matches!(self.link, Link::Up { .. }) {
                        self.lost(DisconnectReason::ClosedByZebra);
                    }
                    return;
                }
                Err(error) => return self.lost(DisconnectReason::Io(error.to_string())),
            }
        }
    }

    fn opened(&mut self) {
        self.failures = 0;
        self.complaint = None;
        if let Some(table) = self.session.table() {
            let how = if self.options.forced_release.is_some() { "forced" } else { "detected" };
            let name = self.session.running().map(|running| format!("calls itself FRR {running} and "));
            tracing::info!(
                target: "nhrp::zebra",
                socket = %self.options.socket.display(),
                "connected to zebra, which {}speaks the API of FRR {} ({how})",
                name.unwrap_or_default(),
                table.epoch.first_release()
            );
        }
    }

    /// The connection ended.
    fn lost(&mut self, reason: DisconnectReason) {
        let was_open = self.down();
        if was_open {
            tracing::warn!(
                target: "nhrp::zebra",
                socket = %self.options.socket.display(),
                "connection to zebra lost: {reason}; routes are announced again when it is back"
            );
            self.disconnected = Some(reason);
        } else {
            self.complain(format!("zebra at {}: {reason}", self.options.socket.display()));
        }
    }

    /// zebra is there but cannot be used.
    fn unusable(&mut self, error: ZebraError) {
        let was_open = self.down();
        if was_open {
            self.disconnected = Some(DisconnectReason::Io(error.to_string()));
        } else if self.complain(error.to_string()) {
            self.error = Some(error);
        }
    }

    /// There is no zebra.
    fn absent(&mut self, error: &io::Error) {
        if matches!(self.link, Link::Up { .. }) {
            return self.lost(DisconnectReason::Io(error.to_string()));
        }
        self.down();
        let socket = self.options.socket.display();
        let text = match error.kind() {
            // A socket that is missing and one left behind by a dead zebra are the same to the operator.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                format!("no zebra listens at {socket}; start zebra, or name its socket with -z; trying on")
            }
            io::ErrorKind::PermissionDenied => format!(
                "zebra's socket {socket} may not be opened ({error}); run as its owner (user frr) or root; trying on"
            ),
            _ => format!("no connection to zebra at {socket}: {error}; trying on"),
        };
        self.complain(text);
    }

    /// Closes and plans the next attempt. True if a session was open.
    fn down(&mut self) -> bool {
        let was_open = self.session.is_open();
        self.session.close();
        self.connected = false;
        self.failures = self.failures.saturating_add(1);
        let statistics = self.session.statistics_mut();
        let counter = if was_open { &mut statistics.disconnections } else { &mut statistics.failed_attempts };
        *counter = counter.saturating_add(1);
        self.link = Link::Waiting(Instant::now() + self.options.reconnect.pause(self.failures));
        was_open
    }

    /// Says why there is no connection, once for each reason and again now and then. True the first time.
    fn complain(&mut self, text: String) -> bool {
        let now = Instant::now();
        if let Some((said, at)) = &self.complaint
            && *said == text
        {
            if now.duration_since(*at) < REMIND {
                return false;
            }
            tracing::warn!(target: "nhrp::zebra", attempts = self.failures, "{text}");
            self.complaint = Some((text, now));
            return false;
        }
        tracing::warn!(target: "nhrp::zebra", "{text}");
        self.complaint = Some((text, now));
        true
    }

    /// Queues a request; the next poll of [`ZebraClient::next`] writes it, many in one system call. Dropped and
    /// counted unless [`ZebraClient::is_connected`]: after [`Event::Connected`] the daemon sends everything again. If
    /// more than [`Options::max_backlog`] octets wait for zebra, the connection is given up and built anew.
    pub fn send(&mut self, request: Request) {
        if !self.connected {
            let statistics = self.session.statistics_mut();
            statistics.dropped_requests = statistics.dropped_requests.saturating_add(1);
            return;
        }
        self.session.send(&request);
        let (queued, limit) = (self.session.unwritten().len(), self.options.max_backlog);
        if queued > limit {
            self.flush();
            let queued = self.session.unwritten().len();
            if queued > limit {
                self.lost(DisconnectReason::Backlog { queued, limit });
            }
        }
    }

    /// Between the delivery of [`Event::Connected`] and the end of that connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What the connected zebra's release is like.
    #[must_use]
    pub fn table(&self) -> Option<&'static ReleaseTable> {
        self.session.table()
    }

    /// Counters.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        self.session.statistics()
    }

    /// The socket.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Ends the neighbour registrations, writes what is queued (for at most 1 s), closes. zebra then removes the
    /// routes, as it does for FRR's nhrpd.
    pub async fn close(&mut self) {
        self.session.say_goodbye();
        let done = timeout(CLOSE_TIMEOUT, async {
            loop {
                self.flush();
                match &self.link {
                    Link::Up { stream, .. } if !self.session.unwritten().is_empty() => {
                        if stream.writable().await.is_err() {
                            break;
                        }
                    }
                    _ => break,
                }
            }
        });
        if done.await.is_err() {
            tracing::warn!(target: "nhrp::zebra", "zebra did not read the farewell; closing anyway");
        }
        self.session.close();
        while self.session.poll_event().is_some() {}
        self.disconnected = None;
        self.error = None;
        self.connected = false;
        self.link = Link::Closed;
    }
}
