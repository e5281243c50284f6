//! Packets of FRR's daemons, for whoever needs real ones to change or to send again.
//!
//! Owns reading the file that has them.

use crate::failure::{Context, Result, ensure};

/// Stanzas of `[name]`, fields, and `hex` with continuation lines.
const FILE: &str = include_str!("../../golden/nhrp-packets.txt");

/// All of them, NHRP header onwards, their overlay the lab's own.
pub(crate) fn packets() -> Result<Vec<Vec<u8>>> {
    let mut packets: Vec<String> = Vec::new();
    for line in FILE.lines() {
        if let Some(hex) = line.strip_prefix("hex ") {
            packets.push(hex.trim().to_owned());
        } else if line.starts_with(' ')
            && let Some(packet) = packets.last_mut()
        {
            packet.push_str(line.trim());
        }
    }
    ensure!(packets.len() > 10, "{} golden packets", packets.len());
    packets.iter().map(|hex| octets(hex)).collect()
}

fn octets(hex: &str) -> Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let text = String::from_utf8_lossy(pair);
            u8::from_str_radix(&text, 16).context(|| format!("hex digits {text:?}"))
        })
        .collect()
}
