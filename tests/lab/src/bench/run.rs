//! One turn: a subject, from nothing, timed or counted.
//!
//! Owns the order of the loads and what is read around each. Timed:
//!
//! 1. All spokes register for the first time, closed loop; then their routes are awaited, and that daemon and zebra are
//!    done; then memory is read.
//! 2. All refresh, several times, closed loop.
//! 3. As many new spokes register at a fixed rate, open loop.
//!
//! Counted: a fifth as many register and refresh, closed loop, while the kernel counts system calls. Counting costs time,
//! which is why nothing else is measured meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::hub::Hub;
use super::trace::Count;
use super::{Bench, Part, Sample, Subject, Turn, processor};
use crate::crowd::load::{Outcome, uptime};
use crate::failure::{Context, Result, ensure};
use crate::release::Release;

/// Refreshes of a run are at least as many.
const REFRESHES: u32 = 20_000;

/// Longest time for a load: a guest may do only some hundred a second.
const SLOWEST_PER_S: u64 = 100;

/// How often it is looked whether all is quiet, what share of a processor is quiet, and how often in a row it must be.
const LOOK: Duration = Duration::from_millis(250);
const QUIET_SHARE: f64 = 0.05;
const QUIET_LOOKS: u32 = 3;

/// Longest time until it is.
const SETTLES: Duration = Duration::from_secs(60);

/// Routes that a zebra writes at least, in a second.
const SLOWEST_ROUTES_PER_S: u32 = 20;

/// Takes one turn. Logs go below `out`.
pub(crate) fn run(out: &Path, release: Release, bench: &Bench, turn: Turn) -> Result<Sample> {
    raise_limits()?;
    let hub = Hub::start(out, release, turn.subject)?;
    let mut measurement = Measurement { hub, bench, figures: BTreeMap::new() };
    measurement.hub.wait_answering(bench.peers * 2)?;
    let mut calls = Default::default();
    match turn.part {
        Part::Timed => {
            measurement.first(turn.subject)?;
            measurement.refresh()?;
            measurement.open_loop()?;
        }
        Part::Counted => calls = measurement.system_calls()?,
    }
    Ok(Sample { turn, figures: measurement.figures, calls })
}

/// Limits of the kernel that would hide what is measured. By default it holds 1,024 neighbours that it may collect,
/// which FRR's are; and lets 1,000 packets wait between the ends of a cable, which it may lose before anybody could have
/// taken them.
fn raise_limits() -> Result<()> {
    let neighbours = ["gc_thresh1", "gc_thresh2", "gc_thresh3"].map(|n| format!("ipv4/neigh/default/{n}"));
    for name in neighbours.iter().map(String::as_str).chain(["core/netdev_max_backlog"]) {
        let path = format!("/proc/sys/net/{name}");
        if Path::new(&path).exists() {
            fs::write(&path, "1000000").context(|| format!("writing {path}"))?;
        }
    }
    Ok(())
}

struct Measurement<'a> {
    hub: Hub,
    bench: &'a Bench,
    figures: BTreeMap<String, f64>,
}

impl Measurement<'_> {
    fn set(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    fn add(&mut self, name: &str, value: f64) {
        *self.figures.entry(name.to_owned()).or_default() += value;
    }

    fn limit(requests: u32) -> Duration {
        Duration::from_secs(60 + u64::from(requests) / SLOWEST_PER_S)
    }

    fn closed(&mut self, name: &str, spokes: u32, first: u32, rounds: u32) -> Result<Outcome> {
        let options = [
            format!("--spokes={spokes}"),
            format!("--first={first}"),
            format!("--rounds={rounds}"),
            format!("--window={}", self.bench.window),
        ];
        let requests = spokes * rounds;
        let outcome = self.hub.load(name, &options, Self::limit(requests))?;
        ensure!(
            outcome.registered == requests,
            "{name}: {} of {requests} registrations confirmed: {outcome:?}",
            outcome.registered
        );
        self.add("closed_lost", f64::from(outcome.lost));
        Ok(outcome)
    }

    fn first(&mut self, subject: Subject) -> Result<()> {
        let peers = self.bench.peers;
        let count = f64::from(peers);
        let memory = processor::resident(self.hub.process()?)?;
        let (routes, wanted) = (self.hub.routes()?, usize::try_from(peers).unwrap_or(usize::MAX));
        let (cpu, zebra) = self.cpu()?;
        let outcome = self.closed("first", peers, 0, 1)?;
        if subject != Subject::Null {
            let seconds = self.wait_for_routes(routes + wanted)? - outcome.began;
            self.set("all_routes_s", seconds);
            self.set("routes_per_s", count / seconds);
            self.settle()?;
        }
        let (cpu_after, zebra_after) = self.cpu()?;
        self.set("first_per_s", count / outcome.seconds);
        self.set("generator_share_first", outcome.cpu_seconds / outcome.seconds);
        self.set("cpu_us_per_first", (cpu_after - cpu) * 1e6 / count);
        if let (Some(before), Some(after)) = (zebra, zebra_after) {
            self.set("zebra_cpu_us_per_first", (after - before) * 1e6 / count);
        }
        let memory_after = processor::resident(self.hub.process()?)?;
        self.set("rss_bytes_per_peer", (memory_after - memory) / count);
        Ok(())
    }

    /// Returns when so many were in the kernel, by [`uptime`].
    fn wait_for_routes(&self, wanted: usize) -> Result<f64> {
        let answered = Instant::now();
        let limit = Duration::from_secs(60 + u64::from(self.bench.peers / SLOWEST_ROUTES_PER_S));
        loop {
            let looked = Instant::now();
            let there = self.hub.routes()?;
            if there >= wanted {
                return uptime();
            }
            ensure!(answered.elapsed() < limit, "{there} of {wanted} routes in the kernel");
            // To look costs the kernel the more, the more there are: most of the time is zebra's.
            std::thread::sleep((looked.elapsed() * 4).max(Duration::from_millis(20)));
        }
    }

    /// Waits until daemon and zebra have nothing left to do: when the last route is in the kernel, zebra goes on for
    /// seconds to tell who it was that made it, and the daemon to read that. It belongs to the registrations, and would
    /// share the processors with what is measured next.
    fn settle(&self) -> Result<()> {
        let began = Instant::now();
        let mut before = self.cpu()?;
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            ensure!(
                began.elapsed() < SETTLES,
                "daemon and zebra still work {} s after the last route",
                SETTLES.as_secs()
            );
            std::thread::sleep(LOOK);
            let now = self.cpu()?;
            let used = now.0 - before.0 + now.1.unwrap_or_default() - before.1.unwrap_or_default();
            quiet = if used < LOOK.as_secs_f64() * QUIET_SHARE { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<()> {
        let peers = self.bench.peers;
        let rounds = REFRESHES.div_ceil(peers).max(2);
        let count = f64::from(peers * rounds);
        let (cpu, _) = self.cpu()?;
        let (waited, softirqs) = (processor::waited(self.hub.process()?)?, processor::softirqs()?);
        let outcome = self.closed("refresh", peers, 0, rounds)?;
        let (cpu_after, _) = self.cpu()?;
        let waited = processor::waited(self.hub.process()?)? - waited;
        self.set("waited_share_refresh", waited / outcome.seconds);
        self.set("softirq_us_per_refresh", (processor::softirqs()? - softirqs) * 1e6 / count);
        self.set("share_refresh", (cpu_after - cpu) / outcome.seconds);
        self.set("refresh_per_s", count / outcome.seconds);
        self.set("generator_share_refresh", outcome.cpu_seconds / outcome.seconds);
        self.set("cpu_us_per_refresh", (cpu_after - cpu) * 1e6 / count);
        Ok(())
    }

    fn open_loop(&mut self) -> Result<()> {
        let Bench { peers, rate, .. } = *self.bench;
        let options = [format!("--spokes={peers}"), format!("--first={peers}"), format!("--rate={rate}")];
        let outcome = self.hub.load("open", &options, Self::limit(peers))?;
        ensure!(outcome.refused == 0, "open: {} registrations refused", outcome.refused);
        self.set("lost", f64::from(outcome.lost));
        self.set("late", f64::from(outcome.late));
        self.set("p99_ms", outcome.p99_ms);
        self.set("generator_share_open", outcome.cpu_seconds / outcome.seconds);
        Ok(())
    }

    /// Calls by name of new registrations and of refreshes, for each of them. Nothing where the kernel cannot count.
    fn system_calls(&mut self) -> Result<[BTreeMap<String, f64>; 2]> {
        let few = (self.bench.peers / 5).max(1);
        let mut calls: [BTreeMap<String, f64>; 2] = Default::default();
        // Once for both loads: to begin and to end rewrites the running kernel.
        let Some(count) = Count::start()? else { return Ok(calls) };
        let threads = processor::threads(self.hub.process()?.id())?;
        let mut before = count.calls(&threads)?;
        for (calls, (name, rounds)) in calls.iter_mut().zip([("first", 1), ("refresh", 5)]) {
            self.closed(&format!("counted-{name}"), few, 0, rounds)?;
            let after = count.calls(&threads)?;
            for (call, number) in &after {
                let number = number - before.get(call).copied().unwrap_or_default();
                calls.insert(call.clone(), number / f64::from(few * rounds));
            }
            before = after;
            let clock = calls.get("clock_gettime").copied().unwrap_or_default();
            let all: f64 = calls.values().sum();
            self.set(&format!("syscalls_per_{name}"), all - clock);
            self.set(&format!("clock_gettime_per_{name}"), clock);
        }
        Ok(calls)
    }

    fn cpu(&self) -> Result<(f64, Option<f64>)> {
        let zebra = self.hub.zebra().map(processor::seconds).transpose()?;
        Ok((processor::seconds(self.hub.process()?)?, zebra))
    }
}
