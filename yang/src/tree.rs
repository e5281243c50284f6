//! Data trees: the wrapper of libyang. Owns every check that has to be made before libyang sees something, because its
//! binding panics at NUL and leaves other things to the caller.

use yang5::data::{
    Data, DataFormat, DataOperation, DataParserFlags, DataPrinterFlags, DataTree, DataValidationFlags,
};
use yang5::schema::SchemaNodeKind;

use crate::Schema;

/// Longest path that is looked at, in octets; FRR's limit for its own.
pub const MAX_PATH: usize = 4096;

/// How data are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 7951.
    Json,
    /// RFC 7950 section 7.
    Xml,
}

impl From<Format> for DataFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::JSON,
            Format::Xml => Self::XML,
        }
    }
}

/// Whether nodes that have their default are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithDefaults {
    /// All of them, also those that nobody has set.
    All,
    /// None.
    Trim,
}

/// What is wrong with a path, a value or a document. Who knows the path says it before the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// An octet that no path, value or document may have.
    #[error("{0} contains a NUL octet")]
    Nul(&'static str),
    /// See [`MAX_PATH`].
    #[error("path of {0} octets, longer than {MAX_PATH}")]
    PathTooLong(usize),
    /// Not from the root.
    #[error("it does not begin with '/'")]
    Relative,
    /// There is no such node, or the value does not fit.
    #[error("there is no such node to be configured, or \"{0}\" is no value of it")]
    Unset(String),
    /// The same of the input of an action.
    #[error("\"{path}\" is no input of it, or \"{value}\" is no value of that")]
    Input {
        /// Path of a leaf, as it was given.
        path: String,
        /// Value.
        value: String,
    },
    /// Nothing there, or more than one node.
    #[error("there is not exactly one such node")]
    NotOne,
    /// A key of a list entry: remove the entry.
    #[error("it is the key of its entry and cannot go without it")]
    Key,
    /// libyang's words about a document.
    #[error("{0}")]
    Document(String),
}

/// Data of the served modules, not necessarily valid.
#[derive(Debug)]
pub struct Tree<'s> {
    schema: &'s Schema,
    data: DataTree<'s>,
}

/// A path that may be given to libyang.
pub(crate) fn check_path(path: &str) -> Result<(), TreeError> {
    if path.contains('\0') {
        Err(TreeError::Nul("path"))
    } else if path.len() > MAX_PATH {
        Err(TreeError::PathTooLong(path.len()))
    } else if !path.starts_with('/') {
        Err(TreeError::Relative)
    } else {
        Ok(())
    }
}

/// libyang's last error. Only after a call that always leaves one.
fn words(error: yang5::Error) -> TreeError {
    let text = error.msg.unwrap_or_else(|| "not valid".to_owned());
    TreeError::Document(match error.path {
        Some(path) => format!("{text} ({path})"),
        None => text,
    })
}

impl<'s> Tree<'s> {
    /// No data.
    #[must_use]
    pub fn empty(schema: &'s Schema) -> Self {
        Self { schema, data: DataTree::new(&schema.context) }
    }

    /// Configuration from text. As in FRR, nodes of unknown modules are passed over, and the rest has to be valid.
    ///
    /// # Errors
    /// What libyang says.
    pub fn parse(schema: &'s Schema, text: &str, format: Format) -> Result<Self, TreeError> {
        Self::parse_with(schema, text, format, DataParserFlags::NO_STATE, DataValidationFlags::NO_STATE)
    }

    /// Data that this program has made itself: state is allowed, unknown nodes are not, and nothing else is looked at.
    pub(crate) fn parse_own(schema: &'s Schema, text: &str) -> Result<Self, TreeError> {
        let flags = DataParserFlags::STRICT | DataParserFlags::NO_VALIDATION;
        Self::parse_with(schema, text, Format::Json, flags, DataValidationFlags::empty())
    }

    fn parse_with(
        schema: &'s Schema,
        text: &str,
        format: Format,
        parser: DataParserFlags,
        validation: DataValidationFlags,
    ) -> Result<Self, TreeError> {
        if text.contains('\0') {
            return Err(TreeError::Nul("document"));
        }
        // libyang takes nothing for nothing in XML only.
        if text.trim().is_empty() {
            return Ok(Self::empty(schema));
        }
        let data = DataTree::parse_string(&schema.context, text, format.into(), parser, validation);
        Ok(Self { schema, data: data.map_err(words)? })
    }

    /// Creates a node of the configuration with everything above it, or gives it another value. Lists and containers
    /// take any value.
    ///
    /// # Errors
    /// The path names nothing that can be configured, or the value is not of its type. The tree may have changed then.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), TreeError> {
        check_path(path)?;
        if value.contains('\0') {
            return Err(TreeError::Nul("value"));
        }
        let refused = || TreeError::Unset(value.to_owned());
        let node = self.data.new_path(path, Some(value), false).map_err(|_| refused())?;
        let configures = node.is_none_or(|node| {
            node.schema().is_config()
                && node.inclusive_ancestors().all(|n| {
                    let kind = n.schema().kind();
                    !matches!(
                        kind,
                        SchemaNodeKind::Rpc | SchemaNodeKind::Action | SchemaNodeKind::Notification
                    )
                })
        });
        if configures { Ok(()) } else { Err(refused()) }
    }

    /// Removes a node with everything below it.
    ///
    /// # Errors
    /// The path does not name exactly one node, or names the key of a list entry.
    pub fn remove(&mut self, path: &str) -> Result<(), TreeError> {
        check_path(path)?;
        let missing = || TreeError::NotOne;
        if self.data.reference().is_none() {
            return Err(missing());
        }
        let key = {
            let node = self.data.find_path(path).map_err(|_| missing())?;
            node.schema().is_list_key()
        };
        if key {
            return Err(TreeError::Key);
        }
        self.data.remove(path).map_err(|_| missing())
    }

    /// Puts another tree over this one: its values win.
    ///
    /// # Errors
    /// libyang has no memory.
    pub fn merge(&mut self, other: &Self) -> Result<(), TreeError> {
        if other.data.reference().is_none() {
            return Ok(());
        }
        self.data.merge(&other.data).map_err(words)
    }

    /// A copy.
    ///
    /// # Errors
    /// libyang has no memory.
    pub fn copy(&self) -> Result<Self, TreeError> {
        Ok(Self { schema: self.schema, data: self.data.duplicate().map_err(words)? })
    }

    /// Whether this is a valid configuration. Defaults are added.
    ///
    /// # Errors
    /// libyang's words with the path, for the first fault.
    pub fn validate(&mut self) -> Result<(), TreeError> {
        self.data.validate(DataValidationFlags::NO_STATE).map_err(words)
    }

    /// What is at a path and below, with everything above it and the keys of the entries on the way; none if there is
    /// not exactly one such node.
    #[must_use]
    pub fn part(&self, path: &str) -> Option<Self> {
        check_path(path).ok()?;
        self.data.reference()?;
        let node = self.data.find_path(path).ok()?;
        // Copied once more, because the binding ties the first copy to the life of this tree.
        let mut part = Self::empty(self.schema);
        part.data.merge(&node.duplicate(true).ok()?).ok()?;
        Some(part)
    }

    /// Text of the data.
    ///
    /// # Errors
    /// libyang has no memory.
    pub fn print(&self, format: Format, defaults: WithDefaults) -> Result<String, TreeError> {
        let print = |format: Format| {
            let flags = DataPrinterFlags::WITH_SIBLINGS
                | match defaults {
                    WithDefaults::All => DataPrinterFlags::WD_ALL,
                    WithDefaults::Trim => DataPrinterFlags::WD_TRIM,
                };
            self.data.print_string(format.into(), flags).map_err(words)
        };
        let nothing = || match format {
            Format::Json => "{}\n".to_owned(),
            Format::Xml => String::new(),
        };
        if self.data.reference().is_none() {
            return Ok(nothing());
        }
        // Where libyang has nothing to write in XML, it writes into no memory at all, which its binding does not expect.
        let json = print(Format::Json)?;
        if json.chars().all(|c| "{} \n".contains(c)) {
            return Ok(nothing());
        }
        if format == Format::Json { Ok(json) } else { print(format) }
    }

    /// The same for this program's own use, without spaces and defaults.
    pub(crate) fn json(&self) -> Result<String, TreeError> {
        if self.data.reference().is_none() {
            return Ok("{}".to_owned());
        }
        let flags = DataPrinterFlags::WITH_SIBLINGS | DataPrinterFlags::WD_TRIM | DataPrinterFlags::SHRINK;
        self.data.print_string(DataFormat::JSON, flags).map_err(words)
    }

    /// An action with its input, checked; as JSON without defaults.
    ///
    /// # Errors
    /// Input that the action does not have, or a value that does not fit.
    pub(crate) fn operation(
        schema: &'s Schema,
        path: &str,
        input: &[(String, String)],
    ) -> Result<String, TreeError> {
        check_path(path)?;
        let mut data = DataTree::new(&schema.context);
        let refused =
            |path: &str, value: &str| TreeError::Input { path: path.to_owned(), value: value.to_owned() };
        data.new_path(path, None, false).map_err(|_| TreeError::NotOne)?;
        for (leaf, value) in input {
            let full = if leaf.starts_with('/') { leaf.clone() } else { format!("{path}/{leaf}") };
            check_path(&full)?;
            if value.contains('\0') {
                return Err(TreeError::Nul("value"));
            }
            let below = full.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
            let set = data.new_path(&full, Some(value), false);
            if !below || set.is_err() {
                return Err(refused(leaf, value));
            }
        }
        let flags = DataPrinterFlags::WITH_SIBLINGS | DataPrinterFlags::SHRINK;
        let text = data.print_string(DataFormat::JSON, flags).map_err(words)?;
        DataTree::parse_op_string(
            &schema.context,
            &text,
            DataFormat::JSON,
            DataParserFlags::STRICT,
            DataOperation::RpcYang,
        )
        .map_err(words)?;
        Ok(text)
    }
}
