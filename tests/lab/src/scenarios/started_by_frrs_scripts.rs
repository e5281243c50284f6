//! FRR's own scripts and watchfrr start, watch, restart and stop this daemon as they do FRR's.
//!
//! The binary is mounted over `/usr/lib/frr/nhrpd` of an installed FRR and nothing else is changed: its
//! `daemons` file (with `nhrpd=yes` and a shorter patience of watchfrr's), `frrinit.sh`, `watchfrr` and
//! `vtysh -b` are the release's.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::Lab;
use super::ask::ask;
use crate::failure::{Context, Result, ensure};
use crate::net::{Network, Node, wait_until};
use crate::release::Release;

/// Longest time until watchfrr calls everything up, on a slow guest.
const UP: Duration = Duration::from_secs(40);

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
    prepare(&node)?;
    let shown = show(&node, lab.release);
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
    command_line(node, pid)?;
    signals(node)?;
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

/// A tunnel, the release's own `daemons` file, and this project's binary in the place of FRR's.
fn prepare(node: &Node) -> Result<()> {
    // The lab's own view of /etc/frr is that of the installed package; a node has an empty one.
    let daemons =
        std::fs::read_to_string("/etc/frr/daemons").context(|| "reading /etc/frr/daemons".to_owned())?;
    ensure!(daemons.contains("\nnhrpd=no"), "no line nhrpd=no in /etc/frr/daemons");
    let daemons = daemons.replace("\nnhrpd=no", "\nnhrpd=yes");
    let patience = "-t 10 --min-restart-interval 5 --max-restart-interval 10";
    node.write_file("/etc/frr/daemons", &format!("{daemons}\nwatchfrr_options=\"{patience}\"\n"))?;
    node.write_file("/etc/frr/frr.conf", CONFIG)?;
    node.sh("chown frr:frr /etc/frr/*; chmod 640 /etc/frr/*
         mount --bind /lab/bin/nhrpd /usr/lib/frr/nhrpd
         ip link add eth0 type dummy
         ip address add 192.0.2.2/30 dev eth0
         ip link set eth0 up
         ip link add gre1 type gre key 42 ttl 64 local 192.0.2.2 dev eth0
         ip address add 10.255.255.2/32 dev gre1
         ip link set gre1 mtu 1400 up")
        .map(drop)
}

/// Runs `frrinit.sh`, which must succeed. Its output goes to a file: the daemons that it starts keep it open.
fn script(node: &Node, verb: &str) -> Result<()> {
    let command = format!("/usr/lib/frr/frrinit.sh {verb} > /run/frrinit.log 2>&1 < /dev/null");
    let done = node.run(&["sh", "-c", &command])?;
    let said = node.sh("cat /run/frrinit.log")?;
    ensure!(done.status == 0, "frrinit.sh {verb} ended with {}: {said}", done.status);
    Ok(())
}

fn vtysh(node: &Node, command: &str) -> std::result::Result<String, String> {
    node.run(&["vtysh", "-c", command]).map(|output| output.stdout).map_err(|failure| failure.to_string())
}

/// Asks watchfrr alone: a vtysh that greets all daemons waits for one that is stopped.
fn show_watchfrr(node: &Node) -> std::result::Result<String, String> {
    let output = node.run(&["vtysh", "-d", "watchfrr", "-c", "show watchfrr"]);
    output.map(|output| output.stdout).map_err(|failure| failure.to_string())
}

/// The state of a daemon in `show watchfrr`.
fn state<'a>(text: &'a str, daemon: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim().strip_prefix(daemon)).map(str::trim)
}

fn wait_up(node: &Node, release: Release) -> Result<()> {
    let mut daemons = vec!["zebra", "nhrpd", "staticd"];
    if release.has_mgmtd() {
        daemons.push("mgmtd");
    }
    wait_until("watchfrr to call every daemon up", UP, || {
        let text = show_watchfrr(node)?;
        let idle = text.contains("global phase: Idle");
        if idle && daemons.iter().all(|daemon| state(&text, daemon) == Some("Up")) {
            Ok(())
        } else {
            Err(text)
        }
    })
}

fn wait_configured(node: &Node) -> Result<()> {
    wait_until("frr.conf to be loaded", UP, || {
        let text = vtysh(node, "show running-config")?;
        let loaded = ["nhrp nflog-group 7", " ip nhrp holdtime 33", " tunnel source eth0"];
        if loaded.iter().all(|line| text.lines().any(|there| there == *line)) { Ok(()) } else { Err(text) }
    })
}

fn pid(node: &Node) -> Result<u32> {
    let text = node.sh("cat /run/frr/nhrpd.pid")?;
    let number = text.strip_suffix('\n').and_then(|number| number.parse().ok());
    number.context(|| format!("nhrpd.pid holds {text:?}"))
}

/// Waits for another process in the place of `old`, up and with its configuration.
fn wait_replaced(node: &Node, release: Release, old: u32) -> Result<u32> {
    let new = wait_until(&format!("another nhrpd instead of process {old}"), UP, || match pid(node) {
        Ok(new) if new != old => Ok(new),
        other => Err(format!("{other:?}")),
    })?;
    wait_up(node, release)?;
    Ok(new)
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

/// Options, as scripts and people use them beside a running instance.
fn command_line(node: &Node, pid: u32) -> Result<()> {
    let nhrpd = |options: &[&str]| node.run(&[&["/usr/lib/frr/nhrpd"], options].concat());
    for version in ["--version", "-v", "--vers"] {
        let said = nhrpd(&[version])?;
        ensure!(
            said.status == 0 && said.stdout.starts_with("nhrpd version "),
            "{version}: {} {}",
            said.status,
            said.stdout
        );
    }
    let said = nhrpd(&["--help"])?;
    ensure!(
        said.status == 0 && said.stdout.contains("--pid_file"),
        "--help: {} {}",
        said.status,
        said.stdout
    );
    let said = nhrpd(&["--no-such-option"])?;
    ensure!(
        said.status == 1 && said.stderr.contains("Invalid options") && said.stderr.contains("no-such-option"),
        "an unknown option: {} {}",
        said.status,
        said.stderr
    );
    // As frrinit.sh would start it a second time.
    let said = nhrpd(&["-d", "-F", "traditional", "-A", "127.0.0.1"])?;
    ensure!(
        said.status == 1 && said.stderr.contains("Could not lock pid_file /var/run/frr/nhrpd.pid"),
        "a second instance: {} {}",
        said.status,
        said.stderr
    );
    ensure!(self::pid(node)? == pid, "a second instance changed the pid file");
    wait_configured(node)?; // and left the socket to the first

    node.write_file("/run/try.conf", "interface gre1\n ip nhrp holdtime 9\n ip nhrp bogus\n")?;
    for options in [["-C", "-f", "/run/try.conf"], ["--dry", "--conf", "/run/try.conf"]] {
        let said = nhrpd(&options)?;
        ensure!(
            said.status == 0 && said.stderr.contains("line 3") && said.stderr.contains("ip nhrp bogus"),
            "{options:?}: {} {:?}",
            said.status,
            said.stderr
        );
    }
    Ok(())
}

/// An instance of its own path space in the foreground: a signal's exit code can be seen.
fn signals(node: &Node) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let command = ["/usr/lib/frr/nhrpd", "--pathspace", "other", "--log", "stdout"];
        let mut nhrpd = node.spawn("other", &command)?;
        wait_until("the second instance's socket", UP, || match node.exists("/run/frr/other/nhrpd.vty") {
            Ok(true) => Ok(()),
            _ => Err(nhrpd.output()),
        })?;
        let said = node.sh("vtysh --vty_socket /run/frr/other -c 'show running-config' || true")?;
        ensure!(!said.contains("nhrp nflog-group 7"), "the instance of another path space has {said}");
        nhrpd.stop(signal, Duration::from_secs(5))?;
        let end = nhrpd.ended().unwrap_or_default();
        ensure!(end == "exit code 0", "{signal} ended nhrpd with {end}: {}", nhrpd.output());
        node.sh("rm /run/frr/other/nhrpd.vty")?;
    }
    Ok(())
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

/// `write memory` with one file for all, and with a file for each daemon.
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
