//! The vty socket: accepts connections, keeps one session each, and passes what the daemon must answer through a
//! bounded channel. Executes nothing itself, so a stalled daemon is a silent one and watchfrr notices.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::Arc;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::yield_now;

use crate::framing::{Request, RequestReader, encode, encode_reply};
use crate::session::Step;
use crate::telnet::{TerminalSettings, serve_local};
use crate::{Command, Monitoring, Reply, ReturnCode, Session};

/// Both ends use this since FRR 10.2.
const SOCKET_BUFFER: usize = 16 << 20;
const BACKLOG: i32 = 5;
/// vtysh, watchfrr and scripts together need a handful; more wait in the backlog.
const MAX_SESSIONS: usize = 256;

/// Sent as a request, this makes a terminal of a session on the vty socket: after the answer keys go in and text comes
/// out, without framing, until either side hangs up. No FRR release has a command of this name.
pub const INTERACTIVE: &str = "terminal interactive";

/// One command for the daemon. Dropping it answers the client with a failure.
#[derive(Debug)]
pub struct VtyRequest {
    /// What to do.
    pub command: Command,
    /// Where the answer goes; the client may be gone by then.
    pub reply: oneshot::Sender<Reply>,
}

/// The listening socket.
#[derive(Debug)]
pub struct VtyServer {
    listener: UnixListener,
    terminals: Option<watch::Receiver<TerminalSettings>>,
}

impl VtyServer {
    /// Binds `path` as FRR does: whatever was left there is removed, mode 0770, group `group`. Needs a tokio runtime.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn bind(path: &Path, group: Option<u32>) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let address = SockAddr::unix(path)?;
        let old = umask(Mode::from_bits_truncate(0o007));
        let bound = socket.bind(&address);
        umask(old);
        bound?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        if group.is_some() {
            chown(path, None, group)?;
        }
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
        Ok(Self { listener, terminals: None })
    }

    /// Lets sessions become terminals ([`INTERACTIVE`]), which follow these settings.
    #[must_use]
    pub fn with_terminals(self, settings: watch::Receiver<TerminalSettings>) -> Self {
        Self { terminals: Some(settings), ..self }
    }

    /// Accepts connections until the receiving end of `requests` is gone.
    ///
    /// # Errors
    /// Never for a single connection; only when the listening socket itself has become useless.
    pub async fn run(self, requests: mpsc::Sender<VtyRequest>) -> io::Result<()> {
        let slots = Arc::new(Semaphore::new(MAX_SESSIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) if is_passing(&error) => {
                        tracing::warn!(%error, "vty: cannot accept a connection");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                () = requests.closed() => return Ok(()),
            };
            let (requests, terminals) = (requests.clone(), self.terminals.clone());
            tokio::spawn(async move {
                let _slot = slot;
                if let Err(error) = serve(stream, requests, terminals).await {
                    tracing::debug!(%error, "vty: connection lost");
                }
            });
        }
    }
}

/// Out of descriptors or memory, or a client that left at once: the next accept may succeed.
fn is_passing(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::NotFound | io::ErrorKind::Unsupported
    )
}

async fn serve(
    stream: UnixStream,
    requests: mpsc::Sender<VtyRequest>,
    terminals: Option<watch::Receiver<TerminalSettings>>,
) -> io::Result<()> {
    let mut session = Session::new();
    let ended = converse(stream, &mut session, &requests, terminals).await;
    if let Some(command) = session.left_behind() {
        let _ = requests.send(VtyRequest { command, reply: oneshot::channel().0 }).await;
    }
    ended
}

async fn converse(
    mut stream: UnixStream,
    session: &mut Session,
    requests: &mpsc::Sender<VtyRequest>,
    terminals: Option<watch::Receiver<TerminalSettings>>,
) -> io::Result<()> {
    let from = Session::origin(stream.as_raw_fd(), None);
    let socket = SockRef::from(&stream);
    // Only a convenience for long answers; the kernel may clamp or refuse it.
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let (mut reader, mut pending, mut buffer) = (RequestReader::default(), Vec::new(), vec![0; 4096]);
    // Dropped with the session, whereby its live log ends.
    let mut live = None;
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        reader.push(buffer.get(..count).unwrap_or_default(), &mut pending);
        for request in pending.drain(..) {
            let reply = match request {
                Request::TooLong => Reply::new(ReturnCode::NoMatch, "% Command is too long.\n"),
                Request::Line(line) if line == INTERACTIVE => match &terminals {
                    Some(settings) => {
                        stream.write_all(&encode_reply(&Reply::ok())).await?;
                        return serve_local(stream, from, requests.clone(), settings.clone()).await;
                    }
                    None => Reply::warning("% not supported"),
                },
                Request::Line(line) => {
                    let logged = terminals.as_ref().is_some_and(|settings| settings.borrow().log_commands);
                    if logged && let Some(command) = session.logged(&line, &from) {
                        // In the order of the commands; the answer says nothing.
                        let _ = requests.send(VtyRequest { command, reply: oneshot::channel().0 }).await;
                    }
                    answer(session, &line, requests, &mut live).await
                }
            };
            let Reply { text, rc, close, live: log } = reply;
            let encoded = encode(text, rc);
            match log {
                None => stream.write_all(&encoded).await?,
                Some(log) => {
                    send_with_socket(&mut stream, &encoded, &log.socket).await?;
                    live = log.session;
                }
            }
            if close {
                return Ok(());
            }
            // Somebody else's turn, however many requests have come at once.
            yield_now().await;
        }
        // Nor does one that sends a line without end keep the others waiting.
        yield_now().await;
    }
}

/// vtysh takes the descriptor from the message that has the four octets of the end, and from no other.
async fn send_with_socket(stream: &mut UnixStream, encoded: &[u8], socket: &OwnedFd) -> io::Result<()> {
    let (text, end) = encoded.split_at(encoded.len().saturating_sub(4));
    stream.write_all(text).await?;
    let descriptors = [socket.as_raw_fd()];
    let sent = loop {
        stream.writable().await?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let rights = [ControlMessage::ScmRights(&descriptors)];
            let flags = MsgFlags::MSG_NOSIGNAL;
            Ok(sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(end)], &rights, flags, None)?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => break sent?,
        }
    };
    stream.write_all(end.get(sent..).unwrap_or_default()).await
}

async fn answer(
    session: &mut Session,
    line: &str,
    requests: &mpsc::Sender<VtyRequest>,
    live: &mut Option<Arc<()>>,
) -> Reply {
    match session.begin(line) {
        Step::Reply(reply) => reply,
        Step::Ask(command, pending) => {
            if command == Command::TerminalMonitor(Monitoring::Off) {
                *live = None;
            }
            let (reply, answer) = oneshot::channel();
            let sent = requests.send(VtyRequest { command, reply }).await.is_ok();
            match answer.await {
                Ok(reply) if sent => session.finish(pending, reply),
                _ => Reply { close: true, ..Reply::warning("% The daemon is shutting down") },
            }
        }
    }
}
