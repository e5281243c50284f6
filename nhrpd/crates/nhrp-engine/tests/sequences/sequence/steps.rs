//! Steps that may follow each other in any order, and how they are made up.
//!
//! Owns the mix: mostly what peers, zebra and people do, often enough what they should not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nhrp_config::{
    Afi, InterfaceConfig, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol, TunnelProtection,
};
use nhrp_engine::{ClearWhat, Input, Link, NeighbourEvent};
use nhrp_wire::{Cie, CieCode, ErrorCode, Exchange, Extension, ExtensionBody, Message, Packet, flags};
use proptest::prelude::*;
use proptest::sample::select;

use super::driver::NAMES;

/// One step. What depends on what the engine said before is made when the step is taken.
#[derive(Clone, Debug)]
pub enum Step {
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
pub enum Answer {
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

pub(super) fn flow(from: IpAddr, to: IpAddr) -> Vec<u8> {
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

pub fn step() -> impl Strategy<Value = Step> {
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

pub(super) fn answer(request: &[u8], how: Answer, cie: Cie) -> Vec<u8> {
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
