//! `tunnel protection` with the strongSwan of the distribution: registration, shortcut and redirect, and no GRE in clear
//! before, during and after.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::ask::ask;
use super::{Lab, RESOLVE};
use crate::capture::Capture;
use crate::charon::{Charon, PROFILE};
use crate::dmvpn::{Dmvpn, Shape, nbma, overlay, took};
use crate::failure::{Context, Result, ensure};
use crate::net::wait_until;

/// From charon's first answer to the registration. Nearly all of it is swanctl, which loads the profile, on a guest where
/// a system call takes its time; nhrpd itself looks for charon every second.
const REGISTER: Duration = Duration::from_secs(15);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab)?;

    // Without charon: configured, not running, nothing in clear.
    let tried =
        net.dmvpn.node("s1")?.run(&["ping", "-n", "-c", "2", "-W", "1", &overlay("hub")?.to_string()])?;
    ensure!(tried.status != 0, "the hub answered without IPsec");
    let policies = net.dmvpn.node("s1")?.sh("ip xfrm policy")?;
    ensure!(policies.matches("action block").count() == 4, "policies of s1 without charon: {policies}");

    let waits = format!("waiting for IPsec with {}: charon is not reached: ", nbma("hub")?);
    let standing = net.asked("show ip nhrp nhs detail")?;
    ensure!(standing.contains(&waits), "s1 does not say {waits}: {standing}");

    let answers = net.start_charons()?;
    net.dmvpn.wait_registered(REGISTER)?;
    let standing = net.asked("show ip nhrp nhs detail")?;
    ensure!(standing.contains("registered since") && !standing.contains("IPsec"), "s1 says {standing}");
    let shown = net.asked("show nhrp ipsec")?;
    let (own, hub) = (nbma("s1")?.to_string(), nbma("hub")?.to_string());
    let up = |line: &str| line.starts_with(&own) && line.contains(&hub) && line.contains(" up ");
    ensure!(shown.contains("Mode: stock") && shown.lines().any(up), "s1 says of IPsec: {shown}");
    lab.note(format!("registered {} after charon answered", took(answers)));

    // The hub redirects, the spokes find each other and have an SA of their own.
    let received = net.dmvpn.ping("s1", "s2", 10, Duration::from_millis(300))?;
    ensure!(received >= 8, "{received} of 10 echo replies while the path became direct");
    net.dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    net.wait_sa("s1", "s2")?;
    let hops = net.dmvpn.trace("s1", "s2")?;
    ensure!(hops.len() == 1, "the path from s1 to s2: {hops:?}");

    // charon dies on a spoke and comes back.
    let s1 = net.charon("s1")?;
    s1.stop(Signal::SIGKILL)?;
    s1.start()?;
    let back = Instant::now();
    net.wait_listed("s1", "hub")?;
    lab.note(format!("a new SA with the hub {} after charon was restarted", took(back)));
    ensure!(net.reaches("s1", "hub")?, "s1 has a new SA with the hub and does not reach it");

    let (clear, esp) = net.finish()?;
    ensure!(clear == 0, "{clear} GRE packets in clear");
    ensure!(esp > 20, "only {esp} ESP packets");
    lab.note(format!("{esp} ESP packets, no GRE"));

    // The same filter sees GRE where it is not protected, and nothing of ours is left that blocks it.
    net.unprotect()?;
    Ok(())
}

/// A DMVPN with charon on every node.
struct Encrypted {
    dmvpn: Dmvpn,
    charons: Vec<(String, Charon)>,
    esp: Option<Capture>,
}

impl Encrypted {
    fn start(lab: &mut Lab) -> Result<Self> {
        let line = format!("tunnel protection vici profile {PROFILE}");
        let nodes = ["hub", "s1", "s2"];
        let interface_lines = nodes.map(|node| (node.to_owned(), line.clone())).to_vec();
        let dmvpn = lab.dmvpn(Shape { interface_lines, ..Shape::default() })?;
        let mut charons = Vec::new();
        for node in nodes {
            charons.push((node.to_owned(), Charon::new(dmvpn.node(node)?, "")?));
        }
        let inet = dmvpn.node("inet")?;
        let esp = Capture::start(inet, lab.out.join("esp.pcap"), "any", "ip proto 50 or udp port 4500")?;
        Ok(Self { dmvpn, charons, esp: Some(esp) })
    }

    /// All at once: most of a start is waiting. Gives the moment when the last one answered.
    fn start_charons(&mut self) -> Result<Instant> {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.charons.iter_mut().map(|(_, charon)| scope.spawn(|| charon.start())).collect();
            let mut last = Instant::now();
            for thread in threads {
                let answered =
                    thread.join().map_err(|_| crate::failure::Failure::new("a thread panicked"))??;
                last = last.max(answered);
            }
            Ok(last)
        })
    }

    /// What s1's nhrpd answers: the installed vtysh does not know these commands.
    fn asked(&self, line: &str) -> Result<String> {
        let (code, text) = ask(self.dmvpn.node("s1")?, "/run/frr/nhrpd.vty", line)?;
        ensure!(code == 0, "{line} was answered with {code}: {text}");
        Ok(text)
    }

    fn charon(&mut self, node: &str) -> Result<&mut Charon> {
        let found = self.charons.iter_mut().find(|(name, _)| name == node);
        found.map(|(_, charon)| charon).context(|| format!("no charon on {node}"))
    }

    /// Waits until a node has an SA straight to another.
    fn wait_sa(&self, from: &str, to: &str) -> Result<()> {
        let wanted = format!("src {} dst {}", nbma(from)?, nbma(to)?);
        wait_until(&format!("an SA from {from} to {to}"), RESOLVE, || {
            match self.dmvpn.node(from).and_then(|node| node.sh("ip xfrm state")) {
                Ok(states) if states.contains(&wanted) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Waits until charon itself knows an SA: the kernel still has those of a charon that was killed.
    fn wait_listed(&self, from: &str, to: &str) -> Result<()> {
        let wanted = format!("{}/32[gre]", nbma(to)?);
        wait_until(&format!("charon on {from} to have an SA with {to}"), REGISTER + RESOLVE, || {
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

    /// Packets in clear and protected ones since the beginning.
    fn finish(&mut self) -> Result<(usize, usize)> {
        self.dmvpn.all_alive()?;
        for (_, charon) in &mut self.charons {
            charon.alive()?;
        }
        let clear = self.dmvpn.captured("ip proto 47")?.len();
        let esp = self.esp.take().context(|| "no capture".to_owned())?.stop()?;
        let file = esp.to_string_lossy().into_owned();
        let listed = self.dmvpn.node("inet")?.run(&["tcpdump", "-n", "-q", "-r", &file])?;
        Ok((clear, listed.stdout.lines().count()))
    }

    /// `no tunnel protection` everywhere: the tunnels work, in clear.
    fn unprotect(&mut self) -> Result<()> {
        for (_, charon) in &mut self.charons {
            charon.stop(Signal::SIGTERM)?;
        }
        for node in ["hub", "s1", "s2"] {
            self.dmvpn.frr(node)?.configure_tunnel(&["no tunnel protection"])?;
        }
        let policies = self.dmvpn.node("s1")?.sh("ip xfrm policy")?;
        ensure!(!policies.contains("action block"), "policies of s1 without protection: {policies}");
        // What the killed charon left.
        self.dmvpn.node("s1")?.sh("ip xfrm state flush; ip xfrm policy flush")?;
        wait_until("s1 to reach the hub in clear", RESOLVE, || match self.reaches("s1", "hub") {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        let clear = self.dmvpn.captured("ip proto 47")?.len();
        ensure!(clear > 0, "the filter for GRE in clear matches nothing without protection either");
        Ok(())
    }
}
