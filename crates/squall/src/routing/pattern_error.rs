//! What can be wrong with a pattern, and with the arguments of one.

use std::fmt;

/// A pattern that cannot be used; the application's mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pub(super) pattern: String,
    pub(super) kind: PatternErrorKind,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternErrorKind {
    /// Not a regex; the parser's message, which shows the place.
    Syntax(String),
    /// Some groups are named and some positional.
    MixedGroups,
    /// A template that contains this, which is regex syntax or can never occur in a path.
    NotLiteral(String),
    /// A template and a regex in one: this placeholder stands in a pattern with parentheses or backslashes.
    PlaceholderInRegex(String),
    /// The compiled regex would take more than 10 MiB.
    TooLarge,
}

impl PatternError {
    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What is wrong with it.
    pub fn kind(&self) -> &PatternErrorKind {
        &self.kind
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = &self.pattern;
        match &self.kind {
            PatternErrorKind::Syntax(message) => write!(f, "url pattern {pattern:?} is not valid: {message}"),
            PatternErrorKind::MixedGroups => {
                write!(f, "groups in url regexes must either be all named or all positional: {pattern:?}")
            }
            PatternErrorKind::NotLiteral(text) => write!(
                f,
                "url template {pattern:?} can never match its literal text {text:?}: \
                 percent-encode it, or write a regex with groups in the place of the placeholders"
            ),
            PatternErrorKind::PlaceholderInRegex(placeholder) => write!(
                f,
                "url pattern {pattern:?} mixes the placeholder {placeholder} with regex syntax: \
                 write {} in its place",
                if placeholder.ends_with(":*}") { "(?P<name>.*)" } else { "(?P<name>[^/]+)" }
            ),
            PatternErrorKind::TooLarge => write!(f, "url pattern {pattern:?} compiles to more than 10 MiB"),
        }
    }
}

impl std::error::Error for PatternError {}

/// Why a path could not be made from a pattern and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReverseError {
    /// The pattern does not stand for one text outside of its groups.
    Irreversible {
        /// The pattern's regex.
        regex: String,
    },
    /// There has to be one argument for each group.
    WrongCount {
        /// The pattern as it was written.
        pattern: String,
        /// The number of its groups.
        expected: usize,
        /// The number of arguments that were given.
        given: usize,
    },
}

impl fmt::Display for ReverseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReverseError::Irreversible { regex } => write!(f, "Cannot reverse url regex {regex}"),
            ReverseError::WrongCount { pattern, expected, given } => {
                write!(f, "required number of arguments not found: {pattern:?} takes {expected}, not {given}")
            }
        }
    }
}

impl std::error::Error for ReverseError {}
