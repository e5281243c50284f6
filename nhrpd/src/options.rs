//! Command line: FRR's options, with unambiguous abbreviations as getopt_long accepts them, and this daemon's own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::paths;

/// FRR's NHRP daemon options. `--help` and `--version` print FRR's form.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "nhrpd",
    disable_version_flag = true,
    infer_long_args = true,
    // Scripts give `-d`, and `--daemon` may stand in an old /etc/frr/daemons as well.
    args_override_self = true,
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
    /// Load specified module: grpc[:PORT]; others are accepted, and there are none
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
    /// FRR starting in Graceful Restart mode (accepted: what NHRP has learned comes back by itself)
    #[arg(
        short = 'K',
        long = "graceful_restart",
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub(crate) graceful_restart: Option<String>,
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
    pub(crate) limit_fds: Option<String>,
    /// Use transaction-based CLI (accepted)
    #[arg(long)]
    pub(crate) tcli: bool,
    /// Always log every command, cannot be turned off
    #[arg(long = "command-log-always")]
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
    pub(crate) vty_addr: Option<String>,
    /// Set vty's port number (0: no telnet vty)
    #[arg(short = 'P', long = "vty_port", value_name = "PORT")]
    pub(crate) vty_port: Option<u16>,

    /// Where gRPC is served: ADDRESS, ADDRESS:PORT or unix:PATH (with -M grpc alone: 127.0.0.1:50051)
    #[arg(long = "grpc-listen", value_name = "WHERE", help_heading = "Not in FRR's nhrpd")]
    pub(crate) grpc_listen: Option<String>,
    /// Serve gRPC to everybody where other hosts can reach it: without TLS, or without asking for certificates
    #[arg(long = "grpc-insecure", help_heading = "Not in FRR's nhrpd")]
    pub(crate) grpc_insecure: bool,
    /// Certificate to show to gRPC's clients, in PEM, with those between it and its authority
    #[arg(long = "grpc-tls-cert", value_name = "FILE", help_heading = "Not in FRR's nhrpd")]
    pub(crate) grpc_tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long = "grpc-tls-key", value_name = "FILE", help_heading = "Not in FRR's nhrpd")]
    pub(crate) grpc_tls_key: Option<PathBuf>,
    /// Certificates of authorities: gRPC's clients must show one that one of these has signed
    #[arg(long = "grpc-tls-ca", value_name = "FILE", help_heading = "Not in FRR's nhrpd")]
    pub(crate) grpc_tls_ca: Option<PathBuf>,
    /// Also serve gRPC's reflection and health services: what is served, and that it is
    #[arg(long = "grpc-reflection", help_heading = "Not in FRR's nhrpd")]
    pub(crate) grpc_reflection: bool,
    /// Directory of YANG modules that take the place of the built-in ones
    #[arg(long = "yang-dir", value_name = "DIR", help_heading = "Not in FRR's nhrpd")]
    pub(crate) yang_dir: Option<PathBuf>,
    /// Serve metrics for Prometheus there, by HTTP, under /metrics
    #[arg(long = "metrics-listen", value_name = "ADDRESS:PORT", help_heading = "Not in FRR's nhrpd")]
    pub(crate) metrics_listen: Option<String>,
    /// Serve metrics where other hosts can reach them, to everybody who does
    #[arg(long = "metrics-insecure", help_heading = "Not in FRR's nhrpd")]
    pub(crate) metrics_insecure: bool,
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

    /// Words that belong to no option.
    #[arg(hide = true)]
    pub(crate) words: Vec<String>,
}

/// Short options without a value, which may stand before another one in the same word.
const FLAGS: &str = "vdwChKt";

/// The arguments with `-K5` written as `-K=5`: getopt takes the value of an optional argument from the same word or not
/// at all, and clap wants to see where it begins.
fn normalised(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.map(|argument| {
        let short = argument.to_str().and_then(|word| word.strip_prefix('-'));
        let Some((flags, value)) = short.and_then(|word| word.split_once('K')) else { return argument };
        if flags.chars().all(|flag| FLAGS.contains(flag)) && !value.is_empty() && !value.starts_with('=') {
            return format!("-{flags}K={value}").into();
        }
        argument
    })
}

/// The gRPC service, as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grpc {
    /// `--grpc-listen`
    pub(crate) listen: Option<String>,
    /// That of `-M grpc:PORT`, on the loopback address.
    pub(crate) port: u16,
    /// `--grpc-insecure`
    pub(crate) insecure: bool,
    /// Those of TLS, if it is wanted.
    pub(crate) tls: Option<GrpcTls>,
    /// `--grpc-reflection`
    pub(crate) reflection: bool,
    /// `--yang-dir`
    pub(crate) yang_dir: Option<PathBuf>,
}

/// Files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcTls {
    /// `--grpc-tls-cert`
    pub(crate) certificate: PathBuf,
    /// `--grpc-tls-key`
    pub(crate) key: PathBuf,
    /// `--grpc-tls-ca`
    pub(crate) authorities: Option<PathBuf>,
}

/// FRR's.
const GRPC_PORT: u16 = 50051;

/// Options that were understood, or the exit code after what was to be printed has been.
pub(crate) fn parse() -> Result<Options, i32> {
    let options = match Options::try_parse_from(normalised(std::env::args_os())) {
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
        let known = "Available profiles are:\n * traditional\n   datacenter";
        if options.profile == "help" {
            println!("{known}");
            return Err(0);
        }
        eprintln!(
            "The \"{}\" configuration profile is not valid for this FRR version.\n{known}\n\nInvalid options.",
            options.profile
        );
        return Err(1);
    }
    if options.pathspace.as_deref().is_some_and(|n| n.is_empty() || n.contains(['/', '.'])) {
        eprintln!("slashes or dots are not permitted in the --pathspace option.\n\nInvalid options.");
        return Err(1);
    }
    if options.terminal {
        eprintln!("a terminal session on stdio (-t) is not supported; use vtysh or nhrpctl");
        return Err(1);
    }
    for word in &options.words {
        // FRR's daemons ignore it, too; a line in /etc/frr/daemons with such a word has always worked.
        eprintln!("nhrpd: '{word}' belongs to no option and is ignored");
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

    /// The gRPC service, if `-M grpc` or `--grpc-listen` wants it.
    pub(crate) fn grpc(&self) -> Result<Option<Grpc>, String> {
        let mut modules = self.module.iter().filter_map(|module| match module.split_once(':') {
            Some(("grpc", port)) => Some(Some(port)),
            None if module == "grpc" => Some(None),
            _ => None,
        });
        let port = match modules.next_back() {
            None if self.grpc_listen.is_none() => {
                return match self.grpc_tls()? {
                    Some(_) => {
                        Err("--grpc-tls-cert: gRPC is not served; add -M grpc or --grpc-listen".to_owned())
                    }
                    None => Ok(None),
                };
            }
            None | Some(None) => GRPC_PORT,
            // FRR's range.
            Some(Some(text)) => match text.parse() {
                Ok(port @ 1024..) => port,
                _ => return Err(format!("-M grpc:{text}: the port has to be 1024 to 65535")),
            },
        };
        Ok(Some(Grpc {
            listen: self.grpc_listen.clone(),
            port,
            insecure: self.grpc_insecure,
            tls: self.grpc_tls()?,
            reflection: self.grpc_reflection,
            yang_dir: self.yang_dir.clone(),
        }))
    }

    fn grpc_tls(&self) -> Result<Option<GrpcTls>, String> {
        match (&self.grpc_tls_cert, &self.grpc_tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(GrpcTls {
                certificate: certificate.clone(),
                key: key.clone(),
                authorities: self.grpc_tls_ca.clone(),
            })),
            (Some(_), None) => Err("--grpc-tls-cert: add --grpc-tls-key FILE, its private key".to_owned()),
            (None, Some(_)) => Err("--grpc-tls-key: add --grpc-tls-cert FILE, its certificate".to_owned()),
            (None, None) if self.grpc_tls_ca.is_some() => Err(
                "--grpc-tls-ca: add --grpc-tls-cert FILE and --grpc-tls-key FILE, which TLS needs as well"
                    .to_owned(),
            ),
            (None, None) => Ok(None),
        }
    }

    /// Where metrics are to be served, if anywhere.
    pub(crate) fn metrics(&self) -> Result<Option<SocketAddr>, String> {
        let Some(text) = &self.metrics_listen else { return Ok(None) };
        let address: SocketAddr = text.parse().map_err(|_| {
            format!("--metrics-listen {text}: not ADDRESS:PORT, such as 127.0.0.1:9943 or [::1]:9943")
        })?;
        if !address.ip().is_loopback() && !self.metrics_insecure {
            return Err(format!(
                "--metrics-listen {address}: anybody who reaches that address could read the metrics; listen on a \
                 loopback address, or add --metrics-insecure"
            ));
        }
        Ok(Some(address))
    }

    /// Directory of sockets and pid file.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.spaced(paths::RUN)
    }

    /// Directory of the configuration.
    pub(crate) fn config_dir(&self) -> PathBuf {
        self.spaced(paths::CONFIG)
    }

    /// As in FRR, a directory that was named is taken as it is, whatever the path space.
    pub(crate) fn vty_path(&self) -> PathBuf {
        self.vty_socket.clone().unwrap_or_else(|| self.run_dir()).join("nhrpd.vty")
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
            (Some(dir), None) => dir.join("zebra.vty"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// FRR's long options, of all releases together.
    const LONG: [&str; 26] = [
        "command-log-always",
        "config_file",
        "daemon",
        "dryrun",
        "graceful_restart",
        "group",
        "help",
        "limit-fds",
        "log",
        "log-level",
        "module",
        "moduledir",
        "pathspace",
        "pid_file",
        "profile",
        "scriptdir",
        "socket",
        "tcli",
        "terminal",
        "user",
        "version",
        "vrfdefaultname",
        "vrfwnetns",
        "vty_addr",
        "vty_port",
        "vty_socket",
    ];

    fn parse(words: &[&str]) -> Options {
        let all = ["nhrpd"].iter().chain(words).map(OsString::from);
        Options::try_parse_from(normalised(all)).unwrap()
    }

    #[test]
    fn an_abbreviation_that_is_clear_to_frr_means_the_same_here() {
        let ours: Vec<String> = <Options as clap::CommandFactory>::command()
            .get_arguments()
            .filter_map(|argument| argument.get_long().map(str::to_owned))
            .chain(["help".to_owned()])
            .collect();
        for name in LONG {
            assert!(ours.iter().any(|own| own == name), "no --{name}");
            for length in 1..name.len() {
                let short = &name[..length];
                let fits = |own: &&str| own.starts_with(short);
                let clear = !LONG.contains(&short) && LONG.into_iter().filter(fits).count() == 1;
                let here: Vec<&str> = ours.iter().map(String::as_str).filter(fits).collect();
                assert!(!clear || here == [name], "--{short} is --{name} for FRR, here {here:?}");
            }
        }
    }

    #[test]
    fn what_scripts_and_old_files_give() {
        let options =
            parse(&["-d", "-F", "traditional", "-A", "127.0.0.1", "--daemon", "-A", "::1", "stray"]);
        assert!(options.daemon);
        assert_eq!(options.vty_addr.as_deref(), Some("::1"));
        assert_eq!(options.words, ["stray"]);
        let options = parse(&["-dN", "blue", "-P0", "--pid=/run/x.pid", "--conf", "/etc/x.conf"]);
        assert_eq!(options.vty_port, Some(0));
        assert_eq!(options.vty_path(), PathBuf::from("/var/run/frr/blue/nhrpd.vty"));
        assert_eq!(options.pid_path(), PathBuf::from("/run/x.pid"));
        let elsewhere = parse(&["-N", "blue", "--vty_socket", "/run/v"]);
        assert_eq!(elsewhere.vty_path(), PathBuf::from("/run/v/nhrpd.vty"));
        assert_eq!(options.config_path(), PathBuf::from("/etc/x.conf"));
    }

    #[test]
    fn metrics_are_for_the_machine_itself_unless_said() {
        let asked = |words: &[&str]| parse(words).metrics();
        assert_eq!(asked(&[]), Ok(None));
        assert_eq!(asked(&["--metrics-listen", "[::1]:9943"]), Ok(Some("[::1]:9943".parse().unwrap())));
        for open in ["0.0.0.0:9943", "[::]:9943", "192.0.2.1:9943"] {
            assert!(asked(&["--metrics-listen", open]).unwrap_err().contains("--metrics-insecure"));
            assert!(asked(&["--metrics-listen", open, "--metrics-insecure"]).is_ok());
        }
        for wrong in ["127.0.0.1", "9943", "localhost:9943", "127.0.0.1:99430", ""] {
            assert!(asked(&["--metrics-listen", wrong]).unwrap_err().contains("ADDRESS:PORT"), "{wrong}");
        }
    }

    #[test]
    fn the_optional_time_of_a_graceful_restart_is_in_the_same_word() {
        for words in [["-K5"].as_slice(), &["-dK5"], &["-wdK=5"], &["--graceful_restart=5"], &["--grace=5"]] {
            assert_eq!(parse(words).graceful_restart.as_deref(), Some("5"), "{words:?}");
        }
        for words in [["-K"].as_slice(), &["-Kd"], &["--graceful"], &["-K", "5"], &["-d", "-K", "-w"]] {
            assert!(parse(words).graceful_restart.is_some(), "{words:?}");
        }
        assert_eq!(parse(&["-K", "5"]).words, ["5"]);
        // Not of an option that has a value of its own.
        assert_eq!(parse(&["-uK5"]).user, "K5");
    }
}
