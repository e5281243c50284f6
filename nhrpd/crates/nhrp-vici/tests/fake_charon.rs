//! The client and its sockets against a charon that is made up: one with FRR's patches, and ones that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use nhrp_vici::message::{Item, Section};
use nhrp_vici::packet::{Deframer, Packet};
use nhrp_vici::{Charon, Event, Mode, Options, Pair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn pair(n: u8) -> Pair {
    Pair { local: IpAddr::from([10, 1, 1, 1]), remote: IpAddr::from([10, 2, 1, n]) }
}

struct Fake {
    listener: UnixListener,
    charon: Charon,
    _folder: TempDir,
}

impl Fake {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket: PathBuf = folder.path().join("charon.vici");
        let listener = UnixListener::bind(&socket).unwrap();
        let swanctl_conf = folder.path().join("swanctl.conf");
        std::fs::write(&swanctl_conf, "connections { dmvpn { children { dmvpn { mode = transport\n } } } }")
            .unwrap();
        let mut charon =
            Charon::new(Options { sockets: vec![socket], swanctl_conf, privileged: |what| what() });
        charon.activate(true);
        Self { listener, charon, _folder: folder }
    }

    /// Runs the client while something else happens; gives that and what the client told.
    async fn meanwhile<T>(&mut self, what: impl AsyncFnOnce(&UnixListener) -> T) -> (T, Vec<Event>) {
        let mut events = Vec::new();
        let mut what = std::pin::pin!(what(&self.listener));
        let end = Instant::now() + LONG;
        loop {
            tokio::select! {
                done = &mut what => return (done, events),
                event = self.charon.next() => events.push(event),
                () = tokio::time::sleep_until(end) => panic!("nothing happens any more; told: {events:?}"),
            }
        }
    }

    /// Runs the client until it has told something that fits.
    async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = timeout(LONG, self.charon.next()).await.expect("nothing more is told");
            let done = fits(&event);
            events.push(event);
            if done {
                return events;
            }
        }
    }
}

/// A connection from charon's side.
struct Connection {
    stream: UnixStream,
    deframer: Deframer,
    /// All that was read.
    octets: Vec<u8>,
}

impl Connection {
    async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self { stream, deframer: Deframer::default(), octets: Vec::new() }
    }

    async fn next(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.deframer.next_packet().unwrap() {
                return packet;
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the client has closed the connection");
            self.deframer.push(&buffer[..read]);
            self.octets.extend(&buffer[..read]);
        }
    }

    async fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    async fn say(&mut self, packet: Packet) {
        let mut octets = Vec::new();
        packet.encode(&mut octets).unwrap();
        self.write(&octets).await;
    }

    async fn ok(&mut self) {
        self.say(Packet::Response(Section::new().with("success", "yes"))).await;
    }

    /// As charon with FRR's patches, up to and without the answer to the first command that is not `list-sas`.
    async fn greet_patched(&mut self) -> Packet {
        loop {
            match self.next().await {
                Packet::Register(_) => self.say(Packet::Confirm).await,
                Packet::Request(name, _) if name == "list-sas" => {
                    self.say(Packet::Response(Section::new())).await;
                }
                other => return other,
            }
        }
    }
}

fn sa(pair: Pair, id: u32) -> Section {
    let child = Section::new().with("uniqueid", id.to_string()).with("state", "INSTALLED");
    let sa = Section::new()
        .with("uniqueid", "17")
        .with("local-host", pair.local.to_string())
        .with("remote-host", pair.remote.to_string())
        .with("remote-id", "10.2.1.2")
        .with("child-sas", "");
    let mut sa = sa;
    sa.set("child-sas", Item::Section(Section::new().with_section("dmvpn-1", child)));
    Section::new().with_section("dmvpn", sa)
}

/// What FRR 8.4.4's nhrpd was seen to write, each packet with its length, up to `terminate`: that is by the number of the
/// IKE SA here, where FRR ends every SA of the profile by its name.
const CONVERSATION: [&str; 7] = [
    "00000017 03 15 6368696c642d73746174652d696e7374616c6c6564",
    "00000015 03 13 6368696c642d73746174652d72656b65796564",
    "00000018 03 16 6368696c642d73746174652d64657374726f79696e67",
    "00000009 03 07 6c6973742d7361",
    "0000000a 00 08 6c6973742d736173",
    "00000068 00 08 696e697469617465 03 05 6368696c64 0005 646d76706e 03 07 74696d656f7574 0002 2d31 \
     03 05 6173796e63 0001 31 03 0b 696e69742d6c696d697473 0001 30 03 07 6d792d686f7374 0008 31302e312e312e31 \
     03 0a 6f746865722d686f7374 0008 31302e322e312e32",
    "00000024 00 09 7465726d696e617465 03 07 74696d656f7574 0002 2d31 03 06 696b652d6964 0002 3137",
];

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap()).collect()
}

#[tokio::test]
async fn a_patched_charon_hears_what_frr_says_octet_for_octet() {
    let mut fake = Fake::new();
    fake.charon.want(pair(2), &"dmvpn".into(), true);
    let (mut connection, _) = fake
        .meanwhile(async |listener| {
            let mut connection = Connection::accept(listener).await;
            assert!(
                matches!(connection.greet_patched().await, Packet::Request(name, _) if name == "initiate")
            );
            connection.ok().await;
            connection.say(Packet::Event("child-state-installed".into(), sa(pair(2), 5))).await;
            connection
        })
        .await;
    let up = fake.until(|event| matches!(event, Event::Up { .. })).await;
    assert!(up.contains(&Event::Up { pair: pair(2), identity: "10.2.1.2".into() }));
    assert_eq!(fake.charon.status().mode, Mode::Patched);
    fake.charon.release(pair(2), true);
    fake.meanwhile(async |_| {
        assert!(matches!(connection.next().await, Packet::Request(name, _) if name == "terminate"));
    })
    .await;
    let expected: Vec<u8> = CONVERSATION.iter().flat_map(|packet| unhex(packet)).collect();
    assert_eq!(connection.octets, expected);
}

fn losses(events: &[Event]) -> Vec<&str> {
    let warnings = events.iter().filter_map(|event| match event {
        Event::Notice { warning: true, text, .. } => Some(text.as_str()),
        _ => None,
    });
    warnings.collect()
}

#[tokio::test]
async fn four_gigabytes_are_announced_and_not_awaited() {
    let mut fake = Fake::new();
    fake.charon.want(pair(2), &"dmvpn".into(), true);
    let mut all = Vec::new();
    let mut times = Vec::new();
    for _ in 0..4 {
        let ((), events) = fake
            .meanwhile(async |listener| {
                let mut connection = Connection::accept(listener).await;
                times.push(Instant::now());
                connection.next().await;
                connection.write(&[0xFF, 0xFF, 0xFF, 0xFF, 7]).await;
                // The client hangs up, whatever else is announced.
                let mut buffer = Vec::new();
                let _ = connection.stream.read_to_end(&mut buffer).await;
            })
            .await;
        all.extend(events);
    }
    let said = losses(&all);
    assert_eq!(said.len(), 1, "once: {said:?}");
    assert!(said[0].contains("4294967295 octets"), "{said:?}");
    let pauses: Vec<Duration> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses[1] > pauses[0] * 3 / 2 && pauses[2] > pauses[1] * 3 / 2, "longer each time: {pauses:?}");
}

#[tokio::test]
async fn half_a_packet_is_nothing_and_what_was_there_is_kept() {
    let mut fake = Fake::new();
    fake.charon.want(pair(2), &"dmvpn".into(), true);
    let ((), mut events) = fake
        .meanwhile(async |listener| {
            let mut connection = Connection::accept(listener).await;
            connection.greet_patched().await;
            connection.ok().await;
            connection.say(Packet::Event("child-state-installed".into(), sa(pair(2), 5))).await;
            let mut octets = Vec::new();
            Packet::Event("child-state-destroying".into(), sa(pair(2), 5)).encode(&mut octets).unwrap();
            connection.write(&octets[..octets.len() / 2]).await;
        })
        .await;
    events.extend(fake.until(|event| matches!(event, Event::Notice { warning: true, .. })).await);
    assert!(losses(&events)[0].contains("it has closed the connection"), "{events:?}");
    assert_eq!(fake.charon.sas_of(pair(2)).0, 1, "the kernel has it still");
    // The next one lists it, and that is all.
    let ((), again) = fake
        .meanwhile(async |listener| {
            let mut connection = Connection::accept(listener).await;
            loop {
                match connection.next().await {
                    Packet::Register(_) => connection.say(Packet::Confirm).await,
                    Packet::Request(name, _) if name == "list-sas" => {
                        connection.say(Packet::Event("list-sa".into(), sa(pair(2), 5))).await;
                        connection.say(Packet::Response(Section::new())).await;
                        return;
                    }
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
    assert!(!again.iter().any(|event| matches!(event, Event::Down { .. })), "{again:?}");
    assert_eq!(fake.charon.sas_of(pair(2)).0, 1);
}

#[tokio::test]
async fn nonsense_is_counted_said_once_and_harms_nobody() {
    let mut fake = Fake::new();
    fake.charon.want(pair(2), &"dmvpn".into(), true);
    let ((), mut events) = fake
        .meanwhile(async |listener| {
            let mut connection = Connection::accept(listener).await;
            connection.greet_patched().await;
            for n in 0..1000 {
                connection.say(Packet::Event(format!("event-{n}"), Section::new())).await;
            }
            // No type, a message that ends too early, a command.
            connection.write(&[0, 0, 0, 1, 99, 0, 0, 0, 3, 1, 3, 200]).await;
            connection.say(Packet::Request("reboot".into(), Section::new())).await;
            connection.ok().await;
            connection.say(Packet::Event("child-state-installed".into(), sa(pair(2), 5))).await;
            // Stays open until the client has seen it all.
            tokio::time::sleep(Duration::from_millis(200)).await;
        })
        .await;
    if !events.iter().any(|event| matches!(event, Event::Up { .. })) {
        events.extend(fake.until(|event| matches!(event, Event::Up { .. })).await);
    }
    let said = losses(&events);
    assert_eq!(said.iter().filter(|text| text.contains("event-0")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|text| text.contains("passed over")).count(), 1, "once: {said:?}");
    assert_eq!(fake.charon.status().odd, 1003);
}

/// A charon that reads nothing and says nothing costs neither time nor more than the few commands that wait for it.
#[tokio::test]
async fn a_charon_that_hangs_keeps_nobody_waiting() {
    let mut fake = Fake::new();
    let (connection, _) = fake.meanwhile(async |listener| Connection::accept(listener).await).await;
    let start = Instant::now();
    for n in 0..=255 {
        fake.charon.want(pair(n), &"dmvpn".into(), true);
    }
    let told = timeout(Duration::from_millis(300), fake.charon.next()).await;
    assert!(told.is_err(), "nothing is told: {told:?}");
    for n in 0..=255 {
        fake.charon.release(pair(n), true);
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(fake.charon.status().peers.is_empty());
    drop(connection);
}
