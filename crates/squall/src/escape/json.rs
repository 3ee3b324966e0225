//! JSON that may stand in a page.

use std::io::{self, Write};

use serde::Serialize;
use serde::de::Deserialize;
use serde::ser::Error as _;
use serde_json::ser::{Formatter, Serializer};

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
    let mut json = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut json, Ascii))?;
    let json = String::from_utf8(json).map_err(serde_json::Error::custom)?;
    Ok(if json.contains("</") { json.replace("</", "<\\/") } else { json })
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

/// Compact, and ASCII only.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.bytes().position(|b| b >= 0x7f) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = tail.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
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
    fn decodes_text_and_bytes_and_borrows() {
        assert_eq!(json_decode::<&str, _>(b"\"foo\"").unwrap(), "foo");
        assert_eq!(json_decode::<Value, _>("{\"a\": \"\u{e9}\"}").unwrap(), json!({"a": "é"}));
        assert!(json_decode::<Value, _>("{").is_err());
        assert!(json_decode::<Value, _>(b"\"\xe9\"").is_err());
    }
}
