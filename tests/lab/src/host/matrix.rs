//! Which cases there are, and which of them share a boot.
//!
//! Owns the interoperation matrix. Never runs anything.

use std::time::Duration;

use crate::failure::Result;
use crate::mix::{Kind, Mix};
use crate::plan::{Backend, Case};
use crate::release::Release;
use crate::scenarios::{self, Mixes, Scenario};

/// Cases that run in one boot, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The FRR release of the guest.
    pub(crate) release: Release,
    /// The back end that it must have, if it is not left to the machine.
    pub(crate) backend: Option<Backend>,
    /// What runs.
    pub(crate) cases: Vec<Case>,
}

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
/// mix if given. Those of one release and mix share a boot, and so can share a network.
///
/// `whole` is the run that has time: every release and mix of what else is picked.
pub(crate) fn batches(
    names: &[String],
    release: Option<Release>,
    mix: Option<&Mix>,
    whole: bool,
) -> Vec<Batch> {
    let releases = release.map_or_else(|| Release::ALL.to_vec(), |release| vec![release]);
    let mixes = mix.map_or_else(interop, |mix| vec![mix.clone()]);
    let hub_alone = |at: Release, of: &Mix| {
        (release.is_some() || at == Release::V10_3)
            && (mix.is_some() || [Mix::all(Kind::Frr), Mix::all(Kind::Ours)].contains(of))
    };
    // One kind of nhrpd alone proves the scenarios themselves; that is the same with every release.
    let mixed_or_once = |at: Release, of: &Mix| {
        let alone = [Mix::all(Kind::Frr), Mix::all(Kind::Ours)].contains(of);
        !alone || at == Release::V10_3 || (release.is_some() && mix.is_some())
    };
    let (release_asked, mix_asked) = (release.is_some(), mix.is_some());
    // FRR alone proves the scenario, which need not be proven in every run of all.
    let reference = whole || mix.is_some() || !names.is_empty();
    let above = |at: Release, of: &Mix| {
        let one_frr = ["hub", "s1"].iter().any(|node| *of == Mix::all(Kind::Ours).with(node, Kind::Frr));
        let frr_alone = reference && *of == Mix::all(Kind::Frr);
        let wanted = ((one_frr || frr_alone) && at == Release::V10_3) || *of == Mix::all(Kind::Ours);
        wanted || (release.is_some() && mix.is_some())
    };
    let our_spoke = |at: Release, of: &Mix| {
        let once = [
            (Release::V8_4, Mix::all(Kind::Ours).with("s1", Kind::Frr)),
            (Release::V10_3, Mix::all(Kind::Ours)),
            (Release::V10_7, Mix::all(Kind::Ours).with("hub", Kind::Frr)),
        ];
        let asked = release_asked || mix_asked;
        let ours = ["s1", "s2"].iter().any(|spoke| of.of(spoke) == Kind::Ours);
        ours && (asked || once.contains(&(at, of.clone())))
    };
    let picked = |at: Release, of: &Mix, ours: &[&str], first: &[(Release, &str)]| {
        let can = ours.iter().all(|node| of.of(node) == Kind::Ours);
        let asked = whole || release_asked || mix_asked;
        can && (asked
            || first
                .iter()
                .any(|(release, mix)| *release == at && mix.parse::<Mix>().is_ok_and(|mix| mix == *of)))
    };
    let named = |scenario: &Scenario| whole || names.iter().any(|name| name == scenario.name);
    let mut batches = Vec::new();
    for mix in &mixes {
        for release in &releases {
            let in_list = |scenario: &&Scenario| match scenario.mixes {
                Mixes::Lab => mixes.first() == Some(mix),
                Mixes::Once | Mixes::Qemu => {
                    *mix == Mix::all(Kind::Ours) && (release_asked || *release == Release::V10_3)
                }
                Mixes::Above => above(*release, mix),
                Mixes::Ours => *mix == Mix::all(Kind::Ours),
                Mixes::Interop => mixed_or_once(*release, mix),
                Mixes::OurSpoke => our_spoke(*release, mix),
                Mixes::Hub => hub_alone(*release, mix) && (reference || mix.of("hub") == Kind::Ours),
                Mixes::OurHub => hub_alone(*release, mix) && mix.of("hub") == Kind::Ours,
                Mixes::Picked(ours, first) => picked(*release, mix, ours, first),
                Mixes::Soak => named(scenario) && hub_alone(*release, mix) && mix.of("hub") == Kind::Ours,
                Mixes::SoakOurs => named(scenario) && *mix == Mix::all(Kind::Ours),
            };
            let cases: Vec<Case> = scenarios::ALL
                .iter()
                .filter(in_list)
                .map(|scenario| Case { scenario: scenario.name.to_owned(), mix: mix.clone() })
                .filter(|case| {
                    let label = case.label(*release);
                    names.is_empty() || names.iter().any(|name| label.contains(name.as_str()))
                })
                .collect();
            let needs_qemu = |case: &Case| {
                scenarios::find(&case.scenario).is_ok_and(|scenario| scenario.mixes == Mixes::Qemu)
            };
            let (qemu, any): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(needs_qemu);
            for (backend, cases) in [(Some(Backend::Qemu), qemu), (None, any)] {
                if !cases.is_empty() {
                    batches.push(Batch { release: *release, backend, cases });
                }
            }
        }
    }
    // Nobody shall wait for a long boot at the end: the virtual machine, which is slow, comes first, then those with
    // the most to do.
    batches.sort_by_key(|batch| {
        let work: Duration = batch.limits().unwrap_or_default().iter().sum();
        (batch.backend.is_none(), std::cmp::Reverse(work))
    });
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix_is_there() {
        let batches = batches(&[], None, None, false);
        let mixed = batches.iter().flat_map(|batch| batch.cases.iter().map(|case| case.label(batch.release)));
        let first: Vec<String> = mixed.filter(|label| label.starts_with("first_direct_path")).collect();
        assert_eq!(first.len(), Release::ALL.len() * 3 + 2, "{first:?}");
        let judge = batches.iter().flat_map(|batch| &batch.cases);
        assert_eq!(judge.filter(|case| case.scenario.starts_with("judge")).count(), Release::ALL.len());
    }

    #[test]
    fn a_hub_under_load_is_compared_with_frrs_once() {
        let batches = batches(&["three_thousand_spokes".to_owned()], None, None, false);
        let cases = batches.iter().flat_map(|batch| batch.cases.iter().map(|case| case.label(batch.release)));
        let expected = ["frr", "ours"].map(|kind| format!("three_thousand_spokes [FRR 10.3, nhrpd {kind}]"));
        assert_eq!(cases.collect::<Vec<_>>(), expected);
        let name = ["restart_keeps_neighbours".to_owned()];
        assert_eq!(super::batches(&name, Some(Release::V8_4), None, false).len(), 1);
        let all = super::batches(&[], None, None, false);
        let of_all = |name: &str| {
            let cases = all.iter().flat_map(|batch| &batch.cases).filter(|case| case.scenario == name);
            cases.filter(|case| case.mix == Mix::all(Kind::Frr)).count()
        };
        assert_eq!(of_all("three_thousand_spokes"), 0, "FRR's hub only when it is asked for");
        assert_eq!(of_all("ospf_over_the_tunnel"), 0, "FRR's alone only when it is asked for");
        assert_eq!(of_all("first_direct_path"), 1);
        assert!(super::batches(&name, Some(Release::V8_4), Some(&Mix::all(Kind::Frr)), false).is_empty());
    }

    #[test]
    fn the_virtual_machine_has_a_boot_of_its_own() {
        let batches = batches(&[], None, None, false);
        let qemu: Vec<&Batch> = batches.iter().filter(|batch| batch.backend == Some(Backend::Qemu)).collect();
        let [only] = qemu.as_slice() else { panic!("{qemu:?}") };
        assert_eq!(
            only.cases.iter().map(|case| case.scenario.as_str()).collect::<Vec<_>>(),
            ["qemu_back_end"]
        );
    }

    #[test]
    fn names_select_by_any_part_of_the_line() {
        let batches = batches(&["renewal [FRR 10.3, nhrpd frr]".to_owned()], None, None, false);
        assert_eq!(batches.iter().map(|batch| batch.cases.len()).sum::<usize>(), 1);
    }

    #[test]
    fn what_is_picked_is_in_the_matrix_and_the_rest_on_request() {
        let labels = |name: &str, release, whole| -> Vec<String> {
            let batches = super::batches(&[name.to_owned()], release, None, whole);
            let cases = batches.iter().flat_map(|b| b.cases.iter().map(|case| case.label(b.release)));
            cases.collect()
        };
        for scenario in scenarios::ALL {
            let Mixes::Picked(_, first) = scenario.mixes else { continue };
            assert_eq!(labels(scenario.name, None, false).len(), first.len(), "{}", scenario.name);
        }
        assert_eq!(labels("purge", Some(Release::V8_4), false).len(), 5);
        assert_eq!(labels("purge", None, true).len(), 15);
        assert_eq!(labels("unique", None, true).len(), 9, "the hub is ours");
        assert!(labels("hostile_traffic_whole", None, true).len() == 1);
        assert_eq!(labels("reload", None, false).len(), 3, "asked for by name");
        assert_eq!(labels("reloa", None, false).len(), 0, "not by a part of it");
        let all = super::batches(&[], None, None, false);
        assert!(all.iter().flat_map(|b| &b.cases).all(|case| case.scenario != "hostile_traffic_whole"));
    }
}
