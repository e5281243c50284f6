//! What charon tells of security associations, in `list-sa`, `child-updown`, `child-rekey` and the patched events.
//!
//! Owns the reading of those sections. Never remembers anything.

use std::net::IpAddr;

use crate::message::Section;

/// An IKE SA with those of its CHILD SAs that the message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeSa {
    /// Name of its connection.
    pub name: String,
    /// charon's number for it.
    pub id: u32,
    /// Own address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// The authenticated identity of the peer.
    pub remote_id: String,
    /// charon's word, such as `ESTABLISHED`.
    pub state: String,
    /// It was begun here.
    pub initiator: bool,
    /// The number by which both ends know it, as charon writes it; empty if it is not told.
    pub initiator_spi: String,
    /// Its CHILD SAs.
    pub children: Vec<ChildSa>,
}

/// A CHILD SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSa {
    /// charon's number for it; a rekeyed one has another.
    pub id: u32,
    /// charon's word, such as `INSTALLED`. A down event still says so: what counts there is that `up` is missing.
    pub state: String,
    /// Whether its selectors let GRE through.
    pub carries_gre: bool,
    /// Its selectors in one text: two with the same do the same.
    pub selectors: String,
    /// Of a tunnel from host to host the two, our own first. Those of the IKE SA carry it, and may be translators' or serve
    /// several tunnels.
    pub ends: Option<(IpAddr, IpAddr)>,
}

/// A rekeyed CHILD SA: its number before and now.
pub type Rekeyed = (u32, u32);

/// A selector reads `192.0.2.1/32`, or `192.0.2.1/32[gre]` or `192.0.2.1/32[gre/42]` with a key.
fn is_gre(selector: &str) -> bool {
    let Some((_, protocol)) = selector.split_once('[') else { return true };
    let protocol = protocol.trim_end_matches(']');
    let protocol = protocol.split('/').next().unwrap_or_default();
    protocol == "gre" || protocol == "47"
}

/// The host that a selector is about, if it is a single one.
pub(crate) fn host(selector: &str) -> Option<IpAddr> {
    let network = selector.split('[').next()?;
    let (address, length) = network.split_once('/').unwrap_or((network, ""));
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { "32" } else { "128" };
    (length.is_empty() || length == whole).then_some(address)
}

fn child(section: &Section) -> Option<ChildSa> {
    let (own, peers): (Vec<&str>, Vec<&str>) =
        (section.texts("local-ts").collect(), section.texts("remote-ts").collect());
    let mut selectors = own.iter().chain(&peers).peekable();
    let ends = match (section.text("mode"), own.as_slice(), peers.as_slice()) {
        (Some("TUNNEL"), [own], [peer]) => host(own).zip(host(peer)),
        _ => None,
    };
    Some(ChildSa {
        id: section.number("uniqueid")?,
        state: section.text("state").unwrap_or_default().to_owned(),
        // The patched events tell no selectors.
        carries_gre: selectors.peek().is_none() || selectors.any(|selector| is_gre(selector)),
        selectors: format!("{} === {}", own.join(" "), peers.join(" ")),
        ends,
    })
}

fn ike(name: &str, section: &Section) -> Option<IkeSa> {
    let address = |key: &str| {
        // IPv6 addresses may come with their zone.
        section.text(key)?.split('%').next()?.parse().ok()
    };
    let children = section.section("child-sas");
    Some(IkeSa {
        name: name.to_owned(),
        id: section.number("uniqueid")?,
        local: address("local-host")?,
        remote: address("remote-host")?,
        remote_id: section.text("remote-id").unwrap_or_default().to_owned(),
        state: section.text("state").unwrap_or_default().to_owned(),
        initiator: section.is_yes("initiator"),
        initiator_spi: section.text("initiator-spi").unwrap_or_default().to_owned(),
        children: children.into_iter().flat_map(Section::sections).filter_map(|(_, c)| child(c)).collect(),
    })
}

/// The SAs of a `list-sa` or of an event. Those that lack a number or an address are left out.
pub fn ike_sas(message: &Section) -> impl Iterator<Item = IkeSa> {
    message.sections().filter_map(|(name, section)| ike(name, section))
}

/// The pairs of a `child-rekey`, each with the IKE SA that it is of.
pub fn rekeyed(message: &Section) -> impl Iterator<Item = (IkeSa, Rekeyed)> {
    message.sections().filter_map(|(name, section)| {
        let ike = ike(name, section)?;
        let (_, child) = section.section("child-sas")?.sections().next()?;
        let id = |when: &str| child.section(when)?.number("uniqueid");
        Some((ike, (id("old")?, id("new")?)))
    })
}

/// A rekeyed IKE SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeRekeyed {
    /// charon's number before.
    pub old: u32,
    /// And now.
    pub new: u32,
    /// Whether the new one was begun here, if that is told.
    pub initiator: Option<bool>,
    /// The new one's number that both ends know, empty if it is not told.
    pub initiator_spi: String,
}

/// What an `ike-rekey` tells.
pub fn ike_rekeyed(message: &Section) -> impl Iterator<Item = IkeRekeyed> {
    message.sections().filter_map(|(_, section)| {
        let new = section.section("new")?;
        let initiator_spi = new.text("initiator-spi").unwrap_or_default().to_owned();
        Some(IkeRekeyed {
            old: section.section("old")?.number("uniqueid")?,
            new: new.number("uniqueid")?,
            initiator: (!initiator_spi.is_empty()).then(|| new.is_yes("initiator")),
            initiator_spi,
        })
    })
}
