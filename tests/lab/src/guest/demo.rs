//! `cargo lab demo`: two spokes find each other, told step by step.
//!
//! Owns the telling. What must be true is asserted by the same checks that scenarios use.

use std::path::Path;
use std::time::{Duration, Instant};

use super::tell;
use crate::dmvpn::{Dmvpn, Hop, Shape, lan, overlay, took};
use crate::failure::{Result, ensure};
use crate::judge::Type;
use crate::mix::Mix;
use crate::plan::Plan;

const TOPOLOGY: &str = "
                 hub   gre1 10.255.255.1
                  | 192.0.2.2
       +--------inet--------+        inet knows nothing of 10.0.0.0/8
       | 192.0.2.6          | 192.0.2.10
      s1                   s2
  gre1 10.255.255.2    gre1 10.255.255.3
  LAN 10.1.0.0/24      LAN 10.2.0.0/24
";

/// Shows it all; fails unless all of it happened on the wire.
pub(super) fn run(out: &Path, plan: &Plan, mix: &Mix) -> Result<()> {
    let started = Instant::now();
    tell(&format!("FRR {} ({}); nhrpd: {mix}", plan.release, plan.frr_version));
    tell(TOPOLOGY);
    let mut dmvpn = Dmvpn::start(out, plan.release, mix, Shape::default())?;
    dmvpn.wait_registered(Duration::from_secs(20))?;
    tell("1. Both spokes are registered with the hub (hub: show ip nhrp):");
    show(&mut dmvpn, "hub", "show ip nhrp")?;

    tell("2. The first packets from s1's LAN to s2's LAN go through the hub (s1: traceroute):");
    let (hub, target) = (Some(overlay("hub")?), Some(lan("s2")?));
    let before = dmvpn.trace("s1", "s2")?;
    tell(&path(&before));
    ensure!(before == [hub, target], "the first path is not via the hub: {}", path(&before));

    tell("3. The hub tells s1 that there is a shorter way; s1 asks s2 for it and puts it into the kernel:");
    dmvpn.wait_shortcut("s1", "s2", Duration::from_secs(5))?;
    show(&mut dmvpn, "s1", "show ip nhrp shortcut")?;
    let after = dmvpn.trace("s1", "s2")?;
    tell("   The same traceroute again:");
    tell(&path(&after));
    ensure!(after == [target], "the path is not direct: {}", path(&after));
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(200))?;
    ensure!(received == 5, "{received} of 5 echo replies on the direct path");

    tell("4. Once more from the start, with a packet every 20 ms, to see how long it takes.");
    let direct = dmvpn.time_to_direct("s1", "s2")?;

    let wire = dmvpn.finish(&[
        (Type::RegistrationRequest, 2),
        (Type::RegistrationReply, 2),
        (Type::TrafficIndication, 1),
        (Type::ResolutionRequest, 2),
        (Type::ResolutionReply, 1),
    ])?;
    tell("5. On the wire, judged by tshark (none malformed, every checksum good):");
    for (kind, count) in wire.counts() {
        tell(&format!("   {count:3} {kind}"));
    }
    tell("");
    for spoke in dmvpn.spokes() {
        let registered = dmvpn.time_to_register(&spoke, &wire)?;
        tell(&format!("{spoke}: start of nhrpd to registered: {:.2} s", registered.as_secs_f64()));
    }
    tell(&format!("s1 to s2: first redirected packet to direct path: {:.0} ms", direct.as_secs_f64() * 1e3));
    tell(&format!("all in {} after boot", took(started)));
    Ok(())
}

fn show(dmvpn: &mut Dmvpn, node: &str, command: &str) -> Result<()> {
    let text = dmvpn.frr(node)?.vtysh(&[command])?;
    text.lines().for_each(|line| tell(&format!("   {line}")));
    Ok(())
}

fn path(hops: &[Hop]) -> String {
    let hops = hops.iter().enumerate().map(|(index, hop)| {
        format!("   {}  {}", index + 1, hop.map_or("*".to_owned(), |address| address.to_string()))
    });
    hops.collect::<Vec<_>>().join("\n")
}
