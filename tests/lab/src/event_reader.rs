//! `lab event-reader`: the program at the other end of `nhrp event socket`, as an operator would write it.
//!
//! Owns the socket it listens at. Writes down what it is asked, octet for octet, and accepts the stations it is told to.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use clap::Args;

use crate::failure::{Context, Result};

/// Where it listens, and what it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Path of the socket
    #[arg(long)]
    socket: PathBuf,
    /// File to which all that is read is added
    #[arg(long)]
    log: PathBuf,
    /// Overlay addresses that are accepted; all others are rejected
    #[arg(long)]
    accept: Vec<Ipv4Addr>,
}

/// Serves one connection after the other, for ever.
pub(crate) fn run(options: &Options) -> Result<()> {
    let path = || format!("listening at {}", options.socket.display());
    let _ = fs::remove_file(&options.socket); // a former reader's
    let listener = UnixListener::bind(&options.socket).context(path)?;
    fs::set_permissions(&options.socket, Permissions::from_mode(0o666)).context(path)?;
    let open = OpenOptions::new().create(true).append(true).open(&options.log);
    let mut log = open.context(|| format!("opening {}", options.log.display()))?;
    for stream in listener.incoming() {
        serve(stream.context(path)?, &mut log, &options.accept)?;
    }
    Ok(())
}

/// Until the connection is lost.
fn serve(mut stream: UnixStream, log: &mut File, accept: &[Ipv4Addr]) -> Result<()> {
    let (mut text, mut received) = (String::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut received) {
        let octets = received.get(..count).unwrap_or_default();
        log.write_all(octets).context(|| "writing down what was asked".to_owned())?;
        text.push_str(&String::from_utf8_lossy(octets));
        while let Some(end) = text.find("\n\n") {
            let question: String = text.drain(..end + 2).collect();
            let Some(event) = field(&question, "eventid") else { continue };
            let station = field(&question, "remote_addr").and_then(|address| address.parse().ok());
            let result = if station.is_some_and(|s| accept.contains(&s)) { "accept" } else { "reject" };
            if stream.write_all(format!("eventid={event}\nresult={result}\n\n").as_bytes()).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A value of a question.
pub(crate) fn field<'a>(question: &'a str, key: &str) -> Option<&'a str> {
    question.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}
