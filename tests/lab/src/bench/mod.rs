//! `cargo lab bench hub`: what a registration costs a hub, with this daemon, with FRR's, and with nobody at home.
//!
//! Owns the measurement inside the kernel under test and what its figures mean. All subjects run in one boot, turn by
//! turn, each time from nothing: only there can they be compared. Never judges whether a figure is good.
//!
//! The *null responder* turns each request around and does nothing else. What it costs is what the kernel, the tunnel
//! and the generator cost; no daemon can be cheaper without taking several packets in one system call.

mod hub;
pub(crate) mod null;
mod processor;
mod report;
mod run;
mod trace;

use std::collections::BTreeMap;
use std::fmt;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub(crate) use report::Summary;
pub(crate) use run::run;

/// Most spokes: each needs addresses for two loads of a turn.
const MOST_PEERS: u32 = 50_000;

/// What is measured.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Bench {
    /// Spokes that register
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..=i64::from(MOST_PEERS)))]
    pub(crate) peers: u32,
    /// Measure FRR's nhrpd, too
    #[arg(long, value_enum)]
    pub(crate) against: Option<Against>,
    /// How often everything is repeated; medians are reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) runs: u32,
    /// Closed loop: requests without an answer at any time
    #[arg(long, default_value_t = 100)]
    pub(crate) window: u32,
    /// Time only: do not count system calls
    #[arg(long)]
    #[serde(default)]
    pub(crate) timed_only: bool,
    /// Open loop: requests per second
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
}

/// With whom this daemon may be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Against {
    /// FRR's nhrpd of the release in the guest.
    Frr,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    /// This project's daemon.
    Ours,
    /// FRR's nhrpd.
    Frr,
    /// The null responder.
    Null,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Frr => "frr",
            Self::Null => "null",
        })
    }
}

impl Bench {
    /// Who is measured, in the order within a run.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let mut subjects = vec![Subject::Ours];
        subjects.extend(self.against.map(|Against::Frr| Subject::Frr));
        subjects.push(Subject::Null);
        subjects
    }

    /// Every measurement in order. All that is timed comes before the first system call is counted: to trace costs
    /// time, and has hung an emulated kernel.
    pub(crate) fn turns(&self) -> impl Iterator<Item = Turn> {
        let runs = self.runs;
        let counted = (!self.timed_only).then_some(Part::Counted);
        let parts = std::iter::once(Part::Timed).chain(counted);
        let parts = parts.flat_map(move |part| (1..=runs).map(move |run| (part, run)));
        let subjects = self.subjects();
        parts.flat_map(move |(part, run)| {
            subjects.clone().into_iter().map(move |subject| Turn { subject, part, run })
        })
    }
}

/// What a measurement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Everything but system calls.
    Timed,
    /// System calls and nothing else.
    Counted,
}

/// One measurement of one subject, which starts from nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Who.
    pub(crate) subject: Subject,
    /// What is read.
    pub(crate) part: Part,
    /// Which of the subject's turns of this part, counted from 1.
    pub(crate) run: u32,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Timed => write!(f, "{}-{}", self.subject, self.run),
            Part::Counted => write!(f, "{}-counted-{}", self.subject, self.run),
        }
    }
}

/// What one turn gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Of which turn.
    pub(crate) turn: Turn,
    /// Values by the names in [`FIGURES`]; what this kernel cannot tell is missing.
    pub(crate) figures: BTreeMap<String, f64>,
    /// Calls for each name of a system call, for people: of new registrations, of refreshes.
    pub(crate) calls: [BTreeMap<String, f64>; 2],
}

/// A name in the JSON, and what it is.
pub(crate) const FIGURES: &[(&str, &str)] = &[
    ("first_per_s", "new registrations answered per second, closed loop"),
    ("routes_per_s", "new registrations whose routes are in the kernel, per second"),
    ("all_routes_s", "from the first request until all routes are in the kernel, s"),
    ("refresh_per_s", "refreshes answered per second, closed loop"),
    ("p99_ms", "99th percentile of the time to an answer, open loop, ms"),
    ("lost", "new registrations without an answer, open loop"),
    ("late", "new registrations answered after more than 3 s, open loop"),
    ("cpu_us_per_first", "CPU of the responder per new registration, µs"),
    ("zebra_cpu_us_per_first", "CPU of zebra per new registration, µs"),
    ("cpu_us_per_refresh", "CPU of the responder per refresh, µs"),
    ("share_refresh", "part of the time that the responder ran, refreshes"),
    ("waited_share_refresh", "part of the time that the responder was ready and had no processor, refreshes"),
    ("softirq_us_per_refresh", "CPU of the kernel's threads for packets per refresh, µs"),
    ("syscalls_per_first", "system calls per new registration, without clock_gettime"),
    ("syscalls_per_refresh", "system calls per refresh, without clock_gettime"),
    ("clock_gettime_per_first", "clock_gettime per new registration, as a system call"),
    ("clock_gettime_per_refresh", "clock_gettime per refresh, as a system call"),
    ("rss_bytes_per_peer", "resident memory per registered peer, octets"),
    ("closed_lost", "requests without an answer in 3 s, closed loop"),
    ("generator_share_first", "part of the time that the generator ran, new registrations"),
    ("generator_share_refresh", "part of the time that the generator ran, refreshes"),
    ("generator_share_open", "part of the time that the generator ran, open loop"),
];

/// The file below the shared directory with one [`Sample`] a line.
pub(crate) const SAMPLES: &str = "out/samples.jsonl";
