//! Octets made up without a nightly toolchain: seeds and corpus, changed again and again.
//!
//! Owns mutation, the clock and what becomes of an input that fails. Knows nothing of coverage; libFuzzer does.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    pub path: std::path::PathBuf,
    /// What did not hold.
    pub what: String,
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

/// Runs changed inputs for a time: how many, or the first that failed. Its input is in `corpus/TARGET` then.
///
/// # Errors
///
/// What was found.
pub fn hammer(target: &Target, time: Duration) -> Result<u64, Found> {
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
    pool: &mut [Vec<u8>],
    mut about_to: impl FnMut(&[u8]),
) -> Result<u64, Found> {
    let mut chance = Chance(RandomState::new().build_hasher().finish() | 1);
    let end = Instant::now() + time;
    let mut inputs = 0;
    while Instant::now() < end {
        let octets = changed(pool, target.longest, &mut chance);
        about_to(&octets);
        inputs += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.check)(&octets))) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            return Err(keep(target, &octets, text.to_owned()));
        }
    }
    Ok(inputs)
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

fn keep(target: &Target, octets: &[u8], what: String) -> Found {
    let sum = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
        (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let folder = folder("corpus").join(target.name);
    let path = folder.join(format!("found-{sum:016x}"));
    // Without the file the message alone is left.
    let _ = std::fs::create_dir_all(&folder);
    let _ = std::fs::write(&path, octets);
    Found { path, what }
}
