//! The header of one part of a `multipart/form-data` body: lines, parameters, and the ways to spell a file name.

use percent_encoding::percent_decode_str;

use super::headers::is_token;
use super::multipart::{MultipartError, PartHead};
use super::ows;

/// Reads the lines of a header, at least one, the last without its line end.
///
/// Header fields are UTF-8 here, as browsers send them and Tornado reads them. Lines end in CRLF or LF, and empty ones are
/// passed over (Tornado does both).
pub(super) fn parse(head: &[u8]) -> Result<PartHead, MultipartError> {
    let head = std::str::from_utf8(head).map_err(|_| MultipartError::HeaderLine)?;
    let mut disposition = None;
    let mut content_type = None;
    for line in head.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(MultipartError::HeaderLine)?;
        let value = value.trim_matches([' ', '\t']);
        // The colon of a folded line follows white space, which no token holds.
        if !is_token(name) || value.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err(MultipartError::HeaderLine);
        }
        if name.eq_ignore_ascii_case("Content-Disposition") {
            // Two could be read differently by whoever stands before this server.
            if disposition.replace(value).is_some() {
                return Err(MultipartError::Disposition);
            }
        } else if name.eq_ignore_ascii_case("Content-Type") {
            content_type = Some(value);
        }
    }
    let disposition = disposition.ok_or(MultipartError::Disposition)?;
    let (kind, parameters) = disposition.split_once(';').unwrap_or((disposition, ""));
    if !ows::trim(kind).eq_ignore_ascii_case("form-data") {
        return Err(MultipartError::Disposition);
    }
    let parameters = Parameters::parse(parameters);
    let name = parameters.get("name").filter(|name| !name.is_empty()).ok_or(MultipartError::MissingName)?;
    let filename = parameters.get("filename");
    // A file must not become an argument because its name cannot be read.
    if filename.is_none() && parameters.has_extended("filename") {
        return Err(MultipartError::Disposition);
    }
    let filename = filename.filter(|name| !name.is_empty());
    // Only percent-decoding can bring these here.
    if [Some(&name), filename.as_ref()].into_iter().flatten().any(|text| text.contains(is_unwanted)) {
        return Err(MultipartError::HeaderLine);
    }
    let content_type = content_type.filter(|value| !value.is_empty()).map(str::to_owned);
    Ok(PartHead { name, filename, content_type })
}

fn is_unwanted(c: char) -> bool {
    c.is_ascii_control() && c != '\t'
}

/// `; name=value; name="quoted \" value"; name*=utf-8''percent%20encoded`, in one pass.
pub(super) struct Parameters<'a> {
    /// Names as they were sent, values with their quotes.
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> Parameters<'a> {
    /// Reads what stands behind the first semicolon. What is no parameter is passed over.
    pub(super) fn parse(text: &'a str) -> Self {
        let pairs = split_unquoted(text).filter_map(|parameter| parameter.split_once('='));
        Self { list: pairs.map(|(name, value)| (ows::trim(name), ows::trim(value))).collect() }
    }

    /// The value of a parameter: of `name*` (RFC 5987) if that can be read, else of `name`, the last if it stands
    /// there several times.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let last = |wanted: &dyn Fn(&str) -> bool| {
            self.list.iter().rev().find(|(name, _)| wanted(name)).map(|(_, value)| *value)
        };
        let extended =
            last(&|sent: &str| sent.strip_suffix('*').is_some_and(|s| s.eq_ignore_ascii_case(name)));
        let plain = || last(&|sent: &str| sent.eq_ignore_ascii_case(name)).map(unquote);
        extended.and_then(decode_extended).or_else(plain)
    }

    /// Whether there is `name*`, or a piece of it as in RFC 2231 §3 (`name*0`), whatever its value is.
    fn has_extended(&self, name: &str) -> bool {
        self.list.iter().any(|(sent, _)| {
            sent.split_once('*').is_some_and(|(before, _)| ows::trim_end(before).eq_ignore_ascii_case(name))
        })
    }
}

/// The pieces between semicolons that stand outside of quotes.
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.bytes().position(|byte| {
            let ends = byte == b';' && !quoted;
            quoted ^= byte == b'"' && !escaped;
            escaped = quoted && byte == b'\\' && !escaped;
            ends
        });
        rest = end.map(|at| &text[at + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// Without quotes and escapes. A backslash before another character than these two stands for itself: old browsers
/// send whole paths of Windows.
fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        let escape = if c == '\\' { chars.next_if(|&next| next == '\\' || next == '"') } else { None };
        out.push(escape.unwrap_or(c));
    }
    out
}

/// RFC 5987's `charset'language'value`; `None` for a character set that it does not ask for.
fn decode_extended(value: &str) -> Option<String> {
    let value = unquote(value);
    let mut fields = value.splitn(3, '\'');
    let (charset, _language, encoded) = (fields.next()?, fields.next()?, fields.next()?);
    let bytes = percent_decode_str(encoded);
    if charset.eq_ignore_ascii_case("utf-8") {
        Some(bytes.decode_utf8_lossy().into_owned())
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.map(char::from).collect())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let get = |text: &str, name: &str| Parameters::parse(text).get(name);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(get(r#" foo="b\\a\"r"; file*=utf-8''T%C3%A4st"#, "foo"), some(r#"b\a"r"#));
        assert_eq!(get(" file*=utf-8''T%C3%A4st", "file"), some("Täst"));
        assert_eq!(get("a=1; A = 2 ;b", "a"), some("2"));
        assert_eq!(get("b", "b"), None);
        assert_eq!(get(r#"x=";;;a=1;"; a=2"#, "a"), some("2"));
        assert_eq!(get(r#"x="\";a=1;"; a=2"#, "a"), some("2"));
        assert_eq!(get(r#"a="C:\dir\x.txt""#, "a"), some(r"C:\dir\x.txt"));
        assert_eq!(get(r#"a="unclosed; b=1"#, "b"), None);
        assert_eq!(get("a=plain; a*=iso-8859-1'en'%E9", "a"), some("é"));
        assert_eq!(get("a=plain; a*=koi8-r''%E9", "a"), some("plain"));
        assert_eq!(get("a=plain; a*=utf-8", "a"), some("plain"));
    }
}
