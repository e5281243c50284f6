//! Each fault is made once by hand, in an engine that was in order, and must be found.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nhrp_config::{Afi, InterfaceConfig, NhsConfig, NhsProtocol};

use super::*;
use crate::Limits;
use crate::cache::{Binding, CacheType, Origin};
use crate::io::{Input, Link};

/// A spoke with a registration, a peer, a shortcut to it and a resolution under way.
fn busy() -> Engine {
    let mut engine = Engine::new([1; 32], Limits::default());
    let mut config = InterfaceConfig::default();
    config.ip.network_id = 1;
    config.ip.shortcut = true;
    let nbma = "172.16.0.1".to_owned();
    config.ip.nhs.push(NhsConfig { protocol: NhsProtocol::Dynamic, nbma, priority: 0 });
    let link = Link { ifindex: 10, name: "gre1".to_owned(), up: true, gre: true, mtu: 1476 };
    let route = |prefix: &str| Input::RouteAdded {
        prefix: prefix.parse().unwrap(),
        gateway: Some("10.255.0.4".parse().unwrap()),
        ifindex: Some(10),
    };
    let inputs = [
        Input::Configure { name: "gre1".to_owned(), config: Box::new(config) },
        Input::Link(link),
        Input::AddressAdded { ifindex: 10, address: "10.255.0.3/32".parse().unwrap(), secondary: false },
        Input::Gre { ifindex: 10, local: Some(Ipv4Addr::new(172, 16, 0, 3)), link: None },
        route("10.4.0.0/16"),
    ];
    for input in inputs {
        engine.handle(Instant::ZERO, input);
    }
    let interface = engine.interface_by_index(10).unwrap();
    let holding = Duration::from_secs(60);
    let binding = Binding {
        kind: CacheType::Dynamic,
        origin: Origin::Resolved,
        nbma: Some("172.16.0.4".parse().unwrap()),
        holding: Some(holding),
        ..Binding::default()
    };
    let peer = engine.bind(interface, "10.255.0.4".parse().unwrap(), binding).unwrap();
    let target: IpAddr = "10.4.1.1".parse().unwrap();
    engine.add_shortcut("10.4.1.0/24".parse().unwrap(), target, peer, holding);
    engine.resolve("10.4.2.1".parse().unwrap());
    assert_eq!(engine.sizes(), [2, 1, 1, 1, 4], "own address and peer, shortcut, resolution, route, timers");
    assert_eq!(engine.cache_view(Afi::Ip).count(), 2);
    assert_eq!(engine.audit(), Vec::<String>::new());
    engine
}

fn found(what: &str, break_it: impl FnOnce(&mut Engine)) {
    let mut engine = busy();
    break_it(&mut engine);
    let faults = engine.audit();
    assert!(faults.iter().any(|f| f.contains(what)), "{what:?} is not among {faults:?}");
}

fn first<T>(table: &mut slab::Slab<T>) -> &mut T {
    table.iter_mut().next().unwrap().1
}

#[test]
fn a_timer_without_owner() {
    found("has no owner", |e| e.timers.arm(&mut None, Timer::Cache(CacheId::from_key(77)), Instant::ZERO));
    found("has no owner", |e| {
        // Its owner goes and forgets it.
        let key = e.resolutions.iter().next().unwrap().0;
        e.resolutions.remove(key);
    });
    found("its owner thinks", |e| first(&mut e.shortcuts).timer = Some(Instant::from_micros(1)));
    found("is not armed", |e| while e.timers.pop_due(Instant::from_micros(u64::MAX)).is_some() {});
}

#[test]
fn something_that_waits_for_nothing() {
    let forget = |e: &mut Engine, timer: fn(&mut Engine) -> &mut Option<Instant>| *timer(e) = None;
    found("nothing will wake for it", |e| {
        let peer = e.cache.iter_mut().find(|(_, c)| c.expires.is_some()).unwrap().1;
        peer.timer = None;
    });
    found("waits without a timer", |e| forget(e, |e| &mut first(&mut e.resolutions).timer));
    found("nothing will wake for it", |e| forget(e, |e| &mut first(&mut e.shortcuts).timer));
}

#[test]
fn an_index_that_has_lost_its_table() {
    found("is not found by its address", |e| e.cache_index.clear());
    found("is not found by its target", |e| e.resolving.clear());
    found("would not be recognised", |e| e.pending.clear());
    found("does not know it", |e| {
        e.pending.insert(5, Pending::Registration(RegistrationId::from_key(0)));
    });
    found("is not found by its prefix", |e| {
        e.shortcut_index.remove("10.4.1.0/24".parse().unwrap());
    });
    found("belongs to no nhs line", |e| first(&mut e.nhs).registrations.clear());
    found("registrations listed", |e| first(&mut e.nhs).registrations.push(RegistrationId::from_key(9)));
}

#[test]
fn a_shortcut_that_lost_its_peer() {
    found("leads to a peer that is not there", |e| {
        let key = e.shortcuts.iter().next().unwrap().1.gateway.unwrap().key();
        e.cache.remove(key);
    });
    found("would not follow its peer", |e| e.dependents.clear());
    found("do not depend on it", |e| {
        e.dependents.insert(CacheId::from_key(0), vec![ShortcutId::from_key(5)]);
    });
}

#[test]
fn an_entry_in_the_wrong_place() {
    found("is installed where NHRP does not run", |e| {
        let interface = first(&mut e.interfaces);
        interface.ip.running = false;
    });
    found("is on an interface that is not there", |e| e.interfaces.clear());
}
