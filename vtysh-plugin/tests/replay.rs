//! Replays what the vtysh of five FRR releases sent to nhrpd, and what was typed at two, and compares every return
//! code with that of FRR's own nhrpd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../examples/vty_standalone/handler.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod handler;

use handler::Standalone;
use vtysh_plugin::{Request, RequestReader, Session, encode_reply, read_config};

/// (recording, line, FRR's code, ours): everything that differs, and why.
const EXCEPTIONS: &[(&str, &str, u8, u8)] = &[
    // Full `no` forms that only later releases take, or none: frr-reload.py is happier with them.
    ("typed-8.4.4", "no tunnel source eth0", 2, 0),
    ("typed-8.4.4", "no tunnel protection vici profile A", 2, 0),
    // A slip of 8.4.4: it answers "Internal CLI error".
    ("typed-library-8.4.4", "no service walltime-warning", 1, 0),
    // 8.4 has no authentication; its vtysh never sends it.
    ("typed-8.4.4", "ip nhrp authentication secret", 2, 0),
];

fn replay(name: &str, version: &str, recording: &str, at_least: usize) {
    let mut daemon = Standalone::new(version);
    daemon.active.push("gre1".into());
    let start: String = recording
        .lines()
        .filter_map(|line| line.strip_prefix("= "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(read_config(&start, &mut daemon), []);
    let (mut session, mut reader) = (Session::new(), RequestReader::default());
    let (mut sent, mut compared, mut used) = (None, 0, 0);
    for line in recording.lines() {
        if line == "connect" {
            (session, reader) = (Session::new(), RequestReader::default());
        } else if let Some(request) = line.strip_prefix("> ") {
            let request = request.replace("\\n", "\n");
            let mut out = Vec::new();
            reader.push(format!("{request}\0").as_bytes(), &mut out);
            assert_eq!(out, [Request::Line(request.clone())]);
            let reply = session.execute(&request, &mut daemon);
            sent = Some((request, reply));
        } else if let Some(code) = line.strip_prefix("< ") {
            let (request, reply) = sent.take().expect("a request before every code");
            let expected: u8 = code.parse().unwrap();
            let ours = *encode_reply(&reply).last().unwrap();
            let exception = EXCEPTIONS.iter().find(|(file, line, ..)| *file == name && *line == request);
            if let Some((.., frr, own)) = exception {
                assert_eq!((expected, ours), (*frr, *own), "{name}: {request}");
                used += 1;
            } else {
                assert_eq!(ours, expected, "{name}: {request}: {}", reply.text);
            }
            compared += 1;
        }
    }
    assert!(compared >= at_least, "{name}: {compared} replies");
    assert_eq!(
        used,
        EXCEPTIONS.iter().filter(|(file, ..)| *file == name).count(),
        "an exception that is none"
    );
}

#[test]
fn vtysh_8_4_4() {
    replay("vtysh-8.4.4", "8.4.4", include_str!("replay/vtysh-8.4.4.txt"), 60);
}

#[test]
fn vtysh_9_1_3() {
    replay("vtysh-9.1.3", "9.1.3", include_str!("replay/vtysh-9.1.3.txt"), 60);
}

#[test]
fn vtysh_10_0_5() {
    replay("vtysh-10.0.5", "10.0.5", include_str!("replay/vtysh-10.0.5.txt"), 60);
}

#[test]
fn vtysh_10_3_4() {
    replay("vtysh-10.3.4", "10.3.4", include_str!("replay/vtysh-10.3.4.txt"), 60);
}

#[test]
fn vtysh_10_7_0() {
    replay("vtysh-10.7.0", "10.7.0", include_str!("replay/vtysh-10.7.0.txt"), 60);
}

#[test]
fn typed_8_4_4() {
    replay("typed-8.4.4", "8.4.4", include_str!("replay/typed-8.4.4.txt"), 60);
}

#[test]
fn typed_10_3() {
    replay("typed-10.3", "10.3", include_str!("replay/typed-10.3.txt"), 8);
}

#[test]
fn library_typed_8_4_4() {
    replay("typed-library-8.4.4", "8.4.4", include_str!("replay/typed-library-8.4.4.txt"), 55);
}

#[test]
fn library_typed_10_3() {
    replay("typed-library-10.3", "10.3", include_str!("replay/typed-library-10.3.txt"), 55);
}
