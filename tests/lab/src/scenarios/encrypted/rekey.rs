//! Rekeying of CHILD and IKE SAs, and reauthentication, every few seconds under a running ping: no more is lost than of
//! the same IPsec without NHRP, and nobody registers anew.
//!
//! What it is compared with is a static tunnel between the same addresses at the same time: its GRE is in the selectors of
//! the same SAs, its far end is configured, and no nhrpd knows it. So whatever the one loses and the other does not is
//! NHRP's.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::running_ping::{Replies, RunningPing};
use super::{Encrypted, IKE_SA_INIT, REGISTER, STATIC_HUB};
use crate::charon::{PROFILE, Profile};
use crate::dmvpn::{Shape, nbma, now, overlay};
use crate::failure::{Result, ensure};
use crate::net::{Process, wait_until};
use crate::scenarios::{Lab, RESOLVE};

/// For so long each kind of renewal goes on.
const TIME: Duration = Duration::from_secs(20);

/// Between echo requests.
const EVERY: Duration = Duration::from_millis(100);

/// A filter for what charon begins to replace an IKE SA, repetitions included: the same as [`IKE_SA_INIT`], at the port to
/// which the IKE SA has moved, behind four octets of zero that tell it from ESP.
const REAUTHENTICATION: &str = "udp port 4500 and udp[8:4] = 0 and udp[30] = 34 and udp[31] & 0x20 = 0";

/// Only the spokes renew: both ends at the same moment is strongSwan's own matter.
fn profile(node: &str, connection: &'static str, child: &'static str) -> Profile {
    if node == "hub" { Profile::default() } else { Profile { connection, child, ..Profile::default() } }
}

const CHILD_EVERY_3: &str = "rekey_time = 3s\n            life_time = 8s\n            rand_time = 0s";
const IKE_EVERY_5: &str = "rekey_time = 5s\n    over_time = 10s\n    rand_time = 0s";
const REAUTH_EVERY_4: &str = "reauth_time = 4s\n    over_time = 10s\n    rand_time = 0s";

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let rekeying = |node: &str| Ok(profile(node, IKE_EVERY_5, CHILD_EVERY_3));
    let mut net = Encrypted::start(lab, Shape::default(), rekeying)?;
    net.make_static_tunnel()?;
    net.start_charons()?;
    net.dmvpn.wait_registered(REGISTER)?;
    let seen = under_ping(&mut net)?;
    ensure!(seen.begun == 0, "{} negotiations from the start while SAs were only rekeyed", seen.begun);
    ensure!(seen.spis > 8, "{} inbound and outbound SPIs in {TIME:?}: was anything rekeyed?", seen.spis);
    ensure!(seen.ikes > 1, "the IKE SA was not rekeyed");
    lab.note(format!("rekeying: {seen}"));

    // Another profile counts for what begins after it was written.
    for spoke in ["s1", "s2"] {
        net.charon(spoke)?.write(&profile(spoke, REAUTH_EVERY_4, ""))?;
        net.charon(spoke)?.load()?;
        let name = format!("nhrp:{PROFILE}:{}-{}", nbma(spoke)?, nbma("hub")?);
        // An SA that is being rekeyed right now is not terminated.
        wait_until(&format!("the end of {name} on {spoke}"), REGISTER * 2, || {
            let charon = net.charon(spoke);
            charon
                .and_then(|charon| charon.swanctl(&["--terminate", "--ike", &name]))
                .map_err(|e| e.to_string())
        })?;
        net.wait_up(spoke, "hub", REGISTER)?;
    }
    net.dmvpn.wait_registered(REGISTER)?;
    net.wait_reaches("s1", "hub", RESOLVE)?;
    let seen = under_ping(&mut net)?;
    ensure!(seen.begun == 0, "{} negotiations from the start while charon reauthenticated", seen.begun);
    ensure!(
        seen.reauthenticated >= 4,
        "{} reauthentications of two spokes in {TIME:?}",
        seen.reauthenticated
    );
    lab.note(format!("reauthentication: {seen}"));
    net.nothing_in_clear()?;
    Ok(())
}

/// What happened in [`TIME`].
struct Seen {
    nhrp: Replies,
    fixed: Replies,
    spis: usize,
    ikes: usize,
    begun: usize,
    reauthenticated: usize,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nhrp, fixed, spis, begun, reauthenticated, .. } = self;
        let sent = |replies: &Replies| replies.received + replies.lost;
        write!(
            f,
            "{} of {} lost, of the static tunnel {} of {} ({spis} SPIs, {begun} IKE_SA_INIT of new and \
             {reauthenticated} of replaced IKE SAs)",
            nhrp.lost,
            sent(nhrp),
            fixed.lost,
            sent(fixed)
        )
    }
}

fn under_ping(net: &mut Encrypted) -> Result<Seen> {
    net.dmvpn.node("s1")?.sh(&format!("ping -n -c 1 -W 5 {STATIC_HUB}"))?;
    let changes = [Changes::watch(net, "hub")?, Changes::watch(net, "s1")?];
    let since = now()?;
    let hub = overlay("hub")?.to_string();
    let nhrp = RunningPing::start(net.dmvpn.node("s1")?, "ping-nhrp", &hub, EVERY)?;
    let fixed = RunningPing::start(net.dmvpn.node("s1")?, "ping-static", STATIC_HUB, EVERY)?;
    let mut ikes = BTreeSet::new();
    for _ in 0..4 {
        std::thread::sleep(TIME / 4);
        ikes.extend(net.sas("s1", "hub")?.into_iter().map(|(ike, _)| ike));
    }
    let (nhrp, fixed) = (nhrp.stop()?, fixed.stop()?);
    let until = now()?;
    for watched in changes {
        let said = watched.stop()?;
        ensure!(said.is_empty(), "registrations were lost or came anew: {said}");
    }
    // Two processes do not send at the same moment: what falls between may hit one of them.
    ensure!(
        nhrp.lost <= fixed.lost + fixed.lost / 4 + 2,
        "lost with NHRP {nhrp:?}, in the static tunnel by the same SAs {fixed:?}"
    );
    ensure!(nhrp.received > 50, "{nhrp:?}");
    let inside = |times: Vec<f64>| times.into_iter().filter(|at| (since..until).contains(at)).count();
    let begun = inside(net.captured(IKE_SA_INIT)?);
    let reauthenticated = inside(net.captured(REAUTHENTICATION)?);
    Ok(Seen { nhrp, fixed, spis: net.spis(since)?, ikes: ikes.len(), begun, reauthenticated })
}

impl Encrypted {
    /// How many SAs carried packets between the hub and s1 since then.
    fn spis(&self, since: f64) -> Result<usize> {
        let file = self.protected_file()?;
        let filter = format!("ip proto 50 and host {}", nbma("s1")?);
        let listed = self.dmvpn.node("inet")?.run(&["tcpdump", "-n", "-tt", "-r", &file, &filter])?;
        let spi = |line: &str| -> Option<String> {
            let time: f64 = line.split(' ').next()?.parse().ok()?;
            let (_, rest) = line.split_once("spi=")?;
            (time >= since).then(|| rest.split(',').next().map(str::to_owned))?
        };
        Ok(listed.stdout.lines().filter_map(spi).collect::<BTreeSet<_>>().len())
    }
}

/// Neighbours of the tunnel that a node's kernel has lost, as it tells by itself.
struct Changes {
    process: Process,
    before: usize,
}

impl Changes {
    fn watch(net: &Encrypted, node: &str) -> Result<Self> {
        let node = net.dmvpn.node(node)?;
        let log = node.out().join("neighbours.log");
        let before = std::fs::read_to_string(log).unwrap_or_default().len();
        let process =
            node.spawn("neighbours", &["stdbuf", "-oL", "ip", "monitor", "neigh", "dev", "gre1"])?;
        Ok(Self { process, before })
    }

    /// What was deleted.
    fn stop(mut self) -> Result<String> {
        self.process.stop(Signal::SIGTERM, Duration::from_secs(5))?;
        let said = self.process.output().split_off(self.before);
        Ok(said.lines().filter(|line| line.contains("Deleted") || line.contains("FAILED")).collect())
    }
}
