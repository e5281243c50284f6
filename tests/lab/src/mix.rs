//! Which nhrpd runs on which node: FRR's own or this project's.
//!
//! Owns the notation of `--nhrpd`. Never starts anything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Whose nhrpd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The one of the FRR release in the tree.
    Frr,
    /// The one of this checkout.
    Ours,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frr => "frr",
            Self::Ours => "ours",
        })
    }
}

impl FromStr for Kind {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "frr" => Ok(Self::Frr),
            "ours" => Ok(Self::Ours),
            _ => Err(Failure::new(format!("no nhrpd {text:?}: frr or ours"))),
        }
    }
}

/// The kind of every node: a default and exceptions by node name, written `ours`, `frr` or
/// `hub=frr,s1=ours`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mix {
    default: Kind,
    nodes: Vec<(String, Kind)>,
}

impl Mix {
    /// The same kind everywhere.
    pub(crate) fn all(kind: Kind) -> Self {
        Self { default: kind, nodes: Vec::new() }
    }

    /// The same mix with an exception.
    pub(crate) fn with(mut self, node: &str, kind: Kind) -> Self {
        self.nodes.push((node.to_owned(), kind));
        self
    }

    /// Kind of one node.
    pub(crate) fn of(&self, node: &str) -> Kind {
        self.nodes.iter().find(|(name, _)| name == node).map_or(self.default, |(_, kind)| *kind)
    }

    /// Whether any node runs this project's daemon, so that it must be built.
    pub(crate) fn uses_ours(&self) -> bool {
        self.default == Kind::Ours || self.nodes.iter().any(|(_, kind)| *kind == Kind::Ours)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.default)?;
        self.nodes.iter().try_for_each(|(node, kind)| write!(f, ",{node}={kind}"))
    }
}

impl FromStr for Mix {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let mut mix = Self::all(Kind::Ours);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                None => mix.default = part.parse()?,
                Some((node, kind)) => mix.nodes.push((node.to_owned(), kind.parse()?)),
            }
        }
        Ok(mix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_reads_back_as_written() {
        let mix: Mix = "frr,s1=ours".parse().unwrap();
        assert_eq!((mix.of("hub"), mix.of("s1"), mix.of("s2")), (Kind::Frr, Kind::Ours, Kind::Frr));
        assert_eq!(mix.to_string(), "frr,s1=ours");
        assert!(mix.uses_ours());
    }

    #[test]
    fn nodes_that_are_not_named_run_ours() {
        let mix: Mix = "hub=frr".parse().unwrap();
        assert_eq!((mix.of("hub"), mix.of("s2")), (Kind::Frr, Kind::Ours));
    }

    #[test]
    fn an_unknown_kind_is_named() {
        assert!("hub=cisco".parse::<Mix>().unwrap_err().to_string().contains("cisco"));
    }
}
