//! One boot: a shared directory, a guest that works through a plan, its results.
//!
//! Owns the directory, the guest's console and its end. Never knows how a guest is made (the back ends
//! do) nor what the plan is about.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::build::Program;
use super::interrupt::interrupted;
use super::probe::Machine;
use super::tree::Tree;
use crate::failure::{Context, Failure, Result, ensure};
use crate::plan::{PYTHON, Plan, Report, STORY, TOPOTESTS, results_file};

/// Longest time from power on to the first case, on a busy machine.
const BOOT: Duration = Duration::from_secs(60);

/// First process of a guest kernel: mounts what the lab's own program needs to start, runs it, reaps
/// what daemons leave behind, turns the machine off. `LAB_DIR` and `LAB_MODULES` come from the kernel's
/// command line and are paths that hostfs sees (User-mode Linux), or are not set (a virtual machine,
/// whose initial file system has mounted them already). Kernels from 6.11 want the name of hostfs's
/// option, older ones do not know it.
const INIT: &str = "\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
host() { mount -t hostfs -o \"hostfs=$1\" none \"$2\" 2>/dev/null || mount -t hostfs -o \"$1\" none \"$2\"; }
[ -n \"$LAB_DIR\" ] && host \"$LAB_DIR\" /lab
[ -n \"$LAB_MODULES\" ] && host \"$LAB_MODULES\" /lib/modules
/lab/bin/lab guest || echo 'LAB-DIED'
sync
echo o > /proc/sysrq-trigger
while :; do sleep 1; done
";

/// What is done with the guest's console, besides keeping a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Console {
    /// Nothing.
    Quiet,
    /// Its story lines go to standard output.
    Story,
    /// It is the terminal of the lab.
    Terminal,
}

/// The shared directory of a boot; removed at the end unless kept.
#[derive(Debug)]
pub(crate) struct BootDir {
    dir: tempfile::TempDir,
}

impl BootDir {
    /// Makes it, with the programs and the plan in it.
    pub(crate) fn new(programs: &[Program], plan: &Plan) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("nhrpd-lab-")
            .tempdir()
            .context(|| "making a temporary directory".to_owned())?;
        let path = dir.path();
        for name in ["bin", "out"] {
            fs::create_dir(path.join(name)).context(|| format!("making {name} in {}", path.display()))?;
        }
        for program in programs {
            let target = path.join("bin").join(program.name);
            // A link is free and keeps this build even when the next one replaces the file.
            fs::hard_link(&program.path, &target)
                .or_else(|_| fs::copy(&program.path, &target).map(drop))
                .context(|| format!("copying {}", program.path.display()))?;
        }
        let init = path.join("init");
        fs::write(&init, INIT)
            .and_then(|()| fs::set_permissions(&init, fs::Permissions::from_mode(0o755)))
            .context(|| format!("writing {}", init.display()))?;
        let text = serde_json::to_string_pretty(plan).context(|| "writing the plan".to_owned())?;
        fs::write(path.join("plan.json"), text).context(|| "writing the plan".to_owned())?;
        Ok(Self { dir })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a copy of a directory's content into its directory `name`, which may be there already.
    pub(crate) fn add(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.path().join(name);
        fs::create_dir_all(&to).context(|| format!("making {}", to.display()))?;
        let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(&to).status();
        ensure!(
            status.is_ok_and(|status| status.success()),
            "copying {} to {}",
            from.display(),
            to.display()
        );
        Ok(())
    }

    /// Where the guest's console log is.
    pub(crate) fn console_log(&self) -> PathBuf {
        self.path().join("out/console.log")
    }

    /// Keeps it after the end; returns where its logs and captures are.
    pub(crate) fn keep(self) -> PathBuf {
        let path = self.dir.keep();
        for name in ["bin", PYTHON, TOPOTESTS] {
            let _ = fs::remove_dir_all(path.join(name)); // big, and not evidence
        }
        path.join("out")
    }

    /// The results so far.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let text = fs::read_to_string(results_file(self.path())).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A running guest; dropping it kills it.
#[derive(Debug)]
struct Guest {
    child: Child,
    own_group: bool,
    console: Option<JoinHandle<()>>,
}

impl Guest {
    fn start(mut command: Command, console: Console, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        if console == Console::Terminal {
            let child = command.spawn().context(|| format!("starting {name}"))?;
            return Ok(Self { child, own_group: false, console: None });
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().context(|| format!("starting {name}"))?;
        let output = child.stdout.take().context(|| "the guest has no console".to_owned())?;
        let errors = child.stderr.take().context(|| "the guest has no standard error".to_owned())?;
        let mut log = File::create(log).context(|| format!("creating {}", log.display()))?;
        let mut error_log = log.try_clone().context(|| "the console log".to_owned())?;
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut BufReader::new(errors), &mut error_log);
        });
        let console = std::thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let _ = log.write_all(&line);
                let text = String::from_utf8_lossy(&line);
                if let (Console::Story, Some(story)) =
                    (console, text.trim_end().strip_prefix(STORY.trim_end()))
                {
                    println!("{}", story.strip_prefix(' ').unwrap_or(story));
                }
                line.clear();
            }
        });
        Ok(Self { child, own_group: true, console: Some(console) })
    }

    fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn end(&mut self) {
        if self.running()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            // Its helpers (User-mode Linux has a process per process) are in its group.
            let pid = Pid::from_raw(pid);
            let _ = if self.own_group { killpg(pid, Signal::SIGKILL) } else { kill(pid, Signal::SIGKILL) };
            let _ = self.child.wait();
        }
        if let Some(console) = self.console.take() {
            let _ = console.join();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

/// Boots, waits for the guest's end, and calls `each` for every result as it comes. `limits` are the
/// longest times of the cases in order; a guest that takes longer for one is killed. Fails if the guest
/// ended in another way than by itself.
pub(crate) fn boot(
    machine: &Machine,
    tree: &Tree,
    dir: &BootDir,
    console: Console,
    limits: Option<&[Duration]>,
    mut each: impl FnMut(Report),
) -> Result<()> {
    let prepared = machine.command(tree, dir.path(), console)?;
    let mut guest = Guest::start(prepared.command, console, &dir.console_log())?;
    let mut seen = 0;
    let mut since = Instant::now();
    loop {
        let running = guest.running();
        let reports = dir.reports();
        for report in reports.iter().skip(seen) {
            each(report.clone());
            since = Instant::now();
        }
        seen = reports.len();
        if !running {
            guest.end();
            return Ok(());
        }
        if interrupted() {
            return Err(Failure::new("interrupted"));
        }
        if let Some(limits) = limits {
            let limit = (limits.get(seen).copied().unwrap_or_default() + BOOT) * machine.backend().slowness();
            if since.elapsed() > limit {
                return Err(Failure::new(format!(
                    "the guest was silent for {} s and was killed; the end of its console:\n{}",
                    limit.as_secs(),
                    console_end(&dir.console_log())
                )));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The last lines of a console log; if the kernel panicked, all that it said of it.
pub(crate) fn console_end(log: &Path) -> String {
    last_words(&console_text(log))
}

/// Whether the guest's kernel found itself locked up, which ends it.
pub(crate) fn locked_up(log: &Path) -> bool {
    console_text(log).contains(LOCKED_UP)
}

/// What a kernel says when a processor has run the same thing in the kernel for too long, and it is told to panic then.
const LOCKED_UP: &str = "Kernel panic - not syncing: softlockup";

/// Most lines of a kernel's panic: its registers and the calls that led there.
const PANIC_LINES: usize = 60;

fn console_text(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let from = panic.unwrap_or(lines.len().saturating_sub(10));
    let to = lines.len().min(from + PANIC_LINES);
    lines.get(from..to).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_panic_everything_is_told_and_else_the_last_ten_lines() {
        let lines =
            |from: usize, to: usize| (from..=to).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        assert_eq!(last_words(&lines(1, 30)), lines(21, 30));
        assert_eq!(last_words("only one"), "only one");
        let panic = format!("{LOCKED_UP}: hung tasks\n{}", lines(1, 20));
        assert_eq!(last_words(&format!("before\n{panic}")), panic);
        assert_eq!(last_words(&format!("{panic}\n{}", lines(21, 90))).lines().count(), PANIC_LINES);
    }
}
