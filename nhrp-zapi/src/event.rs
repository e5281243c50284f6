//! What the client tells the daemon.
//!
//! Owns the list of events and their order: `Connected`, then zebra's state, then `Synced`, then changes, then
//! `Disconnected`. Never an event between `Disconnected` and the next `Connected`, except [`Event::Error`].

use std::path::PathBuf;

use crate::{
    Capabilities, Epoch, Gre, Interface, InterfaceAddress, InterfaceRef, Neighbour, RedistributedRoute,
    Release, RouterId, RunningFrr, Vrf, WithdrawnRoute,
};

/// Something zebra said or something that happened to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session is open; zebra's whole state follows. The daemon sends all its routes, neighbours and
    /// questions again: zebra forgot them, or never knew.
    Connected {
        /// What the release speaks.
        epoch: Epoch,
        /// The forced release, or the oldest one of the epoch. For codec choices only, not for display.
        release: Release,
        /// What zebra calls itself over its vty, if it could be asked. For display.
        running: Option<RunningFrr>,
        /// What zebra said of itself.
        capabilities: Capabilities,
    },
    /// zebra's initial dump is complete: what was not announced since `Connected` does not exist (any more).
    Synced,
    /// The connection is gone, requests are dropped until the next `Connected`. What was learned may be kept
    /// until the next `Synced`; FRR does not flush it either. zebra has removed this daemon's routes.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
    },
    /// zebra cannot be used; the text says what to do. Sent once per kind until a connection succeeds.
    Error(ZebraError),
    /// Interface upsert (add, up, down).
    Interface(Interface),
    /// Interface gone. Its addresses are not withdrawn one by one.
    InterfaceDeleted(InterfaceRef),
    /// Address upsert.
    AddressAdded(InterfaceAddress),
    /// Address gone; may be told twice.
    AddressDeleted(InterfaceAddress),
    /// Route upsert by prefix; own routes come back too ([`RedistributedRoute::is_nhrp`]).
    RouteAdded(RedistributedRoute),
    /// No eligible route of that prefix is left.
    RouteDeleted(WithdrawnRoute),
    /// Neighbour change or question.
    Neighbour(Neighbour),
    /// Answer to [`crate::Request::GreGet`].
    GreUpdate(Gre),
    /// Router id.
    RouterId(RouterId),
    /// VRF upsert.
    VrfAdded(Vrf),
    /// VRF gone.
    VrfDeleted {
        /// Its number.
        vrf: u32,
        /// Its name.
        name: String,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// End of stream: zebra stopped.
    #[error("zebra closed the connection (stopped or restarting)")]
    ClosedByZebra,
    /// A read or write failed.
    #[error("input/output error on zebra's socket: {0}")]
    Io(String),
    /// Framing was lost; nothing after it can be trusted.
    #[error("{0}")]
    Framing(crate::FrameError),
    /// zebra does not read.
    #[error("zebra has not read for long: {queued} octets wait, limit {limit}; starting over")]
    Backlog {
        /// Octets not yet written.
        queued: usize,
        /// [`crate::Options::max_backlog`].
        limit: usize,
    },
}

/// Why zebra cannot be used. The text is complete for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZebraError {
    /// `--zebra-release` names another epoch than the running zebra speaks.
    #[error(
        "zebra at {} does not speak the API of release {forced} that was forced: {found}; \
         remove --zebra-release to detect it, or name the running release", .socket.display()
    )]
    ReleaseContradiction {
        /// Socket.
        socket: PathBuf,
        /// What the operator said.
        forced: Release,
        /// What zebra did instead.
        found: String,
    },
    /// zebra calls itself a release that does not speak what it speaks.
    #[error(
        "zebra at {} speaks the API of FRR {}, but over its vty it calls itself FRR {running}: \
         if these are two instances, name the sockets of one with -z and --vty_socket; \
         if it is a build of its own, name the release whose API it has with --zebra-release",
        .socket.display(), .epoch.first_release()
    )]
    NamedOtherwise {
        /// Socket.
        socket: PathBuf,
        /// What it calls itself.
        running: RunningFrr,
        /// What it speaks.
        epoch: Epoch,
    },
    /// `--zebra-release` names a release that this daemon does not speak.
    #[error("{0}; correct --zebra-release, or remove it to detect the release")]
    Unsupported(#[from] crate::ReleaseError),
    /// Neither probe was answered as any known release does.
    #[error(
        "zebra at {} answers as no known FRR release (8.4 to 10.7): {found}; \
         name the release with --zebra-release", .socket.display()
    )]
    UnknownRelease {
        /// Socket.
        socket: PathBuf,
        /// What zebra did.
        found: String,
    },
    /// Something accepts the connection but does not answer.
    #[error("no answer from zebra at {} for {seconds} s; check that zebra runs and is not stopped", .socket.display())]
    NoAnswer {
        /// Socket.
        socket: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}
