//! The back ends and the choice between them.
//!
//! Owns the probe. Never boots.

use std::path::Path;
use std::process::{Command, Stdio};

use super::boot::Console;
use super::cache::Cache;
use super::qemu::Qemu;
use super::tools::Uml;
use super::tree::{Tree, tree};
use super::{native, qemu, tools, uml};
use crate::failure::{Context, Result, ensure};
use crate::plan::Backend;
use crate::release::Release;

/// Makes what every node has. With `name`, because iproute2 takes a short name for an abbreviated option.
const PROBE: &str = "ip link add name probe-gre type gre key 1 && ip link add name probe-lan type dummy";

/// A way to run guests, with what it needs found.
#[derive(Debug)]
pub(crate) enum Machine {
    /// Namespaces of the running kernel.
    Native,
    /// A virtual machine.
    Qemu(Qemu),
    /// User-mode Linux.
    Uml {
        /// The kernel.
        kernel: Uml,
        /// The tree whose C library it runs with.
        cage: Tree,
    },
}

/// A command that is a guest, and what must live as long as it.
pub(crate) struct Prepared {
    /// Started, it boots; ended, the guest is off.
    pub(crate) command: Command,
}

impl Machine {
    /// The chosen back end, or the best that works here.
    pub(crate) fn find(cache: &Cache, chosen: Option<Backend>) -> Result<Self> {
        match chosen.unwrap_or_else(probe) {
            Backend::Native => Ok(Self::Native),
            Backend::Uml => {
                let kernel = tools::uml(cache)?;
                Ok(Self::Uml { kernel, cage: tree(cache, Release::V10_3)? })
            }
            Backend::Qemu => Ok(Self::Qemu(qemu::parts(cache, &tree(cache, Release::V10_3)?)?)),
        }
    }

    /// Its name in a plan.
    pub(crate) fn backend(&self) -> Backend {
        match self {
            Self::Native => Backend::Native,
            Self::Qemu(_) => Backend::Qemu,
            Self::Uml { .. } => Backend::Uml,
        }
    }

    /// The command that boots this tree with this directory shared.
    pub(crate) fn command(&self, tree: &Tree, dir: &Path, console: Console) -> Result<Prepared> {
        match self {
            Self::Native => native::command(tree, dir),
            Self::Qemu(parts) => qemu::command(parts, tree, dir),
            Self::Uml { kernel, cage } => uml::command(kernel, cage, tree, dir, console),
        }
    }
}

/// Native if it works here, else User-mode Linux.
fn probe() -> Backend {
    if native_works().is_ok() { Backend::Native } else { Backend::Uml }
}

/// Whether a throw-away namespace of this kernel accepts a GRE tunnel with a key and a dummy interface; if not, what
/// it says.
pub(super) fn native_works() -> Result<()> {
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", PROBE])
        .stdin(Stdio::null())
        .output()
        .context(|| "starting unshare".to_owned())?;
    ensure!(
        output.status.success(),
        "this kernel makes no GRE tunnel: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
