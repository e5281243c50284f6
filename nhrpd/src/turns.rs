//! How long the turns of the event loop take: while one lasts, nothing else is served.
//!
//! Owns a histogram, and when the thread last woke: sessions of the vty run on the same thread, so a turn begins there
//! and what they took is part of it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

thread_local! {
    static WOKE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// To be called whenever the thread has waited and has something to do.
pub(crate) fn thread_woke() {
    WOKE.set(Some(Instant::now()));
}

/// When the turn began that comes after one that ended at `last`: then, or when the thread woke since.
pub(crate) fn began(last: Instant) -> Instant {
    WOKE.get().map_or(last, |woke| woke.max(last))
}

/// Upper ends of all classes but the last, in milliseconds.
pub(crate) const CLASSES: [u64; 7] = [1, 2, 5, 10, 20, 50, 100];

/// Counts of turns by duration, since the start.
#[derive(Debug, Default, Clone)]
pub(crate) struct Turns {
    /// Turns in each of [`CLASSES`] that are shorter than its end and not in the one before; the last ones are longer
    /// than all.
    counts: [u64; CLASSES.len() + 1],
    /// All together.
    took: Duration,
    longest: Duration,
    /// Of those since [`forget_longest`](Self::forget_longest).
    recently: Duration,
}

impl Turns {
    /// Counts one.
    pub(crate) fn add(&mut self, took: Duration) {
        let class = CLASSES.iter().take_while(|end| took >= Duration::from_millis(**end)).count();
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.took = self.took.saturating_add(took);
        self.longest = self.longest.max(took);
        self.recently = self.recently.max(took);
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

    /// What they took together.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// The longest one.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// The longest one since the operator cleared counters.
    pub(crate) fn longest_recently(&self) -> Duration {
        self.recently
    }

    /// The operator clears counters; the histogram stays, since it is of the whole life.
    pub(crate) fn forget_longest(&mut self) {
        self.recently = Duration::ZERO;
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
        assert_eq!(turns.took(), Duration::from_micros(3_101_998));
        turns.forget_longest();
        turns.add(Duration::from_millis(7));
        assert_eq!(
            (turns.longest_recently(), turns.longest()),
            (Duration::from_millis(7), Duration::from_secs(3))
        );
    }

    #[test]
    fn what_a_session_does_before_the_loop_is_asked_belongs_to_the_turn() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().on_thread_unpark(thread_woke).build();
        let took = runtime.unwrap().block_on(async {
            let (send, mut asked) = tokio::sync::mpsc::channel(1);
            let last = Instant::now();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                std::thread::sleep(Duration::from_millis(60));
                send.send(()).await.unwrap();
            });
            asked.recv().await.unwrap();
            (began(last).elapsed(), last.elapsed())
        });
        // Not the time in which there was nothing to do.
        assert!(
            took.0 >= Duration::from_millis(60) && took.1 >= took.0 + Duration::from_millis(10),
            "{took:?}"
        );
    }
}
