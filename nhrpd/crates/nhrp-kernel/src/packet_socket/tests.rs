//! The layout of sockaddr_ll, judged by libc's structure, and what is dropped.

use super::*;

fn name(packet_type: u8, halen: u8, address: &[u8]) -> Vec<u8> {
    let mut octets = LinkAddress::new(ETHERTYPE_NHRP, 7, address).octets().to_vec();
    octets[10] = packet_type;
    octets[11] = halen;
    octets
}

fn judged(name: &[u8], truncated: bool) -> Result<ReceivedPacket<'_>, Rejection> {
    judge(&mmsg::Datagram { octets: b"packet", name, truncated })
}

#[test]
fn addresses_have_the_layout_of_libc() {
    let packet = OutgoingPacket {
        ifindex: 0x0102_0304,
        destination: "192.0.2.1".parse().unwrap(),
        ethertype: ETHERTYPE_NHRP,
        octets: &[],
    };
    let address = LinkAddress::to(&packet);
    assert_eq!(address.octets().len(), size_of::<libc::sockaddr_ll>());
    // SAFETY: as many octets as the structure has, all of them integers.
    let theirs: libc::sockaddr_ll = unsafe { std::ptr::read_unaligned(address.octets().as_ptr().cast()) };
    assert_eq!(i32::from(theirs.sll_family), libc::AF_PACKET);
    assert_eq!(theirs.sll_protocol, ETHERTYPE_NHRP.to_be());
    assert_eq!(theirs.sll_ifindex, 0x0102_0304);
    assert_eq!(theirs.sll_halen, 4);
    assert_eq!(theirs.sll_addr, [192, 0, 2, 1, 0, 0, 0, 0]);

    let six = OutgoingPacket { destination: "2001:db8::1".parse().unwrap(), ..packet };
    assert_eq!(LinkAddress::to(&six).octets().len(), 12 + 16);
}

#[test]
fn sources_of_both_families() {
    let four = name(libc::PACKET_HOST, 4, &[192, 0, 2, 1]);
    let packet = judged(&four, false).unwrap();
    assert_eq!((packet.ifindex, packet.source), (7, "192.0.2.1".parse().unwrap()));
    let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let six = name(libc::PACKET_BROADCAST, 16, &address.octets());
    assert_eq!(judged(&six, false).unwrap().source, IpAddr::V6(address));
}

#[test]
fn what_is_dropped_and_why() {
    let good = [192, 0, 2, 1];
    let cases: [(Vec<u8>, bool, Rejection); 9] = [
        (name(libc::PACKET_HOST, 4, &good), true, Rejection::Truncated),
        (name(libc::PACKET_OTHERHOST, 4, &good), false, Rejection::NotForUs),
        (name(libc::PACKET_OUTGOING, 4, &good), false, Rejection::NotForUs),
        (name(libc::PACKET_HOST, 6, &[2, 0, 0, 0, 0, 1]), false, Rejection::BadSource),
        (name(libc::PACKET_HOST, 0, &[]), false, Rejection::BadSource),
        (name(libc::PACKET_HOST, 4, &[0; 4]), false, Rejection::BadSource),
        (name(libc::PACKET_HOST, 4, &[224, 0, 0, 1]), false, Rejection::BadSource),
        (name(libc::PACKET_HOST, 4, &[255; 4]), false, Rejection::BadSource),
        (name(libc::PACKET_HOST, 16, &good), false, Rejection::BadSource),
    ];
    for (name, truncated, expected) in cases {
        assert_eq!(judged(&name, truncated), Err(expected), "{name:?}");
    }
    assert_eq!(judged(&[], false), Err(Rejection::BadSource));
}
