//! nhrpctl, the program, against a daemon: one shot, from a pipe, at a prompt, and when something is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../examples/vty_standalone/handler.rs"]
#[allow(dead_code, reason = "shared with the example")]
mod handler;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use handler::Standalone;
use nix::pty::openpty;
use tokio::sync::{mpsc, watch};
use vtysh_plugin::{Handler, TerminalSettings, VtyRequest, VtyServer};

struct Daemon {
    directory: tempfile::TempDir,
}

impl Daemon {
    /// Answers in a thread of its own for as long as the test lives.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("r1")).unwrap();
        let path = directory.path().join("r1/nhrpd.vty");
        let (ready, listening) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (sender, mut requests) = mpsc::channel(4);
                let settings = TerminalSettings {
                    hostname: "r1".into(),
                    login: true,
                    timeout: Some(std::time::Duration::ZERO),
                    ..TerminalSettings::default()
                };
                let (_settings, follow) = watch::channel(settings);
                tokio::spawn(VtyServer::bind(&path, None).unwrap().with_terminals(follow).run(sender));
                ready.send(()).unwrap();
                let mut handler = Standalone::new("10.3");
                while let Some(VtyRequest { command, reply }) = requests.recv().await {
                    let _ = reply.send(handler.execute(command));
                }
            });
        });
        listening.recv().unwrap();
        Self { directory }
    }

    fn command(&self) -> Command {
        command(self.directory.path())
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_nhrpctl")));
    command.arg("--vty_socket").arg(directory).args(["-N", "r1"]).stdin(Stdio::null());
    command
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn one_shot() {
    let daemon = Daemon::start();
    let output = daemon.command().args(["show", "running-config"]).output().unwrap();
    let (code, text, _) = told(&output);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("frr version 10.3\n"), "{text}");
    // In one session, up to the first that is refused.
    let commands = ["conf t", "int gre1", "ip nhrp holdtime 77", "bogus", "end", "show running-config"];
    let output = daemon.command().args(commands.iter().flat_map(|c| ["-c", c])).output().unwrap();
    assert_eq!(told(&output), (Some(1), "% [NHRP] Unknown command: bogus\n".into(), String::new()));
    let output = daemon.command().args(["show", "running-config"]).output().unwrap();
    assert!(told(&output).1.contains(" ip nhrp holdtime 77\n"));
    // Nothing to show is no failure.
    let output = daemon.command().args(["show", "ip", "nhrp", "nhs", "detail"]).output().unwrap();
    assert_eq!(told(&output).0, Some(0));
}

#[test]
fn words_for_the_completion_of_a_shell() {
    let daemon = Daemon::start();
    let words = |beginning: &str| {
        let output = daemon.command().args(["--next-words", beginning]).output().unwrap();
        let (code, text, problem) = told(&output);
        assert_eq!((code, problem.as_str()), (Some(0), ""), "{beginning}");
        text.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(words("show ip nhrp nhs "), ["detail", "json"]);
    assert_eq!(words("sh ip nhrp sh"), ["shortcut"]);
    assert_eq!(words("clear ip nhrp cache peer "), [""; 0], "an address is not to be guessed");
    assert_eq!(words("bogus "), [""; 0]);
    assert_eq!(words("show ?\u{3}exit\r"), [""; 0], "keys are no words");

    // What bash makes of it.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../nhrpd/debian/nhrpctl.bash");
    let directory = daemon.directory.path().display().to_string();
    let complete = |line: &[&str]| {
        let quoted: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        let bash = format!(
            ". {script}; COMP_WORDS=(nhrpctl --vty_socket {directory} -N r1 {}); COMP_CWORD={}; _nhrpctl; \
             echo \"${{COMPREPLY[*]}}\"",
            quoted.join(" "),
            line.len() + 4
        );
        let path = Path::new(env!("CARGO_BIN_EXE_nhrpctl")).parent().unwrap().display();
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        let output = Command::new("bash").args(["-c", &bash]).env("PATH", path).output().unwrap();
        told(&output).1.trim_end().to_owned()
    };
    assert_eq!(complete(&["show", "ip", "nhrp", "nhs", ""]), "detail json");
    assert_eq!(complete(&["clear", "ipv6", "nhrp", "shortcut", "2001", ":", "db8", "::", "/64"]), "");
    assert_eq!(complete(&["--ver"]), "--version");
    assert_eq!(complete(&["comm"]), "commit");
    assert_eq!(complete(&["--grpc", "unix:/x", "commit", "--re"]), "--replace");
}

#[test]
fn commands_from_a_pipe() {
    let daemon = Daemon::start();
    let mut child =
        daemon.command().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"! a comment\necho one\nexit\necho two\n").unwrap();
    assert_eq!(told(&child.wait_with_output().unwrap()), (Some(0), "one\n".into(), String::new()));
}

#[test]
fn a_prompt_with_help_completion_and_history() {
    let daemon = Daemon::start();
    let pty = openpty(None, None).unwrap();
    let side = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = daemon.command().stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    drop(pty.slave);
    let mut terminal = std::fs::File::from(pty.master);
    let mut screen = terminal.try_clone().unwrap();
    let (shows, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut octet = [0];
        while screen.read(&mut octet).is_ok_and(|count| count == 1) && shows.send(octet[0]).is_ok() {}
    });
    let mut until = |keys: &str, end: &str| {
        terminal.write_all(keys.as_bytes()).unwrap();
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            match shown.recv_timeout(std::time::Duration::from_secs(20)) {
                Ok(octet) => text.push(octet),
                Err(_) => panic!("no {end:?} in {:?}", String::from_utf8_lossy(&text)),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    until("", "r1# ");
    let help = until("show ip nhrp cache ?", "r1# show ip nhrp cache ");
    assert!(help.contains("detail") && help.contains("json"), "{help}");
    until("\u{15}conf t\r", "r1(config)# ");
    until("int gre1\r", "r1(config-if)# ");
    // Tab; ^C leaves the configuration and is no end of the program.
    until("tun\tso\t", "source ");
    until("\u{3}", "r1# ");
    // Up, up: the second to last line that was entered.
    assert!(until("\u{1b}[A\u{1b}[A\r", "r1(config)# ").contains("conf t"));
    terminal.write_all(b"end\rexit\r").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_said_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let (code, text, problem) = told(&command(directory.path()).arg("show").output().unwrap());
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(problem.contains("r1/nhrpd.vty") && problem.contains("is nhrpd running?"), "{problem}");

    // Somebody who hangs up.
    std::fs::create_dir(directory.path().join("r1")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(directory.path().join("r1/nhrpd.vty")).unwrap();
    std::thread::spawn(move || drop(socket.accept()));
    let (code, _, problem) = told(&command(directory.path()).arg("show").output().unwrap());
    assert!(code == Some(1) && problem.contains("the connection is lost"), "{problem}");
}

#[test]
fn data_needs_no_vty() {
    let run = |words: &[&str]| {
        told(
            &command(Path::new("/nowhere"))
                .args(["--grpc", "unix:/nowhere/grpc"])
                .args(words)
                .output()
                .unwrap(),
        )
    };
    for (words, code) in [(&["get"][..], 1), (&["commit", "/dev/null"], 1), (&["diff", "/dev/null"], 2)] {
        let (ended, out, problem) = run(words);
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{words:?}");
        let expected =
            if cfg!(feature = "grpc") { "cannot reach unix:/nowhere/grpc" } else { "built without gRPC" };
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{problem}");
    }
    // Two that belong together, and words for the daemon that only begin like these.
    assert_eq!(run(&["get", "--key", "x"]).0, Some(2));
    assert!(run(&["show", "get"]).2.contains("nhrpd.vty"));
}
