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

/// A frame of a type for experiments (IEEE 802) that met a full queue, to the loopback interface.
#[tokio::test]
async fn what_waits_is_sent_before_the_socket_goes() {
    let options = PacketSocketOptions { ethertype: 0x88B5, ..PacketSocketOptions::default() };
    let mut socket = match PacketSocket::open(&options) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return eprintln!("skipped: needs CAP_NET_RAW");
        }
        opened => opened.unwrap(),
    };
    socket.finish().await;
    assert_eq!(socket.counters(), PacketCounters::default(), "nothing waits");
    let name = LinkAddress::of(0x88B5, 1, "127.0.0.1".parse().unwrap());
    let mut report = SendReport::default();
    let full = io::Error::from_raw_os_error(libc::ENOBUFS);
    socket.not_sent(0, &name, b"a purge request", full, &mut report);
    assert_eq!((report.deferred, report.failed.len()), (1, 0));
    socket.finish().await;
    let counters = socket.counters();
    assert_eq!((counters.deferred, counters.sent, counters.send_dropped), (1, 1, 0));
    assert!(socket.deferred.is_empty());
}
