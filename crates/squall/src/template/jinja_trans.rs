//! `{% trans %}` of Jinja's extension for translations, which minijinja does not have: each block becomes a call of
//! [`FUNCTION`], in as many lines.

use std::ops::Range;

/// What the blocks call: a context, the message, that for many, the name of the variable that counts, and the variables.
pub(super) const FUNCTION: &str = "_squall_trans";

/// What is wrong with a block, and where in the source.
type Rewritten<T> = Result<T, (usize, String)>;

/// The source with its blocks rewritten; `None` when there is none.
pub(super) fn rewrite(source: &str) -> Rewritten<Option<String>> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(tag) = Tag::next(source, at) {
        at = tag.end;
        match tag.word(source) {
            "raw" => {
                while let Some(inner) = Tag::next_of_kind(source, at, "{%") {
                    at = inner.end;
                    if inner.word(source) == "endraw" {
                        break;
                    }
                }
            }
            "trans" => {
                out.push_str(&source[copied..tag.start]);
                at = Block::read(source, &tag)?.write(source, &tag, &mut out);
                copied = at;
            }
            _ => {}
        }
    }
    if copied == 0 {
        return Ok(None);
    }
    out.push_str(&source[copied..]);
    Ok(Some(out))
}

/// `{% .. %}` or `{{ .. }}`
struct Tag {
    start: usize,
    end: usize,
    /// What is inside, without the signs that take white space away.
    inner: Range<usize>,
    is_print: bool,
    /// Whether it takes the white space before and behind it away.
    trims: [bool; 2],
}

impl Tag {
    /// The next one, comments aside.
    fn next(source: &str, mut from: usize) -> Option<Self> {
        while let Some(found) = source[from..].find('{') {
            let start = from + found;
            let rest = &source[start..];
            if rest.starts_with("{#") {
                from = rest.find("#}").map_or(source.len(), |end| start + end + 2);
            } else if rest.starts_with("{%") || rest.starts_with("{{") {
                return Self::next_of_kind(source, start, &rest[..2]);
            } else {
                from = start + 1;
            }
        }
        None
    }

    fn next_of_kind(source: &str, from: usize, open: &str) -> Option<Self> {
        let start = from + source[from..].find(open)?;
        let is_print = open == "{{";
        let close = if is_print { "}}" } else { "%}" };
        let end = outside_strings(source, start + 2, |rest| rest.starts_with(close))? + 2;
        let mut inner = start + 2..end - 2;
        let is_sign = |sign: Option<u8>| matches!(sign, Some(b'-' | b'+'));
        let first = source.as_bytes().get(inner.start).copied().filter(|_| !inner.is_empty());
        inner.start += usize::from(is_sign(first));
        let last = source.as_bytes().get(inner.end.wrapping_sub(1)).copied().filter(|_| !inner.is_empty());
        inner.end -= usize::from(is_sign(last));
        Some(Self { start, end, inner, is_print, trims: [first == Some(b'-'), last == Some(b'-')] })
    }

    fn text<'s>(&self, source: &'s str) -> &'s str {
        source[self.inner.clone()].trim()
    }

    /// The first word of a `{% .. %}`.
    fn word<'s>(&self, source: &'s str) -> &'s str {
        if self.is_print {
            return "";
        }
        let text = self.text(source);
        text.split(|c: char| !is_of_name(c)).next().unwrap_or_default()
    }
}

/// The first place outside of strings where it is so.
fn outside_strings(source: &str, from: usize, is_so: impl Fn(&str) -> bool) -> Option<usize> {
    let mut quote = None;
    let mut chars = source[from..].char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            Some(_) if c == '\\' => drop(chars.next()),
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if is_so(&source[from + at..]) => return Some(from + at),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
    }
    None
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    text.chars().all(is_of_name) && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

struct Block<'s> {
    context: Option<&'s str>,
    /// Names and their expressions.
    variables: Vec<(&'s str, &'s str)>,
    messages: Vec<String>,
    count: Option<&'s str>,
    end: usize,
    trims: [bool; 2],
}

impl<'s> Block<'s> {
    fn read(source: &'s str, tag: &Tag) -> Rewritten<Self> {
        let (mut header, mut is_trimmed) = (tag.text(source)["trans".len()..].trim(), false);
        let mut block = Self {
            context: None,
            variables: Vec::new(),
            messages: vec![String::new()],
            count: None,
            end: tag.end,
            trims: [tag.trims[0], false],
        };
        if header.starts_with(['"', '\'']) {
            let quote = &header[..1];
            let end =
                header[1..].find(quote).ok_or((tag.start, "expected the end of a text".to_owned()))? + 2;
            block.context = Some(&header[..end]);
            header = header[end..].trim_start_matches([' ', '\t', '\n', '\r', ',']);
        }
        for word in ["trimmed", "notrimmed"] {
            if let Some(rest) = header.strip_prefix(word).filter(|rest| !rest.starts_with(is_of_name)) {
                is_trimmed = word == "trimmed";
                header = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']);
            }
        }
        for part in commas(header) {
            let (name, value) = part.split_once('=').map_or((part, part), |(name, value)| (name, value));
            let (name, value) = (name.trim(), value.trim());
            if !is_name(name) || value.is_empty() {
                let message =
                    format!("expected `name` or `name=value` in {{% trans %}}, found `{}`", part.trim());
                return Err((tag.start, message));
            }
            block.variables.push((name, value));
        }
        block.count = block.variables.first().map(|(name, _)| *name);
        let declared = block.variables.len();
        block.body(source, tag, declared)?;
        if is_trimmed {
            for message in &mut block.messages {
                let lines = message.trim().lines().map(str::trim).filter(|line| !line.is_empty());
                *message = lines.collect::<Vec<_>>().join(" ");
            }
        }
        Ok(block)
    }

    fn body(&mut self, source: &'s str, tag: &Tag, declared: usize) -> Rewritten<()> {
        let mut at = tag.end;
        let mut trims = tag.trims[1];
        loop {
            let unfinished = || (tag.start, "{% trans %} without {% endtrans %}".to_owned());
            let inner = Tag::next(source, at).ok_or_else(unfinished)?;
            let mut text = &source[at..inner.start];
            if trims {
                text = text.trim_start();
            }
            if inner.trims[0] {
                text = text.trim_end();
            }
            if let Some(message) = self.messages.last_mut() {
                message.push_str(&text.replace('%', "%%"));
            }
            (at, trims) = (inner.end, inner.trims[1]);
            let content = inner.text(source);
            match inner.word(source) {
                "endtrans" => {
                    (self.end, self.trims[1]) = (at, trims);
                    return Ok(());
                }
                "pluralize" if self.messages.len() == 1 => {
                    let name = content["pluralize".len()..].trim();
                    if !name.is_empty() {
                        if !self.variables[..declared].iter().any(|(known, _)| *known == name) {
                            let message =
                                format!("{{% pluralize %}}: `{name}` is no variable of {{% trans %}}");
                            return Err((inner.start, message));
                        }
                        self.count = Some(name);
                    }
                    if self.count.is_none() {
                        let message = "{% pluralize %} needs a variable that counts: {% trans count=… %}";
                        return Err((inner.start, message.to_owned()));
                    }
                    self.messages.push(String::new());
                }
                _ if inner.is_print && is_name(content) => {
                    if !self.variables.iter().any(|(known, _)| *known == content) {
                        self.variables.push((content, content));
                    }
                    if let Some(message) = self.messages.last_mut() {
                        message.push_str(&format!("%({content})s"));
                    }
                }
                _ => {
                    let message = "only names may stand in {% trans %}: give it a name, {% trans name=… %}";
                    return Err((inner.start, message.to_owned()));
                }
            }
        }
    }

    /// Writes the call; where the block ends.
    fn write(&self, source: &str, tag: &Tag, out: &mut String) -> usize {
        out.push_str(if self.trims[0] { "{{- " } else { "{{ " });
        out.push_str(FUNCTION);
        out.push('(');
        out.push_str(self.context.unwrap_or("none"));
        for index in 0..2 {
            out.push_str(", ");
            match self.messages.get(index) {
                Some(message) => write_text(message, out),
                None => out.push_str("none"),
            }
        }
        out.push_str(", ");
        match self.count {
            Some(count) => write_text(count, out),
            None => out.push_str("none"),
        }
        for (name, value) in &self.variables {
            out.push_str(&format!(", {name}=({})", value.replace('\n', " ")));
        }
        out.push(')');
        // Errors tell lines: there are as many as there were.
        out.extend(source[tag.start..self.end].chars().filter(|c| *c == '\n'));
        out.push_str(if self.trims[1] { " -}}" } else { " }}" });
        self.end
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What stands between commas outside of brackets and strings.
fn commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start, mut quote) = (Vec::new(), 0_i32, 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn blocks_become_calls_in_as_many_lines() {
        let rows = [
            ("a {% trans %}Hi{% endtrans %} b", "a {{ _squall_trans(none, \"Hi\", none, none) }} b"),
            (
                "{%- trans user=u.name, n -%} 5% of\n{{ user }} {%- endtrans -%}",
                "{{- _squall_trans(none, \"5%% of\\n%(user)s\", none, \"user\", user=(u.name), n=(n))\n -}}",
            ),
            (
                "{% trans 'menu' trimmed n=rows|length %}\n  one\n  row{% pluralize %}{{ n }} rows{% endtrans %}",
                "{{ _squall_trans('menu', \"one row\", \"%(n)s rows\", \"n\", n=(rows|length))\n\n }}",
            ),
            ("{# {% trans %} #}x{% raw %}{% trans %}{% endraw %}", ""),
            ("{{ '{% trans %}' }}", ""),
        ];
        for (source, expected) in rows {
            assert_eq!(rewrite(source).unwrap().unwrap_or_default(), expected, "{source}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let rows = [
            ("ab{% trans %}x", 2, "without"),
            ("{% trans %}{% if x %}{% endtrans %}", 11, "only names"),
            ("{% trans %}{{ x.y }}{% endtrans %}", 11, "only names"),
            ("{% trans %}a{% pluralize %}b{% endtrans %}", 12, "counts"),
            ("{% trans n %}a{% pluralize m %}b{% endtrans %}", 14, "`m`"),
            ("{% trans 1=2 %}a{% endtrans %}", 0, "expected `name`"),
        ];
        for (source, at, message) in rows {
            let (found, told) = rewrite(source).unwrap_err();
            assert_eq!(found, at, "{source}: {told}");
            assert!(told.contains(message), "{source}: {told}");
        }
    }
}
