//! Names of the fields, as RFC 2332 writes them, for errors.
//!
//! Owns nothing but the names. Errors carry them as text for people, and callers may compare with these constants.

/// Address family number of the NBMA network, section 5.1.
pub const AFN: &str = "ar$afn";
/// Protocol type of the layer above, section 5.1.
pub const PRO_TYPE: &str = "ar$pro.type";
/// Long form of the protocol type, section 5.1; ignored, since the short form says it all here.
pub const PRO_SNAP: &str = "ar$pro.snap";
/// Hop count, section 5.1.
pub const HOPCNT: &str = "ar$hopcnt";
/// Size of the whole packet, section 5.1.
pub const PKTSZ: &str = "ar$pktsz";
/// Checksum over the whole packet, section 5.1.
pub const CHKSUM: &str = "ar$chksum";
/// Offset of the first extension, section 5.1.
pub const EXTOFF: &str = "ar$extoff";
/// Protocol version, section 5.1.
pub const OP_VERSION: &str = "ar$op.version";
/// Packet type, section 5.1.
pub const OP_TYPE: &str = "ar$op.type";
/// Type and length of the source NBMA address, section 5.1.
pub const SHTL: &str = "ar$shtl";
/// Type and length of the source NBMA subaddress, section 5.1.
pub const SSTL: &str = "ar$sstl";

/// Length of the source protocol address, section 5.2.0.1.
pub const SRC_PROTO_LEN: &str = "Src Proto Len";
/// Length of the destination protocol address, section 5.2.0.1.
pub const DST_PROTO_LEN: &str = "Dst Proto Len";
/// Flags, section 5.2.0.1; unused in an error indication.
pub const FLAGS: &str = "Flags";
/// Request id, section 5.2.0.1; error code and offset in an error indication.
pub const REQUEST_ID: &str = "Request ID";
/// Source NBMA address, section 5.2.0.1.
pub const SOURCE_NBMA: &str = "Source NBMA Address";
/// Source NBMA subaddress, section 5.2.0.1.
pub const SOURCE_NBMA_SUBADDRESS: &str = "Source NBMA Subaddress";
/// Source protocol address, section 5.2.0.1.
pub const SOURCE_PROTOCOL: &str = "Source Protocol Address";
/// Destination protocol address, section 5.2.0.1.
pub const DESTINATION_PROTOCOL: &str = "Destination Protocol Address";

/// The twelve octets before the addresses of an entry in the mandatory part, section 5.2.0.1.
pub const CIE: &str = "Client Information Entry";
/// Type and length of an entry's NBMA address.
pub const CIE_ADDR_TL: &str = "Cli Addr T/L";
/// Type and length of an entry's NBMA subaddress.
pub const CIE_SADDR_TL: &str = "Cli SAddr T/L";
/// Length of an entry's protocol address.
pub const CIE_PROTO_LEN: &str = "Cli Proto Len";
/// Addresses of an entry.
pub const CIE_ADDRESSES: &str = "Client Addresses";

/// Extension type, section 5.3.
pub const EXTENSION_TYPE: &str = "Extension Type";
/// Extension length, section 5.3.
pub const EXTENSION_LENGTH: &str = "Extension Length";
/// Extension value, section 5.3.
pub const EXTENSION_VALUE: &str = "Extension Value";
/// The twelve octets before the addresses of an entry inside an extension.
pub const EXTENSION_CIE: &str = "Extension Client Information Entry";
/// Type and length of the NBMA address of an entry inside an extension.
pub const EXTENSION_CIE_ADDR_TL: &str = "Extension Cli Addr T/L";
/// Type and length of the NBMA subaddress of an entry inside an extension.
pub const EXTENSION_CIE_SADDR_TL: &str = "Extension Cli SAddr T/L";
/// Length of the protocol address of an entry inside an extension.
pub const EXTENSION_CIE_PROTO_LEN: &str = "Extension Cli Proto Len";
/// Addresses of an entry inside an extension.
pub const EXTENSION_CIE_ADDRESSES: &str = "Extension Client Addresses";
