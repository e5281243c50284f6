//! An engine with a kernel and a zebra that carry out what it asks for, and what must hold after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use nhrp_config::{Afi, InterfaceConfig, NhsConfig, NhsProtocol};
use nhrp_engine::{
    CacheType, Engine, Input, Instant, Limits, Link, Neighbour, Origin, Output, Route, ShortcutState,
};
use nhrp_wire::{Cie, Extension, Message, Packet};

use super::mirror::Mirror;
use super::steps::{Answer, Step, answer, flow};

const LIMITS: Limits = Limits { max_cache_entries: 12, max_resolutions: 4, max_shortcuts: 6 };
/// Configured entries (own addresses, maps, servers) come on top of the limit.
const CONFIGURED: usize = 40;
pub(super) const NAMES: [&str; 4] = ["eth0", "gre1", "gre2", "lan0"];

/// A working spoke with routes, about to register, so that random steps begin somewhere interesting.
fn beginning() -> Vec<Input> {
    let link = |ifindex, name: &str, gre| {
        Input::Link(Link { ifindex, name: name.to_owned(), up: true, gre, mtu: 1500 })
    };
    let address = |ifindex, address: &str| Input::AddressAdded {
        ifindex,
        address: address.parse().unwrap(),
        secondary: false,
    };
    let route = |prefix: &str, gateway: Option<&str>, ifindex| Input::RouteAdded {
        prefix: prefix.parse().unwrap(),
        gateway: gateway.map(|g| g.parse().unwrap()),
        ifindex: Some(ifindex),
    };
    let mut config = InterfaceConfig::default();
    config.ip.network_id = 1;
    config.ip.shortcut = true;
    config.ip.redirect = true;
    config.ip.nhs.push(NhsConfig {
        protocol: NhsProtocol::Dynamic,
        nbma: "172.16.0.1".to_owned(),
        priority: 0,
    });
    config.ipv6.network_id = 1;
    vec![
        Input::Configure { name: "gre1".to_owned(), config: Box::new(config) },
        link(2, "eth0", false),
        link(10, "gre1", true),
        address(2, "172.16.0.3/24"),
        address(10, "10.255.0.3/32"),
        address(10, "fd00:255::3/128"),
        Input::Gre { ifindex: 10, local: Some(Ipv4Addr::new(172, 16, 0, 3)), link: Some(2) },
        route("10.0.0.0/8", Some("10.255.0.1"), 10),
        route("10.2.0.0/24", None, 3),
    ]
}

pub struct Driver {
    pub engine: Engine,
    now: Instant,
    pub routes: BTreeMap<IpNet, Route>,
    neighbours: BTreeMap<(u32, IpAddr), Neighbour>,
    sent: Vec<(u32, IpAddr, Vec<u8>)>,
    /// Shortcuts and peers seen, so that the test knows that it tests something.
    pub seen: [usize; 2],
    asked: Vec<u64>,
    /// Numbers of questions to the event socket.
    events: Vec<u32>,
    /// What the policies that were asked for last are about.
    guard: Option<(String, Ipv4Addr)>,
    /// An interface index went away together with its neighbours, as in the kernel.
    known: Vec<u32>,
    mirror: Mirror,
}

impl Driver {
    pub fn new() -> Self {
        let mut driver = Self {
            engine: Engine::new([9; 32], LIMITS),
            now: Instant::ZERO,
            routes: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            sent: Vec::new(),
            seen: [0; 2],
            asked: Vec::new(),
            events: Vec::new(),
            guard: None,
            known: Vec::new(),
            mirror: Mirror::default(),
        };
        driver.engine.follow(true);
        for input in beginning() {
            driver.input(input);
        }
        let server = Cie { protocol: Some("10.255.0.1".parse().unwrap()), ..Cie::default() };
        driver.step(Step::Answer { which: 0, how: Answer::Reply, cie: server, elsewhere: None });
        assert_eq!(driver.neighbours.len(), 1, "registered");
        driver
    }

    fn input(&mut self, input: Input) {
        if let Input::Link(link) = &input {
            self.known.push(link.ifindex);
        }
        self.engine.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.engine.poll_output() {
            outputs += 1;
            assert!(outputs < 2_000, "the engine does not stop talking");
            match output {
                Output::Send { ifindex, destination, octets } => {
                    assert!(self.known.contains(&ifindex), "sends on an interface that never was: {ifindex}");
                    Packet::decode(&octets).expect("what is sent is well-formed");
                    self.sent.push((ifindex, destination, octets));
                }
                Output::RouteAdd(route) => {
                    self.routes.insert(route.prefix, route);
                }
                Output::RouteDelete { prefix } => {
                    assert!(
                        self.routes.remove(&prefix).is_some(),
                        "removes a route that is not there: {prefix}"
                    );
                }
                Output::NeighbourSet(neighbour) => {
                    assert_ne!(neighbour.ifindex, 0);
                    self.neighbours.insert((neighbour.ifindex, neighbour.protocol), neighbour);
                }
                Output::NeighbourDelete { ifindex, protocol } => {
                    let there = self.neighbours.remove(&(ifindex, protocol));
                    assert!(
                        there.is_some(),
                        "removes a neighbour that is not there: {protocol} on {ifindex}"
                    );
                }
                Output::Replicate { ifindex, receivers, .. } => {
                    assert!(self.known.contains(&ifindex));
                    assert!(receivers.is_sorted_by(|a, b| a < b) && !receivers.is_empty(), "{receivers:?}");
                    self.check_receivers(ifindex, &receivers);
                }
                Output::Resolve { token, .. } => self.asked.push(token),
                Output::Authorise(question) => {
                    assert!(question.event != 0 && !self.events.contains(&question.event), "{question:?}");
                    self.events.push(question.event);
                }
                Output::Guard { name, local } => self.guard = local.map(|local| (name, local)),
                _ => {}
            }
        }
        self.mirror.follow(&mut self.engine);
        self.check();
    }

    /// The engine keeps the list of receivers; here it is made anew from what it shows.
    fn check_receivers(&self, ifindex: u32, receivers: &[IpAddr]) {
        let name = self.engine.running_interfaces().find(|(i, ..)| *i == ifindex).unwrap().1.to_owned();
        let rows: Vec<_> =
            [Afi::Ip, Afi::Ipv6].into_iter().flat_map(|afi| self.engine.cache_view(afi)).collect();
        let own =
            rows.iter().find(|r| r.interface == name && r.kind == CacheType::Local).and_then(|r| r.claimed);
        let client = |nbma: &IpAddr| {
            rows.iter().any(|r| {
                r.interface == name
                    && r.kind == CacheType::Dynamic
                    && r.origin == Origin::Registered
                    && r.installed
                    && r.nbma == Some(*nbma)
            })
        };
        let servers: Vec<_> =
            [Afi::Ip, Afi::Ipv6].into_iter().flat_map(|afi| self.engine.nhs_view(afi)).collect();
        let server = |nbma: &IpAddr| {
            servers.iter().any(|r| r.interface == name && r.registered && r.nbma == Some(*nbma))
        };
        let fixed = |nbma: &IpAddr| *nbma == IpAddr::V4(Ipv4Addr::new(172, 16, 0, 3));
        for nbma in receivers {
            assert!(own != Some(*nbma), "a copy to ourselves");
            assert!(client(nbma) || server(nbma) || fixed(nbma), "{nbma} is not meant: {rows:?}");
        }
        for nbma in (0..=6).map(|n| IpAddr::V4(Ipv4Addr::new(172, 16, 0, n))) {
            // Without lines there would be no copies at all; which kinds of lines there are, this test does not remember.
            assert!(!client(&nbma) || own == Some(nbma) || receivers.contains(&nbma), "{nbma} is left out");
        }
    }

    /// The census against what is shown one by one.
    fn check_census(&self) {
        for (afi, census) in [Afi::Ip, Afi::Ipv6].into_iter().zip(self.engine.census()) {
            let rows: Vec<_> = self.engine.cache_view(afi).collect();
            let of_kind = |kind| rows.iter().filter(|r| r.kind == kind).count() as u64;
            let kinds = [CacheType::Dynamic, CacheType::Nhs, CacheType::Static, CacheType::Local];
            assert_eq!(census.cache, kinds.map(of_kind), "{rows:?}");
            let others = || rows.iter().filter(|r| r.kind != CacheType::Local);
            assert_eq!(census.down, others().filter(|r| !r.installed).count() as u64, "{rows:?}");
            let peers: BTreeSet<_> = others().filter_map(|r| Some((&r.interface, r.nbma?))).collect();
            assert_eq!(census.peers, peers.len() as u64, "{rows:?}");
            let standings = self.engine.shortcut_standings(afi);
            let mut states = [0; 5];
            for standing in &standings {
                states[match standing.state {
                    ShortcutState::Active { .. } => 0,
                    ShortcutState::Waiting => 1,
                    ShortcutState::Unreachable => 2,
                    ShortcutState::Asking { .. } => 3,
                    ShortcutState::Refused(_) => 4,
                }] += 1;
            }
            let counted = [census.active, census.waiting, census.unreachable, census.asking, census.refused];
            assert_eq!(counted, states, "{standings:?}");
        }
    }

    fn check(&mut self) {
        self.check_census();
        let [cache, shortcuts, resolutions, ..] = self.engine.sizes();
        self.seen = [self.seen[0].max(shortcuts), self.seen[1].max(self.neighbours.len())];
        assert!(cache <= LIMITS.max_cache_entries + CONFIGURED, "{cache} cache entries");
        assert!(resolutions <= LIMITS.max_resolutions, "{resolutions} resolutions");
        assert!(shortcuts <= LIMITS.max_shortcuts, "{shortcuts} shortcuts");
        let mut wanted: Vec<_> = self.engine.routes().collect();
        wanted.sort_by_key(|r| r.prefix);
        assert_eq!(wanted, self.routes.values().cloned().collect::<Vec<_>>(), "routes");
        let mut wanted: Vec<_> = self.engine.neighbours().map(|n| (n.ifindex, n.protocol, n.nbma)).collect();
        wanted.sort_unstable();
        let there: Vec<_> = self.neighbours.values().map(|n| (n.ifindex, n.protocol, n.nbma)).collect();
        assert_eq!(wanted, there, "neighbours");
        for afi in [Afi::Ip, Afi::Ipv6] {
            let lost =
                self.engine.shortcut_view(afi).into_iter().find(|s| s.kind == "dynamic" && s.via.is_none());
            assert!(lost.is_none(), "a shortcut without its peer: {lost:?}");
            assert!(self.engine.shortcut_view(afi).len() <= shortcuts + resolutions);
            assert!(self.engine.nhs_view(afi).len() <= 16 * NAMES.len());
        }
        let pairs = self.engine.nbma_pairs();
        assert!(pairs.windows(2).all(|w| w[0] < w[1]), "sorted, without repetition: {pairs:?}");
    }

    fn deadline(&mut self) {
        let Some(at) = self.engine.next_deadline() else { return };
        self.now = self.now.max(at);
        self.input(Input::DeadlineReached);
        assert!(
            self.engine.next_deadline().is_none_or(|next| next > self.now),
            "a deadline stays in the past"
        );
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Input(input) => self.input(input),
            Step::Wait(ms) => {
                let until = self.now + Duration::from_millis(ms);
                for _ in 0..2_000 {
                    if self.engine.next_deadline().is_none_or(|at| at > until) {
                        break;
                    }
                    self.deadline();
                }
                self.now = until;
            }
            Step::Deadline => self.deadline(),
            Step::Answer { which, how, cie, elsewhere } => {
                let Some((ifindex, to, octets)) = self.sent.iter().rev().nth(which).cloned() else { return };
                let octets = answer(&octets, how, cie);
                let (ifindex, source) = elsewhere.unwrap_or((ifindex, to));
                self.input(Input::Packet { ifindex, source, octets });
            }
            Step::Indicate(to) => {
                let hub: IpAddr = "172.16.0.1".parse().unwrap();
                let [from, own] =
                    if to.is_ipv4() { ["10.2.0.1", "10.255.0.3"] } else { ["fd00:255::3", "fd00:255::3"] };
                let message =
                    Message::TrafficIndication { unused: 0, packet: flow(from.parse().unwrap(), to) };
                let own = own.parse().unwrap();
                let packet = Packet::new(hub, own, own, 1, message)
                    .with_extension(Extension::cisco_authentication(b"secret"));
                let mut octets = Vec::new();
                packet.encode(&mut octets).unwrap();
                self.input(Input::Packet { ifindex: 10, source: hub, octets });
            }
            Step::Resolved { which, addresses } => {
                if let Some(token) = self.asked.iter().rev().nth(which).copied() {
                    self.input(Input::Resolved { token, addresses });
                }
            }
            Step::Decided { which, accepted } => {
                let event = self.events.iter().rev().nth(which).copied().unwrap_or(99);
                self.input(Input::Authorised { event, accepted });
            }
            Step::Guarded { taken } => {
                if let Some((name, local)) = self.guard.clone() {
                    let failure = (!taken).then(|| "not supported".to_owned());
                    self.input(Input::Guarded { name, local, failure });
                }
            }
        }
    }

    /// Takes away all configuration.
    pub fn unconfigure(&mut self) {
        for name in NAMES {
            self.input(Input::Configure { name: name.to_owned(), config: Box::default() });
        }
        assert_eq!(self.engine.next_deadline(), None, "a timer is left");
        let [cache, shortcuts, resolutions, ..] = self.engine.sizes();
        assert_eq!([cache, shortcuts, resolutions, self.engine.pending_requests()], [0; 4]);
        assert!(self.routes.is_empty() && self.neighbours.is_empty());
    }
}
