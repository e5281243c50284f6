//! Every `show` against the text of real nhrpds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;

use vtysh_plugin::render::{
    CacheKind, CacheRow, DmvpnRow, NhsRow, OpenNhrpRow, ShortcutRow, cache, cleared, dmvpn, nhs, opennhrp,
    shortcut,
};
use vtysh_plugin::{Release, Reply, ReturnCode};

const FRR_8_4: Release = Release::new(8, 4);
const FRR_10_3: Release = Release::new(10, 3);
const MASTER: Release = Release::new(10, 8);

fn golden(file: &str, command: &str) -> String {
    let start = format!("\n--- {command}\n");
    let (_, rest) = file.split_once(&start).unwrap_or_else(|| panic!("{command}"));
    let rest = rest.split("\n--- ").next().unwrap();
    format!("{}\n", rest.trim_end_matches('\n'))
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn row(
    kind: CacheKind,
    protocol: &str,
    nbma: &str,
    claimed: Option<&str>,
    flags: &str,
    identity: Option<&str>,
) -> CacheRow {
    CacheRow {
        interface: "gre1".into(),
        kind,
        protocol: protocol.parse().unwrap(),
        nbma: ip(nbma),
        claimed_nbma: claimed.and_then(ip),
        used: flags.contains('U'),
        timeout: flags.contains('T'),
        auth: flags.contains('A'),
        identity: identity.map(str::to_owned),
    }
}

fn open(
    kind: CacheKind,
    protocol: &str,
    flags: &str,
    nbma: Option<&str>,
    nat_oa: Option<&str>,
) -> OpenNhrpRow {
    let (up, used) = (flags.contains('u'), flags.contains('U'));
    let (nbma, nat_oa) = (nbma.and_then(ip), nat_oa.and_then(ip));
    OpenNhrpRow { kind, up, used, protocol: protocol.parse().unwrap(), nbma, nat_oa }
}

fn connection(destination: &str) -> DmvpnRow {
    DmvpnRow {
        source: ip("10.1.1.1"),
        destination: destination.parse().unwrap(),
        notifier_active: true,
        sas: 0,
        identity: String::new(),
    }
}

fn bound_shortcut() -> ShortcutRow {
    ShortcutRow {
        kind: CacheKind::Dynamic,
        prefix: "192.168.4.0/24".parse().unwrap(),
        via: ip("10.255.255.4"),
        identity: String::new(),
    }
}

fn check(reply: &Reply, file: &str, command: &str) {
    assert_eq!(reply.text, golden(file, command), "{command}");
    assert_eq!(reply.rc, ReturnCode::Success);
}

#[test]
fn as_frr_8_4_4() {
    use CacheKind::{Dynamic, Local, Nhs, Static};
    let file = include_str!("golden/show-8.4.4.txt");
    let four = "10.1.1.4";
    let rows = [
        row(Dynamic, "10.255.255.4", four, Some(four), "TA", Some("")),
        row(Local, "10.255.255.78", "10.1.1.1", Some("10.1.1.1"), "", None),
        row(Static, "10.255.255.77", "10.9.9.9", None, "", Some("")),
        row(Dynamic, "192.168.4.4", four, Some(four), "UTA", Some("")),
        row(Nhs, "10.255.255.2", "10.2.1.2", Some("10.2.1.2"), "TA", Some("")),
        row(Local, "10.255.255.1", "10.1.1.1", Some("10.1.1.1"), "", None),
    ];
    check(&cache(&rows, false, FRR_8_4), file, "show ip nhrp cache");
    let shortcuts = [bound_shortcut()];
    check(&shortcut(&shortcuts, false, FRR_8_4), file, "show ip nhrp shortcut");
    // Known difference: 8.4.4 prints the header of the other form first.
    let json = golden(file, "show ip nhrp shortcut json");
    let (header, json) = json.split_once('\n').unwrap();
    assert!(header.starts_with("Type "));
    assert_eq!(shortcut(&shortcuts, true, FRR_8_4).text, json);
    let records = [
        open(Dynamic, "10.255.255.4", "u", Some(four), Some(four)),
        open(Local, "10.255.255.78", "", None, None),
        open(Static, "10.255.255.77", "u", Some("10.9.9.9"), None),
        open(Dynamic, "192.168.4.4", "uU", Some(four), Some(four)),
        open(Nhs, "10.255.255.2", "u", Some("10.2.1.2"), None),
        open(Local, "10.255.255.1", "", None, None),
    ];
    let reply = opennhrp(&records, false, FRR_8_4);
    // `golden` cannot tell the two blank lines that end the last record.
    assert_eq!(reply.text, golden(file, "show ip nhrp opennhrp") + "\n\n");
    check(&dmvpn(&["10.1.1.4", "10.9.9.9", "10.2.1.2"].map(connection), false, FRR_8_4), file, "show dmvpn");
}

#[test]
fn as_frr_10_3() {
    use CacheKind::{Dynamic, Local, Nhs};
    let file = include_str!("golden/show-10.3.txt");
    let four = "10.1.1.4";
    let rows = [
        row(Dynamic, "10.255.255.4", four, Some(four), "TA", Some("")),
        row(Dynamic, "192.168.4.4", four, Some(four), "TA", Some("")),
        row(Nhs, "10.255.255.2", "10.2.1.2", Some("10.2.1.2"), "TA", Some("")),
        row(Local, "10.255.255.1", "10.1.1.1", Some("10.1.1.1"), "", None),
    ];
    check(&cache(&rows, false, FRR_10_3), file, "show ip nhrp cache");
    check(&cache(&rows, true, FRR_10_3), file, "show ip nhrp cache json");
    check(&nhs(&[hub()], false, FRR_10_3), file, "show ip nhrp nhs");
    check(&shortcut(&[bound_shortcut()], false, FRR_10_3), file, "show ip nhrp shortcut");
    check(&shortcut(&[bound_shortcut()], true, FRR_10_3), file, "show ip nhrp shortcut json");
    let records = [
        open(Dynamic, "10.255.255.4", "u", Some(four), Some(four)),
        open(Dynamic, "192.168.4.4", "u", Some(four), Some(four)),
        open(Nhs, "10.255.255.2", "u", Some("10.2.1.2"), None),
        open(Local, "10.255.255.1", "", None, None),
    ];
    check(&opennhrp(&records, false, FRR_10_3), file, "show ip nhrp opennhrp");
    check(&opennhrp(&records, true, FRR_10_3), file, "show ip nhrp opennhrp json");
    let nothing = opennhrp(&[], false, FRR_10_3);
    assert_eq!(nothing.text, golden(file, "show ipv6 nhrp opennhrp"));
    assert_eq!(nothing.rc, ReturnCode::Warning);
    check(&dmvpn(&["10.1.1.4", "10.2.1.2"].map(connection), false, FRR_10_3), file, "show dmvpn");
}

fn hub() -> NhsRow {
    NhsRow {
        interface: "gre1".into(),
        fqdn: "10.2.1.2".into(),
        nbma: ip("10.2.1.2"),
        protocol: ip("10.255.255.2"),
        priority: 7,
        reachable: false,
    }
}

#[test]
fn nothing_to_show_is_a_warning_with_or_without_json() {
    let empty = "{\n  \"attr\":{\n    \"entriesCount\":0\n  },\n  \"table\":[]\n}\n";
    let broken = "{\n  \"attr\":{\n    \"entriesCount\":0\n  },\n  \"table\":[\n  ]\n}\n";
    for reply in [cache(&[], false, FRR_10_3), nhs(&[], false, FRR_10_3), shortcut(&[], false, FRR_10_3)] {
        assert_eq!(reply, Reply::warning("% No entries"));
    }
    for render in [
        |release| cache(&[], true, release),
        |release| nhs(&[], true, release),
        |release| shortcut(&[], true, release),
    ] {
        assert_eq!(render(FRR_10_3), Reply::new(ReturnCode::Warning, empty));
        assert_eq!(render(FRR_8_4), Reply::new(ReturnCode::Warning, broken));
    }
    assert_eq!(opennhrp(&[], false, FRR_8_4), Reply::text("Status: ok\n\n"));
    assert_eq!(dmvpn(&[], true, FRR_10_3), Reply::text("[]\n"));
    assert_eq!(cleared(0), Reply::warning("% No entries"));
    assert_eq!(cleared(3), Reply::text("% 3 entries cleared\n"));
}

#[test]
fn the_development_branch_is_wider() {
    let cache_text =
        cache(&[row(CacheKind::Nhs, "10.255.255.2", "10.2.1.2", None, "T", None)], false, MASTER).text;
    assert!(cache_text.starts_with("Iface            Type     Protocol "), "{cache_text}");
    assert_eq!(
        nhs(&[hub()], false, MASTER).text,
        "Iface            FQDN                     NBMA             Protocol         Pri  Reachable\n\
         gre1             10.2.1.2                 10.2.1.2         10.255.255.2       7  N\n"
    );
    assert!(nhs(&[hub()], true, MASTER).text.contains("\"priority\":7\n"));
    assert!(!nhs(&[hub()], true, FRR_10_3).text.contains("priority"));
}
