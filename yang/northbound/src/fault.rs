//! How a call ends that does not succeed: FRR's codes, and its texts where it has any.

use nhrp_yang::{DocumentError, TreeError};

use crate::device::{Gone, Refusal};

/// Codes of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request makes no sense, or the configuration is not valid.
    InvalidArgument,
    /// No such candidate.
    NotFound,
    /// A limit is met.
    ResourceExhausted,
    /// Not now: misuse of the two phases, or of the lock.
    FailedPrecondition,
    /// There is nothing to commit.
    Aborted,
    /// A fault that is not the client's.
    Internal,
    /// Another one is committing, or the daemon ends.
    Unavailable,
}

/// Code and text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// Code.
    pub code: Code,
    /// For people.
    pub text: String,
}

impl Fault {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// FRR's words, and what they leave out.
    pub(crate) fn because(code: Code, text: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(code, format!("{text}: {reason}"))
    }

    pub(crate) fn no_candidate() -> Self {
        Self::new(Code::NotFound, "candidate configuration not found")
    }
}

impl From<Gone> for Fault {
    fn from(gone: Gone) -> Self {
        Self::new(Code::Unavailable, gone.to_string())
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gone(gone) => gone.into(),
            Refusal::Because(reason) => Self::new(Code::Internal, reason),
        }
    }
}

/// Of data that this program has made.
impl From<TreeError> for Fault {
    fn from(error: TreeError) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}

/// Likewise.
impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}
