//! Metrics from the outside: the daemon's own are scraped, and judged by Prometheus's `promtool check metrics`.
//!
//! `NHRPD_PROMTOOL=/path/of/promtool cargo test -p nhrpd --test metrics` names it, if it is not in the path. Needs root,
//! for a network namespace of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set in the test that runs in the namespace.
const INSIDE: &str = "NHRPD_METRICS_INSIDE";

/// A daemon that ends with this value.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the daemon; gives what it logs up to the line that says where metrics are, and that place.
fn start(folder: &Path, listen: &[&str]) -> (Daemon, String) {
    let path = |name: &str| folder.join(name);
    std::fs::write(
        path("nhrpd.conf"),
        "interface gre1\n ip nhrp network-id 1\n ip nhrp nhs dynamic nbma 192.0.2.1\n",
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_nhrpd"))
        .args(["-u", "root", "-g", "root", "-P", "0", "--log", "stdout", "--zebra-release", "10.3"])
        .arg("--vty_socket")
        .arg(folder)
        .arg("-i")
        .arg(path("pid"))
        .arg("-z")
        .arg(path("zebra"))
        .arg("-f")
        .arg(path("nhrpd.conf"))
        .arg("--vici-socket")
        .arg(path("vici"))
        .args(listen)
        .stdout(Stdio::piped())
        .spawn()
        .expect("nhrpd");
    let stdout = child.stdout.take().unwrap();
    let daemon = Daemon(child);
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let place = lines.find_map(|line| Some(line.split_once("metrics are served on http://")?.1.to_owned()));
    let place = place.expect("nhrpd has ended");
    // Nobody reads its log from here on, which must not stop it.
    std::thread::spawn(move || lines.for_each(drop));
    (daemon, place.trim_end_matches("/metrics").to_owned())
}

fn scrape(place: &str) -> String {
    let mut stream = TcpStream::connect(place).expect("the endpoint");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    body.to_owned()
}

/// Whether Prometheus's own tool was there to judge the text.
fn accepted_by_promtool(text: &str) -> bool {
    let tool = std::env::var_os("NHRPD_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let started = Command::new(tool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = started else { return false };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr) + String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && words.is_empty(), "promtool: {words}\n{text}");
    true
}

#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let (_daemon, place) = start(folder.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let text = scrape(&place);
    for line in [
        "nhrpd_zebra_connected 0\n",
        "nhrpd_packets_sent_total{type=\"registration-request\"} 0\n",
        "nhrpd_registrations{family=\"ipv4\",state=\"stopped\"} 1\n",
        "nhrpd_interface_running{interface=\"gre1\",family=\"ipv4\"} 0\n",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    if !accepted_by_promtool(&text) {
        eprintln!("SKIPPED in part: no promtool; NHRPD_PROMTOOL names it");
    }
}

#[test]
fn the_daemon_is_scraped() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{said}");
}
