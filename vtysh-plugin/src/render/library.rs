//! What FRR's library shows of every daemon: its event loop, log, modules. Owns FRR's layout, and FRR's own text for a
//! table in which there is nothing, where there is nothing of the kind here.

use std::time::Duration;

use super::json::Value;
use crate::{LogLevel, Logging, Release};

/// FRR's loop has no other name in this daemon.
const LOOP: &str = "main";

/// A title with a line below it.
fn title(text: &str, name: &str) -> String {
    format!("\n{text}{name}\n{}\n", "-".repeat(text.len() + name.len()))
}

/// `show work-queues`: FRR's headings. There are no queues here.
#[must_use]
pub fn work_queues() -> String {
    format!(
        "{:1} {:>8} {:>5} {:>8} {:>8} {:>21}\n{:1} {:>8} {:>5} {:>8} {:>8} {:>7} {:>6} {:>8} {:>6} {}\n",
        "",
        "List",
        "(ms) ",
        "Q. Runs",
        "Yields",
        "Cycle Counts   ",
        "P",
        "Items",
        "Hold",
        "Total",
        "Total",
        "Best",
        "Gran.",
        "Total",
        "Avg.",
        "Name"
    )
}

/// `show debugging hashtable`: what FRR says without any.
#[must_use]
pub fn hash_tables() -> String {
    "No hash tables in use.\n".to_owned()
}

/// `show <event|thread> cpu`: FRR's headings, and what it says before a function has run. Functions are not timed here;
/// `show memory` has the turns of the loop as a whole.
#[must_use]
pub fn event_cpu(release: Release) -> String {
    let columns = format!(
        "{:>30} {:>18} {:>18}\nActive   Runtime(ms)   Invoked Avg uSec Max uSecs Avg uSec Max uSecs",
        "", "CPU (user+system):", "Real (wall-clock):"
    );
    let [per_loop, total, total_columns] = if release.says_event() {
        [
            "  CPU_Warn Wall_Warn Starv_Warn   Type  Event",
            "Total Event statistics",
            "  CPU_Warn Wall_Warn Starv_Warn   Type  Event",
        ]
    } else {
        [
            "  CPU_Warn Wall_Warn Starv_Warn Type   Thread",
            "Total thread statistics",
            "  CPU_Warn Wall_Warn  Type  Thread",
        ]
    };
    let title = title("Showing statistics for pthread ", LOOP);
    format!(
        "{title}{columns}{per_loop}\nNo data to display yet.\n\n\n{total}\n-------------------------\n{columns}{total_columns}\n"
    )
}

/// `show <event|thread> poll`: how many descriptors there are, of how many there may be. FRR also names each one's reader.
#[must_use]
pub fn event_poll(release: Release, open: usize, limit: u64) -> String {
    let line = "-".repeat("----------------------".len() + LOOP.len());
    // Since 10.6 FRR counts what happened on each, which nobody does here.
    let (counts, kind) = if release.polls_by_epoll() {
        (format!("\nShowing epoll FD's count for {LOOP}\n{line}\n"), "epoll")
    } else {
        (String::new(), "poll")
    };
    format!("{counts}\nShowing {kind} FD's for {LOOP}\n{line}\nCount: {open}/{limit}\n")
}

/// `show <event|thread> timers`: each with its name and the time that is left.
#[must_use]
pub fn event_timers(timers: &[(&str, Duration)]) -> String {
    let mut text = title("Showing timers for ", LOOP);
    for (name, left) in timers {
        let seconds = left.as_secs();
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        text.push_str(&format!("  {name:<50}{clock}\n"));
    }
    text
}

/// `show modules`
#[must_use]
pub fn modules(version: &str, pid: u32) -> String {
    format!(
        "{:<12} {:<25} {}\n\n{:<12} {version:<25} {}\npid: {pid}\n",
        "Module Name", "Version", "Description", "nhrpd", "nhrpd daemon, one program without modules"
    )
}

/// `show rcu [json]`: what FRR says where it is not used.
#[must_use]
pub fn rcu(json: bool, release: Release) -> String {
    if json {
        Value::Object(vec![("rcuActive", false.into())]).print(release)
    } else {
        "% RCU not in use by this daemon\n".to_owned()
    }
}

/// A group of `show memory json`: its name, what its numbers are, and the numbers by name.
pub type MemoryGroup<'a> = (&'static str, &'static str, &'a [(&'static str, u64)]);

/// `show memory json`, in the form of FRR's since 10.7: arrays of named numbers.
#[must_use]
pub fn memory_json(groups: &[MemoryGroup<'_>], release: Release) -> String {
    let row = |key: &'static str, (name, number): &(&'static str, u64)| {
        let number = Value::Int(i64::try_from(*number).unwrap_or(i64::MAX));
        Value::Object(vec![("name", (*name).into()), (key, number)])
    };
    let group = |(name, key, numbers): &MemoryGroup<'_>| {
        (*name, Value::Array(numbers.iter().map(|number| row(key, number)).collect()))
    };
    Value::Object(groups.iter().map(group).collect()).print(release)
}

/// `show logging`. `command_line` is what `--log` and `--log-level` said.
#[must_use]
pub fn logging(logging: &Logging, command_line: Option<(&str, LogLevel)>, release: Release) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name}: {value}\n"));
    let level = |level: LogLevel| format!("level {}", level.word());
    let file = |target: &Option<(String, LogLevel)>| {
        target.as_ref().map(|(path, at)| format!("{}, filename {path}", level(*at)))
    };
    let or_disabled = |value: Option<String>| value.unwrap_or_else(|| "disabled".to_owned());
    // What the command line asks for goes there, too, whatever is configured.
    let also = |configured: Option<LogLevel>, name: &str| {
        let asked = command_line.filter(|(target, _)| *target == name).map(|(_, at)| at);
        configured.max(asked)
    };
    let syslog = also(logging.syslog, "syslog")
        .map(|at| format!("{}, facility {}, ident nhrpd", level(at), logging.facility));
    line("Syslog logging", or_disabled(syslog));
    line("Stdout logging", or_disabled(also(logging.stdout, "stdout").map(level)));
    line("File logging", or_disabled(file(&logging.file)));
    if let Some(filtered) = file(&logging.filtered_file) {
        line("Filtered-file logging", filtered);
    }
    if let Some((target, at)) = command_line {
        line("From command line", format!("\"--log {target} --log-level {}\"", at.word()));
    }
    let enabled = |on: bool| if on { "enabled" } else { "disabled" }.to_owned();
    line("Protocol name", "NHRP".to_owned());
    line("Record priority", enabled(logging.record_priority));
    if release.has_record_severity() {
        line("Record severity", enabled(logging.record_severity));
    }
    line("Timestamp precision", logging.timestamp_precision.to_string());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_kind_is_said_as_frr_says_it() {
        assert_eq!(
            work_queues(),
            "      List (ms)   Q. Runs   Yields       Cycle Counts   \n\
             P    Items  Hold    Total    Total    Best  Gran.    Total   Avg. Name\n"
        );
        assert_eq!(rcu(true, Release::new(10, 7)), "{\n  \"rcuActive\":false\n}\n");
        assert!(event_cpu(Release::new(9, 1)).ends_with("  CPU_Warn Wall_Warn  Type  Thread\n"));
        assert!(event_cpu(Release::new(10, 0)).contains("\n-----------------------------------\n"));
    }

    #[test]
    fn timers_have_frrs_clock() {
        assert_eq!(
            event_timers(&[("compare", Duration::from_secs(3725))]),
            format!("\nShowing timers for main\n-----------------------\n  {:<50}01:02:05\n", "compare")
        );
    }
}
