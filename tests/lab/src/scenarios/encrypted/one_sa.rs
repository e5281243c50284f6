//! SAs end one by one, by the operator's hand on either side or because what they were for is over, and nobody else's do.

use std::time::{Duration, Instant};

use super::running_ping::RunningPing;
use super::{Encrypted, Numbers};
use crate::dmvpn::{Shape, overlay, took};
use crate::failure::{Context, Result, ensure};
use crate::net::wait_until;
use crate::scenarios::{Lab, RESOLVE};

/// Holding time: so long an entry lives that nobody uses.
const HOLDTIME: u16 = 12;

/// From the end of an SA to the next one.
const BACK: Duration = Duration::from_secs(15);

/// Which of its two numbers an SA is terminated by.
#[derive(Clone, Copy, Debug)]
enum By {
    Ike,
    Child,
}

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::with_shortcut(lab, Shape { holdtime: HOLDTIME, ..Shape::default() })?;
    let hub = overlay("hub")?.to_string();
    let unaffected = net.sas("s2", "hub")?;
    let other = RunningPing::start(net.dmvpn.node("s2")?, "ping-other", &hub, Duration::from_millis(200))?;
    let mut times = Vec::new();
    for (node, peer, by) in
        [("s1", "hub", By::Ike), ("hub", "s1", By::Child), ("hub", "s1", By::Ike), ("s1", "hub", By::Child)]
    {
        times.push(terminated(&mut net, node, peer, by)?);
    }
    lab.note(format!("terminated by swanctl and back after {}", times.join(", ")));
    ensure!(net.dmvpn.registration("s1")?.is_some(), "the hub has forgotten s1");

    // The shortcut ends because nobody uses it.
    let between = [("s1", "s2"), ("s2", "s1")];
    net.make_shortcut()?;
    let unused = Instant::now();
    gone(&net, between, Duration::from_secs(u64::from(HOLDTIME) * 4))?;
    lab.note(format!("the SAs of an unused shortcut are gone on both sides after {}", took(unused)));

    // It ends because an operator says so.
    net.make_shortcut()?;
    for spoke in ["s1", "s2"] {
        net.dmvpn.frr(spoke)?.vtysh(&["clear ip nhrp cache", "clear ip nhrp shortcut"])?;
    }
    let cleared = Instant::now();
    gone(&net, between, RESOLVE)?;
    lab.note(format!("those of a cleared one after {}", took(cleared)));

    ensure!(net.sas("s2", "hub")? == unaffected, "other SAs of s2: {unaffected:?} became others");
    let pings = other.stop()?;
    ensure!(pings.lost == 0 && pings.received > 50, "of another peer: {pings:?}");
    net.wait_reaches("s1", "hub", RESOLVE)?;
    net.nothing_in_clear()?;
    Ok(())
}

/// An SA is terminated by swanctl on a node: another comes.
fn terminated(net: &mut Encrypted, node: &str, peer: &str, by: By) -> Result<String> {
    let before = net.wait_up(node, peer, BACK)?;
    let (ike, child): Numbers = *before.first().context(|| "no SA".to_owned())?;
    let (option, number) = match by {
        By::Ike => ("--ike-id", ike),
        By::Child => ("--child-id", child),
    };
    let since = Instant::now();
    net.charon(node)?.swanctl(&["--terminate", option, &number.to_string()])?;
    let what = format!("another SA than {before:?} from {node} to {peer}");
    wait_until(&what, BACK, || match net.sas(node, peer) {
        Ok(sas) if sas.iter().any(|sa| !before.contains(sa)) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let time = took(since);
    net.wait_reaches(node, peer, BACK)?;
    Ok(format!("{time} ({by:?} on {node})"))
}

/// Waits until neither charon nor kernel has an SA between two nodes, on either side.
fn gone(net: &Encrypted, ends: [(&str, &str); 2], timeout: Duration) -> Result<()> {
    for (node, peer) in ends {
        wait_until(&format!("no SA from {node} to {peer}"), timeout, || {
            match (net.installed(node, peer), net.sas(node, peer)) {
                (Ok(false), Ok(sas)) if sas.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
    }
    Ok(())
}
