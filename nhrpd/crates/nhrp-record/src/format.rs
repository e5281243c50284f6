//! The lines of a recording.

use nhrp_engine::{Input, Instant, Limits, Output};
use serde::{Deserialize, Serialize};

/// Number of this format. It is raised when a program of today could not read it; additions do not raise it.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// An engine begins.
    Start(Box<Start>),
    /// It is told something.
    In {
        /// When, in microseconds since the start.
        at: Instant,
        /// What.
        input: Input,
    },
    /// It wants something done. Inputs may follow each other; what they cause comes in their order.
    Out(Output),
    /// Packets become notices from here on, or do not (`debug nhrp common`).
    Trace(bool),
    /// The recording ends in order, for this reason.
    End(String),
}

/// What an engine is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// [`FORMAT`].
    pub format: u32,
    /// Who recorded, with version.
    pub program: String,
    /// Of the engine's random numbers.
    pub seed: [u8; 32],
    /// Bounds of the engine's tables.
    pub limits: Limits,
}
