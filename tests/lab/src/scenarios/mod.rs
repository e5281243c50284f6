//! The scenarios: what must hold on a real kernel with real FRR around.
//!
//! Owns the table. Each scenario is a file named for what it shows.

mod first_direct_path;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result};
use crate::mix::Mix;
use crate::release::Release;

/// A scenario.
pub(crate) struct Scenario {
    /// Name on the command line, equal to the file's.
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) about: &'static str,
    /// Which mixes of daemons it is run with by default.
    pub(crate) mixes: Mixes,
    /// Longest time it may take; a guest that is silent for longer is killed.
    pub(crate) limit: Duration,
    /// Shows it.
    pub(crate) run: fn(&mut Lab) -> Result<()>,
}

/// For which mixes of daemons and releases a scenario stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mixes {
    /// It concerns the lab itself: once, without a daemon.
    None,
    /// The interoperation matrix: FRR alone and every mix of FRR's and ours, with every release.
    Interop,
}

/// What a scenario gets.
#[derive(Debug)]
pub(crate) struct Lab {
    out: PathBuf,
    release: Release,
    mix: Mix,
    notes: Vec<String>,
}

const MINUTES: Duration = Duration::from_secs(120);

/// All scenarios.
pub(crate) const ALL: &[Scenario] = &[Scenario {
    name: "first_direct_path",
    about: "two spokes register, are redirected, resolve each other and talk directly",
    mixes: Mixes::Interop,
    limit: MINUTES,
    run: first_direct_path::run,
}];

/// The scenario of this name.
pub(crate) fn find(name: &str) -> Result<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).context(|| format!("no scenario {name}"))
}

impl Lab {
    /// A lab that writes below `out`.
    pub(crate) fn new(out: PathBuf, release: Release, mix: Mix) -> Self {
        Self { out, release, mix, notes: Vec::new() }
    }

    /// The DMVPN of this shape, started, all daemons answering.
    pub(crate) fn dmvpn(&self, shape: Shape) -> Result<Dmvpn> {
        Dmvpn::start(&self.out, self.release, &self.mix, shape)
    }

    /// Directory for files of this scenario.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// The FRR release around.
    pub(crate) fn release(&self) -> Release {
        self.release
    }

    /// Which daemon runs where.
    pub(crate) fn mix(&self) -> &Mix {
        &self.mix
    }

    /// Adds something measured to the scenario's line in the report.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What was noted.
    pub(crate) fn into_notes(self) -> Vec<String> {
        self.notes
    }
}
