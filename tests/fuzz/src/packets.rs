//! Packets: targets `decode` and `roundtrip`. The tests of `nhrp-wire` include this file, too.
#![allow(unreachable_pub)]

use nhrp_wire::{Packet, checksum};

/// Target `decode`: octets as they come. Nearly all fail at the checksum, so this is about the header.
///
/// # Panics
/// When something does not hold.
pub fn decode(octets: &[u8]) {
    if let Some(inner) = Packet::decode_inner_header(octets) {
        assert!((28..=octets.len()).contains(&inner.len));
    }
    let packet = match Packet::decode(octets) {
        Ok(packet) => packet,
        Err(error) => {
            assert!(error.offset <= octets.len(), "{error} in {} octets", octets.len());
            let _ = (error.to_string(), error.error_code());
            return;
        }
    };
    // Octets behind the stated size make no difference.
    let size = usize::from(u16::from_be_bytes([octets[10], octets[11]]));
    assert_eq!(Packet::decode(&octets[..size]).unwrap(), packet);
    assert!(!packet.to_string().contains('\n') && !format!("{packet:#}").is_empty());

    let mut again = Vec::with_capacity(packet.encoded_len());
    packet.encode(&mut again).expect("what was decoded fits");
    assert_eq!(again.len(), packet.encoded_len());
    assert_eq!(checksum::internet(&again), 0);
    // Not the octets: reserved bits, unused fields, what follows End and FRR's odd checksums are not kept.
    assert!(again.len() <= size + 4, "at most an End that was missing is added");
    assert_eq!(Packet::decode(&again).unwrap(), packet);
}

/// Target `roundtrip`: the same with version, size and checksum made right, so that entries and extensions are
/// reached.
///
/// # Panics
/// When something does not hold.
pub fn roundtrip(octets: &[u8]) {
    let Ok(size) = u16::try_from(octets.len()) else { return };
    let mut octets = octets.to_vec();
    if octets.len() >= 28 {
        octets[10..12].copy_from_slice(&size.to_be_bytes());
        octets[12..14].fill(0);
        octets[16] = 1;
        let sum = checksum::internet(&octets).to_be_bytes();
        octets[12..14].copy_from_slice(&sum);
    }
    decode(&octets);
}
