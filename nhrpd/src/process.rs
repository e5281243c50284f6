//! Becoming a daemon: background process, pid file, user and capabilities.
//!
//! There is no fork: the parent runs this program once more, with one end of a socket pair as standard input, and
//! exits 0 when the child has said that its vty socket listens. FRR's start scripts call `vtysh -b` at that moment.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability, CapsHashSet};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Group, Uid, User, dup2_stderr, dup2_stdin, dup2_stdout};

use crate::paths;

/// Set in the environment of the background process.
const CHILD_MARK: &str = "NHRPD_BACKGROUND";

/// Whether this is the background process that [`start_background`] made.
pub(crate) fn is_background() -> bool {
    std::env::var_os(CHILD_MARK).is_some()
}

/// Starts the background process and waits for its word. Returns this process's exit code.
pub(crate) fn start_background() -> io::Result<i32> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(CHILD_MARK, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let mut word = [0; 1];
    if ours.read(&mut word)? == 1 {
        return Ok(0);
    }
    let status = child.wait()?;
    if let Some(signal) = status.signal() {
        eprintln!("nhrpd crashed in startup, signal {signal}");
    } else {
        eprintln!("nhrpd failed to start, exited {}", status.code().unwrap_or(1));
    }
    Ok(1)
}

/// Standard input of the background process: what the parent waits on.
#[derive(Debug)]
pub(crate) struct Readiness(Option<UnixStream>);

impl Readiness {
    /// In the foreground nobody waits.
    pub(crate) fn take() -> io::Result<Self> {
        if !is_background() {
            return Ok(Self(None));
        }
        // A session of its own: the terminal's signals are not for us any more.
        nix::unistd::setsid()?;
        let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(Some(UnixStream::from(socket))))
    }

    /// Lets the parent exit, and lets go of its terminal.
    pub(crate) fn tell(self) -> io::Result<()> {
        let Some(mut socket) = self.0 else { return Ok(()) };
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        socket.write_all(b"1")
    }
}

/// The locked pid file; the lock lives as long as this value.
#[derive(Debug)]
pub(crate) struct PidFile(#[expect(dead_code, reason = "held for its lock")] File);

impl PidFile {
    /// Writes this process's id, or says who else runs.
    pub(crate) fn lock(path: &Path) -> Result<Self, String> {
        let explain = |error: io::Error| format!("cannot write pid file {}: {error}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map_err(explain)?;
        let lock = libc::flock {
            // The constants are small; the field is as narrow as the kernel's structure.
            #[expect(clippy::cast_possible_truncation, reason = "F_WRLCK is 1")]
            l_type: libc::F_WRLCK as i16,
            #[expect(clippy::cast_possible_truncation, reason = "SEEK_SET is 0")]
            l_whence: libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        if fcntl(&file, FcntlArg::F_SETLK(&lock)).is_err() {
            return Err(format!(
                "Could not lock pid_file {}, exiting.  Please ensure that the daemon is not already running",
                path.display()
            ));
        }
        // Readable for all whatever the umask is: watchfrr's is 027.
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(explain)?;
        file.set_len(0).map_err(explain)?;
        file.rewind().map_err(explain)?;
        writeln!(file, "{}", std::process::id()).map_err(explain)?;
        Ok(Self(file))
    }
}

/// Group id of vtysh's users, if that group exists.
pub(crate) fn vty_group() -> Option<u32> {
    Group::from_name(paths::VTY_GROUP).ok().flatten().map(|g| g.gid.as_raw())
}

/// Lets files be made that others may not read, whatever the caller's mask is; FRR's value.
pub(crate) fn set_file_mode_mask() {
    umask(Mode::from_bits_truncate(0o027));
}

/// Makes the directories that are not there for `user`, and becomes that user, keeping what NHRP needs: raw packets, the
/// neighbour table, and (raised only where needed) files that belong to root. Does nothing when not started as root.
pub(crate) fn drop_privileges(user: &str, group: &str, directories: &[&Path]) -> Result<(), String> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let account = User::from_name(user).map_err(|e| e.to_string())?.ok_or_else(|| {
        format!("there is no user '{user}'; create it, or name another with -u (FRR's package makes 'frr')")
    })?;
    let gid = Group::from_name(group)
        .map_err(|e| e.to_string())?
        .ok_or_else(|| format!("there is no group '{group}'; create it, or name another with -g"))?
        .gid;
    for directory in directories.iter().filter(|directory| !directory.exists()) {
        // For all to enter: vtysh's users have no other way to the socket.
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)))
            .and_then(|()| chown(directory, Some(account.uid.as_raw()), Some(gid.as_raw())))
            .map_err(|e| format!("cannot make {}: {e}", directory.display()))?;
    }
    let mut groups = vec![gid];
    groups.extend(vty_group().map(Gid::from_raw));
    let wanted: CapsHashSet =
        [Capability::CAP_NET_RAW, Capability::CAP_NET_ADMIN, Capability::CAP_DAC_OVERRIDE]
            .into_iter()
            .collect();
    let become_user = || -> Result<(), Box<dyn std::error::Error>> {
        nix::unistd::setgroups(&groups)?;
        nix::unistd::setresgid(gid, gid, gid)?;
        nix::sys::prctl::set_keepcaps(true)?;
        nix::unistd::setresuid(account.uid, account.uid, account.uid)?;
        let permitted = caps::read(None, CapSet::Permitted)?;
        let kept: CapsHashSet = wanted.intersection(&permitted).copied().collect();
        caps::set(None, CapSet::Effective, &without_files(&kept))?;
        caps::set(None, CapSet::Permitted, &kept)?;
        caps::clear(None, CapSet::Inheritable)?;
        Ok(())
    };
    become_user().map_err(|e| format!("cannot become user {user}: {e}"))
}

fn without_files(set: &CapsHashSet) -> CapsHashSet {
    set.iter().copied().filter(|c| *c != Capability::CAP_DAC_OVERRIDE).collect()
}

/// Runs `what` with the right to write files of root (`/proc/sys`).
pub(crate) fn with_file_rights<T>(what: impl FnOnce() -> T) -> T {
    let raised = caps::raise(None, CapSet::Effective, Capability::CAP_DAC_OVERRIDE).is_ok();
    let result = what();
    if raised && !Uid::effective().is_root() {
        // Without it nothing more is allowed than before.
        let _ = caps::drop(None, CapSet::Effective, Capability::CAP_DAC_OVERRIDE);
    }
    result
}
