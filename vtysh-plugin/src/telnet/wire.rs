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

/// Tells keys from negotiation, however the stream was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Decoder {
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

impl Decoder {
    /// The key that an octet is, if it is one.
    pub(super) fn key(&mut self, octet: u8) -> Option<u8> {
        let (next, key) = match (*self, octet) {
            (Self::Text, IAC) => (Self::Command, None),
            (Self::Text, key) => (Self::Text, Some(key)),
            (Self::Command, WILL | WONT | DO | DONT) => (Self::Option, None),
            (Self::Command, SB) => (Self::Parameters, None),
            (Self::Parameters, IAC) => (Self::ParametersCommand, None),
            // Also an octet 255 of the text, which is in no command.
            (Self::Command | Self::Option, _) | (Self::ParametersCommand, SE) => (Self::Text, None),
            (Self::Parameters | Self::ParametersCommand, _) => (Self::Parameters, None),
        };
        *self = next;
        key
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
    }
}
