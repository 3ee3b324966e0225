//! What becomes of the white space in a template's text.

use std::borrow::Cow;

/// What becomes of the white space in a template's text: Tornado's `whitespace` setting and `{% whitespace %}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "filter_whitespace")]
pub enum Whitespace {
    /// All of it is kept.
    All,
    /// A run that holds a newline becomes one newline; elsewhere a run of spaces and tabs becomes one space.
    Single,
    /// Every run becomes one space.
    Oneline,
}

impl Whitespace {
    /// The mode that a directive or a setting names: `all`, `single` or `oneline`; `None` for anything else.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::All),
            "single" => Some(Self::Single),
            "oneline" => Some(Self::Oneline),
            _ => None,
        }
    }

    /// The mode of a file for which nothing else is said: [`Single`](Self::Single) for names that end in `.html` or
    /// `.js`, [`All`](Self::All) for others.
    pub fn of_file(name: &str) -> Self {
        if name.ends_with(".html") || name.ends_with(".js") { Self::Single } else { Self::All }
    }

    /// The text as the page shows it. Text that holds `<pre>` stays as it is in every mode.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        if self == Self::All || text.contains("<pre>") {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_space) {
            let (before, from_run) = rest.split_at(start);
            let (run, after) = from_run.split_at(from_run.find(|c| !is_space(c)).unwrap_or(from_run.len()));
            out.push_str(before);
            match self {
                Self::Single if !run.contains('\n') => collapse_blanks(run, &mut out),
                Self::Single => out.push('\n'),
                _ => out.push(' '),
            }
            rest = after;
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// `\s` of Python's `re`, which counts the four ASCII separators that Unicode does not.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn collapse_blanks(run: &str, out: &mut String) {
    let mut in_blanks = false;
    for c in run.chars() {
        let blank = matches!(c, ' ' | '\t');
        if !blank {
            out.push(c);
        } else if !in_blanks {
            out.push(' ');
        }
        in_blanks = blank;
    }
}

#[cfg(test)]
mod tests {
    use super::Whitespace::{All, Oneline, Single};
    use super::*;

    /// The expected texts are what Tornado 6's `Template(text, whitespace=mode).generate()` gave.
    #[test]
    fn each_mode_does_what_tornado_does() {
        for (mode, text, expected) in [
            (All, " a \t\n b ", " a \t\n b "),
            (Single, " a \t\t b", " a b"),
            (Single, "a  \n\n\t b", "a\nb"),
            (Single, "a\r\n b\r \t\rc", "a\nb\r \rc"),
            (Single, "a\x1c\n\x1f\u{a0}b\u{a0} \t\u{a0}", "a\nb\u{a0} \u{a0}"),
            (Oneline, "a \n b\u{2003}\x1dc\t", "a b c "),
            (Oneline, "a \n <pre>  b", "a \n <pre>  b"),
        ] {
            assert_eq!(mode.apply(text), expected, "{mode:?} {text:?}");
        }
    }

    #[test]
    fn names_choose_a_mode() {
        assert_eq!(
            ["all", "single", "oneline", "other"].map(Whitespace::from_name),
            [Some(All), Some(Single), Some(Oneline), None]
        );
        assert_eq!(["a.html", "a.js", "a.txt", "html"].map(Whitespace::of_file), [Single, Single, All, All]);
    }
}
