//! `cargo lab topotest`: tests in the form of FRR's own, with FRR's daemons and either nhrpd.
//!
//! Owns where the tests and pytest come from, which of them run, and the comparison of the two nhrpd. FRR's files are
//! kept in the lab's cache and nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::boot::{BootDir, Console, boot};
use super::build::{self, Nhrpd, Program, Tally};
use super::cache::Cache;
use super::probe::Machine;
use super::tools;
use super::tree::Tree;
use super::verbs::{self, print_result};
use super::{interrupt, say};
use crate::failure::{Context, Failure, Result, ensure};
use crate::mix::{Kind, Mix};
use crate::plan::{Outcome, PYTHON, Report, TOPOTEST_DAEMONS, TOPOTESTS, Task, Topotest};
use crate::release::Release;

/// Longest time of the tests of a folder.
const LIMIT: Duration = Duration::from_secs(900);

/// What of FRR's tests/topotests is kept: its library and what is about NHRP.
const KEPT: &[&str] = &["lib", "munet", "conftest.py", "pytest.ini", "nhrp_*"];

/// What is asked for; by default everything.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Only this release.
    pub(crate) release: Option<Release>,
    /// Only this nhrpd, the same on every router.
    pub(crate) mix: Option<Mix>,
    /// Where FRR's tests are instead of in Debian's source package.
    pub(crate) frr_tree: Option<PathBuf>,
    /// Parts of names of folders; none for all.
    pub(crate) names: Vec<String>,
}

/// Whether everything passed, and FRR's tests with this nhrpd as with FRR's.
pub(crate) fn run(backend: Option<crate::plan::Backend>, wanted: &Wanted) -> Result<bool> {
    interrupt::watch()?;
    let kinds = kinds(wanted.mix.as_ref())?;
    let releases = releases(wanted)?;
    let cache = Cache::open()?;
    let nhrpd = if kinds.contains(&Kind::Ours) { Nhrpd::Build } else { Nhrpd::None };
    let (machine, trees, programs) =
        verbs::while_fetching(&cache, backend, &releases, || build::programs(nhrpd))?;
    let mut sets = VecDeque::new();
    for (release, tree) in releases.iter().zip(trees) {
        let set = Set::find(&cache, *release, tree, wanted, &kinds)?;
        if !set.tests.is_empty() {
            sets.push_back(set);
        }
    }
    ensure!(!sets.is_empty(), "no folder of topotests is named {}", wanted.names.join(", "));
    let (queue, tally) = (Mutex::new(sets), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..verbs::WORKERS {
            scope.spawn(|| {
                while let Some(set) = next(&queue) {
                    let counted = set.run(&machine, &programs);
                    if let Ok(mut tally) = tally.lock() {
                        *tally += counted;
                    }
                }
            });
        }
    });
    if interrupt::interrupted() {
        return Err(Failure::new("interrupted"));
    }
    let total = tally.into_inner().unwrap_or_default();
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    Ok(total.failed == 0)
}

fn next(queue: &Mutex<VecDeque<Set>>) -> Option<Set> {
    if interrupt::interrupted() { None } else { queue.lock().ok()?.pop_front() }
}

/// FRR's first: it says what the tests say of it.
fn kinds(mix: Option<&Mix>) -> Result<Vec<Kind>> {
    let both = [Kind::Frr, Kind::Ours];
    let Some(mix) = mix else { return Ok(both.into()) };
    let kinds: Vec<Kind> = both.into_iter().filter(|kind| *mix == Mix::all(*kind)).collect();
    ensure!(!kinds.is_empty(), "topotests run with the same nhrpd on every router: --nhrpd ours or frr");
    Ok(kinds)
}

/// The releases to run. A tree of FRR's is of one: another one's tests may not suit the installed daemons.
fn releases(wanted: &Wanted) -> Result<Vec<Release>> {
    match (wanted.release, &wanted.frr_tree) {
        (Some(release), _) => Ok(vec![release]),
        (None, None) => Ok(Release::ALL.into()),
        (None, Some(tree)) => {
            let path = tree.join("configure.ac");
            let text =
                fs::read_to_string(&path).context(|| format!("reading {} (or say --frr)", path.display()))?;
            let version =
                version(&text).context(|| format!("no AC_INIT([frr], [VERSION] in {}", path.display()))?;
            let of_it = |release: &Release| {
                let rest = version.strip_prefix(release.name());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
            };
            let found = Release::ALL.into_iter().find(of_it);
            Ok(vec![found.context(|| {
                format!("that is FRR {version}, which the lab does not have: say --frr 8.4, 10.3 or 10.7")
            })?])
        }
    }
}

/// The version in a configure.ac.
fn version(configure: &str) -> Option<&str> {
    let rest = configure.lines().find_map(|line| line.trim().strip_prefix("AC_INIT([frr],"))?;
    Some(rest.trim_start().strip_prefix('[')?.split_once(']')?.0)
}

/// This project's own tests.
fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../topotests")
}

/// What runs in one boot.
struct Set {
    release: Release,
    tree: Tree,
    frrs: PathBuf,
    python: PathBuf,
    tests: Vec<Topotest>,
}

impl Set {
    fn find(cache: &Cache, release: Release, tree: Tree, wanted: &Wanted, kinds: &[Kind]) -> Result<Self> {
        let frrs = match &wanted.frr_tree {
            Some(tree) => {
                let path = tree.join("tests/topotests");
                ensure!(path.join("lib/topogen.py").is_file(), "{} has no lib/topogen.py", path.display());
                path
            }
            None => packaged(cache, release, &tree)?,
        };
        let name = format!("pytest-{}", release.suite());
        let python = tools::unpacked_together(cache, &name, pytest(release), release.suite())?
            .join("usr/lib/python3/dist-packages");
        let wants = |folder: &str| {
            let named = wanted.names.iter().any(|name| folder.contains(name.as_str()));
            if wanted.names.is_empty() { folder.starts_with("nhrp_") } else { named }
        };
        let (own, frrs_own) = (folders(&own())?, folders(&frrs)?);
        let mut tests = Vec::new();
        for folder in frrs_own.iter().filter(|folder| wants(folder) && !own.contains(folder)) {
            tests.extend(kinds.iter().map(|kind| Topotest { folder: folder.clone(), kind: *kind }));
        }
        // With FRR's nhrpd only if that is asked for: they are about this one, and take as long again.
        let kind = if kinds == [Kind::Frr] { Kind::Frr } else { Kind::Ours };
        tests.extend(own.into_iter().filter(|folder| wants(folder)).map(|folder| Topotest { folder, kind }));
        Ok(Self { release, tree, frrs, python, tests })
    }

    fn run(&self, machine: &Machine, programs: &[Program]) -> Tally {
        let mut tally = Tally::default();
        let mut results: BTreeMap<String, Report> = BTreeMap::new();
        let mut directory = None;
        let booted = self.directory(machine, programs).and_then(|dir| {
            let limits = vec![LIMIT; self.tests.len()];
            let dir = directory.insert(dir);
            boot(machine, &self.tree, dir, Console::Quiet, Some(&limits), |report| {
                if let Some(test) = self.tests.iter().find(|test| test.id() == report.id) {
                    let report = self.compared(test, report, &results);
                    print_result(&test.label(self.release), &report, &mut tally);
                    results.insert(test.id(), report);
                }
            })
        });
        let missing = self.tests.iter().filter(|test| !results.contains_key(&test.id()));
        let missing = missing.map(|test| (test.id(), test.label(self.release)));
        verbs::conclude(&booted, directory, missing, &mut tally);
        tally
    }

    /// The result of a test, failed if it is another one than that of FRR's nhrpd.
    fn compared(&self, test: &Topotest, mut report: Report, results: &BTreeMap<String, Report>) -> Report {
        let frrs = Topotest { kind: Kind::Frr, ..test.clone() }.id();
        if let Some(difference) = results.get(&frrs).and_then(|frrs| difference(frrs, &report)) {
            report.outcome = Outcome::Failed(format!("FRR {}: {difference}", self.release));
        }
        report
    }

    fn directory(&self, machine: &Machine, programs: &[Program]) -> Result<BootDir> {
        let plan = verbs::plan(machine, &self.tree, self.release, Task::Topotests(self.tests.clone()));
        let dir = BootDir::new(programs, &plan)?;
        for name in ["lib", "munet"] {
            let from = self.frrs.join(name);
            if from.is_dir() {
                dir.add(&from, &format!("{TOPOTESTS}/{name}"))?;
            }
        }
        let place = dir.path().join(TOPOTESTS);
        let copy = |name: &str, edit: fn(&str) -> String| {
            let text =
                fs::read_to_string(self.frrs.join(name)).context(|| format!("reading FRR's {name}"))?;
            fs::write(place.join(name), edit(&text)).context(|| format!("writing {name}"))
        };
        copy("conftest.py", str::to_owned)?;
        copy("pytest.ini", |text| {
            text.replacen("[topogen]", &format!("[topogen]\nfrrdir = {TOPOTEST_DAEMONS}"), 1)
        })?;
        let mut folders: Vec<&str> = self.tests.iter().map(|test| test.folder.as_str()).collect();
        folders.dedup();
        for folder in folders {
            let of = [own(), self.frrs.clone()].into_iter().map(|place| place.join(folder));
            let from = of.into_iter().find(|path| path.is_dir()).context(|| format!("no folder {folder}"))?;
            dir.add(&from, &format!("{TOPOTESTS}/{folder}"))?;
        }
        let library = own().join("lib");
        if library.is_dir() {
            dir.add(&library, &format!("{TOPOTESTS}/lib"))?;
        }
        dir.add(&self.python, PYTHON)?;
        Ok(dir)
    }
}

/// How the counts of a test with this nhrpd differ from those with FRR's. Who failed has no more to prove.
fn difference(frrs: &Report, ours: &Report) -> Option<String> {
    let counts = |report: &Report| report.notes.first().cloned().unwrap_or_default();
    let failed = [frrs, ours].into_iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
    let [frrs, ours] = [frrs, ours].map(counts);
    (!failed && frrs != ours).then(|| format!("{frrs} with FRR's nhrpd, {ours} with this one"))
}

/// The folders with tests in a folder.
fn folders(of: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(of).context(|| format!("reading {}", of.display()))?;
    let has_tests = |path: &Path| {
        let inside = fs::read_dir(path).into_iter().flatten().flatten();
        inside.map(|entry| entry.file_name()).any(|name| {
            let name = name.to_string_lossy();
            name.starts_with("test_") && name.ends_with(".py")
        })
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| has_tests(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// FRR's tests of the installed version, from Debian's source package.
fn packaged(cache: &Cache, release: Release, tree: &Tree) -> Result<PathBuf> {
    let name = format!("topotests-frr{release}");
    cache.directory(&name, &tree.frr_version, |partial| {
        say(&format!("fetching Debian's source of FRR {} for its tests (once)", tree.frr_version));
        let log = cache.file(&format!("{name}.log"));
        let _ = fs::remove_file(&log);
        let wanted: Vec<String> = KEPT.iter().map(|kept| format!("*/tests/topotests/{kept}")).collect();
        // tar gives up on a pattern that matches nothing: 8.4 has a munet of another name.
        let wanted = if release == Release::V8_4 {
            wanted.into_iter().filter(|pattern| !pattern.ends_with("/munet")).collect()
        } else {
            wanted
        };
        let package = ("frr", tree.frr_version.as_str());
        tools::source(partial, package, release.suite(), &wanted, 3, &log).map_err(|failure| {
            Failure::new(format!("{failure}\nor give an FRR source tree with --frr-tree DIR"))
        })
    })
}

/// pytest and what it needs, as the release's Python is served best.
fn pytest(release: Release) -> &'static [&'static str] {
    match release {
        Release::V8_4 => &[
            "python3-pytest",
            "python3-attr",
            "python3-iniconfig",
            "python3-packaging",
            "python3-pluggy",
            "python3-py",
        ],
        Release::V10_3 => &["python3-pytest", "python3-iniconfig", "python3-packaging", "python3-pluggy"],
        Release::V10_7 => &[
            "python3-pytest",
            "python3-iniconfig",
            "python3-packaging",
            "python3-pluggy",
            "python3-pygments",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_tree_says_its_version() {
        let text = "##\nAC_PREREQ([2.69])\n\nAC_INIT([frr], [10.3.1], [https://example.test])\n";
        assert_eq!(version(text), Some("10.3.1"));
        assert_eq!(version("AC_INIT([frr],[8.4.4],[x])"), Some("8.4.4"));
        assert_eq!(version("AC_INIT([other], [1])"), None);
    }

    #[test]
    fn other_counts_than_frrs_are_a_failure() {
        let report = |outcome, counts: &str| {
            let notes = vec![counts.to_owned(), "SKIPPED [1] for a reason".to_owned()];
            Report { id: "nhrp_topo".to_owned(), outcome, seconds: 1.0, notes }
        };
        let frrs = report(Outcome::Passed, "3 passed, 1 skipped");
        assert_eq!(difference(&frrs, &report(Outcome::Passed, "3 passed, 1 skipped")), None);
        assert!(difference(&frrs, &report(Outcome::Passed, "2 passed, 2 skipped")).is_some());
        assert!(difference(&frrs, &report(Outcome::Skipped("all".to_owned()), "4 skipped")).is_some());
        let failed = report(Outcome::Failed("why".to_owned()), "2 passed, 1 failed");
        assert_eq!(difference(&frrs, &failed), None, "that is said already");
        assert_eq!(difference(&failed, &frrs), None, "it is not ours that failed");
    }

    #[test]
    fn the_same_nhrpd_on_every_router() {
        assert_eq!(kinds(None).unwrap(), [Kind::Frr, Kind::Ours]);
        assert_eq!(kinds(Some(&Mix::all(Kind::Ours))).unwrap(), [Kind::Ours]);
        assert!(kinds(Some(&Mix::all(Kind::Ours).with("hub", Kind::Frr))).is_err());
    }
}
