//! Actions, from paths and values to what they ask for.
#![cfg(feature = "libyang")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::LazyLock;

use nhrp_config::Afi;
use nhrp_yang::{ClearTable, Operation, Schema, TreeError, Which};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::load(None).unwrap());

const CACHE: &str = "/frr-nhrpd:clear-nhrp-cache";

fn parse(path: &str, input: &[(&str, &str)]) -> Result<Operation, TreeError> {
    let input: Vec<_> = input.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    Operation::parse(&SCHEMA, path, &input)
}

fn clear(family: Option<Afi>, which: Which) -> Result<Operation, TreeError> {
    Ok(Operation::Clear { table: ClearTable::Cache, family, which })
}

#[test]
fn what_is_to_be_cleared() {
    assert_eq!(parse(CACHE, &[]), clear(None, Which::All));
    assert_eq!(parse(CACHE, &[("family", "ipv4")]), clear(Some(Afi::Ip), Which::All));
    let whole = format!("{CACHE}/family");
    assert_eq!(parse(CACHE, &[(&whole, "ipv6")]), clear(Some(Afi::Ipv6), Which::All));
    let host_bits = parse(CACHE, &[("prefix", "10.0.0.5/8")]);
    assert_eq!(host_bits, clear(None, Which::Prefix("10.0.0.0/8".parse().unwrap())));
    let peer = parse(CACHE, &[("peer", "2001:DB8::1")]);
    assert_eq!(peer, clear(None, Which::Peer("2001:db8::1".parse().unwrap())));
    let named = parse(CACHE, &[("interface", "gre'1\"")]);
    assert_eq!(named, clear(None, Which::Interface("gre'1\"".into())));
    assert_eq!(parse("/frr-nhrpd:clear-nhrp-counters", &[]), Ok(Operation::ClearCounters));
    let shortcuts = parse("/frr-nhrpd:clear-nhrp-shortcut", &[]);
    assert!(matches!(shortcuts, Ok(Operation::Clear { table: ClearTable::Shortcut, .. })), "{shortcuts:?}");
}

#[test]
fn what_is_refused() {
    for input in [
        &[("family", "ipv5")][..],
        &[("family", "")],
        &[("prefix", "10.0.0.0/33")],
        &[("peer", "10.0.0")],
        &[("interface", "two words")],
        &[("cleared", "1")],
        &[("unheard-of", "1")],
        &[("", "1")],
        &[("../clear-nhrp-shortcut/family", "ipv4")],
        &[("/frr-nhrpd:nhrp/nflog-group", "1")],
        &[("peer", "10.0.0.1"), ("interface", "gre1")],
        &[("prefix", "10.0.0.0/8"), ("peer", "10.0.0.1")],
    ] {
        assert!(parse(CACHE, input).is_err(), "{input:?}");
    }
    for path in ["/frr-nhrpd:nhrp", "/frr-nhrpd:reboot", "/frr-nhrpd:shortcut-change", "frr-nhrpd:x", ""] {
        assert!(parse(path, &[]).is_err(), "{path}");
    }
}

#[test]
fn paths_and_values_of_the_answer() {
    assert_eq!(Operation::output(CACHE, Some(7)), [(format!("{CACHE}/cleared"), "7".to_owned())]);
    assert_eq!(Operation::output("/frr-nhrpd:clear-nhrp-counters", None), []);
}
