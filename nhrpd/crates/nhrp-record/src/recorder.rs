//! Writing aside of the event loop: lines go through a bounded queue to a thread that writes them. What cannot be
//! written ends the recording, never the daemon.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nhrp_engine::{Input, Instant, Output};

use crate::format::{Record, Start};
use crate::redact::Redactor;

/// Lines that wait for the disk.
const QUEUE: usize = 8192;

/// A recording under way.
#[derive(Debug)]
pub struct Recorder {
    lines: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<String>>>,
    redactor: Redactor,
    /// Octets that may still be written.
    room: u64,
    problem: Option<String>,
}

impl Recorder {
    /// Begins a recording of at most `room` octets. `secret` seeds the words that stand for passwords.
    pub fn new(sink: impl Write + Send + 'static, room: u64, start: Start, secret: [u8; 32]) -> Self {
        let (lines, queue) = sync_channel(QUEUE);
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let writer = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            if let Err(error) = write_all(sink, &queue) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        });
        let mut recorder = Self {
            lines: Some(lines),
            writer: None,
            failure,
            redactor: Redactor::new(secret),
            room,
            problem: None,
        };
        match writer {
            Ok(writer) => recorder.writer = Some(writer),
            Err(error) => recorder.stop(format!("no thread for it: {error}")),
        }
        recorder.line(&Record::Start(Box::new(start)));
        recorder
    }

    /// The engine is told this.
    pub fn input(&mut self, at: Instant, input: &Input) {
        if self.lines.is_some() {
            let input = self.redactor.input(input);
            self.line(&Record::In { at, input });
        }
    }

    /// The engine wants this done.
    pub fn output(&mut self, output: &Output) {
        if self.lines.is_some() {
            let output = self.redactor.output(output);
            self.line(&Record::Out(output));
        }
    }

    /// Packets become notices, or do not.
    pub fn trace(&mut self, on: bool) {
        self.line(&Record::Trace(on));
    }

    /// Why the recording has ended, told once.
    pub fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    fn stop(&mut self, problem: String) {
        if self.lines.take().is_some() {
            self.problem = Some(problem);
            // It may hang on its disk for ever; nobody waits for it.
            self.writer = None;
        }
    }

    fn line(&mut self, record: &Record) {
        let Some(lines) = &self.lines else { return };
        let mut line = match serde_json::to_vec(record) {
            Ok(line) => line,
            Err(error) => return self.stop(format!("a record cannot be written: {error}")),
        };
        line.push(b'\n');
        let length = line.len() as u64;
        if length > self.room {
            return self.stop("the file has reached its limit; see --record-limit".to_owned());
        }
        match lines.try_send(line) {
            Ok(()) => self.room -= length,
            Err(TrySendError::Full(_)) => self.stop("the disk is too slow for it".to_owned()),
            Err(TrySendError::Disconnected(_)) => {
                let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                self.stop(failure.unwrap_or_else(|| "its thread has ended".to_owned()));
            }
        }
    }

    /// Ends the recording in order.
    pub fn end(&mut self, reason: &str) {
        self.line(&Record::End(reason.to_owned()));
        self.finish();
    }

    /// Waits until all is written, but not for a disk that hangs.
    fn finish(&mut self) {
        self.lines = None;
        let Some(writer) = self.writer.take() else { return };
        for _ in 0..400 {
            if writer.is_finished() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Recorder {
    /// What was recorded before a panic is what is wanted of it.
    fn drop(&mut self) {
        self.finish();
    }
}

fn write_all(sink: impl Write, queue: &Receiver<Vec<u8>>) -> std::io::Result<()> {
    let mut sink = std::io::BufWriter::with_capacity(1 << 16, sink);
    loop {
        // Whenever nothing waits, all is on its way to the file.
        let line = match queue.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Empty) => {
                sink.flush()?;
                match queue.recv() {
                    Ok(line) => line,
                    Err(_) => return Ok(()),
                }
            }
            Err(TryRecvError::Disconnected) => return sink.flush(),
        };
        sink.write_all(&line)?;
    }
}
