//! A process that the lab started in a node.
//!
//! Owns its end: a process never outlives its handle. Never touches any other process.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::failure::{Context, Result, fail};

/// A running process; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(super) fn new(name: String, child: Child, log: PathBuf) -> Self {
        Self { name, child, log }
    }

    /// Its process id, the same in every node.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its standard output and standard error go.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(describe)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context(|| "process id".to_owned())?;
        kill(Pid::from_raw(pid), signal).context(|| format!("{signal} to {}", self.name))
    }

    /// Sends a signal and waits until the process has ended.
    pub(crate) fn stop(&mut self, signal: Signal, timeout: Duration) -> Result<()> {
        if self.ended().is_none() {
            self.signal(signal)?;
        }
        let deadline = Instant::now() + timeout;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                fail!("{} still runs {:.1} s after {signal}", self.name, timeout.as_secs_f64());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => {
            Signal::try_from(signal).map_or(format!("signal {signal}"), |signal| signal.to_string())
        }
        (None, None) => status.to_string(),
    }
}
