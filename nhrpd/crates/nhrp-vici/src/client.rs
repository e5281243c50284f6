//! The sockets: the connections to charon, within the owner's event loop.
//!
//! Owns opening, reading, writing and closing. Never decides anything, never waits for charon: [`Charon::next`] is one of
//! the things that the owner's loop waits for, and may be dropped and called again at any point.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixStream;

use crate::backend::{Action, Backend, Channel, Event, Pair, Profiles, Status};
use crate::packet::{Deframer, Packet, PacketError};
use crate::settings::Files;

/// Octets read in one turn.
const TURN: usize = 64 << 10;
/// Between two looks at charon's log: it comes in many lines, none of which is in a hurry.
const LOG_EVERY: Duration = Duration::from_millis(100);
/// Octets that may wait for charon to read them.
const MOST_WAITING: usize = 4 << 20;

/// Runs something with the rights that files of root need.
pub type Privileged = fn(&mut dyn FnMut());

/// Where charon and its configuration are.
#[derive(Clone, Debug)]
pub struct Options {
    /// VICI sockets, the first one that answers is used.
    pub sockets: Vec<PathBuf>,
    /// `swanctl.conf`.
    pub swanctl_conf: PathBuf,
    /// Both belong to root.
    pub privileged: Privileged,
}

struct SystemFiles(Privileged);

impl SystemFiles {
    fn with_rights<T>(&self, mut what: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut result = Err(io::ErrorKind::Other.into());
        (self.0)(&mut || result = what());
        result
    }
}

impl Files for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.with_rights(|| std::fs::read(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.with_rights(|| std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect())
    }
}

#[derive(Debug)]
struct Link {
    stream: UnixStream,
    deframer: Deframer,
    out: Vec<u8>,
}

impl Link {
    /// Never blocks: a charon that does not accept is one that is not there.
    fn open(options: &Options) -> Result<Self, String> {
        let mut reason = "no socket is configured".to_owned();
        for path in &options.sockets {
            let connect = || -> io::Result<UnixStream> {
                let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
                socket.connect(&SockAddr::unix(path)?)?;
                UnixStream::from_std(socket.into())
            };
            match SystemFiles(options.privileged).with_rights(connect) {
                Ok(stream) => return Ok(Self { stream, deframer: Deframer::default(), out: Vec::new() }),
                Err(error) => {
                    reason = format!(
                        "cannot connect to {}: {error}; is charon running, with its vici plugin?",
                        path.display()
                    );
                }
            }
        }
        Err(reason)
    }

    fn queue(&mut self, packet: &Packet) -> Result<(), String> {
        packet.encode(&mut self.out).map_err(|error| format!("cannot send: {error}"))?;
        if self.out.len() > MOST_WAITING {
            return Err("it does not read what it is sent".to_owned());
        }
        Ok(())
    }

    async fn ready(&self) -> io::Result<()> {
        let interest = if self.out.is_empty() {
            tokio::io::Interest::READABLE
        } else {
            tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
        };
        self.stream.ready(interest).await.map(drop)
    }

    fn write(&mut self) -> Result<(), String> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        match self.stream.try_read(buffer) {
            Ok(0) => Err("it has closed the connection".to_owned()),
            Ok(octets) => {
                self.deframer.push(buffer.get(..octets).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// charon, as the owner's loop has it.
#[derive(Debug)]
pub struct Charon {
    backend: Backend,
    options: Options,
    commands: Option<Link>,
    events: Option<Link>,
    log: Option<Link>,
    /// The log is not looked at before.
    log_at: Option<Instant>,
    /// Somebody needs charon.
    active: bool,
    retry_at: Option<Instant>,
    buffer: Vec<u8>,
}

async fn ready(link: Option<&Link>) -> io::Result<()> {
    match link {
        Some(link) => link.ready().await,
        None => pending().await,
    }
}

impl Charon {
    /// One that is not connected until [`Charon::activate`].
    #[must_use]
    pub fn new(options: Options) -> Self {
        let files = Box::new(SystemFiles(options.privileged));
        let rng = StdRng::from_rng(&mut rand::rng());
        let backend = Backend::new(Instant::now(), files, options.swanctl_conf.clone(), rng);
        Self {
            backend,
            options,
            commands: None,
            events: None,
            log: None,
            log_at: None,
            active: false,
            retry_at: None,
            buffer: vec![0; TURN],
        }
    }

    /// Whether anybody needs charon: it is looked for while somebody does.
    pub fn activate(&mut self, active: bool) {
        if active && !self.active {
            self.retry_at = Some(Instant::now());
        }
        self.active = active;
        if !active {
            self.retry_at = None;
        }
    }

    /// A peer needs an SA; see [`Backend::want`].
    pub fn want(&mut self, pair: Pair, profiles: &Profiles, eager: bool) {
        self.backend.want(Instant::now(), pair, profiles, eager);
    }

    /// A peer needs none any more; see [`Backend::release`].
    pub fn release(&mut self, pair: Pair, terminate: bool) {
        self.backend.release(Instant::now(), pair, terminate);
    }

    /// For `show`.
    #[must_use]
    pub fn status(&self) -> Status {
        self.backend.status()
    }

    /// Number of SAs that are up, of all peers.
    #[must_use]
    pub fn associations(&self) -> usize {
        self.backend.associations()
    }

    /// Number of SAs and identity of a peer.
    #[must_use]
    pub fn sas_of(&self, pair: Pair) -> (u32, &str) {
        self.backend.sas_of(pair)
    }

    /// The next event. Nothing is lost if this is dropped before it is done.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.turn().await {
                return event;
            }
        }
    }

    /// Waits until there is something to do and does it: one reading at most, because a long list must not keep the owner's
    /// loop from everything else. Gives an event if there is one. Nothing is lost if this is dropped before it is done.
    pub async fn turn(&mut self) -> Option<Event> {
        self.carry_out();
        if let Some(event) = self.backend.poll_event() {
            return Some(event);
        }
        let deadline = [self.backend.next_deadline(), self.retry_at, self.log_at].into_iter().flatten().min();
        let sleep = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        let log = self.log.as_ref().filter(|_| self.log_at.is_none());
        tokio::select! {
            _ = ready(self.commands.as_ref()) => self.serve(Channel::Commands),
            _ = ready(self.events.as_ref()) => self.serve(Channel::Events),
            _ = ready(log) => self.serve(Channel::Log),
            () = sleep => self.on_time(),
        }
        self.carry_out();
        self.backend.poll_event()
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        self.backend.deadline(now);
        self.log_at = self.log_at.filter(|at| *at > now);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.connect();
        }
    }

    fn connect(&mut self) {
        if self.commands.is_some() || !self.active {
            return;
        }
        match Link::open(&self.options) {
            Ok(link) => {
                self.commands = Some(link);
                self.backend.connected(Instant::now());
            }
            Err(reason) => self.lose(&reason),
        }
    }

    fn lose(&mut self, reason: &str) {
        self.backend.lost(Instant::now(), reason);
        self.close();
    }

    fn close(&mut self) {
        self.commands = None;
        self.events = None;
        self.log = None;
        self.retry_at = self.active.then(|| Instant::now() + self.backend.retry_after());
    }

    /// Does what the backend wants done, as far as that can be done now.
    fn carry_out(&mut self) {
        while let Some(action) = self.backend.poll_action() {
            match action {
                Action::Send(channel, packet) => {
                    let Some(link) = self.link(channel) else { continue };
                    if let Err(reason) = link.queue(&packet) {
                        self.lose(&reason);
                    }
                }
                Action::OpenEvents => match Link::open(&self.options) {
                    Ok(link) => {
                        self.events = Some(link);
                        self.backend.events_connected(Instant::now());
                    }
                    Err(reason) => self.lose(&reason),
                },
                Action::OpenLog => match Link::open(&self.options) {
                    Ok(link) => {
                        self.log = Some(link);
                        self.log_at = None;
                    }
                    Err(reason) => self.lose(&reason),
                },
                Action::CloseLog => self.log = None,
                Action::Close => self.close(),
            }
        }
        for channel in [Channel::Commands, Channel::Events, Channel::Log] {
            if let Some(Err(reason)) = self.link(channel).map(Link::write) {
                self.lose(&reason);
            }
        }
    }

    fn link(&mut self, channel: Channel) -> Option<&mut Link> {
        match channel {
            Channel::Commands => self.commands.as_mut(),
            Channel::Events => self.events.as_mut(),
            Channel::Log => self.log.as_mut(),
        }
    }

    fn serve(&mut self, channel: Channel) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.link(channel).map_or(Ok(()), |link| link.read(&mut buffer));
        self.buffer = buffer;
        let now = Instant::now();
        if channel == Channel::Log {
            self.log_at = Some(now + LOG_EVERY);
        }
        while let Some(link) = self.link(channel) {
            match link.deframer.next_packet() {
                Ok(Some(packet)) => {
                    tracing::debug!(target: "nhrp::vici", "from charon: {packet:?}");
                    self.backend.packet(now, channel, &packet);
                }
                Ok(None) => break,
                Err(error @ PacketError::TooLong(_)) => return self.lose(&format!("it sent {error}")),
                Err(error) => self.backend.unreadable(now, &error),
            }
        }
        if let Err(reason) = outcome {
            self.lose(&reason);
        }
    }
}
