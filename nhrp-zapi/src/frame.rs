//! The header of ten octets and the cutting of a stream into frames.
//!
//! ```text
//!  0               1               2               3
//! |            length             |  marker 254   |   version 6   |
//! |                            vrf id                             |
//! |            command            |
//! ```
//! The length includes the header; all fields are big-endian; the same in every release from 8.4 to 10.7. Owns no
//! knowledge of commands.

use crate::buffer::{Reader, Write};

/// Longest request that zebra accepts.
pub const MAX_REQUEST: usize = 16384;

const HEADER: usize = 10;
const MARKER: u8 = 254;
const VERSION: u8 = 6;

/// Header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// VRF that the message is about.
    pub vrf: u32,
    /// Number of the command; see [`crate::ReleaseTable::command`].
    pub command: u16,
}

/// The stream is not ZAPI, or framing was lost. Nothing after it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The octet that has to be 254 is not.
    #[error("zebra's stream has marker {0} where 254 must be: not an FRR zebra, or framing was lost")]
    Marker(u8),
    /// A version of the API that this crate does not speak.
    #[error("zebra speaks version {0} of its API; this daemon speaks version 6 (FRR 8.4 to 10.7)")]
    Version(u8),
    /// Shorter than its own header.
    #[error("zebra sent a frame of length {0}, shorter than its header")]
    Length(u16),
}

/// Collects octets and gives out whole frames.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    data: Vec<u8>,
    start: usize,
}

impl FrameBuffer {
    /// Appends what was read.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.start == self.data.len() {
            self.clear();
        } else if self.start > self.data.len() / 2 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        self.data.extend_from_slice(bytes);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.data.clear();
        self.start = 0;
    }

    /// The next whole frame: header and body. `None` if more has to be read first.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; the buffer stays where it is, the connection has to be given up.
    pub fn next_frame(&mut self) -> Result<Option<(Header, &[u8])>, FrameError> {
        let rest = self.data.get(self.start..).unwrap_or_default();
        let mut reader = Reader::new(0, rest);
        let (Ok(length), Ok(marker), Ok(version), Ok(vrf), Ok(command)) = (
            reader.u16("length"),
            reader.u8("marker"),
            reader.u8("version"),
            reader.u32("vrf"),
            reader.u16("command"),
        ) else {
            return Ok(None);
        };
        if marker != MARKER {
            return Err(FrameError::Marker(marker));
        }
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if usize::from(length) < HEADER {
            return Err(FrameError::Length(length));
        }
        let Some(body) = rest.get(HEADER..usize::from(length)) else { return Ok(None) };
        self.start = self.start.saturating_add(usize::from(length));
        Ok(Some((Header { vrf, command }, body)))
    }
}

/// Appends a frame whose body `fill` writes. Leaves `out` as it was and returns `None` if it grows too long.
pub(crate) fn put_frame(out: &mut Vec<u8>, header: Header, fill: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
    let start = out.len();
    out.put_u16(0);
    out.put_u8(MARKER);
    out.put_u8(VERSION);
    out.put_u32(header.vrf);
    out.put_u16(header.command);
    fill(out);
    let length = u16::try_from(out.len().saturating_sub(start)).ok();
    match (length, out.get_mut(start..start.saturating_add(2))) {
        (Some(length), Some(field)) => {
            field.copy_from_slice(&length.to_be_bytes());
            Some(())
        }
        _ => {
            out.truncate(start);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO_8_4: [u8; 19] = [0, 0x13, 0xfe, 6, 0, 0, 0, 0, 0, 0x12, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        let stream = [HELLO_8_4.as_slice(), &HELLO_8_4].concat();
        for cut in 0..stream.len() {
            let mut frames = FrameBuffer::default();
            let mut seen = 0;
            for part in [&stream[..cut], &stream[cut..]] {
                frames.extend(part);
                while let Some((header, body)) = frames.next_frame().unwrap() {
                    assert_eq!(header, Header { vrf: 0, command: 18 });
                    assert_eq!(body, &HELLO_8_4[10..]);
                    seen += 1;
                }
            }
            assert_eq!(seen, 2, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for (octet, value, error) in
            [(1, 9, FrameError::Length(9)), (2, 255, FrameError::Marker(255)), (3, 5, FrameError::Version(5))]
        {
            let mut bytes = HELLO_8_4;
            bytes[octet] = value;
            let mut frames = FrameBuffer::default();
            frames.extend(&bytes);
            assert_eq!(frames.next_frame(), Err(error));
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_written() {
        let mut out = vec![1];
        let header = Header { vrf: 0, command: 1 };
        assert_eq!(put_frame(&mut out, header, |body| body.resize(70_000, 0)), None);
        assert_eq!(out, [1]);
    }
}
