//! Configurations for `reload`: two by hand that differ in everything, and others by chance.
//!
//! Owns what they are made of. Each can be read by the vtysh of its release without an error: what contradicts itself is
//! never in one, and neither is `tunnel source`, since no vtysh lets its removal through as frr-reload.py says it.

use std::collections::BTreeSet;

use crate::release::Release;

/// Two configurations of other tunnels, which do not exist: every setting there is, and another value of each, or none.
pub(super) const PAIR: [&str; 2] = [
    "nhrp multicast-nflog-group 6
interface gre8
 description the old tunnel
 ip nhrp network-id 8
 ip nhrp holdtime 700
 ip nhrp map 10.8.0.1 192.0.2.81
 ip nhrp map 10.8.0.2 local
 ip nhrp map multicast 192.0.2.81
 ip nhrp map multicast dynamic
 ip nhrp mtu opennhrp
 ip nhrp nhs 10.8.0.1 nbma 192.0.2.81
 ip nhrp nhs dynamic nbma 192.0.2.82
 ip nhrp redirect
 ip nhrp registration no-unique
 ip nhrp shortcut
 ipv6 nhrp network-id 8
 ipv6 nhrp holdtime 700
 ipv6 nhrp map 2001:db8::8 192.0.2.81
 ipv6 nhrp nhs dynamic nbma 192.0.2.82
 ipv6 nhrp shortcut
 tunnel protection vici profile one fallback-profile two
exit
debug nhrp kernel
",
    "nhrp multicast-nflog-group 7
interface gre8
 description the new tunnel
 ip nhrp network-id 9
 ip nhrp map 10.8.0.1 192.0.2.91
 ip nhrp map multicast dynamic
 ip nhrp mtu 1360
 ip nhrp nhs dynamic nbma 192.0.2.82
 ip nhrp nhs 10.8.0.7 nbma 192.0.2.87
 ip nhrp shortcut
 ipv6 nhrp network-id 8
 ipv6 nhrp map 2001:db8::8 local
 tunnel protection vici profile one
exit
interface gre9
 ip nhrp network-id 10
exit
debug nhrp route
",
];

/// xorshift: the same on every run.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// The same seed makes the same samples.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % end.max(1)
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// The same lines in another order.
pub(super) fn shuffled<T>(chance: &mut Chance, mut lines: Vec<T>) -> Vec<T> {
    for last in (1..lines.len()).rev() {
        lines.swap(last, chance.below(last + 1));
    }
    lines
}

/// Two tunnels, which do not exist, with settings of few values, so that two samples meet; in any order.
pub(super) fn tunnels(chance: &mut Chance, release: Release) -> String {
    let mut text = String::new();
    if chance.yes() {
        text.push_str(&format!("nhrp multicast-nflog-group {}\n", 2 + chance.below(2)));
    }
    for name in ["gre8", "gre9"] {
        let mut lines = tunnel(chance, release);
        lines = shuffled(chance, lines);
        text.push_str(&format!("interface {name}\n{}exit\n", lines.concat()));
    }
    for topic in ["event", "interface", "kernel", "vici"] {
        if chance.yes() {
            text.push_str(&format!("debug nhrp {topic}\n"));
        }
    }
    text
}

/// Each setting or none of its kind, and of those that may be there several times each at most once.
fn tunnel(chance: &mut Chance, release: Release) -> Vec<String> {
    let mut lines = BTreeSet::new();
    let n = chance.below(3) + 1;
    let mut once = vec![
        format!("description tunnel {n}"),
        format!("tunnel protection vici profile p{n}"),
        format!("ip nhrp mtu 140{n}"),
    ];
    if n == 3 {
        once = vec![
            "tunnel protection vici profile p1 fallback-profile f1".to_owned(),
            "ip nhrp mtu opennhrp".to_owned(),
        ];
    }
    for (afi, network) in [("ip", "10.0.0."), ("ipv6", "2001:db8::")] {
        let (n, other) = (chance.below(3) + 1, chance.below(3));
        once.extend([
            format!("{afi} nhrp network-id {n}"),
            format!("{afi} nhrp holdtime {n}"),
            format!("{afi} nhrp shortcut"),
            format!("{afi} nhrp redirect"),
            format!("{afi} nhrp registration no-unique"),
            format!("{afi} nhrp nhs dynamic nbma hub{n}.example.com"),
            format!("{afi} nhrp map multicast 192.0.2.{n}"),
            format!("{afi} nhrp map multicast dynamic"),
        ]);
        for host in 1..4 {
            let way =
                if chance.yes() { "local".to_owned() } else { format!("192.0.2.{}", chance.below(3) + 1) };
            once.push(format!("{afi} nhrp map {network}{host} {way}"));
            // Two servers at one NBMA address are a contradiction.
            once.push(format!("{afi} nhrp nhs {network}{host} nbma 192.0.2.{}", (host + other) % 3 + 1));
        }
    }
    // Unknown to the vtysh of 8.4; one for both families, told as the first one's.
    if release != Release::V8_4 {
        once.push(format!("ip nhrp authentication secret{n}"));
    }
    for line in once {
        if chance.yes() {
            lines.insert(format!(" {line}\n"));
        }
    }
    lines.into_iter().collect()
}
