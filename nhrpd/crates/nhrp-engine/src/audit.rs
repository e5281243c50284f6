//! The tables checked against each other, for tests: every id leads somewhere and back, every timer has an owner that
//! knows it. Walks over everything and changes nothing.

use std::collections::BTreeMap;

use crate::Engine;
use crate::engine::Pending;
use crate::ids::{AuthorisationId, CacheId, ContestId, NhsId, RegistrationId, ResolutionId, ShortcutId};
use crate::interface::FAMILIES;
use crate::time::Instant;
use crate::timers::Timer;

impl Engine {
    /// What is wrong with the tables, in words; empty if nothing is. Takes time proportional to all that is known.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.audit_timers(&mut faults);
        self.audit_cache(&mut faults);
        self.audit_servers(&mut faults);
        self.audit_resolutions(&mut faults);
        self.audit_shortcuts(&mut faults);
        let waiting = self.authorising.waiting.len();
        if self.authorising.indexed() != [waiting; 2] {
            let [addresses, events] = self.authorising.indexed();
            faults.push(format!(
                "{waiting} bindings wait, {addresses} addresses and {events} questions lead there"
            ));
        }
        faults
    }

    /// The instant that each owner of a timer remembers.
    fn remembered_timers(&self) -> BTreeMap<Timer, Instant> {
        let cache = self.cache.iter().map(|(key, e)| (Timer::Cache(CacheId::from_key(key)), e.timer));
        let nhs = self.nhs.iter().map(|(key, n)| (Timer::Nhs(NhsId::from_key(key)), n.timer));
        let registrations = self
            .registrations
            .iter()
            .map(|(key, r)| (Timer::Registration(RegistrationId::from_key(key)), r.timer));
        let resolutions =
            self.resolutions.iter().map(|(key, r)| (Timer::Resolution(ResolutionId::from_key(key)), r.timer));
        let shortcuts =
            self.shortcuts.iter().map(|(key, s)| (Timer::Shortcut(ShortcutId::from_key(key)), s.timer));
        let purges = self.purging.waiting().map(|(id, _, timer)| (Timer::Purge(id), timer));
        let contests =
            self.contests.iter().map(|(key, c)| (Timer::Contest(ContestId::from_key(key)), c.timer));
        let waiting = self
            .authorising
            .waiting
            .iter()
            .map(|(key, w)| (Timer::Authorisation(AuthorisationId::from_key(key)), w.timer));
        cache
            .chain(contests)
            .chain(waiting)
            .chain(nhs)
            .chain(registrations)
            .chain(resolutions)
            .chain(shortcuts)
            .chain(purges)
            .chain([(Timer::Underlay, self.underlay.timer), (Timer::Protection, self.protection.timer)])
            .filter_map(|(timer, at)| Some((timer, at?)))
            .collect()
    }

    fn audit_timers(&self, faults: &mut Vec<String>) {
        let mut remembered = self.remembered_timers();
        for (at, timer) in self.timers.armed() {
            match remembered.remove(&timer) {
                Some(known) if known == at => {}
                Some(known) => {
                    faults.push(format!("{timer:?} is armed at {at:?}, its owner thinks {known:?}"));
                }
                None => faults.push(format!("{timer:?} at {at:?} has no owner")),
            }
        }
        for (timer, at) in remembered {
            faults.push(format!("{timer:?} is not armed, its owner thinks {at:?}"));
        }
    }

    fn audit_cache(&self, faults: &mut Vec<String>) {
        for (key, entry) in &self.cache {
            let id = CacheId::from_key(key);
            let protocol = entry.protocol;
            if self.find_cache(entry.interface, protocol) != Some(id) {
                faults.push(format!("cache entry {protocol} is not found by its address"));
            }
            if entry.expires.is_some() && entry.timer.is_none() {
                faults.push(format!("cache entry {protocol} expires, and nothing will wake for it"));
            }
            let Some(interface) = self.interfaces.get(entry.interface.key()) else {
                faults.push(format!("cache entry {protocol} is on an interface that is not there"));
                continue;
            };
            if entry.installed && !FAMILIES.iter().any(|afi| interface.family(*afi).running) {
                faults.push(format!("cache entry {protocol} is installed where NHRP does not run"));
            }
        }
        if self.cache_index.len() != self.cache.len() {
            let (index, table) = (self.cache_index.len(), self.cache.len());
            faults.push(format!("{index} addresses in the index of {table} cache entries"));
        }
    }

    fn audit_servers(&self, faults: &mut Vec<String>) {
        for (key, registration) in &self.registrations {
            let id = RegistrationId::from_key(key);
            if !self.nhs.get(registration.nhs.key()).is_some_and(|n| n.registrations.contains(&id)) {
                faults.push(format!("registration with {} belongs to no nhs line", registration.nbma));
            }
        }
        let listed: usize = self.nhs.iter().map(|(_, n)| n.registrations.len()).sum();
        if listed != self.registrations.len() {
            faults.push(format!("{listed} registrations listed, {} there", self.registrations.len()));
        }
    }

    fn audit_resolutions(&self, faults: &mut Vec<String>) {
        for (key, resolution) in &self.resolutions {
            let id = ResolutionId::from_key(key);
            let target = resolution.target;
            if self.resolving.get(&target) != Some(&id) {
                faults.push(format!("resolution of {target} is not found by its target"));
            }
            if resolution.timer.is_none() {
                faults.push(format!("resolution of {target} waits without a timer"));
            }
            let waits = self.pending.get(&resolution.request_id) == Some(&Pending::Resolution(id));
            if waits == resolution.refused {
                faults.push(format!("an answer about {target} would not be recognised"));
            }
        }
        if self.resolving.len() != self.resolutions.len() {
            let (index, table) = (self.resolving.len(), self.resolutions.len());
            faults.push(format!("{index} targets in the index of {table} resolutions"));
        }
        for (request, owner) in &self.pending {
            let known = match owner {
                Pending::Registration(id) => {
                    self.registrations.get(id.key()).is_some_and(|r| r.request_id == Some(*request))
                }
                Pending::Resolution(id) => {
                    self.resolutions.get(id.key()).is_some_and(|r| r.request_id == *request)
                }
                Pending::Contest(id) => self.contests.get(id.key()).is_some_and(|c| c.waits_for(*request)),
                Pending::Purge(id) => {
                    self.purging.waiting().any(|(waiting, at, _)| waiting == *id && at == *request)
                }
            };
            if !known {
                faults.push(format!("request {request:#x} is waited for, and {owner:?} does not know it"));
            }
        }
    }

    fn audit_shortcuts(&self, faults: &mut Vec<String>) {
        for (key, shortcut) in &self.shortcuts {
            let id = ShortcutId::from_key(key);
            let prefix = shortcut.prefix;
            if self.shortcut_index.get(prefix) != Some(&id) {
                faults.push(format!("shortcut {prefix} is not found by its prefix"));
            }
            if shortcut.timer.is_none() {
                faults.push(format!("shortcut {prefix} expires, and nothing will wake for it"));
            }
            let Some(gateway) = shortcut.gateway else { continue };
            if !self.cache.contains(gateway.key()) {
                faults.push(format!("shortcut {prefix} leads to a peer that is not there"));
            }
            if !self.dependents.get(&gateway).is_some_and(|d| d.contains(&id)) {
                faults.push(format!("shortcut {prefix} would not follow its peer"));
            }
        }
        if self.shortcut_index.len() != self.shortcuts.len() {
            let (index, table) = (self.shortcut_index.len(), self.shortcuts.len());
            faults.push(format!("{index} prefixes in the index of {table} shortcuts"));
        }
        for (gateway, dependents) in &self.dependents {
            let leads =
                |id: &ShortcutId| self.shortcuts.get(id.key()).is_some_and(|s| s.gateway == Some(*gateway));
            if dependents.is_empty() || !dependents.iter().all(leads) {
                faults.push(format!("{gateway:?} has dependents that do not depend on it"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
