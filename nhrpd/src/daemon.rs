//! The event loop: one owner of the engine, of which each turn gives it what has happened and carries out what it answers.
//!
//! Owns who is listened to, and what the loop and its parts share. Inputs, outputs and the following of the configuration
//! have a file each.

mod follow;
mod inputs;
mod outputs;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use nhrp_engine::{Input, Instant, Level, Limits, Notice, Topic};
use nhrp_kernel::neighbour::NeighbourEvent;
use nhrp_kernel::nflog::{Nflog, NflogPacket};
use nhrp_kernel::packet_socket::RecvBatch;
use nhrp_zapi::{Event, ZebraClient};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use vtysh_plugin::{Handler, TelnetServer, TerminalSettings, VtyRequest, VtyServer};

use crate::configuration::Configuration;
use crate::details::Cleared;
use crate::event_socket::{EventSocket, News};
use crate::ipsec::IpsecSide;
use crate::kernel::{KernelSide, Sockets};
use crate::logging::{Log, RateLimit};
use crate::metrics;
use crate::multicast::{Happened, MulticastSide};
use crate::northbound;
use crate::options::Options;
use crate::recorded::Recorded;
use crate::release::SpokenFrr;
use crate::resolver::{Answer, Resolver};
use crate::turns::{self, Turns};
use crate::zebra::ZebraSide;

/// Commands that wait for the loop; more wait in their sessions.
const VTY_QUEUE: usize = 64;
/// Of zebra's events, which come by the thousand, as many are taken in one turn of the loop as of packets.
const EVENTS_IN_A_ROW: usize = 64;

/// How often the kernel's neighbour table is compared with what it should be, besides after lost events.
const COMPARE_EVERY: Duration = Duration::from_secs(300);

/// How long after a new zebra's start things have settled. The other daemons try to reach it every 5 s at the longest;
/// and it removes from the kernel what an earlier zebra has left, whereby routes announced too early may go as well.
const SETTLE: Duration = Duration::from_secs(10);

/// The running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) engine: Recorded,
    pub(crate) configuration: Configuration,
    pub(crate) frr: SpokenFrr,
    pub(crate) log: Log,
    pub(crate) hostname: String,
    pub(crate) config_path: PathBuf,
    /// Files that are being read: the engine hears of the end of the last one only.
    pub(crate) files: usize,
    /// When it hears of what has been read, although a file has no end yet.
    pub(crate) apply_at: Option<tokio::time::Instant>,
    /// `--log` as FRR prints it into the configuration.
    pub(crate) command_line_log: Option<String>,
    config_to_read: Option<PathBuf>,
    terminals: watch::Sender<TerminalSettings>,
    /// What the engine and the log follow now.
    applied: nhrp_config::Config,
    started: tokio::time::Instant,
    pub(crate) zebra: ZebraClient,
    zebra_side: ZebraSide,
    sockets: Sockets,
    pub(crate) kernel: KernelSide,
    own_neighbours: bool,
    nflog: Option<Nflog>,
    pub(crate) multicast: MulticastSide,
    pub(crate) ipsec: IpsecSide,
    resolver: Resolver,
    pub(crate) events: EventSocket,
    pub(crate) followers: northbound::Followers,
    rate: RateLimit,
    cleared: usize,
    pub(crate) turns: Turns,
    /// Counters when the operator cleared them.
    pub(crate) counters_cleared: Cleared,
    /// The file of [`crate::configuration::Reader::Extra`], unless one file holds everything.
    pub(crate) extra_config_path: Option<PathBuf>,
    /// Interfaces on which an earlier life may have left neighbours.
    to_adopt: Vec<u32>,
    compare_now: bool,
    pub(crate) settle_at: Option<tokio::time::Instant>,
}

/// What woke the loop.
enum Woken {
    Packets(std::io::Result<usize>),
    Zebra(Event),
    Flows(std::io::Result<()>),
    Multicast(Happened),
    Neighbour(std::io::Result<NeighbourEvent>),
    Vty(VtyRequest),
    Northbound(northbound::Request),
    Metrics(metrics::Request),
    Resolved(Answer),
    Ipsec(Option<nhrp_vici::Event>),
    EventSocket(News),
    Deadline,
    Compare,
    KernelIsBehind,
    Settle,
    FileIsLate,
    ReopenLogs,
    Stop,
}

/// Starts the vty servers; their commands come out of the receiver.
pub(crate) fn serve_vty(
    server: VtyServer,
    telnet: Option<TelnetServer>,
    terminals: watch::Receiver<TerminalSettings>,
) -> mpsc::Receiver<VtyRequest> {
    let (sender, requests) = mpsc::channel(VTY_QUEUE);
    if let Some(telnet) = telnet {
        tokio::spawn(telnet.run(sender.clone(), terminals));
    }
    tokio::spawn(async move {
        if let Err(error) = server.run(sender).await {
            tracing::error!(target: "nhrp::common", "the vty socket is lost: {error}; restart nhrpd to use vtysh again");
        }
    });
    requests
}

async fn next_flows(nflog: &mut Option<Nflog>, flows: &mut Vec<NflogPacket>) -> std::io::Result<()> {
    match nflog {
        Some(nflog) => nflog.recv(flows).await,
        None => std::future::pending().await,
    }
}

/// Of a service that may not be wanted.
async fn next_request<T>(service: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match service {
        Some(requests) => requests.recv().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    pub(crate) fn new(options: &Options, frr: SpokenFrr, log: Log, sockets: Sockets) -> Result<Self, String> {
        let mut zebra_options = nhrp_zapi::Options::new(options.zebra_path());
        zebra_options.vty = Some(options.zebra_vty_path());
        // What this daemon announced it knows.
        zebra_options.own_routes = false;
        if let Some(release) = &options.zebra_release {
            zebra_options.forced_release =
                Some(release.parse().map_err(|e| format!("--zebra-release {release}: {e}"))?);
        }
        let hostname =
            nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let limits = Limits {
            max_cache_entries: options.max_peers,
            max_shortcuts: options.max_peers,
            ..Limits::default()
        };
        let command_line_log = options.log.first().map(|target| {
            let level = options.log_level.as_deref().unwrap_or("debugging");
            format!("log {} {level}", target.replacen("file:", "file ", 1))
        });
        Ok(Self {
            engine: Recorded::new(limits, options.recording()),
            configuration: Configuration::started(options),
            frr,
            log,
            hostname,
            config_path: options.config_path(),
            files: 0,
            apply_at: None,
            command_line_log,
            config_to_read: options.config_to_read(),
            terminals: watch::Sender::default(),
            applied: nhrp_config::Config::default(),
            started: tokio::time::Instant::now(),
            zebra: ZebraClient::new(zebra_options),
            zebra_side: ZebraSide::new(options.route_distance, options.route_tag),
            sockets,
            kernel: KernelSide::new(),
            own_neighbours: !options.zebra_neighbours,
            nflog: None,
            multicast: MulticastSide::default(),
            ipsec: IpsecSide::new(options.vici_sockets(), options.swanctl_conf.clone()),
            resolver: Resolver::new(),
            events: EventSocket::default(),
            followers: northbound::Followers::default(),
            rate: RateLimit::default(),
            cleared: 0,
            turns: Turns::default(),
            counters_cleared: Cleared::default(),
            extra_config_path: options.config_file.is_none().then(|| options.extra_config_path()),
            to_adopt: Vec::new(),
            compare_now: false,
            settle_at: None,
        })
    }

    /// What telnet sessions follow.
    pub(crate) fn terminals(&self) -> watch::Receiver<TerminalSettings> {
        self.tell_terminals();
        self.terminals.subscribe()
    }

    /// Settings of terminals may have changed.
    pub(crate) fn tell_terminals(&self) {
        let new = self.configuration.library.terminal(&self.hostname, &self.frr.version);
        self.terminals.send_if_modified(|old| {
            let changed = *old != new;
            *old = new;
            changed
        });
    }

    pub(crate) fn now(&self) -> Instant {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Instant::from_micros(micros)
    }

    /// Serves until a signal says otherwise.
    pub(crate) async fn run(
        mut self,
        mut vty: mpsc::Receiver<VtyRequest>,
        mut northbound: Option<mpsc::Receiver<northbound::Request>>,
        mut metrics: Option<mpsc::Receiver<metrics::Request>>,
    ) -> Result<(), String> {
        let listen = |kind| signal(kind).map_err(|e| format!("cannot listen for signals: {e}"));
        let mut stop: [Signal; 2] = [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?];
        let mut reopen = listen(SignalKind::user_defined1())?;
        let [term, int] = &mut stop;
        let mut batch = RecvBatch::new();
        let mut flows: Vec<NflogPacket> = Vec::new();
        let mut compare = tokio::time::interval(COMPARE_EVERY);
        compare.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        compare.reset();
        let mut last = tokio::time::Instant::now();
        loop {
            self.carry_out().await;
            let began = turns::began(last);
            last = tokio::time::Instant::now();
            self.turns.add(last.saturating_duration_since(began));
            let deadline =
                self.engine.next_deadline().map(|at| self.started + Duration::from_micros(at.as_micros()));
            // In no fixed order: a flood from one side must not keep the loop from another's.
            let woken = tokio::select! {
                _ = term.recv() => Woken::Stop,
                _ = int.recv() => Woken::Stop,
                event = self.zebra.next() => Woken::Zebra(event),
                received = self.sockets.packets.recv(&mut batch) => Woken::Packets(received),
                received = next_flows(&mut self.nflog, &mut flows) => Woken::Flows(received),
                happened = self.multicast.next() => Woken::Multicast(happened),
                event = self.sockets.neighbours.next_event(), if self.own_neighbours => Woken::Neighbour(event),
                () = async { tokio::time::sleep_until(deadline.unwrap_or(self.started)).await }, if deadline.is_some() => Woken::Deadline,
                Some(request) = vty.recv() => Woken::Vty(request),
                Some(request) = next_request(&mut northbound) => Woken::Northbound(request),
                Some(request) = next_request(&mut metrics) => Woken::Metrics(request),
                answer = self.resolver.next() => Woken::Resolved(answer),
                event = self.ipsec.next() => Woken::Ipsec(event),
                news = self.events.next() => Woken::EventSocket(news),
                _ = compare.tick() => Woken::Compare,
                // After who else has something to do.
                () = tokio::task::yield_now(), if self.kernel.is_behind() => Woken::KernelIsBehind,
                () = async { tokio::time::sleep_until(self.settle_at.unwrap_or(self.started)).await }, if self.settle_at.is_some() => Woken::Settle,
                () = async { tokio::time::sleep_until(self.apply_at.unwrap_or(self.started)).await }, if self.apply_at.is_some() => Woken::FileIsLate,
                _ = reopen.recv() => Woken::ReopenLogs,
            };
            match woken {
                Woken::Stop => break,
                Woken::Packets(received) => self.on_burst(received, &mut batch).await,
                Woken::Zebra(event) => {
                    self.on_zebra(event);
                    for _ in 0..EVENTS_IN_A_ROW {
                        let Some(event) = self.zebra.queued() else { break };
                        self.on_zebra(event);
                    }
                }
                Woken::Flows(received) => self.on_flows(received, &mut flows),
                Woken::Multicast(happened) => self.on_multicast(happened),
                Woken::Neighbour(event) => {
                    self.on_neighbour(event);
                    while let Some(event) = self.sockets.neighbours.pending_event() {
                        self.on_neighbour(Ok(event));
                    }
                }
                Woken::Vty(request) => {
                    let reply = self.execute(request.command);
                    // The client may have hung up meanwhile.
                    let _ = request.reply.send(reply);
                }
                Woken::Northbound(request) => self.on_northbound(request),
                // The scraper may have hung up meanwhile.
                Woken::Metrics(answer) => drop(answer.send(self.metrics())),
                Woken::Resolved(answer) => {
                    self.feed(Input::Resolved { token: answer.token, addresses: answer.addresses });
                }
                Woken::Ipsec(Some(event)) => self.on_ipsec(event),
                Woken::EventSocket(news) => self.on_event_socket(news),
                Woken::Deadline => self.feed(Input::DeadlineReached),
                Woken::Compare => {
                    self.compare_now = self.own_neighbours;
                    self.ipsec.repair();
                    self.ipsec.tidy(&self.applied);
                }
                // What waits is handed over at the end of every turn.
                Woken::KernelIsBehind | Woken::Ipsec(None) => {}
                Woken::Settle => {
                    self.settle_at = None;
                    for input in self.zebra_side.settle(&self.engine) {
                        self.feed(input);
                    }
                    self.announce_routes();
                }
                Woken::FileIsLate => {
                    tracing::warn!(
                        target: "nhrp::common",
                        "a configuration file has no end after {} s: from now on its lines count one by one; is a \
                         'vtysh -f' or 'vtysh -b' stopped?",
                        follow::FILE_PATIENCE.as_secs()
                    );
                    self.apply_at = None;
                    self.configuration_changed();
                }
                Woken::ReopenLogs => self.log.reopen(),
            }
        }
        tracing::info!(target: "nhrp::common", "Terminating on signal");
        self.feed(Input::Leaving);
        self.kernel.leave(&mut self.sockets, &self.engine, self.own_neighbours);
        // The purges of many clients at once may be more than the queue takes.
        self.sockets.packets.finish().await;
        self.zebra.close().await;
        self.engine.end("stopped by a signal");
        Ok(())
    }

    fn feed(&mut self, input: Input) {
        let now = self.now();
        self.engine.handle(now, input);
        self.collect();
    }

    pub(crate) fn clear(&mut self, input: Input) -> usize {
        self.cleared = 0;
        self.feed(input);
        self.cleared
    }

    /// Candidates for vtysh's completion.
    pub(crate) fn candidates(&self, token: &str) -> String {
        if token != "IFNAME" && token != "INTERFACE" {
            return String::new();
        }
        self.engine.interface_names().into_iter().map(|name| name + "\n").collect()
    }

    fn tell(&mut self, notice: &Notice) {
        let topic = match notice.topic() {
            Topic::Common => "common",
            Topic::Interface => "interface",
            Topic::Route => "route",
        };
        self.say(notice.kind().unwrap_or_default(), notice.level(), topic, notice);
    }

    /// Logs; messages of the same non-empty kind not too often. What nobody reads is not even formatted.
    fn say(&mut self, kind: &str, level: Level, topic: &str, text: impl fmt::Display) {
        let mut left_out = 0;
        if !kind.is_empty() && level != Level::Debug {
            match self.rate.admit(kind) {
                Some(n) => left_out = n,
                None => return,
            }
        }
        let note =
            if left_out > 0 { format!(" ({left_out} similar messages left out)") } else { String::new() };
        // Targets are compile-time constants of a call site.
        macro_rules! log {
            ($level:ident) => {
                match topic {
                    "interface" => tracing::$level!(target: "nhrp::interface", "{text}{note}"),
                    "route" => tracing::$level!(target: "nhrp::route", "{text}{note}"),
                    "event" => tracing::$level!(target: "nhrp::event", "{text}{note}"),
                    "kernel" => tracing::$level!(target: "nhrp::kernel", "{text}{note}"),
                    "vici" => tracing::$level!(target: "nhrp::vici", "{text}{note}"),
                    _ => tracing::$level!(target: "nhrp::common", "{text}{note}"),
                }
            };
        }
        match level {
            Level::Warning => log!(warn),
            Level::Info => log!(info),
            Level::Debug => log!(debug),
        }
    }
}
