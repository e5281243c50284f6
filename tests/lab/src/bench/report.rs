//! Medians and spreads of what was measured, for programs and for people.
//!
//! Owns the arithmetic and the form of the JSON, which docs/bench.md describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Bench, FIGURES, Part, Sample, Subject};

/// All samples of a benchmark.
#[derive(Debug, Clone)]
pub(crate) struct Summary<'a> {
    bench: &'a Bench,
    samples: &'a [Sample],
}

/// Least, median and greatest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied();
        let last = values.len().checked_sub(1)?;
        let median = f64::midpoint(at(last / 2)?, at(values.len() / 2)?);
        Some(Self { least: at(0)?, median, greatest: at(last)? })
    }
}

impl<'a> Summary<'a> {
    /// Of these samples.
    pub(crate) fn new(bench: &'a Bench, samples: &'a [Sample]) -> Self {
        Self { bench, samples }
    }

    fn of(&self, subject: Subject) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.turn.subject == subject)
    }

    fn spread(&self, subject: Subject, figure: &str) -> Option<Spread> {
        Spread::of(self.of(subject).filter_map(|sample| sample.figures.get(figure).copied()).collect())
    }

    /// Whether each subject was measured at least once.
    pub(crate) fn says_something(&self) -> bool {
        self.bench.subjects().into_iter().all(|subject| self.runs(subject) > 0)
    }

    /// Timed runs of the subject that came to their end.
    fn runs(&self, subject: Subject) -> usize {
        self.of(subject).filter(|sample| sample.turn.part == Part::Timed).count()
    }

    /// `environment` is what else there is to say about the place of the measurement.
    pub(crate) fn json(&self, environment: Value) -> Value {
        let mut document = Map::new();
        let Bench { peers, runs, window, rate, .. } = self.bench;
        document.insert("peers".to_owned(), json!(peers));
        document.insert("runs".to_owned(), json!(runs));
        document.insert("window".to_owned(), json!(window));
        document.insert("open_loop_per_s".to_owned(), json!(rate));
        document.insert("environment".to_owned(), environment);
        for subject in self.bench.subjects() {
            let (mut figures, mut spreads) = (Map::new(), Map::new());
            for (name, _) in FIGURES {
                let spread = self.spread(subject, name);
                figures.insert((*name).to_owned(), json!(spread.map(|spread| rounded(spread.median))));
                if let Some(spread) = spread {
                    spreads
                        .insert((*name).to_owned(), json!([rounded(spread.least), rounded(spread.greatest)]));
                }
            }
            figures.insert("spread".to_owned(), spreads.into());
            figures.insert("runs".to_owned(), json!(self.runs(subject)));
            let calls = self.calls(subject);
            figures.insert("calls_per_first".to_owned(), json!(calls[0]));
            figures.insert("calls_per_refresh".to_owned(), json!(calls[1]));
            document.insert(subject.to_string(), figures.into());
        }
        document.into()
    }

    /// Medians of the calls by name.
    fn calls(&self, subject: Subject) -> [BTreeMap<&str, f64>; 2] {
        [0, 1].map(|part| {
            let counted = self.of(subject).filter(|sample| sample.turn.part == Part::Counted);
            let all: Vec<_> = counted.filter_map(|sample| sample.calls.get(part)).collect();
            let names: BTreeSet<&str> =
                all.iter().flat_map(|calls| calls.keys().map(String::as_str)).collect();
            let median = |name: &str| {
                Spread::of(all.iter().map(|calls| calls.get(name).copied().unwrap_or_default()).collect())
            };
            let rows = names.into_iter().filter_map(|name| Some((name, rounded(median(name)?.median))));
            // Rare ones belong to something else than the packets.
            rows.filter(|(_, calls)| *calls >= 0.001).collect()
        })
    }

    /// A table: a figure a line, a subject a column, median and spread.
    pub(crate) fn table(&self) -> String {
        let subjects = self.bench.subjects();
        let mut text = format!("{:26}", "");
        for subject in &subjects {
            let _ = write!(text, "{:>30}", format!("{subject}, {} runs", self.runs(*subject)));
        }
        for (name, _) in FIGURES {
            let _ = write!(text, "\n{name:26}");
            for subject in &subjects {
                let cell = self.spread(*subject, name).map_or("-".to_owned(), |spread| {
                    format!(
                        "{} ({} to {})",
                        short(spread.median),
                        short(spread.least),
                        short(spread.greatest)
                    )
                });
                let _ = write!(text, "{cell:>30}");
            }
        }
        for (part, name) in ["first", "refresh"].into_iter().enumerate() {
            for subject in &subjects {
                let calls = self.calls(*subject);
                let calls = calls.get(part).into_iter().flatten();
                let calls: Vec<String> =
                    calls.map(|(name, count)| format!("{name} {}", short(*count))).collect();
                let _ = write!(text, "\ncalls per {name}, {subject}: {}", calls.join(", "));
            }
        }
        text
    }
}

/// To what a measurement of this kind can mean.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn short(value: f64) -> String {
    match value {
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Turn;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = |values: &[f64]| Spread::of(values.to_vec()).unwrap();
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { least: 1.0, median: 2.0, greatest: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(spread(&[7.0]), Spread { least: 7.0, median: 7.0, greatest: 7.0 });
    }

    #[test]
    fn every_promised_key_is_there_even_if_nothing_was_measured() {
        let bench = Bench { peers: 10, against: None, runs: 1, window: 1, timed_only: false, rate: 1 };
        let sample = Sample {
            turn: Turn { subject: Subject::Ours, part: Part::Timed, run: 1 },
            figures: BTreeMap::from([("first_per_s".to_owned(), 2.5)]),
            calls: Default::default(),
        };
        let counted = Sample {
            turn: Turn { part: Part::Counted, ..sample.turn },
            figures: BTreeMap::new(),
            calls: [BTreeMap::from([("read".to_owned(), 1.0)]), BTreeMap::new()],
        };
        let samples = [sample, counted];
        let summary = Summary::new(&bench, &samples);
        assert!(!summary.says_something(), "nobody has measured the null responder");
        let document = summary.json(Value::Null);
        assert_eq!((&document["ours"]["runs"], &document["null"]["runs"]), (&json!(1), &json!(0)));
        assert_eq!(document["ours"]["first_per_s"], 2.5);
        assert_eq!(document["ours"]["spread"]["first_per_s"], json!([2.5, 2.5]));
        assert_eq!(document["ours"]["calls_per_first"], json!({ "read": 1.0 }));
        assert!(document.get("frr").is_none(), "was not asked for");
        for (name, _) in FIGURES {
            assert!(document["null"].get(name).is_some(), "{name}");
        }
    }
}
