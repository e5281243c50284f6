//! nhrpd: NHRP daemon for DMVPN, in place of FRRouting's.
//!
//! This crate is wiring: options, privileges, the event loop, and the translation between the protocol engine and
//! those who carry it out (zebra, kernel, vtysh). It takes no decision about NHRP.

mod configuration;
mod counters;
mod daemon;
mod details;
mod event_socket;
mod ipsec;
mod kernel;
mod logging;
mod metrics;
mod multicast;
#[cfg_attr(not(feature = "grpc"), path = "northbound_absent.rs")]
mod northbound;
mod options;
mod paths;
mod process;
mod recorded;
mod release;
mod resolver;
mod turns;
mod vty;
mod zebra;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;

use options::Options;
use vtysh_plugin::TelnetServer;

/// FRR's for nhrpd.
const DEFAULT_VTY_PORT: u16 = 2610;

/// Sessions of the vty that have their turn, one request each, before the network has: hundreds of clients at once must
/// not hold up a registration.
const SESSIONS_IN_A_ROW: u32 = 16;

fn main() -> ExitCode {
    let options = match options::parse() {
        Ok(options) => options,
        Err(code) => return exit_code(code),
    };
    if options.dryrun {
        return exit_code(configuration::check(&options));
    }
    if options.daemon && !process::is_background() {
        return match process::start_background() {
            Ok(code) => exit_code(code),
            Err(error) => {
                eprintln!("nhrpd: cannot start the background process: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("nhrpd: {message}");
            tracing::error!(target: "nhrp::common", "{message}");
            ExitCode::FAILURE
        }
    }
}

fn exit_code(code: i32) -> ExitCode {
    if code == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything from the first privilege to the last packet.
fn run(options: &Options) -> Result<(), String> {
    process::set_file_mode_mask();
    let readiness = process::Readiness::take().map_err(|e| e.to_string())?;
    let frr = release::SpokenFrr::detect(options.zebra_release.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(turns::thread_woke)
        .event_interval(SESSIONS_IN_A_ROW)
        .build()
        .map_err(|e| e.to_string())?;
    let _inside = runtime.enter();
    // Raw and netlink sockets are opened as root; what follows is done as the user that runs on.
    let sockets = kernel::Sockets::open()?;
    let (run_dir, pid_path) = (options.run_dir(), options.pid_path());
    let of_pid_file = pid_path.parent().filter(|directory| *directory != Path::new(""));
    let directories: Vec<&Path> = [run_dir.as_path()].into_iter().chain(of_pid_file).collect();
    process::drop_privileges(&options.user, &options.group, &directories)?;
    let _pid_file = process::PidFile::lock(&pid_path)?;
    let log = logging::Log::install(&options.log, options.log_level.as_deref())?;
    let vty_path = options.vty_path();
    let vty = vtysh_plugin::VtyServer::bind(&vty_path, process::vty_group())
        .map_err(|e| format!("cannot listen on {}: {e}", vty_path.display()))?;
    let telnet = listen_for_telnet(options);
    // Before the loop, whose end it must outlive: its threads wait for answers of the loop.
    let started = northbound::start(options.grpc()?.as_ref(), &frr.version, process::vty_group())?;
    let (service, northbound) = started.unzip();
    let metrics = metrics::start(options.metrics()?)?;
    tracing::info!(
        target: "nhrp::common",
        "nhrpd {} starting, with the texts of FRR {}",
        env!("CARGO_PKG_VERSION"),
        frr.version
    );
    let mut daemon = daemon::Daemon::new(options, frr, log, sockets)?;
    if let Some(service) = &service {
        northbound::go_by(service, daemon.terminals());
    }
    runtime.block_on(async move {
        let vty = vty.with_terminals(daemon.terminals());
        let requests = daemon::serve_vty(vty, telnet, daemon.terminals());
        readiness.tell().map_err(|e| format!("cannot report to the parent process: {e}"))?;
        daemon.read_configuration();
        daemon.run(requests, northbound, metrics).await
    })
}

/// The telnet vty. As in FRR, a daemon that cannot have it runs without: vtysh needs it not.
fn listen_for_telnet(options: &Options) -> Option<TelnetServer> {
    let port = options.vty_port.unwrap_or(DEFAULT_VTY_PORT);
    if port == 0 {
        return None;
    }
    let bound =
        addresses(options.vty_addr.as_deref()).and_then(|addresses| TelnetServer::bind(&addresses, port));
    match bound {
        Ok(server) => Some(server),
        Err(error) => {
            tracing::error!(
                target: "nhrp::common",
                "cannot listen on port {port} for telnet: {error}; vtysh works all the same, see -A and -P"
            );
            None
        }
    }
}

/// The addresses of the telnet vty, all of the machine's if there are none: `-A` takes a name, too.
fn addresses(name: Option<&str>) -> std::io::Result<Vec<IpAddr>> {
    let Some(name) = name else { return Ok(Vec::new()) };
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let found = (name, 0)
        .to_socket_addrs()
        .map_err(|error| std::io::Error::new(error.kind(), format!("{name}: {error}")))?;
    Ok(found.map(|address| address.ip()).collect())
}
