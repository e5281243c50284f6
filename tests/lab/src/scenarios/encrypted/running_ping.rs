//! Echo requests that go on while something happens.
//!
//! Owns the process and what it printed. Never decides how much may be lost.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::dmvpn::now;
use crate::failure::{Context, Result};
use crate::net::{Node, Process};

/// A running `ping`.
#[derive(Debug)]
pub(super) struct RunningPing {
    process: Process,
    started: f64,
    /// What an earlier one has written to the same log.
    before: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Replies {
    /// Requests without a reply, the last one aside, whose reply may have been on its way.
    pub(super) lost: usize,
    /// Replies.
    pub(super) received: usize,
    /// The longest time without a reply, in seconds.
    pub(super) gap: f64,
}

impl RunningPing {
    /// Sends a request every `interval` from a node to an address. `name` is that of the log.
    pub(super) fn start(node: &Node, name: &str, target: &str, interval: Duration) -> Result<Self> {
        let interval = format!("{:.2}", interval.as_secs_f64());
        let log = node.out().join(format!("{name}.log"));
        let before = std::fs::metadata(log).map_or(0, |log| usize::try_from(log.len()).unwrap_or_default());
        let process = node.spawn(name, &["ping", "-n", "-D", "-i", &interval, target])?;
        Ok(Self { process, started: now()?, before })
    }

    /// Ends it.
    pub(super) fn stop(mut self) -> Result<Replies> {
        self.process.stop(Signal::SIGINT, Duration::from_secs(5))?;
        let said = self.process.output();
        let said = said.get(self.before..).unwrap_or_default();
        replies(said, self.started).context(|| format!("ping said {said}"))
    }
}

/// Reads lines such as `[1700000000.5] 64 bytes from 10.255.255.1: icmp_seq=3 ttl=64 time=1 ms` and the summary.
fn replies(said: &str, started: f64) -> Option<Replies> {
    let sent =
        said.lines().find_map(|line| line.split_once(" packets transmitted")?.0.parse::<usize>().ok())?;
    let reply = |line: &str| -> Option<(usize, f64)> {
        let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
        if !rest.contains(" bytes from ") {
            return None;
        }
        let (_, sequence) = rest.split_once("icmp_seq=")?;
        Some((sequence.split(' ').next()?.parse().ok()?, time.parse().ok()?))
    };
    let mut all: Vec<(usize, f64)> = said.lines().filter_map(reply).collect();
    all.sort_by_key(|(sequence, _)| *sequence);
    all.dedup_by_key(|(sequence, _)| *sequence);
    let lost =
        sent.saturating_sub(1).saturating_sub(all.iter().filter(|(sequence, _)| *sequence < sent).count());
    let mut times: Vec<f64> = all.iter().map(|(_, time)| *time).collect();
    times.sort_by(f64::total_cmp);
    let gaps = std::iter::once(started).chain(times.iter().copied()).zip(&times).map(|(a, b)| b - a);
    Some(Replies { lost, received: all.len(), gap: gaps.fold(0.0, f64::max) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_gaps_are_counted() {
        let line = |time: f64, sequence: u32| {
            format!("[{time:.1}] 64 bytes from 192.0.2.1: icmp_seq={sequence} ttl=64 time=1 ms\n")
        };
        let said = format!(
            "PING\n{}{}{}[4.0] From 192.0.2.1 icmp_seq=4 Destination Host Unreachable\n\n\
             5 packets transmitted, 3 received, 40% packet loss\n",
            line(1.0, 1),
            line(3.5, 3),
            line(3.6, 3)
        );
        let found = replies(&said, 0.5).unwrap();
        assert_eq!((found.lost, found.received), (2, 2));
        assert!((found.gap - 2.5).abs() < 0.01, "{found:?}");
        assert_eq!(replies("PING", 0.0), None);
    }
}
