//! Recordings: what an engine was told, when, and what it answered; one JSON value a line.
//!
//! Owns the format, what is left out of it (passwords, contents of data packets), the writing aside of the event loop,
//! and the playing back. A recording needs nothing else to be played back: the seed, the limits and the configuration
//! are in it. Never opens a file and never changes what an engine does.
//!
//! A file may hold several recordings, one for each start of the daemon. Each begins with [`Record::Start`].

mod format;
mod recorder;
mod redact;
mod replay;

pub use format::{FORMAT, Record, Start};
pub use recorder::Recorder;
pub use redact::Redactor;
pub use replay::{Difference, ReplayError, Summary, replay, update};
