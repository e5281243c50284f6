//! When the next request may leave: an open-loop schedule of a fixed rate.
//!
//! Owns the schedule. Never reads a clock: time is an argument, counted from the start of the schedule.

use std::time::Duration;

/// Requests that may leave at once after a delay; what is later than that is not made up for, so that a
/// generator that was held up does not become a burst.
const BURST: u64 = 16;

/// A schedule of `rate` slots per second.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    rate: u64,
    used: u64,
    missed: u64,
}

impl Pace {
    /// A schedule of so many slots per second, at least one.
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate: u64::from(rate.max(1)), used: 0, missed: 0 }
    }

    /// Takes a slot if one is due.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let due = self.due(now);
        let late = due.saturating_sub(self.used + self.missed);
        self.missed += late.saturating_sub(BURST);
        let taken = late > 0;
        self.used += u64::from(taken);
        taken
    }

    /// How long until the next slot is due.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        let next = Duration::from_nanos((self.used + self.missed).saturating_mul(1_000_000_000) / self.rate);
        next.saturating_sub(now)
    }

    /// Slots that went by unused, because the generator was late or had nothing to send.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Slots that have come up to now; the first comes at once.
    fn due(&self, now: Duration) -> u64 {
        let due = now.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_on_average() {
        let mut pace = Pace::new(150);
        let mut now = Duration::ZERO;
        let mut sent = 0;
        while now < Duration::from_secs(2) {
            if pace.take(now) {
                sent += 1;
            } else {
                now += pace.wait(now).max(Duration::from_micros(700));
            }
        }
        assert!((299..=301).contains(&sent), "{sent}");
        assert_eq!(pace.missed(), 0);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(1000);
        assert!(pace.take(Duration::ZERO) && !pace.take(Duration::ZERO));
        let later = Duration::from_secs(1);
        let burst = std::iter::from_fn(|| pace.take(later).then_some(())).count();
        assert_eq!(burst, 16);
        assert_eq!(pace.missed(), 1001 - 1 - 16);
        assert_eq!(pace.wait(later), Duration::from_millis(1));
    }
}
