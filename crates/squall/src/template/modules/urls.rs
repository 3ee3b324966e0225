//! `urllib.parse`: URLs taken apart, joined and put together (RFC 3986, as Python reads it).

use std::rc::Rc;

use super::function;
use super::small::needed;
use crate::escape;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::value::{Key, Map, Object, Py, PyError, R, get_item, repr};

static FUNCTIONS: &[Builtin] = &[
    Builtin { name: "urlparse", call: |_, args| parse(args, &PARSED) },
    Builtin { name: "urlsplit", call: |_, args| parse(args, &SPLIT) },
    Builtin { name: "urlunparse", call: |interp, args| unparse(interp, args, &PARSED) },
    Builtin { name: "urlunsplit", call: |interp, args| unparse(interp, args, &SPLIT) },
    Builtin {
        name: "urljoin",
        call: |_, args| {
            let [base, url, fragments] = args.take("urljoin", ["base", "url", "allow_fragments"], 2)?;
            let (base, url) = (needed(base, "urljoin")?, needed(url, "urljoin")?);
            let fragments = fragments.is_none_or(|fragments| fragments.is_true());
            Ok(Py::from(join(&base, &url, fragments)?))
        },
    },
    Builtin {
        name: "urldefrag",
        call: |_, args| {
            let [url] = args.take("urldefrag", ["url"], 1)?;
            let mut parts = Parts::of(&text_of(url, "urldefrag")?, "", true)?;
            let fragment = std::mem::take(&mut parts.fragment);
            Ok(Py::Object(Rc::new(UrlResult { form: &DEFRAGGED, items: vec![parts.joined(), fragment] })))
        },
    },
    Builtin { name: "parse_qs", call: |_, args| parse_qs(args, "parse_qs") },
    Builtin { name: "parse_qsl", call: |_, args| parse_qs(args, "parse_qsl") },
];

pub(super) fn find(name: &str) -> Option<Py> {
    function(FUNCTIONS, name)
}

/// Schemes whose references are relative to a base, with a `//host` or without.
const WITH_HOST: &[&str] = &[
    "", "file", "ftp", "gopher", "http", "https", "imap", "mms", "nntp", "prospero", "rtsp", "rtsps",
    "rtspu", "sftp", "shttp", "svn", "svn+ssh", "wais", "ws", "wss",
];

/// Schemes whose last segment may have parameters behind a semicolon.
const WITH_PARAMETERS: &[&str] = &[
    "", "ftp", "hdl", "http", "https", "mms", "prospero", "rtsp", "rtsps", "rtspu", "sftp", "shttp", "sip",
    "sips", "tel",
];

/// A URL in its parts, none of which is decoded.
#[derive(Default)]
struct Parts {
    scheme: String,
    netloc: String,
    path: String,
    query: String,
    fragment: String,
}

impl Parts {
    fn of(url: &str, scheme: &str, allow_fragments: bool) -> R<Self> {
        let is_control = |c: char| c <= ' ';
        let url: String =
            url.trim_start_matches(is_control).chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
        let mut parts = Self { scheme: scheme.to_owned(), ..Self::default() };
        let mut rest = url.as_str();
        if let Some((before, after)) = rest.split_once(':')
            && before.starts_with(|c: char| c.is_ascii_alphabetic())
            && before.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        {
            parts.scheme = before.to_ascii_lowercase();
            rest = after;
        }
        if let Some(after) = rest.strip_prefix("//") {
            let end = after.find(['/', '?', '#']).unwrap_or(after.len());
            after[..end].clone_into(&mut parts.netloc);
            rest = &after[end..];
            if parts.netloc.contains('[') != parts.netloc.contains(']') {
                return Err(PyError::value_error("Invalid IPv6 URL"));
            }
        }
        if allow_fragments && let Some((before, fragment)) = rest.split_once('#') {
            fragment.clone_into(&mut parts.fragment);
            rest = before;
        }
        if let Some((before, query)) = rest.split_once('?') {
            query.clone_into(&mut parts.query);
            rest = before;
        }
        rest.clone_into(&mut parts.path);
        Ok(parts)
    }

    /// The path and its parameters.
    fn parameters(&self) -> (&str, &str) {
        if !WITH_PARAMETERS.contains(&&*self.scheme) {
            return (&self.path, "");
        }
        let last = self.path.rfind('/').unwrap_or(0);
        match self.path[last..].find(';') {
            Some(at) => (&self.path[..last + at], &self.path[last + at + 1..]),
            None => (&self.path, ""),
        }
    }

    fn joined(&self) -> String {
        let Self { scheme, netloc, path, query, fragment } = self;
        let mut url = String::new();
        if !scheme.is_empty() {
            url.push_str(scheme);
            url.push(':');
        }
        let wants_host = !scheme.is_empty() && WITH_HOST.contains(&&**scheme) && !path.starts_with("//");
        if !netloc.is_empty() || wants_host {
            url.push_str("//");
            url.push_str(netloc);
            if !path.is_empty() && !path.starts_with('/') {
                url.push('/');
            }
        }
        url.push_str(path);
        for (sign, part) in [('?', query), ('#', fragment)] {
            if !part.is_empty() {
                url.push(sign);
                url.push_str(part);
            }
        }
        url
    }
}

/// The reference `url` on the page `base`: RFC 3986 §5.2, with empty segments left out.
fn join(base: &str, url: &str, fragments: bool) -> R<String> {
    if base.is_empty() || url.is_empty() {
        return Ok(if base.is_empty() { url } else { base }.to_owned());
    }
    let base = Parts::of(base, "", fragments)?;
    let mut parts = Parts::of(url, &base.scheme, fragments)?;
    if parts.scheme != base.scheme || !WITH_HOST.contains(&&*parts.scheme) {
        return Ok(url.to_owned());
    }
    if !parts.netloc.is_empty() {
        return Ok(parts.joined());
    }
    parts.netloc = base.netloc;
    if parts.path.is_empty() {
        parts.path = base.path;
        if parts.query.is_empty() {
            parts.query = base.query;
        }
        return Ok(parts.joined());
    }
    let whole = if parts.path.starts_with('/') {
        std::mem::take(&mut parts.path)
    } else {
        let folder = base.path.rfind('/').map_or("", |at| &base.path[..=at]);
        format!("{folder}{}", parts.path)
    };
    let all: Vec<&str> = whole.split('/').collect();
    let last = all.len() - 1;
    let mut segments: Vec<&str> = Vec::new();
    for (at, segment) in all.iter().enumerate() {
        match *segment {
            "" if at != 0 && at != last => {}
            ".." => drop(segments.pop()),
            "." => {}
            segment => segments.push(segment),
        }
    }
    if matches!(all[last], "." | "..") {
        segments.push("");
    }
    let path = segments.join("/");
    parts.path = if path.is_empty() { "/".to_owned() } else { path };
    Ok(parts.joined())
}

/// One of Python's tuples with names.
struct Form {
    name: &'static str,
    fields: &'static [&'static str],
}

static PARSED: Form =
    Form { name: "ParseResult", fields: &["scheme", "netloc", "path", "params", "query", "fragment"] };
static SPLIT: Form = Form { name: "SplitResult", fields: &["scheme", "netloc", "path", "query", "fragment"] };
static DEFRAGGED: Form = Form { name: "DefragResult", fields: &["url", "fragment"] };

fn text_of(value: Option<Py>, function: &str) -> R<String> {
    match value {
        Some(Py::Bytes(_)) => {
            let message = format!("{function}() of bytes has no counterpart in a template: decode() them");
            Err(PyError::type_error(message))
        }
        value => needed(value, function),
    }
}

fn parse(args: Args, form: &'static Form) -> R {
    let is_split = form.name == SPLIT.name;
    let name = if is_split { "urlsplit" } else { "urlparse" };
    let [url, scheme, fragments] = args.take(name, ["url", "scheme", "allow_fragments"], 1)?;
    let scheme = scheme.map_or(Ok(String::new()), |scheme| text_of(Some(scheme), name))?;
    let fragments = fragments.is_none_or(|fragments| fragments.is_true());
    let parts = Parts::of(&text_of(url, name)?, &scheme, fragments)?;
    let (path, parameters) = if is_split { (&*parts.path, "") } else { parts.parameters() };
    let (path, parameters) = (path.to_owned(), parameters.to_owned());
    let mut items = vec![parts.scheme, parts.netloc, path, parameters, parts.query, parts.fragment];
    if is_split {
        items.remove(3);
    }
    Ok(Py::Object(Rc::new(UrlResult { form, items })))
}

fn unparse(interp: &mut Interp<'_>, args: Args, form: &'static Form) -> R {
    let name = if form.name == SPLIT.name { "urlunsplit" } else { "urlunparse" };
    let [parts] = args.take(name, ["components"], 1)?;
    let items = interp.collect(&parts.unwrap_or(Py::None))?;
    if items.len() != form.fields.len() {
        let message = format!("{name}() takes {} parts, not {}", form.fields.len(), items.len());
        return Err(PyError::value_error(message));
    }
    let items = items.into_iter().map(|item| text_of(Some(item), name)).collect::<R<Vec<_>>>()?;
    Ok(Py::from(UrlResult { form, items }.url()))
}

/// What `urlparse` and its like give.
struct UrlResult {
    form: &'static Form,
    items: Vec<String>,
}

impl UrlResult {
    fn field(&self, name: &str) -> Option<&str> {
        let at = self.form.fields.iter().position(|field| *field == name)?;
        self.items.get(at).map(String::as_str)
    }

    fn url(&self) -> String {
        let field = |name: &str| self.field(name).unwrap_or_default().to_owned();
        if let Some(url) = self.field("url") {
            let fragment = field("fragment");
            return if fragment.is_empty() { url.to_owned() } else { format!("{url}#{fragment}") };
        }
        let mut path = field("path");
        let parameters = field("params");
        if !parameters.is_empty() {
            path.push(';');
            path.push_str(&parameters);
        }
        let (scheme, netloc) = (field("scheme"), field("netloc"));
        Parts { scheme, netloc, path, query: field("query"), fragment: field("fragment") }.joined()
    }

    fn to_vec(&self) -> Vec<Py> {
        self.items.iter().map(|item| Py::from(item.as_str())).collect()
    }

    /// User, password, host and port of the `netloc`.
    fn of_netloc(&self, name: &str) -> Option<Py> {
        let netloc = self.field("netloc")?;
        let (user, host) = match netloc.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, netloc),
        };
        let (host, port) = match host.split_once('[') {
            Some((_, rest)) => {
                let (host, rest) = rest.split_once(']').unwrap_or((rest, ""));
                (host, rest.split_once(':').map_or("", |(_, port)| port))
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        let text = |text: Option<&str>| text.map_or(Py::None, Py::from);
        Some(match name {
            "username" => text(user.map(|user| user.split_once(':').map_or(user, |(user, _)| user))),
            "password" => text(user.and_then(|user| user.split_once(':')).map(|(_, password)| password)),
            "hostname" if host.is_empty() => Py::None,
            "hostname" => {
                // What a zone is called is not lowered.
                let (host, zone) =
                    host.split_once('%').map_or((host, None), |(host, zone)| (host, Some(zone)));
                let lower = host.to_lowercase();
                Py::from(zone.map_or(lower.clone(), |zone| format!("{lower}%{zone}")))
            }
            // Python raises a ValueError when it is none; here it is absent.
            "port" => port.parse::<u16>().map_or(Py::None, |port| Py::Int(i64::from(port))),
            _ => return None,
        })
    }
}

impl Object for UrlResult {
    fn type_name(&self) -> &'static str {
        self.form.name
    }

    fn attribute(&self, name: &str) -> Option<Py> {
        self.field(name).map(Py::from).or_else(|| self.of_netloc(name))
    }

    fn has_method(&self, name: &str) -> bool {
        matches!(name, "geturl" | "_replace" | "_asdict")
    }

    fn call_method(&self, _: &mut Interp<'_>, name: &str, args: Args) -> R {
        match name {
            "_replace" => {
                let mut items = self.items.clone();
                for (name, value) in args.keywords {
                    let at = self.form.fields.iter().position(|field| *field == &*name);
                    let Some(item) = at.and_then(|at| items.get_mut(at)) else {
                        let message = format!("Got unexpected field names: ['{name}']");
                        return Err(PyError::value_error(message));
                    };
                    *item = text_of(Some(value), "_replace")?;
                }
                Ok(Py::Object(Rc::new(Self { form: self.form, items })))
            }
            "_asdict" => {
                let [] = args.take(name, [], 0)?;
                Py::dict(self.form.fields.iter().map(|field| Py::from(*field)).zip(self.to_vec()))
            }
            _ => {
                let [] = args.take(name, [], 0)?;
                Ok(Py::from(self.url()))
            }
        }
    }

    fn get_item(&self, key: &Py) -> Option<R> {
        Some(get_item(&Py::tuple(self.to_vec()), key))
    }

    fn items(&self) -> Option<Vec<Py>> {
        Some(self.to_vec())
    }

    fn repr(&self) -> String {
        let shown = |item: &String| repr(&Py::from(item.as_str())).unwrap_or_default();
        let fields = self.form.fields.iter().zip(&self.items);
        let fields: Vec<String> = fields.map(|(field, item)| format!("{field}={}", shown(item))).collect();
        format!("{}({})", self.form.name, fields.join(", "))
    }
}

/// `parse_qs`, a dict of lists, and `parse_qsl`, a list of pairs.
fn parse_qs(args: Args, name: &str) -> R {
    let names =
        ["qs", "keep_blank_values", "strict_parsing", "encoding", "errors", "max_num_fields", "separator"];
    let [query, blank, strict, _, _, _, separator] = args.take(name, names, 1)?;
    let is_true = |value: Option<Py>| value.is_some_and(|value| value.is_true());
    let (keeps_blank, is_strict) = (is_true(blank), is_true(strict));
    let is_bytes = matches!(query, Some(Py::Bytes(_)));
    let text = |text: &str| {
        let text = escape::url_unescape(text);
        if is_bytes { Py::bytes(text.as_bytes()) } else { Py::from(&*text) }
    };
    let separator = separator.map_or(Ok("&".to_owned()), |separator| needed(Some(separator), name))?;
    if separator.is_empty() {
        return Err(PyError::value_error("Separator must be of type string or bytes."));
    }
    let query = match query {
        None | Some(Py::None) => String::new(),
        query => needed(query, name)?,
    };
    let mut pairs: Vec<(Py, Py)> = Vec::new();
    for field in query.split(&separator).filter(|field| !field.is_empty() || is_strict) {
        let (key, value) = match field.split_once('=') {
            Some(pair) => pair,
            None if is_strict && !query.is_empty() => {
                let field = repr(&Py::from(field))?;
                return Err(PyError::value_error(format!("bad query field: {field}")));
            }
            None => (field, ""),
        };
        if !value.is_empty() || (keeps_blank && !field.is_empty()) {
            pairs.push((text(key), text(value)));
        }
    }
    if name == "parse_qsl" {
        return Ok(Py::list(pairs.into_iter().map(|(key, value)| Py::tuple(vec![key, value])).collect()));
    }
    let mut lists: Map = Map::default();
    for (key, value) in pairs {
        match lists.get(&Key::new(key.clone())?) {
            Some(Py::List(list)) => list.borrow_mut().push(value),
            _ => drop(lists.insert(Key::new(key)?, Py::list(vec![value]))),
        }
    }
    Ok(Py::Dict(Rc::new(crate::template::value::Dict::new(lists))))
}
