//! What the host asks of a guest, and what the guest answers: files in a shared directory.
//!
//! Owns their names and form. Layout of the directory, `/lab` in the guest:
//!
//! ```text
//! bin/lab  bin/nhrpd     this program and the daemon under test
//! plan.json              what to do
//! out/results.jsonl      one line per finished case
//! out/CASE/NODE/…        logs and captures
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::mix::Mix;
use crate::release::Release;

/// What one boot is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// FRR in the guest's root file system.
    pub(crate) release: Release,
    /// Version of its Debian package.
    pub(crate) frr_version: String,
    /// How the guest runs.
    pub(crate) backend: Backend,
    /// What to do.
    pub(crate) task: Task,
}

/// The three ways to a kernel that has GRE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    /// Namespaces of the running kernel.
    Native,
    /// User-mode Linux.
    Uml,
    /// A virtual machine.
    Qemu,
}

impl Backend {
    /// By what the times allowed to a guest are multiplied.
    pub(crate) fn slowness(self) -> u32 {
        match self {
            Self::Native | Self::Uml => 1,
            Self::Qemu => 4, // an emulated processor
        }
    }
}

/// What to do in a boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Run these, one after the other.
    Cases(Vec<Case>),
    /// Measure what registrations cost.
    Bench(Bench),
    /// Show the first direct path to a newcomer.
    Demo(Mix),
    /// Keep the demo network and give prompts on its nodes.
    Shell(Mix),
}

/// A scenario with a choice of daemons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Name in the table of scenarios.
    pub(crate) scenario: String,
    /// Which daemon on which node.
    pub(crate) mix: Mix,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed(String),
    /// It did not run, for this reason.
    Skipped(String),
}

/// One line of `results.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Directory name of the case below `out`.
    pub(crate) id: String,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// How long it took by the guest's clock.
    pub(crate) seconds: f64,
    /// What it measured, for people.
    pub(crate) notes: Vec<String>,
}

impl Case {
    /// Directory name of the case below `out`, unique in a boot.
    pub(crate) fn id(&self) -> String {
        format!("{}@{}", self.scenario, self.mix).replace([',', '='], "-")
    }

    /// As it is named to people and matched by `cargo lab test NAME`.
    pub(crate) fn label(&self, release: Release) -> String {
        format!("{} [FRR {release}, nhrpd {}]", self.scenario, self.mix)
    }
}

/// Where the guest sees the shared directory.
pub(crate) const GUEST_DIR: &str = "/lab";

/// Lines on the guest's console that are meant for the person at the terminal begin with this.
pub(crate) const STORY: &str = "| ";

/// The file with the results below the shared directory.
pub(crate) fn results_file(dir: &Path) -> std::path::PathBuf {
    dir.join("out/results.jsonl")
}
