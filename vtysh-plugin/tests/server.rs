//! The socket, as watchfrr and vtysh see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../examples/vty_standalone/handler.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod handler;

use std::io::{ErrorKind, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use handler::Standalone;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use vtysh_plugin::{Command, Handler, LiveLog, MAX_REQUEST, Monitoring, Reply, VtyRequest, VtyServer};

struct Daemon {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Daemon {
    /// Listens; the requests come out of the channel.
    fn silent() -> (Self, mpsc::Receiver<VtyRequest>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nhrpd.vty");
        // FRR never removes its socket: the next start finds it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(VtyServer::bind(&path, None).unwrap().run(sender));
        (Self { _directory: directory, path }, receiver)
    }

    /// Answers like the example.
    fn answering() -> Self {
        let (daemon, mut requests) = Self::silent();
        tokio::spawn(async move {
            let mut handler = Standalone::new("10.3");
            while let Some(VtyRequest { command, reply }) = requests.recv().await {
                let _ = reply.send(handler.execute(command));
            }
        });
        daemon
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }
}

/// Everything up to the terminator of the `count`th reply.
async fn replies(stream: &mut UnixStream, count: usize) -> Vec<(String, u8)> {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    while out.len() < count {
        bytes.push(stream.read_u8().await.unwrap());
        if let [text @ .., 0, 0, 0, rc] = bytes.as_slice() {
            out.push((String::from_utf8(text.to_vec()).unwrap(), *rc));
            bytes.clear();
        }
    }
    out
}

#[tokio::test]
async fn watchfrr_gets_text_and_terminator_in_one_read() {
    let daemon = Daemon::answering();
    let mut stream = daemon.connect().await;
    for _ in 0..3 {
        stream.write_all(b"echo PING\0").await.unwrap();
        let mut buffer = [0; 64];
        let count = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"PING\n\0\0\0\0");
    }
}

#[tokio::test]
async fn requests_are_answered_in_order_however_they_arrive() {
    let daemon = Daemon::answering();
    let mut stream = daemon.connect().await;
    stream.write_all(b"enable\0bogus\0conf").await.unwrap();
    assert_eq!(
        replies(&mut stream, 2).await,
        [(String::new(), 0), ("% [NHRP] Unknown command: bogus\n".into(), 2)]
    );
    stream.write_all(b" t\0interface gre1\n\0 ip nhrp network-id 7\n\0do write terminal\0").await.unwrap();
    let answers = replies(&mut stream, 4).await;
    assert!(answers.iter().all(|(_, rc)| *rc == 0));
    assert!(answers[3].0.contains("interface gre1\n ip nhrp network-id 7\nexit\n"), "{}", answers[3].0);
}

#[tokio::test]
async fn an_overlong_request_is_refused_and_the_session_lives() {
    let daemon = Daemon::answering();
    let mut stream = daemon.connect().await;
    let mut request = vec![b'x'; MAX_REQUEST + 1];
    request.extend_from_slice(b"\0echo still here\0");
    stream.write_all(&request).await.unwrap();
    let answers = replies(&mut stream, 2).await;
    assert_eq!(answers, [("% Command is too long.\n".into(), 2), ("still here\n".into(), 0)]);
}

#[tokio::test]
async fn exit_at_the_top_answers_then_hangs_up() {
    let daemon = Daemon::answering();
    let mut stream = daemon.connect().await;
    stream.write_all(b"enable\0exit\0echo lost\0").await.unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => {}
        // The unread request resets the connection.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(bytes, [0; 8]);
}

#[tokio::test]
async fn sessions_are_independent() {
    let daemon = Daemon::answering();
    let (mut one, mut two) = (daemon.connect().await, daemon.connect().await);
    one.write_all(b"enable\0conf t\0nhrp nflog-group 1\0").await.unwrap();
    assert!(replies(&mut one, 3).await.iter().all(|(_, rc)| *rc == 0));
    two.write_all(b"nhrp nflog-group 1\0").await.unwrap();
    assert_eq!(replies(&mut two, 1).await[0].1, 2);
}

#[tokio::test]
async fn a_stalled_daemon_is_a_silent_one() {
    let (daemon, mut requests) = Daemon::silent();
    let mut stream = daemon.connect().await;
    stream.write_all(b"echo PING\0").await.unwrap();
    let request = requests.recv().await.unwrap();
    assert_eq!(request.command, Command::Echo("PING".into()));
    let early = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(early.is_err(), "answered without the daemon");
    drop(request);
    assert_eq!(replies(&mut stream, 1).await, [("% The daemon is shutting down\n".into(), 1)]);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_socket_is_for_its_group_only() {
    let daemon = Daemon::answering();
    let metadata = std::fs::metadata(&daemon.path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o770);
}

/// Such as a `vtysh -f` that is killed: what it has sent holds, and the daemon does not wait for the rest.
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_file_ends_the_file() {
    let (daemon, mut requests) = Daemon::silent();
    let mut client = daemon.connect().await;
    client.write_all(b"enable\0configure terminal\0XFRR_start_configuration\0").await.unwrap();
    let start = requests.recv().await.unwrap();
    assert_eq!(start.command, Command::BulkStart);
    start.reply.send(vtysh_plugin::Reply::ok()).unwrap();
    drop(client);
    assert_eq!(requests.recv().await.unwrap().command, Command::BulkEnd);
}

#[tokio::test]
async fn a_live_log_comes_as_a_descriptor_with_the_end_of_the_answer() {
    let (daemon, mut requests) = Daemon::silent();
    let mut stream = daemon.connect().await;
    stream.write_all(b"enable\0terminal monitor\0").await.unwrap();
    assert_eq!(replies(&mut stream, 1).await, [(String::new(), 0)]);
    let request = requests.recv().await.unwrap();
    assert_eq!(request.command, Command::TerminalMonitor(Monitoring::Session));
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let session = Arc::new(());
    let live = LiveLog { socket: Arc::new(theirs.into()), session: Some(Arc::clone(&session)) };
    request.reply.send(Reply { live: Some(live), ..Reply::text("said before\n") }).unwrap();

    // As vtysh does: the descriptor belongs to the message with the four octets.
    let mut stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    // On another thread: the server has this one.
    let stream = tokio::task::spawn_blocking(move || {
        let mut text = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut text).unwrap();
        assert_eq!(&text, b"said before\n");
        let (mut end, mut space) = ([0xff; 16], nix::cmsg_space!(std::os::fd::RawFd));
        let mut buffers = [IoSliceMut::new(&mut end)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::empty()).unwrap();
        let descriptors: Vec<_> = message.cmsgs().unwrap().collect();
        let [ControlMessageOwned::ScmRights(descriptors)] = descriptors.as_slice() else {
            panic!("{descriptors:?}")
        };
        assert_eq!((message.bytes, descriptors.len()), (4, 1));
        assert_eq!(end[..4], [0; 4]);
        // Nothing else holds the other end: what is sent arrives there.
        ours.send(b"a record").unwrap();
        let mut record = [0; 16];
        assert_eq!(recv(descriptors[0], &mut record, MsgFlags::empty()), Ok(8));
        stream
    })
    .await
    .unwrap();

    // Over with the session.
    assert_eq!(Arc::strong_count(&session), 2);
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), async {
        while Arc::strong_count(&session) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}
