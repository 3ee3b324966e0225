//! `re`, on the regex crate: no lookaround and no back-references, and never exponential time.

use std::rc::Rc;

use regex::{Captures, Regex, RegexBuilder};

use super::function;
use crate::template::budget;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::value::{
    Class, Iter, Key, Map, Object, Py, PyError, R, Source, Type, index, repr, size, str,
};

static FUNCTIONS: &[Builtin] = &[
    Builtin { name: "match", call: |interp, args| of_pattern(interp, args, "match") },
    Builtin { name: "search", call: |interp, args| of_pattern(interp, args, "search") },
    Builtin { name: "fullmatch", call: |interp, args| of_pattern(interp, args, "fullmatch") },
    Builtin { name: "findall", call: |interp, args| of_pattern(interp, args, "findall") },
    Builtin { name: "finditer", call: |interp, args| of_pattern(interp, args, "finditer") },
    Builtin { name: "split", call: |interp, args| of_pattern(interp, args, "split") },
    Builtin { name: "sub", call: |interp, args| of_pattern(interp, args, "sub") },
    Builtin {
        name: "compile",
        call: |_, args| {
            let [pattern, flags] = args.take("compile", ["pattern", "flags"], 1)?;
            let flags = flags.map_or(Ok(0), |flags| index(&flags))?;
            Ok(Py::Object(Rc::new(compile(&pattern.unwrap_or(Py::None), flags)?)))
        },
    },
    Builtin {
        name: "escape",
        call: |_, args| {
            let [text] = args.take("escape", ["pattern"], 1)?;
            let text = str(&text.unwrap_or(Py::None))?;
            let special = "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c";
            let mut out = String::new();
            for c in text.chars() {
                if special.contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }
            Ok(Py::from(out))
        },
    },
];

pub(super) fn find(name: &str) -> Option<Py> {
    Some(Py::Int(match name {
        "I" | "IGNORECASE" => 2,
        "M" | "MULTILINE" => 8,
        "S" | "DOTALL" => 16,
        "U" | "UNICODE" => 32,
        "X" | "VERBOSE" => 64,
        "A" | "ASCII" => 256,
        "error" => return Some(Py::Type(Type::Exception(Class::PatternError))),
        _ => return function(FUNCTIONS, name),
    }))
}

thread_local! {
    /// The last patterns: a page uses the same ones each time.
    static PATTERNS: std::cell::RefCell<Vec<(String, i64, Rc<Pattern>)>> = const { std::cell::RefCell::new(Vec::new()) };
}

const MAX_PATTERNS: usize = 32;

/// Whether the first argument of this function is a pattern.
pub(in crate::template) fn takes_pattern(function: &Builtin) -> bool {
    function.name != "escape" && FUNCTIONS.iter().any(|known| std::ptr::eq(known, function))
}

/// What is wrong with a pattern that stands in the template.
pub(in crate::template) enum BadPattern {
    /// Python has it, and squall has not.
    Missing(String),
    /// Python refuses it too, on the page.
    Wrong(String),
}

/// Whether such a pattern can be matched, whatever the flags may be.
pub(in crate::template) fn check_pattern(text: &str) -> Result<(), BadPattern> {
    let Err(error) = build(text, 0) else { return Ok(()) };
    if build(text, 64).is_ok() {
        return Ok(());
    }
    let cause = cause_of(&error);
    let missing = |what: &str, how: &str| {
        BadPattern::Missing(format!("re has no {what} here: {how}, or register a function of your own"))
    };
    Err(if cause.contains("look-around") {
        missing(
            "look-around ((?=..), (?!..), (?<=..), (?<!..))",
            "match what stands around it and keep a group",
        )
    } else if cause.contains("backreference") || text.contains("(?P=") {
        missing("back-references (\\1, (?P=name))", "compare the groups of a match")
    } else if text.contains("(?>") || text.contains("(?(") {
        missing("atomic groups and conditions ((?>..), (?(1)..))", "write the pattern without them")
    } else {
        BadPattern::Wrong(format!("the pattern is wrong: {cause}"))
    })
}

fn cause_of(error: &regex::Error) -> String {
    let cause = error.to_string();
    let last = cause.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

fn build(text: &str, flags: i64) -> Result<Regex, regex::Error> {
    // What Python writes in another way.
    let source = text.replace("\\Z", "\\z");
    RegexBuilder::new(&source)
        .case_insensitive(flags & 2 != 0)
        .multi_line(flags & 8 != 0)
        .dot_matches_new_line(flags & 16 != 0)
        .ignore_whitespace(flags & 64 != 0)
        .unicode(flags & 256 == 0)
        .size_limit(1 << 20)
        .build()
}

fn compile(pattern: &Py, flags: i64) -> R<Rc<Pattern>> {
    let Py::Str(text) = pattern else {
        return Err(PyError::type_error("first argument must be string or compiled pattern"));
    };
    let known = PATTERNS.with_borrow(|patterns| {
        let found = patterns.iter().find(|(known, own, _)| **known == **text && *own == flags);
        found.map(|(_, _, pattern)| Rc::clone(pattern))
    });
    if let Some(pattern) = known {
        return Ok(pattern);
    }
    budget::pay(1_000)?;
    let regex = build(text, flags).map_err(|error| {
        let shown = repr(pattern).unwrap_or_default();
        PyError::new(Class::PatternError, format!("{shown}: {}", cause_of(&error)))
    })?;
    let pattern = Rc::new(Pattern { regex, source: text.to_string(), flags });
    PATTERNS.with_borrow_mut(|patterns| {
        if patterns.len() >= MAX_PATTERNS {
            patterns.remove(0);
        }
        patterns.push((text.to_string(), flags, Rc::clone(&pattern)));
    });
    Ok(pattern)
}

/// `re.search(pattern, string, ..)` and the like.
fn of_pattern(interp: &mut Interp<'_>, mut args: Args, name: &str) -> R {
    if args.positional.is_empty() {
        return Err(PyError::type_error(format!("{name}() missing required argument 'pattern' (pos 1)")));
    }
    let pattern = args.positional.remove(0);
    let flags = args.keywords.iter().position(|(name, _)| &**name == "flags");
    let mut flags = flags.map(|at| args.keywords.remove(at).1);
    let most = match name {
        "sub" => 3,
        "split" => 2,
        _ => 1,
    };
    if args.positional.len() > most {
        flags = args.positional.pop();
    }
    let flags = flags.map_or(Ok(0), |flags| index(&flags))?;
    match &pattern {
        Py::Object(object) => Rc::clone(object).call_method(interp, name, args),
        pattern => compile(pattern, flags)?.call(interp, name, args),
    }
}

struct Pattern {
    regex: Regex,
    source: String,
    flags: i64,
}

impl Pattern {
    fn call(self: &Rc<Self>, interp: &mut Interp<'_>, name: &str, args: Args) -> R {
        if name == "sub" {
            let [replacement, text, count] = args.take(name, ["repl", "string", "count"], 2)?;
            let count = count.map_or(Ok(0), |count| size(&count))?;
            return self.sub(interp, &replacement.unwrap_or(Py::None), &text.unwrap_or(Py::None), count);
        }
        let [text, most] = args.take(name, ["string", "maxsplit"], 1)?;
        let Some(Py::Str(text)) = text else {
            return Err(PyError::type_error("expected string or bytes-like object"));
        };
        budget::pay_bytes(text.len())?;
        match name {
            "findall" => {
                let found = self.regex.captures_iter(&text).map(|found| groups_of_findall(&found));
                let found: Vec<Py> = found.collect();
                budget::pay_items(found.len())?;
                Ok(Py::list(found))
            }
            "finditer" => {
                let found = self.regex.captures_iter(&text).map(|found| Match::value(self, &text, &found));
                Ok(Iter::value(Source::Values(found.collect::<Vec<_>>().into_iter())))
            }
            "split" => {
                let most = most.map_or(Ok(0), |most| size(&most))?;
                let mut parts = Vec::new();
                let mut last = 0;
                for found in self.regex.captures_iter(&text).take(if most == 0 { usize::MAX } else { most }) {
                    let Some(whole) = found.get(0) else { continue };
                    parts.push(Py::from(&text[last..whole.start()]));
                    parts.extend(
                        found
                            .iter()
                            .skip(1)
                            .map(|group| group.map_or(Py::None, |group| group.as_str().into())),
                    );
                    last = whole.end();
                }
                parts.push(Py::from(&text[last..]));
                budget::pay_items(parts.len())?;
                Ok(Py::list(parts))
            }
            _ => {
                let found = self.regex.captures(&text);
                let fits = |found: &Captures<'_>| match (name, found.get(0)) {
                    ("match", Some(whole)) => whole.start() == 0,
                    ("fullmatch", Some(whole)) => whole.start() == 0 && whole.end() == text.len(),
                    _ => true,
                };
                match found {
                    Some(found) if fits(&found) => Ok(Match::value(self, &text, &found)),
                    None => Ok(Py::None),
                    // The leftmost match may not be the one that is asked for.
                    Some(_) if name == "search" => Ok(Py::None),
                    Some(_) => self.anchored(&text, name == "fullmatch"),
                }
            }
        }
    }

    /// A match from the start, and up to the end if it has to be whole.
    fn anchored(self: &Rc<Self>, text: &str, is_whole: bool) -> R {
        let end = if is_whole { "\\z" } else { "" };
        let source = Py::from(format!("\\A(?:{}){end}", self.source));
        let pattern = compile(&source, self.flags)?;
        Ok(pattern.regex.captures(text).map_or(Py::None, |found| Match::value(self, text, &found)))
    }

    fn sub(self: &Rc<Self>, interp: &mut Interp<'_>, replacement: &Py, text: &Py, count: usize) -> R {
        let Py::Str(text) = text else {
            return Err(PyError::type_error("expected string or bytes-like object"));
        };
        budget::pay_bytes(text.len())?;
        let mut out = String::new();
        let mut last = 0;
        for found in self.regex.captures_iter(text).take(if count == 0 { usize::MAX } else { count }) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&text[last..whole.start()]);
            match replacement {
                Py::Str(template) => expand(template, &found, &mut out)?,
                function => {
                    let value = interp.call(function, vec![Match::value(self, text, &found)].into())?;
                    let Py::Str(value) = value else {
                        return Err(PyError::type_error("expected str instance"));
                    };
                    out.push_str(&value);
                }
            }
            budget::pay(1 + (out.len() / 1_000_000) as u64)?;
            last = whole.end();
        }
        out.push_str(&text[last..]);
        budget::pay_bytes(out.len())?;
        Ok(Py::from(out))
    }
}

fn groups_of_findall(found: &Captures<'_>) -> Py {
    let group = |at: usize| Py::from(found.get(at).map_or("", |group| group.as_str()));
    match found.len() {
        1 => group(0),
        2 => group(1),
        count => Py::tuple((1..count).map(group).collect()),
    }
}

/// `\1`, `\g<name>` and `\n` in what is put in.
fn expand(template: &str, found: &Captures<'_>, out: &mut String) -> R<()> {
    let bad = || PyError::new(Class::PatternError, "invalid group reference");
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some((name, tail)) = after.strip_prefix("g<").and_then(|after| after.split_once('>')) {
            let group = match name.parse::<usize>() {
                Ok(number) if number < found.len() => found.get(number),
                Ok(_) => return Err(bad()),
                Err(_) => found.name(name),
            };
            out.push_str(group.map_or("", |group| group.as_str()));
            rest = tail;
            continue;
        }
        let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let number: usize = after[..digits].parse().map_err(|_| bad())?;
            if number >= found.len() {
                return Err(bad());
            }
            out.push_str(found.get(number).map_or("", |group| group.as_str()));
            rest = &after[digits..];
            continue;
        }
        let c = after.chars().next();
        match c {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
        rest = &after[c.map_or(0, char::len_utf8)..];
    }
    out.push_str(rest);
    Ok(())
}

const METHODS: &[&str] = &["match", "search", "fullmatch", "findall", "finditer", "split", "sub"];

impl Object for Rc<Pattern> {
    fn type_name(&self) -> &'static str {
        "re.Pattern"
    }

    fn attribute(&self, name: &str) -> Option<Py> {
        match name {
            "pattern" => Some(Py::from(self.source.as_str())),
            "flags" => Some(Py::Int(self.flags | 32)),
            _ => None,
        }
    }

    fn has_method(&self, name: &str) -> bool {
        METHODS.contains(&name)
    }

    fn call_method(&self, interp: &mut Interp<'_>, name: &str, args: Args) -> R {
        self.call(interp, name, args)
    }

    fn repr(&self) -> String {
        format!("re.compile({})", repr(&Py::from(self.source.as_str())).unwrap_or_default())
    }
}

/// What a pattern has found.
struct Match {
    groups: Vec<Option<(usize, usize, String)>>,
    names: Vec<Option<String>>,
}

impl Match {
    fn value(pattern: &Pattern, text: &str, found: &Captures<'_>) -> Py {
        // Places are counted in characters.
        let place = |at: usize| crate::template::value::char_count(&text[..at]);
        let groups = found.iter().map(|group| {
            group.map(|group| (place(group.start()), place(group.end()), group.as_str().to_owned()))
        });
        let names = pattern.regex.capture_names().map(|name| name.map(ToOwned::to_owned)).collect();
        Py::Object(Rc::new(Self { groups: groups.collect(), names }))
    }

    fn group(&self, key: &Py) -> R {
        let index = match key {
            Py::Str(name) => self.names.iter().position(|known| known.as_deref() == Some(&**name)),
            key => usize::try_from(index(key)?).ok().filter(|at| *at < self.groups.len()),
        };
        let Some(index) = index else { return Err(PyError::new(Class::IndexError, "no such group")) };
        Ok(self.groups[index].as_ref().map_or(Py::None, |(_, _, text)| Py::from(text.as_str())))
    }
}

impl Object for Match {
    fn type_name(&self) -> &'static str {
        "re.Match"
    }

    fn attribute(&self, name: &str) -> Option<Py> {
        match name {
            "lastindex" => {
                Some(self.groups.iter().rposition(Option::is_some).filter(|at| *at > 0).map(Py::from).into())
            }
            _ => None,
        }
    }

    fn has_method(&self, name: &str) -> bool {
        matches!(name, "group" | "groups" | "groupdict" | "start" | "end" | "span")
    }

    fn call_method(&self, _: &mut Interp<'_>, name: &str, args: Args) -> R {
        match name {
            "group" => {
                let groups = args.positional.iter().map(|key| self.group(key)).collect::<R<Vec<_>>>()?;
                match groups.len() {
                    0 => self.group(&Py::Int(0)),
                    1 => Ok(groups.into_iter().next().into()),
                    _ => Ok(Py::tuple(groups)),
                }
            }
            "groups" => {
                let [default] = args.take(name, ["default"], 0)?;
                let default = default.unwrap_or(Py::None);
                let groups = self.groups.iter().skip(1);
                Ok(Py::tuple(
                    groups
                        .map(|group| group.as_ref().map_or(default.clone(), |group| group.2.as_str().into()))
                        .collect(),
                ))
            }
            "groupdict" => {
                let mut map = Map::default();
                for (name, group) in self.names.iter().zip(&self.groups) {
                    if let Some(name) = name {
                        let value = group.as_ref().map_or(Py::None, |group| group.2.as_str().into());
                        map.insert(Key::new(Py::from(name.as_str()))?, value);
                    }
                }
                Ok(Py::Dict(Rc::new(crate::template::value::Dict::new(map))))
            }
            _ => {
                let [at] = args.take(name, ["*group"], 0)?;
                let at = at.map_or(Ok(0), |at| size(&at))?;
                let (start, end) = match self.groups.get(at) {
                    Some(Some((start, end, _))) => (Py::from(*start), Py::from(*end)),
                    Some(None) => (Py::Int(-1), Py::Int(-1)),
                    None => return Err(PyError::new(Class::IndexError, "no such group")),
                };
                Ok(match name {
                    "start" => start,
                    "end" => end,
                    _ => Py::tuple(vec![start, end]),
                })
            }
        }
    }

    fn get_item(&self, key: &Py) -> Option<R> {
        Some(self.group(key))
    }

    fn repr(&self) -> String {
        "<re.Match object>".to_owned()
    }
}
