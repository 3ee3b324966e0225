//! The functions that Tornado's templates always have.

use std::fmt::Write;

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::python::to_str;
use crate::escape;

pub(super) fn add_to(env: &mut Environment<'static>) {
    for name in ["escape", "xhtml_escape"] {
        env.add_function(name, |value: &Value| escape::xhtml_escape(&to_str(value)).into_owned());
    }
    env.add_function("xhtml_unescape", |value: &Value| escape::xhtml_unescape(&to_str(value)).into_owned());
    env.add_function("url_escape", |value: &Value, plus: Option<bool>, kwargs: Kwargs| {
        let plus = plus.or(kwargs.get("plus")?).unwrap_or(true);
        kwargs.assert_all_used()?;
        let text = to_str(value);
        let escaped = if plus { escape::url_escape(&text) } else { escape::url_escape_path(&text) };
        Ok::<_, Error>(escaped.into_owned())
    });
    env.add_function("url_unescape", |value: &Value| escape::url_unescape(&to_str(value)).into_owned());
    env.add_function("squeeze", |value: &Value| escape::squeeze(&to_str(value)).into_owned());
    env.add_global("datetime", super::datetime::module());
    env.add_function("json_encode", json_encode);
    env.add_function("linkify", linkify);
}

/// `json_encode` as Tornado's templates have it: with spaces after `,` and `:`.
fn json_encode(value: &Value) -> Result<String, Error> {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, Spaced);
    serde::Serialize::serialize(value, &mut serializer)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let json = String::from_utf8_lossy(&json);
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        match c {
            '/' if out.ends_with('<') => out.push_str("\\/"),
            '\x7f' => out.push(c),
            c if c.is_ascii() => out.push(c),
            c => c.encode_utf16(&mut units).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    Ok(out)
}

/// Python's default separators.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: std::io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: std::io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// `linkify(text, shorten=False, extra_params="", require_protocol=False, permitted_protocols=[..])`.
pub(crate) fn linkify(value: &Value, shorten: Option<bool>, kwargs: Kwargs) -> Result<String, Error> {
    let text = to_str(value);
    let mut linkify = escape::Linkify::new();
    if let Some(shorten) = shorten.or(kwargs.get("shorten")?) {
        linkify = linkify.shorten(shorten);
    }
    let extra: Option<String> = kwargs.get("extra_params")?;
    if let Some(extra) = &extra {
        linkify = linkify.extra_params(extra);
    }
    if let Some(require) = kwargs.get("require_protocol")? {
        linkify = linkify.require_protocol(require);
    }
    let permitted: Option<Vec<String>> = kwargs.get("permitted_protocols")?;
    if let Some(permitted) = permitted {
        linkify = linkify.permitted_protocols(permitted);
    }
    kwargs.assert_all_used()?;
    Ok(linkify.apply(&text).into_owned())
}
