//! The engine as the loop has it: whatever it is told and answers is recorded, if the operator wants a recording.
//!
//! Whoever asks it something sees the engine itself; only what changes it passes here.

use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nhrp_engine::{Engine, Input, Instant, Limits, Output};
use nhrp_record::{FORMAT, Recorder, Start};

/// An engine and perhaps its recording.
#[derive(Debug)]
pub(crate) struct Recorded {
    engine: Engine,
    recording: Option<(PathBuf, Recorder)>,
}

impl Deref for Recorded {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// The file, to be appended to, and its length. A recording begins on a line of its own, whatever a crash left.
fn open(path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    let mut file = std::fs::OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, length))
}

impl Recorded {
    /// A new engine; `file` and the octets that the file may have at most, if it is to be recorded. A file that cannot
    /// be written is no reason not to serve.
    pub(crate) fn new(limits: Limits, file: Option<(&Path, u64)>) -> Self {
        let seed = rand::random();
        let engine = Engine::new(seed, limits);
        let Some((path, limit)) = file else { return Self { engine, recording: None } };
        let recording = match open(path) {
            Ok((file, length)) => {
                let program = format!("nhrpd {}", env!("CARGO_PKG_VERSION"));
                let start = Start { format: FORMAT, program, seed, limits };
                let room = limit.saturating_sub(length);
                Some((path.to_owned(), Recorder::new(file, room, start, rand::random())))
            }
            Err(error) => {
                tracing::error!(
                    target: "nhrp::common",
                    "cannot record into {}: {error}; going on without (nhrpd writes as the user given with -u)",
                    path.display()
                );
                None
            }
        };
        Self { engine, recording }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.record(|recorder| recorder.input(now, &input));
        self.engine.handle(now, input);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let output = self.engine.poll_output()?;
        self.record(|recorder| recorder.output(&output));
        Some(output)
    }

    pub(crate) fn set_packet_trace(&mut self, on: bool) {
        self.record(|recorder| recorder.trace(on));
        self.engine.set_packet_trace(on);
    }

    /// Nothing of the protocol depends on who follows.
    #[cfg(feature = "grpc")]
    pub(crate) fn follow(&mut self, on: bool) {
        self.engine.follow(on);
    }

    #[cfg(feature = "grpc")]
    pub(crate) fn poll_change(&mut self) -> Option<nhrp_engine::Change> {
        self.engine.poll_change()
    }

    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.engine.buffer()
    }

    pub(crate) fn reuse(&mut self, octets: Vec<u8>) {
        self.engine.reuse(octets);
    }

    /// Ends the recording in order.
    pub(crate) fn end(&mut self, reason: &str) {
        self.record(|recorder| recorder.end(reason));
    }

    fn record(&mut self, what: impl FnOnce(&mut Recorder)) {
        let Some((path, recorder)) = &mut self.recording else { return };
        what(recorder);
        if let Some(problem) = recorder.take_problem() {
            tracing::warn!(
                target: "nhrp::common",
                "recording into {} has ended: {problem}; nhrpd goes on without",
                path.display()
            );
            self.recording = None;
        }
    }
}
