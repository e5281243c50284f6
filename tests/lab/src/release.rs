//! The FRR releases that the lab runs, and the Debian suites that carry them.
//!
//! Owns the names and the package lists. Never touches a file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// An FRR release, by the number an operator would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Release {
    /// FRR 8.4.4 in Debian 12.
    #[serde(rename = "8.4")]
    V8_4,
    /// FRR 10.3 in Debian 13.
    #[serde(rename = "10.3")]
    V10_3,
    /// FRR 10.7 in Debian unstable, which moves: the tree records the version that it found.
    #[serde(rename = "10.7")]
    V10_7,
}

/// Bumped when the way a tree is made changes, so that cached trees are made again.
pub(crate) const RECIPE: u32 = 1;

/// What every tree carries besides Debian's minimal system.
const PACKAGES: &[&str] = &[
    "charon-systemd",
    "ethtool",
    "frr",
    "frr-pythontools",
    "iperf3",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "libcharon-extra-plugins",
    "libstrongswan-extra-plugins",
    "libstrongswan-standard-plugins",
    "procps",
    "strace",
    "strongswan-swanctl",
    "tcpdump",
    "traceroute",
    "tshark",
];

impl Release {
    /// All, oldest first.
    pub(crate) const ALL: [Self; 3] = [Self::V8_4, Self::V10_3, Self::V10_7];

    /// As on the command line: `8.4`, `10.3`, `10.7`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V8_4 => "8.4",
            Self::V10_3 => "10.3",
            Self::V10_7 => "10.7",
        }
    }

    /// Debian suite that carries the release.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::V8_4 => "bookworm",
            Self::V10_3 => "trixie",
            Self::V10_7 => "sid",
        }
    }

    /// Packages installed into the tree.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        PACKAGES
    }

    /// Whether static routes are configured through mgmtd (a daemon of its own since FRR 8.5,
    /// the only way into staticd since 9.1).
    pub(crate) fn has_mgmtd(self) -> bool {
        self != Self::V8_4
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Release {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        Self::ALL
            .into_iter()
            .find(|release| release.name() == text)
            .ok_or_else(|| Failure::new(format!("no FRR release {text:?} here: 8.4, 10.3 or 10.7")))
    }
}
