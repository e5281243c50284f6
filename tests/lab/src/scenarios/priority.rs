//! `nhs … priority`: the best hub is registered with; the second stands in while it is away, and is left again.
//!
//! Spoke s2 is the second hub. The lines are in the daemon's own file, because no vtysh up to FRR 10.7 knows them.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{HOLDTIME, Lab, REGISTER};
use crate::dmvpn::{Dmvpn, Hop, lan, nbma, overlay, text};
use crate::failure::{Result, ensure};
use crate::net::wait_until;

/// A renewal is due after a third of the holding time, then three requests are in vain after 2, 4 and 8 s.
const FAILOVER: Duration = Duration::from_secs(HOLDTIME as u64 / 3 + 14 + 15);
/// The next attempt at the best one may be 16 s, later 32 s away.
const FAILBACK: Duration = Duration::from_secs(32 + 15);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    prepare(&mut dmvpn)?;

    wait_served_by(&mut dmvpn, "hub", "s2", REGISTER)?;
    path(&dmvpn, &[Some(overlay("hub")?), Some(lan("s2")?)])?;
    let said = dmvpn.frr("s1")?.vtysh(&["show running-config"])?;
    ensure!(
        said.contains("ip nhrp network-id") && !said.contains("priority"),
        "vtysh collects for frr.conf what it cannot read back:\n{said}"
    );

    let since = Instant::now();
    dmvpn.frr("hub")?.stop_nhrpd(Signal::SIGKILL)?;
    wait_served_by(&mut dmvpn, "s2", "hub", FAILOVER)?;
    path(&dmvpn, &[Some(lan("s2")?)])?;
    lab.note(format!("the second stands in after {:.0} s", since.elapsed().as_secs_f64()));

    let since = Instant::now();
    dmvpn.frr("hub")?.start_nhrpd()?;
    dmvpn.frr("hub")?.load(Some("nhrpd"))?;
    wait_served_by(&mut dmvpn, "hub", "s2", FAILBACK)?;
    path(&dmvpn, &[Some(overlay("hub")?), Some(lan("s2")?)])?;
    lab.note(format!("the first serves again after {:.0} s", since.elapsed().as_secs_f64()));
    dmvpn.finish(&[])?;
    Ok(())
}

/// Two hubs for s1 by priority, and routes that follow whom it is registered with.
fn prepare(dmvpn: &mut Dmvpn) -> Result<()> {
    let (hub, second) = (nbma("hub")?, nbma("s2")?);
    dmvpn.node("s1")?.write_file(
        "/etc/frr/nhrpd-extra.conf",
        &format!(
            "interface gre1\n ip nhrp nhs dynamic nbma {hub} priority 10\n \
             ip nhrp nhs dynamic nbma {second} priority 20\nexit\n"
        ),
    )?;
    let s1 = dmvpn.frr("s1")?;
    s1.stop_nhrpd(Signal::SIGTERM)?;
    s1.node().sh("sed -i '/nhrp nhs/d; /nhrp shortcut/d; /^ip route/d' /etc/frr/frr.conf")?;
    let (hub, second) = (overlay("hub")?, overlay("s2")?);
    let network = Ipv4Addr::from(u32::from(lan("s2")?) & 0xffff_ff00);
    // Without `onlink` they are as good as the way to the gateway: nhrpd's host route, and no default route.
    let routes = [
        "no ip nht resolve-via-default".to_owned(),
        format!("no ip route 10.0.0.0/8 {hub} gre1 onlink"),
        format!("ip route {network}/24 {hub}"),
        format!("ip route {network}/24 {second} 5"),
    ];
    let mut commands = vec!["configure terminal"];
    commands.extend(routes.iter().map(String::as_str));
    s1.vtysh(&commands)?;
    s1.start_nhrpd()?;
    s1.load(Some("nhrpd"))?;
    // The way back: through the hub, unless s1 is registered here.
    let back = format!("ip route 10.1.0.0/24 {}", overlay("s1")?);
    dmvpn.frr("s2")?.vtysh(&["configure terminal", &back])?;
    Ok(())
}

/// Waits until s1 is registered with `server` alone, and its traffic can go there alone.
fn wait_served_by(dmvpn: &mut Dmvpn, server: &str, other: &str, timeout: Duration) -> Result<()> {
    let (serving, idle) = (overlay(server)?.to_string(), overlay(other)?.to_string());
    let spoke = overlay("s1")?.to_string();
    wait_until(&format!("s1 to be registered with {server} and not with {other}"), timeout, || {
        let rows = dmvpn.frr("s1").and_then(|frr| frr.table("show ip nhrp cache json"));
        let servers = rows.map(|rows| {
            let rows = rows.into_iter().filter(|row| text(row, "type") == "nhs");
            rows.map(|row| text(&row, "protocol").to_owned()).collect::<Vec<_>>()
        });
        match servers {
            Ok(servers) if servers.contains(&serving) && !servers.contains(&idle) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let rows = dmvpn.frr(server)?.table("show ip nhrp cache json")?;
    let known = rows.iter().any(|row| text(row, "protocol") == spoke && text(row, "type") == "dynamic");
    ensure!(known, "{server} does not know s1: {rows:?}");
    Ok(())
}

/// The path of a packet from s1's LAN to that of s2. zebra follows nhrpd's routes with a little delay.
fn path(dmvpn: &Dmvpn, expected: &[Hop]) -> Result<()> {
    wait_until(&format!("the path {expected:?}"), Duration::from_secs(10), || match dmvpn.trace("s1", "s2") {
        Ok(path) if path == expected => Ok(()),
        other => {
            let routes = ["s1", "s2"].map(|name| dmvpn.node(name).and_then(|node| node.sh("ip route")));
            Err(format!("{other:?} {routes:?}"))
        }
    })
}
