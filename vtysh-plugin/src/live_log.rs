//! The live log of `terminal monitor`: what vtysh expects in each packet, and how the socket gets to it.
//!
//! Owns the record's layout, which vtysh takes from its own release and not from the record. Writes no log.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::{LogLevel, Release};

/// Octets of a header up to FRR 10.5, and of the part that all have in common.
const HEADER: usize = 72;
/// Octets of a header since FRR 10.6.
const LONG_HEADER: usize = 80;
/// Digits after the second that vtysh is asked to print.
const SUBSECOND_DIGITS: u8 = 3;
/// Octets of text that go into a packet. vtysh has room for 4,096 behind the header, does not check, and prints as many
/// octets as the header tells.
const LONGEST_TEXT: usize = 4000;

/// A live log for one session: FRR sends one end of a socket pair to vtysh.
#[derive(Clone, Debug)]
pub struct LiveLog {
    /// vtysh's end.
    pub socket: Arc<OwnedFd>,
    /// Kept by the session for as long as it wants the log; whoever writes watches for its end. None: the log goes on
    /// until its reader closes it.
    pub session: Option<Arc<()>>,
}

impl PartialEq for LiveLog {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }
}

impl Eq for LiveLog {}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct LiveMessage<'a> {
    /// Since 1970.
    pub time: Duration,
    /// Of the daemon; also its thread.
    pub pid: u32,
    /// Importance.
    pub level: LogLevel,
    /// Messages that this reader has missed since its log began.
    pub lost: u32,
    /// One line without its end; what is beyond [`LONGEST_TEXT`] is cut off.
    pub text: &'a str,
}

impl LiveMessage<'_> {
    /// The packet for the vtysh of a release, numbers as this machine has them.
    #[must_use]
    pub fn packet(&self, release: Release) -> Vec<u8> {
        let length = if release.has_long_live_header() { LONG_HEADER } else { HEADER };
        let fits = (0..=LONGEST_TEXT).rev().find_map(|end| self.text.get(..end));
        let text = if self.text.len() <= LONGEST_TEXT { self.text } else { fits.unwrap_or_default() };
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_ne_bytes();
        let pid = i64::from(self.pid).to_ne_bytes();
        let mut out = Vec::with_capacity(length + text.len());
        out.extend(self.time.as_secs().to_ne_bytes());
        out.extend(self.time.subsec_nanos().to_ne_bytes());
        out.extend(word(length));
        out.extend(pid);
        out.extend(pid);
        out.extend(self.lost.to_ne_bytes());
        out.extend(u32::from(self.level as u8).to_ne_bytes());
        out.extend(0u32.to_ne_bytes()); // flags
        out.extend(word(text.len()));
        out.extend(0u32.to_ne_bytes()); // of which identifiers in brackets
        out.extend([0; 12]); // identifier of the message's text
        out.extend(0u32.to_ne_bytes()); // kind of error
        if release.has_long_live_header() {
            out.extend([SUBSECOND_DIGITS, 0, 0, 0]);
        }
        out.extend(0u32.to_ne_bytes()); // positions of arguments in the text
        out.resize(length, 0);
        out.extend(text.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_record_is_frrs() {
        let message = LiveMessage {
            time: Duration::new(0x6b02_2cb4, 0x19f1_82fe),
            pid: 0x63bf,
            level: LogLevel::Debugging,
            lost: 0,
            text: "hello-live",
        };
        // Captured from FRR 8.4.4, without what it says about arguments (none here).
        let mut captured = Vec::new();
        captured.extend(0x6b02_2cb4_u64.to_le_bytes());
        captured.extend(0x19f1_82fe_u32.to_le_bytes());
        captured.extend(72u32.to_le_bytes());
        captured.extend(0x63bf_u64.to_le_bytes());
        captured.extend(0x63bf_u64.to_le_bytes());
        captured.extend([0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0]);
        captured.extend([0; 20]);
        captured.extend(b"hello-live");
        assert_eq!(message.packet(Release::new(8, 4)), captured);
        assert_eq!(message.packet(Release::new(10, 5)).len(), 82);
        let long = message.packet(Release::new(10, 6));
        assert_eq!((long.len(), long[12], long[68]), (90, 80, 3));
    }

    #[test]
    fn a_long_text_stays_within_vtyshs_buffer() {
        let text = "ä".repeat(3000);
        let message =
            LiveMessage { time: Duration::ZERO, pid: 1, level: LogLevel::Errors, lost: 0, text: &text };
        let packet = message.packet(Release::new(10, 3));
        let told = u32::from_ne_bytes(packet[44..48].try_into().unwrap());
        assert_eq!((packet.len(), told), (HEADER + LONGEST_TEXT, 4000));
        assert!(std::str::from_utf8(&packet[HEADER..]).is_ok());
    }
}
