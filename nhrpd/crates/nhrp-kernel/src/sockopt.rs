//! Socket options that no safe wrapper offers. Owns the `unsafe` of getsockopt and setsockopt, nothing else.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};

/// Types that the kernel may read from and write to byte by byte: any bit pattern is valid and there is no padding.
///
/// # Safety
/// The implementor must be such a type.
pub(crate) unsafe trait Plain: Default {}

// SAFETY: an integer.
unsafe impl Plain for c_int {}

/// `struct tpacket_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketStatistics {
    /// Packets seen, those dropped included.
    pub(crate) packets: u32,
    /// Packets dropped for want of space.
    pub(crate) drops: u32,
}

// SAFETY: two integers of the same size.
unsafe impl Plain for PacketStatistics {}

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or(socklen_t::MAX)
}

pub(crate) fn set<T: Plain>(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let value: *const c_void = std::ptr::from_ref(value).cast();
    // SAFETY: the descriptor is open for as long as it is borrowed; `value` points at `length_of::<T>()` readable
    // octets, which the kernel only reads during the call.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, length_of::<T>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn get<T: Plain>(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut length = length_of::<T>();
    let pointer: *mut c_void = std::ptr::from_mut(&mut value).cast();
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `length` octets to
    // `value`, for which any bit pattern is valid (`Plain`).
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, pointer, &raw mut length) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if length == length_of::<T>() { Ok(value) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Asks for a send buffer of `octets`, beyond the system's limit if CAP_NET_ADMIN allows.
pub(crate) fn set_send_buffer(fd: BorrowedFd<'_>, octets: usize) -> io::Result<()> {
    let wanted = c_int::try_from(octets).unwrap_or(c_int::MAX / 2);
    set(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &wanted)
        .or_else(|_| set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &wanted))
}

/// Asks for a receive buffer of `octets`, beyond the system's limit if CAP_NET_ADMIN allows. Gives the octets granted.
pub(crate) fn set_receive_buffer(fd: BorrowedFd<'_>, octets: usize) -> io::Result<usize> {
    let wanted = c_int::try_from(octets).unwrap_or(c_int::MAX / 2);
    if set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &wanted).is_err() {
        set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &wanted)?;
    }
    // The kernel doubles what was asked for, and tells the double.
    let granted = get::<c_int>(fd, libc::SOL_SOCKET, libc::SO_RCVBUF)? / 2;
    let granted = usize::try_from(granted).unwrap_or(0);
    if granted < octets {
        tracing::warn!(
            "receive buffer of {granted} octets instead of {octets}: bursts may be lost. Raise the sysctl net.core.rmem_max"
        );
    }
    Ok(granted)
}
