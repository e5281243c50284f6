//! The Internet checksum over an NHRP packet (RFC 2332 section 5.1, RFC 1071), and FRR's variant of it.
//!
//! Owns the arithmetic. Where the checksum field lies, and what to do with a bad one, is not its business.

/// Checksum of `octets`, to be written into a checksum field that was zero while it was computed.
///
/// An odd last octet counts as if a zero octet followed it.
#[must_use]
pub fn internet(octets: &[u8]) -> u16 {
    !fold(sum(octets, Odd::HighHalf))
}

/// Whether `octets`, checksum field included, add up.
///
/// For packets of odd length FRR's nhrpd up to 10.7 counts the last octet as if the zero octet came *before* it. A
/// receiver cannot know who wrote the packet, so both sums are good; for all other packets they are the same.
#[must_use]
pub fn verify(octets: &[u8]) -> bool {
    fold(sum(octets, Odd::HighHalf)) == 0xFFFF || fold(sum(octets, Odd::LowHalf)) == 0xFFFF
}

/// Which half of the last 16-bit word an odd last octet fills.
#[derive(Clone, Copy)]
enum Odd {
    HighHalf,
    LowHalf,
}

fn sum(octets: &[u8], odd: Odd) -> u64 {
    // Words of 32 bits, because folded they add up to the same (RFC 1071 section 2 (B)) and are half as many. Their
    // 64-bit sum cannot overflow for a packet.
    let (words, rest) = octets.as_chunks::<4>();
    let most: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let (halves, rest) = rest.as_chunks::<2>();
    let even = halves.iter().fold(most, |sum, half| sum + u64::from(u16::from_be_bytes(*half)));
    match (rest.first(), odd) {
        (None, _) => even,
        (Some(&last), Odd::HighHalf) => even + (u64::from(last) << 8),
        (Some(&last), Odd::LowHalf) => even + u64::from(last),
    }
}

fn fold(mut sum: u64) -> u16 {
    while let Some(carry) = core::num::NonZeroU64::new(sum >> 16) {
        sum = (sum & 0xFFFF) + carry.get();
    }
    // The loop left nothing above 16 bits.
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071 section 3: the words add up to 2DDF0, folded DDF2.
    #[test]
    fn rfc_1071_example() {
        assert_eq!(internet(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]), !0xDDF2);
    }

    #[test]
    fn odd_octet_is_the_high_half() {
        assert_eq!(internet(&[0x12, 0x34, 0x56]), !(0x1234 + 0x5600));
        assert_eq!(internet(&[]), 0xFFFF);
    }

    #[test]
    fn both_odd_forms_verify_and_nothing_else() {
        // 0x0102 + checksum + the odd octet 0x30 in either half.
        for checksum in [!(0x0102_u16 + 0x3000), !(0x0102_u16 + 0x0030)] {
            let [high, low] = checksum.to_be_bytes();
            assert!(verify(&[0x01, 0x02, high, low, 0x30]));
            assert!(!verify(&[0x01, 0x03, high, low, 0x30]));
        }
    }
}
