//! `show dmvpn`.

use std::fmt::Write;
use std::net::IpAddr;

use super::json::Value;
use crate::{Release, Reply};

/// One virtual connection: a pair of NBMA addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmvpnRow {
    /// Own address; `None` prints `(unspec)`.
    pub source: Option<IpAddr>,
    /// The peer's.
    pub destination: IpAddr,
    /// Something waits for changes of this connection.
    pub notifier_active: bool,
    /// Number of IPsec SAs.
    pub sas: u32,
    /// IKE identity, empty if none.
    pub identity: String,
}

/// `show dmvpn [json]`: always the header, always success.
#[must_use]
pub fn dmvpn(rows: &[DmvpnRow], json: bool, release: Release) -> Reply {
    let source =
        |row: &DmvpnRow| row.source.map_or_else(|| "(unspec)".to_owned(), |address| address.to_string());
    if json {
        let rows = rows.iter().map(|row| {
            Value::Object(vec![
                ("src", source(row).into()),
                ("dst", row.destination.to_string().into()),
                ("notifierActive", row.notifier_active.into()),
                ("sas", row.sas.into()),
                ("identity", row.identity.as_str().into()),
            ])
        });
        return Reply::text(Value::Array(rows.collect()).print(release));
    }
    let mut out = format!("{:<24} {:<24} {:<6} {:<4} {:<24}\n", "Src", "Dst", "Flags", "SAs", "Identity");
    for row in rows {
        let _ = writeln!(
            out,
            "{:<24} {:<24} {}      {:<4} {:<24}",
            source(row),
            row.destination.to_string(),
            if row.notifier_active { 'n' } else { ' ' },
            row.sas,
            row.identity,
        );
    }
    Reply::text(out)
}
