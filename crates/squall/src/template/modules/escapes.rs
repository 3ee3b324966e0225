//! `tornado.escape`

use super::function;
use super::json::{self, Style};
use crate::escape;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::value::{Py, PyError, R, str};

static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "escape",
        call: |_, args| text(args, "escape", |text| escape::xhtml_escape(text).into_owned()),
    },
    Builtin {
        name: "xhtml_escape",
        call: |_, args| text(args, "xhtml_escape", |text| escape::xhtml_escape(text).into_owned()),
    },
    Builtin {
        name: "xhtml_unescape",
        call: |_, args| text(args, "xhtml_unescape", |text| escape::xhtml_unescape(text).into_owned()),
    },
    Builtin {
        name: "squeeze",
        call: |_, args| text(args, "squeeze", |text| escape::squeeze(text).into_owned()),
    },
    Builtin { name: "url_escape", call: url_escape },
    Builtin { name: "url_unescape", call: url_unescape },
    Builtin { name: "json_encode", call: json_encode },
    Builtin { name: "json_decode", call: json::loads },
    Builtin { name: "linkify", call: linkify },
    Builtin { name: "utf8", call: utf8 },
    Builtin { name: "to_unicode", call: to_unicode },
    Builtin { name: "native_str", call: to_unicode },
    Builtin { name: "to_basestring", call: to_unicode },
    Builtin { name: "recursive_unicode", call: to_unicode },
];

pub(super) fn find(name: &str) -> Option<Py> {
    function(FUNCTIONS, name)
}

/// The text of a value: bytes are UTF-8, as in the parts of a page that `{% apply %}` gives.
fn text_of(value: &Py) -> R<String> {
    match value {
        Py::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => str(value),
    }
}

fn text(args: Args, name: &str, f: fn(&str) -> String) -> R {
    let [value] = args.take(name, ["value"], 1)?;
    let text = text_of(&value.unwrap_or(Py::None))?;
    crate::template::budget::pay_bytes(text.len())?;
    Ok(Py::from(f(&text)))
}

fn url_escape(_: &mut Interp<'_>, args: Args) -> R {
    let [value, plus] = args.take("url_escape", ["value", "plus"], 1)?;
    let text = text_of(&value.unwrap_or(Py::None))?;
    let is_plus = plus.is_none_or(|plus| plus.is_true());
    let escaped = if is_plus { escape::url_escape(&text) } else { escape::url_escape_path(&text) };
    Ok(Py::from(escaped.into_owned()))
}

fn url_unescape(_: &mut Interp<'_>, args: Args) -> R {
    let [value, encoding, plus] = args.take("url_unescape", ["value", "encoding", "plus"], 1)?;
    let text = text_of(&value.unwrap_or(Py::None))?;
    let is_plus = plus.is_none_or(|plus| plus.is_true());
    if let Some(Py::None) = encoding {
        let bytes =
            if is_plus { escape::url_unescape_bytes(&text) } else { escape::url_unescape_path_bytes(&text) };
        return Ok(Py::bytes(bytes.into_owned()));
    }
    let plain = if is_plus { escape::url_unescape(&text) } else { escape::url_unescape_path(&text) };
    Ok(Py::from(plain.into_owned()))
}

/// `json.dumps`, so that it can stand in a script.
fn json_text(value: &Py) -> R<String> {
    let value = match value {
        Py::Bytes(bytes) => &Py::from(String::from_utf8_lossy(bytes).into_owned()),
        value => value,
    };
    Ok(json::dump(value, &Style::default())?.replace("</", "<\\/"))
}

fn json_encode(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("json_encode", ["value"], 1)?;
    json_text(&value.unwrap_or(Py::None)).map(Py::from)
}

/// `linkify(text, shorten=False, extra_params="", require_protocol=False, permitted_protocols=[..])`.
fn linkify(interp: &mut Interp<'_>, args: Args) -> R {
    let names = ["text", "shorten", "extra_params", "require_protocol", "permitted_protocols"];
    let [value, shorten, extra, require, permitted] = args.take("linkify", names, 1)?;
    let text = text_of(&value.unwrap_or(Py::None))?;
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

fn expected(found: &Py) -> PyError {
    PyError::type_error(format!("Expected bytes, unicode, or None; got <class '{}'>", found.type_name()))
}
