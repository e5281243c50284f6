//! Reads a configuration file through a session, as FRR's reader does: bad lines are reported and skipped.

use crate::{Handler, ReturnCode, Session};

/// A line that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line_number}: {line}: {}", .text.trim_end())]
pub struct ConfigError {
    /// Counted from 1.
    pub line_number: usize,
    /// As in the file.
    pub line: String,
    /// Why, as a code.
    pub rc: ReturnCode,
    /// Why, as text for the user.
    pub text: String,
}

/// Executes every line from CONFIG on. A line for an upper node leaves the section it stands in.
pub fn read_config(text: &str, handler: &mut dyn Handler) -> Vec<ConfigError> {
    let mut session = Session::for_file();
    let mut errors = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // vtysh's files end in `end`, and so may this one; what follows still is configuration.
        if line.trim() == "end" {
            session = Session::for_file();
            continue;
        }
        let reply = session.execute(line, handler);
        if !matches!(reply.rc, ReturnCode::Success | ReturnCode::Warning | ReturnCode::NothingToDo) {
            errors.push(ConfigError {
                line_number: index + 1,
                line: line.to_owned(),
                rc: reply.rc,
                text: reply.text,
            });
        }
    }
    errors
}
