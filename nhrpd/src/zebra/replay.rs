//! Conversations between FRR's zebra and FRR's nhrpd, taken part in by this daemon: zebra's octets go through session,
//! translation and engine, and what comes out is compared with what FRR's nhrpd sent.
//!
//! The operator's part is the same in all of them: NHRP on the tunnels, `tunnel source` where there is no real GRE,
//! then a static map, and its removal at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use nhrp_config::{InterfaceConfig, MapTarget};
use nhrp_engine::{Instant, Limits};
use nhrp_zapi::{FrameBuffer, Message, Session};

use super::*;

/// The one list of what may differ.
const DIFFERENCES: &str = include_str!("../../../nhrp-zapi/differences.md");

macro_rules! captures {
    ($($name:literal)+) => {
        [$(($name, include_str!(concat!("../../../nhrp-zapi/tests/data/frr-", $name, ".zapi"))),)+]
    };
}

const CAPTURES: [(&str, &str); 10] = captures!(
    "8.4.4" "8.4.4-gre" "9.1.3" "10.0.5" "10.1.5" "10.3.4" "10.3.4-gre" "10.5.4" "10.7.0" "10.7.0-gre"
);

/// Names in the list whose last column names a test.
fn listed(test: &str) -> BTreeSet<&'static str> {
    let rows = DIFFERENCES.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter(|row| row.trim_end_matches(" |").rsplit('|').next().is_some_and(|tests| tests.contains(test)))
        .filter_map(|row| row.split('`').next())
        .collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits = hex.trim().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Requests of a stream, by their octets, with how often each comes.
fn requests(table: &ReleaseTable, stream: &[u8]) -> BTreeMap<Vec<u8>, (Request, usize)> {
    let mut frames = FrameBuffer::default();
    frames.extend(stream);
    let mut found = BTreeMap::new();
    while let Some((header, body)) = frames.next_frame().unwrap() {
        let request = Request::decode(table, header, body).unwrap().expect("a request of nhrpd");
        let mut octets = Vec::new();
        request.encode(table, header.vrf, &mut octets).unwrap();
        assert_eq!(&octets[10..], body, "{request:?}: read and written again");
        found.entry(octets).or_insert((request, 0)).1 += 1;
    }
    found
}

/// What was said behind a HELLO that is not in the numbers of this zebra.
fn understood<'a>(table: &ReleaseTable, said: &'a [u8]) -> &'a [u8] {
    let newest = u16::from_be_bytes([said[8], said[9]]) != table.number(nhrp_zapi::Command::Hello).unwrap();
    let length = usize::from(u16::from_be_bytes([said[0], said[1]]));
    if newest { &said[length..] } else { said }
}

/// The daemon between session and engine, as the event loop does it, without kernel and peers.
struct Side {
    session: Session,
    side: ZebraSide,
    engine: Engine,
    config: InterfaceConfig,
    tunnels: &'static [&'static str],
    own_neighbours: bool,
    said: Vec<u8>,
}

impl Side {
    fn new(real_gre: bool, own_neighbours: bool) -> Self {
        let mut config = InterfaceConfig::default();
        config.ip.network_id = 1;
        if !real_gre {
            config.tunnel_source = Some("v0".to_owned());
        }
        Self {
            session: Session::new("zserv.api".into(), None),
            side: ZebraSide::default(),
            engine: Engine::new([7; 32], Limits::default()),
            config,
            tunnels: if real_gre { &["gre1", "gre2"] } else { &["gre1"] },
            own_neighbours,
            said: Vec::new(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(Instant::ZERO, input);
        while let Some(output) = self.engine.poll_output() {
            if let Some(request) = self.side.request(&output, &self.engine, self.own_neighbours) {
                self.session.send(&request);
            } else if let Output::Enable { ifindex, afi, .. } = output {
                for request in arp_requests(self.session.table(), ifindex, afi) {
                    self.session.send(&request);
                }
            }
        }
    }

    fn configure(&mut self) {
        for name in self.tunnels {
            let mut config = self.config.clone();
            if *name != "gre1" {
                config.ip.maps.clear();
            }
            self.handle(Input::Configure { name: (*name).to_owned(), config: Box::new(config) });
        }
    }

    /// Adds or removes the static map.
    fn map(&mut self, there: bool) {
        let peer: IpAddr = "172.16.0.2".parse().unwrap();
        let nbma = MapTarget::Nbma("10.9.8.1".parse().unwrap());
        if there == self.config.ip.maps.contains_key(&peer) {
            return;
        }
        if there {
            self.config.ip.maps.insert(peer, nbma);
        } else {
            self.config.ip.maps.shift_remove(&peer);
        }
        self.configure();
    }

    fn hear(&mut self, octets: &[u8]) {
        self.session.receive(octets).unwrap();
        while let Some(event) = self.session.poll_event() {
            let mut inputs = Vec::new();
            let reaction = self.side.translate(event, &self.engine, self.own_neighbours, &mut inputs);
            for input in inputs {
                self.handle(input);
            }
            if reaction == Reaction::TellAll {
                for request in self.side.everything(self.session.table(), &self.engine) {
                    self.session.send(&request);
                }
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let octets = self.session.unwritten().to_vec();
        self.session.wrote(octets.len());
        self.said.extend(octets);
    }
}

/// Plays a conversation: what FRR's nhrpd said, what this daemon says, and whether the first HELLO was refused.
fn play(name: &str, text: &str, own_neighbours: bool) -> (Vec<u8>, Vec<u8>, &'static ReleaseTable) {
    let mut side = Side::new(name.ends_with("-gre"), own_neighbours);
    side.session.open().unwrap();
    side.write();
    let mut frr = Vec::new();
    let release = name.trim_end_matches("-gre").parse::<nhrp_zapi::Release>().unwrap();
    let table = ReleaseTable::of(release.epoch().unwrap());
    if !table.has_set_arp() {
        // FRR's nhrpd of that release never sends the newest HELLO, so its zebra's refusal is not in the conversation.
        let mut refusal = Vec::new();
        Message::Error(2).encode(table, &mut refusal).unwrap();
        side.hear(&refusal);
    }
    let mut started = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (direction, octets) = line.split_at(2);
        let octets = self::octets(octets);
        if direction == "< " {
            side.hear(&octets);
            continue;
        }
        let (said, _) = requests(table, &octets).into_values().next().unwrap();
        frr.extend(octets);
        match said {
            // The dump was over when FRR's nhrpd began to work; its zebra was not asked for our barrier.
            Request::GreGet { .. } if !started => {
                started = true;
                side.configure();
                let barrier =
                    requests(table, understood(table, &side.said)).into_values().find_map(|(request, _)| {
                        match request {
                            Request::GreGet { ifindex } if ifindex > 1000 => Some(ifindex),
                            _ => None,
                        }
                    });
                let gre = nhrp_zapi::Gre {
                    vrf: 0,
                    ifindex: barrier.expect("a barrier"),
                    key: None,
                    link_ifindex: None,
                    link_vrf: None,
                    local: None,
                    remote: None,
                };
                let mut answer = Vec::new();
                Message::Gre(gre).encode(table, &mut answer).unwrap();
                side.hear(&answer);
            }
            Request::NeighAdd { .. } | Request::RouteAdd(_) => side.map(true),
            Request::RouteDelete(_) => side.map(false),
            Request::NeighUnregister(nhrp_zapi::Afi::Ip) => side.session.say_goodbye(),
            _ => {}
        }
        side.write();
    }
    (frr, side.said, table)
}

/// Which listed difference it is that the two sides make a request so often.
fn difference(request: &Request, ours: usize, frrs: usize, own_neighbours: bool) -> Option<&'static str> {
    match request {
        Request::GreGet { ifindex } if *ifindex > 1000 => (frrs == 0 && ours == 1).then_some("barrier"),
        Request::NeighAdd { .. } | Request::NeighDelete { .. } if own_neighbours && ours == 0 => {
            Some("own-neighbours")
        }
        Request::GreSourceSet { .. } if ours == 0 => Some("tunnel-source"),
        Request::Interfaces if (ours, frrs) == (1, 2) => Some("interfaces-once"),
        Request::NeighDelete { .. } if ours > 0 && frrs > ours => Some("removed-before-added"),
        Request::GreGet { .. }
        | Request::ConfigureArp { .. }
        | Request::SetArp { .. }
        | Request::NeighAdd { .. }
            if ours > 0 && frrs > 0 =>
        {
            Some("asked-again")
        }
        _ => None,
    }
}

#[test]
fn this_daemon_says_to_zebra_what_frrs_says() {
    let mut met = BTreeSet::new();
    for (name, text) in CAPTURES {
        for own_neighbours in [true, false] {
            let (frr, ours, table) = play(name, text, own_neighbours);
            let behind = understood(table, &ours);
            if behind.len() < ours.len() {
                met.insert("newest-hello-first");
            }
            let (ours, frr) = (requests(table, behind), requests(table, &frr));
            let octets: BTreeSet<_> = ours.keys().chain(frr.keys()).collect();
            for octets in octets {
                let [ours, frrs] = [&ours, &frr].map(|side| side.get(octets));
                let request = &ours.or(frrs).unwrap().0;
                let [ours, frrs] = [ours, frrs].map(|side| side.map_or(0, |(_, times)| *times));
                if ours != frrs {
                    let difference = difference(request, ours, frrs, own_neighbours).unwrap_or_else(|| {
                        panic!("{name}: this daemon says {ours} times, FRR's nhrpd {frrs} times {request:?}")
                    });
                    met.insert(difference);
                }
            }
        }
    }
    assert_eq!(met, listed("replay"), "what differs is what is listed");
}
