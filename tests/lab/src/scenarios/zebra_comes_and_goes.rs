//! zebra may be late, may be killed and may be of another release than was said: nothing learned is lost. The spoke to
//! which most of it happens records it, and the recording plays back.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, lan, overlay, text};
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::net::{Node, wait_until};
use crate::release::Release;

/// Where the spoke records.
const RECORDING: &str = "/run/frr/nhrpd.record";

/// Longest time from a new zebra to everything being as before: FRR pauses up to 5 s between attempts.
const AGAIN: Duration = Duration::from_secs(20);

/// How late zebra is.
const LATE: Duration = Duration::from_secs(5);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    // A holding time long enough that no registration is renewed by chance while zebra is away.
    let mut dmvpn = lab.dmvpn(Shape { holdtime: 600, ..Shape::default() })?;
    dmvpn.wait_registered(REGISTER)?;
    dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    dmvpn.wait_shortcut("s2", "s1", RESOLVE)?;

    late(&mut dmvpn, "s2", lab.release)?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    let requests = dmvpn.wire()?.of(Type::RegistrationRequest).count();
    for node in ["hub", "s2"] {
        let took = killed_and_restarted(&mut dmvpn, node)?;
        lab.note(format!("{node}: routes back {:.1} s after zebra's start", took.as_secs_f64()));
    }
    let again = dmvpn.wire()?.of(Type::RegistrationRequest).count();
    ensure!(again == requests, "{} registration requests because zebra was away", again - requests);

    let recorded = plays_back(&mut dmvpn, "s2")?;
    lab.note(format!("{} inputs and {} outputs recorded and played back", recorded.inputs, recorded.outputs));
    forced(&dmvpn, "s2", lab.release)?;

    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies at the end");
    dmvpn.finish(&[
        (Type::RegistrationRequest, 3),
        (Type::RegistrationReply, 3),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ])?;
    Ok(())
}

/// What of NHRP's is in the kernel.
#[derive(Debug, PartialEq, Eq)]
struct Kernel {
    routes: Vec<String>,
    neighbours: Vec<String>,
}

impl Kernel {
    fn of(node: &Node) -> Result<Self> {
        // 191 is iproute2's number for NHRP. zebra numbers next hop groups as it likes.
        let routes = node.sh("ip route show proto 191")?;
        let neighbours = node.sh("ip neighbour show dev gre1")?;
        Ok(Self {
            routes: sorted(&routes, |line| line.split(" nhid ").next().unwrap_or_default().to_owned()),
            neighbours: sorted(&neighbours, |line| {
                line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
            }),
        })
    }
}

fn sorted(text: &str, row: impl Fn(&str) -> String) -> Vec<String> {
    let mut rows: Vec<String> = text.lines().map(str::trim).map(row).collect();
    rows.sort();
    rows
}

/// What nhrpd itself shows, less what changes by itself.
fn shown(dmvpn: &mut Dmvpn, node: &str) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for command in ["show ip nhrp cache json", "show ip nhrp shortcut json", "show ip nhrp nhs json"] {
        for row in dmvpn.frr(node)?.table(command)? {
            rows.push(["type", "protocol", "nbma", "prefix", "via"].map(|key| text(&row, key)).join(" "));
        }
    }
    rows.sort();
    Ok(rows)
}

fn killed_and_restarted(dmvpn: &mut Dmvpn, node: &str) -> Result<Duration> {
    let (kernel, rows) = (Kernel::of(dmvpn.node(node)?)?, shown(dmvpn, node)?);
    ensure!(!kernel.routes.is_empty() && !kernel.neighbours.is_empty(), "{node} has {kernel:?} only");
    let rib = dmvpn.frr(node)?.vtysh(&["show ip route nhrp"])?;
    let prefixes = nhrp_prefixes(&rib);
    ensure!(!prefixes.is_empty(), "zebra of {node} has no NHRP route: {rib}");

    dmvpn.frr(node)?.stop_zebra(Signal::SIGKILL)?;
    std::thread::sleep(Duration::from_secs(2));
    let without = shown(dmvpn, node)?;
    ensure!(without == rows, "without zebra {node} shows {without:?} instead of {rows:?}");
    let left = Kernel::of(dmvpn.node(node)?)?;
    ensure!(left == kernel, "without zebra {node}'s kernel has {left:?} instead of {kernel:?}");
    let received = dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))?;
    ensure!(received == 3, "{received} of 3 echo replies while {node} has no zebra");

    let started = Instant::now();
    dmvpn.frr(node)?.start_zebra()?;
    dmvpn.frr(node)?.load(Some("zebra"))?;
    // A new zebra removes what an earlier one has left: NHRP's routes are back only when it was told them.
    wait_until(&format!("NHRP's routes in the new zebra of {node}"), AGAIN, || {
        let rib = dmvpn.frr(node).and_then(|frr| frr.vtysh(&["show ip route nhrp"]));
        match rib {
            Ok(rib) if nhrp_prefixes(&rib) == prefixes => Ok(()),
            other => Err(format!("{other:?} instead of {prefixes:?}")),
        }
    })?;
    let took = started.elapsed();
    wait_until(&format!("{node}'s kernel to be as before"), AGAIN, || {
        match dmvpn.node(node).and_then(Kernel::of) {
            Ok(now) if now == kernel => Ok(()),
            other => Err(format!("{other:?} instead of {kernel:?}")),
        }
    })?;
    let after = shown(dmvpn, node)?;
    ensure!(after == rows, "after zebra's restart {node} shows {after:?} instead of {rows:?}");
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies after zebra's restart on {node}");
    Ok(took)
}

/// The prefixes of `show ip route nhrp`, `N>* 10.2.0.0/24 [10/0] via …`.
fn nhrp_prefixes(rib: &str) -> Vec<String> {
    let rows = rib.lines().filter(|line| line.starts_with("N>*"));
    let mut prefixes: Vec<String> =
        rows.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect();
    prefixes.sort();
    prefixes
}

/// nhrpd starts, and zebra only some seconds later.
fn late(dmvpn: &mut Dmvpn, node: &str, release: Release) -> Result<()> {
    let log = dmvpn.node(node)?.out().join("nhrpd.log");
    let place = dmvpn.node(node)?.clone();
    let frr = dmvpn.frr(node)?;
    frr.stop_nhrpd(Signal::SIGTERM)?;
    wait_until("zebra to remove the routes of the nhrpd that has gone", AGAIN, || {
        match Kernel::of(&place) {
            Ok(kernel) if kernel.routes.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    frr.stop_zebra(Signal::SIGKILL)?;
    let read = || std::fs::read_to_string(&log).context(|| format!("reading {}", log.display()));
    let before = read()?.len();
    frr.set_nhrpd_options(&["--record", RECORDING]);
    frr.start_nhrpd()?;
    frr.load(Some("nhrpd"))?;
    std::thread::sleep(LATE);
    let said = read()?.split_off(before);
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("zserv.api")).collect();
    ensure!(
        matches!(complaints[..], [one] if one.contains("no zebra listens at /var/run/frr/zserv.api; start zebra")),
        "{LATE:?} without zebra: {said}"
    );
    frr.start_zebra()?;
    frr.load(Some("zebra"))?;
    dmvpn.wait_spoke_registered(node, REGISTER)?;
    let said = read()?.split_off(before);
    let named = format!("connected to zebra, which calls itself FRR {release}");
    ensure!(said.contains(&named), "nobody says {named:?}: {said}");
    let (from, to) = (node, "s1");
    dmvpn.wait_no_shortcut(from, to, AGAIN)?; // staticd, too, looks for the new zebra
    dmvpn.ping(from, to, 3, Duration::from_millis(300))?;
    dmvpn.wait_shortcut(from, to, AGAIN)?;
    let rib = dmvpn.frr(node)?.vtysh(&["show ip route nhrp"])?;
    let prefixes = nhrp_prefixes(&rib);
    let (hub, lan) = (format!("{}/32", overlay("hub")?), lan(to)?);
    ensure!(
        prefixes.contains(&hub) && prefixes.iter().any(|prefix| prefix.starts_with(&lan.to_string()[..5])),
        "zebra came late to {node} and has {rib}"
    );
    Ok(())
}

/// Clears, and plays back what was recorded since the daemon's start: its registration, shortcuts that came and went,
/// zebra coming late and once more, the clearing. The recording is kept.
fn plays_back(dmvpn: &mut Dmvpn, node: &str) -> Result<nhrp_record::Summary> {
    dmvpn.frr(node)?.vtysh(&["clear ip nhrp shortcut"])?;
    dmvpn.wait_no_shortcut(node, "s1", RESOLVE)?;
    let node = dmvpn.node(node)?;
    let text = wait_until("the clearing to be in the recording", RESOLVE, || {
        let text = node.sh(&format!("cat {RECORDING}")).map_err(|failure| format!("{failure:?}"))?;
        if text.contains("\"Cleared\"") { Ok(text) } else { Err(format!("{} octets", text.len())) }
    })?;
    let summary = nhrp_record::replay(text.as_bytes()).context(|| format!("playing back {RECORDING}"))?;
    ensure!(summary.recordings == 1, "{} recordings in {RECORDING}", summary.recordings);
    ensure!(summary.inputs > 20 && summary.outputs > 20, "{summary:?} in {RECORDING}");
    for part in ["\"Registered\"", "\"RouteAdd\"", "\"RouteDelete\""] {
        ensure!(text.contains(part), "no {part} was recorded");
    }
    let kept = node.out().join("nhrpd.record");
    std::fs::write(&kept, text).context(|| format!("keeping {}", kept.display()))?;
    Ok(summary)
}

/// A release that zebra is not: an error that says so and what to do, and no wrong message to zebra.
fn forced(dmvpn: &Dmvpn, node: &str, release: Release) -> Result<()> {
    let wrong = if release == Release::V8_4 { "10.3" } else { "8.4" };
    let node = dmvpn.node(node)?;
    let socket = "/run/frr/zserv.api";
    let command =
        ["/lab/bin/nhrpd", "-N", "forced", "-z", socket, "--log", "stdout", "--zebra-release", wrong];
    let mut nhrpd = node.spawn("forced", &command)?;
    let found = wait_until("the error about the forced release", AGAIN, || {
        let said = nhrpd.output();
        let line = said.lines().find(|line| line.contains("does not speak the API of release"));
        line.map(str::to_owned).ok_or(said)
    })?;
    for part in [socket, wrong, "--zebra-release"] {
        ensure!(found.contains(part), "the error does not name {part}: {found}");
    }
    std::thread::sleep(Duration::from_secs(3));
    let said = nhrpd.output();
    let times = said.lines().filter(|line| line.contains("does not speak")).count();
    ensure!(times == 1, "the error is repeated {times} times: {said}");
    ensure!(nhrpd.ended().is_none(), "nhrpd ended: {said}");
    nhrpd.stop(Signal::SIGTERM, Duration::from_secs(5))
}
