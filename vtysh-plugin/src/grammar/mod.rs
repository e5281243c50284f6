//! FRR's command grammar: which commands exist in which node, and what a line means there. Owns abbreviation,
//! ambiguity and the command table; keeps no state and carries nothing out.

mod args;
mod completion;
mod help;
mod matcher;
mod syntax;
mod table;

use std::sync::LazyLock;

use crate::{Command, Reply};

use args::Args;
pub(crate) use completion::next;
pub use completion::{Next, Words};
use syntax::Ast;

/// Kind of node; a bit in a set of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NodeKind {
    /// Just connected.
    View = 1,
    /// After `enable`.
    Enable = 2,
    /// After `configure`.
    Config = 4,
    /// `interface NAME`
    Interface = 8,
    /// `vrf NAME`
    Vrf = 16,
    /// `line vty`
    Line = 32,
}

/// What commands need to know besides their words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Interface of the node.
    pub(crate) interface: Option<&'a str>,
}

/// What a matched line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The daemon answers.
    Command(Command),
    /// Accepted, and without effect here.
    Ignore,
    /// Meant for another daemon.
    NothingToDo,
    /// `enable`
    Enable,
    /// `disable`
    Disable,
    /// `configure …`
    Configure,
    ConfigureFile,
    /// `interface NAME`
    EnterInterface(String),
    /// `vrf NAME`
    EnterVrf(String),
    /// `line vty`
    EnterLine,
    /// `exit`, `quit`, `exit-vrf`
    Exit,
    /// `end`
    End,
    /// `terminal length (0-512)`, `terminal no length`
    PageLength(Option<u16>),
    /// `list`
    List,
    /// `find REGEX`
    Find(String),
    /// `help`
    Help,
}

/// How to get help on a terminal.
pub(crate) const HELP: &str = "\
On a terminal, '?' shows what can be typed next, at every point of a line:
behind a blank all the words that may follow, behind the beginning of a word
those that begin like it. Tab completes a word as far as it is clear.

Words can be abbreviated as long as no other fits. 'list' shows every command
of the current mode, 'find REGEX' those of all modes that match.

";

/// Outcome of matching a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// Exactly one meaning.
    Found(Action),
    /// No command fits.
    None,
    /// Several abbreviations fit equally well.
    Ambiguous,
    /// It could become a command with more words.
    Incomplete,
}

/// Builds the action from the matched words; `None` if they turn out not to fit after all.
type Build = fn(&Args<'_>) -> Option<Action>;

/// One command of the table.
#[derive(Clone, Copy)]
struct Entry {
    nodes: u8,
    syntax: &'static str,
    build: Build,
    hidden: bool,
    /// Not FRR's.
    own: bool,
}

struct Compiled {
    entry: Entry,
    ast: Ast,
}

static COMMANDS: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compile = |entry: &Entry| {
        // A syntax that does not parse is caught by `every_syntax_of_the_table_parses`.
        syntax::parse(entry.syntax).ok().map(|ast| Compiled { entry: *entry, ast })
    };
    table::all().filter_map(compile).collect()
});

/// Finds the meaning of `line` in `node`.
pub(crate) fn parse(node: NodeKind, line: &str, context: &Context<'_>) -> Match {
    let words: Vec<&str> = line.split_whitespace().collect();
    // Abbreviations that FRR's users type mean what they mean there, whatever commands there are besides.
    match parse_among(node, &words, context, false) {
        Match::None => parse_among(node, &words, context, true),
        of_frr => of_frr,
    }
}

fn parse_among(node: NodeKind, words: &[&str], context: &Context<'_>, own: bool) -> Match {
    let in_node =
        COMMANDS.iter().filter(|command| command.entry.nodes & node as u8 != 0 && command.entry.own == own);
    match matcher::best(in_node.map(|command| (&command.ast, command.entry.build)), words) {
        matcher::Best::Found(steps, build) => {
            build(&Args::new(&steps, context)).map_or(Match::None, Match::Found)
        }
        matcher::Best::None => Match::None,
        matcher::Best::Ambiguous => Match::Ambiguous,
        matcher::Best::Incomplete => Match::Incomplete,
    }
}

/// `list`: the commands of a node.
pub(crate) fn list(node: NodeKind) -> String {
    let visible =
        COMMANDS.iter().filter(|command| command.entry.nodes & node as u8 != 0 && !command.entry.hidden);
    visible.map(|command| format!("    {}\n", syntax::without_names(command.entry.syntax))).collect()
}

/// `find`: the commands of all nodes that match a regular expression.
pub(crate) fn find(pattern: &str) -> Reply {
    let regex = match regex_lite::Regex::new(pattern) {
        Ok(regex) => regex,
        Err(error) => return Reply::warning(format!("% {error}")),
    };
    let nodes = [
        (NodeKind::View, "view"),
        (NodeKind::Enable, "enable"),
        (NodeKind::Config, "config"),
        (NodeKind::Interface, "interface"),
        (NodeKind::Vrf, "vrf"),
        (NodeKind::Line, "vty"),
    ];
    let mut text = String::new();
    for (node, name) in nodes {
        let found = list(node);
        for line in found.lines().map(str::trim_start).filter(|line| regex.is_match(line)) {
            text.push_str(&format!("  ({name})  {line}\n"));
        }
    }
    Reply::text(text)
}

#[cfg(test)]
mod forwarded;
#[cfg(test)]
mod tests;
