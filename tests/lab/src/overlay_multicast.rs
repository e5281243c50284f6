//! Multicast inside the tunnels, as tshark sees it in a capture of the transport network.
//!
//! Owns the question who got how many copies of which packet. Never decodes a packet itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::failure::{Context, Result};
use crate::judge::tshark;

/// A packet that somebody sent once into the overlay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Original {
    /// Sender's address in the overlay.
    pub(crate) source: IpAddr,
    /// The group, or the neighbour.
    pub(crate) target: IpAddr,
    /// What tells it from the sender's other packets: the identification of IPv4, the source port of UDP in IPv6.
    pub(crate) id: u16,
}

/// The copies of one packet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copies {
    /// Type of the OSPF packet in it, if it is one: 1 is Hello.
    pub(crate) ospf: Option<u16>,
    /// Outer source and destination of each copy, in order of their passing.
    pub(crate) carriers: Vec<(Ipv4Addr, Ipv4Addr)>,
}

impl Copies {
    /// Outer destinations, sorted.
    pub(crate) fn receivers(&self) -> Vec<Ipv4Addr> {
        let mut receivers: Vec<Ipv4Addr> = self.carriers.iter().map(|(_, to)| *to).collect();
        receivers.sort_unstable();
        receivers
    }
}

const FIELDS: &[&str] = &["ip.src", "ip.dst", "ip.id", "ipv6.src", "ipv6.dst", "udp.srcport", "ospf.msg"];

/// Every IP packet that GRE carried in this capture and that matches a display filter of tshark, with its copies.
pub(crate) fn carried(capture: &Path, filter: &str) -> Result<BTreeMap<Original, Copies>> {
    let text = tshark(capture, &format!("gre && ({filter})"), FIELDS)?;
    let mut packets: BTreeMap<Original, Copies> = BTreeMap::new();
    for line in text.lines() {
        let columns: Vec<Vec<&str>> = line
            .split('\t')
            .map(|column| column.split('|').filter(|value| !value.is_empty()).collect())
            .collect();
        let (original, ospf, carrier) = row(&columns).context(|| format!("tshark's line {line:?}"))?;
        let copies = packets.entry(original).or_insert_with(|| Copies { ospf, carriers: Vec::new() });
        copies.carriers.push(carrier);
    }
    Ok(packets)
}

type Row = (Original, Option<u16>, (Ipv4Addr, Ipv4Addr));

fn row(columns: &[Vec<&str>]) -> Option<Row> {
    let [source, target, id, source6, target6, port, ospf] = columns else { return None };
    let original = match (source6.first(), target6.first()) {
        (Some(source), Some(target)) => Original {
            source: source.parse().ok()?,
            target: target.parse().ok()?,
            id: port.first().map_or(Some(0), |port| number(port))?,
        },
        _ => Original {
            source: source.get(1)?.parse().ok()?,
            target: target.get(1)?.parse().ok()?,
            id: number(id.get(1)?)?,
        },
    };
    let carrier = (source.first()?.parse().ok()?, target.first()?.parse().ok()?);
    Some((original, ospf.first().and_then(|kind| number(kind)), carrier))
}

fn number(text: &str) -> Option<u16> {
    match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
