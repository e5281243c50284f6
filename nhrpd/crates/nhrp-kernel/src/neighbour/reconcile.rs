//! Compares the entries there should be with those the kernel has. Pure; knows no socket.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{KernelNeighbour, NeighbourEntry, NeighbourKind, PROTOCOL_NHRP, nud};

/// States of an entry that ages, in which packets leave.
const NUD_AGEING: u16 = nud::REACHABLE | nud::STALE | nud::DELAY | nud::PROBE;
const NTF_EXT_LEARNED: u8 = 0x10;

/// What must be written and what deleted so that the kernel has exactly `wanted` among NHRP's own entries, each in the
/// order given.
///
/// An entry that is right already is left alone, whoever wrote it in an earlier life of the daemon: that is adoption.
/// Entries of others (another `NDA_PROTOCOL`) are never deleted, but are overwritten where `wanted` has the same address.
/// If `wanted` names an address twice, the last one counts. Entries of NHRP that are no longer usable (failed,
/// incomplete) are left to the kernel to forget.
#[must_use]
pub fn reconcile(
    wanted: &[NeighbourEntry],
    kernel: &[KernelNeighbour],
) -> (Vec<NeighbourEntry>, Vec<(u32, IpAddr)>) {
    let present: HashMap<_, _> = kernel.iter().map(|n| ((n.ifindex, n.address), n)).collect();
    let last: HashMap<_, _> =
        wanted.iter().enumerate().map(|(at, entry)| ((entry.ifindex, entry.protocol), at)).collect();
    let to_write = wanted
        .iter()
        .enumerate()
        .filter(|(at, entry)| {
            let key = (entry.ifindex, entry.protocol);
            last.get(&key) == Some(at) && !present.get(&key).is_some_and(|n| n.serves(entry))
        })
        .map(|(_, entry)| *entry)
        .collect();
    let to_delete = kernel
        .iter()
        .filter(|n| n.protocol == PROTOCOL_NHRP && n.is_usable())
        .map(|n| (n.ifindex, n.address))
        .filter(|key| !last.contains_key(key))
        .collect();
    (to_write, to_delete)
}

impl KernelNeighbour {
    /// Whether packets leave by it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state & (NUD_AGEING | nud::PERMANENT | nud::NOARP) != 0
    }

    /// Whether it is what `entry` asks for, its address taken for granted.
    #[must_use]
    pub fn serves(&self, entry: &NeighbourEntry) -> bool {
        let kind = match entry.kind {
            NeighbourKind::Permanent => self.state & nud::PERMANENT != 0,
            NeighbourKind::ExternallyLearned | NeighbourKind::ExternallyLearnedStale => {
                self.state & NUD_AGEING != 0 && self.flags & NTF_EXT_LEARNED != 0
            }
        };
        kind && self.nbma == Some(entry.nbma) && self.protocol == PROTOCOL_NHRP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 255, 255, last])
    }

    fn entry(last: u8, kind: NeighbourKind) -> NeighbourEntry {
        NeighbourEntry { ifindex: 3, protocol: ip(last), nbma: IpAddr::from([192, 0, 2, last]), kind }
    }

    fn kernel(last: u8, state: u16, flags: u8, protocol: u8) -> KernelNeighbour {
        let nbma = Some(IpAddr::from([192, 0, 2, last]));
        KernelNeighbour { ifindex: 3, address: ip(last), nbma, state, flags, protocol }
    }

    use NeighbourKind::{ExternallyLearned, Permanent};

    #[test]
    fn what_is_right_is_adopted() {
        let wanted = [entry(1, Permanent), entry(2, ExternallyLearned)];
        for ageing in [nud::REACHABLE, nud::STALE, nud::DELAY, nud::PROBE] {
            let present = [
                kernel(1, nud::PERMANENT, 0, PROTOCOL_NHRP),
                kernel(2, ageing, NTF_EXT_LEARNED, PROTOCOL_NHRP),
            ];
            assert_eq!(reconcile(&wanted, &present), (vec![], vec![]));
        }
    }

    #[test]
    fn whatever_differs_is_written() {
        let right = kernel(1, nud::PERMANENT, 0, PROTOCOL_NHRP);
        let wrong = [
            KernelNeighbour { nbma: Some(ip(9)), ..right },
            KernelNeighbour { nbma: None, ..right },
            KernelNeighbour { state: nud::REACHABLE, ..right },
            KernelNeighbour { state: 0x20, ..right },
            KernelNeighbour { protocol: 0, ..right },
            KernelNeighbour { ifindex: 4, protocol: 0, ..right },
            KernelNeighbour { address: ip(2), protocol: 0, ..right },
        ];
        for present in wrong {
            let wanted = entry(1, Permanent);
            assert_eq!(reconcile(&[wanted], &[present]), (vec![wanted], vec![]), "{present:?}");
        }
        let ageing = entry(1, ExternallyLearned);
        for present in [right, kernel(1, nud::REACHABLE, 0, PROTOCOL_NHRP)] {
            assert_eq!(reconcile(&[ageing], &[present]), (vec![ageing], vec![]), "{present:?}");
        }
    }

    #[test]
    fn only_own_usable_entries_are_deleted() {
        let present = [
            kernel(1, nud::PERMANENT, 0, PROTOCOL_NHRP),
            kernel(2, nud::STALE, NTF_EXT_LEARNED, PROTOCOL_NHRP),
            kernel(3, nud::PERMANENT, 0, 0),
            kernel(4, nud::REACHABLE, 0, 11),
            kernel(5, 0x20, 0, PROTOCOL_NHRP),
            kernel(6, 0x01, 0, PROTOCOL_NHRP),
        ];
        assert_eq!(reconcile(&[], &present), (vec![], vec![(3, ip(1)), (3, ip(2))]));
    }

    #[test]
    fn the_last_of_two_counts() {
        let first = entry(1, ExternallyLearned);
        let last = entry(1, Permanent);
        assert_eq!(reconcile(&[first, last], &[]), (vec![last], vec![]));
    }
}
