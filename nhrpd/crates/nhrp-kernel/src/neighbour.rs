//! Neighbour entries (overlay address to NBMA address) by rtnetlink. Owns two netlink sockets; never decides which
//! entries there should be.
//!
//! An entry that is REACHABLE and nothing else, as zebra writes it, is subject to the kernel's garbage collection: with
//! default sysctls a hub cannot hold more than 1,024 of them and loses idle ones within a minute. Both kinds written
//! here are exempt from it (since Linux 5.0).

mod reconcile;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::io::unix::AsyncFd;

use crate::mmsg::Slots;
use crate::netlink::{Messages, NetlinkSocket, Requests};

pub use reconcile::reconcile;

/// `NDA_PROTOCOL` of entries that NHRP made (`RTPROT_NHRP` in FRR and in `ip neigh`'s name table).
pub const PROTOCOL_NHRP: u8 = 191;

/// States of an entry: `NUD_*` of linux/neighbour.h.
pub mod nud {
    /// A packet waits for an address that is not known.
    pub const INCOMPLETE: u16 = 0x01;
    /// Confirmed.
    pub const REACHABLE: u16 = 0x02;
    /// Usable, but long since confirmed.
    pub const STALE: u16 = 0x04;
    /// Used while stale: to be probed soon.
    pub const DELAY: u16 = 0x08;
    /// Being probed.
    pub const PROBE: u16 = 0x10;
    /// Nobody answered.
    pub const FAILED: u16 = 0x20;
    /// Needs no confirmation.
    pub const NOARP: u16 = 0x40;
    /// Stays until it is removed.
    pub const PERMANENT: u16 = 0x80;
}

/// How the kernel treats an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighbourKind {
    /// `NUD_PERMANENT`: never probed, never collected. For registered, static and NHS peers.
    Permanent,
    /// `NUD_REACHABLE` with `NTF_EXT_LEARNED`: never collected, but ages, so that use can be seen. For shortcuts.
    ExternallyLearned,
    /// `NUD_STALE` with `NTF_EXT_LEARNED`: the same, but the next packet makes the kernel ask within seconds
    /// (`delay_first_probe_time`) whether the entry still holds. For shortcuts about to expire.
    ExternallyLearnedStale,
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
    /// The kernel looks for this address (`app_solicit`), or wants it confirmed: an aging entry is in use.
    WhoHas(KernelNeighbour),
    /// Events were lost: the caller must dump and compare.
    Overrun,
}

/// What became of one entry of a batch.
pub type NeighbourResult = Result<(), io::Error>;

/// What happened since the sockets were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeighbourCounters {
    /// Entries the kernel took.
    pub written: u64,
    /// Entries deleted, or not there.
    pub deleted: u64,
    /// Entries the kernel refused.
    pub refused: u64,
    /// Events given to the caller, overruns included.
    pub events: u64,
    /// Times that events were lost.
    pub overruns: u64,
}

/// Reads and writes the neighbour table.
#[derive(Debug)]
pub struct Neighbours {
    requests: Requests,
    dump_slots: Slots,
    events: AsyncFd<NetlinkSocket>,
    event_slots: Slots,
    pending: VecDeque<NeighbourEvent>,
    counters: NeighbourCounters,
}

/// A part of a dump never exceeds what the kernel allocates for one.
const DUMP_LEN: usize = 32 << 10;

impl Neighbours {
    /// Opens both sockets in the calling thread's network namespace. Needs CAP_NET_ADMIN to write, and a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let requests = Requests::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        let events = NetlinkSocket::open(netlink_sys::protocols::NETLINK_ROUTE, 8 << 20)?;
        events.ignore_changes_by(requests.socket())?;
        events.join(libc::RTNLGRP_NEIGH)?;
        Ok(Self {
            requests,
            dump_slots: Slots::new(4, DUMP_LEN),
            events: events.watch()?,
            event_slots: Slots::new(32, 2048),
            pending: VecDeque::new(),
            counters: NeighbourCounters::default(),
        })
    }

    /// Writes entries; one result for each, in order. The kernel answers before the call returns, so nothing is awaited.
    ///
    /// # Errors
    /// If the requests could not be sent: write the whole slice again.
    pub fn replace(&mut self, entries: &[NeighbourEntry]) -> io::Result<Vec<NeighbourResult>> {
        let messages =
            entries.iter().map(|entry| request(RouteNetlinkMessage::NewNeighbour(entry.message())));
        let results = self.requests.batch(messages, NLM_F_CREATE | NLM_F_REPLACE)?;
        for result in &results {
            match result {
                Ok(()) => self.counters.written += 1,
                Err(_) => self.counters.refused += 1,
            }
        }
        Ok(results)
    }

    /// Deletes entries; one result for each, in order. An entry that is not there is a success.
    ///
    /// # Errors
    /// If the requests could not be sent: delete the whole slice again.
    pub fn delete(&mut self, entries: &[(u32, IpAddr)]) -> io::Result<Vec<NeighbourResult>> {
        let messages = entries.iter().map(|(ifindex, address)| {
            request(RouteNetlinkMessage::DelNeighbour(message(*ifindex, *address)))
        });
        let mut results = self.requests.batch(messages, 0)?;
        for result in &mut results {
            if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT)) {
                *result = Ok(());
            }
            match result {
                Ok(()) => self.counters.deleted += 1,
                Err(_) => self.counters.refused += 1,
            }
        }
        Ok(results)
    }

    /// Ends the kernel's search for addresses: packets that wait for them are refused at once. One result for each, in
    /// order. An address of which the kernel has no entry stays so; any other is made to fail.
    ///
    /// # Errors
    /// If the requests could not be sent.
    pub fn refuse(&mut self, entries: &[(u32, IpAddr)]) -> io::Result<Vec<NeighbourResult>> {
        let messages = entries.iter().map(|(ifindex, address)| {
            let mut message = message(*ifindex, *address);
            message.header.state = NeighbourState::Failed;
            request(RouteNetlinkMessage::NewNeighbour(message))
        });
        // Without NLM_F_CREATE an entry that is not there stays so.
        let mut results = self.requests.batch(messages, NLM_F_REPLACE)?;
        for result in &mut results {
            if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT)) {
                *result = Ok(());
            }
            if result.is_err() {
                self.counters.refused += 1;
            }
        }
        Ok(results)
    }

    /// Reads the IPv4 and IPv6 entries of some interfaces. Cancel-safe: a dump that is dropped is forgotten by the next.
    ///
    /// # Errors
    /// What the kernel says, among it that the table changed too much while it was read (`Interrupted`): dump again.
    pub async fn dump(&mut self, ifindexes: &BTreeSet<u32>) -> io::Result<Vec<KernelNeighbour>> {
        let mut found = Vec::new();
        for ifindex in ifindexes {
            for family in [AddressFamily::Inet, AddressFamily::Inet6] {
                self.dump_one(*ifindex, family, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn dump_one(
        &mut self,
        ifindex: u32,
        family: AddressFamily,
        found: &mut Vec<KernelNeighbour>,
    ) -> io::Result<()> {
        // What a dropped dump left behind. The kernel refuses a second dump while one is under way.
        while self.dump_slots.receive(self.requests.socket().as_fd()).is_ok() {}
        let mut filter = NeighbourMessage::default();
        filter.header.family = family;
        filter.attributes.push(NeighbourAttribute::IfIndex(ifindex));
        let query = request(RouteNetlinkMessage::GetNeighbour(filter));
        let sequence = self.requests.send(query, NLM_F_DUMP)?;
        loop {
            // Sending queued the first part, and taking a part queues the next, so there is always something to take.
            match self.dump_slots.receive(self.requests.socket().as_fd()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let mut interrupted = false;
            for datagram in self.dump_slots.datagrams() {
                for message in Messages::of(&datagram).filter(|m| m.sequence == sequence) {
                    interrupted |= message.dump_was_interrupted();
                    if let Some(end) = message.error() {
                        return if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { end };
                    }
                    if let Some(NeighbourEvent::Changed(neighbour)) = read(message.octets) {
                        // A kernel that does not know the filter sends every interface.
                        if neighbour.ifindex == ifindex {
                            found.push(neighbour);
                        }
                    }
                }
            }
            if interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // A large table takes long: let others run.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the next event of any interface. What this very object writes is no event. Cancel-safe.
    ///
    /// # Errors
    /// What the kernel says. That it had to drop events is no error but [`NeighbourEvent::Overrun`].
    pub async fn next_event(&mut self) -> io::Result<NeighbourEvent> {
        loop {
            if let Some(event) = self.pending_event() {
                return Ok(event);
            }
            let mut ready = self.events.readable().await?;
            match ready.try_io(|fd| self.event_slots.receive(fd.as_fd())) {
                Ok(Ok(_)) if self.event_slots.took_all() => ready.clear_ready(),
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.counters.overruns += 1;
                    self.pending.push_back(NeighbourEvent::Overrun);
                    continue;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => continue,
            }
            for datagram in self.event_slots.datagrams() {
                self.pending.extend(Messages::of(&datagram).filter_map(|m| read(m.octets)));
            }
        }
    }

    /// The next of the events that came together with the last one, without a look at the socket.
    pub fn pending_event(&mut self) -> Option<NeighbourEvent> {
        let event = self.pending.pop_front()?;
        self.counters.events += 1;
        Some(event)
    }

    /// Totals since the sockets were opened.
    #[must_use]
    pub fn counters(&self) -> NeighbourCounters {
        self.counters
    }
}

impl NeighbourEntry {
    fn message(&self) -> NeighbourMessage {
        let mut message = message(self.ifindex, self.protocol);
        (message.header.state, message.header.flags) = match self.kind {
            NeighbourKind::Permanent => (NeighbourState::Permanent, NeighbourFlags::empty()),
            NeighbourKind::ExternallyLearned => (NeighbourState::Reachable, NeighbourFlags::ExtLearned),
            NeighbourKind::ExternallyLearnedStale => (NeighbourState::Stale, NeighbourFlags::ExtLearned),
        };
        let nbma = match self.nbma {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(nbma));
        message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(PROTOCOL_NHRP)));
        message
    }
}

fn message(ifindex: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = ifindex;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

fn request(message: RouteNetlinkMessage) -> NetlinkMessage<RouteNetlinkMessage> {
    NetlinkMessage::from(message)
}

/// Other families (bridges have neighbours too) and what cannot be understood are nothing.
fn read(octets: &[u8]) -> Option<NeighbourEvent> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets).ok()?;
    let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
    Some(match message {
        RouteNetlinkMessage::NewNeighbour(m) => NeighbourEvent::Changed(neighbour(&m)?),
        RouteNetlinkMessage::DelNeighbour(m) => NeighbourEvent::Deleted(neighbour(&m)?),
        RouteNetlinkMessage::GetNeighbour(m) => NeighbourEvent::WhoHas(neighbour(&m)?),
        _ => return None,
    })
}

fn neighbour(message: &NeighbourMessage) -> Option<KernelNeighbour> {
    let mut address = None;
    let mut nbma = None;
    let mut protocol = 0;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => address = Some(IpAddr::V4(*a)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => address = Some(IpAddr::V6(*a)),
            NeighbourAttribute::LinkLayerAddress(octets) => nbma = link_layer(octets),
            NeighbourAttribute::Protocol(p) => protocol = u8::from(*p),
            _ => {}
        }
    }
    Some(KernelNeighbour {
        ifindex: message.header.ifindex,
        address: address?,
        nbma,
        state: message.header.state.into(),
        flags: message.header.flags.bits(),
        protocol,
    })
}

fn link_layer(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(octets).ok().map(|six| Ipv6Addr::from(six).into())
}

#[cfg(test)]
mod tests;
