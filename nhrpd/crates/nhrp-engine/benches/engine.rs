//! What a hub does most, with more and more peers: `cargo bench -p nhrp-engine --bench engine`.

mod support;

use divan::Bencher;
use support::{Machine, Order};

const PEERS: [u32; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// Decoding, engine and encoding of a refresh.
#[divan::bench(args = PEERS)]
fn refresh(bencher: Bencher, peers: u32) {
    let (mut hub, mut order) = (Machine::hub(peers), Order::new());
    bencher.bench_local(|| hub.refresh(1 + order.next(peers)));
}

#[divan::bench(args = PEERS)]
fn first_registration(bencher: Bencher, peers: u32) {
    let mut hub = Machine::hub(peers);
    bencher.bench_local(|| {
        if hub.peers > peers + peers / 2 {
            hub.clear();
            (0..peers).for_each(|_| hub.first_registration());
        }
        hub.first_registration();
    });
}

/// A resolution request on its way through the hub.
#[divan::bench(args = PEERS)]
fn resolution_passed_on(bencher: Bencher, peers: u32) {
    let (mut hub, mut order) = (Machine::hub(peers), Order::new());
    bencher.bench_local(|| hub.pass_on(1 + order.next(peers), 1 + order.next(peers)));
}
