//! Framing of FRR's vty socket: requests end in NUL, replies in `00 00 00 RC`. Bytes in, lines out; no socket here.

use crate::{Reply, ReturnCode};

/// Longest request without its NUL, FRR's own limit since 10.6.
pub const MAX_REQUEST: usize = 8191;

/// One request taken off the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The bytes before the NUL; invalid UTF-8 is replaced.
    Line(String),
    /// The request was longer than [`MAX_REQUEST`]; all of it has been skipped.
    TooLong,
}

/// Splits a byte stream into requests, however it was cut.
#[derive(Debug, Default)]
pub struct RequestReader {
    pending: Vec<u8>,
    skipping: bool,
}

impl RequestReader {
    /// Takes what was read and appends every complete request to `out`, in order.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Request>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            let (head, tail) = bytes.split_at(end);
            self.store(head);
            bytes = tail.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.skipping) {
                out.push(Request::TooLong);
            } else {
                out.push(Request::Line(String::from_utf8_lossy(&self.pending).into_owned()));
            }
            self.pending.clear();
        }
        self.store(bytes);
    }

    fn store(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.pending.len() + bytes.len() > MAX_REQUEST {
            self.skipping = true;
            self.pending.clear();
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }
}

/// Text and terminator in one buffer: watchfrr reads once and wants all of it; vtysh aborts on a stray NUL.
#[must_use]
pub fn encode_reply(reply: &Reply) -> Vec<u8> {
    encode(reply.text.clone(), reply.rc)
}

/// The same of a text that nobody else needs: a long answer is there once.
pub(crate) fn encode(text: String, rc: ReturnCode) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    bytes.retain(|byte| *byte != 0);
    bytes.extend_from_slice(&[0, 0, 0, rc.byte()]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn watchfrr_gets_its_nine_bytes() {
        assert_eq!(encode_reply(&Reply::text("PING\n")), b"PING\n\0\0\0\0");
    }

    #[test]
    fn nul_in_a_text_cannot_end_the_reply_early() {
        assert_eq!(encode_reply(&Reply::new(ReturnCode::ConfigFailed, "a\0b\n")), b"ab\n\0\0\0\x0d");
    }

    #[test]
    fn an_overlong_request_is_refused_once_and_the_next_one_is_read() {
        let mut reader = RequestReader::default();
        let mut out = Vec::new();
        for _ in 0..40 {
            reader.push(&[b'x'; 512], &mut out);
        }
        assert!(out.is_empty());
        assert!(reader.pending.len() <= MAX_REQUEST);
        reader.push(b"tail\0echo PING\0", &mut out);
        assert_eq!(out, [Request::TooLong, Request::Line("echo PING".into())]);
    }

    #[test]
    fn the_longest_request_fits() {
        let mut bytes = vec![b'x'; MAX_REQUEST];
        bytes.push(0);
        let mut out = Vec::new();
        RequestReader::default().push(&bytes, &mut out);
        assert_eq!(out, [Request::Line("x".repeat(MAX_REQUEST))]);
        bytes.insert(0, b'x');
        out.clear();
        RequestReader::default().push(&bytes, &mut out);
        assert_eq!(out, [Request::TooLong]);
    }

    proptest! {
        #[test]
        fn requests_do_not_depend_on_how_the_stream_was_cut(
            lines in prop::collection::vec("[ -~]{0,40}\n?", 0..8),
            cuts in prop::collection::vec(1usize..20, 1..40),
        ) {
            let stream: Vec<u8> = lines.iter().flat_map(|line| line.bytes().chain([0])).collect();
            let (mut reader, mut out, mut rest) = (RequestReader::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                reader.push(head, &mut out);
                rest = tail;
            }
            prop_assert_eq!(out, lines.into_iter().map(Request::Line).collect::<Vec<_>>());
        }
    }
}
