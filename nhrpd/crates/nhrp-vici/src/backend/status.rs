//! What an operator is shown.

use super::{Backend, Mode, Pair, Phase};

/// All that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// charon and how it is driven.
    pub mode: Mode,
    /// Name and version of the IKE daemon; unknown of a patched one.
    pub version: Option<String>,
    /// Profiles in use, and the connection that each is copied from or why it is not.
    pub templates: Vec<(String, Result<String, String>)>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Packets and events of charon's that were passed over.
    pub odd: u64,
    /// Peers by address.
    pub peers: Vec<PeerStatus>,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Both ends.
    pub pair: Pair,
    /// The profile by which an SA is wanted; none if the other end wants it.
    pub profile: Option<String>,
    /// In one word: `up`, `held`, `negotiating`, `waiting`, `queued`, `trapped`, `idle`.
    pub state: &'static str,
    /// The authenticated identity.
    pub identity: String,
    /// charon's numbers of the IKE SA and the CHILD SA, of each that is up.
    pub sas: Vec<(u32, u32)>,
    /// Attempts in vain since the last SA.
    pub failures: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

impl Backend {
    /// For `show`.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut templates: Vec<_> = self
            .templates
            .iter()
            .map(|(profile, (_, found))| {
                (profile.clone(), found.as_ref().map(|t| t.connection.clone()).map_err(Clone::clone))
            })
            .collect();
        templates.sort();
        let peers = self.peers.iter().map(|(pair, peer)| PeerStatus {
            pair: *pair,
            profile: peer.profile().map(str::to_owned),
            state: match peer.phase {
                _ if !peer.children.is_empty() => "up",
                _ if peer.hold.is_some() => "held",
                Phase::Idle => "idle",
                Phase::Pause(_) => "waiting",
                Phase::Queued => "queued",
                Phase::Asked | Phase::Negotiating(_) => "negotiating",
                Phase::Trapped => "trapped",
            },
            identity: peer.identity.clone(),
            sas: peer.children.iter().filter_map(|id| Some((self.children.get(id)?.ike, *id))).collect(),
            failures: peer.failures,
            last_error: peer.last_error.clone(),
        });
        Status {
            mode: self.mode.clone(),
            version: self.version.clone(),
            templates,
            last_error: self.last_error.clone(),
            odd: self.reach.odd,
            peers: peers.collect(),
        }
    }

    /// Number of SAs that are up, of all peers.
    #[must_use]
    pub fn associations(&self) -> usize {
        self.peers.values().map(|peer| peer.children.len()).sum()
    }

    /// Number of SAs and identity of a peer.
    #[must_use]
    pub fn sas_of(&self, pair: Pair) -> (u32, &str) {
        let count = |peer: &super::Peer| u32::try_from(peer.children.len()).unwrap_or(u32::MAX);
        self.peers.get(&pair).map_or((0, ""), |peer| (count(peer), peer.identity.as_str()))
    }
}
