//! Nodes: each a network, mount and UTS namespace of its own.
//!
//! Owns the namespaces. A node is a thread that has left the process's namespaces; whatever it starts is
//! in the node. So nothing needs a name in the file system, and nothing is left behind. Daemons find
//! their usual paths, because each node has its own `/run`, `/etc/frr`, `/var/log` and so on.
//! Never knows about NHRP.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{gettid, sethostname};

use super::process::Process;
use crate::failure::{Context, Failure, Result};

/// Directories that every node has for itself, empty at first.
const OWN: &[&str] = &["/run", "/tmp", "/etc/frr", "/etc/swanctl", "/var/log", "/var/tmp", "/var/lib/frr"];

/// Longest time a command may take before it counts as hung.
const COMMAND_LIMIT: &str = "30";

type Job = Box<dyn FnOnce() + Send>;

/// What a command did.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Exit code; 128 plus the signal's number if a signal ended it, 124 if it hung.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// One node. Cloning gives another handle to the same node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    name: String,
    tid: i32,
    jobs: Sender<Job>,
    out: PathBuf,
}

/// A set of nodes. Dropping it (and every handle to its nodes) ends the namespaces.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: BTreeMap<String, Node>,
    out: PathBuf,
}

impl Network {
    /// An empty network whose nodes write their logs below `out`.
    pub(crate) fn new(out: &Path) -> Self {
        Self { nodes: BTreeMap::new(), out: out.to_owned() }
    }

    /// Adds a node.
    pub(crate) fn add(&mut self, name: &str) -> Result<Node> {
        let node = Node::start(name, &self.out)?;
        self.nodes.insert(name.to_owned(), node.clone());
        Ok(node)
    }

    /// The node of this name.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.get(name).context(|| format!("no node {name}"))
    }

    /// A cable: a veth pair with one end in each node, named and addressed (`ADDRESS/LENGTH`), up.
    pub(crate) fn link(&self, a: (&str, &str, &str), b: (&str, &str, &str)) -> Result<()> {
        let (near, far) = (self.node(a.0)?, self.node(b.0)?);
        near.sh(&format!("ip link add {} type veth peer name {} netns {}", a.1, b.1, far.tid))?;
        for (node, (_, interface, address)) in [(near, a), (far, b)] {
            node.sh(&format!("ip address add {address} dev {interface}; ip link set {interface} up"))?;
        }
        Ok(())
    }
}

impl Node {
    fn start(name: &str, out: &Path) -> Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        let (report, started) = channel();
        let thread_name = name.to_owned();
        std::thread::Builder::new()
            .name(format!("node {name}"))
            .spawn(move || {
                let _ = report.send(enter(&thread_name).map(|()| gettid().as_raw()));
                inbox.into_iter().for_each(|job| job());
            })
            .context(|| format!("starting node {name}"))?;
        let tid = started.recv().context(|| format!("starting node {name}"))??;
        let out = out.join(name);
        fs::create_dir_all(&out).context(|| format!("creating {}", out.display()))?;
        let node = Self { name: name.to_owned(), tid, jobs, out };
        node.sh("install -d -o frr -g frr /run/frr /var/log/frr /var/tmp/frr; \
             chown frr:frr /etc/frr; [ ! -d /var/lib/frr ] || chown frr:frr /var/lib/frr; chmod 1777 /tmp /var/tmp; \
             ip link set lo up; \
             for name in all default; do echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter; done")?;
        node.write_file("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")?;
        Ok(node)
    }

    /// Its name, which is also its host name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a closure in the node's namespaces and waits for its result.
    fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, result) = channel();
        self.jobs
            .send(Box::new(move || {
                let _ = answer.send(work());
            }))
            .context(|| format!("node {} is gone", self.name))?;
        result.recv().context(|| format!("node {} is gone", self.name))
    }

    /// Writes a file as the node sees it.
    pub(crate) fn write_file(&self, path: &str, text: &str) -> Result<()> {
        let (path, text) = (path.to_owned(), text.to_owned());
        self.within(move || {
            if let Some(parent) = Path::new(&path).parent() {
                fs::create_dir_all(parent).context(|| format!("creating {}", parent.display()))?;
            }
            fs::write(&path, text).context(|| format!("writing {path}"))
        })?
    }

    /// Reads a file as the node sees it. What the kernel tells about networks is below `/proc/thread-self`: a node is
    /// a thread.
    pub(crate) fn read_file(&self, path: &str) -> Result<String> {
        let path = path.to_owned();
        self.within(move || fs::read_to_string(&path).context(|| format!("reading {path}")))?
    }

    /// Whether a path exists as the node sees it.
    pub(crate) fn exists(&self, path: &str) -> Result<bool> {
        let path = path.to_owned();
        self.within(move || Path::new(&path).exists())
    }

    /// Whether a process accepts connections at this Unix socket as the node sees it.
    pub(crate) fn listens(&self, socket: &str) -> Result<bool> {
        let socket = socket.to_owned();
        self.within(move || UnixStream::connect(&socket).is_ok())
    }

    /// Runs a command to its end. Everything that is run is written to the node's `commands.log`.
    pub(crate) fn run(&self, command: &[&str]) -> Result<Output> {
        let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let output = self.within(move || {
            Command::new("timeout").args(["-k", "1", COMMAND_LIMIT]).args(words).stdin(Stdio::null()).output()
        })?;
        let output = output.context(|| format!("running {command:?} on {}", self.name))?;
        let output = Output {
            status: exit_code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        self.log(&format!(
            "$ {}\n{}{}[{}]\n",
            command.join(" "),
            output.stdout,
            output.stderr,
            output.status
        ))?;
        Ok(output)
    }

    /// Runs a shell script that must succeed (as with `set -e`); returns its standard output.
    pub(crate) fn sh(&self, script: &str) -> Result<String> {
        let output = self.run(&["sh", "-ec", script])?;
        if output.status == 0 {
            return Ok(output.stdout);
        }
        Err(Failure::new(format!(
            "on {}: `{script}` ended with {}: {}{}",
            self.name,
            output.status,
            output.stdout,
            output.stderr.trim_end()
        )))
    }

    /// Starts a process in the background; its output goes to `NAME.log` below the node's directory.
    pub(crate) fn spawn(&self, name: &str, command: &[&str]) -> Result<Process> {
        let log = self.out.join(format!("{name}.log"));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .context(|| format!("opening {}", log.display()))?;
        let errors = file.try_clone().context(|| format!("opening {}", log.display()))?;
        self.log(&format!("$ {} &\n", command.join(" ")))?;
        let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let child = self.within(move || {
            let (program, arguments) = words.split_first().context(|| "an empty command".to_owned())?;
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(file)
                .stderr(errors)
                .spawn()
                .context(|| format!("starting {program}"))
        })??;
        Ok(Process::new(format!("{name} on {}", self.name), child, log))
    }

    /// Runs a command with the terminal of the lab itself and waits for it.
    pub(crate) fn interactive(&self, command: &[&str]) -> Result<i32> {
        let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        self.within(move || {
            let (program, arguments) = words.split_first().context(|| "an empty command".to_owned())?;
            let status =
                Command::new(program).args(arguments).status().context(|| format!("starting {program}"))?;
            Ok(exit_code(status))
        })?
    }

    /// Directory for this node's logs and captures.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    fn log(&self, text: &str) -> Result<()> {
        let path = self.out.join("commands.log");
        let mut file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .context(|| format!("opening {}", path.display()))?;
        file.write_all(text.as_bytes()).context(|| format!("writing {}", path.display()))
    }
}

/// Moves the calling thread into namespaces of its own.
fn enter(name: &str) -> Result<()> {
    let step = |what: &str| {
        let what = format!("node {name}: {what}");
        move || what
    };
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)
        .context(step("own namespaces"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context(step("private mounts"))?;
    for directory in OWN.iter().filter(|directory| Path::new(directory).is_dir()) {
        mount(Some("tmpfs"), *directory, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .context(step(directory))?;
    }
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).context(step("/sys"))?;
    sethostname(name).context(step("host name"))
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
