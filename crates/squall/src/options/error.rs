//! What can be wrong with options.

use std::fmt;
use std::path::PathBuf;

/// What is wrong with an option, or with where it came from. Its text names the option; that of a
/// [secret](super::Defined::secret) one does not show its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// The application defines a name twice; where it did so first.
    AlreadyDefined {
        /// The name.
        name: String,
        /// File and line.
        first: String,
    },
    /// The command line has an option that nobody defined.
    Unrecognized(String),
    /// An option stands without a value.
    RequiresValue(String),
    /// A value that its option cannot have.
    WrongType {
        /// The option.
        name: String,
        /// What it is to be.
        wanted: String,
        /// What was given, or what is wrong with it.
        given: String,
    },
    /// A file that cannot be read, or does not say what it should.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line if it has one.
        problem: String,
    },
    /// A variable of the environment is not Unicode.
    NotUnicode(String),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyDefined { name, first } => {
                write!(f, "Option '{name}' already defined in {first}")
            }
            Self::Unrecognized(name) => write!(f, "Unrecognized command line option: '{name}'"),
            Self::RequiresValue(name) => write!(f, "Option '{name}' requires a value"),
            Self::WrongType { name, wanted, given } => {
                write!(f, "Option '{name}' is required to be {wanted} ({given} given)")
            }
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::NotUnicode(name) => write!(f, "The variable {name} is not Unicode"),
        }
    }
}

impl std::error::Error for OptionError {}
