//! The vty socket and all that is typed into it: target `vty`.

#[path = "../../../vtysh-plugin/examples/vty_standalone/handler.rs"]
#[allow(dead_code, missing_docs, reason = "an example of vtysh-plugin, shared")]
mod handler;

use handler::Standalone;
use vtysh_plugin::{MAX_REQUEST, Request, RequestReader, Session, encode_reply, read_config};

/// The first octet says how the stream is cut, the rest is what a client writes.
///
/// # Panics
/// When something does not hold.
pub fn vty(octets: &[u8]) {
    let Some((cut, stream)) = octets.split_first() else { return };
    let mut whole = Vec::new();
    RequestReader::default().push(stream, &mut whole);
    let (mut reader, mut requests) = (RequestReader::default(), Vec::new());
    for piece in stream.chunks(usize::from(*cut).max(1)) {
        reader.push(piece, &mut requests);
    }
    assert_eq!(requests, whole, "however it was cut");
    assert_eq!(requests.len(), stream.iter().filter(|octet| **octet == 0).count());

    let mut daemon = Standalone::new("10.3");
    let mut session = Session::new();
    for request in requests {
        let Request::Line(line) = request else { continue };
        assert!(line.len() <= MAX_REQUEST * 3, "{} octets", line.len());
        let reply = encode_reply(&session.execute(&line, &mut daemon));
        // The end is the only place where a reader finds it.
        let (text, end) = reply.split_at(reply.len() - 4);
        assert!(!text.contains(&0) && end[..3] == [0; 3]);
    }
    let running = daemon.running_config();
    let mut again = Standalone::new("10.3");
    let errors = read_config(&running, &mut again);
    assert!(errors.is_empty(), "{errors:?} in\n{running}");
    assert_eq!(again.running_config(), running, "what is printed is read back the same");
}

/// Sessions that were typed at FRR's daemons, a line an input and all lines of a file in one.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = crate::folder("../../vtysh-plugin/tests/replay");
    let texts =
        crate::files(&folder).into_iter().map(|(_, text)| String::from_utf8_lossy(&text).into_owned());
    texts
        .flat_map(|text| {
            let lines: Vec<String> =
                text.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect();
            lines
                .chunks(24)
                .map(|lines| {
                    let mut seed = b"\x20enable\0conf t\0interface gre1\0".to_vec();
                    for line in lines {
                        seed.extend(line.as_bytes());
                        seed.push(0);
                    }
                    seed
                })
                .collect::<Vec<_>>()
        })
        .collect()
}
