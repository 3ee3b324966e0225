//! Path patterns: Tornado's URL regexes and `{name}` templates, their captured arguments and their reversal.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, percent_encode_byte, utf8_percent_encode,
};
use regex_automata::util::primitives::{NonMaxUsize, PatternID};
use regex_automata::{Anchored, Input, meta};
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{self, Hir, HirKind};
use smallvec::SmallVec;

use super::path_args::PathArgs;
use super::pattern_error::{PatternError, PatternErrorKind, ReverseError};
use super::shape::{self, GroupNames, Runs};

/// A compiled path pattern; cheap to clone.
///
/// ```
/// use squall::routing::PathPattern;
///
/// let pattern = PathPattern::new("/stories/{id}")?;
/// let args = pattern.captures("/stories/a%20b").expect("it matches");
/// assert_eq!(args.decode("/stories/a%20b")?.get(0), Some("a b"));
/// assert_eq!(pattern.reverse(&[&"a b"])?, "/stories/a%20b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Which of the two a string is
///
/// A pattern is a **template** when it has a placeholder, `{name}` or `{name:*}` with a name of ASCII letters,
/// digits and underscores that does not start with a digit, and no parenthesis or backslash. Everything else,
/// plain paths included, is a **regex** in the syntax of the `regex` crate. The two cannot be confused: `{2,3}` is a
/// repetition since it does not hold a name, and a valid regex has a bare `{name}` only in a class, where `\{` does too.
///
/// * In a template `{name}` stands for one path segment, `[^/]+`, and `{name:*}` for the rest of the path, slashes
///   included and possibly empty, `.*`. All other text is literal. What could never occur in a path, or looks like a
///   regex, is refused when the pattern is made.
/// * In a regex the groups are either all named, `(?P<id>..)` or `(?<id>..)`, or all positional; non-capturing
///   groups may stand beside both.
///
/// Either way the pattern has to match the *whole* path: `/a|/b` is `(?:/a|/b)$`. (Tornado appends `$` to the text,
/// where it binds to the last alternative only.)
///
/// # What is matched
///
/// The path as it stands in the request line, still percent-encoded and not normalised, as bytes: `.` and `[^/]` match
/// any byte, `\w` and `\d` are ASCII. `(?u:..)` switches a part of a regex to Unicode. Text that cannot stand in a path
/// as it is, such as `/café`, matches its percent-encoded form, `/caf%C3%A9`. The values of groups are decoded after the
/// match, so an encoded `%2F` never separates segments.
///
/// The end is `$` or `\z`, and Python's `\Z` is understood too.
#[doc(alias = "PathMatches")]
#[derive(Clone)]
pub struct PathPattern {
    inner: Arc<Inner>,
}

struct Inner {
    written: String,
    regex_source: String,
    /// Anchored on both sides; kept for the table's automaton, which is built from the patterns' syntax trees.
    hir: Hir,
    matcher: Matcher,
    group_names: GroupNames,
    /// `None`: the pattern cannot be reversed.
    pieces: Option<Box<[Piece]>>,
}

enum Matcher {
    Literal(Box<str>),
    Runs(Runs),
    Regex(meta::Regex),
}

#[derive(Debug)]
enum Piece {
    /// As it stands in a path.
    Text(String),
    /// A group, and whether it could take a slash.
    Group { slash: bool },
}

impl PathPattern {
    /// Compiles a regex or a template.
    ///
    /// # Errors
    ///
    /// A regex that does not parse, or compiles to more than 10 MiB; groups that are partly named and partly
    /// positional; a template with text that could never match.
    pub fn new(pattern: &str) -> Result<PathPattern, PatternError> {
        let source = if is_template(pattern) {
            let failed = |kind| PatternError { pattern: pattern.to_owned(), kind };
            Cow::Owned(translate_template(pattern).map_err(failed)?)
        } else {
            end_as_in_python(pattern)
        };
        Self::compile(pattern, &source)
    }

    /// The pattern of what follows a prefix. Each may be plain text, a template or a regex; a plain prefix is literal, so
    /// that the dot of `/v1.0` is one. The groups of both are the pattern's, the prefix's first.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), of both together.
    pub fn nested(prefix: &str, rest: &str) -> Result<PathPattern, PatternError> {
        let whole = format!("{prefix}{rest}");
        if is_template(&whole) && !rest.is_empty() || prefix.is_empty() {
            return Self::new(&whole);
        }
        let failed = |kind| PatternError { pattern: whole.clone(), kind };
        let source = |part: &str, plain: bool| {
            if plain {
                Ok(regex_syntax::escape(part))
            } else if is_template(part) {
                translate_template(part).map_err(failed)
            } else {
                Ok(end_as_in_python(part.strip_prefix('^').unwrap_or(part)).into_owned())
            }
        };
        let is_plain = !is_template(prefix) && !prefix.contains(REGEX_SYNTAX);
        let (prefix, rest) = (source(prefix, is_plain)?, source(rest, false)?);
        let is_choice = |part: &str| matches!(ast::parse::Parser::new().parse(part), Ok(Ast::Alternation(_)));
        let part = |part: String| if is_choice(&part) { format!("(?:{part})") } else { part };
        Self::compile(&whole, &[part(prefix), part(rest)].concat())
    }

    /// Whether a path, which begins with a slash, could match at all, as far as the pattern's first character tells.
    pub(crate) fn may_begin_a_path(&self) -> bool {
        let first = self.inner.written.trim_start_matches('^').chars().next();
        first.is_none_or(|c| c == '/' || REGEX_SYNTAX.contains(&c) || c == '.' || c == '*')
    }

    fn compile(pattern: &str, source: &str) -> Result<PathPattern, PatternError> {
        let failed = |kind| PatternError { pattern: pattern.to_owned(), kind };
        let ast = ast::parse::Parser::new()
            .parse(source)
            .map_err(|error| failed(syntax_error(pattern, error.to_string())))?;
        let hir = hir::translate::TranslatorBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .translate(source, &ast)
            .map_err(|error| failed(syntax_error(pattern, error.to_string())))?;
        let pieces = reverse_pieces(&ast, &hir);
        let hir = Hir::concat(vec![
            Hir::look(hir::Look::Start),
            or_percent_encoded(hir),
            Hir::look(hir::Look::End),
        ]);
        let (matcher, group_names) = if let Some(literal) = shape::literal(&hir) {
            (Matcher::Literal(literal), Box::default())
        } else if let Some((runs, names)) = Runs::new(&hir) {
            (Matcher::Runs(runs), names)
        } else {
            compile(&hir).ok_or_else(|| failed(PatternErrorKind::TooLarge))?
        };

        let named = group_names.iter().flatten().count();
        if named != 0 && named != group_names.len() {
            return Err(failed(PatternErrorKind::MixedGroups));
        }
        let regex_source = whole_path_source(source, &ast);
        let written = pattern.to_owned();
        Ok(PathPattern {
            inner: Arc::new(Inner { written, regex_source, hir, matcher, group_names, pieces }),
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.inner.written
    }

    /// The pattern as a regex, a template translated, with the `$` that is implied.
    pub fn regex_source(&self) -> &str {
        &self.inner.regex_source
    }

    /// The names of the groups, in order; all `None` when they are positional.
    pub fn group_names(&self) -> &[Option<Box<str>>] {
        &self.inner.group_names
    }

    /// How many groups there are, named or positional.
    pub fn group_count(&self) -> usize {
        self.inner.group_names.len()
    }

    /// The only path this pattern matches, when there is only one and it has no groups.
    ///
    /// `/index.html` is no literal, since its dot matches any byte; `/index\.html` is.
    pub fn is_literal(&self) -> Option<&str> {
        match &self.inner.matcher {
            Matcher::Literal(literal) => Some(literal),
            Matcher::Runs(_) | Matcher::Regex(_) => None,
        }
    }

    /// Whether the pattern matches the whole of `path`, a raw path that is still percent-encoded.
    pub fn is_match(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        match &self.inner.matcher {
            Matcher::Literal(literal) => literal.as_bytes() == path,
            Matcher::Runs(runs) => runs.matches(path, |_| {}),
            Matcher::Regex(regex) => regex.is_match(Input::new(path).anchored(Anchored::Yes)),
        }
    }

    /// Matches the whole of `path`, a raw path that is still percent-encoded, and says where its groups are.
    ///
    /// Allocates nothing for up to three groups.
    pub fn captures(&self, path: impl AsRef<[u8]>) -> Option<PathArgs> {
        let path = path.as_ref();
        let mut args = PathArgs::default();
        let matched = match &self.inner.matcher {
            Matcher::Literal(literal) => literal.as_bytes() == path,
            Matcher::Runs(runs) => runs.matches(path, |range| args.ranges.push(Some(range))),
            Matcher::Regex(regex) => {
                // The first two slots are those of the whole match.
                let mut slots: SmallVec<[Option<NonMaxUsize>; 8]> =
                    SmallVec::from_elem(None, 2 + 2 * self.group_count());
                let found = regex.search_slots(&Input::new(path).anchored(Anchored::Yes), &mut slots);
                let range = |pair: &[Option<NonMaxUsize>]| Some(pair[0]?.get()..pair[1]?.get());
                args.ranges.extend(slots[2..].chunks_exact(2).map(range));
                found.is_some()
            }
        };
        matched.then_some(args)
    }

    /// The path that this pattern matches with `arguments` in the place of its groups, in order, named or not.
    ///
    /// Everything but ASCII letters, digits, `-`, `.`, `_` and `~` is percent-encoded in an argument: a space becomes
    /// `%20`. A slash stays one where its group could take it, as `.*` does and `[^/]+` does not; only a second one at the
    /// start of the path becomes `%2F` all the same, since `//name` is another host's. As in Tornado, whether the group
    /// itself would match the argument is not checked. Text outside of groups is percent-encoded where it could not
    /// stand in a path (`é`, a space). A dot outside of groups stands for itself, and something optional (`/?`) is put in.
    ///
    /// # Errors
    ///
    /// [`ReverseError::Irreversible`] when the pattern has nested or non-capturing groups, or anything else outside of
    /// its groups that does not stand for one text; [`ReverseError::WrongCount`] unless there is one argument per group.
    pub fn reverse(&self, arguments: &[&dyn fmt::Display]) -> Result<String, ReverseError> {
        let Some(pieces) = &self.inner.pieces else {
            return Err(ReverseError::Irreversible { regex: self.inner.regex_source.clone() });
        };
        if arguments.len() != self.group_count() {
            return Err(ReverseError::WrongCount {
                pattern: self.inner.written.clone(),
                expected: self.group_count(),
                given: arguments.len(),
            });
        }
        let mut arguments = arguments.iter();
        let mut path = String::with_capacity(self.inner.written.len() + 16);
        for piece in pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Group { slash } => {
                    let argument = arguments.next().map(ToString::to_string).unwrap_or_default();
                    push_argument(&mut path, &argument, *slash);
                }
            }
        }
        Ok(path)
    }

    /// The syntax tree, anchored on both sides, for the automaton of a [`PathTable`](super::PathTable).
    pub(super) fn hir(&self) -> &Hir {
        &self.inner.hir
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PathPattern").field(&self.inner.written).finish()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.written)
    }
}

/// What makes a text more than itself as a regex, the dot apart, which most write for itself.
const REGEX_SYNTAX: [char; 12] = ['(', ')', '[', ']', '{', '}', '\\', '|', '*', '+', '?', '$'];

/// What is not `pchar`, `/` or the `%` of an encoded character (RFC 3986, section 3.3), and so never stands in a path.
const TEXT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

fn push_argument(path: &mut String, argument: &str, slash: bool) {
    for (index, segment) in argument.split('/').enumerate() {
        if index > 0 {
            path.push_str(if slash && path != "/" { "/" } else { "%2F" });
        }
        path.extend(utf8_percent_encode(segment, ARGUMENT));
    }
}

/// Lets text of a pattern that never stands in a path as it is, such as `é` or a space, be matched in the form in which it
/// comes: percent-encoded, in capital letters or small ones.
fn or_percent_encoded(hir: Hir) -> Hir {
    let each = |parts: &[Hir]| parts.iter().cloned().map(or_percent_encoded).collect();
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.iter().any(|&byte| needs_encoding(byte)) => {
            Hir::concat(literal.0.iter().map(|&byte| byte_or_percent_encoded(byte)).collect())
        }
        HirKind::Concat(parts) => Hir::concat(each(parts)),
        HirKind::Alternation(parts) => Hir::alternation(each(parts)),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(or_percent_encoded((*repetition.sub).clone()));
            Hir::repetition(hir::Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(or_percent_encoded((*capture.sub).clone()));
            Hir::capture(hir::Capture { sub, ..capture.clone() })
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir,
    }
}

fn needs_encoding(byte: u8) -> bool {
    percent_encode(&[byte], TEXT).any(|text| text.starts_with('%') && byte != b'%')
}

fn byte_or_percent_encoded(byte: u8) -> Hir {
    let itself = Hir::literal([byte]);
    if !needs_encoding(byte) {
        return itself;
    }
    let digit = |digit: u8| {
        let cases = [digit.to_ascii_lowercase(), digit.to_ascii_uppercase()];
        let ranges = cases.map(|case| hir::ClassBytesRange::new(case, case));
        Hir::class(hir::Class::Bytes(hir::ClassBytes::new(ranges)))
    };
    let digits = percent_encode_byte(byte).as_bytes();
    Hir::alternation(vec![itself, Hir::concat(vec![Hir::literal(*b"%"), digit(digits[1]), digit(digits[2])])])
}

/// Python's `\Z` is the `\z` of the `regex` crate.
fn end_as_in_python(regex: &str) -> Cow<'_, str> {
    if !regex.contains(r"\Z") {
        return Cow::Borrowed(regex);
    }
    let mut translated = String::with_capacity(regex.len());
    let mut characters = regex.chars();
    while let Some(character) = characters.next() {
        translated.push(character);
        if character == '\\' {
            translated.extend(characters.next().map(|escaped| if escaped == 'Z' { 'z' } else { escaped }));
        }
    }
    Cow::Owned(translated)
}

/// What stays bare in an argument of [`PathPattern::reverse`] (RFC 3986, section 2.3: unreserved characters).
const ARGUMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The regex and the names of its groups; `None` when it would be too large.
///
/// The engines without tables of their own are enough for one pattern: the one-pass DFA finds groups in one go, and the
/// table's automaton has already found the pattern. Saves tens of KiB per route against the default.
fn compile(hir: &Hir) -> Option<(Matcher, GroupNames)> {
    let config = meta::Config::new().utf8_empty(false).auto_prefilter(false).hybrid(false).dfa(false);
    let regex = meta::Regex::builder().configure(config).build_from_hir(hir).ok()?;
    let names =
        regex.group_info().pattern_names(PatternID::ZERO).skip(1).map(|name| name.map(Box::from)).collect();
    Some((Matcher::Regex(regex), names))
}

fn is_template(pattern: &str) -> bool {
    !pattern.contains(['(', ')', '\\']) && next_placeholder(pattern).is_some()
}

/// The first `{name}` or `{name:*}`: its range with the braces, its name, and whether it takes the rest of the path.
fn next_placeholder(text: &str) -> Option<(Range<usize>, &str, bool)> {
    text.match_indices('{').find_map(|(start, _)| {
        let end = start + text[start..].find('}')?;
        let inside = &text[start + 1..end];
        let (name, tail) = inside.strip_suffix(":*").map_or((inside, false), |name| (name, true));
        let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        valid.then_some((start..end + 1, name, tail))
    })
}

fn translate_template(template: &str) -> Result<String, PatternErrorKind> {
    if template.ends_with('$') {
        return Err(PatternErrorKind::NotLiteral("$".to_owned()));
    }
    let mut source = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((range, name, tail)) = next_placeholder(rest) {
        push_literal(&mut source, &rest[..range.start])?;
        source.push_str("(?P<");
        source.push_str(name);
        source.push_str(if tail { ">.*)" } else { ">[^/]+)" });
        rest = &rest[range.end..];
    }
    push_literal(&mut source, rest)?;
    Ok(source)
}

/// Refuses what RFC 3986, section 3.3, does not let into a path (`?`, `[`, `|`, ..), and `.*` and `.+`, which are most
/// likely meant as a regex: the route would silently never be found.
fn push_literal(source: &mut String, text: &str) -> Result<(), PatternErrorKind> {
    let in_path = |c: char| {
        c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_control()) || "-._~!$&'*+,;=:@%/".contains(c)
    };
    if let Some(c) = text.chars().find(|&c| !in_path(c)) {
        return Err(PatternErrorKind::NotLiteral(c.to_string()));
    }
    if let Some(found) = [".*", ".+"].into_iter().find(|wild| text.contains(wild)) {
        return Err(PatternErrorKind::NotLiteral(found.to_owned()));
    }
    regex_syntax::escape_into(text, source);
    Ok(())
}

/// A placeholder is the likeliest reason for a regex not to parse: `/([0-9]+)/{id}`.
fn syntax_error(pattern: &str, message: String) -> PatternErrorKind {
    match next_placeholder(pattern) {
        Some((range, ..)) if !is_template(pattern) => {
            PatternErrorKind::PlaceholderInRegex(pattern[range].to_owned())
        }
        // The last line of the parser's drawing says what is wrong: start-up errors are one line.
        _ => PatternErrorKind::Syntax(
            message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        ),
    }
}

fn whole_path_source(source: &str, ast: &Ast) -> String {
    let ends = match ast {
        Ast::Alternation(_) => return format!("(?:{source})$"),
        Ast::Concat(concat) => concat.asts.last().is_some_and(is_end),
        other => is_end(other),
    };
    if ends { source.to_owned() } else { format!("{source}$") }
}

/// The pattern as text and groups; `None` when something between the groups does not stand for one text, or groups
/// are nested.
fn reverse_pieces(ast: &Ast, hir: &Hir) -> Option<Box<[Piece]>> {
    let parts = match ast {
        Ast::Concat(concat) => &concat.asts[..],
        single => std::slice::from_ref(single),
    };
    let mut pieces = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let at_edge = (index == 0 && is_start(part)) || (index + 1 == parts.len() && is_end(part));
        if !at_edge && !matches!(part, Ast::Empty(_)) {
            push_piece(&mut pieces, part)?;
        }
    }
    let mut slashes = Vec::new();
    groups_with_slash(hir, &mut slashes);
    let mut slashes = slashes.into_iter();
    for piece in &mut pieces {
        match piece {
            Piece::Text(text) => *text = utf8_percent_encode(text, TEXT).to_string(),
            Piece::Group { slash } => *slash = slashes.next()?,
        }
    }
    slashes.next().is_none().then(|| pieces.into())
}

/// For each group in order, whether a slash may be in what it matches.
fn groups_with_slash(hir: &Hir, slashes: &mut Vec<bool>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            slashes.push(may_hold_slash(&capture.sub));
            groups_with_slash(&capture.sub, slashes);
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| groups_with_slash(part, slashes));
        }
        HirKind::Repetition(repetition) => groups_with_slash(&repetition.sub, slashes),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

fn may_hold_slash(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.contains(&b'/'),
        HirKind::Class(hir::Class::Bytes(class)) => {
            class.iter().any(|range| (range.start()..=range.end()).contains(&b'/'))
        }
        HirKind::Class(hir::Class::Unicode(class)) => {
            class.iter().any(|range| (range.start()..=range.end()).contains(&'/'))
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(may_hold_slash),
        HirKind::Repetition(repetition) => may_hold_slash(&repetition.sub),
        HirKind::Capture(capture) => may_hold_slash(&capture.sub),
        HirKind::Empty | HirKind::Look(_) => false,
    }
}

fn push_piece(pieces: &mut Vec<Piece>, part: &Ast) -> Option<()> {
    let character = match part {
        Ast::Group(group) if group.is_capturing() => {
            pieces.push(Piece::Group { slash: false });
            return Some(());
        }
        Ast::Repetition(repetition) if repetition.op.kind == ast::RepetitionKind::ZeroOrOne => {
            return push_piece(pieces, &repetition.ast);
        }
        Ast::Literal(literal) => literal.c,
        // `/index.html` is how people write it.
        Ast::Dot(_) => '.',
        _ => return None,
    };
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(character),
        _ => pieces.push(Piece::Text(character.to_string())),
    }
    Some(())
}

fn is_start(ast: &Ast) -> bool {
    use ast::AssertionKind::{StartLine, StartText};
    matches!(ast, Ast::Assertion(assertion) if matches!(assertion.kind, StartLine | StartText))
}

fn is_end(ast: &Ast) -> bool {
    use ast::AssertionKind::{EndLine, EndText};
    matches!(ast, Ast::Assertion(assertion) if matches!(assertion.kind, EndLine | EndText))
}
