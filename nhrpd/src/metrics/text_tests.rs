//! The names of metrics, the rules that Prometheus has for them, and the documents that use them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use nhrp_engine::Census;

fn sample() -> Snapshot {
    let mut now = Snapshot {
        version: "0.1.0".to_owned(),
        frr: r#"10.3 "odd\" name"#.to_owned(),
        interfaces: vec![("gre1".to_owned(), "ipv4", true), ("gre1".to_owned(), "ipv6", false)],
        routes: 12,
        timers: 3,
        associations: 2,
        zebra: true,
        ..Snapshot::default()
    };
    let ipv4 = Census { cache: [4, 1, 2, 1], down: 1, peers: 6, active: 3, ..Census::default() };
    now.entries = [ipv4, Census { waiting: 1, unreachable: 2, asking: 3, refused: 4, ..Census::default() }];
    now.registrations[0][8] = 1;
    now.counts.stats.packets_received = [1, 2, 3, 4, 5, 6, 7, 8];
    now.counts.stats.packets_sent[2] = 9;
    now.counts.packets_lost = 10;
    now.counts.event_socket_lost = 11;
    for micros in [200, 1_500, 30_000, 250_000] {
        now.turns.add(Duration::from_micros(micros));
    }
    now
}

/// Type and samples (name and labels, value) of each metric, in order. Panics at what Prometheus's text format or
/// `promtool check metrics` would not take.
fn parsed(text: &str) -> BTreeMap<String, (String, Vec<(String, f64)>)> {
    let mut metrics: BTreeMap<String, (String, Vec<(String, f64)>)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut lines = text.strip_suffix('\n').unwrap().lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
        assert!(name.starts_with("nhrpd_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()), "{name}");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let own = series.split('{').next().unwrap();
            let ends: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(ends.iter().any(|end| own == format!("{name}{end}")), "{line} below {name}");
            assert!(seen.insert(series.to_owned()), "twice: {series}");
            samples.push((series.to_owned(), value.parse().unwrap()));
        }
        assert!(!samples.is_empty(), "{name} has no samples");
        let twice = metrics.insert(name.to_owned(), (kind.to_owned(), samples));
        assert!(twice.is_none(), "{name} is there twice");
    }
    metrics
}

#[test]
fn names_are_a_promise() {
    insta::assert_snapshot!(render(&sample()));
}

#[test]
fn prometheus_reads_it() {
    let metrics = parsed(&render(&sample()));
    let (kind, samples) = &metrics["nhrpd_event_loop_turn_seconds"];
    assert_eq!(kind, "histogram");
    let (buckets, rest) = samples.split_at(CLASSES.len() + 1);
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{buckets:?}");
    assert!(buckets.last().unwrap().0.contains("le=\"+Inf\""));
    assert_eq!(buckets.last().unwrap().1, rest[1].1, "all of them are in the last bucket");
    let counts: Vec<f64> = buckets.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
    let (_, build) = &metrics["nhrpd_build_info"];
    assert_eq!(build[0].0, r#"nhrpd_build_info{version="0.1.0",frr="10.3 \"odd\\\" name"}"#);
}

#[test]
fn every_counter_that_is_shown_is_there() {
    let (now, metrics) = (sample(), parsed(&render(&sample())));
    let shown: u64 = now.counts.all().iter().map(|(_, _, count)| *count).sum();
    let told: f64 =
        metrics.values().filter(|(kind, _)| kind == "counter").flat_map(|m| &m.1).map(|s| s.1).sum();
    assert_eq!(told, f64::from(u32::try_from(shown).unwrap()));
    let series: usize = metrics.values().filter(|(kind, _)| kind == "counter").map(|m| m.1.len()).sum();
    assert_eq!(series, now.counts.all().len());
}

/// Words that look like metrics of this daemon.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !letter(c)).filter(|word| word.starts_with("nhrpd_")).collect()
}

/// Names that a query may have.
fn series() -> BTreeSet<String> {
    let metrics = parsed(&render(&sample()));
    let samples = metrics.into_values().flat_map(|(_, samples)| samples);
    samples.map(|(series, _)| series.split('{').next().unwrap().to_owned()).collect()
}

#[test]
fn the_dashboard_draws_what_there_is() {
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/grafana-dashboard.json")).unwrap();
    let known = series();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let names = mentioned(query);
            assert!(!names.is_empty(), "{} draws nothing of ours: {query}", panel["title"]);
            for name in names {
                assert!(known.contains(name), "{}: no metric {name}", panel["title"]);
            }
            queries += 1;
        }
    }
    assert!(queries > 10, "{queries}");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        assert!(mentioned(query).iter().all(|name| known.contains(*name)), "{query}");
    }
}

#[test]
fn the_page_names_every_metric_and_no_other() {
    let page = include_str!("../../../docs/metrics.md");
    let known: BTreeSet<String> = parsed(&render(&sample())).into_keys().collect();
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let all = series();
    for name in mentioned(page) {
        assert!(known.contains(name) || all.contains(name), "docs/metrics.md: no metric {name}");
    }
    let missing: Vec<_> = known.difference(&mentioned(page)).copied().collect();
    assert!(missing.is_empty(), "docs/metrics.md does not name {missing:?}");
}
