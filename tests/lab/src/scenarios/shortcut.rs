//! A shortcut covers the LAN behind the peer, in both directions, and goes when it is not used.

use std::time::{Duration, Instant};

use super::{HOLDTIME, Lab, RESOLVE};
use crate::dmvpn::{Dmvpn, lan, nbma, overlay};
use crate::failure::{Context, Result, ensure};
use crate::judge::{Nhrp, Type};
use crate::net::wait_until;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    // A peer known from an earlier scenario would be answered directly.
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        dmvpn.frr(from)?.vtysh(&["clear ip nhrp shortcut"])?;
        dmvpn.wait_no_shortcut(from, to, Duration::from_secs(3))?;
    }
    std::thread::sleep(Duration::from_secs(2)); // the firewall rule lets one indication a second pass
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies while the path changed");
    for (from, to) in [("s1", "s2"), ("s2", "s1")] {
        dmvpn.wait_shortcut(from, to, RESOLVE)?;
        covers_lan(&mut dmvpn, from, to)?;
    }
    let idle = Instant::now();

    let wire = dmvpn.finish(&[
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 2),
    ])?;
    let reply = wire
        .of(Type::ResolutionReply)
        .find(|(packet, reply)| packet.nbma.1 == nbma("s1").unwrap_or(packet.nbma.0) && is_about(reply, "s1"))
        .context(|| "no resolution reply reached s1".to_owned())?;
    ensure!(
        reply.1.entries.first() == Some(&(0, HOLDTIME)),
        "the reply to s1 has these codes and holding times: {:?}",
        reply.1.entries
    );

    let holdtime = Duration::from_secs(HOLDTIME.into());
    dmvpn.wait_no_shortcut("s1", "s2", holdtime + Duration::from_secs(6))?;
    lab.note(format!("gone {:.1} s after the last packet", idle.elapsed().as_secs_f64()));
    dmvpn.wait_spoke_registered("s1", RESOLVE)?;
    lab.keep(dmvpn);
    Ok(())
}

fn is_about(reply: &Nhrp, requester: &str) -> bool {
    overlay(requester).is_ok_and(|address| reply.source == Some(address))
}

fn covers_lan(dmvpn: &mut Dmvpn, from: &str, to: &str) -> Result<()> {
    let [a, b, c, _] = lan(to)?.octets();
    let expected = format!("{a}.{b}.{c}.0/24 via {}", overlay(to)?);
    wait_until(&format!("the shortcut {expected} on {from}"), RESOLVE, || match dmvpn.shortcuts(from) {
        Ok(shortcuts) if shortcuts.contains(&expected) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let via = format!("via {}", overlay(to)?);
    wait_until(&format!("the shortcut to {to}'s LAN in the kernel of {from}"), RESOLVE, || {
        match dmvpn.node(from).and_then(|node| node.sh(&format!("ip route show {a}.{b}.{c}.0/24"))) {
            Ok(routes) if routes.contains(&via) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}
