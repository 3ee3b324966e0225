//! White space, as Python sees it.

use std::borrow::Cow;

/// Turns each run of white space and control characters into one space, and removes it at both ends.
///
/// Inside, only characters up to the space count, as in Tornado; a no-break space stays. At the ends any white space goes.
pub fn squeeze(text: &str) -> Cow<'_, str> {
    let text = trim_low(text);
    if !needs_squeezing(text) {
        return Cow::Borrowed(trim(text));
    }
    let mut squeezed = String::with_capacity(text.len());
    for word in text.split(is_low).filter(|word| !word.is_empty()) {
        if !squeezed.is_empty() {
            squeezed.push(' ');
        }
        squeezed.push_str(word);
    }
    if trim(&squeezed).len() < squeezed.len() {
        squeezed = trim(&squeezed).to_owned();
    }
    Cow::Owned(squeezed)
}

/// `str::trim` by Python's definition of white space.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Python's `str.isspace`: Unicode's white space and the four ASCII separators.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

fn is_low(c: char) -> bool {
    c <= ' '
}

fn trim_low(text: &str) -> &str {
    text.trim_matches(is_low)
}

/// Whether a space is beside another, or there is a control character.
fn needs_squeezing(text: &str) -> bool {
    let mut after_space = false;
    text.bytes().any(|b| {
        let space = b == b' ';
        let found = b < b' ' || (space && after_space);
        after_space = space;
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squeezes() {
        assert_eq!(squeeze(" a \t\r\n b\0c\u{1f}"), "a b c");
        assert_eq!(squeeze("\u{a0} a\u{a0} b \u{a0}"), "a\u{a0} b");
        assert_eq!(squeeze(" \u{a0}  "), "");
        assert!(matches!(squeeze(" plain text "), Cow::Borrowed("plain text")));
    }
}
