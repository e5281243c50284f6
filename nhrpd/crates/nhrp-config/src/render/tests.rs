//! Text that FRR printed, and what it read to print it.

use super::*;
use crate::{Edit, InterfaceEdit, TunnelProtection};

fn interface(config: &mut Config, edits: Vec<InterfaceEdit>) {
    for edit in edits {
        let edit = Edit::Interface { name: "gre1".into(), edit };
        assert_eq!(config.apply(&edit), Ok(()), "{edit:?}");
    }
}

fn nhs(protocol: &str, nbma: &str, priority: u8) -> InterfaceEdit {
    let protocol = match protocol {
        "dynamic" => NhsProtocol::Dynamic,
        address => NhsProtocol::Address(address.parse().unwrap()),
    };
    InterfaceEdit::Nhs(Afi::Ip, NhsConfig { protocol, nbma: nbma.into(), priority })
}

/// The configuration of a live FRR 8.4.4; what it printed is below. Its two `map` lines stood the other way round there.
fn full_8_4() -> Config {
    let mut config = Config::default();
    let nbma = |text: &str| MapTarget::Nbma(text.parse().unwrap());
    interface(
        &mut config,
        vec![
            InterfaceEdit::TunnelSource(Some("eth0".into())),
            InterfaceEdit::NetworkId(Afi::Ip, 42),
            InterfaceEdit::Holdtime(Afi::Ip, 30),
            InterfaceEdit::Mtu(Mtu::Octets(1400)),
            InterfaceEdit::Shortcut(Afi::Ip, true),
            nhs("dynamic", "10.2.1.2", 0),
            InterfaceEdit::Map(Afi::Ip, "10.255.255.77".parse().unwrap(), nbma("10.9.9.9")),
            InterfaceEdit::Map(Afi::Ip, "10.255.255.78".parse().unwrap(), MapTarget::Local),
            InterfaceEdit::Multicast(Afi::Ip, MulticastTarget::Nbma("10.2.1.2".parse().unwrap())),
            nhs("10.255.255.2", "hub.example.com", 0),
            InterfaceEdit::Multicast(Afi::Ip, MulticastTarget::Dynamic),
            InterfaceEdit::Mtu(Mtu::OpenNhrp),
            InterfaceEdit::NetworkId(Afi::Ipv6, 7),
            InterfaceEdit::Holdtime(Afi::Ipv6, 100),
            InterfaceEdit::Shortcut(Afi::Ipv6, true),
            InterfaceEdit::Redirect(Afi::Ipv6, true),
            InterfaceEdit::NoUnique(Afi::Ipv6, true),
            InterfaceEdit::Map(Afi::Ipv6, "2001:db8::9".parse().unwrap(), nbma("10.3.3.3")),
            InterfaceEdit::Multicast(Afi::Ipv6, MulticastTarget::Dynamic),
            InterfaceEdit::Nhs(
                Afi::Ipv6,
                NhsConfig { protocol: NhsProtocol::Dynamic, nbma: "10.4.4.4".into(), priority: 0 },
            ),
            InterfaceEdit::Protection(Some(TunnelProtection {
                profile: "A".into(),
                fallback: Some("B".into()),
            })),
        ],
    );
    config.apply(&Edit::Debug { bits: DebugTopics::ALL, on: true }).unwrap();
    config
}

const FULL_8_4: &str = "\
interface gre1
 tunnel protection vici profile A fallback-profile B
 tunnel source eth0
 ip nhrp network-id 42
 ip nhrp holdtime 30
 ip nhrp mtu opennhrp
 ip nhrp shortcut
 ip nhrp map 10.255.255.77 10.9.9.9
 ip nhrp map 10.255.255.78 local
 ip nhrp nhs dynamic nbma 10.2.1.2
 ip nhrp nhs 10.255.255.2 nbma hub.example.com
 ip nhrp map multicast 10.2.1.2
 ip nhrp map multicast dynamic
 ipv6 nhrp network-id 7
 ipv6 nhrp holdtime 100
 ipv6 nhrp shortcut
 ipv6 nhrp redirect
 ipv6 nhrp registration no-unique
 ipv6 nhrp map 2001:db8::9 10.3.3.3
 ipv6 nhrp nhs dynamic nbma 10.4.4.4
 ipv6 nhrp map multicast dynamic
exit
!
debug nhrp all
!
";

#[test]
fn prints_what_frr_8_4_prints() {
    let config = full_8_4();
    assert_eq!(config.render(&RenderOptions::vtysh(8, 4)), FULL_8_4);
    assert_eq!(config.render(&RenderOptions::FULL), FULL_8_4);
    assert_eq!(config.render(&RenderOptions::rest(8, 4)), "");
}

#[test]
fn prints_debug_topics_and_globals_as_frr_8_4_does() {
    let mut config = Config::default();
    for edit in [
        Edit::NflogGroup(Some(5)),
        Edit::MulticastNflogGroup(Some(6)),
        Edit::EventSocket(Some("/run/ev.sock".into())),
        Edit::Debug { bits: DebugTopics::ALL, on: true },
        Edit::Debug { bits: DebugTopics::VICI, on: false },
    ] {
        config.apply(&edit).unwrap();
    }
    let expected = "\
debug nhrp common
debug nhrp interface
debug nhrp kernel
debug nhrp route
debug nhrp event
!
nhrp event socket /run/ev.sock
nhrp nflog-group 5
nhrp multicast-nflog-group 6
";
    assert_eq!(config.render_global(&RenderOptions::vtysh(8, 4)), expected);
    assert_eq!(config.render(&RenderOptions::FULL), expected);
}

#[test]
fn prints_authentication_where_frr_10_3_does() {
    let mut config = Config::default();
    interface(
        &mut config,
        vec![
            InterfaceEdit::NoUnique(Afi::Ip, true),
            nhs("dynamic", "10.2.1.2", 0),
            InterfaceEdit::Shortcut(Afi::Ip, true),
            InterfaceEdit::Holdtime(Afi::Ip, 30),
            InterfaceEdit::NetworkId(Afi::Ip, 42),
            InterfaceEdit::Authentication(Afi::Ip, Some("abcdefgh".into())),
            InterfaceEdit::TunnelSource(Some("eth0".into())),
        ],
    );
    let expected = "\
interface gre1
 tunnel source eth0
 ip nhrp authentication abcdefgh
 ip nhrp network-id 42
 ip nhrp holdtime 30
 ip nhrp shortcut
 ip nhrp registration no-unique
 ip nhrp nhs dynamic nbma 10.2.1.2
exit
!
";
    assert_eq!(config.render_interface("gre1", &RenderOptions::vtysh(10, 3)), expected);
}

#[test]
fn each_vtysh_gets_what_it_can_read_and_the_rest_has_the_rest() {
    let mut config = Config::default();
    interface(
        &mut config,
        vec![
            InterfaceEdit::NetworkId(Afi::Ip, 1),
            InterfaceEdit::Authentication(Afi::Ipv6, Some("secret".into())),
            nhs("dynamic", "192.0.2.1", 0),
            nhs("dynamic", "192.0.2.2", 9),
            InterfaceEdit::Multicast(Afi::Ip, MulticastTarget::Nhs),
        ],
    );
    let section = |lines: &str| format!("interface gre1\n{lines}exit\n!\n");
    let common = " ip nhrp network-id 1\n ip nhrp nhs dynamic nbma 192.0.2.1\n";
    let new = " ip nhrp nhs dynamic nbma 192.0.2.2 priority 9\n ip nhrp map multicast nhs\n";
    let cases = [
        ((8, 4), "", " ipv6 nhrp authentication secret\n"),
        ((10, 1), "", " ipv6 nhrp authentication secret\n"),
        ((10, 2), " ip nhrp authentication secret\n", ""),
        ((10, 6), " ip nhrp authentication secret\n", ""),
        ((10, 7), " ipv6 nhrp authentication secret\n", ""),
    ];
    for ((major, minor), readable, unreadable) in cases {
        let vtysh = config.render_interface("gre1", &RenderOptions::vtysh(major, minor));
        let rest = config.render(&RenderOptions::rest(major, minor));
        assert_eq!(vtysh, section(&format!("{readable}{common}")), "{major}.{minor}");
        assert_eq!(rest, section(&format!("{unreadable}{new}")), "{major}.{minor}");
    }
    assert_eq!(config.render(&RenderOptions::rest(10, 8)), "");
}

/// A live 8.4.4 and a live 10.3 were given these lines and printed this, after a `!` for the first section.
#[test]
fn several_interfaces_as_frr_prints_them() {
    let mut config = Config::default();
    let map = |target| InterfaceEdit::Map(Afi::Ip, "10.0.0.1".parse().unwrap(), target);
    interface(
        &mut config,
        vec![
            map(MapTarget::Nbma("1.2.3.4".parse().unwrap())),
            nhs("dynamic", "h", 0),
            nhs("10.0.0.3", "j", 0),
            nhs("dynamic", "J", 0),
            InterfaceEdit::NoNhs(Afi::Ip, NhsProtocol::Address("10.0.0.3".parse().unwrap()), "j".into()),
            map(MapTarget::Local),
            InterfaceEdit::Description(Some("a b".into())),
        ],
    );
    config.apply(&Edit::CreateInterface("lo".into())).unwrap();
    for name in ["gre10", "gre2"] {
        let edit = InterfaceEdit::Shortcut(Afi::Ip, true);
        config.apply(&Edit::Interface { name: name.into(), edit }).unwrap();
    }
    let expected = "\
interface gre1
 description a b
 ip nhrp map 10.0.0.1 local
 ip nhrp nhs dynamic nbma h
 ip nhrp nhs dynamic nbma J
exit
!
!
interface gre2
 ip nhrp shortcut
exit
!
!
interface gre10
 ip nhrp shortcut
exit
!
!
";
    assert_eq!(config.render(&RenderOptions::vtysh(8, 4)), expected);
    assert_eq!(config.render(&RenderOptions::vtysh(10, 3)), expected);
}

#[test]
fn no_vtysh_is_given_the_policy_of_unique_registrations() {
    let mut config = Config::default();
    interface(&mut config, vec![InterfaceEdit::Uniqueness(Afi::Ip, Uniqueness::Strict)]);
    assert!(!config.render(&RenderOptions::vtysh(10, 8)).contains("unique"));
    assert!(config.render(&RenderOptions::rest(10, 8)).contains(" ip nhrp registration unique strict\n"));
    assert!(config.render(&RenderOptions::FULL).contains(" ip nhrp registration unique strict\n"));
    interface(&mut config, vec![InterfaceEdit::Uniqueness(Afi::Ip, Uniqueness::Replace)]);
    assert!(!config.render(&RenderOptions::FULL).contains("unique"), "the default is not printed");
}
