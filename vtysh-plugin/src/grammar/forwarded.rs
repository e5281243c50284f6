//! Every command that the vtysh of each release passes on is understood, in full and as short as vtysh lets it through.

use std::collections::BTreeSet;

use super::*;
use syntax::Kind;

/// Releases of which the lists are, oldest first; `master` is what comes after the last.
const RELEASES: [&str; 8] = ["8.4", "9.1", "10.0", "10.1", "10.3", "10.5", "10.7", "master"];

/// A line of the list.
struct Forwarded {
    releases: Vec<&'static str>,
    nodes: Vec<NodeKind>,
    effect: &'static str,
    definition: &'static str,
}

fn list() -> Vec<Forwarded> {
    let text = include_str!("../../tests/forwarded/commands.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [releases, nodes, effect, definition] =
                line.splitn(4, " | ").collect::<Vec<_>>().try_into().unwrap();
            let nodes = nodes.split(',').map(|node| match node {
                "view" => NodeKind::View,
                "enable" => NodeKind::Enable,
                "config" => NodeKind::Config,
                "interface" => NodeKind::Interface,
                "vrf" => NodeKind::Vrf,
                "vty" => NodeKind::Line,
                other => panic!("{other}"),
            });
            Forwarded { releases: range(releases), nodes: nodes.collect(), effect, definition }
        })
        .collect()
}

/// `all`, `10.3`, `-10.1`, `10.5-` or `9.1-10.1`.
fn range(text: &str) -> Vec<&'static str> {
    let place = |name: &str| RELEASES.iter().position(|release| *release == name).unwrap();
    let (from, to) = match text {
        "all" => ("", ""),
        one => one.split_once('-').unwrap_or((one, one)),
    };
    let from = if from.is_empty() { 0 } else { place(from) };
    let to = if to.is_empty() { RELEASES.len() - 1 } else { place(to) };
    RELEASES[from..=to].to_vec()
}

fn parse_in(node: NodeKind, line: &str) -> Match {
    parse(node, line, &Context { interface: (node == NodeKind::Interface).then_some("gre1") })
}

/// A word of a line, and whether it can be abbreviated.
type Words = Vec<(String, bool)>;

/// Words that a definition of FRR's accepts: every alternative, with and without what is optional.
fn samples(ast: &Ast) -> Vec<Words> {
    match ast {
        Ast::Token(token) => {
            let one = |word: &str| vec![vec![(word.to_owned(), false)]];
            match token.kind {
                Kind::Keyword => vec![vec![(token.label.to_owned(), true)]],
                Kind::Range(low, high) => {
                    vec![vec![(low.to_string(), false)], vec![(high.to_string(), false)]]
                }
                Kind::Ipv4 => one("192.0.2.1"),
                Kind::Ipv6 => one("2001:db8::1"),
                Kind::Ipv4Prefix => one("192.0.2.0/24"),
                Kind::Ipv6Prefix => one("2001:db8::/32"),
                Kind::Mac => one("02:00:00:00:00:01"),
                Kind::Word => one("word"),
                Kind::Line => vec![vec![("some".to_owned(), false), ("words".to_owned(), false)]],
            }
        }
        Ast::Sequence(items) => items.iter().fold(vec![Vec::new()], |heads, item| {
            let tails = samples(item);
            heads
                .iter()
                .flat_map(|head| tails.iter().map(|tail| [head.clone(), tail.clone()].concat()))
                .collect()
        }),
        Ast::Choice(choices) => choices.iter().flat_map(samples).collect(),
        Ast::Optional(inner) => [vec![Vec::new()], samples(inner)].concat(),
        Ast::Set(members) => {
            let all: Vec<_> = members.iter().map(|member| samples(member).concat()).collect();
            let backwards: Vec<_> = members.iter().rev().filter_map(|member| samples(member).pop()).collect();
            [members.iter().flat_map(samples).collect(), vec![backwards.concat()], all]
                .concat()
                .into_iter()
                .filter(|words| {
                    // A range gives two samples, of which a set takes one.
                    words.iter().collect::<BTreeSet<_>>().len() == words.len()
                })
                .collect()
        }
    }
}

fn line(words: &Words) -> String {
    words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")
}

/// What the list calls the way in which a line is answered.
fn effect(outcome: &Match) -> &'static str {
    match outcome {
        Match::Found(Action::Command(_) | Action::EnterInterface(_)) => "daemon",
        Match::Found(Action::Ignore) => "ignored",
        Match::Found(Action::NothingToDo) => "another's",
        Match::Found(_) => "session",
        Match::None | Match::Ambiguous | Match::Incomplete => "refused",
    }
}

/// Every keyword as short as it is clear, among what this release's vtysh passes on and what else FRR's nhrpd knows.
fn abbreviated(words: &Words, known: &[&Ast]) -> Words {
    let mut short = Words::new();
    for (index, (word, is_keyword)) in words.iter().enumerate() {
        let before: Vec<&str> = words[..index].iter().map(|(word, _)| word.as_str()).collect();
        let mut others = BTreeSet::new();
        let mut exact = false;
        for (_, token) in matcher::continuations(known.iter().copied(), &before) {
            match token {
                Some(token) if token.kind == Kind::Keyword => {
                    others.insert(token.label);
                }
                // An address or a number beats an abbreviation, and a free word loses to it.
                Some(token) => exact |= !matches!(token.kind, Kind::Word | Kind::Line),
                None => {}
            }
        }
        let shortest = (1..word.len()).find(|length| {
            let prefix = &word[..*length];
            others.iter().filter(|other| other.starts_with(prefix)).count() == 1
        });
        let cut = shortest.filter(|_| *is_keyword && !exact);
        short.push((word[..cut.unwrap_or(word.len())].to_owned(), false));
    }
    short
}

#[test]
fn every_command_of_every_release_is_understood_where_it_is_sent() {
    let list = list();
    let asts: Vec<Ast> = list
        .iter()
        .map(|known| {
            syntax::parse(known.definition).unwrap_or_else(|e| panic!("{}: {e:?}", known.definition))
        })
        .collect();
    for release in RELEASES {
        let (mut lines, mut shortened) = (0, 0);
        for (forwarded, ast) in list.iter().zip(&asts).filter(|(f, _)| f.releases.contains(&release)) {
            for node in &forwarded.nodes {
                let sent = list
                    .iter()
                    .zip(&asts)
                    .filter(|(other, _)| other.releases.contains(&release) && other.nodes.contains(node));
                let ours = COMMANDS.iter().filter(|c| c.entry.nodes & *node as u8 != 0 && !c.entry.own);
                let known: Vec<&Ast> = sent.map(|(_, ast)| ast).chain(ours.map(|c| &c.ast)).collect();
                for words in samples(ast) {
                    let full = line(&words);
                    let meant = parse_in(*node, &full);
                    assert_eq!(effect(&meant), forwarded.effect, "{release}, {node:?}: {full}");
                    lines += 1;
                    let short = line(&abbreviated(&words, &known));
                    if short != full {
                        assert_eq!(parse_in(*node, &short), meant, "{release}, {node:?}: {short} for {full}");
                        shortened += 1;
                    }
                }
            }
        }
        assert!(lines > 900 && shortened > 900, "{release}: {lines} lines, {shortened} shortened");
    }
}
