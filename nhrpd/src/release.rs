//! Which FRR this daemon speaks like. Decides texts, never the codec, for which zebra itself is asked.
//!
//! Two sources: at start the installed zebra's `--version`, for vtysh brings the configuration before zebra is reached;
//! then what the running zebra calls itself, which is what the running vtysh was built with unless FRR was exchanged
//! under way. `--zebra-release` outranks both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nhrp_zapi::RunningFrr;
use vtysh_plugin::Release;

use crate::paths;

/// The FRR that is spoken like: as installed, then as running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpokenFrr {
    /// As it prints itself, for `frr version X`.
    pub(crate) version: String,
    pub(crate) release: Release,
    source: Source,
}

/// How it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// `--zebra-release`.
    Forced,
    /// `zebra --version`.
    Installed,
    /// `show version` of the running zebra.
    Running,
    /// Not at all.
    Unknown,
}

impl SpokenFrr {
    /// The newest form that is tested live, for machines without FRR.
    fn unknown() -> Self {
        Self { version: "10.3".to_owned(), release: Release::new(10, 3), source: Source::Unknown }
    }

    /// From `--zebra-release`, else from the zebra beside this binary or in FRR's directories.
    pub(crate) fn detect(forced: Option<&str>) -> Self {
        if let Some(version) = forced
            && let Some(release) = Release::parse(version)
        {
            return Self { version: version.to_owned(), release, source: Source::Forced };
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
        Some(Self {
            version: version.to_owned(),
            release: Release::parse(version)?,
            source: Source::Installed,
        })
    }

    /// Takes over what the running zebra calls itself, and says so if that is not what was installed.
    pub(crate) fn follow(&mut self, running: &RunningFrr) {
        let release = Release::new(running.release.major, running.release.minor);
        if self.version == running.version || self.source == Source::Forced {
            return;
        }
        match self.source {
            Source::Installed => tracing::error!(
                target: "nhrp::common",
                "FRR {} is installed, but zebra runs as FRR {running}; texts follow the running one: restart FRR, so \
                 that all its daemons are of one release",
                self.version
            ),
            _ => tracing::info!(target: "nhrp::common", "zebra runs as FRR {running}; texts follow it"),
        }
        *self = Self { version: running.version.clone(), release, source: Source::Running };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_first_line_of_zebras_version() {
        let frr = SpokenFrr::parse("zebra version 8.4.4\nCopyright 1996-2005 …\n").unwrap();
        assert_eq!((frr.version.as_str(), frr.release), ("8.4.4", Release::new(8, 4)));
        assert_eq!(SpokenFrr::parse("nothing of the kind\n"), None);
    }

    #[test]
    fn texts_follow_the_running_zebra_unless_forced() {
        let running = RunningFrr::in_text("FRRouting 10.7.1 (hub) on Linux(6.1).\n").unwrap();
        let mut frr = SpokenFrr::parse("zebra version 8.4.4\n").unwrap();
        frr.follow(&running);
        assert_eq!((frr.version.as_str(), frr.release), ("10.7.1", Release::new(10, 7)));
        let mut forced = SpokenFrr::detect(Some("9.1"));
        forced.follow(&running);
        assert_eq!((forced.version.as_str(), forced.release), ("9.1", Release::new(9, 1)));
    }
}
