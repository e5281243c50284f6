//! Changes of a tunnel interface that zebra does not do, or does wrong. Owns one rtnetlink socket; never creates or
//! deletes an interface.

use std::io;

/// Changes interfaces by rtnetlink; every call is answered by the kernel before it returns.
#[derive(Debug)]
pub struct Links {}

impl Links {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_ADMIN.
    pub fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Clears IFF_NOARP, without which the kernel resolves nothing on a GRE interface. zebra does it from FRR 10.0 on.
    pub fn clear_noarp(&mut self, _ifindex: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Binds a GRE tunnel to `device`, keeping its key, addresses, TTL and all else. FRR's zebra loses them.
    pub fn bind_gre(&mut self, _ifindex: u32, _device: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
