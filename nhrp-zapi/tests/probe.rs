//! Finding out which release zebra is, answered with the octets that real zebras sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{all, frame, named, unhex};
use nhrp_zapi::{
    Epoch, Event, Message, Neighbour, NeighbourKind, NeighbourState, Release, ReleaseTable, Request,
    RunningFrr, Session, SessionError, ZebraError,
};

const HELLO_NEW: &str = "0012fe0600000000 0013 0d00000000000000";
const HELLO_OLD: &str = "0013fe0600000000 0012 0c0000000000000000";

fn session(forced: Option<&str>) -> Session {
    let mut session = Session::new("zserv.api".into(), forced.map(|release| release.parse().unwrap()));
    session.open().unwrap();
    session
}

/// What zebra up to 9.1 answers to a HELLO that it does not know.
fn refusal(epoch: Epoch) -> Vec<u8> {
    let mut bytes = Vec::new();
    Message::Error(2).encode(ReleaseTable::of(epoch), &mut bytes).unwrap();
    bytes
}

fn taken(session: &mut Session) -> Vec<u8> {
    let bytes = session.unwritten().to_vec();
    session.wrote(bytes.len());
    bytes
}

#[test]
fn every_release_is_found() {
    for capture in all() {
        let mut session = session(None);
        assert_eq!(taken(&mut session), unhex(HELLO_NEW), "the newest HELLO and nothing else");
        if capture.epoch < Epoch::Frr10_0 {
            session.receive(&refusal(capture.epoch)).unwrap();
            assert_eq!(taken(&mut session), unhex(HELLO_OLD), "{}", capture.name);
        }
        assert!(!session.is_open());
        session.receive(&capture.received[0]).unwrap();
        // 10.0 and 10.1 answer alike; nothing that nhrpd reads tells them apart.
        let found = if capture.epoch == Epoch::Frr10_1 { Epoch::Frr10_0 } else { capture.epoch };
        assert_eq!(session.table().unwrap().epoch, found, "{}", capture.name);
        assert!(matches!(session.poll_event(), Some(Event::Connected { epoch, .. }) if epoch == found));
    }
}

/// ERROR as 8.4.4 was seen to send it, octet for octet.
#[test]
fn the_refusal_is_the_one_zebra_sends() {
    if cfg!(target_endian = "little") {
        assert_eq!(refusal(Epoch::Frr8_4), unhex("000efe0600000000 0076 02000000"));
        assert_eq!(refusal(Epoch::Frr9_1), unhex("000efe0600000000 0075 02000000"));
    }
}

#[test]
fn news_for_all_clients_does_not_disturb_the_probe() {
    let capture = named("8.4.4");
    let mut session = session(None);
    taken(&mut session);
    // An interface, and CLIENT_CLOSE_NOTIFY of 8.4 and 9.1, before any answer.
    session.receive(&capture.received[2]).unwrap();
    session.receive(&unhex("0011fe0600000000 007d 00000000000000")).unwrap();
    session.receive(&unhex("0011fe0600000000 007c 00000000000000")).unwrap();
    assert_eq!(session.unwritten(), b"");
    session.receive(&refusal(Epoch::Frr8_4)).unwrap();
    session.receive(&capture.received[0]).unwrap();
    assert_eq!(session.table().unwrap().epoch, Epoch::Frr8_4);
}

#[test]
fn a_forced_release_is_checked() {
    for capture in all() {
        for forced in Epoch::ALL {
            let mut session = session(Some(&forced.first_release().to_string()));
            taken(&mut session);
            let same_hello = (forced < Epoch::Frr10_0) == (capture.epoch < Epoch::Frr10_0);
            // zebra knows the HELLO and answers it, or does not and refuses it.
            let answer = if same_hello { capture.received[0].clone() } else { refusal(capture.epoch) };
            let result = session.receive(&answer);
            let table = ReleaseTable::of(forced);
            let fits = ReleaseTable::of(capture.epoch).capabilities_length == table.capabilities_length
                && same_hello;
            if fits {
                assert_eq!(result, Ok(()), "{} as {forced:?}", capture.name);
                assert_eq!(session.table().unwrap().epoch, forced);
                continue;
            }
            let Err(SessionError::Zebra(error)) = result else {
                panic!("{} as {forced:?}: {result:?}", capture.name)
            };
            assert!(matches!(error, ZebraError::ReleaseContradiction { .. }));
            assert!(error.to_string().contains("--zebra-release"), "{error}");
            assert_eq!(session.unwritten(), b"", "nothing that zebra could take for something else");
        }
    }
}

#[test]
fn what_answers_as_no_release_is_an_error() {
    for answer in [
        "001afe0600000000 0014 00000000000000000000000000000000", // CAPABILITIES too long
        "000efe0600000000 0078 02000000",                         // refused by a release that has this HELLO
    ] {
        let result = session(None).receive(&unhex(answer));
        assert!(matches!(result, Err(SessionError::Zebra(ZebraError::UnknownRelease { .. }))), "{result:?}");
    }
    // Only the operator can say what it is like.
    let mut forced = session(Some("10.7"));
    forced.receive(&unhex("001afe0600000000 0014 00000000100000000000000000000000")).unwrap();
    assert_eq!(forced.table().unwrap().epoch, Epoch::Frr10_6);
    assert!(matches!(session(None).receive(b"HTTP/1.1 400 Bad Request\r\n"), Err(SessionError::Framing(_))));
    let mut old = Session::new("zserv.api".into(), Some("7.5".parse().unwrap()));
    assert!(matches!(old.open(), Err(SessionError::Zebra(ZebraError::Unsupported(_)))));
}

#[test]
fn synced_comes_once_and_the_barrier_is_not_handed_on() {
    let capture = named("10.3.4-gre");
    let table = ReleaseTable::of(capture.epoch);
    let mut session = session(None);
    session.receive(&capture.received[0]).unwrap();
    let written = session.unwritten().to_vec();
    // GRE_GET is the last request, 14 octets.
    let (header, body) = frame(&written[written.len() - 14..]);
    let Some(Request::GreGet { ifindex }) = Request::decode(table, header, &body).unwrap() else { panic!() };
    let mut answer = Vec::new();
    let gre = nhrp_zapi::Gre {
        vrf: 0,
        ifindex,
        key: None,
        link_ifindex: None,
        link_vrf: None,
        local: None,
        remote: None,
    };
    Message::Gre(gre).encode(table, &mut answer).unwrap();
    for _ in 0..2 {
        session.receive(&answer).unwrap();
    }
    assert!(matches!(session.poll_event(), Some(Event::Connected { .. })));
    assert_eq!(session.poll_event(), Some(Event::Synced));
    assert_eq!(session.poll_event(), None);
}

#[test]
fn a_request_goes_to_the_vrf_of_its_interface() {
    let capture = named("10.3.4-gre");
    let table = ReleaseTable::of(capture.epoch);
    let mut session = session(None);
    session.receive(&capture.received[0]).unwrap();
    let mut gre1 = capture
        .received
        .iter()
        .find(|bytes| bytes[8..10] == [0, 0] && bytes[10..14] == *b"gre1")
        .unwrap()
        .clone();
    gre1[4..8].copy_from_slice(&[0, 0, 0, 9]);
    session.receive(&gre1).unwrap();
    taken(&mut session);
    session.send(&Request::GreGet { ifindex: 6 });
    assert_eq!(frame(&taken(&mut session)).0.vrf, 9);
    session.send(&Request::GreGet { ifindex: 7 });
    assert_eq!(frame(&taken(&mut session)).0.vrf, 0);
    assert_eq!(table.epoch, Epoch::Frr10_2);
}

#[test]
fn bad_messages_are_counted_and_skipped() {
    let capture = named("10.7.0-gre");
    let table = ReleaseTable::of(capture.epoch);
    let mut session = session(None);
    session.receive(&capture.received[0]).unwrap();
    session.poll_event();
    session.receive(&unhex("000cfe0600000000 0002 0000")).unwrap(); // address, cut
    session.receive(&unhex("000cfe0600000000 4000 0000")).unwrap(); // no such number
    let wrong_epoch = named("8.4.4-gre").received;
    let interface = wrong_epoch.iter().find(|bytes| bytes[10..14] == *b"gre1").unwrap();
    session.receive(interface).unwrap();
    let neighbour = Neighbour {
        kind: NeighbourKind::Get,
        vrf: 0,
        ifindex: 6,
        protocol: [172, 16, 0, 2].into(),
        nbma: None,
        state: NeighbourState::INCOMPLETE,
    };
    let mut bytes = Vec::new();
    Message::Neighbour(neighbour).encode(table, &mut bytes).unwrap();
    session.receive(&bytes).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Neighbour(neighbour)), "the next message is understood");
    assert_eq!((session.statistics().decode_errors, session.statistics().unknown), (2, 1));
    let (header, body) = frame(&unhex("000cfe0600000000 0002 0000"));
    let error = Message::decode(table, header, &body).unwrap_err();
    assert_eq!(
        error.to_string(),
        "command 2: field ifindex at octet 0 of the body: message ends, 2 octets missing"
    );
}

fn running(version: &str) -> Option<RunningFrr> {
    RunningFrr::in_text(&format!("FRRouting {version} (hub) on Linux(6.1.0).\nCopyright 1996-2005\n"))
}

/// Every captured zebra, called every known release over the vty: only its own epoch will do, and nothing behind HELLO
/// is written otherwise.
#[test]
fn what_zebra_calls_itself_must_fit_what_it_answers() {
    let releases = ["7.5", "8.4.4", "8.5.7", "9.1.3", "10.0.5", "10.1.5", "10.3.4", "10.5.4", "10.7.0"];
    let (mut fitted, mut refused) = (0, 0);
    for capture in all() {
        for version in releases {
            let mut session = session(None);
            session.set_running(running(version));
            taken(&mut session);
            let mut answers = vec![capture.received[0].clone()];
            if capture.epoch < Epoch::Frr10_0 {
                answers.insert(0, refusal(capture.epoch));
            }
            let (last, first) = answers.split_last().unwrap();
            for answer in first {
                session.receive(answer).unwrap();
                taken(&mut session);
            }
            let result = session.receive(last);
            let named = version.parse::<Release>().unwrap().epoch();
            let alike = |epoch| matches!(epoch, Epoch::Frr10_0 | Epoch::Frr10_1);
            let fits = named.clone().is_ok_and(|n| n == capture.epoch || (alike(n) && alike(capture.epoch)));
            if fits {
                assert_eq!(result, Ok(()), "{} called {version}", capture.name);
                assert_eq!(Ok(session.table().unwrap().epoch), named, "the name settles 10.0 or 10.1");
                let Some(Event::Connected { running: Some(told), .. }) = session.poll_event() else {
                    panic!()
                };
                assert_eq!(told.version, version);
                fitted += 1;
                continue;
            }
            let Err(SessionError::Zebra(error)) = result else {
                panic!("{} called {version}: {result:?}", capture.name)
            };
            assert!(matches!(error, ZebraError::NamedOtherwise { .. }), "{error:?}");
            let text = error.to_string();
            for part in [version, "-z", "--vty_socket", "--zebra-release"] {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert_eq!(session.unwritten(), b"", "nothing that zebra could take for something else");
            refused += 1;
        }
    }
    assert!(fitted >= 10 && refused > fitted, "{fitted} and {refused}");
}

#[test]
fn a_forced_release_outranks_the_name_but_not_the_answer() {
    let capture = named("10.3.4-gre");
    let mut forced = session(Some("10.3"));
    forced.set_running(running("5.4"));
    forced.receive(&capture.received[0]).unwrap();
    assert_eq!(forced.table().unwrap().epoch, Epoch::Frr10_2);
    let mut wrong = session(Some("10.7"));
    wrong.set_running(running("10.7"));
    let result = wrong.receive(&capture.received[0]);
    assert!(
        matches!(result, Err(SessionError::Zebra(ZebraError::ReleaseContradiction { .. }))),
        "{result:?}"
    );
}
