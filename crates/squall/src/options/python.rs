//! Python as far as a file of options needs it: assignments of literals to names.

use std::iter::Peekable;
use std::str::CharIndices;

use super::config::{Entry, Literal};

/// Line and problem.
type Fault = (usize, String);

/// The assignments of a file. Comments and imports are passed over; `__file__` is the file's path.
pub(super) fn assignments(text: &str, file: &str) -> Result<Vec<Entry>, Fault> {
    let mut reader = Reader { text, chars: text.char_indices().peekable(), file, depth: 0 };
    let mut entries = Vec::new();
    loop {
        reader.skip_lines();
        let Some(start) = reader.position() else { return Ok(entries) };
        let line = reader.line(start);
        let word = reader.word();
        if matches!(word, "import" | "from") {
            reader.skip_line();
            continue;
        }
        reader.skip_spaces();
        if word.is_empty() || !reader.takes('=') || reader.chars.peek().is_some_and(|(_, c)| *c == '=') {
            return Err((line, "only plain assignments such as `port = 80` are understood here".to_owned()));
        }
        let value = reader.value().map_err(|problem| (line, problem))?;
        reader.skip_spaces();
        match reader.chars.peek() {
            None | Some((_, '\n' | '#' | ';' | '\r')) => {}
            Some(_) => return Err((line, format!("what follows the value of {word} is not understood"))),
        }
        reader.takes(';');
        entries.push(Entry { name: word.to_owned(), value, line: Some(line) });
    }
}

/// How deep lists may be nested.
const DEEPEST: usize = 8;

struct Reader<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    file: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn position(&mut self) -> Option<usize> {
        self.chars.peek().map(|(at, _)| *at)
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn skip_spaces(&mut self) {
        loop {
            while self.chars.next_if(|(_, c)| matches!(c, ' ' | '\t' | '\r')).is_some() {}
            // A line that goes on.
            let rest = self.position().map_or("", |at| &self.text[at..]);
            if !rest.starts_with("\\\n") {
                return;
            }
            self.chars.next();
            self.chars.next();
        }
    }

    fn skip_line(&mut self) {
        while self.chars.next_if(|(_, c)| *c != '\n').is_some() {}
    }

    /// Blank lines and comments; also inside of brackets.
    fn skip_lines(&mut self) {
        loop {
            while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            match self.chars.peek() {
                Some((_, '#')) => self.skip_line(),
                _ => return,
            }
        }
    }

    fn word(&mut self) -> &'t str {
        let Some(start) = self.position() else { return "" };
        while self.chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_').is_some() {}
        let end = self.position().unwrap_or(self.text.len());
        &self.text[start..end]
    }

    fn value(&mut self) -> Result<Literal, String> {
        self.skip_spaces();
        match self.chars.peek().map(|(_, c)| *c) {
            Some('[') => self.list(']').map(Literal::List),
            Some('(') => self.in_parentheses(),
            Some('"' | '\'') => self.strings(false),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.name(),
            _ => Err("a value is missing".to_owned()),
        }
    }

    /// A tuple, or a value that may go on over several lines.
    fn in_parentheses(&mut self) -> Result<Literal, String> {
        let mut elements = self.list(')')?;
        let is_tuple = elements.len() != 1
            || self.text[..self.position().unwrap_or(self.text.len())]
                .trim_end_matches(')')
                .trim_end()
                .ends_with(',');
        Ok(if is_tuple { Literal::List(elements) } else { elements.remove(0) })
    }

    fn list(&mut self, end: char) -> Result<Vec<Literal>, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("lists are nested too deeply".to_owned());
        }
        self.chars.next();
        let mut elements = Vec::new();
        loop {
            self.skip_lines();
            if self.takes(end) {
                break;
            }
            elements.push(self.value()?);
            self.skip_lines();
            // Strings side by side are one.
            while let (Some(Literal::Text(_)), Some((_, '"' | '\''))) = (elements.last(), self.chars.peek()) {
                let Literal::Text(more) = self.strings(false)? else { break };
                if let Some(Literal::Text(text)) = elements.last_mut() {
                    text.push_str(&more);
                }
                self.skip_lines();
            }
            if !self.takes(',') {
                if self.takes(end) {
                    break;
                }
                return Err(format!("'{end}' or a comma is missing"));
            }
        }
        self.depth -= 1;
        Ok(elements)
    }

    fn number(&mut self) -> Result<Literal, String> {
        let start = self.position().unwrap_or_default();
        while self.chars.next_if(|(_, c)| c.is_alphanumeric() || matches!(c, '-' | '+' | '.' | '_')).is_some()
        {
        }
        let end = self.position().unwrap_or(self.text.len());
        let written = &self.text[start..end];
        let plain = written.replace('_', "");
        let radix = |prefix: &str, radix| {
            let digits = plain.to_ascii_lowercase();
            i128::from_str_radix(digits.strip_prefix(prefix)?, radix).ok()
        };
        if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)) {
            return Ok(Literal::Number(number.to_string()));
        }
        let is_number = plain.parse::<f64>().is_ok() && plain.bytes().any(|b| b.is_ascii_digit());
        if is_number { Ok(Literal::Number(plain)) } else { Err(format!("{written} is no number")) }
    }

    fn name(&mut self) -> Result<Literal, String> {
        let word = self.word();
        if matches!(self.chars.peek(), Some((_, '"' | '\''))) {
            return match word.to_ascii_lowercase().as_str() {
                "r" | "br" | "rb" => self.strings(true),
                "u" | "b" => self.strings(false),
                _ => Err(format!("a {word}\"...\" string is not understood here")),
            };
        }
        match word {
            "True" => Ok(Literal::Bool(true)),
            "False" => Ok(Literal::Bool(false)),
            "None" => Ok(Literal::None),
            "__file__" => Ok(Literal::Text(self.file.to_owned())),
            _ => Err(format!("{word} is no plain value; only literals are understood here")),
        }
    }

    /// One string, and those that follow it on the line.
    fn strings(&mut self, raw: bool) -> Result<Literal, String> {
        let mut text = self.string(raw)?;
        loop {
            self.skip_spaces();
            if !matches!(self.chars.peek(), Some((_, '"' | '\''))) {
                return Ok(Literal::Text(text));
            }
            text.push_str(&self.string(false)?);
        }
    }

    fn string(&mut self, raw: bool) -> Result<String, String> {
        let unclosed = || "a string has no end".to_owned();
        let (start, quote) = self.chars.next().ok_or_else(unclosed)?;
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let is_triple = self.text[start..].starts_with(&triple);
        if is_triple {
            self.chars.next();
            self.chars.next();
        }
        let mut text = String::new();
        loop {
            let (at, c) = self.chars.next().ok_or_else(unclosed)?;
            match c {
                _ if is_triple && self.text[at..].starts_with(&triple) => {
                    self.chars.next();
                    self.chars.next();
                    return Ok(text);
                }
                c if c == quote && !is_triple => return Ok(text),
                '\n' if !is_triple => return Err(unclosed()),
                '\\' if raw => {
                    text.push(c);
                    text.extend(self.chars.next().map(|(_, c)| c));
                }
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let Some((_, c)) = self.chars.next() else { return Ok(()) };
        let plain = match c {
            '\n' => return Ok(()),
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            '\\' | '\'' | '"' => c,
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            other => {
                text.push('\\');
                other
            }
        };
        text.push(plain);
        Ok(())
    }

    fn code(&mut self, digits: usize) -> Result<char, String> {
        let code: String = self.chars.by_ref().take(digits).map(|(_, c)| c).collect();
        let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
        code.ok_or_else(|| "an escape in a string is no character".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Literal)>, Fault> {
        Ok(assignments(text, "f.cfg")?.into_iter().map(|entry| (entry.name, entry.value)).collect())
    }

    fn value(text: &str) -> Literal {
        read(&format!("a = {text}")).unwrap().remove(0).1
    }

    #[test]
    fn literals() {
        let text = |text: &str| Literal::Text(text.to_owned());
        let number = |text: &str| Literal::Number(text.to_owned());
        for (written, expected) in [
            ("443", number("443")),
            ("-1_000", number("-1000")),
            ("0x1f", number("31")),
            ("1.5e3", number("1.5e3")),
            ("True", Literal::Bool(true)),
            ("False", Literal::Bool(false)),
            ("None", Literal::None),
            ("'李康'", text("李康")),
            (r#""a\"b\n\x41\u00fc\q""#, text("a\"b\nAü\\q")),
            (r"r'\d+'", text(r"\d+")),
            ("'a' \"b\"", text("ab")),
            ("'''a\n'b'''", text("a\n'b")),
            ("('a'\n 'b')", text("ab")),
            ("(1)", number("1")),
            ("(1,)", Literal::List(vec![number("1")])),
            ("[1, # one\n 2,\n]", Literal::List(vec![number("1"), number("2")])),
            ("[]", Literal::List(vec![])),
            ("__file__", text("f.cfg")),
        ] {
            assert_eq!(value(written), expected, "{written}");
        }
    }

    #[test]
    fn a_file() {
        let file =
            "# comment\nimport os\nfrom a import b\n\nport = 80; name='x' # end\n\npath = __file__\r\n";
        let names: Vec<String> = read(file).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["port", "name", "path"]);
    }

    #[test]
    fn what_is_no_plain_assignment_names_its_line() {
        for (file, line) in [
            ("a = 1\nif a: b = 2\n", 2),
            ("a = f(1)", 1),
            ("a == 1", 1),
            ("\n\na = 'x\n", 3),
            ("a = [1", 1),
            ("a = (", 1),
            ("a =", 1),
            ("a = 1 2", 1),
            ("a = 1 + \\\n 2", 1),
            ("a = '\\", 1),
            ("a = '\\ud800'", 1),
            ("a = [[[[[[[[[1]]]]]]]]]", 1),
            ("= 1", 1),
            ("a.b = 1", 1),
            ("a = 1e", 1),
            ("a = -", 1),
        ] {
            assert_eq!(read(file).map_err(|(line, _)| line), Err(line), "{file:?}");
        }
    }
}
