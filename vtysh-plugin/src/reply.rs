//! The answer to one line: text and FRR's return code.

use crate::LiveLog;

/// Return codes of FRR's vty; the numbers are the same in every release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReturnCode {
    /// Done.
    Success = 0,
    /// Done, but: for scripts not an error.
    Warning = 1,
    /// Unknown command.
    NoMatch = 2,
    /// Several commands fit the abbreviation.
    Ambiguous = 3,
    /// More words are needed.
    Incomplete = 4,
    /// Not for this daemon; vtysh ignores it.
    NothingToDo = 6,
    /// A configuration command was understood and refused.
    ConfigFailed = 13,
}

impl ReturnCode {
    /// The byte that ends a reply.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// Text for the user, return code, and whether the connection ends after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Lines ending in `\n`; NUL is removed when it is sent.
    pub text: String,
    /// Outcome.
    pub rc: ReturnCode,
    /// Hang up after this reply (`exit` at the top level).
    pub close: bool,
    /// A live log begins for this session (`terminal monitor`).
    pub live: Option<LiveLog>,
}

impl Reply {
    /// Success, nothing to say.
    #[must_use]
    pub fn ok() -> Self {
        Self::new(ReturnCode::Success, "")
    }

    /// Success with text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(ReturnCode::Success, text)
    }

    /// Text and code.
    #[must_use]
    pub fn new(rc: ReturnCode, text: impl Into<String>) -> Self {
        Self { text: text.into(), rc, close: false, live: None }
    }

    /// A refused configuration command; `message` without the newline.
    #[must_use]
    pub fn config_failed(message: impl std::fmt::Display) -> Self {
        Self::new(ReturnCode::ConfigFailed, format!("{message}\n"))
    }

    /// A warning; `message` without the newline.
    #[must_use]
    pub fn warning(message: impl std::fmt::Display) -> Self {
        Self::new(ReturnCode::Warning, format!("{message}\n"))
    }
}

impl From<Result<(), nhrp_config::EditError>> for Reply {
    fn from(result: Result<(), nhrp_config::EditError>) -> Self {
        result.map_or_else(Self::config_failed, |()| Self::ok())
    }
}
