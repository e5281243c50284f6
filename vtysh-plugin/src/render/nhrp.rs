//! `show <ip|ipv6> nhrp …`.

use std::fmt::Write;
use std::net::IpAddr;

use super::json::{Value, count, table};
use crate::{Release, Reply, ReturnCode};

/// Type of a cache entry or shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// About to be freed.
    Invalid,
    /// Being resolved.
    Incomplete,
    /// Refused.
    Negative,
    /// Learned from packets that pass by.
    Cached,
    /// Registered or resolved.
    Dynamic,
    /// Next hop server.
    Nhs,
    /// `nhrp map PROTOCOL NBMA`
    Static,
    /// This node.
    Local,
}

impl CacheKind {
    /// FRR's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Incomplete => "incomplete",
            Self::Negative => "negative",
            Self::Cached => "cached",
            Self::Dynamic => "dynamic",
            Self::Nhs => "nhs",
            Self::Static => "static",
            Self::Local => "local",
        }
    }
}

/// One row of `show ip nhrp cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRow {
    /// Tunnel interface.
    pub interface: String,
    /// Type.
    pub kind: CacheKind,
    /// Overlay address.
    pub protocol: IpAddr,
    /// Where packets go (behind NAT: the public address); own address of a local entry.
    pub nbma: Option<IpAddr>,
    /// What the station itself says.
    pub claimed_nbma: Option<IpAddr>,
    /// Traffic uses it.
    pub used: bool,
    /// The expiry timer runs.
    pub timeout: bool,
    /// The authorisation timer runs.
    pub auth: bool,
    /// IKE identity of the peer: `None` without a peer, empty without IPsec.
    pub identity: Option<String>,
}

/// One row of `show ip nhrp nhs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NhsRow {
    /// Tunnel interface.
    pub interface: String,
    /// NBMA address or name, as configured.
    pub fqdn: String,
    /// Resolved address.
    pub nbma: Option<IpAddr>,
    /// Overlay address; `None` prints `(unspec)`.
    pub protocol: Option<IpAddr>,
    /// `priority` (printed since 10.8).
    pub priority: u8,
    /// Fewer than three timeouts in a row (printed since 10.8).
    pub reachable: bool,
}

/// One row of `show ip nhrp shortcut`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortcutRow {
    /// Type.
    pub kind: CacheKind,
    /// `192.168.4.0/24`
    pub prefix: ipnet::IpNet,
    /// Overlay address of the next hop, if bound to a cache entry.
    pub via: Option<IpAddr>,
    /// IKE identity, empty if none.
    pub identity: String,
}

/// One record of `show ip nhrp opennhrp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenNhrpRow {
    /// Type.
    pub kind: CacheKind,
    /// The peer is online.
    pub up: bool,
    /// Traffic uses it.
    pub used: bool,
    /// Overlay address.
    pub protocol: IpAddr,
    /// Address of the peer, if there is one.
    pub nbma: Option<IpAddr>,
    /// Stored original address (RFC 2332 NAT extension), if any.
    pub nat_oa: Option<IpAddr>,
}

pub(super) const NO_ENTRIES: &str = "% No entries\n";

fn address(value: Option<IpAddr>) -> String {
    value.map_or_else(|| "-".to_owned(), |address| address.to_string())
}

fn outcome(rows: usize, text: String) -> Reply {
    Reply::new(if rows == 0 { ReturnCode::Warning } else { ReturnCode::Success }, text)
}

fn envelope(rows: Vec<Value>, release: Release) -> Reply {
    let entries = rows.len();
    outcome(entries, table(vec![("entriesCount", count(entries))], rows).print(release))
}

/// `show <ip|ipv6> nhrp [cache] [json]`
#[must_use]
pub fn cache(rows: &[CacheRow], json: bool, release: Release) -> Reply {
    if json {
        let rows = rows.iter().map(|row| {
            Value::Object(vec![
                ("interface", row.interface.as_str().into()),
                ("type", row.kind.name().into()),
                ("protocol", row.protocol.to_string().into()),
                ("nbma", address(row.nbma).into()),
                ("claimed_nbma", address(row.claimed_nbma).into()),
                ("used", row.used.into()),
                ("timeout", row.timeout.into()),
                ("auth", row.auth.into()),
                ("identity", row.identity.as_deref().unwrap_or("-").into()),
            ])
        });
        return envelope(rows.collect(), release);
    }
    if rows.is_empty() {
        return outcome(0, NO_ENTRIES.into());
    }
    let width = if release.wide_tables() { 16 } else { 8 };
    let mut out = format!(
        "{:<width$} {:<8} {:<24} {:<24} {:<24} {:<6} {}\n",
        "Iface", "Type", "Protocol", "NBMA", "Claimed NBMA", "Flags", "Identity"
    );
    for row in rows {
        let flag = |set: bool, letter: char| if set { letter } else { ' ' };
        let _ = writeln!(
            out,
            "{:<width$} {:<8} {:<24} {:<24} {:<24} {}{}{}    {}",
            row.interface,
            row.kind.name(),
            row.protocol.to_string(),
            address(row.nbma),
            address(row.claimed_nbma),
            flag(row.used, 'U'),
            flag(row.timeout, 'T'),
            flag(row.auth, 'A'),
            row.identity.as_deref().unwrap_or("-"),
        );
    }
    outcome(rows.len(), out)
}

/// `show <ip|ipv6> nhrp nhs [json]`
#[must_use]
pub fn nhs(rows: &[NhsRow], json: bool, release: Release) -> Reply {
    let protocol =
        |row: &NhsRow| row.protocol.map_or_else(|| "(unspec)".to_owned(), |address| address.to_string());
    if json {
        let rows = rows.iter().map(|row| {
            let mut members = vec![
                ("interface", row.interface.as_str().into()),
                ("fqdn", row.fqdn.as_str().into()),
                ("nbma", address(row.nbma).into()),
                ("protocol", protocol(row).into()),
            ];
            if release.wide_tables() {
                members.push(("priority", u32::from(row.priority).into()));
            }
            Value::Object(members)
        });
        return envelope(rows.collect(), release);
    }
    if rows.is_empty() {
        return outcome(0, NO_ENTRIES.into());
    }
    let wide = release.wide_tables();
    let width = if wide { 16 } else { 8 };
    let mut out = format!("{:<width$} {:<24} {:<16} {:<16}", "Iface", "FQDN", "NBMA", "Protocol");
    out.push_str(if wide { " Pri  Reachable\n" } else { "\n" });
    for row in rows {
        let _ = write!(
            out,
            "{:<width$} {:<24} {:<16} {:<16}",
            row.interface,
            row.fqdn,
            address(row.nbma),
            protocol(row)
        );
        if wide {
            let _ = write!(out, " {:>3}  {}", row.priority, if row.reachable { 'Y' } else { 'N' });
        }
        out.push('\n');
    }
    outcome(rows.len(), out)
}

/// `show <ip|ipv6> nhrp shortcut [json]`. FRR up to 10.0.2 prints the header of the text form in front of the JSON
/// document; nobody can want that, so it is not done here.
#[must_use]
pub fn shortcut(rows: &[ShortcutRow], json: bool, release: Release) -> Reply {
    if json {
        let rows = rows.iter().map(|row| {
            let mut members =
                vec![("type", row.kind.name().into()), ("prefix", row.prefix.to_string().into())];
            if let Some(via) = row.via {
                members.push(("via", via.to_string().into()));
            }
            members.push(("identity", row.identity.as_str().into()));
            Value::Object(members)
        });
        return envelope(rows.collect(), release);
    }
    if rows.is_empty() {
        return outcome(0, NO_ENTRIES.into());
    }
    let mut out = format!("{:<8} {:<24} {:<24} {}\n", "Type", "Prefix", "Via", "Identity");
    for row in rows {
        let via = row.via.map(|via| via.to_string()).unwrap_or_default();
        let _ = writeln!(
            out,
            "{:<8} {:<24} {:<24} {}",
            row.kind.name(),
            row.prefix.to_string(),
            via,
            row.identity
        );
    }
    outcome(rows.len(), out)
}

/// `show <ip|ipv6> nhrp opennhrp [json]`
#[must_use]
pub fn opennhrp(rows: &[OpenNhrpRow], json: bool, release: Release) -> Reply {
    let tidy = release.tidy_opennhrp();
    // Before 10.3 this table neither counted its rows nor minded having none.
    let rc = if rows.is_empty() && tidy { ReturnCode::Warning } else { ReturnCode::Success };
    if json {
        let entries = if tidy { count(rows.len()) } else { Value::Int(1) };
        let table = table(
            vec![("status", "ok".into()), ("entriesCount", entries)],
            rows.iter().map(opennhrp_object).collect(),
        );
        return Reply::new(rc, table.print(release));
    }
    let mut out = String::from("Status: ok\n\n");
    for (index, row) in rows.iter().enumerate() {
        if tidy && index > 0 {
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "Type: {}\nFlags:{}{}\nProtocol-Address: {}/{}",
            row.kind.name(),
            if row.up { " up" } else { "" },
            if row.used { " used" } else { "" },
            row.protocol,
            prefix_length(row.protocol),
        );
        if let Some(nbma) = row.nbma {
            let _ = writeln!(out, "NBMA-Address: {nbma}");
        }
        if let Some(nat) = row.nat_oa {
            let _ = writeln!(out, "NBMA-NAT-OA-Address: {nat}");
        }
        if !tidy {
            out.push_str("\n\n");
        }
    }
    if rows.is_empty() && tidy {
        out.push_str(NO_ENTRIES);
    }
    Reply::new(rc, out)
}

fn opennhrp_object(row: &OpenNhrpRow) -> Value {
    let mut members = vec![
        ("type", row.kind.name().into()),
        ("up", row.up.into()),
        ("used", row.used.into()),
        ("protocolAddress", row.protocol.to_string().into()),
        ("protocolAddressSize", prefix_length(row.protocol).into()),
    ];
    if let Some(nbma) = row.nbma {
        members.push(("nbmaAddress", nbma.to_string().into()));
    }
    if let Some(nat) = row.nat_oa {
        members.push(("nbmaNatOaAddress", nat.to_string().into()));
    }
    Value::Object(members)
}

fn prefix_length(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}
