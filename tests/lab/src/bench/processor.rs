//! What a process has used: processor time and memory, from `/proc`.
//!
//! Owns the reading. Never decides when.

use std::fs;
use std::time::Duration;

use crate::failure::{Context, Result, ensure};
use crate::net::Process;

/// Processor time of all threads so far, in seconds. The kernel charges a process also for the packets that it
/// carries through the network while the process sends.
pub(super) fn seconds(process: &Process) -> Result<f64> {
    let mut nanoseconds = 0;
    for thread in threads(process)? {
        let path = format!("/proc/{}/task/{thread}/schedstat", process.id());
        // A thread may have ended meanwhile.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let word = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        nanoseconds += word.context(|| format!("{path} is {text:?}"))?;
    }
    ensure!(nanoseconds > 0, "the kernel does not say what process {} has used", process.id());
    Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
}

/// Ids of all threads.
pub(super) fn threads(process: &Process) -> Result<Vec<u32>> {
    let path = format!("/proc/{}/task", process.id());
    let entries = fs::read_dir(&path).context(|| format!("reading {path}"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Resident memory, in octets.
pub(super) fn resident(process: &Process) -> Result<f64> {
    let path = format!("/proc/{}/smaps_rollup", process.id());
    let text = fs::read_to_string(&path).context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    Ok(f64::from(kilobytes.context(|| format!("no Rss in {path}"))?) * 1024.0)
}
