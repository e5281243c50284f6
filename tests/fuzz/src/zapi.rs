//! The session with zebra: target `zapi`.

use nhrp_zapi::{Decoded, Epoch, FrameBuffer, Message, ReleaseTable, Request, RunningFrr, Session};

/// The first octet says what the session was told (nothing, a forced release, a name), the second how the stream is
/// cut; the rest is what zebra says.
///
/// # Panics
/// When something does not hold.
pub fn zapi(octets: &[u8]) {
    let [how, cut, stream @ ..] = octets else { return };
    let epoch = |number: u8| Epoch::ALL[usize::from(number) % Epoch::ALL.len()];
    let forced = (how & 0x80 != 0).then(|| epoch(how & 0x0f).first_release());
    let mut session = Session::new("zserv.api".into(), forced);
    if how & 0x40 != 0 {
        let release = epoch(how >> 2 & 0x0f).first_release();
        session.set_running(RunningFrr::in_text(&format!("FRRouting {release} (x) on y.")));
    }
    // Twice: whatever a connection ended with, the next one begins anew.
    for _ in 0..2 {
        session.open().expect("a supported release");
        let piece = usize::from(*cut).max(1);
        let mut heard = 0;
        let result = stream.chunks(piece).try_for_each(|piece| {
            heard += piece.len();
            session.receive(piece)
        });
        let mut events = 0;
        while session.poll_event().is_some() {
            events += 1;
        }
        assert!(events <= heard / 10 + 1, "{events} events of {heard} octets");
        written(&session);
        if session.is_open() && result.is_ok() {
            session.send(&Request::GreGet { ifindex: 6 });
            session.say_goodbye();
            written(&session);
        }
        session.close();
        assert_eq!(session.unwritten(), b"");
        assert!(!session.is_open());
    }
    let statistics = session.statistics();
    assert!(statistics.octets_in <= 2 * stream.len() as u64);
    for table in Epoch::ALL.map(ReleaseTable::of) {
        messages(table, stream);
    }
}

/// What is to be written is whole frames of requests.
fn written(session: &Session) {
    let mut frames = FrameBuffer::default();
    frames.extend(session.unwritten());
    let mut octets = 0;
    while let Some((header, body)) = frames.next_frame().expect("whole frames") {
        octets += 10 + body.len();
        if let Some(table) = session.table() {
            let request = Request::decode(table, header, body);
            assert!(matches!(request, Ok(Some(_)) | Err(_)), "{request:?}");
        }
    }
    assert_eq!(octets, session.unwritten().len());
}

/// What is understood can be written, and that is read and written the same for ever. Not the same as the octets that
/// came: fields that nhrpd does not use are not kept, and those that were missing are there.
fn messages(table: &ReleaseTable, stream: &[u8]) {
    let mut frames = FrameBuffer::default();
    frames.extend(stream);
    while let Ok(Some((header, body))) = frames.next_frame() {
        match Message::decode(table, header, body) {
            Ok(Decoded::Message(_, message)) => {
                let mut once = Vec::new();
                if message.encode(table, &mut once).is_ok() {
                    assert_eq!(again(table, &once), once, "{message:?}");
                }
            }
            Ok(_) => {}
            Err(error) => {
                assert!(error.offset <= body.len() && !error.to_string().is_empty(), "{error:?}");
            }
        }
    }
}

/// One message read and written.
fn again(table: &ReleaseTable, octets: &[u8]) -> Vec<u8> {
    let mut frames = FrameBuffer::default();
    frames.extend(octets);
    let (header, body) = frames.next_frame().expect("a frame").expect("a whole one");
    let Ok(Decoded::Message(_, message)) = Message::decode(table, header, body) else {
        panic!("what was written is not read: {octets:02x?}");
    };
    let mut again = Vec::new();
    message.encode(table, &mut again).expect("it was written before");
    again
}

/// What zebra said in each captured conversation, to a session that probes and to one that is forced.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = crate::folder("../../nhrp-zapi/tests/data");
    let captures = crate::files(&folder).into_iter().filter(|(name, _)| name.ends_with(".zapi"));
    let mut seeds = Vec::new();
    for (name, text) in captures {
        let text = String::from_utf8_lossy(&text).into_owned();
        let frames: Vec<Vec<u8>> =
            text.lines().filter_map(|line| line.strip_prefix("< ")).map(unhex).collect();
        let old = name.starts_with("frr-8") || name.starts_with("frr-9");
        let epoch = Epoch::ALL.iter().position(|epoch| {
            let release = epoch.first_release();
            name.starts_with(&format!("frr-{}.{}.", release.major, release.minor))
        });
        // Some hundred octets each, so that a change often meets something: the start, then windows of the rest.
        for window in frames[1..].chunks(12) {
            let mut seed = vec![if old { 0x80 } else { 0 } | u8::try_from(epoch.unwrap_or(4)).unwrap(), 0xff];
            seed.extend(&frames[0]);
            seed.extend(window.concat());
            seeds.push(seed);
        }
    }
    seeds
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect()
}
