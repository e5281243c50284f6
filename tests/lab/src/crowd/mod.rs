//! A crowd: any number of spokes played in user space, to load a hub as thousands of routers would.
//!
//! Owns the generator (`lab crowd`, run in a node of its own) and its use by scenarios ([`Crowd`]). The
//! spokes register, answer echo requests through the tunnel, and do nothing else: no forwarding, no
//! resolution, no renewal unless asked for another round.
//!
//! The node needs a local route to all NBMA addresses and one raw socket; nothing is configured per spoke.

mod attached;
mod book;
pub(crate) mod hub;
pub(crate) mod load;
mod pace;
mod packet;
mod spokes;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

pub(crate) use attached::Crowd;

use crate::failure::{Context, Result};
use book::Book;
use pace::Pace;
use packet::{Cloud, GRE, Incoming};
use spokes::Spokes;

/// Largest packet that can come in.
const LARGEST: usize = 65_535;

/// Socket buffer asked for; the kernel grants what its limits allow.
const BUFFER: usize = 8 << 20;

/// Time between two lines about the progress.
const REPORT: Duration = Duration::from_secs(1);

/// What a crowd does.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Number of spokes
    #[arg(long, default_value_t = 1000)]
    pub(crate) spokes: u32,
    /// Requests per second, whatever the hub does (open loop)
    #[arg(long, default_value_t = 150)]
    pub(crate) rate: u32,
    /// Requests that may be without an answer before the next one waits; 0 for any number
    #[arg(long, default_value_t = 100)]
    pub(crate) window: usize,
    /// Milliseconds until a spoke without an answer asks again
    #[arg(long, default_value_t = 3000)]
    pub(crate) timeout: u64,
    /// How many times all register: the first time is new to the hub, the others refresh
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: u32,
    /// Holding time that spokes ask for, in seconds
    #[arg(long, default_value_t = 600)]
    pub(crate) holdtime: u16,
    /// NBMA address of the first spoke; the others follow
    #[arg(long, default_value = "198.18.0.1")]
    pub(crate) nbma: Ipv4Addr,
    /// Overlay address of the first spoke; the others follow
    #[arg(long, default_value = "10.254.0.1")]
    pub(crate) overlay: Ipv4Addr,
    /// NBMA address of the hub
    #[arg(long)]
    pub(crate) hub_nbma: Ipv4Addr,
    /// Overlay address of the hub
    #[arg(long)]
    pub(crate) hub: Ipv4Addr,
    /// Key of the tunnel
    #[arg(long, default_value_t = 42)]
    pub(crate) key: u32,
}

/// Packets that are not counted in the book.
#[derive(Debug, Default)]
struct Traffic {
    echoes: AtomicU64,
    unexpected: AtomicU64,
    not_sent: AtomicU64,
}

/// What the sending and the receiving half share.
#[derive(Debug)]
struct Shared {
    cloud: Cloud,
    socket: Socket,
    hub: SockAddr,
    started: Instant,
    book: Mutex<Book>,
    traffic: Traffic,
}

/// `lab crowd`: registers everybody, then answers echo requests until it is ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    let spokes = Spokes { count: options.spokes, nbma: options.nbma, overlay: options.overlay };
    let Options { hub_nbma, hub, key, holdtime, .. } = *options;
    let timeout = Duration::from_millis(options.timeout);
    let shared = Arc::new(Shared {
        cloud: Cloud { spokes, hub_nbma, hub, key, holdtime },
        socket: open_socket()?,
        hub: SockAddr::from(SocketAddrV4::new(hub_nbma, 0)),
        started: Instant::now(),
        book: Mutex::new(Book::new(options.spokes, options.window, timeout)),
        traffic: Traffic::default(),
    });
    let (sender, rate, rounds) = (Arc::clone(&shared), options.rate, options.rounds);
    std::thread::spawn(move || {
        for round in 1..=rounds {
            if round > 1 {
                sender.book().again();
            }
            sender.register_all(round, rate);
        }
    });
    shared.receive()
}

/// For packets of protocol 47 with headers of our own.
fn open_socket() -> Result<Socket> {
    let what = || "opening a raw socket".to_owned();
    let protocol = Protocol::from(i32::from(GRE));
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol)).context(what)?;
    socket.set_header_included_v4(true).context(what)?;
    socket.set_recv_buffer_size(BUFFER).context(what)?;
    Ok(socket)
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// One round: everybody asks, at the rate, until everybody has an answer.
    fn register_all(&self, round: u32, rate: u32) {
        let began = self.now();
        let mut pace = Pace::new(rate);
        let mut reported = began;
        loop {
            let now = self.now();
            if now >= reported + REPORT {
                println!("round {round}: {}", self.book().counts());
                reported = now;
            }
            if !pace.take(now - began) {
                // Short enough to notice the end of the round and a timeout soon.
                std::thread::sleep(pace.wait(now - began).min(Duration::from_millis(50)));
                continue;
            }
            let asked = self.book().ask(now);
            match asked {
                Some((spoke, request_id)) => match self.cloud.registration_request(spoke, request_id) {
                    Ok(octets) => self.send(&octets),
                    Err(failure) => eprintln!("{failure}"),
                },
                None if self.book().is_complete() => break,
                None => {}
            }
        }
        let seconds = (self.now() - began).as_secs_f64();
        let book = self.book();
        println!(
            "round {round} complete in {seconds:.2} s: {}; {}; slots missed {}",
            book.counts(),
            book.latencies(),
            pace.missed()
        );
    }

    /// Takes what comes in, for ever.
    fn receive(&self) -> Result<()> {
        let mut buffer = vec![0; LARGEST];
        loop {
            let length = (&self.socket).read(&mut buffer).context(|| "receiving".to_owned())?;
            match self.cloud.understand(buffer.get(..length).unwrap_or_default()) {
                Incoming::RegistrationReply { spoke, request_id, code } => {
                    self.book().answered(self.now(), spoke, request_id, code);
                }
                Incoming::EchoRequest { answer } => {
                    self.send(&answer);
                    println!(
                        "echo requests answered {}",
                        1 + self.traffic.echoes.fetch_add(1, Ordering::Relaxed)
                    );
                }
                Incoming::Unexpected => {
                    let count = 1 + self.traffic.unexpected.fetch_add(1, Ordering::Relaxed);
                    println!("unexpected packets {count}");
                }
                Incoming::Foreign => {}
            }
        }
    }

    /// A packet that does not get out is one that got lost: its spoke asks again.
    fn send(&self, octets: &[u8]) {
        if let Err(error) = self.socket.send_to(octets, &self.hub) {
            let count = 1 + self.traffic.not_sent.fetch_add(1, Ordering::Relaxed);
            println!("packets not sent {count}: {error}");
        }
    }
}
