//! Compares the words of a line with commands. Owns what an abbreviation may mean: an exact keyword beats an address
//! or number, that beats an abbreviated keyword, that beats a free word; decided word by word from the left, and only
//! between commands that fit to the end.

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::syntax::{Ast, Kind, Token};

/// How well a word fits, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Exact,
    Typed,
    Abbreviated,
    Free,
    Rest,
}

/// One matched element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    rank: Rank,
    token: Token,
    /// The keyword in full, or what was typed.
    pub(super) value: String,
}

impl Step {
    /// How well the word fits.
    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    /// Name of the capture.
    pub(super) fn name(&self) -> &'static str {
        self.token.name
    }

    /// It is this keyword.
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.token.kind == Kind::Keyword && self.token.label == keyword
    }
}

/// The best of all commands.
pub(super) enum Best<T> {
    /// This one.
    Found(Vec<Step>, T),
    /// Nothing begins like this.
    None,
    /// Two that differ in what an abbreviation stands for.
    Ambiguous,
    /// Words are missing.
    Incomplete,
}

/// Hears of each word that could come next: what was matched so far, and the word.
type Missing<'a> = &'a mut dyn FnMut(&[Step], &Token);

#[derive(Clone, Debug, Default)]
struct Thread {
    at: usize,
    steps: Vec<Step>,
}

/// Matches `words` with every command.
pub(super) fn best<'a, T>(commands: impl Iterator<Item = (&'a Ast, T)>, words: &[&str]) -> Best<T> {
    let mut incomplete = false;
    let mut missing = |_: &[Step], _: &Token| incomplete = true;
    let mut found: Option<(Vec<Step>, T)> = None;
    let mut ambiguous = false;
    for (ast, tag) in commands {
        let mut tag = Some(tag);
        let threads = run(ast, vec![Thread::default()], words, &mut missing);
        for thread in threads.into_iter().filter(|thread| thread.at == words.len()) {
            let order = found.as_ref().map_or(Ordering::Less, |(steps, _)| compare(&thread.steps, steps));
            match order {
                Ordering::Greater => {}
                Ordering::Equal => {
                    ambiguous |= found.as_ref().is_some_and(|(steps, _)| differ(&thread.steps, steps));
                }
                Ordering::Less => {
                    ambiguous = false;
                    found = match (tag.take(), found.take()) {
                        (Some(tag), _) | (None, Some((_, tag))) => Some((thread.steps, tag)),
                        (None, None) => None,
                    };
                }
            }
        }
    }
    match found {
        Some(_) if ambiguous => Best::Ambiguous,
        Some((steps, tag)) => Best::Found(steps, tag),
        None if incomplete => Best::Incomplete,
        None => Best::None,
    }
}

/// What may follow after `words`: each way that fits them, with the word that would come next, or none where the
/// command may end.
pub(super) fn continuations<'a>(
    commands: impl Iterator<Item = &'a Ast>,
    words: &[&str],
) -> Vec<(Vec<Step>, Option<Token>)> {
    let mut all = Vec::new();
    for ast in commands {
        let threads = run(ast, vec![Thread::default()], words, &mut |steps: &[Step], token: &Token| {
            all.push((steps.to_vec(), Some(*token)));
        });
        all.extend(threads.into_iter().filter(|t| t.at == words.len()).map(|thread| (thread.steps, None)));
    }
    all
}

fn compare(left: &[Step], right: &[Step]) -> Ordering {
    left.iter().map(|step| step.rank).cmp(right.iter().map(|step| step.rank))
}

/// Equally good, but an abbreviation would stand for different keywords.
fn differ(left: &[Step], right: &[Step]) -> bool {
    left.iter()
        .zip(right)
        .any(|(left, right)| left.rank == Rank::Abbreviated && left.token.label != right.token.label)
}

fn run(ast: &Ast, threads: Vec<Thread>, words: &[&str], missing: Missing<'_>) -> Vec<Thread> {
    if threads.is_empty() {
        return threads;
    }
    match ast {
        Ast::Token(token) => {
            threads.into_iter().filter_map(|thread| advance(token, thread, words, missing)).collect()
        }
        Ast::Sequence(items) => {
            items.iter().fold(threads, |threads, item| run(item, threads, words, missing))
        }
        Ast::Choice(choices) => {
            choices.iter().flat_map(|choice| run(choice, threads.clone(), words, missing)).collect()
        }
        Ast::Optional(inner) => {
            let mut all = run(inner, threads.clone(), words, missing);
            all.extend(threads);
            all
        }
        Ast::Set(members) => {
            let members: Vec<&Ast> = members.iter().collect();
            run_set(&members, &threads, words, missing)
        }
    }
}

fn run_set(members: &[&Ast], threads: &[Thread], words: &[&str], missing: Missing<'_>) -> Vec<Thread> {
    let mut all = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let after = run(member, threads.to_vec(), words, missing);
        if after.is_empty() {
            continue;
        }
        let others: Vec<&Ast> = members
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, member)| *member)
            .collect();
        all.extend(run_set(&others, &after, words, missing));
        all.extend(after);
    }
    all
}

fn advance(token: &Token, mut thread: Thread, words: &[&str], missing: Missing<'_>) -> Option<Thread> {
    let Some(word) = words.get(thread.at) else {
        missing(&thread.steps, token);
        return None;
    };
    let rank = rank(token, word)?;
    let (value, next) = match token.kind {
        Kind::Keyword => (token.label.to_owned(), thread.at + 1),
        Kind::Line => (words.get(thread.at..).unwrap_or_default().join(" "), words.len()),
        _ => ((*word).to_owned(), thread.at + 1),
    };
    thread.steps.push(Step { rank, token: *token, value });
    thread.at = next;
    Some(thread)
}

/// `partial` may be the beginning of this word.
pub(super) fn could_begin(token: &Token, partial: &str) -> bool {
    let of = |characters: &str| partial.chars().all(|c| c.is_ascii_hexdigit() || characters.contains(c));
    match token.kind {
        Kind::Keyword => token.label.starts_with(partial),
        Kind::Word | Kind::Line => true,
        Kind::Range(_, high) => {
            partial.is_empty()
                || partial.bytes().all(|byte| byte.is_ascii_digit())
                    && partial.parse::<u64>().is_ok_and(|n| n <= high)
        }
        Kind::Ipv4 => partial.chars().all(|c| c.is_ascii_digit() || c == '.'),
        Kind::Ipv4Prefix => partial.chars().all(|c| c.is_ascii_digit() || "./".contains(c)),
        // A dot is part of one only behind a colon: `::ffff:192.0.2.1`.
        Kind::Ipv6 => of(":") || partial.contains(':') && of(":."),
        Kind::Ipv6Prefix => of(":/") || partial.contains(':') && of(":./"),
        Kind::Mac => of(":"),
    }
}

fn rank(token: &Token, word: &str) -> Option<Rank> {
    match token.kind {
        Kind::Keyword if word == token.label => Some(Rank::Exact),
        Kind::Keyword => token.label.starts_with(word).then_some(Rank::Abbreviated),
        Kind::Word => Some(Rank::Free),
        Kind::Line => Some(Rank::Rest),
        Kind::Range(low, high) => {
            let digits = word.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = word.parse().ok().filter(|_| digits)?;
            (low..=high).contains(&number).then_some(Rank::Typed)
        }
        Kind::Ipv4 => typed(word.parse::<Ipv4Addr>().is_ok()),
        Kind::Ipv6 => typed(word.parse::<Ipv6Addr>().is_ok()),
        Kind::Ipv4Prefix => typed(word.parse::<ipnet::Ipv4Net>().is_ok()),
        Kind::Ipv6Prefix => typed(word.parse::<ipnet::Ipv6Net>().is_ok()),
        Kind::Mac => typed(is_mac(word)),
    }
}

fn typed(fits: bool) -> Option<Rank> {
    fits.then_some(Rank::Typed)
}

fn is_mac(word: &str) -> bool {
    let octet =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    word.split(':').count() == 6 && word.split(':').all(octet)
}
