//! What the running zebra calls itself, asked over its vty socket.
//!
//! Owns one question, `show version`, and how its answer is read. Never decides what a release speaks: the probe does,
//! and [`crate::Session`] compares.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::{Release, release_in_text};

/// Longest wait for the answer; a zebra that computes for longer is not asked again before the next connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// No `show version` is longer.
const LONGEST: usize = 64 << 10;

/// A running FRR as it names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningFrr {
    /// Its release.
    pub release: Release,
    /// The same in its own words, as `10.7.1-2+b1`.
    pub version: String,
}

impl fmt::Display for RunningFrr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)
    }
}

impl RunningFrr {
    /// From the answer to `show version`, whose first line is `FRRouting 10.3 (host) on Linux(6.1.0).`
    #[must_use]
    pub fn in_text(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.starts_with("FRRouting "))?;
        let version = line.split_whitespace().nth(1)?.to_owned();
        Some(Self { release: release_in_text(line).ok()?, version })
    }

    /// Asks the daemon that listens at a vty socket.
    ///
    /// # Errors
    ///
    /// Whatever keeps the answer away: no socket, no permission, no answer within 2 s, no `show version` in it.
    pub async fn ask(vty: &Path) -> io::Result<Self> {
        timeout(PATIENCE, Self::converse(vty)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn converse(vty: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(vty).await?;
        // vtysh's framing: a request ends in NUL, an answer in three NULs and a code.
        stream.writable().await?;
        let request: &[u8] = b"show version\0";
        if stream.try_write(request)? != request.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !answer.windows(3).any(|octets| octets == [0; 3]) && answer.len() < LONGEST {
            stream.ready(Interest::READABLE).await?;
            match stream.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(octets) => answer.extend_from_slice(buffer.get(..octets).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let text = String::from_utf8_lossy(&answer);
        let what = || {
            let line: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
            io::Error::new(io::ErrorKind::InvalidData, format!("no FRR version in {line:?}"))
        };
        Self::in_text(&text).ok_or_else(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_second_word() {
        let text =
            "FRRouting 10.7.1-2+b1 (hub) on Linux(6.1.0).\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n";
        let frr = RunningFrr::in_text(text).unwrap();
        assert_eq!((frr.version.as_str(), frr.release), ("10.7.1-2+b1", "10.7.1".parse().unwrap()));
        assert_eq!(RunningFrr::in_text("% Unknown command: show version\n"), None);
        assert_eq!(RunningFrr::in_text("FRRouting\n"), None);
    }
}
