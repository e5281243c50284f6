//! nhrpctl: asks nhrpd over its vty socket what vtysh does not pass on, in one shot or at a prompt; and by gRPC what is
//! configured and known as data.
//!
//! Owns options, the local terminal and exit codes. Knows no command: lines are matched, completed and explained by the
//! daemon, so that client and daemon never differ about them.

mod client;
mod completion;
mod data;
#[cfg_attr(not(feature = "grpc"), path = "northbound_absent.rs")]
mod northbound;
mod terminal;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser};
use client::Client;
use data::{Data, Place};

/// FRR's directory of sockets.
const RUN: &str = "/var/run/frr";

/// Shows and changes nhrpd. Without a command: a prompt with history, Tab and `?`, or, if the input is no terminal,
/// the commands read from it.
#[derive(Debug, Parser)]
#[command(
    name = "nhrpctl",
    version,
    infer_long_args = true,
    // `help` is a word for the daemon.
    disable_help_subcommand = true
)]
struct Options {
    /// Path space of the daemon, as given to vtysh
    #[arg(short = 'N', long, value_name = "NAME")]
    pathspace: Option<String>,
    /// Directory of the daemon's vty socket
    #[arg(long = "vty_socket", value_name = "DIR", default_value = RUN)]
    vty_socket: PathBuf,
    /// Execute a command; several are executed one after the other, up to the first that is refused
    #[arg(short, long, value_name = "COMMAND", action = ArgAction::Append, conflicts_with = "words")]
    command: Vec<String>,
    /// Print the words that may follow the beginning of a command, for a shell's completion
    #[arg(long = "next-words", value_name = "BEGINNING", conflicts_with_all = ["command", "words"])]
    next_words: Option<String>,
    /// The words of one command, such as: show ip nhrp cache detail
    #[arg(value_name = "WORD", trailing_var_arg = true)]
    words: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    data: Option<Data>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // As diff(1): 1 is a difference, 2 is trouble.
    let trouble = if matches!(options.data, Some(Data::Diff(_))) { 2 } else { 1 };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("nhrpctl: {problem}");
            ExitCode::from(trouble)
        }
    }
}

/// Whether every command was accepted.
fn run(options: &Options) -> Result<bool, String> {
    if let Some(data) = &options.data {
        return northbound::run(&options.place, data);
    }
    if options.pathspace.as_deref().is_some_and(|name| name.is_empty() || name.contains(['/', '.'])) {
        return Err("a path space has no slash and no dot in its name".to_owned());
    }
    let directory = match &options.pathspace {
        Some(name) => options.vty_socket.join(name),
        None => options.vty_socket.clone(),
    };
    let mut client = Client::connect(&directory.join("nhrpd.vty"))?;
    if let Some(beginning) = &options.next_words {
        let words = completion::next_words(client, beginning)?;
        // Whoever reads this may have seen enough.
        let _ = std::io::stdout().write_all(words.as_bytes());
        return Ok(true);
    }
    let commands =
        if options.words.is_empty() { options.command.clone() } else { vec![options.words.join(" ")] };
    if !commands.is_empty() {
        return execute(&mut client, commands.into_iter().map(Ok));
    }
    let input = std::io::stdin();
    if input.is_terminal() {
        return terminal::run(client).map(|()| true);
    }
    let lines = input.lock().lines().map(|line| line.map_err(|e| format!("cannot read commands: {e}")));
    execute(&mut client, lines)
}

fn execute(
    client: &mut Client,
    commands: impl Iterator<Item = Result<String, String>>,
) -> Result<bool, String> {
    let mut out = std::io::stdout().lock();
    for command in commands {
        let answer = client.ask(&command?)?;
        // Whoever reads this may have seen enough.
        if out.write_all(&answer.text).and_then(|()| out.flush()).is_err() {
            return Ok(true);
        }
        if !answer.accepted {
            return Ok(false);
        }
        if client.is_over() {
            return Ok(true);
        }
    }
    Ok(true)
}
