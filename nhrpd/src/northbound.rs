//! gRPC: the daemon as a device of the datastores of `frr.Northbound`, and as the loop that `nhrpd.v1` asks. Both run on
//! threads of their own and ask the event loop for everything that is its own. A commit is a change of the configuration
//! like one that was typed, and commands are those of the vty.

mod facts;
mod follow;
mod tls;

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use nhrp_config::{Afi, Config};
use nhrp_engine::{ClearTable as Table, ClearWhat, Input, Selection};
use nhrp_yang::state::State;
use nhrp_yang::{ClearTable, Operation, Schema, Which};
use northbound::{Device, EventLoop, Gone, Handing, Listener, Refusal, Server, Subscribe};
use tokio::sync::{mpsc, oneshot, watch};
use vtysh_plugin::{Handler, TerminalSettings, VtyRequest};

use crate::daemon::Daemon;
use crate::options::Grpc;

use facts::Gathering;
pub(crate) use follow::Followers;

/// What calls want of the event loop. Dropping one says that the daemon ends.
pub(crate) enum Request {
    /// The configuration that runs.
    Running(oneshot::Sender<Config>),
    /// Whether others may change it.
    Hold(bool, oneshot::Sender<()>),
    /// Another one in its place.
    Apply(Box<Config>, oneshot::Sender<Result<(), String>>),
    /// A turn's share of what is known.
    State(Box<Gathering>, oneshot::Sender<Box<Gathering>>),
    /// An action.
    Execute(Operation, oneshot::Sender<Option<u32>>),
    /// A line of the command line.
    Command(VtyRequest),
    /// A snapshot, and what changes.
    Subscribe(Subscribe),
}

/// The daemon, from the threads of the services.
#[derive(Clone)]
struct Remote {
    requests: mpsc::Sender<Request>,
    /// What sessions of the vty go by; there is none before there is a loop.
    terminals: Arc<OnceLock<watch::Receiver<TerminalSettings>>>,
    tells_of_itself: bool,
}

impl Remote {
    fn ask<T>(&mut self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Gone> {
        let (answer, reply) = oneshot::channel();
        self.requests.blocking_send(request(answer)).map_err(|_| Gone)?;
        reply.blocking_recv().map_err(|_| Gone)
    }
}

impl Device for Remote {
    fn running(&mut self) -> Result<Config, Gone> {
        self.ask(Request::Running)
    }

    fn hold(&mut self, hold: bool) -> Result<(), Gone> {
        self.ask(|answer| Request::Hold(hold, answer))
    }

    fn apply(&mut self, config: &Config) -> Result<(), Refusal> {
        let config = Box::new(config.clone());
        self.ask(|answer| Request::Apply(config, answer))?.map_err(Refusal::Because)
    }

    fn state(&mut self) -> Result<State, Gone> {
        let mut gathering = Box::<Gathering>::default();
        while !gathering.is_complete() {
            gathering = self.ask(|answer| Request::State(gathering, answer))?;
        }
        Ok(gathering.into_state())
    }

    fn execute(&mut self, operation: Operation) -> Result<Option<u32>, Gone> {
        self.ask(|answer| Request::Execute(operation, answer))
    }

    fn now(&mut self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

impl EventLoop for Remote {
    fn command(&self, request: VtyRequest) -> Handing<'_> {
        Box::pin(async move { self.requests.send(Request::Command(request)).await.map_err(|_| Gone) })
    }

    fn logs_commands(&self) -> bool {
        self.terminals.get().is_some_and(|settings| settings.borrow().log_commands)
    }

    fn subscribe(&self, request: Subscribe) -> Handing<'_> {
        Box::pin(async move { self.requests.send(Request::Subscribe(request)).await.map_err(|_| Gone) })
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.requests.closed())
    }

    fn tells_of_itself(&self) -> bool {
        self.tells_of_itself
    }
}

/// The running service; it ends with this value, which must outlive the receiver of its requests.
#[derive(Debug)]
pub(crate) struct Northbound {
    _server: Server,
    terminals: Arc<OnceLock<watch::Receiver<TerminalSettings>>>,
}

/// Its lines go by the settings of the vty.
pub(crate) fn go_by(northbound: &Northbound, settings: watch::Receiver<TerminalSettings>) {
    // There is one loop in a life.
    let _ = northbound.terminals.set(settings);
}

/// Starts the service if it is wanted; what it wants comes out of the receiver.
pub(crate) fn start(
    grpc: Option<&Grpc>,
    version: &str,
    group: Option<u32>,
) -> Result<Option<(Northbound, mpsc::Receiver<Request>)>, String> {
    let Some(grpc) = grpc else { return Ok(None) };
    let listener: Listener = match &grpc.listen {
        Some(text) => text.parse().map_err(|e| format!("--grpc-listen: {e}"))?,
        None => Listener::Tcp(([127, 0, 0, 1], grpc.port).into()),
    };
    let tls = tls::of(grpc, &listener)?;
    tls::refuse_strangers(grpc, &listener)?;
    let tls = tls.map(|tls| tls::renewed(tls, grpc, &listener)).transpose()?;
    // One for the life of the process: data trees refer to it from other threads.
    let schema: &'static Schema = Box::leak(Box::new(load(grpc.yang_dir.as_deref())?));
    // One at a time, whoever asks: a turn of the loop is for one of them.
    let (requests, receiver) = mpsc::channel(1);
    let terminals = Arc::new(OnceLock::new());
    let remote = Remote { requests, terminals: Arc::clone(&terminals), tells_of_itself: grpc.reflection };
    let (device, daemon) = (Box::new(remote.clone()), Arc::new(remote));
    let server = northbound::serve(&listener, group, tls, schema, device, daemon, version.to_owned())
        .map_err(|e| format!("cannot listen on {listener} for gRPC: {e}"))?;
    let how = if grpc.tls.is_some() { ", by TLS" } else { "" };
    tracing::info!(target: "nhrp::common", "frr.Northbound and nhrpd.v1 are served on {listener}{how}");
    Ok(Some((Northbound { _server: server, terminals }, receiver)))
}

fn load(directory: Option<&Path>) -> Result<Schema, String> {
    Schema::load(directory).map_err(|e| match directory {
        Some(directory) => format!("--yang-dir {}: {e}", directory.display()),
        None => e.to_string(),
    })
}

impl Daemon {
    /// One request; the client may be gone by now.
    pub(crate) fn on_northbound(&mut self, request: Request) {
        match request {
            Request::Running(answer) => drop(answer.send(self.configuration.nhrp.clone())),
            Request::Hold(hold, answer) => {
                self.configuration.held = hold;
                let _ = answer.send(());
            }
            Request::Apply(config, answer) => {
                let applied = self.configuration.replace(&config).map_err(|e| e.to_string());
                self.configuration_changed();
                drop(answer.send(applied));
            }
            Request::State(mut gathering, answer) => {
                self.gather(&mut gathering);
                drop(answer.send(gathering));
            }
            Request::Execute(operation, answer) => drop(answer.send(self.carry_out_operation(operation))),
            Request::Command(VtyRequest { command, reply }) => drop(reply.send(self.execute(command))),
            Request::Subscribe(request) => self.subscribe(request),
        }
    }

    fn carry_out_operation(&mut self, operation: Operation) -> Option<u32> {
        let (table, family, which) = match operation {
            Operation::Clear { table, family, which } => (table, family, which),
            Operation::ClearCounters => {
                self.clear_counters();
                return None;
            }
        };
        let families = family.map_or(vec![Afi::Ip, Afi::Ipv6], |afi| vec![afi]);
        let mut cleared = 0;
        for afi in families {
            let some = |selection| {
                let table = match table {
                    ClearTable::Cache => Table::Cache,
                    ClearTable::Shortcut => Table::Shortcuts,
                };
                ClearWhat::Selected(table, afi, selection)
            };
            let what = match &which {
                // The command of FRR's clears both families, so one is a selection: everything of the family.
                Which::All => match table {
                    ClearTable::Shortcut => ClearWhat::Shortcuts(afi),
                    ClearTable::Cache => some(Selection::Prefix(everything(afi))),
                },
                Which::Prefix(prefix) => some(Selection::Prefix(*prefix)),
                Which::Peer(address) => some(Selection::Peer(*address)),
                Which::Interface(name) => some(Selection::Interface(name.clone())),
            };
            cleared += self.clear(Input::Clear(what));
        }
        Some(u32::try_from(cleared).unwrap_or(u32::MAX))
    }
}

/// The prefix that every address of a family lies in.
fn everything(afi: Afi) -> ipnet::IpNet {
    match afi {
        Afi::Ip => ipnet::Ipv4Net::default().into(),
        Afi::Ipv6 => ipnet::Ipv6Net::default().into(),
    }
}
