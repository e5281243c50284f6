//! One line that is being typed: keys in, echo and finished lines out. Owns the text, the cursor and the history;
//! knows no command and no socket.
//!
//! Keys are those of FRR's vty: arrows, Home and End by ^A and ^E, ^B ^F, ^D, ^H, ^K, ^P ^N, ^T, ^U, ^W, and with
//! Escape before them b, f, d, Backspace.

use std::collections::VecDeque;

use crate::MAX_REQUEST;

/// Lines that are remembered; FRR's 20.
const HISTORY: usize = 20;
const BELL: u8 = 7;
const BACKSPACE: u8 = 8;
const ESCAPE: u8 = 27;
const DELETE: u8 = 127;

/// What a key asks for beyond editing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The line is finished.
    Line(String),
    /// `?`
    Help,
    /// Tab
    Completion,
    /// ^C
    Interrupt,
    /// ^Z
    End,
    /// ^D on an empty line.
    Leave,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    /// After Escape.
    Escape,
    /// After Escape `[` or Escape `O`, with the number that follows.
    Bracket(u8),
    /// After carriage return: a line feed or NUL belongs to it.
    Return,
}

/// The line.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    line: Vec<u8>,
    at: usize,
    sequence: Sequence,
    history: VecDeque<Vec<u8>>,
    /// How many lines the one that is shown is back; none for a line that was typed.
    back: usize,
    /// What is typed is not shown, and neither completed nor remembered.
    secret: bool,
}

impl Editor {
    /// Whether what is typed from now on is a password.
    pub(crate) fn set_secret(&mut self, secret: bool) {
        self.secret = secret;
    }

    /// The lines entered, the oldest first. Of a full ring FRR leaves out the one that is overwritten next.
    pub(crate) fn history(&self) -> impl Iterator<Item = String> + '_ {
        self.history
            .iter()
            .skip(usize::from(self.history.len() == HISTORY))
            .map(|line| String::from_utf8_lossy(line).into_owned())
    }

    /// Keeps a line that was carried out, unless it is the one before once more.
    pub(crate) fn remember(&mut self, line: &str) {
        let line = line.as_bytes();
        if line.trim_ascii().is_empty() || self.history.back().is_some_and(|last| last == line) {
            return;
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(line.to_owned());
    }

    /// The line as far as it was typed. The cursor goes to its end, where `?` and Tab look in FRR.
    pub(crate) fn whole(&mut self) -> String {
        self.at = self.line.len();
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// Prints the line again, after a new prompt.
    pub(crate) fn redraw(&self, echo: &mut Vec<u8>) {
        echo.extend_from_slice(&self.line);
        echo.extend(std::iter::repeat_n(BACKSPACE, self.line.len() - self.at));
    }

    /// Puts text in the place of as many octets in front of the cursor.
    pub(crate) fn replace_before(&mut self, count: usize, text: &str, echo: &mut Vec<u8>) {
        let count = count.min(self.at);
        if self.at < self.line.len() {
            self.rub_out(count, echo);
        } else {
            // At the end the new text covers the old one.
            self.left(count, echo);
            self.line.truncate(self.at);
        }
        for byte in text.bytes() {
            self.put(byte, echo);
        }
    }

    /// Removes as many octets in front of the cursor.
    fn rub_out(&mut self, count: usize, echo: &mut Vec<u8>) {
        for _ in 0..count {
            self.delete_before(echo);
        }
    }

    /// Drops the line without an echo.
    pub(crate) fn forget(&mut self) {
        self.line.clear();
        self.at = 0;
        self.back = 0;
    }

    /// Takes a key.
    pub(crate) fn key(&mut self, key: u8, echo: &mut Vec<u8>) -> Option<Asked> {
        match std::mem::take(&mut self.sequence) {
            Sequence::Return if key == b'\n' || key == 0 => return None,
            Sequence::Escape => {
                self.escaped(key, echo);
                return None;
            }
            Sequence::Bracket(number) => {
                self.bracketed(number, key, echo);
                return None;
            }
            Sequence::None | Sequence::Return => {}
        }
        match key {
            b'\r' | b'\n' => {
                if key == b'\r' {
                    self.sequence = Sequence::Return;
                }
                return Some(Asked::Line(self.finish()));
            }
            3 => return Some(Asked::Interrupt),
            26 => return Some(Asked::End),
            4 if self.line.is_empty() => return Some(Asked::Leave),
            b'?' if !self.secret => return Some(Asked::Help),
            b'\t' if !self.secret => return Some(Asked::Completion),
            ESCAPE => self.sequence = Sequence::Escape,
            BACKSPACE | DELETE => self.delete_before(echo),
            1 => self.left(self.at, echo),
            2 => self.left(1, echo),
            4 => self.delete_under(1, echo),
            5 => self.right(self.line.len(), echo),
            6 => self.right(1, echo),
            11 => self.delete_under(self.line.len() - self.at, echo),
            14 => self.recall(false, echo),
            16 => self.recall(true, echo),
            20 => self.transpose(echo),
            21 => self.clear(echo),
            23 => self.rub_out(self.word_before(), echo),
            printed if printed >= b' ' => self.put(printed, echo),
            _ => {}
        }
        None
    }

    fn escaped(&mut self, key: u8, echo: &mut Vec<u8>) {
        match key {
            b'[' | b'O' => self.sequence = Sequence::Bracket(0),
            b'b' => self.left(self.word_before(), echo),
            b'f' => self.right(self.word_after(), echo),
            // One by one, as FRR echoes it.
            b'd' => (0..self.word_after()).for_each(|_| self.delete_under(1, echo)),
            BACKSPACE | DELETE => self.rub_out(self.word_before(), echo),
            _ => {}
        }
    }

    fn bracketed(&mut self, number: u8, key: u8, echo: &mut Vec<u8>) {
        match key {
            b'0'..=b'9' => self.sequence = Sequence::Bracket(key - b'0'),
            b'A' => self.recall(true, echo),
            b'B' => self.recall(false, echo),
            b'C' => self.right(1, echo),
            b'D' => self.left(1, echo),
            b'H' => self.left(self.at, echo),
            b'F' => self.right(self.line.len(), echo),
            b'~' => match number {
                1 | 7 => self.left(self.at, echo),
                4 | 8 => self.right(self.line.len(), echo),
                3 => self.delete_under(1, echo),
                _ => {}
            },
            _ => {}
        }
    }

    fn finish(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        self.forget();
        String::from_utf8_lossy(&line).into_owned()
    }

    fn put(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.line.len() >= MAX_REQUEST {
            echo.push(BELL);
            return;
        }
        self.line.insert(self.at, byte);
        self.at += 1;
        if self.secret {
            return;
        }
        echo.push(byte);
        self.rest(0, echo);
    }

    /// Prints what is behind the cursor, `blanks` more to wipe out what was there, and goes back.
    fn rest(&self, blanks: usize, echo: &mut Vec<u8>) {
        let rest = self.line.get(self.at..).unwrap_or_default();
        echo.extend_from_slice(rest);
        echo.extend(std::iter::repeat_n(b' ', blanks));
        echo.extend(std::iter::repeat_n(BACKSPACE, rest.len() + blanks));
    }

    fn left(&mut self, count: usize, echo: &mut Vec<u8>) {
        let count = count.min(self.at);
        self.at -= count;
        if !self.secret {
            echo.extend(std::iter::repeat_n(BACKSPACE, count));
        }
    }

    fn right(&mut self, count: usize, echo: &mut Vec<u8>) {
        let to = self.at.saturating_add(count).min(self.line.len());
        if !self.secret {
            echo.extend_from_slice(self.line.get(self.at..to).unwrap_or_default());
        }
        self.at = to;
    }

    fn delete_before(&mut self, echo: &mut Vec<u8>) {
        if self.at > 0 {
            self.left(1, echo);
            self.delete_under(1, echo);
        }
    }

    fn delete_under(&mut self, count: usize, echo: &mut Vec<u8>) {
        let end = self.at.saturating_add(count).min(self.line.len());
        let gone = self.line.drain(self.at..end).count();
        if gone > 0 && !self.secret {
            self.rest(gone, echo);
        }
    }

    fn clear(&mut self, echo: &mut Vec<u8>) {
        self.left(self.at, echo);
        self.delete_under(self.line.len(), echo);
    }

    fn transpose(&mut self, echo: &mut Vec<u8>) {
        if self.at == self.line.len() {
            self.left(1, echo);
        }
        if self.at == 0 || self.at >= self.line.len() || self.secret {
            return;
        }
        self.line.swap(self.at - 1, self.at);
        self.left(1, echo);
        self.right(2, echo);
    }

    /// Octets from the cursor back to the beginning of a word.
    fn word_before(&self) -> usize {
        let before = self.line.get(..self.at).unwrap_or_default();
        let text = before.trim_ascii_end();
        let start = text.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
        self.at - start
    }

    /// Octets from the cursor to the end of a word.
    fn word_after(&self) -> usize {
        let after = self.line.get(self.at..).unwrap_or_default();
        let blanks = after.len() - after.trim_ascii_start().len();
        let word = after.get(blanks..).unwrap_or_default();
        blanks + word.iter().position(|byte| *byte == b' ').unwrap_or(word.len())
    }

    /// A step back or forth, as FRR's ring of lines has it: beyond the latest there is nothing, until the ring is full;
    /// then the oldest line is there, and beyond it the latest.
    fn recall(&mut self, older: bool, echo: &mut Vec<u8>) {
        let full = self.history.len() == HISTORY;
        let wanted = match (self.back, older) {
            (back, true) if full => (back + 1) % HISTORY,
            (back, true) if back < self.history.len() => back + 1,
            (0, _) | (_, true) => return,
            (1, false) if !full => return,
            (back, false) => back - 1,
        };
        if self.secret {
            return;
        }
        // Back by none is the oldest of a full ring.
        let back = if wanted == 0 { HISTORY } else { wanted };
        let line = self.history.len().checked_sub(back).and_then(|at| self.history.get(at));
        let line = line.cloned().unwrap_or_default();
        self.clear(echo);
        self.at = line.len();
        self.line = line;
        self.back = wanted;
        self.redraw(echo);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a terminal shows on its line after an echo.
    fn screen(echo: &[u8]) -> (String, usize) {
        let (mut cells, mut at) = (Vec::new(), 0);
        for byte in echo {
            match *byte {
                BACKSPACE => at -= 1,
                BELL => {}
                byte => {
                    if at == cells.len() {
                        cells.push(byte);
                    } else {
                        cells[at] = byte;
                    }
                    at += 1;
                }
            }
        }
        (String::from_utf8_lossy(&cells).trim_end().to_owned(), at)
    }

    fn typed(editor: &mut Editor, keys: &[u8]) -> (Vec<u8>, Vec<Asked>) {
        let (mut echo, mut asked) = (Vec::new(), Vec::new());
        for key in keys {
            asked.extend(editor.key(*key, &mut echo));
        }
        (echo, asked)
    }

    #[test]
    fn the_echo_is_frrs() {
        // Captured from FRR 10.3's telnet vty.
        let mut editor = Editor::default();
        let (echo, _) = typed(&mut editor, b"abc def\x01X");
        assert_eq!(echo, b"abc def\x08\x08\x08\x08\x08\x08\x08Xabc def\x08\x08\x08\x08\x08\x08\x08");
        let (echo, _) = typed(&mut editor, b"\x15");
        assert_eq!(
            screen(&[b"Xabc def\x08\x08\x08\x08\x08\x08\x08".as_slice(), &echo].concat()),
            (String::new(), 0)
        );
    }

    #[test]
    fn words_and_characters_go_and_come() {
        let mut editor = Editor::default();
        let (_, asked) = typed(&mut editor, b"show ip nhrp\x17cache\x1bb\x1bdnhs\x01\x04S\x05!\x08\r\n");
        assert_eq!(asked, [Asked::Line("Show ip nhs".into())]);
        let (_, asked) = typed(&mut editor, b"ab\x14\x02\x02X\x1b[3~\x1b[F.\x1b[H>\n");
        assert_eq!(asked, [Asked::Line(">Xa.".into())]);
    }

    /// The line that the keys lead to when those are entered which were typed before them.
    fn recalled(editor: &mut Editor, keys: &[u8]) -> String {
        match typed(editor, &[keys, b"\n"].concat()).1.pop() {
            Some(Asked::Line(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_entered_comes_back() {
        let mut editor = Editor::default();
        for line in ["one", "two", "two", "  "] {
            editor.remember(line);
        }
        assert_eq!(editor.history().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(recalled(&mut editor, b"\x10\x1b[A\x1b[A"), "one");
        // There is nothing beyond the latest.
        assert_eq!(recalled(&mut editor, b"x\x10\x0e"), "two");
        assert_eq!(recalled(&mut editor, b"x\x0e"), "x");
    }

    #[test]
    fn a_full_ring_goes_round() {
        let mut editor = Editor::default();
        for n in 1..=100 {
            editor.remember(&n.to_string());
        }
        // FRR does not list the oldest, but recalls it.
        let listed: Vec<String> = editor.history().collect();
        assert_eq!((listed.len(), listed[0].as_str()), (HISTORY - 1, "82"));
        assert_eq!(recalled(&mut editor, &[16; 20]), "81");
        assert_eq!(recalled(&mut editor, &[16; 21]), "100");
        assert_eq!(recalled(&mut editor, &[16, 14]), "81");
        assert_eq!(recalled(&mut editor, &[14]), "");
    }

    #[test]
    fn a_password_is_neither_shown_nor_kept() {
        let mut editor = Editor::default();
        editor.set_secret(true);
        let (echo, asked) = typed(&mut editor, b"p?x\x7f\tw\r\0");
        assert_eq!((echo.as_slice(), asked), (b"".as_slice(), vec![Asked::Line("p?w".into())]));
        assert_eq!(editor.history().count(), 0);
    }

    #[test]
    fn a_line_has_an_end() {
        let mut editor = Editor::default();
        let (_, asked) = typed(&mut editor, &[vec![b'x'; MAX_REQUEST + 100], vec![b'\n']].concat());
        assert_eq!(asked, [Asked::Line("x".repeat(MAX_REQUEST))]);
    }

    proptest! {
        /// Whatever is typed, the terminal shows the line and has its cursor where ours is.
        #[test]
        fn the_screen_shows_the_line(keys in prop::collection::vec(prop_oneof![
            3 => (0x20u8..0x7f).prop_map(|key| vec![key]),
            1 => prop::sample::select(vec![1u8, 2, 4, 5, 6, 8, 11, 14, 16, 20, 21, 23, 127])
                .prop_map(|key| vec![key]),
            1 => prop::sample::select(vec!["[A", "[B", "[C", "[D", "[H", "[F", "[3~", "b", "f", "d", "\x7f"])
                .prop_map(|rest| [b"\x1b", rest.as_bytes()].concat()),
        ], 0..60)) {
            let mut editor = Editor::default();
            let mut echo = Vec::new();
            editor.remember("show ip nhrp");
            editor.remember("conf t");
            for key in keys.into_iter().flatten().filter(|key| *key != b'?') {
                editor.key(key, &mut echo);
            }
            let shown = String::from_utf8_lossy(&editor.line).trim_end().to_owned();
            prop_assert_eq!(screen(&echo), (shown, editor.at));
        }
    }
}
