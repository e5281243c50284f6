//! The client's side of the vty socket: one request, one reply. Prints nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vtysh_plugin::{INTERACTIVE, MAX_REQUEST, ReturnCode};

/// A daemon that says nothing for so long is stalled; watchfrr restarts it after 90 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session in ENABLE.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    path: PathBuf,
    /// The daemon has hung up, as after `exit`.
    over: bool,
}

/// What the daemon said to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: Vec<u8>,
    /// It was carried out; also if there was nothing to show.
    pub(crate) accepted: bool,
}

impl Client {
    /// Connects, and takes the privileges that whoever may connect has.
    pub(crate) fn connect(path: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(path).map_err(|error| {
            let remedy = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "become root, or a member of the group frrvty",
                _ => "is nhrpd running? -N and --vty_socket are as it was given them",
            };
            format!("cannot connect to {}: {error}; {remedy}", path.display())
        })?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| format!("cannot set a time limit: {e}"))?;
        let mut client = Self { stream, path: path.to_owned(), over: false };
        client.ask("enable")?;
        Ok(client)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Sends a line and waits for its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Result<Answer, String> {
        if line.len() > MAX_REQUEST || line.contains('\0') {
            return Err(format!("a command has at most {MAX_REQUEST} octets, and none of them is NUL"));
        }
        let sent = self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.write_all(&[0]));
        sent.map_err(|e| self.lost(&e))?;
        let mut text = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            let count = self.stream.read(&mut buffer).map_err(|e| self.lost(&e))?;
            text.extend_from_slice(buffer.get(..count).unwrap_or_default());
            // No text has a NUL in it.
            if let Some((&[0, 0, 0, code], rest)) =
                text.split_last_chunk::<4>().map(|(rest, end)| (end, rest))
            {
                let accepted =
                    [ReturnCode::Success, ReturnCode::Warning, ReturnCode::NothingToDo].map(ReturnCode::byte);
                let length = rest.len();
                text.truncate(length);
                self.over = matches!(line.trim(), "exit" | "quit") && self.has_hung_up();
                return Ok(Answer { text, accepted: accepted.contains(&code) });
            }
            if count == 0 {
                return Err(self.lost(&std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// After an `exit`, which ends a session only at its top.
    fn has_hung_up(&mut self) -> bool {
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(200)));
        let over = matches!(self.stream.read(&mut [0]), Ok(0));
        let _ = self.stream.set_read_timeout(Some(PATIENCE));
        over
    }

    /// Makes a terminal of the session.
    pub(crate) fn into_terminal(mut self) -> Result<UnixStream, String> {
        // Not by `ask`: behind the four octets of the end comes the prompt, and perhaps at once.
        let mut end = [0xff; 4];
        self.stream
            .write_all(INTERACTIVE.as_bytes())
            .and_then(|()| self.stream.write_all(&[0]))
            .and_then(|()| self.stream.read_exact(&mut end))
            .map_err(|e| self.lost(&e))?;
        if end != [0; 4] {
            return Err(format!(
                "who listens at {} has no terminal: it is FRR's nhrpd, or an older one; use vtysh",
                self.path.display()
            ));
        }
        self.stream.set_read_timeout(None).map_err(|e| format!("cannot lift the time limit: {e}"))?;
        Ok(self.stream)
    }

    fn lost(&self, error: &std::io::Error) -> String {
        let what = match error.kind() {
            std::io::ErrorKind::WouldBlock => format!("no answer within {} s", PATIENCE.as_secs()),
            _ => format!("the connection is lost: {error}"),
        };
        format!("{}: {what}; is it stalled, or was it restarted?", self.path.display())
    }
}
