//! A backend in virtual time, and a charon that says what each test wants.
#![allow(dead_code, unreachable_pub, clippy::needless_pass_by_value, reason = "each test uses a part of it")]

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nhrp_vici::backend::{Action, Backend, Channel, Event, Mode, Pair, Profiles};
use nhrp_vici::message::{Item, Section};
use nhrp_vici::packet::Packet;
use nhrp_vici::settings::Files;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub struct Conf(&'static str);

impl Files for Conf {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        if self.0.is_empty() { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(self.0.into()) }
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

pub const PROFILE: &str = "connections { dmvpn { version = 2\n children { dmvpn { mode = transport\n } } } }";

pub struct Bench {
    pub now: Instant,
    pub backend: Backend,
    /// What was sent and not looked at yet.
    pub sent: Vec<(Channel, Packet)>,
    pub events: Vec<Event>,
    /// The log is being followed.
    pub log_open: bool,
}

pub fn pair(n: u8) -> Pair {
    Pair { local: IpAddr::from([192, 0, 2, 1]), remote: IpAddr::from([198, 51, 100, n]) }
}

pub fn child_sas(id: u32, state: &str) -> Section {
    let mut child = Section::new().with("uniqueid", id.to_string()).with("state", state);
    for key in ["local-ts", "remote-ts"] {
        child.push(key, Item::List(vec![b"192.0.2.1/32[gre]".to_vec()]));
    }
    Section::new().with_section(&format!("dmvpn-{id}"), child)
}

/// The same with what duplicates are judged by.
pub fn begun_by(sa: Section, initiator: bool, spi: &str) -> Section {
    sa.with("initiator", if initiator { "yes" } else { "no" }).with("initiator-spi", spi)
}

/// An IKE SA as charon tells it; its number is a thousand more than that of its child.
pub fn ike(pair: Pair, id: u32, state: &str) -> Section {
    Section::new()
        .with("uniqueid", (id + 1000).to_string())
        .with("state", "ESTABLISHED")
        .with("local-host", pair.local.to_string())
        .with("remote-host", pair.remote.to_string())
        .with("remote-id", "spoke.example")
        .with_section("child-sas", child_sas(id, state))
}

pub fn text<'a>(arguments: &'a Section, name: &str) -> &'a str {
    arguments.text(name).unwrap_or_default()
}

impl Bench {
    pub fn new(conf: &'static str) -> Self {
        let now = Instant::now();
        let backend = Backend::new(
            now,
            Box::new(Conf(conf)),
            "/etc/swanctl/swanctl.conf".into(),
            StdRng::seed_from_u64(7),
        );
        Self { now, backend, sent: Vec::new(), events: Vec::new(), log_open: false }
    }

    /// Connected to a charon without patches that has these SAs.
    pub fn stock(conf: &'static str, sas: &[(Pair, u32)]) -> Self {
        let mut bench = Self::new(conf);
        bench.connect(sas);
        bench
    }

    pub fn connect(&mut self, sas: &[(Pair, u32)]) {
        self.backend.connected(self.now);
        assert_eq!(self.take(), [(Channel::Commands, Packet::Register("child-state-installed".into()))]);
        self.give(Channel::Commands, Packet::UnknownEvent);
        let registered = self.take();
        assert_eq!(registered.len(), 5, "list-sa and four events: {registered:?}");
        assert_eq!(*self.backend.mode(), Mode::Stock);
        self.give(Channel::Commands, Packet::Confirm);
        (0..4).for_each(|_| self.give(Channel::Events, Packet::Confirm));
        self.request("list-sas");
        for (pair, id) in sas {
            let listed = Section::new().with_section("dmvpn", ike(*pair, *id, "INSTALLED"));
            self.give(Channel::Commands, Packet::Event("list-sa".into(), listed));
        }
        self.give(Channel::Commands, Packet::Response(Section::new()));
        self.request("version");
        let version = Section::new().with("daemon", "charon-systemd").with("version", "5.9.8");
        self.give(Channel::Commands, Packet::Response(version));
    }

    pub fn collect(&mut self) {
        while let Some(action) = self.backend.poll_action() {
            match action {
                Action::Send(Channel::Log, packet) => {
                    assert_eq!(packet, Packet::Register("log".into()));
                    self.backend.packet(self.now, Channel::Log, &Packet::Confirm);
                }
                Action::Send(channel, packet) => self.sent.push((channel, packet)),
                Action::OpenLog => self.log_open = true,
                Action::CloseLog => self.log_open = false,
                Action::OpenEvents => self.backend.events_connected(self.now),
                Action::Close => self.sent.clear(),
            }
        }
        while let Some(event) = self.backend.poll_event() {
            self.events.push(event);
        }
    }

    pub fn take(&mut self) -> Vec<(Channel, Packet)> {
        self.collect();
        std::mem::take(&mut self.sent)
    }

    pub fn give(&mut self, channel: Channel, packet: Packet) {
        self.backend.packet(self.now, channel, &packet);
        self.collect();
    }

    pub fn event(&mut self, name: &str, message: Section) {
        self.give(Channel::Events, Packet::Event(name.into(), message));
    }

    pub fn updown(&mut self, pair: Pair, id: u32, up: bool) {
        let mut message = Section::new();
        if up {
            message = message.with("up", "yes");
        }
        // A down event calls the SA installed, too.
        self.event("child-updown", message.with_section("dmvpn", ike(pair, id, "INSTALLED")));
    }

    /// The next command, which is this one.
    #[track_caller]
    pub fn request(&mut self, name: &str) -> Section {
        self.collect();
        assert!(!self.sent.is_empty(), "nothing is sent where {name} was awaited");
        match self.sent.remove(0) {
            (Channel::Commands, Packet::Request(found, arguments)) if found == name => arguments,
            other => panic!("{other:?} where {name} was awaited"),
        }
    }

    pub fn accept(&mut self) {
        self.give(Channel::Commands, Packet::Response(Section::new().with("success", "yes")));
    }

    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.backend.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.backend.deadline(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// Time passes until something is sent; gives how much.
    pub fn until_sent(&mut self) -> Duration {
        let before = self.now;
        while self.sent.is_empty() {
            let at = self.backend.next_deadline().expect("something is to be done");
            self.pass(at - self.now);
        }
        self.now - before
    }

    pub fn told(&mut self) -> Vec<&'static str> {
        self.collect();
        let told = std::mem::take(&mut self.events).into_iter();
        told.filter_map(|event| match event {
            Event::Up { .. } => Some("up"),
            Event::Remade { .. } => Some("remade"),
            Event::Down { .. } => Some("down"),
            Event::Notice { .. } => None,
        })
        .collect()
    }

    pub fn want(&mut self, n: u8) {
        self.want_by(n, &"dmvpn".into());
    }

    pub fn want_by(&mut self, n: u8, profiles: &Profiles) {
        self.backend.want(self.now, pair(n), profiles, true);
        self.collect();
    }

    /// All notices for the log so far, warnings marked.
    pub fn log(&mut self) -> Vec<String> {
        self.collect();
        let notices = self.events.iter().filter_map(|event| match event {
            Event::Notice { warning, text, .. } => {
                Some(format!("{}{text}", if *warning { "! " } else { "" }))
            }
            _ => None,
        });
        notices.collect()
    }

    /// The attempt under way has failed, says charon's log.
    pub fn fail(&mut self, connection: &str, reason: &str) {
        self.event("log", Section::new().with("ikesa-name", connection).with("msg", reason));
    }

    /// A wish, up to the answer to `initiate`; gives the name of the connection.
    pub fn negotiate(&mut self, n: u8) -> String {
        self.want(n);
        self.begun(n, "dmvpn")
    }

    /// An attempt by a profile begins; gives the name of the connection.
    #[track_caller]
    pub fn begun(&mut self, n: u8, child: &str) -> String {
        let loaded = self.request("load-conn");
        let (name, connection) = loaded.sections().next().unwrap();
        assert_eq!(connection.texts("remote_addrs").collect::<Vec<_>>(), [pair(n).remote.to_string()]);
        self.accept();
        let initiate = self.request("initiate");
        assert_eq!((text(&initiate, "ike"), text(&initiate, "child")), (name, child));
        assert_eq!(text(&initiate, "timeout"), "-1");
        self.accept();
        name.to_owned()
    }
}
