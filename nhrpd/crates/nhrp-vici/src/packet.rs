//! VICI's packets on a stream: a length, a type, for some types a name, and a message.
//!
//! ```text
//!  u32 length of what follows | u8 type | u8 length, name (types 0, 3, 4, 7) | message (types 0, 1, 7)
//! ```
//!
//! Owns the framing and its bound. Never reads from anything: octets are handed in as they come.

use crate::message::{MessageError, Section, take_name};

/// Octets of a packet at most, both ways: charon's own limit.
pub const LIMIT: usize = 512 << 10;

const LENGTH_OCTETS: usize = 4;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// 0: a command with its arguments.
    Request(String, Section),
    /// 1: the answer to a command.
    Response(Section),
    /// 2: there is no such command.
    UnknownCommand,
    /// 3: have events of this name sent.
    Register(String),
    /// 4: no more.
    Unregister(String),
    /// 5: done as asked by 3 or 4.
    Confirm,
    /// 6: there are no such events.
    UnknownEvent,
    /// 7: an event.
    Event(String, Section),
}

/// Why octets are no packet. The stream cannot be used any more after [`PacketError::TooLong`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Longer than [`LIMIT`].
    #[error("a packet of {0} octets; at most {LIMIT} are accepted")]
    TooLong(usize),
    /// No type of VICI's.
    #[error("packet type {0}")]
    Type(u8),
    /// It carries octets that do not belong there.
    #[error("octets behind the end of a packet")]
    Trailing,
    /// Its message cannot be read or written.
    #[error("{0}")]
    Message(#[from] MessageError),
}

impl Packet {
    /// Appends the octets, length included.
    ///
    /// # Errors
    /// If it is too long for the protocol.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_OCTETS]);
        let (kind, name, message) = match self {
            Self::Request(name, message) => (0, Some(name), Some(message)),
            Self::Response(message) => (1, None, Some(message)),
            Self::UnknownCommand => (2, None, None),
            Self::Register(name) => (3, Some(name), None),
            Self::Unregister(name) => (4, Some(name), None),
            Self::Confirm => (5, None, None),
            Self::UnknownEvent => (6, None, None),
            Self::Event(name, message) => (7, Some(name), Some(message)),
        };
        let body = |out: &mut Vec<u8>| -> Result<(), PacketError> {
            out.push(kind);
            if let Some(name) = name {
                out.push(u8::try_from(name.len()).map_err(|_| MessageError::TooLong)?);
                out.extend_from_slice(name.as_bytes());
            }
            message.map_or(Ok(()), |message| message.encode(out))?;
            let length = out.len() - start - LENGTH_OCTETS;
            match u32::try_from(length) {
                Ok(octets) if length <= LIMIT => {
                    if let Some(field) = out.get_mut(start..start + LENGTH_OCTETS) {
                        field.copy_from_slice(&octets.to_be_bytes());
                    }
                    Ok(())
                }
                _ => Err(PacketError::TooLong(length)),
            }
        };
        let done = body(out);
        if done.is_err() {
            // Nothing of a packet that cannot be sent stays behind.
            out.truncate(start);
        }
        done
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(octets: &[u8]) -> Result<Self, PacketError> {
        let (kind, mut rest) = octets.split_first().ok_or(MessageError::Truncated)?;
        let packet = match kind {
            0 => {
                let name = take_name(&mut rest)?;
                return Ok(Self::Request(name, Section::decode(rest)?));
            }
            1 => return Ok(Self::Response(Section::decode(rest)?)),
            7 => {
                let name = take_name(&mut rest)?;
                return Ok(Self::Event(name, Section::decode(rest)?));
            }
            2 => Self::UnknownCommand,
            3 => Self::Register(take_name(&mut rest)?),
            4 => Self::Unregister(take_name(&mut rest)?),
            5 => Self::Confirm,
            6 => Self::UnknownEvent,
            other => return Err(PacketError::Type(*other)),
        };
        if rest.is_empty() { Ok(packet) } else { Err(PacketError::Trailing) }
    }
}

/// Cuts a stream into packets. Holds at most one packet and what has come of the next.
#[derive(Debug, Default)]
pub struct Deframer {
    octets: Vec<u8>,
    /// Octets of `octets` that were given out.
    used: usize,
}

impl Deframer {
    /// Takes what has come.
    pub fn push(&mut self, octets: &[u8]) {
        if self.used > 0 {
            self.octets.drain(..self.used);
            self.used = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// The next packet, if a whole one is there. A packet that cannot be read is passed over, and the next one is found.
    ///
    /// # Errors
    /// [`PacketError::TooLong`] before any memory is taken for it: the stream is to be closed. Otherwise: of this packet.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, PacketError> {
        let rest = self.octets.get(self.used..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_OCTETS>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LIMIT {
            return Err(PacketError::TooLong(length));
        }
        let Some(octets) = rest.get(..length) else { return Ok(None) };
        let packet = Packet::decode(octets);
        self.used += LENGTH_OCTETS + length;
        packet.map(Some)
    }
}
