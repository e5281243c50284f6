//! The AF_PACKET socket for ethertype 0x2001. Owns batches of packets in and out; never looks into a packet.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How to open a [`PacketSocket`].
#[derive(Clone, Debug)]
pub struct PacketSocketOptions {
    /// Ethertype to receive.
    pub ethertype: u16,
    /// Receive buffer in octets.
    pub receive_buffer: usize,
    /// How many packets may wait for a second attempt to send them.
    pub deferred_limit: usize,
    /// How long after a full queue the second attempt is made.
    pub retry_after: Duration,
}

/// One packet as received; borrowed from the [`RecvBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedPacket<'a> {
    /// Interface it came in by.
    pub ifindex: u32,
    /// Sender's NBMA address, from the link-layer address.
    pub source: IpAddr,
    /// Everything after the GRE header.
    pub octets: &'a [u8],
}

/// Buffers for one system call's worth of packets, reused for ever.
#[derive(Debug)]
pub struct RecvBatch {}

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingPacket<'a> {
    /// Interface it goes out by.
    pub ifindex: u32,
    /// NBMA address of the receiver.
    pub destination: IpAddr,
    /// 0x2001 for NHRP; 0x0800 or 0x86dd for replicated multicast.
    pub ethertype: u16,
    /// Everything after the GRE header.
    pub octets: &'a [u8],
}

/// What became of the packets given to [`PacketSocket::send`].
#[derive(Debug, Default)]
pub struct SendReport {
    /// Handed to the kernel.
    pub sent: usize,
    /// Queue was full: kept, and tried once more by [`PacketSocket::recv`].
    pub deferred: usize,
    /// Refused, with the index into the slice.
    pub failed: Vec<SendFailure>,
}

/// One packet that will not be sent.
#[derive(Debug)]
pub struct SendFailure {
    /// Index into the slice given to [`PacketSocket::send`].
    pub index: usize,
    /// What the kernel said.
    pub error: io::Error,
}

/// What happened on a socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounters {
    /// Packets given to the caller.
    pub received: u64,
    /// Packets handed to the kernel.
    pub sent: u64,
    /// System calls that received at least one packet.
    pub receive_calls: u64,
    /// System calls that sent at least one packet.
    pub send_calls: u64,
    /// Dropped: longer than a buffer.
    pub truncated: u64,
    /// Dropped: the sender's link-layer address is no IP address.
    pub bad_source: u64,
    /// Dropped: for another host, or sent by this one.
    pub not_for_us: u64,
    /// Dropped by the kernel, because the receive buffer was full.
    pub overflowed: u64,
    /// Kept for a second attempt.
    pub deferred: u64,
    /// Given up after the second attempt, or because too many were waiting.
    pub send_dropped: u64,
    /// Refused by the kernel for a reason that waiting does not cure.
    pub send_failed: u64,
}

/// The socket.
#[derive(Debug)]
pub struct PacketSocket {}

impl PacketSocket {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_RAW and a tokio runtime.
    pub fn open(_options: &PacketSocketOptions) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until packets are there and fills `batch`; gives how many are in it. 0 is possible: everything was dropped.
    /// Also makes the second attempt of deferred packets. Cancel-safe.
    pub async fn recv(&mut self, _batch: &mut RecvBatch) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends without ever blocking.
    pub fn send(&mut self, _items: &[OutgoingPacket<'_>]) -> SendReport {
        SendReport::default()
    }

    /// Totals since the socket was opened.
    pub fn counters(&self) -> PacketCounters {
        PacketCounters::default()
    }
}

impl RecvBatch {
    /// Buffers for 64 packets of 2 KiB.
    pub fn new() -> Self {
        Self {}
    }

    /// The packets of the last [`PacketSocket::recv`].
    pub fn packets(&self) -> impl Iterator<Item = ReceivedPacket<'_>> {
        std::iter::empty()
    }
}
