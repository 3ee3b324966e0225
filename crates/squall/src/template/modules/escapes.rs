//! `tornado.escape`

use super::function;
use super::json::{self, Style};
use crate::escape;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::value::{Class, Py, PyError, R, str};

static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "escape",
        call: |_, args| text(args, "escape", no_replace, |text| escape::xhtml_escape(text).into_owned()),
    },
    Builtin {
        name: "xhtml_escape",
        call: |_, args| {
            text(args, "xhtml_escape", no_replace, |text| escape::xhtml_escape(text).into_owned())
        },
    },
    Builtin {
        name: "xhtml_unescape",
        call: |_, args| {
            text(args, "xhtml_unescape", not_iterable, |text| escape::xhtml_unescape(text).into_owned())
        },
    },
    Builtin { name: "squeeze", call: squeeze },
    Builtin { name: "url_escape", call: url_escape },
    Builtin { name: "url_unescape", call: url_unescape },
    Builtin { name: "json_encode", call: json_encode },
    Builtin { name: "json_decode", call: json::loads },
    Builtin { name: "linkify", call: linkify },
    Builtin { name: "utf8", call: utf8 },
    Builtin { name: "to_unicode", call: to_unicode },
    Builtin { name: "native_str", call: to_unicode },
    Builtin { name: "to_basestring", call: to_unicode },
    Builtin { name: "recursive_unicode", call: recursive_unicode },
];

pub(super) fn find(name: &str) -> Option<Py> {
    function(FUNCTIONS, name)
}

/// `to_unicode` of the function's argument; what Python's says of the other types. What only the application knows shows
/// itself.
fn text_of(value: Option<Py>, none: fn() -> PyError) -> R<String> {
    match value.unwrap_or(Py::None) {
        Py::Str(text) => Ok(text.to_string()),
        Py::Bytes(bytes) => crate::template::methods::decode(&bytes, "utf-8", "strict"),
        Py::None => Err(none()),
        value @ Py::Host(_) => str(&value),
        other => Err(expected(&other)),
    }
}

/// For functions that look into their text as soon as they have it.
fn no_replace() -> PyError {
    PyError::new(Class::AttributeError, "'NoneType' object has no attribute 'replace'")
}

fn not_iterable() -> PyError {
    PyError::type_error("argument of type 'NoneType' is not iterable")
}

fn text(args: Args, name: &str, none: fn() -> PyError, f: fn(&str) -> String) -> R {
    let [value] = args.take(name, ["value"], 1)?;
    let text = text_of(value, none)?;
    crate::template::budget::pay_bytes(text.len())?;
    Ok(Py::from(f(&text)))
}

/// A regular expression of texts, which `{% apply %}` does not give.
fn squeeze(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("squeeze", ["value"], 1)?;
    let text = match value.unwrap_or(Py::None) {
        Py::Str(text) => text.to_string(),
        value @ Py::Host(_) => str(&value)?,
        Py::Bytes(_) => {
            return Err(PyError::type_error("cannot use a string pattern on a bytes-like object"));
        }
        other => {
            let message = format!("expected string or bytes-like object, got '{}'", other.type_name());
            return Err(PyError::type_error(message));
        }
    };
    crate::template::budget::pay_bytes(text.len())?;
    Ok(Py::from(escape::squeeze(&text).into_owned()))
}

fn url_escape(_: &mut Interp<'_>, args: Args) -> R {
    let [value, plus] = args.take("url_escape", ["value", "plus"], 1)?;
    let text = match value {
        Some(Py::Str(_) | Py::Bytes(_) | Py::Host(_)) => text_of(value, no_replace)?,
        _ => return Err(PyError::type_error("quote_from_bytes() expected bytes")),
    };
    let is_plus = plus.is_none_or(|plus| plus.is_true());
    let escaped = if is_plus { escape::url_escape(&text) } else { escape::url_escape_path(&text) };
    Ok(Py::from(escaped.into_owned()))
}

fn url_unescape(_: &mut Interp<'_>, args: Args) -> R {
    let [value, encoding, plus] = args.take("url_unescape", ["value", "encoding", "plus"], 1)?;
    let text = text_of(value, no_replace)?;
    let is_plus = plus.is_none_or(|plus| plus.is_true());
    if let Some(Py::None) = encoding {
        let bytes =
            if is_plus { escape::url_unescape_bytes(&text) } else { escape::url_unescape_path_bytes(&text) };
        return Ok(Py::bytes(bytes.into_owned()));
    }
    let plain = if is_plus { escape::url_unescape(&text) } else { escape::url_unescape_path(&text) };
    Ok(Py::from(plain.into_owned()))
}

/// `json.dumps`, so that it can stand in a script. Not of bytes, such as `{% apply %}` gives.
fn json_encode(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("json_encode", ["value"], 1)?;
    let json = json::dump(&value.unwrap_or(Py::None), &Style::default())?;
    Ok(Py::from(json.replace("</", "<\\/")))
}

/// `linkify(text, shorten=False, extra_params="", require_protocol=False, permitted_protocols=[..])`.
fn linkify(interp: &mut Interp<'_>, args: Args) -> R {
    let names = ["text", "shorten", "extra_params", "require_protocol", "permitted_protocols"];
    let [value, shorten, extra, require, permitted] = args.take("linkify", names, 1)?;
    let text = text_of(value, no_replace)?;
    let mut linkify = escape::Linkify::new();
    if let Some(shorten) = shorten {
        linkify = linkify.shorten(shorten.is_true());
    }
    match &extra {
        None => {}
        Some(Py::Str(extra)) => linkify = linkify.extra_params(extra),
        Some(_) => return Err(PyError::type_error("extra_params has to be text in a template")),
    }
    if let Some(require) = require {
        linkify = linkify.require_protocol(require.is_true());
    }
    if let Some(permitted) = permitted {
        let names = interp.collect(&permitted)?.iter().map(str).collect::<R<Vec<_>>>()?;
        linkify = linkify.permitted_protocols(names);
    }
    Ok(Py::from(linkify.apply(&text).into_owned()))
}

fn utf8(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("utf8", ["value"], 1)?;
    match value.unwrap_or(Py::None) {
        Py::Str(text) => Ok(Py::bytes(text.as_bytes())),
        value @ (Py::Bytes(_) | Py::None) => Ok(value),
        other => Err(expected(&other)),
    }
}

fn to_unicode(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("to_unicode", ["value"], 1)?;
    match value.unwrap_or(Py::None) {
        Py::Bytes(bytes) => crate::template::methods::decode(&bytes, "utf-8", "strict").map(Py::from),
        value @ (Py::Str(_) | Py::None) => Ok(value),
        other => Err(expected(&other)),
    }
}

/// `to_unicode` of all bytes in lists, tuples and dicts.
fn recursive_unicode(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("recursive_unicode", ["value"], 1)?;
    unicode_in(&value.unwrap_or(Py::None))
}

fn unicode_in(value: &Py) -> R {
    let _level = crate::template::budget::deeper()?;
    let all = |items: &[Py]| items.iter().map(unicode_in).collect::<R<Vec<_>>>();
    Ok(match value {
        Py::Bytes(bytes) => Py::from(crate::template::methods::decode(bytes, "utf-8", "strict")?),
        Py::List(items) => Py::list(all(&items.to_vec())?),
        Py::Tuple(items) => Py::tuple(all(items)?),
        Py::Dict(dict) => {
            let mut pairs = Vec::new();
            for (key, value) in dict.pairs()? {
                pairs.push((unicode_in(&key)?, unicode_in(&value)?));
            }
            Py::dict(pairs)?
        }
        other => other.clone(),
    })
}

fn expected(found: &Py) -> PyError {
    PyError::type_error(format!("Expected bytes, unicode, or None; got <class '{}'>", found.type_name()))
}
