//! Neighbour entries (overlay address to NBMA address) by rtnetlink. Owns two netlink sockets; never decides which
//! entries there should be.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

/// `NDA_PROTOCOL` of entries that NHRP made (`RTPROT_NHRP` in FRR and in `ip neigh`'s name table).
pub const PROTOCOL_NHRP: u8 = 191;

/// How the kernel treats an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighbourKind {
    /// `NUD_PERMANENT`: never probed, never collected. For registered, static and NHS peers.
    Permanent,
    /// `NUD_REACHABLE` with `NTF_EXT_LEARNED`: never collected, but ages, so that use can be seen. For shortcuts.
    ExternallyLearned,
}

/// An entry as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighbourEntry {
    /// Tunnel interface.
    pub ifindex: u32,
    /// Overlay address.
    pub protocol: IpAddr,
    /// Link-layer address: the peer's NBMA address.
    pub nbma: IpAddr,
    /// State and flags.
    pub kind: NeighbourKind,
}

/// An entry as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelNeighbour {
    /// Interface.
    pub ifindex: u32,
    /// Overlay address.
    pub address: IpAddr,
    /// Link-layer address, if it is an IP address.
    pub nbma: Option<IpAddr>,
    /// `NUD_*` bits.
    pub state: u16,
    /// `NTF_*` bits.
    pub flags: u8,
    /// `NDA_PROTOCOL`, 0 if absent.
    pub protocol: u8,
}

/// What the kernel tells about its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourEvent {
    /// New or changed.
    Changed(KernelNeighbour),
    /// Gone.
    Deleted(KernelNeighbour),
    /// Events were lost: the caller must dump and compare.
    Overrun,
}

/// What became of one entry of a batch.
pub type NeighbourResult = Result<(), io::Error>;

/// Reads and writes the neighbour table.
#[derive(Debug)]
pub struct Neighbours {}

impl Neighbours {
    /// Opens both sockets in the calling thread's network namespace. Needs CAP_NET_ADMIN to write, and a tokio runtime.
    pub fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes entries; one result for each, in order. The kernel answers before the call returns, so nothing is awaited.
    pub fn replace(&mut self, _entries: &[NeighbourEntry]) -> io::Result<Vec<NeighbourResult>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Deletes entries; one result for each, in order. An entry that is not there is a success.
    pub fn delete(&mut self, _entries: &[(u32, IpAddr)]) -> io::Result<Vec<NeighbourResult>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads the entries of some interfaces. Cancel-safe: a dump that is dropped is forgotten by the next one.
    pub async fn dump(&mut self, _ifindexes: &BTreeSet<u32>) -> io::Result<Vec<KernelNeighbour>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits for the next event of any interface. Cancel-safe.
    pub async fn next_event(&mut self) -> io::Result<NeighbourEvent> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What must be written and what deleted so that the kernel has exactly `wanted` among NHRP's own entries.
///
/// Entries of others (another `NDA_PROTOCOL`) are never deleted, but are overwritten where `wanted` has the same address.
pub fn reconcile(
    _wanted: &[NeighbourEntry],
    _kernel: &[KernelNeighbour],
) -> (Vec<NeighbourEntry>, Vec<(u32, IpAddr)>) {
    (Vec::new(), Vec::new())
}
