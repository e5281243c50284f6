//! Actions: what an rpc of the model asks for. Carries nothing out.

use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_config::Afi;
use serde::Deserialize;
use serde_json::Value;

use crate::{Schema, Tree, TreeError};

/// One action with its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `clear-nhrp-cache`, `clear-nhrp-shortcut`; answered with the number of entries.
    Clear {
        /// Which table.
        table: ClearTable,
        /// Both families if there is none.
        family: Option<Afi>,
        /// Which of its entries.
        which: Which,
    },
    /// `clear-nhrp-counters`; answered with nothing.
    ClearCounters,
}

/// Table of [`Operation::Clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearTable {
    /// Learned bindings.
    Cache,
    /// Direct paths.
    Shortcut,
}

/// Entries that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// What lies in this prefix.
    Prefix(IpNet),
    /// What leads to the peer with this overlay or NBMA address.
    Peer(IpAddr),
    /// What belongs to the interface.
    Interface(String),
}

const CACHE: &str = "/frr-nhrpd:clear-nhrp-cache";
const SHORTCUT: &str = "/frr-nhrpd:clear-nhrp-shortcut";
const COUNTERS: &str = "/frr-nhrpd:clear-nhrp-counters";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selection {
    family: Option<String>,
    prefix: Option<IpNet>,
    peer: Option<IpAddr>,
    interface: Option<String>,
}

impl Operation {
    /// Whether a path names an action.
    #[must_use]
    pub fn exists(path: &str) -> bool {
        [CACHE, SHORTCUT, COUNTERS].contains(&path)
    }

    /// An action from a client: its path, and paths (whole, or from the action on) and values of its input.
    ///
    /// # Errors
    /// No such action, or input that does not fit; the text names the path.
    pub fn parse(schema: &Schema, path: &str, input: &[(String, String)]) -> Result<Self, TreeError> {
        let text = Tree::operation(schema, path, input)?;
        let table = match path {
            CACHE => ClearTable::Cache,
            SHORTCUT => ClearTable::Shortcut,
            COUNTERS => return Ok(Self::ClearCounters),
            _ => return Err(TreeError::NotOne),
        };
        let mistaken = |e: serde_json::Error| TreeError::Document(format!("{path}: {e}"));
        let mut document: Value = serde_json::from_str(&text).map_err(mistaken)?;
        let selection = document.get_mut(path.trim_start_matches('/')).map(Value::take).unwrap_or_default();
        let selection: Selection = match selection {
            Value::Null => Selection::default(),
            value => serde_json::from_value(value).map_err(mistaken)?,
        };
        let family = selection.family.map(|f| if f == "ipv6" { Afi::Ipv6 } else { Afi::Ip });
        // libyang looks at the types of an action's input, and not at its choices.
        let which = match (selection.prefix, selection.peer, selection.interface) {
            (None, None, None) => Which::All,
            (Some(prefix), None, None) => Which::Prefix(prefix.trunc()),
            (None, Some(peer), None) => Which::Peer(peer),
            (None, None, Some(name)) => Which::Interface(name),
            _ => {
                let text = "only one of prefix, peer and interface can be given";
                return Err(TreeError::Document(text.to_owned()));
            }
        };
        Ok(Self::Clear { table, family, which })
    }

    /// Paths and values of the answer.
    #[must_use]
    pub fn output(path: &str, cleared: Option<u32>) -> Vec<(String, String)> {
        cleared.map(|count| (format!("{path}/cleared"), count.to_string())).into_iter().collect()
    }
}
