//! A hub and a spoke with as many peers as one likes, and what happens to them, one operation at a time. Drives the
//! engine as the daemon does, buffers reused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, dead_code)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use nhrp_config::{Afi, InterfaceConfig, NhsConfig, NhsProtocol};
use nhrp_engine::{ClearWhat, Engine, Input, Instant, Limits, Link, Output};
use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet, checksum, flags};

const TUNNEL: u32 = 10;
const HOLDTIME: u16 = 7200;

fn numbered(base: [u8; 4], number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::from(base).to_bits() + number)
}

/// Overlay address of a peer; 0 is the machine's own.
pub(crate) fn overlay(number: u32) -> Ipv4Addr {
    numbered([10, 64, 0, 1], number)
}

fn nbma(number: u32) -> Ipv4Addr {
    numbered([172, 16, 0, 1], number)
}

/// A host behind a peer, alone in its network.
fn behind(number: u32) -> Ipv4Addr {
    numbered([100, 64, 0, 1], number)
}

/// Numbers below `n` in an order that no prefetcher foresees, always the same.
pub(crate) struct Order(u64);

impl Order {
    pub(crate) fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub(crate) fn next(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 33) % u64::from(n)).unwrap()
    }
}

/// An engine with its peers.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) peers: u32,
    now: Instant,
    registration: Vec<u8>,
    resolution: Vec<u8>,
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    octets
}

fn request(message: Message, target: Ipv4Addr) -> Packet {
    let cie = Cie { nbma: Some(nbma(0).into()), protocol: Some(overlay(0).into()), ..Cie::default() };
    Packet::new(nbma(1).into(), overlay(1).into(), target.into(), 16, message)
        .with_flags(flags::REGISTRATION_UNIQUE | flags::NAT)
        .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(Vec::new())))
        .with_extension(Extension::compulsory(ExtensionBody::ForwardTransitNhs(Vec::new())))
        .with_extension(Extension::compulsory(ExtensionBody::ReverseTransitNhs(Vec::new())))
        .with_extension(Extension::optional(ExtensionBody::NatAddress(vec![cie])))
}

impl Machine {
    fn new(config: InterfaceConfig) -> Self {
        let cie = Cie { prefix_length: 0xFF, holding_time: HOLDTIME, ..Cie::default() };
        let exchange = Exchange { request_id: 7, cies: vec![cie] };
        let mut machine = Self {
            engine: Engine::new([3; 32], Limits::default()),
            peers: 0,
            now: Instant::ZERO,
            registration: encoded(&request(Message::RegistrationRequest(exchange.clone()), overlay(0))),
            resolution: encoded(&request(Message::ResolutionRequest(exchange), behind(1))),
        };
        machine.input(Input::Configure { name: "gre1".to_owned(), config: Box::new(config) });
        let link = Link { ifindex: TUNNEL, name: "gre1".to_owned(), up: true, gre: true, mtu: 1476 };
        machine.input(Input::Link(link));
        let address = IpNet::from(IpAddr::V4(overlay(0)));
        machine.input(Input::AddressAdded { ifindex: TUNNEL, address, secondary: false });
        machine.input(Input::Gre { ifindex: TUNNEL, local: Some(nbma(0)), link: None });
        machine
    }

    /// A hub with so many registered peers and a route to a network behind each.
    pub(crate) fn hub(peers: u32) -> Self {
        let mut config = InterfaceConfig::default();
        config.ip.network_id = 1;
        config.ip.redirect = true;
        let mut hub = Self::new(config);
        for _ in 0..peers {
            hub.first_registration();
        }
        for peer in 1..=peers {
            hub.route(peer, true);
        }
        hub
    }

    /// A spoke with direct paths to so many networks, each behind a peer of its own.
    pub(crate) fn spoke(peers: u32) -> Self {
        let mut config = InterfaceConfig::default();
        config.ip.network_id = 1;
        config.ip.shortcut = true;
        let server =
            NhsConfig { protocol: NhsProtocol::Dynamic, nbma: nbma(400_000).to_string(), priority: 0 };
        config.ip.nhs.push(server);
        let mut spoke = Self::new(config);
        // The hub is number 400,000, and all networks lie behind it at first.
        let hub = overlay(400_000);
        spoke.input(Input::Adopted { ifindex: TUNNEL, protocol: hub.into(), nbma: nbma(400_000).into() });
        let all = "100.64.0.0/10".parse().unwrap();
        spoke.input(Input::RouteAdded { prefix: all, gateway: Some(hub.into()), ifindex: Some(TUNNEL) });
        for _ in 0..peers {
            spoke.first_shortcut();
        }
        assert_eq!(spoke.engine.sizes()[1], usize::try_from(peers).unwrap());
        spoke
    }

    /// Tells the engine and takes what it says; the number of packets, and the last one.
    fn input(&mut self, input: Input) -> usize {
        self.engine.handle(self.now, input);
        let mut sent = 0;
        while let Some(output) = self.engine.poll_output() {
            if let Output::Send { octets, .. } = output {
                sent += 1;
                self.engine.reuse(octets);
            }
        }
        sent
    }

    fn packet(&mut self, template: &[u8], peer: u32, target: Option<Ipv4Addr>) -> usize {
        let mut octets = self.engine.buffer();
        octets.extend_from_slice(template);
        octets[28..32].copy_from_slice(&nbma(peer).octets());
        octets[32..36].copy_from_slice(&overlay(peer).octets());
        if let Some(target) = target {
            octets[36..40].copy_from_slice(&target.octets());
        }
        octets[12..14].fill(0);
        let sum = checksum::internet(&octets).to_be_bytes();
        octets[12..14].copy_from_slice(&sum);
        self.input(Input::Packet { ifindex: TUNNEL, source: nbma(peer).into(), octets })
    }

    /// A peer that was never here registers.
    pub(crate) fn first_registration(&mut self) {
        self.peers += 1;
        self.refresh(self.peers);
    }

    /// A peer that is here registers again.
    pub(crate) fn refresh(&mut self, peer: u32) {
        self.now = self.now + Duration::from_micros(10);
        let template = std::mem::take(&mut self.registration);
        assert_eq!(self.packet(&template, peer, None), 1, "a reply");
        self.registration = template;
    }

    /// A peer asks for a host behind another: the hub passes it on.
    pub(crate) fn pass_on(&mut self, from: u32, to: u32) {
        let template = std::mem::take(&mut self.resolution);
        assert_eq!(self.packet(&template, from, Some(behind(to))), 1, "it goes on");
        self.resolution = template;
    }

    /// A data packet takes the detour: the hub tells the sender, for each pair of hosts once a second.
    pub(crate) fn indication(&mut self, from: u32, to: u32) {
        self.now = self.now + Duration::from_millis(1);
        self.input(Input::Flow { ifindex: TUNNEL, octets: data(behind(from), behind(to)) });
    }

    /// The route to the network behind a peer comes or goes.
    pub(crate) fn route(&mut self, peer: u32, comes: bool) {
        let prefix = IpNet::from(IpAddr::V4(behind(peer)));
        let gateway = Some(overlay(peer).into());
        self.input(if comes {
            Input::RouteAdded { prefix, gateway, ifindex: Some(TUNNEL) }
        } else {
            Input::RouteDeleted { prefix }
        });
    }

    /// The hub says that there is a shorter way; the spoke asks, is answered, and has a shortcut more.
    pub(crate) fn first_shortcut(&mut self) {
        self.peers += 1;
        let target = behind(self.peers);
        self.now = self.now + Duration::from_micros(10);
        let message = Message::TrafficIndication { unused: 0, packet: data(overlay(0), target) };
        let indication = encoded(&Packet::new(
            nbma(400_000).into(),
            overlay(400_000).into(),
            overlay(0).into(),
            1,
            message,
        ));
        let source = nbma(400_000).into();
        self.engine.handle(self.now, Input::Packet { ifindex: TUNNEL, source, octets: indication });
        let asked = std::iter::from_fn(|| self.engine.poll_output()).find_map(|o| match o {
            Output::Send { octets, .. } => Some(Packet::decode(&octets).unwrap()),
            _ => None,
        });
        while self.engine.poll_output().is_some() {}
        let mut reply = asked.expect("a resolution request");
        let Message::ResolutionRequest(exchange) = &reply.message else { panic!("{reply:?}") };
        let cie = Cie {
            nbma: Some(nbma(self.peers).into()),
            protocol: Some(overlay(self.peers).into()),
            prefix_length: 32,
            holding_time: HOLDTIME,
            ..Cie::default()
        };
        reply.message =
            Message::ResolutionReply(Exchange { request_id: exchange.request_id, cies: vec![cie] });
        self.input(Input::Packet {
            ifindex: TUNNEL,
            source: nbma(self.peers).into(),
            octets: encoded(&reply),
        });
    }

    /// Nobody registers any more, and the holding time ends for all.
    pub(crate) fn expire(&mut self) {
        self.now = self.now + Duration::from_secs(u64::from(HOLDTIME) + 1);
        self.input(Input::DeadlineReached);
        self.peers = 0;
    }

    /// `clear ip nhrp shortcut`: what was registered stays.
    pub(crate) fn clear_shortcuts(&mut self) {
        self.input(Input::Clear(ClearWhat::Shortcuts(Afi::Ip)));
        self.peers = 0;
    }

    /// `clear ip nhrp cache`.
    pub(crate) fn clear(&mut self) {
        self.input(Input::Clear(ClearWhat::Cache));
        self.peers = 0;
    }
}

fn data(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut octets = vec![0x45, 0, 0, 84, 0, 0, 0x40, 0, 63, 1, 0, 0];
    octets.extend_from_slice(&from.octets());
    octets.extend_from_slice(&to.octets());
    octets.resize(84, 0);
    octets
}
