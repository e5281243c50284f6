//! The telnet protocol (RFC 854) as far as a line editor needs it: what is said to a client, and what of its octets
//! are keys. Keeps no text.

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
const OPTION_ECHO: u8 = 1;
const OPTION_SUPPRESS_GO_AHEAD: u8 = 3;
const OPTION_WINDOW_SIZE: u8 = 31;
const OPTION_LINE_MODE: u8 = 34;

/// We echo, a character at a time: what FRR asks of a client.
pub(super) const OPENING: [u8; 12] = [
    IAC,
    WILL,
    OPTION_ECHO,
    IAC,
    WILL,
    OPTION_SUPPRESS_GO_AHEAD,
    IAC,
    DONT,
    OPTION_LINE_MODE,
    IAC,
    DO,
    OPTION_WINDOW_SIZE,
];

/// Octets of a window's size, after the option.
const SIZE_OCTETS: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After IAC.
    Command,
    /// After WILL, WONT, DO or DONT: the option follows.
    Option,
    /// Between SB and IAC SE.
    Parameters,
    /// After IAC between SB and SE.
    ParametersCommand,
}

/// Tells keys from negotiation, however the stream was cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// Of the negotiation under way, no more than what a size has and one.
    parameters: Vec<u8>,
    window: (u16, u16),
}

impl Decoder {
    /// The key that an octet is, if it is one.
    pub(super) fn key(&mut self, octet: u8) -> Option<u8> {
        let (next, key) = match (self.state, octet) {
            (State::Text, IAC) => (State::Command, None),
            (State::Text, key) => (State::Text, Some(key)),
            (State::Command, WILL | WONT | DO | DONT) => (State::Option, None),
            (State::Command, SB) => {
                self.parameters.clear();
                (State::Parameters, None)
            }
            (State::Parameters, IAC) => (State::ParametersCommand, None),
            (State::ParametersCommand, SE) => {
                self.negotiated();
                (State::Text, None)
            }
            // Also an octet 255 of the text, which is in no command.
            (State::Command | State::Option, _) => (State::Text, None),
            (State::Parameters | State::ParametersCommand, octet) => {
                if self.parameters.len() <= SIZE_OCTETS + 1 {
                    self.parameters.push(octet);
                }
                (State::Parameters, None)
            }
        };
        self.state = next;
        key
    }

    fn negotiated(&mut self) {
        if let [OPTION_WINDOW_SIZE, a, b, c, d] = *self.parameters {
            self.window = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        }
    }

    /// Columns and lines of the client's window (RFC 1073); 0 is not known.
    pub(super) fn window(&self) -> (u16, u16) {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiation_is_no_text() {
        let mut decoder = Decoder::default();
        let window = [IAC, SB, OPTION_WINDOW_SIZE, 0, 80, 0, 24, IAC, SE];
        let octets =
            [b"sh".as_slice(), &[IAC, DO, OPTION_ECHO], &window, &[IAC, IAC], b"ow", &[IAC, 241], b"!"]
                .concat();
        let keys: Vec<u8> = octets.into_iter().filter_map(|octet| decoder.key(octet)).collect();
        assert_eq!(keys, b"show!");
        assert_eq!(decoder.window(), (80, 24));
    }

    #[test]
    fn a_size_of_another_length_is_none() {
        let mut decoder = Decoder::default();
        for parameters in [[OPTION_WINDOW_SIZE].as_slice(), &[OPTION_WINDOW_SIZE; 9], &[24, 0, 1, 0, 1], &[]]
        {
            for octet in [&[IAC, SB], parameters, &[IAC, SE]].concat() {
                assert_eq!(decoder.key(octet), None);
            }
        }
        assert_eq!(decoder.window(), (0, 0));
    }
}
