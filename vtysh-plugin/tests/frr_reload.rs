//! frr-reload.py, as far as this daemon sees it: from any configuration to any other without a refused line, with
//! nothing left to do, whatever the order.
//!
//! The script compares the running configuration with a file, line by line within a section, as sets. It takes away
//! first, each line by itself with `no` before it, then adds what is new in one file. Then it looks again, and sends what
//! it had added once more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../examples/vty_standalone/handler.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod handler;

use std::collections::{BTreeMap, BTreeSet};

use handler::Standalone;
use nhrp_config::RenderOptions;
use proptest::prelude::*;
use proptest::sample::select;
use vtysh_plugin::{ReturnCode, Session, read_config};

/// The lines of a configuration by section: `""` for those of no section.
type Sections = BTreeMap<String, BTreeSet<String>>;

const TUNNELS: [&str; 2] = ["gre1", "gre2"];
const RELEASES: [&str; 3] = ["8.4", "10.3", "10.7"];

/// What can be said of a tunnel, with few values, so that two configurations meet.
fn line() -> impl Strategy<Value = String> {
    let afi = select(vec!["ip", "ipv6"]);
    let number = 1u8..4;
    (afi, number, 0usize..16, any::<bool>()).prop_map(|(afi, n, kind, other)| {
        let protocol = if afi == "ip" { format!("10.0.0.{n}") } else { format!("2001:db8::{n}") };
        match kind {
            0 => format!("description tunnel {n}"),
            1 if other => format!("tunnel protection vici profile p{n} fallback-profile f{n}"),
            1 => format!("tunnel protection vici profile p{n}"),
            2 => format!("tunnel source eth{n}"),
            3 => format!("{afi} nhrp authentication secret{n}"),
            4 => format!("{afi} nhrp network-id {n}"),
            5 => format!("{afi} nhrp holdtime {n}"),
            6 if other => "ip nhrp mtu opennhrp".to_owned(),
            6 => format!("ip nhrp mtu 140{n}"),
            7 => format!("{afi} nhrp shortcut"),
            8 => format!("{afi} nhrp redirect"),
            9 => format!("{afi} nhrp registration no-unique"),
            10 if other => format!("{afi} nhrp map {protocol} local"),
            10 | 11 => format!("{afi} nhrp map {protocol} 192.0.2.{}", n ^ u8::from(other)),
            12 if other => format!("{afi} nhrp nhs dynamic nbma hub{n}.example.com"),
            12 | 13 => format!("{afi} nhrp nhs {protocol} nbma 192.0.2.{}", n ^ u8::from(other)),
            14 => format!("{afi} nhrp map multicast 192.0.2.{n}"),
            _ => format!("{afi} nhrp map multicast dynamic"),
        }
    })
}

fn global() -> impl Strategy<Value = String> {
    let topic = select(vec!["all", "common", "event", "interface", "kernel", "route", "vici"]);
    prop_oneof![
        (1u8..3).prop_map(|n| format!("nhrp nflog-group {n}")),
        (1u8..3).prop_map(|n| format!("nhrp multicast-nflog-group {n}")),
        (1u8..3).prop_map(|n| format!("nhrp event socket /run/socket{n}")),
        topic.prop_map(|topic| format!("debug nhrp {topic}")),
    ]
}

/// A text somebody may have typed. Some of its lines meet others and are refused.
fn text() -> impl Strategy<Value = String> {
    let lines = || prop::collection::vec(line(), 0..10);
    (prop::collection::vec(global(), 0..4), lines(), lines()).prop_map(|(global, one, two)| {
        let mut text = String::new();
        for (name, lines) in TUNNELS.iter().zip([one, two]) {
            text.push_str(&format!("interface {name}\n"));
            lines.iter().for_each(|line| text.push_str(&format!(" {line}\n")));
            text.push_str("exit\n");
        }
        global.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        text
    })
}

/// A daemon whose tunnels exist, so that zebra has a section of each, in which that is what there is.
fn daemon(release: &str, text: &str) -> Standalone {
    let mut daemon = Standalone::new(release);
    daemon.active = TUNNELS.map(str::to_owned).into();
    let _ = read_config(text, &mut daemon);
    daemon
}

fn shown(daemon: &Standalone, release: &str) -> String {
    let (major, minor) = release.split_once('.').unwrap();
    daemon.config.render(&RenderOptions::vtysh(major.parse().unwrap(), minor.parse().unwrap()))
}

fn sections(text: &str) -> Sections {
    let mut sections: Sections =
        TUNNELS.iter().map(|name| (format!("interface {name}"), BTreeSet::new())).collect();
    let mut section = String::new();
    for line in text.lines().filter(|line| *line != "!") {
        if line.starts_with("interface ") {
            section = line.to_owned();
        } else if line == "exit" {
            section.clear();
        } else {
            sections.entry(section.clone()).or_default().insert(line.trim().to_owned());
        }
    }
    sections
}

/// What is in `one` and not in the `other`: section and line.
fn without(one: &Sections, other: &Sections) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (section, of_one) in one {
        let of_other = other.get(section).cloned().unwrap_or_default();
        lines.extend(of_one.difference(&of_other).map(|line| (section.clone(), line.clone())));
    }
    lines
}

/// A connection of vtysh's that sends these lines; returns those that were not accepted, with what was said.
fn vtysh(daemon: &mut Standalone, lines: &[String]) -> Vec<String> {
    let mut session = Session::new();
    let mut refused = Vec::new();
    for line in ["enable", "configure terminal"].into_iter().chain(lines.iter().map(String::as_str)) {
        let reply = session.execute(line, daemon);
        if reply.rc != ReturnCode::Success {
            refused.push(format!("{line}: {}", reply.text));
        }
    }
    refused
}

/// What the script does; returns what was refused.
fn reload(daemon: &mut Standalone, release: &str, wanted: &Sections) -> Vec<String> {
    let mut refused = Vec::new();
    let mut first_added = Vec::new();
    for pass in 0..2 {
        let running = sections(&shown(daemon, release));
        if pass == 0 {
            for (section, line) in without(&running, wanted) {
                let lines = [section, format!("no {line}")];
                let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
                refused.extend(vtysh(daemon, &lines));
            }
        }
        let mut added = without(wanted, &running);
        if pass == 0 {
            first_added.clone_from(&added);
        } else {
            added.extend(first_added.iter().cloned());
        }
        let mut file = vec!["XFRR_start_configuration".to_owned()];
        for (section, line) in added {
            // Each line in a section of its own; one of no section is found from within the last.
            file.extend((!section.is_empty()).then_some(section));
            file.push(line);
        }
        file.push("XFRR_end_configuration".to_owned());
        refused.extend(vtysh(daemon, &file));
    }
    refused
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn from_any_configuration_to_any_other(old in text(), new in text(), release in select(RELEASES.to_vec())) {
        let mut daemon = daemon(release, &old);
        let wanted = sections(&shown(&self::daemon(release, &new), release));
        prop_assert_eq!(reload(&mut daemon, release, &wanted), Vec::<String>::new());
        // `--test` says now that there is nothing to do, and once more changes nothing.
        let running = shown(&daemon, release);
        prop_assert_eq!(&sections(&running), &wanted);
        prop_assert_eq!(reload(&mut daemon, release, &wanted), Vec::<String>::new());
        prop_assert_eq!(shown(&daemon, release), running);
    }

    #[test]
    fn the_order_of_commands_does_not_matter(
        (lines, shuffled) in text().prop_flat_map(|text| {
            let printed = shown(&daemon("10.7", &text), "10.7");
            let lines: Vec<(String, String)> = without(&sections(&printed), &Sections::new());
            (Just(lines.clone()), Just(lines).prop_shuffle())
        })
    ) {
        let typed = |lines: &[(String, String)]| -> String {
            lines.iter().map(|(section, line)| format!("{section}\n{line}\n")).collect()
        };
        let (one, other) = (daemon("10.7", &typed(&lines)), daemon("10.7", &typed(&shuffled)));
        prop_assert_eq!(sections(&shown(&one, "10.7")), sections(&shown(&other, "10.7")));
    }
}

/// Outside of files the same entry twice is an error, as it is with FRR's.
#[test]
fn typed_twice_is_an_error() {
    let mut daemon = Standalone::new("10.3");
    let nhs = "ip nhrp nhs dynamic nbma 192.0.2.1".to_owned();
    let twice = ["interface gre1".to_owned(), nhs.clone(), nhs];
    assert_eq!(vtysh(&mut daemon, &twice).len(), 1);
}

/// A vtysh that is killed while it sends a file leaves no open end: only the session can tell.
#[test]
fn a_file_without_an_end_is_known_to_the_session() {
    let mut daemon = Standalone::new("10.3");
    let mut session = Session::new();
    for line in ["enable", "configure terminal", "XFRR_start_configuration", "nhrp nflog-group 1"] {
        let _ = session.execute(line, &mut daemon);
    }
    assert_eq!(session.left_behind(), Some(vtysh_plugin::Command::BulkEnd));
    let _ = session.execute("XFRR_end_configuration", &mut daemon);
    assert_eq!(session.left_behind(), None);
}
