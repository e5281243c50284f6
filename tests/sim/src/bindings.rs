//! Who has which overlay address, and who believes otherwise for how long.
//!
//! The truth is taken from the nodes' own settings, the belief from the neighbour entries that engines had written, for
//! those decide where packets go. Owns the times; how long is too long is told by whoever asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use nhrp_engine::Instant;

use crate::network::NodeId;

/// A node's belief about an overlay address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Belief {
    nbma: IpAddr,
    /// How long it may be wrong.
    patience: Duration,
    /// Until when; none while it is right.
    due: Option<Instant>,
}

/// Truth and beliefs.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    truth: HashMap<IpAddr, IpAddr>,
    /// When a binding ended that was true once.
    ceased: HashMap<(IpAddr, IpAddr), Instant>,
    beliefs: HashMap<IpAddr, BTreeMap<NodeId, Belief>>,
    due: BTreeSet<(Instant, NodeId, IpAddr)>,
}

impl Bindings {
    /// The address is reached at `nbma` from now on, or nowhere. `later`: it will not know of this itself before.
    pub(crate) fn is_now(&mut self, now: Instant, overlay: IpAddr, nbma: Option<IpAddr>, later: Duration) {
        let former = match nbma {
            Some(nbma) => self.truth.insert(overlay, nbma),
            None => self.truth.remove(&overlay),
        };
        if former == nbma {
            return;
        }
        if let Some(former) = former {
            self.ceased.insert((overlay, former), now + later);
        }
        for (node, belief) in self.beliefs.entry(overlay).or_default() {
            let right = Some(belief.nbma) == nbma;
            match belief.due {
                Some(due) if right => {
                    self.due.remove(&(due, *node, overlay));
                    belief.due = None;
                }
                None if !right => {
                    let due = now + later + belief.patience;
                    self.due.insert((due, *node, overlay));
                    belief.due = Some(due);
                }
                _ => {}
            }
        }
    }

    /// A node has this belief from now on, or none. One that was true once may be held for `patience` after it ceased
    /// to be, however late it was learned; one that never was, for as long after it was first held.
    pub(crate) fn believes(
        &mut self,
        now: Instant,
        node: NodeId,
        overlay: IpAddr,
        nbma: Option<IpAddr>,
        patience: Duration,
    ) {
        let beliefs = self.beliefs.entry(overlay).or_default();
        let former = beliefs.get(&node).copied();
        if former.map(|f| f.nbma) == nbma {
            return;
        }
        if let Some(due) = former.and_then(|f| f.due) {
            self.due.remove(&(due, node, overlay));
        }
        let Some(nbma) = nbma else {
            beliefs.remove(&node);
            return;
        };
        let due = (self.truth.get(&overlay) != Some(&nbma)).then(|| {
            let since = self.ceased.get(&(overlay, nbma)).copied().unwrap_or(now);
            since + patience
        });
        if let Some(due) = due {
            self.due.insert((due, node, overlay));
        }
        beliefs.insert(node, Belief { nbma, patience, due });
    }

    /// The belief that has been wrong for too long, if there is one: who, about whom, what.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<(NodeId, IpAddr, IpAddr)> {
        let (due, node, overlay) = *self.due.first()?;
        if due >= now {
            return None;
        }
        self.due.pop_first();
        let belief = self.beliefs.get_mut(&overlay)?.get_mut(&node)?;
        belief.due = None;
        Some((node, overlay, belief.nbma))
    }
}
