//! `show <ip|ipv6> nhrp statistics`: interfaces with NHRP, sizes and counters, as text and as JSON. Counts nothing.

use std::fmt::Write;
use std::net::IpAddr;

use super::detail::{known, number, optional, span};
use super::json::Value;
use crate::{Release, Reply};

/// An interface in `show ip nhrp statistics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDetail {
    /// Name.
    pub name: String,
    /// `ip` or `ipv6`.
    pub family: &'static str,
    /// Own NBMA address.
    pub nbma: Option<IpAddr>,
    /// Own NBMA address as servers see it, if that differs.
    pub nat: Option<IpAddr>,
    /// Own overlay address.
    pub protocol: Option<IpAddr>,
    /// Why NHRP does not run, in words; none if it does.
    pub obstacle: Option<String>,
}

impl InterfaceDetail {
    fn words(&self) -> String {
        if let Some(obstacle) = &self.obstacle {
            return format!("not running: {obstacle}");
        }
        let mut words = match self.protocol {
            Some(protocol) => format!("running, {protocol} over {}", known(self.nbma)),
            None => format!("running over {}, without an overlay address of its own", known(self.nbma)),
        };
        if let Some(nat) = self.nat {
            let _ = write!(words, ", which servers see as {nat}");
        }
        words
    }
}

/// `show <ip|ipv6> nhrp statistics [json]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Interfaces on which NHRP is configured.
    pub interfaces: Vec<InterfaceDetail>,
    /// Entries held now: key, words, how many.
    pub sizes: Vec<(&'static str, &'static str, u64)>,
    /// Seconds since the counters were cleared, or since the start.
    pub since: u64,
    /// What happened since: key, words, how often.
    pub counters: Vec<(&'static str, &'static str, u64)>,
}

/// Prints them.
#[must_use]
pub fn statistics(statistics: &Statistics, json: bool, release: Release) -> Reply {
    let Statistics { interfaces, sizes, since, counters } = statistics;
    if json {
        let object = |list: &[(&'static str, &str, u64)]| {
            Value::Object(list.iter().map(|(key, _, value)| (*key, number(*value))).collect())
        };
        let rows = interfaces.iter().map(|row| {
            let mut members = vec![
                ("interface", row.name.as_str().into()),
                ("family", row.family.into()),
                ("running", row.obstacle.is_none().into()),
                ("reason", row.words().into()),
            ];
            optional(
                &mut members,
                vec![
                    ("nbma", row.nbma.map(|a| a.to_string().into())),
                    ("natNbma", row.nat.map(|a| a.to_string().into())),
                    ("protocol", row.protocol.map(|a| a.to_string().into())),
                ],
            );
            Value::Object(members)
        });
        let all = Value::Object(vec![
            ("interfaces", Value::Array(rows.collect())),
            ("entries", object(sizes)),
            ("sinceSeconds", number(*since)),
            ("counters", object(counters)),
        ]);
        return Reply::text(all.print(release));
    }
    let mut out = String::new();
    for row in interfaces {
        let _ = writeln!(out, "{} ({}): {}", row.name, row.family, row.words());
    }
    for (_, words, value) in sizes {
        let _ = writeln!(out, "{words:42}: {value}");
    }
    let _ = writeln!(out, "In the last {}:", span(*since));
    for (_, words, value) in counters {
        let _ = writeln!(out, "  {words:40}: {value}");
    }
    Reply::text(out)
}
