//! How long the turns of the event loop take: while one lasts, nothing else is served.
//!
//! Owns a histogram. Never looks at the clock: whoever turns the loop does.

use std::time::Duration;

/// Upper ends of all classes but the last, in milliseconds.
pub(crate) const CLASSES: [u64; 7] = [1, 2, 5, 10, 20, 50, 100];

/// Counts of turns by duration, since the start.
#[derive(Debug, Default, Clone)]
pub(crate) struct Turns {
    /// Turns in each of [`CLASSES`] that are shorter than its end and not in the one before; the last ones are longer
    /// than all.
    counts: [u64; CLASSES.len() + 1],
    longest: Duration,
}

impl Turns {
    /// Counts one.
    pub(crate) fn add(&mut self, took: Duration) {
        let class = CLASSES.iter().take_while(|end| took >= Duration::from_millis(**end)).count();
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.longest = self.longest.max(took);
    }

    /// All that there were.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Those that took so many milliseconds or longer, which is the end of a class.
    pub(crate) fn at_least(&self, milliseconds: u64) -> u64 {
        let below = CLASSES.iter().take_while(|end| **end <= milliseconds).count();
        self.counts.iter().skip(below).sum()
    }

    /// The longest one.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_counted_in_its_class() {
        let mut turns = Turns::default();
        for micros in [0, 999, 1_000, 49_999, 50_000, 3_000_000] {
            turns.add(Duration::from_micros(micros));
        }
        assert_eq!(turns.total(), 6);
        assert_eq!([1, 10, 50, 100].map(|ms| turns.at_least(ms)), [4, 3, 2, 1]);
        assert_eq!(turns.longest(), Duration::from_secs(3));
    }
}
