//! Two spokes register, are redirected, resolve each other and talk directly.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::best::best;
use super::{Lab, REGISTER};
use crate::dmvpn::{Shape, lan, overlay};
use crate::failure::{Result, ensure};
use crate::judge::Type;
use crate::mix::{Kind, Mix};
use crate::plan::Backend;

/// As it is named in the table of scenarios.
pub(super) const NAME: &str = "first_direct_path";

/// From the start of a spoke's nhrpd to the hub's reply.
const REGISTERED: Duration = Duration::from_secs(2);
/// From the first packet that the hub redirected to the first that went directly.
const DIRECT: Duration = Duration::from_millis(300);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.dmvpn(Shape::default())?;
    dmvpn.wait_registered(Duration::from_secs(20))?;

    let (hub, target) = (Some(overlay("hub")?), Some(lan("s2")?));
    let before = dmvpn.trace("s1", "s2")?;
    ensure!(before == [hub, target], "the first path is {before:?}, not via the hub");
    dmvpn.wait_shortcut("s1", "s2", Duration::from_secs(5))?;
    let after = dmvpn.trace("s1", "s2")?;
    ensure!(after == [target], "the path with a shortcut is {after:?}, not direct");
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(200))?;
    ensure!(received == 5, "{received} of 5 echo replies on the direct path");

    // Promised for a network of this daemon alone, which meets them with room to spare; FRR's takes its time.
    // An emulated processor keeps no time at all.
    let promised = lab.mix == Mix::all(Kind::Ours) && lab.backend != Backend::Qemu;
    for spoke in dmvpn.spokes() {
        let registered = best(promised.then_some(REGISTERED), |first| {
            if !first {
                let frr = dmvpn.frr(&spoke)?;
                frr.stop_nhrpd(Signal::SIGTERM)?;
                frr.start_nhrpd()?;
                frr.load(Some("nhrpd"))?;
                dmvpn.wait_spoke_registered(&spoke, REGISTER)?;
            }
            let wire = dmvpn.wire()?;
            dmvpn.time_to_register(&spoke, &wire)
        });
        lab.note(format!("{spoke} registered after {:.2} s", registered?.as_secs_f64()));
    }
    let direct = best(promised.then_some(DIRECT), |_| dmvpn.time_to_direct("s1", "s2"))?;
    lab.note(format!("direct after {:.0} ms", direct.as_secs_f64() * 1e3));
    dmvpn.finish(&[
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ])?;
    Ok(())
}
