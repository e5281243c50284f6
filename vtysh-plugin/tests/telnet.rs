//! The telnet vty over TCP: who gets in, who is thrown out, and what a bad client cannot do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../examples/vty_standalone/handler.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod handler;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use handler::Standalone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use vtysh_plugin::{AccessRule, Handler, Password, TelnetServer, TerminalSettings, VtyRequest};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn settings() -> TerminalSettings {
    TerminalSettings {
        hostname: "r1".into(),
        login: true,
        password: Some(Password::parse("zebra")),
        ..TerminalSettings::default()
    }
}

struct Daemon {
    address: SocketAddr,
    settings: watch::Sender<TerminalSettings>,
}

impl Daemon {
    fn start(settings: TerminalSettings) -> Self {
        let server = TelnetServer::bind(&[LOOPBACK], 0).unwrap();
        let address = server.addresses()[0];
        let (settings, follow) = watch::channel(settings);
        let (sender, mut requests) = mpsc::channel(4);
        tokio::spawn(server.run(sender, follow));
        tokio::spawn(async move {
            let mut handler = Standalone::new("10.3");
            while let Some(VtyRequest { command, reply }) = requests.recv().await {
                let _ = reply.send(handler.execute(command));
            }
        });
        Self { address, settings }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn logged_in(&self) -> TcpStream {
        let mut client = self.connect().await;
        until(&mut client, "Password: ").await;
        client.write_all(b"zebra\r\n").await.unwrap();
        until(&mut client, "r1> ").await;
        client
    }
}

/// Reads until the text ends like this, or to the end of the connection.
async fn until(client: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !text.ends_with(end.as_bytes()) {
            match client.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text.extend_from_slice(&buffer[..count]),
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), reading).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(done.is_ok(), "no {end:?} in {text:?}");
    text
}

#[tokio::test]
async fn commands_reach_the_daemon_and_answers_the_terminal() {
    let daemon = Daemon::start(settings());
    let mut client = daemon.logged_in().await;
    client.write_all(b"enable\r\nconf t\r\ninterface gre1\r\nip nhrp network-id 7\r\nend\r\n").await.unwrap();
    until(&mut client, "r1(config-if)# end\r\nr1# ").await;
    client.write_all(b"show running-config\r\n").await.unwrap();
    let shown = until(&mut client, "end\r\nr1# ").await;
    assert!(shown.contains("interface gre1\r\n ip nhrp network-id 7\r\nexit\r\n"), "{shown}");
    let _other = daemon.logged_in().await;
    client.write_all(b"who\r\n").await.unwrap();
    let who = until(&mut client, "r1# ").await;
    assert_eq!(who.matches("connected from 127.0.0.1.\r\n").count(), 2, "{who}");
    client.write_all(b"exit\r\n").await.unwrap();
    assert_eq!(until(&mut client, "never").await, "exit\r\n");
}

#[tokio::test]
async fn an_idle_terminal_is_ended() {
    let daemon = Daemon::start(TerminalSettings { timeout: Some(Duration::from_millis(200)), ..settings() });
    let mut client = daemon.connect().await;
    assert!(until(&mut client, "never").await.ends_with("\r\nVty connection is timed out.\r\n"));
}

#[tokio::test]
async fn a_change_of_the_configuration_reaches_open_sessions() {
    let daemon = Daemon::start(settings());
    let mut client = daemon.logged_in().await;
    daemon.settings.send_modify(|settings| {
        settings.hostname = "r2".into();
        settings.enable_password = Some(Password::parse("secret"));
    });
    client.write_all(b"enable\r\n").await.unwrap();
    until(&mut client, "Password: ").await;
    client.write_all(b"secret\r\n").await.unwrap();
    until(&mut client, "r2# ").await;
}

#[tokio::test]
async fn access_class_keeps_clients_out() {
    let rules = |rule| [Some(vec![AccessRule::parse(rule).unwrap()]), None];
    let daemon = Daemon::start(TerminalSettings { access: rules("deny 127.0.0.0/8"), ..settings() });
    assert_eq!(until(&mut daemon.connect().await, "never").await, "");
    daemon.settings.send_modify(|settings| settings.access = rules("permit 127.0.0.1/32"));
    daemon.logged_in().await;
}

#[tokio::test]
async fn a_client_that_never_reads_stops_only_itself() {
    let daemon = Daemon::start(settings());
    let mut deaf = daemon.logged_in().await;
    deaf.write_all(b"enable\r\n").await.unwrap();
    // More answers than the buffers of a connection hold: its own commands wait then.
    let asks = b"list\r\n".repeat(20_000);
    let _ = tokio::time::timeout(Duration::from_secs(2), deaf.write_all(&asks)).await;
    let mut other = daemon.logged_in().await;
    other.write_all(b"show history\r\n").await.unwrap();
    until(&mut other, "r1> ").await;
}

#[tokio::test]
async fn connections_are_limited_and_come_back() {
    let daemon = Daemon::start(settings());
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(daemon.logged_in().await);
    }
    let mut late = daemon.connect().await;
    let greeted = tokio::time::timeout(Duration::from_millis(300), late.read_u8()).await;
    assert!(greeted.is_err(), "a place too many");
    drop(open.pop());
    until(&mut late, "Password: ").await;
}

#[tokio::test]
async fn rubbish_ends_in_no_more_than_an_unknown_command() {
    let daemon = Daemon::start(settings());
    let mut client = daemon.logged_in().await;
    let rubbish: Vec<u8> = (0..100_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    // ^D would end the session.
    let rubbish: Vec<u8> = rubbish.into_iter().filter(|octet| *octet != 4).collect();
    let _ = tokio::time::timeout(Duration::from_secs(5), client.write_all(&rubbish)).await;
    daemon.logged_in().await;
}

/// Who asks for much at once and reads nothing costs one answer at a time: the next is not made before there is room.
#[tokio::test]
async fn answers_that_nobody_reads_are_not_made_in_advance() {
    let server = TelnetServer::bind(&[LOOPBACK], 0).unwrap();
    let address = server.addresses()[0];
    let (_settings, follow) = watch::channel(TerminalSettings { login: false, ..settings() });
    let (sender, mut requests) = mpsc::channel(4);
    tokio::spawn(server.run(sender, follow));
    let mut client = TcpStream::connect(address).await.unwrap();
    until(&mut client, "r1> ").await;
    client.write_all(&b"show ip nhrp\r\n".repeat(50)).await.unwrap();
    let mut made = 0;
    while let Ok(Some(VtyRequest { reply, .. })) =
        tokio::time::timeout(Duration::from_millis(500), requests.recv()).await
    {
        made += 1;
        let _ = reply.send(vtysh_plugin::Reply::text("x".repeat(4 << 20)));
    }
    assert!((1..10).contains(&made), "{made} answers of 4 MiB were made for a client that does not read");
}
