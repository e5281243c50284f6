//! Two spokes register, are redirected, resolve each other and talk directly.

use std::time::Duration;

use super::Lab;
use crate::dmvpn::{Shape, lan, overlay};
use crate::failure::{Result, ensure};
use crate::judge::Type;

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

    let direct = dmvpn.time_to_direct("s1", "s2")?;
    let wire = dmvpn.finish(&[
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ])?;
    for spoke in dmvpn.spokes() {
        let registered = dmvpn.time_to_register(&spoke, &wire)?;
        lab.note(format!("{spoke} registered after {:.2} s", registered.as_secs_f64()));
    }
    lab.note(format!("direct after {:.0} ms", direct.as_secs_f64() * 1e3));
    Ok(())
}
