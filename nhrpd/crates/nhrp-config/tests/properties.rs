//! Laws of edit, diff and render over generated configurations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;

use nhrp_config::{
    Afi, Config, Edit, InterfaceEdit, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol, RenderOptions,
    TunnelProtection, Uniqueness, compare_interface_names,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Few of each, so that they meet.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (1u8..5).prop_map(|n| IpAddr::from([10, 0, 0, n])),
        (1u16..4).prop_map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n])),
    ]
}

fn afi() -> impl Strategy<Value = Afi> {
    prop_oneof![Just(Afi::Ip), Just(Afi::Ipv6)]
}

fn word() -> impl Strategy<Value = String> {
    "[a-c]{1,2}|[a-c]{9}|[ -~]{0,3}"
}

fn target() -> impl Strategy<Value = MapTarget> {
    prop_oneof![Just(MapTarget::Local), address().prop_map(MapTarget::Nbma)]
}

fn multicast() -> impl Strategy<Value = MulticastTarget> {
    prop_oneof![
        Just(MulticastTarget::Dynamic),
        Just(MulticastTarget::Nhs),
        address().prop_map(MulticastTarget::Nbma),
    ]
}

fn prefix() -> impl Strategy<Value = ipnet::IpNet> {
    (address(), 0u8..=32)
        .prop_filter_map("a prefix", |(address, length)| ipnet::IpNet::new(address, length).ok())
}

fn nhs_protocol() -> impl Strategy<Value = NhsProtocol> {
    prop_oneof![Just(NhsProtocol::Dynamic), address().prop_map(NhsProtocol::Address)]
}

fn mtu() -> impl Strategy<Value = Mtu> {
    prop_oneof![Just(Mtu::Unset), Just(Mtu::OpenNhrp), (576u16..=1500).prop_map(Mtu::Octets)]
}

fn interface_edit() -> impl Strategy<Value = InterfaceEdit> {
    let settings = prop_oneof![
        option::of(word()).prop_map(InterfaceEdit::Description),
        option::of((word(), option::of(word())))
            .prop_map(|p| p.map(|(profile, fallback)| TunnelProtection { profile, fallback }))
            .prop_map(InterfaceEdit::Protection),
        option::of(word()).prop_map(InterfaceEdit::TunnelSource),
        (afi(), option::of(word())).prop_map(|(a, s)| InterfaceEdit::Authentication(a, s)),
        (afi(), 0u32..3).prop_map(|(a, n)| InterfaceEdit::NetworkId(a, n)),
        (afi(), prop_oneof![Just(7200u16), 1u16..3]).prop_map(|(a, n)| InterfaceEdit::Holdtime(a, n)),
        mtu().prop_map(InterfaceEdit::Mtu),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::Shortcut(a, on)),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::Redirect(a, on)),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::NoUnique(a, on)),
        (afi(), prop_oneof![Just(Uniqueness::Strict), Just(Uniqueness::Replace)])
            .prop_map(|(a, policy)| InterfaceEdit::Uniqueness(a, policy)),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::RequireIdentity(a, on)),
    ];
    let lists = prop_oneof![
        3 => (afi(), address(), target()).prop_map(|(a, p, t)| InterfaceEdit::Map(a, p, t)),
        1 => (afi(), address()).prop_map(|(a, p)| InterfaceEdit::NoMap(a, p)),
        2 => (afi(), prefix(), word()).prop_map(|(a, p, i)| InterfaceEdit::Identity(a, p, i)),
        1 => (afi(), prefix(), word()).prop_map(|(a, p, i)| InterfaceEdit::NoIdentity(a, p, i)),
        3 => (afi(), multicast()).prop_map(|(a, t)| InterfaceEdit::Multicast(a, t)),
        1 => (afi(), multicast()).prop_map(|(a, t)| InterfaceEdit::NoMulticast(a, t)),
        3 => (afi(), nhs_protocol(), word(), 0u8..3).prop_map(|(a, protocol, nbma, priority)| {
            InterfaceEdit::Nhs(a, NhsConfig { protocol, nbma, priority })
        }),
        1 => (afi(), nhs_protocol(), word()).prop_map(|(a, p, n)| InterfaceEdit::NoNhs(a, p, n)),
    ];
    prop_oneof![2 => settings, 3 => lists]
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || prop_oneof![Just("gre1".to_owned()), Just("gre10".to_owned()), word()];
    prop_oneof![
        1 => option::of(word()).prop_map(Edit::EventSocket),
        1 => option::of(1u16..4).prop_map(Edit::NflogGroup),
        1 => option::of(1u16..4).prop_map(Edit::MulticastNflogGroup),
        1 => (any::<u16>(), any::<bool>()).prop_map(|(bits, on)| Edit::Debug { bits, on }),
        1 => name().prop_map(Edit::CreateInterface),
        1 => name().prop_map(Edit::DeleteInterface),
        20 => (name(), interface_edit()).prop_map(|(name, edit)| Edit::Interface { name, edit }),
    ]
}

/// What is left after some edits, of which many are refused: every reachable configuration.
fn config() -> impl Strategy<Value = Config> {
    vec(edit(), 0..60).prop_map(|edits| {
        let mut config = Config::default();
        for edit in &edits {
            let _ = config.apply(edit);
        }
        config
    })
}

fn option_sets() -> Vec<RenderOptions> {
    let mut sets = vec![RenderOptions::FULL];
    for (major, minor) in [(8, 4), (10, 3), (10, 7), (10, 8)] {
        sets.push(RenderOptions::vtysh(major, minor));
        sets.push(RenderOptions::rest(major, minor));
    }
    sets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_refused_edit_changes_nothing(mut config in config(), edits in vec(edit(), 1..20)) {
        for edit in &edits {
            let before = config.clone();
            if config.apply(edit).is_err() {
                prop_assert_eq!(&config, &before);
            }
            prop_assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn the_diff_leads_there_and_is_never_refused(old in config(), new in config()) {
        let mut moving = old.clone();
        for edit in old.diff(&new) {
            prop_assert_eq!(moving.apply(&edit), Ok(()), "{:?}", edit);
        }
        prop_assert_eq!(&moving, &new);
        prop_assert_eq!(moving.diff(&new), vec![]);
        prop_assert_eq!(new.diff(&new), vec![]);
    }

    #[test]
    fn a_diff_has_no_idle_edit(old in config(), new in config()) {
        let mut moving = old.clone();
        for edit in old.diff(&new) {
            let before = moving.clone();
            moving.apply(&edit).unwrap();
            prop_assert_ne!(&moving, &before, "{:?}", edit);
        }
    }

    #[test]
    fn both_views_together_are_the_whole(config in config()) {
        for (major, minor) in [(8, 4), (10, 3), (10, 7), (10, 8)] {
            for interface in config.interfaces.values() {
                let whole = interface.lines(&RenderOptions {
                    view: nhrp_config::View::Whole,
                    ..RenderOptions::vtysh(major, minor)
                });
                let mut parts = interface.lines(&RenderOptions::vtysh(major, minor));
                parts.extend(interface.lines(&RenderOptions::rest(major, minor)));
                let sorted = |mut lines: Vec<String>| { lines.sort(); lines };
                prop_assert_eq!(sorted(whole), sorted(parts));
            }
        }
    }

    #[test]
    fn every_line_is_one_line_and_rendering_is_a_function_of_the_value(config in config()) {
        let twin = {
            let mut twin = Config::default();
            for edit in Config::default().diff(&config) {
                twin.apply(&edit).unwrap();
            }
            twin
        };
        for options in option_sets() {
            let text = config.render(&options);
            prop_assert_eq!(&text, &twin.render(&options));
            let known = ["interface ", " description ", " tunnel ", " ip nhrp ", " ipv6 nhrp ", "debug nhrp ", "nhrp "];
            for line in text.lines() {
                let fine = ["exit", "!"].contains(&line) || known.iter().any(|k| line.starts_with(k));
                prop_assert!(fine, "{:?}", line);
            }
        }
    }

    #[test]
    fn interface_names_have_a_total_order(mut names in vec("[a0.\u{e4}1-3-]{0,6}", 3..8)) {
        names.sort_by(|a, b| compare_interface_names(a, b));
        for (i, a) in names.iter().enumerate() {
            for b in &names[i..] {
                prop_assert!(compare_interface_names(a, b).is_le(), "{} {}", a, b);
                prop_assert_eq!(compare_interface_names(a, b), compare_interface_names(b, a).reverse());
            }
        }
    }
}
