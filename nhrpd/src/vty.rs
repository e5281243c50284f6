//! What vtysh asks, answered from the engine's state and the configuration.

use std::path::Path;
use std::time::Duration;

use nhrp_config::Afi;
use nhrp_engine::{CacheType, CacheView, ClearWhat, Input};
use nhrp_vici::Mode;
use nix::sys::resource::{Resource, getrlimit};
use vtysh_plugin::render::{
    self, CacheKind, CacheRow, DmvpnRow, IpsecRow, IpsecView, NhsRow, OpenNhrpRow, ShortcutRow,
};
use vtysh_plugin::{
    ClearTarget, Command, Handler, LibraryEdit, LogLevel, Monitoring, NhrpTable, Reply, Show, WriteTarget,
};

use crate::configuration::{self, Reader};
use crate::daemon::Daemon;

/// A client is taken for unreachable after as many unanswered requests (FRR's master prints `N` then).
const UNREACHABLE_AFTER: u32 = 3;

/// FRR's words to who changes the configuration while another client has locked it.
const HELD: &str = "% Configuration failed.\n\nError type: resource is locked\n\
                    Error description: running configuration is locked by another client";

/// Once, however often vtysh asks.
const FILE_WAITS: &str = "vtysh waits to send a configuration file: a gRPC client has locked the configuration, or is \
                          between the phases of a commit; UnlockConfig, or the end of that commit, lets it go on";

pub(crate) fn cache_kind(kind: CacheType) -> CacheKind {
    match kind {
        CacheType::Dynamic => CacheKind::Dynamic,
        CacheType::Nhs => CacheKind::Nhs,
        CacheType::Static => CacheKind::Static,
        CacheType::Local => CacheKind::Local,
    }
}

fn cache_row(view: CacheView) -> CacheRow {
    CacheRow {
        kind: cache_kind(view.kind),
        protocol: view.protocol,
        nbma: view.nbma,
        claimed_nbma: view.claimed,
        used: view.used,
        timeout: view.expires.is_some(),
        auth: false,
        identity: (view.kind != CacheType::Local).then(String::new),
        interface: view.interface,
    }
}

fn opennhrp_row(view: &CacheView) -> OpenNhrpRow {
    OpenNhrpRow {
        kind: cache_kind(view.kind),
        up: view.installed,
        used: view.used,
        protocol: view.protocol,
        nbma: view.nbma.filter(|_| view.kind != CacheType::Local),
        nat_oa: view.nat,
    }
}

/// `--log` and `--log-level`, of their line in the configuration.
fn command_line_target(line: &str) -> Option<(String, LogLevel)> {
    let (target, level) = line.strip_prefix("log ")?.rsplit_once(' ')?;
    Some((target.replacen("file ", "file:", 1), LogLevel::from_word(level)?))
}

impl Daemon {
    fn show(&mut self, show: &Show) -> Reply {
        let release = self.frr.release;
        match show {
            Show::Nhrp { afi, table, json } => self.show_nhrp(*afi, *table, *json),
            Show::Detail { afi, table, json } => self.show_detail(*afi, *table, *json),
            Show::Statistics { json } => self.show_statistics(*json),
            Show::ExtraConfig => Reply::text(self.running_config(Reader::Extra)),
            Show::Dmvpn { json } => {
                let rows: Vec<DmvpnRow> = self
                    .engine
                    .nbma_pairs()
                    .into_iter()
                    .map(|(source, destination)| {
                        let (sas, identity) = self.ipsec.sas(source, destination);
                        DmvpnRow { source, destination, notifier_active: true, sas, identity }
                    })
                    .collect();
                render::dmvpn(&rows, *json, release)
            }
            Show::Ipsec { json } => render::ipsec(&self.ipsec_view(), *json, release),
            Show::RunningConfig => Reply::text(self.running_config(Reader::Vtysh)),
            Show::StartupConfig => match std::fs::read_to_string(&self.config_path) {
                Ok(text) => Reply::text(text),
                Err(error) => Reply::warning(format!(
                    "% Can't open configuration file [{}]: {error}",
                    self.config_path.display()
                )),
            },
            Show::Debugging => render::debugging(self.configuration.nhrp.debug),
            Show::Memory { json } => Reply::text(self.sizes_and_counters(*json)),
            Show::Modules => Reply::text(render::modules(env!("CARGO_PKG_VERSION"), std::process::id())),
            Show::Version => Reply::text(format!(
                "nhrpd {} ({}), with the texts of FRR {}.\n",
                env!("CARGO_PKG_VERSION"),
                self.configuration.library.hostname(&self.hostname),
                self.frr.version
            )),
            Show::Logging => {
                let command_line = self.command_line_log.as_deref().and_then(command_line_target);
                let command_line = command_line.as_ref().map(|(target, level)| (target.as_str(), *level));
                Reply::text(render::logging(&self.configuration.library.logging, command_line, release))
            }
            Show::LoggingFilterText => Reply::text(self.configuration.library.logging.filter_lines()),
            Show::WorkQueues => Reply::text(render::work_queues()),
            Show::Hashtables => Reply::text(render::hash_tables()),
            Show::EventCpu => Reply::text(render::event_cpu(release)),
            Show::EventPoll => {
                let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
                let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
                Reply::text(render::event_poll(release, open, limit))
            }
            Show::EventTimers => Reply::text(render::event_timers(&self.timers())),
            Show::Rcu { json } => Reply::text(render::rcu(*json, release)),
            Show::AccessLists { family, name, json: true } => {
                Reply::text(self.configuration.library.access_lists_json(*family, name.as_deref(), release))
            }
            Show::AccessLists { family, name, .. } => {
                Reply::text(self.configuration.library.show_access_lists(*family, name.as_deref()))
            }
            // Which there are none of here, or which are the session's.
            Show::Errors | Show::Yang | Show::Who | Show::History => Reply::ok(),
        }
    }

    /// What is held, and what happened since the start: for `show memory`, which vtysh asks of every daemon.
    fn sizes_and_counters(&self, json: bool) -> String {
        let sizes = self.engine.sizes().map(|size| u64::try_from(size).unwrap_or(u64::MAX));
        let [cache, shortcuts, resolutions, routes, timers] = sizes;
        let sizes = [
            ("NHRP cache entry", cache),
            ("NHRP shortcut", shortcuts),
            ("NHRP resolution under way", resolutions),
            ("NHRP route", routes),
            ("NHRP timer", timers),
        ];
        let stats = self.engine.stats();
        let (kernel, multicast) = (&self.kernel, self.multicast.counters());
        let counters = [
            ("packets received", stats.packets_received.iter().sum()),
            ("packets sent", stats.packets_sent.iter().sum()),
            ("packets malformed", stats.packets_malformed),
            ("packets refused", stats.packets_refused),
            ("authentication failures", stats.authentication_failures),
            ("loops detected", stats.loops_detected),
            ("purges sent", stats.purges_sent),
            ("purges followed", stats.purges_served),
            ("purges refused", stats.purges_refused),
            ("errors sent", stats.errors_sent),
            ("errors received", stats.errors_received),
            ("indications sent", stats.indications_sent),
            ("indications suppressed", stats.indications_suppressed),
            ("indications passed over", stats.indications_passed_over),
            ("errors suppressed", stats.errors_suppressed),
            ("peers over the limit", stats.limit_cache),
            ("shortcuts over the limit", stats.limit_shortcuts),
            ("resolutions over the limit", stats.limit_resolutions),
            ("next hops over the limit", stats.limit_next_hops),
            ("contests over the limit", stats.limit_contests),
            ("purges over the limit", stats.limit_purges),
            ("requesters over the limit", stats.limit_told),
            ("packets with many entries", stats.limit_entries),
            ("registrations contested", stats.registrations_contested),
            ("registrations of others", stats.registrations_of_others),
            ("packets lost in the queue", kernel.packets_lost),
            ("multicast packets replicated", stats.multicast_packets),
            ("multicast copies sent", multicast.sent),
            ("multicast without receiver", stats.multicast_without_receiver),
            ("multicast packets refused", stats.multicast_refused),
            ("multicast packets lost", multicast.lost),
            ("multicast copies refused", multicast.failed),
            ("packets the kernel refused", kernel.send_failures),
            ("neighbours it refused", kernel.neighbour_failures),
            ("turns of the event loop", self.turns.total()),
            ("turns of 10 ms or longer", self.turns.at_least(10)),
            ("turns of 50 ms or longer", self.turns.at_least(50)),
            (
                "longest turn, microseconds",
                u64::try_from(self.turns.longest().as_micros()).unwrap_or(u64::MAX),
            ),
            (
                "longest since counters cleared",
                u64::try_from(self.turns.longest_recently().as_micros()).unwrap_or(u64::MAX),
            ),
        ];
        let groups: [render::MemoryGroup<'_>; 2] =
            [("nhrpd", "currentAllocations", &sizes), ("nhrpd since its start", "count", &counters)];
        if json {
            return render::memory_json(&groups, self.frr.release);
        }
        let mut text = String::new();
        for (name, _, numbers) in groups {
            text.push_str(&format!("--- {name} ---\n"));
            for (what, count) in numbers {
                text.push_str(&format!("{what:30}: {count}\n"));
            }
        }
        text
    }

    /// What the loop waits for besides events.
    fn timers(&self) -> Vec<(&'static str, Duration)> {
        let now = tokio::time::Instant::now();
        let left = |at: tokio::time::Instant| at.saturating_duration_since(now);
        let engine = self.engine.next_deadline();
        let engine = engine.map(|at| {
            ("nhrp_engine", Duration::from_micros(at.as_micros().saturating_sub(self.now().as_micros())))
        });
        let settle = self.settle_at.map(|at| ("zebra_settled", left(at)));
        engine.into_iter().chain(settle).collect()
    }

    pub(crate) fn ipsec_view(&self) -> IpsecView {
        let status = self.ipsec.status();
        let protected = self.configuration.nhrp.interfaces.values().any(|i| i.protection.is_some());
        let (mode, reason) = match status.mode {
            Mode::Down(_) if !protected => ("none", None),
            Mode::Down(reason) => ("down", Some(reason)),
            Mode::Probing => ("probing", None),
            Mode::Patched => ("patched", None),
            Mode::Stock => ("stock", None),
        };
        let guarded = self.ipsec.guarded().iter().map(|(name, local)| (name.clone(), (*local).into()));
        let peers = status.peers.into_iter().map(|peer| IpsecRow {
            source: peer.pair.local,
            destination: peer.pair.remote,
            profile: peer.profile,
            state: peer.state,
            identity: peer.identity,
            sas: peer.sas,
            failures: peer.failures,
            last_error: peer.last_error,
        });
        IpsecView {
            mode,
            reason,
            version: status.version,
            guarded: guarded.collect(),
            profiles: status.templates,
            last_error: status.last_error,
            odd: u32::try_from(status.odd).unwrap_or(u32::MAX),
            peers: peers.collect(),
        }
    }

    fn show_nhrp(&self, afi: Afi, table: NhrpTable, json: bool) -> Reply {
        let release = self.frr.release;
        match table {
            NhrpTable::Cache => {
                let rows: Vec<CacheRow> = self.engine.cache_view(afi).map(cache_row).collect();
                render::cache(&rows, json, release)
            }
            NhrpTable::OpenNhrp => {
                let rows: Vec<OpenNhrpRow> =
                    self.engine.cache_view(afi).map(|view| opennhrp_row(&view)).collect();
                render::opennhrp(&rows, json, release)
            }
            NhrpTable::Nhs => {
                let rows: Vec<NhsRow> = self
                    .engine
                    .nhs_view(afi)
                    .into_iter()
                    .map(|view| NhsRow {
                        interface: view.interface,
                        fqdn: view.name,
                        nbma: view.nbma,
                        protocol: view.protocol,
                        priority: view.priority,
                        reachable: view.failures < UNREACHABLE_AFTER,
                    })
                    .collect();
                render::nhs(&rows, json, release)
            }
            NhrpTable::Shortcut => {
                let rows: Vec<ShortcutRow> = self
                    .engine
                    .shortcut_view(afi)
                    .into_iter()
                    .map(|view| ShortcutRow {
                        kind: match view.kind {
                            "dynamic" => CacheKind::Dynamic,
                            "negative" => CacheKind::Negative,
                            _ => CacheKind::Incomplete,
                        },
                        prefix: view.prefix,
                        via: view.via,
                        identity: String::new(),
                    })
                    .collect();
                render::shortcut(&rows, json, release)
            }
        }
    }

    fn write_file(&self) -> Reply {
        Self::save(&self.config_path, &self.running_config(Reader::Nhrpd))
    }

    /// What vtysh cannot write into `frr.conf`. Where the daemon's own file holds everything, there is no such rest.
    fn write_extra(&self) -> Reply {
        let extra = self.extra_config_path.as_ref();
        match extra.filter(|path| path.with_file_name("frr.conf").exists()) {
            Some(path) => Self::save(path, &self.running_config(Reader::Extra)),
            None => Reply::warning(format!(
                "% There is no frr.conf: everything is read from {}; use 'write memory'",
                self.config_path.display()
            )),
        }
    }

    fn save(path: &Path, text: &str) -> Reply {
        let saved = configuration::save(path, text);
        let path = path.display();
        match saved {
            Ok(()) => Reply::text(format!("Configuration saved to {path}\n")),
            Err(error) => Reply::warning(format!(
                "Can't write configuration file {path}: {error}; check that the daemon's user may write there"
            )),
        }
    }

    fn edit_library(&mut self, edit: &LibraryEdit) -> Reply {
        let reply = self.configuration.edit_library(edit, self.frr.release);
        self.tell_terminals();
        if matches!(edit, LibraryEdit::Log(_))
            && let Err(error) = self.log.configure(&self.configuration.library.logging)
        {
            return Reply::config_failed(error);
        }
        reply
    }
}

impl Handler for Daemon {
    fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Edit(_) | Command::Library(_) if self.configuration.held => Reply::config_failed(HELD),
            Command::Edit(edit) => {
                let reply = self.configuration.edit(&edit, self.files > 0);
                self.configuration_changed();
                reply
            }
            Command::Library(edit) => self.edit_library(&edit),
            Command::Show(show) => self.show(&show),
            Command::Clear(afi, target) => {
                let what = match target {
                    ClearTarget::Cache => ClearWhat::Cache,
                    ClearTarget::Shortcut => ClearWhat::Shortcuts(afi),
                };
                render::cleared(self.clear(Input::Clear(what)))
            }
            Command::ClearSelected(afi, target, selected) => self.clear_selected(afi, target, selected),
            Command::ClearCounters => self.clear_counters(),
            Command::Write(WriteTarget::Extra) => self.write_extra(),
            Command::Write(WriteTarget::Terminal) => Reply::text(self.running_config(Reader::Vtysh)),
            Command::Write(WriteTarget::File) => self.write_file(),
            Command::FileLock if self.configuration.held => {
                if !std::mem::replace(&mut self.configuration.file_waits, true) {
                    self.log.message(LogLevel::Warnings, FILE_WAITS);
                }
                Reply::config_failed(HELD)
            }
            Command::FileLock => {
                self.configuration.file_waits = false;
                Reply::ok()
            }
            Command::BulkStart => {
                self.file_begins();
                Reply::ok()
            }
            Command::BulkEnd => {
                self.file_ends();
                self.tidy_policies();
                Reply::ok()
            }
            Command::Echo(text) => Reply::text(format!("{text}\n")),
            // The session has let go of it.
            Command::TerminalMonitor(Monitoring::Off) => Reply::ok(),
            Command::TerminalMonitor(how) => match self.log.monitor(self.frr.release, how) {
                Ok(live) => Reply { live: Some(live), ..Reply::ok() },
                Err(error) => Reply::warning(format!("% cannot open a live log: {error}")),
            },
            Command::LogMessage { level, text } => {
                self.log.message(level, &text);
                Reply::ok()
            }
            Command::Autocomplete { token, .. } => Reply::text(self.candidates(&token)),
            Command::ClearCommandLineLogTargets => {
                self.log.clear_command_line();
                self.command_line_log = None;
                Reply::ok()
            }
        }
    }
}
