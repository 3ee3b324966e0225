//! JSON that may stand in a page.

use serde::{Deserialize, Serialize};

/// Writes a value as JSON without spaces; `</` becomes `<\/`, so that it can stand inside a `<script>`.
///
/// As in Tornado the text is ASCII, other characters are `\uXXXX`: it means the same in every encoding, and U+2028 ends no
/// line of a script.
///
/// ```
/// use squall::escape::json_encode;
/// assert_eq!(json_encode(&["</script>", "é"])?, r#"["<\/script>","\u00e9"]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// When the value cannot be JSON, such as a map whose keys are not strings.
pub fn json_encode<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let plain = json.is_ascii() && memchr::memchr2(b'<', b'\x7f', json.as_bytes()).is_none();
    Ok(if plain { json } else { made_safe(&json) })
}

/// Reads JSON from text or bytes, into any type, which may borrow from it; `serde_json::Value` takes all.
///
/// ```
/// use squall::escape::json_decode;
/// let numbers: Vec<u32> = json_decode("[1, 2]")?;
/// assert_eq!(numbers, [1, 2]);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// When the text is no JSON, or does not fit the type. Python takes `NaN`, `Infinity` and lone surrogates too; these are
/// errors here.
pub fn json_decode<'a, V, T>(text: &'a T) -> Result<V, serde_json::Error>
where
    V: Deserialize<'a>,
    T: AsRef<[u8]> + ?Sized,
{
    serde_json::from_slice(text.as_ref())
}

/// What is escaped here stands in the strings of JSON only, so nobody need know where these are.
fn made_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + json.len() / 4);
    let mut written = 0;
    for (at, c) in json.char_indices() {
        let after = at + c.len_utf8();
        if c >= '\x7f' {
            safe.push_str(&json[written..at]);
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.extend(escape_unit(*unit));
            }
            written = after;
        } else if c == '<' && json.as_bytes().get(after) == Some(&b'/') {
            safe.push_str(&json[written..after]);
            safe.push('\\');
            written = after;
        }
    }
    safe.push_str(&json[written..]);
    safe
}

/// `\uXXXX`
fn escape_unit(unit: u16) -> [char; 6] {
    let digit = |shift: u16| char::from(b"0123456789abcdef"[usize::from(unit >> shift & 0xf)]);
    ['\\', 'u', digit(12), digit(8), digit(4), digit(0)]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn encodes() {
        assert_eq!(json_encode(&json!({"a": [1, null, "x"]})).unwrap(), r#"{"a":[1,null,"x"]}"#);
        let text = "</a>\u{e9}\u{1f600}\u{7f}\u{2028}\"\n\u{1}";
        let json = json_encode(text).unwrap();
        assert_eq!(json, r#""<\/a>\u00e9\ud83d\ude00\u007f\u2028\"\n\u0001""#);
        assert_eq!(json_decode::<String, _>(&json).unwrap(), text);
    }

    #[test]
    fn a_slash_after_an_angle_bracket_is_escaped_wherever_they_stand() {
        let text = ["</", "<", "/", "<</", "é</é", "<é/", "</</", "a<b"];
        let json = json_encode(&json!({"</a>": text})).unwrap();
        let expected = r#"{"<\/a>":["<\/","<","/","<<\/","\u00e9<\/\u00e9","<\u00e9/","<\/<\/","a<b"]}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn decodes_text_and_bytes_and_borrows() {
        assert_eq!(json_decode::<&str, _>(b"\"foo\"").unwrap(), "foo");
        assert_eq!(json_decode::<Value, _>("{\"a\": \"\u{e9}\"}").unwrap(), json!({"a": "é"}));
        assert!(json_decode::<Value, _>("{").is_err());
        assert!(json_decode::<Value, _>(b"\"\xe9\"").is_err());
    }
}
