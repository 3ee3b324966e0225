//! HTML: escaping, and character references back to text.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

/// Makes text safe in HTML, as content and inside quoted attributes: `&`, `<`, `>`, `"` and `'` become entities.
///
/// The apostrophe is `&#x27;`, as in Tornado since 6.4.
///
/// ```
/// use squall::escape::xhtml_escape;
/// assert_eq!(xhtml_escape("<b>'R&D'</b>"), "&lt;b&gt;&#x27;R&amp;D&#x27;&lt;/b&gt;");
/// ```
pub fn xhtml_escape(text: &str) -> Cow<'_, str> {
    let Some(first) = text.bytes().position(|b| entity_for(b).is_some()) else { return Cow::Borrowed(text) };
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    // A `String` takes everything.
    let _ = xhtml_escape_to(&text[first..], &mut escaped);
    Cow::Owned(escaped)
}

/// [`xhtml_escape`] without a text in between.
pub(crate) fn xhtml_escape_to(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        if HAS_ENTITY[usize::from(byte)]
            && let Some(entity) = entity_for(byte)
        {
            if copied < at {
                out.write_str(&text[copied..at])?;
            }
            out.write_str(entity)?;
            copied = at + 1;
        }
    }
    if copied < text.len() { out.write_str(&text[copied..]) } else { Ok(()) }
}

/// Turns character references into the characters: all of HTML's names (`&eacute;`), decimal (`&#233;`) and hexadecimal
/// (`&#xe9;`) ones.
///
/// By the rules of HTML 5 as Tornado applies them: the names that older HTML had need no semicolon; numbers from 0x80 to
/// 0x9f are Windows-1252; a number that is no character (a surrogate, beyond Unicode, zero) becomes U+FFFD, and one
/// that stands for a control character or a noncharacter vanishes. What is no reference stays.
///
/// ```
/// use squall::escape::xhtml_unescape;
/// assert_eq!(xhtml_unescape("&lt;caf&eacute;&gt; &amp &#128; &bogus;"), "<café> & € &bogus;");
/// ```
pub fn xhtml_unescape(text: &str) -> Cow<'_, str> {
    let mut unescaped = String::new();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'&', text.as_bytes()) {
        let rest = &text[at + 1..];
        let Some((length, replacement)) = numeric_reference(rest).or_else(|| named_reference(rest)) else {
            continue;
        };
        unescaped.push_str(&text[copied..at]);
        unescaped.extend(replacement.into_iter().flatten());
        copied = at + 1 + length;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    unescaped.push_str(&text[copied..]);
    Cow::Owned(unescaped)
}

/// A look into a table takes half the time of comparing with five bytes.
static HAS_ENTITY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = entity_for(byte as u8).is_some();
        byte += 1;
    }
    table
};

const fn entity_for(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#x27;",
        _ => return None,
    })
}

/// The length of a reference after its `&`, and what it stands for: no, one or two characters.
type Reference = (usize, [Option<char>; 2]);

fn numeric_reference(rest: &str) -> Option<Reference> {
    let after = rest.strip_prefix('#')?;
    let (digits, radix) = match after.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (after, 10),
    };
    let count = digits.bytes().take_while(|b| char::from(*b).is_digit(radix)).count();
    if count == 0 {
        return None;
    }
    // A number too large for u32 is beyond Unicode too.
    let number = u32::from_str_radix(&digits[..count], radix).unwrap_or(u32::MAX);
    let semicolon = usize::from(digits.as_bytes().get(count) == Some(&b';'));
    Some((rest.len() - digits.len() + count + semicolon, [character(number), None]))
}

/// What a numeric reference stands for.
fn character(number: u32) -> Option<char> {
    match number {
        0 => Some(char::REPLACEMENT_CHARACTER),
        0x80..=0x9f => Some(WINDOWS_1252[number as usize - 0x80]),
        0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef => None,
        0x1_0000.. | 0xfffe..=0xffff if number <= 0x10_ffff && number & 0xfffe == 0xfffe => None,
        _ => Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
}

/// HTML's reading of references to C1 controls. The five that Windows-1252 leaves out stand for themselves.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

fn named_reference(rest: &str) -> Option<Reference> {
    let run = rest.bytes().take(LONGEST_NAME + 1).take_while(u8::is_ascii_alphanumeric).count();
    if rest.as_bytes().get(run) == Some(&b';')
        && let Some(entity) = Entity::find(&rest[..run])
    {
        return Some((run + 1, entity.text));
    }
    (2..=run.min(LONGEST_BARE_NAME)).rev().find_map(|length| {
        let entity = Entity::find(&rest[..length]).filter(|entity| entity.bare)?;
        Some((length, entity.text))
    })
}

/// `CounterClockwiseContourIntegral`
const LONGEST_NAME: usize = 31;

/// Of the names that need no semicolon: `frac12`
const LONGEST_BARE_NAME: usize = 6;

struct Entity {
    name: &'static str,
    text: [Option<char>; 2],
    /// Known without a semicolon as well.
    bare: bool,
}

impl Entity {
    fn find(name: &str) -> Option<&'static Self> {
        static ENTITIES: LazyLock<Vec<Entity>> =
            LazyLock::new(|| include_str!("entities.txt").lines().filter_map(Entity::parse).collect());
        let at = ENTITIES.binary_search_by(|entity| entity.name.cmp(name)).ok()?;
        ENTITIES.get(at)
    }

    /// A line of the table: the name, `*` if it needs no semicolon, the code points in hexadecimal.
    fn parse(line: &'static str) -> Option<Self> {
        let (name, points) = line.split_once(' ')?;
        let mut points = points.split(' ').map(|point| char::from_u32(u32::from_str_radix(point, 16).ok()?));
        let text = [points.next().flatten(), points.next().flatten()];
        let bare = name.ends_with('*');
        Some(Self { name: name.trim_end_matches('*'), text, bare })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(xhtml_escape("<a href=\"x\">&'é"), "&lt;a href=&quot;x&quot;&gt;&amp;&#x27;é");
        assert!(matches!(xhtml_escape("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn every_name_of_the_table_is_found() {
        let lines: Vec<&str> = include_str!("entities.txt").lines().collect();
        assert_eq!(lines.len(), 2125);
        for line in lines {
            let entity = Entity::parse(line).unwrap();
            let text: String = entity.text.into_iter().flatten().collect();
            assert!(!text.is_empty() && entity.name.len() <= LONGEST_NAME, "{line}");
            assert_eq!(xhtml_unescape(&format!("<&{};>", entity.name)), format!("<{text}>"));
            if entity.bare {
                assert!(entity.name.len() <= LONGEST_BARE_NAME, "{line}");
                assert_eq!(xhtml_unescape(&format!("<&{}>", entity.name)), format!("<{text}>"));
            }
        }
    }

    #[test]
    fn what_is_no_reference_stays() {
        for text in
            ["", "&", "a&", "& b", "&;", "&#", "&#;", "&#x", "&#xg;", "&nosuch;", "&n", "&\u{e9};", "&&"]
        {
            assert!(matches!(xhtml_unescape(text), Cow::Borrowed(_)), "{text}");
            assert_eq!(xhtml_unescape(text), text);
        }
    }

    #[test]
    fn numbers_that_are_no_characters() {
        assert_eq!(
            xhtml_unescape("&#0;&#xd800;&#xdfff;&#x110000;&#99999999999999999999;"),
            "\u{fffd}".repeat(5)
        );
        assert_eq!(xhtml_unescape("&#1;&#x7f;&#xfdd0;&#xffff;&#x1fffe;&#x10ffff;|"), "|");
        assert_eq!(xhtml_unescape("&#x81;&#x9f;&#13;"), "\u{81}\u{178}\r");
    }
}
