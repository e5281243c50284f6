//! Two spokes register, are redirected, resolve each other and talk directly.

use std::time::Duration;

use super::Lab;
use crate::dmvpn::{Shape, lan, overlay};
use crate::failure::{Result, ensure};
use crate::judge::Type;
use crate::mix::{Kind, Mix};

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

    let direct = dmvpn.time_to_direct("s1", "s2")?;
    let wire = dmvpn.finish(&[
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ])?;
    // Promised for a network of this daemon alone, which meets them with room to spare; FRR's takes its time.
    let promised = lab.mix == Mix::all(Kind::Ours);
    for spoke in dmvpn.spokes() {
        let registered = dmvpn.time_to_register(&spoke, &wire)?;
        ensure!(!promised || registered < REGISTERED, "{spoke} registered {registered:?} after its start");
        lab.note(format!("{spoke} registered after {:.2} s", registered.as_secs_f64()));
    }
    ensure!(!promised || direct < DIRECT, "direct {direct:?} after the first redirected packet");
    lab.note(format!("direct after {:.0} ms", direct.as_secs_f64() * 1e3));
    Ok(())
}
