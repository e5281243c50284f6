//! Routes as zebra is told of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use nhrp_engine::{Engine, Input, Instant, Limits, Link, Nexthop, Route};
use nhrp_zapi::Request;

use super::ZebraSide;

/// An engine with a tunnel of index 7 that has this address.
fn engine(address: &str) -> Engine {
    let mut engine = Engine::new([7; 32], Limits::default());
    let link = Link { ifindex: 7, name: "gre1".to_owned(), up: true, gre: true, mtu: 1400 };
    engine.handle(Instant::ZERO, Input::Link(link));
    let address = address.parse().unwrap();
    engine.handle(Instant::ZERO, Input::AddressAdded { ifindex: 7, address, secondary: false });
    engine
}

/// zebra before 9.1 does not resolve a gateway within the tunnel's network by the peer's own route.
#[test]
fn gateways_are_on_the_link_where_zebra_does_not_see_it() {
    let onlink = |engine: &Engine, prefix: &str, nexthop| {
        let route = Route { prefix: prefix.parse().unwrap(), nexthop, mtu: None, overrides: false };
        match ZebraSide::default().route_request(&route, engine) {
            Request::RouteAdd(route) => route.onlink,
            other => panic!("{other:?}"),
        }
    };
    let gateway = |address: &str| Nexthop::Gateway { address: address.parse().unwrap(), ifindex: 7 };
    let (host, network) = (engine("10.255.255.2/32"), engine("10.255.255.2/24"));
    assert!(onlink(&host, "fd00:2::/64", gateway("fd00:255::3")));
    // As FRR's nhrpd, octet for octet.
    assert!(!onlink(&host, "10.2.0.0/24", gateway("10.255.255.3")));
    assert!(onlink(&network, "10.2.0.0/24", gateway("10.255.255.3")));
    for engine in [&host, &network] {
        assert!(!onlink(engine, "fd00:255::3/128", Nexthop::Interface { ifindex: 7 }));
        assert!(!onlink(engine, "10.255.255.3/32", Nexthop::Interface { ifindex: 7 }));
        assert!(!onlink(engine, "fd00:9::/64", Nexthop::Reject));
    }
}
