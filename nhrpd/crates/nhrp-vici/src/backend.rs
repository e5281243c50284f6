//! Which peers need a security association, and what charon is to do for them. No I/O and no clock: packets go in and
//! come out, and the time is an argument.
//!
//! Two ways to a chosen peer, found out by a probe at each connection:
//!
//! - [`Mode::Patched`]: a charon with the patches that FRR's nhrpd needs, driven as FRR drives it (`initiate` with the
//!   addresses of both ends, events for each state of a CHILD SA);
//! - [`Mode::Stock`]: any other. Each peer gets a copy of the profile with its address in it (see [`crate::template`]).
//!   Where the profile's text cannot be read, its trap policy is installed, and packets to a peer start the negotiation.
//!
//! An SA is up when charon says so by an event or in a list, never because a command was answered. SAs are counted by
//! charon's numbers, so that rekeying and double ones are no news to anybody. The last one's end is told after
//! [`HOLD`], because strongSwan 5.9 reauthenticates by breaking first. When charon goes away nothing is told for
//! [`GRACE`]: the kernel has the SAs still, and charon may come back and list them.

mod attempt;
mod duplicates;
mod events;
mod reach;
mod status;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use crate::message::Section;
use crate::packet::Packet;
use crate::settings::Files;
use crate::template::Template;

pub use status::{PeerStatus, Status};

/// How long the last SA of a peer may be gone before that is told. strongSwan 5.9 reauthenticates by breaking first, within
/// 0.1 s if nothing is lost; a packet that is, charon repeats after 4 s by default.
pub const HOLD: Duration = Duration::from_secs(5);
/// How long charon may be gone before its SAs are taken for lost.
pub const GRACE: Duration = Duration::from_secs(30);
/// Peers that are negotiated with at the same time; others wait for their turn.
pub const PARALLEL: usize = 32;
/// An attempt that has brought nothing for so long is given up.
pub const ATTEMPT: Duration = Duration::from_secs(15);
/// How long charon may take to answer a command, all of which it answers at once.
pub const ANSWER: Duration = Duration::from_secs(30);
/// How long the log is followed after the last attempt.
pub const LINGER: Duration = Duration::from_secs(5);
/// The longest pause between two attempts; the first one is a second.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// SAs that are kept account of: more than one for each peer that `--max-peers` allows by default.
pub const MOST_SAS: usize = 262_144;

/// The two ends of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Own address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
}

/// By which profiles a peer is negotiated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// The one to begin with.
    pub first: String,
    /// Tried when an attempt by the first one fails.
    pub fallback: Option<String>,
}

impl From<&str> for Profiles {
    fn from(first: &str) -> Self {
        Self { first: first.to_owned(), fallback: None }
    }
}

/// What is known about charon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not reached, and why.
    Down(String),
    /// Reached, and being asked what it can do.
    Probing,
    /// With the patches that FRR's nhrpd needs.
    Patched,
    /// As strongSwan's authors publish it.
    Stock,
}

/// Which of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Commands and their answers, and what streams while a command runs. With a patched charon everything.
    Commands,
    /// Events.
    Events,
    /// Lines of its log, while negotiations that were begun here are under way.
    Log,
}

/// What the owner of the connections is to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Send a packet.
    Send(Channel, Packet),
    /// Open the second connection, then call [`Backend::events_connected`].
    OpenEvents,
    /// Open a connection for lines of the log.
    OpenLog,
    /// Close that one.
    CloseLog,
    /// Close all connections; [`Backend::lost`] was called.
    Close,
}

/// What the user of this crate is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Packets between the two are protected.
    Up {
        /// Between whom.
        pair: Pair,
        /// The authenticated identity of the peer; empty if there are several at that address.
        identity: String,
    },
    /// They have been without protection for less than [`HOLD`], and are protected by a new IKE SA: what the peer knows
    /// of us may be lost.
    Remade {
        /// Between whom.
        pair: Pair,
    },
    /// They are not any more.
    Down {
        /// Between whom.
        pair: Pair,
    },
    /// Something for the log. `kind` is the same for similar ones.
    Notice {
        /// Whether an operator has to do something.
        warning: bool,
        /// Similar ones have the same.
        kind: &'static str,
        /// In words.
        text: String,
    },
}

/// A command that was or will be sent.
#[derive(Clone, Debug, PartialEq)]
enum Command {
    Version,
    ListSas,
    /// A copy of a profile for a peer.
    Load(Pair, String),
    /// For the attempt of this number.
    Initiate(Pair, u32),
    Install(String),
    /// An IKE SA by its number.
    Terminate(u32),
    /// A CHILD SA by its number.
    TerminateChild(u32),
    /// What does not come to an end by itself, by the name of its connection, which only one peer has.
    Abandon(String),
    Unload(String),
}

impl Command {
    /// VICI's.
    fn name(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::ListSas => "list-sas",
            Self::Load(..) => "load-conn",
            Self::Initiate(..) => "initiate",
            Self::Install(_) => "install",
            Self::Terminate(_) | Self::TerminateChild(_) | Self::Abandon(_) => "terminate",
            Self::Unload(_) => "unload-conn",
        }
    }
}

/// A CHILD SA that is up.
#[derive(Clone, Debug)]
struct Child {
    pair: Pair,
    ike: u32,
    ike_name: String,
    /// Who the peer is in this IKE SA.
    identity: String,
    selectors: String,
    /// Of a tunnel from host to host: then these are the pair.
    ends: Option<(IpAddr, IpAddr)>,
    /// The IKE SA was begun here.
    initiator: bool,
    initiator_spi: String,
}

/// How far an attempt to get an SA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Idle,
    /// The next one begins then.
    Pause(Instant),
    /// It begins when another one ends.
    Queued,
    /// charon is being told.
    Asked,
    /// charon negotiates, until then at most.
    Negotiating(Instant),
    /// Packets to the peer start it.
    Trapped,
}

/// The connection that was loaded for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Loaded {
    name: String,
    /// The profile that it is a copy of.
    profile: String,
}

#[derive(Debug)]
struct Peer {
    wish: Option<Profiles>,
    /// The first profile has failed, it is the other one's turn; and why it has.
    fallen_back: Option<String>,
    children: BTreeSet<u32>,
    identity: String,
    /// The owner was told that it is up.
    told: bool,
    phase: Phase,
    /// Which attempt it is: an answer that charon owes may be about the one before.
    attempt: u32,
    /// When the loss of the last SA is told.
    hold: Option<Instant>,
    /// Since when it has several SAs that do the same.
    several: Option<Instant>,
    /// Attempts in vain since the last SA.
    failures: u32,
    last_error: Option<String>,
    /// What charon has said about the attempt under way.
    said: Option<String>,
    /// The connection that was made for it is loaded.
    loaded: Option<Loaded>,
    timer: Option<Instant>,
}

impl Peer {
    fn new() -> Self {
        Self {
            wish: None,
            fallen_back: None,
            children: BTreeSet::new(),
            identity: String::new(),
            told: false,
            phase: Phase::Idle,
            attempt: 0,
            hold: None,
            several: None,
            failures: 0,
            last_error: None,
            said: None,
            loaded: None,
            timer: None,
        }
    }

    /// The profile of the attempt that is under way or comes next.
    fn profile(&self) -> Option<&str> {
        let wish = self.wish.as_ref()?;
        let fallback = wish.fallback.as_deref().filter(|_| self.fallen_back.is_some());
        Some(fallback.unwrap_or(&wish.first))
    }
}

/// See the module's documentation.
pub struct Backend {
    now: Instant,
    mode: Mode,
    /// charon's SAs were listed since the connection was made.
    synchronised: bool,
    version: Option<String>,
    peers: BTreeMap<Pair, Peer>,
    children: HashMap<u32, Child>,
    timers: BTreeSet<(Instant, Pair)>,
    /// Peers that wait for their turn.
    queue: VecDeque<Pair>,
    /// Peers in [`Phase::Asked`] or [`Phase::Negotiating`].
    active: usize,
    commands: VecDeque<Command>,
    in_flight: Option<Command>,
    /// Numbers seen in the list under way.
    listed: Option<HashSet<u32>>,
    /// Names of events still to be confirmed on either connection.
    registering: VecDeque<(Channel, &'static str)>,
    give_up_at: Option<Instant>,
    /// When charon counts as hung, if it owes an answer.
    answer_due: Option<Instant>,
    /// Peers by the names of the connections that were loaded for them.
    by_name: HashMap<String, Pair>,
    /// Profiles that were read, and when.
    templates: HashMap<String, (Instant, Result<Rc<Template>, String>)>,
    /// Lines of the log are being told.
    log_open: bool,
    /// They are not needed any more from then on.
    log_until: Option<Instant>,
    /// Profiles whose trap policies were asked for.
    traps: HashSet<String>,
    files: Box<dyn Files>,
    swanctl_conf: PathBuf,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    last_error: Option<String>,
    reach: reach::Reach,
    rng: StdRng,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend")
            .field("mode", &self.mode)
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// One that knows no charon yet. `swanctl_conf` is where profiles are read.
    #[must_use]
    pub fn new(now: Instant, files: Box<dyn Files>, swanctl_conf: PathBuf, rng: StdRng) -> Self {
        Self {
            now,
            mode: Mode::Down("not connected yet".to_owned()),
            synchronised: false,
            version: None,
            peers: BTreeMap::new(),
            children: HashMap::new(),
            timers: BTreeSet::new(),
            queue: VecDeque::new(),
            active: 0,
            commands: VecDeque::new(),
            in_flight: None,
            listed: None,
            registering: VecDeque::new(),
            give_up_at: None,
            answer_due: None,
            by_name: HashMap::new(),
            templates: HashMap::new(),
            log_open: false,
            log_until: None,
            traps: HashSet::new(),
            files,
            swanctl_conf,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            last_error: None,
            reach: reach::Reach::default(),
            rng,
        }
    }

    /// What is known about charon.
    #[must_use]
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn is_reached(&self) -> bool {
        matches!(self.mode, Mode::Patched | Mode::Stock)
    }

    /// Whether [`Backend::poll_event`] has something.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Backend::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let first = self.timers.first().map(|(at, _)| *at);
        [first, self.give_up_at, self.answer_due, self.log_until].into_iter().flatten().min()
    }

    /// A peer needs an SA by a profile; asked again with another profile, by that one from the next attempt on. `eager`:
    /// begin at once. Otherwise the end with the higher address waits a moment, because often both ends want the same.
    pub fn want(&mut self, now: Instant, pair: Pair, profiles: &Profiles, eager: bool) {
        self.now = now.max(self.now);
        let peer = self.peers.entry(pair).or_insert_with(Peer::new);
        let former = peer.wish.replace(profiles.clone());
        let changed = former.is_some_and(|former| former != *profiles);
        if changed {
            peer.fallen_back = None;
        }
        if peer.told && peer.hold.is_none() {
            return;
        }
        let waits = matches!(peer.phase, Phase::Idle) || (changed && matches!(peer.phase, Phase::Pause(_)));
        if waits && peer.children.is_empty() {
            let delay = if eager || pair.local < pair.remote { Duration::ZERO } else { attempt::POLITENESS };
            self.begin_after(pair, delay);
        }
    }

    /// A peer needs no SA any more. `terminate`: those that it has are to end; nobody else's do.
    pub fn release(&mut self, now: Instant, pair: Pair, terminate: bool) {
        self.now = now.max(self.now);
        let Some(peer) = self.peers.get_mut(&pair) else { return };
        peer.wish = None;
        peer.fallen_back = None;
        let children = if terminate { peer.children.clone() } else { BTreeSet::new() };
        self.end_attempt(pair);
        self.terminate(&children);
        self.unload(pair);
        self.forget_if_unused(pair);
        self.next_command();
    }

    /// Ends these CHILD SAs, and IKE SAs that are ours and have no others.
    fn terminate(&mut self, ids: &BTreeSet<u32>) {
        let mut ended = HashSet::new();
        for id in ids {
            let Some(Child { pair, ike, ike_name, .. }) = self.children.get(id) else { continue };
            let in_it = |other: &u32| self.children.get(other).is_some_and(|child| child.ike == *ike);
            let others = self.peers.get(pair).map(|peer| &peer.children);
            let alone = others.is_none_or(|o| !o.iter().any(|other| in_it(other) && !ids.contains(other)));
            let command = if alone && self.is_ours(ike_name) {
                if !ended.insert(*ike) {
                    continue;
                }
                Command::Terminate(*ike)
            } else {
                // Somebody else's connection, or one that carries more.
                Command::TerminateChild(*id)
            };
            self.commands.push_back(command);
        }
    }

    /// Whether a connection was made here, or is a profile that is used here.
    fn is_ours(&self, connection: &str) -> bool {
        self.mode == Mode::Patched
            || connection.starts_with(attempt::PREFIX)
            || self.traps.contains(connection)
            || self
                .templates
                .values()
                .filter_map(|(_, read)| read.as_ref().ok())
                .any(|template| template.connection == connection)
    }

    /// Time has passed.
    pub fn deadline(&mut self, now: Instant) {
        self.now = now.max(self.now);
        if self.answer_due.is_some_and(|at| at <= self.now) {
            self.hung();
        }
        if self.give_up_at.is_some_and(|at| at <= self.now) {
            self.give_up_at = None;
            self.lose_children_except(&HashSet::new());
        }
        if self.log_until.is_some_and(|at| at <= self.now) {
            self.log_until = None;
            self.log_open = false;
            self.actions.push_back(Action::CloseLog);
        }
        while let Some((at, pair)) = self.timers.first().copied() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            if let Some(peer) = self.peers.get_mut(&pair) {
                peer.timer = None;
            }
            self.on_timer(pair);
        }
        self.next_command();
    }

    fn on_timer(&mut self, pair: Pair) {
        let Some(peer) = self.peers.get_mut(&pair) else { return };
        if peer.hold.is_some_and(|at| at <= self.now) {
            peer.hold = None;
            if peer.children.is_empty() && std::mem::take(&mut peer.told) {
                self.events.push_back(Event::Down { pair });
            }
        }
        self.end_duplicates(pair);
        self.attempt_timer(pair);
        self.arm(pair);
        self.forget_if_unused(pair);
    }

    /// Arms the one timer of a peer for what comes first.
    fn arm(&mut self, pair: Pair) {
        let duplicates = self.duplicates_due(pair);
        let Some(peer) = self.peers.get_mut(&pair) else { return };
        let phase = match peer.phase {
            Phase::Pause(at) | Phase::Negotiating(at) => Some(at),
            Phase::Idle | Phase::Queued | Phase::Asked | Phase::Trapped => None,
        };
        let at = [phase, peer.hold, duplicates].into_iter().flatten().min();
        if at == peer.timer {
            return;
        }
        if let Some(old) = std::mem::replace(&mut peer.timer, at) {
            self.timers.remove(&(old, pair));
        }
        if let Some(at) = at {
            self.timers.insert((at, pair));
        }
    }

    fn forget_if_unused(&mut self, pair: Pair) {
        let unused = |peer: &Peer| peer.wish.is_none() && peer.children.is_empty() && !peer.told;
        if self.peers.get(&pair).is_some_and(unused) {
            self.set_phase(pair, Phase::Idle);
            if let Some(timer) = self.peers.remove(&pair).and_then(|peer| peer.timer) {
                self.timers.remove(&(timer, pair));
            }
        }
    }

    fn notice(&mut self, warning: bool, kind: &'static str, text: String) {
        if warning {
            self.last_error = Some(text.clone());
        }
        self.events.push_back(Event::Notice { warning, kind, text });
    }

    fn register(&mut self, channel: Channel, name: &'static str) {
        self.registering.push_back((channel, name));
        self.answer_due = Some(self.now + ANSWER);
        self.actions.push_back(Action::Send(channel, Packet::Register(name.to_owned())));
    }

    fn request(&mut self, name: &str, arguments: Section) {
        self.answer_due = Some(self.now + ANSWER);
        self.actions.push_back(Action::Send(Channel::Commands, Packet::Request(name.to_owned(), arguments)));
    }
}
