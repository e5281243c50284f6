//! Registrations and a used shortcut outlive the holding time, and no node with this daemon loses a packet.

use std::time::{Duration, Instant};

use super::{HOLDTIME, Lab, RESOLVE};
use crate::dmvpn::nbma;
use crate::failure::{Context, Result, ensure};
use crate::judge::{Type, Verdict};
use crate::mix::Kind;

/// How many holding times it is watched.
const PERIODS: u64 = 2;

/// Echo requests in a row.
const ECHOES: u32 = 5;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    ensure!(dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))? == 3, "no path through the hub");
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;

    let period = Duration::from_secs(PERIODS * u64::from(HOLDTIME));
    let started = Instant::now();
    let (mut detours, mut sent, mut lost) = (0, 3, 0);
    while started.elapsed() < period {
        let received = dmvpn.ping("s1", "s2", ECHOES, Duration::from_millis(200))?;
        sent += ECHOES;
        lost += ECHOES.saturating_sub(received);
        detours += usize::from(!dmvpn.is_direct("s1", "s2")?);
        for spoke in dmvpn.spokes() {
            ensure!(
                dmvpn.registration(&spoke)?.is_some(),
                "{spoke} was not registered {:.1} s into the watch",
                started.elapsed().as_secs_f64()
            );
        }
    }
    // FRR's nhrpd renews a shortcut only if the kernel happens to have confirmed the neighbour at the
    // right time; else it is made anew with the next packet.
    ensure!(
        detours == 0 || lab.mix().of("s1") == Kind::Frr,
        "the path was not direct {detours} times although it was in use all the time"
    );
    lab.note(format!("{detours} detours"));

    let wire = dmvpn.finish(&[(Type::ResolutionRequest, 2), (Type::ResolutionReply, 1)])?;
    blame(lab, &wire, sent, lost)?;
    for spoke in dmvpn.spokes() {
        let from = nbma(&spoke)?;
        let requests = wire.of(Type::RegistrationRequest).filter(|(packet, _)| packet.nbma.0 == from).count();
        let replies = wire.of(Type::RegistrationReply).filter(|(packet, _)| packet.nbma.1 == from).count();
        let least = usize::try_from(PERIODS * 3 - 2).unwrap_or_default();
        ensure!(
            requests >= least && replies >= least,
            "{spoke} renewed with {requests} requests and got {replies} replies, expected {least} at least"
        );
        lab.note(format!("{spoke}: {requests} renewals"));
    }
    lab.keep(dmvpn);
    Ok(())
}

/// Finds in the capture who lost each echo that was not answered. FRR's nhrpd drops what is in flight at the
/// moment when a shortcut of it lapses; a node with this daemon never does, so that none is lost among ours alone.
fn blame(lab: &mut Lab, wire: &Verdict, sent: u32, lost: u32) -> Result<()> {
    let (seen, culprits) = wire.echoes();
    let nodes = ["hub", "s1", "s2"];
    let mut by_node = Vec::new();
    for culprit in culprits {
        let node = nodes.into_iter().find(|name| nbma(name).is_ok_and(|address| address == culprit));
        by_node.push(node.context(|| format!("an echo was lost at {culprit}, which is no node"))?);
    }
    // What never came out of the sender was lost there; what was answered on the wire and not received, too.
    let count = |number: u32| usize::try_from(number).unwrap_or_default();
    by_node.extend(std::iter::repeat_n("s1", count(sent).saturating_sub(seen)));
    by_node.extend(std::iter::repeat_n("s1", count(lost).saturating_sub(by_node.len())));
    ensure!(
        by_node.len() == count(lost),
        "ping misses {lost} answers of {sent}; on the wire {} are missing, in {by_node:?}",
        by_node.len()
    );
    let ours = by_node.iter().find(|node| lab.mix().of(node) == Kind::Ours);
    ensure!(ours.is_none(), "of {sent} echoes some were lost in a node with this daemon: {by_node:?}");
    // A lapse costs one or two; more is another fault.
    let most = 2 * PERIODS;
    ensure!(u64::from(lost) <= most, "{lost} of {sent} echoes were lost, in {by_node:?}");
    if lost > 0 {
        lab.note(format!("{lost} of {sent} echoes lost in FRR's {by_node:?}"));
    }
    Ok(())
}
