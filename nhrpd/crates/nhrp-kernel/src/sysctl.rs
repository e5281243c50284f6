//! The sysctl files nhrpd needs. Owns what it changed, so that it can be put back; never touches another file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
///
/// The kernel's ICMP redirects would send spokes straight to each other outside the tunnel's idea of who is reachable:
/// NHRP's traffic indications take their place, so they are switched off as FRR does. An interface sends them if either
/// its own value or that of `all` is set.
#[derive(Debug)]
pub struct Sysctl {
    root: PathBuf,
    /// By interface, `all` among them: what its file held before.
    former: BTreeMap<String, String>,
}

/// The pseudo-interface whose value holds for every interface.
const ALL: &str = "all";

impl Default for Sysctl {
    fn default() -> Self {
        Self::new("/proc/sys")
    }
}

impl Sysctl {
    /// For `/proc/sys`, or another root in tests.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), former: BTreeMap::new() }
    }

    /// Writes 0 to `net.ipv4.conf.{all,IF}.send_redirects`. May be repeated: the value remembered is the first one.
    ///
    /// # Errors
    /// The first file that failed; the other one was tried all the same.
    pub fn disable_send_redirects(&mut self, interface: &str) -> Result<(), SysctlError> {
        let all = self.clear(ALL);
        let own = self.clear(interface);
        all.and(own)
    }

    /// Puts back the value the interface had before, and that of `all` with the last interface. An interface that is gone
    /// is nothing to restore.
    ///
    /// # Errors
    /// The file that failed; it is not tried again.
    pub fn restore_send_redirects(&mut self, interface: &str) -> Result<(), SysctlError> {
        if interface == ALL {
            return Ok(());
        }
        let own = self.put_back(interface);
        let last = self.former.keys().all(|name| name == ALL);
        let all = if last { self.put_back(ALL) } else { Ok(()) };
        own.and(all)
    }

    fn clear(&mut self, interface: &str) -> Result<(), SysctlError> {
        let path = self.path(interface)?;
        let before = read(&path)?;
        if before != "0" {
            write(&path, "0\n")?;
        }
        self.former.entry(interface.to_owned()).or_insert(before);
        Ok(())
    }

    fn put_back(&mut self, interface: &str) -> Result<(), SysctlError> {
        let Some(before) = self.former.remove(interface) else { return Ok(()) };
        if before == "0" {
            return Ok(());
        }
        match write(&self.path(interface)?, &format!("{before}\n")) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn path(&self, interface: &str) -> Result<PathBuf, SysctlError> {
        let folder = self.root.join("net/ipv4/conf");
        // The name becomes part of a path that a privileged process writes to.
        if interface.is_empty() || interface.contains('/') || [".", ".."].contains(&interface) {
            return Err(SysctlError {
                action: "cannot write below",
                path: folder,
                remedy: "This is no name of an interface",
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        Ok(folder.join(interface).join("send_redirects"))
    }
}

fn read(path: &Path) -> Result<String, SysctlError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(explain("cannot read", path, source)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), SysctlError> {
    // `fs::write` would create a missing file, which only a root in tests allows.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .map_err(|source| explain("cannot write", path, source))?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(|source| explain("cannot write", path, source))
}

fn explain(action: &'static str, path: &Path, source: io::Error) -> SysctlError {
    let remedy = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "Grant CAP_DAC_OVERRIDE and CAP_NET_ADMIN, or set it to 0 with sysctl.d"
        }
        io::ErrorKind::NotFound => "Does the interface exist, and is /proc mounted?",
        io::ErrorKind::ReadOnlyFilesystem => "In a container, set it to 0 from outside",
        _ => "Set it to 0 by hand, or hosts may be told a way outside the tunnel",
    };
    SysctlError { action, path: path.to_owned(), remedy, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree like /proc/sys with these interfaces, all at 1. Removed with the guard.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, interfaces: &[&str]) -> Self {
            let root = std::env::temp_dir().join(format!("nhrp-sysctl-{}-{name}", std::process::id()));
            for interface in interfaces {
                let folder = root.join("net/ipv4/conf").join(interface);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("send_redirects"), "1\n").unwrap();
            }
            Self(root)
        }

        fn value(&self, interface: &str) -> String {
            let path = self.0.join("net/ipv4/conf").join(interface).join("send_redirects");
            fs::read_to_string(path).unwrap()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn all_is_restored_with_the_last_interface() {
        let tree = Tree::new("restore", &["all", "gre1", "gre2"]);
        let mut sysctl = Sysctl::new(&tree.0);
        for interface in ["gre1", "gre2", "gre1"] {
            sysctl.disable_send_redirects(interface).unwrap();
        }
        for interface in ["all", "gre1", "gre2"] {
            assert_eq!(tree.value(interface), "0\n");
        }
        sysctl.restore_send_redirects("gre1").unwrap();
        assert_eq!((tree.value("gre1"), tree.value("all")), ("1\n".into(), "0\n".into()));
        sysctl.restore_send_redirects("gre2").unwrap();
        assert_eq!((tree.value("gre2"), tree.value("all")), ("1\n".into(), "1\n".into()));
    }

    #[test]
    fn an_interface_that_vanished_is_nothing_to_restore() {
        let tree = Tree::new("vanished", &["all", "gre1"]);
        let mut sysctl = Sysctl::new(&tree.0);
        sysctl.disable_send_redirects("gre1").unwrap();
        fs::remove_dir_all(tree.0.join("net/ipv4/conf/gre1")).unwrap();
        sysctl.restore_send_redirects("gre1").unwrap();
        assert_eq!(tree.value("all"), "1\n");
    }

    #[test]
    fn a_missing_interface_is_named_with_a_remedy_and_all_is_done() {
        let tree = Tree::new("missing", &["all"]);
        let mut sysctl = Sysctl::new(&tree.0);
        let error = sysctl.disable_send_redirects("gre9").unwrap_err();
        assert!(error.to_string().contains("gre9/send_redirects"), "{error}");
        assert!(error.to_string().contains("Does the interface exist"), "{error}");
        assert_eq!(tree.value("all"), "0\n");
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        let tree = Tree::new("escape", &["all"]);
        let mut sysctl = Sysctl::new(&tree.0);
        for name in ["../all", "..", ".", "", "/etc"] {
            let error = sysctl.disable_send_redirects(name).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
