//! One connection to zebra after another, without socket and clock.
//!
//! Owns the state of the session: which epoch zebra speaks, the start sequence, the end of zebra's dump, the octets
//! to write. Fed with octets read, asked for events and octets to write. Never waits and never logs a connection.
//!
//! Finding the epoch: the newest HELLO goes first and nothing else. A zebra from 10.0 on answers CAPABILITIES, whose
//! length tells which; an older one answers ERROR, whose number tells which, and is then sent its own HELLO. Only a
//! matching CAPABILITIES lets anything else through, with a forced release too. What zebra calls itself over its vty
//! settles what the probe cannot tell (10.0 or 10.1), and must not contradict it.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use crate::buffer::Reader;
use crate::frame::FrameBuffer;
use crate::{
    Afi, Command, Decoded, Epoch, Event, FrameError, Header, Message, Release, ReleaseTable, Request,
    RunningFrr, Statistics, VRF_DEFAULT, ZebraError,
};

/// An interface that cannot exist. zebra answers requests in order and GRE_GET with exactly one GRE_UPDATE even for
/// an interface it does not know, so the answer to this one marks the end of everything asked before.
const BARRIER_IFINDEX: u32 = 0x7fff_fffe;

/// ERROR type for a command that zebra does not know.
const INVALID_MSG_TYPE: u32 = 2;

/// Decode errors are logged this often per connection; all are counted.
const LOGGED_ERRORS: u32 = 10;

/// Why a connection has to be given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The stream is no ZAPI any more.
    Framing(FrameError),
    /// zebra speaks something else than was forced or known.
    Zebra(ZebraError),
}

impl From<FrameError> for SessionError {
    fn from(error: FrameError) -> Self {
        Self::Framing(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Closed,
    /// The newest HELLO is out.
    ProbingNewest,
    /// The HELLO of this epoch is out; only its CAPABILITIES will do.
    Confirming(&'static ReleaseTable),
    /// Requests flow.
    Open(&'static ReleaseTable),
}

/// The state machine of the connection.
#[derive(Debug)]
pub struct Session {
    socket: PathBuf,
    forced: Option<Release>,
    running: Option<RunningFrr>,
    state: State,
    frames: FrameBuffer,
    events: VecDeque<Event>,
    out: Vec<u8>,
    written: usize,
    /// VRF of the interfaces that are not in the default one.
    vrfs: HashMap<u32, u32>,
    barrier: bool,
    logged_errors: u32,
    statistics: Statistics,
}

impl Session {
    /// A session for the socket named in error texts, with the release that the operator forced.
    #[must_use]
    pub fn new(socket: PathBuf, forced: Option<Release>) -> Self {
        Self {
            socket,
            forced,
            running: None,
            state: State::Closed,
            frames: FrameBuffer::default(),
            events: VecDeque::new(),
            out: Vec::new(),
            written: 0,
            vrfs: HashMap::new(),
            barrier: false,
            logged_errors: 0,
            statistics: Statistics::default(),
        }
    }

    /// What zebra calls itself, for the connections from now on; `None` if it could not be asked.
    pub fn set_running(&mut self, running: Option<RunningFrr>) {
        self.running = running;
    }

    /// See [`Session::set_running`].
    #[must_use]
    pub fn running(&self) -> Option<&RunningFrr> {
        self.running.as_ref()
    }

    /// A transport is there: the first HELLO is queued.
    ///
    /// # Errors
    ///
    /// [`SessionError::Zebra`] if the forced release is not supported.
    pub fn open(&mut self) -> Result<(), SessionError> {
        self.reset();
        let (state, table) = match self.forced {
            Some(release) => {
                let epoch = release.epoch().map_err(|error| SessionError::Zebra(error.into()))?;
                (State::Confirming(ReleaseTable::of(epoch)), ReleaseTable::of(epoch))
            }
            None => (State::ProbingNewest, newest()),
        };
        self.state = state;
        self.queue(table, &Request::Hello);
        Ok(())
    }

    /// The transport is gone. Events not yet polled stay.
    pub fn close(&mut self) {
        self.reset();
        self.state = State::Closed;
    }

    fn reset(&mut self) {
        self.frames.clear();
        self.out.clear();
        self.written = 0;
        self.vrfs.clear();
        self.barrier = false;
        self.logged_errors = 0;
    }

    /// HELLO was answered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// The table in use once the session is open.
    #[must_use]
    pub fn table(&self) -> Option<&'static ReleaseTable> {
        match self.state {
            State::Open(table) => Some(table),
            _ => None,
        }
    }

    /// Counters.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(crate) fn statistics_mut(&mut self) -> &mut Statistics {
        &mut self.statistics
    }

    /// Queues a request. False if it was dropped: no open session, or nothing that the release can express.
    pub fn send(&mut self, request: &Request) -> bool {
        let State::Open(table) = self.state else {
            self.statistics.dropped_requests = self.statistics.dropped_requests.saturating_add(1);
            return false;
        };
        self.queue(table, request)
    }

    fn queue(&mut self, table: &ReleaseTable, request: &Request) -> bool {
        let vrf =
            request.ifindex().and_then(|ifindex| self.vrfs.get(&ifindex)).copied().unwrap_or(VRF_DEFAULT);
        match request.encode(table, vrf, &mut self.out) {
            Ok(()) => {
                self.statistics.count_sent(request.command());
                true
            }
            Err(error) => {
                self.statistics.inexpressible_requests =
                    self.statistics.inexpressible_requests.saturating_add(1);
                tracing::debug!(target: "nhrp::zebra", ?request, %error, "request not sent to zebra");
                false
            }
        }
    }

    /// Queues what FRR's nhrpd says before it closes.
    pub fn say_goodbye(&mut self) {
        for afi in [Afi::Ip, Afi::Ip6] {
            self.send(&Request::NeighUnregister(afi));
        }
    }

    /// Octets to write.
    #[must_use]
    pub fn unwritten(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }

    /// That many octets of [`Session::unwritten`] were written.
    pub fn wrote(&mut self, octets: usize) {
        self.written = self.written.saturating_add(octets).min(self.out.len());
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        } else if self.written > self.out.len() / 2 {
            self.out.drain(..self.written);
            self.written = 0;
        }
        self.statistics.octets_out = self.statistics.octets_out.saturating_add(octets as u64);
        self.statistics.writes = self.statistics.writes.saturating_add(1);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes octets that were read.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: the connection has to be closed. Events of the frames before stay.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.statistics.octets_in = self.statistics.octets_in.saturating_add(bytes.len() as u64);
        self.statistics.reads = self.statistics.reads.saturating_add(1);
        let mut frames = std::mem::take(&mut self.frames);
        frames.extend(bytes);
        let result = loop {
            match frames.next_frame() {
                Ok(Some((header, body))) => {
                    if let Err(error) = self.frame(header, body) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        self.frames = frames;
        result
    }

    fn frame(&mut self, header: Header, body: &[u8]) -> Result<(), SessionError> {
        match self.state {
            State::Closed => Ok(()),
            State::ProbingNewest => self.probed(header, body),
            State::Confirming(table) => self.confirmed(table, header, body),
            State::Open(table) => {
                self.message(table, header, body);
                Ok(())
            }
        }
    }

    fn probed(&mut self, header: Header, body: &[u8]) -> Result<(), SessionError> {
        let answered =
            by_capabilities(header.command, body.len()).filter(|table| same_hello(table, newest()));
        if let Some(table) = answered {
            return self.start(table, header, body);
        }
        if is_unknown_command(header.command, body) {
            let older = tables().find(|table| {
                !same_hello(table, newest()) && table.number(Command::Error) == Some(header.command)
            });
            let Some(table) = older else {
                return Err(self.unknown(format!("it refuses HELLO with ERROR numbered {}", header.command)));
            };
            self.state = State::Confirming(table);
            self.queue(table, &Request::Hello);
        } else if Some(header.command) == newest().number(Command::Capabilities) {
            return Err(self.unknown(format!("CAPABILITIES of {} octets", body.len())));
        }
        // What else comes is news for all clients (interfaces, others that left); the dump will repeat it.
        Ok(())
    }

    fn confirmed(
        &mut self,
        table: &'static ReleaseTable,
        header: Header,
        body: &[u8],
    ) -> Result<(), SessionError> {
        let answered = table.number(Command::Capabilities) == Some(header.command);
        if answered && body.len() == table.capabilities_length {
            return self.start(table, header, body);
        }
        let found = if answered {
            match by_capabilities(header.command, body.len()) {
                Some(other) => format!("it answers as FRR {} does", other.epoch.first_release()),
                None => {
                    let known = body.get(..table.capabilities_length);
                    if let (Some(known), Some(release)) = (known, self.forced) {
                        // A release newer than any known one; the operator says what it is like.
                        tracing::warn!(
                            target: "nhrp::zebra",
                            "zebra answers as no known FRR release; it is taken for {release} because that was forced"
                        );
                        return self.start(table, header, known);
                    }
                    format!("CAPABILITIES of {} octets", body.len())
                }
            }
        } else if is_unknown_command(header.command, body) {
            format!("it refuses that release's HELLO with ERROR numbered {}", header.command)
        } else {
            return Ok(());
        };
        Err(match self.forced {
            Some(forced) => SessionError::Zebra(ZebraError::ReleaseContradiction {
                socket: self.socket.clone(),
                forced,
                found,
            }),
            None => self.unknown(found),
        })
    }

    fn unknown(&self, found: String) -> SessionError {
        SessionError::Zebra(ZebraError::UnknownRelease { socket: self.socket.clone(), found })
    }

    /// zebra's CAPABILITIES is there: announces the session and asks for everything.
    fn start(
        &mut self,
        table: &'static ReleaseTable,
        header: Header,
        body: &[u8],
    ) -> Result<(), SessionError> {
        let table = self.compared(table)?;
        let Ok(Decoded::Message(command, Message::Capabilities(capabilities))) =
            Message::decode(table, header, body)
        else {
            return Ok(());
        };
        self.statistics.count_received(command);
        self.statistics.connections = self.statistics.connections.saturating_add(1);
        self.state = State::Open(table);
        let release = self.forced.unwrap_or_else(|| table.epoch.first_release());
        self.events.push_back(Event::Connected {
            epoch: table.epoch,
            release,
            running: self.running.clone(),
            capabilities,
        });
        for request in [
            // FRR's library asks for the interfaces a second time behind ROUTER_ID_ADD, which only doubles the dump.
            Request::Interfaces,
            Request::RouterId(Afi::Ip),
            Request::Redistribute(Afi::Ip),
            Request::Redistribute(Afi::Ip6),
            Request::NeighRegister(Afi::Ip),
            Request::NeighRegister(Afi::Ip6),
            Request::GreGet { ifindex: BARRIER_IFINDEX },
        ] {
            self.queue(table, &request);
        }
        self.barrier = true;
        Ok(())
    }

    /// The probed or forced table after a look at what zebra calls itself.
    fn compared(&self, table: &'static ReleaseTable) -> Result<&'static ReleaseTable, SessionError> {
        let Some(running) = &self.running else { return Ok(table) };
        let named = running.release.epoch().ok().map(ReleaseTable::of);
        if named == Some(table) {
            if running.release.is_newer_than_known() && self.forced.is_none() {
                tracing::info!(
                    target: "nhrp::zebra",
                    "zebra is FRR {running}, newer than any known one; it speaks the API of FRR {} as far as it tells",
                    table.epoch.first_release()
                );
            }
            return Ok(table);
        }
        if let Some(forced) = self.forced {
            tracing::warn!(
                target: "nhrp::zebra",
                "zebra calls itself FRR {running} over its vty, but is taken for {forced} because that was forced; \
                 remove --zebra-release unless this is a build of its own"
            );
            return Ok(table);
        }
        // 10.0 and 10.1 answer the probe alike.
        let alike = |other: &&'static ReleaseTable| {
            same_hello(table, other)
                && table.number(Command::Error) == other.number(Command::Error)
                && table.capabilities_length == other.capabilities_length
        };
        named.filter(alike).ok_or_else(|| {
            SessionError::Zebra(ZebraError::NamedOtherwise {
                socket: self.socket.clone(),
                running: running.clone(),
                epoch: table.epoch,
            })
        })
    }

    fn message(&mut self, table: &'static ReleaseTable, header: Header, body: &[u8]) {
        let message = match Message::decode(table, header, body) {
            Ok(Decoded::Message(command, message)) => {
                self.statistics.count_received(command);
                message
            }
            Ok(Decoded::Ignored(_)) => {
                self.statistics.ignored = self.statistics.ignored.saturating_add(1);
                return;
            }
            Ok(Decoded::Unknown(_)) => {
                self.statistics.unknown = self.statistics.unknown.saturating_add(1);
                return;
            }
            Err(error) => {
                self.statistics.decode_errors = self.statistics.decode_errors.saturating_add(1);
                self.logged_errors = self.logged_errors.saturating_add(1);
                if self.logged_errors <= LOGGED_ERRORS {
                    tracing::warn!(
                        target: "nhrp::zebra",
                        "message from zebra skipped: {error}; it is read as FRR {}, check --zebra-release",
                        table.epoch.first_release()
                    );
                }
                return;
            }
        };
        let event = match message {
            // A second answer to HELLO tells nothing new.
            Message::Capabilities(_) => return,
            Message::Error(kind) => {
                self.statistics.refused = self.statistics.refused.saturating_add(1);
                let what = match kind {
                    1 => "a VRF that it does not know",
                    INVALID_MSG_TYPE => "a command that it does not know",
                    _ => "something it does not say",
                };
                tracing::warn!(target: "nhrp::zebra", vrf = header.vrf, "zebra refused a request because of {what}");
                return;
            }
            Message::VrfAdded(vrf) => Event::VrfAdded(vrf),
            Message::VrfDeleted(vrf) => Event::VrfDeleted { vrf: vrf.vrf, name: vrf.name },
            Message::Interface(interface) => {
                if interface.vrf == VRF_DEFAULT {
                    self.vrfs.remove(&interface.ifindex);
                } else {
                    self.vrfs.insert(interface.ifindex, interface.vrf);
                }
                Event::Interface(interface)
            }
            Message::InterfaceDeleted(interface) => {
                self.vrfs.remove(&interface.ifindex);
                Event::InterfaceDeleted(interface)
            }
            Message::AddressAdded(address) => Event::AddressAdded(address),
            Message::AddressDeleted(address) => Event::AddressDeleted(address),
            Message::RouterId(id) => Event::RouterId(id),
            Message::RouteAdded(route) => Event::RouteAdded(route),
            Message::RouteDeleted(route) => Event::RouteDeleted(route),
            Message::Neighbour(neighbour) => Event::Neighbour(neighbour),
            Message::Gre(gre) if gre.ifindex == BARRIER_IFINDEX => {
                if !std::mem::take(&mut self.barrier) {
                    return;
                }
                Event::Synced
            }
            Message::Gre(gre) => Event::GreUpdate(gre),
        };
        self.events.push_back(event);
    }
}

fn tables() -> impl DoubleEndedIterator<Item = &'static ReleaseTable> {
    Epoch::ALL.into_iter().map(ReleaseTable::of)
}

fn newest() -> &'static ReleaseTable {
    ReleaseTable::of(Epoch::Frr10_6)
}

fn same_hello(one: &ReleaseTable, other: &ReleaseTable) -> bool {
    one.number(Command::Hello) == other.number(Command::Hello) && one.route_type_nhrp == other.route_type_nhrp
}

/// The oldest epoch that answers HELLO with this.
fn by_capabilities(command: u16, length: usize) -> Option<&'static ReleaseTable> {
    tables().find(|table| {
        table.number(Command::Capabilities) == Some(command) && table.capabilities_length == length
    })
}

/// An ERROR of any epoch that says that HELLO is no command there.
fn is_unknown_command(command: u16, body: &[u8]) -> bool {
    let mut reader = Reader::new(command, body);
    tables().any(|table| table.number(Command::Error) == Some(command))
        && reader.u32_native("error type") == Ok(INVALID_MSG_TYPE)
        && reader.remaining() == 0
}
