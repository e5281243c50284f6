//! An nhrpd in a root file system with FRR, in mount and network namespaces of its own: everything written goes to tmpfs
//! mounts in them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// FRR's nhrpd, as the tree has it.
pub(crate) const FRRS: &str = "/usr/lib/frr/nhrpd";
/// This one, as a copy in the tree.
pub(crate) const OURS: &str = "/run/nhrpd-ours";

/// `$BEFORE` is done before the daemon starts and belongs to it, `$THEN` when its vty is there; `$OPTIONS` are more of the
/// daemon's.
const SCRIPT: &str = r#"
set -eu
mount --make-rprivate /
for place in run etc/frr tmp var/log; do mount -t tmpfs tmpfs "$TREE/$place"; done
mount --bind /proc "$TREE/proc"
mkdir -p "$TREE/run/frr" "$TREE/var/log/frr"
ip link set lo up
cp "$OURS" "$TREE/run/nhrpd-ours"
eval "$BEFORE"
chroot "$TREE" chown -R frr:frr /run/frr /etc/frr /var/log/frr
chroot "$TREE" "$DAEMON" -A 127.0.0.1 --log stdout --log-level debugging ${OPTIONS:-} > /dev/null 2>&1 &
daemon=$!
trap 'kill $daemon' EXIT
for _ in $(seq 200); do [ -S "$TREE/run/frr/nhrpd.vty" ] && break; sleep 0.05; done
eval "$THEN"
"#;

/// What the shell script `then` prints. It has these variables and `$TREE`, as `before` has, which may write into that.
pub(crate) fn with_daemon(
    tree: &Path,
    daemon: &str,
    variables: &[(&str, &OsStr)],
    before: &str,
    then: &str,
) -> String {
    let Output { status, stdout, stderr } = Command::new("unshare")
        .args(["--mount", "--net", "bash", "-c", SCRIPT])
        .env("TREE", tree)
        .env("DAEMON", daemon)
        .env("OURS", env!("CARGO_BIN_EXE_nhrpd"))
        .env("BEFORE", before)
        .env("THEN", then)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{daemon} in {} ended with {status}: {said}\n{errors}", tree.display());
    said
}
