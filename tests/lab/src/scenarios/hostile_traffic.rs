//! A stranger floods hub and spoke with random, changed, spoofed and overlong packets: registered spokes notice
//! nothing, memory and tables stay within their limits, and each limit is counted and said, with what to do.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::ask::ask;
use super::shown::{counter, log, resident};
use super::{Lab, REGISTER};
use crate::capture::Capture;
use crate::dmvpn::{Dmvpn, Shape, lan, nbma, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::{Type, judge};
use crate::net::{Node, wait_until};

/// `--max-peers` of every node.
const MAX_PEERS: usize = 500;
/// Entries that come on top: own addresses, the server, and the two spokes if they were first.
const OWN: usize = 8;
/// Resolutions that may be under way, as built in.
const MAX_RESOLUTIONS: usize = 4096;

/// Growth of the resident memory by a flood that repeats an earlier one with other packets, kB.
const GROWTH: u64 = 1024;

/// Messages of a kind that the daemon writes in [`WINDOW`].
const BURST: usize = 5;
/// See [`BURST`].
const WINDOW: Duration = Duration::from_secs(10);

/// Packets in a second: the kernel's part of a packet takes longer than nhrpd's, and echoes are to pass as well.
const RATE: u32 = 6000;

/// The stranger's address in the transport network, the router's towards it, and all whose names it takes.
const ADDRESS: &str = "192.0.2.254/30";
const GATEWAY: &str = "192.0.2.253";
const NETWORK: &str = "198.18.0.0/15";

/// 10,000 packets of each of the first two kinds.
pub(super) fn run(lab: &mut Lab) -> Result<()> {
    flood(lab, 5_000, Duration::from_secs(60))
}

/// 100,000 packets of each of the first two kinds, and the others in proportion.
pub(super) fn whole(lab: &mut Lab) -> Result<()> {
    flood(lab, 50_000, Duration::from_secs(200))
}

/// Two floods of so many packets of each of the first two kinds.
fn flood(lab: &mut Lab, packets: u32, patience: Duration) -> Result<()> {
    // s1 makes no shortcuts, so that what it sends goes through the hub all the time.
    let line = |name: &str, line: &str| (name.to_owned(), line.to_owned());
    let unique = "no ip nhrp registration no-unique";
    let lines = vec![line("s1", "no ip nhrp shortcut"), line("s1", unique), line("s2", unique)];
    let options = &["--max-peers", "500"];
    let shape = Shape { holdtime: 12, interface_lines: lines, nhrpd_options: options, ..Shape::default() };
    let mut dmvpn = lab.dmvpn(shape)?;
    dmvpn.wait_registered(REGISTER)?;
    dmvpn.finish(&[])?; // What the stranger sends is not worth capturing.
    for name in dmvpn.names() {
        dmvpn.frr(&name)?.vtysh(&["configure terminal", "no debug nhrp common"])?;
    }
    let node = dmvpn.add_host("stranger", ADDRESS, GATEWAY)?;
    let address = ADDRESS.split('/').next().unwrap_or_default();
    dmvpn.node("inet")?.sh(&format!("ip route add {NETWORK} via {address}"))?;
    let hub = dmvpn.node("hub")?.clone();
    let spokes = [dmvpn.node("s1")?.clone(), dmvpn.node("s2")?.clone()];
    let from: Vec<usize> =
        [&hub, &spokes[0], &spokes[1]].iter().map(|n| Ok(log(n)?.len())).collect::<Result<_>>()?;
    let s1 = nbma("s1")?;
    let renewals = format!("ip proto 47 and host {s1} and host {}", nbma("hub")?);
    let renewals = Capture::start(dmvpn.node("inet")?, lab.out().join("renewals.pcap"), "to-s1", &renewals)?;
    let began = Instant::now();
    let looked_at = counter(&hub, "packets malformed")?;
    let mut memory = Vec::new();
    for seed in [1, 2] {
        let lost = attack(&dmvpn, &node, packets, seed, patience)?;
        ensure!(lost == 0, "{lost} echo requests through the hub got lost during the flood");
        // All of it has been looked at when the hub answers.
        let (code, _) = ask(&hub, "/run/frr/nhrpd.vty", "echo done")?;
        ensure!(code == 0, "echo was answered with {code}");
        memory.push(resident(&hub)?);
        bounded(&hub)?;
        bounded(&spokes[1])?;
    }
    let took = began.elapsed();
    let malformed = counter(&hub, "packets malformed")? - looked_at;
    ensure!(
        malformed > u64::from(packets) * 2,
        "{malformed} malformed packets were counted of {packets} random and {packets} changed ones, twice"
    );
    renewed(renewals, s1, took)?;
    spokes_noticed_nothing(&mut dmvpn, &spokes, &from)?;
    let text = log(&hub)?.split_off(from.first().copied().unwrap_or_default());
    messages(&hub, &text, began)?;
    let text = log(&spokes[1])?.split_off(from.last().copied().unwrap_or_default());
    let said = text.contains("resolutions without an answer: limit reached");
    let over = counter(&spokes[1], "resolutions over the limit")?;
    ensure!(said == (over > 0), "{over} resolutions were over the limit at s2, said: {said}");
    let lost = counter(&hub, "packets lost in the queue")?;
    if let [first, second] = memory[..] {
        ensure!(second < first + GROWTH, "the hub's nhrpd has grown from {first} kB to {second} kB");
        lab.note(format!(
            "2 times {packets} random and {packets} changed packets in {:.0} s, {malformed} malformed, {lost} lost in \
             the queue, {first} kB, {second} kB",
            took.as_secs_f64()
        ));
    }
    forgotten(&hub)?;
    dmvpn.all_alive()
}

/// On the wire s1 renewed its registration in time and had its answers, all successes.
fn renewed(capture: Capture, s1: Ipv4Addr, took: Duration) -> Result<()> {
    let wire = judge(&capture.stop()?)?;
    let requests = wire.of(Type::RegistrationRequest).filter(|(packet, _)| packet.nbma.0 == s1).count();
    let replies: Vec<_> = wire
        .of(Type::RegistrationReply)
        .filter(|(packet, _)| packet.nbma.1 == s1)
        .map(|(_, reply)| reply)
        .collect();
    let least = usize::try_from(took.as_secs() / 4).unwrap_or_default().saturating_sub(1).max(1);
    ensure!(
        requests >= least && replies.len() >= least,
        "in {took:?} s1 sent {requests} registration requests and got {} replies, expected {least} at least",
        replies.len()
    );
    let refused = replies.iter().find(|reply| reply.entries.first().is_none_or(|(code, _)| *code != 0));
    ensure!(refused.is_none(), "a renewal of s1 was refused: {refused:?}");
    Ok(())
}

/// One flood, with echo requests from s1 to s2 through the hub meanwhile: how many got lost.
fn attack(dmvpn: &Dmvpn, node: &Node, packets: u32, seed: u64, patience: Duration) -> Result<u32> {
    let stranger = |to: &str, options: &[String]| -> Result<_> {
        let mut words = vec![
            "/lab/bin/lab".to_owned(),
            "stranger".to_owned(),
            format!("--to-nbma={}", nbma(to)?),
            format!("--to={}", overlay(to)?),
            format!("--spoke={}", overlay("s1")?),
            format!("--from-nbma={}", nbma("hub")?),
            format!("--seed={seed}"),
        ];
        words.extend(options.iter().cloned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        node.spawn(&format!("stranger-{to}-{seed}"), &words)
    };
    let at_hub = [
        format!("--random={packets}"),
        format!("--changed={packets}"),
        format!("--spoofed={}", packets / 5),
        format!("--indications={}", packets / 10),
        format!("--many={}", packets / 20),
        format!("--rate={RATE}"),
    ];
    let at_spoke = [format!("--indications={}", packets / 10), format!("--rate={}", RATE / 20)];
    let mut senders = [stranger("hub", &at_hub)?, stranger("s2", &at_spoke)?];
    let ends = Instant::now() + patience;
    let mut lost = 0;
    while senders.iter_mut().any(|sender| sender.ended().is_none()) {
        ensure!(Instant::now() < ends, "the stranger is not done after {patience:?}");
        let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
        lost += 5 - received.min(5);
    }
    for sender in &senders {
        let said = sender.output();
        ensure!(said.contains("not sent 0,"), "the stranger could not send: {said}");
    }
    Ok(lost)
}

/// Tables within their limits.
fn bounded(hub: &Node) -> Result<()> {
    let peers = counter(hub, "NHRP cache entry")?;
    ensure!(peers <= (MAX_PEERS + OWN) as u64, "{peers} cache entries with --max-peers {MAX_PEERS}");
    let resolutions = counter(hub, "NHRP resolution under way")?;
    ensure!(resolutions <= MAX_RESOLUTIONS as u64, "{resolutions} resolutions");
    let shortcuts = counter(hub, "NHRP shortcut")?;
    ensure!(shortcuts <= MAX_PEERS as u64, "{shortcuts} shortcuts");
    Ok(())
}

/// Both spokes are registered from where they are, and never were not.
fn spokes_noticed_nothing(dmvpn: &mut Dmvpn, spokes: &[Node], from: &[usize]) -> Result<()> {
    dmvpn.wait_registered(Duration::from_secs(5))?;
    for (spoke, from) in spokes.iter().zip(from.iter().skip(1)) {
        let text = log(spoke)?.split_off(*from);
        ensure!(!text.contains("not registered with NHS"), "{} noticed: {text}", spoke.name());
    }
    let neighbours = dmvpn.node("hub")?.sh("ip neigh show dev gre1")?;
    for name in ["s1", "s2"] {
        let line = format!("{} lladdr {}", overlay(name)?, nbma(name)?);
        ensure!(neighbours.contains(&line), "no {line:?} in the hub's neighbours: {neighbours}");
    }
    let path = dmvpn.node("s1")?.sh(&format!("ip route get {}", lan("s2")?))?;
    ensure!(path.contains(&overlay("hub")?.to_string()), "what s1 sends does not go through the hub: {path}");
    Ok(())
}

/// Each kind of fault is said, none too often, and the limit with its remedy and its count.
fn messages(hub: &Node, text: &str, began: Instant) -> Result<()> {
    let limit = format!("{MAX_PEERS} cache entries: limit reached, new peers are refused; raise --max-peers");
    for (name, message) in [
        ("peers over the limit", limit.as_str()),
        ("packets with many entries", "more than 16 entries in a packet: limit reached"),
        ("registrations contested", "refused while the former one is asked whether it is still there"),
    ] {
        ensure!(counter(hub, name)? > 0, "{name}: nothing was counted");
        ensure!(text.contains(message), "nobody says {message:?}: {}", tail(text));
    }
    let windows = began.elapsed().as_secs() / WINDOW.as_secs() + 2;
    let most = usize::try_from(windows).context(|| "windows".to_owned())? * BURST;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("error: ")) {
        let reason = line.split("error: ").nth(1).unwrap_or_default();
        let reason = reason.split(" (").next().unwrap_or_default();
        *kinds.entry(if reason.contains(" at octet ") { "malformed" } else { reason }).or_default() += 1;
    }
    ensure!(kinds.len() > 2 && kinds.contains_key("malformed"), "too few kinds of faults: {kinds:?}");
    ensure!(kinds.values().all(|count| *count <= most), "more than {most} messages of a kind: {kinds:?}");
    Ok(())
}

/// What the stranger registered expires.
fn forgotten(hub: &Node) -> Result<()> {
    wait_until("the stranger's registrations to expire", Duration::from_secs(30), || {
        match counter(hub, "NHRP cache entry") {
            Ok(count) if count <= OWN as u64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn tail(text: &str) -> &str {
    let from = text.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or_default()
}
