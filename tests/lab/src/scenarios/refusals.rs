//! Questions that cannot be answered: hub and s2 point at each other for a prefix, and s2 rejects what the hub sends there.
//! No question visits a node a third time; each answer is in the words of its daemon; nobody makes a shortcut of a refusal,
//! or is hurt by it.
//!
//! | to a question | ours (RFC 2332) | FRR's |
//! | --- | --- | --- |
//! | that comes back | error 3 to who asked (5.3.2) | silence |
//! | about what is rejected | a reply with code 12 (5.2.2) | a reply as for a network of its own |
//!
//! A registration with a compulsory extension that nobody knows is refused by ours (error 1, 5.3.0); FRR's accepts it, and
//! sends back what it does not know.

use std::net::Ipv4Addr;

use super::{Lab, RESOLVE};
use crate::dmvpn::{Dmvpn, lan, nbma, nhrp_filter, now, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::{Nhrp, Type, Verdict};
use crate::mix::{Kind, Mix};
use crate::net::wait_until;

/// Behind s2 according to the hub, behind the hub according to s2.
const LOOPED: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
/// Behind s2 according to the hub, and rejected by s2.
const REJECTED: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);

/// Who registers with an extension that nobody knows.
const ODD: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

const UNRECOGNISED_EXTENSION: u16 = 1;
const LOOP_DETECTED: u16 = 3;
const NO_BINDING: u8 = 12;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    let mix = lab.mix().clone();
    unknown_extension(&dmvpn, &mix)?;
    let routes = routes()?;
    route(&mut dmvpn, &routes, "")?;
    let since = now()?;
    for (target, what, answer) in
        [(LOOPED, "a loop", at_loop(&mix)?), (REJECTED, "a refusal", at_reject(&mix)?)]
    {
        ask_for(&dmvpn, target)?;
        // Who was refused does not repeat the question, however much is sent meanwhile.
        let words = format!("ping -n -q -W 1 -t 4 -c 6 -i 0.3 -I {} {target} || true", lan("s1")?);
        dmvpn.node("s1")?.sh(&words)?;
        if let Some(filter) = answer {
            dmvpn.wait_captured(&format!("the answer to {what} at s1"), &filter, since, 1, RESOLVE)?;
        }
        if target == LOOPED || mix.of("s2") == Kind::Ours {
            no_shortcut(&mut dmvpn, target)?;
        }
    }
    let wire = dmvpn.finish(&[])?;
    for target in [LOOPED, REJECTED] {
        visits(&wire, &mix, target)?;
    }
    refused(&wire, &mix)?;
    route(&mut dmvpn, &routes, "no ")?;
    lab.keep(dmvpn);
    Ok(())
}

/// Error indications have their code 24 octets behind the begin of the packet.
fn error(code: u16) -> Result<String> {
    Ok(format!("{} and ip[52:2] = {code}", nhrp_filter(7, nbma("hub")?, nbma("s1")?)))
}

/// s1's host registers [`ODD`] with an extension that the hub does not know, but must.
fn unknown_extension(dmvpn: &Dmvpn, mix: &Mix) -> Result<()> {
    let since = now()?;
    let words = [
        "/lab/bin/lab".to_owned(),
        "stranger".to_owned(),
        format!("--to-nbma={}", nbma("hub")?),
        format!("--to={}", overlay("hub")?),
        format!("--from-nbma={}", nbma("s1")?),
        format!("--spoke={ODD}"),
        "--unknown=1".to_owned(),
    ];
    dmvpn.node("s1")?.run(&words.each_ref().map(String::as_str))?;
    let refused = error(UNRECOGNISED_EXTENSION)?;
    // The requester's overlay address is 32 octets behind the begin of a reply.
    let accepted = format!("{} and ip[60:4] = {}", nhrp_filter(4, nbma("hub")?, nbma("s1")?), u32::from(ODD));
    let (expected, other) =
        if mix.of("hub") == Kind::Ours { (refused, accepted) } else { (accepted, refused) };
    dmvpn.wait_captured("the answer to an unknown extension", &expected, since, 1, RESOLVE)?;
    let wrong = dmvpn.captured(&other)?;
    ensure!(!wrong.iter().any(|time| *time >= since), "an unknown extension was answered with {other}");
    Ok(())
}

/// What reaches s1 from the hub when its question has gone round.
fn at_loop(mix: &Mix) -> Result<Option<String>> {
    let known = mix.of("hub") == Kind::Ours && mix.of("s2") == Kind::Ours;
    known.then(|| error(LOOP_DETECTED)).transpose()
}

/// What reaches s1 when s2 rejects what it asks for. A reply has the target 36 and its code 40 octets behind the begin; that
/// of FRR's s2 may come straight from there.
fn at_reject(mix: &Mix) -> Result<Option<String>> {
    Ok(Some(match mix.of("s2") {
        Kind::Ours => format!("{} and ip[68] = {NO_BINDING}", nhrp_filter(2, nbma("hub")?, nbma("s1")?)),
        Kind::Frr => format!(
            "dst host {} and ip[22:2] = 0x2001 and ip[45] = 2 and ip[64:4] = {} and ip[68] = 0",
            nbma("s1")?,
            u32::from(REJECTED)
        ),
    }))
}

fn routes() -> Result<[(&'static str, String); 3]> {
    let via = |host: Ipv4Addr, node: &str| -> Result<String> {
        let [a, b, c, _] = host.octets();
        Ok(format!("ip route {a}.{b}.{c}.0/24 {} gre1 onlink", overlay(node)?))
    };
    let [a, b, c, _] = REJECTED.octets();
    Ok([
        ("hub", via(LOOPED, "s2")?),
        ("hub", via(REJECTED, "s2")?),
        ("s2", format!("ip route {a}.{b}.{c}.0/24 reject")),
    ])
}

fn route(dmvpn: &mut Dmvpn, routes: &[(&str, String)], word: &str) -> Result<()> {
    for (node, line) in routes {
        dmvpn.frr(node)?.vtysh(&["configure terminal", &format!("{word}{line}")])?;
        let target = line.split_whitespace().nth(2).unwrap_or_default();
        wait_until(&format!("{word}{line} in the kernel of {node}"), RESOLVE, || {
            match dmvpn.node(node).and_then(|node| node.sh(&format!("ip route show {target}"))) {
                Ok(seen) if seen.is_empty() == (word == "no ") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
    }
    Ok(())
}

/// Sends packets to `target` from s1's LAN until s1 has asked for it; they live for four hops only. The target is 36 octets
/// behind the begin of the question.
fn ask_for(dmvpn: &Dmvpn, target: Ipv4Addr) -> Result<()> {
    let question = nhrp_filter(1, nbma("s1")?, nbma("hub")?);
    let filter = format!("{question} and ip[64:4] = {}", u32::from(target));
    let (source, words) = (lan("s1")?.to_string(), target.to_string());
    wait_until(&format!("s1 to ask for {target}"), RESOLVE, || {
        let ping = ["ping", "-n", "-W", "1", "-t", "4", "-c", "1", "-I", &source, &words];
        let pinged = dmvpn.node("s1").and_then(|s1| s1.run(&ping));
        match dmvpn.captured(&filter) {
            Ok(questions) if !questions.is_empty() => Ok(()),
            other => Err(format!("{pinged:?} {other:?}")),
        }
    })
}

/// s1 has no shortcut to `target`.
fn no_shortcut(dmvpn: &mut Dmvpn, target: Ipv4Addr) -> Result<()> {
    let bound = dmvpn.shortcuts("s1")?;
    let [a, b, ..] = target.octets();
    let about = format!("{a}.{b}.");
    ensure!(!bound.iter().any(|shortcut| shortcut.starts_with(&about)), "s1 has the shortcuts {bound:?}");
    Ok(())
}

/// The resolution requests for `target` from a node to another.
fn asked<'a>(wire: &'a Verdict, from: &str, to: &str, target: Ipv4Addr) -> Result<Vec<&'a Nhrp>> {
    let way = (nbma(from)?, nbma(to)?);
    let questions = wire.of(Type::ResolutionRequest);
    let questions = questions.filter(|(p, nhrp)| p.nbma == way && nhrp.destination == Some(target));
    Ok(questions.map(|(_, nhrp)| nhrp).collect())
}

/// No question is passed on by a node twice. A repetition has the id of its original (RFC 2332 section 5.2.0.1).
fn visits(wire: &Verdict, mix: &Mix, target: Ipv4Addr) -> Result<()> {
    let originals = asked(wire, "s1", "hub", target)?;
    let question = originals.first().context(|| format!("s1 did not ask for {target}"))?;
    let copies = |from: &str, to: &str| -> Result<usize> {
        let all = asked(wire, from, to, target)?;
        Ok(all.iter().filter(|copy| copy.request_id == question.request_id).count())
    };
    let sent = copies("s1", "hub")?;
    for (from, to) in [("hub", "s2"), ("s2", "hub")] {
        let passed = copies(from, to)?;
        ensure!(
            passed <= sent,
            "a question that s1 sent {sent} times went {passed} times from {from} to {to}"
        );
    }
    ensure!(copies("hub", "s2")? > 0, "the hub did not pass on the question for {target}");
    let answered = target == REJECTED || at_loop(mix)?.is_some();
    if mix.of("s1") == Kind::Ours && answered {
        ensure!(sent == 1 && originals.len() <= 2, "s1 goes on asking for what was refused: {originals:?}");
    }
    Ok(())
}

/// The refusal of s2, if it is ours, has the holding time 0 (RFC 2332 section 5.2.0.1).
fn refused(wire: &Verdict, mix: &Mix) -> Result<()> {
    if mix.of("s2") == Kind::Frr {
        return Ok(());
    }
    let s1 = nbma("s1")?;
    let replies = wire.of(Type::ResolutionReply).filter(|(packet, _)| packet.nbma.1 == s1);
    let mut entries = replies.filter_map(|(_, reply)| reply.entries.first());
    ensure!(entries.any(|entry| *entry == (NO_BINDING, 0)), "no refusal with holding time 0 reached s1");
    Ok(())
}
