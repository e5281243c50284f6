//! Arbitrary sequences of inputs: packets good, forged and broken, links, addresses, routes, configuration, time.
//!
//! Whatever comes, the engine does not panic, stops talking, keeps no deadline in the past, stays within its limits,
//! agrees with the kernel that carried out what it asked for, and leaves nothing behind when all configuration goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[allow(unreachable_pub, dead_code, reason = "tests/fuzz shares it")]
mod sequence;

use nhrp_wire::Cie;
use proptest::prelude::*;
use sequence::{Answer, Depth, Driver, Step, run, step};

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
