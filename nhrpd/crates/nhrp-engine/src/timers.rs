//! All deadlines of the engine in one ordered set.
//!
//! An owner keeps the instant that it armed, so that it can disarm exactly that one. Owners that are refreshed
//! all the time (cache entries) do not re-arm on each refresh: they look at their own expiry when the timer fires.

use std::collections::BTreeSet;

use crate::ids::{
    AuthorisationId, CacheId, ContestId, NhsId, PurgeId, RegistrationId, ResolutionId, ShortcutId,
};
use crate::time::Instant;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Authorisation(AuthorisationId),
    Cache(CacheId),
    Contest(ContestId),
    Nhs(NhsId),
    Protection,
    Purge(PurgeId),
    Registration(RegistrationId),
    Resolution(ResolutionId),
    Shortcut(ShortcutId),
    Underlay,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Arms `timer` at `at`, disarming what `slot` remembers.
    pub(crate) fn arm(&mut self, slot: &mut Option<Instant>, timer: Timer, at: Instant) {
        self.disarm(slot, timer);
        self.set.insert((at, timer));
        *slot = Some(at);
    }

    pub(crate) fn disarm(&mut self, slot: &mut Option<Instant>, timer: Timer) {
        if let Some(old) = slot.take() {
            self.set.remove(&(old, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due. Its owner must forget the instant it remembers.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, _) = self.set.first()?;
        if *at > now {
            return None;
        }
        self.set.pop_first().map(|(_, timer)| timer)
    }

    /// All that are armed, the next one first.
    pub(crate) fn armed(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        self.set.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }
}
