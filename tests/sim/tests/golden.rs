//! The packets of FRR against ours: engines are driven to the states in which FRR sent the golden packets
//! (`tests/golden`), and what they send is compared with FRR's field by field.
//!
//! What may differ stands in [`ACCEPTED`], with the reason. Request ids always do: FRR counts from 1, ours cannot be
//! guessed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nhrp_config::{Afi, InterfaceConfig, Mtu, NhsConfig, NhsProtocol};
use nhrp_engine::{Input, Instant};
use nhrp_wire::{Cie, Message, Packet, PacketType};
use sim::shorthand::ip;
use sim::{Network, NodeId, Router};

/// Golden packet (or a beginning that several share), field, reason.
const ACCEPTED: &[(&str, &str, &str)] = &[
    ("authfail-error-indication-1", "hop count", "with 0, as FRR sends it, no transit NHS could pass it on"),
    (
        "authfail-error-indication-1",
        "flags",
        "RFC 2332 section 5.2.7 has no flags; FRR copies the offender's",
    ),
    (
        "authfail-error-indication-1",
        "source NBMA",
        "RFC 2332 section 5.2.7: of the station that found the error",
    ),
    ("authfail-error-indication-1", "source protocol", "the same"),
    ("authfail-error-indication-1", "quoted octets", "as much as is useful, not only the addresses"),
    (
        "authfail-error-indication-1",
        "extensions",
        "FRR with a password accepts errors only with the password",
    ),
    ("hopcount-error15-by-transit2", "hop count", "with 0 it starts FRR's endless exchange of errors"),
    ("hopcount-error15-by-transit2", "flags", "RFC 2332 section 5.2.7 has no flags"),
    (
        "hopcount-error15-by-transit2",
        "source NBMA",
        "RFC 2332 section 5.2.7: of the station that found the error",
    ),
    ("hopcount-error15-by-transit2", "source protocol", "the same"),
    ("hopcount-error15-by-transit2", "error offset", "RFC 2332 section 5.2.7: where the hop count is"),
    ("hopcount-error15-by-transit2", "quoted octets", "as much as is useful, not only the addresses"),
];

/// Golden packets that no engine of this project sends.
const NEVER_SENT: &[(&str, &str)] = &[
    (
        "authfail-error-indication-2-spoke-storm",
        "an error about an error (RFC 2332 section 5.2.7 forbids it)",
    ),
    ("authfail-error-indication-3-hub-storm", "the same"),
    ("hopcount-injected-request-hop1", "made by hand; it is injected here"),
    ("hopcount-error15-about-error-by-transit1", "an error about an error"),
    ("hopcount-error15-about-error-by-transit2", "an error about an error"),
];

/// Name and octets of all golden packets.
fn golden() -> BTreeMap<String, Vec<u8>> {
    let text = include_str!("../../golden/nhrp-packets.txt");
    let mut packets = BTreeMap::new();
    for stanza in text.split("\n[").skip(1) {
        let (name, body) = stanza.split_once(']').unwrap();
        let (_, hex) = body.split_once("hex").unwrap();
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let octet = |d: &[u8]| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap();
        packets.insert(name.to_owned(), digits.chunks(2).map(octet).collect());
    }
    assert_eq!(packets.len(), 31);
    packets
}

fn cie_fields(place: &str, ours: &[Cie], frr: &[Cie], differ: &mut Vec<String>) {
    if ours.len() != frr.len() {
        differ.push(format!("{place}: number of entries"));
        return;
    }
    for (a, b) in ours.iter().zip(frr) {
        let mut field = |name: &str, same: bool| {
            if !same {
                differ.push(format!("{place}: {name}"));
            }
        };
        field("code", a.code == b.code);
        field("prefix length", a.prefix_length == b.prefix_length);
        field("mtu", a.mtu == b.mtu);
        field("holding time", a.holding_time == b.holding_time);
        field("preference", a.preference == b.preference);
        field("NBMA", a.nbma == b.nbma && a.nbma_subaddress == b.nbma_subaddress);
        field("protocol", a.protocol == b.protocol);
    }
}

/// Names of the fields in which two packets differ, without the request id.
fn differences(ours: &Packet, frr: &Packet) -> Vec<String> {
    let mut differ = Vec::new();
    let mut field = |name: &str, same: bool| {
        if !same {
            differ.push(name.to_owned());
        }
    };
    field("NBMA family", ours.nbma_family == frr.nbma_family);
    field("protocol family", ours.protocol_family == frr.protocol_family);
    field("hop count", ours.hop_count == frr.hop_count);
    field("flags", ours.flags == frr.flags);
    field("source NBMA", ours.source_nbma == frr.source_nbma);
    field("source protocol", ours.source_protocol == frr.source_protocol);
    field("destination protocol", ours.destination_protocol == frr.destination_protocol);
    field("type", ours.message.packet_type() == frr.message.packet_type());
    match (&ours.message, &frr.message) {
        (
            Message::ErrorIndication { code, offset, packet },
            Message::ErrorIndication { code: c, offset: o, packet: p },
        ) => {
            field("error code", code == c);
            field("error offset", offset == o);
            field("quoted octets", packet == p);
        }
        (
            Message::TrafficIndication { unused, packet },
            Message::TrafficIndication { unused: u, packet: p },
        ) => {
            field("unused", unused == u);
            field("logged octets", packet == p);
        }
        (ours, frr) => {
            let (ours, frr) = (ours.exchange().unwrap(), frr.exchange().unwrap());
            cie_fields("entry", &ours.cies, &frr.cies, &mut differ);
        }
    }
    let types = |p: &Packet| -> Vec<_> {
        p.extensions.iter().map(|e| (e.compulsory, e.body.extension_type())).collect()
    };
    if types(ours) == types(frr) {
        for (a, b) in ours.extensions.iter().zip(&frr.extensions) {
            let place = format!("{:?}", a.body.extension_type());
            match (a.body.cies(), b.body.cies()) {
                (Some(a), Some(b)) => cie_fields(&place, a, b, &mut differ),
                _ if a.body != b.body => differ.push(place),
                _ => {}
            }
        }
    } else {
        differ.push("extensions".to_owned());
    }
    differ
}

struct Comparison {
    golden: BTreeMap<String, Vec<u8>>,
    compared: BTreeSet<String>,
    met: BTreeSet<(&'static str, &'static str)>,
    faults: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, name: &str, ours: &[u8]) {
        let theirs = self.golden.get(name).unwrap_or_else(|| panic!("no golden packet {name}"));
        let frr = Packet::decode(theirs).unwrap();
        let mut packet = Packet::decode(ours).unwrap();
        self.compared.insert(name.to_owned());
        let mut unexpected = Vec::new();
        for field in differences(&packet, &frr) {
            match ACCEPTED.iter().find(|(n, f, _)| name.starts_with(n) && *f == field) {
                Some((n, f, _)) => {
                    self.met.insert((n, f));
                }
                None => unexpected.push(field),
            }
        }
        if !unexpected.is_empty() {
            self.faults.push(format!("{name}: {unexpected:?}\n  ours {packet:?}\n  FRR  {frr:?}"));
            return;
        }
        if let (Some(a), Some(b)) = (packet.message.exchange_mut(), frr.message.exchange()) {
            a.request_id = b.request_id;
        }
        if !ACCEPTED.iter().any(|(n, ..)| name.starts_with(n)) {
            // Then also the octets.
            let mut octets = Vec::new();
            packet.encode(&mut octets).unwrap();
            if octets != *theirs {
                self.faults.push(format!("{name}: the same fields, but other octets"));
            }
        }
    }

    fn frame(&mut self, name: &str, net: &Network, from: NodeId, kind: PacketType, nth: usize) {
        let frames = net.sent(from, kind, Instant::ZERO);
        let frame = frames.get(nth).unwrap_or_else(|| panic!("{name}: only {} packets", frames.len()));
        let octets = frame.octets.clone();
        self.compare(name, &octets);
    }

    /// The logged data packet of a golden traffic indication.
    fn logged(&self, name: &str) -> Vec<u8> {
        match Packet::decode(&self.golden[name]).unwrap().message {
            Message::TrafficIndication { packet, .. } => packet,
            _ => panic!("{name} is no traffic indication"),
        }
    }
}

struct Nodes {
    net: Network,
    hub: NodeId,
    one: NodeId,
    four: NodeId,
}

/// The network behind the golden packets (`tests/golden/README.md`).
fn network(natted: bool, configure: impl Fn(bool, &mut InterfaceConfig)) -> Nodes {
    let router = |number: u16, nbma: &str, overlay: &str, lan: Option<&str>| {
        let is_hub = number == 2;
        let mut router = Router::hub(number);
        router.nbma = ip(nbma);
        router.overlay = vec![ip(overlay).into()];
        router.lan = lan.iter().map(|l| l.parse().unwrap()).collect();
        router.config.ip.shortcut = !is_hub;
        router.config.ip.redirect = is_hub;
        router.config.ip.holdtime = 30;
        if is_hub {
            for n in [1, 4] {
                let lan = format!("192.168.{n}.0/24").parse().unwrap();
                router.routes.push((lan, ip(&format!("10.255.255.{n}"))));
            }
        } else {
            let hub = ip("10.255.255.2");
            router.routes.push(("192.168.0.0/16".parse().unwrap(), hub));
            router.routes.push(("10.255.255.0/24".parse().unwrap(), hub));
            router.config.ip.nhs.push(NhsConfig {
                protocol: NhsProtocol::Dynamic,
                nbma: "10.2.1.2".to_owned(),
                priority: 0,
            });
        }
        configure(is_hub, &mut router.config);
        router
    };
    let mut net = Network::new(11);
    let hub = net.add_router(router(2, "10.2.1.2", "10.255.255.2", None));
    let one = net.add_router(router(1, "10.1.1.1", "10.255.255.1", Some("192.168.1.0/24")));
    let mut router = router(4, "10.1.1.4", "10.255.255.4", Some("192.168.4.0/24"));
    router.nat = natted.then(|| ip("98.99.99.4"));
    let four = net.add_router(router);
    net.run_for(Duration::from_secs(1));
    Nodes { net, hub, one, four }
}

#[test]
fn what_we_send_is_what_frr_sends() {
    use PacketType::{
        ErrorIndication, RegistrationReply, RegistrationRequest, ResolutionReply, ResolutionRequest,
        TrafficIndication,
    };
    let mut c =
        Comparison { golden: golden(), compared: BTreeSet::new(), met: BTreeSet::new(), faults: Vec::new() };
    let mtu = |is_hub: bool, config: &mut InterfaceConfig| {
        if !is_hub {
            config.ip.mtu = Mtu::Octets(1400);
        }
    };

    let mut n = network(false, mtu);
    let octets = c.logged("plain-traffic-indication");
    n.net.input(n.hub, Input::Flow { ifindex: Router::TUNNEL, octets });
    n.net.run_for(Duration::from_secs(1));
    c.frame("plain-registration-request-first", &n.net, n.one, RegistrationRequest, 0);
    c.frame("plain-registration-reply-first", &n.net, n.hub, RegistrationReply, 0);
    c.frame("plain-traffic-indication", &n.net, n.hub, TrafficIndication, 0);
    c.frame("plain-resolution-request-spoke-to-hub", &n.net, n.one, ResolutionRequest, 0);
    c.frame("plain-resolution-request-forwarded-by-hub", &n.net, n.hub, ResolutionRequest, 0);
    c.frame("plain-resolution-reply-by-spoke4", &n.net, n.four, ResolutionReply, 0);
    c.frame("plain-resolution-reply-forwarded-by-hub", &n.net, n.hub, ResolutionReply, 0);
    n.net.run_for(Duration::from_secs(10));
    c.frame("plain-registration-request-renewal", &n.net, n.one, RegistrationRequest, 1);
    let first = n.net.sent(n.hub, RegistrationReply, Instant::ZERO);
    let renewal = first.iter().skip(1).rfind(|f| f.destination == ip("10.1.1.1")).unwrap().octets.clone();
    c.compare("plain-registration-reply-renewal", &renewal);

    let mut n = network(true, mtu);
    let octets = c.logged("nat-traffic-indication");
    n.net.input(n.hub, Input::Flow { ifindex: Router::TUNNEL, octets });
    n.net.run_for(Duration::from_secs(1));
    c.frame("nat-registration-request-spoke1", &n.net, n.one, RegistrationRequest, 0);
    c.frame("nat-registration-reply-spoke1", &n.net, n.hub, RegistrationReply, 0);
    c.frame("nat-registration-request-natted-spoke4", &n.net, n.four, RegistrationRequest, 0);
    c.frame("nat-registration-reply-natted-spoke4", &n.net, n.hub, RegistrationReply, 1);
    c.frame("nat-traffic-indication", &n.net, n.hub, TrafficIndication, 0);
    c.frame("nat-resolution-request-spoke1", &n.net, n.one, ResolutionRequest, 0);
    c.frame("nat-resolution-request-forwarded", &n.net, n.hub, ResolutionRequest, 0);
    c.frame("nat-resolution-reply-natted-spoke4", &n.net, n.four, ResolutionReply, 0);
    c.frame("nat-resolution-reply-forwarded", &n.net, n.hub, ResolutionReply, 0);
    n.net.run_for(Duration::from_secs(10));
    c.frame("nat-registration-request-natted-renewal", &n.net, n.four, RegistrationRequest, 1);
    let replies = n.net.sent(n.hub, RegistrationReply, Instant::ZERO);
    let renewal = replies.iter().rfind(|f| f.destination == ip("98.99.99.4")).unwrap().octets.clone();
    c.compare("nat-registration-reply-natted-renewal", &renewal);

    let mut n = network(false, |_, config| {
        config.authentication = Some((Afi::Ip, "secret".to_owned()));
        config.ip.no_unique = true;
    });
    c.frame("auth-nounique-registration-request", &n.net, n.one, RegistrationRequest, 0);
    c.frame("auth-nounique-registration-reply", &n.net, n.hub, RegistrationReply, 0);
    n.net.configure(n.hub, |config| config.authentication = Some((Afi::Ip, "other".to_owned())));
    n.net.run_for(Duration::from_secs(10));
    c.frame("authfail-registration-request-renewal", &n.net, n.one, RegistrationRequest, 1);
    c.frame("authfail-error-indication-1-hub", &n.net, n.hub, ErrorIndication, 0);

    let mut n = network(false, |_, _| {});
    n.net.add_route(n.hub, "172.30.0.0/16", Some("10.255.255.4"), Router::TUNNEL);
    n.net.add_route(n.four, "172.30.0.0/16", Some("10.255.255.2"), Router::TUNNEL);
    let injected = c.golden["hopcount-injected-request-hop1"].clone();
    n.net.inject(n.hub, "10.1.1.1", injected);
    n.net.run_for(Duration::from_secs(1));
    c.frame("hopcount-request-forwarded-hop0", &n.net, n.hub, ResolutionRequest, 0);
    c.frame("hopcount-error15-by-transit2", &n.net, n.four, ErrorIndication, 0);
    assert!(n.net.sent(n.one, ErrorIndication, Instant::ZERO).is_empty());
    assert_eq!(n.net.sent(n.four, ErrorIndication, Instant::ZERO).len(), 1);

    assert!(c.faults.is_empty(), "{}", c.faults.join("\n"));
    for (name, field, _) in ACCEPTED {
        assert!(c.met.contains(&(name, field)), "{name}: {field} does not differ any more");
    }
    for (name, _) in NEVER_SENT {
        assert!(c.compared.insert((*name).to_owned()), "{name} is sent after all");
    }
    let all: BTreeSet<String> = c.golden.keys().cloned().collect();
    assert_eq!(c.compared, all, "every golden packet is compared or named as never sent");
}
