//! What may come next on a line: for `?` and Tab on telnet, and for an interactive tool. Owns which words are offered
//! and in which order; what they are good for says `help`.

use std::collections::BTreeMap;

use super::matcher::{self, Rank, Step};
use super::syntax::Kind;
use super::{COMMANDS, Compiled, NodeKind, help};

/// What may follow on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The words before do not begin a command.
    NoMatch,
    /// One of the words before stands for several keywords.
    Ambiguous,
    /// These.
    Words(Words),
}

/// Words that may follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Keywords and placeholders with what they are good for, sorted.
    pub choices: BTreeMap<&'static str, &'static str>,
    /// Of the choices, those that are keywords.
    pub keywords: Vec<&'static str>,
    /// The line may end here.
    pub end: bool,
}

impl Words {
    /// What Tab puts behind `partial`, the beginning of a word that these may become: the rest as far as it is clear, with
    /// a blank if that is the whole word.
    #[must_use]
    pub fn tab(&self, partial: &str) -> String {
        let rest = |word: &str| word.get(partial.len()..).unwrap_or_default().to_owned();
        match self.keywords.as_slice() {
            [only] => rest(only) + " ",
            words => rest(common_beginning(words)),
        }
    }
}

fn common_beginning<'a>(words: &[&'a str]) -> &'a str {
    let Some((first, others)) = words.split_first() else { return "" };
    let shared = |word: &&str| first.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    let length = others.iter().map(shared).min().unwrap_or(first.len());
    first.get(..length).unwrap_or_default()
}

/// What may follow in a node after `words`; `partial` is the beginning of the next word, empty for none.
pub(crate) fn next(node: NodeKind, words: &[&str], partial: &str) -> Next {
    let visible = |command: &&Compiled| command.entry.nodes & node as u8 != 0 && !command.entry.hidden;
    let commands = COMMANDS.iter().filter(visible).map(|command| &command.ast);
    let mut ways = matcher::continuations(commands, words);
    for position in 0..words.len() {
        let rank = |steps: &[Step]| steps.get(position).map(Step::rank);
        let Some(best) = ways.iter().filter_map(|(steps, _)| rank(steps)).min() else { continue };
        if best <= Rank::Typed {
            ways.retain(|(steps, _)| rank(steps) == Some(best));
        }
        if best == Rank::Abbreviated {
            let mut meant =
                ways.iter().filter_map(|(steps, _)| steps.get(position)).filter(|s| s.rank() == best);
            let first = meant.next().map(|step| step.value.clone());
            if meant.any(|step| Some(&step.value) != first.as_ref()) {
                return Next::Ambiguous;
            }
        }
    }
    let mut words = Words::default();
    for (_, token) in ways {
        match token {
            None => words.end = true,
            Some(token) if matcher::could_begin(&token, partial) => {
                words.choices.insert(token.label, help::of(&token));
                if token.kind == Kind::Keyword && !words.keywords.contains(&token.label) {
                    words.keywords.push(token.label);
                }
            }
            Some(_) => {}
        }
    }
    // Part of a word is there: the line does not end before it.
    words.end &= partial.is_empty();
    words.keywords.sort_unstable();
    if words.choices.is_empty() && !words.end { Next::NoMatch } else { Next::Words(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::syntax::{Ast, Token};

    /// A visible keyword or placeholder of any command, for the test that each is explained.
    fn all_tokens() -> Vec<Token> {
        fn collect(ast: &Ast, out: &mut Vec<Token>) {
            match ast {
                Ast::Token(token) => out.push(*token),
                Ast::Sequence(items) | Ast::Choice(items) | Ast::Set(items) => {
                    items.iter().for_each(|item| collect(item, out));
                }
                Ast::Optional(inner) => collect(inner, out),
            }
        }
        let mut all = Vec::new();
        for command in COMMANDS.iter().filter(|command| !command.entry.hidden) {
            collect(&command.ast, &mut all);
        }
        all
    }

    fn choices(node: NodeKind, line: &str, partial: &str) -> Vec<&'static str> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match next(node, &words, partial) {
            Next::Words(words) => {
                let end = words.end.then_some("<cr>");
                words.choices.keys().copied().chain(end).collect()
            }
            other => panic!("{line} {partial}: {other:?}"),
        }
    }

    #[test]
    fn the_words_that_frr_offers() {
        // FRR 10.3's telnet vty, same input.
        assert_eq!(
            choices(NodeKind::View, "sh ip nhrp", ""),
            // And ours, `peer` and `statistics`.
            ["cache", "json", "nhs", "opennhrp", "peer", "shortcut", "statistics", "<cr>"]
        );
        assert_eq!(choices(NodeKind::View, "", "sh"), ["show"]);
        assert_eq!(choices(NodeKind::Interface, "ip nhrp map", ""), ["A.B.C.D", "X:X::X:X", "multicast"]);
        assert_eq!(choices(NodeKind::Interface, "ip nhrp map 1.2.3.4", ""), ["A.B.C.D", "local"]);
        assert_eq!(choices(NodeKind::Interface, "ip nhrp holdtime", ""), ["(1-65000)"]);
        assert_eq!(choices(NodeKind::Interface, "ip nhrp holdtime 70", ""), ["<cr>"]);
        assert_eq!(choices(NodeKind::Interface, "tunnel", ""), ["protection", "source"]);
        let of_line = [
            "access-class",
            "end",
            "exec-timeout",
            "exit",
            "find",
            "help",
            "ipv6",
            "list",
            "login",
            "no",
            "quit",
        ];
        let ours = choices(NodeKind::Line, "", "");
        assert!(of_line.iter().all(|word| ours.contains(word)), "{ours:?}");
    }

    #[test]
    fn an_exact_word_is_not_ambiguous() {
        assert!(choices(NodeKind::View, "show ip", "").contains(&"nhrp"));
        assert_eq!(next(NodeKind::Enable, &["c"], ""), Next::Ambiguous);
        assert_eq!(next(NodeKind::Enable, &["bogus"], ""), Next::NoMatch);
        assert_eq!(next(NodeKind::Enable, &["no", "bogus"], "x"), Next::NoMatch);
    }

    #[test]
    fn a_number_out_of_range_is_not_offered() {
        assert_eq!(next(NodeKind::Interface, &["ip", "nhrp", "holdtime"], "x"), Next::NoMatch);
        assert_eq!(choices(NodeKind::Interface, "ip nhrp holdtime", "7"), ["(1-65000)"]);
        assert_eq!(choices(NodeKind::Interface, "ip nhrp map", "10.0"), ["A.B.C.D"]);
    }

    #[test]
    fn every_word_is_explained() {
        let silent: Vec<&str> =
            all_tokens().iter().filter(|token| help::of(token).is_empty()).map(|token| token.label).collect();
        assert!(silent.is_empty(), "no help for {silent:?}");
    }
}
