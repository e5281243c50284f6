//! Secrets and certificates that are wrong or over: the operator is told, nobody storms, others do not notice, and it heals
//! by itself when it is mended. With certificates of the lab's own authority, registration and shortcut as with a secret.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Encrypted, IKE_SA_INIT, NODES, REGISTER};
use crate::authority::{Authority, Validity};
use crate::charon::{Credentials, Profile};
use crate::dmvpn::{Shape, nbma, now, took};
use crate::failure::{Result, ensure};
use crate::net::wait_until;
use crate::scenarios::shown::log;
use crate::scenarios::{Lab, RESOLVE};

/// For so long negotiations are counted.
const WINDOW: Duration = Duration::from_secs(16);
/// With pauses of 1, 2, 4, 8 s and more, no more begin in it, and none of them has to be repeated, because each is
/// answered.
const MOST_BEGUN: usize = 6;
/// After so few attempts the pause is 24 s at most.
const HEALED: Duration = Duration::from_secs(45);

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab, Shape::default(), |node| {
        let wrong = Profile { credentials: Credentials::Secret("another secret"), ..Profile::default() };
        Ok(if node == "s1" { wrong } else { Profile::default() })
    })?;
    net.start_charons()?;
    net.dmvpn.wait_spoke_registered("s2", REGISTER)?;
    refused(lab, &mut net, "a wrong secret")?;
    net.charon("s1")?.write(&Profile::default())?;
    healed(lab, &mut net, "the right secret")?;

    // Certificates instead, that of s1 over.
    let mut authority = Authority::new("The lab's authority")?;
    let profile = |authority: &mut Authority, node: &str, validity: Validity| -> Result<Profile> {
        let own = authority.certify(node, validity)?;
        let credentials = Credentials::Certificate(own, authority.certificate.clone());
        Ok(Profile { credentials, ..Profile::default() })
    };
    net.stop_charons(Signal::SIGTERM)?;
    for node in NODES {
        let validity = if node == "s1" { Validity::Over } else { Validity::Now };
        let profile = profile(&mut authority, node, validity)?;
        net.charon(node)?.write(&profile)?;
    }
    net.start_charons()?;
    net.dmvpn.wait_spoke_registered("s2", REGISTER + RESOLVE)?;
    refused(lab, &mut net, "an expired certificate of its own")?;
    let valid = profile(&mut authority, "s1", Validity::Now)?;
    net.charon("s1")?.write(&valid)?;
    healed(lab, &mut net, "a valid one")?;
    net.make_shortcut()?;
    let identity = net.asked("s1", "show nhrp ipsec")?;
    ensure!(
        identity.contains("CN=hub") && identity.contains("CN=s2"),
        "identities of s1's peers: {identity}"
    );
    let hops = net.dmvpn.trace("s1", "s2")?;
    ensure!(hops.len() == 1, "the path from s1 to s2 with certificates: {hops:?}");

    // What the other end shows is over: here it is charon beside us that says so.
    let over = profile(&mut authority, "hub", Validity::Over)?;
    net.charon("hub")?.write(&over)?;
    net.charon("hub")?.load()?;
    let sas = net.sas("s1", "hub")?;
    let (ike, _) = sas.first().copied().unwrap_or_default();
    net.charon("s1")?.swanctl(&["--terminate", "--ike-id", &ike.to_string()])?;
    let waiting = format!("waiting for IPsec with {}: ", nbma("hub")?);
    net.wait_said("s1", "show ip nhrp nhs detail", &[&waiting, "certificate invalid"], RESOLVE * 2)?;
    let valid = profile(&mut authority, "hub", Validity::Now)?;
    net.charon("hub")?.write(&valid)?;
    net.charon("hub")?.load()?;
    let mended = Instant::now();
    net.dmvpn.wait_registered(HEALED)?;
    net.wait_reaches("s1", "hub", HEALED)?;
    lab.note(format!("registered {} after the hub's certificate was valid again", took(mended)));

    let esp = net.nothing_in_clear()?;
    ensure!(esp > 20, "only {esp} ESP packets");
    Ok(())
}

/// s1 says what is wrong, wherever it is asked, and does not storm.
fn refused(lab: &mut Lab, net: &mut Encrypted, why: &str) -> Result<()> {
    const WORDS: &str = "AUTHENTICATION_FAILED";
    let waiting = format!("waiting for IPsec with {}: ", nbma("hub")?);
    net.wait_said("s1", "show ip nhrp nhs detail", &[&waiting, WORDS], RESOLVE)?;
    net.wait_said("s1", "show nhrp ipsec", &["attempts in vain", WORDS], RESOLVE)?;
    let filter = format!("{IKE_SA_INIT} and src host {}", nbma("s1")?);
    let since = now()?;
    std::thread::sleep(WINDOW);
    let all = net.captured(&filter)?;
    let begun = all.iter().filter(|at| **at >= since).count();
    ensure!(!all.is_empty() && begun <= MOST_BEGUN, "{begun} negotiations in {WINDOW:?} with {why}");
    lab.note(format!("{why}: {begun} IKE_SA_INIT in {} s", WINDOW.as_secs()));
    let log = log(net.dmvpn.node("s1")?)?;
    let said = log.lines().filter(|line| line.contains("no IPsec with") && line.contains(WORDS)).count();
    ensure!((1..=3).contains(&said), "s1 has said so {said} times");
    Ok(())
}

fn healed(lab: &mut Lab, net: &mut Encrypted, how: &str) -> Result<()> {
    net.charon("s1")?.load()?;
    let mended = Instant::now();
    net.dmvpn.wait_registered(HEALED)?;
    wait_until("s1 to be content", RESOLVE, || match net.asked("s1", "show ip nhrp nhs detail") {
        Ok(said) if said.contains("registered since") => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    lab.note(format!("registered {} after {how}", took(mended)));
    Ok(())
}
