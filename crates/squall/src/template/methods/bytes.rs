//! The methods of `bytes`, and encodings.

use std::rc::Rc;

use super::{Args, Interp, Py, PyError, R};
use crate::template::value::{Class, Str, index};

pub(super) const NAMES: &[&str] = &[
    "count",
    "decode",
    "endswith",
    "find",
    "hex",
    "isalnum",
    "isalpha",
    "isdigit",
    "islower",
    "isspace",
    "isupper",
    "join",
    "lower",
    "lstrip",
    "replace",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "zfill",
    "center",
    "ljust",
    "rjust",
    "capitalize",
    "swapcase",
    "partition",
    "rpartition",
    "rfind",
    "index",
    "rindex",
    "removeprefix",
    "removesuffix",
    "rsplit",
    "expandtabs",
];

pub(super) fn call(interp: &mut Interp<'_>, own: &Rc<[u8]>, name: &str, args: Args) -> R {
    match name {
        "decode" => {
            let [encoding, errors] = args.take(name, ["encoding", "errors"], 0)?;
            let encoding = encoding.as_ref().and_then(Py::as_str).unwrap_or("utf-8").to_owned();
            let errors = errors.as_ref().and_then(Py::as_str).unwrap_or("strict").to_owned();
            return decode(own, &encoding, &errors).map(Py::from);
        }
        "hex" => {
            let [] = args.take(name, [], 0)?;
            return Ok(Py::from(own.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
        }
        _ => {}
    }
    let mut args = args;
    if matches!(name, "find" | "rfind" | "index" | "rindex" | "count")
        && let Some(first @ (Py::Int(_) | Py::Bool(_) | Py::Big(_))) = args.positional.first_mut()
    {
        // A byte's number stands for it.
        let byte = u8::try_from(index(first)?);
        let byte = byte.map_err(|_| PyError::value_error("byte must be in range(0, 256)"))?;
        *first = Py::bytes(vec![byte]);
    }
    // The rest is done to a text of the same bytes: Latin-1 has a character for each.
    let text = Str::new(latin(own));
    let args = Args {
        positional: args.positional.into_iter().map(|value| as_text(interp, value)).collect::<R<Vec<_>>>()?,
        keywords: args.keywords,
    };
    let is_ascii_only = matches!(name, "upper" | "lower" | "title" | "capitalize" | "swapcase")
        || (name.starts_with("is") && name != "isspace");
    if is_ascii_only && !own.is_ascii() {
        let mapped: Vec<u8> = match name {
            "upper" => own.to_ascii_uppercase(),
            "lower" => own.to_ascii_lowercase(),
            _ => {
                return Err(PyError::value_error(format!(
                    "bytes.{name}() of other than ASCII has no counterpart"
                )));
            }
        };
        return Ok(Py::bytes(mapped));
    }
    let result = super::text::call(interp, &text, name, args)?;
    Ok(as_bytes(result))
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn as_text(interp: &mut Interp<'_>, value: Py) -> R {
    Ok(match value {
        Py::Bytes(bytes) => Py::from(latin(&bytes)),
        Py::Str(_) => return Err(PyError::type_error("a bytes-like object is required, not 'str'")),
        Py::List(_) | Py::Tuple(_) | Py::Iter(_) => {
            let items = interp.collect(&value)?;
            let items = items.into_iter().map(|item| as_text(interp, item)).collect::<R<Vec<_>>>()?;
            if let Py::Tuple(_) = value { Py::tuple(items) } else { Py::list(items) }
        }
        value => value,
    })
}

fn as_bytes(value: Py) -> Py {
    match value {
        Py::Str(text) => {
            Py::bytes(text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect::<Vec<u8>>())
        }
        Py::List(items) => Py::list(items.to_vec().into_iter().map(as_bytes).collect()),
        Py::Tuple(items) => Py::tuple(items.iter().cloned().map(as_bytes).collect()),
        value => value,
    }
}

/// The name of an encoding as it is compared.
fn normal(encoding: &str) -> String {
    encoding.to_ascii_lowercase().replace(['-', '_', ' '], "")
}

/// `text.encode(encoding, errors)`
pub(super) fn encode(text: &str, encoding: &str, errors: &str) -> R {
    let limit = match normal(encoding).as_str() {
        "utf8" | "u8" | "utf" => return Ok(Py::bytes(text.as_bytes())),
        "ascii" | "usascii" => 0x80,
        "latin1" | "iso88591" | "l1" => 0x100,
        "utf16" | "utf16le" => {
            let mark: &[u16] = if normal(encoding) == "utf16" { &[0xfeff] } else { &[] };
            let units = mark.iter().copied().chain(text.encode_utf16());
            return Ok(Py::bytes(units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()));
        }
        _ => return Err(PyError::new(Class::LookupError, format!("unknown encoding: {encoding}"))),
    };
    let mut out = Vec::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let code = u32::from(c);
        match (u8::try_from(code), errors) {
            (Ok(byte), _) if code < limit => out.push(byte),
            (_, "ignore") => {}
            (_, "replace") => out.push(b'?'),
            (_, "xmlcharrefreplace") => out.extend_from_slice(format!("&#{code};").as_bytes()),
            (_, "backslashreplace") => {
                out.extend_from_slice(crate::template::text::ascii(&c.to_string()).as_bytes());
            }
            _ => {
                let name = if limit == 0x80 { "ascii" } else { "latin-1" };
                let shown = crate::template::text::ascii(&c.to_string());
                return Err(PyError::new(
                    Class::UnicodeEncodeError,
                    format!(
                        "'{name}' codec can't encode character '{shown}' in position {at}: ordinal not in \
                         range({limit})"
                    ),
                ));
            }
        }
    }
    Ok(Py::bytes(out))
}

/// `bytes.decode(encoding, errors)`
pub(in crate::template) fn decode(bytes: &[u8], encoding: &str, errors: &str) -> R<String> {
    match normal(encoding).as_str() {
        "utf8" | "u8" | "utf" => {}
        "ascii" | "usascii" if bytes.is_ascii() => {}
        "ascii" | "usascii" => {
            let at = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
            return Err(PyError::new(
                Class::UnicodeDecodeError,
                format!(
                    "'ascii' codec can't decode byte 0x{:02x} in position {at}: ordinal not in range(128)",
                    bytes[at]
                ),
            ));
        }
        "latin1" | "iso88591" | "l1" => return Ok(latin(bytes)),
        _ => return Err(PyError::new(Class::LookupError, format!("unknown encoding: {encoding}"))),
    }
    match (std::str::from_utf8(bytes), errors) {
        (Ok(text), _) => Ok(text.to_owned()),
        (_, "replace") => Ok(String::from_utf8_lossy(bytes).into_owned()),
        (_, "ignore") => Ok(bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()),
        (Err(error), _) => {
            let at = error.valid_up_to();
            Err(PyError::new(
                Class::UnicodeDecodeError,
                format!(
                    "'utf-8' codec can't decode byte 0x{:02x} in position {at}: invalid start byte",
                    bytes[at]
                ),
            ))
        }
    }
}

/// `bytes.fromhex`
pub(super) fn from_hex(text: &str) -> R {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| c.to_digit(16).unwrap_or(16)).collect();
    if digits.len() % 2 == 1 || digits.contains(&16) {
        return Err(PyError::value_error("non-hexadecimal number found in fromhex() arg"));
    }
    Ok(Py::bytes(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect::<Vec<u8>>()))
}

/// `bytes(value)`
pub(in crate::template) fn construct(interp: &mut Interp<'_>, args: Args) -> R {
    let [value, encoding, errors] = args.take("bytes", ["source", "encoding", "errors"], 0)?;
    match value {
        None => Ok(Py::bytes(Vec::new())),
        Some(Py::Str(text)) => match encoding.as_ref().and_then(Py::as_str) {
            Some(encoding) => {
                encode(&text, encoding, errors.as_ref().and_then(Py::as_str).unwrap_or("strict"))
            }
            None => Err(PyError::type_error("string argument without an encoding")),
        },
        Some(Py::Bytes(bytes)) => Ok(Py::Bytes(bytes)),
        Some(count @ (Py::Int(_) | Py::Bool(_) | Py::Big(_))) => {
            crate::template::value::size(&count)?;
            let count =
                usize::try_from(index(&count)?).map_err(|_| PyError::value_error("negative count"))?;
            crate::template::budget::pay_bytes(count)?;
            Ok(Py::bytes(vec![0; count]))
        }
        Some(value) => {
            let mut out = Vec::new();
            for item in interp.collect(&value)? {
                let byte = u8::try_from(index(&item)?);
                out.push(byte.map_err(|_| PyError::value_error("bytes must be in range(0, 256)"))?);
            }
            Ok(Py::bytes(out))
        }
    }
}
