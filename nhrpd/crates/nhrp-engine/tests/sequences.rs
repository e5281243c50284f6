//! Arbitrary sequences of inputs: packets good, forged and broken, links, addresses, routes, configuration, time.
//!
//! Whatever comes, the engine does not panic, stops talking, keeps no deadline in the past, stays within its limits,
//! agrees with the kernel that carried out what it asked for, and leaves nothing behind when all configuration goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use nhrp_config::{
    Afi, InterfaceConfig, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol, TunnelProtection,
};
use nhrp_engine::{
    CacheType, ClearWhat, Engine, Input, Instant, Limits, Link, Neighbour, NeighbourEvent, Origin, Output,
    Route,
};
use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};
use proptest::prelude::*;
use proptest::sample::select;

const LIMITS: Limits = Limits { max_cache_entries: 12, max_resolutions: 4, max_shortcuts: 6 };
/// Configured entries (own addresses, maps, servers) come on top of the limit.
const CONFIGURED: usize = 40;
const NAMES: [&str; 4] = ["eth0", "gre1", "gre2", "lan0"];

/// One step. What depends on what the engine said before is made when the step is taken.
#[derive(Clone, Debug)]
enum Step {
    Input(Input),
    Wait(u64),
    Deadline,
    /// Answers one of the last packets sent: which, as what, with what entry; from elsewhere than where it was sent.
    Answer {
        which: usize,
        how: Answer,
        cie: Cie,
        elsewhere: Option<(u32, IpAddr)>,
    },
    /// The hub tells of a better way to an address.
    Indicate(IpAddr),
    /// Answers one of the last questions for a name.
    Resolved {
        which: usize,
        addresses: Result<Vec<IpAddr>, String>,
    },
    /// Answers one of the last questions to the event socket, or none that was asked.
    Decided {
        which: usize,
        accepted: bool,
    },
    /// The kernel has taken, or not, the policies that were asked for last.
    Guarded {
        taken: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Reply,
    Error(u16),
    Echo,
}

fn protocol() -> impl Strategy<Value = IpAddr> {
    let v4 = (0u8..3, 0u8..6)
        .prop_map(|(net, n)| IpAddr::V4(Ipv4Addr::new(10, [255, 2, 4][usize::from(net)], 0, n)));
    let v6 = (0u16..6).prop_map(|n| IpAddr::V6(Ipv6Addr::new(0xfd00, 0x255, 0, 0, 0, 0, 0, n)));
    prop_oneof![6 => v4, 2 => v6, 1 => select(vec!["0.0.0.0", "224.0.0.5", "::"]).prop_map(|a| a.parse().unwrap())]
}

fn nbma() -> impl Strategy<Value = IpAddr> {
    let v4 = (1u8..6).prop_map(|n| IpAddr::V4(Ipv4Addr::new(172, 16, 0, n)));
    prop_oneof![12 => v4, 1 => Just("2001:db8::1".parse().unwrap()), 1 => Just("0.0.0.0".parse().unwrap())]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    (protocol(), select(vec![0u8, 8, 16, 24, 26, 32, 64, 128])).prop_map(|(address, length)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, length.min(most)).unwrap().trunc()
    })
}

fn ifindex() -> impl Strategy<Value = u32> {
    select(vec![2u32, 3, 10, 10, 10, 11, 99])
}

fn cie() -> impl Strategy<Value = Cie> {
    let code = select(vec![0u8, 0, 0, 4, 12, 200]);
    let length = select(vec![0u8, 24, 32, 64, 0xFF]);
    let holding = select(vec![0u16, 1, 5, 600, 65535]);
    let addresses = (proptest::option::of(nbma()), proptest::option::of(protocol()));
    (code, length, holding, select(vec![0u16, 1400, 9000]), addresses).prop_map(
        |(code, prefix_length, holding_time, mtu, (nbma, protocol))| Cie {
            code: CieCode::from(code),
            prefix_length,
            holding_time,
            mtu,
            nbma,
            protocol,
            ..Cie::default()
        },
    )
}

fn extension() -> impl Strategy<Value = Extension> {
    let cies = || proptest::collection::vec(cie(), 0..3);
    let body = prop_oneof![
        cies().prop_map(ExtensionBody::ResponderAddress),
        cies().prop_map(ExtensionBody::ForwardTransitNhs),
        cies().prop_map(ExtensionBody::ReverseTransitNhs),
        cies().prop_map(ExtensionBody::NatAddress),
        Just(Extension::cisco_authentication(b"secret").body),
        Just(ExtensionBody::Unknown { kind: 77, data: vec![1, 2, 3] }),
    ];
    (any::<bool>(), body).prop_map(|(compulsory, body)| Extension { compulsory, body })
}

fn message() -> impl Strategy<Value = Message> {
    let exchange = (any::<u32>(), proptest::collection::vec(cie(), 0..3))
        .prop_map(|(request_id, cies)| Exchange { request_id, cies });
    let flow = (protocol(), protocol())
        .prop_map(|(from, to)| Message::TrafficIndication { unused: 0, packet: flow(from, to) });
    let exchange = (0u8..6, exchange).prop_map(|(kind, exchange)| match kind {
        0 => Message::ResolutionRequest(exchange),
        1 => Message::ResolutionReply(exchange),
        2 => Message::RegistrationRequest(exchange),
        3 => Message::RegistrationReply(exchange),
        4 => Message::PurgeRequest(exchange),
        _ => Message::PurgeReply(exchange),
    });
    let error = (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(code, packet)| {
        Message::ErrorIndication { code: ErrorCode::from(code), offset: 0, packet }
    });
    prop_oneof![6 => exchange, 3 => flow, 1 => error]
}

fn flow(from: IpAddr, to: IpAddr) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [&[0x45; 12][..], &from.octets(), &to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [&[0x60; 8][..], &from.octets(), &to.octets()].concat(),
        _ => vec![0x45; 7],
    }
}

/// An IPv4 header that says its true length, to 224.0.0.5.
fn hello() -> Vec<u8> {
    [&[0x45, 0, 0, 20, 0, 1, 0, 0, 1, 89, 0, 0][..], &[10, 255, 0, 1], &[224, 0, 0, 5]].concat()
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let head = (nbma(), protocol(), protocol(), select(vec![0u8, 1, 64]), any::<u16>());
    (head, message(), proptest::collection::vec(extension(), 0..4)).prop_map(
        |((source_nbma, source, destination, hops, flags), message, extensions)| {
            let mut packet = Packet::new(source_nbma, source, destination, hops, message).with_flags(flags);
            packet.extensions = extensions;
            let mut octets = Vec::new();
            // Families that do not fit cannot be written; the engine gets the empty packet then.
            let _ = packet.encode(&mut octets);
            octets
        },
    )
}

/// What a well-behaved client, or somebody who has its overlay address as well, sends to the router under test: it registers,
/// most often as unique, or purges its address or everything.
fn client() -> impl Strategy<Value = Input> {
    let kind = select(vec![Message::RegistrationRequest as fn(Exchange) -> Message, Message::PurgeRequest]);
    (4u8..6, 4u8..6, kind, select(vec![0xFFu8, 32, 24]), select(vec![5u16, 600]), any::<bool>()).prop_map(
        |(at, own, kind, prefix_length, holding_time, plain)| {
            let nbma = IpAddr::V4(Ipv4Addr::new(172, 16, 0, at));
            let protocol = IpAddr::V4(Ipv4Addr::new(10, 255, 0, own));
            let cie = Cie { prefix_length, holding_time, protocol: Some(protocol), ..Cie::default() };
            let message = kind(Exchange { request_id: u32::from(own), cies: vec![cie] });
            // The bit says N in a purge request.
            let flag = if plain { 0 } else { flags::REGISTRATION_UNIQUE };
            let packet = Packet::new(nbma, protocol, "10.255.0.3".parse().unwrap(), 1, message)
                .with_flags(flag)
                .with_extension(Extension::cisco_authentication(b"secret"));
            let mut octets = Vec::new();
            packet.encode(&mut octets).unwrap();
            Input::Packet { ifindex: 10, source: nbma, octets }
        },
    )
}

fn config() -> impl Strategy<Value = InterfaceConfig> {
    let family = || {
        let nhs = (proptest::option::of(protocol()), select(vec!["172.16.0.1", "172.16.0.2", "hub.example"]))
            .prop_map(|(address, nbma)| NhsConfig {
                protocol: address.map_or(NhsProtocol::Dynamic, NhsProtocol::Address),
                nbma: nbma.to_owned(),
                priority: 0,
            });
        let map = (protocol(), proptest::option::of(nbma()));
        (
            select(vec![0u32, 1, 1, 1, 2]),
            select(vec![0u16, 1, 30, 7200]),
            any::<[bool; 3]>(),
            proptest::collection::vec(nhs, 0..3),
            proptest::collection::vec(map, 0..3),
        )
    };
    let source = select(vec![None, None, Some("eth0"), Some("nowhere")]);
    (family(), family(), source, any::<bool>(), select(vec![0u8, 0, 0, 1])).prop_map(
        |(ip, ipv6, source, password, protection)| {
            let mut config = InterfaceConfig {
                tunnel_source: source.map(str::to_owned),
                authentication: password.then(|| (Afi::Ip, "secret".to_owned())),
                protection: (protection == 1)
                    .then(|| TunnelProtection { profile: "dmvpn".to_owned(), fallback: None }),
                ..InterfaceConfig::default()
            };
            config.ip.mtu = Mtu::Octets(1400);
            for (afi, (network_id, holdtime, [shortcut, redirect, no_unique], nhs, maps)) in
                [(Afi::Ip, ip), (Afi::Ipv6, ipv6)]
            {
                let settings = config.family_mut(afi);
                settings.network_id = network_id;
                settings.holdtime = holdtime;
                settings.shortcut = shortcut;
                settings.redirect = redirect;
                settings.no_unique = no_unique;
                settings.nhs = nhs;
                if shortcut {
                    settings.multicast = vec![
                        MulticastTarget::Dynamic,
                        MulticastTarget::Nhs,
                        MulticastTarget::Nbma("172.16.0.3".parse().unwrap()),
                    ];
                }
                settings.maps = maps
                    .into_iter()
                    .filter(|(address, _)| address.is_ipv4() == (afi == Afi::Ip))
                    .map(|(address, nbma)| (address, nbma.map_or(MapTarget::Local, MapTarget::Nbma)))
                    .collect();
            }
            config
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    let configure = (select(NAMES.to_vec()), config())
        .prop_map(|(name, config)| Input::Configure { name: name.to_owned(), config: Box::new(config) });
    let link = (ifindex(), select(NAMES.to_vec()), any::<bool>(), any::<bool>()).prop_map(
        |(ifindex, name, up, gre)| Input::Link(Link { ifindex, name: name.to_owned(), up, gre, mtu: 1500 }),
    );
    let address = (ifindex(), protocol(), any::<bool>(), any::<bool>()).prop_map(
        |(ifindex, address, secondary, add)| {
            let address = IpNet::from(address);
            if add {
                Input::AddressAdded { ifindex, address, secondary }
            } else {
                Input::AddressDeleted { ifindex, address }
            }
        },
    );
    let gre = (ifindex(), 0u8..5, proptest::option::of(ifindex())).prop_map(|(ifindex, n, link)| {
        let local = (n != 0).then(|| Ipv4Addr::new(172, 16, 0, n));
        Input::Gre { ifindex, local, link }
    });
    let route = (prefix(), proptest::option::of(protocol()), proptest::option::of(ifindex()))
        .prop_map(|(prefix, gateway, ifindex)| Input::RouteAdded { prefix, gateway, ifindex });
    let event = select(vec![
        NeighbourEvent::Wanted,
        NeighbourEvent::Probe,
        NeighbourEvent::Stale,
        NeighbourEvent::Lost,
    ]);
    let neighbour = (ifindex(), protocol(), event).prop_map(|(ifindex, protocol, event)| Input::Neighbour {
        ifindex,
        protocol,
        event,
    });
    let clear =
        select(vec![ClearWhat::Cache, ClearWhat::Shortcuts(Afi::Ip), ClearWhat::Shortcuts(Afi::Ipv6)]);
    prop_oneof![
        2 => configure,
        1 => link,
        2 => address,
        1 => gre,
        4 => route,
        2 => prefix().prop_map(|prefix| Input::RouteDeleted { prefix }),
        2 => neighbour,
        12 => (ifindex(), nbma(), packet())
            .prop_map(|(ifindex, source, octets)| Input::Packet { ifindex, source, octets }),
        1 => (ifindex(), nbma(), proptest::collection::vec(any::<u8>(), 0..90))
            .prop_map(|(ifindex, source, octets)| Input::Packet { ifindex, source, octets }),
        3 => (ifindex(), protocol(), protocol())
            .prop_map(|(ifindex, from, to)| Input::Flow { ifindex, octets: flow(from, to) }),
        1 => ifindex().prop_map(|ifindex| Input::Multicast { ifindex, octets: hello() }),
        1 => clear.prop_map(Input::Clear),
        1 => select(vec![true, true, false]).prop_map(|on| Input::Authorising { on }),
        3 => (nbma(), nbma(), any::<bool>(), select(vec!["", "CN=a"])).prop_map(|(local, remote, up, who)| if up {
            Input::Protected { local, remote, identity: who.to_owned() }
        } else {
            Input::Unprotected { local, remote }
        }),
        1 => ifindex().prop_map(|ifindex| Input::LinkDeleted { ifindex }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        6 => Just(Answer::Reply),
        1 => select(vec![1u16, 6, 11, 15]).prop_map(Answer::Error),
        1 => Just(Answer::Echo),
    ];
    let good = (1u8..6, 0u8..6, select(vec![1u16, 5, 600]), select(vec![0u8, 24, 32])).prop_map(
        |(nbma, protocol, holding_time, prefix_length)| Cie {
            nbma: Some(IpAddr::V4(Ipv4Addr::new(172, 16, 0, nbma))),
            protocol: Some(IpAddr::V4(Ipv4Addr::new(10, 255, 0, protocol))),
            holding_time,
            prefix_length,
            ..Cie::default()
        },
    );
    let cie = prop_oneof![3 => good, 1 => cie()];
    let elsewhere = prop_oneof![4 => Just(None), 1 => (ifindex(), nbma()).prop_map(Some)];
    let answer = (0usize..2, how, cie, elsewhere).prop_map(|(which, how, cie, elsewhere)| Step::Answer {
        which,
        how,
        cie,
        elsewhere,
    });
    let addresses = prop_oneof![
        3 => proptest::collection::vec(nbma(), 0..4).prop_map(Ok),
        1 => Just(Err("no such name".to_owned())),
    ];
    prop_oneof![
        8 => input().prop_map(Step::Input),
        4 => client().prop_map(Step::Input),
        8 => answer,
        4 => protocol().prop_map(Step::Indicate),
        1 => (0usize..2, addresses).prop_map(|(which, addresses)| Step::Resolved { which, addresses }),
        2 => (0usize..3, any::<bool>()).prop_map(|(which, accepted)| Step::Decided { which, accepted }),
        2 => select(vec![true, true, true, false]).prop_map(|taken| Step::Guarded { taken }),
        1 => select(vec![1u64, 900, 5_000, 700_000]).prop_map(Step::Wait),
        4 => Just(Step::Deadline),
    ]
}

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

struct Driver {
    engine: Engine,
    now: Instant,
    routes: BTreeMap<IpNet, Route>,
    neighbours: BTreeMap<(u32, IpAddr), Neighbour>,
    sent: Vec<(u32, IpAddr, Vec<u8>)>,
    /// Shortcuts and peers seen, so that the test knows that it tests something.
    seen: [usize; 2],
    asked: Vec<u64>,
    /// Numbers of questions to the event socket.
    events: Vec<u32>,
    /// What the policies that were asked for last are about.
    guard: Option<(String, Ipv4Addr)>,
    /// An interface index went away together with its neighbours, as in the kernel.
    known: Vec<u32>,
}

impl Driver {
    fn new() -> Self {
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
        };
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

    fn check(&mut self) {
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

    fn step(&mut self, step: Step) {
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
    fn unconfigure(&mut self) {
        for name in NAMES {
            self.input(Input::Configure { name: name.to_owned(), config: Box::default() });
        }
        assert_eq!(self.engine.next_deadline(), None, "a timer is left");
        let [cache, shortcuts, resolutions, ..] = self.engine.sizes();
        assert_eq!([cache, shortcuts, resolutions, self.engine.pending_requests()], [0; 4]);
        assert!(self.routes.is_empty() && self.neighbours.is_empty());
    }
}

fn answer(request: &[u8], how: Answer, cie: Cie) -> Vec<u8> {
    let mut packet = Packet::decode(request).unwrap();
    let message = match (how, &packet.message) {
        (Answer::Reply, Message::ResolutionRequest(x)) => {
            Message::ResolutionReply(Exchange { request_id: x.request_id, cies: vec![cie] })
        }
        (Answer::Reply, Message::RegistrationRequest(x)) => {
            packet.destination_protocol = cie.protocol.or(packet.destination_protocol);
            Message::RegistrationReply(Exchange { request_id: x.request_id, cies: vec![Cie::default()] })
        }
        (Answer::Error(code), _) => {
            packet.destination_protocol = packet.source_protocol;
            Message::ErrorIndication {
                code: ErrorCode::from(code),
                offset: 0,
                packet: request[..request.len().min(40)].to_vec(),
            }
        }
        (_, message) => message.clone(),
    };
    packet.message = message;
    let mut octets = Vec::new();
    let _ = packet.encode(&mut octets);
    octets
}

/// The same from octets: fuzz target `engine`. Each four of them are the seed of one step, so that a fuzzer that
/// changes, repeats or leaves out octets does so with steps.
///
/// # Panics
/// When something does not hold.
pub fn engine(octets: &[u8]) -> Depth {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let strategy = step();
    let steps = octets.chunks_exact(4).take(400).filter_map(|seed| {
        let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &seed.repeat(8));
        let mut runner = TestRunner::new_with_rng(Config::default(), chance);
        strategy.new_tree(&mut runner).ok().map(|tree| tree.current())
    });
    run(steps.collect())
}

/// How far a sequence went into the protocol: how often each of these happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Own registrations that a server accepted, the first of the beginning apart.
    pub renewed: u64,
    /// Registrations of clients answered.
    pub clients: u64,
    /// Neighbours at the same time, at most.
    pub peers: u64,
    /// Shortcuts at the same time, at most.
    pub shortcuts: u64,
    /// Questions answered.
    pub answered: u64,
    /// Packets passed on to another node.
    pub passed_on: u64,
    /// Copies of multicast packets.
    pub multicast: u64,
    /// Bindings and shortcuts ended by somebody's purge.
    pub purged: u64,
    /// Purges sent because something that others were told was over.
    pub purges_sent: u64,
    /// Attempts to take a unique address, and questions to its holder.
    pub contested: u64,
    /// Errors sent.
    pub errors: u64,
}

impl Depth {
    /// All of them.
    pub fn counts(&self) -> [u64; 11] {
        let Self {
            renewed,
            clients,
            peers,
            shortcuts,
            answered,
            passed_on,
            multicast,
            purged,
            purges_sent,
            contested,
            errors,
        } = *self;
        [
            renewed,
            clients,
            peers,
            shortcuts,
            answered,
            passed_on,
            multicast,
            purged,
            purges_sent,
            contested,
            errors,
        ]
    }
}

fn run(steps: Vec<Step>) -> Depth {
    let mut driver = Driver::new();
    for step in steps {
        driver.step(step);
    }
    let stats = driver.engine.stats().clone();
    let [shortcuts, peers] = driver.seen.map(|most| most as u64);
    driver.unconfigure();
    Depth {
        renewed: stats.registrations_accepted.saturating_sub(1),
        clients: stats.registrations_served,
        peers,
        shortcuts,
        answered: stats.resolutions_served,
        passed_on: stats.forwarded,
        multicast: stats.multicast_copies,
        purged: stats.purged,
        purges_sent: stats.purges_sent,
        contested: stats.registrations_contested.min(stats.holders_asked),
        errors: stats.errors_sent,
    }
}

proptest! {
    // 256 cases; more with PROPTEST_CASES.
    #[test]
    fn any_sequence_leaves_the_engine_in_order(steps in proptest::collection::vec(step(), 0..120)) {
        run(steps);
    }
}

#[test]
fn the_sequences_reach_shortcuts_and_peers() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = proptest::collection::vec(step(), 0..120);
    let (mut with_shortcuts, mut with_peers) = (0, 0);
    for _ in 0..100 {
        let Depth { shortcuts, peers, .. } = run(strategy.new_tree(&mut runner).unwrap().current());
        with_shortcuts += usize::from(shortcuts > 0);
        with_peers += usize::from(peers > 1);
    }
    assert!(with_shortcuts >= 20 && with_peers >= 20, "{with_shortcuts} and {with_peers} of 100");
}

#[test]
fn the_beginning_is_a_spoke_that_registers_and_asks() {
    let mut driver = Driver::new();
    let cie = |nbma: &str, protocol: &str| Cie {
        nbma: Some(nbma.parse().unwrap()),
        protocol: Some(protocol.parse().unwrap()),
        prefix_length: 24,
        holding_time: 600,
        ..Cie::default()
    };
    let reply = |cie| Step::Answer { which: 0, how: Answer::Reply, cie, elsewhere: None };
    driver.step(Step::Indicate("10.4.0.1".parse().unwrap()));
    driver.step(reply(cie("172.16.0.4", "10.255.0.4")));
    assert!(driver.routes.contains_key(&"10.4.0.0/24".parse().unwrap()));
    driver.unconfigure();
}
