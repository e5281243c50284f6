//! A restarted spoke registers again and finds its direct path.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Lab, REGISTER, RESOLVE};
use crate::failure::{Result, ensure};
use crate::judge::Type;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;

    let s1 = dmvpn.frr("s1")?;
    s1.stop_nhrpd(Signal::SIGTERM)?;
    s1.start_nhrpd()?;
    s1.load(Some("nhrpd"))?;
    dmvpn.wait_spoke_registered("s1", REGISTER)?;
    let left = dmvpn.shortcuts("s1")?;
    ensure!(left.is_empty(), "a restarted nhrpd has shortcuts from before: {left:?}");
    dmvpn.wait_no_shortcut("s1", "s2", RESOLVE)?;
    std::thread::sleep(Duration::from_secs(1)); // the firewall rule lets one indication a second pass
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies after the restart");
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;

    let wire = dmvpn.finish(&[
        (Type::RegistrationRequest, 1),
        (Type::RegistrationReply, 1),
        (Type::TrafficIndication, 2),
        (Type::ResolutionRequest, 4),
        (Type::ResolutionReply, 2),
    ])?;
    let registered = dmvpn.time_to_register("s1", &wire)?;
    lab.note(format!("registered {:.2} s after the new start", registered.as_secs_f64()));
    lab.keep(dmvpn);
    Ok(())
}
