//! Files of options: TOML, and the plain assignments of Tornado's.

use std::path::{Path, PathBuf};

use super::error::OptionError;
use super::python;

/// A larger one is none; it is read whole.
const LARGEST: u64 = 16 << 20;

pub(super) struct File {
    pub(super) entries: Vec<Entry>,
    /// Whether a name that is no option is a mistake.
    pub(super) strict: bool,
}

pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Literal,
    pub(super) line: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    None,
    Bool(bool),
    /// As it is written, and TOML's dates, which need no quotes.
    Number(String),
    Text(String),
    List(Vec<Literal>),
}

impl Literal {
    /// As it would stand on the command line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Bool(on) => on.to_string(),
            Self::Number(text) | Self::Text(text) => text.clone(),
            Self::List(elements) => elements.iter().map(Self::text).collect::<Vec<_>>().join(","),
        }
    }

    /// For "(… given)".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::None => "nothing".to_owned(),
            Self::Bool(on) => on.to_string(),
            Self::Number(text) => format!("the number {text}"),
            Self::Text(text) => format!("'{text}'"),
            Self::List(_) => "a list".to_owned(),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<File, OptionError> {
    let fail = |problem: String| OptionError::File { path: PathBuf::from(path), problem };
    let length = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if length > LARGEST {
        return Err(fail("too large for a file of options".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        let entries = toml_entries(&text).map_err(|error| fail(error.to_string().trim_end().to_owned()))?;
        return Ok(File { entries, strict: true });
    }
    let file = path.display().to_string();
    let entries = python::assignments(&text, &file)
        .map_err(|(line, problem)| fail(format!("line {line}: {problem}")))?;
    Ok(File { entries, strict: false })
}

fn toml_entries(text: &str) -> Result<Vec<Entry>, toml::de::Error> {
    let table: toml::Table = text.parse()?;
    let entries = table
        .into_iter()
        .filter_map(|(name, value)| Some(Entry { name, value: toml_literal(value)?, line: None }));
    Ok(entries.collect())
}

/// None for a table.
fn toml_literal(value: toml::Value) -> Option<Literal> {
    Some(match value {
        toml::Value::String(text) => Literal::Text(text),
        toml::Value::Integer(number) => Literal::Number(number.to_string()),
        toml::Value::Float(number) => Literal::Number(number.to_string()),
        toml::Value::Boolean(on) => Literal::Bool(on),
        toml::Value::Datetime(moment) => Literal::Number(moment.to_string()),
        toml::Value::Array(elements) => {
            Literal::List(elements.into_iter().filter_map(toml_literal).collect())
        }
        toml::Value::Table(_) => return None,
    })
}
