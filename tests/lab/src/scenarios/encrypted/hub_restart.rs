//! A hub with 50 encrypted spokes is gone for long enough to be missed, and comes back: all are registered again, and they
//! do not all come at once.
//!
//! 50 charons do not fit into the guest. So 50 spokes are 50 tunnels, each with an NBMA address, an IKE SA and a
//! registration of its own, in three nodes: 40 in one, whose nhrpd has more to negotiate than it may at a time, and five
//! each in two others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Encrypted;
use crate::charon::{PROFILE, Profile};
use crate::dmvpn::{Shape, nbma, now, text, took};
use crate::failure::{Context, Result, ensure};
use crate::judge::tshark;
use crate::net::{Node, wait_until};
use crate::scenarios::Lab;

/// Tunnels by node.
const TUNNELS: [(&str, u8); 3] = [("s1", 40), ("s2", 5), ("s3", 5)];
const ALL: usize = 50;

/// Negotiations that one nhrpd has under way at a time.
const PARALLEL: usize = 32;

/// Until all are there.
const REGISTER: Duration = Duration::from_secs(90);

/// A dead hub is noticed after 5 s (`dpd_delay`) and four transmissions (14 s).
const MISSED: Duration = Duration::from_secs(60);

/// NBMA and overlay address of a tunnel besides the node's first.
fn addresses(node: u8, tunnel: u8) -> (Ipv4Addr, Ipv4Addr) {
    (Ipv4Addr::new(198, 51, 100 + node, tunnel), Ipv4Addr::new(10, 255, node, tunnel))
}

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let hub = nbma("hub")?;
    let mut shape = Shape { spokes: 3, redirect: false, shortcut: false, ..Shape::default() };
    for (node, tunnels) in TUNNELS {
        let block = |tunnel: u8| {
            format!(
                "interface gre1{tunnel}\n tunnel protection vici profile {PROFILE}\n ip nhrp network-id 1\n \
                 ip nhrp holdtime 30\n ip nhrp nhs dynamic nbma {hub}\n ip nhrp registration no-unique\n \
                 tunnel source eth0\nexit\n"
            )
        };
        shape.blocks.push((node.to_owned(), (1..tunnels).map(block).collect()));
    }
    let mut net = Encrypted::start(lab, shape, |_| Ok(Profile::default()))?;
    let before = available(net.dmvpn.node("hub")?)?;
    for (position, (node, tunnels)) in (1..).zip(TUNNELS) {
        let mut script = String::new();
        let mut routes = String::new();
        for tunnel in 1..tunnels {
            let (own, overlay) = addresses(position, tunnel);
            script.push_str(&format!(
                "ip address add {own}/32 dev eth0
                 ip link add gre1{tunnel} type gre key 42 ttl 64 local {own} dev eth0
                 ip address add {overlay}/32 dev gre1{tunnel}
                 ip link set gre1{tunnel} mtu 1400 up\n"
            ));
            routes.push_str(&format!("ip route add {own}/32 via {}\n", nbma(node)?));
        }
        net.dmvpn.node("inet")?.sh(&routes)?;
        net.dmvpn.node(node)?.sh(&script)?;
    }
    let started = Instant::now();
    net.start_charons()?;
    let charons = net.dmvpn.node("hub")?.sh("cat /proc/$(pidof charon-systemd | cut -d' ' -f1)/status")?;
    net.all_registered()?;
    lab.note(format!("{ALL} registered {} after the charons were started", took(started)));
    let kilobytes = before.saturating_sub(available(net.dmvpn.node("hub")?)?);
    let resident = charons.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
    lab.note(format!("four charons with 100 ends of SAs cost the guest {kilobytes} kB, one is {resident}"));

    // As if the power had failed: nothing is said, and nothing is left.
    net.charon("hub")?.stop(Signal::SIGKILL)?;
    net.dmvpn.frr("hub")?.stop_nhrpd(Signal::SIGKILL)?;
    net.dmvpn.node("hub")?.sh("ip link set gre1 down; ip xfrm state flush; ip xfrm policy flush")?;
    for (node, tunnels) in TUNNELS {
        let waiting = format!("waiting for IPsec with {hub}");
        wait_until(&format!("{node} to miss the hub"), MISSED, || {
            match net.asked(node, "show ip nhrp nhs detail") {
                Ok(said) if said.matches(&waiting).count() == usize::from(tunnels) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
    }
    let frr = net.dmvpn.frr("hub")?;
    frr.start_nhrpd()?;
    frr.load(Some("nhrpd"))?;
    net.dmvpn.node("hub")?.sh("ip link set gre1 up")?;
    net.charon("hub")?.start()?;
    let (back, since) = (Instant::now(), now()?);
    net.all_registered()?;
    lab.note(format!("all registered again {} after the hub's charon answered", took(back)));

    let seen = net.negotiations(since)?;
    ensure!(seen.at_once <= PARALLEL, "{} negotiations of s1 at a time", seen.at_once);
    ensure!(seen.begun <= ALL * 3, "{} negotiations for {ALL} spokes", seen.begun);
    lab.note(format!(
        "{} negotiations for it, of s1 at most {} at a time, at most {} IKE_SA_INIT in a second",
        seen.begun, seen.at_once, seen.in_a_second
    ));
    let esp = net.nothing_in_clear()?;
    ensure!(esp > 4 * ALL, "only {esp} ESP packets");
    Ok(())
}

/// Memory that the guest has left, kB.
fn available(node: &Node) -> Result<u64> {
    let text = node.read_file("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).context(|| text.clone())
}

/// What the wire showed.
struct Negotiations {
    begun: usize,
    at_once: usize,
    in_a_second: usize,
}

impl Encrypted {
    fn all_registered(&mut self) -> Result<()> {
        wait_until(&format!("{ALL} spokes in the hub's cache"), REGISTER, || {
            match self.dmvpn.frr("hub").and_then(|frr| frr.table("show ip nhrp cache json")) {
                Ok(rows) => {
                    let clients: BTreeSet<&str> = rows
                        .iter()
                        .filter(|row| text(row, "type") == "dynamic")
                        .map(|row| text(row, "nbma"))
                        .collect();
                    if clients.len() == ALL { Ok(()) } else { Err(format!("{}", clients.len())) }
                }
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// Negotiations are told apart by the initiator's SPI. One lasts from its first request of IKE_SA_INIT to the answer
    /// to IKE_AUTH, or to its last packet. The hub begins none.
    fn negotiations(&self, since: f64) -> Result<Negotiations> {
        let file = self.protected_file()?;
        let hub = nbma("hub")?;
        let filter = "isakmp.exchangetype == 34 || isakmp.exchangetype == 35";
        let fields = ["frame.time_epoch", "ip.src", "isakmp.ispi", "isakmp.exchangetype"];
        let mut all: BTreeMap<String, (f64, f64, bool)> = BTreeMap::new();
        let mut requests = Vec::new();
        for line in tshark(std::path::Path::new(&file), filter, &fields)?.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [time, source, spi, exchange] = columns.as_slice() else { continue };
            let (Ok(time), Ok(source)) = (time.parse::<f64>(), source.parse::<Ipv4Addr>()) else { continue };
            if time < since {
                continue;
            }
            if *exchange == "34" && source != hub {
                requests.push(time);
            }
            let of_s1 = source == nbma("s1")? || source.octets().get(2) == Some(&101);
            let one = all.entry((*spi).to_owned()).or_insert((time, time, of_s1));
            one.1 = time;
            one.2 |= of_s1;
        }
        let of_s1: Vec<(f64, f64)> = all.values().filter(|n| n.2).map(|n| (n.0, n.1)).collect();
        let open = |at: f64| of_s1.iter().filter(|(from, until)| (*from..*until).contains(&at)).count();
        let at_once = of_s1.iter().map(|(from, _)| open(*from)).max().unwrap_or_default();
        let second = |from: &f64| requests.iter().filter(|time| (*from..*from + 1.0).contains(*time)).count();
        let in_a_second = requests.iter().map(second).max().unwrap_or_default();
        Ok(Negotiations { begun: all.len(), at_once, in_a_second })
    }
}
