//! Phase 2: the hub's BGP reflects routes with the next hop of the spoke that announced them, the tunnel's prefix
//! covers that address, and the kernel has to find out where it is.
//!
//! FRR's nhrpd up to 10.7 ignores the kernel's question for an address that it does not know, so it is always a spoke
//! of ours that sends the first packet. FRR's answers, and forwards, like ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::best::best;
use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, lan, nbma, overlay};
use crate::failure::{Context, Failure, Result, ensure};
use crate::judge::{Nhrp, Packet, Type};
use crate::mix::Kind;
use crate::net::wait_until;

/// Longest time until BGP has told everybody everything, from the registrations on.
const BGP: Duration = Duration::from_secs(30);

/// Addresses in the tunnel's prefix that no spoke has.
const NOBODY: [&str; 3] = ["10.255.255.77", "10.255.255.78", "10.255.255.79"];
/// From the request on the wire to what a program is told; the kernel by itself gives up after a second.
const REFUSED: Duration = Duration::from_millis(500);
/// No NBMA address for this station (RFC 2332 section 5.2.0.1).
const NO_BINDING: u8 = 12;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let (from, to) = if lab.mix().of("s1") == Kind::Ours { ("s1", "s2") } else { ("s2", "s1") };
    let mut blocks = vec![("hub".to_owned(), reflector(""))];
    for spoke in ["s1", "s2"] {
        let mut block = client(spoke)?;
        if lab.mix().of(spoke) == Kind::Frr {
            // Its tunnel address covers nobody else's: until others are resolved they lie behind the hub.
            block.push_str(&format!("ip route 10.255.255.0/24 {}\n", overlay("hub")?));
        }
        blocks.push((spoke.to_owned(), block));
    }
    let mut dmvpn = lab.dmvpn(Shape {
        redirect: false,
        static_routes: false,
        overlay_length: 24,
        daemons: &["bgpd"],
        blocks,
        ..Shape::default()
    })?;
    dmvpn.wait_registered(REGISTER)?;
    let preserved = format!("via {} ", overlay(to)?);
    wait_route(&dmvpn, from, to, &preserved)?;
    wait_route(&dmvpn, to, from, "proto bgp")?;

    let took = first_packets(lab, &mut dmvpn, from, to)?;
    lab.note(format!("first echo {:.0} ms after it was sent", took.as_secs_f64() * 1000.0));
    let asked = unresolvable(lab, &dmvpn, from)?;
    lab.note(asked);
    let wire = dmvpn.finish(&[(Type::ResolutionRequest, 2), (Type::ResolutionReply, 1)])?;
    ensure!(wire.of(Type::TrafficIndication).next().is_none(), "somebody was redirected");
    Ok(())
}

/// bgpd of the hub: a route reflector for whoever comes from the overlay.
pub(super) fn reflector(more: &str) -> String {
    format!(
        "router bgp 65000\n bgp router-id 10.255.255.1\n no bgp network import-check\n timers bgp 1 3\n neighbor SPOKES peer-group\n \
         neighbor SPOKES remote-as 65000\n bgp listen range 10.255.255.0/24 peer-group SPOKES\n \
         address-family ipv4 unicast\n  neighbor SPOKES route-reflector-client\n{more} exit-address-family\nexit\n"
    )
}

/// bgpd of a spoke: announces its LAN to the hub.
pub(super) fn client(spoke: &str) -> Result<String> {
    let ([a, b, c, _], own, hub) = (lan(spoke)?.octets(), overlay(spoke)?, overlay("hub")?);
    Ok(format!(
        "router bgp 65000\n bgp router-id {own}\n timers bgp 1 3\n neighbor {hub} remote-as 65000\n \
         neighbor {hub} timers connect 1\n address-family ipv4 unicast\n  network {a}.{b}.{c}.0/24\n \
         exit-address-family\nexit\n"
    ))
}

/// Waits until the kernel of `from` has a route to the LAN of `to` that says `what`.
pub(super) fn wait_route(dmvpn: &Dmvpn, from: &str, to: &str, what: &str) -> Result<()> {
    let [a, b, c, _] = lan(to)?.octets();
    let command = format!("ip route show {a}.{b}.{c}.0/24");
    wait_until(&format!("{from} to have {command:?} with {what:?}"), BGP, || {
        match dmvpn.node(from).and_then(|node| node.sh(&command)) {
            Ok(routes) if routes.contains(what) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

/// The first packet waits in the kernel, arrives, and goes the direct way, as do all others; so do the answers of a
/// spoke of ours. Returns the time from its leaving to its answer.
fn first_packets(lab: &Lab, dmvpn: &mut Dmvpn, from: &str, to: &str) -> Result<Duration> {
    let (source, target) = (lan(from)?.to_string(), lan(to)?.to_string());
    let neighbour = format!("ip neighbour show {} dev gre1", overlay(to)?);
    let mut said = String::new();
    for attempt in 1..=3 {
        wait_until(&format!("{from} to know nothing of {to} before packet {attempt}"), RESOLVE, || {
            let known = dmvpn.node(from).and_then(|node| node.sh(&neighbour));
            known
                .ok()
                .filter(|rows| !rows.contains("lladdr"))
                .map(drop)
                .ok_or_else(|| format!("{neighbour}: a binding"))
        })?;
        let since = now()?;
        let command = ["ping", "-n", "-c", "4", "-i", "0.2", "-W", "2", "-I", &source, &target];
        said = dmvpn.node(from)?.run(&command)?.stdout;
        if said.contains(" 4 received") {
            all_direct(lab, dmvpn, from, to, since)?;
            let first = said.lines().find(|line| line.contains("icmp_seq=1 "));
            let time =
                first.and_then(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
            return Ok(Duration::from_secs_f64(time.context(|| format!("no time in {said}"))? / 1000.0));
        }
        // The kernel keeps a packet for a second, which may be over before a busy guest has resolved anything: then
        // everything is as it was, and another one waits.
        dmvpn.frr(from)?.vtysh(&["clear ip nhrp cache"])?;
    }
    Err(Failure::new(format!("of three first packets none arrived with the three behind it: {said}")))
}

/// Since then `from` asked for `to`, and only then a packet went there; none took the way through the hub.
fn all_direct(lab: &Lab, dmvpn: &Dmvpn, from: &str, to: &str, since: f64) -> Result<()> {
    let (wire, wanted, own) = (dmvpn.wire()?, overlay(to)?, nbma(from)?);
    let inner = (lan(from)?, lan(to)?);
    let first = wire
        .first_carried(inner, (own, nbma(to)?), since)
        .context(|| format!("no packet from {from} to {to} went the direct way"))?;
    let question = wire.of(Type::ResolutionRequest).find(|(packet, request)| {
        packet.nbma.0 == own && request.destination == Some(wanted) && packet.time >= since
    });
    ensure!(
        question.is_some_and(|(question, _)| question.frame < first.frame),
        "the first packet from {from} to {to} waited for no answer: it is frame {}, {question:?}",
        first.frame
    );
    let mut ways = vec![(from, to, inner)];
    if lab.mix().of(to) == Kind::Ours {
        // What the request taught the other side serves the way back.
        let back = (inner.1, inner.0);
        let answer = wire.first_carried(back, (nbma(to)?, own), since);
        ensure!(answer.is_some(), "no answer from {to} to {from} went the direct way");
        ways.push((to, from, back));
    }
    for (sender, receiver, inner) in ways {
        let detour = wire.first_carried(inner, (nbma(sender)?, nbma("hub")?), since);
        ensure!(detour.is_none(), "packets from {sender} to {receiver} went through the hub: {detour:?}");
    }
    Ok(())
}

/// Nobody has that address. The hub is not flooded; one of ours says so, and whoever waits is told at once and not when
/// the kernel gives up by itself.
fn unresolvable(lab: &Lab, dmvpn: &Dmvpn, from: &str) -> Result<String> {
    let (refuses, mut nobody) = (lab.mix().of("hub") == Kind::Ours, NOBODY.into_iter());
    let own = nbma(from)?;
    let mut most = 0;
    let refused = best(refuses.then_some(REFUSED), |_| {
        let address = nobody.next().context(|| "no more addresses that nobody has".to_owned())?;
        let since = now()?;
        let count = if most == 0 { "15" } else { "1" };
        let said =
            dmvpn.node(from)?.run(&["ping", "-n", "-D", "-c", count, "-i", "0.2", "-W", "1", address])?;
        let told = said.stdout.lines().find_map(|line| {
            line.contains("Host Unreachable").then(|| line.split(['[', ']']).nth(1)?.parse::<f64>().ok())?
        });
        let told = told.context(|| format!("ping to an address that nobody has: {}", said.stdout))?;
        let wire = dmvpn.wire()?;
        let wanted = address.parse().ok();
        let about = |nhrp: &Nhrp| nhrp.destination == wanted;
        let asked: Vec<&Packet> = wire
            .of(Type::ResolutionRequest)
            .filter(|(packet, request)| packet.nbma.0 == own && about(request))
            .map(|(packet, _)| packet)
            .collect();
        if refuses {
            let codes: Vec<&[(u8, u16)]> = wire
                .of(Type::ResolutionReply)
                .filter(|(packet, reply)| packet.nbma.1 == own && about(reply))
                .map(|(_, reply)| reply.entries.get(..1).unwrap_or_default())
                .collect();
            ensure!(
                asked.len() == 1 && codes == [&[(NO_BINDING, 0)][..]],
                "{} requests for {address}, answered with (code, holding time) {codes:?}: {}",
                asked.len(),
                said.stdout
            );
        }
        // FRR's hub says nothing: the request is repeated after 1, 2, 4 … s, whatever the kernel wants.
        let question = asked.first().map_or(since, |packet| packet.time);
        let asked = asked.iter().filter(|packet| packet.time < question + 3.5).count();
        ensure!((1..=3).contains(&asked), "{asked} requests for {address} in 3.5 s");
        most = most.max(asked);
        Ok(Duration::from_secs_f64((told - question).max(0.0)))
    })?;
    Ok(format!("{most} requests for nobody's address, refused after {:.0} ms", refused.as_secs_f64() * 1e3))
}

/// The clock that also stamps captures and ping's lines.
fn now() -> Result<f64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context(|| "the clock".to_owned())?;
    Ok(since.as_secs_f64())
}
