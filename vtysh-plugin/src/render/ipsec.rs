//! `show nhrp ipsec`, which is this daemon's own.

use std::fmt::Write;
use std::net::IpAddr;

use super::json::Value;
use crate::{Release, Reply};

/// All that is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpsecView {
    /// How charon is driven: `stock`, `patched`, `probing`, `down`, or `none` where no tunnel is protected.
    pub mode: &'static str,
    /// Why it is not reached.
    pub reason: Option<String>,
    /// Name and version of the IKE daemon, if known.
    pub version: Option<String>,
    /// Protected interfaces with the own address that sends no GRE in clear.
    pub guarded: Vec<(String, IpAddr)>,
    /// Profiles in use: the connection that is copied for each peer, or why it is not.
    pub profiles: Vec<(String, Result<String, String>)>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Packets and events of charon's that were passed over.
    pub odd: u32,
    /// Peers.
    pub peers: Vec<IpsecRow>,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpsecRow {
    /// Own address.
    pub source: IpAddr,
    /// The peer's.
    pub destination: IpAddr,
    /// The profile by which it is negotiated with; none if it negotiates with us.
    pub profile: Option<String>,
    /// In one word.
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

/// `show nhrp ipsec [json]`
#[must_use]
pub fn ipsec(view: &IpsecView, json: bool, release: Release) -> Reply {
    if json {
        return Reply::text(document(view).print(release));
    }
    let mut out = format!("Mode: {}", view.mode);
    if let Some(version) = &view.version {
        let _ = write!(out, " ({version})");
    }
    if let Some(reason) = &view.reason {
        let _ = write!(out, ": {reason}");
    }
    out.push('\n');
    for (interface, address) in &view.guarded {
        let _ = writeln!(out, "No GRE in clear: {interface}, {address}");
    }
    for (profile, connection) in &view.profiles {
        let _ = match connection {
            Ok(connection) => {
                writeln!(out, "Profile {profile}: connection '{connection}', copied for each peer")
            }
            Err(reason) => {
                writeln!(out, "Profile {profile}: not copied, packets start negotiations: {reason}")
            }
        };
    }
    if let Some(error) = &view.last_error {
        let _ = writeln!(out, "Last error: {error}");
    }
    if view.odd > 0 {
        let _ = writeln!(out, "Packets of charon's that were passed over: {}", view.odd);
    }
    if !view.peers.is_empty() {
        let _ = writeln!(
            out,
            "\n{:<16} {:<16} {:<12} {:<4} {:<16} Identity",
            "Src", "Dst", "State", "SAs", "Profile"
        );
    }
    for row in &view.peers {
        let _ = writeln!(
            out,
            "{:<16} {:<16} {:<12} {:<4} {:<16} {}",
            row.source.to_string(),
            row.destination.to_string(),
            row.state,
            row.sas.len(),
            row.profile.as_deref().unwrap_or("-"),
            row.identity
        );
        if let Some(error) = &row.last_error {
            let _ = writeln!(out, "  {} attempts in vain: {error}", row.failures);
        }
    }
    Reply::text(out)
}

fn optional(text: Option<&str>) -> Value {
    text.unwrap_or_default().into()
}

fn document(view: &IpsecView) -> Value {
    let guarded = view.guarded.iter().map(|(interface, address)| {
        Value::Object(vec![("interface", interface.as_str().into()), ("address", address.to_string().into())])
    });
    let profiles = view.profiles.iter().map(|(profile, connection)| {
        Value::Object(vec![
            ("profile", profile.as_str().into()),
            ("connection", optional(connection.as_ref().ok().map(String::as_str))),
            ("error", optional(connection.as_ref().err().map(String::as_str))),
        ])
    });
    let peers = view.peers.iter().map(|row| {
        let sas = row
            .sas
            .iter()
            .map(|(ike, child)| Value::Object(vec![("ikeId", (*ike).into()), ("childId", (*child).into())]));
        Value::Object(vec![
            ("src", row.source.to_string().into()),
            ("dst", row.destination.to_string().into()),
            ("state", row.state.into()),
            ("profile", optional(row.profile.as_deref())),
            ("identity", row.identity.as_str().into()),
            ("sas", Value::Array(sas.collect())),
            ("failures", row.failures.into()),
            ("lastError", optional(row.last_error.as_deref())),
        ])
    });
    Value::Object(vec![
        ("mode", view.mode.into()),
        ("reason", optional(view.reason.as_deref())),
        ("version", optional(view.version.as_deref())),
        ("guarded", Value::Array(guarded.collect())),
        ("profiles", Value::Array(profiles.collect())),
        ("lastError", optional(view.last_error.as_deref())),
        ("packetsPassedOver", view.odd.into()),
        ("peers", Value::Array(peers.collect())),
    ])
}
