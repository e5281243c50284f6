//! The backend against a charon that says what each test wants, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use nhrp_vici::backend::{Channel, Event, GRACE, HOLD, LINGER, Mode, PARALLEL, Pair};
use nhrp_vici::message::{Item, Section};
use nhrp_vici::packet::Packet;
use support::{Bench, PROFILE, ike, pair, text};

#[test]
fn a_peer_is_up_by_an_event_and_not_by_an_answer() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.negotiate(1);
    assert!(bench.told().is_empty());
    bench.updown(pair(1), 5, true);
    assert_eq!(bench.told(), ["up"]);
    assert_eq!(bench.backend.sas_of(pair(1)), (1, "spoke.example"));
    assert_eq!(bench.backend.status().version.as_deref(), Some("charon-systemd 5.9.8"));
}

#[test]
fn the_last_sa_counts_and_its_loss_is_told_after_a_while() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.updown(pair(1), 5, true);
    bench.updown(pair(1), 6, true);
    bench.updown(pair(1), 5, false);
    bench.pass(HOLD * 2);
    assert_eq!(bench.told(), ["up"], "one of two is left");
    bench.updown(pair(1), 6, false);
    bench.pass(HOLD / 2);
    assert!(bench.told().is_empty());
    bench.pass(HOLD);
    assert_eq!(bench.told(), ["down"]);
}

#[test]
fn rekeying_and_reauthentication_are_no_flap() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.updown(pair(1), 5, true);
    let old_and_new = |old: &str, new: &str| {
        let id = |id: &str| Section::new().with("uniqueid", id);
        Section::new().with_section("old", id(old)).with_section("new", id(new))
    };
    let children = Section::new().with_section("dmvpn", old_and_new("5", "6"));
    let mut sa = ike(pair(1), 5, "");
    sa.set("child-sas", Item::Section(children));
    bench.event("child-rekey", Section::new().with_section("dmvpn", sa));
    bench.event("ike-rekey", Section::new().with_section("dmvpn", old_and_new("1005", "2000")));
    // 5.9 breaks first.
    bench.updown(pair(1), 6, false);
    bench.pass(Duration::from_millis(80));
    bench.updown(pair(1), 7, true);
    // 6.0 makes first.
    bench.updown(pair(1), 8, true);
    bench.updown(pair(1), 7, false);
    bench.pass(HOLD * 2);
    assert_eq!(bench.told(), ["up", "remade"]);
    assert_eq!(bench.backend.sas_of(pair(1)).0, 1);
}

#[test]
fn a_lost_sa_that_is_wanted_is_made_again_within_the_hold() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.negotiate(1);
    bench.updown(pair(1), 5, true);
    bench.updown(pair(1), 5, false);
    bench.pass(Duration::from_millis(600));
    bench.request("load-conn");
    bench.accept();
    bench.request("initiate");
    bench.accept();
    bench.updown(pair(1), 6, true);
    bench.pass(HOLD * 2);
    assert_eq!(bench.told(), ["up", "remade"]);
}

#[test]
fn release_ends_the_sas_of_that_peer_and_nobody_elses() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.negotiate(1);
    bench.updown(pair(1), 5, true);
    bench.updown(pair(2), 6, true);
    bench.backend.release(bench.now, pair(1), true);
    assert_eq!(text(&bench.request("terminate"), "ike-id"), "1005");
    bench.accept();
    bench.request("unload-conn");
    bench.accept();
    bench.backend.release(bench.now, pair(2), false);
    assert!(bench.take().is_empty());
}

#[test]
fn failures_come_from_the_log_and_pauses_grow() {
    let mut bench = Bench::stock(PROFILE, &[]);
    let name = bench.negotiate(1);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let said = Section::new()
            .with("ikesa-name", &name)
            .with("msg", "received AUTHENTICATION_FAILED notify error");
        bench.event("log", said);
        pauses.push(bench.until_sent().as_secs());
        bench.request("load-conn");
        bench.accept();
        bench.request("initiate");
        bench.accept();
    }
    for (pause, least) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60]) {
        assert!((least..=least * 3 / 2).contains(pause), "{pauses:?}");
    }
    let status = bench.backend.status();
    assert_eq!(status.peers[0].last_error.as_deref(), Some("received AUTHENTICATION_FAILED notify error"));
    let warned = bench.events.iter().filter(|e| matches!(e, Event::Notice { warning: true, .. })).count();
    assert_eq!(warned, 1, "the same reason is told once");
}

#[test]
fn the_log_is_followed_while_there_are_attempts() {
    let mut bench = Bench::stock(PROFILE, &[(pair(2), 6)]);
    bench.updown(pair(3), 7, true);
    assert!(!bench.log_open, "nobody was asked for");
    bench.negotiate(1);
    assert!(bench.log_open);
    bench.updown(pair(1), 5, true);
    bench.pass(LINGER / 2);
    assert!(bench.log_open, "another attempt may follow");
    bench.pass(LINGER);
    assert!(!bench.log_open);
    bench.negotiate(4);
    assert!(bench.log_open);
    bench.pass(LINGER * 2);
    assert!(bench.log_open, "that one goes on");
}

#[test]
fn so_many_negotiations_at_once_and_no_more() {
    let mut bench = Bench::stock(PROFILE, &[]);
    for n in 0..100 {
        bench.want(n);
    }
    let mut begun = 0;
    for _ in 0..500 {
        match bench.take().as_slice() {
            [(_, Packet::Request(name, _))] => {
                begun += usize::from(name == "initiate");
                bench.accept();
            }
            [] => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(begun, PARALLEL);
    bench.updown(pair(0), 1, true);
    bench.request("load-conn");
}

#[test]
fn when_charon_comes_back_its_list_is_read_before_anything_is_told() {
    let mut bench = Bench::stock(PROFILE, &[(pair(1), 5), (pair(2), 6)]);
    assert_eq!(bench.told(), ["up", "up"]);
    bench.backend.lost(bench.now, "it has closed the connection");
    bench.pass(GRACE / 2);
    bench.connect(&[(pair(1), 5)]);
    bench.pass(HOLD * 2);
    assert_eq!(bench.told(), ["down"], "only the one that is not listed");
    assert_eq!(bench.backend.sas_of(pair(1)).0, 1);
}

#[test]
fn a_charon_that_stays_away_takes_its_sas_along_in_the_end() {
    let mut bench = Bench::stock(PROFILE, &[(pair(1), 5)]);
    bench.backend.lost(bench.now, "it has closed the connection");
    bench.pass(GRACE - Duration::from_secs(1));
    assert_eq!(bench.told(), ["up"]);
    bench.pass(HOLD * 2);
    assert_eq!(bench.told(), ["down"]);
}

#[test]
fn a_charon_that_hangs_is_left() {
    let mut bench = Bench::stock(PROFILE, &[]);
    bench.want(1);
    bench.request("load-conn");
    bench.pass(Duration::from_secs(31));
    let Mode::Down(reason) = bench.backend.mode() else { panic!("{:?}", bench.backend.mode()) };
    assert!(reason.contains("no answer to 'load-conn'"), "{reason}");
}

#[test]
fn without_a_template_the_trap_is_installed_once() {
    let mut bench = Bench::stock("", &[]);
    bench.want(1);
    assert_eq!(text(&bench.request("install"), "child"), "dmvpn");
    bench.accept();
    bench.want(2);
    assert!(bench.take().is_empty());
    bench.updown(pair(1), 5, true);
    assert_eq!(bench.told(), ["up"]);
}

/// [`ike`] whose child is a tunnel between hosts: the last one's number at either end.
fn tunnel(id: u32, own: u8, peer: u8) -> Section {
    let mut child =
        Section::new().with("uniqueid", id.to_string()).with("state", "INSTALLED").with("mode", "TUNNEL");
    for (key, n) in [("local-ts", own), ("remote-ts", peer)] {
        child.push(key, Item::List(vec![format!("198.18.0.{n}/32[gre]").into_bytes()]));
    }
    let mut sa = ike(pair(1), id, "INSTALLED");
    sa.set("child-sas", Item::Section(Section::new().with_section("far", child)));
    sa
}

#[test]
fn tunnels_between_hosts_are_peers_of_their_own_behind_one_address() {
    let mut bench = Bench::stock(PROFILE, &[]);
    let between = |n: u8| Pair { local: [198, 18, 0, 1].into(), remote: [198, 18, 0, n].into() };
    for (id, n) in [(5, 2), (6, 3)] {
        let up = Section::new().with("up", "yes");
        bench.event("child-updown", up.with_section("far", tunnel(id, 1, n)));
    }
    assert_eq!(bench.told(), ["up", "up"]);
    assert_eq!([2, 3].map(|n| bench.backend.sas_of(between(n)).0), [1, 1]);
    assert_eq!(bench.backend.sas_of(pair(1)).0, 0, "the translator is nobody's peer");
    // A rekeying tells no selectors.
    let id = |id: &str| Section::new().with("uniqueid", id);
    let old_and_new = Section::new().with_section("old", id("5")).with_section("new", id("7"));
    let mut sa = ike(pair(1), 5, "");
    sa.set("child-sas", Item::Section(Section::new().with_section("far", old_and_new)));
    bench.event("child-rekey", Section::new().with_section("far", sa));
    bench.event("child-updown", Section::new().with_section("far", tunnel(6, 1, 3)));
    bench.pass(HOLD * 2);
    assert_eq!(bench.told(), ["down"]);
    assert_eq!([2, 3].map(|n| bench.backend.sas_of(between(n)).0), [1, 0]);
}

#[test]
fn sas_for_other_protocols_do_not_count() {
    let mut bench = Bench::stock(PROFILE, &[]);
    let mut sa = ike(pair(1), 5, "INSTALLED");
    let mut child = Section::new().with("uniqueid", "5").with("state", "INSTALLED");
    child.push("local-ts", Item::List(vec![b"192.0.2.1/32[tcp/179]".to_vec()]));
    sa.set("child-sas", Item::Section(Section::new().with_section("bgp-5", child)));
    bench.event("child-updown", Section::new().with("up", "yes").with_section("dmvpn", sa));
    assert!(bench.told().is_empty());
}

#[test]
fn a_patched_charon_is_driven_as_frr_drives_it() {
    let mut bench = Bench::new(PROFILE);
    bench.want(1);
    bench.backend.connected(bench.now);
    let mut words = vec![bench.take()];
    bench.give(Channel::Commands, Packet::Confirm);
    words.push(bench.take());
    (0..3).for_each(|_| bench.give(Channel::Commands, Packet::Confirm));
    words.push(bench.take());
    let names: Vec<String> = words
        .concat()
        .into_iter()
        .map(|(channel, packet)| match (channel, packet) {
            (Channel::Commands, Packet::Register(name) | Packet::Request(name, _)) => name,
            other => panic!("{other:?}"),
        })
        .collect();
    let frrs =
        ["child-state-installed", "child-state-rekeyed", "child-state-destroying", "list-sa", "list-sas"];
    assert_eq!(names, frrs);
    bench.give(Channel::Commands, Packet::Response(Section::new()));
    let initiate = bench.request("initiate");
    let keys: Vec<String> =
        initiate.items().map(|(name, _)| format!("{name}={}", text(&initiate, name))).collect();
    assert_eq!(
        keys,
        [
            "child=dmvpn",
            "timeout=-1",
            "async=1",
            "init-limits=0",
            "my-host=192.0.2.1",
            "other-host=198.51.100.1"
        ]
    );
    bench.accept();
    let installed = Section::new().with_section("dmvpn", ike(pair(1), 5, "INSTALLED"));
    bench.give(Channel::Commands, Packet::Event("child-state-installed".into(), installed.clone()));
    assert_eq!(bench.told(), ["up"]);
    bench.backend.release(bench.now, pair(1), true);
    assert_eq!(text(&bench.request("terminate"), "ike-id"), "1005");
    bench.give(Channel::Commands, Packet::Event("child-state-destroying".into(), installed));
    bench.pass(HOLD);
    assert_eq!(bench.told(), ["down"]);
}

#[test]
fn what_nobody_asked_for_changes_nothing() {
    let mut bench = Bench::stock(PROFILE, &[(pair(1), 5)]);
    bench.told();
    bench.event("no-such-event", Section::new());
    bench.event("child-updown", Section::new().with("up", "yes").with_section("x", Section::new()));
    bench.event("child-rekey", Section::new().with_section("x", Section::new()));
    bench.give(Channel::Commands, Packet::Response(Section::new()));
    bench.give(Channel::Events, Packet::Confirm);
    bench.give(Channel::Events, Packet::Request("x".into(), Section::new()));
    bench.pass(HOLD * 2);
    assert!(bench.told().is_empty());
    assert_eq!(bench.backend.sas_of(pair(1)).0, 1);
}
