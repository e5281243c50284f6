//! A stranger: somebody in the transport network who knows the tunnel's key and means no good.
//!
//! Owns what it sends (`lab stranger`, run in a node of its own): random octets, changed real packets, registrations
//! of other people's addresses, traffic indications without end, packets with far too many entries or with extensions that
//! nobody knows. Never asserts
//! anything; the scenario that runs it looks at the hub and its spokes.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use clap::Args;
use nhrp_wire::{Cie, Exchange, Extension, ExtensionBody, Message, Packet, checksum, flags};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::failure::{Context, Result};
use crate::golden;

/// IP protocol number of GRE.
const GRE: u8 = 47;
/// Octets of the IPv4 and the GRE header.
const HEADERS: usize = 28;
/// Entries of a packet that has far too many.
const MANY: usize = 90;
/// Where the checksum of an NHRP packet is.
const CHECKSUM: usize = 12;
/// Packets that the kernel takes with one call: in User-mode Linux a call costs more than a packet.
const BATCH: usize = 64;
/// Type of an extension that is assigned to nobody (RFC 2332 section 5.3.0).
const UNKNOWN: u16 = 0x1234;
/// What a registration of the stranger's lasts, seconds.
const HOLDING: u16 = 10;

/// What is sent, and to whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// NBMA address of the victim
    #[arg(long)]
    to_nbma: Ipv4Addr,
    /// Overlay address of the victim
    #[arg(long)]
    to: Ipv4Addr,
    /// Overlay address that is taken in vain: a registered spoke's
    #[arg(long)]
    spoke: Ipv4Addr,
    /// NBMA address that indications and unknown extensions pretend to come from
    #[arg(long)]
    from_nbma: Ipv4Addr,
    /// Key of the tunnel
    #[arg(long, default_value_t = 42)]
    key: u32,
    /// Packets of random octets
    #[arg(long, default_value_t = 0)]
    random: u32,
    /// Real packets with some octets changed, half of them with a checksum made right
    #[arg(long, default_value_t = 0)]
    changed: u32,
    /// Registrations of addresses that are not the sender's
    #[arg(long, default_value_t = 0)]
    spoofed: u32,
    /// Traffic indications, each about another host
    #[arg(long, default_value_t = 0)]
    indications: u32,
    /// Packets with 90 entries
    #[arg(long, default_value_t = 0)]
    many: u32,
    /// Registrations with a compulsory extension that nobody knows
    #[arg(long, default_value_t = 0)]
    unknown: u32,
    /// Packets in a second
    #[arg(long, default_value_t = 4000)]
    rate: u64,
    /// What chance begins with; the same gives the same packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// xorshift: the same on every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default() % end.max(1)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes().first().copied().unwrap_or_default()
    }
}

/// `lab stranger`: sends everything, a packet of each kind in turn, and says how many.
pub(crate) fn run(options: &Options) -> Result<()> {
    let what = || "opening a raw socket".to_owned();
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(GRE)))).context(what)?;
    socket.set_header_included_v4(true).context(what)?;
    socket.connect(&SockAddr::from(SocketAddrV4::new(options.to_nbma, 0))).context(what)?;
    let stranger = Stranger { options: options.clone(), golden: golden::packets()? };
    let mut chance = Chance(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kinds = [
        (options.random, Kind::Random),
        (options.changed, Kind::Changed),
        (options.spoofed, Kind::Spoofed),
        (options.indications, Kind::Indication),
        (options.many, Kind::Many),
        (options.unknown, Kind::Unknown),
    ];
    let most = kinds.iter().map(|(count, _)| *count).max().unwrap_or_default();
    let (mut sent, mut lost) = (0, 0);
    let mut batch = Vec::with_capacity(BATCH);
    let began = Instant::now();
    for number in 0..most {
        for (_, kind) in kinds.into_iter().filter(|(count, _)| number < *count) {
            batch.push(stranger.packet(kind, number, &mut chance)?);
        }
        if batch.len() + kinds.len() <= BATCH && number + 1 < most {
            continue;
        }
        let taken = send(&socket, &batch);
        sent += taken;
        lost += batch.len() - taken;
        batch.clear();
        let due =
            Duration::from_micros(u64::try_from(sent).unwrap_or_default() * 1_000_000 / options.rate.max(1));
        let early = due.saturating_sub(began.elapsed());
        if early > Duration::from_millis(10) {
            std::thread::sleep(early);
        }
    }
    println!("sent {sent}, not sent {lost}, in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// How many of the packets the kernel took. A full queue of the stranger's own device is none of the victim's merits.
fn send(socket: &Socket, batch: &[Vec<u8>]) -> usize {
    let mut taken = 0;
    while let Some(rest) = batch.get(taken..).filter(|rest| !rest.is_empty()) {
        let slices: Vec<[IoSlice<'_>; 1]> = rest.iter().map(|octets| [IoSlice::new(octets)]).collect();
        let connected: [Option<SockaddrIn>; BATCH] = [None; BATCH];
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        let result =
            sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), connected, [], MsgFlags::empty());
        match result.map(Iterator::count) {
            Ok(count) if count > 0 => taken += count,
            _ => break,
        }
    }
    taken
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Random,
    Changed,
    Spoofed,
    Indication,
    Many,
    Unknown,
}

struct Stranger {
    options: Options,
    golden: Vec<Vec<u8>>,
}

impl Stranger {
    /// A packet from its IPv4 header on, from any of many NBMA addresses.
    fn packet(&self, kind: Kind, number: u32, chance: &mut Chance) -> Result<Vec<u8>> {
        let [_, _, a, b] = number.to_be_bytes();
        let from = match kind {
            Kind::Indication | Kind::Unknown => self.options.from_nbma,
            _ => Ipv4Addr::new(198, 18, a, b),
        };
        let mut octets = self.headers(from);
        match kind {
            Kind::Random => {
                octets.extend((0..chance.below(600)).map(|_| chance.octet()).collect::<Vec<u8>>());
            }
            Kind::Changed => octets.extend(self.changed(chance)),
            Kind::Spoofed => {
                // One in eight in the name of the spoke that is registered, the others of as many as there are numbers.
                let overlay =
                    if number.is_multiple_of(8) { self.options.spoke } else { Ipv4Addr::new(10, 254, a, b) };
                self.registration(from, overlay, 1)
                    .encode(&mut octets)
                    .context(|| "encoding a registration".to_owned())?;
            }
            Kind::Indication => {
                let own = std::net::IpAddr::V4(self.options.to);
                let target = Ipv4Addr::new(10, 77, a, b);
                let packet = [&[0x45; 12][..], &self.options.to.octets(), &target.octets()].concat();
                let message = Message::TrafficIndication { unused: 0, packet };
                Packet::new(from.into(), own, own, 1, message)
                    .encode(&mut octets)
                    .context(|| "encoding an indication".to_owned())?;
            }
            Kind::Unknown => {
                let body = ExtensionBody::Unknown { kind: UNKNOWN, data: vec![0; 4] };
                self.registration(from, self.options.spoke, 1)
                    .with_extension(Extension::compulsory(body))
                    .encode(&mut octets)
                    .context(|| "encoding an unknown extension".to_owned())?;
            }
            Kind::Many => {
                let mut packet = self.registration(from, Ipv4Addr::new(10, 253, a, b), MANY);
                if !number.is_multiple_of(3)
                    && let Message::RegistrationRequest(exchange) = packet.message
                {
                    packet.message = if number % 3 == 1 {
                        Message::ResolutionRequest(exchange)
                    } else {
                        Message::PurgeRequest(exchange)
                    };
                }
                packet.encode(&mut octets).context(|| "encoding many entries".to_owned())?;
            }
        }
        Ok(octets)
    }

    fn registration(&self, nbma: Ipv4Addr, overlay: Ipv4Addr, entries: usize) -> Packet {
        let entry = Cie { prefix_length: 255, mtu: 1400, holding_time: HOLDING, ..Cie::default() };
        let exchange = Exchange { request_id: 7, cies: vec![entry; entries] };
        let message = Message::RegistrationRequest(exchange);
        Packet::new(nbma.into(), overlay.into(), self.options.to.into(), 1, message)
            .with_flags(flags::REGISTRATION_UNIQUE | flags::NAT)
    }

    fn changed(&self, chance: &mut Chance) -> Vec<u8> {
        let mut packet = self.golden.get(chance.below(self.golden.len())).cloned().unwrap_or_default();
        for _ in 0..=chance.below(6) {
            let at = chance.below(packet.len());
            match chance.below(4) {
                0 => packet.truncate(at),
                1 => packet.insert(at, chance.octet()),
                _ => {
                    if let Some(octet) = packet.get_mut(at) {
                        *octet = chance.octet();
                    }
                }
            }
        }
        if chance.below(2) == 0
            && let Some(field) = packet.get_mut(CHECKSUM..CHECKSUM + 2)
        {
            field.fill(0);
            let sum = checksum::internet(&packet).to_be_bytes();
            packet.splice(CHECKSUM..CHECKSUM + 2, sum);
        }
        packet
    }

    /// IPv4 and GRE with the key; the kernel fills in length, identification and checksum.
    fn headers(&self, from: Ipv4Addr) -> Vec<u8> {
        let mut octets = Vec::with_capacity(HEADERS + 600);
        octets.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, GRE, 0, 0]);
        octets.extend(from.octets());
        octets.extend(self.options.to_nbma.octets());
        octets.extend([0x20, 0, 0x20, 0x01]);
        octets.extend(self.options.key.to_be_bytes());
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoofed_is_well_formed() {
        let options = Options {
            to_nbma: [192, 0, 2, 2].into(),
            to: [10, 255, 255, 1].into(),
            spoke: [10, 255, 255, 2].into(),
            from_nbma: [192, 0, 2, 2].into(),
            key: 42,
            random: 0,
            changed: 0,
            spoofed: 0,
            indications: 0,
            many: 0,
            unknown: 0,
            rate: 1,
            seed: 1,
        };
        let stranger = Stranger { options, golden: golden::packets().unwrap() };
        let mut chance = Chance(3);
        for number in 0..9 {
            for kind in [Kind::Spoofed, Kind::Indication, Kind::Many, Kind::Unknown] {
                let octets = stranger.packet(kind, number, &mut chance).unwrap();
                let packet = Packet::decode(&octets[HEADERS..]).unwrap();
                if matches!(kind, Kind::Many) {
                    assert_eq!(packet.message.exchange().unwrap().cies.len(), MANY);
                }
            }
        }
        let changed: Vec<_> = (0..500).map(|_| stranger.changed(&mut chance)).collect();
        let good = changed.iter().filter(|octets| Packet::decode(octets).is_ok()).count();
        assert!((10..490).contains(&good), "{good} of 500 changed packets can be read");
    }
}
