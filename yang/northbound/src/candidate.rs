//! Candidates: who has which number, and which may go. Owns them until they are deleted.

use std::collections::BTreeMap;

use nhrp_yang::Tree;

/// A configuration that is being made.
#[derive(Debug)]
pub(crate) struct Candidate<'s> {
    pub(crate) tree: Tree<'s>,
    /// When a client named it last.
    used: i64,
}

/// All of them, of all clients: who knows a number may use it, as in FRR.
#[derive(Debug, Default)]
pub(crate) struct Candidates<'s> {
    last: u32,
    by_id: BTreeMap<u32, Candidate<'s>>,
}

impl<'s> Candidates<'s> {
    /// Adds one and says its number, which is never used again; none if there are `most` in use. Those that nobody has
    /// named for `idle` seconds go first, but not `kept`.
    pub(crate) fn add(
        &mut self,
        tree: Tree<'s>,
        now: i64,
        (most, idle): (usize, i64),
        kept: Option<u32>,
    ) -> Option<u32> {
        if self.by_id.len() >= most {
            self.by_id.retain(|id, c| now.saturating_sub(c.used) < idle || Some(*id) == kept);
        }
        if self.by_id.len() >= most {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        self.by_id.insert(self.last, Candidate { tree, used: now });
        Some(self.last)
    }

    pub(crate) fn get(&mut self, id: u32, now: i64) -> Option<&mut Candidate<'s>> {
        let candidate = self.by_id.get_mut(&id)?;
        candidate.used = now;
        Some(candidate)
    }

    pub(crate) fn remove(&mut self, id: u32) -> bool {
        self.by_id.remove(&id).is_some()
    }
}
