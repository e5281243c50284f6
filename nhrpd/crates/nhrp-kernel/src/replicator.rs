//! Copies of one packet to many receivers, for multicast over tunnels. Owns a packet socket of its own, so that copies
//! never stand in the way of NHRP; never looks into a packet.
//!
//! A packet waits with the list of its receivers, both without copying. Each call hands the kernel as much of it as one
//! sendmmsg takes; where the kernel has no more room, the rest waits until it has.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::mmsg;
use crate::packet_socket::{LinkAddress, queue_was_full};
use crate::sockopt;

/// Send buffer in octets: some thousand short packets on their way through a slow interface.
const SEND_BUFFER: usize = 4 << 20;

/// How long after a full queue of an interface the next attempt is made: there is no event to wait for.
const RETRY_AFTER: Duration = Duration::from_millis(2);

/// After as many vain attempts in a row the packet is given up: an interface that stands still must not hold up others.
const ATTEMPTS: u32 = 50;

/// One packet and who gets it.
#[derive(Clone, Debug)]
pub struct Replication {
    /// Interface it goes out by.
    pub ifindex: u32,
    /// 0x0800 or 0x86dd.
    pub ethertype: u16,
    /// NBMA addresses.
    pub receivers: Arc<[IpAddr]>,
    /// Everything after the GRE header.
    pub octets: Vec<u8>,
}

/// What happened since the socket was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicationCounters {
    /// Copies handed to the kernel.
    pub sent: u64,
    /// System calls that sent at least one.
    pub send_calls: u64,
    /// Times the kernel had no room and the rest had to wait.
    pub waits: u64,
    /// Copies that the kernel refused, or had no room for again and again.
    pub failed: u64,
}

/// The socket, and what waits to be sent.
#[derive(Debug)]
pub struct Replicator {
    fd: AsyncFd<OwnedFd>,
    waiting: VecDeque<Replication>,
    /// Addresses of the receivers of the first one that are still to be served.
    names: VecDeque<LinkAddress>,
    /// When an interface's full queue is tried again, and how often it was full in a row.
    retry_at: Option<Instant>,
    vain: u32,
    counters: ReplicationCounters,
}

impl Replicator {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_RAW, and a tokio runtime with time.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        // Protocol 0: it receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
        let fd = OwnedFd::from(socket);
        sockopt::set_send_buffer(fd.as_fd(), SEND_BUFFER)?;
        // SAFETY: an `OwnedFd` is open, and the same, until it is dropped; `AsyncFd` owns it.
        let fd = unsafe { AsyncFd::register(fd) }?;
        Ok(Self {
            fd,
            waiting: VecDeque::new(),
            names: VecDeque::new(),
            retry_at: None,
            vain: 0,
            counters: ReplicationCounters::default(),
        })
    }

    /// Takes a packet, to be sent by [`Replicator::send`].
    pub fn push(&mut self, replication: Replication) {
        if !replication.receivers.is_empty() {
            self.waiting.push_back(replication);
        }
    }

    /// Packets of which not every copy has been sent.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.waiting.len()
    }

    /// Waits until there is something to send and room for it, then makes one system call for one packet. Gives the
    /// error of a packet that the kernel refused, or had no room for again and again: what it refuses is the interface or
    /// the length, never a receiver, so the copies that are left are given up at once. Cancel-safe.
    pub async fn send(&mut self) -> Option<io::Error> {
        loop {
            if self.waiting.is_empty() {
                std::future::pending::<()>().await;
            }
            if let Some(at) = self.retry_at {
                tokio::time::sleep_until(at).await;
                self.retry_at = None;
            }
            // A descriptor that tokio does not watch any more belongs to a runtime that ends.
            let Ok(mut ready) = self.fd.writable().await else { std::future::pending().await };
            let Some(first) = self.waiting.front() else { continue };
            if self.names.is_empty() {
                let (ethertype, ifindex) = (first.ethertype, first.ifindex);
                self.names.extend(first.receivers.iter().map(|to| LinkAddress::of(ethertype, ifindex, *to)));
            }
            let names = self.names.iter().map(LinkAddress::octets);
            match ready.try_io(|fd| mmsg::send_copies(fd.as_fd(), names, &first.octets)) {
                Ok(Ok(sent)) => {
                    self.counters.sent += sent as u64;
                    self.counters.send_calls += 1;
                    self.served(sent);
                    return None;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) if queue_was_full(&error) && self.vain < ATTEMPTS => {
                    self.counters.waits += 1;
                    self.vain += 1;
                    self.retry_at = Some(Instant::now() + RETRY_AFTER);
                }
                Ok(Err(error)) => {
                    let left = self.names.len();
                    self.counters.failed += left as u64;
                    self.served(left);
                    return Some(error);
                }
                Err(_would_block) => self.counters.waits += 1,
            }
        }
    }

    fn served(&mut self, count: usize) {
        self.vain = 0;
        self.names.drain(..count.min(self.names.len()));
        if self.names.is_empty() {
            self.waiting.pop_front();
        }
    }

    /// Totals since the socket was opened.
    #[must_use]
    pub fn counters(&self) -> ReplicationCounters {
        self.counters
    }
}
