//! cargo lab: real kernels, real FRR, real strongSwan around nhrpd.
//!
//! The same program is the driver on the developer's machine ([`host`]) and the runner inside the kernel
//! under test ([`guest`]). Scenarios ([`scenarios`]) are Rust code over nodes, captures and the judge.

mod authority;
mod bench;
mod capture;
mod charon;
mod crowd;
mod dmvpn;
mod event_reader;
mod failure;
mod frr;
mod golden;
mod guest;
mod host;
mod judge;
mod mix;
mod net;
mod overlay_multicast;
mod plan;
mod release;
mod scenarios;
mod stranger;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::host::{native, qemu, soak, uml, verbs};
use crate::mix::{Kind, Mix};
use crate::plan::Backend;
use crate::release::Release;

/// Real kernels, real FRR and real strongSwan around nhrpd.
#[derive(Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Watch two spokes find each other over a kernel's mGRE tunnel
    Demo(Options),
    /// Run every test: cargo's, then every scenario; or only the scenarios whose line contains a NAME
    Test {
        #[command(flatten)]
        options: Options,
        /// Part of a scenario's line, such as `shortcut`, `FRR 8.4` or `hub=ours`
        names: Vec<String>,
    },
    /// Run what takes long: fuzz and simulation for a given time, then scenarios in every mix, and topotests
    Soak {
        /// Minutes for fuzz targets and simulation together
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// Of decode, engine, roundtrip, vty, zapi, turmoil, and the scenarios that `test` runs in few mixes or in small
        /// (`purge`, `hostile_traffic_whole` …), and topotest; by default all
        names: Vec<String>,
    },
    /// Run tests in FRR's own form (topotests): FRR's for NHRP with either nhrpd, then this project's
    ///
    /// FRR's own tests run with FRR's nhrpd first; this one must have the same counts of passed and skipped tests. This
    /// project's run with this one. All of them in every release take long: --frr, --nhrpd and NAMES choose.
    Topotest {
        #[command(flatten)]
        options: Options,
        /// An FRR source tree to take FRR's tests and library from, instead of Debian's source package; of one release,
        /// by default that of its configure.ac
        #[arg(long, value_name = "DIR")]
        frr_tree: Option<PathBuf>,
        /// Part of the name of a folder of tests, such as `nhrp_topo` or `redundancy`; by default all that begin with
        /// `nhrp_`
        names: Vec<String>,
    },
    /// The demo network left running, with a prompt on each node
    Shell(Options),
    /// Play back what `nhrpd --record FILE` has written, and show the first difference
    Replay {
        /// The recording
        file: PathBuf,
        /// Write it anew with what the engine answers now
        #[arg(long)]
        update: bool,
    },
    /// List the scenarios
    List,
    /// Measure this daemon beside FRR's and beside a responder that does nothing else
    Bench {
        #[command(subcommand)]
        what: Benchmark,
    },
    /// Fetch and make everything that the other verbs need
    Prepare(Options),
    /// Inside the kernel under test
    #[command(hide = true)]
    Guest,
    /// Thousands of spokes, inside the kernel under test
    #[command(hide = true)]
    Crowd(crowd::Options),
    /// Load that measures, inside the kernel under test
    #[command(hide = true)]
    Load(crowd::load::Options),
    /// Answers and does nothing else, inside the kernel under test
    #[command(hide = true)]
    NullResponder,
    /// Somebody in the transport network who means no good, inside the kernel under test
    #[command(hide = true)]
    Stranger(stranger::Options),
    /// The program at the other end of 'nhrp event socket', inside the kernel under test
    #[command(hide = true)]
    EventReader(event_reader::Options),
    /// First process of the native back end
    #[command(hide = true)]
    NativeInit { tree: PathBuf, dir: PathBuf },
    /// First process around QEMU
    #[command(hide = true)]
    QemuInit(qemu::Parts),
    /// First process around User-mode Linux
    #[command(hide = true)]
    UmlInit {
        cage: PathBuf,
        kernel: PathBuf,
        tree: PathBuf,
        dir: PathBuf,
        #[arg(long)]
        terminal: bool,
    },
}

#[derive(Subcommand)]
enum Benchmark {
    /// What registrations cost a hub
    Hub {
        #[command(flatten)]
        bench: bench::Bench,
        /// How to get a kernel (default: qemu, where a system call costs little)
        #[arg(long, value_enum)]
        backend: Option<BackendName>,
        /// FRR release: 8.4, 10.3 or 10.7 (default: 10.3)
        #[arg(long)]
        frr: Option<Release>,
        #[command(flatten)]
        manner: host::bench::Manner,
    },
}

#[derive(Args)]
struct Options {
    /// How to get a kernel with GRE; by default the running one if it can, else User-mode Linux
    #[arg(long, value_enum)]
    backend: Option<BackendName>,
    /// FRR release: 8.4, 10.3 or 10.7 (default: 10.3; for `test`, `topotest` and `prepare` all)
    #[arg(long)]
    frr: Option<Release>,
    /// Whose nhrpd runs: `ours`, `frr`, or by node: `hub=frr,s1=ours` (default: ours; for `test` all mixes). For
    /// `topotest` one for all nodes (default: FRR's tests with either, this project's with ours)
    #[arg(long)]
    nhrpd: Option<Mix>,
}

#[derive(Clone, Copy, ValueEnum)]
enum BackendName {
    Native,
    Uml,
    Qemu,
}

impl From<BackendName> for Backend {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Native => Self::Native,
            BackendName::Uml => Self::Uml,
            BackendName::Qemu => Self::Qemu,
        }
    }
}

impl Options {
    fn backend(&self) -> Option<Backend> {
        self.backend.map(Backend::from)
    }

    fn release(&self) -> Release {
        self.frr.unwrap_or(Release::V10_3)
    }

    fn mix(&self) -> Mix {
        self.nhrpd.clone().unwrap_or_else(|| Mix::all(Kind::Ours))
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Demo(options) => verbs::demo(options.backend(), options.release(), options.mix()),
        Verb::Shell(options) => verbs::shell(options.backend(), options.release(), options.mix()),
        Verb::Prepare(options) => verbs::prepare(options.backend(), options.frr),
        Verb::List => {
            verbs::list();
            Ok(())
        }
        Verb::Test { options, names } => {
            match verbs::test(options.backend(), options.frr, options.nhrpd.as_ref(), &names, false) {
                Ok(true) => Ok(()),
                Ok(false) => return ExitCode::FAILURE,
                Err(failure) => Err(failure),
            }
        }
        Verb::Topotest { options, frr_tree, names } => {
            let wanted =
                host::topotest::Wanted { release: options.frr, mix: options.nhrpd.clone(), frr_tree, names };
            match host::topotest::run(options.backend(), &wanted) {
                Ok(true) => Ok(()),
                Ok(false) => return ExitCode::FAILURE,
                Err(failure) => Err(failure),
            }
        }
        Verb::Replay { file, update } => host::replay::replay(&file, update),
        Verb::Soak { minutes, names } => match soak::run(minutes, &names) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(failure) => Err(failure),
        },
        Verb::Bench { what: Benchmark::Hub { bench, backend, frr, manner } } => {
            host::bench::hub(backend.map(Backend::from), frr.unwrap_or(Release::V10_3), &bench, manner)
        }
        Verb::Load(options) => crowd::load::run(&options),
        Verb::NullResponder => bench::null::run(),
        Verb::Guest => guest::run(),
        Verb::Crowd(options) => crowd::run(&options),
        Verb::Stranger(options) => stranger::run(&options),
        Verb::EventReader(options) => event_reader::run(&options),
        Verb::NativeInit { tree, dir } => native::init(&tree, &dir),
        Verb::QemuInit(parts) => qemu::init(&parts),
        Verb::UmlInit { cage, kernel, tree, dir, terminal } => {
            uml::init(&cage, &kernel, &tree, &dir, terminal)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            verbs::failed(&failure);
            ExitCode::FAILURE
        }
    }
}
