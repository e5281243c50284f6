//! What a process has used: processor time and memory, from `/proc`.
//!
//! Owns the reading. Never decides when.

use std::fs;
use std::time::Duration;

use crate::failure::{Context, Result, ensure};
use crate::net::Process;

/// Where `/proc/PID/task/TID/schedstat` has what: nanoseconds, counted from the thread's start.
#[derive(Debug, Clone, Copy)]
enum Column {
    Ran = 0,
    WaitedToRun = 1,
}

/// Processor time of all threads so far, in seconds. The kernel charges a process also for the packets that it
/// carries through the network while the process sends.
pub(super) fn seconds(process: &Process) -> Result<f64> {
    let ran = schedstat(process.id(), Column::Ran)?;
    ensure!(!ran.is_zero(), "the kernel does not say what process {} has used", process.id());
    Ok(ran.as_secs_f64())
}

/// Time that all threads were ready and had no processor, so far, in seconds.
pub(super) fn waited(process: &Process) -> Result<f64> {
    Ok(schedstat(process.id(), Column::WaitedToRun)?.as_secs_f64())
}

/// Processor time that the kernel's own threads for packets (`ksoftirqd`) have taken so far, in seconds: work that
/// nobody else is charged with.
pub(super) fn softirqs() -> Result<f64> {
    let mut ran = Duration::ZERO;
    for entry in fs::read_dir("/proc").context(|| "reading /proc".to_owned())?.flatten() {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(id) = id.filter(|_| name.starts_with("ksoftirqd/")) {
            ran += schedstat(id, Column::Ran)?;
        }
    }
    Ok(ran.as_secs_f64())
}

/// The sum over a process's threads.
fn schedstat(process: u32, column: Column) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in threads(process)? {
        let path = format!("/proc/{process}/task/{thread}/schedstat");
        // A thread may have ended meanwhile.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let word = text.split_whitespace().nth(column as usize).and_then(|word| word.parse::<u64>().ok());
        nanoseconds += word.context(|| format!("{path} is {text:?}"))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Ids of all threads of a process, by its id.
pub(super) fn threads(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task");
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
