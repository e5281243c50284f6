//! Answers a screen at a time, with ` --More-- ` at its end. Owns what waits for a key; knows neither keys nor sockets.
//!
//! Only for clients that have said how large their window is, as in FRR: the vty socket and scripts get all at once.

/// At the end of a screen that is not the last; the NUL, which a terminal ignores, is FRR's.
const MORE: &[u8] = b" --More-- \0";
/// Covers [`MORE`] before the next screen.
const COVER: &[u8] =
    b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08          \x08\x08\x08\x08\x08\x08\x08\x08\x08\x08";

/// What a screen holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    /// Columns.
    pub(super) width: usize,
    /// Lines, the one of the prompt included.
    pub(super) lines: usize,
}

/// What has not been shown yet.
#[derive(Debug, Default)]
pub(super) struct Pager {
    held: Vec<u8>,
    waits: bool,
}

impl Pager {
    /// Whether a screen is full and the next key is about the rest.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Takes what is new, and returns what is to be sent now. Without a screen that is everything; so many octets at the
    /// beginning are the echo of a line that was entered and take no room on it.
    pub(super) fn next(&mut self, fresh: &mut Vec<u8>, echo: usize, screen: Option<Screen>) -> Vec<u8> {
        let echo = if self.held.is_empty() { echo.min(fresh.len()) } else { 0 };
        self.held.append(fresh);
        let waited = std::mem::take(&mut self.waits);
        let Some(screen) = screen else { return std::mem::take(&mut self.held) };
        let fits = echo + fitting(self.held.get(echo..).unwrap_or_default(), screen);
        let rest = self.held.split_off(fits);
        let shown = std::mem::replace(&mut self.held, rest);
        self.waits = !self.held.is_empty();
        let cover = if waited { COVER } else { &[] };
        let more = if self.waits { MORE } else { &[] };
        [cover, &shown, more].concat()
    }

    /// Forgets what has not been shown; the next output covers the ` --More-- `.
    pub(super) fn abandon(&mut self) {
        self.held.clear();
    }
}

/// How many octets fit.
fn fitting(text: &[u8], screen: Screen) -> usize {
    let mut lines = if screen.lines >= 2 { screen.lines - 1 } else { 1 };
    let mut column = 1;
    for (at, octet) in text.iter().enumerate() {
        if *octet == b'\r' {
            column = 1;
        } else if *octet == b'\n' || column == screen.width {
            column = 1;
            lines -= 1;
            if lines == 0 {
                return at + 1;
            }
        } else {
            column += 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Option<Screen> = Some(Screen { width: 4, lines: 3 });

    #[test]
    fn a_screen_has_a_line_less_than_fit_and_long_lines_count_twice() {
        let mut pager = Pager::default();
        assert_eq!(pager.next(&mut b"a\r\nb\r\n".to_vec(), 0, SCREEN), b"a\r\nb\r\n");
        assert!(!pager.waits());
        assert_eq!(pager.next(&mut b"a\r\nb\r\nc\r\n> ".to_vec(), 0, SCREEN), b"a\r\nb\r\n --More-- \0");
        assert!(pager.waits());
        assert_eq!(pager.next(&mut Vec::new(), 0, SCREEN), [COVER, b"c\r\n> "].concat());
        assert!(!pager.waits());
        assert_eq!(pager.next(&mut b"abcdefg\r\nh".to_vec(), 0, SCREEN), b"abcdefg\r\n --More-- \0");
    }

    #[test]
    fn an_echo_takes_no_room() {
        let mut pager = Pager::default();
        assert_eq!(
            pager.next(&mut b"show\r\na\r\nb\r\nc".to_vec(), 6, SCREEN),
            b"show\r\na\r\nb\r\n --More-- \0"
        );
    }

    #[test]
    fn what_is_abandoned_is_covered_and_without_a_screen_nothing_waits() {
        let mut pager = Pager::default();
        pager.next(&mut b"a\r\nb\r\nc\r\nd".to_vec(), 0, SCREEN);
        pager.abandon();
        assert_eq!(pager.next(&mut b"r1> ".to_vec(), 0, SCREEN), [COVER, b"r1> "].concat());
        pager.next(&mut b"a\r\nb\r\nc\r\nd".to_vec(), 0, SCREEN);
        assert_eq!(pager.next(&mut b"e".to_vec(), 0, None), b"c\r\nde");
        assert!(!pager.waits());
    }

    #[test]
    fn a_screen_of_one_line_shows_one() {
        let mut pager = Pager::default();
        let least = Some(Screen { width: 80, lines: 1 });
        assert_eq!(pager.next(&mut b"a\r\nb\r\n".to_vec(), 0, least), b"a\r\n --More-- \0");
    }
}
