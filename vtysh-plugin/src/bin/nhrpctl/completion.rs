//! The words that may come next on a line, for the completion of a shell. The daemon names them, as it does behind `?`;
//! this only leaves out what cannot be typed as it is shown.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::client::Client;

/// Whoever pressed Tab does not wait for a stalled daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keywords that may follow `beginning`, one a line. Its last word, if no blank is behind it, is taken for the
/// beginning of one.
pub(crate) fn next_words(client: Client, beginning: &str) -> Result<String, String> {
    // Keys that mean something else on a terminal are part of no command.
    if beginning.contains(|c: char| c.is_control() || c == '?') {
        return Ok(String::new());
    }
    let mut stream = client.into_terminal()?;
    let problem = |e: std::io::Error| format!("the connection is lost: {e}");
    stream.set_read_timeout(Some(PATIENCE)).map_err(problem)?;
    stream.write_all(format!("{beginning}?").as_bytes()).map_err(problem)?;
    // The terminal answers what it has got, and hangs up.
    stream.shutdown(Shutdown::Write).map_err(problem)?;
    let mut shown = Vec::new();
    stream.read_to_end(&mut shown).map_err(problem)?;
    Ok(keywords(&String::from_utf8_lossy(&shown)))
}

/// The words in the list behind `?`: two blanks, the word, what it is good for. Placeholders, such as `A.B.C.D`, are not
/// in small letters.
fn keywords(shown: &str) -> String {
    let words = shown.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let typed = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    };
    words.filter(typed).map(|word| format!("{word}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_left_out() {
        let shown = "r1# ip nhrp map \r\n  A.B.C.D    an address\r\n  X:X::X:X   an address\r\n  multicast  packets\r\n  \
                     <cr>       \r\nr1# ip nhrp map ";
        assert_eq!(keywords(shown), "multicast\n");
        assert_eq!(keywords("r1# bogus ?\r\n% There is no matched command.\r\nr1# bogus "), "");
    }
}
