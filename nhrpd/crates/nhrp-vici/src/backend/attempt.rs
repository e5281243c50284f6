//! Getting an SA with a peer: commands, their answers, pauses.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;

use super::{
    ATTEMPT, Action, Backend, Channel, Command, LINGER, LONGEST_PAUSE, Loaded, Mode, PARALLEL, Pair, Peer,
    Phase,
};
use crate::message::Section;
use crate::template::Template;

/// How the names of connections begin that are made here.
pub(super) const PREFIX: &str = "nhrp:";

/// How long the end with the higher address waits for the other one to begin.
pub(super) const POLITENESS: Duration = Duration::from_millis(300);

/// How long a profile is taken to be as it was read: the operator may change the file at any time.
const FRESH: Duration = Duration::from_secs(1);

/// After the loss of an SA: whoever broke it may be about to make another.
pub(super) const AFTER_LOSS: Duration = Duration::from_millis(500);

fn connection_name(profile: &str, pair: Pair) -> String {
    format!("{PREFIX}{profile}:{}-{}", pair.local, pair.remote)
}

impl Backend {
    pub(super) fn set_phase(&mut self, pair: Pair, phase: Phase) {
        let Some(peer) = self.peers.get_mut(&pair) else { return };
        peer.phase = phase;
        self.arm(pair);
    }

    /// Begins an attempt in a while, unless one is under way.
    pub(super) fn begin_after(&mut self, pair: Pair, delay: Duration) {
        self.set_phase(pair, Phase::Pause(self.now + delay));
        if delay.is_zero() {
            self.attempt_timer(pair);
            self.next_command();
        }
    }

    /// A pause or an attempt may be over.
    pub(super) fn attempt_timer(&mut self, pair: Pair) {
        let Some(peer) = self.peers.get(&pair) else { return };
        match peer.phase {
            Phase::Pause(at) if at <= self.now => self.begin(pair),
            Phase::Negotiating(at) if at <= self.now => {
                if let Some(loaded) = &peer.loaded {
                    self.commands.push_back(Command::Abandon(loaded.name.clone()));
                }
                let said = peer.said.clone();
                self.attempt_failed(pair, said.as_deref().unwrap_or("the peer does not answer"));
            }
            _ => {}
        }
    }

    fn is_needed(peer: &Peer) -> bool {
        peer.wish.is_some() && peer.children.is_empty()
    }

    fn begin(&mut self, pair: Pair) {
        self.set_phase(pair, Phase::Idle);
        let mut attempt = 0;
        if let Some(peer) = self.peers.get_mut(&pair) {
            peer.said = None;
            peer.attempt = peer.attempt.wrapping_add(1);
            attempt = peer.attempt;
        }
        let ready = self.synchronised && self.is_reached();
        if !ready || !self.peers.get(&pair).is_some_and(Self::is_needed) {
            return;
        }
        if self.active >= PARALLEL {
            self.queue.push_back(pair);
            return self.set_phase(pair, Phase::Queued);
        }
        if self.mode == Mode::Patched {
            self.active += 1;
            self.set_phase(pair, Phase::Asked);
            return self.commands.push_back(Command::Initiate(pair, attempt));
        }
        let Some(profile) = self.profile_of(pair) else { return };
        match self.template(&profile) {
            Ok(template) => {
                if let Some(reason) = template.refusal(pair.local, pair.remote) {
                    return self.attempt_failed(pair, &reason);
                }
                self.active += 1;
                self.follow_log();
                self.set_phase(pair, Phase::Asked);
                self.commands.push_back(Command::Load(pair, profile));
            }
            // A trap of both would be one trap: they have the same selectors.
            Err(reason) if self.has_other_template(pair) => self.attempt_failed(pair, &reason),
            Err(reason) => {
                if self.traps.insert(profile.clone()) {
                    let text = format!(
                        "profile '{profile}' cannot be copied for each peer: {reason}; its trap policy is used, and \
                         packets start negotiations"
                    );
                    self.notice(true, "no template", text);
                    self.commands.push_back(Command::Install(profile));
                }
                self.set_phase(pair, Phase::Trapped);
            }
        }
    }

    pub(super) fn profile_of(&self, pair: Pair) -> Option<String> {
        self.peers.get(&pair)?.profile().map(str::to_owned)
    }

    /// Whether the other of a peer's two profiles can be copied.
    fn has_other_template(&mut self, pair: Pair) -> bool {
        let Some(peer) = self.peers.get(&pair) else { return false };
        let Some(wish) = peer.wish.clone() else { return false };
        let other = if peer.fallen_back.is_some() { Some(wish.first) } else { wish.fallback };
        other.is_some_and(|other| self.template(&other).is_ok())
    }

    /// The profile's text as it is now; read once for attempts that follow each other closely.
    pub(super) fn template(&mut self, profile: &str) -> Result<Rc<Template>, String> {
        if let Some((read_at, known)) = self.templates.get(profile)
            && self.now < *read_at + FRESH
        {
            return known.clone();
        }
        let read = Template::load(self.files.as_ref(), &self.swanctl_conf, profile).map(Rc::new);
        self.templates.insert(profile.to_owned(), (self.now, read.clone()));
        read
    }

    /// Takes a peer out of whatever attempt it is in.
    pub(super) fn end_attempt(&mut self, pair: Pair) {
        let Some(phase) = self.peers.get(&pair).map(|peer| peer.phase) else { return };
        if matches!(phase, Phase::Asked | Phase::Negotiating(_)) {
            self.active = self.active.saturating_sub(1);
        }
        self.set_phase(pair, Phase::Idle);
        self.next_in_queue();
        self.log_until = (self.log_open && self.active == 0).then(|| self.now + LINGER);
    }

    /// Why an attempt fails is in the log and nowhere else. charon tells all of it, several lines for each question whether a
    /// peer is alive, so it is followed only while there are attempts; one who merely answers never does. Nothing is begun
    /// before charon has confirmed it.
    fn follow_log(&mut self) {
        self.log_until = None;
        if !std::mem::replace(&mut self.log_open, true) {
            self.actions.push_back(Action::OpenLog);
            self.register(Channel::Log, "log");
        }
    }

    fn next_in_queue(&mut self) {
        while self.active < PARALLEL {
            let Some(pair) = self.queue.pop_front() else { return };
            if self.peers.get(&pair).is_some_and(|peer| peer.phase == Phase::Queued) {
                self.begin(pair);
            }
        }
    }

    /// Pauses of 1, 2, 4 … 60 s, each up to a half longer, so that those who failed together do not come back together.
    pub(super) fn attempt_failed(&mut self, pair: Pair, reason: &str) {
        self.end_attempt(pair);
        if self.fall_back(pair, reason) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&pair) else { return };
        // Of two profiles both have failed, and the first one is the next.
        let both = peer.fallen_back.take().zip(peer.wish.as_ref().and_then(|wish| wish.fallback.as_deref()));
        let both = both.map(|(first, fallback)| format!("{first}; by '{fallback}': {reason}"));
        let reason = both.as_deref().unwrap_or(reason);
        let pause = Duration::from_secs(1 << peer.failures.min(6)).min(LONGEST_PAUSE);
        peer.failures = peer.failures.saturating_add(1);
        let first_of_its_kind = peer.last_error.as_deref() != Some(reason) || peer.failures == 1;
        peer.last_error = Some(reason.to_owned());
        let failures = peer.failures;
        if peer.wish.is_none() {
            return;
        }
        if first_of_its_kind || failures.is_multiple_of(60) {
            let text = format!("no IPsec with {}: {reason}; trying again", pair.remote);
            self.notice(true, "attempt failed", text);
        }
        let factor = self.rng.random_range(1.0..1.5);
        self.set_phase(pair, Phase::Pause(self.now + pause.mul_f64(factor)));
    }

    /// The first profile has failed: at once on with the other one, if there is one.
    fn fall_back(&mut self, pair: Pair, reason: &str) -> bool {
        let Some(peer) = self.peers.get_mut(&pair).filter(|peer| peer.fallen_back.is_none()) else {
            return false;
        };
        let Some(wish) = peer.wish.as_ref().filter(|wish| wish.fallback.is_some()) else { return false };
        peer.fallen_back = Some(format!("by '{}': {reason}", wish.first));
        self.unload(pair);
        self.begin_after(pair, Duration::ZERO);
        true
    }

    /// Sends the next command, if none is under way: charon answers one at a time on a connection.
    pub(super) fn next_command(&mut self) {
        while self.in_flight.is_none() && self.synchronised_or_listing() {
            let Some(command) = self.commands.pop_front() else { return };
            let Some(arguments) = self.arguments(&command) else {
                self.dropped(&command);
                continue;
            };
            let name = command.name();
            self.in_flight = Some(command);
            self.request(name, arguments);
        }
    }

    /// A command has lost its sense: the peer is gone, or the profile.
    fn dropped(&mut self, command: &Command) {
        let (pair, still) = match command {
            Command::Load(pair, _) => (pair, self.is_asked(*pair)),
            Command::Initiate(pair, attempt) => (pair, self.is_attempt(*pair, *attempt)),
            _ => return,
        };
        if still {
            let profile = self.profile_of(*pair).unwrap_or_default();
            let reason = self.template(&profile).err();
            self.attempt_failed(*pair, reason.as_deref().unwrap_or("its profile was changed meanwhile"));
        }
    }

    /// Whether charon is being told of an attempt with a peer.
    fn is_asked(&self, pair: Pair) -> bool {
        self.peers.get(&pair).is_some_and(|peer| peer.phase == Phase::Asked)
    }

    /// The same for this attempt: the log may tell the end of one before its command is answered, and the fallback's begins
    /// at once.
    fn is_attempt(&self, pair: Pair, attempt: u32) -> bool {
        self.is_asked(pair) && self.peers.get(&pair).is_some_and(|peer| peer.attempt == attempt)
    }

    fn synchronised_or_listing(&self) -> bool {
        let listing = self.commands.front() == Some(&Command::ListSas);
        self.registering.is_empty() && self.is_reached() && (self.synchronised || listing)
    }

    /// What a command is sent with; none if there is no reason for it any more.
    fn arguments(&mut self, command: &Command) -> Option<Section> {
        let at_once = Section::new().with("timeout", "-1");
        Some(match command {
            Command::Version => Section::new(),
            Command::ListSas => {
                self.listed = Some(HashSet::new());
                Section::new()
            }
            Command::Load(pair, profile) => {
                let template = self.template(profile).ok()?;
                template.connection_to(&connection_name(profile, *pair), pair.local, pair.remote)
            }
            Command::Initiate(pair, _) if self.mode == Mode::Patched => Section::new()
                .with("child", self.profile_of(*pair)?)
                .with("timeout", "-1")
                .with("async", "1")
                .with("init-limits", "0")
                .with("my-host", pair.local.to_string())
                .with("other-host", pair.remote.to_string()),
            Command::Initiate(pair, attempt) => {
                if !self.is_attempt(*pair, *attempt) {
                    return None;
                }
                let Loaded { name, profile } = self.peers.get(pair)?.loaded.clone()?;
                let child = self.template(&profile).ok()?.child.clone();
                at_once.with("child", child).with("ike", name)
            }
            Command::Install(profile) => Section::new().with("child", profile),
            Command::Terminate(id) => at_once.with("ike-id", id.to_string()),
            Command::TerminateChild(id) => at_once.with("child-id", id.to_string()),
            Command::Abandon(ike) => at_once.with("ike", ike).with("force", "yes"),
            Command::Unload(name) => Section::new().with("name", name),
        })
    }

    /// The answer to the command under way; none: charon does not know it.
    pub(super) fn on_response(&mut self, response: Option<&Section>) {
        let Some(command) = self.in_flight.take() else { return };
        let refusal = match response {
            None => Some("charon does not know the command".to_owned()),
            Some(r) if r.text("success") == Some("no") => {
                Some(r.text("errmsg").unwrap_or("refused").to_owned())
            }
            Some(_) => None,
        };
        match (command, refusal) {
            (Command::Version, _) => {
                let version =
                    response.and_then(|r| Some(format!("{} {}", r.text("daemon")?, r.text("version")?)));
                self.version = version;
            }
            (Command::ListSas, _) => self.on_listed(),
            (Command::Load(pair, profile), None) => self.on_loaded(pair, profile),
            (Command::Initiate(pair, attempt), None) => {
                if self.is_attempt(pair, attempt) {
                    self.set_phase(pair, Phase::Negotiating(self.now + ATTEMPT));
                }
            }
            (Command::Load(pair, _), Some(reason)) => {
                if self.is_asked(pair) {
                    self.attempt_failed(pair, &reason);
                }
            }
            (Command::Initiate(pair, attempt), Some(reason)) => {
                if self.is_attempt(pair, attempt) {
                    self.attempt_failed(pair, &reason);
                }
            }
            (Command::Install(profile), Some(reason)) => {
                let text = format!(
                    "the trap policy of profile '{profile}' cannot be installed: {reason}; nothing is sent until it can"
                );
                self.notice(true, "no trap", text);
                self.untrap(&profile, &reason);
            }
            // What is to end has ended already, or is not there.
            (
                Command::Terminate(_) | Command::TerminateChild(_) | Command::Abandon(_) | Command::Unload(_),
                _,
            )
            | (Command::Install(_), None) => {}
        }
        self.next_command();
    }

    /// charon has a copy of a profile for a peer.
    fn on_loaded(&mut self, pair: Pair, profile: String) {
        let loaded = Loaded { name: connection_name(&profile, pair), profile };
        let Some(peer) = self.peers.get_mut(&pair) else {
            return self.commands.push_back(Command::Unload(loaded.name));
        };
        let (asked, wanted) = (peer.phase == Phase::Asked, peer.profile() == Some(&loaded.profile));
        let attempt = peer.attempt;
        self.by_name.insert(loaded.name.clone(), pair);
        let former = peer.loaded.replace(loaded.clone()).filter(|former| *former != loaded);
        if let Some(former) = former {
            self.by_name.remove(&former.name);
            self.commands.push_back(Command::Unload(former.name));
        }
        if !wanted {
            self.unload(pair);
        }
        match (asked, wanted) {
            (true, true) => self.commands.push_front(Command::Initiate(pair, attempt)),
            // Another profile was configured meanwhile.
            (true, false) => {
                self.end_attempt(pair);
                self.begin_after(pair, Duration::ZERO);
            }
            (false, _) => {}
        }
    }

    /// Those who rely on a trap that is not there try again later, from the beginning.
    fn untrap(&mut self, profile: &str, refusal: &str) {
        self.traps.remove(profile);
        let reason = match self.template(profile) {
            Ok(_) => format!("no trap policy: {refusal}"),
            Err(reason) => format!("{reason}, and no trap policy is to be had: {refusal}"),
        };
        let waiting = |peer: &Peer| peer.phase == Phase::Trapped && peer.profile() == Some(profile);
        let pairs: Vec<Pair> = self.peers.iter().filter(|(_, p)| waiting(p)).map(|(pair, _)| *pair).collect();
        for pair in pairs {
            self.attempt_failed(pair, &reason);
        }
    }

    pub(super) fn unload(&mut self, pair: Pair) {
        if let Some(loaded) = self.peers.get_mut(&pair).and_then(|peer| peer.loaded.take()) {
            self.by_name.remove(&loaded.name);
            self.commands.push_back(Command::Unload(loaded.name));
        }
    }
}
