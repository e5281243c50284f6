//! Connections to charon that come and go, and a charon that talks nonsense.
//!
//! Owns what an end of a connection means and when the next one is worth an attempt. A charon that is not there is looked
//! for every second, since it takes some to start. One that is there and of no use (hangs, closes, announces packets
//! without end) is left alone for longer each time, and said once.

use std::time::{Duration, Instant};

use super::{ANSWER, Action, Backend, Channel, Command, GRACE, Mode, Pair, Phase};
use crate::packet::PacketError;

/// Between attempts to reach a charon that is not there.
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause between connections to one that is of no use.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// A connection that was of use for so long was a good one.
const STEADY: Duration = Duration::from_secs(10);
/// The same complaint again after so long.
const AGAIN: Duration = Duration::from_secs(600);

/// What is known of the connections so far.
#[derive(Debug, Default)]
pub(super) struct Reach {
    connected_at: Option<Instant>,
    /// Connections in a row that were of no use.
    failures: u32,
    /// The last loss that was told, and when.
    told: Option<(String, Instant)>,
    /// The loss of the last connection was not told, nor is its successor.
    pub(super) quiet: bool,
    /// Packets and events that were passed over; the first of a connection is told.
    pub(super) odd: u64,
    odd_told: bool,
}

impl Backend {
    /// The connection for commands was made.
    pub fn connected(&mut self, now: Instant) {
        self.now = now.max(self.now);
        self.mode = Mode::Probing;
        self.synchronised = false;
        self.version = None;
        self.templates.clear();
        self.traps.clear();
        self.by_name.clear();
        for peer in self.peers.values_mut() {
            peer.loaded = None;
        }
        self.reach.connected_at = Some(self.now);
        self.reach.odd_told = false;
        self.register(Channel::Commands, "child-state-installed");
    }

    /// The connection for events was made.
    pub fn events_connected(&mut self, now: Instant) {
        self.now = now.max(self.now);
        for name in ["child-updown", "child-rekey", "ike-rekey", "ike-update"] {
            self.register(Channel::Events, name);
        }
    }

    /// A connection ended, or could not be made.
    pub fn lost(&mut self, now: Instant, reason: &str) {
        self.now = now.max(self.now);
        let was_there = !matches!(self.mode, Mode::Down(_));
        if was_there {
            self.judge_connection(reason);
        } else {
            // Nobody is there: a charon that starts is a new one.
            self.reach.failures = 0;
        }
        self.mode = Mode::Down(reason.to_owned());
        self.commands.clear();
        self.in_flight = None;
        self.listed = None;
        self.registering.clear();
        self.answer_due = None;
        self.log_open = false;
        self.log_until = None;
        self.actions.clear();
        self.queue.clear();
        self.active = 0;
        if was_there {
            self.actions.push_back(Action::Close);
            // From the first of several connections of no use on.
            self.give_up_at = self.give_up_at.or(Some(self.now + GRACE));
        }
        let pairs: Vec<Pair> = self.peers.keys().copied().collect();
        for pair in pairs {
            self.set_phase(pair, Phase::Idle);
        }
    }

    fn judge_connection(&mut self, reason: &str) {
        let lasted = self.reach.connected_at.take().map(|at| self.now.saturating_duration_since(at));
        let hung = self.answer_due.is_some_and(|at| at <= self.now);
        let steady = self.synchronised && !hung && lasted.is_some_and(|lasted| lasted >= STEADY);
        self.reach.failures = if steady { 0 } else { self.reach.failures.saturating_add(1) };
        let known = |(said, at): &(String, Instant)| said == reason && self.now < *at + AGAIN;
        self.reach.quiet = !steady && self.reach.told.as_ref().is_some_and(known);
        if self.reach.quiet {
            self.last_error = Some(format!("charon is of no use: {reason}"));
            return;
        }
        self.reach.told = Some((reason.to_owned(), self.now));
        self.notice(
            true,
            "charon lost",
            format!(
                "charon is gone: {reason}; what it has set up is kept for now, and it is looked for again; if it stays so, \
                 restart it"
            ),
        );
    }

    /// How long to wait before the next connection.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let doubled = RETRY * (1 << self.reach.failures.min(6));
        if self.reach.failures < 2 { RETRY } else { doubled.min(LONGEST_RETRY) }
    }

    /// A packet came that cannot be read. What was asked for may be answered by the next.
    pub fn unreadable(&mut self, now: Instant, error: &PacketError) {
        self.now = now.max(self.now);
        self.odd(&format!("a packet that cannot be read: {error}"));
    }

    /// Something came that nobody here understands.
    pub(super) fn odd(&mut self, what: &str) {
        self.reach.odd += 1;
        if !std::mem::replace(&mut self.reach.odd_told, true) {
            let text = format!(
                "charon sent {what}; passed over, as are others of the kind ('show nhrp ipsec' counts them)"
            );
            self.notice(true, "odd packet", text);
        }
    }

    /// charon owes an answer for too long.
    pub(super) fn hung(&mut self) {
        let what = self.in_flight.as_ref().map_or("registration of events", Command::name);
        let text = format!("no answer to '{what}' for {} s", ANSWER.as_secs());
        self.lost(self.now, &text);
    }
}
