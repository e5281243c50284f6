//! The hub forgets a spoke that fell silent when its holding time ends, not earlier.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::{HOLDTIME, Lab, REGISTER};
use crate::dmvpn::nbma;
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::net::wait_until;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    let s2 = nbma("s2")?;
    // One renewal at least in this capture, so that it shows when the last one was.
    wait_until("a renewal of s2", Duration::from_secs(u64::from(HOLDTIME) / 3 + 5), || {
        let wire = dmvpn.wire().map_err(|failure| failure.to_string())?;
        let seen = wire.of(Type::RegistrationReply).any(|(packet, _)| packet.nbma.1 == s2);
        if seen { Ok(()) } else { Err("none".to_owned()) }
    })?;
    dmvpn.frr("s2")?.stop_nhrpd(Signal::SIGKILL)?;
    let limit = Duration::from_secs(u64::from(HOLDTIME) + 5);
    wait_until("s2 to vanish from the hub's cache", limit, || match dmvpn.registration("s2") {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let gone = SystemTime::now().duration_since(UNIX_EPOCH).context(|| "the clock".to_owned())?.as_secs_f64();

    let wire = dmvpn.wire()?;
    let last = wire.of(Type::RegistrationRequest).filter(|(packet, _)| packet.nbma.0 == s2).last();
    let last = last.context(|| "no renewal of s2 on the wire".to_owned())?.0.time;
    let (held, holdtime) = (gone - last, f64::from(HOLDTIME));
    lab.note(format!("forgotten {held:.1} s after the last renewal"));
    ensure!(
        held > holdtime - 1.0 && held < holdtime + 4.0,
        "s2 was forgotten {held:.1} s after its last renewal; its holding time was {holdtime} s"
    );
    ensure!(dmvpn.registration("s1")?.is_some(), "s1 was forgotten too");

    let s2 = dmvpn.frr("s2")?;
    s2.start_nhrpd()?;
    s2.load(Some("nhrpd"))?;
    dmvpn.wait_spoke_registered("s2", REGISTER)?;
    dmvpn.finish(&[(Type::RegistrationRequest, 3), (Type::RegistrationReply, 3)])?;
    lab.keep(dmvpn);
    Ok(())
}
