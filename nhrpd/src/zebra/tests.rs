//! Routes as zebra is told of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use nhrp_engine::{Nexthop, Route};
use nhrp_zapi::Request;

use super::ZebraSide;

#[test]
fn only_gateways_of_ipv6_are_said_to_be_on_the_link() {
    let onlink = |prefix: &str, nexthop| {
        let route = Route { prefix: prefix.parse().unwrap(), nexthop, mtu: None, overrides: false };
        match ZebraSide::default().route_request(&route) {
            Request::RouteAdd(route) => route.onlink,
            other => panic!("{other:?}"),
        }
    };
    let gateway = |address: &str| Nexthop::Gateway { address: address.parse().unwrap(), ifindex: 7 };
    assert!(onlink("fd00:2::/64", gateway("fd00:255::3")));
    assert!(!onlink("10.2.0.0/24", gateway("10.255.255.3")));
    assert!(!onlink("fd00:255::3/128", Nexthop::Interface { ifindex: 7 }));
    assert!(!onlink("fd00:9::/64", Nexthop::Reject));
}
