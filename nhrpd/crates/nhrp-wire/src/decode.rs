//! From octets to [`Packet`].

use crate::Packet;

/// Why a packet was refused: the field and the octet offset in the packet at which it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at octet {offset}: {kind:?}")]
pub struct DecodeError {
    /// RFC 2332's name of the field, for example `ar$pktsz`.
    pub field: &'static str,
    /// Octet offset from the start of the packet.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// More octets needed than there are.
    Truncated,
}

impl Packet {
    /// Decodes one packet; octets behind the stated packet size are ignored.
    ///
    /// # Errors
    /// [`DecodeError`] names the field and its offset.
    pub fn decode(_octets: &[u8]) -> Result<Self, DecodeError> {
        Err(DecodeError { field: "ar$afn", offset: 0, kind: DecodeErrorKind::Truncated })
    }
}
