//! Multicast over the tunnels: packets come from the firewall's second NFLOG group, their copies go to the kernel. Who
//! gets them is the engine's business; here are only the sockets, what waits between them, and the count of what was lost.

use nhrp_config::Afi;
use nhrp_engine::Output;
use nhrp_kernel::nflog::{Nflog, NflogCounters, NflogOptions, NflogPacket};
use nhrp_kernel::replicator::{Replication, ReplicationCounters, Replicator};

/// Packets whose copies wait for room in the kernel. With more of them the firewall's packets are left where they are,
/// until the kernel drops and counts them: one place for what is too much.
const BACKLOG: usize = 256;

/// Both ends, if `nhrp multicast-nflog-group` is configured.
#[derive(Debug, Default)]
pub(crate) struct MulticastSide {
    open: Option<Open>,
    logged: Vec<NflogPacket>,
    /// Of groups and sockets that were closed.
    before: Counters,
}

#[derive(Debug)]
struct Open {
    group: u16,
    nflog: Nflog,
    replicator: Replicator,
    told: u64,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Packets that the firewall handed over in vain.
    pub(crate) lost: u64,
    /// Copies handed to the kernel.
    pub(crate) sent: u64,
    /// Copies that it refused.
    pub(crate) failed: u64,
}

impl Counters {
    fn plus(self, nflog: NflogCounters, replicator: ReplicationCounters) -> Self {
        Self {
            lost: self.lost + nflog.lost,
            sent: self.sent + replicator.sent,
            failed: self.failed + replicator.failed,
        }
    }
}

/// What woke it.
pub(crate) enum Happened {
    /// Packets are there, to be fetched with [`MulticastSide::logged`].
    Logged,
    /// Copies of a packet have gone out, but for those with this error.
    Sent(Option<std::io::Error>),
    /// The group cannot be read.
    Broken(std::io::Error),
}

impl MulticastSide {
    /// Listens to another group, or to none.
    pub(crate) fn listen(&mut self, group: Option<u16>) {
        self.before = self.counters();
        self.open = None;
        let Some(group) = group else { return };
        let opened = Nflog::open(group, &NflogOptions::multicast())
            .and_then(|nflog| Ok(Open { group, nflog, replicator: Replicator::open()?, told: 0 }));
        match opened {
            Ok(open) => self.open = Some(open),
            Err(error) => tracing::warn!(
                target: "nhrp::kernel",
                "cannot bind NFLOG group {group}: {error}; is the kernel module nfnetlink_log there, \
                 and no other program on this group? Multicast is not replicated"
            ),
        }
    }

    /// Waits until packets come from the firewall or copies can go out, and sends these. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Happened {
        let Some(Open { nflog, replicator, .. }) = &mut self.open else {
            return std::future::pending().await;
        };
        let room = replicator.backlog() < BACKLOG;
        tokio::select! {
            received = nflog.recv(&mut self.logged), if room => match received {
                Ok(()) => Happened::Logged,
                Err(error) => Happened::Broken(error),
            },
            refused = replicator.send() => Happened::Sent(refused),
        }
    }

    /// The packets that have come: interface by which each leaves, and the packet.
    pub(crate) fn logged(&mut self) -> Vec<(u32, Vec<u8>)> {
        let packets = self.logged.drain(..);
        packets.filter_map(|packet| Some((packet.out_ifindex?, packet.payload))).collect()
    }

    /// Takes the engine's order.
    pub(crate) fn replicate(&mut self, order: Output) {
        let (Some(open), Output::Replicate { ifindex, afi, receivers, octets }) = (&mut self.open, order)
        else {
            return;
        };
        let ethertype = match afi {
            Afi::Ip => 0x0800,
            Afi::Ipv6 => 0x86dd,
        };
        open.replicator.push(Replication { ifindex, ethertype, receivers, octets });
    }

    /// What to tell the operator about packets that were lost since the last time.
    pub(crate) fn loss(&mut self) -> Option<String> {
        let open = self.open.as_mut()?;
        let lost = open.nflog.counters().lost;
        let new = lost - open.told;
        open.told = lost;
        (new > 0).then(|| {
            format!(
                "{new} multicast packets of NFLOG group {} were lost: more came than can be replicated. Let fewer \
                 pass by the firewall's rule (-d 224.0.0.0/24, -m limit)",
                open.group
            )
        })
    }

    /// Totals since the start.
    pub(crate) fn counters(&self) -> Counters {
        match &self.open {
            Some(open) => self.before.plus(open.nflog.counters(), open.replicator.counters()),
            None => self.before,
        }
    }
}
