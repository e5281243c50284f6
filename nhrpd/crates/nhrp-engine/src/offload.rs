//! Checksums that the kernel leaves to the device: a packet that the firewall logs on its way out has only the sum of
//! its pseudo header in the checksum field. Owns the completion of those of UDP, the one protocol for multicast whose
//! checksum is computed that late; never touches a checksum that is complete.

use nhrp_wire::checksum::internet;

const UDP: u8 = 17;
/// Octets of the header of UDP, and where its checksum lies in it (RFC 768).
const UDP_HEADER: usize = 8;
const UDP_CHECKSUM: usize = 6;
/// More fragments, and the fragment's offset (RFC 791 section 3.1).
const FRAGMENT: u16 = 0x3FFF;

/// Completes the checksum of a UDP packet whose checksum field holds the sum of the pseudo header alone.
pub(crate) fn complete_checksum(packet: &mut [u8]) {
    let Some((start, pseudo)) = udp(packet) else { return };
    let Some(segment) = packet.get_mut(start..) else { return };
    let Some((_, rest)) = segment.split_at_mut_checked(UDP_CHECKSUM) else { return };
    let Some(field) = rest.first_chunk::<2>() else { return };
    if *field != (!internet(&pseudo)).to_be_bytes() {
        return;
    }
    // With the sum of the pseudo header in its place, the segment adds up to the sum over both. Zero means none (RFC 768).
    let checksum = match internet(segment) {
        0 => 0xFFFF,
        checksum => checksum,
    };
    if let Some(field) = segment.get_mut(UDP_CHECKSUM..).and_then(<[u8]>::first_chunk_mut) {
        *field = checksum.to_be_bytes();
    }
}

/// Where the header of UDP begins, and the pseudo header, if this is a whole UDP packet without extension headers.
fn udp(packet: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (start, addresses) = match packet.first()? >> 4 {
        4 => {
            let fragment = u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & FRAGMENT;
            let start = usize::from(packet.first()? & 15) * 4;
            (start, packet.get(12..20).filter(|_| fragment == 0 && packet.get(9) == Some(&UDP))?)
        }
        6 => (40, packet.get(8..40).filter(|_| packet.get(6) == Some(&UDP))?),
        _ => return None,
    };
    let length = packet.len().checked_sub(start).filter(|length| *length >= UDP_HEADER)?;
    let mut pseudo = addresses.to_vec();
    pseudo.extend([0, UDP]);
    pseudo.extend(u16::try_from(length).ok()?.to_be_bytes());
    Some((start, pseudo))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum over pseudo header and segment, as a receiver computes it: 0xFFFF before the complement if it is right.
    fn right(packet: &[u8]) -> bool {
        let (start, mut all) = udp(packet).unwrap();
        all.extend(&packet[start..]);
        internet(&all) == 0
    }

    fn ipv4(data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(28 + data.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, length, 0, 1, 0, 0, 1, UDP, 0, 0, 10, 255, 0, 1, 224, 0, 0, 9];
        packet.extend([2, 8, 2, 8, 0, length - 20, 0, 0]);
        packet.extend(data);
        packet
    }

    fn ipv6(data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(8 + data.len()).unwrap();
        let mut packet = vec![0x60, 0, 0, 0, 0, length, UDP, 1];
        packet.extend("fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet.extend("ff02::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet.extend([2, 9, 2, 9, 0, length, 0, 0]);
        packet.extend(data);
        packet
    }

    fn left_to_the_device(mut packet: Vec<u8>) -> Vec<u8> {
        let (start, pseudo) = udp(&packet).unwrap();
        packet[start + 6..start + 8].copy_from_slice(&(!internet(&pseudo)).to_be_bytes());
        packet
    }

    #[test]
    fn what_was_left_to_the_device_is_completed() {
        for data in [&b""[..], b"odd", b"even"] {
            for packet in [ipv4(data), ipv6(data)] {
                let mut packet = left_to_the_device(packet);
                assert!(!right(&packet) || data.is_empty());
                complete_checksum(&mut packet);
                assert!(right(&packet), "{packet:02x?}");
                let complete = packet.clone();
                complete_checksum(&mut packet);
                assert_eq!(packet, complete, "once is enough");
            }
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let without = ipv4(b"no checksum");
        let mut wrong = ipv4(b"wrong");
        wrong[26] = 7;
        let mut fragment = left_to_the_device(ipv4(b"fragment"));
        fragment[7] = 1;
        let mut ospf = left_to_the_device(ipv4(b"another protocol"));
        ospf[9] = 89;
        let mut extended = left_to_the_device(ipv6(b"hop by hop"));
        extended[6] = 0;
        for packet in
            [without, wrong, fragment, ospf, extended, vec![], vec![0x45; 11], vec![0x4F; 25], vec![0x60; 41]]
        {
            let mut after = packet.clone();
            complete_checksum(&mut after);
            assert_eq!(after, packet);
        }
    }
}
