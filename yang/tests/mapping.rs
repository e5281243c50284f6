//! The configuration as data: there and back is the identity, for whatever the command line could have made.
#![cfg(feature = "libyang")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;
use nhrp_config::{
    Afi, Config, DebugTopics, Edit, InterfaceEdit, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol,
    RenderOptions, TunnelProtection, Uniqueness,
};
use nhrp_yang::{Format, Schema, Tree, WithDefaults, config_of, document_of};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::load(None).unwrap());

fn ipv4() -> impl Strategy<Value = IpAddr> {
    (1u8..5).prop_map(|n| IpAddr::from([10, 0, 0, n]))
}

fn address() -> impl Strategy<Value = IpAddr> {
    let ipv6 = (1u16..4).prop_map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
    prop_oneof![ipv4(), ipv6]
}

fn afi() -> impl Strategy<Value = Afi> {
    prop_oneof![Just(Afi::Ip), Just(Afi::Ipv6)]
}

/// Words that a terminal can send, with everything that has a meaning in XML, JSON or XPath.
fn word() -> impl Strategy<Value = String> {
    "[a-c]{1,2}|[!-~]{1,4}|[äß漢]{1,2}"
}

fn interface_edit() -> impl Strategy<Value = InterfaceEdit> {
    let target = prop_oneof![Just(MapTarget::Local), ipv4().prop_map(MapTarget::Nbma)];
    let multicast = || {
        prop_oneof![
            Just(MulticastTarget::Dynamic),
            Just(MulticastTarget::Nhs),
            address().prop_map(MulticastTarget::Nbma),
        ]
    };
    let protocol = prop_oneof![Just(NhsProtocol::Dynamic), address().prop_map(NhsProtocol::Address)];
    let mtu = prop_oneof![Just(Mtu::Unset), Just(Mtu::OpenNhrp), (576u16..=1500).prop_map(Mtu::Octets)];
    let settings = prop_oneof![
        option::of("[ -~]{1,6}").prop_map(InterfaceEdit::Description),
        option::of((word(), option::of(word())))
            .prop_map(|p| p.map(|(profile, fallback)| TunnelProtection { profile, fallback }))
            .prop_map(InterfaceEdit::Protection),
        option::of(word()).prop_map(InterfaceEdit::TunnelSource),
        (afi(), option::of(word())).prop_map(|(a, s)| InterfaceEdit::Authentication(a, s)),
        (afi(), prop_oneof![0u32..3, Just(u32::MAX)]).prop_map(|(a, n)| InterfaceEdit::NetworkId(a, n)),
        (afi(), prop_oneof![Just(7200u16), 1u16..=65000]).prop_map(|(a, n)| InterfaceEdit::Holdtime(a, n)),
        mtu.prop_map(InterfaceEdit::Mtu),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::Shortcut(a, on)),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::Redirect(a, on)),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::NoUnique(a, on)),
        (afi(), prop_oneof![Just(Uniqueness::Strict), Just(Uniqueness::Replace)])
            .prop_map(|(a, policy)| InterfaceEdit::Uniqueness(a, policy)),
        (afi(), any::<bool>()).prop_map(|(a, on)| InterfaceEdit::RequireIdentity(a, on)),
    ];
    let prefix = (address(), 0u8..=32).prop_map(|(a, length)| IpNet::new(a, length).unwrap());
    let lists = prop_oneof![
        (afi(), prefix, "[!-~]([ -~]{0,4}[!-~])?").prop_map(|(a, p, who)| InterfaceEdit::Identity(a, p, who)),
        (afi(), address(), target).prop_map(|(a, p, t)| InterfaceEdit::Map(a, p, t)),
        (afi(), multicast()).prop_map(|(a, t)| InterfaceEdit::Multicast(a, t)),
        (afi(), protocol, word(), any::<u8>()).prop_map(|(a, protocol, nbma, priority)| {
            InterfaceEdit::Nhs(a, NhsConfig { protocol, nbma, priority })
        }),
    ];
    prop_oneof![settings, lists]
}

fn edit() -> impl Strategy<Value = Edit> {
    let mut bits: Vec<u16> = DebugTopics::NAMES.iter().map(|(bit, _)| *bit).collect();
    bits.push(DebugTopics::ALL);
    let topics = proptest::sample::select(bits);
    prop_oneof![
        1 => option::of("[!-~]{1,5}").prop_map(Edit::EventSocket),
        1 => option::of(1u16..).prop_map(Edit::NflogGroup),
        1 => option::of(1u16..).prop_map(Edit::MulticastNflogGroup),
        1 => (topics, any::<bool>()).prop_map(|(bits, on)| Edit::Debug { bits, on }),
        1 => word().prop_map(Edit::CreateInterface),
        20 => (prop_oneof![Just("gre1".to_owned()), word()], interface_edit())
            .prop_map(|(name, edit)| Edit::Interface { name, edit }),
    ]
}

/// What is left after some edits, of which many are refused.
fn config() -> impl Strategy<Value = Config> {
    vec(edit(), 0..60).prop_map(|edits| {
        let mut config = Config::default();
        for edit in &edits {
            let _ = config.apply(edit);
        }
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn configuration_to_data_and_back(config in config()) {
        let tree = document_of(&SCHEMA, &config).unwrap();
        let back = config_of(&tree).unwrap();
        // Single bits beneath `debug nhrp all` have no name; they are the only thing that no text keeps.
        prop_assert_eq!(back.render(&RenderOptions::FULL), config.render(&RenderOptions::FULL));
        let named = Config { debug: back.debug, ..config };
        prop_assert_eq!(&back, &named);
    }

    #[test]
    fn data_to_configuration_and_back(config in config()) {
        let tree = document_of(&SCHEMA, &config).unwrap();
        let again = document_of(&SCHEMA, &config_of(&tree).unwrap()).unwrap();
        for format in [Format::Json, Format::Xml] {
            for defaults in [WithDefaults::All, WithDefaults::Trim] {
                let text = tree.print(format, defaults).unwrap();
                prop_assert_eq!(&again.print(format, defaults).unwrap(), &text);
                // What was printed is read as what it was.
                let read = Tree::parse(&SCHEMA, &text, format).unwrap();
                prop_assert_eq!(config_of(&read).unwrap(), config_of(&tree).unwrap());
            }
        }
    }
}
