//! What changes, for whoever follows: bindings and shortcuts that come, change and go, each once between two fetches and
//! as it is when it is fetched.
//!
//! Owns what was noted since the last fetch. While nobody follows nothing is noted. No part of the protocol depends on
//! it, so it is no output, and a recording does not have it. A renewal that moves nothing but the expiry, and whether
//! packets use an entry, are no changes: a hub would do nothing else but tell of them.

use std::collections::{BTreeMap, VecDeque};

use crate::Engine;
use crate::cache::CacheType;
use crate::ids::{CacheId, InterfaceId, ShortcutId};
use crate::io::Input;
use crate::standing::ShortcutStanding;
use crate::view::CacheView;

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// It is another one than before.
    Changed,
    /// It is gone, for this reason; the row is the last one.
    Removed(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of a cache entry.
    Binding(What, CacheView),
    /// Of a shortcut; questions under way are none yet.
    Shortcut(What, ShortcutStanding),
    /// [`Engine::server_standings`] or [`Engine::interface_standings`] may say something else now. They are few, so
    /// whoever follows compares.
    Standings,
}

#[derive(Debug)]
enum Note {
    Binding(CacheId, u64),
    Shortcut(ShortcutId, u64),
    Gone(Box<Change>),
}

/// A note that was not fetched yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// Its number: the slot may have another entry by then, with a note of its own.
    number: u64,
    new: bool,
}

/// What has been noted.
#[derive(Debug, Default)]
pub(crate) struct Following {
    notes: VecDeque<Note>,
    bindings: BTreeMap<CacheId, Pending>,
    shortcuts: BTreeMap<ShortcutId, Pending>,
    numbers: u64,
    standings: bool,
}

impl Following {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn binding(&mut self, id: CacheId, new: bool) {
        if self.bindings.contains_key(&id) {
            return;
        }
        let number = self.number();
        self.bindings.insert(id, Pending { number, new });
        self.notes.push_back(Note::Binding(id, number));
    }

    fn shortcut(&mut self, id: ShortcutId, new: bool) {
        if self.shortcuts.contains_key(&id) {
            return;
        }
        let number = self.number();
        self.shortcuts.insert(id, Pending { number, new });
        self.notes.push_back(Note::Shortcut(id, number));
    }
}

/// Takes the note of this number, if it still is about what it was about.
fn take<K: Ord>(pending: &mut BTreeMap<K, Pending>, id: &K, number: u64) -> Option<What> {
    let new = pending.get(id).filter(|pending| pending.number == number)?.new;
    pending.remove(id);
    Some(if new { What::Added } else { What::Changed })
}

/// Whether servers or interfaces may stand otherwise after it. Of packets and timers those say so that are about them.
pub(crate) fn moves_standings(input: &Input) -> bool {
    !matches!(
        input,
        Input::Packet { .. }
            | Input::Flow { .. }
            | Input::Multicast { .. }
            | Input::Neighbour { .. }
            | Input::RouteAdded { .. }
            | Input::RouteDeleted { .. }
            | Input::Adopted { .. }
            | Input::DeadlineReached
    )
}

impl Engine {
    /// From now on changes are noted, for [`Engine::poll_change`]; or not any more, and those not fetched are forgotten.
    /// Whoever turns it on fetches after every [`Engine::handle`], or notes pile up.
    pub fn follow(&mut self, on: bool) {
        if on != self.following.is_some() {
            self.following = on.then(Box::default);
        }
    }

    /// The next change, in order; none if nobody follows.
    pub fn poll_change(&mut self) -> Option<Change> {
        loop {
            let following = self.following.as_mut()?;
            let Some(note) = following.notes.pop_front() else {
                return std::mem::take(&mut following.standings).then_some(Change::Standings);
            };
            match note {
                Note::Gone(change) => return Some(*change),
                Note::Binding(id, number) => {
                    let what = take(&mut following.bindings, &id, number);
                    let row = self.cache.get(id.key()).and_then(|entry| self.cache_row(entry));
                    if let Some((what, row)) = what.zip(row) {
                        return Some(Change::Binding(what, row));
                    }
                }
                Note::Shortcut(id, number) => {
                    let what = take(&mut following.shortcuts, &id, number);
                    let row = self.shortcuts.get(id.key()).map(|shortcut| self.shortcut_row(shortcut));
                    if let Some((what, row)) = what.zip(row) {
                        return Some(Change::Shortcut(what, row));
                    }
                }
            }
        }
    }

    pub(crate) fn binding_added(&mut self, id: CacheId) {
        if let Some(following) = &mut self.following {
            following.binding(id, true);
        }
    }

    /// And so do the shortcuts that lead to its peer.
    pub(crate) fn binding_changed(&mut self, id: CacheId) {
        let Some(following) = &mut self.following else { return };
        following.binding(id, false);
        for shortcut in self.dependents.get(&id).into_iter().flatten() {
            following.shortcut(*shortcut, false);
        }
    }

    /// The row of a binding that is about to go.
    pub(crate) fn last_of_binding(&self, id: CacheId) -> Option<CacheView> {
        self.following.as_ref()?;
        self.cache_row(self.cache.get(id.key())?)
    }

    /// It is gone now.
    pub(crate) fn binding_gone(&mut self, id: CacheId, last: Option<CacheView>, reason: &str) {
        let (Some(following), Some(last)) = (&mut self.following, last) else { return };
        // Nobody has heard of one that came and went between two fetches.
        if !following.bindings.remove(&id).is_some_and(|pending| pending.new) {
            let change = Change::Binding(What::Removed(reason.to_owned()), last);
            following.notes.push_back(Note::Gone(Box::new(change)));
        }
    }

    /// Our own address is another one, or is seen as another one: entries for ourselves name it.
    pub(crate) fn own_bindings_changed(&mut self, interface: InterfaceId) {
        let Some(following) = &mut self.following else { return };
        let own = self.cache.iter().filter(|(_, e)| e.interface == interface && e.kind == CacheType::Local);
        for (key, _) in own {
            following.binding(CacheId::from_key(key), false);
        }
    }

    pub(crate) fn shortcut_added(&mut self, id: ShortcutId) {
        if let Some(following) = &mut self.following {
            following.shortcut(id, true);
        }
    }

    pub(crate) fn shortcut_changed(&mut self, id: ShortcutId) {
        if let Some(following) = &mut self.following {
            following.shortcut(id, false);
        }
    }

    /// The row of a shortcut that is about to go.
    pub(crate) fn last_of_shortcut(&self, id: ShortcutId) -> Option<ShortcutStanding> {
        self.following.as_ref()?;
        self.shortcuts.get(id.key()).map(|shortcut| self.shortcut_row(shortcut))
    }

    /// It is gone now.
    pub(crate) fn shortcut_gone(&mut self, id: ShortcutId, last: Option<ShortcutStanding>, reason: &str) {
        let (Some(following), Some(last)) = (&mut self.following, last) else { return };
        if !following.shortcuts.remove(&id).is_some_and(|pending| pending.new) {
            let change = Change::Shortcut(What::Removed(reason.to_owned()), last);
            following.notes.push_back(Note::Gone(Box::new(change)));
        }
    }

    pub(crate) fn standings_moved(&mut self) {
        if let Some(following) = &mut self.following {
            following.standings = true;
        }
    }
}
