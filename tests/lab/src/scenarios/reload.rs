//! FRR's own frr-reload.py, of each release, takes a hub from one configuration to another and back through the release's
//! vtysh: no line is refused, nothing is left to do, what runs is what the file says, and no registered spoke is gone for
//! a moment. What is read in another order ends in the same configuration.
//!
//! Owns the samples; the property test over all of them is in vtysh-plugin/tests/frr_reload.rs.

mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::Signal;

use self::samples::{Chance, PAIR, shuffled, tunnels};
use super::ask::ask;
use super::shown::log;
use super::{Lab, REGISTER};
use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result, ensure};
use crate::net::{Node, wait_until};
use crate::release::Release;

/// Configurations made by chance, besides [`PAIR`].
const SAMPLES: usize = 3;
/// Longest time of frr-reload.py.
const SCRIPT: Duration = Duration::from_secs(120);
/// What their chance begins with.
const SEED: u64 = 4;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.dmvpn(Shape { holdtime: 30, ..Shape::default() })?;
    dmvpn.wait_registered(REGISTER)?;
    let hub = dmvpn.node("hub")?.clone();
    let base = running(&hub)?;
    let mut neighbours = hub.spawn("neighbours", &["ip", "monitor", "neigh", "dev", "gre1"])?;
    let said = ["s1", "s2"].map(|name| dmvpn.node(name).and_then(log).map(|text| text.len()));
    let other = base
        .replace(" ip nhrp holdtime 30\n", " ip nhrp holdtime 40\n ip nhrp map 10.255.255.99 192.0.2.99\n");
    let other =
        other.replace(" ip nhrp redirect\n", "").replace("nhrp nflog-group 1\n", "nhrp nflog-group 2\n");
    let mut wanted = vec![format!("{base}{}", PAIR[0]), format!("{other}{}", PAIR[1])];
    let mut chance = Chance::new(SEED);
    wanted.extend((0..SAMPLES).map(|n| {
        let gre1 = if n % 2 == 0 { &base } else { &other };
        format!("{gre1}{}", tunnels(&mut chance, lab.release))
    }));
    wanted.push(base.clone());
    for text in &wanted {
        reload(&hub, text)?;
        dmvpn.wait_registered(Duration::from_secs(5))?;
    }
    neighbours.stop(Signal::SIGTERM, REGISTER)?;
    let changed = neighbours.output();
    ensure!(
        !changed.contains("Deleted 10.255.255.2 ") && !changed.contains("Deleted 10.255.255.3 "),
        "neighbours went: {changed}"
    );
    for (name, from) in ["s1", "s2"].into_iter().zip(said) {
        let text = log(dmvpn.node(name)?)?.split_off(from?);
        ensure!(!text.contains("not registered with NHS"), "{name} noticed: {text}");
    }
    any_order(&mut dmvpn, &mut chance)?;
    saved(&mut dmvpn, lab.release)?;
    lab.note(format!("{} reloads", wanted.len()));
    dmvpn.all_alive()
}

/// The running configuration as a file that vtysh reads.
fn running(node: &Node) -> Result<String> {
    let text = node.sh("vtysh -c 'show running-config'")?;
    let from = text.find("frr version").context(|| format!("no configuration: {text}"))?;
    Ok(text.get(from..).unwrap_or_default().replace("\nend\n", "\n"))
}

/// The lines of a configuration by section, in no order: `""` for those of no section.
fn sections(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('!')) {
        match line.trim_end() {
            "exit" | "end" => section.clear(),
            line if line.starts_with("interface ") => {
                section = line.to_owned();
                sections.entry(section.clone()).or_default();
            }
            line if line.starts_with(' ') => {
                sections.entry(section.clone()).or_default().insert(line.trim().to_owned());
            }
            line => {
                section.clear();
                sections.entry(String::new()).or_default().insert(line.to_owned());
            }
        }
    }
    sections
}

/// To this configuration; then there is nothing to do, and what runs is what vtysh makes of the file.
fn reload(hub: &Node, wanted: &str) -> Result<()> {
    hub.write_file("/etc/frr/new.conf", wanted)?;
    let was = running(hub)?;
    for verb in ["--reload", "--test"] {
        // It starts a vtysh for each line that goes.
        let command = ["/usr/lib/frr/frr-reload.py", verb, "--stdout", "/etc/frr/new.conf"];
        let mut script = hub.spawn(&format!("frr-reload{verb}"), &command)?;
        let mut status = None;
        wait_until("frr-reload.py to end", SCRIPT, || {
            status = script.ended();
            status.as_ref().map(drop).ok_or_else(|| script.output())
        })?;
        let (text, status) = (script.output(), status.unwrap_or_default());
        let refused = text.lines().find(|line| {
            // What it logs when vtysh refuses a line, and when it fails itself.
            ["ERROR", "CRITICAL", "Traceback", "Failure to"].iter().any(|bad| line.contains(bad))
        });
        ensure!(
            status == "exit code 0" && refused.is_none(),
            "frr-reload.py {verb} ended with {status}: {refused:?}\nfrom\n{was}\nto\n{wanted}\n{text}"
        );
        ensure!(verb == "--reload" || !text.contains("Lines To "), "there is still something to do: {text}");
    }
    let file = sections(&hub.sh("vtysh -m -f /etc/frr/new.conf")?);
    let runs = sections(&running(hub)?);
    ensure!(file == runs, "the file, as vtysh -m has it: {file:#?}\nwhat runs: {runs:#?}\nwas\n{was}");
    Ok(())
}

/// A spoke without any setting of NHRP, then with all of them in an order of chance: it ends in the same configuration,
/// and is registered again.
fn any_order(dmvpn: &mut Dmvpn, chance: &mut Chance) -> Result<()> {
    let spoke = dmvpn.node("s1")?.clone();
    let full = running(&spoke)?;
    let without: String =
        full.lines().filter(|line| !line.starts_with(" ip nhrp")).map(|line| format!("{line}\n")).collect();
    let lines: Vec<&str> = full.lines().filter(|line| line.starts_with(" ip nhrp")).collect();
    ensure!(lines.len() >= 4, "there is little to put into another order: {full}");
    for _ in 0..2 {
        reload(&spoke, &without)?;
        let lines = shuffled(chance, lines.clone()).join("\n");
        spoke.write_file("/run/lines", &format!("interface gre1\n{lines}\nexit\n"))?;
        spoke.sh("vtysh -f /run/lines")?;
        let now = running(&spoke)?;
        ensure!(sections(&now) == sections(&full), "after\n{lines}\nruns\n{now}\ninstead of\n{full}");
        dmvpn.wait_spoke_registered("s1", REGISTER)?;
    }
    Ok(())
}

/// The ways to save, and what is saved.
fn saved(dmvpn: &mut Dmvpn, release: Release) -> Result<()> {
    let hub = dmvpn.node("hub")?.clone();
    // Not `write integrated`: that is watchfrr's, which does not run here.
    for (holdtime, command) in [(52, "write"), (53, "copy running-config startup-config")] {
        dmvpn.frr("hub")?.configure_tunnel(&[&format!("ip nhrp holdtime {holdtime}")])?;
        let said = hub.run(&["vtysh", "-c", command])?;
        let file = hub.read_file("/etc/frr/frr.conf")?;
        ensure!(
            said.status == 0 && file.contains(&format!(" ip nhrp holdtime {holdtime}\n")),
            "{command} with FRR {release} said {}{}, frr.conf is {file}",
            said.stdout,
            said.stderr
        );
    }
    // What was saved can be read: as a whole and twice, as frrinit.sh reload and a restart do.
    for _ in 0..2 {
        let said = hub.run(&["vtysh", "-b"])?;
        let text = format!("{}{}", said.stdout, said.stderr);
        ensure!(said.status == 0 && !text.contains("line "), "vtysh -b ended with {}: {text}", said.status);
    }
    let (_, running) = ask(&hub, "/run/frr/nhrpd.vty", "show running-config")?;
    ensure!(running.contains(" ip nhrp holdtime 53\n"), "after vtysh -b: {running}");
    dmvpn.wait_registered(Duration::from_secs(5))
}
