//! Escaping (Tornado's `tornado.escape`).

use std::borrow::Cow;

/// Makes text safe in HTML, as content and inside quoted attributes: `&`, `<`, `>`, `"` and `'` become entities.
///
/// The apostrophe is `&#x27;`, as in Tornado since 6.4.
pub fn xhtml_escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'');
    let Some(first) = text.find(special) else { return Cow::Borrowed(text) };
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    for c in text[first..].chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// Percent-encodes text for the value of a query argument: a space becomes `+`, `/` becomes `%2F`.
pub fn url_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for piece in text.split_inclusive(' ') {
        let (word, space) = match piece.strip_suffix(' ') {
            Some(word) => (word, "+"),
            None => (piece, ""),
        };
        escaped.extend(percent_encoding::utf8_percent_encode(word, UNRESERVED));
        escaped.push_str(space);
    }
    escaped
}

/// Everything but the unreserved characters of RFC 3986 §2.3.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes a value as JSON without spaces; `</` becomes `<\/`, so that it can stand inside a `<script>`.
///
/// # Errors
/// When the value cannot be JSON, such as a map whose keys are not strings.
pub fn json_encode<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    Ok(if json.contains("</") { json.replace("</", "<\\/") } else { json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(xhtml_escape("<a href=\"x\">&'é"), "&lt;a href=&quot;x&quot;&gt;&amp;&#x27;é");
        assert!(matches!(xhtml_escape("plain"), Cow::Borrowed("plain")));
        assert_eq!(url_escape("/auth?x=1 é"), "%2Fauth%3Fx%3D1+%C3%A9");
        assert_eq!(json_encode(&["</script>"]).unwrap(), r#"["<\/script>"]"#);
    }
}
