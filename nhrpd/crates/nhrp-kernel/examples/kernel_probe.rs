//! Exercises every facility of the crate against this machine's kernel, in namespaces of its own, over a GRE tunnel.
//!
//! `kernel_probe [SECONDS]`: SECONDS of idleness for neighbours to survive (5 by default; 70 shows what garbage
//! collection does to entries like zebra's). Needs root, iproute2, ip_gre and, for NFLOG, iptables or nft.
//!
//! Prints `FACT name value` and `CHECK name ok` or `CHECK name FAILED why`; exits with 1 if a check failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nhrp_kernel::link::Links;
use nhrp_kernel::neighbour::{
    NeighbourEntry, NeighbourEvent, NeighbourKind, Neighbours, PROTOCOL_NHRP, reconcile,
};
use nhrp_kernel::nflog::{Nflog, NflogOptions};
use nhrp_kernel::packet_socket::{
    ETHERTYPE_NHRP, OutgoingPacket, PacketSocket, PacketSocketOptions, RecvBatch,
};
use nhrp_kernel::sysctl::Sysctl;
use support::{Namespace, icmp_packet, joined_pair, nflog_rule, run};
use tokio::time::timeout;

const A: [u8; 4] = [192, 0, 2, 1];
const B: [u8; 4] = [192, 0, 2, 2];
const OVERLAY_A: [u8; 4] = [10, 255, 255, 1];
const OVERLAY_B: [u8; 4] = [10, 255, 255, 2];
/// More than the default `gc_thresh3` of 1,024.
const MANY: u16 = 3000;

#[derive(Default)]
struct Report {
    failures: u32,
}

impl Report {
    fn fact(&self, name: &str, value: impl Display) {
        println!("FACT {name} {value}");
    }

    fn check(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => println!("CHECK {name} ok"),
            Err(why) => {
                self.failures += 1;
                println!("CHECK {name} FAILED {why}");
            }
        }
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}, wanted {wanted:?}")) }
}

fn ensure(holds: bool, why: impl Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_string()) }
}

fn main() -> ExitCode {
    let idle = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut report = Report::default();
    runtime.block_on(probe(&mut report, Duration::from_secs(idle)));
    println!("PROBE failures {}", report.failures);
    if report.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn probe(report: &mut Report, idle: Duration) {
    report.fact("kernel", run("uname", "-r").unwrap_or_default().trim());
    let (a, b) = joined_pair().expect("two namespaces");
    for (namespace, nbma, overlay) in [(&a, A, OVERLAY_A), (&b, B, OVERLAY_B)] {
        let (nbma, overlay) = (IpAddr::from(nbma), IpAddr::from(overlay));
        namespace.ip(&format!("link add gre1 type gre key 42 ttl 64 local {nbma}"));
        namespace.ip(&format!("addr add {overlay}/32 dev gre1"));
        namespace.ip("link set gre1 mtu 4000 up");
        namespace.ip("route add 10.0.0.0/8 dev gre1");
    }
    links(report, &a);
    packets(report, &a, &b).await;
    full_queue(report, &a).await;
    ip6gre(report, &a, &b).await;
    indications(report, &a, &b).await;
    neighbours(report, &a, idle).await;
    sysctls(report, &a);
}

fn links(report: &mut Report, a: &Namespace) {
    let mut links = a.enter(Links::open).unwrap();
    let (gre, device) = (a.ifindex("gre1"), a.ifindex("veth0"));
    let show = || a.ip("-d link show dev gre1");
    report.fact("gre-flags-at-first", show().split_whitespace().nth(2).unwrap_or_default());
    report.check("noarp-set-at-first", ensure(show().contains("NOARP"), show()));
    let cleared = links.clear_noarp(gre).map_err(|e| e.to_string());
    report.check("clear-noarp", cleared);
    report.check(
        "noarp-is-cleared-and-link-up",
        ensure(!show().contains("NOARP") && show().contains("UP"), show()),
    );
    report.check("bind-gre", links.bind_gre(gre, device).map_err(|e| e.to_string()));
    let bound = show();
    let kept = ["dev veth0", "local 192.0.2.1", "ikey 0.0.0.42", "okey 0.0.0.42", "ttl 64", "UP", "mtu 4000"];
    for word in kept {
        report.check(
            &format!("bound-gre-has:{}", word.replace(' ', "-")),
            ensure(bound.contains(word), &bound),
        );
    }
    report.check("bind-gre-again", links.bind_gre(gre, device).map_err(|e| e.to_string()));
    let refused = links.bind_gre(device, gre).map_err(|e| e.kind());
    report.check("bind-of-no-gre-is-refused", expect(&refused, &Err(std::io::ErrorKind::InvalidInput)));
}

async fn packets(report: &mut Report, a: &Namespace, b: &Namespace) {
    let options = PacketSocketOptions::default();
    let mut at_a = a.enter(|| PacketSocket::open(&options)).unwrap();
    let mut at_b = b.enter(|| PacketSocket::open(&options)).unwrap();
    let (from, to) = (a.ifindex("gre1"), b.ifindex("gre1"));
    let mut batch = RecvBatch::new();
    let packet =
        |octets| OutgoingPacket { ifindex: from, destination: B.into(), ethertype: ETHERTYPE_NHRP, octets };

    // ARP of the transport network is answered meanwhile.
    let first = at_a.send(&[packet(&[1; 64])]);
    report.check("send-one", expect(&(first.sent, first.deferred, first.failed.len()), &(1, 0, 0)));
    let count = timeout(Duration::from_secs(5), at_b.recv(&mut batch)).await;
    report.check("receive-one", expect(&count.map(|c| c.unwrap()).ok(), &Some(1)));
    let found: Vec<_> = batch.packets().map(|p| (p.ifindex, p.source, p.octets.to_vec())).collect();
    report.check("one-as-sent", expect(&found, &vec![(to, IpAddr::from(A), [1; 64].to_vec())]));

    let bodies: Vec<Vec<u8>> = (0..64u8).map(|n| vec![n; 100 + usize::from(n)]).collect();
    let many: Vec<_> = bodies.iter().map(|body| packet(body)).collect();
    let (before_a, before_b) = (at_a.counters(), at_b.counters());
    let sent = at_a.send(&many);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut received = Vec::new();
    while received.len() < 64 {
        match timeout(Duration::from_secs(2), at_b.recv(&mut batch)).await {
            Ok(result) => drop(result.unwrap()),
            Err(_elapsed) => break,
        }
        received.extend(batch.packets().map(|p| p.octets.to_vec()));
    }
    report.check("batch-sent", expect(&sent.sent, &64));
    report.check("batch-in-order", expect(&received, &bodies));
    let sends = at_a.counters().send_calls - before_a.send_calls;
    let receives = at_b.counters().receive_calls - before_b.receive_calls;
    report.fact("send-calls-for-64", sends);
    report.fact("receive-calls-for-64", receives);
    report.check("one-call-each-for-64", expect(&(sends, receives), &(1, 1)));

    at_a.send(&[packet(&[7; 3000]), packet(&[8; 64])]);
    let count = timeout(Duration::from_secs(2), at_b.recv(&mut batch)).await;
    report.fact("received-with-a-long-one", format!("{count:?}"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _ = timeout(Duration::from_millis(50), at_b.recv(&mut batch)).await;
    report.check("too-long-is-counted", expect(&at_b.counters().truncated, &1));

    let wrong = OutgoingPacket { ifindex: 9999, ..packet(&[9; 64]) };
    let result = at_a.send(&[packet(&[9; 64]), wrong, packet(&[9; 64])]);
    let failed: Vec<_> = result.failed.iter().map(|f| (f.index, f.error.raw_os_error())).collect();
    report.check(
        "a-bad-one-stops-no-other",
        expect(&(result.sent, failed), &(2, vec![(1, Some(libc::ENXIO))])),
    );
    report.fact("counters-a", format!("{:?}", at_a.counters()));
    report.fact("counters-b", format!("{:?}", at_b.counters()));
}

/// Packets to an NBMA address that nobody answers for pile up in the transport's neighbour queue until the socket's
/// send buffer is full.
async fn full_queue(report: &mut Report, a: &Namespace) {
    // Else the kernel makes room in its queue by dropping the oldest.
    let limit = "/proc/sys/net/ipv4/neigh/veth0/unres_qlen_bytes";
    a.enter(|| std::fs::write(limit, "100000000")).unwrap();
    let mut socket = a.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let body = [0; 1400];
    let packet = OutgoingPacket {
        ifindex: a.ifindex("gre1"),
        destination: IpAddr::from([192, 0, 2, 99]),
        ethertype: ETHERTYPE_NHRP,
        octets: &body,
    };
    let start = Instant::now();
    let result = socket.send(&vec![packet; 500]);
    report.fact(
        "full-queue-send",
        format!("{} sent, {} deferred, {} failed", result.sent, result.deferred, result.failed.len()),
    );
    report.check("full-queue-never-blocks", ensure(start.elapsed() < Duration::from_secs(1), "slow"));
    report.check("full-queue-was-met", ensure(result.deferred > 0, "no packet was deferred"));
    let _ = timeout(Duration::from_millis(100), socket.recv(&mut RecvBatch::new())).await;
    let counters = socket.counters();
    report.fact("full-queue-counters", format!("{counters:?}"));
    report.check(
        "full-queue-every-packet-accounted-for",
        expect(&(counters.sent + counters.send_dropped + counters.send_failed), &500),
    );
    report.check("full-queue-none-waits-for-ever", ensure(counters.send_dropped > 0, "none dropped"));
}

async fn ip6gre(report: &mut Report, a: &Namespace, b: &Namespace) {
    for (namespace, device, address) in [(a, "veth0", "2001:db8::1"), (b, "veth1", "2001:db8::2")] {
        namespace.ip(&format!("addr add {address}/64 dev {device} nodad"));
        if let Err(error) = namespace.try_ip(&format!("link add gre6 type ip6gre key 6 local {address}")) {
            report.fact("ip6gre", error);
            return;
        }
        namespace.ip("link set gre6 up");
    }
    let mut at_a = a.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let mut at_b = b.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let destination: IpAddr = "2001:db8::2".parse().unwrap();
    let packet = OutgoingPacket {
        ifindex: a.ifindex("gre6"),
        destination,
        ethertype: ETHERTYPE_NHRP,
        octets: &[6; 64],
    };
    let sent = at_a.send(&[packet]);
    report.check("ip6gre-send", ensure(sent.sent == 1, format!("{sent:?}")));
    let mut batch = RecvBatch::new();
    let count = timeout(Duration::from_secs(3), at_b.recv(&mut batch)).await;
    let source = batch.packets().next().map(|p| p.source.to_string());
    report.fact("ip6gre-received", format!("{count:?} from {source:?}, {:?}", at_b.counters()));
    // Linux 6.1 sends nothing by an ip6gre tunnel without a remote address (`ip6_tnl_xmit_ctl`), whoever asks.
    let statistics = a.ip("-s -s link show dev gre6");
    report.fact("ip6gre-statistics", statistics.split_whitespace().collect::<Vec<_>>().join(" "));
    let arrived = at_b.counters().received;
    let ipv6_source = source.as_deref() == Some("2001:db8::1");
    report.fact("ip6gre-multipoint-works", arrived == 1 && ipv6_source);

    let mut neighbours = a.enter(Neighbours::open).unwrap();
    let entry = NeighbourEntry {
        ifindex: a.ifindex("gre6"),
        protocol: "2001:db8:f::2".parse().unwrap(),
        nbma: destination,
        kind: NeighbourKind::Permanent,
    };
    let written = neighbours.replace(&[entry]).unwrap();
    report.check("ip6gre-neighbour-written", ensure(written[0].is_ok(), format!("{written:?}")));
    let dump = neighbours.dump(&BTreeSet::from([entry.ifindex])).await.unwrap();
    report.check(
        "ip6gre-neighbour-read",
        ensure(dump.iter().any(|n| n.address == entry.protocol && n.serves(&entry)), format!("{dump:?}")),
    );
}

/// How long after it was sent a packet comes out of an NFLOG group, with our threshold and with the kernel's default.
async fn indications(report: &mut Report, a: &Namespace, b: &Namespace) {
    if let Err(error) = nflog_rule(b, "INPUT", "icmp", 5) {
        report.fact("nflog", format!("no rule possible: {error}"));
        return;
    }
    let mut socket = a.enter(|| PacketSocket::open(&PacketSocketOptions::default())).unwrap();
    let ping = icmp_packet(OVERLAY_A, OVERLAY_B, 500);
    let packet = OutgoingPacket {
        ifindex: a.ifindex("gre1"),
        destination: B.into(),
        ethertype: 0x0800,
        octets: &ping,
    };
    let ours = NflogOptions::traffic_indication();
    let default = NflogOptions { queue_threshold: 100, timeout: Duration::from_secs(1), ..ours.clone() };
    for (name, options) in [("ours", ours), ("kernel-default", default)] {
        let mut group = b.enter(|| Nflog::open(5, &options)).unwrap();
        if name == "ours" {
            let second = b.enter(|| Nflog::open(5, &options)).map(drop).map_err(|e| e.to_string());
            report.check(
                "nflog-group-taken-is-explained",
                ensure(matches!(&second, Err(e) if e.contains("another program")), format!("{second:?}")),
            );
        }
        let start = Instant::now();
        socket.send(&[packet]);
        let mut out = Vec::new();
        let result = timeout(Duration::from_secs(3), group.recv(&mut out)).await;
        let latency = start.elapsed();
        report.fact(&format!("nflog-latency-{name}"), format!("{latency:?}"));
        let Some(first) = out.first() else {
            report.check(&format!("nflog-{name}"), Err(format!("{result:?}")));
            continue;
        };
        let summary = (first.hw_protocol, first.in_ifindex, first.out_ifindex, first.payload.clone());
        report.check(
            &format!("nflog-{name}"),
            expect(&summary, &(0x0800, Some(b.ifindex("gre1")), None, ping[..128].to_vec())),
        );
        if name == "ours" {
            report.check("nflog-at-once", ensure(latency < Duration::from_millis(100), "late"));
            let burst = vec![packet; 40];
            socket.send(&burst);
            let mut out = Vec::new();
            while out.len() < 40 {
                if timeout(Duration::from_secs(1), group.recv(&mut out)).await.is_err() {
                    break;
                }
            }
            report.check("nflog-burst", expect(&out.len(), &40));
            report.fact("nflog-counters", format!("{:?}", group.counters()));
        } else {
            report.check(
                "nflog-default-is-late",
                ensure(latency > Duration::from_millis(500), "the threshold changes nothing here"),
            );
        }
    }
}

fn entry(ifindex: u32, number: u16, kind: NeighbourKind) -> NeighbourEntry {
    let [high, low] = number.to_be_bytes();
    NeighbourEntry {
        ifindex,
        protocol: IpAddr::from([10, 1, high, low]),
        nbma: IpAddr::from([172, 16, high, low]),
        kind,
    }
}

async fn neighbours(report: &mut Report, a: &Namespace, idle: Duration) {
    let gre = a.ifindex("gre1");
    let only = BTreeSet::from([gre]);
    let fact = |name: &str| {
        // One for all namespaces, seen in the first.
        std::fs::read_to_string(format!("/proc/sys/net/ipv4/neigh/default/{name}"))
            .unwrap_or_else(|error| error.to_string())
    };
    report.fact(
        "gc_thresh1-2-3",
        format!("{} {} {}", fact("gc_thresh1").trim(), fact("gc_thresh2").trim(), fact("gc_thresh3").trim()),
    );

    // As zebra writes them.
    let mut batch = String::new();
    for number in 0..MANY {
        let e = entry(gre, number, NeighbourKind::Permanent);
        writeln!(batch, "neigh replace {} lladdr {} dev gre1 nud reachable", e.protocol, e.nbma).unwrap();
    }
    let file = std::env::temp_dir().join(format!("kernel-probe-{}", std::process::id()));
    std::fs::write(&file, batch).unwrap();
    let _ = a.try_ip(&format!("-force -batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let mut table = a.enter(Neighbours::open).unwrap();
    let usable =
        |dump: &[nhrp_kernel::neighbour::KernelNeighbour]| dump.iter().filter(|n| n.is_usable()).count();
    let plain = usable(&table.dump(&only).await.unwrap());
    report.fact("plain-reachable-after-3000", plain);
    report.check(
        "plain-reachable-meets-the-limit",
        ensure(plain < usize::from(MANY), "no limit met: not the default sysctls?"),
    );
    a.ip("neigh flush dev gre1 nud all");

    let wanted: Vec<_> = (0..MANY).map(|n| entry(gre, n, NeighbourKind::Permanent)).collect();
    let start = Instant::now();
    let refused = table.replace(&wanted).unwrap().iter().filter(|r| r.is_err()).count();
    report.fact("permanent-3000-written-in", format!("{:?}", start.elapsed()));
    report.check("permanent-none-refused", expect(&refused, &0));
    let start = Instant::now();
    let dump = table.dump(&only).await.unwrap();
    report.fact("dump-3000-in", format!("{:?}", start.elapsed()));
    let own = dump.iter().filter(|n| n.protocol == PROTOCOL_NHRP && n.is_usable()).count();
    report.check("permanent-all-there", expect(&own, &usize::from(MANY)));
    let shown = a.ip("neigh show 10.1.0.7 dev gre1");
    report.fact("ip-neigh-shows", shown.trim());
    let proto = shown.contains("proto nhrp") || shown.contains("proto 191");
    report.check(
        "ip-neigh-shows-protocol-and-permanent",
        ensure(proto && shown.contains("PERMANENT") && shown.contains("172.16.0.7"), &shown),
    );
    drop(table);

    // A restart: what is right is adopted, what is not is repaired, what is not wanted goes, what is foreign stays.
    a.ip("neigh replace 10.1.0.1 lladdr 1.2.3.4 dev gre1 nud permanent");
    a.ip("neigh del 10.1.0.2 dev gre1");
    a.ip("neigh replace 10.9.9.9 lladdr 1.2.3.4 dev gre1 nud permanent");
    let mut table = a.enter(Neighbours::open).unwrap();
    let dump = table.dump(&only).await.unwrap();
    let (to_write, to_delete) = reconcile(&wanted[..2990], &dump);
    report.check("adoption-writes-only-what-changed", expect(&to_write, &wanted[1..3].to_vec()));
    report.check("adoption-deletes-only-own", expect(&to_delete.len(), &10));
    let written = table.replace(&to_write).unwrap();
    let deleted = table.delete(&to_delete).unwrap();
    report
        .check("adoption-carried-out", ensure(written.iter().chain(&deleted).all(Result::is_ok), "refused"));
    let again = reconcile(&wanted[..2990], &table.dump(&only).await.unwrap());
    report.check("adoption-is-complete", expect(&again, &(vec![], vec![])));
    let absent = table.delete(&to_delete).unwrap();
    report.check(
        "delete-of-absent-is-success",
        ensure(absent.iter().all(Result::is_ok), format!("{:?}", absent[0])),
    );
    let foreign = a.ip("neigh show 10.9.9.9 dev gre1");
    report.check("foreign-stays", ensure(foreign.contains("1.2.3.4"), foreign));

    let shortcut = entry(gre, 5000, NeighbourKind::ExternallyLearned);
    let written = table.replace(&[shortcut]).unwrap();
    report.check("externally-learned-written", ensure(written[0].is_ok(), format!("{written:?}")));
    let shown = a.ip(&format!("neigh show {} dev gre1", shortcut.protocol));
    report.check(
        "externally-learned-shown",
        ensure(shown.contains("extern_learn") && shown.contains("REACHABLE"), &shown),
    );
    let bad = NeighbourEntry { ifindex: 9999, ..shortcut };
    let results = table.replace(&[shortcut, bad, wanted[0]]).unwrap();
    let results: Vec<_> =
        results.iter().map(|r| r.as_ref().err().and_then(std::io::Error::raw_os_error)).collect();
    report.check("one-answer-each", expect(&results, &vec![None, Some(libc::ENODEV), None]));

    watch(report, a, &mut table, &wanted).await;

    let mut table = a.enter(Neighbours::open).unwrap();
    table.replace(&wanted).unwrap();
    table.replace(&[shortcut]).unwrap();
    tokio::time::sleep(idle).await;
    let dump = table.dump(&only).await.unwrap();
    let left = dump.iter().filter(|n| wanted.iter().any(|w| w.protocol == n.address && n.serves(w))).count();
    report.fact(&format!("permanent-left-after-{}s", idle.as_secs()), left);
    report.check("permanent-survive", expect(&left, &usize::from(MANY)));
    let kept = dump.iter().find(|n| n.address == shortcut.protocol);
    report.fact("externally-learned-state-after", format!("{:?}", kept.map(|n| n.state)));
    report.check(
        "externally-learned-survives",
        ensure(kept.is_some_and(|n| n.serves(&shortcut)), format!("{kept:?}")),
    );
}

/// Events: of another program's change, and of a flood that nobody read.
async fn watch(report: &mut Report, a: &Namespace, table: &mut Neighbours, wanted: &[NeighbourEntry]) {
    let mut watcher = a.enter(Neighbours::open).unwrap();
    a.ip("neigh del 10.1.0.8 dev gre1");
    let mut seen = false;
    while let Ok(event) = timeout(Duration::from_secs(2), watcher.next_event()).await {
        if let NeighbourEvent::Deleted(n) = event.unwrap() {
            seen = n.address == wanted[8].protocol;
            break;
        }
    }
    report.check("deletion-by-others-is-seen", ensure(seen, "no event"));
    let mut overrun = false;
    for _ in 0..20 {
        table.replace(wanted).unwrap();
        table.delete(&wanted.iter().map(|w| (w.ifindex, w.protocol)).collect::<Vec<_>>()).unwrap();
    }
    let mut events = 0;
    while let Ok(event) = timeout(Duration::from_millis(200), watcher.next_event()).await {
        events += 1;
        overrun |= event.unwrap() == NeighbourEvent::Overrun;
    }
    report.fact("events-read-of-a-flood-of-120000", events);
    report.check("flood-is-told-as-overrun", ensure(overrun, format!("{events} events, none lost")));
    a.ip("neigh replace 10.1.0.8 lladdr 1.2.3.4 dev gre1 nud permanent");
    let after = timeout(Duration::from_secs(2), watcher.next_event()).await;
    report.check(
        "events-go-on-after-overrun",
        ensure(matches!(after, Ok(Ok(NeighbourEvent::Changed(_)))), format!("{after:?}")),
    );
}

fn sysctls(report: &mut Report, a: &Namespace) {
    a.enter(|| {
        let file = "/proc/sys/net/ipv4/conf/gre1/send_redirects";
        let read = || std::fs::read_to_string(file).unwrap();
        let before = read();
        let mut sysctl = Sysctl::default();
        report.check("redirects-off", sysctl.disable_send_redirects("gre1").map_err(|e| e.to_string()));
        report.check("redirects-are-off", expect(&read().trim(), &"0"));
        report.check("redirects-restored", sysctl.restore_send_redirects("gre1").map_err(|e| e.to_string()));
        report.check("redirects-as-before", expect(&read(), &before));
        let missing = sysctl.disable_send_redirects("gre77").map_err(|e| e.to_string());
        report.fact("redirects-of-a-missing-interface", missing.unwrap_err());
    });
}
