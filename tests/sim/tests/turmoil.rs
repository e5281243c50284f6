//! Networks in which everything happens that happens to networks. The rules hold at every step, and when it is calm
//! again everybody finds everybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use nhrp_config::{Afi, NhsProtocol};
use sim::shorthand::secs;
use sim::{Network, NodeId, Router, Turmoil, for_each_seed};

const FILE: &str = env!("CARGO_CRATE_NAME");
const HOLDTIME: u16 = 120;

fn with_holdtime(mut router: Router) -> Router {
    router.config.ip.holdtime = HOLDTIME;
    router
}

fn all_registered(net: &Network, spokes: &[NodeId]) -> bool {
    spokes.iter().all(|s| net.node(*s).engine.nhs_view(Afi::Ip).iter().all(|n| n.registered))
}

/// Ten minutes of turmoil among these nodes, then calm until all is forgotten that was wrong.
fn storm(net: &mut Network, seed: u64, spokes: &[NodeId], hubs: &[NodeId]) {
    let mut turmoil = Turmoil::new(seed);
    turmoil.weather(net);
    net.run_for(secs(10));
    for round in 0..120 {
        for _ in 0..4 {
            turmoil.talk(net, spokes);
            net.run_for(Duration::from_millis(900));
        }
        if round % 3 == 0 {
            turmoil.strike(net, spokes);
        }
        if round % 40 == 39 {
            // A hub has no other address than the one that spokes are configured with.
            let hub = turmoil.choose(hubs);
            net.restart(hub);
            turmoil.weather(net);
        }
        net.run_for(secs(1));
    }
    turmoil.calm(net);
    net.run_for(secs(2 * u64::from(HOLDTIME)));
    assert!(all_registered(net, spokes), "everybody is registered again");
    net.look_at_all();
}

/// Everybody reaches everybody, and after a moment directly.
fn everybody_finds_everybody(net: &mut Network, spokes: &[NodeId]) {
    let number = |net: &Network, id: NodeId| net.node(id).router.number;
    let mut indirect = Vec::new();
    for last in [false, true] {
        indirect.clear();
        for from in spokes {
            for to in spokes.iter().filter(|to| *to != from) {
                let (a, b) = (number(net, *from), number(net, *to));
                let trace = net.trace(*from, &format!("10.{a}.0.5"), &format!("10.{b}.0.5"));
                if !trace.direct() {
                    indirect.push(trace);
                }
                net.run_for(Duration::from_millis(60));
            }
        }
        net.run_for(secs(if last { 0 } else { 40 }));
    }
    assert!(indirect.is_empty(), "{indirect:?}");
}

#[test]
fn one_hub() {
    for_each_seed(FILE, 30, |seed| {
        let mut net = Network::watched(seed);
        let numbers = 2..10;
        let hub = net.add_router(with_holdtime(numbers.clone().fold(Router::hub(1), Router::behind)));
        let spokes: Vec<_> = numbers.map(|n| net.add_router(with_holdtime(Router::spoke(n, 1)))).collect();
        storm(&mut net, seed, &spokes, &[hub]);
        everybody_finds_everybody(&mut net, &spokes);
    });
}

/// Two hubs; spokes register with both, routes lead through the first.
#[test]
fn two_hubs() {
    for_each_seed(FILE, 15, |seed| {
        let mut net = Network::watched(seed);
        let numbers = 3..9;
        let hubs: Vec<_> = [1, 2]
            .map(|h| net.add_router(with_holdtime(numbers.clone().fold(Router::hub(h), Router::behind))))
            .into();
        let spokes: Vec<_> = numbers
            .map(|n| {
                let second = NhsProtocol::Address(Router::overlay4(2));
                let spoke = Router::spoke(n, 1).registering_with(second, "172.16.0.2");
                net.add_router(with_holdtime(spoke))
            })
            .collect();
        storm(&mut net, seed, &spokes, &hubs);
        everybody_finds_everybody(&mut net, &spokes);
    });
}
