//! `os.path`, `urllib.parse` and `tornado.util`: the parts that pages use.

use super::function;
use crate::escape;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::value::{Py, PyError, R, Type, str};

static PATH: &[Builtin] = &[
    Builtin {
        name: "join",
        call: |_, args| {
            let mut path = String::new();
            for part in &args.positional {
                let part = needed(Some(part.clone()), "join")?;
                if part.starts_with('/') {
                    path.clear();
                } else if !path.is_empty() && !path.ends_with('/') {
                    path.push('/');
                }
                path.push_str(&part);
            }
            Ok(Py::from(path))
        },
    },
    Builtin {
        name: "basename",
        call: |_, args| path_part(args, "basename", |path| path.rsplit('/').next().unwrap_or_default()),
    },
    Builtin { name: "dirname", call: |_, args| path_part(args, "dirname", dirname) },
    Builtin { name: "splitext", call: splitext },
    Builtin {
        name: "isabs",
        call: |_, args| {
            let [path] = args.take("isabs", ["*s"], 1)?;
            Ok(Py::Bool(needed(path, "isabs")?.starts_with('/')))
        },
    },
];

pub(super) fn path(name: &str) -> Option<Py> {
    if name == "sep" { Some(Py::from("/")) } else { function(PATH, name) }
}

pub(super) fn needed(value: Option<Py>, function: &str) -> R<String> {
    match value {
        Some(Py::Str(text)) => Ok(text.to_string()),
        Some(Py::Bytes(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        other => Err(PyError::type_error(format!(
            "{function}() argument must be str, not {}",
            other.map_or("NoneType", |value| value.type_name())
        ))),
    }
}

fn path_part(args: Args, name: &str, f: fn(&str) -> &str) -> R {
    let [path] = args.take(name, ["*p"], 1)?;
    Ok(Py::from(f(&needed(path, name)?)))
}

fn dirname(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if path[..at].trim_end_matches('/').is_empty() => &path[..=at],
        Some(at) => path[..at].trim_end_matches('/'),
        None => "",
    }
}

fn splitext(_: &mut Interp<'_>, args: Args) -> R {
    let [path] = args.take("splitext", ["*p"], 1)?;
    let path = needed(path, "splitext")?;
    let start = path.rfind('/').map_or(0, |at| at + 1);
    let name = &path[start..];
    let dots = name.len() - name.trim_start_matches('.').len();
    let at = name[dots..].rfind('.').map_or(path.len(), |at| start + dots + at);
    Ok(Py::tuple(vec![Py::from(&path[..at]), Py::from(&path[at..])]))
}

static URLS: &[Builtin] = &[
    Builtin { name: "quote", call: |_, args| quote(args, "quote", "/") },
    Builtin { name: "quote_plus", call: |_, args| quote(args, "quote_plus", "") },
    Builtin {
        name: "unquote",
        call: |_, args| {
            let [text] = args.take("unquote", ["string"], 1)?;
            Ok(Py::from(escape::url_unescape_path(&needed(text, "unquote")?).into_owned()))
        },
    },
    Builtin {
        name: "unquote_plus",
        call: |_, args| {
            let [text] = args.take("unquote_plus", ["string"], 1)?;
            Ok(Py::from(escape::url_unescape(&needed(text, "unquote_plus")?).into_owned()))
        },
    },
    Builtin { name: "urlencode", call: urlencode },
];

pub(super) fn urls(name: &str) -> Option<Py> {
    function(URLS, name).or_else(|| super::urls::find(name))
}

fn quoted(text: &str, safe: &str, is_plus: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || (byte.is_ascii() && safe.contains(c)) {
            out.push(c);
        } else if is_plus && byte == b' ' {
            out.push('+');
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn quote(args: Args, name: &str, default: &str) -> R {
    let [text, safe] = args.take(name, ["string", "safe"], 1)?;
    let safe = safe.map_or(Ok(default.to_owned()), |safe| needed(Some(safe), name))?;
    Ok(Py::from(quoted(&needed(text, name)?, &safe, name == "quote_plus")))
}

fn urlencode(interp: &mut Interp<'_>, args: Args) -> R {
    let [query, doseq] = args.take("urlencode", ["query", "doseq"], 1)?;
    let is_deep = doseq.is_some_and(|doseq| doseq.is_true());
    let mut parts = Vec::new();
    for (key, value) in crate::template::builtins::pairs(interp, &query.unwrap_or(Py::None))? {
        let key = quoted(&shown(&key)?, "", true);
        let values = match &value {
            Py::List(_) | Py::Tuple(_) if is_deep => interp.collect(&value)?,
            _ => vec![value],
        };
        for value in values {
            parts.push(format!("{key}={}", quoted(&shown(&value)?, "", true)));
        }
    }
    Ok(Py::from(parts.join("&")))
}

fn shown(value: &Py) -> R<String> {
    match value {
        Py::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => str(value),
    }
}

/// `tornado.util`
pub(super) fn util(name: &str) -> Option<Py> {
    match name {
        "unicode_type" | "basestring_type" => Some(Py::Type(Type::Str)),
        "bytes_type" => Some(Py::Type(Type::Bytes)),
        "ObjectDict" => Some(Py::Type(Type::ObjectDict)),
        _ => None,
    }
}
