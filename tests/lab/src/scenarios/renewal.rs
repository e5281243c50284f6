//! Registrations and a used shortcut outlive the holding time without a lost packet.

use std::time::{Duration, Instant};

use super::{HOLDTIME, Lab, RESOLVE};
use crate::dmvpn::nbma;
use crate::failure::{Result, ensure};
use crate::judge::Type;
use crate::mix::Kind;

/// How many holding times it is watched.
const PERIODS: u64 = 2;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;

    let period = Duration::from_secs(PERIODS * u64::from(HOLDTIME));
    let started = Instant::now();
    let mut detours = 0;
    while started.elapsed() < period {
        let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(200))?;
        ensure!(
            received == 5,
            "{received} of 5 echo replies {:.1} s after the shortcut was made",
            started.elapsed().as_secs_f64()
        );
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
