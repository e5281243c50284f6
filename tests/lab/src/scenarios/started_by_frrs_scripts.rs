//! FRR's own scripts and watchfrr start, watch, restart and stop this daemon as they do FRR's.
//!
//! The binary is mounted over `/usr/lib/frr/nhrpd` of an installed FRR and nothing else is changed: its
//! `daemons` file (with `nhrpd=yes` and a shorter patience of watchfrr's), `frrinit.sh`, `watchfrr` and
//! `vtysh -b` are the release's.

use super::ask::ask;
use super::installed::{
    NHRPD, UP, pid, prepare, script, show_watchfrr, state, vtysh, wait_replaced, wait_up,
};
use super::{Lab, start_up};
use crate::failure::{Context, Result, ensure};
use crate::net::{Network, Node, wait_until};
use crate::release::Release;

/// FRR's own, where it can still be started.
const FRRS: &str = "/run/frrs/nhrpd";

const CONFIG: &str = "\
hostname r1
log file /var/log/frr/frr.log
nhrp nflog-group 7
interface gre1
 ip nhrp network-id 1
 ip nhrp holdtime 33
 ip nhrp nhs 10.255.255.1 nbma 192.0.2.1
 ip nhrp shortcut
 tunnel source eth0
exit
";

/// CAP_DAC_OVERRIDE, CAP_NET_ADMIN and CAP_NET_RAW.
const PERMITTED: u64 = 1 << 1 | 1 << 12 | 1 << 13;
/// The same without CAP_DAC_OVERRIDE, which is raised only around the call that needs it.
const EFFECTIVE: u64 = 1 << 12 | 1 << 13;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut network = Network::new(lab.out());
    let node = network.add("r1")?;
    prepare(&node, CONFIG)?;
    node.sh(&format!(
        "mkdir /run/frrs; touch {FRRS}; mount --bind {NHRPD} {FRRS}; mount --bind /lab/bin/nhrpd {NHRPD}"
    ))?;
    let shown = show(&node, lab.release).and_then(|()| start_up::compare(&node, FRRS, NHRPD));
    if shown.is_err() {
        // What scripts have started is nobody's child; it must not meet the next scenario.
        let _ = script(&node, "stop");
        let _ = node.sh("cat /var/log/frr/frr.log");
    }
    shown
}

fn show(node: &Node, release: Release) -> Result<()> {
    script(node, "start")?;
    wait_up(node, release)?;
    wait_configured(node)?;
    let pid = pid(node)?;
    process(node, pid)?;
    second_instance(node, pid)?;
    logrotate(node, pid)?;
    write_memory(node)?;

    node.sh(&format!("kill -9 {pid}"))?;
    let pid = wait_replaced(node, release, pid)?;
    wait_configured(node)?;

    // watchfrr's restart of a daemon that is stopped waits for that one's end, and so do we.
    node.sh(&format!("kill -STOP {pid}"))?;
    wait_until("watchfrr to call the stopped daemon unresponsive", UP, || {
        let text = show_watchfrr(node)?;
        if state(&text, "nhrpd").is_some_and(|state| state != "Up") { Ok(()) } else { Err(text) }
    })?;
    node.sh(&format!("kill -CONT {pid}"))?;
    let pid = wait_replaced(node, release, pid)?;
    wait_configured(node)?;

    script(node, "status")?;
    script(node, "restart")?;
    wait_replaced(node, release, pid)?;
    wait_configured(node)?;

    script(node, "stop")?;
    let left = node.run(&["pgrep", "-l", "-x", "nhrpd|zebra|watchfrr|staticd|mgmtd"])?;
    ensure!(left.status == 1, "processes left after frrinit.sh stop: {}", left.stdout);
    ensure!(
        !node.exists("/run/frr/nhrpd.pid")?,
        "frrinit.sh stop did not see nhrpd end: its pid file is there"
    );
    Ok(())
}

fn wait_configured(node: &Node) -> Result<()> {
    wait_until("frr.conf to be loaded", UP, || {
        let text = vtysh(node, "show running-config")?;
        let loaded = ["nhrp nflog-group 7", " ip nhrp holdtime 33", " tunnel source eth0"];
        if loaded.iter().all(|line| text.lines().any(|there| there == *line)) { Ok(()) } else { Err(text) }
    })
}

/// What can be seen of the running daemon from outside.
fn process(node: &Node, pid: u32) -> Result<()> {
    node.sh(&format!("cmp /proc/{pid}/exe /lab/bin/nhrpd"))?;
    let stat = node.sh("stat -c '%A %U %G' /run/frr/nhrpd.vty /run/frr/nhrpd.pid")?;
    ensure!(stat == "srwxrwx--- frr frrvty\n-rw-r--r-- frr frr\n", "socket and pid file are {stat:?}");
    let inode = node.sh("stat -c %i /run/frr/nhrpd.pid")?;
    let locks = node.sh("cat /proc/locks")?;
    let locked = locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        line.contains("POSIX  ADVISORY  WRITE")
            && words.get(4) == Some(&pid.to_string().as_str())
            && words.get(5).is_some_and(|file| file.ends_with(&format!(":{}", inode.trim())))
    });
    ensure!(locked, "no write lock of process {pid} on its pid file: {locks}");

    let status = node.sh(&format!("cat /proc/{pid}/status"))?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    let ids = node.sh("id -u frr; id -g frr; getent group frrvty | cut -d: -f3")?;
    let [user, group, vty] = ids.lines().collect::<Vec<_>>()[..] else { crate::failure::fail!("ids: {ids}") };
    for (name, id) in [("Uid", user), ("Gid", group)] {
        ensure!(field(name).split_whitespace().all(|one| one == id), "{name} of nhrpd: {}", field(name));
    }
    ensure!(field("Groups").split_whitespace().any(|one| one == vty), "groups of nhrpd: {}", field("Groups"));
    for (name, expected) in [("CapPrm", PERMITTED), ("CapEff", EFFECTIVE), ("CapInh", 0)] {
        let found = u64::from_str_radix(field(name), 16).context(|| name.to_owned())?;
        ensure!(found == expected, "{name} of nhrpd is {found:#x}, not {expected:#x}");
    }
    Ok(())
}

/// As frrinit.sh would start it a second time.
fn second_instance(node: &Node, pid: u32) -> Result<()> {
    let said = node.run(&[NHRPD, "-d", "-F", "traditional", "-A", "127.0.0.1"])?;
    ensure!(
        said.status == 1 && said.stderr.contains("Could not lock pid_file /var/run/frr/nhrpd.pid"),
        "a second instance: {} {}",
        said.status,
        said.stderr
    );
    ensure!(self::pid(node)? == pid, "a second instance changed the pid file");
    wait_configured(node) // and left the socket to the first
}

/// What logrotate's script does.
fn logrotate(node: &Node, pid: u32) -> Result<()> {
    node.sh(&format!("mv /var/log/frr/frr.log /var/log/frr/frr.log.1; kill -USR1 {pid}"))?;
    wait_until("a new log file", UP, || match node.exists("/var/log/frr/frr.log") {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let stat = node.sh("stat -c '%A %U %G' /var/log/frr/frr.log")?;
    ensure!(stat == "-rw-r----- frr frr\n", "the new log file is {stat}");
    let toggle = ["vtysh", "-c", "configure terminal", "-c", "interface gre1"];
    for line in ["no ip nhrp network-id 1", "ip nhrp network-id 1"] {
        node.run(&[&toggle[..], &["-c", line]].concat())?;
    }
    wait_until("a message in the new log file", UP, || {
        let text = node.sh("cat /var/log/frr/frr.log").map_err(|failure| failure.to_string())?;
        if text.contains("NHRP: gre1: NHRP is running") { Ok(()) } else { Err(text) }
    })
}

/// `write memory` with one file for all, by vtysh and by watchfrr, and with a file for each daemon.
fn write_memory(node: &Node) -> Result<()> {
    let set =
        |line: &str| node.run(&["vtysh", "-c", "configure terminal", "-c", "interface gre1", "-c", line]);
    set("ip nhrp holdtime 44")?;
    let said = node.run(&["vtysh", "-c", "write memory"])?;
    let file = node.sh("cat /etc/frr/frr.conf")?;
    ensure!(
        said.status == 0 && file.contains(" ip nhrp holdtime 44\n") && file.contains("nhrp nflog-group 7\n"),
        "write memory said {}{}, frr.conf is {file}",
        said.stdout,
        said.stderr
    );
    set("ip nhrp holdtime 55")?;
    let said = node.run(&["vtysh", "-c", "write integrated"])?;
    let file = node.sh("cat /etc/frr/frr.conf")?;
    ensure!(
        said.status == 0 && file.contains(" ip nhrp holdtime 55\n"),
        "write integrated said {}{}, frr.conf is {file}",
        said.stdout,
        said.stderr
    );
    set("ip nhrp holdtime 33")?;
    node.sh(
        "cp -p /etc/frr/vtysh.conf /run/; echo 'no service integrated-vtysh-config' > /etc/frr/vtysh.conf",
    )?;
    for _ in 0..2 {
        let said = node.run(&["vtysh", "-c", "write memory"])?;
        ensure!(
            said.status == 0 && said.stdout.contains("Configuration saved to /etc/frr/nhrpd.conf"),
            "write memory said {}{}",
            said.stdout,
            said.stderr
        );
    }
    let file =
        node.sh("cat /etc/frr/nhrpd.conf; stat -c '%A %U %G' /etc/frr/nhrpd.conf; ls /etc/frr/nhrpd.conf*")?;
    ensure!(
        file.starts_with("!\n! Zebra configuration saved from vty\n!   20")
            && file.contains("\n ip nhrp holdtime 33\n")
            && file.ends_with("-rw-r----- frr frr\n/etc/frr/nhrpd.conf\n/etc/frr/nhrpd.conf.sav\n"),
        "nhrpd.conf is {file}"
    );
    let (_, startup) = ask(node, "/run/frr/nhrpd.vty", "show startup-config")?;
    ensure!(startup.contains(" ip nhrp holdtime 33\n"), "show startup-config: {startup}");
    // Back to one file for all, the one at the beginning.
    node.write_file("/etc/frr/frr.conf", CONFIG)?;
    node.sh("mv /run/vtysh.conf /etc/frr/; rm -f /etc/frr/nhrpd.conf* /etc/frr/zebra.conf* /etc/frr/staticd.conf* /etc/frr/mgmtd.conf*
         chown frr:frr /etc/frr/frr.conf; chmod 640 /etc/frr/frr.conf")
        .map(drop)
}
