//! A restarted hub is registered with again by both spokes.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Lab, REGISTER, RESOLVE};
use crate::failure::{Result, ensure};
use crate::judge::Type;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    let hub = dmvpn.frr("hub")?;
    hub.stop_nhrpd(Signal::SIGKILL)?;
    hub.start_nhrpd()?;
    hub.load(Some("nhrpd"))?;
    dmvpn.wait_registered(REGISTER)?;
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies after the restart of the hub");
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    dmvpn.finish(&[
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ])?;
    lab.keep(dmvpn);
    Ok(())
}
