//! Many datagrams by one system call. Owns the receive buffers and the `unsafe` of recvmmsg and sendmmsg; never looks
//! into a datagram.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_uint, c_void, iovec, mmsghdr, msghdr, socklen_t};

/// Most datagrams in one system call.
pub(crate) const BATCH: usize = 64;

/// Most datagrams that the kernel takes in one sendmmsg (UIO_MAXIOV).
pub(crate) const MOST: usize = 1024;

/// Room for the longest address used: sockaddr_ll with 16 octets of link-layer address.
pub(crate) const NAME_LEN: usize = 32;

/// Receive buffers, made once and filled again and again.
#[derive(Debug)]
pub(crate) struct Slots {
    octets: Vec<u8>,
    slot_len: usize,
    names: Vec<[u8; NAME_LEN]>,
    /// Of the last call: one a datagram.
    received: Vec<Received>,
}

#[derive(Clone, Copy, Debug)]
struct Received {
    len: usize,
    name_len: usize,
    truncated: bool,
}

/// One datagram as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) octets: &'a [u8],
    pub(crate) name: &'a [u8],
    /// It was longer than a slot; the rest is lost.
    pub(crate) truncated: bool,
}

impl Slots {
    /// At most [`BATCH`] slots of `slot_len` octets.
    pub(crate) fn new(count: usize, slot_len: usize) -> Self {
        let count = count.clamp(1, BATCH);
        let slot_len = slot_len.max(1);
        Self {
            octets: vec![0; count * slot_len],
            slot_len,
            names: vec![[0; NAME_LEN]; count],
            received: Vec::with_capacity(count),
        }
    }

    /// Fills as many slots as there are datagrams waiting, without blocking: `WouldBlock` if there is none.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.received.clear();
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut messages = [empty_message(); BATCH];
        let mut count: c_uint = 0;
        let slots = self.octets.chunks_exact_mut(self.slot_len).zip(&mut self.names);
        for ((message, vector), (octets, name)) in messages.iter_mut().zip(&mut vectors).zip(slots) {
            vector.iov_base = octets.as_mut_ptr().cast();
            vector.iov_len = octets.len();
            let header = &mut message.msg_hdr;
            header.msg_name = name.as_mut_ptr().cast();
            header.msg_namelen = name_length(name);
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: the descriptor is open for as long as it is borrowed. The first `count` headers are filled: each
        // points at one vector, which points at one slot of `iov_len` octets, and at a name of `msg_namelen` octets.
        // `vectors`, `octets` and `names` live until the call has returned and nobody else touches them meanwhile.
        // Any octet is a valid u8. No timeout is given, as MSG_DONTWAIT needs none.
        let result = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let filled = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
        let slot_len = self.slot_len;
        self.received.extend(messages.iter().take(filled).map(|message| Received {
            len: usize::try_from(message.msg_len).unwrap_or(0).min(slot_len),
            name_len: usize::try_from(message.msg_hdr.msg_namelen).unwrap_or(0).min(NAME_LEN),
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }));
        Ok(filled)
    }

    /// Whether the last call took everything that waited: it found fewer datagrams than it had slots, which the kernel
    /// does only when there are no more, or a pending error. Neither is lost on a socket watched for edges: what comes
    /// after that call is an edge after it.
    pub(crate) fn took_all(&self) -> bool {
        self.received.len() < self.names.len()
    }

    /// Forgets what was received last.
    pub(crate) fn clear(&mut self) {
        self.received.clear();
    }

    /// What was received last.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let slots = self.octets.chunks_exact(self.slot_len).zip(&self.names);
        self.received.iter().zip(slots).map(|(received, (octets, name))| Datagram {
            octets: octets.get(..received.len).unwrap_or_default(),
            name: name.get(..received.name_len).unwrap_or_default(),
            truncated: received.truncated,
        })
    }
}

/// Sends as many of `datagrams` (address, octets) as the kernel takes at once, at most [`BATCH`], without blocking.
/// An error is that of the first one; none was sent then.
pub(crate) fn send<'a>(
    fd: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> io::Result<usize> {
    let mut vectors = [EMPTY_VECTOR; BATCH];
    let mut messages = [empty_message(); BATCH];
    let mut count: c_uint = 0;
    for ((message, vector), (name, octets)) in messages.iter_mut().zip(&mut vectors).zip(datagrams) {
        let name_pointer: *const c_void = name.as_ptr().cast();
        let octets_pointer: *const c_void = octets.as_ptr().cast();
        vector.iov_base = octets_pointer.cast_mut();
        vector.iov_len = octets.len();
        let header = &mut message.msg_hdr;
        header.msg_name = name_pointer.cast_mut();
        header.msg_namelen = name_length(name);
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the descriptor is open for as long as it is borrowed. The first `count` headers are filled: each points at
    // one vector and, by it and by `msg_name`, at slices that are borrowed for `'a`, which outlives the call. The kernel
    // only reads through them (the pointers are `mut` because the type serves receiving too), and writes `msg_len`.
    let result = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Sends the same octets to as many of `names` as the kernel takes at once, at most [`MOST`], without blocking. An error
/// is that of the first one; none was sent then.
pub(crate) fn send_copies<'a>(
    fd: BorrowedFd<'_>,
    names: impl ExactSizeIterator<Item = &'a [u8]>,
    octets: &'a [u8],
) -> io::Result<usize> {
    let octets_pointer: *const c_void = octets.as_ptr().cast();
    let mut vector = iovec { iov_base: octets_pointer.cast_mut(), iov_len: octets.len() };
    let vector: *mut iovec = &raw mut vector;
    let mut messages = Vec::with_capacity(names.len().min(MOST));
    for name in names.take(MOST) {
        let name_pointer: *const c_void = name.as_ptr().cast();
        let mut message = empty_message();
        message.msg_hdr.msg_name = name_pointer.cast_mut();
        message.msg_hdr.msg_namelen = name_length(name);
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
        messages.push(message);
    }
    let count = c_uint::try_from(messages.len()).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as it is borrowed. There are `count` headers: each points at the one
    // vector, which lives until the end of this function, and by it and by `msg_name` at slices that are borrowed for
    // `'a`, which outlives the call. The kernel only reads through them, and writes `msg_len`.
    let result = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

const EMPTY_VECTOR: iovec = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

fn empty_message() -> mmsghdr {
    mmsghdr {
        msg_hdr: msghdr {
            msg_name: std::ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: std::ptr::null_mut(),
            msg_iovlen: 0,
            msg_control: std::ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        },
        msg_len: 0,
    }
}

fn name_length(name: &[u8]) -> socklen_t {
    socklen_t::try_from(name.len()).unwrap_or(0)
}
