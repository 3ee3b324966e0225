//! Escaping (Tornado's `tornado.escape`): text made safe for HTML, URLs and JSON, and the ways back.
//!
//! Functions that often have nothing to do give back their argument, as a [`Cow`](std::borrow::Cow).
//!
//! Tornado's `utf8`, `to_unicode`, `native_str`, `to_basestring` and `recursive_unicode` tell its two kinds of strings
//! apart, which the types `str` and `[u8]` do here: [`str::as_bytes`] and [`str::from_utf8`] convert. Its
//! `parse_qs_bytes` is [`httputil::parse_qs`](crate::httputil::parse_qs).

pub(crate) mod hex;
mod html;
mod json;
mod linkify;
mod text;
mod url;

pub(crate) use hex::{hex, unhex};
#[cfg(feature = "templates")]
pub(crate) use html::xhtml_escape_to;
pub use html::{xhtml_escape, xhtml_unescape};
pub use json::{json_decode, json_encode};
pub use linkify::{Linkify, linkify};
pub use text::squeeze;
pub(crate) use text::trim;

pub use url::{
    is_local_url, url_escape, url_escape_path, url_unescape, url_unescape_bytes, url_unescape_path,
    url_unescape_path_bytes,
};
pub(crate) use url::{path_on_this_host, url_escape_whole};
