//! URLs in plain text become links.

use std::borrow::Cow;
use std::fmt;

use super::text::{is_space, trim};
use super::xhtml_escape;

/// Escapes plain text for HTML and turns the `http`, `https` and `www.` addresses in it into links.
///
/// [`Linkify`] has the options.
///
/// ```
/// use squall::escape::linkify;
/// assert_eq!(linkify("<see www.a.com!>"), "&lt;see <a href=\"http://www.a.com\">www.a.com</a>!&gt;");
/// ```
pub fn linkify(text: &str) -> Cow<'_, str> {
    Linkify::new().apply(text)
}

/// [`linkify`] with options.
///
/// ```
/// use squall::escape::Linkify;
/// let links = Linkify::new().extra_params(r#"rel="nofollow""#).require_protocol(true);
/// assert_eq!(links.apply("www.a.com"), "www.a.com");
/// assert_eq!(links.apply("http://a.com"), r#"<a href="http://a.com" rel="nofollow">http://a.com</a>"#);
/// ```
#[derive(Default)]
pub struct Linkify<'a> {
    shorten: bool,
    extra_params: ExtraParams<'a>,
    require_protocol: bool,
    /// `None` for the default.
    permitted_protocols: Option<Vec<Cow<'a, str>>>,
}

#[derive(Default)]
enum ExtraParams<'a> {
    #[default]
    None,
    Text(String),
    Function(Box<dyn Fn(&str) -> String + 'a>),
}

impl<'a> Linkify<'a> {
    /// The defaults of [`linkify`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether addresses of more than 30 characters are shown shorter, with the whole one as title. Default: no.
    #[must_use]
    pub fn shorten(mut self, shorten: bool) -> Self {
        self.shorten = shorten;
        self
    }

    /// Attributes for each link, such as `rel="nofollow"`. This is HTML and not escaped. Default: none.
    #[must_use]
    pub fn extra_params(mut self, attributes: &str) -> Self {
        self.extra_params = match attributes {
            "" => ExtraParams::None,
            text => ExtraParams::Text(format!(" {}", trim(text))),
        };
        self
    }

    /// Attributes for each link by its address (escaped, with its protocol). What the function returns is HTML and not
    /// escaped.
    #[must_use]
    pub fn extra_params_with(mut self, attributes: impl Fn(&str) -> String + 'a) -> Self {
        self.extra_params = ExtraParams::Function(Box::new(attributes));
        self
    }

    /// Whether addresses without protocol, such as `www.example.com`, are left alone. Default: no.
    #[must_use]
    pub fn require_protocol(mut self, require: bool) -> Self {
        self.require_protocol = require;
        self
    }

    /// The protocols that become links. Never permit `javascript`. Default: `http` and `https`.
    #[must_use]
    pub fn permitted_protocols<P: Into<Cow<'a, str>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        self.permitted_protocols = Some(protocols.into_iter().map(Into::into).collect());
        self
    }

    /// Escapes the text and makes the links. Takes time in proportion to its length, whatever is in it.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let escaped = xhtml_escape(text);
        let mut linked = String::new();
        let mut copied = 0;
        let mut from = 0;
        while let Some(address) = Address::find(&escaped, from) {
            from = address.end;
            if self.takes(&address) {
                linked.push_str(&escaped[copied..address.start]);
                self.write_link(&mut linked, &escaped, &address);
                copied = address.end;
            }
        }
        if copied == 0 {
            return escaped;
        }
        linked.push_str(&escaped[copied..]);
        Cow::Owned(linked)
    }

    fn takes(&self, address: &Address<'_>) -> bool {
        match (address.protocol, &self.permitted_protocols) {
            (None, _) => !self.require_protocol,
            (Some(protocol), Some(permitted)) => permitted.iter().any(|p| p == protocol),
            (Some(protocol), None) => matches!(protocol, "http" | "https"),
        }
    }

    fn write_link(&self, out: &mut String, text: &str, address: &Address<'_>) {
        let url = &text[address.start..address.end];
        let href = match address.protocol {
            Some(_) => Cow::Borrowed(url),
            None => Cow::Owned(format!("http://{url}")),
        };
        out.extend(["<a href=\"", &href, "\""]);
        match &self.extra_params {
            ExtraParams::None => {}
            ExtraParams::Text(text) => out.push_str(text),
            ExtraParams::Function(function) => out.extend([" ", trim(&function(&href))]),
        }
        match self.shorten.then(|| shortened(url, address.rest - address.start)).flatten() {
            Some(short) => out.extend([" title=\"", &href, "\">", &short]),
            None => out.extend([">", url]),
        }
        out.push_str("</a>");
    }
}

impl fmt::Debug for Linkify<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linkify")
            .field("shorten", &self.shorten)
            .field("require_protocol", &self.require_protocol)
            .field("permitted_protocols", &self.permitted_protocols)
            .finish_non_exhaustive()
    }
}

/// What stands for a long address: its host and eight characters of its path. `None` when that is no shorter.
fn shortened(url: &str, protocol_length: usize) -> Option<String> {
    let length = url.chars().count();
    if length <= MAX_LENGTH {
        return None;
    }
    let mut parts = url[protocol_length..].split('/');
    let mut short = match (parts.next(), parts.next()) {
        (Some(host), Some(path)) => {
            let path = first_chars(path, 8).split(['?', '.']).next().unwrap_or_default();
            format!("{}{host}/{path}", &url[..protocol_length])
        }
        _ => url.to_owned(),
    };
    if short.chars().count() > MAX_LENGTH * 3 / 2 {
        short.truncate(first_chars(&short, MAX_LENGTH).len());
    }
    if short == url {
        return None;
    }
    // An entity that was cut goes.
    if let Some(at) = short.rfind('&')
        && short[..at].chars().count() > MAX_LENGTH - 5
    {
        short.truncate(at);
    }
    short.push_str("...");
    (short.chars().count() < length).then_some(short)
}

/// In characters; longer addresses are shortened.
const MAX_LENGTH: usize = 30;

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(at, _)| &text[..at])
}

/// An address in escaped text.
struct Address<'t> {
    start: usize,
    end: usize,
    /// Where what follows the protocol and its slashes begins.
    rest: usize,
    protocol: Option<&'t str>,
}

impl<'t> Address<'t> {
    /// The first address at or after `from`, which is 0 or the end of an address.
    ///
    /// Both kinds begin with a word that a `:` or `.` ends, so these are looked for; each word is read backwards once.
    fn find(text: &'t str, from: usize) -> Option<Self> {
        let bytes = &text.as_bytes()[from..];
        memchr::memchr2_iter(b':', b'.', bytes).map(|at| from + at).find_map(|at| {
            if text.as_bytes()[at] == b':' {
                Self::with_protocol(text, from, at)
            } else {
                Self::with_www(text, from, at)
            }
        })
    }

    fn with_protocol(text: &'t str, from: usize, colon: usize) -> Option<Self> {
        let slashes = text.as_bytes()[colon + 1..].iter().take(3).take_while(|b| **b == b'/').count();
        if slashes == 0 {
            return None;
        }
        let before = &text[from..colon];
        let word = before.trim_end_matches(|c| is_word(c) || c == '-').len();
        let protocol = before[word..].trim_start_matches('-');
        if protocol.is_empty() {
            return None;
        }
        // A slash that nothing follows is the rest itself.
        let (rest, end) = (1..=slashes).rev().find_map(|slashes| {
            let rest = colon + 1 + slashes;
            Some((rest, end_of_rest(text, rest)?))
        })?;
        Some(Self { start: colon - protocol.len(), end, rest, protocol: Some(protocol) })
    }

    fn with_www(text: &'t str, from: usize, dot: usize) -> Option<Self> {
        let before = text[from..dot].strip_suffix("www")?;
        if before.ends_with(is_word) {
            return None;
        }
        let start = dot - "www".len();
        Some(Self { start, end: end_of_rest(text, dot + 1)?, rest: start, protocol: None })
    }
}

/// Where the rest of an address that begins at `at` ends; `None` when nothing there can be one.
///
/// It consists of runs of characters whose last is no punctuation, and of runs in parentheses.
fn end_of_rest(text: &str, mut at: usize) -> Option<usize> {
    let mut end = None;
    loop {
        let run = Run::at(text, at);
        if let Some(last) = run.last {
            end = Some(last);
            if last < run.end {
                return end;
            }
            at = last;
        }
        if text.as_bytes().get(at) != Some(&b'(') {
            return end;
        }
        let inside = Run::at(text, at + 1);
        if text.as_bytes().get(inside.end) != Some(&b')') {
            return end;
        }
        at = inside.end + 1;
        end = Some(at);
    }
}

/// A run of what may stand in an address: no white space, no parentheses, of entities `&amp;` and `&quot;` only.
struct Run {
    end: usize,
    /// The end of the last character that an address may end with.
    last: Option<usize>,
}

impl Run {
    fn at(text: &str, start: usize) -> Self {
        let mut run = Self { end: start, last: None };
        while let Some(c) = text[run.end..].chars().next() {
            match c {
                '&' => {
                    let rest = &text[run.end..];
                    let Some(entity) = ["&amp;", "&quot;"].into_iter().find(|e| rest.starts_with(e)) else {
                        break;
                    };
                    run.end += entity.len();
                }
                '(' | ')' => break,
                c if is_space(c) => break,
                c => {
                    run.end += c.len_utf8();
                    if !c.is_ascii_punctuation() || matches!(c, '-' | '/' | '\\' | '_') {
                        run.last = Some(run.end);
                    }
                }
            }
        }
        run
    }
}

/// `\w` of Python's regexes, but for combining marks of some scripts.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_linkify_show() {
        assert!(format!("{:?}", Linkify::new().shorten(true)).contains("shorten: true"));
    }

    #[test]
    fn nothing_to_do_costs_nothing() {
        assert!(matches!(linkify("plain text. And: more"), Cow::Borrowed(_)));
    }

    #[test]
    fn slashes_that_nothing_follows() {
        let any = Linkify::new().permitted_protocols(["a"]);
        assert_eq!(any.apply("a:/ x"), "a:/ x");
        assert_eq!(any.apply("a:// x"), "<a href=\"a://\">a://</a> x");
        assert_eq!(any.apply("-a:///!"), "-<a href=\"a:///\">a:///</a>!");
        assert_eq!(any.apply("--:/x"), "--:/x");
    }

    #[test]
    fn extra_params_that_are_empty() {
        assert_eq!(Linkify::new().extra_params("").apply("www.a"), "<a href=\"http://www.a\">www.a</a>");
        let function = Linkify::new().extra_params_with(|_| String::new());
        assert_eq!(function.apply("www.a"), "<a href=\"http://www.a\" >www.a</a>");
    }
}
