//! Who may have an overlay address (RFC 2332 section 5.2.3): a hub with this daemon gives another station code 14 for as
//! long as the registered one answers; under `registration unique strict` also when it does not; else that one is replaced,
//! which lets a spoke back in whose NBMA address changed.
//!
//! Spoke s2 is the impostor: it takes the overlay address of s1. The holding time of both is longer than the scenario, so
//! that nothing happens because it ends.

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::ask::ask_all;
use super::{HOLDTIME, Lab, REGISTER};
use crate::dmvpn::{Dmvpn, lan, nbma, nhrp_filter, now, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::{Type, Verdict};
use crate::net::wait_until;

/// `binding exists already`.
const TAKEN: u8 = 14;
/// The spokes' holding time, seconds.
const HOLDING: u16 = 300;
/// Where s1 moves to, and the router there.
const MOVED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 130);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 129);
/// A refused FRR asks again after 2, 4, 8 and 16 s, and the former station has 2.6 s to answer.
const ACCEPTED: Duration = Duration::from_secs(30);

/// Moments between which somebody registered.
type Span = (f64, f64);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    prepare(&mut dmvpn)?;
    let answered = owner_answers(&mut dmvpn)?;
    let strict = owner_is_silent(&mut dmvpn)?;
    let replaced = owner_is_replaced(&mut dmvpn)?;
    owner_returns(&mut dmvpn)?;
    let moved = owner_moves(&mut dmvpn)?;
    lab.note(format!("reached {:.1} s after it moved", moved.1 - moved.0));

    let wire = dmvpn.finish(&[(Type::RegistrationReply, 8)])?;
    let (hub, s1, s2) = (nbma("hub")?, nbma("s1")?, nbma("s2")?);
    for span in [answered, strict] {
        let codes = codes(&wire, s2, span);
        ensure!(codes.iter().all(|code| *code == TAKEN), "the impostor was answered with {codes:?}");
    }
    let questions = asked(&wire, (hub, s1), answered);
    let (id, entries) =
        questions.first().context(|| "nobody asked the owner whether it is there".to_owned())?;
    ensure!(*entries == 0, "the question to the owner registers something");
    let answer = wire
        .of(Type::RegistrationReply)
        .find(|(packet, reply)| packet.nbma == (s1, hub) && reply.request_id == *id);
    ensure!(answer.is_some(), "the owner did not answer the question whether it is there");
    let questions = asked(&wire, (hub, s1), strict);
    ensure!(questions.is_empty(), "strict asks the owner: {questions:?}");
    for (who, span) in [(s2, replaced), (MOVED, moved)] {
        let codes = codes(&wire, who, span);
        let fine = codes.first() == Some(&TAKEN) && codes.last() == Some(&0);
        ensure!(fine, "{who} was not refused at first and accepted then: {codes:?}");
        ensure!(!asked(&wire, (hub, s1), span).is_empty(), "nobody asked at {s1}");
    }
    Ok(())
}

/// The codes of the hub's answers to registrations from an NBMA address.
fn codes(wire: &Verdict, to: Ipv4Addr, span: Span) -> Vec<u8> {
    let replies = wire.of(Type::RegistrationReply);
    let replies = replies.filter(|(p, _)| p.nbma.1 == to && p.time >= span.0 && p.time <= span.1);
    replies.filter_map(|(_, reply)| reply.entries.first().map(|(code, _)| *code)).collect()
}

/// Request id and number of entries of registration requests from one NBMA address to another.
fn asked(wire: &Verdict, way: (Ipv4Addr, Ipv4Addr), span: Span) -> Vec<(u32, usize)> {
    let requests = wire.of(Type::RegistrationRequest);
    let requests = requests.filter(|(p, _)| p.nbma == way && p.time >= span.0 && p.time <= span.1);
    requests.map(|(_, request)| (request.request_id, request.entries.len())).collect()
}

/// Waits for answers of the hub to registrations from an NBMA address with this code in the first entry, 40 octets behind
/// the begin of the packet.
fn wait_answers(dmvpn: &Dmvpn, to: Ipv4Addr, since: f64, code: u8, count: usize) -> Result<()> {
    let filter = format!("{} and ip[68] = {code}", nhrp_filter(4, nbma("hub")?, to));
    dmvpn.wait_captured(&format!("an answer to {to} with code {code}"), &filter, since, count, ACCEPTED)
}

/// Where the hub's kernel sends what is for s1's overlay address.
fn holder(dmvpn: &Dmvpn) -> Result<String> {
    let text = dmvpn.node("hub")?.sh(&format!("ip neigh show {} dev gre1", overlay("s1")?))?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "lladdr");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

fn wait_holder(dmvpn: &Dmvpn, expected: Ipv4Addr, timeout: Duration) -> Result<()> {
    wait_until(&format!("{expected} behind s1's address in the hub's kernel"), timeout, || {
        match holder(dmvpn) {
            Ok(seen) if seen == expected.to_string() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

/// Both register their addresses as their own, for long, and do so after a restart.
fn prepare(dmvpn: &mut Dmvpn) -> Result<()> {
    for spoke in dmvpn.spokes() {
        let edit = format!("s/nhrp holdtime {HOLDTIME}/nhrp holdtime {HOLDING}/; /registration no-unique/d");
        dmvpn.node(&spoke)?.sh(&format!("sed -i '{edit}' /etc/frr/frr.conf"))?;
    }
    let since = now()?;
    dmvpn
        .frr("s1")?
        .configure_tunnel(&["no ip nhrp registration no-unique", &format!("ip nhrp holdtime {HOLDING}")])?;
    // The renewal that was due after a third of the former holding time. One that left while the lines were being typed
    // is not unique yet; the flags are 22 octets behind the begin of the packet, and an answer has those of its request.
    let filter = format!("{} and ip[50:2] & 0x8000 != 0", nhrp_filter(4, nbma("hub")?, nbma("s1")?));
    dmvpn.wait_captured("an answer to s1's unique registration", &filter, since, 1, ACCEPTED)
}

fn start(dmvpn: &mut Dmvpn, spoke: &str) -> Result<()> {
    dmvpn.frr(spoke)?.start_nhrpd()?;
    dmvpn.frr(spoke)?.load(Some("nhrpd"))
}

/// A fresh start, so that no earlier refusal makes its next attempt late.
fn restart(dmvpn: &mut Dmvpn, spoke: &str) -> Result<()> {
    dmvpn.frr(spoke)?.stop_nhrpd(Signal::SIGKILL)?;
    start(dmvpn, spoke)
}

/// `registration unique …` on the hub: told to the daemon itself, because no vtysh knows the command.
fn policy(dmvpn: &Dmvpn, word: &str) -> Result<()> {
    let line = format!("ip nhrp registration unique {word}");
    let lines = ["configure terminal", "interface gre1", &line];
    let answer = ask_all(dmvpn.node("hub")?, "/run/frr/nhrpd.vty", &lines)?;
    ensure!(answer == (0, String::new()), "{line} is answered with {answer:?}");
    Ok(())
}

fn address(dmvpn: &Dmvpn, spoke: &str, from: &str, to: &str) -> Result<()> {
    let (from, to) = (overlay(from)?, overlay(to)?);
    let script = format!("ip address del {from}/32 dev gre1; ip address add {to}/32 dev gre1");
    dmvpn.node(spoke)?.sh(&script).map(drop)
}

fn owner_has_it(dmvpn: &Dmvpn) -> Result<()> {
    let (seen, expected) = (holder(dmvpn)?, nbma("s1")?.to_string());
    ensure!(seen == expected, "behind s1's address in the hub's kernel is {seen}");
    Ok(())
}

/// The impostor is refused because the owner, which is asked, is there.
fn owner_answers(dmvpn: &mut Dmvpn) -> Result<Span> {
    dmvpn.frr("s2")?.stop_nhrpd(Signal::SIGTERM)?;
    address(dmvpn, "s2", "s2", "s1")?;
    let since = now()?;
    start(dmvpn, "s2")?;
    wait_answers(dmvpn, nbma("s2")?, since, TAKEN, 3)?;
    let until = now()?;
    owner_has_it(dmvpn)?;
    let received = dmvpn.ping("hub", "s1", 3, Duration::from_millis(200))?;
    ensure!(received == 3, "{received} of 3 echo replies of the owner");
    Ok((since, until))
}

/// Without a word from the owner `strict` keeps the address for it …
fn owner_is_silent(dmvpn: &mut Dmvpn) -> Result<Span> {
    policy(dmvpn, "strict")?;
    dmvpn.frr("s1")?.stop_nhrpd(Signal::SIGKILL)?;
    let since = now()?;
    restart(dmvpn, "s2")?;
    wait_answers(dmvpn, nbma("s2")?, since, TAKEN, 3)?;
    owner_has_it(dmvpn)?;
    Ok((since, now()?))
}

/// … and `replace` does not.
fn owner_is_replaced(dmvpn: &mut Dmvpn) -> Result<Span> {
    dmvpn.frr("s2")?.stop_nhrpd(Signal::SIGKILL)?;
    policy(dmvpn, "replace")?;
    let since = now()?;
    start(dmvpn, "s2")?;
    wait_answers(dmvpn, nbma("s2")?, since, 0, 1)?;
    wait_holder(dmvpn, nbma("s2")?, REGISTER)?;
    Ok((since, now()?))
}

/// The impostor has its own address again. It is there, but says that the owner's is not its, and the owner gets that.
fn owner_returns(dmvpn: &mut Dmvpn) -> Result<()> {
    dmvpn.frr("s2")?.stop_nhrpd(Signal::SIGKILL)?;
    address(dmvpn, "s2", "s1", "s2")?;
    start(dmvpn, "s2")?;
    dmvpn.wait_spoke_registered("s2", REGISTER)?;
    start(dmvpn, "s1")?;
    wait_holder(dmvpn, nbma("s1")?, ACCEPTED)?;
    dmvpn.wait_spoke_registered("s1", REGISTER)
}

/// s1's NBMA address changes while its daemon runs. From then until the hub's kernel knows.
fn owner_moves(dmvpn: &mut Dmvpn) -> Result<Span> {
    let former = nbma("s1")?;
    dmvpn.node("inet")?.sh(&format!("ip address add {GATEWAY}/30 dev to-s1"))?;
    let since = now()?;
    dmvpn.node("s1")?.sh(&format!(
        "ip address add {MOVED}/30 dev eth0
         ip route replace default via {GATEWAY} src {MOVED}
         ip tunnel change gre1 mode gre local {MOVED} key 42 ttl 64 dev eth0
         ip address del {former}/30 dev eth0"
    ))?;
    wait_holder(dmvpn, MOVED, ACCEPTED)?;
    let until = now()?;
    let (source, target) = (lan("s2")?.to_string(), lan("s1")?.to_string());
    wait_until("s1's LAN to be reached from s2", REGISTER, || {
        let words = ["ping", "-n", "-W", "1", "-c", "2", "-i", "0.2", "-I", &source, &target];
        match dmvpn.node("s2").and_then(|s2| s2.run(&words)) {
            Ok(output) if output.stdout.contains(" 2 received") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    Ok((since, until))
}
