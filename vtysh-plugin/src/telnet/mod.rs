//! The vty by telnet, port 2610: login, line editing, `?` and Tab as in FRR, over TCP in clear text.
//!
//! Owns connections and who may open one. Executes nothing: commands go to the daemon by the channel that the vty
//! socket uses, and settings come from it.

mod access;
mod editor;
mod pager;
mod terminal;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::yield_now;

use access::allows;
pub use access::{AccessRule, Password};
use pager::Pager;
use terminal::{Do, Terminal};

use crate::{Banner, Reply, Session, VtyRequest};

/// FRR's.
const BACKLOG: i32 = 3;
/// One operator needs one; more wait in the backlog, so that nobody fills the daemon's table of descriptors.
const MAX_CONNECTIONS: usize = 32;
/// Octets of echo that may wait for more; an answer is longer, and so are the words for a `?` or Tab.
const FLUSH: usize = 64;
/// Octets of a banner's file that are shown.
const MAX_BANNER: u64 = 8192;

/// What the configuration says about terminals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminalSettings {
    /// In front of each prompt.
    pub hostname: String,
    /// FRR's release, for the built-in greeting.
    pub version: String,
    /// `banner motd`
    pub banner: Banner,
    /// `no login` clears it: nobody is asked for a password.
    pub login: bool,
    /// `password`; without one and with `login`, nobody gets in.
    pub password: Option<Password>,
    /// `enable password`
    pub enable_password: Option<Password>,
    /// `service advanced-vty`: who has logged in is in ENABLE at once if that needs no password.
    pub advanced: bool,
    /// `exec-timeout`; none for never.
    pub timeout: Option<Duration>,
    /// `service terminal-length`: lines shown at once, 0 for all; none for as many as the client's window has.
    pub page_length: Option<u16>,
    /// `access-class` and `ipv6 access-class`: rules for the client's address, in order; none for anybody.
    pub access: [Option<Vec<AccessRule>>; 2],
    /// `log commands`: what is typed is logged, on the vty socket as well.
    pub log_commands: bool,
}

impl TerminalSettings {
    /// Printed to each client, lines ending in `\n`.
    fn greeting(&self) -> String {
        match &self.banner {
            Banner::Default => format!(
                "\nHello, this is FRRouting (version {}), with nhrpd {} in its place.\n\n",
                self.version,
                env!("CARGO_PKG_VERSION")
            ),
            Banner::None => String::new(),
            // What follows begins with a line feed.
            Banner::Line(text) => text.clone(),
            Banner::File(path) => read_banner(path),
        }
    }
}

/// Of a file only, and no more than a screen takes: a pipe would make everybody wait.
fn read_banner(path: &str) -> String {
    let mut text = String::new();
    if std::fs::metadata(path).is_ok_and(|about| about.is_file())
        && let Ok(file) = std::fs::File::open(path)
    {
        // What can be read is shown.
        let _ = file.take(MAX_BANNER).read_to_string(&mut text);
    }
    text
}

/// The listening sockets.
#[derive(Debug)]
pub struct TelnetServer {
    listeners: Vec<TcpListener>,
}

type Connected = Arc<Mutex<BTreeMap<u64, IpAddr>>>;

impl TelnetServer {
    /// Binds `port` on these addresses, or if there are none on all of both families. Needs a tokio runtime.
    ///
    /// # Errors
    /// Those of the system calls, if no address can be bound.
    pub fn bind(addresses: &[IpAddr], port: u16) -> io::Result<Self> {
        let all = [IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8])];
        let wanted = if addresses.is_empty() { all.as_slice() } else { addresses };
        let mut listeners = Vec::new();
        let mut failure = None;
        for address in wanted {
            match listen(SocketAddr::new(*address, port)) {
                Ok(listener) => listeners.push(listener),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            // A machine without IPv6 has no such address to listen on.
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(Self { listeners }),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until the receiving end of `requests` is gone.
    pub async fn run(self, requests: mpsc::Sender<VtyRequest>, settings: watch::Receiver<TerminalSettings>) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connected = Connected::default();
        let mut accepting = tokio::task::JoinSet::new();
        for listener in self.listeners {
            let door = Door {
                requests: requests.clone(),
                settings: settings.clone(),
                slots: Arc::clone(&slots),
                connected: Arc::clone(&connected),
            };
            accepting.spawn(door.accept(listener));
        }
        accepting.join_all().await;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// What each listening socket needs to open a session.
struct Door {
    requests: mpsc::Sender<VtyRequest>,
    settings: watch::Receiver<TerminalSettings>,
    slots: Arc<Semaphore>,
    connected: Connected,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        let mut number = 0;
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "telnet vty: cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = self.requests.closed() => return,
            };
            if !allows(&self.settings.borrow().access, peer.ip()) {
                tracing::info!("telnet vty: connection from {} refused by access-class", peer.ip());
                continue;
            }
            // FRR's words.
            tracing::info!("Vty connection from {}", peer.ip());
            number += 1;
            let id = number * 2 + u64::from(peer.is_ipv6());
            let from = Session::origin(stream.as_raw_fd(), Some(peer.ip()));
            let connection = Connection {
                stream,
                requests: self.requests.clone(),
                settings: self.settings.clone(),
                connected: Arc::clone(&self.connected),
            };
            let connected = Arc::clone(&self.connected);
            tokio::spawn(async move {
                let _slot = slot;
                if let Ok(mut all) = connected.lock() {
                    all.insert(id, peer.ip());
                }
                if let Err(error) = connection.serve_login(from).await {
                    tracing::debug!(%error, "telnet vty: connection lost");
                }
                if let Ok(mut all) = connected.lock() {
                    all.remove(&id);
                }
            });
        }
    }
}

/// A session on the vty socket that becomes a terminal (see [`crate::INTERACTIVE`]): the same keys, help and answers,
/// without a login or a time limit.
pub(crate) async fn serve_local<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    from: String,
    requests: mpsc::Sender<VtyRequest>,
    settings: watch::Receiver<TerminalSettings>,
) -> io::Result<()> {
    let mut out = Vec::new();
    let terminal = Terminal::local(&settings.borrow().clone(), &mut out).typed_by(from);
    let connection = Connection { stream, requests, settings, connected: Connected::default() };
    connection.serve(terminal, out, false).await
}

struct Connection<S> {
    stream: S,
    requests: mpsc::Sender<VtyRequest>,
    settings: watch::Receiver<TerminalSettings>,
    connected: Connected,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve_login(mut self, from: String) -> io::Result<()> {
        let mut out = Vec::new();
        let settings = self.settings.borrow().clone();
        match Terminal::open(&settings, &mut out) {
            Some(terminal) => self.serve(terminal.typed_by(from), out, true).await,
            None => self.stream.write_all(&out).await,
        }
    }

    async fn serve(mut self, mut terminal: Terminal, out: Vec<u8>, limited: bool) -> io::Result<()> {
        let ended = self.converse(&mut terminal, out, limited).await;
        if let Some(command) = terminal.left_behind() {
            self.ask(command).await;
        }
        ended
    }

    async fn converse(&mut self, terminal: &mut Terminal, mut out: Vec<u8>, limited: bool) -> io::Result<()> {
        let mut buffer = vec![0; 1024];
        let mut pager = Pager::default();
        // What was typed behind a command whose answer takes more than a screen.
        let mut typed: VecDeque<u8> = VecDeque::new();
        loop {
            let mut settings = self.settings.borrow().clone();
            if typed.is_empty() && !pager.waits() {
                self.stream
                    .write_all(&pager.next(&mut out, terminal.take_echoed(), terminal.screen(&settings)))
                    .await?;
            }
            if typed.is_empty() || pager.waits() {
                let read = self.stream.read(&mut buffer);
                let count = match settings.timeout.filter(|_| limited) {
                    Some(timeout) => match tokio::time::timeout(timeout, read).await {
                        Ok(count) => count?,
                        Err(_) => {
                            return self.stream.write_all(b"\r\nVty connection is timed out.\r\n").await;
                        }
                    },
                    None => read.await?,
                };
                if count == 0 {
                    return Ok(());
                }
                settings = self.settings.borrow().clone();
                let keys = buffer.get(..count).unwrap_or_default();
                if pager.waits() {
                    // All of them, for what is negotiated comes that way, too.
                    let enough = keys.iter().filter(|octet| terminal.is_enough(**octet)).count();
                    if enough > 0 {
                        pager.abandon();
                        terminal.again(&settings, &mut out);
                    }
                    self.stream
                        .write_all(&pager.next(&mut out, terminal.take_echoed(), terminal.screen(&settings)))
                        .await?;
                    continue;
                }
                typed.extend(keys);
            }
            while let Some(octet) = typed.pop_front() {
                // Each answer goes out before the next one is made, and then it is somebody else's turn, however much
                // has been typed at once.
                if out.len() > FLUSH {
                    self.stream
                        .write_all(&pager.next(&mut out, terminal.take_echoed(), terminal.screen(&settings)))
                        .await?;
                    if pager.waits() {
                        typed.push_front(octet);
                        break;
                    }
                    yield_now().await;
                }
                let mut next = terminal.octet(octet, &settings, &mut out);
                if let Some(message) = terminal.take_logged() {
                    self.ask(message).await;
                }
                loop {
                    next = match next {
                        Do::Nothing => break,
                        Do::Close => return self.stream.write_all(&out).await,
                        Do::Who => terminal.say(&self.who(), &settings, &mut out),
                        Do::Ask(command, asking) => {
                            let reply = self.ask(command).await;
                            settings = self.settings.borrow().clone();
                            terminal.answered(asking, reply, &settings, &mut out)
                        }
                    };
                }
            }
        }
    }

    async fn ask(&self, command: crate::Command) -> Reply {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(VtyRequest { command, reply }).await.is_ok();
        match answer.await {
            Ok(reply) if sent => reply,
            _ => Reply { close: true, ..Reply::warning("% The daemon is shutting down") },
        }
    }

    fn who(&self) -> Reply {
        let lines = self.connected.lock().map(|all| {
            all.iter().map(|(id, peer)| format!(" vty[{id}] connected from {peer}.\n")).collect::<String>()
        });
        Reply::text(lines.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_a_file_and_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("motd");
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        assert_eq!(read_banner(path.to_str().unwrap()).len(), usize::try_from(MAX_BANNER).unwrap());
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for other in [pipe.to_str().unwrap(), "/dev/zero", "/", "/nowhere"] {
            assert_eq!(read_banner(other), "", "{other}");
        }
    }
}
