//! What every netlink socket here needs: opening, sending a batch, waiting for the answers. Owns no message format
//! beyond the header, and never waits: the kernel has carried a request out, and queued its answer, when sending it
//! returns.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use socket2::{SockFilter, SockRef};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::mmsg::{BATCH, Datagram, Slots};
use crate::sockopt;

/// Octets of a netlink header.
const HEADER_LEN: usize = 16;

/// Where `nlmsg_pid` is in it.
const PORT_OFFSET: u32 = 12;

/// An acknowledgement without the request it quotes, with room for the kernel's explanation.
const ANSWER_LEN: usize = 1024;

/// A bound socket, not blocking.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    socket: Socket,
}

impl AsRawFd for NetlinkSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to `self.socket`, which is open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}

impl NetlinkSocket {
    pub(crate) fn open(protocol: isize, receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.set_non_blocking(true)?;
        // Answers without a copy of the request.
        socket.set_cap_ack(true)?;
        socket.bind_auto()?;
        let this = Self { socket };
        this.set_receive_buffer(receive_buffer)?;
        Ok(this)
    }

    pub(crate) fn join(&self, group: u32) -> io::Result<()> {
        let group = libc::c_int::try_from(group).map_err(io::Error::other)?;
        sockopt::set(self.as_fd(), libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &group)
    }

    /// Has the kernel keep from this socket what it tells everybody about changes that `other` asked for: it writes the
    /// port of who asked into the header.
    pub(crate) fn ignore_changes_by(&self, other: &Self) -> io::Result<()> {
        let mut address = SocketAddr::new(0, 0);
        other.socket.get_address(&mut address)?;
        // What a filter loads it takes for network order; the header is in the host's.
        let port = u32::from_be(address.port_number());
        let instruction = |code: u32, jt, jf, k| {
            u16::try_from(code).map(|code| SockFilter::new(code, jt, jf, k)).map_err(io::Error::other)
        };
        let filter = [
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, PORT_OFFSET)?,
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, port)?,
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0)?,
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX)?,
        ];
        SockRef::from(self).attach_filter(&filter)
    }

    pub(crate) fn set_receive_buffer(&self, octets: usize) -> io::Result<()> {
        sockopt::set_receive_buffer(self.as_fd(), octets).map(drop)
    }

    /// For a socket on which messages come in unasked.
    pub(crate) fn watch(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: `self.socket` is never replaced, so the descriptor is open, and the same, until it is dropped;
        // `AsyncFd` owns it.
        let watched = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        Ok(watched?)
    }

    pub(crate) fn send(&self, octets: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(octets, &SocketAddr::new(0, 0), 0)?;
        if sent == octets.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// A socket for requests, which matches answers by sequence number.
#[derive(Debug)]
pub(crate) struct Requests {
    socket: NetlinkSocket,
    sequence: u32,
    answers: Slots,
}

impl Requests {
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        Ok(Self {
            socket: NetlinkSocket::open(protocol, 1 << 20)?,
            sequence: 0,
            answers: Slots::new(BATCH, ANSWER_LEN),
        })
    }

    pub(crate) fn socket(&self) -> &NetlinkSocket {
        &self.socket
    }

    /// For a socket on which something else than answers comes in from now on.
    pub(crate) fn into_socket(self) -> NetlinkSocket {
        self.socket
    }

    /// Sends one message with these flags besides `REQUEST`; gives its sequence number.
    pub(crate) fn send<I: NetlinkSerializable>(
        &mut self,
        message: NetlinkMessage<I>,
        flags: u16,
    ) -> io::Result<u32> {
        let octets = self.number(message, flags);
        self.socket.send(&octets)?;
        Ok(self.sequence)
    }

    fn number<I: NetlinkSerializable>(&mut self, mut message: NetlinkMessage<I>, flags: u16) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        message.header.sequence_number = self.sequence;
        message.header.flags = flags | NLM_F_REQUEST;
        message.finalize();
        let mut octets = vec![0; message.buffer_len().next_multiple_of(4)];
        message.serialize(&mut octets);
        octets
    }

    /// Sends the messages, [`BATCH`] in a system call, and gives the kernel's answer to each, in order.
    ///
    /// # Errors
    /// If a batch could not be sent: nothing of it and of what follows was done.
    pub(crate) fn batch<I: NetlinkSerializable>(
        &mut self,
        messages: impl Iterator<Item = NetlinkMessage<I>>,
        flags: u16,
    ) -> io::Result<Vec<io::Result<()>>> {
        let mut messages = messages.peekable();
        let mut results = Vec::new();
        while messages.peek().is_some() {
            let first = self.sequence.wrapping_add(1);
            let mut octets = Vec::new();
            let mut count = 0;
            for message in messages.by_ref().take(BATCH) {
                octets.extend(self.number(message, flags | NLM_F_ACK));
                count += 1;
            }
            self.socket.send(&octets)?;
            results.extend(self.collect(first, count));
        }
        Ok(results)
    }

    /// The answers to `count` requests, the first of which has the sequence number `first`.
    fn collect(&mut self, first: u32, count: usize) -> Vec<io::Result<()>> {
        let mut results: Vec<Option<io::Result<()>>> = (0..count).map(|_| None).collect();
        let mut missing = count;
        let mut trouble = None;
        while missing > 0 {
            match self.answers.receive(self.socket.as_fd()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Answers were lost. Those that were not are still there, and then there are no more.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    trouble = Some(libc::ENOBUFS);
                    continue;
                }
                Err(error) => {
                    trouble = trouble.or(error.raw_os_error());
                    break;
                }
            }
            for datagram in self.answers.datagrams() {
                for message in Messages::of(&datagram) {
                    let Some(code) = message.error() else { continue };
                    let at = message.sequence.wrapping_sub(first);
                    let slot = usize::try_from(at).ok().and_then(|at| results.get_mut(at));
                    if let Some(slot @ None) = slot {
                        *slot = Some(code);
                        missing -= 1;
                    }
                }
            }
        }
        let lost = || io::Error::from_raw_os_error(trouble.unwrap_or(libc::EIO));
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(lost()))).collect()
    }
}

/// The messages of one datagram. Ends at the first that claims more octets than there are.
#[derive(Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    flags: u16,
    pub(crate) sequence: u32,
    /// Header included, for parsers that want it.
    pub(crate) octets: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(crate) fn of(datagram: &Datagram<'a>) -> Self {
        Self { rest: datagram.octets }
    }

    /// Octets that are no message.
    pub(crate) fn left_over(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = NetlinkBuffer::new_checked(self.rest).ok()?;
        let length = usize::try_from(header.length()).ok()?;
        let octets = self.rest.get(..length)?;
        let payload = octets.get(HEADER_LEN..)?;
        let message = Message {
            kind: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            octets,
            payload,
        };
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// `NLM_F_DUMP_INTR`: the table changed while it was dumped.
const DUMP_INTERRUPTED: u16 = 0x10;

impl Message<'_> {
    /// Of a part of a dump: it is not a picture of one moment.
    pub(crate) fn dump_was_interrupted(&self) -> bool {
        self.flags & DUMP_INTERRUPTED != 0
    }

    /// Of an answer or of the end of a dump: what became of the request.
    pub(crate) fn error(&self) -> Option<io::Result<()>> {
        if ![NLMSG_ERROR, NLMSG_DONE].contains(&self.kind) {
            return None;
        }
        // The kernel may end a dump without a code.
        let code = self.payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
        Some(match code {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        })
    }
}
