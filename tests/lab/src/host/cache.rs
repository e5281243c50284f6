//! The lab's cache directory: trees, kernels and tools, made once, outside the checkout.
//!
//! Owns where things are kept, the locks against a second run, and that a thing is either complete
//! or absent. Never knows how a thing is made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::say;
use crate::failure::{Context, Result};

/// The cache directory.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$NHRPD_LAB_CACHE`, else `$XDG_CACHE_HOME/nhrpd-lab`, else `~/.cache/nhrpd-lab`.
    pub(crate) fn open() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("NHRPD_LAB_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("nhrpd-lab")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/nhrpd-lab")))
            .context(|| "neither HOME nor NHRPD_LAB_CACHE is set: nowhere to keep the trees".to_owned())?;
        fs::create_dir_all(&root).context(|| format!("creating {}", root.display()))?;
        let root = root.canonicalize().context(|| format!("resolving {}", root.display()))?;
        Ok(Self { root })
    }

    /// The directory `name` in the cache, made by `make` unless a complete one with this `stamp` is
    /// there. `make` fills an empty directory, which takes the final name only when `make` succeeded.
    pub(crate) fn directory(
        &self,
        name: &str,
        stamp: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let done = self.root.join(name);
        let stamp_file = self.root.join(format!("{name}.stamp"));
        let current = || done.is_dir() && fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp);
        if current() {
            return Ok(done);
        }
        let _lock = self.lock(name)?;
        if current() {
            return Ok(done); // made by another run while this one waited
        }
        let partial = self.root.join(format!("{name}.partial"));
        for stale in [&partial, &done] {
            if stale.exists() {
                fs::remove_dir_all(stale).context(|| format!("removing {}", stale.display()))?;
            }
        }
        fs::create_dir(&partial).context(|| format!("creating {}", partial.display()))?;
        if let Err(failure) = make(&partial) {
            fs::remove_dir_all(&partial).context(|| format!("removing {}", partial.display()))?;
            return Err(failure);
        }
        fs::rename(&partial, &done).context(|| format!("renaming {}", partial.display()))?;
        fs::write(&stamp_file, stamp).context(|| format!("writing {}", stamp_file.display()))?;
        Ok(done)
    }

    /// A place for logs of making things.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn lock(&self, name: &str) -> Result<Flock<File>> {
        let path = self.root.join(format!("{name}.lock"));
        let file = File::create(&path).context(|| format!("creating {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .or_else(|(file, _)| {
                say(&format!("waiting for another run to make {name} …"));
                Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)
            })
            .context(|| format!("locking {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        (dir, Cache { root })
    }

    #[test]
    fn made_once_and_again_for_another_stamp() {
        let (_dir, cache) = cache();
        let mut made = 0;
        for stamp in ["1", "1", "2"] {
            let path = cache
                .directory("tree", stamp, |dir| {
                    made += 1;
                    fs::write(dir.join("x"), stamp).context(String::new)
                })
                .unwrap();
            assert_eq!(fs::read_to_string(path.join("x")).unwrap(), stamp);
        }
        assert_eq!(made, 2);
    }

    #[test]
    fn a_failed_making_leaves_nothing() {
        let (_dir, cache) = cache();
        let failed = cache.directory("tree", "1", |_| Err(Failure::new("no network")));
        assert_eq!(failed.unwrap_err().to_string(), "no network");
        assert!(!cache.file("tree").exists() && !cache.file("tree.partial").exists());
    }
}
