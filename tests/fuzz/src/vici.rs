//! The conversation with charon: target `vici`.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nhrp_vici::backend::{Action, Backend, Channel, Pair, Profiles};
use nhrp_vici::message::{Item, Section};
use nhrp_vici::packet::{Deframer, LIMIT, Packet, PacketError};
use nhrp_vici::settings::Files;
use nhrp_vici::template::Template;
use rand::SeedableRng;
use rand::rngs::StdRng;

const CONF: &str = "connections {
    dmvpn { version = 2\n children { dmvpn { mode = transport\n } } }
    spare { version = 2\n children { spare { mode = transport\n } } }
}";

/// `swanctl.conf`, and whatever it includes.
struct Conf(Vec<u8>);

impl Files for Conf {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path.ends_with("swanctl.conf") { Ok(self.0.clone()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![folder.join("a.conf"), folder.join("swanctl.conf")])
    }
}

fn pair(n: u8) -> Pair {
    Pair { local: IpAddr::from([192, 0, 2, 1]), remote: IpAddr::from([198, 51, 100, n]) }
}

/// The first octet says how the stream is cut and which connection it comes by first, the rest is what charon says; and,
/// once more, what is in `swanctl.conf`.
///
/// # Panics
/// When something does not hold.
pub fn vici(octets: &[u8]) {
    let [how, stream @ ..] = octets else { return };
    let piece = usize::from(how >> 1).max(1);
    let whole = packets(&[stream]);
    let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
    assert_eq!(packets(&pieces), whole, "however it is cut");
    for packet in whole.iter().flatten() {
        let mut written = Vec::new();
        packet.encode(&mut written).expect("what was read can be written");
        assert!(written.len() <= LIMIT + 4);
        assert_eq!(Packet::decode(&written[4..]).as_ref(), Ok(packet));
        assert!(!format!("{packet:?}").is_empty());
    }
    backend(&whole, how & 1 != 0, stream.len());
    // Whatever is in the file, there is a template or a reason.
    let file = Template::load(&Conf(stream.to_vec()), Path::new("/etc/swanctl/swanctl.conf"), "dmvpn");
    if let Err(reason) = file {
        assert!(!reason.is_empty());
    }
}

/// The packets of a stream up to what ends it, and the ones that cannot be read.
fn packets(pieces: &[&[u8]]) -> Vec<Result<Packet, PacketError>> {
    let mut deframer = Deframer::default();
    let mut found = Vec::new();
    for piece in pieces {
        deframer.push(piece);
        loop {
            match deframer.next_packet() {
                Ok(Some(packet)) => found.push(Ok(packet)),
                Ok(None) => break,
                Err(error @ PacketError::TooLong(_)) => {
                    found.push(Err(error));
                    return found;
                }
                Err(error) => found.push(Err(error)),
            }
        }
    }
    found
}

/// A backend that wants peers and hears this: it says only what can be sent, tells no more than it heard, wants to be called
/// later and not earlier, and has nothing left when nobody wants anything and charon is gone.
fn backend(heard: &[Result<Packet, PacketError>], by_events: bool, octets: usize) {
    let mut now = Instant::now();
    let conf = Box::new(Conf(CONF.into()));
    let mut backend = Backend::new(now, conf, "/etc/swanctl/swanctl.conf".into(), StdRng::seed_from_u64(1));
    let with_fallback = Profiles { first: "dmvpn".to_owned(), fallback: Some("spare".to_owned()) };
    for n in 0..3 {
        backend.want(now, pair(n), &with_fallback, n == 0);
    }
    backend.connected(now);
    let mut channel = if by_events { Channel::Events } else { Channel::Commands };
    let mut told = 0;
    for packet in heard {
        match packet {
            Ok(packet) => backend.packet(now, channel, packet),
            Err(error) => backend.unreadable(now, error),
        }
        // Events come by the other connection, when there is one.
        channel = match packet {
            Ok(Packet::UnknownEvent) => Channel::Events,
            Ok(Packet::Response(_)) => Channel::Commands,
            _ => channel,
        };
        told += carry_out(&mut backend, now);
        now += Duration::from_millis(100);
        if backend.next_deadline().is_some_and(|at| at <= now) {
            backend.deadline(now);
            assert!(backend.next_deadline().is_none_or(|at| at > now), "a deadline stays in the past");
            told += carry_out(&mut backend, now);
        }
    }
    assert!(told <= octets + 64, "{told} events of {octets} octets");
    assert!(backend.status().peers.len() <= octets / 20 + 3);
    backend.lost(now, "the end");
    for n in 0..3 {
        backend.release(now, pair(n), true);
    }
    for _ in 0..octets + 64 {
        let Some(at) = backend.next_deadline() else { break };
        now = now.max(at);
        backend.deadline(now);
        carry_out(&mut backend, now);
    }
    assert_eq!(backend.next_deadline(), None);
    assert!(backend.status().peers.is_empty(), "{:?}", backend.status());
}

fn carry_out(backend: &mut Backend, now: Instant) -> usize {
    while let Some(action) = backend.poll_action() {
        match action {
            Action::Send(_, packet) => packet.encode(&mut Vec::new()).expect("it can be sent"),
            Action::OpenEvents => backend.events_connected(now),
            Action::OpenLog | Action::CloseLog | Action::Close => {}
        }
    }
    std::iter::from_fn(|| backend.poll_event()).count()
}

/// Conversations with either kind of charon, and a file.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let sa = |id: u32| {
        let mut child = Section::new().with("uniqueid", id.to_string()).with("state", "INSTALLED");
        child.push("local-ts", Item::List(vec![b"192.0.2.1/32[gre]".to_vec()]));
        let sa = Section::new()
            .with("uniqueid", "17")
            .with("initiator", "yes")
            .with("initiator-spi", format!("{id:016x}"))
            .with("local-host", "192.0.2.1")
            .with("remote-host", "198.51.100.1")
            .with("remote-id", "spoke.example");
        sa.with_section("child-sas", Section::new().with_section("dmvpn", child))
    };
    let rekeyed = |old: &str, new: &str| {
        let id = |id: &str| Section::new().with("uniqueid", id);
        Section::new().with_section("old", id(old)).with_section("new", id(new).with("initiator-spi", "0a"))
    };
    let event = |name: &str, message: Section| Packet::Event(name.to_owned(), message);
    let about = |sa: Section| Section::new().with_section("dmvpn", sa);
    let done = || Packet::Response(Section::new().with("success", "yes"));
    let refused =
        || Packet::Response(Section::new().with("success", "no").with("errmsg", "CHILD_SA config not found"));
    let version = Packet::Response(Section::new().with("daemon", "charon-systemd").with("version", "6.0.1"));
    let mut child = sa(5);
    child.set("child-sas", Item::Section(Section::new().with_section("dmvpn", rekeyed("5", "6"))));
    let log = Section::new()
        .with("ikesa-name", "nhrp:dmvpn:192.0.2.1-198.51.100.0")
        .with("msg", "received AUTHENTICATION_FAILED notify error");
    let stock = [
        vec![Packet::UnknownEvent],
        vec![Packet::Confirm; 6],
        vec![
            event("list-sa", about(sa(5))),
            Packet::Response(Section::new()),
            version,
            done(),
            done(),
            refused(),
        ],
        vec![
            event("log", log),
            event("child-updown", Section::new().with("up", "yes").with_section("dmvpn", sa(6))),
            event("child-rekey", about(child)),
            event("ike-rekey", about(rekeyed("17", "18"))),
            event("ike-update", Section::new()),
            event("child-updown", about(sa(6))),
        ],
    ];
    let patched = [
        vec![Packet::Confirm; 4],
        vec![Packet::Response(Section::new()), done(), done(), done()],
        vec![event("child-state-installed", about(sa(5))), event("child-state-rekeyed", about(sa(5)))],
        vec![
            event("child-state-destroying", about(sa(5))),
            Packet::UnknownCommand,
            Packet::Unregister("x".into()),
        ],
    ];
    let mut seeds: Vec<Vec<u8>> = [stock.concat(), patched.concat()]
        .into_iter()
        .flat_map(|conversation| [0, 1, 9].map(|how| (how, conversation.clone())))
        .map(|(how, conversation)| {
            let mut seed = vec![how];
            for packet in conversation {
                packet.encode(&mut seed).expect("a packet");
            }
            seed
        })
        .collect();
    seeds.push([b"\0".as_slice(), CONF.as_bytes()].concat());
    seeds.push(b"\0include *.conf\nconnections { dmvpn : a, b {\n children { dmvpn { local_ts = \"dynamic[gre]\" # x\n } } } }".to_vec());
    seeds
}
