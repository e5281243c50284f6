//! Which FRR is installed here: decides texts, never the codec, for which zebra itself is asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vtysh_plugin::Release;

use crate::paths;

/// FRR as installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstalledFrr {
    /// As it prints itself, for `frr version X`.
    pub(crate) version: String,
    pub(crate) release: Release,
}

impl InstalledFrr {
    /// The newest form that is tested live, for machines without FRR.
    fn unknown() -> Self {
        Self { version: "10.3".to_owned(), release: Release::new(10, 3) }
    }

    /// From `--zebra-release`, else from the zebra beside this binary or in FRR's directories.
    pub(crate) fn detect(forced: Option<&str>) -> Self {
        if let Some(version) = forced
            && let Some(release) = Release::parse(version)
        {
            return Self { version: version.to_owned(), release };
        }
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(|dir| dir.join("zebra")));
        let candidates = beside.into_iter().chain(paths::ZEBRA.iter().map(PathBuf::from));
        candidates.into_iter().find_map(|path| Self::ask(&path)).unwrap_or_else(Self::unknown)
    }

    fn ask(zebra: &Path) -> Option<Self> {
        if !zebra.exists() {
            return None;
        }
        let output =
            Command::new(zebra).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    fn parse(text: &str) -> Option<Self> {
        let version = text.lines().next()?.strip_prefix("zebra version ")?.trim();
        Some(Self { version: version.to_owned(), release: Release::parse(version)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_first_line_of_zebras_version() {
        let frr = InstalledFrr::parse("zebra version 8.4.4\nCopyright 1996-2005 …\n").unwrap();
        assert_eq!((frr.version.as_str(), frr.release), ("8.4.4", Release::new(8, 4)));
        assert_eq!(InstalledFrr::parse("nothing of the kind\n"), None);
    }
}
