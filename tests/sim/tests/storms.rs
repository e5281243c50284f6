//! Many nodes at once: everybody registers, everybody talks to everybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::Afi;
use nhrp_wire::PacketType;
use sim::shorthand::{ms, secs};
use sim::{Network, NodeId, Router, for_each_seed};

const FILE: &str = env!("CARGO_CRATE_NAME");

fn hub(holdtime: u16) -> Router {
    let mut router = Router::hub(1);
    router.config.ip.holdtime = holdtime;
    router
}

fn spoke(number: u16, holdtime: u16) -> Router {
    let mut router = Router::spoke(number, 1);
    router.config.ip.holdtime = holdtime;
    router
}

fn all_registered(net: &Network, spokes: &[NodeId]) -> bool {
    spokes.iter().all(|s| net.node(*s).engine.nhs_view(Afi::Ip).iter().all(|n| n.registered))
}

/// The power comes back in a whole region, over a network that loses, repeats and reorders: a thousand spokes and
/// their hub start in the same moment.
#[test]
fn a_thousand_spokes_register_in_a_storm() {
    for_each_seed(FILE, 2, |seed| {
        let mut net = Network::watched(seed);
        net.conditions.loss = 0.1;
        net.conditions.duplicate = 0.1;
        net.conditions.jitter = ms(50);
        let hub = net.add_router(hub(120));
        let spokes: Vec<_> = (300..1300).map(|n| net.add_router(spoke(n, 120))).collect();
        // With one packet in five lost on the way there and back: 1, 2, 4, 8, 16 s and the next series.
        assert!(net.run_until(secs(90), |net| net.node(hub).fib.neighbours.len() == 1000));
        assert!(net.run_until(secs(90), |net| all_registered(net, &spokes)));
        let requests = net.wire.iter().filter(|f| f.kind() == PacketType::RegistrationRequest).count();
        assert!((1000..8000).contains(&requests), "{requests} requests");
        // The hub loses its memory. Renewals bring everybody back, spread over their intervals.
        net.restart(hub);
        assert!(net.node(hub).fib.neighbours.is_empty());
        assert!(net.run_until(secs(200), |net| net.node(hub).fib.neighbours.len() == 1000));
        net.look_at_all();
    });
}

/// Two hundred spokes, each of which talks to all others.
#[test]
fn two_hundred_spokes_talk_any_to_any() {
    for_each_seed(FILE, 1, |seed| {
        const SPOKES: u16 = 200;
        let mut net = Network::watched(seed);
        net.conditions.jitter = ms(20);
        let numbers = 2..2 + SPOKES;
        let hub = numbers.clone().fold(hub(600), Router::behind);
        net.add_router(hub);
        let spokes: Vec<_> = numbers.map(|n| (n, net.add_router(spoke(n, 600)))).collect();
        net.run_for(secs(1));
        let talk = |net: &mut Network, from: (u16, NodeId), to: u16| {
            net.trace(from.1, &format!("10.{}.0.5", from.0), &format!("10.{to}.0.5"))
        };
        // Each second everybody talks to ten more: as many as the hub tells of a shorter way in a second.
        for round in 1..u16::try_from(spokes.len()).unwrap() {
            for (index, from) in (0u16..).zip(&spokes) {
                let to = spokes[usize::from((index + round) % SPOKES)].0;
                let trace = talk(&mut net, *from, to);
                assert!(trace.delivered(), "{trace:?}");
            }
            net.run_for(ms(100));
        }
        net.run_for(secs(5));
        for from in &spokes {
            for to in spokes.iter().filter(|to| to.0 != from.0) {
                let trace = talk(&mut net, *from, to.0);
                assert!(trace.direct(), "from {} to {}: {trace:?}", from.0, to.0);
            }
        }
        net.look_at_all();
        assert_eq!(net.node(spokes[0].1).fib.neighbours.len(), usize::from(SPOKES));
    });
}
