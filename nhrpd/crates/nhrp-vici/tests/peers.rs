//! One peer's profiles and its SAs: the fallback, duplicates, addresses and identities that change, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use nhrp_vici::backend::{ATTEMPT, Channel, Event, HOLD, Pair, Profiles};
use nhrp_vici::message::{Item, Section};
use nhrp_vici::packet::Packet;
use support::{Bench, PROFILE, begun_by, ike, pair, text};

const TWO: &str = "connections {
    dmvpn { version = 2\n children { dmvpn { mode = transport\n } } }
    spare { version = 2\n children { spare { mode = transport\n } } }
}";

fn with_fallback() -> Profiles {
    Profiles { first: "dmvpn".to_owned(), fallback: Some("spare".to_owned()) }
}

#[test]
fn the_fallback_follows_at_once_and_the_first_profile_begins_anew() {
    let mut bench = Bench::stock(TWO, &[]);
    bench.want_by(1, &with_fallback());
    let mut pauses = Vec::new();
    let mut former = None;
    for _ in 0..3 {
        let first = bench.begun(1, "dmvpn");
        if let Some(former) = former {
            assert_eq!(text(&bench.request("unload-conn"), "name"), former, "its successor is loaded");
            bench.accept();
        }
        bench.fail(&first, "received NO_PROPOSAL_CHOSEN notify error");
        assert_eq!(text(&bench.request("unload-conn"), "name"), first);
        bench.accept();
        let second = bench.begun(1, "spare");
        assert_ne!(first, second);
        bench.fail(&second, "received AUTHENTICATION_FAILED notify error");
        pauses.push(bench.until_sent().as_secs());
        former = Some(second);
    }
    for (pause, least) in pauses.iter().zip([1, 2, 4]) {
        assert!((least..=least * 3 / 2).contains(pause), "{pauses:?}");
    }
    let told = bench.backend.status().peers[0].last_error.clone().unwrap();
    assert_eq!(
        told,
        "by 'dmvpn': received NO_PROPOSAL_CHOSEN notify error; by 'spare': received AUTHENTICATION_FAILED notify error"
    );
    assert_eq!(bench.log().iter().filter(|line| line.starts_with("! ")).count(), 1, "{:?}", bench.log());
}

/// A refusal takes milliseconds: charon logs it before it answers `initiate`.
#[test]
fn the_fallback_begins_though_the_first_command_is_not_answered_yet() {
    let mut bench = Bench::stock(TWO, &[]);
    bench.want_by(1, &with_fallback());
    let loaded = bench.request("load-conn");
    let first = loaded.sections().next().unwrap().0.to_owned();
    bench.accept();
    bench.request("initiate");
    bench.fail(&first, "received NO_PROPOSAL_CHOSEN notify error");
    bench.accept();
    assert_eq!(text(&bench.request("unload-conn"), "name"), first);
    bench.accept();
    bench.begun(1, "spare");
    bench.updown(pair(1), 5, true);
    assert_eq!(bench.told(), ["up"]);
}

#[test]
fn a_peer_that_is_silent_by_the_first_profile_is_tried_by_the_other() {
    let mut bench = Bench::stock(TWO, &[]);
    bench.want_by(1, &with_fallback());
    let first = bench.begun(1, "dmvpn");
    bench.pass(ATTEMPT);
    let abandoned = bench.request("terminate");
    assert_eq!((text(&abandoned, "ike"), text(&abandoned, "force")), (first.as_str(), "yes"));
    bench.accept();
    bench.request("unload-conn");
    bench.accept();
    bench.begun(1, "spare");
    bench.updown(pair(1), 5, true);
    assert_eq!(bench.told(), ["up"]);
    assert_eq!(bench.backend.status().peers[0].profile.as_deref(), Some("spare"));
    // After a loss the first one has its chance again.
    bench.updown(pair(1), 5, false);
    bench.pass(Duration::from_millis(600));
    bench.begun(1, "dmvpn");
}

#[test]
fn a_profile_that_is_not_there_is_no_obstacle_to_the_other() {
    const ONLY: &str = "connections { spare { version = 2\n children { spare { mode = transport\n } } } }";
    let mut bench = Bench::stock(ONLY, &[]);
    bench.want_by(1, &with_fallback());
    bench.begun(1, "spare");
    bench.updown(pair(1), 5, true);
    assert_eq!(bench.told(), ["up"]);
}

#[test]
fn a_profile_that_goes_meanwhile_fails_its_attempt_and_no_other_peers() {
    let mut bench = Bench::stock(TWO, &[]);
    bench.want_by(1, &"gone".into());
    assert_eq!(text(&bench.request("install"), "child"), "gone");
    let no = Section::new().with("success", "no").with("errmsg", "configuration named 'gone' not found");
    bench.give(Channel::Commands, Packet::Response(no));
    bench.want_by(2, &"spare".into());
    bench.begun(2, "spare");
    bench.updown(pair(2), 6, true);
    assert_eq!(bench.told(), ["up"]);
    let at = bench.backend.next_deadline().unwrap();
    bench.pass(at - bench.now);
    assert_eq!(text(&bench.request("install"), "child"), "gone", "it is tried again");
}

/// What both ends see: the IKE SAs that either began, by the SPIs that both know.
fn both_ends() -> (Bench, Bench) {
    (Bench::stock(PROFILE, &[]), Bench::stock(PROFILE, &[]))
}

#[test]
fn of_two_that_were_begun_at_once_one_end_ends_the_older() {
    for [lower, higher] in [["0a", "0b"], ["0b", "0a"]] {
        let (mut left, mut right) = both_ends();
        // Each hears of its own first. Addresses are those behind translators: each end takes itself for the lower one.
        for (bench, own, other) in [(&mut left, lower, higher), (&mut right, higher, lower)] {
            for (id, mine, spi) in [(5, true, own), (6, false, other)] {
                let sa = begun_by(ike(pair(1), id, "INSTALLED"), mine, spi);
                bench.event("child-updown", Section::new().with("up", "yes").with_section("dmvpn", sa));
            }
            bench.pass(Duration::from_secs(29));
            assert!(bench.take().is_empty(), "nobody is in a hurry");
            bench.pass(Duration::from_secs(2));
        }
        let ended: Vec<String> = [&mut left, &mut right]
            .into_iter()
            .flat_map(Bench::take)
            .map(|(_, packet)| match packet {
                Packet::Request(name, arguments) if name == "terminate" => {
                    text(&arguments, "child-id").to_owned()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ended, ["5"], "one of the two ends does it");
        for bench in [&mut left, &mut right] {
            bench.updown(pair(1), 5, false);
            bench.pass(HOLD * 3);
            assert_eq!(bench.told(), ["up"], "and nobody notices");
            assert_eq!(bench.backend.sas_of(pair(1)).0, 1);
        }
    }
}

#[test]
fn an_end_that_never_does_it_is_waited_for_and_then_replaced() {
    let mut bench = Bench::stock(PROFILE, &[]);
    for (id, mine, spi) in [(5, false, "0a"), (6, true, "0b")] {
        let sa = begun_by(ike(pair(1), id, "INSTALLED"), mine, spi);
        bench.event("child-updown", Section::new().with("up", "yes").with_section("dmvpn", sa));
    }
    bench.pass(Duration::from_secs(89));
    assert!(bench.take().is_empty());
    bench.pass(Duration::from_secs(2));
    assert_eq!(text(&bench.request("terminate"), "child-id"), "5");
}

#[test]
fn two_that_do_different_things_are_no_duplicates() {
    let mut bench = Bench::stock(PROFILE, &[]);
    for (id, key) in [(5, "gre/42"), (6, "gre/43")] {
        let mut child = Section::new().with("uniqueid", id.to_string()).with("state", "INSTALLED");
        for side in ["local-ts", "remote-ts"] {
            child.push(side, Item::List(vec![format!("192.0.2.1/32[{key}]").into_bytes()]));
        }
        let mut sa = begun_by(ike(pair(1), id, "INSTALLED"), true, "0a");
        sa.set("child-sas", Item::Section(Section::new().with_section("dmvpn", child)));
        bench.event("child-updown", Section::new().with("up", "yes").with_section("dmvpn", sa));
    }
    bench.pass(Duration::from_secs(200));
    assert!(bench.take().is_empty());
    assert_eq!(bench.backend.sas_of(pair(1)).0, 2);
}

#[test]
fn a_peer_whose_translator_moves_it_has_to_begin_anew() {
    let mut bench = Bench::stock(PROFILE, &[(pair(1), 5), (pair(3), 7)]);
    bench.told();
    bench.event("ike-update", Section::new());
    bench.request("list-sas");
    for (pair, id) in [(pair(2), 5), (pair(3), 7)] {
        let listed = Section::new().with_section("dmvpn", ike(pair, id, "INSTALLED"));
        bench.give(Channel::Commands, Packet::Event("list-sa".into(), listed));
    }
    bench.give(Channel::Commands, Packet::Response(Section::new()));
    bench.pass(Duration::from_millis(1));
    let ended = bench.request("terminate");
    assert_eq!(text(&ended, "ike-id"), "1005", "this one and no other: {ended}");
    bench.accept();
    bench.pass(HOLD * 2);
    let mut told = Vec::new();
    for event in std::mem::take(&mut bench.events) {
        match event {
            Event::Up { pair, .. } => told.push(("up", pair)),
            Event::Down { pair } => told.push(("down", pair)),
            Event::Remade { .. } | Event::Notice { .. } => {}
        }
    }
    assert_eq!(told, [("up", pair(2)), ("down", pair(1))]);
    assert_eq!(bench.backend.sas_of(pair(2)).0, 1, "until charon has ended it");
}

#[test]
fn two_stations_at_one_address_have_no_identity() {
    let mut bench = Bench::stock(PROFILE, &[]);
    let identities = |bench: &mut Bench| -> Vec<String> {
        let up = std::mem::take(&mut bench.events).into_iter().filter_map(|event| match event {
            Event::Up { identity, .. } => Some(identity),
            _ => None,
        });
        up.collect()
    };
    for (id, name) in [(5, "s1.example"), (6, "s2.example")] {
        let mut sa = ike(pair(1), id, "INSTALLED");
        sa.set("remote-id", Item::Value(name.into()));
        bench.event("child-updown", Section::new().with("up", "yes").with_section("dmvpn", sa));
    }
    assert_eq!(identities(&mut bench), ["s1.example", ""]);
    bench.updown(pair(1), 5, false);
    assert_eq!(identities(&mut bench), ["s2.example"]);
}

/// Two tunnels, two own addresses, one profile: each pair of addresses has a connection and SAs of its own.
#[test]
fn tunnels_that_share_a_profile_have_their_own_connections() {
    let mut bench = Bench::stock(PROFILE, &[]);
    let second = Pair { local: IpAddr::from([192, 0, 2, 9]), ..pair(1) };
    let first = bench.negotiate(1);
    bench.backend.want(bench.now, second, &"dmvpn".into(), true);
    let other = bench.begun(1, "dmvpn");
    assert_ne!(first, other);
    bench.updown(pair(1), 5, true);
    bench.updown(second, 6, true);
    assert_eq!(bench.told(), ["up", "up"]);
    bench.backend.release(bench.now, second, true);
    assert_eq!(text(&bench.request("terminate"), "ike-id"), "1006");
    bench.accept();
    assert_eq!(text(&bench.request("unload-conn"), "name"), other);
    assert_eq!(bench.backend.sas_of(pair(1)).0, 1);
}

/// A successor that lingers in the list is not told to end by a charon as published.
#[test]
fn what_has_a_successor_does_not_count_in_a_list() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.event("ike-update", Section::new());
    bench.request("list-sas");
    for (id, state) in [(5, "REKEYED"), (6, "INSTALLED")] {
        let listed = Section::new().with_section("dmvpn", ike(pair(1), id, state));
        bench.give(Channel::Commands, Packet::Event("list-sa".into(), listed));
    }
    bench.give(Channel::Commands, Packet::Response(Section::new()));
    assert_eq!(bench.backend.sas_of(pair(1)).0, 1);
}
