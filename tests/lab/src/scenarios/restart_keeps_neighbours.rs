//! The hub's neighbours survive its nhrpd, are adopted by the next one, and are repaired when somebody removes
//! them; a clean stop leaves none.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Lab;
use crate::crowd::{Crowd, hub};
use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::net::wait_until;

const SPOKES: u32 = 300;
const ALL: usize = 300;
const SAMPLED: u32 = 40;

/// Longest time until everybody is registered, on a guest that is slow and shares its processor.
const REGISTER: Duration = Duration::from_secs(60);

/// Longest time until a new nhrpd knows again what the kernel has, zebra included.
const ADOPT: Duration = Duration::from_secs(10);

/// Longest time until a removed neighbour is back.
const REPAIR: Duration = Duration::from_secs(2);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.dmvpn(Shape { spokes: 0, holdtime: 600, redirect: false, ..Shape::default() })?;
    let mut crowd = Crowd::start(&mut dmvpn, SPOKES, &["--rounds=2"])?;
    for round in 1..=2 {
        lab.note(crowd.wait_complete(round, REGISTER)?);
    }
    wait_for_neighbours(&dmvpn, "all when registered", REPAIR)?;

    // Whoever removes them, by hand or wholesale.
    let victims = crowd.sample(10);
    let script: Vec<String> =
        victims.iter().map(|victim| format!("ip neigh del {victim} dev gre1")).collect();
    dmvpn.node("hub")?.sh(&script.join("; "))?;
    wait_for_neighbours(&dmvpn, "those deleted by hand", REPAIR)?;
    // It goes round until it finds none or loses patience: what is repaired meanwhile it finds again.
    let flush = ["ip", "-statistics", "neigh", "flush", "dev", "gre1", "nud", "permanent"];
    let said = dmvpn.node("hub")?.run(&flush)?.stdout;
    ensure!(
        said.contains(&format!("deleting {SPOKES} entries")),
        "ip neigh flush did not delete all: {said}"
    );
    wait_for_neighbours(&dmvpn, "those flushed", REPAIR)?;
    let registered = dmvpn.wire()?;
    registered.require(&[(Type::RegistrationRequest, 2 * ALL), (Type::RegistrationReply, 2 * ALL)])?;

    // From here on no spoke says a word.
    let out = lab.out().join("after");
    fs::create_dir_all(&out).context(|| format!("creating {}", out.display()))?;
    dmvpn.new_capture(&out)?;
    let frr = dmvpn.frr("hub")?;
    frr.stop_nhrpd(Signal::SIGKILL)?;
    let left = hub::neighbours(&dmvpn)?.len();
    ensure!(left == ALL, "{left} of {SPOKES} neighbours are left after kill -9");
    let frr = dmvpn.frr("hub")?;
    let started = Instant::now();
    frr.start_nhrpd()?;
    frr.load(Some("nhrpd"))?;
    wait_until("the registrations to be adopted", ADOPT, || match hub::registered(&mut dmvpn) {
        Ok(ALL) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    lab.note(format!("adopted {:.1} s after the start", started.elapsed().as_secs_f64()));
    wait_for_neighbours(&dmvpn, "all after the restart", REPAIR)?;
    let sample = crowd.sample(SAMPLED);
    wait_until("the routes of the sampled spokes", ADOPT, || {
        let text = dmvpn.node("hub").and_then(|hub| hub.sh("ip route show dev gre1 proto nhrp"));
        let text = text.map_err(|failure| failure.to_string())?;
        let routes = text.lines().count();
        if routes == ALL { Ok(()) } else { Err(format!("{routes} routes")) }
    })?;
    let answered = hub::answering(&dmvpn, &sample)?.len();
    ensure!(
        answered == sample.len(),
        "{answered} of {} sampled spokes answer after the restart",
        sample.len()
    );
    let log = dmvpn.node("hub")?.out().join("nhrpd.log");
    let log = fs::read_to_string(&log).context(|| format!("reading {}", log.display()))?;
    let told = format!("{SPOKES} neighbours of an earlier run are kept");
    ensure!(log.contains(&told), "nhrpd did not log {told:?}");
    let wire = dmvpn.finish(&[])?;
    let asked = wire.of(Type::RegistrationRequest).count();
    ensure!(asked == 0, "{asked} registration requests since the end of the first nhrpd");

    dmvpn.frr("hub")?.stop_nhrpd(Signal::SIGINT)?;
    let left: Vec<_> = hub::neighbours(&dmvpn)?.into_iter().filter(|neighbour| neighbour.of_nhrp).collect();
    ensure!(left.is_empty(), "{} are left after a clean stop", hub::states(&left));
    Ok(())
}

/// Waits until there is a permanent neighbour for every spoke.
fn wait_for_neighbours(dmvpn: &Dmvpn, what: &str, timeout: Duration) -> Result<()> {
    wait_until(&format!("neighbours: {what}"), timeout, || {
        let neighbours = hub::neighbours(dmvpn).map_err(|failure| failure.to_string())?;
        let right = neighbours.iter().filter(|n| n.of_nhrp && n.state == "PERMANENT").count();
        if right == ALL { Ok(()) } else { Err(hub::states(&neighbours)) }
    })
}
