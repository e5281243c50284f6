//! A hub with default sysctls reaches each of 3,000 spokes after a time without traffic.
//!
//! The kernel collects ARP-like neighbours: of those that FRR's nhrpd has zebra write it holds 1,024 at most, and
//! forgets idle ones within a minute. So the same scenario with FRR's nhrpd must fail to reach them; if it does
//! not, it proves nothing about ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Lab;
use crate::crowd::{Crowd, hub};
use crate::dmvpn::Shape;
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;
use crate::mix::Kind;

const SPOKES: u32 = 3000;
const SAMPLED: u32 = 40;

/// Spokes that are pinged before the idle time; not more than at once, so that none is collected meanwhile.
const CONTROL: usize = 8;

/// Longer than the kernel keeps a neighbour that it may collect and that nobody uses.
const IDLE: Duration = Duration::from_secs(90);

/// Longest time until everybody is registered, on a guest that is slow and shares its processor.
const REGISTER: Duration = Duration::from_secs(180);

/// Where the kernel begins to collect, presses, and refuses: as it comes.
const THRESHOLDS: [(&str, &str); 3] = [("gc_thresh1", "128"), ("gc_thresh2", "512"), ("gc_thresh3", "1024")];

/// At most so many of the sampled spokes answer through FRR's nhrpd.
const FRR_REACHES_LESS_THAN: usize = 5;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let ours = lab.mix().of("hub") == Kind::Ours;
    thresholds_are_the_defaults(lab)?;
    let mut dmvpn = lab.dmvpn(Shape { spokes: 0, holdtime: 600, redirect: false, ..Shape::default() })?;
    let before = hub::resident(&dmvpn)?;
    let mut crowd = Crowd::start(&mut dmvpn, SPOKES, &[])?;
    let complete = crowd.wait_complete(1, REGISTER)?;
    lab.note(complete);
    let registered = hub::registered(&mut dmvpn)?;
    ensure!(registered == 3000, "the hub's nhrpd has {registered} of {SPOKES} registrations");
    let early = hub::neighbours(&dmvpn)?;
    lab.note(format!("neighbours when all were registered: {}", hub::states(&early)));
    // Whoever is in the kernel's table can be reached, with either nhrpd: what is missing later is the neighbours.
    let usable =
        early.iter().filter(|neighbour| neighbour.state != "FAILED" && neighbour.state != "INCOMPLETE");
    let control: Vec<_> = usable.map(|neighbour| neighbour.address).take(CONTROL).collect();
    let answered = hub::answering(&dmvpn, &control)?.len();
    ensure!(answered == CONTROL, "{answered} of {CONTROL} spokes with a neighbour entry answer");
    let after = hub::resident(&dmvpn)?;
    lab.note(format!(
        "nhrpd's memory: {} kB before, {} kB after, {} octets per peer",
        before / 1024,
        after / 1024,
        after.saturating_sub(before) / u64::from(SPOKES)
    ));

    std::thread::sleep(IDLE);
    let late = hub::neighbours(&dmvpn)?;
    lab.note(format!("after {} s: {}", IDLE.as_secs(), hub::states(&late)));
    let registered = hub::registered(&mut dmvpn)?;
    ensure!(registered == 3000, "{registered} of {SPOKES} registrations after {} s", IDLE.as_secs());
    let sample = crowd.sample(SAMPLED);
    let answered = hub::answering(&dmvpn, &sample)?.len();
    lab.note(format!("{answered} of {} sampled spokes answer", sample.len()));
    if ours {
        for (when, neighbours) in [("at first", &early), ("later", &late)] {
            let right = neighbours.iter().filter(|n| n.of_nhrp && n.state == "PERMANENT").count();
            ensure!(
                right == 3000,
                "{right} of {SPOKES} permanent neighbours {when}: {}",
                hub::states(neighbours)
            );
        }
        ensure!(answered == sample.len(), "{answered} of {} sampled spokes answer", sample.len());
    } else {
        ensure!(
            answered < FRR_REACHES_LESS_THAN,
            "{answered} of {} sampled spokes answer through FRR's nhrpd: this scenario proves nothing",
            sample.len()
        );
    }
    let all = usize::try_from(SPOKES).unwrap_or(usize::MAX);
    dmvpn.finish(&[(Type::RegistrationRequest, all), (Type::RegistrationReply, all)])?;
    Ok(())
}

/// The thresholds are the kernel's, not a namespace's: a namespace does not even see them.
fn thresholds_are_the_defaults(lab: &mut Lab) -> Result<()> {
    for (name, default) in THRESHOLDS {
        let path = Path::new("/proc/sys/net/ipv4/neigh/default").join(name);
        if !path.exists() {
            lab.note("gc_thresh is not visible in this namespace");
            return Ok(());
        }
        let value = fs::read_to_string(&path).context(|| format!("reading {}", path.display()))?;
        ensure!(value.trim() == default, "{name} is {}, not the default {default}", value.trim());
    }
    Ok(())
}
