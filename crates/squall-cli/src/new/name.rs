//! Names of projects.

use std::str::FromStr;

use crate::failure::Failure;

/// A name that is good for a folder, a package and a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

const LONGEST: usize = 64;

/// What cargo or the compiler will not have, or would confuse with something else.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "bench",
    "box",
    "break",
    "build",
    "con",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "nul",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "rusqlite",
    "self",
    "serde",
    "serde_json",
    "squall",
    "squall_macros",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tests",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What environment variables of the program begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{}_", self.0.replace('-', "_").to_uppercase())
    }
}

impl FromStr for Name {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let refuse =
            |why: &str| Err(Failure::new(format!("{name:?} cannot be the name of a project: {why}")));
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > LONGEST {
            return refuse("it is longer than 64 characters");
        }
        if name.contains(['/', '\\']) {
            return refuse("it is a path; the project is made in a folder of its name, here");
        }
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return refuse("it must begin with a letter from a to z");
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            return refuse("it may have the letters a to z, digits, - and _ only");
        }
        if RESERVED.contains(&&*name.replace('-', "_").to_ascii_lowercase()) {
            return refuse("it has another meaning to Rust or cargo");
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["blog", "my-app", "my_app2", "A", &"a".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "2blog",
            "-a",
            "_a",
            "a b",
            "a.b",
            "a/b",
            "../a",
            "/a",
            "caf\u{e9}",
            "a\nb",
            "a\"b",
            "fn",
            "Self",
            "test",
            "squall",
            "proc-macro",
            "serde",
            &"a".repeat(65),
        ] {
            let refused = bad.parse::<Name>().unwrap_err().to_string();
            assert!(refused.contains("cannot be the name of a project"), "{bad:?}: {refused}");
        }
        assert_eq!("my-app".parse::<Name>().unwrap().prefix(), "MY_APP_");
    }
}
