//! Garbage from the wire and mistakes of people: a clear message each, never a flood of them, and nothing
//! learned is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nhrp_wire::checksum;
use nix::sys::signal::Signal;

use super::ask::ask;
use super::shown::{counter, log, resident};
use super::{Lab, REGISTER};
use crate::dmvpn::{Dmvpn, Shape, nbma, text};
use crate::failure::{Context, Failure, Result, ensure};
use crate::golden;
use crate::net::{Node, wait_until};

/// Longest time until a message is in the log.
const SAID: Duration = Duration::from_secs(15);

/// Messages of a kind that the daemon writes in [`WINDOW`].
const BURST: usize = 5;
/// See [`BURST`].
const WINDOW: Duration = Duration::from_secs(10);

/// Growth of the resident memory by a flood that is the repetition of an earlier one, kB.
const GROWTH: u64 = 512;

/// Octets of the fixed header.
const PACKET_SIZE: usize = 10;
const CHECKSUM: usize = 12;
const EXTENSION_OFFSET: usize = 14;
const VERSION: usize = 16;
const TYPE: usize = 17;

/// Sends each line of hexadecimal digits of a file as an NHRP packet through a tunnel to an NBMA address.
const SENDER: &str = "
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
to = (sys.argv[1], 0x2001, 0, 0, socket.inet_aton(sys.argv[2]))
sent = 0
for line in open(sys.argv[3]):
    s.sendto(bytes.fromhex(line), to)
    sent += 1
print(sent)
";

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.dmvpn(Shape::default())?;
    dmvpn.wait_registered(REGISTER)?;
    single_packets(&dmvpn)?;
    flood(lab, &mut dmvpn)?;
    unknown_command(dmvpn.node("hub")?)?;
    file(dmvpn.node("hub")?)?;
    line_of_all(&mut dmvpn)?;
    no_tunnel(&mut dmvpn)?;
    name(&mut dmvpn)?;
    dmvpn.all_alive()
}

/// Waits until the log after `from` has a line with all of `parts`; returns it.
fn said(node: &Node, from: usize, parts: &[&str]) -> Result<String> {
    wait_until(&format!("{parts:?} in the log of {}", node.name()), SAID, || {
        let text = log(node).map_err(|failure| failure.to_string())?.split_off(from);
        let line = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        line.map(str::to_owned).ok_or_else(|| text.clone())
    })
}

/// The golden packets, their overlay moved away from the lab's own.
fn golden() -> Result<Vec<Vec<u8>>> {
    let moved = |mut packet: Vec<u8>| {
        let places =
            packet.windows(3).enumerate().filter(|(_, three)| *three == [10, 255, 255]).map(|(at, _)| at);
        for at in places.collect::<Vec<usize>>() {
            put(&mut packet, at, &[10, 255, 254]);
        }
        sealed(packet)
    };
    Ok(golden::packets()?.into_iter().map(moved).collect())
}

fn put(packet: &mut [u8], at: usize, octets: &[u8]) {
    packet.iter_mut().skip(at).zip(octets).for_each(|(octet, value)| *octet = *value);
}

/// The packet with a checksum that is right (RFC 1071): what is wrong with it is something else.
fn sealed(mut packet: Vec<u8>) -> Vec<u8> {
    put(&mut packet, CHECKSUM, &[0, 0]);
    let sum = checksum::internet(&packet).to_be_bytes();
    put(&mut packet, CHECKSUM, &sum);
    packet
}

fn changed(packet: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    put(&mut packet, at, octets);
    packet
}

/// Sends packets from s2 to the hub.
fn send(dmvpn: &Dmvpn, packets: &[Vec<u8>]) -> Result<()> {
    let s2 = dmvpn.node("s2")?;
    let lines: Vec<String> =
        packets.iter().map(|packet| packet.iter().map(|octet| format!("{octet:02x}")).collect()).collect();
    s2.write_file("/run/packets", &(lines.join("\n") + "\n"))?;
    let hub = nbma("hub")?.to_string();
    let output = s2.run(&["python3", "-c", SENDER, "gre1", &hub, "/run/packets"])?;
    ensure!(
        output.stdout.trim() == packets.len().to_string(),
        "sent {} of {} packets: {}",
        output.stdout.trim(),
        packets.len(),
        output.stderr
    );
    Ok(())
}

/// One packet of each kind of fault: each has its own message, which names the sender and the field.
fn single_packets(dmvpn: &Dmvpn) -> Result<()> {
    let hub = dmvpn.node("hub")?;
    let golden = golden()?;
    let good = golden.first().context(|| "no golden packet".to_owned())?;
    let sender = nbma("s2")?.to_string();
    let faults: [(&str, Vec<u8>); BURST] = [
        ("ar$chksum", changed(good, good.len() - 1, &[1])),
        ("ar$op.version", sealed(changed(good, VERSION, &[2]))),
        ("ar$op.type", sealed(changed(good, TYPE, &[99]))),
        ("ar$pktsz", changed(good, PACKET_SIZE, &[4, 0])),
        ("ar$extoff", sealed(changed(good, EXTENSION_OFFSET, &[3, 0]))),
    ];
    for (field, packet) in faults {
        let from = log(hub)?.len();
        send(dmvpn, &[packet])?;
        said(hub, from, &[&format!("From {sender}: error: "), field])?;
    }
    Ok(())
}

/// Every golden packet cut at every length and changed at every octet, and octets by chance.
fn hostile() -> Result<Vec<Vec<u8>>> {
    let mut packets = BTreeSet::new();
    for packet in golden()? {
        packets
            .extend((1..packet.len()).map(|length| packet.iter().copied().take(length).collect::<Vec<u8>>()));
        for (at, octet) in packet.iter().enumerate() {
            packets.insert(changed(&packet, at, &[octet ^ 0x55]));
            packets.insert(sealed(changed(&packet, at, &[octet ^ 0x80])));
        }
    }
    // xorshift: the same on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    for length in 1..128 {
        packets.insert((0..length).flat_map(|_| chance()).collect());
    }
    Ok(packets.into_iter().collect())
}

fn flood(lab: &mut Lab, dmvpn: &mut Dmvpn) -> Result<()> {
    let packets = hostile()?;
    let mut memory = Vec::new();
    let hub = dmvpn.node("hub")?.clone();
    let before = counter(&hub, "packets malformed")?;
    for _ in 0..3 {
        let (from, started) = (log(&hub)?.len(), Instant::now());
        for part in packets.chunks(1500) {
            send(dmvpn, part)?;
        }
        // All of them have been looked at when the hub answers.
        let (code, _) = ask(&hub, "/run/frr/nhrpd.vty", "echo done")?;
        ensure!(code == 0, "echo was answered with {code}");
        let windows = started.elapsed().as_secs() / WINDOW.as_secs() + 2;
        let limit = usize::try_from(windows).context(|| "windows".to_owned())? * BURST;
        let text = log(&hub)?.split_off(from);
        // Packets that cannot be read are one kind; each other fault is one of its own.
        let complaints = text.lines().filter(|line| line.contains("error: ") && line.contains(" at octet "));
        let complaints = complaints.count();
        // None at all if what came before this round has used them up; the last step sees how many were left out.
        ensure!(complaints <= limit, "{complaints} messages, {limit} at most: {text}");
        memory.push(resident(&hub)?);
        dmvpn.wait_registered(Duration::from_secs(5))?;
    }
    let refused = counter(&hub, "packets malformed")? - before;
    ensure!(refused > packets.len() as u64, "{refused} packets were malformed of 3 times {}", packets.len());
    let [_, second, third] = memory[..] else { return Err(Failure::new("memory was not looked at")) };
    ensure!(third < second + GROWTH, "the hub's nhrpd has grown from {second} kB to {third} kB");
    lab.note(format!("3 times {} packets, {refused} malformed, {third} kB", packets.len()));
    // The next message tells how many were left out.
    std::thread::sleep(WINDOW);
    let from = log(&hub)?.len();
    let good = golden()?.into_iter().next().unwrap_or_default();
    send(dmvpn, &[changed(&good, good.len() - 1, &[1])])?;
    said(&hub, from, &["error: ", "similar messages left out"])?;
    let received = dmvpn.ping("s1", "s2", 5, Duration::from_millis(300))?;
    ensure!(received == 5, "{received} of 5 echo replies after the flood");
    Ok(())
}

fn unknown_command(node: &Node) -> Result<()> {
    let answer = ask(node, "/run/frr/nhrpd.vty", "show ip nhrp bogus")?;
    let expected = (2, "% [NHRP] Unknown command: show ip nhrp bogus\n".to_owned());
    ensure!(answer == expected, "an unknown command is answered with {answer:?}");
    Ok(())
}

/// A file with a bad line, for an instance without zebra on a node whose NFLOG group is taken.
fn file(node: &Node) -> Result<()> {
    node.write_file(
        "/run/bad.conf",
        "nhrp nflog-group 1\ninterface gre1\n ip nhrp bogus\n ip nhrp holdtime 77\n ip nhrp holdtime 0\n",
    )?;
    let command = ["/lab/bin/nhrpd", "-N", "bad", "-f", "/run/bad.conf", "--log", "stdout"];
    let mut nhrpd = node.spawn("bad", &command)?;
    let socket = "/run/frr/bad/nhrpd.vty";
    wait_until("the instance with the bad file", SAID, || match node.listens(socket) {
        Ok(true) => Ok(()),
        _ => Err(nhrpd.output()),
    })?;
    let (_, running) = ask(node, socket, "show running-config")?;
    ensure!(
        running.contains("nhrp nflog-group 1\n") && running.contains(" ip nhrp holdtime 77\n"),
        "the good lines of the file are not applied: {running}"
    );
    std::thread::sleep(Duration::from_secs(3));
    let text = nhrpd.output();
    for parts in [
        ["config line 3:", " ip nhrp bogus"],
        ["config line 5:", " ip nhrp holdtime 0"],
        ["cannot bind NFLOG group 1:", "no other program on this group"],
        ["no zebra listens at /var/run/frr/bad/zserv.api", "start zebra"],
    ] {
        let lines = text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
        ensure!(lines == 1, "{lines} messages with {parts:?}: {text}");
    }
    nhrpd.stop(Signal::SIGTERM, Duration::from_secs(5))
}

/// A line that vtysh knows and nhrpd has to refuse, in a file for `vtysh -f`.
fn line_of_all(dmvpn: &mut Dmvpn) -> Result<()> {
    let s1 = dmvpn.node("s1")?;
    s1.write_file("/run/lines", "log file /nonexistent/x\ninterface gre1\n ip nhrp mtu 1360\n")?;
    let output = s1.run(&["vtysh", "-d", "nhrpd", "-f", "/run/lines"])?;
    let said = format!("{}{}", output.stdout, output.stderr);
    ensure!(
        output.status == 13 && said.contains("can't open logfile /nonexistent/x") && said.contains("line 1"),
        "vtysh -f ended with {} and said {said}",
        output.status
    );
    let running = dmvpn.frr("s1")?.vtysh(&["show running-config"])?;
    ensure!(running.contains(" ip nhrp mtu 1360\n"), "the good line is not applied: {running}");
    dmvpn.frr("s1")?.vtysh(&["configure terminal", "no log file"])?;
    dmvpn.frr("s1")?.configure_tunnel(&["no ip nhrp mtu"])
}

fn no_tunnel(dmvpn: &mut Dmvpn) -> Result<()> {
    let s1 = dmvpn.node("s1")?.clone();
    let from = log(&s1)?.len();
    dmvpn.frr("s1")?.vtysh(&["configure terminal", "interface lan0", "ip nhrp network-id 9"])?;
    said(&s1, from, &["lan0: NHRP does not run: it is no GRE tunnel", "tunnel source"])?;
    dmvpn.frr("s1")?.vtysh(&["configure terminal", "interface lan0", "no ip nhrp network-id"])?;
    Ok(())
}

/// An NHS whose name does not resolve, and then does.
fn name(dmvpn: &mut Dmvpn) -> Result<()> {
    const NAME: &str = "hub.example.test";
    let s1 = dmvpn.node("s1")?.clone();
    s1.sh("touch /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf
         printf '127.0.0.1 localhost\\n' > /run/hosts; mount --bind /run/hosts /etc/hosts")?;
    let from = log(&s1)?.len();
    let hub = nbma("hub")?;
    let [old, new] =
        [&format!("no ip nhrp nhs dynamic nbma {hub}"), &format!("ip nhrp nhs dynamic nbma {NAME}")];
    dmvpn.frr("s1")?.configure_tunnel(&[old, new])?;
    said(
        &s1,
        from,
        &[
            "gre1: NHS name hub.example.test does not resolve",
            "is a name server of /etc/resolv.conf reachable",
        ],
    )?;
    s1.sh(&format!("echo {hub} {NAME} >> /run/hosts"))?;
    wait_until("s1 to be registered with the hub by name", Duration::from_secs(20), || {
        let rows = dmvpn.frr("s1").and_then(|frr| frr.table("show ip nhrp nhs json"));
        let rows = rows.map_err(|failure| failure.to_string())?;
        let found = rows.iter().any(|row| text(row, "fqdn") == NAME && text(row, "nbma") == hub.to_string());
        if found { Ok(()) } else { Err(format!("{rows:?}")) }
    })?;
    dmvpn.wait_registered(REGISTER)
}
