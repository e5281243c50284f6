//! What the daemon answers to `show running-config` on the vty socket. Owns the lines around the configuration; the
//! NHRP lines themselves come from `nhrp-config`.

use crate::{LibraryConfig, Release};

/// The parts of a running configuration.
#[derive(Clone, Copy, Debug)]
pub struct RunningConfig<'a> {
    /// FRR's version exactly as zebra prints it, or vtysh shows both lines: `10.3`, `8.4.4`.
    pub version: &'a str,
    /// Release whose form is wanted.
    pub release: Release,
    /// The system's node name, printed unless `hostname` was configured.
    pub hostname: &'a str,
    /// Log target of the command line, as in FRR's comment: `log file PATH LEVEL`.
    pub command_line_log: Option<&'a str>,
    /// Logging, passwords, access lists.
    pub library: &'a LibraryConfig,
    /// `nhrp_config::Config::render`: interfaces, debug lines, `!`, global lines.
    pub body: &'a str,
}

/// The text, without the header and the `end` that vtysh adds by itself.
#[must_use]
pub fn running_config(config: &RunningConfig<'_>) -> String {
    let mut out = format!("frr version {}\nfrr defaults {}\n!\n", config.version, config.library.profile);
    for line in config.library.host_lines(config.release, config.hostname, config.command_line_log) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str("!\n");
    let memstats = config.library.memstats_line();
    out.push_str(memstats);
    // FRR ends what some parts have written with one more. That of debug lines, which is always there, is in the body.
    let of_parts = [!memstats.is_empty(), config.body.starts_with("interface ")];
    let of_parts = of_parts.into_iter().filter(|there| *there).count();
    out.push_str(&"!\n".repeat(2 + usize::from(config.release.extra_separator()) + of_parts));
    out.push_str(config.body);
    for line in config.library.list_lines() {
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str("!\n");
    out.push_str(&config.library.vty_lines());
    out.push_str("!\n");
    out
}

/// The file that `write file` makes of it. `timestamp` is local time as `YYYY/MM/DD HH:MM:SS`.
#[must_use]
pub fn saved_file(running: &str, timestamp: &str) -> String {
    format!("!\n! Zebra configuration saved from vty\n!   {timestamp}\n!\n{running}")
}
