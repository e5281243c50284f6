//! The vty socket: accepts connections, keeps one session each, and passes what the daemon must answer through a
//! bounded channel. Executes nothing itself, so a stalled daemon is a silent one and watchfrr notices.

use std::io;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::framing::{Request, RequestReader, encode_reply};
use crate::session::Step;
use crate::{Command, Reply, ReturnCode, Session};

/// Both ends use this since FRR 10.2.
const SOCKET_BUFFER: usize = 16 << 20;
const BACKLOG: i32 = 5;
/// vtysh, watchfrr and scripts together need a handful; more wait in the backlog.
const MAX_SESSIONS: usize = 256;

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
        Ok(Self { listener })
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
            let (requests, session) = (requests.clone(), Session::new());
            tokio::spawn(async move {
                let _slot = slot;
                if let Err(error) = serve(stream, session, requests).await {
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
    mut session: Session,
    requests: mpsc::Sender<VtyRequest>,
) -> io::Result<()> {
    let ended = converse(stream, &mut session, &requests).await;
    if let Some(command) = session.left_behind() {
        let _ = requests.send(VtyRequest { command, reply: oneshot::channel().0 }).await;
    }
    ended
}

async fn converse(
    mut stream: UnixStream,
    session: &mut Session,
    requests: &mpsc::Sender<VtyRequest>,
) -> io::Result<()> {
    let socket = SockRef::from(&stream);
    // Only a convenience for long answers; the kernel may clamp or refuse it.
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let (mut reader, mut pending, mut buffer) = (RequestReader::default(), Vec::new(), vec![0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        reader.push(buffer.get(..count).unwrap_or_default(), &mut pending);
        for request in pending.drain(..) {
            let reply = match request {
                Request::TooLong => Reply::new(ReturnCode::NoMatch, "% Command is too long.\n"),
                Request::Line(line) => answer(session, &line, requests).await,
            };
            stream.write_all(&encode_reply(&reply)).await?;
            if reply.close {
                return Ok(());
            }
        }
    }
}

async fn answer(session: &mut Session, line: &str, requests: &mpsc::Sender<VtyRequest>) -> Reply {
    match session.begin(line) {
        Step::Reply(reply) => reply,
        Step::Ask(command, pending) => {
            let (reply, answer) = oneshot::channel();
            let sent = requests.send(VtyRequest { command, reply }).await.is_ok();
            match answer.await {
                Ok(reply) if sent => session.finish(pending, reply),
                _ => Reply { close: true, ..Reply::warning("% The daemon is shutting down") },
            }
        }
    }
}
