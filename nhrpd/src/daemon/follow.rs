//! How the running daemon follows its configuration.
//!
//! Owns reading the file of this daemon alone, when a file that is being read counts, and telling engine, log and
//! sockets what has changed, once for a whole file. What the configuration is, and how it is written, is
//! [`crate::configuration`]'s; this never edits it but by lines.

use std::time::Duration;

use nhrp_config::DebugTopics;
use nhrp_engine::Input;
use vtysh_plugin::read_config;

use super::Daemon;
use crate::configuration::Reader;
use crate::kernel;

/// How long a configuration file may take to be read before its lines count one by one: a vtysh that was stopped half-way
/// must not keep what others configure from taking effect.
pub(super) const FILE_PATIENCE: Duration = Duration::from_secs(10);

impl Daemon {
    /// Reads the file of this daemon alone; beside an `frr.conf` for all, that is what vtysh does not know.
    pub(crate) fn read_configuration(&mut self) {
        let Some(path) = self.config_to_read.take() else { return };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(
                    target: "nhrp::common",
                    "cannot read configuration file {}: {error}; starting without configuration",
                    path.display()
                );
                return;
            }
        };
        self.file_begins();
        let errors = read_config(&text, self);
        self.file_ends();
        for error in errors {
            tracing::error!(
                target: "nhrp::common",
                "No such command on config line {}: {} ({})",
                error.line_number,
                error.line,
                error.text.trim_end()
            );
        }
    }

    /// A client begins to read a file.
    pub(crate) fn file_begins(&mut self) {
        if self.files == 0 {
            self.apply_at = Some(tokio::time::Instant::now() + FILE_PATIENCE);
        }
        self.files += 1;
    }

    /// It is at its end, or gone.
    pub(crate) fn file_ends(&mut self) {
        self.files = self.files.saturating_sub(1);
        if self.files == 0 {
            self.apply_at = None;
        }
        self.configuration_changed();
    }

    /// The configuration may have changed: engine, log and sockets follow, once for a whole file.
    pub(crate) fn configuration_changed(&mut self) {
        if self.apply_at.is_some() || self.configuration.nhrp == self.applied {
            return;
        }
        let new = self.configuration.nhrp.clone();
        let old = std::mem::replace(&mut self.applied, new.clone());
        if old.debug != new.debug {
            self.log.set_debug(new.debug);
            self.engine.set_packet_trace(new.debug.0 & DebugTopics::COMMON != 0);
        }
        if old.nflog_group != new.nflog_group {
            self.nflog = new.nflog_group.and_then(kernel::open_nflog);
        }
        if old.multicast_nflog_group != new.multicast_nflog_group {
            self.multicast.listen(new.multicast_nflog_group);
        }
        if old.event_socket != new.event_socket {
            self.events.connect_to(new.event_socket.as_deref());
            if old.event_socket.is_some() != new.event_socket.is_some() {
                self.feed(Input::Authorising { on: new.event_socket.is_some() });
            }
        }
        self.ipsec.configured(&new);
        let removed = old.interfaces.keys().filter(|name| !new.interfaces.contains_key(*name));
        let changed =
            new.interfaces.iter().filter(|(name, config)| old.interfaces.get(*name) != Some(*config));
        let inputs: Vec<Input> = removed
            .map(|name| Input::Configure { name: name.clone(), config: Box::default() })
            .chain(changed.map(|(name, config)| Input::Configure {
                name: name.clone(),
                config: Box::new(config.clone()),
            }))
            .collect();
        for input in inputs {
            self.feed(input);
        }
    }

    /// The whole configuration is known: policies of an earlier life that it does not ask for may go.
    pub(crate) fn tidy_policies(&mut self) {
        self.ipsec.tidy(&self.applied);
    }

    pub(crate) fn running_config(&self, reader: Reader) -> String {
        self.configuration.render(&self.frr, &self.hostname, self.command_line_log.as_deref(), reader)
    }
}
