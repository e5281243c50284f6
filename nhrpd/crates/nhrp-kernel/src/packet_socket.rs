//! The AF_PACKET socket for ethertype 0x2001. Owns batches of packets in and out and the count of what was lost;
//! never looks into a packet.
//!
//! One socket serves every interface. A GRE tunnel delivers unicast only to the host it is for, but NHRP also runs on
//! devices that do not: frames for other hosts are dropped here.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::mmsg::{self, BATCH, Slots};
use crate::sockopt::{self, PacketStatistics};

/// Ethertype of NHRP.
/// draft-detienne-dmvpn 3: NHRP's own frames, not IP. [dmvpn-3-l2-frames]
pub const ETHERTYPE_NHRP: u16 = 0x2001;

/// Longest packet received: no tunnel that NHRP runs on carries more in one piece.
const SLOT_LEN: usize = 2048;

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

impl Default for PacketSocketOptions {
    fn default() -> Self {
        Self {
            ethertype: ETHERTYPE_NHRP,
            receive_buffer: 16 << 20,
            deferred_limit: 1024,
            retry_after: Duration::from_millis(2),
        }
    }
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
pub struct RecvBatch {
    slots: Slots,
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvBatch {
    /// Buffers for 64 packets of 2 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: Slots::new(BATCH, SLOT_LEN) }
    }

    /// Whether the last [`PacketSocket::recv`] may have left packets in the kernel's queue.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.slots.took_all()
    }

    /// The packets of the last [`PacketSocket::recv`].
    pub fn packets(&self) -> impl Iterator<Item = ReceivedPacket<'_>> {
        self.slots.datagrams().filter_map(|datagram| judge(&datagram).ok())
    }
}

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingPacket<'a> {
    /// Interface it goes out by.
    pub ifindex: u32,
    /// NBMA address of the receiver.
    pub destination: IpAddr,
    /// 0x2001 for NHRP.
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
    /// Dropped: the sender's link-layer address is no unicast IP address.
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
pub struct PacketSocket {
    fd: AsyncFd<OwnedFd>,
    counters: PacketCounters,
    deferred: VecDeque<Deferred>,
    deferred_limit: usize,
    retry_after: Duration,
    /// When the deferred packets are tried again.
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Deferred {
    name: LinkAddress,
    octets: Vec<u8>,
}

impl PacketSocket {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_RAW, and a tokio runtime with time.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(options: &PacketSocketOptions) -> io::Result<Self> {
        // Protocol 0 receives nothing, so that no packet comes in before the options are set.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
        let fd = OwnedFd::from(socket);
        sockopt::set_receive_buffer(fd.as_fd(), options.receive_buffer)?;
        let on: libc::c_int = 1;
        if sockopt::set(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on).is_err() {
            // Before Linux 4.20. The packet type tells them apart as well, only later.
            tracing::debug!("kernel without PACKET_IGNORE_OUTGOING");
        }
        bind(fd.as_fd(), &LinkAddress::any(options.ethertype))?;
        // SAFETY: an `OwnedFd` is open, and the same, until it is dropped; `AsyncFd` owns it.
        let fd = unsafe { AsyncFd::register(fd) }?;
        Ok(Self {
            fd,
            counters: PacketCounters::default(),
            deferred: VecDeque::new(),
            deferred_limit: options.deferred_limit,
            retry_after: options.retry_after,
            retry_at: None,
        })
    }

    /// Waits until packets are there and fills `batch`; gives how many are in it. 0 is possible: everything was dropped.
    /// Also makes the second attempt of deferred packets, so it must be awaited for them to go. Cancel-safe.
    ///
    /// # Errors
    /// What the kernel says, such as `NetworkDown` when an interface went down; the socket stays usable.
    pub async fn recv(&mut self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.slots.clear();
        loop {
            let mut ready = match self.retry_at {
                None => self.fd.readable().await?,
                Some(at) if at <= Instant::now() => {
                    self.retry_deferred();
                    continue;
                }
                Some(at) => match tokio::time::timeout_at(at, self.fd.readable()).await {
                    Ok(ready) => ready?,
                    Err(_elapsed) => continue,
                },
            };
            match ready.try_io(|fd| batch.slots.receive(fd.as_fd())) {
                Ok(Ok(_)) => {
                    // Spares the call that would find nothing.
                    if batch.slots.took_all() {
                        ready.clear_ready();
                    }
                    break;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(self.count(batch))
    }

    /// Fills `batch` with packets that are there by now, without waiting; gives how many are in it, nothing if there are none.
    /// For whoever has just taken some with [`PacketSocket::recv`] and expects more.
    ///
    /// # Errors
    /// As [`PacketSocket::recv`].
    pub fn try_recv(&mut self, batch: &mut RecvBatch) -> io::Result<Option<usize>> {
        // Readiness is left as it is: the worst that comes of it is one attempt in vain.
        match batch.slots.receive(self.fd.get_ref().as_fd()) {
            Ok(_) => Ok(Some(self.count(batch))),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn count(&mut self, batch: &RecvBatch) -> usize {
        let mut accepted = 0;
        for datagram in batch.slots.datagrams() {
            match judge(&datagram) {
                Ok(_) => accepted += 1,
                Err(Rejection::Truncated) => self.counters.truncated += 1,
                Err(Rejection::NotForUs) => self.counters.not_for_us += 1,
                Err(Rejection::BadSource) => self.counters.bad_source += 1,
            }
        }
        self.counters.receive_calls += 1;
        self.counters.received += accepted as u64;
        accepted
    }

    /// Sends without ever blocking. What meets a full queue is kept and tried once more by [`PacketSocket::recv`].
    pub fn send(&mut self, items: &[OutgoingPacket<'_>]) -> SendReport {
        let names: Vec<LinkAddress> = items.iter().map(LinkAddress::to).collect();
        let mut report = SendReport::default();
        let mut next = 0;
        while next < items.len() {
            let rest = names.iter().zip(items).skip(next);
            match mmsg::send(self.fd.as_fd(), rest.map(|(name, item)| (name.octets(), item.octets))) {
                Ok(0) => break,
                Ok(sent) => {
                    report.sent += sent;
                    self.counters.sent += sent as u64;
                    self.counters.send_calls += 1;
                    next += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if let (Some(name), Some(item)) = (names.get(next), items.get(next)) {
                        self.not_sent(next, name, item.octets, error, &mut report);
                    }
                    next += 1;
                }
            }
        }
        report
    }

    fn not_sent(
        &mut self,
        index: usize,
        name: &LinkAddress,
        octets: &[u8],
        error: io::Error,
        report: &mut SendReport,
    ) {
        if !queue_was_full(&error) {
            self.counters.send_failed += 1;
            report.failed.push(SendFailure { index, error });
        } else if self.deferred.len() >= self.deferred_limit {
            self.counters.send_dropped += 1;
            report.failed.push(SendFailure { index, error });
        } else {
            self.deferred.push_back(Deferred { name: *name, octets: octets.to_vec() });
            self.retry_at.get_or_insert_with(|| Instant::now() + self.retry_after);
            self.counters.deferred += 1;
            report.deferred += 1;
        }
    }

    /// Makes the second attempt of what met a full queue, for somebody who will not call [`PacketSocket::recv`] any more.
    /// Takes as long as a queue is given to become empty, and no time if nothing waits.
    pub async fn finish(&mut self) {
        if let Some(at) = self.retry_at {
            tokio::time::sleep_until(at).await;
            self.retry_deferred();
        }
    }

    /// The second and last attempt.
    fn retry_deferred(&mut self) {
        self.retry_at = None;
        while !self.deferred.is_empty() {
            let waiting = self.deferred.iter().map(|d| (d.name.octets(), d.octets.as_slice()));
            match mmsg::send(self.fd.as_fd(), waiting) {
                Ok(0) => break,
                Ok(sent) => {
                    self.counters.sent += sent as u64;
                    self.counters.send_calls += 1;
                    self.deferred.drain(..sent.min(self.deferred.len()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.deferred.pop_front();
                    if queue_was_full(&error) {
                        self.counters.send_dropped += 1;
                    } else {
                        self.counters.send_failed += 1;
                    }
                }
            }
        }
    }

    /// Totals since the socket was opened. Asks the kernel for its own count of losses.
    pub fn counters(&mut self) -> PacketCounters {
        // Reading resets the kernel's count.
        let statistics: io::Result<PacketStatistics> =
            sockopt::get(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok(statistics) = statistics {
            self.counters.overflowed += u64::from(statistics.drops);
        }
        self.counters
    }
}

/// The kernel had no room; waiting cures that.
pub(crate) fn queue_was_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Why a received datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejection {
    Truncated,
    NotForUs,
    BadSource,
}

fn judge<'a>(datagram: &mmsg::Datagram<'a>) -> Result<ReceivedPacket<'a>, Rejection> {
    if datagram.truncated {
        return Err(Rejection::Truncated);
    }
    let sender = Sender::parse(datagram.name).ok_or(Rejection::BadSource)?;
    // GRE delivers what is for this host as PACKET_HOST, multicast transport included. Other devices have broadcast.
    if ![libc::PACKET_HOST, libc::PACKET_BROADCAST, libc::PACKET_MULTICAST].contains(&sender.packet_type) {
        return Err(Rejection::NotForUs);
    }
    let source = sender.source.ok_or(Rejection::BadSource)?;
    let broadcast = source == IpAddr::V4(Ipv4Addr::BROADCAST);
    if source.is_unspecified() || source.is_multicast() || broadcast {
        return Err(Rejection::BadSource);
    }
    Ok(ReceivedPacket { ifindex: sender.ifindex, source, octets: datagram.octets })
}

/// What a received sockaddr_ll says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    ifindex: u32,
    packet_type: u8,
    /// If the link-layer address has the length of an IP address.
    source: Option<IpAddr>,
}

/// Octets of sockaddr_ll before its address.
const LINK_ADDRESS_HEADER: usize = 12;

impl Sender {
    /// ```text
    ///  0               2               4
    ///  +---------------+---------------+-------------------------------+
    ///  |    family     |   protocol    |            ifindex            |
    ///  +---------------+-------+-------+-------------------------------+
    ///  |  device type  | type  | halen |  address (halen octets) …
    ///  +---------------+-------+-------+----------------
    /// ```
    /// All in host order but for the protocol.
    fn parse(name: &[u8]) -> Option<Self> {
        let (header, address) = name.split_at_checked(LINK_ADDRESS_HEADER)?;
        let [_, _, _, _, i0, i1, i2, i3, _, _, packet_type, halen] = *header else { return None };
        let source = match address.get(..usize::from(halen))? {
            octets @ [_, _, _, _] => <[u8; 4]>::try_from(octets).ok().map(|o| Ipv4Addr::from(o).into()),
            octets => <[u8; 16]>::try_from(octets).ok().map(|o| Ipv6Addr::from(o).into()),
        };
        Some(Self { ifindex: u32::from_ne_bytes([i0, i1, i2, i3]), packet_type, source })
    }
}

/// A sockaddr_ll to bind or to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkAddress {
    octets: [u8; mmsg::NAME_LEN],
    len: usize,
}

impl LinkAddress {
    fn new(ethertype: u16, ifindex: u32, address: &[u8]) -> Self {
        let family = u16::try_from(libc::AF_PACKET).unwrap_or_default().to_ne_bytes();
        let halen = u8::try_from(address.len()).unwrap_or_default();
        let mut octets = [0; mmsg::NAME_LEN];
        let header =
            [family.as_slice(), &ethertype.to_be_bytes(), &ifindex.to_ne_bytes(), &[0, 0, 0, halen], address];
        for (to, from) in octets.iter_mut().zip(header.into_iter().flatten()) {
            *to = *from;
        }
        // Never shorter than struct sockaddr_ll, whose address has eight octets: the kernel refuses that.
        let len = (LINK_ADDRESS_HEADER + address.len()).max(size_of::<libc::sockaddr_ll>());
        Self { octets, len }
    }

    /// Every interface.
    fn any(ethertype: u16) -> Self {
        Self::new(ethertype, 0, &[])
    }

    fn to(packet: &OutgoingPacket<'_>) -> Self {
        Self::of(packet.ethertype, packet.ifindex, packet.destination)
    }

    /// A receiver on an interface.
    pub(crate) fn of(ethertype: u16, ifindex: u32, destination: IpAddr) -> Self {
        match destination {
            IpAddr::V4(a) => Self::new(ethertype, ifindex, &a.octets()),
            IpAddr::V6(a) => Self::new(ethertype, ifindex, &a.octets()),
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&self.octets)
    }
}

fn bind(fd: BorrowedFd<'_>, address: &LinkAddress) -> io::Result<()> {
    let octets = address.octets();
    let length = libc::socklen_t::try_from(octets.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel reads `length` octets, which are there,
    // and asks for no alignment.
    let result = unsafe { libc::bind(fd.as_raw_fd(), octets.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
