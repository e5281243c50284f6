//! Connections on their way in: accepted, asked who they are, and handed to the transport. Nobody waits for another
//! one's handshake, and there is a bound to everything that somebody without a right to call can make us keep.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::credentials::{Caller, may_connect};
use crate::tls::Tls;

/// Connections at a time; one more is closed at once.
const CONNECTIONS: usize = 256;
/// Handshakes at a time; for one more the oldest is given up.
const HANDSHAKES: usize = 128;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The octets that every client of HTTP/2 says first.
const PREFACE: usize = 24;
/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines of the log about clients that are turned away are so far apart.
const QUIET: Duration = Duration::from_secs(1);

/// What is listened on.
pub(crate) enum Bound {
    /// Address and port, with TLS or without. Each handshake is done with what is there when it begins.
    Tcp(std::net::TcpListener, Option<watch::Receiver<Tls>>),
    /// A unix socket, and the group that may connect besides root and the daemon's user.
    Unix(std::os::unix::net::UnixListener, Option<u32>),
}

/// What octets go through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that may call.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    caller: Caller,
    _slot: OwnedSemaphorePermit,
    /// When its HTTP/2 has to have begun, until it has, and the octets of that which have not come.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
}

/// What a connection turns into when it has shown who it is, or why it is turned away.
type Known = Result<(Box<dyn Stream>, Caller), String>;

async fn tcp(stream: TcpStream, address: SocketAddr, tls: Option<Tls>) -> Known {
    // An answer goes out at once; without, it is only later.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return Ok((Box::new(stream), Caller::Address(address))) };
    let hands = tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await;
    let stream = match hands {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("{address} has failed in its TLS handshake: {error}")),
        Err(_) => {
            return Err(format!(
                "{address} has not ended its TLS handshake within {} s",
                HANDSHAKE.as_secs()
            ));
        }
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let caller = match certificate {
        None => Caller::Address(address),
        Some(certificate) => {
            let subject = crate::subject::of(certificate).filter(|subject| !subject.is_empty());
            Caller::Certificate { subject: subject.unwrap_or_else(|| "no subject".to_owned()), address }
        }
    };
    Ok((Box::new(stream), caller))
}

async fn unix(stream: UnixStream, group: Option<u32>) -> Known {
    let credentials = stream.peer_cred().map_err(|e| format!("cannot find out who connects: {e}"))?;
    let (uid, gid, pid) = (credentials.uid(), credentials.gid(), credentials.pid());
    let caller = Caller::Process { uid, pid };
    // The system's accounts may be on another host.
    let may = tokio::task::spawn_blocking(move || may_connect(uid, gid, group)).await;
    if may.is_ok_and(|may| may) {
        return Ok((Box::new(stream), caller));
    }
    Err(format!("{caller} may not configure: it is neither root, the daemon's user nor in the group frrvty"))
}

enum Listener {
    Tcp(TcpListener, Option<watch::Receiver<Tls>>),
    Unix(UnixListener, Option<u32>),
}

/// The log about those who are turned away: whoever knocks a thousand times a second must not fill it.
#[derive(Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn say(&mut self, what: &str) {
        if self.0.is_none_or(|last| last.elapsed() >= QUIET) {
            self.0 = Some(Instant::now());
            tracing::warn!(target: "nhrp::common", "gRPC: {what}");
        }
    }
}

/// Connections as they are ready, while what is returned is read.
pub(crate) fn connections(bound: Bound) -> io::Result<ReceiverStream<io::Result<Connection>>> {
    let listener = match bound {
        Bound::Tcp(listener, tls) => Listener::Tcp(TcpListener::from_std(listener)?, tls),
        Bound::Unix(listener, group) => Listener::Unix(UnixListener::from_std(listener)?, group),
    };
    let (ready, connections) = mpsc::channel(1);
    tokio::spawn(run(listener, ready));
    Ok(ReceiverStream::new(connections))
}

async fn run(listener: Listener, ready: mpsc::Sender<io::Result<Connection>>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut complaints = Complaints::default();
    // Of those at the door, the oldest first.
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    let mut greeted: JoinSet<Known> = JoinSet::new();
    loop {
        tokio::select! {
            // Nobody serves them any more.
            () = ready.closed() => return,
            accepted = accept(&listener) => match accepted {
                Ok(greeting) => {
                    let handle = greeted.spawn(greeting);
                    oldest.retain(|handle| !handle.is_finished());
                    if oldest.len() >= HANDSHAKES && let Some(given_up) = oldest.pop_front() {
                        given_up.abort();
                    }
                    oldest.push_back(handle);
                }
                Err(error) => {
                    complaints.say(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(known) = greeted.join_next() => {
                let known = known.unwrap_or_else(|_| Err(format!("more than {HANDSHAKES} handshakes at a time; the oldest is given up")));
                let slot = Arc::clone(&slots).try_acquire_owned();
                let connection = match (known, slot) {
                    (Ok((stream, caller)), Ok(slot)) => {
                        let deadline = Box::pin(tokio::time::sleep(HANDSHAKE));
                        Connection { stream, caller, _slot: slot, beginning: Some((deadline, PREFACE)) }
                    }
                    (Ok((_, caller)), Err(_)) => {
                        complaints.say(&format!("{caller} is turned away: there are {CONNECTIONS} connections"));
                        continue;
                    }
                    (Err(problem), _) => {
                        complaints.say(&problem);
                        continue;
                    }
                };
                if ready.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The next one, and how to find out who it is.
async fn accept(listener: &Listener) -> io::Result<Pin<Box<dyn Future<Output = Known> + Send>>> {
    Ok(match listener {
        Listener::Tcp(listener, tls) => {
            let (stream, address) = listener.accept().await?;
            let tls = tls.as_ref().map(|tls| tls.borrow().clone());
            Box::pin(tcp(stream, address, tls))
        }
        Listener::Unix(listener, group) => {
            let (stream, _) = listener.accept().await?;
            Box::pin(unix(stream, *group))
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        // Who connects and says nothing does not keep the place of one who would.
        if let Some((deadline, missing)) = &mut this.beginning {
            if read.is_pending() && deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            *missing = missing.saturating_sub(buffer.filled().len().saturating_sub(before));
            if *missing == 0 {
                this.beginning = None;
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
