//! Where the service listens, and the two threads it runs on: one for the transport, one for the datastores, so that
//! neither writing a large tree nor a slow client holds up the daemon's own loop.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use nhrp_yang::Schema;
use tokio::sync::{mpsc, watch};
use tonic::service::Routes;

use crate::accept::{Bound, connections};
use crate::job::{AnyDevice, Job};
use crate::proto::northbound_server::NorthboundServer;
use crate::proto_v1::candidates_server::CandidatesServer;
use crate::service::Service;
use crate::tls::Tls;
use crate::v1::{EventLoop, Own};
use crate::{Datastores, Limits};

/// FRR's.
pub const DEFAULT_PORT: u16 = 50051;
/// Calls that wait for the datastores; more wait in their connections.
const QUEUE: usize = 64;
/// Octets of the longest message that a client may send.
const MAX_MESSAGE: usize = 4 << 20;
/// Calls under way of one connection.
const STREAMS: u32 = 100;
/// A client that does not answer a ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How much less than the daemon's loop both threads get of a processor that they share.
const NICE: i32 = 10;
/// How long the end of the daemon waits for calls under way.
const PATIENCE: Duration = Duration::from_secs(2);
/// The part of it that clients have to take the ends of their calls; whoever has not by then loses the connection.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl Default for Listener {
    /// FRR listens on every address; this daemon only where no other host is.
    fn default() -> Self {
        Self::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DEFAULT_PORT))
    }
}

impl FromStr for Listener {
    type Err = String;

    /// `unix:PATH`, `ADDRESS:PORT` or `ADDRESS`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("unix: without a path".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let with_port = text.parse::<SocketAddr>().ok();
        let alone = text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DEFAULT_PORT));
        with_port
            .or(alone)
            .map(Self::Tcp)
            .ok_or_else(|| format!("\"{text}\" is neither ADDRESS, ADDRESS:PORT nor unix:PATH"))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Whether other hosts can reach it.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }

    /// Binds it. A unix socket is for its owner and `group`, like the vty's.
    fn bind(&self, group: Option<u32>, tls: Option<watch::Receiver<Tls>>) -> io::Result<Bound> {
        match self {
            Self::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Bound::Tcp(listener, tls))
            }
            Self::Unix(path) => {
                remove_socket(path)?;
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o770))?;
                if group.is_some() {
                    chown(path, None, group)?;
                }
                listener.set_nonblocking(true)?;
                Ok(Bound::Unix(listener, group))
            }
        }
    }
}

/// Removes what an earlier life has left, and nothing but a socket.
fn remove_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The running service; it ends with this value.
#[derive(Debug)]
pub struct Server {
    stop: Option<watch::Sender<()>>,
    ended: std_mpsc::Receiver<()>,
}

/// Starts the service, on a unix socket always without TLS; what handshakes are done with may change. The schema lives
/// as long as the process.
///
/// # Errors
/// The address cannot be listened on, or there are no more threads.
pub fn serve(
    listener: &Listener,
    group: Option<u32>,
    tls: Option<watch::Receiver<Tls>>,
    schema: &'static Schema,
    device: AnyDevice,
    daemon: Arc<dyn EventLoop>,
    version: String,
) -> io::Result<Server> {
    let bound = listener.bind(group, tls)?;
    let (jobs, mut waiting) = mpsc::channel::<Job>(QUEUE);
    let (stop, stopped) = watch::channel(());
    let (ending, ended) = std_mpsc::channel();
    let transport_ending = ending.clone();
    thread::Builder::new().name("datastores".into()).spawn(move || {
        yield_to_the_loop();
        let mut stores = Datastores::new(schema, device, Limits::default());
        while let Some(job) = waiting.blocking_recv() {
            job.run(&mut stores);
        }
        drop(ending);
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("northbound".into()).spawn(move || {
        yield_to_the_loop();
        let service = Service::new(jobs, version);
        if let Err(error) = runtime.block_on(transport(bound, service, Own::new(daemon), stopped)) {
            tracing::error!(target: "nhrp::common", "the gRPC service has ended: {error}; restart nhrpd to use it again");
        }
        // What is still being sent now is given up, and with it the way to the datastores.
        runtime.shutdown_background();
        drop(transport_ending);
    })?;
    Ok(Server { stop: Some(stop), ended })
}

/// Has this thread wait where the daemon's loop wants the same processor.
fn yield_to_the_loop() {
    // Linux has a priority for each thread; whoever may not lower it works all the same.
    let _ = rustix::process::nice(NICE);
}

async fn transport(
    bound: Bound,
    service: Service,
    own: Own,
    stopped: watch::Receiver<()>,
) -> Result<(), Box<dyn std::error::Error>> {
    let candidates = CandidatesServer::new(service.clone());
    let northbound = NorthboundServer::new(service).max_decoding_message_size(MAX_MESSAGE);
    let router = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_routes(own.beside(Routes::new(northbound).add_service(candidates)));
    // The daemon's loop is gone by then, so that every call ends by itself, and says so.
    let serving = router.serve_with_incoming_shutdown(connections(bound)?, end_of(stopped.clone()));
    tokio::select! {
        ended = serving => Ok(ended?),
        () = async { end_of(stopped).await; tokio::time::sleep(FAREWELL).await } => Ok(()),
    }
}

/// Waits for the end of the daemon.
async fn end_of(mut stopped: watch::Receiver<()>) {
    // Nothing is ever sent: the sender's end is the word.
    while stopped.changed().await.is_ok() {}
}

impl Drop for Server {
    /// Clients are told that calls under way are given up, but for the one that the datastores are at. To be dropped
    /// after what answers the daemon's side of them.
    fn drop(&mut self) {
        drop(self.stop.take());
        // Both threads let go of their end when they are done.
        if self.ended.recv_timeout(PATIENCE) == Err(std_mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(target: "nhrp::common", "a gRPC call is still being answered; not waiting for it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen() {
        let tcp = |text: &str| Ok(Listener::Tcp(text.parse().unwrap()));
        assert_eq!("127.0.0.1".parse(), tcp("127.0.0.1:50051"));
        assert_eq!("::1".parse(), tcp("[::1]:50051"));
        assert_eq!("[::1]:5000".parse(), tcp("[::1]:5000"));
        assert_eq!("unix:/run/x".parse(), Ok(Listener::Unix("/run/x".into())));
        for refused in ["", "unix:", "localhost", "127.0.0.1:", "127.0.0.1:70000", "/run/x"] {
            assert!(refused.parse::<Listener>().is_err(), "{refused}");
        }
        for (text, open) in
            [("127.0.0.1", false), ("::1", false), ("unix:/x", false), ("0.0.0.0", true), ("::", true)]
        {
            assert_eq!(text.parse::<Listener>().unwrap().is_open_to_others(), open, "{text}");
        }
    }

    #[test]
    fn only_a_socket_is_removed() {
        let path = std::env::temp_dir().join(format!("northbound-{}", std::process::id()));
        std::fs::write(&path, "not mine").unwrap();
        let refused = Listener::Unix(path.clone()).bind(None, None).err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::AlreadyExists));
        std::fs::remove_file(&path).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        Listener::Unix(path.clone()).bind(None, None).map(drop).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o770);
    }
}
