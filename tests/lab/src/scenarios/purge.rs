//! What is over is said to be over (RFC 2332 sections 5.2.5 and 6.2.2), and taken at its word by ours: `clear` on the hub,
//! a prefix that is not behind a spoke any more, a removed `nhs` line, a daemon that ends. FRR's nhrpd says and follows
//! nothing of it; it is not hurt, and what it holds ends with its holding time.
//!
//! The holding time of s2 is, but for the first step, far longer than the scenario: what goes, goes because it was said.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{HOLDTIME, Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, nbma, nhrp_filter, now, overlay};
use crate::failure::{Failure, Result, ensure};
use crate::judge::{Nhrp, Packet, Type, Verdict};
use crate::mix::{Kind, Mix};
use crate::net::wait_until;

/// s2's holding time, seconds.
const HOLDING: u16 = 600;

/// Numbers of the types, for waiting.
const REQUEST: u8 = 5;
const REPLY: u8 = 6;

/// What happened between two moments: who had to tell whom that something is over.
struct Told {
    from: &'static str,
    to: &'static str,
    begin: f64,
    end: f64,
}

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    let mix = lab.mix().clone();
    let told = [
        cleared(&mut dmvpn, &mix)?,
        prefix_moved_away(&mut dmvpn, &mix)?,
        line_removed(&mut dmvpn, &mix)?,
        left(&mut dmvpn, &mix)?,
    ];
    let wire = dmvpn.finish(&[])?;
    for step in &told {
        judge_step(&wire, &mix, step)?;
    }
    unanswered(&wire, &told[2], &mix)?;
    let last = replies(&wire, &told[3]);
    ensure!(last.is_empty(), "the hub answered a purge request that wants no reply: {last:?}");
    // Further entries are those of extensions.
    let zero = |nhrp: &Nhrp| nhrp.entries.first().is_some_and(|(_, time)| *time == 0);
    let none = wire.of(Type::RegistrationRequest).find(|(_, nhrp)| zero(nhrp));
    ensure!(none.is_none(), "somebody said by a holding time of 0 that it leaves: {none:?}");
    Ok(())
}

fn ours(mix: &Mix, node: &str) -> bool {
    mix.of(node) == Kind::Ours
}

/// A direct path between the spokes, both ways, made anew.
fn direct(dmvpn: &mut Dmvpn) -> Result<()> {
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        dmvpn.frr(from)?.vtysh(&["clear ip nhrp shortcut"])?;
        dmvpn.wait_no_shortcut(from, to, RESOLVE)?;
    }
    wait_until("a direct path between s1 and s2", RESOLVE + RESOLVE, || {
        let pinged = dmvpn.ping("s1", "s2", 3, Duration::from_millis(300));
        match (pinged, dmvpn.is_direct("s1", "s2"), dmvpn.is_direct("s2", "s1")) {
            (Ok(_), Ok(true), Ok(true)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

/// Waits until `from`, if it is ours, has sent a purge request and `to`, if it is ours, has answered it.
fn wait_told(dmvpn: &Dmvpn, mix: &Mix, from: &'static str, to: &'static str, begin: f64) -> Result<Told> {
    let (source, target) = (nbma(from)?, nbma(to)?);
    if ours(mix, from) {
        let what = format!("a purge request from {from} to {to}");
        dmvpn.wait_captured(&what, &nhrp_filter(REQUEST, source, target), begin, 1, RESOLVE)?;
        if ours(mix, to) {
            dmvpn.wait_captured("its reply", &nhrp_filter(REPLY, target, source), begin, 1, RESOLVE)?;
        }
    }
    Ok(Told { from, to, begin, end: now()? })
}

/// From now on s2 says that it will be there for long. The last renewal that was due after a third of its former holding
/// time says so to the hub.
fn stay(dmvpn: &Dmvpn) -> Result<()> {
    let since = now()?;
    let edit = format!("s/nhrp holdtime {HOLDTIME}/nhrp holdtime {HOLDING}/");
    dmvpn.node("s2")?.sh(&format!("sed -i '{edit}' /etc/frr/frr.conf"))?;
    let line = format!("ip nhrp holdtime {HOLDING}");
    dmvpn.node("s2")?.run(&["vtysh", "-c", "configure terminal", "-c", "interface gre1", "-c", &line])?;
    let filter = nhrp_filter(4, nbma("hub")?, nbma("s2")?);
    dmvpn.wait_captured("a renewal of s2", &filter, since, 1, REGISTER)
}

/// The hub forgets its clients: s1, which asked for s2 through it, is told by the hub.
fn cleared(dmvpn: &mut Dmvpn, mix: &Mix) -> Result<Told> {
    direct(dmvpn)?;
    let begin = now()?;
    dmvpn.frr("hub")?.vtysh(&["clear ip nhrp cache"])?;
    let told = wait_told(dmvpn, mix, "hub", "s1", begin)?;
    if ours(mix, "hub") && ours(mix, "s1") {
        dmvpn.wait_no_shortcut("s1", "s2", RESOLVE)?;
    }
    dmvpn.wait_registered(REGISTER)?;
    Ok(told)
}

/// s2 loses its LAN: s1, which has a shortcut there, is told.
fn prefix_moved_away(dmvpn: &mut Dmvpn, mix: &Mix) -> Result<Told> {
    stay(dmvpn)?;
    direct(dmvpn)?;
    let begin = now()?;
    dmvpn.node("s2")?.sh("ip link set lan0 down")?;
    let told = wait_told(dmvpn, mix, "s2", "s1", begin)?;
    if ours(mix, "s1") && ours(mix, "s2") {
        dmvpn.wait_no_shortcut("s1", "s2", RESOLVE)?;
    }
    dmvpn.node("s2")?.sh("ip link set lan0 up")?;
    Ok(told)
}

/// Waits until the hub, which is ours, has no binding for s2, and its kernel no neighbour.
fn wait_forgotten(dmvpn: &mut Dmvpn) -> Result<()> {
    let s2 = overlay("s2")?;
    wait_until("the hub to forget s2", RESOLVE, || {
        let neighbours = dmvpn.node("hub").and_then(|hub| hub.sh(&format!("ip neigh show {s2} dev gre1")));
        match (neighbours, dmvpn.registration("s2")) {
            (Ok(text), Ok(None)) if !text.contains("lladdr") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

/// s2 is not to register any more: one request if it is answered, three if it is not.
fn line_removed(dmvpn: &mut Dmvpn, mix: &Mix) -> Result<Told> {
    let line = format!("ip nhrp nhs dynamic nbma {}", nbma("hub")?);
    let begin = now()?;
    dmvpn.frr("s2")?.configure_tunnel(&[&format!("no {line}")])?;
    let mut told = wait_told(dmvpn, mix, "s2", "hub", begin)?;
    if ours(mix, "s2") && ours(mix, "hub") {
        wait_forgotten(dmvpn)?;
    } else if ours(mix, "s2") {
        let filter = nhrp_filter(REQUEST, nbma("s2")?, nbma("hub")?);
        dmvpn.wait_captured("a purge request that nobody answers", &filter, begin, 3, RESOLVE)?;
        told.end = now()?;
        let known = dmvpn.registration("s2")?;
        ensure!(known.is_some(), "FRR's hub has followed a purge: the documentation says that it does not");
    }
    dmvpn.frr("s2")?.configure_tunnel(&[&line])?;
    dmvpn.wait_spoke_registered("s2", REGISTER)?;
    Ok(told)
}

/// s2's daemon ends: one request, and nobody is there for a reply.
fn left(dmvpn: &mut Dmvpn, mix: &Mix) -> Result<Told> {
    let begin = now()?;
    dmvpn.frr("s2")?.stop_nhrpd(Signal::SIGTERM)?;
    if ours(mix, "s2") {
        let filter = nhrp_filter(REQUEST, nbma("s2")?, nbma("hub")?);
        dmvpn.wait_captured("the purge request of s2, which leaves", &filter, begin, 1, RESOLVE)?;
        if ours(mix, "hub") {
            wait_forgotten(dmvpn)?;
        }
    }
    dmvpn.frr("s2")?.start_nhrpd()?;
    dmvpn.frr("s2")?.load(Some("nhrpd"))?;
    dmvpn.wait_spoke_registered("s2", REGISTER)?;
    Ok(Told { from: "s2", to: "hub", begin, end: now()? })
}

fn between<'a>(
    wire: &'a Verdict,
    kind: Type,
    from: &str,
    to: &str,
    step: &Told,
) -> Vec<(&'a Packet, &'a Nhrp)> {
    let way = nbma(from).and_then(|from| Ok((from, nbma(to)?))).ok();
    let (begin, end) = (step.begin, step.end);
    let packets = wire.of(kind);
    packets.filter(|(p, _)| Some(p.nbma) == way && p.time >= begin && p.time <= end).collect()
}

fn requests<'a>(wire: &'a Verdict, step: &Told) -> Vec<(&'a Packet, &'a Nhrp)> {
    between(wire, Type::PurgeRequest, step.from, step.to, step)
}

fn replies<'a>(wire: &'a Verdict, step: &Told) -> Vec<(&'a Packet, &'a Nhrp)> {
    between(wire, Type::PurgeReply, step.to, step.from, step)
}

/// Ours tells, FRR's does not; ours answers (but for the last step), FRR's does not.
fn judge_step(wire: &Verdict, mix: &Mix, step: &Told) -> Result<()> {
    let (requests, replies) = (requests(wire, step), replies(wire, step));
    let Told { from, to, .. } = step;
    ensure!(
        requests.is_empty() != ours(mix, from),
        "{from}, nhrpd {}, sent {to} these purge requests: {requests:?}",
        mix.of(from)
    );
    ensure!(
        replies.is_empty() || ours(mix, to),
        "{to}, with FRR's nhrpd, answered a purge request: the documentation says that it does not: {replies:?}"
    );
    let zero = requests.iter().all(|(_, nhrp)| nhrp.entries.iter().all(|entry| *entry == (0, 0)));
    ensure!(zero, "code and holding time of a purge request are zero (RFC 2332 section 5.2.5): {requests:?}");
    Ok(())
}

/// Three times the same, a second and then two apart, if nobody answers.
fn unanswered(wire: &Verdict, step: &Told, mix: &Mix) -> Result<()> {
    if !ours(mix, "s2") || ours(mix, "hub") {
        return Ok(());
    }
    let copies = requests(wire, step);
    let [(first, request), (second, a), (third, b)] = copies[..] else {
        return Err(Failure::new(format!("not three purge requests: {copies:?}")));
    };
    let waits = (second.time - first.time, third.time - second.time);
    let same = a.request_id == request.request_id && b.request_id == request.request_id;
    ensure!(same && waits.0 > 0.9 && waits.1 > 1.9, "{waits:?} s between {copies:?}");
    Ok(())
}
