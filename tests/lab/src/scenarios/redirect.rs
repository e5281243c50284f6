//! The hub indicates a detour; a spoke without `ip nhrp shortcut` leaves it at that.

use std::time::Duration;

use super::Lab;
use crate::dmvpn::{lan, nbma, overlay};
use crate::failure::{Result, ensure};
use crate::judge::Type;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    dmvpn.frr("s1")?.configure_tunnel(&["no ip nhrp shortcut"])?;
    let received = dmvpn.ping("s1", "s2", 10, Duration::from_millis(200))?;
    ensure!(received == 10, "{received} of 10 echo replies through the hub");
    let path = dmvpn.trace("s1", "s2")?;
    ensure!(path == [Some(overlay("hub")?), Some(lan("s2")?)], "the path is {path:?}, not via the hub");

    let wire = dmvpn.finish(&[(Type::TrafficIndication, 1)])?;
    let (hub, s1) = (nbma("hub")?, nbma("s1")?);
    let indication = wire.of(Type::TrafficIndication).find(|(packet, _)| packet.nbma == (hub, s1));
    ensure!(
        indication.is_some_and(|(_, nhrp)| nhrp.destination == Some(lan("s1").unwrap_or(hub))),
        "no traffic indication from the hub to s1 about a packet of {}: {indication:?}",
        lan("s1")?
    );
    let asked = wire.of(Type::ResolutionRequest).find(|(packet, _)| packet.nbma.0 == s1);
    ensure!(asked.is_none(), "s1 sent a resolution request without `ip nhrp shortcut`: {asked:?}");
    // FRR's nhrpd says nothing; ours refuses (RFC 2332 section 5.2.2, code 4), so that nobody goes on asking.
    let mut answers = wire.of(Type::ResolutionReply).filter(|(packet, _)| packet.nbma.0 == s1);
    let told = answers.find(|(_, nhrp)| nhrp.entries.first().is_none_or(|(code, _)| *code == 0));
    ensure!(told.is_none(), "s1 told where it is without `ip nhrp shortcut`: {told:?}");
    ensure!(!dmvpn.is_direct("s2", "s1")?, "s2 has a direct path to s1, which gave it none");

    dmvpn.frr("s1")?.configure_tunnel(&["ip nhrp shortcut"])?;
    lab.keep(dmvpn);
    Ok(())
}
