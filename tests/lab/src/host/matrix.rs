//! Which cases there are, and which of them share a boot.
//!
//! Owns the interoperation matrix. Never runs anything.

use std::time::Duration;

use crate::failure::Result;
use crate::mix::{Kind, Mix};
use crate::plan::Case;
use crate::release::Release;
use crate::scenarios::{self, Mixes};

/// Cases that run in one boot, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The FRR release of the guest.
    pub(crate) release: Release,
    /// What runs.
    pub(crate) cases: Vec<Case>,
}

/// So many that the boot does not matter, so few that two boots at a time end about together.
const BATCH: usize = 6;

impl Batch {
    /// The longest time of each case.
    pub(crate) fn limits(&self) -> Result<Vec<Duration>> {
        self.cases.iter().map(|case| Ok(scenarios::find(&case.scenario)?.limit)).collect()
    }
}

/// The mixes of the interoperation matrix: FRR alone as the reference; our hub with FRR's spokes; FRR's
/// hub with our spokes; both kinds of spokes on our hub; ours alone.
fn interop() -> Vec<Mix> {
    vec![
        Mix::all(Kind::Frr),
        Mix::all(Kind::Frr).with("hub", Kind::Ours),
        Mix::all(Kind::Ours).with("hub", Kind::Frr),
        Mix::all(Kind::Ours).with("s1", Kind::Frr),
        Mix::all(Kind::Ours),
    ]
}

/// The cases whose label contains any of `names` (all if there are none), restricted to a release and a
/// mix if given, grouped into boots.
pub(crate) fn batches(names: &[String], release: Option<Release>, mix: Option<&Mix>) -> Vec<Batch> {
    let releases = release.map_or_else(|| Release::ALL.to_vec(), |release| vec![release]);
    let mut batches = Vec::new();
    for release in releases {
        let mut cases = Vec::new();
        for scenario in scenarios::ALL {
            let mixes = match (scenario.mixes, mix) {
                (Mixes::None, _) => vec![Mix::all(Kind::Frr)],
                (Mixes::Interop, Some(mix)) => vec![mix.clone()],
                (Mixes::Interop, None) => interop(),
            };
            cases.extend(mixes.into_iter().map(|mix| Case { scenario: scenario.name.to_owned(), mix }));
        }
        cases.retain(|case| {
            let label = case.label(release);
            names.is_empty() || names.iter().any(|name| label.contains(name.as_str()))
        });
        batches.extend(cases.chunks(BATCH).map(|cases| Batch { release, cases: cases.to_vec() }));
    }
    batches
}
