//! `clear ip nhrp` forgets at once, and traffic or renewal brings it back.

use std::time::Duration;

use super::{HOLDTIME, Lab, RESOLVE};
use crate::failure::{Result, ensure};
use crate::judge::Type;
use crate::net::wait_until;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;

    let said = dmvpn.frr("s1")?.vtysh(&["clear ip nhrp shortcut"])?;
    ensure!(said.contains("entries cleared"), "clear ip nhrp shortcut said {said:?}");
    dmvpn.wait_no_shortcut("s1", "s2", Duration::from_secs(3))?;
    let left = dmvpn.shortcuts("s1")?;
    ensure!(left.is_empty(), "shortcuts left after clear: {left:?}");
    let said = dmvpn.frr("s1")?.vtysh(&["clear ip nhrp shortcut"])?;
    ensure!(said.contains("% No entries"), "clear ip nhrp shortcut without any said {said:?}");
    std::thread::sleep(Duration::from_secs(2)); // the firewall rule lets one indication a second pass
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies after clear");
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;

    let said = dmvpn.frr("hub")?.vtysh(&["clear ip nhrp cache"])?;
    ensure!(said.contains("entries cleared"), "clear ip nhrp cache said {said:?}");
    // The spokes know nothing of it and come back with their next renewal.
    wait_until(
        "both spokes in the hub's cache again",
        Duration::from_secs(u64::from(HOLDTIME) / 3 + 6),
        || match (dmvpn.registration("s1"), dmvpn.registration("s2")) {
            (Ok(Some(_)), Ok(Some(_))) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )?;
    dmvpn.finish(&[
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 2),
        (Type::ResolutionRequest, 4),
        (Type::ResolutionReply, 2),
    ])?;
    lab.keep(dmvpn);
    Ok(())
}
