//! Command line: FRR's options, with unambiguous abbreviations as getopt_long accepts them, and this daemon's own.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::paths;

/// FRR's NHRP daemon options. `--help` and `--version` print FRR's form.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "nhrpd",
    disable_version_flag = true,
    infer_long_args = true,
    about = "Next Hop Resolution Protocol routing engine for use with FRRouting.",
    override_usage = "nhrpd [OPTION...]"
)]
pub(crate) struct Options {
    /// Print program version
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
    /// Runs in daemon mode
    #[arg(short, long)]
    pub(crate) daemon: bool,
    /// Load specified module (accepted, there are none)
    #[arg(short = 'M', long, value_name = "MODULE", action = ArgAction::Append)]
    pub(crate) module: Vec<String>,
    /// Use specified configuration profile
    #[arg(short = 'F', long, value_name = "PROFILE", default_value = "traditional")]
    pub(crate) profile: String,
    /// Insert prefix into config & socket paths
    #[arg(short = 'N', long, value_name = "NAME")]
    pub(crate) pathspace: Option<String>,
    /// Use network namespaces for VRFs (accepted: NHRP runs in the default VRF)
    #[arg(short = 'w', long)]
    pub(crate) vrfwnetns: bool,
    /// Set default VRF name
    #[arg(short = 'o', long, value_name = "NAME")]
    pub(crate) vrfdefaultname: Option<String>,
    /// FRR starting in Graceful Restart mode (accepted)
    #[arg(short = 'K', long = "graceful_restart", value_name = "SECONDS", num_args = 0..=1)]
    pub(crate) graceful_restart: Option<Option<u32>>,
    /// Override vty socket path
    #[arg(long = "vty_socket", value_name = "DIR")]
    pub(crate) vty_socket: Option<PathBuf>,
    /// Override modules directory (accepted)
    #[arg(long, value_name = "DIR")]
    pub(crate) moduledir: Option<PathBuf>,
    /// Override scripts directory (accepted)
    #[arg(long, value_name = "DIR")]
    pub(crate) scriptdir: Option<PathBuf>,
    /// Set Logging to stdout, syslog, or file:<name>
    #[arg(long, value_name = "TARGET", action = ArgAction::Append)]
    pub(crate) log: Vec<String>,
    /// Set Logging Level to use, debug, info, warn, etc
    #[arg(long = "log-level", value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Limit number of fds supported (accepted: there is no such limit)
    #[arg(long = "limit-fds", value_name = "N")]
    pub(crate) limit_fds: Option<u32>,
    /// Use transaction-based CLI (accepted)
    #[arg(long)]
    pub(crate) tcli: bool,
    /// Log every command
    #[arg(long = "command-log-always", hide = true)]
    pub(crate) command_log_always: bool,
    /// Set configuration file name
    #[arg(short = 'f', long = "config_file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Check configuration for validity and exit
    #[arg(short = 'C', long)]
    pub(crate) dryrun: bool,
    /// Open terminal session on stdio (not supported)
    #[arg(short = 't', long)]
    pub(crate) terminal: bool,
    /// Set process identifier file name
    #[arg(short = 'i', long = "pid_file", value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Set path of zebra socket
    #[arg(short = 'z', long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// User to run as
    #[arg(short, long, value_name = "USER", default_value = "frr")]
    pub(crate) user: String,
    /// Group to run as
    #[arg(short, long, value_name = "GROUP", default_value = "frr")]
    pub(crate) group: String,
    /// Set vty's bind address
    #[arg(short = 'A', long = "vty_addr", value_name = "ADDRESS")]
    pub(crate) vty_addr: Option<IpAddr>,
    /// Set vty's port number (0: no telnet vty)
    #[arg(short = 'P', long = "vty_port", value_name = "PORT")]
    pub(crate) vty_port: Option<u16>,

    /// FRR release of zebra, instead of finding it out (8.4 to 10.7)
    #[arg(long = "zebra-release", value_name = "X.Y", help_heading = "Not in FRR's nhrpd")]
    pub(crate) zebra_release: Option<String>,
    /// Leave neighbour entries to zebra, as FRR's nhrpd does (see README: the kernel then forgets them)
    #[arg(long = "zebra-neighbours", help_heading = "Not in FRR's nhrpd")]
    pub(crate) zebra_neighbours: bool,
    /// Administrative distance of NHRP routes in zebra (without: 10, and 254 for shortcuts beside routing protocols)
    #[arg(
        long = "route-distance",
        value_name = "1-254",
        value_parser = clap::value_parser!(u8).range(1..=254),
        help_heading = "Not in FRR's nhrpd"
    )]
    pub(crate) route_distance: Option<u8>,
    /// Tag of NHRP routes in zebra, for route maps of daemons that redistribute them
    #[arg(
        long = "route-tag",
        value_name = "1-4294967295",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Not in FRR's nhrpd"
    )]
    pub(crate) route_tag: Option<u32>,
    /// Most peers that are remembered
    #[arg(
        long = "max-peers",
        value_name = "N",
        default_value_t = 200_000,
        help_heading = "Not in FRR's nhrpd"
    )]
    pub(crate) max_peers: usize,
    /// VICI socket of strongSwan's charon
    #[arg(long = "vici-socket", value_name = "PATH", help_heading = "Not in FRR's nhrpd")]
    pub(crate) vici_socket: Option<PathBuf>,
    /// swanctl.conf, in which the profiles of 'tunnel protection' are
    #[arg(
        long = "swanctl-conf",
        value_name = "FILE",
        default_value = paths::SWANCTL_CONF,
        help_heading = "Not in FRR's nhrpd"
    )]
    pub(crate) swanctl_conf: PathBuf,
    /// Write all that the protocol is told and answers into this file, to be played back (passwords are left out)
    #[arg(long, value_name = "FILE", help_heading = "Not in FRR's nhrpd")]
    pub(crate) record: Option<PathBuf>,
    /// Most mebibytes of that file
    #[arg(
        long = "record-limit",
        value_name = "MIB",
        default_value_t = 256,
        help_heading = "Not in FRR's nhrpd"
    )]
    pub(crate) record_limit: u64,
}

/// Options that were understood, or the exit code after what was to be printed has been.
pub(crate) fn parse() -> Result<Options, i32> {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            // FRR's words first: scripts look for them.
            eprintln!("Invalid options.\n\n{error}");
            return Err(1);
        }
        Err(help) => {
            println!("{help}");
            return Err(0);
        }
    };
    if options.version {
        println!("nhrpd version {}", env!("CARGO_PKG_VERSION"));
        println!("Drop-in replacement of FRRouting's nhrpd, for FRR 8.4 to 10.7. GPL-2.0-or-later.");
        return Err(0);
    }
    if !matches!(options.profile.as_str(), "traditional" | "datacenter") {
        eprintln!("profile \"{}\" is not known; use traditional or datacenter", options.profile);
        return Err(1);
    }
    if options.pathspace.as_deref().is_some_and(|n| n.is_empty() || n.contains(['/', '.'])) {
        eprintln!("slashes or dots are not permitted in the --pathspace option.");
        return Err(1);
    }
    if options.terminal {
        eprintln!("a terminal session on stdio (-t) is not supported; use vtysh");
        return Err(1);
    }
    Ok(options)
}

impl Options {
    fn spaced(&self, base: &str) -> PathBuf {
        let base = PathBuf::from(base);
        match &self.pathspace {
            Some(name) => base.join(name),
            None => base,
        }
    }

    /// Directory of sockets and pid file.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.spaced(paths::RUN)
    }

    /// Directory of the configuration.
    pub(crate) fn config_dir(&self) -> PathBuf {
        self.spaced(paths::CONFIG)
    }

    pub(crate) fn vty_path(&self) -> PathBuf {
        self.vty_socket.as_ref().map_or_else(|| self.run_dir(), |dir| self.joined(dir)).join("nhrpd.vty")
    }

    fn joined(&self, dir: &std::path::Path) -> PathBuf {
        self.pathspace.as_ref().map_or_else(|| dir.to_owned(), |name| dir.join(name))
    }

    pub(crate) fn pid_path(&self) -> PathBuf {
        self.pid_file.clone().unwrap_or_else(|| self.run_dir().join("nhrpd.pid"))
    }

    pub(crate) fn zebra_path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.run_dir().join("zserv.api"))
    }

    /// Where charon may listen.
    pub(crate) fn vici_sockets(&self) -> Vec<PathBuf> {
        match &self.vici_socket {
            Some(path) => vec![path.clone()],
            None => paths::VICI.map(PathBuf::from).to_vec(),
        }
    }

    /// File of the recording and the most octets that it may have.
    pub(crate) fn recording(&self) -> Option<(&std::path::Path, u64)> {
        Some((self.record.as_deref()?, self.record_limit.saturating_mul(1 << 20)))
    }

    /// zebra's vty socket: that of the instance whose API is used, which FRR makes beside it.
    pub(crate) fn zebra_vty_path(&self) -> PathBuf {
        match (&self.vty_socket, &self.socket) {
            (Some(dir), None) => self.joined(dir).join("zebra.vty"),
            _ => self.zebra_path().with_file_name("zebra.vty"),
        }
    }

    /// The daemon's own configuration file.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.config_file.clone().unwrap_or_else(|| self.config_dir().join("nhrpd.conf"))
    }

    /// Lines that `frr.conf` cannot have, because the installed vtysh does not know them.
    pub(crate) fn extra_config_path(&self) -> PathBuf {
        self.config_dir().join("nhrpd-extra.conf")
    }

    /// What to read at start. If `frr.conf` exists, `vtysh -b` brings everything but what vtysh does not know.
    pub(crate) fn config_to_read(&self) -> Option<PathBuf> {
        if self.config_file.is_none() && self.config_dir().join("frr.conf").exists() {
            return Some(self.extra_config_path()).filter(|path| path.exists());
        }
        Some(self.config_path())
    }
}
