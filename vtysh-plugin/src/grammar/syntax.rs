//! The notation of FRR's command definitions, as a tree: `<a|b>` one of, `[x]` optional, `{a|b}` some of in any order,
//! `(1-5)` a range, `A.B.C.D` and its like addresses, `NAME` a word, `NAME...` the rest of the line, `$name` a name
//! for what was matched. Owns the notation; matches nothing.

/// What one word of input is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Literal, can be abbreviated.
    Keyword,
    /// Number, both ends included.
    Range(u64, u64),
    /// `A.B.C.D`
    Ipv4,
    /// `X:X::X:X`
    Ipv6,
    /// `A.B.C.D/M`
    Ipv4Prefix,
    /// `X:X::X:X/M`
    Ipv6Prefix,
    /// `X:X:X:X:X:X`
    Mac,
    /// Any word.
    Word,
    /// All remaining words.
    Line,
}

/// One element of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// How it matches.
    pub(super) kind: Kind,
    /// As written in the syntax.
    pub(super) label: &'static str,
    /// Name of the capture; without one the label, or nothing for a keyword, so that no name is a keyword by chance.
    pub(super) name: &'static str,
}

/// A command's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ast {
    /// One word (or the rest of the line).
    Token(Token),
    /// One after the other.
    Sequence(Vec<Ast>),
    /// One of them.
    Choice(Vec<Ast>),
    /// Perhaps.
    Optional(Box<Ast>),
    /// At least one of them, each at most once, in any order.
    Set(Vec<Ast>),
}

/// Where a syntax is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError(
    #[allow(dead_code, reason = "shown by the test that parses the table")] pub(super) usize,
);

/// Parses one command definition.
pub(super) fn parse(text: &'static str) -> Result<Ast, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    let ast = parser.sequence()?;
    if parser.at == text.len() { Ok(ast) } else { Err(SyntaxError(parser.at)) }
}

/// The definition as FRR's `list` shows it.
pub(super) fn without_names(text: &str) -> String {
    let mut out = String::new();
    let mut in_name = false;
    for character in text.chars() {
        in_name = match character {
            '$' => true,
            other => in_name && (other.is_ascii_alphanumeric() || other == '_'),
        };
        if !in_name {
            out.push(character);
        }
    }
    out
}

struct Parser {
    text: &'static str,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn error<T>(&self) -> Result<T, SyntaxError> {
        Err(SyntaxError(self.at))
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'static str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let taken = rest.split(|character| !wanted(character)).next().unwrap_or_default();
        self.at += taken.len();
        taken
    }

    fn sequence(&mut self) -> Result<Ast, SyntaxError> {
        let mut items = Vec::new();
        loop {
            self.take_while(|character| character == ' ');
            match self.peek() {
                None | Some('|' | '>' | ']' | '}') => break,
                Some(_) => items.push(self.item()?),
            }
        }
        if items.is_empty() { self.error() } else { Ok(Ast::Sequence(items)) }
    }

    fn choices(&mut self, close: char) -> Result<Vec<Ast>, SyntaxError> {
        self.at += 1;
        let mut choices = vec![self.sequence()?];
        while self.peek() == Some('|') {
            self.at += 1;
            choices.push(self.sequence()?);
        }
        if self.peek() != Some(close) {
            return self.error();
        }
        self.at += 1;
        if let Some(name) = self.name()? {
            choices.iter_mut().for_each(|choice| rename(choice, name));
        }
        Ok(choices)
    }

    fn name(&mut self) -> Result<Option<&'static str>, SyntaxError> {
        if self.peek() != Some('$') {
            return Ok(None);
        }
        self.at += 1;
        match self.take_while(|character| character.is_ascii_alphanumeric() || character == '_') {
            "" => self.error(),
            name => Ok(Some(name)),
        }
    }

    fn item(&mut self) -> Result<Ast, SyntaxError> {
        match self.peek() {
            Some('<') => Ok(Ast::Choice(self.choices('>')?)),
            Some('[') => Ok(Ast::Optional(Box::new(Ast::Choice(self.choices(']')?)))),
            Some('{') => Ok(Ast::Set(self.choices('}')?)),
            _ => self.token(),
        }
    }

    fn token(&mut self) -> Result<Ast, SyntaxError> {
        let label = self.take_while(|character| !" <>[]{}|$".contains(character));
        let Some(kind) = kind_of(label) else { return self.error() };
        let name = self.name()?.unwrap_or(if kind == Kind::Keyword { "" } else { label });
        Ok(Ast::Token(Token { kind, label, name }))
    }
}

fn kind_of(label: &str) -> Option<Kind> {
    Some(match label {
        "" => return None,
        "A.B.C.D" => Kind::Ipv4,
        "X:X::X:X" => Kind::Ipv6,
        "A.B.C.D/M" => Kind::Ipv4Prefix,
        "X:X::X:X/M" => Kind::Ipv6Prefix,
        "X:X:X:X:X:X" => Kind::Mac,
        range if range.starts_with('(') => {
            let (low, high) = range.strip_prefix('(')?.strip_suffix(')')?.split_once('-')?;
            Kind::Range(low.parse().ok()?, high.parse().ok()?)
        }
        line if line.ends_with("...") => Kind::Line,
        keyword if keyword.chars().any(|character| character.is_ascii_lowercase()) => Kind::Keyword,
        _ => Kind::Word,
    })
}

/// Gives the unnamed tokens below `ast` a name.
fn rename(ast: &mut Ast, name: &'static str) {
    match ast {
        Ast::Token(token) if token.name.is_empty() || token.name == token.label => token.name = name,
        Ast::Token(_) => {}
        Ast::Sequence(items) | Ast::Choice(items) | Ast::Set(items) => {
            items.iter_mut().for_each(|item| rename(item, name));
        }
        Ast::Optional(inner) => rename(inner, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_the_builder_only() {
        assert_eq!(
            without_names("no <ip|ipv6>$afi nhrp map A.B.C.D$a [B$b]"),
            "no <ip|ipv6> nhrp map A.B.C.D [B]"
        );
    }

    #[test]
    fn mistakes_are_found_where_they_are() {
        assert_eq!(parse("a <b|c"), Err(SyntaxError(6)));
        assert_eq!(parse("a []"), Err(SyntaxError(3)));
        assert_eq!(parse("a > b"), Err(SyntaxError(2)));
        assert_eq!(parse("a (1-x)"), Err(SyntaxError(7)));
    }
}
