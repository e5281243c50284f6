//! FRR's daemons on a node, and either nhrpd among them.
//!
//! Owns how a daemon is started, found ready and asked. Never knows the topology.
//!
//! Daemons run in the foreground with their log on standard output, so that the lab holds their real
//! process and everything they say is in one file per node and daemon.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::failure::{Context, Failure, Result, ensure};
use crate::mix::Kind;
use crate::net::{Node, Process, wait_until};
use crate::release::Release;

/// Longest time from start to an answering vty socket.
const START: Duration = Duration::from_secs(15);

/// FRR on one node.
#[derive(Debug)]
pub(crate) struct Frr {
    node: Node,
    release: Release,
    kind: Kind,
    others: Vec<Process>,
    nhrpd: Option<Process>,
    /// More options for our nhrpd.
    nhrpd_options: &'static [&'static str],
    /// When nhrpd was last started.
    nhrpd_started: SystemTime,
}

impl Frr {
    /// FRR of this release on this node, with nothing running yet.
    pub(crate) fn new(node: Node, release: Release, kind: Kind) -> Self {
        Self {
            node,
            release,
            kind,
            others: Vec::new(),
            nhrpd: None,
            nhrpd_options: &[],
            nhrpd_started: SystemTime::UNIX_EPOCH,
        }
    }

    /// The process of nhrpd, if it was started.
    pub(crate) fn nhrpd(&self) -> Option<&Process> {
        self.nhrpd.as_ref()
    }

    /// The process of zebra, if it was started.
    pub(crate) fn zebra(&self) -> Option<&Process> {
        self.others.first()
    }

    /// The node it runs on.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// When nhrpd was last started, by the clock that also stamps captures.
    pub(crate) fn nhrpd_started(&self) -> SystemTime {
        self.nhrpd_started
    }

    /// Starts zebra, where the release has it mgmtd, and staticd.
    pub(crate) fn start_base(&mut self) -> Result<()> {
        let mut names = vec!["zebra"];
        if self.release.has_mgmtd() {
            names.push("mgmtd");
        }
        names.push("staticd");
        for name in names {
            let process = self.start(&format!("/usr/lib/frr/{name}"), name)?;
            self.others.push(process);
        }
        Ok(())
    }

    /// Options that only our nhrpd knows, for its next start.
    pub(crate) fn set_nhrpd_options(&mut self, options: &'static [&'static str]) {
        self.nhrpd_options = options;
    }

    /// Starts nhrpd with the same options, whoever's it is.
    pub(crate) fn start_nhrpd(&mut self) -> Result<()> {
        let (program, options) = match self.kind {
            Kind::Frr => ("/usr/lib/frr/nhrpd", &[][..]),
            Kind::Ours => ("/lab/bin/nhrpd", self.nhrpd_options),
        };
        self.nhrpd_started = SystemTime::now();
        self.nhrpd = Some(self.start_with(program, "nhrpd", options)?);
        Ok(())
    }

    /// Starts another of FRR's daemons, such as `bgpd` or `ospfd`. What `frr.conf` says for it reaches it
    /// with the next [`load`](Self::load).
    pub(crate) fn start_daemon(&mut self, name: &str) -> Result<()> {
        let process = self.start(&format!("/usr/lib/frr/{name}"), name)?;
        self.others.push(process);
        Ok(())
    }

    fn start(&self, program: &str, name: &str) -> Result<Process> {
        self.start_with(program, name, &[])
    }

    fn start_with(&self, program: &str, name: &str, options: &[&str]) -> Result<Process> {
        let mut command = vec![program, "-A", "127.0.0.1", "--log", "stdout", "--log-level", "debugging"];
        command.extend(options);
        let mut process = self.node.spawn(name, &command)?;
        let socket = format!("/run/frr/{name}.vty");
        let what = format!("{} to open {socket} on {}", program, self.node.name());
        wait_until(&what, START, || {
            if let Some(end) = process.ended() {
                return Err(format!("it ended with {end}: {}", last_lines(&process.output())));
            }
            // A socket that a killed daemon left behind does not count.
            match self.node.listens(&socket) {
                Ok(true) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        Ok(process)
    }

    /// Ends nhrpd with a signal. FRR's, of 8.4.4, was once seen deaf to SIGTERM since it had made a shortcut a moment
    /// before: then it is killed, and what the scenario is about goes on. Ours must end.
    pub(crate) fn stop_nhrpd(&mut self, signal: Signal) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let mut process = self.nhrpd.take().context(|| format!("no nhrpd runs on {}", self.node.name()))?;
        match (process.stop(signal, PATIENCE), self.kind) {
            (Err(_), Kind::Frr) => process.stop(Signal::SIGKILL, PATIENCE),
            (outcome, _) => outcome,
        }
    }

    /// Ends zebra with a signal; all others stay.
    pub(crate) fn stop_zebra(&mut self, signal: Signal) -> Result<()> {
        ensure!(!self.others.is_empty(), "no zebra runs on {}", self.node.name());
        self.others.remove(0).stop(signal, Duration::from_secs(10))
    }

    /// Starts a zebra that was stopped.
    pub(crate) fn start_zebra(&mut self) -> Result<()> {
        let zebra = self.start("/usr/lib/frr/zebra", "zebra")?;
        self.others.insert(0, zebra);
        Ok(())
    }

    /// Writes `frr.conf`.
    pub(crate) fn write_config(&self, text: &str) -> Result<()> {
        self.node.write_file("/etc/frr/frr.conf", text)?;
        self.node.sh("chown frr:frr /etc/frr/frr.conf /etc/frr/vtysh.conf").map(drop)
    }

    /// Gives `frr.conf` to the daemons with `vtysh -b`, as FRR's start scripts do: to all, or to one
    /// that was restarted.
    pub(crate) fn load(&self, daemon: Option<&str>) -> Result<()> {
        let mut command = vec!["vtysh", "-b", "-n"];
        command.extend(daemon.iter().flat_map(|daemon| ["-d", daemon]));
        let output = self.node.run(&command)?;
        let said = format!("{}{}", output.stdout, output.stderr);
        ensure!(
            output.status == 0 && !said.contains("% ") && !said.contains("failed to connect"),
            "vtysh -b on {} ended with {}: {said}",
            self.node.name(),
            output.status
        );
        Ok(())
    }

    /// Runs commands in one vtysh; returns its standard output, where daemons' complaints are too.
    pub(crate) fn vtysh(&self, commands: &[&str]) -> Result<String> {
        let mut words = vec!["vtysh"];
        words.extend(commands.iter().flat_map(|command| ["-c", command]));
        Ok(self.node.run(&words)?.stdout)
    }

    /// Changes the configuration of the tunnel interface, line by line.
    pub(crate) fn configure_tunnel(&self, lines: &[&str]) -> Result<()> {
        let mut commands = vec!["configure terminal", "interface gre1"];
        commands.extend(lines);
        let said = self.vtysh(&commands)?;
        // FRR 10.7 notes that there was nothing for mgmtd in it.
        let refused = said.contains('%') && !said.contains("% Configuration applied");
        ensure!(!refused, "configuring {lines:?} on {}: {said}", self.node.name());
        Ok(())
    }

    /// The `table` of an NHRP `show … json` command; empty when there are no entries.
    pub(crate) fn table(&self, command: &str) -> Result<Vec<Value>> {
        let text = self.node.run(&["vtysh", "-c", command])?.stdout;
        // FRR up to 10.0 prints the heading of the shortcut table before the document.
        let Some(start) = text.find('{') else { return Ok(Vec::new()) };
        let text = text.get(start..).unwrap_or_default();
        let mut document: Value =
            serde_json::from_str(text).context(|| format!("{command} on {}: {text:?}", self.node.name()))?;
        match document.get_mut("table").map(Value::take) {
            Some(Value::Array(rows)) => Ok(rows),
            other => Err(Failure::new(format!("{command} on {}: table is {other:?}", self.node.name()))),
        }
    }

    /// Fails if any daemon has ended by itself.
    pub(crate) fn all_alive(&mut self) -> Result<()> {
        let mut processes: Vec<&mut Process> = self.others.iter_mut().chain(self.nhrpd.as_mut()).collect();
        for process in &mut processes {
            if let Some(end) = process.ended() {
                let log = process.log().display();
                return Err(Failure::new(format!(
                    "a daemon on {} ended by itself with {end} (log {log}): {}",
                    self.node.name(),
                    last_lines(&process.output())
                )));
            }
        }
        Ok(())
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(6)..).unwrap_or_default().join(" / ")
}
