//! Several SAs with one peer that do the same, as when both ends began at once: all but the newest are ended, by one end.
//!
//! Both ends must not do it, because each may take another SA for the newest, and then none is left. Which end does it
//! follows from what both know: it is the one that began the IKE SA with the lowest initiator's SPI. Addresses would not
//! do, since behind a translator each end sees others. Where SPIs are not told, the end with the lower address does it. If
//! nothing happens for a while, the other end is not one of ours, and it is done here.
//!
//! Rekeying and reauthentication have two SAs for a moment as well, hence the patience. The peer is up all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Backend, Child, Pair};

/// How long there may be several, for the end that decides.
const PATIENCE: Duration = Duration::from_secs(30);
/// And for the other one.
const LONG_PATIENCE: Duration = Duration::from_secs(90);

impl Backend {
    fn children_of(&self, pair: Pair) -> impl Iterator<Item = (u32, &Child)> {
        let ids = self.peers.get(&pair).into_iter().flat_map(|peer| &peer.children);
        ids.filter_map(|id| Some((*id, self.children.get(id)?)))
    }

    /// Those that another one makes superfluous. charon numbers them in their order.
    fn superfluous(&self, pair: Pair) -> BTreeSet<u32> {
        let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
        let mut older = BTreeSet::new();
        for (id, child) in self.children_of(pair) {
            // In the order of their numbers.
            older.extend(newest.insert(&child.selectors, id));
        }
        older
    }

    /// Whether this end ends superfluous ones.
    fn decides(&self, pair: Pair) -> bool {
        let told = |child: &&Child| !child.initiator_spi.is_empty();
        let all = self.children_of(pair).map(|(_, child)| child);
        let lowest = all.filter(told).min_by(|a, b| a.initiator_spi.cmp(&b.initiator_spi));
        lowest.map_or(pair.local < pair.remote, |child| child.initiator)
    }

    /// Notes since when there are several. After each change of a peer's SAs.
    pub(super) fn count_duplicates(&mut self, pair: Pair) {
        let alone = self.peers.get(&pair).is_none_or(|peer| peer.children.len() < 2);
        let several = !alone && !self.superfluous(pair).is_empty();
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&pair) {
            peer.several = several.then(|| peer.several.unwrap_or(now));
        }
    }

    /// When something is to be done about them.
    pub(super) fn duplicates_due(&self, pair: Pair) -> Option<Instant> {
        let since = self.peers.get(&pair)?.several?;
        Some(since + if self.decides(pair) { PATIENCE } else { LONG_PATIENCE })
    }

    pub(super) fn end_duplicates(&mut self, pair: Pair) {
        if self.duplicates_due(pair).is_none_or(|at| at > self.now) {
            return;
        }
        if self.synchronised && self.is_reached() {
            let older = self.superfluous(pair);
            let text = format!(
                "{} has {} security associations more than it needs; they are ended",
                pair.remote,
                older.len()
            );
            self.notice(false, "duplicates", text);
            self.terminate(&older);
        }
        // Once more, should charon not have done it.
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&pair) {
            peer.several = Some(now);
        }
    }
}
