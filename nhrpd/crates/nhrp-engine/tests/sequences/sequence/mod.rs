//! A sequence of steps, taken by an engine: from proptest's values or from octets.
//!
//! Owns what is told of a sequence ([`Depth`]). What holds after each step is the driver's. `tests/fuzz` includes this
//! module as well.

mod driver;
mod mirror;
mod steps;

pub use driver::Driver;
pub use steps::{Answer, Step, step};

/// Takes the steps that octets stand for: fuzz target `engine`. Each four of them are the seed of one step, so that a fuzzer that
/// changes, repeats or leaves out octets does so with steps.
///
/// # Panics
/// When something does not hold.
pub fn engine(octets: &[u8]) -> Depth {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let strategy = step();
    let steps = octets.chunks_exact(4).take(400).filter_map(|seed| {
        let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &seed.repeat(8));
        let mut runner = TestRunner::new_with_rng(Config::default(), chance);
        strategy.new_tree(&mut runner).ok().map(|tree| tree.current())
    });
    run(steps.collect())
}

/// How far a sequence went into the protocol: how often each of these happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Own registrations that a server accepted, the first of the beginning apart.
    pub renewed: u64,
    /// Registrations of clients answered.
    pub clients: u64,
    /// Neighbours at the same time, at most.
    pub peers: u64,
    /// Shortcuts at the same time, at most.
    pub shortcuts: u64,
    /// Questions answered.
    pub answered: u64,
    /// Packets passed on to another node.
    pub passed_on: u64,
    /// Copies of multicast packets.
    pub multicast: u64,
    /// Bindings and shortcuts ended by somebody's purge.
    pub purged: u64,
    /// Purges sent because something that others were told was over.
    pub purges_sent: u64,
    /// Attempts to take a unique address, and questions to its holder.
    pub contested: u64,
    /// Errors sent.
    pub errors: u64,
}

impl Depth {
    /// All of them.
    pub fn counts(&self) -> [u64; 11] {
        let Self {
            renewed,
            clients,
            peers,
            shortcuts,
            answered,
            passed_on,
            multicast,
            purged,
            purges_sent,
            contested,
            errors,
        } = *self;
        [
            renewed,
            clients,
            peers,
            shortcuts,
            answered,
            passed_on,
            multicast,
            purged,
            purges_sent,
            contested,
            errors,
        ]
    }
}

/// Takes the steps, takes away all configuration, and tells how far it went.
///
/// # Panics
/// When something does not hold.
pub fn run(steps: Vec<Step>) -> Depth {
    let mut driver = Driver::new();
    for step in steps {
        driver.step(step);
    }
    let stats = driver.engine.stats().clone();
    let [shortcuts, peers] = driver.seen.map(|most| most as u64);
    driver.unconfigure();
    Depth {
        renewed: stats.registrations_accepted.saturating_sub(1),
        clients: stats.registrations_served,
        peers,
        shortcuts,
        answered: stats.resolutions_served,
        passed_on: stats.forwarded,
        multicast: stats.multicast_copies,
        purged: stats.purged,
        purges_sent: stats.purges_sent,
        contested: stats.registrations_contested.min(stats.holders_asked),
        errors: stats.errors_sent,
    }
}
