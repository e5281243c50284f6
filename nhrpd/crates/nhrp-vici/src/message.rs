//! A VICI message: named values, lists and sections, as they are nested on the wire.
//!
//! ```text
//!  1 section start   u8 length, name
//!  2 section end
//!  3 key/value       u8 length, name, u16 length, value
//!  4 list start      u8 length, name
//!  5 list item       u16 length, value
//!  6 list end
//! ```
//!
//! Owns both directions of that. Never interprets a name, and never recurses deeper than [`DEPTH`].

use std::fmt;

const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// Sections within sections; charon's own messages have four.
pub const DEPTH: usize = 16;

/// Why octets are no message, or a message has no octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It ends within an element.
    #[error("it ends in the middle of an element")]
    Truncated,
    /// An element of an unknown type, or one that may not be in this place.
    #[error("element type {0} in a place where it cannot be")]
    Element(u8),
    /// Sections are nested deeper than [`DEPTH`].
    #[error("sections nested deeper than {DEPTH}")]
    Depth,
    /// A name is no text.
    #[error("a name that is no text")]
    Name,
    /// A name has more than 255 octets, or a value more than 65,535.
    #[error("a name or a value is too long for the protocol")]
    TooLong,
}

/// Something with a name in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A value; nearly always text.
    Value(Vec<u8>),
    /// Values without names.
    List(Vec<Vec<u8>>),
    /// More of the same.
    Section(Section),
}

/// A section, or a whole message: names in their order, which may come up more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    items: Vec<(String, Item)>,
}

impl Section {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(name, Item::Value(value.as_ref().to_vec()));
        self
    }

    /// The same with one more section.
    #[must_use]
    pub fn with_section(mut self, name: &str, section: Self) -> Self {
        self.push(name, Item::Section(section));
        self
    }

    /// Appends an item.
    pub fn push(&mut self, name: &str, item: Item) {
        self.items.push((name.to_owned(), item));
    }

    /// Takes the place of every item of this name, or is appended.
    pub fn set(&mut self, name: &str, item: Item) {
        self.remove(name);
        self.push(name, item);
    }

    /// Removes every item of this name.
    pub fn remove(&mut self, name: &str) {
        self.items.retain(|(found, _)| found != name);
    }

    /// Names and items in their order.
    pub fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.items.iter().map(|(name, item)| (name.as_str(), item))
    }

    /// The first item of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|(found, _)| found == name).map(|(_, item)| item)
    }

    /// A value that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Item::Value(value) => std::str::from_utf8(value).ok(),
            Item::List(_) | Item::Section(_) => None,
        }
    }

    /// A value that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    /// Whether a value is `yes`.
    #[must_use]
    pub fn is_yes(&self, name: &str) -> bool {
        self.text(name) == Some("yes")
    }

    /// A section within.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Self> {
        match self.get(name)? {
            Item::Section(section) => Some(section),
            Item::Value(_) | Item::List(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn section_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.items.iter_mut().find(|(found, _)| found == name).and_then(|(_, item)| match item {
            Item::Section(section) => Some(section),
            Item::Value(_) | Item::List(_) => None,
        })
    }

    /// The sections within, in their order.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.items().filter_map(|(name, item)| match item {
            Item::Section(section) => Some((name, section)),
            Item::Value(_) | Item::List(_) => None,
        })
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let items = match self.get(name) {
            Some(Item::List(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().filter_map(|item| std::str::from_utf8(item).ok())
    }

    /// Appends the octets.
    ///
    /// # Errors
    /// If a name or a value is too long for the protocol.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), MessageError> {
        for (name, item) in &self.items {
            match item {
                Item::Value(value) => {
                    put_name(out, KEY_VALUE, name)?;
                    put_value(out, value)?;
                }
                Item::List(values) => {
                    put_name(out, LIST_START, name)?;
                    for value in values {
                        out.push(LIST_ITEM);
                        put_value(out, value)?;
                    }
                    out.push(LIST_END);
                }
                Item::Section(section) => {
                    put_name(out, SECTION_START, name)?;
                    section.encode(out)?;
                    out.push(SECTION_END);
                }
            }
        }
        Ok(())
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(octets: &[u8]) -> Result<Self, MessageError> {
        let mut rest = octets;
        // The sections that are open, the outermost first; each with its name.
        let mut open: Vec<(String, Self)> = Vec::new();
        let mut current = Self::new();
        while let Some((kind, after)) = rest.split_first() {
            rest = after;
            match *kind {
                SECTION_START => {
                    if open.len() >= DEPTH {
                        return Err(MessageError::Depth);
                    }
                    let name = take_name(&mut rest)?;
                    open.push((name, std::mem::take(&mut current)));
                }
                SECTION_END => {
                    let (name, outer) = open.pop().ok_or(MessageError::Element(SECTION_END))?;
                    let inner = std::mem::replace(&mut current, outer);
                    current.items.push((name, Item::Section(inner)));
                }
                KEY_VALUE => {
                    let name = take_name(&mut rest)?;
                    let value = take_value(&mut rest)?;
                    current.items.push((name, Item::Value(value)));
                }
                LIST_START => {
                    let name = take_name(&mut rest)?;
                    let mut values = Vec::new();
                    loop {
                        let (kind, after) = rest.split_first().ok_or(MessageError::Truncated)?;
                        rest = after;
                        match *kind {
                            LIST_ITEM => values.push(take_value(&mut rest)?),
                            LIST_END => break,
                            other => return Err(MessageError::Element(other)),
                        }
                    }
                    current.items.push((name, Item::List(values)));
                }
                other => return Err(MessageError::Element(other)),
            }
        }
        if open.is_empty() { Ok(current) } else { Err(MessageError::Truncated) }
    }
}

/// For logs, in one line. Values are cut short.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &[u8]| {
            let text: String = String::from_utf8_lossy(value).chars().take(64).collect();
            text.escape_debug().to_string()
        };
        for (at, (name, item)) in self.items.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            match item {
                Item::Value(value) => write!(f, "{space}{name}={}", short(value))?,
                Item::List(values) => {
                    let values: Vec<String> = values.iter().map(|value| short(value)).collect();
                    write!(f, "{space}{name}=[{}]", values.join(" "))?;
                }
                Item::Section(section) => write!(f, "{space}{name}={{{section}}}")?,
            }
        }
        Ok(())
    }
}

fn put_name(out: &mut Vec<u8>, kind: u8, name: &str) -> Result<(), MessageError> {
    out.push(kind);
    out.push(u8::try_from(name.len()).map_err(|_| MessageError::TooLong)?);
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

fn put_value(out: &mut Vec<u8>, value: &[u8]) -> Result<(), MessageError> {
    let length = u16::try_from(value.len()).map_err(|_| MessageError::TooLong)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], MessageError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(MessageError::Truncated)?;
    *rest = after;
    Ok(taken)
}

pub(crate) fn take_name(rest: &mut &[u8]) -> Result<String, MessageError> {
    let (length, after) = rest.split_first().ok_or(MessageError::Truncated)?;
    *rest = after;
    let name = take(rest, usize::from(*length))?;
    std::str::from_utf8(name).map(str::to_owned).map_err(|_| MessageError::Name)
}

fn take_value(rest: &mut &[u8]) -> Result<Vec<u8>, MessageError> {
    let (length, after) = rest.split_first_chunk::<2>().ok_or(MessageError::Truncated)?;
    *rest = after;
    take(rest, usize::from(u16::from_be_bytes(*length))).map(<[u8]>::to_vec)
}
