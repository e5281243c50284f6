//! A daemon without a protocol: the configuration is real, the rows are made up. Owns what a test or demonstration
//! sees; moves no packet.

use std::net::IpAddr;
use std::path::PathBuf;

use nhrp_config::{Afi, Config, Edit, EditError, RenderOptions};
use vtysh_plugin::render::{
    CacheKind, CacheRow, DmvpnRow, NhsRow, OpenNhrpRow, RunningConfig, ShortcutRow, cache, cleared,
    debugging, dmvpn, nhs, opennhrp, running_config, shortcut,
};
use vtysh_plugin::{
    Command, Handler, LibraryConfig, Monitoring, NhrpTable, Release, Reply, Show, WriteTarget,
};

/// Configuration, and the name by which FRR is called.
pub(crate) struct Standalone {
    /// NHRP's part.
    pub(crate) config: Config,
    /// The library's part.
    pub(crate) library: LibraryConfig,
    /// As in `frr version X`.
    pub(crate) version: String,
    /// Interfaces that exist and so cannot be deleted.
    pub(crate) active: Vec<String>,
    /// While this file is there, somebody else has locked the configuration.
    pub(crate) lock: Option<PathBuf>,
    /// A file is being read.
    pub(crate) in_file: bool,
    release: Release,
}

impl Standalone {
    /// An empty configuration under this version.
    pub(crate) fn new(version: &str) -> Self {
        Self {
            config: Config::default(),
            library: LibraryConfig::default(),
            version: version.to_owned(),
            active: Vec::new(),
            lock: None,
            in_file: false,
            release: Release::parse(version).unwrap_or(Release::new(10, 3)),
        }
    }

    /// `show running-config`
    pub(crate) fn running_config(&self) -> String {
        let options = RenderOptions::vtysh(self.release.major.into(), self.release.minor.into());
        running_config(&RunningConfig {
            version: &self.version,
            release: self.release,
            hostname: "r1",
            command_line_log: None,
            library: &self.library,
            body: &self.config.render(&options),
        })
    }

    fn edit(&mut self, edit: &Edit) -> Reply {
        if let Edit::DeleteInterface(name) = edit
            && self.active.contains(name)
        {
            return Reply::config_failed(
                "% Configuration failed.\n\nError type: validation\n\
                 Error description: only inactive interfaces can be deleted",
            );
        }
        let result: Result<(), EditError> =
            if self.in_file { self.config.apply_again(edit) } else { self.config.apply(edit) };
        result.into()
    }

    fn nhrp(&self, afi: Afi, table: NhrpTable, json: bool) -> Reply {
        let (hub, own) = (IpAddr::from([10, 255, 255, 2]), IpAddr::from([10, 255, 255, 1]));
        let nbma = IpAddr::from([10, 2, 1, 2]);
        let some = afi == Afi::Ip;
        match table {
            NhrpTable::Cache => {
                let row = |kind, protocol, nbma, timeout, identity: &str| CacheRow {
                    interface: "gre1".into(),
                    kind,
                    protocol,
                    nbma: Some(nbma),
                    claimed_nbma: Some(nbma),
                    used: false,
                    timeout,
                    auth: timeout,
                    identity: Some(identity.into()),
                };
                let rows = [
                    row(CacheKind::Nhs, hub, nbma, true, ""),
                    row(CacheKind::Local, own, IpAddr::from([10, 1, 1, 1]), false, "-"),
                ];
                cache(if some { &rows } else { &[] }, json, self.release)
            }
            NhrpTable::Nhs => {
                let row = NhsRow {
                    interface: "gre1".into(),
                    fqdn: "10.2.1.2".into(),
                    nbma: Some(nbma),
                    protocol: Some(hub),
                    priority: 0,
                    reachable: true,
                };
                nhs(if some { std::slice::from_ref(&row) } else { &[] }, json, self.release)
            }
            NhrpTable::Shortcut => shortcut(&[] as &[ShortcutRow], json, self.release),
            NhrpTable::OpenNhrp => opennhrp(&[] as &[OpenNhrpRow], json, self.release),
        }
    }

    fn show(&self, show: Show) -> Reply {
        match show {
            Show::Nhrp { afi, table, json } => self.nhrp(afi, table, json),
            Show::Dmvpn { json } => {
                let row = DmvpnRow {
                    source: Some(IpAddr::from([10, 1, 1, 1])),
                    destination: IpAddr::from([10, 2, 1, 2]),
                    notifier_active: true,
                    sas: 0,
                    identity: String::new(),
                };
                dmvpn(&[row], json, self.release)
            }
            Show::RunningConfig => Reply::text(self.running_config()),
            Show::Debugging => debugging(self.config.debug),
            Show::AccessLists { family, name, json: true } => {
                Reply::text(self.library.access_lists_json(family, name.as_deref(), self.release))
            }
            Show::AccessLists { family, name, .. } => {
                Reply::text(self.library.show_access_lists(family, name.as_deref()))
            }
            Show::Version => Reply::text(format!("FRRouting {} (r1).\n", self.version)),
            _ => Reply::ok(),
        }
    }
}

impl Handler for Standalone {
    fn execute(&mut self, command: Command) -> Reply {
        let locked = self.lock.as_ref().is_some_and(|path| path.exists());
        match command {
            Command::Edit(_) | Command::Library(_) | Command::FileLock if locked => {
                Reply::config_failed("% locked by another client")
            }
            Command::Edit(edit) => self.edit(&edit),
            Command::Library(edit) => self.library.apply(&edit, self.release),
            Command::Show(show) => self.show(show),
            Command::Clear(..) => cleared(0),
            Command::Write(WriteTarget::Terminal) => Reply::text(self.running_config()),
            Command::Write(WriteTarget::File) => Reply::warning("% This example has no file"),
            Command::Echo(text) => Reply::text(format!("{text}\n")),
            Command::TerminalMonitor(Monitoring::Session | Monitoring::Detached) => {
                Reply::warning("% not supported")
            }
            Command::BulkStart => {
                self.in_file = true;
                Reply::ok()
            }
            Command::BulkEnd => {
                self.in_file = false;
                Reply::ok()
            }
            _ => Reply::ok(),
        }
    }
}
