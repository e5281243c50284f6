//! The running configuration: FRR's text read, printed as FRR prints it, and read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../examples/vty_standalone/handler.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod handler;

use handler::Standalone;
use nhrp_config::{
    Afi, Config, Edit, InterfaceEdit, MapTarget, Mtu, MulticastTarget, NhsConfig, NhsProtocol, RenderOptions,
    TunnelProtection, Uniqueness,
};
use proptest::prelude::*;
use vtysh_plugin::{Handler, Reply, ReturnCode, Session, read_config};

/// What FRR 8.4.4 and 10.3.4 answer to `do write terminal`.
const FRR_8_4_4: &str = "frr version 8.4.4\nfrr defaults traditional\n!\nhostname r1\nlog file run/nhrpd.log\nlog syslog informational\n!\n!\n!\n!\n!\ninterface gre1\n description hello\n tunnel source v0\n ip nhrp network-id 1\n ip nhrp holdtime 800\n ip nhrp shortcut\n ip nhrp registration no-unique\n ip nhrp nhs dynamic nbma 10.9.8.1\nexit\n!\ndebug nhrp all\n!\naccess-list a1 seq 5 permit any\nip prefix-list p1 seq 5 permit 10.0.0.0/8\n!\n!\n";
const FRR_10_3_4: &str = "frr version 10.3.4\nfrr defaults traditional\n!\nhostname r1\nallow-reserved-ranges\nlog syslog\n!\n!\n!\n!\ninterface gre1\n description hello\n ip nhrp network-id 1\nexit\n!\ndebug nhrp common\n!\nnhrp nflog-group 3\naccess-list a1 seq 5 permit any\nip prefix-list p1 seq 5 permit 10.0.0.0/8\n!\n!\n";
const FRR_10_7_0: &str = "frr version 10.7.0\nfrr defaults traditional\n!\nhostname r1\nallow-reserved-ranges\n!\n!\n!\n!\ninterface gre1\n description hello\n ip nhrp network-id 1\nexit\n!\ndebug nhrp common\n!\nnhrp nflog-group 3\naccess-list a1 seq 5 permit any\nip prefix-list p1 seq 5 permit 10.0.0.0/8\n!\n!\n";

#[test]
fn frrs_own_text_comes_back_to_the_byte() {
    for (version, text) in [("8.4.4", FRR_8_4_4), ("10.3.4", FRR_10_3_4), ("10.7.0", FRR_10_7_0)] {
        let mut daemon = Standalone::new(version);
        assert_eq!(read_config(text, &mut daemon), []);
        assert_eq!(daemon.running_config(), text);
    }
}

/// What the nhrpd of 8.4.4, 10.3 and 10.7.1 make of these lines: how many `!` there are depends on what is between them.
#[test]
fn there_are_as_many_separators_as_in_frr() {
    let interface = "interface gre1\n ip nhrp network-id 1\nexit\n!\n";
    let memstats = "debug memstats-at-exit\n";
    let list = "access-list b seq 5 permit any\n";
    for (version, more) in [("8.4.4", "!\n"), ("10.3", ""), ("10.7.1", "")] {
        let cases = [
            (String::new(), format!("!\n!\n!\n{more}!\n!\n!\n")),
            (list.to_owned(), format!("!\n!\n!\n{more}!\n{list}!\n!\n")),
            (interface.to_owned(), format!("!\n!\n!\n{more}!\n{interface}!\n!\n!\n")),
            (memstats.to_owned(), format!("!\n{memstats}!\n!\n!\n{more}!\n!\n!\n")),
            (format!("{memstats}{list}"), format!("!\n{memstats}!\n!\n!\n{more}!\n{list}!\n!\n")),
            (
                format!("{memstats}{interface}"),
                format!("!\n{memstats}!\n!\n!\n{more}!\n{interface}!\n!\n!\n"),
            ),
        ];
        for (typed, printed) in cases {
            let mut daemon = Standalone::new(version);
            assert_eq!(read_config(&typed, &mut daemon), []);
            let running = daemon.running_config();
            let (_, rest) = running.split_once("hostname r1\n").unwrap();
            assert_eq!(rest, printed, "{version}: {typed}");
        }
    }
}

/// All that FRR's library keeps, as the nhrpd of 10.3 prints it.
#[test]
fn the_librarys_part_comes_back_to_the_byte() {
    let text = include_str!("golden/running-10.3.txt");
    assert!(text.lines().count() > 30);
    let mut daemon = Standalone::new("10.3");
    assert_eq!(read_config(text, &mut daemon), []);
    assert_eq!(daemon.running_config(), text);
}

/// Typed at FRR 8.4.4 and 10.3, which print the same.
#[test]
fn list_rules_are_printed_in_frrs_form() {
    let mut daemon = Standalone::new("10.3");
    let typed = "access-list b permit any\naccess-list b deny 10.1.2.3/8\naccess-list b permit any\n\
                 access-list b permit 10.0.0.1\naccess-list b permit host 10.0.0.2\nno access-list b seq 5 permit any\n\
                 ip prefix-list p permit 10.1.1.1/8 le 24 ge 16\n";
    assert_eq!(read_config(typed, &mut daemon), []);
    assert_eq!(
        daemon.library.list_lines(),
        [
            "access-list b seq 10 deny 10.0.0.0/8",
            "access-list b seq 15 permit 10.0.0.1",
            "access-list b seq 20 permit 10.0.0.2",
            "ip prefix-list p seq 5 permit 10.0.0.0/8 ge 16 le 24"
        ]
    );
    let reply = daemon.library.show_access_lists(vtysh_plugin::ListFamily::Access, None);
    assert_eq!(
        reply,
        "NHRP:\nZebra IP access list b\n    seq 10 deny   10.0.0.0/8\n    seq 15 permit 10.0.0.1\n    seq 20 permit 10.0.0.2\n"
    );
}

#[test]
fn log_lines_are_accepted_but_not_printed_since_10_5() {
    let mut daemon = Standalone::new("10.7.1");
    assert_eq!(read_config("log syslog informational\nlog file /run/x.log\n", &mut daemon), []);
    assert!(!daemon.running_config().contains("log "));
    assert!(daemon.library.logging.file.is_some());
}

#[test]
fn a_bad_line_is_reported_with_its_number_and_the_rest_is_read() {
    let mut daemon = Standalone::new("10.3");
    let text = "! comment\ninterface gre1\n ip nhrp bogus\n ip nhrp holdtime 555\nnhrp nflog-group 1\ninterface gre2\n ip nhrp network-id 3\n";
    let errors = read_config(text, &mut daemon);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].line_number, 3);
    assert_eq!(errors[0].rc, ReturnCode::NoMatch);
    assert_eq!(errors[0].text, "% [NHRP] Unknown command:  ip nhrp bogus\n");
    assert_eq!(daemon.config.nflog_group, Some(1));
    assert_eq!(daemon.config.interfaces["gre1"].ip.holdtime, 555);
    assert_eq!(daemon.config.interfaces["gre2"].ip.network_id, 3);
}

fn run(session: &mut Session, daemon: &mut Standalone, line: &str) -> Reply {
    session.execute(line, daemon)
}

#[test]
fn nodes_are_walked_as_in_frr() {
    let (mut session, mut daemon) = (Session::new(), Standalone::new("10.3"));
    let mut rc = |line: &str| run(&mut session, &mut daemon, line).rc;
    use ReturnCode::{NoMatch, Success};
    for (line, expected) in [
        ("do show dmvpn", NoMatch),
        ("configure terminal", NoMatch),
        ("echo PING", Success),
        ("enable", Success),
        ("do show dmvpn", Success),
        ("show dmvpn", Success),
        ("conf t", Success),
        ("conf t", NoMatch),
        ("show dmvpn", NoMatch),
        ("do show dmvpn", Success),
        ("do conf t", NoMatch),
        ("do exit", NoMatch),
        ("interface gre1", Success),
        ("bogus", NoMatch),
        ("ip nhrp shortcut", Success),
        ("vrf red", Success),
        ("ip nhrp shortcut", NoMatch),
        ("exit-vrf", Success),
        ("line vty", Success),
        ("exec-timeout 0 0", Success),
        ("end", Success),
        ("ip nhrp shortcut", NoMatch),
        ("disable", Success),
        ("conf t", NoMatch),
    ] {
        assert_eq!(rc(line), expected, "{line}");
    }
}

#[test]
fn walking_up_moves_the_session_only_if_the_parent_knows_the_line() {
    let (mut session, mut daemon) = (Session::for_file(), Standalone::new("10.3"));
    assert_eq!(run(&mut session, &mut daemon, "interface gre1").rc, ReturnCode::Success);
    assert_eq!(run(&mut session, &mut daemon, "bogus").rc, ReturnCode::NoMatch);
    assert_eq!(run(&mut session, &mut daemon, "ip nhrp holdtime 7").rc, ReturnCode::Success);
    assert_eq!(run(&mut session, &mut daemon, "nhrp nflog-group 1").rc, ReturnCode::Success);
    assert_eq!(run(&mut session, &mut daemon, "ip nhrp holdtime 8").rc, ReturnCode::NoMatch);
    assert_eq!(daemon.config.interfaces["gre1"].ip.holdtime, 7);
}

#[test]
fn exit_at_the_top_answers_and_then_hangs_up() {
    for lines in [&["exit"][..], &["enable", "quit"], &["enable", "conf t", "exit", "exit"]] {
        let (mut session, mut daemon) = (Session::new(), Standalone::new("10.3"));
        let replies: Vec<Reply> = lines.iter().map(|line| run(&mut session, &mut daemon, line)).collect();
        let (last, before) = replies.split_last().unwrap();
        assert!(before.iter().all(|reply| !reply.close));
        assert_eq!(*last, Reply { close: true, ..Reply::ok() });
    }
}

fn v4() -> impl Strategy<Value = std::net::IpAddr> {
    any::<[u8; 4]>().prop_map(Into::into)
}

fn v6() -> impl Strategy<Value = std::net::IpAddr> {
    any::<[u16; 8]>().prop_map(Into::into)
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9._:@/-]{0,7}"
}

fn edit() -> impl Strategy<Value = InterfaceEdit> {
    let afi = prop_oneof![Just(Afi::Ip), Just(Afi::Ipv6)];
    let family = move |afi: Afi| if afi == Afi::Ip { v4().boxed() } else { v6().boxed() };
    prop_oneof![
        "[!-~]{1,9}( [!-~]{1,9}){0,3}".prop_map(|text| InterfaceEdit::Description(Some(text))),
        (word(), proptest::option::of(word())).prop_map(|(profile, fallback)| {
            InterfaceEdit::Protection(Some(TunnelProtection { profile, fallback }))
        }),
        word().prop_map(|name| InterfaceEdit::TunnelSource(Some(name))),
        (afi.clone(), word()).prop_map(|(afi, secret)| InterfaceEdit::Authentication(afi, Some(secret))),
        (afi.clone(), 1u32..).prop_map(|(afi, id)| InterfaceEdit::NetworkId(afi, id)),
        (afi.clone(), 1u16..=65000).prop_map(|(afi, seconds)| InterfaceEdit::Holdtime(afi, seconds)),
        (576u16..=1500).prop_map(|octets| InterfaceEdit::Mtu(Mtu::Octets(octets))),
        Just(InterfaceEdit::Mtu(Mtu::OpenNhrp)),
        afi.clone().prop_map(|afi| InterfaceEdit::Shortcut(afi, true)),
        afi.clone().prop_map(|afi| InterfaceEdit::Redirect(afi, true)),
        afi.clone().prop_map(|afi| InterfaceEdit::NoUnique(afi, true)),
        afi.clone().prop_map(|afi| InterfaceEdit::Uniqueness(afi, Uniqueness::Strict)),
        afi.clone().prop_map(|afi| InterfaceEdit::RequireIdentity(afi, true)),
        (v4(), 0u8..=32, "[!-~]{1,9}( [!-~]{1,9}){0,3}").prop_map(|(address, length, identity)| {
            let prefix = ipnet::IpNet::new(address, length).unwrap().trunc();
            InterfaceEdit::Identity(Afi::Ip, prefix, identity)
        }),
        afi.clone().prop_flat_map(move |afi| {
            let target = prop_oneof![Just(MapTarget::Local), v4().prop_map(MapTarget::Nbma)];
            (Just(afi), family(afi), target)
                .prop_map(|(afi, address, target)| InterfaceEdit::Map(afi, address, target))
        }),
        afi.clone().prop_flat_map(move |afi| {
            let protocol =
                prop_oneof![Just(NhsProtocol::Dynamic), family(afi).prop_map(NhsProtocol::Address)];
            (Just(afi), protocol, word(), any::<u8>()).prop_map(|(afi, protocol, nbma, priority)| {
                InterfaceEdit::Nhs(afi, NhsConfig { protocol, nbma, priority })
            })
        }),
        (
            afi,
            prop_oneof![
                Just(MulticastTarget::Dynamic),
                Just(MulticastTarget::Nhs),
                v4().prop_map(MulticastTarget::Nbma),
                v6().prop_map(MulticastTarget::Nbma)
            ]
        )
            .prop_map(|(afi, target)| InterfaceEdit::Multicast(afi, target)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What is printed can be typed, and means the same.
    #[test]
    fn every_printed_line_reads_back(edits in prop::collection::vec(edit(), 0..12), group in proptest::option::of(1u16..)) {
        let mut config = Config::default();
        config.apply(&Edit::NflogGroup(group)).unwrap();
        config.apply(&Edit::CreateInterface("gre1".into())).unwrap();
        for edit in edits {
            // Some meet (the same NHS twice) and are refused, as they should be.
            let _ = config.apply(&Edit::Interface { name: "gre1".into(), edit });
        }
        let text = config.render(&RenderOptions::FULL);
        let mut daemon = Standalone::new("10.7.1");
        prop_assert_eq!(read_config(&text, &mut daemon), []);
        prop_assert_eq!(daemon.config.render(&RenderOptions::FULL), text.clone());
        // frr-reload.py removes a line by writing `no` before it.
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(' ')).collect();
        let mut session = Session::for_file();
        session.execute("interface gre1", &mut daemon);
        for line in lines {
            let reply = session.execute(&format!("no{line}"), &mut daemon);
            prop_assert_eq!(reply.rc, ReturnCode::Success, "no{}: {}", line, reply.text);
        }
        prop_assert!(!daemon.config.render(&RenderOptions::FULL).contains("interface"));
    }

    #[test]
    fn any_stream_of_lines_has_replies(lines in prop::collection::vec("(do |no )?(ip|interface|show|log|vrf|exit|end|conf|nhrp|debug) ?[ -~]{0,20}", 0..20)) {
        let (mut session, mut daemon) = (Session::new(), Standalone::new("10.3"));
        let _ = daemon.execute(vtysh_plugin::Command::BulkStart);
        for line in lines {
            let reply = session.execute(&line, &mut daemon);
            prop_assert!(reply.text.is_empty() || reply.text.ends_with('\n'));
        }
    }
}
