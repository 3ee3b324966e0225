//! Arguments of the query and the form, as text. `body` has what else is read of a body.

use super::context::Context;
use super::error::{Error, HttpError, Result};
use crate::escape;
use crate::httputil::{Arguments, clean_argument};

/// Query and form arguments as text: decoded once, when first asked for.
#[derive(Default)]
pub(super) struct TextArguments {
    list: Vec<TextArgument>,
}

struct TextArgument {
    name: String,
    /// `None` when it is not UTF-8.
    value: Option<String>,
    from_body: bool,
}

impl TextArguments {
    /// Query first, then the form, so that the last value of a name is the form's (Tornado's order).
    fn collect(query: &Arguments, body: &Arguments) -> Self {
        let query = query.iter().map(|pair| (pair, false));
        let body = body.iter().map(|pair| (pair, true));
        let list = query.chain(body).map(|((name, value), from_body)| TextArgument {
            name: name.to_owned(),
            value: String::from_utf8(value.to_vec()).ok().map(clean_argument),
            from_body,
        });
        Self { list: list.collect() }
    }
}

/// Which arguments are looked through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Both,
    Query,
    Body,
}

impl Context {
    /// The last value of an argument, from the form before the query, without surrounding white space.
    ///
    /// Control characters but tab and line ends are replaced by spaces (as in Tornado, so with all of these methods).
    ///
    /// # Errors
    /// 400 when it is missing or not UTF-8.
    #[doc(alias = "get_argument")]
    pub fn argument(&self, name: &str) -> Result<&str> {
        self.last(name, Source::Both)?.ok_or_else(|| missing(name))
    }

    /// As [`argument`](Self::argument), with a value for when it is missing.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn argument_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str> {
        Ok(self.last(name, Source::Both)?.unwrap_or(default))
    }

    /// As [`argument`](Self::argument), `None` when it is missing.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn argument_opt(&self, name: &str) -> Result<Option<&str>> {
        self.last(name, Source::Both)
    }

    /// Every value of an argument, those of the query first, without surrounding white space.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    #[doc(alias = "get_arguments")]
    pub fn arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Both).map(trim_all)
    }

    /// Every value of an argument with its white space.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    pub fn untrimmed_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Both)
    }

    /// As [`argument`](Self::argument), from the query only.
    ///
    /// # Errors
    /// 400 when it is missing or not UTF-8.
    #[doc(alias = "get_query_argument")]
    pub fn query_argument(&self, name: &str) -> Result<&str> {
        self.last(name, Source::Query)?.ok_or_else(|| missing(name))
    }

    /// As [`arguments`](Self::arguments), from the query only.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    #[doc(alias = "get_query_arguments")]
    pub fn query_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Query).map(trim_all)
    }

    /// As [`argument`](Self::argument), from the form only.
    ///
    /// # Errors
    /// 400 when it is missing or not UTF-8.
    #[doc(alias = "get_body_argument")]
    pub fn body_argument(&self, name: &str) -> Result<&str> {
        self.last(name, Source::Body)?.ok_or_else(|| missing(name))
    }

    /// As [`arguments`](Self::arguments), from the form only.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    #[doc(alias = "get_body_arguments")]
    pub fn body_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Body).map(trim_all)
    }

    fn last(&self, name: &str, source: Source) -> Result<Option<&str>> {
        let arguments = self.text_arguments()?;
        let found = arguments.list.iter().rev().find(|a| a.name == name && a.is_from(source));
        found.map(|a| a.text().map(escape::trim)).transpose()
    }

    fn all(&self, name: &str, source: Source) -> Result<Vec<&str>> {
        let arguments = self.text_arguments()?;
        arguments
            .list
            .iter()
            .filter(|a| a.name == name && a.is_from(source))
            .map(TextArgument::text)
            .collect()
    }

    fn text_arguments(&self) -> Result<&TextArguments> {
        if let Some(arguments) = self.arguments.get() {
            return Ok(arguments);
        }
        let request = self.request();
        let too_many = || HttpError::refusal(400, "Too many arguments");
        let query = request.query_arguments().ok_or_else(too_many)?;
        let body = &self.form_body()?.arguments;
        Ok(self.arguments.get_or_init(|| Box::new(TextArguments::collect(query, body))))
    }
}

impl TextArgument {
    fn is_from(&self, source: Source) -> bool {
        match source {
            Source::Both => true,
            Source::Query => !self.from_body,
            Source::Body => self.from_body,
        }
    }

    fn text(&self) -> Result<&str> {
        let invalid = || HttpError::refusal(400, format!("Invalid unicode in {}", self.name));
        Ok(self.value.as_deref().ok_or_else(invalid)?)
    }
}

fn trim_all(values: Vec<&str>) -> Vec<&str> {
    values.into_iter().map(escape::trim).collect()
}

fn missing(name: &str) -> Error {
    HttpError::refusal(400, format!("Missing argument {name}")).into()
}

/// A body or query that does not fit the type it is read as.
pub(super) fn unreadable(what: &str, error: impl std::error::Error + 'static) -> Error {
    let text = error.to_string();
    HttpError::new(400)
        .with_message(format!("Invalid {what}{}", public_cause(&text)))
        .with_log_message(format!("Invalid {what}: {text}"))
        .with_source(error)
        .into()
}

/// What of serde's message can be shown: names of fields, what was expected and where; never a value, which may be a
/// password in the wrong place. Begins with `: ` unless empty.
fn public_cause(text: &str) -> String {
    const SAFE: &[&str] = &[
        "missing field `",
        "duplicate field `",
        "unknown field `",
        "EOF while parsing",
        "expected value",
        "expected ident",
        "expected `",
        "key must be a string",
        "invalid number",
        "invalid escape",
        "control character (",
        "trailing comma",
        "trailing characters",
        "lone leading surrogate",
        "unexpected end of hex escape",
        "invalid unicode code point",
        "number out of range",
        "recursion limit exceeded",
    ];
    if SAFE.iter().any(|safe| text.starts_with(safe)) {
        return format!(": {text}");
    }
    // "invalid type: string \"hunter2\", expected u64 at line 1 column 9"
    const QUOTING: &[&str] = &["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"];
    if QUOTING.iter().any(|start| text.starts_with(start))
        && let Some(at) = text.rfind(", expected ")
    {
        return format!(": {}", &text[at + 2..]);
    }
    match text.rfind(" at line ") {
        Some(at) if text[at + 9..].bytes().all(|b| b.is_ascii_digit() || b" column".contains(&b)) => {
            format!(":{}", &text[at..])
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn a_shown_cause_names_the_place_and_no_value() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its shape matters")]
        struct Login {
            id: u32,
            kind: Kind,
            at: std::net::IpAddr,
        }
        #[derive(Debug, Deserialize)]
        enum Kind {
            A,
            B,
        }
        let cause = |json: &str| public_cause(&serde_json::from_str::<Login>(json).unwrap_err().to_string());
        assert_eq!(cause("{"), ": EOF while parsing an object at line 1 column 1");
        assert_eq!(cause(r#"{"id":1}"#), ": missing field `kind` at line 1 column 8");
        assert_eq!(cause(r#"{"id":"hunter2"}"#), ": expected u32 at line 1 column 15");
        assert_eq!(cause(r#"{"id":"x, expected hunter2"}"#), ": expected u32 at line 1 column 27");
        assert_eq!(cause(r#"{"kind":"hunter2"}"#), ": expected `A` or `B` at line 1 column 17");
        assert_eq!(cause(r#"{"at":"hunter2"}"#), ": at line 1 column 15");
        assert_eq!(public_cause("hunter2 at line hunter2"), "");
    }
}
