use nhrp_config::{Afi, Edit, InterfaceEdit};
use proptest::prelude::*;

use super::*;
use crate::{NhrpTable, Show};

const NODES: [NodeKind; 6] =
    [NodeKind::View, NodeKind::Enable, NodeKind::Config, NodeKind::Interface, NodeKind::Vrf, NodeKind::Line];

fn parse_in(node: NodeKind, line: &str) -> Match {
    parse(node, line, &Context { interface: (node == NodeKind::Interface).then_some("gre1") })
}

fn found(node: NodeKind, line: &str) -> Command {
    match parse_in(node, line) {
        Match::Found(Action::Command(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn interface_edit(line: &str) -> InterfaceEdit {
    match found(NodeKind::Interface, line) {
        Command::Edit(Edit::Interface { name, edit }) if name == "gre1" => edit,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_syntax_of_the_table_parses() {
    for entry in table::all() {
        assert!(syntax::parse(entry.syntax).is_ok(), "{}: {:?}", entry.syntax, syntax::parse(entry.syntax));
    }
    assert_eq!(COMMANDS.len(), table::all().count());
}

#[test]
fn abbreviations_mean_what_frr_takes_them_for() {
    let cache = Command::Show(Show::Nhrp { afi: Afi::Ip, table: NhrpTable::Cache, json: false });
    assert_eq!(found(NodeKind::View, "sh ip nhrp ca"), cache);
    assert_eq!(found(NodeKind::View, "sh ip nh"), cache);
    assert_eq!(interface_edit("ip nhrp net 5"), InterfaceEdit::NetworkId(Afi::Ip, 5));
    assert_eq!(interface_edit("ip nh map multi d"), interface_edit("ip nhrp map multicast dynamic"));
    for line in ["conf t", "configure", "configure terminal"] {
        assert_eq!(parse_in(NodeKind::Enable, line), Match::Found(Action::Configure), "{line}");
    }
    for line in ["conf term file-lock", "configure terminal file-lock"] {
        assert_eq!(parse_in(NodeKind::Enable, line), Match::Found(Action::ConfigureFile), "{line}");
    }
}

#[test]
fn an_exact_word_beats_the_longer_one_it_begins() {
    // `nhrp` is complete, `n` could only be `nhrp` or `nflog-group` one word later.
    assert_eq!(interface_edit("ip nhrp map multicast nhs"), interface_edit("ip nhrp map multicast nhs"));
    assert_eq!(
        parse_in(NodeKind::Enable, "show debugging h"),
        Match::Found(Action::Command(Command::Show(Show::Hashtables)))
    );
    assert_eq!(found(NodeKind::Enable, "show debugging"), Command::Show(Show::Debugging));
}

#[test]
fn outcomes_without_a_command() {
    let interface = NodeKind::Interface;
    for line in [
        "bogus",
        "ip nhrp holdtime 0",
        "ip nhrp holdtime 65001",
        "ip nhrp mtu 575",
        "ipv6 nhrp mtu 1300",
        "ip nhrp map 10.255.255.50 2001:db8::1",
        "ip nhrp holdtime +7",
        "ip nhrp network-id 4294967296",
        "ip nhrp network-id 99999999999999999999999",
    ] {
        assert_eq!(parse_in(interface, line), Match::None, "{line}");
    }
    for line in
        ["ip", "ip nhrp", "ip nhrp map", "ip nhrp map 10.0.0.1", "no ip nhrp authentication", "description"]
    {
        assert_eq!(parse_in(interface, line), Match::Incomplete, "{line}");
    }
    // `route` is spelled out, `r` would be nothing else; two keywords begin with `no log syslog d`.
    assert_eq!(parse_in(NodeKind::Config, "no log syslog d"), Match::Ambiguous);
    assert_eq!(parse_in(NodeKind::Config, "debug nhrp"), Match::Incomplete);
    assert_eq!(parse_in(NodeKind::Config, "nhrp nflog-group 70000"), Match::None);
    assert_eq!(parse_in(NodeKind::Config, "show ip nhrp cache"), Match::None);
    assert_eq!(parse_in(NodeKind::View, "configure terminal"), Match::None);
}

#[test]
fn a_no_takes_what_the_line_took() {
    for (line, short) in [
        ("no tunnel source eth0", "no tunnel source"),
        ("no tunnel protection vici profile dmvpn", "no tunnel protection"),
        ("no ip nhrp nhs dynamic nbma 192.0.2.1 priority 5", "no ip nhrp nhs dynamic nbma 192.0.2.1"),
        ("no ip nhrp holdtime 30", "no ip nhrp holdtime"),
    ] {
        assert_eq!(interface_edit(line), interface_edit(short), "{line}");
    }
}

#[test]
fn json_without_a_table_is_opennhrp_as_in_frr() {
    let expected = Command::Show(Show::Nhrp { afi: Afi::Ipv6, table: NhrpTable::OpenNhrp, json: true });
    assert_eq!(found(NodeKind::View, "show ipv6 nhrp json"), expected);
}

#[test]
fn free_text_keeps_every_word() {
    assert_eq!(
        interface_edit("description no  ip nhrp ! # x"),
        InterfaceEdit::Description(Some("no ip nhrp ! # x".into()))
    );
    assert_eq!(found(NodeKind::View, "echo PING 1"), Command::Echo("PING 1".into()));
}

#[test]
fn prefix_list_bounds_are_printed_in_one_order() {
    let one = found(NodeKind::Config, "ip prefix-list p permit 10.0.0.0/8 le 24 ge 16");
    let rule = "permit 10.0.0.0/8 ge 16 le 24".to_owned();
    let edit = crate::ListEdit::Add { seq: None, rule };
    let edit = crate::LibraryEdit::List { family: crate::ListFamily::Prefix, name: "p".into(), edit };
    assert_eq!(one, Command::Library(edit));
    assert_eq!(parse_in(NodeKind::Config, "ip prefix-list p permit 10.0.0.0/8 ge 16 ge 24"), Match::None);
    assert_eq!(parse_in(NodeKind::Config, "ip prefix-list p permit 10.0.0.0/8 ge 33"), Match::None);
}

#[test]
fn list_shows_frrs_notation() {
    let text = list(NodeKind::Interface);
    assert!(text.contains("    no <ip|ipv6> nhrp map <A.B.C.D|X:X::X:X> [<A.B.C.D|local>]\n"), "{text}");
    assert!(!text.contains('$') && !text.contains("autocomplete"));
}

/// Words that commands are made of, and some that they are not.
fn word() -> impl Strategy<Value = String> {
    let known: Vec<String> = table::all()
        .flat_map(|entry| {
            entry.syntax.split(|character: char| !character.is_ascii_alphanumeric() && character != '-')
        })
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    prop_oneof![
        6 => (proptest::sample::select(known), 1usize..20).prop_map(|(word, length)| word.chars().take(length).collect()),
        1 => proptest::sample::select(vec!["10.0.0.1", "2001:db8::1", "10.0.0.0/8", "5", "65000", "::/0", "json"])
            .prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_words_have_an_outcome_in_every_node(words in prop::collection::vec(word(), 0..12)) {
        let line = words.join(" ");
        for node in NODES {
            let _ = parse_in(node, &line);
        }
    }

    #[test]
    fn any_line_has_an_outcome_in_every_node(line in "\\PC{0,200}") {
        for node in NODES {
            let _ = parse_in(node, &line);
        }
    }
}

#[test]
fn the_longest_line_is_matched_in_no_time() {
    let line = "ip ".repeat(crate::MAX_REQUEST / 3);
    for node in NODES {
        let _ = parse_in(node, &line);
    }
    let text = found(NodeKind::Interface, &format!("description {}", "x ".repeat(4000)));
    assert!(matches!(text, Command::Edit(_)));
}

#[test]
fn what_frr_does_not_have_takes_no_abbreviation_from_what_it_has() {
    use crate::{ClearTarget, Command, DetailTable, Selected, Show};
    let context = Context { interface: None };
    let found = |line: &str| match parse(NodeKind::Enable, line, &context) {
        Match::Found(Action::Command(command)) => command,
        other => panic!("{line}: {other:?}"),
    };
    // In FRR `s` and `c` are clear here.
    let shortcut = Show::Nhrp { afi: nhrp_config::Afi::Ip, table: crate::NhrpTable::Shortcut, json: false };
    assert_eq!(found("sh ip nhrp s"), Command::Show(shortcut));
    assert_eq!(found("clear ip nhrp c"), Command::Clear(nhrp_config::Afi::Ip, ClearTarget::Cache));
    assert_eq!(found("sh ip nhrp stat json"), Command::Show(Show::Statistics { json: true }));
    let detail = Show::Detail { afi: nhrp_config::Afi::Ipv6, table: DetailTable::Nhs, json: false };
    assert_eq!(found("show ipv6 nhrp nhs det"), Command::Show(detail));
    assert_eq!(found("clear ip nhrp counters"), Command::ClearCounters);
    for (line, selected) in [
        ("10.0.0.0/8", Selected::Prefix("10.0.0.0/8".parse().unwrap())),
        ("10.0.0.1", Selected::Prefix("10.0.0.1/32".parse().unwrap())),
        ("peer 192.0.2.1", Selected::Peer("192.0.2.1".parse().unwrap())),
        ("interface gre1", Selected::Interface("gre1".into())),
    ] {
        let command = found(&format!("clear ip nhrp cache {line}"));
        assert_eq!(command, Command::ClearSelected(nhrp_config::Afi::Ip, ClearTarget::Cache, selected));
    }
    assert_eq!(parse(NodeKind::Enable, "clear ip nhrp cache 2001:db8::/32", &context), Match::None);
    assert_eq!(parse(NodeKind::Enable, "show ip nhrp peer", &context), Match::Incomplete);
}
