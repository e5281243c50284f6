//! What charon says by itself: SAs that come, change and go, and why one does not come.

use std::collections::HashSet;
use std::time::Instant;

use super::attempt::{AFTER_LOSS, PREFIX};
use super::{Action, Backend, Channel, Child, Command, Event, HOLD, MOST_SAS, Mode, Pair, Peer, Phase};
use crate::message::Section;
use crate::packet::Packet;
use crate::sa::{self, ChildSa, IkeSa};

/// States in which a listed CHILD SA carries packets.
const CARRYING: [&str; 3] = ["INSTALLED", "REKEYING", "UPDATING"];
/// One that has a successor and lingers. As published, charon does not tell its end; a patched one does.
const REKEYED: &str = "REKEYED";

/// The end of an attempt, in charon's log.
const FATAL: [&str; 8] = [
    "notify error",
    "not responding",
    "no CHILD_SA built",
    "public value failed",
    "giving up after",
    "no shared key found",
    "no private key found",
    "no trusted",
];

/// Why it came to that, where charon logs it first.
const REASONS: [&str; 3] = ["certificate invalid", "constraint", "expired"];

impl Backend {
    /// A packet came.
    pub fn packet(&mut self, now: Instant, channel: Channel, packet: &Packet) {
        self.now = now.max(self.now);
        match packet {
            Packet::Confirm => self.on_registered(channel, true),
            Packet::UnknownEvent => self.on_registered(channel, false),
            Packet::Response(section) => self.on_response(Some(section)),
            Packet::UnknownCommand => self.on_response(None),
            Packet::Event(name, section) => self.on_event(name, section),
            Packet::Request(..) | Packet::Register(_) | Packet::Unregister(_) => {
                self.odd("a packet that only clients send");
            }
        }
        // A list comes in many packets, and each shows that charon lives.
        let owing = self.in_flight.is_some() || !self.registering.is_empty();
        self.answer_due = owing.then(|| self.now + super::ANSWER);
    }

    fn on_registered(&mut self, channel: Channel, known: bool) {
        let next = self.registering.iter().position(|(waiting, _)| *waiting == channel);
        let Some((_, name)) = next.and_then(|at| self.registering.remove(at)) else { return };
        match (name, known) {
            ("child-state-installed", true) => {
                self.mode = Mode::Patched;
                for name in ["child-state-rekeyed", "child-state-destroying", "list-sa"] {
                    self.register(Channel::Commands, name);
                }
            }
            ("child-state-installed", false) => {
                self.mode = Mode::Stock;
                self.register(Channel::Commands, "list-sa");
                self.actions.push_back(Action::OpenEvents);
            }
            ("child-updown" | "list-sa", false) => {
                let text =
                    format!("this charon knows no event '{name}': strongSwan 5.3.3 or newer is needed");
                self.lost(self.now, &text);
            }
            // The last that was asked for, with either kind.
            ("ike-update", _) => self.resynchronise(),
            ("list-sa", true) if self.mode == Mode::Patched => self.resynchronise(),
            _ => {}
        }
        self.next_command();
    }

    /// Asks for a list of all SAs.
    fn resynchronise(&mut self) {
        if !self.commands.contains(&Command::ListSas) {
            self.commands.push_front(Command::ListSas);
        }
    }

    fn on_event(&mut self, name: &str, message: &Section) {
        match name {
            "list-sa" => {
                let patched = self.mode == Mode::Patched;
                for ike in sa::ike_sas(message) {
                    let carrying = |child: &&ChildSa| {
                        CARRYING.contains(&child.state.as_str()) || (patched && child.state == REKEYED)
                    };
                    for child in ike.children.iter().filter(carrying) {
                        self.child_up(&ike, child);
                    }
                }
            }
            // A down event still calls the SA installed; what counts is that `up` is missing.
            "child-updown" => {
                let up = message.is_yes("up");
                for ike in sa::ike_sas(message) {
                    for child in &ike.children {
                        if up {
                            self.child_up(&ike, child);
                        } else {
                            self.child_down(child.id);
                        }
                    }
                }
            }
            "child-rekey" => {
                for (ike, (old, new)) in sa::rekeyed(message) {
                    if let Some(former) = self.children.get(&old) {
                        let (selectors, ends) = (former.selectors.clone(), former.ends);
                        let state = "INSTALLED".to_owned();
                        self.child_up(&ike, &ChildSa { id: new, state, carries_gre: true, selectors, ends });
                        self.child_down(old);
                    }
                }
            }
            "ike-rekey" => {
                for rekeyed in sa::ike_rekeyed(message) {
                    for child in self.children.values_mut().filter(|child| child.ike == rekeyed.old) {
                        child.ike = rekeyed.new;
                        child.initiator = rekeyed.initiator.unwrap_or(child.initiator);
                        child.initiator_spi.clone_from(&rekeyed.initiator_spi);
                    }
                }
            }
            // An address has changed: whose SAs these are is found out anew.
            "ike-update" => self.resynchronise(),
            "child-state-installed" | "child-state-rekeyed" => {
                for ike in sa::ike_sas(message) {
                    for child in &ike.children {
                        self.child_up(&ike, child);
                    }
                }
            }
            "child-state-destroying" => {
                for ike in sa::ike_sas(message) {
                    ike.children.iter().for_each(|child| self.child_down(child.id));
                }
            }
            "log" => self.on_log(message),
            other => {
                let name: String = other.chars().take(64).collect();
                self.odd(&format!("an event {name:?} that nobody asked for"));
            }
        }
        self.next_command();
    }

    fn child_up(&mut self, ike: &IkeSa, child: &ChildSa) {
        if !child.carries_gre {
            return;
        }
        let (local, remote) = child.ends.unwrap_or((ike.local, ike.remote));
        let (id, pair) = (child.id, Pair { local, remote });
        if !self.children.contains_key(&id) && self.children.len() >= MOST_SAS {
            return self.odd(&format!("the {MOST_SAS}th security association"));
        }
        let former = self.children.get(&id).map(|known| known.pair).filter(|known| *known != pair);
        let child = Child {
            pair,
            ike: ike.id,
            ike_name: ike.name.clone(),
            identity: ike.remote_id.clone(),
            selectors: child.selectors.clone(),
            ends: child.ends,
            initiator: ike.initiator,
            initiator_spi: ike.initiator_spi.clone(),
        };
        if let Some(former) = former {
            self.moved(id, former, &child);
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(id);
        }
        self.children.insert(id, child);
        self.end_attempt(pair);
        let peer = self.peers.entry(pair).or_insert_with(Peer::new);
        peer.children.insert(id);
        peer.failures = 0;
        peer.last_error = None;
        let broken = peer.hold.take().is_some();
        let told = std::mem::replace(&mut peer.told, true);
        let identity = self.identity_of(pair);
        let Some(peer) = self.peers.get_mut(&pair) else { return };
        if !told || peer.identity != identity {
            peer.identity.clone_from(&identity);
            self.events.push_back(Event::Up { pair, identity });
        }
        if told && broken {
            self.events.push_back(Event::Remade { pair });
        }
        self.count_duplicates(pair);
        self.arm(pair);
    }

    /// Who is at an address: nobody in particular, if there are several, as behind one translator.
    fn identity_of(&self, pair: Pair) -> String {
        let ids = self.peers.get(&pair).into_iter().flat_map(|peer| &peer.children);
        let mut identities = ids.filter_map(|id| Some(&self.children.get(id)?.identity));
        let Some(first) = identities.next() else { return String::new() };
        if identities.all(|other| other == first) { first.clone() } else { String::new() }
    }

    /// An SA has another address at one of its ends. If it is the peer that has moved, it may not know so (its translator
    /// did it), and what it registered is at the former address: as FRR does, the SA is ended, so that the peer begins
    /// anew.
    fn moved(&mut self, id: u32, former: Pair, now: &Child) {
        // Another charon counts from the beginning, so the same number is another SA until all have been listed.
        let known = self.synchronised && self.peers.get(&former).is_some_and(|peer| peer.told);
        if known && former.remote != now.pair.remote {
            self.commands.push_back(Command::Terminate(now.ike));
            let text = format!("{} is at {} now; it has to begin anew", former.remote, now.pair.remote);
            self.notice(false, "peer moved", text);
        }
        self.child_down(id);
    }

    pub(super) fn child_down(&mut self, id: u32) {
        let Some(child) = self.children.remove(&id) else { return };
        if let Some(listed) = &mut self.listed {
            listed.remove(&id);
        }
        let Some(peer) = self.peers.get_mut(&child.pair) else { return };
        peer.children.remove(&id);
        if peer.children.is_empty() {
            peer.hold = Some(self.now + HOLD);
            peer.fallen_back = None;
        }
        self.count_duplicates(child.pair);
        self.arm(child.pair);
        let Some(peer) = self.peers.get(&child.pair) else { return };
        if !peer.children.is_empty() {
            // Of several stations at one address one may be left.
            let identity = self.identity_of(child.pair);
            if let Some(peer) = self.peers.get_mut(&child.pair).filter(|peer| peer.identity != identity) {
                peer.identity.clone_from(&identity);
                self.events.push_back(Event::Up { pair: child.pair, identity });
            }
        } else if peer.wish.is_some() {
            self.begin_after(child.pair, AFTER_LOSS);
        }
    }

    /// What is not in the list any more is gone.
    pub(super) fn lose_children_except(&mut self, listed: &HashSet<u32>) {
        let gone: Vec<u32> = self.children.keys().copied().filter(|id| !listed.contains(id)).collect();
        for id in gone {
            self.child_down(id);
        }
    }

    /// All SAs were listed.
    pub(super) fn on_listed(&mut self) {
        let Some(listed) = self.listed.take() else { return };
        self.lose_children_except(&listed);
        self.give_up_at = None;
        if std::mem::replace(&mut self.synchronised, true) {
            return;
        }
        let kind = if self.mode == Mode::Patched { "with FRR's patches" } else { "as published" };
        if !self.reach.quiet {
            self.notice(false, "charon", format!("charon answers ({kind}), {} SAs carry GRE", listed.len()));
        }
        if self.mode == Mode::Stock {
            self.commands.push_back(Command::Version);
        }
        let wanting = |peer: &Peer| peer.wish.is_some() && peer.children.is_empty();
        let pairs: Vec<Pair> = self.peers.iter().filter(|(_, p)| wanting(p)).map(|(pair, _)| *pair).collect();
        for pair in pairs {
            if let Some(peer) = self.peers.get_mut(&pair) {
                peer.failures = 0;
            }
            self.set_phase(pair, Phase::Idle);
            self.begin_after(pair, std::time::Duration::ZERO);
        }
    }

    /// `initiate` does not wait for the end, so its reason for failing is found in the log.
    fn on_log(&mut self, message: &Section) {
        let (Some(name), Some(text)) = (message.text("ikesa-name"), message.text("msg")) else { return };
        if !name.starts_with(PREFIX) {
            return;
        }
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let (fatal, reason) = (says(&FATAL), says(&REASONS));
        if !fatal && !reason {
            return;
        }
        let Some(pair) = self.by_name.get(name).copied() else { return };
        let Some(peer) = self.peers.get(&pair) else { return };
        // The log may be quicker than the answer to the command.
        if !matches!(peer.phase, Phase::Asked | Phase::Negotiating(_)) {
            return;
        }
        if fatal {
            // Of the two the reason that came first says more.
            let reason = peer.said.clone();
            self.attempt_failed(pair, reason.as_deref().unwrap_or(text));
        } else if let Some(peer) = self.peers.get_mut(&pair) {
            peer.said = Some(text.to_owned());
        }
    }
}
