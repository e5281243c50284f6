//! The engine's outputs that the kernel carries out: packets, neighbours, sysctls, tunnel parameters.
//!
//! Packets and neighbour changes are collected during a turn of the loop and handed over in as few system calls as
//! they fit into.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use nhrp_engine::{Engine, Input, Neighbour, NeighbourEvent as Told, NeighbourState};
use nhrp_kernel::link::Links;
use nhrp_kernel::neighbour::{
    KernelNeighbour, NeighbourEntry, NeighbourEvent, NeighbourKind, Neighbours, PROTOCOL_NHRP, nud, reconcile,
};
use nhrp_kernel::nflog::{Nflog, NflogOptions};
use nhrp_kernel::packet_socket::{ETHERTYPE_NHRP, OutgoingPacket, PacketSocket, PacketSocketOptions};
use nhrp_kernel::sysctl::Sysctl;

use crate::process::with_file_rights;

/// Sockets that need root to be opened.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) packets: PacketSocket,
    pub(crate) neighbours: Neighbours,
    pub(crate) links: Links,
}

impl Sockets {
    pub(crate) fn open() -> Result<Self, String> {
        let explain = |what: &str, error: std::io::Error| {
            format!("cannot open {what}: {error}; start as root, or with CAP_NET_RAW and CAP_NET_ADMIN")
        };
        Ok(Self {
            packets: PacketSocket::open(&PacketSocketOptions::default())
                .map_err(|e| explain("a packet socket for NHRP", e))?,
            neighbours: Neighbours::open().map_err(|e| explain("rtnetlink", e))?,
            links: Links::open().map_err(|e| explain("rtnetlink", e))?,
        })
    }
}

/// Binds an NFLOG group, or says what is wrong.
pub(crate) fn open_nflog(group: u16) -> Option<Nflog> {
    match Nflog::open(group, &NflogOptions::traffic_indication()) {
        Ok(nflog) => Some(nflog),
        Err(error) => {
            tracing::warn!(
                target: "nhrp::kernel",
                "cannot bind NFLOG group {group}: {error}; is the kernel module nfnetlink_log there, \
                 and no other program on this group? Traffic indications are not sent"
            );
            None
        }
    }
}

/// Neighbour changes that are handed over in one turn of the loop; more wait for the next. The kernel takes its time for
/// each, and thousands come at once when all peers of a hub are forgotten, or accepted.
const CHANGES_IN_A_TURN: usize = 128;

#[derive(Debug)]
enum NeighbourChange {
    Set(NeighbourEntry),
    Delete(u32, IpAddr),
}

#[derive(Debug)]
struct Queued {
    ifindex: u32,
    destination: IpAddr,
    octets: Vec<u8>,
}

/// What is to be handed over at the end of the turn.
#[derive(Debug)]
pub(crate) struct KernelSide {
    sysctl: Sysctl,
    packets: Vec<Queued>,
    /// In their order, which counts for the same address.
    changes: VecDeque<NeighbourChange>,
    /// Next hops that the kernel need not look for any longer.
    refusals: Vec<(u32, IpAddr)>,
    /// Interfaces whose `send_redirects` was changed, by name, to be put back at the end.
    touched: BTreeSet<String>,
    /// Counters for `show`.
    pub(crate) send_failures: u64,
    pub(crate) neighbour_failures: u64,
    pub(crate) packets_lost: u64,
}

fn entry_of(neighbour: &Neighbour) -> NeighbourEntry {
    let kind = match neighbour.state {
        NeighbourState::Permanent => NeighbourKind::Permanent,
        NeighbourState::Reachable => NeighbourKind::ExternallyLearned,
        NeighbourState::Stale => NeighbourKind::ExternallyLearnedStale,
    };
    NeighbourEntry { ifindex: neighbour.ifindex, protocol: neighbour.protocol, nbma: neighbour.nbma, kind }
}

impl KernelSide {
    pub(crate) fn new() -> Self {
        Self {
            sysctl: Sysctl::new("/proc/sys"),
            packets: Vec::new(),
            changes: VecDeque::new(),
            refusals: Vec::new(),
            touched: BTreeSet::new(),
            send_failures: 0,
            neighbour_failures: 0,
            packets_lost: 0,
        }
    }

    /// What to tell the operator about received packets that the kernel had no room for since the last time. A system
    /// call: to be asked when packets come in full batches, for only then some are waiting.
    pub(crate) fn loss(&mut self, sockets: &mut Sockets) -> Option<String> {
        let lost = sockets.packets.counters().overflowed;
        let new = lost - std::mem::replace(&mut self.packets_lost, lost);
        (new > 0).then(|| {
            format!(
                "{new} NHRP packets were lost: more came than can be handled; their senders repeat them. See with tcpdump \
                 who sends so many"
            )
        })
    }

    pub(crate) fn queue_packet(&mut self, ifindex: u32, destination: IpAddr, octets: Vec<u8>) {
        self.packets.push(Queued { ifindex, destination, octets });
    }

    pub(crate) fn queue_set(&mut self, neighbour: &Neighbour) {
        self.changes.push_back(NeighbourChange::Set(entry_of(neighbour)));
    }

    pub(crate) fn queue_delete(&mut self, ifindex: u32, protocol: IpAddr) {
        self.changes.push_back(NeighbourChange::Delete(ifindex, protocol));
    }

    pub(crate) fn queue_refusal(&mut self, ifindex: u32, protocol: IpAddr) {
        self.refusals.push((ifindex, protocol));
    }

    /// Whether there is more to hand over than fitted into the last [`flush`](Self::flush).
    pub(crate) fn is_behind(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Neighbours first: a reply may go to a peer that the same turn has made known. The octets of packets that were
    /// handed over go to `sent`. Of neighbours [`CHANGES_IN_A_TURN`] are handed over.
    pub(crate) fn flush(&mut self, sockets: &mut Sockets, mut sent: impl FnMut(Vec<u8>)) {
        self.flush_neighbours(&mut sockets.neighbours);
        if self.packets.is_empty() {
            return;
        }
        let items: Vec<OutgoingPacket<'_>> = self
            .packets
            .iter()
            .map(|p| OutgoingPacket {
                ifindex: p.ifindex,
                destination: p.destination,
                ethertype: ETHERTYPE_NHRP,
                octets: &p.octets,
            })
            .collect();
        let report = sockets.packets.send(&items);
        for failure in &report.failed {
            self.send_failures += 1;
            let to = items.get(failure.index).map(|i| i.destination);
            tracing::debug!(target: "nhrp::kernel", "packet to {to:?} not sent: {}", failure.error);
        }
        for packet in self.packets.drain(..) {
            sent(packet.octets);
        }
    }

    fn flush_neighbours(&mut self, neighbours: &mut Neighbours) {
        let refusals = std::mem::take(&mut self.refusals);
        if !refusals.is_empty() {
            // First, for a binding that the same turn has brought is worth more than a refusal.
            let outcome = neighbours.refuse(&refusals);
            self.account("refuse", outcome, |i| refusals.get(i).map(|e| e.1));
        }
        let part = self.changes.len().min(CHANGES_IN_A_TURN);
        let changes: Vec<NeighbourChange> = self.changes.drain(..part).collect();
        let mut sets: Vec<NeighbourEntry> = Vec::new();
        let mut deletes: Vec<(u32, IpAddr)> = Vec::new();
        for change in changes {
            // Their order counts for the same address: what is collected goes out before the other kind begins.
            match change {
                NeighbourChange::Set(entry) => {
                    self.delete(neighbours, &mut deletes);
                    sets.push(entry);
                }
                NeighbourChange::Delete(ifindex, protocol) => {
                    self.set(neighbours, &mut sets);
                    deletes.push((ifindex, protocol));
                }
            }
        }
        self.delete(neighbours, &mut deletes);
        self.set(neighbours, &mut sets);
    }

    fn set(&mut self, neighbours: &mut Neighbours, entries: &mut Vec<NeighbourEntry>) {
        if entries.is_empty() {
            return;
        }
        let outcome = neighbours.replace(entries);
        self.account("write", outcome, |i| entries.get(i).map(|e| e.protocol));
        entries.clear();
    }

    fn delete(&mut self, neighbours: &mut Neighbours, entries: &mut Vec<(u32, IpAddr)>) {
        if entries.is_empty() {
            return;
        }
        let outcome = neighbours.delete(entries);
        self.account("delete", outcome, |i| entries.get(i).map(|e| e.1));
        entries.clear();
    }

    fn account(
        &mut self,
        verb: &str,
        outcome: std::io::Result<Vec<Result<(), std::io::Error>>>,
        name: impl Fn(usize) -> Option<IpAddr>,
    ) {
        let results = match outcome {
            Ok(results) => results,
            Err(error) => {
                self.neighbour_failures += 1;
                tracing::warn!(target: "nhrp::kernel", "cannot {verb} neighbours: {error}; they are compared again");
                return;
            }
        };
        for (index, error) in results.into_iter().enumerate().filter_map(|(i, r)| Some((i, r.err()?))) {
            // An interface that has gone down in the meantime takes its entries with it.
            self.neighbour_failures += 1;
            tracing::debug!(target: "nhrp::kernel", "cannot {verb} neighbour {:?}: {error}", name(index));
        }
    }

    /// NHRP starts on an interface.
    pub(crate) fn enable(&mut self, name: &str) {
        if !self.touched.insert(name.to_owned()) {
            return;
        }
        let sysctl = &mut self.sysctl;
        if let Err(error) = with_file_rights(|| sysctl.disable_send_redirects(name)) {
            tracing::warn!(target: "nhrp::kernel", "{error}");
        }
    }

    /// Takes over what an earlier life left on an interface, and removes what cannot be taken over.
    pub(crate) async fn adopt(
        &mut self,
        neighbours: &mut Neighbours,
        ifindex: u32,
        engine: &Engine,
    ) -> Vec<Input> {
        let found = match neighbours.dump(&BTreeSet::from([ifindex])).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(target: "nhrp::kernel", "cannot read the neighbour table: {error}");
                return Vec::new();
            }
        };
        let mut inputs = Vec::new();
        for old in found.into_iter().filter(|n| n.protocol == PROTOCOL_NHRP) {
            if engine.neighbour(ifindex, old.address).is_some() {
                continue;
            }
            match old.nbma {
                Some(nbma) if old.state & nud::PERMANENT != 0 => {
                    inputs.push(Input::Adopted { ifindex, protocol: old.address, nbma });
                }
                _ => self.queue_delete(ifindex, old.address),
            }
        }
        if !inputs.is_empty() {
            tracing::info!(
                target: "nhrp::kernel",
                "{} neighbours of an earlier run are kept until they register again or expire",
                inputs.len()
            );
        }
        inputs
    }

    /// Compares the kernel's table with what it should be and queues the difference.
    pub(crate) async fn compare(&mut self, neighbours: &mut Neighbours, engine: &Engine) {
        let interfaces: BTreeSet<u32> = engine.running_interfaces().map(|(ifindex, _, _)| ifindex).collect();
        if interfaces.is_empty() {
            return;
        }
        let found = match neighbours.dump(&interfaces).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(target: "nhrp::kernel", "cannot read the neighbour table: {error}");
                return;
            }
        };
        let wanted: Vec<NeighbourEntry> = engine.neighbours().map(|n| entry_of(&n)).collect();
        let (write, delete) = reconcile(&wanted, &found);
        if !write.is_empty() || !delete.is_empty() {
            tracing::info!(
                target: "nhrp::kernel",
                "neighbour table repaired: {} written, {} deleted",
                write.len(),
                delete.len()
            );
        }
        self.changes.extend(write.into_iter().map(NeighbourChange::Set));
        self.changes.extend(delete.into_iter().map(|(i, a)| NeighbourChange::Delete(i, a)));
    }

    /// At a clean stop: nothing of ours stays in the kernel.
    pub(crate) fn leave(&mut self, sockets: &mut Sockets, engine: &Engine, own_neighbours: bool) {
        if own_neighbours {
            let all: Vec<(u32, IpAddr)> = engine.neighbours().map(|n| (n.ifindex, n.protocol)).collect();
            for (ifindex, protocol) in all {
                self.queue_delete(ifindex, protocol);
            }
        }
        while self.is_behind() {
            self.flush_neighbours(&mut sockets.neighbours);
        }
        self.flush(sockets, drop);
        for name in std::mem::take(&mut self.touched) {
            let sysctl = &mut self.sysctl;
            if let Err(error) = with_file_rights(|| sysctl.restore_send_redirects(&name)) {
                tracing::debug!(target: "nhrp::kernel", "{error}");
            }
        }
    }
}

/// What a change in the kernel's table means to the engine. None: nothing, or an echo of our own writing.
pub(crate) fn neighbour_input(engine: &Engine, event: &NeighbourEvent) -> Option<Input> {
    let (told, entry): (Told, &KernelNeighbour) = match event {
        NeighbourEvent::Overrun => return None,
        NeighbourEvent::Deleted(entry) => (Told::Lost, entry),
        NeighbourEvent::WhoHas(entry) if entry.state == nud::INCOMPLETE => (Told::Wanted, entry),
        NeighbourEvent::WhoHas(entry) => (Told::Probe, entry),
        NeighbourEvent::Changed(entry) => (judge(engine, entry)?, entry),
    };
    // A packet waits for an address of which nothing is known yet: a next hop that a routing protocol chose.
    let unknown = told == Told::Wanted && matches!(event, NeighbourEvent::WhoHas(_));
    if unknown && engine.runs_on(entry.ifindex) {
        return Some(Input::Neighbour { ifindex: entry.ifindex, protocol: entry.address, event: told });
    }
    // What the engine does not want to be there is none of its business.
    engine.neighbour(entry.ifindex, entry.address)?;
    Some(Input::Neighbour { ifindex: entry.ifindex, protocol: entry.address, event: told })
}

fn judge(engine: &Engine, entry: &KernelNeighbour) -> Option<Told> {
    let wanted = engine.neighbour(entry.ifindex, entry.address)?;
    match entry.state {
        nud::INCOMPLETE => Some(Told::Wanted),
        nud::FAILED => Some(Told::Lost),
        _ if entry.nbma.is_some_and(|nbma| nbma != wanted.nbma) => Some(Told::Lost),
        _ if wanted.state == NeighbourState::Permanent => {
            // Somebody replaced it by an entry that ages.
            (entry.state & nud::PERMANENT == 0).then_some(Told::Lost)
        }
        nud::PROBE | nud::DELAY => Some(Told::Probe),
        nud::STALE => Some(Told::Stale),
        _ => None,
    }
}
