//! The answers of a live FRR to good and bad lines.

use super::*;
use crate::{MapTarget, Mtu};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nhs(protocol: &str, nbma: &str) -> InterfaceEdit {
    let protocol = match protocol {
        "dynamic" => NhsProtocol::Dynamic,
        address => NhsProtocol::Address(ip(address)),
    };
    InterfaceEdit::Nhs(Afi::Ip, NhsConfig { protocol, nbma: nbma.into(), priority: 0 })
}

/// Applies; a refusal must have changed nothing.
fn apply(config: &mut Config, edit: InterfaceEdit) -> Result<(), String> {
    let before = config.clone();
    let edit = Edit::Interface { name: "gre1".into(), edit };
    let result = config.apply(&edit);
    if result.is_err() {
        assert_eq!(*config, before, "{edit:?}");
    }
    result.map_err(|error| error.to_string())
}

fn refused(text: &str) -> Result<(), String> {
    Err(text.into())
}

const MISMATCH: &str = "% Protocol address family does not match command (ip/ipv6 mismatch)";

#[test]
fn next_hop_servers() {
    let config = &mut Config::default();
    assert_eq!(apply(config, nhs("dynamic", "10.2.1.2")), Ok(()));
    assert_eq!(apply(config, nhs("dynamic", "10.2.1.2")), refused("% Entry exists already"));
    assert_eq!(apply(config, nhs("10.255.255.2", "hub.example.com")), Ok(()));
    let same_address = nhs("10.255.255.2", "hub2.example.com");
    assert_eq!(apply(config, same_address), refused("% Entry exists already"));
    assert_eq!(apply(config, nhs("10.255.255.3", "10.2.1.2")), refused("% Entry exists already"));
    assert_eq!(apply(config, nhs("2001:db8::1", "1.2.3.4")), refused(MISMATCH));
    assert_eq!(apply(config, nhs("dynamic", "other.example.com")), Ok(()));

    // `no` wants both words right.
    let known = NhsProtocol::Address(ip("10.255.255.2"));
    for (protocol, nbma) in [(known, "10.2.1.2"), (NhsProtocol::Dynamic, "hub.example.com")] {
        let no = InterfaceEdit::NoNhs(Afi::Ip, protocol, nbma.into());
        assert_eq!(apply(config, no), refused("% Entry not found"));
    }
    let wrong = NhsProtocol::Address(ip("2001:db8::1"));
    let no = InterfaceEdit::NoNhs(Afi::Ip, wrong, "10.2.1.2".into());
    assert_eq!(apply(config, no), refused(MISMATCH));
    let absent = NhsProtocol::Address(ip("10.255.255.9"));
    let no = InterfaceEdit::NoNhs(Afi::Ip, absent, "1.2.3.4".into());
    assert_eq!(apply(config, no), refused("% Entry not found"));
    let no = InterfaceEdit::NoNhs(Afi::Ip, NhsProtocol::Dynamic, "10.2.1.2".into());
    assert_eq!(apply(config, no), Ok(()));
    let left: Vec<_> = config.interfaces["gre1"].ip.nhs.iter().map(|n| n.nbma.as_str()).collect();
    assert_eq!(left, ["hub.example.com", "other.example.com"]);
}

#[test]
fn maps() {
    let config = &mut Config::default();
    let nbma = MapTarget::Nbma(ip("1.2.3.4"));
    for last in 1..4 {
        let address = ip(&format!("10.255.255.{last}"));
        assert_eq!(apply(config, InterfaceEdit::Map(Afi::Ip, address, nbma)), Ok(()));
    }
    // Overwritten where it stands.
    let local = InterfaceEdit::Map(Afi::Ip, ip("10.255.255.1"), MapTarget::Local);
    assert_eq!(apply(config, local), Ok(()));
    let wrong = InterfaceEdit::Map(Afi::Ip, ip("2001:db8::1"), nbma);
    assert_eq!(apply(config, wrong), refused(MISMATCH));
    let wrong = InterfaceEdit::NoMap(Afi::Ip, ip("2001:db8::1"));
    assert_eq!(apply(config, wrong), refused(MISMATCH));
    let unknown = InterfaceEdit::NoMap(Afi::Ip, ip("10.255.255.60"));
    assert_eq!(apply(config, unknown), refused("% Command failed"));
    assert_eq!(apply(config, InterfaceEdit::NoMap(Afi::Ip, ip("10.255.255.2"))), Ok(()));
    let left: Vec<_> = config.interfaces["gre1"].ip.maps.iter().collect();
    let expected = [(&ip("10.255.255.1"), &MapTarget::Local), (&ip("10.255.255.3"), &nbma)];
    assert_eq!(left, expected);
}

#[test]
fn multicast() {
    let config = &mut Config::default();
    let fixed = MulticastTarget::Nbma(ip("10.2.1.2"));
    assert_eq!(apply(config, InterfaceEdit::Multicast(Afi::Ip, fixed)), Ok(()));
    let again = InterfaceEdit::Multicast(Afi::Ip, fixed);
    assert_eq!(apply(config, again), refused("% Entry exists already"));
    let no = InterfaceEdit::NoMulticast(Afi::Ip, MulticastTarget::Dynamic);
    assert_eq!(apply(config, no), refused("% Entry not found"));
    // Of either family, and each family has its own list.
    let six = MulticastTarget::Nbma(ip("2001:db8::1"));
    assert_eq!(apply(config, InterfaceEdit::Multicast(Afi::Ip, six)), Ok(()));
    assert_eq!(apply(config, InterfaceEdit::Multicast(Afi::Ipv6, fixed)), Ok(()));
}

#[test]
fn authentication_is_one_for_both_families() {
    let config = &mut Config::default();
    let set = |afi, secret: &str| InterfaceEdit::Authentication(afi, Some(secret.into()));
    let too_long = apply(config, set(Afi::Ip, "abcdefghi"));
    assert_eq!(too_long, refused("Password size limit exceeded (9>8)"));
    assert_eq!(config.interfaces.len(), 0, "a refused edit makes no section");
    assert_eq!(apply(config, set(Afi::Ip, "abcdefgh")), Ok(()));
    assert_eq!(apply(config, set(Afi::Ipv6, "x")), Ok(()));
    assert_eq!(config.interfaces["gre1"].authentication, Some((Afi::Ipv6, "x".into())));
    assert_eq!(apply(config, InterfaceEdit::Authentication(Afi::Ip, None)), Ok(()));
    assert_eq!(config.interfaces["gre1"].authentication, None);
}

#[test]
fn text_that_could_not_be_read_back_is_refused() {
    let config = &mut Config::default();
    let description = |text: &str| InterfaceEdit::Description(Some(text.into()));
    assert_eq!(apply(config, description("to the hub")), Ok(()));
    for text in ["", " x", "x\n ip nhrp redirect", "x  y", "x\u{85}y", "x\ty"] {
        assert_eq!(apply(config, description(text)), refused("% Malformed description"), "{text:?}");
    }
    assert_eq!(apply(config, nhs("dynamic", "two words")), refused("% Malformed NBMA address"));
    let section = Edit::CreateInterface("a b".into());
    assert_eq!(config.apply(&section), Err(EditError::Malformed("interface name")));
}

#[test]
fn validation_finds_what_edits_could_not_make() {
    let mut config = Config::default();
    assert_eq!(config.validate(), Ok(()));
    let gre1 = config.interfaces.entry("gre1".into()).or_default();
    gre1.ipv6.mtu = Mtu::Octets(1400);
    assert_eq!(config.validate(), Err(EditError::Malformed("configuration")));
    let gre1 = config.interfaces.entry("gre1".into()).or_default();
    gre1.ip.maps.insert(ip("2001:db8::1"), MapTarget::Local);
    assert_eq!(config.validate(), Err(EditError::FamilyMismatch));
}
