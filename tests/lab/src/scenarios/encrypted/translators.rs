//! Two spokes behind different translators: both register at the hub over SAs that charon carries in UDP, and reach each
//! other, by the hub as long as the translators let nobody in, directly when they let IKE in.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Encrypted, REGISTER};
use crate::charon::Profile;
use crate::dmvpn::{Dmvpn, Shape, firewall, nbma, overlay, text, took};
use crate::failure::{Result, ensure};
use crate::net::wait_until;
use crate::scenarios::{Lab, RESOLVE};

/// What the spokes are seen as. Both translators are in the transport network's router.
const SEEN: [(&str, Ipv4Addr); 2] =
    [("s1", Ipv4Addr::new(203, 0, 113, 1)), ("s2", Ipv4Addr::new(203, 0, 113, 2))];

/// An attempt that translators have swallowed is given up after 15 s, and the pause before the next one grows.
const LET_IN: Duration = Duration::from_secs(90);

/// ESP in UDP, which IKE on the same port is told from by four octets of zero.
const ESP_IN_UDP: &str = "udp port 4500 and udp[4:2] > 20 and udp[8:4] != 0";

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab, Shape::default(), |_| Ok(Profile::default()))?;
    translate(&net.dmvpn, &SEEN)?;
    let answers = net.start_charons()?;
    for (spoke, seen) in SEEN {
        let (seen, own) = (seen.to_string(), nbma(spoke)?.to_string());
        wait_until(&format!("{spoke} at the hub as {seen}"), REGISTER, || {
            match net.dmvpn.registration(spoke) {
                Ok(Some(row)) if text(&row, "nbma") == seen && text(&row, "claimed_nbma") == own => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        net.wait_reaches(spoke, "hub", RESOLVE)?;
    }
    lab.note(format!("both registered through their translators {} after charon answered", took(answers)));

    // Nobody is let in: the spokes reach each other by the hub, also while charon tries in vain.
    let received = net.dmvpn.ping("s1", "s2", 40, Duration::from_millis(200))?;
    ensure!(received >= 39, "{received} of 40 echo replies by way of the hub");
    let hops = net.dmvpn.trace("s1", "s2")?;
    ensure!(
        hops.len() == 2 && hops.first() == Some(&Some(overlay("hub")?)),
        "the path from s1 to s2: {hops:?}"
    );

    let inet = net.dmvpn.node("inet")?;
    for (spoke, seen) in SEEN {
        let own = nbma(spoke)?;
        firewall(
            inet,
            "iptables",
            &format!(
                "-t nat -A PREROUTING -d {seen} -p udp -m multiport --dports 500,4500 -j DNAT --to-destination {own}"
            ),
        )?;
    }
    let since = std::time::Instant::now();
    wait_until("a direct path between the spokes", LET_IN, || {
        let pinged = net.dmvpn.ping("s1", "s2", 5, Duration::from_millis(200));
        match net.dmvpn.trace("s1", "s2") {
            Ok(hops) if hops.len() == 1 => Ok(()),
            other => Err(format!("{other:?} {pinged:?}; s1 knows {:?}", net.asked("s1", "show nhrp ipsec"))),
        }
    })?;
    let received = net.dmvpn.ping("s1", "s2", 20, Duration::from_millis(100))?;
    ensure!(received >= 19, "{received} of 20 echo replies by the direct path");
    lab.note(format!("spoke to spoke {} after the translators let IKE in", took(since)));

    net.nothing_in_clear()?;
    let carried = net.captured(ESP_IN_UDP)?.len();
    ensure!(carried > 100, "only {carried} packets of ESP in UDP");
    lab.note(format!("{carried} packets of ESP in UDP, no GRE"));
    Ok(())
}

/// Packets of a spoke leave with its translator's address. To that address only answers are let in, and to the spoke's own
/// nothing is.
pub(super) fn translate(dmvpn: &Dmvpn, seen: &[(&str, Ipv4Addr)]) -> Result<()> {
    let inet = dmvpn.node("inet")?;
    // Before it is remembered as a connection, which would stand in the way of those that are let in later.
    firewall(inet, "iptables", "-A INPUT -d 203.0.113.0/24 -j DROP")?;
    for (spoke, seen) in seen {
        let own = nbma(spoke)?;
        inet.sh(&format!("ip address replace {seen}/32 dev lo"))?;
        firewall(inet, "iptables", &format!("-t nat -A POSTROUTING -s {own} -j SNAT --to-source {seen}"))?;
        let newcomer = "-m conntrack --ctstate NEW --ctorigdst";
        firewall(inet, "iptables", &format!("-A FORWARD {newcomer} {own} -j DROP"))?;
    }
    Ok(())
}
