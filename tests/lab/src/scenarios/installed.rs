//! FRR as it is installed: its own scripts start and stop it, watchfrr watches it.
//!
//! Owns the tunnel that it is configured for, and what is said to scripts, vtysh and watchfrr. Never chooses a daemon:
//! whatever is at `/usr/lib/frr/nhrpd` is started.

use std::time::Duration;

use crate::failure::{Context, Result, ensure};
use crate::net::{Node, wait_until};
use crate::release::Release;

/// Where FRR's scripts look for it.
pub(super) const NHRPD: &str = "/usr/lib/frr/nhrpd";

/// Longest time until watchfrr calls everything up, on a slow guest.
pub(super) const UP: Duration = Duration::from_secs(40);

/// A tunnel, the release's own `daemons` file with nhrpd and a shorter patience of watchfrr's, and this `frr.conf`. With its
/// jobs watchfrr has more patience than the 20 s that it has by itself: a slow guest starts four daemons and `vtysh -b` in
/// more, and a job that is cut short loads no `frr.conf`.
pub(super) fn prepare(node: &Node, config: &str) -> Result<()> {
    // The lab's own view of /etc/frr is that of the installed package; a node has an empty one.
    let daemons =
        std::fs::read_to_string("/etc/frr/daemons").context(|| "reading /etc/frr/daemons".to_owned())?;
    ensure!(daemons.contains("\nnhrpd=no"), "no line nhrpd=no in /etc/frr/daemons");
    let daemons = daemons.replace("\nnhrpd=no", "\nnhrpd=yes");
    let patience = "-t 10 -T 60 --min-restart-interval 5 --max-restart-interval 10";
    node.write_file("/etc/frr/daemons", &format!("{daemons}\nwatchfrr_options=\"{patience}\"\n"))?;
    node.write_file("/etc/frr/frr.conf", config)?;
    node.sh("chown frr:frr /etc/frr/*; chmod 640 /etc/frr/*
         ip link add eth0 type dummy
         ip address add 192.0.2.2/30 dev eth0
         ip link set eth0 up
         ip link add gre1 type gre key 42 ttl 64 local 192.0.2.2 dev eth0
         ip address add 10.255.255.2/32 dev gre1
         ip link set gre1 mtu 1400 up")
        .map(drop)
}

/// Runs `frrinit.sh`, which must succeed. Its output goes to a file: the daemons that it starts keep it open.
pub(super) fn script(node: &Node, verb: &str) -> Result<()> {
    let command = format!("/usr/lib/frr/frrinit.sh {verb} > /run/frrinit.log 2>&1 < /dev/null");
    let done = node.run(&["sh", "-c", &command])?;
    let said = node.sh("cat /run/frrinit.log")?;
    ensure!(done.status == 0, "frrinit.sh {verb} ended with {}: {said}", done.status);
    Ok(())
}

pub(super) fn vtysh(node: &Node, command: &str) -> std::result::Result<String, String> {
    node.run(&["vtysh", "-c", command]).map(|output| output.stdout).map_err(|failure| failure.to_string())
}

/// Asks watchfrr alone: a vtysh that greets all daemons waits for one that is stopped.
pub(super) fn show_watchfrr(node: &Node) -> std::result::Result<String, String> {
    let output = node.run(&["vtysh", "-d", "watchfrr", "-c", "show watchfrr"]);
    output.map(|output| output.stdout).map_err(|failure| failure.to_string())
}

/// The state of a daemon in `show watchfrr`.
pub(super) fn state<'a>(text: &'a str, daemon: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim().strip_prefix(daemon)).map(str::trim)
}

pub(super) fn wait_up(node: &Node, release: Release) -> Result<()> {
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

/// The process that nhrpd's pid file names.
pub(super) fn pid(node: &Node) -> Result<u32> {
    let text = node.sh("cat /run/frr/nhrpd.pid")?;
    let number = text.strip_suffix('\n').and_then(|number| number.parse().ok());
    number.context(|| format!("nhrpd.pid holds {text:?}"))
}

/// Waits for another process in the place of `old`, up.
pub(super) fn wait_replaced(node: &Node, release: Release, old: u32) -> Result<u32> {
    let new = wait_until(&format!("another nhrpd instead of process {old}"), UP, || match pid(node) {
        Ok(new) if new != old => Ok(new),
        other => Err(format!("{other:?}")),
    })?;
    wait_up(node, release)?;
    Ok(new)
}
