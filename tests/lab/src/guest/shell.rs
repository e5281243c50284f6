//! `cargo lab shell`: the demo network with a prompt.
//!
//! Owns the little command language. Never changes the network by itself.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Duration;

use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result};
use crate::mix::Mix;
use crate::plan::Plan;

/// Runs until `exit` or the end of input.
pub(super) fn run(out: &Path, plan: &Plan, mix: &Mix) -> Result<()> {
    println!("FRR {} ({}), nhrpd {mix}: starting …", plan.release, plan.frr_version);
    let mut dmvpn = Dmvpn::start(out, plan.release, mix, Shape::default())?;
    if let Err(failure) = dmvpn.wait_registered(Duration::from_secs(20)) {
        println!("not registered: {failure}");
    }
    let names = names(&dmvpn);
    println!(
        "Nodes: {}. `NODE COMMAND…` runs a command there, `NODE` alone opens a shell, `exit` ends.\n\
         Try: hub vtysh -c 'show ip nhrp' · s1 ping -c 3 -I 10.1.0.1 10.2.0.1 · s1 vtysh -c 'show ip nhrp shortcut'",
        names.join(" ")
    );
    loop {
        print!("lab> ");
        stdout().flush().context(|| "the terminal".to_owned())?;
        let mut line = String::new();
        if stdin().lock().read_line(&mut line).context(|| "the terminal".to_owned())? == 0 {
            return Ok(());
        }
        let line = line.trim();
        let (node, command) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (node, command.trim()) {
            ("", _) => {}
            ("exit" | "quit", _) => return Ok(()),
            (node, command) if names.iter().any(|name| name == node) => {
                let shell = ["setsid", "--ctty", "--wait", "bash", "--norc"];
                let words: Vec<&str> =
                    if command.is_empty() { shell.to_vec() } else { vec!["sh", "-c", command] };
                let status = dmvpn.node(node)?.interactive(&words)?;
                if status != 0 {
                    println!("[{status}]");
                }
            }
            (other, _) => println!("no node {other:?}: {} or exit", names.join(", ")),
        }
    }
}

fn names(dmvpn: &Dmvpn) -> Vec<String> {
    let mut names = dmvpn.names();
    names.push("inet".to_owned());
    names
}
