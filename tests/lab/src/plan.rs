//! What the host asks of a guest, and what the guest answers: files in a shared directory.
//!
//! Owns their names and form. Layout of the directory, `/lab` in the guest:
//!
//! ```text
//! bin/lab  bin/nhrpd …   this program, the daemon under test, nhrpctl
//! plan.json              what to do
//! topotests/ python/     FRR's tests/topotests with this project's, and what they need
//! out/results.jsonl      one line per finished case
//! out/CASE/NODE/…        logs and captures
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::mix::{Kind, Mix};
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
    /// Run tests in the form of FRR's, each with each kind of nhrpd.
    Topotests(Vec<Topotest>),
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

/// A folder of FRR's tests/topotests, or of this project's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topotest {
    /// Its name.
    pub(crate) folder: String,
    /// Whose nhrpd its routers run.
    pub(crate) kind: Kind,
}

impl Topotest {
    /// Directory name of its logs below `out`.
    pub(crate) fn id(&self) -> String {
        format!("{}@{}", self.folder, self.kind)
    }

    /// As it is named to people.
    pub(crate) fn label(&self, release: Release) -> String {
        format!("{} [FRR {release}, nhrpd {}]", self.folder, self.kind)
    }
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

/// Directory of the tests in FRR's form, below the shared directory.
pub(crate) const TOPOTESTS: &str = "topotests";

/// Directory of the Python packages that they need, below the shared directory.
pub(crate) const PYTHON: &str = "python";

/// Where the guest keeps the daemons that the tests start: FRR's, and the nhrpd of their kind.
pub(crate) const TOPOTEST_DAEMONS: &str = "/run/topotest-daemons";

/// Where the guest sees the shared directory.
pub(crate) const GUEST_DIR: &str = "/lab";

/// Lines on the guest's console that are meant for the person at the terminal begin with this.
pub(crate) const STORY: &str = "| ";

/// The file with the results below the shared directory.
pub(crate) fn results_file(dir: &Path) -> std::path::PathBuf {
    dir.join("out/results.jsonl")
}
