//! `tunnel protection`: the kernel's policies that keep GRE from leaving in clear, and strongSwan for all else.
//!
//! The two know nothing of each other: policies stand before NHRP starts on a tunnel and stay when charon, or this
//! process, is gone. They go when the configuration no longer asks for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use nhrp_config::{Config, TunnelProtection};
use nhrp_engine::Input;
use nhrp_kernel::guard::Guard;
use nhrp_vici::{Charon, Event, Mode, Options, Pair, Profiles, Status};

use crate::process::with_file_rights;

/// Policies and IKE daemon.
#[derive(Debug)]
pub(crate) struct IpsecSide {
    charon: Charon,
    /// Opened when it is needed first: it makes the kernel load a module.
    guard: Option<Guard>,
    /// Own addresses that are guarded, by interface.
    guarded: BTreeMap<String, Ipv4Addr>,
    /// What an earlier life has left is still to be looked at.
    untidy: bool,
}

/// Why peers are not protected yet.
#[derive(Debug)]
pub(crate) struct Reasons {
    /// The same for all of them.
    charon: Option<String>,
    peers: HashMap<Pair, String>,
}

impl Reasons {
    pub(crate) fn of(&self, local: IpAddr, remote: IpAddr) -> &str {
        let peer = || self.peers.get(&Pair { local, remote }).map(String::as_str);
        self.charon.as_deref().or_else(peer).unwrap_or("the peer has not begun to negotiate")
    }
}

impl IpsecSide {
    pub(crate) fn new(sockets: Vec<PathBuf>, swanctl_conf: PathBuf) -> Self {
        let options = Options { sockets, swanctl_conf, privileged: |what| with_file_rights(what) };
        Self { charon: Charon::new(options), guard: None, guarded: BTreeMap::new(), untidy: true }
    }

    /// What happens between charon and us: one reading at most, and an event if that brought one.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.charon.turn().await
    }

    /// The configuration may have changed: charon is looked for while a tunnel is to be protected.
    pub(crate) fn configured(&mut self, config: &Config) {
        self.charon.activate(config.interfaces.values().any(|interface| interface.protection.is_some()));
    }

    fn policies(&mut self) -> std::io::Result<&mut Guard> {
        match &mut self.guard {
            Some(guard) => Ok(guard),
            none => Ok(none.insert(Guard::open()?)),
        }
    }

    /// Guards the tunnel from this address on, or not any more. Gives the engine's answer, if it waits for one.
    pub(crate) fn guard(&mut self, name: String, local: Option<Ipv4Addr>) -> Option<Input> {
        let Some(local) = local else {
            let former = self.guarded.remove(&name)?;
            self.unblock(former);
            return None;
        };
        // The new address first, so that there is no moment without.
        let failure =
            self.policies().and_then(|guard| guard.block(local)).err().map(|error| error.to_string());
        let former = self.guarded.insert(name.clone(), local);
        if let Some(former) = former.filter(|former| *former != local) {
            self.unblock(former);
        }
        Some(Input::Guarded { name, local, failure })
    }

    /// Lets GRE through that no tunnel wants blocked.
    fn unblock(&mut self, local: Ipv4Addr) {
        if self.guarded.values().any(|other| *other == local) {
            return;
        }
        if let Err(error) = self.policies().and_then(|guard| guard.unblock(local)) {
            tracing::warn!(
                target: "nhrp::kernel",
                "cannot remove the policies that block GRE in clear from {local}: {error}; 'ip xfrm policy' shows them"
            );
        }
    }

    /// Removes what an earlier life has left and nobody wants, once it is known what is wanted.
    pub(crate) fn tidy(&mut self, config: &Config) {
        let protected = config.interfaces.iter().filter(|(_, interface)| interface.protection.is_some());
        let all_known = protected.map(|(name, _)| name).all(|name| self.guarded.contains_key(name));
        if !self.untidy || !all_known {
            return;
        }
        self.untidy = false;
        // A kernel without IPsec has no policies.
        let left = self.policies().and_then(Guard::guarded).unwrap_or_default();
        let wanted: BTreeSet<Ipv4Addr> = self.guarded.values().copied().collect();
        for local in left.difference(&wanted) {
            tracing::info!(target: "nhrp::kernel", "removing the policies of an earlier run that block GRE of {local}");
            self.unblock(*local);
        }
    }

    /// Writes the policies again, in case somebody has removed them.
    pub(crate) fn repair(&mut self) {
        let wanted: BTreeSet<Ipv4Addr> = self.guarded.values().copied().collect();
        for local in wanted {
            if let Err(error) = self.policies().and_then(|guard| guard.block(local)) {
                tracing::warn!(target: "nhrp::kernel", "cannot block GRE in clear from {local}: {error}");
            }
        }
    }

    pub(crate) fn want(&mut self, local: IpAddr, remote: IpAddr, protection: TunnelProtection, eager: bool) {
        let profiles = Profiles { first: protection.profile, fallback: protection.fallback };
        self.charon.want(Pair { local, remote }, &profiles, eager);
    }

    pub(crate) fn release(&mut self, local: IpAddr, remote: IpAddr, terminate: bool) {
        self.charon.release(Pair { local, remote }, terminate);
    }

    /// Why packets between two addresses are not protected yet, in words that follow "waiting for IPsec with".
    pub(crate) fn reasons(&self) -> Reasons {
        let Status { mode, peers, .. } = self.charon.status();
        let charon = match mode {
            Mode::Down(reason) => Some(format!("charon is not reached: {reason}")),
            Mode::Probing => Some("charon is being asked what it can do".to_owned()),
            Mode::Patched | Mode::Stock => None,
        };
        let peers = peers.into_iter().map(|peer| {
            let reason = match (peer.last_error, peer.profile) {
                (Some(error), _) if peer.failures > 1 => {
                    format!("{error} ({} attempts in vain)", peer.failures)
                }
                (Some(error), _) => error,
                (None, Some(_)) => "charon negotiates, and the peer has not answered yet".to_owned(),
                (None, None) => "the peer has not begun to negotiate".to_owned(),
            };
            (peer.pair, reason)
        });
        Reasons { charon, peers: peers.collect() }
    }

    pub(crate) fn status(&self) -> Status {
        self.charon.status()
    }

    /// Number of SAs with all peers.
    pub(crate) fn associations(&self) -> usize {
        self.charon.associations()
    }

    /// Number of SAs with a peer, and its identity.
    pub(crate) fn sas(&self, local: Option<IpAddr>, remote: IpAddr) -> (u32, String) {
        let sas = local.map(|local| self.charon.sas_of(Pair { local, remote }));
        sas.map_or((0, String::new()), |(count, identity)| (count, identity.to_owned()))
    }

    /// Addresses that are guarded, by interface.
    pub(crate) fn guarded(&self) -> &BTreeMap<String, Ipv4Addr> {
        &self.guarded
    }
}
