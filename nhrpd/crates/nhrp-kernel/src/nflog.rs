//! NFLOG: packets that the firewall points at (traffic indications, multicast to replicate). Owns the netlink
//! socket and its configuration; never looks into a payload.

use std::io;
use std::time::Duration;

/// How to bind a group.
#[derive(Clone, Debug)]
pub struct NflogOptions {
    /// Octets of each packet to copy.
    pub copy_range: u32,
    /// Packets the kernel collects before it wakes the daemon.
    pub queue_threshold: u32,
    /// Longest time the kernel keeps a packet back; it counts in hundredths of a second.
    pub timeout: Duration,
    /// Receive buffer in octets.
    pub receive_buffer: usize,
}

/// One packet from the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NflogPacket {
    /// Ethertype: 0x0800 or 0x86dd.
    pub hw_protocol: u16,
    /// Interface it came in by.
    pub in_ifindex: Option<u32>,
    /// Interface it leaves by.
    pub out_ifindex: Option<u32>,
    /// Network header onwards, at most `copy_range` octets.
    pub payload: Vec<u8>,
}

/// What happened on a group since it was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NflogCounters {
    /// Packets given to the caller.
    pub received: u64,
    /// System calls that received something.
    pub receive_calls: u64,
    /// Times the kernel said that it had to drop (ENOBUFS).
    pub overruns: u64,
    /// Messages that could not be understood.
    pub malformed: u64,
}

/// One bound group.
#[derive(Debug)]
pub struct Nflog {}

impl Nflog {
    /// Binds `group` in the calling thread's network namespace. Needs CAP_NET_ADMIN and a tokio runtime.
    pub fn open(_group: u16, _options: &NflogOptions) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits for packets and appends them to `out`. Cancel-safe.
    pub async fn recv(&mut self, _out: &mut Vec<NflogPacket>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Totals since the group was bound.
    pub fn counters(&self) -> NflogCounters {
        NflogCounters::default()
    }
}
