//! Numbers on the wire. Values that this crate does not name are kept, never lost.

macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident : $repr:ty { $($(#[$vmeta:meta])* $variant:ident = $value:expr),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A value without a name here, kept as received.
            Other($repr),
        }
        impl From<$repr> for $name {
            fn from(value: $repr) -> Self {
                match value { $($value => Self::$variant,)+ other => Self::Other(other) }
            }
        }
        impl From<$name> for $repr {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => $value,)+ $name::Other(other) => other }
            }
        }
    };
}

/// The eight packet types: RFC 2332 section 5.2 and draft-detienne-dmvpn-01 section 5.1 (traffic indication).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Section 5.2.1.
    ResolutionRequest = 1,
    /// Section 5.2.2.
    ResolutionReply = 2,
    /// Section 5.2.3.
    RegistrationRequest = 3,
    /// Section 5.2.4.
    RegistrationReply = 4,
    /// Section 5.2.5.
    PurgeRequest = 5,
    /// Section 5.2.6.
    PurgeReply = 6,
    /// Section 5.2.7.
    ErrorIndication = 7,
    /// draft-detienne-dmvpn-01 section 5.1: "redirect".
    TrafficIndication = 8,
}

impl PacketType {
    /// The type with this number in `ar$op.type`, if there is one.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::ResolutionRequest,
            2 => Self::ResolutionReply,
            3 => Self::RegistrationRequest,
            4 => Self::RegistrationReply,
            5 => Self::PurgeRequest,
            6 => Self::PurgeReply,
            7 => Self::ErrorIndication,
            8 => Self::TrafficIndication,
            _ => return None,
        })
    }

    /// The six types that carry a request id and entries are three requests and their replies.
    #[must_use]
    pub fn is_reply(self) -> bool {
        matches!(self, Self::ResolutionReply | Self::RegistrationReply | Self::PurgeReply)
    }
}

impl From<PacketType> for u8 {
    fn from(packet_type: PacketType) -> Self {
        packet_type as Self
    }
}

wire_enum! {
    /// Code of a client information entry (RFC 2332 section 5.2.0.1).
    CieCode: u8 {
        /// Accepted, or unused in a request.
        Success = 0,
        /// Administratively prohibited.
        AdministrativelyProhibited = 4,
        /// Insufficient resources.
        InsufficientResources = 5,
        /// No binding for the protocol address exists (RFC value; FRR names 11 so).
        NoBinding = 12,
        /// A binding exists but is not unique.
        BindingNotUnique = 13,
        /// Another station already registered the address with the unique bit.
        AlreadyRegistered = 14,
    }
}

wire_enum! {
    /// Code of an error indication (RFC 2332 section 5.2.7).
    ErrorCode: u16 {
        /// Unrecognized compulsory extension.
        UnrecognizedExtension = 1,
        /// NHRP loop detected (RFC value; FRR names 2 so).
        LoopDetected = 3,
        /// Protocol address unreachable.
        ProtocolAddressUnreachable = 6,
        /// Protocol error.
        ProtocolError = 7,
        /// NHRP SDU size exceeded.
        SduSizeExceeded = 8,
        /// Invalid extension.
        InvalidExtension = 9,
        /// Invalid resolution reply received.
        InvalidResolutionReply = 10,
        /// Authentication failure.
        AuthenticationFailure = 11,
        /// Hop count exceeded.
        HopCountExceeded = 15,
    }
}

wire_enum! {
    /// Type of an extension without its compulsory bit (RFC 2332 section 5.3).
    ExtensionType: u16 {
        /// End of extensions.
        End = 0,
        /// Responder address, section 5.3.1.
        ResponderAddress = 3,
        /// Forward transit NHS record, section 5.3.2.
        ForwardTransitNhs = 4,
        /// Reverse transit NHS record, section 5.3.3.
        ReverseTransitNhs = 5,
        /// Authentication, section 5.3.4; Cisco sends its clear-text password here.
        Authentication = 7,
        /// Vendor private, section 5.3.5.
        VendorPrivate = 8,
        /// Cisco NAT address extension.
        NatAddress = 9,
    }
}

/// Flag bits of the mandatory part; their meaning depends on the packet type.
pub mod flags {
    /// Resolution: Q, the source is a router.
    pub const RESOLUTION_SOURCE_IS_ROUTER: u16 = 0x8000;
    /// Resolution: A, authoritative answer wanted or given.
    pub const RESOLUTION_AUTHORITATIVE: u16 = 0x4000;
    /// Resolution reply: D, destination association is stable.
    pub const RESOLUTION_DESTINATION_STABLE: u16 = 0x2000;
    /// Resolution: U, unique binding.
    pub const RESOLUTION_UNIQUE: u16 = 0x1000;
    /// Resolution: S, source association is stable.
    pub const RESOLUTION_SOURCE_STABLE: u16 = 0x0800;
    /// Registration: U, unique binding.
    pub const REGISTRATION_UNIQUE: u16 = 0x8000;
    /// Purge: N, no reply expected.
    pub const PURGE_NO_REPLY: u16 = 0x8000;
    /// Cisco: the sender understands the NAT address extension.
    pub const NAT: u16 = 0x0002;
}
