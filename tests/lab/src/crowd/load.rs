//! Load that measures (`lab load`): registrations as fast as a hub answers them, or at a fixed rate.
//!
//! Owns the loop, one thread of it, and the figures. Every packet is encoded before the clock starts; afterwards a
//! request costs one system call, an answer another. Only what came in from the wire counts as an answer.
//!
//! - *Closed loop*: a number of requests is always without an answer; the hub sets the pace.
//! - *Open loop*: requests leave at their times whatever the hub does, and latencies count from those times, so that
//!   a generator that was held up does not hide what it would have seen.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Args;
use nhrp_wire::checksum;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use socket2::{SockAddr, Socket};

use super::book::Book;
use super::packet::{Cloud, TUNNEL_HEADER};
use super::spokes::Spokes;
use super::{BUFFER, open_socket};
use crate::failure::{Context, Result};

/// A spoke would ask again: in a closed loop an answer that takes longer is lost, in an open one late. If none at all
/// comes for as long, what is missing is lost there, too.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(3);

/// Answers taken in a row before the next request leaves.
const ANSWERS_IN_A_ROW: usize = 64;

/// What a load is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Number of spokes
    #[arg(long)]
    pub(crate) spokes: u32,
    /// Number of the first spoke: it decides the addresses
    #[arg(long, default_value_t = 0)]
    pub(crate) first: u32,
    /// How many times all register: the first time may be new to the hub, the others refresh
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: u32,
    /// Closed loop: requests without an answer at any time
    #[arg(long, default_value_t = 100)]
    pub(crate) window: usize,
    /// Open loop: requests per second
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Holding time that spokes ask for, in seconds
    #[arg(long, default_value_t = 7200)]
    pub(crate) holdtime: u16,
    /// NBMA address of spoke 0; the others follow
    #[arg(long)]
    pub(crate) nbma: Ipv4Addr,
    /// Overlay address of spoke 0; the others follow
    #[arg(long)]
    pub(crate) overlay: Ipv4Addr,
    /// NBMA address of the hub
    #[arg(long)]
    pub(crate) hub_nbma: Ipv4Addr,
    /// Overlay address of the hub
    #[arg(long)]
    pub(crate) hub: Ipv4Addr,
    /// Key of the tunnel
    #[arg(long)]
    pub(crate) key: u32,
}

/// What came of a load; one line of JSON on standard output.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Registrations that the hub confirmed.
    pub(crate) registered: u32,
    /// Registrations that it refused.
    pub(crate) refused: u32,
    /// Requests without an answer; in a closed loop without one in time, and their spokes asked again.
    pub(crate) lost: u32,
    /// Open loop: requests whose answer took longer than [`LOST_AFTER`].
    pub(crate) late: u32,
    /// When the first request left, by the clock that all processes share ([`uptime`]).
    pub(crate) began: f64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Half of the answers came within this time, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 of 100 answers came within this time, in milliseconds.
    pub(crate) p99_ms: f64,
    /// Processor time of the generator in these seconds.
    pub(crate) cpu_seconds: f64,
}

/// `lab load`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let at = |base: Ipv4Addr| Ipv4Addr::from_bits(base.to_bits().wrapping_add(options.first));
    let spokes = Spokes { count: options.spokes, nbma: at(options.nbma), overlay: at(options.overlay) };
    let Options { hub_nbma, hub, key, holdtime, .. } = *options;
    let cloud = Cloud { spokes, hub_nbma, hub, key, holdtime };
    let requests: Result<Vec<Vec<u8>>> =
        (0..spokes.count).map(|spoke| cloud.registration_request(spoke, 0)).collect();
    let socket = open_socket()?;
    let what = || "preparing the raw socket".to_owned();
    socket.set_nonblocking(true).context(what)?;
    // Beyond the system's limit: a loss is to be the hub's.
    setsockopt(&socket, RcvBufForce, &BUFFER).context(what)?;
    // Not connected: that would bind it to one address of the many that answers come to.
    let hub = SockAddr::from(SocketAddrV4::new(hub_nbma, 0));
    let mut load =
        Load { cloud, requests: requests?, socket, hub, buffer: vec![0; 4096], started: Instant::now() };
    let outcome = match options.rate {
        Some(rate) => load.open_loop(rate)?,
        None => load.closed_loop(options.rounds, options.window)?,
    };
    let line = serde_json::to_string(&outcome).context(|| "writing the figures".to_owned())?;
    println!("{line}");
    Ok(())
}

struct Load {
    cloud: Cloud,
    requests: Vec<Vec<u8>>,
    socket: Socket,
    hub: SockAddr,
    buffer: Vec<u8>,
    started: Instant,
}

impl Load {
    fn closed_loop(&mut self, rounds: u32, window: usize) -> Result<Outcome> {
        let mut book = Book::new(self.cloud.spokes.count, window, LOST_AFTER);
        let mut outcome = Outcome { began: uptime()?, ..Outcome::default() };
        let cpu = cpu_seconds()?;
        self.started = Instant::now();
        for round in 1..=rounds {
            if round > 1 {
                book.again();
            }
            while !book.is_complete() {
                let now = self.started.elapsed();
                while let Some((spoke, request_id)) = book.ask(now) {
                    self.ask(spoke, request_id)?;
                }
                if self.take_answers(&mut book)? == 0 {
                    self.wait(Duration::from_millis(10))?;
                }
            }
            let counts = book.counts();
            outcome.registered += counts.registered;
            outcome.refused += counts.refused;
            outcome.lost += counts.unanswered;
        }
        outcome.seconds = self.started.elapsed().as_secs_f64();
        outcome.cpu_seconds = cpu_seconds()? - cpu;
        outcome.latencies(&book);
        Ok(outcome)
    }

    fn open_loop(&mut self, rate: u32) -> Result<Outcome> {
        let count = self.cloud.spokes.count;
        // Nobody asks twice: what is not answered in time is lost.
        let mut book = Book::new(count, 0, Duration::MAX / 4);
        let due = |request: u32| Duration::from_secs_f64(f64::from(request) / f64::from(rate.max(1)));
        let cpu = cpu_seconds()?;
        let began = uptime()?;
        self.started = Instant::now();
        let mut asked = 0;
        let mut last_answer = Duration::ZERO;
        while !book.is_complete() {
            let now = self.started.elapsed();
            // As long as answers come the hub is late, and what it works off must not fall into the next measurement.
            let end = due(count).max(last_answer) + LOST_AFTER;
            if now >= end {
                break;
            }
            while asked < count && due(asked) <= now {
                if let Some((spoke, request_id)) = book.ask(due(asked)) {
                    self.ask(spoke, request_id)?;
                }
                asked += 1;
            }
            if self.take_answers(&mut book)? > 0 {
                last_answer = self.started.elapsed();
            } else {
                let next = if asked < count { due(asked) } else { end };
                self.wait(next.saturating_sub(self.started.elapsed()))?;
            }
        }
        let counts = book.counts();
        let mut outcome = Outcome {
            registered: counts.registered,
            refused: counts.refused,
            began,
            seconds: last_answer.as_secs_f64(),
            cpu_seconds: cpu_seconds()? - cpu,
            ..Outcome::default()
        };
        outcome.lost = count.saturating_sub(counts.registered + counts.refused);
        let in_time = u32::try_from(book.latencies().within(LOST_AFTER)).unwrap_or(count);
        outcome.late = count.saturating_sub(outcome.lost + in_time);
        outcome.latencies(&book);
        Ok(outcome)
    }

    fn ask(&mut self, spoke: u32, request_id: u32) -> Result<()> {
        let index = usize::try_from(spoke).context(|| format!("spoke {spoke}"))?;
        let request = self.requests.get_mut(index).context(|| format!("no spoke {spoke}"))?;
        set_request_id(request, request_id).context(|| format!("no request of spoke {spoke}"))?;
        match self.socket.send_to(request, &self.hub) {
            // A full queue is a loss like any other: the answer will not come.
            Ok(_) => Ok(()),
            Err(error) if queue_is_full(&error) => Ok(()),
            Err(error) => Err(error).context(|| "sending".to_owned()),
        }
    }

    /// Takes answers that are there; tells how many packets came in.
    fn take_answers(&mut self, book: &mut Book) -> Result<usize> {
        for taken in 0..ANSWERS_IN_A_ROW {
            let length = match (&self.socket).read(&mut self.buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
                Err(error) => return Err(error).context(|| "receiving".to_owned()),
            };
            let answer = self.buffer.get(..length).and_then(|octets| Answer::read(&self.cloud, octets));
            if let Some(answer) = answer {
                book.answered(self.started.elapsed(), answer.spoke, answer.request_id, answer.code);
            }
        }
        Ok(ANSWERS_IN_A_ROW)
    }

    fn wait(&self, timeout: Duration) -> Result<()> {
        let timeout = TimeSpec::from_duration(timeout.min(Duration::from_millis(10)));
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut sockets, Some(timeout), None).map(drop).context(|| "waiting for answers".to_owned())
    }
}

impl Outcome {
    fn latencies(&mut self, book: &Book) {
        let latencies = book.latencies();
        let milliseconds =
            |permille| latencies.permille(permille).map_or(0.0, |latency| latency.as_secs_f64() * 1e3);
        (self.p50_ms, self.p99_ms) = (milliseconds(500), milliseconds(990));
    }
}

fn queue_is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// Seconds since the boot, the same for every process.
pub(crate) fn uptime() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).context(|| "reading the clock".to_owned())?;
    Ok(Duration::from(time).as_secs_f64())
}

fn cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context(|| "reading processor time".to_owned())?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(microseconds).unwrap_or_default()).as_secs_f64())
}

/// Where things are in a registration between IPv4 addresses, from the outer IPv4 header (RFC 2332, 5.2.0.1).
mod offset {
    use super::TUNNEL_HEADER;

    pub(super) const CHECKSUM: usize = TUNNEL_HEADER + 12;
    pub(super) const TYPE: usize = TUNNEL_HEADER + 17;
    pub(super) const SOURCE_PROTOCOL_LENGTH: usize = TUNNEL_HEADER + 20;
    pub(super) const REQUEST_ID: usize = TUNNEL_HEADER + 24;
    pub(super) const SOURCE_PROTOCOL: usize = TUNNEL_HEADER + 32;
    pub(super) const CODE: usize = TUNNEL_HEADER + 40;
}

/// Type of a registration reply.
const REGISTRATION_REPLY: u8 = 4;

/// Makes another request of one that was encoded before.
fn set_request_id(packet: &mut [u8], request_id: u32) -> Option<()> {
    packet.get_mut(offset::REQUEST_ID..)?.get_mut(..4)?.copy_from_slice(&request_id.to_be_bytes());
    packet.get_mut(offset::CHECKSUM..)?.get_mut(..2)?.fill(0);
    let sum = checksum::internet(packet.get(TUNNEL_HEADER..)?);
    packet.get_mut(offset::CHECKSUM..)?.get_mut(..2)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// What the generator reads of a registration reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    spoke: u32,
    request_id: u32,
    code: u8,
}

impl Answer {
    /// An answer to this very spoke: to its NBMA address and for its overlay address.
    fn read(cloud: &Cloud, packet: &[u8]) -> Option<Self> {
        let four = |at: usize| packet.get(at..)?.first_chunk::<4>().copied();
        // An IPv4 header without options, a GRE header with a key: what this hub's tunnel sends.
        let [0x45, _, _, _] = four(0)? else { return None };
        if four(20)? != [0x20, 0, 0x20, 0x01] || u32::from_be_bytes(four(24)?) != cloud.key {
            return None;
        }
        let spoke = cloud.spokes.at(Ipv4Addr::from(four(16)?))?;
        let plain = *packet.get(offset::TYPE)? == REGISTRATION_REPLY
            && *packet.get(offset::SOURCE_PROTOCOL_LENGTH)? == 4
            && Ipv4Addr::from(four(offset::SOURCE_PROTOCOL)?) == cloud.spokes.overlay(spoke);
        let request_id = u32::from_be_bytes(four(offset::REQUEST_ID)?);
        plain.then_some(Self { spoke, request_id, code: *packet.get(offset::CODE)? })
    }
}

#[cfg(test)]
mod tests {
    use nhrp_wire::{Message, Packet};

    use super::*;

    fn cloud() -> Cloud {
        let spokes = Spokes { count: 300, nbma: [198, 18, 0, 1].into(), overlay: [10, 64, 0, 1].into() };
        Cloud {
            spokes,
            hub_nbma: [192, 0, 2, 2].into(),
            hub: [10, 255, 255, 1].into(),
            key: 42,
            holdtime: 600,
        }
    }

    #[test]
    fn a_request_with_another_id_is_the_one_that_would_have_been_encoded() {
        let mut request = cloud().registration_request(299, 0).unwrap();
        set_request_id(&mut request, 0x0102_0304).unwrap();
        assert_eq!(request, cloud().registration_request(299, 0x0102_0304).unwrap());
    }

    #[test]
    fn an_answer_is_read_as_the_codec_reads_it() {
        let cloud = cloud();
        let mut octets = cloud.registration_request(7, 9).unwrap();
        assert_eq!(Answer::read(&cloud, &octets), None, "a request is no answer");
        let mut packet = Packet::decode(&octets[TUNNEL_HEADER..]).unwrap();
        let Message::RegistrationRequest(mut exchange) = packet.message else { panic!() };
        exchange.cies[0].code = 14.into();
        packet.message = Message::RegistrationReply(exchange);
        octets.truncate(TUNNEL_HEADER);
        packet.encode(&mut octets).unwrap();
        // From the hub to the spoke.
        octets[16..20].copy_from_slice(&cloud.spokes.nbma(7).octets());
        assert_eq!(Answer::read(&cloud, &octets), Some(Answer { spoke: 7, request_id: 9, code: 14 }));
        octets[16..20].copy_from_slice(&cloud.spokes.nbma(8).octets());
        assert_eq!(Answer::read(&cloud, &octets), None, "the hub has confused two spokes");
        for length in 0..=offset::CODE {
            octets[16..20].copy_from_slice(&cloud.spokes.nbma(7).octets());
            assert_eq!(Answer::read(&cloud, &octets[..length]), None, "{length}");
        }
    }
}
