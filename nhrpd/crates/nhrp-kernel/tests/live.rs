//! The facilities against this machine's kernel, in namespaces of their own. What needs a GRE device is in
//! `examples/kernel_probe.rs`; here a veth pair stands in, whose link-layer addresses have six octets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use nhrp_kernel::neighbour::{NeighbourEntry, NeighbourEvent, NeighbourKind, Neighbours, PROTOCOL_NHRP, nud};
use nhrp_kernel::nflog::{Nflog, NflogOptions};
use nhrp_kernel::packet_socket::{
    ETHERTYPE_NHRP, OutgoingPacket, PacketSocket, PacketSocketOptions, RecvBatch,
};
use nhrp_kernel::replicator::{Replication, Replicator};
use support::{Namespace, joined_pair, nflog_rule, usable};
use tokio::time::timeout;

const WAIT: Duration = Duration::from_secs(3);

/// veth takes the first six of sixteen octets.
fn as_nbma(mac: [u8; 6]) -> IpAddr {
    let mut octets = [0; 16];
    octets[..6].copy_from_slice(&mac);
    IpAddr::from(octets)
}

#[tokio::test]
async fn frames_without_an_nbma_address_are_counted_and_dropped() {
    if !usable("frames_without_an_nbma_address_are_counted_and_dropped") {
        return;
    }
    let (a, b) = joined_pair().unwrap();
    b.ip("link set veth1 address 02:00:00:00:00:02");
    b.ip("link set veth1 up");
    let mut at_a = a.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let mut at_b = b.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let ifindex = a.ifindex("veth0");
    let packet = |mac, octets| OutgoingPacket {
        ifindex,
        destination: as_nbma(mac),
        ethertype: ETHERTYPE_NHRP,
        octets,
    };
    let mine = packet([2, 0, 0, 0, 0, 2], &[1; 100]);
    let other = packet([2, 0, 0, 0, 0, 9], &[1; 100]);
    let long = packet([2, 0, 0, 0, 0, 2], &[1; 3000]);
    let mut items = vec![mine; 60];
    items.extend([other, other, other, long]);
    let report = at_a.send(&items);
    assert_eq!((report.sent, at_a.counters().send_calls), (64, 1), "{report:?}");

    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut batch = RecvBatch::new();
    let count = timeout(WAIT, at_b.recv(&mut batch)).await.unwrap().unwrap();
    assert_eq!((count, batch.packets().count()), (0, 0));
    let counters = at_b.counters();
    assert_eq!((counters.bad_source, counters.not_for_us, counters.truncated), (60, 3, 1));
    assert_eq!((counters.receive_calls, counters.received, counters.overflowed), (1, 0, 0));
    assert_eq!(at_a.counters().not_for_us, 0, "own frames are not received");
}

#[tokio::test]
async fn what_did_not_fit_into_a_batch_and_what_comes_after_a_short_one_is_received() {
    if !usable("what_did_not_fit_into_a_batch_and_what_comes_after_a_short_one_is_received") {
        return;
    }
    let (a, b) = joined_pair().unwrap();
    let mut at_a = a.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let mut at_b = b.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let packet = OutgoingPacket {
        ifindex: a.ifindex("veth0"),
        destination: as_nbma([255; 6]),
        ethertype: ETHERTYPE_NHRP,
        octets: &[1; 100],
    };
    let mut batch = RecvBatch::new();
    let mut received = 0;
    for waiting in [64 + 6, 1, 1] {
        assert_eq!(at_a.send(&vec![packet; waiting]).sent, waiting);
        tokio::time::sleep(Duration::from_millis(100)).await;
        received += u64::try_from(waiting).unwrap();
        while at_b.counters().bad_source < received {
            timeout(WAIT, at_b.recv(&mut batch)).await.expect("the rest is received").unwrap();
        }
    }
    assert_eq!(at_b.counters().receive_calls, 4, "two for the first lot, one each for the others");
    // Nothing is left that would wake it.
    assert!(timeout(Duration::from_millis(100), at_b.recv(&mut batch)).await.is_err());
}

#[tokio::test]
async fn copies_go_out_in_as_few_calls_as_the_kernel_allows() {
    if !usable("copies_go_out_in_as_few_calls_as_the_kernel_allows") {
        return;
    }
    const ETHERTYPE: u16 = 0x88b5; // for local experiments (IEEE 802)
    let (a, b) = joined_pair().unwrap();
    let mut copies = a.enter(Replicator::open).unwrap();
    let options = PacketSocketOptions { ethertype: ETHERTYPE, ..PacketSocketOptions::default() };
    let mut at_b = b.enter(|| PacketSocket::open(&options)).unwrap();
    let packet = |ifindex, receivers: Vec<IpAddr>| Replication {
        ifindex,
        ethertype: ETHERTYPE,
        receivers: receivers.into(),
        octets: vec![7; 64],
    };
    let ifindex = a.ifindex("veth0");
    copies.push(packet(ifindex, vec![]));
    copies.push(packet(ifindex, vec![as_nbma([255; 6]); 1500]));
    // An interface that is gone: nobody is served, and who comes after is.
    copies.push(packet(9999, vec![as_nbma([255; 6]); 2]));
    copies.push(packet(ifindex, vec![as_nbma([255; 6])]));
    assert_eq!(copies.backlog(), 3);
    let mut errors = Vec::new();
    while copies.backlog() > 0 {
        errors.extend(timeout(WAIT, copies.send()).await.unwrap());
    }
    let counters = copies.counters();
    assert_eq!((counters.sent, counters.failed, errors.len()), (1501, 2, 1), "{errors:?}");
    // 1,024 and 476, and the last one, if there was room all the time.
    assert!(counters.send_calls == 3 || counters.waits > 0, "{counters:?}");
    assert!(errors.iter().all(|error| error.raw_os_error() == Some(libc::ENXIO)), "{errors:?}");
    assert!(timeout(Duration::from_millis(20), copies.send()).await.is_err(), "nothing to send");

    let mut batch = RecvBatch::new();
    while timeout(Duration::from_millis(200), at_b.recv(&mut batch)).await.is_ok() {}
    // Their link-layer addresses are no NBMA addresses here.
    assert_eq!(at_b.counters().bad_source, 1501, "{:?}", at_b.counters());
}

#[tokio::test]
async fn a_receive_buffer_that_overflows_is_counted() {
    if !usable("a_receive_buffer_that_overflows_is_counted") {
        return;
    }
    let (a, b) = joined_pair().unwrap();
    let small = PacketSocketOptions { receive_buffer: 8192, ..PacketSocketOptions::default() };
    let mut at_a = a.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let mut at_b = b.enter(|| PacketSocket::open(&small)).unwrap();
    let packet = OutgoingPacket {
        ifindex: a.ifindex("veth0"),
        destination: as_nbma([255; 6]),
        ethertype: ETHERTYPE_NHRP,
        octets: &[1; 1000],
    };
    assert_eq!(at_a.send(&[packet; 200]).sent, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut batch = RecvBatch::new();
    while timeout(Duration::from_millis(50), at_b.recv(&mut batch)).await.is_ok() {}
    let counters = at_b.counters();
    assert!(counters.overflowed > 0, "{counters:?}");
    assert_eq!(counters.overflowed + counters.bad_source, 200, "{counters:?}");
}

#[tokio::test]
async fn neighbours_as_iproute2_sees_them() {
    if !usable("neighbours_as_iproute2_sees_them") {
        return;
    }
    let (a, _b) = joined_pair().unwrap();
    let ifindex = a.ifindex("veth0");
    let mut table = a.enter(Neighbours::open).unwrap();
    let mut watcher = a.enter(Neighbours::open).unwrap();
    let entries: Vec<_> = (1..=200u8)
        .map(|n| NeighbourEntry {
            ifindex,
            protocol: IpAddr::from([10, 1, 0, n]),
            nbma: as_nbma([2, 0, 0, 0, 0, n]),
            kind: NeighbourKind::Permanent,
        })
        .collect();
    let mut wrong = entries.clone();
    wrong[100].ifindex = 9999;
    let results = table.replace(&wrong).unwrap();
    let refused: Vec<_> = results.iter().enumerate().filter(|(_, r)| r.is_err()).collect();
    assert_eq!((results.len(), refused.len(), refused[0].0), (200, 1, 100));
    assert_eq!(refused[0].1.as_ref().unwrap_err().raw_os_error(), Some(libc::ENODEV));

    let shown = a.ip("neigh show 10.1.0.7 dev veth0");
    assert!(shown.contains("lladdr 02:00:00:00:00:07"), "{shown}");
    assert!(shown.contains("PERMANENT"), "{shown}");
    assert!(shown.contains("proto 191") || shown.contains("proto nhrp"), "{shown}");
    let event = timeout(WAIT, watcher.next_event()).await.unwrap().unwrap();
    let NeighbourEvent::Changed(first) = event else { panic!("{event:?}") };
    assert_eq!((first.address, first.protocol), (entries[0].protocol, PROTOCOL_NHRP));

    let mut told = Vec::new();
    while let Ok(event) = timeout(Duration::from_millis(100), table.next_event()).await {
        told.push(event.unwrap());
    }
    let of_own =
        |event: &&NeighbourEvent| matches!(event, NeighbourEvent::Changed(n) if n.protocol == PROTOCOL_NHRP);
    assert_eq!(told.iter().find(of_own), None, "who writes is not told of it");
    a.ip("neigh replace 10.1.0.7 lladdr 02:00:00:00:00:77 dev veth0 protocol 191");
    let changed = timeout(WAIT, async {
        loop {
            if let NeighbourEvent::Changed(n) = table.next_event().await.unwrap() {
                return n;
            }
        }
    });
    assert_eq!(changed.await.unwrap().address, entries[6].protocol, "of what others write it is");

    let dump = table.dump(&BTreeSet::from([ifindex])).await.unwrap();
    let own = dump.iter().filter(|n| n.protocol == PROTOCOL_NHRP).count();
    assert_eq!(own, 199);
    assert_eq!(table.dump(&BTreeSet::from([1])).await.unwrap().len(), 0, "other interfaces");

    // A dump that was dropped half-way does not disturb what follows.
    {
        let only = BTreeSet::from([ifindex]);
        let mut dump = std::pin::pin!(table.dump(&only));
        let waker = std::task::Waker::noop();
        let _ = dump.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    let keys: Vec<_> = entries.iter().map(|e| (e.ifindex, e.protocol)).collect();
    assert!(table.delete(&keys).unwrap().iter().all(Result::is_ok), "absent ones included");
    let dump = table.dump(&BTreeSet::from([ifindex])).await.unwrap();
    assert_eq!(dump.iter().filter(|n| n.protocol == PROTOCOL_NHRP && n.is_usable()).count(), 0);
}

#[tokio::test]
async fn a_search_can_be_ended() {
    if !usable("a_search_can_be_ended") {
        return;
    }
    let (a, _b) = joined_pair().unwrap();
    let ifindex = a.ifindex("veth0");
    // As zebra sets it: the kernel asks nobody but user space.
    a.enter(|| {
        for (name, value) in [("app_solicit", "1"), ("mcast_solicit", "0"), ("ucast_solicit", "0")] {
            std::fs::write(format!("/proc/sys/net/ipv4/neigh/veth0/{name}"), value).unwrap();
        }
    });
    let mut table = a.enter(Neighbours::open).unwrap();
    let wanted = IpAddr::from([192, 0, 2, 3]);
    let absent = IpAddr::from([192, 0, 2, 4]);
    let sender = a.enter(|| UdpSocket::bind("192.0.2.1:0")).unwrap();
    sender.connect("192.0.2.3:9").unwrap();
    sender.send(&[7; 40]).unwrap();
    loop {
        let event = timeout(WAIT, table.next_event()).await.unwrap().unwrap();
        if let NeighbourEvent::WhoHas(entry) = event
            && entry.address == wanted
        {
            assert_eq!(entry.state, nud::INCOMPLETE);
            break;
        }
    }
    let start = Instant::now();
    let results = table.refuse(&[(ifindex, wanted), (ifindex, absent)]).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let shown = a.ip("neigh show 192.0.2.3 dev veth0");
    assert!(shown.contains("FAILED"), "{shown}");
    assert!(start.elapsed() < Duration::from_millis(500), "the kernel itself takes a second");
    assert_eq!(a.ip("neigh show 192.0.2.4 dev veth0"), "", "nothing is made");
}

/// A joined pair whose first half logs the UDP that it sends to NFLOG group 5; none, loudly, where that is not possible.
fn pair_with_nflog(test: &str) -> Option<(Namespace, Namespace)> {
    if !usable(test) {
        return None;
    }
    let pair = joined_pair().unwrap();
    if let Err(error) = nflog_rule(&pair.0, "OUTPUT", "udp", 5) {
        assert!(std::env::var_os("CI").is_none(), "no firewall rule possible: {error}");
        eprintln!("SKIPPED {test}: no firewall rule possible: {error}. Install iptables or nftables");
        return None;
    }
    Some(pair)
}

#[tokio::test]
async fn a_logged_packet_comes_at_once() {
    let Some((a, _b)) = pair_with_nflog("a_logged_packet_comes_at_once") else { return };
    let mut group = a.enter(|| Nflog::open(5, &NflogOptions::traffic_indication())).unwrap();
    let taken = a.enter(|| Nflog::open(5, &NflogOptions::traffic_indication())).unwrap_err();
    assert!(taken.to_string().contains("another program"), "{taken}");
    // Another group is no trouble.
    let other = a.enter(|| Nflog::open(6, &NflogOptions::multicast())).unwrap();
    drop(other);

    let sender = a.enter(|| UdpSocket::bind("192.0.2.1:0")).unwrap();
    let start = Instant::now();
    sender.send_to(&[7; 400], "192.0.2.2:9").unwrap();
    let mut out = Vec::new();
    timeout(WAIT, group.recv(&mut out)).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    let packet = &out[0];
    assert_eq!((packet.hw_protocol, packet.in_ifindex), (0x0800, None));
    assert_eq!(packet.out_ifindex, Some(a.ifindex("veth0")));
    assert_eq!(packet.payload.len(), 128, "copy range");
    assert_eq!(packet.payload[12..20], [192, 0, 2, 1, 192, 0, 2, 2]);
}

#[tokio::test]
async fn packets_that_the_firewall_logged_in_vain_are_counted() {
    let Some((a, _b)) = pair_with_nflog("packets_that_the_firewall_logged_in_vain_are_counted") else {
        return;
    };
    let small = NflogOptions { receive_buffer: 8192, ..NflogOptions::multicast() };
    let mut group = a.enter(|| Nflog::open(5, &small)).unwrap();
    let sender = a.enter(|| UdpSocket::bind("192.0.2.1:0")).unwrap();
    let burst = 100;
    for _ in 0..burst {
        sender.send_to(&[7; 1000], "192.0.2.2:9").unwrap();
    }
    let mut out = Vec::new();
    while timeout(Duration::from_millis(100), group.recv(&mut out)).await.is_ok() {}
    let got = out.len() as u64;
    assert!(got > 0 && got < burst, "{got} of {burst}");
    assert!(group.counters().overruns > 0, "{:?}", group.counters());
    // The next packet tells how many are missing.
    sender.send_to(&[7; 1000], "192.0.2.2:9").unwrap();
    timeout(WAIT, group.recv(&mut out)).await.unwrap().unwrap();
    assert_eq!(group.counters().lost, burst - got, "{:?}", group.counters());
    assert_eq!(out.last().unwrap().payload.len(), 1028, "whole packets");
}
