//! The tokio adapter.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Event, Release, ReleaseTable, Request, Statistics};

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

/// What the client needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// zebra's socket, `/var/run/frr/zserv.api` or what `-z` says.
    pub socket: PathBuf,
    /// `--zebra-release`: not probed, but still checked against zebra's answer.
    pub forced_release: Option<Release>,
    /// Pauses between attempts.
    pub reconnect: Backoff,
    /// Octets that may wait for zebra to read before the connection is given up and built anew.
    pub max_backlog: usize,
    /// How long HELLO may stay without an answer.
    pub answer_timeout: Duration,
}

impl Options {
    /// The defaults, for a socket.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            forced_release: None,
            reconnect: Backoff::default(),
            max_backlog: 8 << 20,
            answer_timeout: Duration::from_secs(30),
        }
    }
}

/// The connection to zebra. Has no task of its own: everything happens within [`ZebraClient::next`].
#[derive(Debug)]
pub struct ZebraClient {
    options: Options,
    statistics: Statistics,
}

impl ZebraClient {
    /// Does not connect yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, statistics: Statistics::default() }
    }

    /// The next event. Connects, reconnects, reads, decodes, writes what [`ZebraClient::send`] queued. Cancel-safe:
    /// dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        std::future::pending().await
    }

    /// Queues a request; it is written by the next poll of [`ZebraClient::next`], many in one system call.
    /// Dropped (and counted) unless [`ZebraClient::is_connected`].
    pub fn send(&mut self, _request: Request) {}

    /// Between the delivery of [`Event::Connected`] and the end of that connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let _ = &self.options;
        false
    }

    /// What the connected zebra's release is like.
    #[must_use]
    pub fn table(&self) -> Option<&'static ReleaseTable> {
        None
    }

    /// Counters.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Ends the neighbour registrations, writes what is queued, closes. zebra then removes the routes.
    pub async fn close(&mut self) {}
}
