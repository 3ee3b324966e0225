//! `#[method("PROPFIND")]`: HTTP methods beyond Tornado's seven.

use syn::{Attribute, Error, ImplItemFn, LitStr, Result};

use crate::handler::VERBS;

/// Whether there is a `#[method(..)]`.
pub(crate) fn is_declared(method: &ImplItemFn) -> bool {
    method.attrs.iter().any(is_method)
}

fn is_method(attr: &Attribute) -> bool {
    attr.path().is_ident("method")
}

/// Removes `#[method("NAME")]` from the function and returns the name.
pub(crate) fn take_attribute(method: &mut ImplItemFn) -> Result<Option<LitStr>> {
    let Some(at) = method.attrs.iter().position(is_method) else { return Ok(None) };
    let attribute = method.attrs.remove(at);
    let expected = "write the HTTP method as a text: `#[method(\"PROPFIND\")]`";
    let name: LitStr = attribute.parse_args().map_err(|_| Error::new_spanned(&attribute, expected))?;
    let value = name.value();
    if let Some(again) = method.attrs.iter().find(|attr| is_method(attr)) {
        return Err(Error::new_spanned(again, "a function answers one HTTP method: write another function"));
    }
    if VERBS.contains(&value.to_lowercase().as_str()) {
        let message = format!("{value} needs no attribute: name the function `{}`", value.to_lowercase());
        return Err(Error::new(name.span(), message));
    }
    // RFC 9110, section 5.6.2: a method is a token, and section 9.1: it is case-sensitive.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if value.is_empty() || !value.bytes().all(token) {
        return Err(Error::new(name.span(), format!("{value:?} is no HTTP method: {expected}")));
    }
    if value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let message = format!("HTTP methods are case-sensitive: write {:?}", value.to_uppercase());
        return Err(Error::new(name.span(), message));
    }
    Ok(Some(name))
}
