//! A boot of the native back end inside another guest: so it is tested where the machine's own kernel has no GRE.
//!
//! Owns what stands in for the host there: a tree that is the guest's own root, programs that are already built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::boot::{BootDir, Console, boot, console_end};
use super::build::Program;
use super::probe::{self, Machine};
use super::tree::Tree;
use crate::failure::{Context, Failure, Result, ensure};
use crate::plan::{Backend, Case, GUEST_DIR, Plan, Report, Task};
use crate::release::Release;
use crate::scenarios;

/// Runs a case in namespaces of the guest's kernel, as a machine with GRE would run it; its logs and captures go to
/// `out`. Fails if the lab would not choose the native back end by itself.
pub(crate) fn run(release: Release, case: &Case, out: &Path) -> Result<Report> {
    probe::native_works()?;
    let root = Root::new()?;
    let version = fs::read_to_string("/frr-version").context(|| "reading /frr-version".to_owned())?;
    let tree = Tree { path: root.0.clone(), frr_version: version.trim().to_owned() };
    let programs =
        ["lab", "nhrpd"].map(|name| Program { name, path: Path::new(GUEST_DIR).join("bin").join(name) });
    let plan = Plan {
        release,
        frr_version: tree.frr_version.clone(),
        backend: Backend::Native,
        task: Task::Cases(vec![case.clone()]),
    };
    let dir = BootDir::new(&programs, &plan)?;
    let limits = [scenarios::find(&case.scenario)?.limit];
    let mut reports = Vec::new();
    let ended =
        boot(&Machine::Native, &tree, &dir, Console::Quiet, Some(&limits), |report| reports.push(report));
    let console = console_end(&dir.console_log());
    let copied = Command::new("cp").arg("-a").arg(dir.path().join("out/.")).arg(out).status();
    ensure!(copied.is_ok_and(|status| status.success()), "copying logs and captures to {}", out.display());
    ended?;
    reports
        .pop()
        .ok_or_else(|| Failure::new(format!("the native back end ended without a result:\n{console}")))
}

/// The guest's root file system, alone and without what is mounted in it, at a second place.
struct Root(PathBuf);

impl Root {
    fn new() -> Result<Self> {
        let none: Option<&str> = None;
        let place = PathBuf::from("/tmp/root");
        fs::create_dir_all(&place).context(|| format!("creating {}", place.display()))?;
        mount(Some("/"), &place, none, MsFlags::MS_BIND, none).context(|| "binding the root".to_owned())?;
        Ok(Self(place))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
