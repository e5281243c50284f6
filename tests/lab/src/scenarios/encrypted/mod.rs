//! `tunnel protection` with the strongSwan of the distribution, charon on every node.
//!
//! Owns the network that these scenarios share the shape of, and the questions that they ask of it. What they show is
//! in a file each.

mod bad_charon;
mod charon_ends;
mod credentials;
mod features;
mod hub_restart;
mod key;
mod one_sa;
mod one_translator;
mod rekey;
mod running_ping;
mod translators;
mod two_hundred;
mod walk;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

pub(super) use bad_charon::run as bad_charon;
pub(super) use charon_ends::run as charon_ends;
pub(super) use credentials::run as credentials;
pub(super) use features::run as features;
pub(super) use hub_restart::run as hub_restart;
pub(super) use key::run as key;
pub(super) use one_sa::run as one_sa;
pub(super) use one_translator::run as one_translator;
pub(super) use rekey::run as rekey;
pub(super) use translators::run as translators;
pub(super) use two_hundred::run as two_hundred;
pub(super) use walk::{in_short, run as walk};

use super::ask::ask;
use super::{Lab, RESOLVE};
use crate::capture::Capture;
use crate::charon::{Charon, PROFILE, Profile};
use crate::dmvpn::{Dmvpn, Shape, nbma, overlay, text};
use crate::failure::{Context, Failure, Result, ensure};
use crate::net::wait_until;

/// Who is there.
const NODES: [&str; 3] = ["hub", "s1", "s2"];

/// Addresses in the static tunnel ([`Encrypted::make_static_tunnel`]).
const STATIC_HUB: &str = "10.254.0.1";
const STATIC_SPOKE: &str = "10.254.0.2";

/// From charon's first answer to the registration. Nearly all of it is swanctl, which loads the profile, on a guest where
/// a system call takes its time; nhrpd itself looks for charon every second.
const REGISTER: Duration = Duration::from_secs(15);

/// A filter for what begins a negotiation with a peer, repetitions included: a request of IKE_SA_INIT. Behind the UDP header
/// the exchange type is the octet 18, the flags are the next. What charon begins to replace an IKE SA goes to port 4500.
const IKE_SA_INIT: &str = "udp port 500 and udp[26] = 34 and udp[27] & 0x20 = 0";

/// charon's numbers of an IKE SA and of a CHILD SA of it.
type Numbers = (u64, u64);

/// A DMVPN with charon on every node.
struct Encrypted {
    dmvpn: Dmvpn,
    charons: Vec<(String, Charon)>,
    protected: Option<Capture>,
}

impl Encrypted {
    /// Everything but charon runs. Captures have begun before there were tunnels.
    fn start(lab: &mut Lab, shape: Shape, profile: impl Fn(&str) -> Result<Profile>) -> Result<Self> {
        let line = format!("tunnel protection vici profile {PROFILE}");
        let names = (1..=shape.spokes).map(|spoke| format!("s{spoke}"));
        let names: Vec<String> = std::iter::once("hub".to_owned()).chain(names).collect();
        let mut interface_lines = shape.interface_lines.clone();
        interface_lines.extend(names.iter().map(|name| (name.clone(), line.clone())));
        let dmvpn = lab.dmvpn(Shape { interface_lines, ..shape })?;
        let mut charons = Vec::new();
        for name in names {
            let charon = Charon::new(dmvpn.node(&name)?, &profile(&name)?)?;
            charons.push((name, charon));
        }
        let inet = dmvpn.node("inet")?;
        let filter = "ip proto 50 or udp port 500 or udp port 4500";
        let protected = Capture::start(inet, lab.out.join("esp.pcap"), "any", filter)?;
        Ok(Self { dmvpn, charons, protected: Some(protected) })
    }

    /// The same with two spokes, everybody registered, a shortcut between the spokes, and SAs for all of it.
    fn with_shortcut(lab: &mut Lab, shape: Shape) -> Result<Self> {
        let mut net = Self::start(lab, shape, |_| Ok(Profile::default()))?;
        net.start_charons()?;
        net.dmvpn.wait_registered(REGISTER)?;
        net.make_shortcut()?;
        Ok(net)
    }

    /// GRE between the hub and s1 beside the DMVPN, without NHRP and with another key.
    fn make_static_tunnel(&self) -> Result<()> {
        for (node, far, address) in [("hub", "s1", STATIC_HUB), ("s1", "hub", STATIC_SPOKE)] {
            self.dmvpn.node(node)?.sh(&format!(
                "ip link add gre2 type gre key 43 ttl 64 local {} remote {} dev eth0
                 ip address add {address}/30 dev gre2
                 ip link set gre2 mtu 1400 up",
                nbma(node)?,
                nbma(far)?
            ))?;
        }
        Ok(())
    }

    /// A shortcut from s1 to s2, and an SA for it.
    fn make_shortcut(&mut self) -> Result<()> {
        wait_until("a shortcut from s1 to s2", RESOLVE * 2, || {
            let direct = self
                .dmvpn
                .ping("s1", "s2", 3, Duration::from_millis(200))
                .and_then(|_| self.dmvpn.is_direct("s1", "s2"));
            match direct {
                Ok(true) => Ok(()),
                other => {
                    let shown = self.dmvpn.frr("s1").and_then(|frr| {
                        frr.vtysh(&["show ip nhrp shortcut", "show ip nhrp cache", "show ip route"])
                    });
                    Err(format!("{other:?}; {shown:?}"))
                }
            }
        })?;
        self.wait_installed("s1", "s2")?;
        self.wait_up("s1", "s2", RESOLVE).map(drop)
    }

    /// All at once: most of a start is waiting. Gives the moment when the last one answered.
    fn start_charons(&mut self) -> Result<Instant> {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.charons.iter_mut().map(|(_, charon)| scope.spawn(|| charon.start())).collect();
            let mut last = Instant::now();
            for thread in threads {
                let answered = thread.join().map_err(|_| Failure::new("a thread panicked"))??;
                last = last.max(answered);
            }
            Ok(last)
        })
    }

    fn stop_charons(&mut self, signal: Signal) -> Result<()> {
        self.charons.iter_mut().try_for_each(|(_, charon)| charon.stop(signal))
    }

    /// What a node's nhrpd answers: the installed vtysh does not know these commands.
    fn asked(&self, node: &str, line: &str) -> Result<String> {
        let (code, text) = ask(self.dmvpn.node(node)?, "/run/frr/nhrpd.vty", line)?;
        ensure!(code == 0, "{line} was answered with {code}: {text}");
        Ok(text)
    }

    fn charon(&mut self, node: &str) -> Result<&mut Charon> {
        let found = self.charons.iter_mut().find(|(name, _)| name == node);
        found.map(|(_, charon)| charon).context(|| format!("no charon on {node}"))
    }

    /// `show nhrp ipsec json` of a node.
    fn ipsec(&self, node: &str) -> Result<Value> {
        let shown = self.asked(node, "show nhrp ipsec json")?;
        serde_json::from_str(&shown).context(|| format!("{shown:?}"))
    }

    /// What a node's nhrpd knows of IPsec with another; `Null` if nothing.
    fn peer(&self, node: &str, other: &str) -> Result<Value> {
        let address = nbma(other)?.to_string();
        let shown = self.ipsec(node)?;
        let peers = shown.get("peers").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(peers.into_iter().find(|row| text(row, "dst") == address).unwrap_or_default())
    }

    /// The SAs that carry GRE between a node and another, as the node's nhrpd knows them.
    fn sas(&self, node: &str, other: &str) -> Result<Vec<Numbers>> {
        let peer = self.peer(node, other)?;
        let rows = peer.get("sas").and_then(Value::as_array).cloned().unwrap_or_default();
        let number = |row: &Value, name: &str| row.get(name).and_then(Value::as_u64);
        Ok(rows.iter().filter_map(|row| Some((number(row, "ikeId")?, number(row, "childId")?))).collect())
    }

    /// Waits until a node's nhrpd knows of an SA with another.
    fn wait_up(&self, node: &str, other: &str, timeout: Duration) -> Result<Vec<Numbers>> {
        wait_until(&format!("{node} to know an SA with {other}"), timeout, || match self.sas(node, other) {
            Ok(sas) if !sas.is_empty() => Ok(sas),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until a node's nhrpd says something when it is asked.
    fn wait_said(&self, node: &str, line: &str, words: &[&str], timeout: Duration) -> Result<()> {
        wait_until(&format!("{node} to answer {line} with {words:?}"), timeout, || {
            match self.asked(node, line) {
                Ok(said) if words.iter().all(|word| said.contains(word)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Whether a node's kernel has an SA to another.
    fn installed(&self, from: &str, to: &str) -> Result<bool> {
        let wanted = format!("src {} dst {}", nbma(from)?, nbma(to)?);
        Ok(self.dmvpn.node(from)?.sh("ip xfrm state")?.contains(&wanted))
    }

    /// Waits until it has.
    fn wait_installed(&self, from: &str, to: &str) -> Result<()> {
        wait_until(&format!("an SA from {from} to {to}"), RESOLVE, || match self.installed(from, to) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until charon itself knows an SA: the kernel still has those of a charon that was killed.
    fn wait_listed(&self, from: &str, to: &str, timeout: Duration) -> Result<()> {
        let wanted = format!("{}/32[gre]", nbma(to)?);
        wait_until(&format!("charon on {from} to have an SA with {to}"), timeout, || {
            match self.dmvpn.node(from).and_then(|node| node.run(&["swanctl", "--list-sas"])) {
                Ok(listed) if listed.stdout.contains(&wanted) && listed.stdout.contains("INSTALLED") => {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        })
    }

    fn reaches(&self, from: &str, to: &str) -> Result<bool> {
        let target = overlay(to)?.to_string();
        Ok(self.dmvpn.node(from)?.run(&["ping", "-n", "-c", "1", "-W", "1", &target])?.status == 0)
    }

    /// Waits until a node reaches another.
    fn wait_reaches(&self, from: &str, to: &str, timeout: Duration) -> Result<()> {
        wait_until(&format!("{from} to reach {to}"), timeout, || match self.reaches(from, to) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// The file with IKE and ESP.
    fn protected_file(&self) -> Result<String> {
        let capture = self.protected.as_ref().context(|| "nothing is being captured".to_owned())?;
        Ok(capture.file().to_string_lossy().into_owned())
    }

    /// When packets of IKE and ESP were captured that match a filter, in seconds since the epoch.
    fn captured(&self, filter: &str) -> Result<Vec<f64>> {
        let file = self.protected_file()?;
        let output = self.dmvpn.node("inet")?.run(&["tcpdump", "-n", "-q", "-tt", "-r", &file, filter])?;
        Ok(output.stdout.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
    }

    /// Since the capture began, which was before there were tunnels, no GRE left in clear, and everybody is alive.
    /// Gives the number of ESP packets.
    fn nothing_in_clear(&mut self) -> Result<usize> {
        self.dmvpn.all_alive()?;
        for (_, charon) in &mut self.charons {
            charon.alive()?;
        }
        let clear = self.dmvpn.captured("ip proto 47")?.len();
        ensure!(clear == 0, "{clear} GRE packets in clear");
        Ok(self.captured("ip proto 50")?.len())
    }
}
