//! Octets made up without a nightly toolchain: seeds and corpus, changed again and again.
//!
//! Owns mutation, the clock and what becomes of an input that fails. Knows nothing of coverage, as libFuzzer does: what
//! leads it on is the state that a target says it reached.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{Target, files, folder};

/// An input that takes longer than this is a defect, too.
const LONGEST: Duration = Duration::from_secs(20);

/// Numbers at which programs change their minds.
const EDGES: [u8; 10] = [0, 1, 4, 7, 16, 28, 32, 64, 127, 255];

/// An input that fails, kept in `corpus/TARGET` for the repair.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// What did not hold.
    pub what: String,
}

/// What came of a time without a failure.
#[derive(Clone, Debug, Default)]
pub struct Harvest {
    /// Inputs tried.
    pub executions: u64,
    /// Those that reached a state which none before had reached.
    pub new: Vec<Vec<u8>>,
}

/// Random numbers: xorshift, seeded by the standard library's randomness.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(usize::MAX)
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() % end.max(1)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Runs changed inputs for a time, and gives up at the first that fails. Its input is in `corpus/TARGET` then.
///
/// # Errors
///
/// What was found.
pub fn hammer(target: &Target, time: Duration) -> Result<Harvest, Found> {
    let mut pool: Vec<Vec<u8>> =
        files(&folder("corpus").join(target.name)).into_iter().map(|(_, o)| o).collect();
    pool.extend((target.seeds)());
    if pool.is_empty() {
        pool.push(Vec::new());
    }
    let current = Mutex::new(Vec::new());
    let (done, watched) = channel::<()>();
    let current = &current;
    std::thread::scope(|scope| {
        // Nothing else can end a check that never returns.
        scope.spawn(move || {
            loop {
                match watched.recv_timeout(LONGEST) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        let octets = current.lock().map(|octets| octets.clone()).unwrap_or_default();
                        let found = keep(target, &octets, format!("takes longer than {LONGEST:?}"));
                        eprintln!("{}: {}; kept as {}", target.name, found.what, found.path.display());
                        std::process::abort();
                    }
                }
            }
        });
        let result = run(target, time, &mut pool, |octets| {
            if let Ok(mut current) = current.lock() {
                current.clear();
                current.extend_from_slice(octets);
            }
            // The watcher has gone only if it has ended the process.
            let _ = done.send(());
        });
        drop(done);
        result
    })
}

fn run(
    target: &Target,
    time: Duration,
    pool: &mut Vec<Vec<u8>>,
    mut about_to: impl FnMut(&[u8]),
) -> Result<Harvest, Found> {
    let mut chance = Chance(RandomState::new().build_hasher().finish() | 1);
    let end = Instant::now() + time;
    let mut harvest = Harvest::default();
    let mut states = HashSet::new();
    // What is there comes first, as it is: its states are not new.
    let mut known = pool.clone().into_iter();
    while Instant::now() < end {
        let old = known.next();
        let is_new = old.is_none();
        let octets = old.unwrap_or_else(|| changed(pool, target.longest, &mut chance));
        about_to(&octets);
        harvest.executions += 1;
        match catch_unwind(AssertUnwindSafe(|| (target.check)(&octets))) {
            Ok(reached) => {
                let before = states.len();
                states.extend(reached);
                if is_new && states.len() > before {
                    pool.push(octets.clone());
                    harvest.new.push(octets);
                }
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                return Err(keep(target, &octets, text.to_owned()));
            }
        }
    }
    Ok(harvest)
}

/// One of the pool with some changes, most often few.
fn changed(pool: &[Vec<u8>], longest: usize, chance: &mut Chance) -> Vec<u8> {
    let mut octets = pool[chance.below(pool.len())].clone();
    let changes = 1 << chance.below(6);
    for _ in 0..changes {
        let at = chance.below(octets.len() + 1);
        match chance.below(9) {
            0 => octets.insert(at, chance.octet()),
            1 if at < octets.len() => {
                octets.remove(at);
            }
            2 if at < octets.len() => octets[at] ^= 1 << chance.below(8),
            3 if at < octets.len() => octets[at] = chance.octet(),
            4 if at < octets.len() => octets[at] = EDGES[chance.below(EDGES.len())],
            5 => {
                // A piece again, or away.
                let end = (at + chance.below(64)).min(octets.len());
                let piece: Vec<u8> = octets[at..end].to_vec();
                octets.splice(at..at, piece);
            }
            6 => {
                let end = (at + chance.below(64)).min(octets.len());
                octets.drain(at..end);
            }
            7 => {
                // A piece of another.
                let other = &pool[chance.below(pool.len())];
                let from = chance.below(other.len() + 1);
                let to = (from + chance.below(128)).min(other.len());
                octets.splice(at..at, other[from..to].iter().copied());
            }
            _ => octets.extend((0..chance.below(48)).map(|_| chance.octet()).collect::<Vec<_>>()),
        }
    }
    octets.truncate(longest);
    octets
}

/// Puts an input into `corpus/TARGET`.
///
/// # Errors
///
/// When the file cannot be written.
pub fn add_to_corpus(target: &Target, octets: &[u8]) -> std::io::Result<PathBuf> {
    let path = place(target, octets, "state");
    std::fs::write(&path, octets)?;
    Ok(path)
}

fn place(target: &Target, octets: &[u8], why: &str) -> PathBuf {
    let sum = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
        (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    folder("corpus").join(target.name).join(format!("{why}-{sum:016x}"))
}

fn keep(target: &Target, octets: &[u8], what: String) -> Found {
    let path = place(target, octets, "found");
    // Without the file the message alone is left.
    let _ = std::fs::create_dir_all(folder("corpus").join(target.name));
    let _ = std::fs::write(&path, octets);
    Found { path, what }
}
