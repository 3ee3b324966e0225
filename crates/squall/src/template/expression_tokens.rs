//! The tokens of a Python expression, its numbers and strings.

use super::expression::{ExpressionError, Rewritten};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Name,
    Number,
    /// The text is the string's value.
    String,
    /// The text is what stands between the quotes.
    Format,
    Operator,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) text: String,
    pub(super) offset: usize,
}

impl Token {
    /// Whether it is this operator or keyword.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, TokenKind::Operator | TokenKind::Name) && self.text == text
    }
}

pub(super) const KEYWORDS: &[&str] = &[
    "and", "or", "not", "in", "is", "if", "else", "for", "lambda", "await", "yield", "async", "import",
    "from", "as", "with", "def", "class", "return", "del", "pass", "assert", "raise", "global", "nonlocal",
    "while", "try", "except", "finally", "elif", "break", "continue",
];

pub(super) fn tokenize(source: &str) -> Rewritten<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        if c.is_whitespace() || rest.starts_with("\\\n") {
            at += c.len_utf8();
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if let Some((kind, text, length)) = string(rest, at)? {
            tokens.push(Token { kind, text, offset: at });
            at += length;
            continue;
        }
        let (kind, length) = if c.is_alphabetic() || c == '_' {
            (TokenKind::Name, rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()))
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            (TokenKind::Number, number_length(rest))
        } else {
            (TokenKind::Operator, operator_length(rest, at)?)
        };
        tokens.push(Token { kind, text: rest[..length].to_owned(), offset: at });
        at += length;
    }
    Ok(tokens)
}

pub(super) fn number(token: &Token) -> Rewritten {
    let text = token.text.replace('_', "").to_ascii_lowercase();
    let refused = |message: &str| {
        Err(ExpressionError { message: format!("{message}: {}", token.text), offset: token.offset })
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return match i128::from_str_radix(digits, radix) {
                Ok(value) => Ok(value.to_string()),
                Err(_) => refused("no number"),
            };
        }
    }
    if text.ends_with('j') {
        return refused("complex numbers have no counterpart");
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<i128>() {
            Ok(value) => Ok(value.to_string()),
            Err(_) => refused("number too large"),
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(format!("{value:?}")),
        _ => refused("no number"),
    }
}

fn number_length(rest: &str) -> usize {
    let mut previous = ' ';
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    for (at, c) in rest.char_indices() {
        let in_exponent = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E') && !hex;
        if !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || in_exponent) {
            return at;
        }
        previous = c;
    }
    rest.len()
}

fn operator_length(rest: &str, offset: usize) -> Rewritten<usize> {
    const OPERATORS: &[&str] = &[
        "//=", "**=", ">>=", "<<=", "...", "**", "//", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=",
        "%=", ":=", "<<", ">>", "&=", "|=", "^=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "+", "-", "*",
        "/", "%", "<", ">", "=", "&", "|", "^", "~", "@", ";",
    ];
    match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
        Some(operator) => Ok(operator.len()),
        None => {
            let c = rest.chars().next().unwrap_or_default();
            Err(ExpressionError { message: format!("unexpected character {c:?}"), offset })
        }
    }
}

/// A string at the start of `rest`: its kind, value and length.
fn string(rest: &str, offset: usize) -> Rewritten<Option<(TokenKind, String, usize)>> {
    let prefix = rest.len() - rest.trim_start_matches(|c: char| "rRbBfFuU".contains(c)).len();
    let from = &rest[prefix..];
    if prefix > 2 || !from.starts_with(['"', '\'']) {
        return Ok(None);
    }
    let flags = rest[..prefix].to_ascii_lowercase();
    let quote = if from.starts_with("\"\"\"") || from.starts_with("'''") { &from[..3] } else { &from[..1] };
    let content = &from[quote.len()..];
    let (mut at, mut end) = (0, None);
    while at < content.len() {
        if content[at..].starts_with(quote) {
            end = Some(at);
            break;
        }
        let c = content[at..].chars().next().unwrap_or_default();
        at += c.len_utf8();
        if c == '\\' {
            at += content[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    let Some(end) = end else {
        return Err(ExpressionError { message: "unterminated string".to_owned(), offset });
    };
    let text = &content[..end];
    let length = prefix + quote.len() * 2 + end;
    if flags.contains('f') {
        return Ok(Some((TokenKind::Format, text.to_owned(), length)));
    }
    let value = if flags.contains('r') { text.to_owned() } else { unescape(text, offset)? };
    Ok(Some((TokenKind::String, value, length)))
}

/// Python's escapes in a string.
pub(super) fn unescape(text: &str, offset: usize) -> Rewritten {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = chars.next() else { break };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        match escape {
            '\n' => {}
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            '0' => out.push('\0'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            '\\' | '"' | '\'' => out.push(escape),
            'x' | 'u' | 'U' => {
                let code: String = chars.by_ref().take(digits).collect();
                let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                match c.filter(|_| code.len() == digits) {
                    Some(c) => out.push(c),
                    None => {
                        let message = format!("invalid escape \\{escape}{code}");
                        return Err(ExpressionError { message, offset });
                    }
                }
            }
            other => out.extend(['\\', other]),
        }
    }
    Ok(out)
}
