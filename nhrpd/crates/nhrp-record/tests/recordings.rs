//! Recording and playing back; what is left out; what happens when it cannot be written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Clock};

use nhrp_config::{Afi, InterfaceConfig, MulticastTarget, NhsConfig, NhsProtocol};
use nhrp_engine::{Engine, Input, Instant, Limits, Link, Output};
use nhrp_record::{FORMAT, Recorder, ReplayError, Start, replay, update};
use nhrp_wire::{ErrorCode, Exchange, Extension, Message, Packet, checksum};

const PASSWORD: &str = "hunter2!";
const SEED: [u8; 32] = [5; 32];

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn start() -> Start {
    Start { format: FORMAT, program: "a test".to_owned(), seed: SEED, limits: Limits::default() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A spoke that registers with a password, is refused with an error that quotes its request, is answered, logs a data
/// packet, sends multicast and is sent somebody else's password.
fn session(mut tell: impl FnMut(Instant, Input) -> Vec<Output>) {
    let mut config = InterfaceConfig::default();
    config.ip.network_id = 1;
    config.ip.redirect = true;
    config.authentication = Some((Afi::Ip, PASSWORD.to_owned()));
    let nhs = NhsConfig { protocol: NhsProtocol::Dynamic, nbma: "172.16.0.1".to_owned(), priority: 0 };
    config.ip.nhs.push(nhs);
    config.ip.multicast = vec![MulticastTarget::Nbma(ip("172.16.0.77")), MulticastTarget::Nhs];
    let link = Link { ifindex: 10, name: "gre1".to_owned(), up: true, gre: true, mtu: 1476 };
    let address = "10.255.0.3/32".parse().unwrap();
    let mut now = Instant::ZERO;
    for input in [
        Input::Configure { name: "gre1".to_owned(), config: Box::new(config) },
        Input::Link(link),
        Input::AddressAdded { ifindex: 10, address, secondary: false },
    ] {
        tell(now, input);
    }
    let sent = tell(now, Input::Gre { ifindex: 10, local: Some(Ipv4Addr::new(172, 16, 0, 3)), link: None });
    let request = sent.iter().find_map(|o| match o {
        Output::Send { octets, .. } => Some(octets.clone()),
        _ => None,
    });
    let request = request.expect("a registration");
    let own = ip("10.255.0.3");
    let stranger = Packet::new(
        ip("172.16.0.9"),
        ip("10.255.0.9"),
        own,
        5,
        Message::RegistrationRequest(Exchange { request_id: 1, cies: vec![] }),
    )
    .with_extension(Extension::cisco_authentication(b"sesame99"));
    let mut packets = vec![stranger];
    for quoted in [request.len(), 90, request.len() - 7] {
        let packet = request[..quoted].to_vec();
        let message = Message::ErrorIndication { code: ErrorCode::ProtocolError, offset: 0, packet };
        packets.push(Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), own, 64, message));
    }
    let mut reply = Packet::decode(&request).unwrap();
    let Message::RegistrationRequest(exchange) = reply.message.clone() else { panic!() };
    reply.message = Message::RegistrationReply(exchange);
    reply.destination_protocol = Some(ip("10.255.0.1"));
    packets.insert(0, reply);
    let mut answers = Vec::new();
    for packet in packets {
        now = now + Duration::from_millis(10);
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        answers.extend(tell(now, Input::Packet { ifindex: 10, source: ip("172.16.0.1"), octets }));
    }
    // The stranger was told that its password is wrong.
    assert!(answers.iter().any(|o| matches!(o, Output::Send { .. })), "{answers:?}");
    let mut data = vec![0x45, 0, 0, 60, 0, 0, 0, 0, 63, 6, 0, 0, 10, 255, 0, 1, 10, 4, 0, 1];
    data.extend_from_slice(b"GET /private");
    tell(now, Input::Flow { ifindex: 10, octets: data });
    for octets in multicast() {
        let copies = tell(now, Input::Multicast { ifindex: 10, octets });
        let receivers = copies.iter().find_map(|o| match o {
            Output::Replicate { receivers, octets, .. } => {
                assert!(octets.windows(6).any(|six| six == b"whisky"), "the copies carry the payload");
                Some(receivers.to_vec())
            }
            _ => None,
        });
        assert_eq!(receivers.expect("copies"), [ip("172.16.0.1"), ip("172.16.0.77")]);
    }
    for _ in 0..8 {
        now = now + Duration::from_secs(700);
        tell(now, Input::DeadlineReached);
    }
}

/// Packets for many, with a payload that is nobody's business: one of OSPF's, and one of UDP of which the kernel has left
/// the checksum to the device.
fn multicast() -> [Vec<u8>; 2] {
    let header = |protocol: u8| {
        let length = 20 + 16;
        let mut header = vec![0x45, 0, 0, length, 0, 1, 0, 0, 1, protocol, 0, 0, 10, 255, 0, 3, 224, 0, 0, 9];
        let sum = checksum::internet(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        header
    };
    let mut ospf = header(89);
    ospf.extend_from_slice(b"whisky whisky w!");
    let mut udp = header(17);
    let pseudo = [10, 255, 0, 3, 224, 0, 0, 9, 0, 17, 0, 16];
    let partial = (!checksum::internet(&pseudo)).to_be_bytes();
    udp.extend([2, 8, 2, 8, 0, 16, partial[0], partial[1]]);
    udp.extend_from_slice(b"whisky!!");
    [ospf, udp]
}

fn recorded() -> String {
    let memory = Memory::default();
    let mut recorder = Recorder::new(memory.clone(), 1 << 20, start(), [9; 32]);
    let mut engine = Engine::new(SEED, Limits::default());
    session(|now, input| {
        recorder.input(now, &input);
        engine.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        outputs.iter().for_each(|output| recorder.output(output));
        outputs
    });
    recorder.end("done");
    assert_eq!(recorder.take_problem(), None);
    String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn what_was_recorded_plays_back_without_the_passwords() {
    let text = recorded();
    for secret in [PASSWORD, "sesame99", "private", "whisky"] {
        assert!(!text.contains(secret) && !text.contains(&hex(secret)), "{secret} is in it");
        assert!(!text.contains(&hex(&secret[..4])), "a part of {secret} is in it");
    }
    let summary = replay(text.as_bytes()).unwrap();
    assert_eq!((summary.recordings, summary.cut), (1, 0));
    assert_eq!(text.matches("\"Replicate\"").count(), 2);
    assert!(summary.inputs >= 18 && summary.outputs >= 10, "{summary:?}");
    assert!(text.contains("\"Registered\"") && text.contains("authentication failure"), "{text}");
}

#[test]
fn the_first_difference_is_shown_with_what_was_before() {
    let text = recorded();
    let lines: Vec<&str> = text.lines().collect();
    let sends: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].contains("\"Send\"")).collect();
    // Another answer, one answer less, one more.
    let changed = lines[sends[1]].replace("172.16.0.", "172.16.9.");
    let less = [&lines[..sends[1]], &lines[sends[1] + 1..]].concat().join("\n");
    let more = [&lines[..sends[1]], &lines[sends[1]..=sends[1]], &lines[sends[1]..]].concat().join("\n");
    let other = [&lines[..sends[1]], &[changed.as_str()], &lines[sends[1] + 1..]].concat().join("\n");
    for (what, text, line) in
        [("less", less, None), ("more", more, None), ("other", other, Some(sends[1] + 1))]
    {
        let Err(ReplayError::Different(difference)) = replay(text.as_bytes()) else {
            panic!("{what} is not noticed");
        };
        assert!(line.is_none_or(|line| line == difference.line), "{what}: {difference}");
        let shown = difference.to_string();
        assert!(
            shown.contains("recorded: ") && shown.contains("now: ") && shown.contains("a test"),
            "{shown}"
        );
        assert!(!difference.before.is_empty());
    }
}

#[test]
fn a_crash_loses_the_end_and_nothing_else() {
    let text = recorded();
    let cut = &text[..text.len() * 2 / 3];
    let summary = replay(cut.as_bytes()).unwrap();
    assert_eq!((summary.recordings, summary.cut), (1, 1));
    // And the daemon that started again appended its own.
    let both = format!("{cut}\n{text}");
    let summary = replay(both.as_bytes()).unwrap();
    assert_eq!((summary.recordings, summary.cut), (2, 1));
    // Anything else that is no record is a mistake.
    let spoilt = text.replacen("{\"out\"", "{out", 1);
    assert!(matches!(replay(spoilt.as_bytes()), Err(ReplayError::Unreadable { .. })));
    assert!(matches!(replay(&b""[..]), Err(ReplayError::Empty)));
    let later = text.replacen("\"format\":1", "\"format\":2", 1);
    assert!(matches!(replay(later.as_bytes()), Err(ReplayError::Format { format: 2, .. })));
}

/// An engine that draws other request ids still gets the answers to what it asks.
#[test]
fn an_updated_recording_says_the_same_with_other_ids() {
    let text = recorded();
    let seed = |byte: u8| format!("\"seed\":{:?}", [byte; 32]).replace(' ', "");
    let other = text.replacen(&seed(5), &seed(6), 1);
    assert_ne!(text, other);
    assert!(matches!(replay(other.as_bytes()), Err(ReplayError::Different(_))));
    let mut renewed = Vec::new();
    update(other.as_bytes(), &mut renewed).unwrap();
    replay(&*renewed).unwrap();
    let registered = |text: &str| text.matches("\"Registered\"").count();
    assert!(registered(&text) > 0);
    assert_eq!(registered(std::str::from_utf8(&renewed).unwrap()), registered(&text));
}

/// A disk that is full, and one that does not answer.
struct Full;
struct Stuck(Receiver<()>);

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Write for Stuck {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        Ok(octets.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records a line each `pace` until there is a problem; says which. It comes once, and nothing waits for the disk.
fn problem(mut recorder: Recorder, pace: Duration) -> String {
    let started = Clock::now();
    let found = loop {
        recorder.input(Instant::ZERO, &Input::DeadlineReached);
        std::thread::sleep(pace);
        if let Some(problem) = recorder.take_problem() {
            break problem;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the recorder notices nothing");
    };
    recorder.input(Instant::ZERO, &Input::DeadlineReached);
    assert_eq!(recorder.take_problem(), None);
    found
}

#[test]
fn a_full_or_slow_disk_ends_the_recording_and_stalls_nobody() {
    // Slowly enough for the disk to say so before the queue is full.
    let full = problem(Recorder::new(Full, 1 << 30, start(), [9; 32]), Duration::from_millis(5));
    assert!(full.contains("no storage space"), "{full}");
    // This one does not answer for as long as the test runs.
    let (_go_on, stuck): (Sender<()>, _) = channel();
    let slow = problem(Recorder::new(Stuck(stuck), 1 << 30, start(), [9; 32]), Duration::ZERO);
    assert!(slow.contains("too slow"), "{slow}");
    let memory = Memory::default();
    let limit = problem(Recorder::new(memory.clone(), 4096, start(), [9; 32]), Duration::ZERO);
    assert!(limit.contains("--record-limit"), "{limit}");
    assert!(memory.0.lock().unwrap().len() <= 4096);
}

/// Recordings of daemons in the lab, on a real kernel under FRR's zebra. When a change of the engine is meant to answer
/// otherwise: `cargo lab replay --update FILE`, and read the difference.
#[test]
fn recordings_of_daemons_play_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden/recordings");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "no recordings in {}", folder.display());
    for path in files {
        let name = path.display();
        let text = std::fs::read_to_string(&path).unwrap();
        let summary = replay(text.as_bytes()).unwrap_or_else(|error| {
            panic!("{name}: {error}\nif that is what the change is for: cargo lab replay --update {name}")
        });
        assert!(summary.inputs > 20 && summary.outputs > 20, "{name}: {summary:?}");
        // A session worth its octets.
        for part in ["\"Registered\"", "\"ShortcutAdded\"", "\"RouteAdd\"", "\"RouteDelete\"", "\"Cleared\""]
        {
            assert!(text.contains(part), "{name}: no {part}");
        }
    }
}
