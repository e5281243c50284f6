//! What clients may send: every path, value and document is refused or taken, and nothing panics.
#![cfg(feature = "libyang")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::LazyLock;

use nhrp_yang::{Format, MAX_PATH, Operation, Schema, Tree, TreeError, WithDefaults};
use proptest::prelude::*;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::load(None).unwrap());

const GRE1: &str = "/frr-interface:lib/interface[name='gre1']";

#[test]
fn nul_octets_are_refused_before_libyang_sees_them() {
    let mut tree = Tree::empty(&SCHEMA);
    assert_eq!(tree.set("/frr-nhrpd:nhrp\0", ""), Err(TreeError::Nul("path")));
    assert_eq!(tree.set("/frr-nhrpd:nhrp/event-socket", "a\0b"), Err(TreeError::Nul("value")));
    assert_eq!(tree.remove("/\0"), Err(TreeError::Nul("path")));
    assert!(tree.part("/\0").is_none() && !SCHEMA.knows("/\0"));
    assert_eq!(Tree::parse(&SCHEMA, "{}\0", Format::Json).unwrap_err(), TreeError::Nul("document"));
    let input = [("family".to_owned(), "ipv4\0".to_owned())];
    let refused = Operation::parse(&SCHEMA, "/frr-nhrpd:clear-nhrp-cache", &input);
    assert_eq!(refused, Err(TreeError::Nul("value")));
}

#[test]
fn paths_have_a_length() {
    let long = format!("/{}", "a/".repeat(MAX_PATH));
    let mut tree = Tree::empty(&SCHEMA);
    assert_eq!(tree.set(&long, ""), Err(TreeError::PathTooLong(long.len())));
    let deep = format!("{GRE1}[{}1{}]", "(".repeat(1000), ")".repeat(1000));
    assert!(tree.set(&deep, "").is_err() && tree.remove(&deep).is_err() && tree.part(&deep).is_none());
}

#[test]
fn documents_may_be_deep() {
    let json = format!("{{\"frr-nhrpd:nhrp\":{}", "{\"nhrp\":".repeat(100_000));
    assert!(Tree::parse(&SCHEMA, &json, Format::Json).is_err());
    let xml = "<nhrp xmlns=\"http://frrouting.org/yang/nhrpd\">".repeat(100_000);
    assert!(Tree::parse(&SCHEMA, &xml, Format::Xml).is_err());
}

#[test]
fn only_configuration_can_be_set() {
    let mut tree = Tree::empty(&SCHEMA);
    for (path, value) in [
        ("/frr-nhrpd:nhrp/state/ipsec/mode", "stock"),
        ("/frr-nhrpd:clear-nhrp-cache", ""),
        ("/frr-nhrpd:clear-nhrp-cache/family", "ipv4"),
        ("/frr-nhrpd:shortcut-change", ""),
        ("/frr-nhrpd:nhrp/nflog-group", "0"),
        ("/frr-nhrpd:nhrp/nflog-group", "one"),
        ("/frr-nhrpd:nhrp/unheard-of", "1"),
        ("/ietf-interfaces:interfaces", ""),
        ("/frr-interface:lib/interface", ""),
        ("", ""),
        ("frr-nhrpd:nhrp", ""),
    ] {
        assert!(tree.copy().unwrap().set(path, value).is_err(), "{path}");
    }
    tree.set(GRE1, "").unwrap();
    assert_eq!(tree.remove(&format!("{GRE1}/name")), Err(TreeError::Key));
    tree.remove(GRE1).unwrap();
    assert_eq!(tree.remove(GRE1), Err(TreeError::NotOne));
}

#[test]
fn nothing_is_printed_as_nothing() {
    let empty = Tree::empty(&SCHEMA);
    let mut valid = Tree::empty(&SCHEMA);
    valid.validate().unwrap();
    for defaults in [WithDefaults::All, WithDefaults::Trim] {
        assert_eq!(empty.print(Format::Json, defaults).unwrap(), "{}\n");
        assert_eq!(empty.print(Format::Xml, defaults).unwrap(), "");
    }
    assert_eq!(valid.print(Format::Xml, WithDefaults::Trim).unwrap(), "");
    assert_eq!(valid.print(Format::Json, WithDefaults::Trim).unwrap(), "{}\n");
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("/frr-interface:lib"),
        Just("/interface[name='gre1']"),
        Just("/interface"),
        Just("/frr-nhrpd:nhrp"),
        Just("/ipv4"),
        Just("/nhs[nbma='a']"),
        Just("/map[protocol-address='10.0.0.1']"),
        Just("/protocol-address"),
        Just("/multicast[.='dynamic']"),
        Just("/multicast"),
        Just("/state"),
        Just("/name"),
        Just("/.."),
        Just("/*"),
        Just("[1]"),
        Just("/frr-nhrpd:clear-nhrp-cache"),
        Just("\u{1}'\"]["),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_sequence_of_edits(edits in proptest::collection::vec((path(), "[a-z0-9.]{0,9}", any::<bool>()), 1..20)) {
        let mut tree = Tree::empty(&SCHEMA);
        for (path, value, set) in &edits {
            let mut next = tree.copy().unwrap();
            if if *set { next.set(path, value) } else { next.remove(path) }.is_ok() {
                tree = next;
            }
            let _ = tree.part(path);
            let _ = Operation::parse(&SCHEMA, path, &[(path.clone(), value.clone())]);
        }
        let mut valid = tree.copy().unwrap();
        if valid.validate().is_ok() {
            let text = valid.print(Format::Json, WithDefaults::Trim).unwrap();
            prop_assert!(Tree::parse(&SCHEMA, &text, Format::Json).is_ok(), "{}", text);
        }
    }
}
