//! The same test over many seeds, and what to type to repeat the one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Runs a test with seeds 1, 2, 3 … and says which one failed and how to repeat it alone. `file` is the test's file,
/// `env!("CARGO_CRATE_NAME")` there.
///
/// - `NHRP_SIM_SEED=N`: with this seed only.
/// - `NHRP_SIM_SEEDS=N`: with so many instead of `usual`.
/// - `NHRP_SIM_SECONDS=N`: with new seeds until so many seconds are over, for a soak.
///
/// # Panics
/// If the test does, or if one of the variables is no number.
pub fn for_each_seed(file: &str, usual: u64, mut run: impl FnMut(u64)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
    };
    let mut one = |seed: u64| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
            eprintln!(
                "seed {seed} fails; repeat it with\n  NHRP_SIM_SEED={seed} cargo test -p sim --test {file} {test} -- --exact"
            );
            resume_unwind(panic);
        }
    };
    if let Some(seed) = number("NHRP_SIM_SEED") {
        one(seed);
    } else if let Some(seconds) = number("NHRP_SIM_SECONDS") {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut count = 0_u64;
        while Instant::now() < until || count == 0 {
            one(rand::random());
            count += 1;
        }
        eprintln!("{count} seeds in {seconds} s");
    } else {
        (1..=number("NHRP_SIM_SEEDS").unwrap_or(usual)).for_each(one);
    }
}
