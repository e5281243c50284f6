//! `nhs … nbma NAME`: a name that does not resolve yet, then does, then moves to another hub when its hub falls silent.
//!
//! Spoke s2 is the other hub. The name is in `/etc/hosts` of s1.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{HOLDTIME, Lab, RESOLVE};
use crate::dmvpn::{Dmvpn, nbma, overlay, text};
use crate::failure::{Context, Result, ensure};
use crate::net::wait_until;

const NAME: &str = "nhs.lab";
/// It is looked up every 5 s until there is an answer.
const LOOKED_UP: Duration = Duration::from_secs(5 + 10);
/// A renewal is due after a third of the holding time, then three requests are in vain after 2, 4 and 8 s.
const MOVED: Duration = Duration::from_secs(HOLDTIME as u64 / 3 + 14 + 15);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.registered()?;
    dmvpn.node("s1")?.sh("touch /run/hosts; mount --bind /run/hosts /etc/hosts")?;
    let s1 = dmvpn.frr("s1")?;
    let former = format!("no ip nhrp nhs dynamic nbma {}", nbma("hub")?);
    s1.configure_tunnel(&[&former, &format!("ip nhrp nhs dynamic nbma {NAME}")])?;
    let complaint = format!("NHS name {NAME} does not resolve");
    wait_until("a message about the name", RESOLVE, || match said(&dmvpn, &complaint) {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;

    point_at(&dmvpn, "hub")?;
    wait_served_by(&mut dmvpn, "hub", LOOKED_UP)?;
    ensure!(said(&dmvpn, &complaint)? == 1, "the same failure was told more than once");

    let since = Instant::now();
    dmvpn.frr("hub")?.stop_nhrpd(Signal::SIGKILL)?;
    point_at(&dmvpn, "s2")?;
    wait_served_by(&mut dmvpn, "s2", MOVED)?;
    lab.note(format!("at the other hub after {:.0} s", since.elapsed().as_secs_f64()));
    let spoke = overlay("s1")?.to_string();
    let clients = dmvpn.frr("s2")?.table("show ip nhrp cache json")?;
    ensure!(clients.iter().any(|row| text(row, "protocol") == spoke), "s2 does not know s1: {clients:?}");
    Ok(())
}

fn point_at(dmvpn: &Dmvpn, hub: &str) -> Result<()> {
    dmvpn.node("s1")?.write_file("/run/hosts", &format!("2001:db8::1 {NAME}\n{} {NAME}\n", nbma(hub)?))
}

/// How many lines of s1's log have this text.
fn said(dmvpn: &Dmvpn, words: &str) -> Result<usize> {
    let log = dmvpn.node("s1")?.out().join("nhrpd.log");
    let text = std::fs::read_to_string(&log).context(|| format!("reading {}", log.display()))?;
    Ok(text.lines().filter(|line| line.contains(words)).count())
}

/// Waits until the name leads s1 to `hub` and nowhere else, and is registered with there.
fn wait_served_by(dmvpn: &mut Dmvpn, hub: &str, timeout: Duration) -> Result<()> {
    let (outer, inner) = (nbma(hub)?.to_string(), overlay(hub)?.to_string());
    wait_until(&format!("{NAME} to be {hub} for s1"), timeout, || {
        match dmvpn.frr("s1").and_then(|frr| frr.table("show ip nhrp nhs json")) {
            Ok(rows)
                if rows.len() == 1
                    && rows.iter().all(|row| {
                        text(row, "fqdn") == NAME
                            && text(row, "nbma") == outer
                            && text(row, "protocol") == inner
                    }) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
}
