//! Pretty printing as json-c does it for FRR: two spaces, no blank after the colon, slashes as they are, keys in the
//! order given. Only writing; nothing is read back.

use std::fmt::Write;

use crate::Release;

/// A JSON value whose objects keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true`, `false`
    Bool(bool),
    /// A number; FRR prints only integers here.
    Int(i64),
    /// A string.
    Text(String),
    /// `[…]`
    Array(Vec<Value>),
    /// `{…}`
    Object(Vec<(&'static str, Value)>),
    /// `{…}` with keys that an operator has chosen.
    Named(Vec<(String, Value)>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl Value {
    /// The text, ending in a newline.
    #[must_use]
    pub fn print(&self, release: Release) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, release.broken_empty_array());
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize, broken_empty: bool) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Text(text) => quote(text, out),
            Self::Array(items) if items.is_empty() && !broken_empty => out.push_str("[]"),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    new_line(out, index > 0, depth + 1);
                    item.write(out, depth + 1, broken_empty);
                }
                new_line(out, false, depth);
                out.push(']');
            }
            Self::Object(members) => {
                object(members.iter().map(|(key, value)| (*key, value)), out, depth, broken_empty);
            }
            Self::Named(members) => {
                object(members.iter().map(|(key, value)| (key.as_str(), value)), out, depth, broken_empty);
            }
        }
    }
}

fn object<'a>(
    members: impl ExactSizeIterator<Item = (&'a str, &'a Value)>,
    out: &mut String,
    depth: usize,
    broken_empty: bool,
) {
    if members.len() == 0 && !broken_empty {
        return out.push_str("{}");
    }
    out.push('{');
    for (index, (key, value)) in members.enumerate() {
        new_line(out, index > 0, depth + 1);
        quote(key, out);
        out.push(':');
        value.write(out, depth + 1, broken_empty);
    }
    new_line(out, false, depth);
    out.push('}');
}

fn new_line(out: &mut String, comma: bool, depth: usize) {
    if comma {
        out.push(',');
    }
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// `{"attr":{…,"entriesCount":N},"table":[…]}`
pub(crate) fn table(attributes: Vec<(&'static str, Value)>, rows: Vec<Value>) -> Value {
    Value::Object(vec![("attr", Value::Object(attributes)), ("table", Value::Array(rows))])
}

/// Row counts beyond what fits are not worth a failure.
pub(crate) fn count(rows: usize) -> Value {
    Value::Int(i64::try_from(rows).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_reads_back_with_an_independent_parser(text in "\\PC*|[\\x00-\\x20\"/\\\\]*") {
            let printed = Value::Object(vec![("key", Value::Text(text.clone()))]).print(Release::new(10, 3));
            let parsed: serde_json::Value = serde_json::from_str(&printed).unwrap();
            prop_assert_eq!(parsed["key"].as_str(), Some(text.as_str()));
        }
    }
}
