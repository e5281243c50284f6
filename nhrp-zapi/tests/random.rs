//! Random octets and random values: decoding never panics, and what is written is read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nhrp_zapi::{
    Afi, Command, Decoded, Epoch, Gre, Header, Interface, InterfaceAddress, InterfaceChange, InterfaceFlags,
    LinkType, Message, Neighbour, NeighbourKind, NeighbourState, RedistributedRoute, ReleaseTable, Request,
    RibNexthop, Route, RouteNexthop, Session,
};
use proptest::prelude::*;

fn table() -> impl Strategy<Value = &'static ReleaseTable> {
    prop::sample::select(Epoch::ALL.to_vec()).prop_map(ReleaseTable::of)
}

fn v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![v4().prop_map(IpAddr::from), any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into())]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    (ip(), 0..=128_u8).prop_map(|(address, length)| {
        let widest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, length.min(widest)).unwrap().trunc()
    })
}

fn route() -> impl Strategy<Value = Route> {
    let nexthop = (0..3_u8, 1..u32::MAX, any::<bool>(), any::<u128>());
    let options = (any::<Option<u32>>(), any::<[bool; 3]>(), any::<Option<u8>>(), any::<Option<u32>>());
    (prefix(), nexthop, options).prop_map(
        |(prefix, (kind, ifindex, bound, gateway), (mtu, bits, distance, tag))| {
            let gateway = Ipv6Addr::from(gateway);
            let addr = match prefix {
                IpNet::V4(_) => IpAddr::from([gateway.octets()[0], gateway.octets()[1], 1, 2]),
                IpNet::V6(_) => gateway.into(),
            };
            let nexthop = match kind {
                0 => RouteNexthop::Interface { ifindex },
                1 => RouteNexthop::Gateway { addr, ifindex: bound.then_some(ifindex) },
                _ => RouteNexthop::Blackhole,
            };
            let [allow_recursion, fib_override, onlink] = bits;
            let onlink = onlink && nexthop != RouteNexthop::Blackhole;
            Route { prefix, nexthop, mtu, allow_recursion, fib_override, onlink, distance, tag }
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let afi = prop::sample::select(vec![Afi::Ip, Afi::Ip6]);
    prop_oneof![
        Just(Request::Hello),
        Just(Request::Interfaces),
        afi.clone().prop_map(Request::Redistribute),
        afi.clone().prop_map(Request::NeighRegister),
        route().prop_map(Request::RouteAdd),
        prefix().prop_map(Request::RouteDelete),
        (any::<u32>(), ip(), v4()).prop_map(|(ifindex, protocol, nbma)| Request::NeighAdd {
            ifindex,
            protocol,
            nbma
        }),
        (any::<u32>(), ip()).prop_map(|(ifindex, protocol)| Request::NeighDelete { ifindex, protocol }),
        (any::<u32>(), afi).prop_map(|(ifindex, family)| Request::ConfigureArp { ifindex, family }),
        any::<u32>().prop_map(|ifindex| Request::GreGet { ifindex }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let neighbour = (0..3_u8, any::<u32>(), ip(), any::<Option<u32>>(), any::<u32>());
    prop_oneof![
        neighbour.prop_map(|(kind, ifindex, protocol, nbma, state)| {
            let kind = [NeighbourKind::Added, NeighbourKind::Removed, NeighbourKind::Get][usize::from(kind)];
            let (nbma, state) = (nbma.map(Ipv4Addr::from), NeighbourState(state));
            Message::Neighbour(Neighbour { kind, vrf: 0, ifindex, protocol, nbma, state })
        }),
        (1..u32::MAX, any::<[u32; 3]>()).prop_map(|(ifindex, [key, local, remote])| {
            let address = |bits: u32| Some(Ipv4Addr::from(bits)).filter(|address| !address.is_unspecified());
            let key = Some(key).filter(|key| *key != 0);
            let (local, remote) = (address(local), address(remote));
            Message::Gre(Gre { vrf: 0, ifindex, key, link_ifindex: None, link_vrf: None, local, remote })
        }),
        (
            any::<u32>(),
            any::<u64>(),
            any::<[u32; 3]>(),
            "[a-z0-9.]{1,15}",
            prop::collection::vec(any::<u8>(), 0..=20)
        )
            .prop_map(|(ifindex, flags, [mtu, metric, link], name, hw_addr)| {
                Message::Interface(Interface {
                    change: InterfaceChange::Up,
                    vrf: 3,
                    ifindex,
                    name,
                    status: 5,
                    flags: InterfaceFlags(flags),
                    metric,
                    speed: 10,
                    txqlen: None,
                    mtu,
                    mtu6: mtu,
                    bandwidth: 0,
                    link_ifindex: Some(link).filter(|link| *link != 0),
                    zif_type: None,
                    link_type: LinkType::GRE,
                    hw_addr,
                })
            }),
        (any::<u32>(), prefix(), any::<u8>()).prop_map(|(ifindex, prefix, flags)| {
            Message::AddressAdded(InterfaceAddress { vrf: 0, ifindex, prefix, flags, peer: None })
        }),
        (prefix(), 1..u32::MAX, ip(), any::<u8>(), any::<u32>()).prop_map(
            |(prefix, ifindex, gateway, distance, metric)| {
                let hop = RibNexthop {
                    vrf: 0,
                    gateway: Some(gateway),
                    ifindex: Some(ifindex),
                    blackhole: false,
                    onlink: false,
                };
                Message::RouteAdded(RedistributedRoute {
                    vrf: 0,
                    prefix,
                    route_type: 1,
                    is_nhrp: false,
                    is_local: false,
                    is_learned: false,
                    nexthops: 1,
                    nexthop: Some(hop),
                    distance: Some(distance),
                    metric: Some(metric),
                    mtu: None,
                })
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_bodies_never_panic(table in table(), number in 0..160_u16, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let header = Header { vrf: 0, command: number };
        if let Err(error) = Message::decode(table, header, &body) {
            prop_assert!(error.offset <= body.len() && error.command == number, "{}", error);
        }
        if let Err(error) = Request::decode(table, header, &body) {
            prop_assert!(error.offset <= body.len(), "{}", error);
        }
    }

    /// Real messages with one octet changed, read in every epoch; then cut anywhere.
    #[test]
    fn damaged_messages_never_panic(table in table(), pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let frames: Vec<Vec<u8>> = common::all().into_iter().flat_map(|capture| capture.received).collect();
        let (header, mut body) = common::frame(pick.get::<Vec<u8>>(&frames));
        if !body.is_empty() {
            let index = at.index(body.len());
            body[index] = octet;
            let _ = Message::decode(table, header, &body);
            let _ = Message::decode(table, header, &body[..index]);
        }
    }

    #[test]
    fn random_streams_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), forced in any::<bool>()) {
        let mut session = Session::new("s".into(), forced.then(|| Epoch::Frr10_2.first_release()));
        session.open().unwrap();
        let _ = session.receive(&bytes);
    }

    #[test]
    fn requests_are_read_back(table in table(), request in request(), vrf in any::<u32>()) {
        let mut bytes = Vec::new();
        request.encode(table, vrf, &mut bytes).unwrap();
        prop_assert!(bytes.len() <= nhrp_zapi::MAX_REQUEST);
        let (header, body) = common::frame(&bytes);
        prop_assert_eq!(header.vrf, vrf);
        prop_assert_eq!(Request::decode(table, header, &body).unwrap(), Some(request));
    }

    #[test]
    fn messages_are_read_back(table in table(), message in message()) {
        let mut bytes = Vec::new();
        message.encode(table, &mut bytes).unwrap();
        let (header, body) = common::frame(&bytes);
        let Decoded::Message(_, mut again) = Message::decode(table, header, &body).unwrap() else { panic!() };
        if let Message::Interface(interface) = &mut again {
            // Not in the original; whether the epoch has them is what is tested elsewhere.
            (interface.txqlen, interface.zif_type) = (None, None);
        }
        prop_assert_eq!(again, message);
    }
}

#[test]
fn a_request_that_the_release_lacks_is_refused() {
    let request = Request::SetArp { ifindex: 6, enable: true };
    for epoch in Epoch::ALL {
        let mut bytes = Vec::new();
        let result = request.encode(ReleaseTable::of(epoch), 0, &mut bytes);
        assert_eq!(result.is_ok(), epoch >= Epoch::Frr10_0, "{epoch:?}");
        assert_eq!(bytes.is_empty(), result.is_err());
    }
    let mixed = RouteNexthop::Gateway { addr: Ipv6Addr::LOCALHOST.into(), ifindex: None };
    let route = Route::new("10.0.0.0/8".parse().unwrap(), mixed);
    assert!(Request::RouteAdd(route).encode(ReleaseTable::of(Epoch::Frr8_4), 0, &mut Vec::new()).is_err());
    assert_eq!(Request::RouteAdd(route).command(), Command::RouteAdd);
}
