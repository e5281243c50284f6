//! The Debian package: installed beside FRR's it puts this daemon in the place of FRR's, removed it leaves FRR's as it
//! was, and an installation that fails changes nothing. Everything is started by FRR's own script and asked by vtysh.

use super::Lab;
use super::installed::{NHRPD, UP, pid, prepare, script, vtysh, wait_replaced, wait_up};
use crate::failure::{Result, ensure};
use crate::net::{Network, Node, wait_until};
use crate::plan::GUEST_DIR;

/// Its name on the command line: the host builds the package for it.
pub(crate) const NAME: &str = "package";

/// The package's name among the programs of a guest.
pub(crate) const PACKAGE: &str = "nhrpd-rs.deb";

const CONFIG: &str = "\
interface gre1
 ip nhrp network-id 1
 ip nhrp nhs 10.255.255.1 nbma 192.0.2.1
 tunnel source eth0
exit
";

/// Copies with another version; one of them has a file of FRR's package, over which dpkg stumbles when the scripts before
/// the installation have been run.
const COPIES: &str = "\
dpkg-deb -R \"$1\" /run/copy
sed -i 's/^Version: .*/Version: 9.0/' /run/copy/DEBIAN/control
dpkg-deb -Znone -b /run/copy /run/later.deb
: > /run/copy/usr/bin/vtysh
dpkg-deb -Znone -b /run/copy /run/broken.deb
rm -r /run/copy";

/// Tab in a shell, which wants what every system has and a guest's bare /dev has not.
const COMPLETE: &str = "\
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
. /usr/share/bash-completion/completions/nhrpctl
COMP_WORDS=(nhrpctl show ip nhrp nhs '')
COMP_CWORD=5
_nhrpctl
echo \"${COMPREPLY[*]}\"";

/// The prompt on a terminal.
const PROMPT: &str = "
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp('nhrpctl', ['nhrpctl'])
seen = b''
while not seen.endswith(b'# '):
    seen += os.read(terminal, 4096)
os.write(terminal, b'show ip nhrp nhs det\\t\\rexit\\r')
try:
    while chunk := os.read(terminal, 4096):
        seen += chunk
except OSError:
    pass  # it has ended
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut network = Network::new(lab.out());
    let node = network.add("r1")?;
    own_tree(&node)?;
    prepare(&node, CONFIG)?;
    let shown = show(lab, &node);
    if shown.is_err() {
        let _ = script(&node, "stop");
    }
    shown
}

/// The installed system as one that can be written to, of which nothing reaches the shared tree.
fn own_tree(node: &Node) -> Result<()> {
    node.sh("modprobe overlay 2> /dev/null || true
         for name in usr var/lib/dpkg; do
           mkdir -p /run/over/$name/up /run/over/$name/work
           mount -t overlay -o lowerdir=/$name,upperdir=/run/over/$name/up,workdir=/run/over/$name/work none /$name
         done")
        .map(drop)
}

fn show(lab: &mut Lab, node: &Node) -> Result<()> {
    let package = format!("{GUEST_DIR}/bin/{PACKAGE}");
    node.run(&["sh", "-ec", COPIES, "sh", &package])?;
    lab.note(node.sh(&format!("dpkg-deb -W {package}"))?.trim().replace('\t', " "));
    let frrs = sum(node, NHRPD)?;
    let untouched = |when: &str| {
        ensure!(sum(node, NHRPD)? == frrs, "FRR's nhrpd is not in its place {when}");
        let left = node.sh(&format!("ls {NHRPD}*; dpkg-divert --list nhrpd-rs"))?;
        ensure!(left == format!("{NHRPD}\n"), "{when} there is {left}");
        Ok(())
    };
    let ours = |when: &str| {
        node.sh(&format!("cmp {NHRPD} {GUEST_DIR}/bin/nhrpd"))?;
        ensure!(sum(node, &format!("{NHRPD}.frr"))? == frrs, "FRR's nhrpd is not beside it {when}");
        // Where FRR's own upgrades put theirs.
        let place = node.sh(&format!("dpkg-divert --truename {NHRPD}"))?;
        ensure!(place == format!("{NHRPD}.frr\n"), "the diversion is {place} {when}");
        Ok(())
    };

    script(node, "start")?;
    wait_up(node, lab.release)?;
    serves(node, false)?;
    dpkg(node, &["-i", "/run/broken.deb"], false)?;
    untouched("after an installation that failed")?;

    let said = dpkg(node, &["-i", &package], true)?;
    ensure!(said.contains("systemctl restart frr"), "dpkg -i says nothing of a restart: {said}");
    ours("after the installation")?;
    serves(node, false)?; // nothing was restarted
    files(node)?;
    let before = pid(node)?;
    node.sh(&format!("kill {before}"))?;
    wait_replaced(node, lab.release, before)?;
    serves(node, true)?;
    nhrpctl(node)?;

    dpkg(node, &["-i", "/run/broken.deb"], false)?;
    ours("after an upgrade that failed")?;
    dpkg(node, &["-i", "/run/later.deb"], true)?;
    ours("after an upgrade")?;
    let version = node.sh("dpkg-query -W -f '${Version} ${Status}' nhrpd-rs")?;
    ensure!(version == "9.0 install ok installed", "after an upgrade dpkg has {version}");

    node.write_file("/etc/frr/nhrpd-extra.conf", "! lines of this daemon's\n")?;
    let said = dpkg(node, &["-r", "nhrpd-rs"], true)?;
    ensure!(said.contains("systemctl restart frr"), "dpkg -r says nothing of a restart: {said}");
    untouched("after the removal")?;
    ensure!(node.exists("/etc/frr/nhrpd-extra.conf")?, "a removal took the configuration with it");
    let before = pid(node)?;
    script(node, "restart")?;
    wait_replaced(node, lab.release, before)?;
    serves(node, false)?;
    dpkg(node, &["-P", "nhrpd-rs"], true)?;
    untouched("after the purge")?;
    ensure!(!node.exists("/etc/frr/nhrpd-extra.conf")?, "a purge left the configuration");
    script(node, "stop")
}

fn sum(node: &Node, path: &str) -> Result<String> {
    node.sh(&format!("sha256sum < {path}"))
}

/// What dpkg says; it must end as expected.
fn dpkg(node: &Node, arguments: &[&str], succeeds: bool) -> Result<String> {
    let done = node.run(&[&["dpkg"], arguments].concat())?;
    let said = format!("{}{}", done.stdout, done.stderr);
    ensure!((done.status == 0) == succeeds, "dpkg {arguments:?} ended with {}: {said}", done.status);
    Ok(said)
}

/// Whose daemon runs, and that vtysh gets its peers.
fn serves(node: &Node, ours: bool) -> Result<()> {
    wait_until("vtysh to show NHRP's cache", UP, || {
        let said = vtysh(node, "show ip nhrp")?;
        if said.contains("10.255.255.2") { Ok(()) } else { Err(said) }
    })?;
    let pid = pid(node)?;
    let same = node.run(&["cmp", &format!("/proc/{pid}/exe"), &format!("{GUEST_DIR}/bin/nhrpd")])?;
    ensure!((same.status == 0) == ours, "process {pid} is the wrong nhrpd: {}", same.stdout);
    Ok(())
}

/// What else is in the package, each file as it was packed.
fn files(node: &Node) -> Result<()> {
    let verified = node.run(&["dpkg", "--verify", "nhrpd-rs"])?;
    ensure!(verified.status == 0 && verified.stdout.is_empty(), "dpkg --verify: {}", verified.stdout);
    let names = node.sh("dpkg -L nhrpd-rs")?;
    for name in [
        "/usr/bin/nhrpctl",
        "/usr/share/man/man8/nhrpd.8.gz",
        "/usr/share/man/man8/nhrpctl.8.gz",
        "/usr/share/bash-completion/completions/nhrpctl",
        "/usr/share/doc/nhrpd-rs/copyright",
        "/usr/share/doc/nhrpd-rs/docs/metrics.md",
        "/usr/share/doc/nhrpd-rs/docs/grafana-dashboard.json",
    ] {
        ensure!(names.lines().any(|there| there == name), "{name} is not in the package: {names}");
    }
    Ok(())
}

/// In one shot, at a prompt, and what a shell completes.
fn nhrpctl(node: &Node) -> Result<()> {
    // Asked until the daemon has heard of the tunnel.
    wait_until("nhrpctl to show the server and why it has not answered", UP, || {
        let said = node
            .run(&["nhrpctl", "show", "ip", "nhrp", "nhs", "detail"])
            .map_err(|failure| failure.to_string())?;
        if said.status == 0 && said.stdout.contains("no answer from 192.0.2.1") {
            Ok(())
        } else {
            Err(said.stdout)
        }
    })?;
    for (arguments, expected) in
        [(["-c", "show ip nhrp bogus"], 1), (["-c", "echo here"], 0), (["--bogus", "x"], 2)]
    {
        let done = node.run(&[&["nhrpctl"], arguments.as_slice()].concat())?;
        ensure!(done.status == expected, "nhrpctl {arguments:?} ended with {}: {}", done.status, done.stdout);
    }
    let prompt = node.run(&["python3", "-c", PROMPT])?;
    ensure!(
        prompt.status == 0 && prompt.stdout.contains("no answer from 192.0.2.1"),
        "at its prompt nhrpctl ended with {}: {}{}",
        prompt.status,
        prompt.stdout,
        prompt.stderr
    );
    let completed = node.run(&["bash", "-c", COMPLETE])?;
    ensure!(completed.stdout == "detail json\n", "a shell completes {:?}", completed.stdout);
    Ok(())
}
