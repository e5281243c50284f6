//! How many system calls a process makes, counted by the kernel's tracing: no process is stopped for it.
//!
//! Owns the histogram below tracefs. Counts everybody and tells of whom it is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::failure::{Context, Result};

const MOUNT: &str = "/run/tracing";
const TRIGGER: &str = "hist:keys=common_pid,id:size=8192";

/// The kernel's count, while it lives.
#[derive(Debug)]
pub(super) struct Count {
    event: PathBuf,
}

impl Count {
    /// Begins to count. `None` if this kernel cannot: User-mode Linux has no tracing.
    pub(super) fn start() -> Result<Option<Self>> {
        let event = Path::new(MOUNT).join("events/raw_syscalls/sys_enter");
        if !Path::new(MOUNT).exists() {
            fs::create_dir_all(MOUNT).context(|| format!("creating {MOUNT}"))?;
            let none: Option<&str> = None;
            if mount(Some("tracefs"), MOUNT, Some("tracefs"), MsFlags::empty(), none).is_err() {
                return Ok(None);
            }
        }
        if !event.exists() {
            return Ok(None);
        }
        fs::write(event.join("trigger"), TRIGGER).context(|| "counting system calls".to_owned())?;
        Ok(Some(Self { event }))
    }

    /// Calls so far by these threads, by name.
    pub(super) fn calls(&self, threads: &[u32]) -> Result<BTreeMap<String, f64>> {
        let text =
            fs::read_to_string(self.event.join("hist")).context(|| "reading system calls".to_owned())?;
        Ok(sum(&text, threads))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let _ = fs::write(self.event.join("trigger"), format!("!{TRIGGER}"));
    }
}

/// Sums lines such as `{ common_pid:  1234, id:  232 } hitcount:  12`.
fn sum(text: &str, threads: &[u32]) -> BTreeMap<String, f64> {
    let mut calls = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let mut numbers =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u32>().ok());
        let (Some(thread), Some(id), Some(count)) = (numbers.next(), numbers.next(), numbers.next()) else {
            continue;
        };
        if threads.contains(&thread) {
            *calls.entry(name(id)).or_default() += f64::from(count);
        }
    }
    calls
}

/// Names of x86-64; only of what network daemons do often.
fn name(id: u32) -> String {
    let name = match id {
        0 => "read",
        1 => "write",
        7 => "poll",
        9 => "mmap",
        11 => "munmap",
        12 => "brk",
        13 => "rt_sigaction",
        14 => "rt_sigprocmask",
        20 => "writev",
        44 => "sendto",
        45 => "recvfrom",
        46 => "sendmsg",
        47 => "recvmsg",
        202 => "futex",
        228 => "clock_gettime",
        232 => "epoll_wait",
        271 => "ppoll",
        281 => "epoll_pwait",
        299 => "recvmmsg",
        307 => "sendmmsg",
        _ => return format!("#{id}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_histogram_are_summed_by_thread() {
        let text = "# event histogram\n\n\
            { common_pid:       1234, id:        232 } hitcount:         12\n\
            { common_pid:       1235, id:        232 } hitcount:          3\n\
            { common_pid:       9999, id:        232 } hitcount:        100\n\
            { common_pid:       1234, id:        999 } hitcount:          1\n\nTotals:\n    Hits: 116\n";
        let calls = sum(text, &[1234, 1235]);
        assert_eq!(calls, BTreeMap::from([("epoll_wait".to_owned(), 15.0), ("#999".to_owned(), 1.0)]));
    }
}
