//! After any sequence of edits and commits, what runs is what its own text says, read back by the command line's
//! reader; and whatever was refused has changed nothing.
#![cfg(feature = "datastores")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use northbound::Phase;
use proptest::collection::vec;
use proptest::prelude::*;
use support::steps::{Step, check};
use support::{GRE1, below};

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("dynamic".to_owned()),
        Just("nhs".to_owned()),
        Just("local".to_owned()),
        Just("strict".to_owned()),
        Just("ipv6".to_owned()),
        Just("all".to_owned()),
        Just("opennhrp".to_owned()),
        Just(String::new()),
        (0u32..70_000).prop_map(|n| n.to_string()),
        "[ -~ä\u{1}]{1,9}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let family = prop_oneof![Just("ipv4"), Just("ipv6")];
    let leaf = prop_oneof![
        Just("network-id".to_owned()),
        Just("holdtime".to_owned()),
        Just("mtu".to_owned()),
        Just("shortcut".to_owned()),
        Just("redirect".to_owned()),
        Just("registration-no-unique".to_owned()),
        Just("registration-unique".to_owned()),
        Just("multicast".to_owned()),
        "[a-c]".prop_map(|n| format!("nhs[nbma='{n}']")),
        "[a-c]".prop_map(|n| format!("nhs[nbma='{n}']/protocol-address")),
        "[a-c]".prop_map(|n| format!("nhs[nbma='{n}']/priority")),
        (1u8..3).prop_map(|n| format!("map[protocol-address='10.0.0.{n}']/nbma")),
        (1u8..3).prop_map(|n| format!("map[protocol-address='2001:db8::{n}']/nbma")),
    ];
    prop_oneof![
        6 => (family, leaf).prop_map(|(family, leaf)| below(&format!("{family}/{leaf}"))),
        1 => Just(below("authentication/secret")),
        1 => Just(below("authentication/configured-under")),
        1 => Just(below("authentication")),
        1 => Just(below("tunnel/source")),
        1 => Just(below("tunnel/protection")),
        1 => Just(below("tunnel/protection/profile")),
        1 => Just(below("tunnel/protection/fallback-profile")),
        1 => Just(format!("{GRE1}/description")),
        1 => Just(GRE1.to_owned()),
        1 => Just("/frr-nhrpd:nhrp/event-socket".to_owned()),
        1 => Just("/frr-nhrpd:nhrp/nflog-group".to_owned()),
        1 => Just("/frr-nhrpd:nhrp/debug".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let phase = prop_oneof![
        3 => Just(Phase::All),
        1 => Just(Phase::Validate),
        1 => Just(Phase::Prepare),
        1 => Just(Phase::Apply),
        1 => Just(Phase::Abort),
    ];
    prop_oneof![
        8 => (path(), value()).prop_map(|(path, value)| Step::Set(path, value)),
        2 => path().prop_map(Step::Remove),
        3 => phase.prop_map(Step::Commit),
        1 => Just(Step::Anew),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_runs_is_what_its_text_says(steps in vec(step(), 1..40)) {
        check(steps);
    }
}
