//! `swanctl.conf`: sections, settings, includes and references, as strongSwan reads them.
//!
//! Owns the grammar. Files come from a [`Files`]; what is not about connections is not kept, secrets least of all.
//! Never judges a setting: charon does.

use std::io;
use std::path::{Path, PathBuf};

/// Includes within includes.
const DEPTH: usize = 10;
/// Octets of all files together; a configuration of ten thousand connections has less.
const MOST_OCTETS: usize = 16 << 20;

/// Where files come from.
pub trait Files {
    /// The whole file.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The entries of a folder, full paths.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A section of the file: settings in their order, the last of a name counts; sections; and other sections, by their
/// full names, that what is missing is taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names and values.
    pub values: Vec<(String, String)>,
    /// Names and sections.
    pub sections: Vec<(String, Settings)>,
    references: Vec<String>,
}

impl Settings {
    /// Reads a file with what it includes, and puts what references name in their places.
    ///
    /// # Errors
    /// In words, with the file and the line.
    pub fn load(files: &dyn Files, path: &Path) -> Result<Self, String> {
        let mut root = Self::default();
        let mut room = MOST_OCTETS;
        let octets = files.read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        read_file(files, path, &octets, &mut root, DEPTH, &mut room)?;
        let whole = root.clone();
        root.resolve(&whole, DEPTH);
        Ok(root)
    }

    /// A section within.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Self> {
        self.sections.iter().find(|(found, _)| found == name).map(|(_, section)| section)
    }

    /// A value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn section_mut(&mut self, name: &str) -> &mut Self {
        let at = match self.sections.iter().position(|(found, _)| found == name) {
            Some(at) => at,
            None => {
                self.sections.push((name.to_owned(), Self::default()));
                self.sections.len() - 1
            }
        };
        // `at` is the place of what was found or has just been pushed.
        #[allow(clippy::indexing_slicing)]
        &mut self.sections[at].1
    }

    /// A setting without a value takes an earlier or a referenced one back; an empty text does that.
    fn set(&mut self, name: &str, value: String) {
        self.values.retain(|(found, _)| found != name);
        self.values.push((name.to_owned(), value));
    }

    fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |section, name| section.section(name))
    }

    /// What is there counts; what is missing comes from `other`.
    fn fill(&mut self, other: &Self) {
        for (name, value) in &other.values {
            if self.value(name).is_none() {
                self.values.push((name.clone(), value.clone()));
            }
        }
        for (name, section) in &other.sections {
            self.section_mut(name).fill(section);
        }
    }

    fn resolve(&mut self, whole: &Self, depth: usize) {
        for reference in std::mem::take(&mut self.references) {
            if let Some(target) = whole.find(&reference)
                && let Some(depth) = depth.checked_sub(1)
            {
                let mut target = target.clone();
                target.resolve(whole, depth);
                self.fill(&target);
            }
        }
        for (_, section) in &mut self.sections {
            section.resolve(whole, depth);
        }
        self.values.retain(|(_, value)| !value.is_empty());
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    Open,
    Close,
    Colon,
    Comma,
    Equals,
    Newline,
    Include(String),
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    at_start: bool,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, String> {
        loop {
            let Some(&c) = self.rest.peek() else { return Ok(None) };
            let token = match c {
                '\n' => {
                    self.rest.next();
                    self.line += 1;
                    self.at_start = true;
                    return Ok(Some(Token::Newline));
                }
                '\r' | '\t' | ' ' => {
                    self.rest.next();
                    continue;
                }
                '#' => {
                    self.skip_comment();
                    continue;
                }
                '{' => Token::Open,
                '}' => Token::Close,
                ':' => Token::Colon,
                ',' => Token::Comma,
                '=' => Token::Equals,
                '"' => return Err("a text in quotes where a name belongs".to_owned()),
                _ => return self.word().map(Some),
            };
            self.rest.next();
            self.at_start = matches!(token, Token::Open | Token::Close);
            return Ok(Some(token));
        }
    }

    fn skip_comment(&mut self) {
        while self.rest.next_if(|c| *c != '\n').is_some() {}
    }

    fn word(&mut self) -> Result<Token, String> {
        let mut name = String::new();
        // A dot belongs to the names in references only, and no section has one.
        while let Some(c) = self.rest.next_if(|c| !"#{}:,=\"\r\n\t ".contains(*c)) {
            name.push(c);
        }
        let first = std::mem::replace(&mut self.at_start, false);
        if first && name == "include" && matches!(self.rest.peek(), Some(' ' | '\t')) {
            while self.rest.next_if(|c| matches!(*c, ' ' | '\t')).is_some() {}
            if self.rest.peek() != Some(&'=') {
                return self.value().map(Token::Include);
            }
        }
        Ok(Token::Name(name))
    }

    /// What follows `=`, up to the end of the line, a comment or the end of the section.
    fn value(&mut self) -> Result<String, String> {
        let mut parts: Vec<String> = Vec::new();
        loop {
            match self.rest.peek().copied() {
                None | Some('\n' | '#' | '}') => return Ok(parts.join(" ")),
                Some('\r' | '\t' | ' ') => {
                    self.rest.next();
                }
                Some('"') => {
                    self.rest.next();
                    parts.push(self.quoted()?);
                }
                Some(_) => {
                    let mut word = String::new();
                    while let Some(c) = self.rest.next_if(|c| !"#}\"\r\n\t ".contains(*c)) {
                        word.push(c);
                    }
                    parts.push(word);
                }
            }
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => return Err("a text in quotes without its end".to_owned()),
                Some('"') => return Ok(text),
                Some('\\') => match self.rest.next() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('\n') => self.line += 1,
                    Some(other) => text.push(other),
                    None => return Err("a text in quotes without its end".to_owned()),
                },
                Some(c) => {
                    self.line += usize::from(c == '\n');
                    text.push(c);
                }
            }
        }
    }
}

fn read_file(
    files: &dyn Files,
    path: &Path,
    octets: &[u8],
    root: &mut Settings,
    depth: usize,
    room: &mut usize,
) -> Result<(), String> {
    *room = room
        .checked_sub(octets.len())
        .ok_or_else(|| format!("{}: more than {MOST_OCTETS} octets of configuration", path.display()))?;
    let text = String::from_utf8_lossy(octets);
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1, at_start: true };
    let mut reader = Reader { files, path, depth, room };
    reader
        .statements(&mut lexer, root, 0)
        .map_err(|error| format!("{}:{}: {error}", path.display(), lexer.line))
}

struct Reader<'a> {
    files: &'a dyn Files,
    path: &'a Path,
    depth: usize,
    room: &'a mut usize,
}

impl Reader<'_> {
    fn statements(&mut self, lexer: &mut Lexer<'_>, into: &mut Settings, level: usize) -> Result<(), String> {
        loop {
            match lexer.next()? {
                None if level == 0 => return Ok(()),
                None => return Err("a section without its end".to_owned()),
                Some(Token::Newline) => {}
                Some(Token::Close) if level > 0 => return Ok(()),
                Some(Token::Include(pattern)) => self.include(&pattern, into)?,
                Some(Token::Name(name)) => self.statement(lexer, into, &name, level)?,
                Some(other) => return Err(format!("unexpected {other:?}")),
            }
        }
    }

    fn statement(
        &mut self,
        lexer: &mut Lexer<'_>,
        into: &mut Settings,
        name: &str,
        level: usize,
    ) -> Result<(), String> {
        if level >= 32 {
            return Err("sections nested too deeply".to_owned());
        }
        let mut references = Vec::new();
        loop {
            match lexer.next()? {
                Some(Token::Newline) => {}
                Some(Token::Equals) => {
                    let value = lexer.value()?;
                    into.set(name, value);
                    return Ok(());
                }
                Some(Token::Open) => {
                    // What nobody here needs is read, for its end is to be found, and forgotten.
                    let mut forgotten = Settings::default();
                    let secret = level == 0 && name == "secrets";
                    let section = if secret { &mut forgotten } else { into.section_mut(name) };
                    section.references.append(&mut references);
                    return self.statements(lexer, section, level + 1);
                }
                Some(Token::Colon | Token::Comma) => match lexer.next()? {
                    Some(Token::Name(reference)) => references.push(reference),
                    other => return Err(format!("{other:?} where the name of a section belongs")),
                },
                other => return Err(format!("{other:?} behind {name:?}, where '=' or '{{' belongs")),
            }
        }
    }

    fn include(&mut self, pattern: &str, into: &mut Settings) -> Result<(), String> {
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(format!("include {pattern}: files include one another too deeply"));
        };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let pattern = folder.join(pattern);
        for file in matching(self.files, &pattern) {
            // As strongSwan: what cannot be read is passed over.
            match self.files.read(&file) {
                Ok(octets) => read_file(self.files, &file, &octets, into, depth, self.room)?,
                Err(error) => tracing::warn!(
                    target: "nhrp::vici",
                    "cannot read {}, which {} includes: {error}",
                    file.display(),
                    self.path.display()
                ),
            }
        }
        Ok(())
    }
}

/// The files that a pattern names, in their order. Only the last part may have `*` and `?`.
fn matching(files: &dyn Files, pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let name: Vec<char> = name.chars().collect();
    let mut found: Vec<PathBuf> = files
        .list(folder)
        .unwrap_or_default()
        .into_iter()
        .filter(|path| {
            let Some(file) = path.file_name().and_then(|n| n.to_str()) else { return false };
            // As glob(3): hidden files are not meant by `*`.
            let hidden = file.starts_with('.') && name.first() != Some(&'.');
            !hidden && glob(&name, &file.chars().collect::<Vec<_>>())
        })
        .collect();
    found.sort();
    found
}

fn glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star is, and how far what it stands for goes.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == c => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, until)) => {
                    *until += 1;
                    p = *at + 1;
                    t = *until;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}
