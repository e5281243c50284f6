//! Counters of the connection to zebra, for `show`, YANG and metrics. Plain integers, read by whoever asks.

use crate::Command;

/// Counts since the start of the daemon, over all connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    received: [u64; Command::ALL.len()],
    sent: [u64; Command::ALL.len()],
    /// Sessions opened: HELLO answered.
    pub connections: u64,
    /// Sessions that ended other than by [`crate::ZebraClient::close`].
    pub disconnections: u64,
    /// Attempts that found no zebra, or no usable one.
    pub failed_attempts: u64,
    /// Messages with a number that this crate does not know; skipped.
    pub unknown: u64,
    /// Messages known but of no use to nhrpd (such as link parameters, Ethernet neighbours); skipped.
    pub ignored: u64,
    /// Messages that did not have the shape of their command; skipped.
    pub decode_errors: u64,
    /// ERROR messages: zebra refused a command or a VRF.
    pub refused: u64,
    /// Requests dropped because there was no session.
    pub dropped_requests: u64,
    /// Requests that the release has no command for.
    pub inexpressible_requests: u64,
    /// Octets read.
    pub octets_in: u64,
    /// Octets written.
    pub octets_out: u64,
    /// System calls that wrote something; compare with the messages sent.
    pub writes: u64,
    /// Reads that brought octets.
    pub reads: u64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            received: [0; Command::ALL.len()],
            sent: [0; Command::ALL.len()],
            connections: 0,
            disconnections: 0,
            failed_attempts: 0,
            unknown: 0,
            ignored: 0,
            decode_errors: 0,
            refused: 0,
            dropped_requests: 0,
            inexpressible_requests: 0,
            octets_in: 0,
            octets_out: 0,
            writes: 0,
            reads: 0,
        }
    }
}

impl Statistics {
    /// Messages of a command received and understood.
    #[must_use]
    pub fn received(&self, command: Command) -> u64 {
        self.received.get(command as usize).copied().unwrap_or(0)
    }

    /// Requests of a command queued for sending.
    #[must_use]
    pub fn sent(&self, command: Command) -> u64 {
        self.sent.get(command as usize).copied().unwrap_or(0)
    }

    /// Messages received and understood, all commands.
    #[must_use]
    pub fn received_total(&self) -> u64 {
        self.received.iter().sum()
    }

    /// Requests queued for sending, all commands.
    #[must_use]
    pub fn sent_total(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// Received and sent, of each command that occurred.
    pub fn by_command(&self) -> impl Iterator<Item = (Command, u64, u64)> + '_ {
        Command::ALL
            .iter()
            .map(|command| (*command, self.received(*command), self.sent(*command)))
            .filter(|(_, received, sent)| *received != 0 || *sent != 0)
    }

    pub(crate) fn count_received(&mut self, command: Command) {
        if let Some(counter) = self.received.get_mut(command as usize) {
            *counter = counter.saturating_add(1);
        }
    }

    pub(crate) fn count_sent(&mut self, command: Command) {
        if let Some(counter) = self.sent.get_mut(command as usize) {
            *counter = counter.saturating_add(1);
        }
    }
}
