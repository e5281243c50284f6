//! Captures of the wire.
//!
//! Owns starting and stopping tcpdump. Never interprets a packet: that is the judge's work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::failure::{Result, ensure};
use crate::net::{Node, Process, wait_until};

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures whole packets that match `filter` on one interface of a node, or, for the interface
    /// `any`, every packet that comes *in* on any interface: on a router that is each packet once.
    /// Returns when packets are being captured.
    pub(crate) fn start(node: &Node, file: PathBuf, interface: &str, filter: &str) -> Result<Self> {
        let path = file.to_string_lossy().into_owned();
        let mut command = vec!["tcpdump", "-n", "-U", "--immediate-mode", "-Z", "root"];
        // In immediate mode the kernel's buffer has room for buffer size divided by snap length packets:
        // with tcpdump's defaults that is eight, and a burst of ten is lost on a slow machine.
        command.extend(["-s", "2048", "-B", "8192"]);
        if interface == "any" {
            command.extend(["-Q", "in"]);
        }
        command.extend(["-i", interface, "-w", &path, filter]);
        let before = std::fs::read_to_string(node.out().join("tcpdump.log")).unwrap_or_default().len();
        let mut tcpdump = node.spawn("tcpdump", &command)?;
        wait_until("tcpdump to listen", Duration::from_secs(10), || {
            let said = tcpdump.output().split_off(before);
            if said.contains("listening on") {
                return Ok(());
            }
            Err(format!("{said}{}", tcpdump.ended().unwrap_or_default()))
        })?;
        Ok(Self { tcpdump, file })
    }

    /// The file so far. Packets are in it as soon as they are captured.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Ends the capture. Fails if packets were lost, because then it proves nothing.
    pub(crate) fn stop(mut self) -> Result<PathBuf> {
        self.tcpdump.stop(Signal::SIGINT, Duration::from_secs(5))?;
        let said = self.tcpdump.output();
        let lost = said.lines().rev().find_map(|line| line.strip_suffix(" dropped by kernel"));
        ensure!(lost.is_some_and(|lost| lost.starts_with("0 ")), "tcpdump lost packets: {lost:?}");
        Ok(self.file)
    }
}
