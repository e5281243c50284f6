//! The network of the benchmark: a hub, and the generator at the other end of its cable.
//!
//! Owns the two nodes and who answers on the hub. Never measures.
//!
//! ```text
//!   hub  gre1 10.255.255.1                   crowd
//!    | 192.0.2.2/30 ---------- 192.0.2.1/30    |    198.18.0.0/15 is local to it
//! ```

use std::net::Ipv4Addr;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use super::Subject;
use crate::crowd::load::Outcome;
use crate::failure::{Context, Result, ensure};
use crate::frr::Frr;
use crate::mix::Kind;
use crate::net::{Network, Process, wait_until};
use crate::release::Release;

const HUB_NBMA: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HUB: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 1);
const NBMA_NETWORK: &str = "198.18.0.0/15";
const FIRST_NBMA: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FIRST_OVERLAY: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
const KEY: u32 = 42;

const CONFIGURATION: &str = "\
hostname hub
interface gre1
 ip nhrp network-id 1
 ip nhrp holdtime 7200
 tunnel source eth0
exit
";

/// Where there are two processors, responder and generator have one each: the scheduler else puts who is woken beside
/// who wakes it, and what is measured is how often.
const RESPONDER: &str = "0";
const GENERATOR: &str = "1";

/// Longest time until the hub answers its first request, on an emulated processor.
const START: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Responder {
    Daemon(Box<Frr>),
    Null(Process),
}

/// A hub that answers.
#[derive(Debug)]
pub(super) struct Hub {
    responder: Responder,
    network: Network,
    processors: usize,
}

impl Hub {
    /// Makes the network and starts the subject on it.
    pub(super) fn start(out: &Path, release: Release, subject: Subject) -> Result<Self> {
        let mut network = Network::new(out);
        let (hub, crowd) = (network.add("hub")?, network.add("crowd")?);
        network.link(("hub", "eth0", "192.0.2.2/30"), ("crowd", "eth0", "192.0.2.1/30"))?;
        crowd.sh(&format!("ip route add local {NBMA_NETWORK} dev lo"))?;
        hub.sh(&format!(
            "ip route add default via 192.0.2.1
             ip link add gre1 type gre key {KEY} ttl 64 local {HUB_NBMA} dev eth0
             ip address add {HUB}/32 dev gre1
             ip link set gre1 mtu 1400 up
             echo 1 > /proc/sys/net/ipv4/ip_forward"
        ))?;
        let kind = match subject {
            Subject::Null => None,
            Subject::Ours => Some(Kind::Ours),
            Subject::Frr => Some(Kind::Frr),
        };
        let responder = match kind {
            None => Responder::Null(hub.spawn("null", &["/lab/bin/lab", "null-responder"])?),
            Some(kind) => {
                let mut frr = Frr::new(hub, release, kind);
                frr.write_config(CONFIGURATION)?;
                frr.start_base()?;
                frr.load(None)?;
                frr.start_nhrpd()?;
                frr.load(Some("nhrpd"))?;
                Responder::Daemon(Box::new(frr))
            }
        };
        let processors = available_parallelism().map_or(1, NonZero::get);
        let hub = Self { responder, network, processors };
        if processors > 1 {
            let pid = hub.process()?.id();
            hub.network
                .node("hub")?
                .sh(&format!("taskset --all-tasks --cpu-list --pid {RESPONDER} {pid}"))?;
        }
        Ok(hub)
    }

    /// Who answers.
    pub(super) fn process(&self) -> Result<&Process> {
        match &self.responder {
            Responder::Daemon(frr) => frr.nhrpd().context(|| "nhrpd was not started".to_owned()),
            Responder::Null(process) => Ok(process),
        }
    }

    /// Its zebra, if it has one.
    pub(super) fn zebra(&self) -> Option<&Process> {
        match &self.responder {
            Responder::Daemon(frr) => frr.zebra(),
            Responder::Null(_) => None,
        }
    }

    /// Lets spokes register; `name` tells the load's log apart.
    pub(super) fn load(&self, name: &str, options: &[String], limit: Duration) -> Result<Outcome> {
        let pinned: &[&str] = if self.processors > 1 { &["taskset", "--cpu-list", GENERATOR] } else { &[] };
        let mut words: Vec<String> =
            [pinned, &["/lab/bin/lab", "load"]].concat().into_iter().map(ToOwned::to_owned).collect();
        words.extend([
            format!("--nbma={FIRST_NBMA}"),
            format!("--overlay={FIRST_OVERLAY}"),
            format!("--hub-nbma={HUB_NBMA}"),
            format!("--hub={HUB}"),
            format!("--key={KEY}"),
        ]);
        words.extend_from_slice(options);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut process = self.network.node("crowd")?.spawn(name, &words)?;
        let end = wait_until(&format!("the load {name} to end"), limit, || {
            process.ended().ok_or_else(|| process.output())
        })?;
        let said = process.output();
        ensure!(end == "exit code 0", "the load {name} ended with {end}: {said}");
        serde_json::from_str(said.trim()).context(|| format!("the load {name} said {said:?}"))
    }

    /// Waits until the hub answers: a registration of this spoke.
    pub(super) fn wait_answering(&self, spoke: u32) -> Result<()> {
        self.load("probe", &["--spokes=1".to_owned(), format!("--first={spoke}")], START).map(drop)
    }

    /// Routes of the hub's kernel through its tunnel.
    pub(super) fn routes(&self) -> Result<usize> {
        let table = self.network.node("hub")?.read_file("/proc/thread-self/net/route")?;
        Ok(table.lines().filter(|line| line.starts_with("gre1\t")).count())
    }
}
