//! The judge: what tshark, a dissector that shares no code with any nhrpd, sees in a capture.
//!
//! Owns running tshark and the typed view of its answer. Never decodes a packet itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Context, Result, ensure};

/// NHRP packet types (RFC 2332 section 5.2; traffic indication is Cisco's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Type {
    ResolutionRequest,
    ResolutionReply,
    RegistrationRequest,
    RegistrationReply,
    PurgeRequest,
    PurgeReply,
    ErrorIndication,
    TrafficIndication,
    /// A number that no document names.
    Other(u8),
}

impl Type {
    fn from_wire(number: u8) -> Self {
        match number {
            1 => Self::ResolutionRequest,
            2 => Self::ResolutionReply,
            3 => Self::RegistrationRequest,
            4 => Self::RegistrationReply,
            5 => Self::PurgeRequest,
            6 => Self::PurgeReply,
            7 => Self::ErrorIndication,
            8 => Self::TrafficIndication,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResolutionRequest => "resolution request",
            Self::ResolutionReply => "resolution reply",
            Self::RegistrationRequest => "registration request",
            Self::RegistrationReply => "registration reply",
            Self::PurgeRequest => "purge request",
            Self::PurgeReply => "purge reply",
            Self::ErrorIndication => "error indication",
            Self::TrafficIndication => "traffic indication",
            Self::Other(number) => return write!(f, "unknown type {number}"),
        })
    }
}

/// One GRE packet as tshark sees it.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// Number of the frame in the capture file, from 1.
    pub(crate) frame: u64,
    /// Seconds since the epoch by the capturing kernel's clock.
    pub(crate) time: f64,
    /// Source and destination in the transport network (outer IP header).
    pub(crate) nbma: (Ipv4Addr, Ipv4Addr),
    /// What the tunnel carries.
    pub(crate) payload: Payload,
    /// Which echo it is, if the tunnel carries a user's echo request or reply.
    pub(crate) echo: Option<Echo>,
    /// tshark's complaints of severity "warning" and above, and "malformed".
    pub(crate) complaints: Vec<String>,
}

/// What a GRE packet carries.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// An NHRP packet.
    Nhrp(Nhrp),
    /// A user's IPv4 packet: source and destination of the inner header.
    Ipv4(Ipv4Addr, Ipv4Addr),
    /// A user's IPv6 packet: likewise.
    Ipv6(Ipv6Addr, Ipv6Addr),
    /// Anything else.
    Other,
}

/// One echo request or reply of a `ping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Echo {
    /// Which run of `ping`.
    pub(crate) identifier: u16,
    /// Which packet of the run.
    pub(crate) sequence: u16,
    /// Whether it is the reply.
    pub(crate) reply: bool,
}

/// Header fields and extensions of an NHRP packet.
#[derive(Debug, Clone)]
pub(crate) struct Nhrp {
    /// Packet type.
    pub(crate) kind: Type,
    /// The overlay is IPv6. tshark names such addresses only in later releases; [`source`](Self::source) and
    /// [`destination`](Self::destination) are of IPv4.
    pub(crate) ipv6: bool,
    /// Hop count as on the wire.
    pub(crate) hop_count: u8,
    /// Whether tshark verified the checksum and found it right.
    pub(crate) checksum_good: bool,
    /// Request id; 0 where the type has none.
    pub(crate) request_id: u32,
    /// Source NBMA address in the mandatory part.
    pub(crate) source_nbma: Option<Ipv4Addr>,
    /// Source protocol address.
    pub(crate) source: Option<Ipv4Addr>,
    /// Destination protocol address.
    pub(crate) destination: Option<Ipv4Addr>,
    /// Code and holding time of every client information entry, those of extensions included.
    pub(crate) entries: Vec<(u8, u16)>,
    /// Extension types without the compulsory bit, in order.
    pub(crate) extensions: Vec<u16>,
    /// Error code of an error indication.
    pub(crate) error: Option<u16>,
}

/// Everything that one capture showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// Every GRE packet in order.
    pub(crate) packets: Vec<Packet>,
}

/// The fields asked of tshark, in the order of the columns.
const FIELDS: &[&str] = &[
    "frame.number",
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "gre.proto",
    "ipv6.src",
    "ipv6.dst",
    "nhrp.hdr.pro.type",
    "nhrp.hdr.op.type",
    "nhrp.hdr.hopcnt",
    "nhrp.hdr.chksum.status",
    "nhrp.reqid",
    "nhrp.src.nbma.addr",
    "nhrp.src.prot.addr",
    "nhrp.dst.prot.addr",
    "nhrp.code",
    "nhrp.htime",
    "nhrp.ext.type",
    "nhrp.err.code",
    "icmp.type",
    "icmp.ident",
    "icmp.seq",
    "nhrp.hdr.bad_checksum",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
];

/// Severity from which tshark's expert information is a complaint ("warning").
const WARNING: u64 = 0x0060_0000;

/// Judges a capture file.
pub(crate) fn judge(capture: &Path) -> Result<Verdict> {
    let stdout = tshark(capture, "gre", FIELDS)?;
    let packets = stdout
        .lines()
        .map(|line| packet(line).context(|| format!("tshark's line {line:?}")))
        .collect::<Result<Vec<_>>>()?;
    Ok(Verdict { packets })
}

/// What tshark says about the packets of a capture that match a display filter: one line a packet, fields separated
/// by tabs, the values of one field by `|`.
pub(crate) fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Result<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(capture).args(["-Y", filter, "-T", "fields"]);
    command.args(["-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=|"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command
        .stdin(Stdio::null())
        .output()
        .context(|| "starting tshark, the independent dissector".to_owned())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    // A capture that is being written may end in the middle of a packet; the rest counts.
    let cut_short = stderr.contains("cut short in the middle of a packet");
    ensure!(output.status.success() || cut_short, "tshark on {}: {stderr}", capture.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One line of tshark's answer.
struct Row<'a>(Vec<&'a str>);

impl<'a> Row<'a> {
    /// Every value of a field.
    fn all(&self, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let column = FIELDS.iter().position(|name| *name == field);
        let text = column.and_then(|column| self.0.get(column)).copied().unwrap_or_default();
        text.split('|').filter(|value| !value.is_empty())
    }

    /// The first value: fields of packets quoted inside a packet follow those of the packet itself.
    fn first(&self, field: &str) -> Option<&'a str> {
        self.all(field).next()
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.first(field).and_then(number)
    }

    fn address(&self, field: &str) -> Option<Ipv4Addr> {
        self.first(field)?.parse().ok()
    }
}

/// A number as tshark prints it: decimal or with `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Option<T> {
    T::try_from(value).ok()
}

fn packet(line: &str) -> Option<Packet> {
    let row = Row(line.split('\t').collect());
    let mut complaints: Vec<String> = Vec::new();
    if row.first("_ws.malformed").is_some() {
        complaints.push("malformed packet".to_owned());
    }
    if row.first("nhrp.hdr.bad_checksum").is_some() {
        complaints.push("bad checksum".to_owned());
    }
    for (severity, message) in row.all("_ws.expert.severity").zip(row.all("_ws.expert.message")) {
        if number(severity).is_some_and(|severity| severity >= WARNING) {
            complaints.push(message.to_owned());
        }
    }
    let payload = match row.number("gre.proto") {
        Some(0x2001) => Payload::Nhrp(nhrp(&row)?),
        Some(0x0800) => {
            Payload::Ipv4(row.all("ip.src").nth(1)?.parse().ok()?, row.all("ip.dst").nth(1)?.parse().ok()?)
        }
        Some(0x86dd) => {
            Payload::Ipv6(row.first("ipv6.src")?.parse().ok()?, row.first("ipv6.dst")?.parse().ok()?)
        }
        _ => Payload::Other,
    };
    let echo = matches!(payload, Payload::Ipv4(..)).then(|| echo(&row)).flatten();
    Some(Packet {
        frame: row.number("frame.number")?,
        time: row.first("frame.time_epoch")?.parse().ok()?,
        nbma: (row.address("ip.src")?, row.address("ip.dst")?),
        payload,
        echo,
        complaints,
    })
}

fn echo(row: &Row<'_>) -> Option<Echo> {
    let reply = match row.number("icmp.type")? {
        8 => false,
        0 => true,
        _ => return None,
    };
    let identifier = narrow(row.number("icmp.ident")?)?;
    Some(Echo { identifier, sequence: narrow(row.number("icmp.seq")?)?, reply })
}

fn nhrp(row: &Row<'_>) -> Option<Nhrp> {
    let codes = row.all("nhrp.code").filter_map(number).filter_map(narrow);
    let times = row.all("nhrp.htime").filter_map(number).filter_map(narrow);
    Some(Nhrp {
        kind: Type::from_wire(narrow(row.number("nhrp.hdr.op.type")?)?),
        ipv6: row.number("nhrp.hdr.pro.type") == Some(0x86dd),
        hop_count: narrow(row.number("nhrp.hdr.hopcnt")?)?,
        checksum_good: row.number("nhrp.hdr.chksum.status") == Some(1),
        request_id: row.number("nhrp.reqid").and_then(narrow).unwrap_or_default(),
        source_nbma: row.address("nhrp.src.nbma.addr"),
        source: row.address("nhrp.src.prot.addr"),
        destination: row.address("nhrp.dst.prot.addr"),
        entries: codes.zip(times).collect(),
        extensions: row.all("nhrp.ext.type").filter_map(number).filter_map(narrow).collect(),
        error: row.number("nhrp.err.code").and_then(narrow),
    })
}

impl Verdict {
    /// The NHRP packets.
    pub(crate) fn nhrp(&self) -> impl Iterator<Item = (&Packet, &Nhrp)> {
        self.packets.iter().filter_map(|packet| match &packet.payload {
            Payload::Nhrp(nhrp) => Some((packet, nhrp)),
            _ => None,
        })
    }

    /// The NHRP packets of one type.
    pub(crate) fn of(&self, kind: Type) -> impl Iterator<Item = (&Packet, &Nhrp)> {
        self.nhrp().filter(move |(_, nhrp)| nhrp.kind == kind)
    }

    /// How many of each type.
    pub(crate) fn counts(&self) -> BTreeMap<Type, usize> {
        let mut counts = BTreeMap::new();
        self.nhrp().for_each(|(_, nhrp)| *counts.entry(nhrp.kind).or_default() += 1);
        counts
    }

    /// The first user packet between these overlay addresses that travelled between these transport
    /// addresses, not before `since` (seconds of the capture's clock).
    pub(crate) fn first_carried(
        &self,
        inner: (Ipv4Addr, Ipv4Addr),
        nbma: (Ipv4Addr, Ipv4Addr),
        since: f64,
    ) -> Option<&Packet> {
        self.packets.iter().find(|packet| {
            packet.time >= since
                && packet.nbma == nbma
                && matches!(packet.payload, Payload::Ipv4(source, target) if (source, target) == inner)
        })
    }

    /// How many different echo requests were on the wire, and for each that was not answered, the transport
    /// address of the node that received its last packet and did not pass it on.
    pub(crate) fn echoes(&self) -> (usize, Vec<Ipv4Addr>) {
        let mut journeys: BTreeMap<(u16, u16), Vec<(&Packet, Echo)>> = BTreeMap::new();
        for (packet, echo) in self.packets.iter().filter_map(|packet| Some((packet, packet.echo?))) {
            journeys.entry((echo.identifier, echo.sequence)).or_default().push((packet, echo));
        }
        let lost = journeys.values().filter_map(|journey| {
            let origin = journey.first()?.0.nbma.0;
            let came_back = journey.iter().any(|(packet, echo)| echo.reply && packet.nbma.1 == origin);
            if came_back { None } else { journey.last().map(|(packet, _)| packet.nbma.1) }
        });
        (journeys.len(), lost.collect())
    }

    /// Fails unless every NHRP packet is well-formed with a verified checksum and there are at least
    /// this many of each type.
    pub(crate) fn require(&self, minimum: &[(Type, usize)]) -> Result<()> {
        for (packet, nhrp) in self.nhrp() {
            let problem = if nhrp.checksum_good { "complaints" } else { "checksum not verified as good" };
            // tshark also dissects the packet that an error quotes, and calls the error malformed if the quotation is cut
            // short, as it may be. The error's own fields are before it.
            let own = nhrp.kind != Type::ErrorIndication || nhrp.error.is_none();
            ensure!(
                nhrp.checksum_good && (packet.complaints.is_empty() || !own),
                "frame {} ({} {} > {}): {problem} {:?}",
                packet.frame,
                nhrp.kind,
                packet.nbma.0,
                packet.nbma.1,
                packet.complaints
            );
        }
        let counts = self.counts();
        for (kind, least) in minimum {
            let seen = counts.get(kind).copied().unwrap_or_default();
            ensure!(seen >= *least, "{seen} {kind} on the wire, expected at least {least}; all: {counts:?}");
        }
        Ok(())
    }
}
