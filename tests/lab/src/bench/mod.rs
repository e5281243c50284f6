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

/// Most spokes: each needs addresses for two parts of a run and a fifth of a third.
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

    /// Every measurement in order: who, and in which run, counted from 1.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (Subject, u32)> {
        let subjects = self.subjects();
        (1..=self.runs).flat_map(move |run| subjects.clone().into_iter().map(move |subject| (subject, run)))
    }
}

/// What one subject did in one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Who.
    pub(crate) subject: Subject,
    /// In which run, counted from 1.
    pub(crate) run: u32,
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
