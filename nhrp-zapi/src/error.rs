//! Errors of the codec: each names the command, the field and the offset.
//!
//! Owns no text for the operator about connections; those are in [`crate::DisconnectReason`] and
//! [`crate::ZebraError`].

/// A message of zebra's that does not have the shape its command has in the epoch in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("command {command}: field {field} at octet {offset} of the body: {kind}")]
pub struct DecodeError {
    /// Number in the header.
    pub command: u16,
    /// Field that could not be read.
    pub field: &'static str,
    /// Where the field begins, counted from the first octet after the header.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The message ends within or before it.
    #[error("message ends, {missing} octets missing")]
    Truncated {
        /// How many more the field needs.
        missing: usize,
    },
    /// A value that the field cannot have.
    #[error("invalid value {0}")]
    Invalid(u32),
    /// Octets are left over after the last field.
    #[error("{0} octets left over")]
    Trailing(usize),
}

/// A request that the epoch in use cannot express, or that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The release has no such command.
    #[error("FRR {0} and its neighbours have no such request")]
    NoSuchCommand(crate::Release),
    /// Prefix and gateway are of different families.
    #[error("gateway of another address family than the prefix")]
    MixedFamilies,
    /// A frame would be longer than its length field can say.
    #[error("message too long")]
    TooLong,
}
