//! Indices into the engine's tables. Never references: an id may outlive what it named, and then finds nothing
//! or, after reuse of the slot, something else; so whoever keeps one is told when its target goes away.

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);
        impl $name {
            pub(crate) fn from_key(key: usize) -> Self {
                // Tables are bounded far below 2^32 entries (see `Limits`).
                Self(u32::try_from(key).unwrap_or(u32::MAX))
            }
            pub(crate) fn key(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// An interface, with or without NHRP.
    InterfaceId
);
id!(
    /// A cache entry: protocol address on an interface.
    CacheId
);
id!(
    /// A configured `nhs` line.
    NhsId
);
id!(
    /// One resolved NBMA address of an `nhs` line.
    RegistrationId
);
id!(
    /// A resolution request without an answer yet.
    ResolutionId
);
id!(
    /// A prefix with a direct path.
    ShortcutId
);
id!(
    /// A purge request that is to be answered.
    PurgeId
);
id!(
    /// A binding that waits to be accepted.
    AuthorisationId
);
id!(
    /// A conflict about an overlay address.
    ContestId
);
