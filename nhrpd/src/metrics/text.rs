//! A snapshot as Prometheus reads it: names, helps and labels of all metrics. Names are a promise: a test holds them.
//!
//! Written by hand, because crates of metrics want to count themselves, and prometheus-client writes OpenMetrics alone, in
//! which `promtool check metrics` misses the types of counters.

use std::fmt::{Display, Write};

use nhrp_wire::PacketType;

use super::snapshot::{FAMILIES, REGISTRATION_STATES, Snapshot};
use crate::turns::CLASSES;

/// Types of cache entries, in the order of the census.
const CACHE: [&str; 4] = ["dynamic", "nhs", "static", "local"];

/// The text so far.
struct Text(String);

impl Text {
    /// Begins a metric. Prometheus wants all samples of one together.
    fn metric(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.to_string().replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A metric without labels.
    fn single(&mut self, kind: &str, name: &str, help: &str, value: impl Display) {
        self.metric(kind, name, help);
        self.sample(name, &[], value);
    }

    /// Gauges by family and one more label.
    fn by_family<const N: usize>(
        &mut self,
        (name, help): (&str, &str),
        (label, words): (&str, [&str; N]),
        counts: [[u64; N]; 2],
    ) {
        self.metric("gauge", name, help);
        for ((_, family), counts) in FAMILIES.iter().zip(counts) {
            for (word, count) in words.iter().zip(counts) {
                self.sample(name, &[("family", family), (label, word)], count);
            }
        }
    }
}

/// `packetsLost` as `packets_lost`.
fn snake(key: &str) -> String {
    let mut name = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The whole answer to a scraper.
pub(super) fn render(now: &Snapshot) -> String {
    let mut text = Text(String::with_capacity(16 << 10));
    text.metric(
        "gauge",
        "nhrpd_build_info",
        "Version of the daemon, and of the FRR whose texts it has; always 1.",
    );
    text.sample("nhrpd_build_info", &[("version", &now.version), ("frr", &now.frr)], 1);
    state(&mut text, now);
    entries(&mut text, now);
    turns(&mut text, now);
    counters(&mut text, now);
    text.0
}

fn state(text: &mut Text, now: &Snapshot) {
    text.single("gauge", "nhrpd_zebra_connected", "Whether zebra is connected.", u8::from(now.zebra));
    let name = "nhrpd_interface_running";
    text.metric("gauge", name, "Whether NHRP runs on a configured interface, for a family.");
    for (interface, family, running) in &now.interfaces {
        text.sample(name, &[("interface", interface), ("family", family)], u8::from(*running));
    }
    let help = "Own registrations with next hop servers, by state.";
    text.by_family(("nhrpd_registrations", help), ("state", REGISTRATION_STATES), now.registrations);
    let name = "nhrpd_ipsec_security_associations";
    text.single("gauge", name, "IPsec security associations with peers that are up.", now.associations);
}

fn entries(text: &mut Text, now: &Snapshot) {
    let help = "Cache entries by type, as of 'show ip nhrp cache'.";
    let counts = now.entries.map(|family| family.cache);
    text.by_family(("nhrpd_cache_entries", help), ("type", CACHE), counts);
    let plain: [(&str, &str, [u64; 2]); 2] = [
        (
            "nhrpd_cache_entries_down",
            "Cache entries of peers that are not used, because the tunnel or IPsec is not up.",
            now.entries.map(|family| family.down),
        ),
        (
            "nhrpd_peers",
            "Peers with a cache entry: different NBMA addresses, per interface.",
            now.entries.map(|family| family.peers),
        ),
    ];
    for (name, help, counts) in plain {
        text.metric("gauge", name, help);
        for ((_, family), count) in FAMILIES.iter().zip(counts) {
            text.sample(name, &[("family", family)], count);
        }
    }
    let help = "Shortcuts, and targets that are asked for or refused, by state.";
    let words = ["active", "waiting", "unreachable", "asking", "refused"];
    let counts = now.entries.map(|f| [f.active, f.waiting, f.unreachable, f.asking, f.refused]);
    text.by_family(("nhrpd_shortcuts", help), ("state", words), counts);
    text.single("gauge", "nhrpd_routes", "Routes that zebra told.", now.routes);
    text.single("gauge", "nhrpd_timers", "Timers that are set.", now.timers);
}

fn turns(text: &mut Text, now: &Snapshot) {
    let name = "nhrpd_event_loop_turn_seconds";
    text.metric(
        "histogram",
        name,
        "How long turns of the event loop took; nothing else is served meanwhile.",
    );
    let bucket = format!("{name}_bucket");
    for end in CLASSES {
        // A class is without its end; that a turn takes as many nanoseconds exactly makes no difference.
        let count = now.turns.total() - now.turns.at_least(end);
        text.sample(&bucket, &[("le", &(f64::from(u32::try_from(end).unwrap_or(u32::MAX)) / 1000.0))], count);
    }
    text.sample(&bucket, &[("le", &"+Inf")], now.turns.total());
    text.sample(&format!("{name}_sum"), &[], now.turns.took().as_secs_f64());
    text.sample(&format!("{name}_count"), &[], now.turns.total());
    let help = "The longest turn of the event loop since the start.";
    let longest = now.turns.longest().as_secs_f64();
    text.single("gauge", "nhrpd_event_loop_longest_turn_seconds", help, longest);
}

/// Since the start: clearing the counters that are shown does not touch these.
fn counters(text: &mut Text, now: &Snapshot) {
    let stats = &now.counts.stats;
    let packets = [
        ("nhrpd_packets_received_total", "NHRP packets received, by type.", stats.packets_received),
        ("nhrpd_packets_sent_total", "NHRP packets sent, by type.", stats.packets_sent),
    ];
    for (name, help, counts) in packets {
        text.metric("counter", name, help);
        for (kind, count) in (1..).map_while(PacketType::from_wire).zip(counts) {
            text.sample(name, &[("type", &kind.to_string().to_ascii_lowercase())], count);
        }
    }
    for (key, words, count) in now.counts.others() {
        let mut letters = words.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let help: String = first.into_iter().chain(letters).chain(['.']).collect();
        text.single("counter", &format!("nhrpd_{}_total", snake(key)), &help, count);
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
