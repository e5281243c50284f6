//! What `tunnel protection` does besides protecting: the fallback profile, two tunnels with one profile, identities that
//! registrations need, one peer's end that is nobody else's, two SAs where one would do.

use std::time::{Duration, Instant};

use super::running_ping::RunningPing;
use super::{Encrypted, REGISTER};
use crate::charon::{PROFILE, Profile};
use crate::dmvpn::{Shape, nbma, overlay, text, took};
use crate::failure::{Result, ensure};
use crate::net::wait_until;
use crate::scenarios::ask::ask_all;
use crate::scenarios::{Lab, RESOLVE};

/// A profile that no hub accepts: it has another key exchange.
const REFUSED: &str = "strict";

const REFUSED_CONNECTION: &str = "\
strict : defaults {
    proposals = aes256-sha512-modp4096
    children {
        strict {
            mode = transport
            esp_proposals = aes256-sha512
            local_ts = dynamic[gre]
            remote_ts = dynamic[gre]
        }
    }
}
";

/// What the copy for the hub is like, under another name, and with another life, or charon takes the IKE SA of the copy for
/// it, and then refuses two SAs for the same packets.
const TWIN: &str = "\
twin : defaults {
    local_addrs = LOCAL
    remote_addrs = REMOTE
    rekey_time = 5h
    proposals = aes128-sha256-modp2048
    children {
        twin {
            mode = transport
            esp_proposals = aes128-sha256
            local_ts = dynamic[gre]
            remote_ts = dynamic[gre]
        }
    }
}
";

/// A client that is refused asks again after 64 s at most, and what its hub has ended has to be negotiated.
const ASKS_AGAIN: Duration = Duration::from_secs(120);

/// One of two SAs is ended after 30 s by one end, or after 90 s by the other.
const ONE_LEFT: Duration = Duration::from_secs(120);

/// Between echo requests.
const EVERY: Duration = Duration::from_millis(200);

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab, Shape::default(), |_| Ok(Profile::default()))?;
    for spoke in ["s1", "s2"] {
        let node = net.dmvpn.node(spoke)?;
        node.write_file("/etc/swanctl/conf.d/strict.conf", REFUSED_CONNECTION)?;
        node.sh("chmod 640 /etc/swanctl/conf.d/*")?;
        let line = format!("tunnel protection vici profile {REFUSED} fallback-profile {PROFILE}");
        net.tell(spoke, "gre1", &[&line])?;
    }
    // s1 is known by its overlay address, s2 by the address that it has anyway.
    let own = format!("s/auth = psk/auth = psk\\n        id = {}/", overlay("s1")?);
    net.dmvpn.node("s1")?.sh(&format!("sed -i '0,/auth = psk/{own}' /etc/swanctl/swanctl.conf"))?;

    net.start_charons()?;
    let since = Instant::now();
    net.dmvpn.wait_registered(REGISTER * 2)?;
    let row = net.peer("s1", "hub")?;
    ensure!(text(&row, "profile") == PROFILE && text(&row, "state") == "up", "s1 did not fall back: {row}");
    lab.note(format!("registered by the fallback profile {}", took(since)));

    one_tunnel_ends_and_the_other_stays(&mut net)?;
    let waited = identities(&mut net)?;
    lab.note(format!("a client that was refused for its identity registered {waited} after a line let it"));
    one_peer_ends(&mut net)?;
    let waited = duplicates(&mut net)?;
    lab.note(format!("of two SAs with the hub one was left after {waited}"));
    net.nothing_in_clear()?;
    Ok(())
}

impl Encrypted {
    /// Lines of configuration for an interface.
    fn tell(&self, node: &str, interface: &str, lines: &[&str]) -> Result<()> {
        let interface = format!("interface {interface}");
        let lines = [&["configure terminal", interface.as_str()], lines].concat();
        let (code, said) = ask_all(self.dmvpn.node(node)?, "/run/frr/nhrpd.vty", &lines)?;
        ensure!(code == 0, "{lines:?} on {node}: {code} {said}");
        Ok(())
    }
}

/// Two tunnels from one address share the profile and the SA; one of them goes.
fn one_tunnel_ends_and_the_other_stays(net: &mut Encrypted) -> Result<()> {
    const SECOND: &str = "10.254.0.1";
    let protection = format!("tunnel protection vici profile {PROFILE}");
    let server = format!("ip nhrp nhs dynamic nbma {}", nbma("hub")?);
    for (name, address) in [("hub", SECOND), ("s1", "10.254.0.2")] {
        net.dmvpn.node(name)?.sh(&format!(
            "ip link add gre2 type gre key 43 ttl 64 local {} dev eth0
             ip address add {address}/32 dev gre2
             ip link set gre2 mtu 1400 up",
            nbma(name)?
        ))?;
        let mut lines = vec![protection.as_str(), "ip nhrp network-id 2"];
        if name == "s1" {
            lines.push(&server);
        }
        net.tell(name, "gre2", &lines)?;
    }
    let sas = net.sas("s1", "hub")?;
    let s1 = net.dmvpn.node("s1")?.clone();
    wait_until("the second tunnel to carry packets", REGISTER, || {
        match s1.run(&["ping", "-n", "-c", "1", "-W", "1", SECOND]) {
            Ok(done) if done.status == 0 => Ok(()),
            other => Err(format!("{other:?}: {:?}", net.asked("s1", "show ip nhrp nhs detail"))),
        }
    })?;
    ensure!(sas.len() == 1 && net.sas("s1", "hub")? == sas, "both tunnels do not use one SA: {sas:?}");
    for name in ["s1", "hub"] {
        net.tell(name, "gre2", &["no ip nhrp network-id", "no tunnel protection"])?;
        net.dmvpn.node(name)?.sh("ip link delete gre2")?;
    }
    net.wait_reaches("s1", "hub", RESOLVE)?;
    ensure!(net.sas("s1", "hub")? == sas, "the first tunnel's SA was replaced");
    let policies = s1.sh("ip xfrm policy")?;
    ensure!(policies.matches("action block").count() == 4, "policies of s1: {policies}");
    Ok(())
}

/// s1's identity is its overlay address, s2's is not, until a line says that it may. Gives the time from then on.
fn identities(net: &mut Encrypted) -> Result<String> {
    net.tell("hub", "gre1", &["ip nhrp registration require-identity"])?;
    wait_until("s2 to be refused", ASKS_AGAIN, || {
        match (net.asked("s2", "show ip nhrp nhs detail"), net.dmvpn.registration("s2")) {
            (Ok(says), Ok(None)) if says.contains("prohibited") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    ensure!(
        net.dmvpn.registration("s1")?.is_some(),
        "s1 was refused, though it has its own address as identity"
    );
    let line = format!("ip nhrp registration identity {}/32 {}", overlay("s2")?, nbma("s2")?);
    net.tell("hub", "gre1", &[&line])?;
    let since = Instant::now();
    net.dmvpn.wait_spoke_registered("s2", ASKS_AGAIN)?;
    net.tell("hub", "gre1", &["no ip nhrp registration require-identity"])?;
    Ok(took(since))
}

/// s2 takes its leave: its SA ends on both sides, that of s1 stays.
fn one_peer_ends(net: &mut Encrypted) -> Result<()> {
    let before = net.sas("hub", "s1")?;
    let line = format!("ip nhrp nhs dynamic nbma {}", nbma("hub")?);
    net.tell("s2", "gre1", &[&format!("no {line}")])?;
    wait_until("the SA of s2 to end", RESOLVE, || match (net.sas("hub", "s2"), net.sas("s2", "hub")) {
        (Ok(hub), Ok(s2)) if hub.is_empty() && s2.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    ensure!(net.sas("hub", "s1")? == before, "the SA of s1 was touched");
    net.tell("s2", "gre1", &[&line])?;
    net.dmvpn.wait_spoke_registered("s2", REGISTER * 2)
}

/// A second SA is made beside the first; one is left in the end, and nobody notices. Gives how long that took.
fn duplicates(net: &mut Encrypted) -> Result<String> {
    let since = Instant::now();
    // A connection of its own: charon makes no second one of the same in an IKE SA.
    let twin = TWIN.replace("LOCAL", &nbma("s1")?.to_string()).replace("REMOTE", &nbma("hub")?.to_string());
    net.dmvpn.node("s1")?.write_file("/etc/swanctl/conf.d/twin.conf", &twin)?;
    net.charon("s1")?.load()?;
    net.charon("s1")?.swanctl(&["--initiate", "--ike", "twin", "--child", "twin", "--timeout", "10"])?;
    let left = |net: &Encrypted, number: usize| match (net.sas("s1", "hub"), net.sas("hub", "s1")) {
        (Ok(s1), Ok(hub)) if s1.len() == number && hub.len() == number => Ok(()),
        other => Err(format!("{other:?}")),
    };
    wait_until("two SAs between s1 and the hub", RESOLVE, || left(net, 2))?;
    let target = overlay("hub")?.to_string();
    let during = RunningPing::start(net.dmvpn.node("s1")?, "ping-duplicates", &target, EVERY)?;
    wait_until("one SA between s1 and the hub", ONE_LEFT, || left(net, 1))?;
    let took = took(since);
    let pings = during.stop()?;
    ensure!(pings.lost == 0 && pings.received > 10, "while there were two SAs: {pings:?}");
    ensure!(net.dmvpn.registration("s1")?.is_some(), "the hub has lost s1");
    Ok(took)
}
