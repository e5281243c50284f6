//! Who has asked, who was answered, who must ask again, and how long it took.
//!
//! Owns the state of every spoke of a crowd. Never reads a clock and never sends: time is an argument.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Where one spoke is in its registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoke {
    Waiting,
    Asked { request_id: u32, at: Duration },
    Answered,
}

/// The registrations of one round, in which every spoke registers once.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    spokes: Vec<Spoke>,
    queue: VecDeque<u32>,
    /// Requests in the order in which they time out.
    asked: VecDeque<(u32, u32, Duration)>,
    outstanding: usize,
    window: usize,
    timeout: Duration,
    next_id: u32,
    /// Answers to requests before this one belong to an earlier round.
    first_id: u32,
    latencies: Vec<Duration>,
    counts: Counts,
}

/// What happened in a round so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Spokes that were told that they are registered.
    pub(crate) registered: u32,
    /// Spokes that were refused with a code; they do not ask again.
    pub(crate) refused: u32,
    /// Requests, repetitions included.
    pub(crate) asked: u32,
    /// Requests without an answer in time; their spokes ask again.
    pub(crate) unanswered: u32,
}

impl Book {
    /// A book for so many spokes. Not more than `window` requests are outstanding at a time (0: any number),
    /// each for `timeout`.
    pub(crate) fn new(spokes: u32, window: usize, timeout: Duration) -> Self {
        Self {
            spokes: vec![Spoke::Waiting; usize::try_from(spokes).unwrap_or_default()],
            queue: (0..spokes).collect(),
            asked: VecDeque::new(),
            outstanding: 0,
            window: if window == 0 { usize::MAX } else { window },
            timeout,
            next_id: 1,
            first_id: 1,
            latencies: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Begins another round; ids go on, so that an answer of the round before is known as such.
    pub(crate) fn again(&mut self) {
        let mut next = Self::new(u32::try_from(self.spokes.len()).unwrap_or(u32::MAX), 0, self.timeout);
        (next.window, next.next_id, next.first_id) = (self.window, self.next_id, self.next_id);
        *self = next;
    }

    /// The next spoke to ask, and the id of its request; `None` while there is nobody, or the window is full.
    pub(crate) fn ask(&mut self, now: Duration) -> Option<(u32, u32)> {
        self.expire(now);
        if self.outstanding >= self.window {
            return None;
        }
        let spoke = self.queue.pop_front()?;
        let request_id = self.next_id;
        self.next_id += 1;
        self.set(spoke, Spoke::Asked { request_id, at: now });
        self.asked.push_back((spoke, request_id, now));
        self.outstanding += 1;
        self.counts.asked += 1;
        Some((spoke, request_id))
    }

    /// An answer came. One to a request that has timed out counts, but not for the latencies.
    pub(crate) fn answered(&mut self, now: Duration, spoke: u32, request_id: u32, code: u8) {
        if !(self.first_id..self.next_id).contains(&request_id) {
            return;
        }
        match self.get(spoke) {
            Some(Spoke::Asked { request_id: id, at }) => {
                self.outstanding -= 1;
                if id == request_id {
                    self.latencies.push(now.saturating_sub(at));
                }
            }
            Some(Spoke::Waiting) => self.queue.retain(|waiting| *waiting != spoke),
            Some(Spoke::Answered) | None => return,
        }
        self.set(spoke, Spoke::Answered);
        if code == 0 {
            self.counts.registered += 1;
        } else {
            self.counts.refused += 1;
        }
    }

    /// Whether every spoke has its answer.
    pub(crate) fn is_complete(&self) -> bool {
        self.queue.is_empty() && self.outstanding == 0
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Latencies of the answers that came in time.
    pub(crate) fn latencies(&self) -> Latencies {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        Latencies(sorted)
    }

    fn expire(&mut self, now: Duration) {
        while let Some((spoke, request_id, at)) = self.asked.front().copied() {
            let open =
                matches!(self.get(spoke), Some(Spoke::Asked { request_id: id, .. }) if id == request_id);
            if open && now < at + self.timeout {
                return;
            }
            self.asked.pop_front();
            if open {
                self.outstanding -= 1;
                self.counts.unanswered += 1;
                self.set(spoke, Spoke::Waiting);
                self.queue.push_back(spoke);
            }
        }
    }

    fn get(&self, spoke: u32) -> Option<Spoke> {
        self.spokes.get(usize::try_from(spoke).ok()?).copied()
    }

    fn set(&mut self, spoke: u32, state: Spoke) {
        let slot = usize::try_from(spoke).ok().and_then(|spoke| self.spokes.get_mut(spoke));
        if let Some(slot) = slot {
            *slot = state;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registered, refused, asked, unanswered } = self;
        write!(f, "registered {registered} (refused {refused}, asked {asked}, unanswered {unanswered})")
    }
}

/// Latencies in ascending order.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// The smallest latency that at least `permille` thousandths of all do not exceed (nearest rank).
    pub(crate) fn permille(&self, permille: usize) -> Option<Duration> {
        let rank = (permille * self.0.len()).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied()
    }
}

impl Latencies {
    /// How many do not exceed a limit.
    pub(crate) fn within(&self, limit: Duration) -> usize {
        self.0.partition_point(|latency| *latency <= limit)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds =
            |permille| self.permille(permille).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3);
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            milliseconds(500),
            milliseconds(990),
            milliseconds(999),
            milliseconds(1000)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_window_is_kept_and_everybody_is_answered() {
        let mut book = Book::new(5, 2, SECOND);
        assert_eq!(book.ask(Duration::ZERO), Some((0, 1)));
        assert_eq!(book.ask(Duration::ZERO), Some((1, 2)));
        assert_eq!(book.ask(Duration::ZERO), None);
        book.answered(SECOND / 2, 0, 1, 0);
        assert_eq!(book.ask(SECOND / 2), Some((2, 3)));
        book.answered(SECOND / 2, 1, 2, 4);
        book.answered(SECOND / 2, 2, 3, 0);
        for (spoke, id) in [(3, 4), (4, 5)] {
            assert!(!book.is_complete());
            assert_eq!(book.ask(SECOND / 2), Some((spoke, id)));
            book.answered(SECOND / 2, spoke, id, 0);
        }
        assert!(book.is_complete());
        assert_eq!(book.counts(), Counts { registered: 4, refused: 1, asked: 5, unanswered: 0 });
    }

    #[test]
    fn who_is_not_answered_asks_again_and_a_late_answer_counts_once() {
        let mut book = Book::new(2, 0, SECOND);
        assert_eq!(book.ask(Duration::ZERO), Some((0, 1)));
        assert_eq!(book.ask(Duration::ZERO), Some((1, 2)));
        assert_eq!(book.ask(SECOND), Some((0, 3)));
        // To the first request of spoke 0, while its second is out; and of spoke 1, which is in the queue.
        book.answered(SECOND, 0, 1, 0);
        book.answered(SECOND, 1, 2, 0);
        book.answered(SECOND * 2, 0, 3, 0);
        assert!(book.is_complete());
        assert_eq!(book.ask(SECOND * 3), None);
        assert_eq!(book.counts(), Counts { registered: 2, refused: 0, asked: 3, unanswered: 2 });
        assert_eq!(book.latencies().permille(500), None);
    }

    #[test]
    fn another_round_starts_with_everybody() {
        let mut book = Book::new(1, 1, SECOND);
        assert_eq!(book.ask(Duration::ZERO), Some((0, 1)));
        book.answered(Duration::ZERO, 0, 1, 0);
        book.again();
        assert!(!book.is_complete());
        // A copy of the answer of the round before.
        book.answered(Duration::ZERO, 0, 1, 0);
        assert_eq!(book.ask(Duration::ZERO), Some((0, 2)));
        book.answered(Duration::ZERO, 0, 1, 0);
        assert_eq!(book.counts().registered, 0);
        book.answered(Duration::ZERO, 0, 2, 0);
        assert_eq!(book.counts().registered, 1);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let latencies = Latencies((1..=1000).map(Duration::from_millis).collect());
        let ms = |permille| latencies.permille(permille).unwrap().as_millis();
        assert_eq!([ms(0), ms(500), ms(990), ms(999), ms(1000)], [1, 500, 990, 999, 1000]);
        assert_eq!(Latencies(Vec::new()).permille(500), None);
    }
}
