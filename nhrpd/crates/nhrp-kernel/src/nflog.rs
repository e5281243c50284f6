//! NFLOG: packets that the firewall points at (traffic indications, multicast to replicate). Owns the netlink
//! socket and its configuration; never looks into a payload.
//!
//! Without configuration the kernel collects up to 100 packets or a second of them before it wakes the listener, unless
//! the firewall's rule says otherwise. A traffic indication must not wait, so the group itself gets a threshold of one.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::NlasIterator;
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nflog::{
    ConfigCmd, ConfigFlags, ConfigMode, ConfigNla, Timeout, config_request,
};
use tokio::io::unix::AsyncFd;

use crate::mmsg::Slots;
use crate::netlink::{Messages, NetlinkSocket, Requests};

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

impl NflogOptions {
    /// For traffic indications: the headers and a little more, as the indication carries them back.
    #[must_use]
    pub fn traffic_indication() -> Self {
        Self {
            copy_range: 128,
            queue_threshold: 1,
            timeout: Duration::from_millis(10),
            receive_buffer: 4 << 20,
        }
    }

    /// For multicast: whole packets, since they are sent on.
    #[must_use]
    pub fn multicast() -> Self {
        Self { copy_range: 0xFFFF, ..Self::traffic_indication() }
    }
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
    /// The kernel's count of the packets of this group, this one not included; it starts again after 2^32.
    pub sequence: Option<u32>,
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
    /// Packets that are missing in the kernel's own count, told when the next one comes.
    pub lost: u64,
    /// Messages that could not be understood.
    pub malformed: u64,
}

/// One bound group. Dropping it unbinds the group.
#[derive(Debug)]
pub struct Nflog {
    fd: AsyncFd<NetlinkSocket>,
    slots: Slots,
    counters: NflogCounters,
    /// Count that the next packet should have.
    expected: Option<u32>,
}

/// `NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET`
const MESSAGE_PACKET: u16 = 0x0400;
const NFULA_PACKET_HDR: u16 = 1;
const NFULA_IFINDEX_INDEV: u16 = 4;
const NFULA_IFINDEX_OUTDEV: u16 = 5;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_SEQ: u16 = 12;
/// Octets of struct nfgenmsg.
const GENERIC_HEADER: usize = 4;
/// Upper bits of an attribute's type.
const ATTRIBUTE_FLAGS: u16 = 0xC000;

impl Nflog {
    /// Binds `group` in the calling thread's network namespace. Needs CAP_NET_ADMIN and a tokio runtime.
    ///
    /// # Errors
    /// `PermissionDenied` also if another program has the group; the text says so.
    pub fn open(group: u16, options: &NflogOptions) -> io::Result<Self> {
        let attributes: Vec<ConfigNla> = vec![
            ConfigCmd::Bind.into(),
            ConfigMode::new_packet(options.copy_range).into(),
            ConfigNla::QThresh(options.queue_threshold),
            Timeout::from(options.timeout).into(),
            ConfigFlags::SEQ.into(),
        ];
        // The kernel makes no difference between the families: a group gets both.
        let request = config_request(NetfilterProtoFamily::Unspec, group, attributes);
        let mut requests = Requests::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        for result in requests.batch(std::iter::once(request), 0)? {
            result.map_err(|error| explain(group, &error))?;
        }
        let socket = requests.into_socket();
        socket.set_receive_buffer(options.receive_buffer)?;
        // A datagram holds one packet, or with a greater threshold as many as fit into a page.
        let copy_range = usize::try_from(options.copy_range).unwrap_or(0xFFFF).min(0xFFFF);
        Ok(Self {
            fd: socket.watch()?,
            slots: Slots::new(32, (copy_range + 4096).max(8192)),
            counters: NflogCounters::default(),
            expected: Some(0),
        })
    }

    /// Waits for packets and appends them to `out`, at most 32 datagrams' worth. Cancel-safe.
    ///
    /// # Errors
    /// What the kernel says. That it had to drop packets is no error, but counted.
    pub async fn recv(&mut self, out: &mut Vec<NflogPacket>) -> io::Result<()> {
        loop {
            let mut ready = self.fd.readable().await?;
            match ready.try_io(|fd| self.slots.receive(fd.as_fd())) {
                Ok(Ok(_)) => {
                    if self.slots.took_all() {
                        ready.clear_ready();
                    }
                    break;
                }
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.counters.overruns += 1;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        self.counters.receive_calls += 1;
        let before = out.len();
        for datagram in self.slots.datagrams() {
            let mut messages = Messages::of(&datagram);
            for message in messages.by_ref().filter(|message| message.kind == MESSAGE_PACKET) {
                match parse(message.payload) {
                    Some(packet) => {
                        self.counters.lost += missing(&mut self.expected, packet.sequence);
                        out.push(packet);
                    }
                    None => self.counters.malformed += 1,
                }
            }
            if datagram.truncated || messages.left_over() > 0 {
                self.counters.malformed += 1;
            }
        }
        self.counters.received += (out.len() - before) as u64;
        Ok(())
    }

    /// Totals since the group was bound.
    #[must_use]
    pub fn counters(&self) -> NflogCounters {
        self.counters
    }
}

fn explain(group: u16, error: &io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM | libc::EBUSY) => {
            "another program may listen to this group (see /proc/net/netfilter/nfnetlink_log), or CAP_NET_ADMIN is missing"
        }
        Some(libc::EINVAL | libc::EOPNOTSUPP) => "is the kernel module nfnetlink_log loaded?",
        _ => "the firewall's packets will not be seen",
    };
    io::Error::new(error.kind(), format!("cannot bind NFLOG group {group}: {error}: {hint}"))
}

/// How many packets the kernel has counted since the last one that came, without this one. Remembers what comes next.
fn missing(expected: &mut Option<u32>, sequence: Option<u32>) -> u64 {
    let Some(sequence) = sequence else { return 0 };
    let before = expected.replace(sequence.wrapping_add(1));
    before.map_or(0, |before| u64::from(sequence.wrapping_sub(before)))
}

/// A packet without its header or payload is no use to anybody.
fn parse(message: &[u8]) -> Option<NflogPacket> {
    let mut hw_protocol = None;
    let mut in_ifindex = None;
    let mut out_ifindex = None;
    let mut payload = None;
    let mut sequence = None;
    for attribute in NlasIterator::new(message.get(GENERIC_HEADER..)?) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() & !ATTRIBUTE_FLAGS {
            NFULA_PACKET_HDR => hw_protocol = Some(u16::from_be_bytes(*value.first_chunk()?)),
            NFULA_IFINDEX_INDEV => in_ifindex = Some(u32::from_be_bytes(*value.first_chunk()?)),
            NFULA_IFINDEX_OUTDEV => out_ifindex = Some(u32::from_be_bytes(*value.first_chunk()?)),
            NFULA_PAYLOAD => payload = Some(value.to_vec()),
            NFULA_SEQ => sequence = Some(u32::from_be_bytes(*value.first_chunk()?)),
            _ => {}
        }
    }
    Some(NflogPacket { hw_protocol: hw_protocol?, in_ifindex, out_ifindex, payload: payload?, sequence })
}

#[cfg(test)]
mod tests {
    use super::{missing, parse};

    /// What a kernel sent for an ICMP packet on the output hook, payload shortened to its first eight octets.
    const PACKET: &[u8] = &[
        2, 0, 0, 1, // AF_INET, version 0, group 1
        8, 0, 1, 0, 0x08, 0x00, 3, 0, // packet header: protocol, hook
        5, 0, 10, 0, 0, 0, 0, 0, // prefix
        8, 0, 5, 0, 0, 0, 0, 2, // output interface
        12, 0, 9, 0, 0x45, 0, 0, 0x54, 1, 2, 3, 4,
    ];

    #[test]
    fn a_packet() {
        let packet = parse(PACKET).unwrap();
        assert_eq!(packet.hw_protocol, 0x0800);
        assert_eq!((packet.in_ifindex, packet.out_ifindex), (None, Some(2)));
        assert_eq!(packet.payload, [0x45, 0, 0, 0x54, 1, 2, 3, 4]);
    }

    #[test]
    fn gaps_in_the_count_are_lost_packets() {
        let mut expected = Some(0);
        assert_eq!(missing(&mut expected, Some(0)), 0);
        assert_eq!(missing(&mut expected, Some(4)), 3);
        assert_eq!(missing(&mut expected, None), 0, "a kernel that does not count");
        expected = Some(u32::MAX);
        assert_eq!(missing(&mut expected, Some(u32::MAX)), 0);
        assert_eq!(missing(&mut expected, Some(1)), 1, "past the end of the count");
    }

    #[test]
    fn cut_anywhere_it_is_refused_without_panic() {
        for end in 0..PACKET.len() {
            assert_eq!(parse(&PACKET[..end]), None, "{end}");
        }
    }
}
