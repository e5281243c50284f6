//! A zebra on a real Unix socket, as far as the client's tests need one.
#![allow(dead_code, unreachable_pub)]

use std::io;
use std::path::Path;
use std::time::Duration;

use nhrp_zapi::{
    Backoff, Capabilities, Epoch, Event, FrameBuffer, Gre, Message, Options, ReleaseTable, Request, Route,
    RouteNexthop, VrfBackend, ZebraClient,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// zebra's end of a connection.
pub struct Fake {
    stream: UnixStream,
    frames: FrameBuffer,
    pub table: &'static ReleaseTable,
}

impl Fake {
    pub async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self { stream, frames: FrameBuffer::default(), table: ReleaseTable::of(Epoch::Frr10_2) }
    }

    /// The next request, or `None` at the end of the stream.
    pub async fn request(&mut self) -> Option<Request> {
        loop {
            if let Some((header, body)) = self.frames.next_frame().unwrap() {
                return Some(Request::decode(self.table, header, body).unwrap().expect("a request of nhrpd"));
            }
            self.stream.readable().await.unwrap();
            let mut buffer = [0; 65536];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return None,
                Ok(octets) => self.frames.extend(&buffer[..octets]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(self.table, &mut bytes).unwrap();
        self.say_bytes(&bytes).await;
    }

    pub async fn say_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.stream.writable().await.unwrap();
            match self.stream.try_write(bytes) {
                Ok(octets) => bytes = &bytes[octets..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// HELLO and its answer; then the next request, if there is one.
    pub async fn hello_only(&mut self) -> Option<Request> {
        self.hello().await;
        self.request().await
    }

    async fn hello(&mut self) {
        assert_eq!(self.request().await, Some(Request::Hello));
        self.say(&Message::Capabilities(Capabilities {
            vrf_backend: VrfBackend::Lite,
            mpls: false,
            multipath: 16,
            mlag_role: 0,
            v6_with_v4_nexthop: Some(false),
            graceful_restart: Some(false),
        }))
        .await;
    }

    /// HELLO, answer, start sequence, end of an empty dump.
    pub async fn open(&mut self) {
        self.hello().await;
        loop {
            if let Some(Request::GreGet { ifindex }) = self.request().await {
                self.say(&Message::Gre(gre(ifindex))).await;
                return;
            }
        }
    }
}

pub fn gre(ifindex: u32) -> Gre {
    Gre { vrf: 0, ifindex, key: None, link_ifindex: None, link_vrf: None, local: None, remote: None }
}

pub fn options(socket: &Path) -> Options {
    let pause = Duration::from_millis(10);
    Options { reconnect: Backoff { fast: pause, fast_tries: 3, slow: pause * 2 }, ..Options::new(socket) }
}

pub fn route(number: u32) -> Route {
    let prefix = ipnet::Ipv4Net::new((0x0a00_0000 + number).into(), 32).unwrap();
    Route::new(prefix.into(), RouteNexthop::Interface { ifindex: 6 })
}

pub async fn until(client: &mut ZebraClient, wanted: impl Fn(&Event) -> bool) -> Event {
    let search = async {
        loop {
            let event = client.next().await;
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("the event came")
}

pub async fn connect(client: &mut ZebraClient, listener: &UnixListener) -> Fake {
    let zebra = async {
        let mut fake = Fake::accept(listener).await;
        fake.open().await;
        fake
    };
    let (fake, _) = tokio::join!(zebra, until(client, |event| *event == Event::Synced));
    fake
}
