//! Arguments of the query and the form, as text. `body` has what else is read of a body.

use std::str::FromStr;

use bytes::Bytes;

use crate::escape;
use crate::httputil::{Arguments, FORM_PIECE, cleaned_argument, is_clean};
use crate::sys::utf8::{self, TextBytes, TextChecker};
use crate::web::context::Context;
use crate::web::error::{Error, HttpError, Result};

/// Query and form arguments as text: looked at once, when first asked for, and not copied unless they must be changed.
#[derive(Default)]
pub(in crate::web) struct TextArguments {
    query: Vec<Text>,
    body: Vec<Text>,
}

/// The value of an argument.
enum Text {
    /// As it was sent.
    Sound(TextBytes),
    /// With spaces for control characters.
    Cleaned(String),
    NotUtf8,
}

impl Text {
    fn of(value: &Bytes) -> Self {
        let Some(text) = TextBytes::new(value.clone()) else { return Self::NotUtf8 };
        if is_clean(value) {
            return Self::Sound(text);
        }
        Self::from_cleaned(cleaned_argument(value).collect())
    }

    /// As [`of`](Self::of), giving way to the loop's other work.
    async fn of_large(value: &Bytes) -> Self {
        let mut checker = TextChecker::new(value.clone());
        let mut cleaned: Option<Vec<u8>> = None;
        let mut before = 0;
        loop {
            let Some(piece) = checker.advance(FORM_PIECE) else { return Self::NotUtf8 };
            if piece.is_empty() {
                break;
            }
            match &mut cleaned {
                Some(cleaned) => cleaned.extend(cleaned_argument(piece)),
                None if is_clean(piece) => {}
                None => {
                    let mut bytes = Vec::with_capacity(value.len());
                    bytes.extend_from_slice(&value[..before]);
                    bytes.extend(cleaned_argument(piece));
                    cleaned = Some(bytes);
                }
            }
            before += piece.len();
            tokio::task::yield_now().await;
        }
        match (cleaned, checker.finish()) {
            (Some(cleaned), _) => Self::from_cleaned(cleaned),
            (None, Some(text)) => Self::Sound(text),
            (None, None) => Self::NotUtf8,
        }
    }

    fn from_cleaned(bytes: Vec<u8>) -> Self {
        utf8::string(bytes).map_or(Self::NotUtf8, Self::Cleaned)
    }

    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Sound(text) => Some(text.as_str()),
            Self::Cleaned(text) => Some(text),
            Self::NotUtf8 => None,
        }
    }
}

impl TextArguments {
    fn collect(query: &Arguments, body: &Arguments) -> Self {
        let texts =
            |arguments: &Arguments| arguments.pairs().iter().map(|(_, value)| Text::of(value)).collect();
        Self { query: texts(query), body: texts(body) }
    }

    async fn collect_large(query: &Arguments, body: &Arguments) -> Self {
        let mut texts = Self::collect(query, &Arguments::default());
        for (_, value) in body.pairs() {
            texts.body.push(if value.len() <= SMALL { Text::of(value) } else { Text::of_large(value).await });
        }
        texts
    }
}

/// A thousand values of this size are looked at within a millisecond.
const SMALL: usize = 1024;

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

    /// As [`argument`](Self::argument), parsed: `ctx.argument_as::<u32>("page")?`.
    ///
    /// # Errors
    /// 400 when it is missing, not UTF-8, or does not parse.
    pub fn argument_as<T: FromStr>(&self, name: &str) -> Result<T> {
        parsed(name, self.argument(name)?)
    }

    /// Every value of an argument, those of the query first, without surrounding white space.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    #[doc(alias = "get_arguments")]
    pub fn arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Both).map(trim_all)
    }

    /// Every value of an argument with its white space (Tornado's `strip=False`), as a password needs.
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

    /// As [`argument_or`](Self::argument_or), from the query only.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn query_argument_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str> {
        Ok(self.last(name, Source::Query)?.unwrap_or(default))
    }

    /// As [`argument_opt`](Self::argument_opt), from the query only.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn query_argument_opt(&self, name: &str) -> Result<Option<&str>> {
        self.last(name, Source::Query)
    }

    /// As [`query_argument`](Self::query_argument), parsed: `ctx.query_argument_as::<u32>("page")?`.
    ///
    /// # Errors
    /// 400 when it is missing, not UTF-8, or does not parse.
    pub fn query_argument_as<T: FromStr>(&self, name: &str) -> Result<T> {
        parsed(name, self.query_argument(name)?)
    }

    /// As [`arguments`](Self::arguments), from the query only.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    #[doc(alias = "get_query_arguments")]
    pub fn query_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Query).map(trim_all)
    }

    /// As [`untrimmed_arguments`](Self::untrimmed_arguments), from the query only.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    pub fn untrimmed_query_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Query)
    }

    /// As [`argument`](Self::argument), from the form only.
    ///
    /// # Errors
    /// 400 when it is missing or not UTF-8.
    #[doc(alias = "get_body_argument")]
    pub fn body_argument(&self, name: &str) -> Result<&str> {
        self.last(name, Source::Body)?.ok_or_else(|| missing(name))
    }

    /// As [`argument_or`](Self::argument_or), from the form only.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn body_argument_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str> {
        Ok(self.last(name, Source::Body)?.unwrap_or(default))
    }

    /// As [`argument_opt`](Self::argument_opt), from the form only.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn body_argument_opt(&self, name: &str) -> Result<Option<&str>> {
        self.last(name, Source::Body)
    }

    /// As [`body_argument`](Self::body_argument), parsed: `ctx.body_argument_as::<u32>("page")?`.
    ///
    /// # Errors
    /// 400 when it is missing, not UTF-8, or does not parse.
    pub fn body_argument_as<T: FromStr>(&self, name: &str) -> Result<T> {
        parsed(name, self.body_argument(name)?)
    }

    /// As [`arguments`](Self::arguments), from the form only.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    #[doc(alias = "get_body_arguments")]
    pub fn body_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Body).map(trim_all)
    }

    /// As [`untrimmed_arguments`](Self::untrimmed_arguments), from the form only.
    ///
    /// # Errors
    /// 400 when one is not UTF-8.
    pub fn untrimmed_body_arguments(&self, name: &str) -> Result<Vec<&str>> {
        self.all(name, Source::Body)
    }

    fn last(&self, name: &str, source: Source) -> Result<Option<&str>> {
        let arguments = self.text_arguments()?;
        let found = arguments.of(name, source).next_back();
        found.map(|text| readable(name, text).map(escape::trim)).transpose()
    }

    fn all(&self, name: &str, source: Source) -> Result<Vec<&str>> {
        self.text_arguments()?.of(name, source).map(|text| readable(name, text)).collect()
    }

    fn text_arguments(&self) -> Result<AllArguments<'_>> {
        let query = self.request().query_arguments().ok_or_else(too_many)?;
        let body = &self.form_body()?.arguments;
        let text = self.rare().arguments.get_or_init(|| TextArguments::collect(query, body));
        Ok(AllArguments { query, body, text })
    }

    /// Looks at the arguments of a large form, giving way to the loop's other work. What is wrong is told to who asks.
    pub(in crate::web) async fn read_large_arguments(&self) {
        let Some(query) = self.request().query_arguments() else { return };
        let Ok(form) = self.form_body() else { return };
        let text = TextArguments::collect_large(query, &form.arguments).await;
        // Nobody has asked before, as the handler has not been called.
        let _ = self.rare().arguments.set(text);
    }
}

/// The arguments of a request, with what they are as text.
#[derive(Clone, Copy)]
struct AllArguments<'a> {
    query: &'a Arguments,
    body: &'a Arguments,
    text: &'a TextArguments,
}

impl<'a> AllArguments<'a> {
    /// Query first, then the form, so that the last value of a name is the form's (Tornado's order).
    fn of(self, name: &str, source: Source) -> impl DoubleEndedIterator<Item = &'a Text> {
        let nothing: (&[_], &[_]) = (&[], &[]);
        let query = (self.query.pairs(), &self.text.query[..]);
        let body = (self.body.pairs(), &self.text.body[..]);
        let query = if source == Source::Body { nothing } else { query };
        let body = if source == Source::Query { nothing } else { body };
        let all = query.0.iter().zip(query.1).chain(body.0.iter().zip(body.1));
        all.filter(move |((sent, _), _)| sent == name).map(|(_, text)| text)
    }
}

fn readable<'a>(name: &str, text: &'a Text) -> Result<&'a str> {
    Ok(text.as_str().ok_or_else(|| HttpError::refusal(400, format!("Invalid unicode in {name}")))?)
}

fn too_many() -> HttpError {
    HttpError::refusal(400, "Too many arguments")
}

fn trim_all(values: Vec<&str>) -> Vec<&str> {
    values.into_iter().map(escape::trim).collect()
}

pub(in crate::web) fn parsed<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| HttpError::refusal(400, format!("Invalid argument {name}")).into())
}

fn missing(name: &str) -> Error {
    HttpError::refusal(400, format!("Missing argument {name}")).into()
}

/// A body or query that does not fit the type it is read as.
pub(in crate::web) fn unreadable(what: &str, error: impl std::error::Error + 'static) -> Error {
    let text = error.to_string();
    HttpError::new(400)
        .message(format!("Invalid {what}{}", public_cause(&text)))
        .log_message(format!("Invalid {what}: {text}"))
        .caused_by(error)
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
