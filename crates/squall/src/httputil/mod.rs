//! HTTP messages apart from any protocol version: headers, requests, arguments, dates, and the two traits through
//! which a connection calls the application (Tornado's `tornado.httputil`).

#[doc(hidden)]
pub mod __fuzz;
mod arguments;
mod body_pace;
pub(crate) mod conditional;
pub(crate) mod connection_fields;
mod cookies;
pub(crate) mod date;
mod delegate;
mod etag;
pub(crate) mod exchange;
#[cfg(any(feature = "tower", all(feature = "client", feature = "http2")))]
pub(crate) mod field_map;
mod form;
mod headers;
pub(crate) mod host;
pub(crate) mod inflate;
pub(crate) mod length;
pub(crate) mod limits;
mod multipart;
mod multipart_head;
pub(crate) mod out_pool;
mod output_error;
pub(crate) mod ows;
pub(crate) mod ranges;
mod request;
mod shutdown;
#[cfg(feature = "tls")]
mod ssl_certificate;
mod start_line;
mod status;
pub(crate) mod trailers;
mod url;

pub use arguments::{Arguments, parse_qs};
pub(crate) use arguments::{clean as clean_argument, cleaned as cleaned_argument, is_clean};
pub(crate) use cookies::is_cookie_name;
pub use cookies::{Cookie, InvalidCookie, SameSite, parse_cookie};
pub use date::format_timestamp;
pub(crate) use delegate::SealedTransport;
pub use delegate::{
    BodyKind, HandlerWork, HttpConnection, HttpMessageDelegate, HttpServerConnectionDelegate, HttpTransport,
    Pending, Started, StreamId,
};
pub use etag::EntityTag;
pub use form::{
    BodyError, Files, FormBody, HttpFile, ParseBodyConfig, ParseJsonConfig, ParseUrlEncodedConfig,
    parse_body_arguments, parse_multipart_form_data,
};
pub(crate) use form::{Kind as FormKind, UNKNOWN_TYPE};
pub(crate) use headers::{GivenHeaders, NameSet, is_field_value};
pub use headers::{HeaderValue, HttpHeaders, InvalidHeader, ParseHeadersError, is_token};
pub(crate) use limits::ConnectionLimits;
pub(crate) use multipart::last_component;
pub use multipart::{MultipartError, MultipartEvent, MultipartParser, ParseMultipartConfig, PartHead};
pub use output_error::HttpOutputError;
pub use ranges::{ByteRange, Selection};
pub(crate) use request::FORM_PIECE;
pub use request::{
    HttpServerRequest, RequestContext, RequestHead, ResponseStartLine, Scheme, split_host_and_port,
};
pub use shutdown::{Detached, Shutdown};
pub use start_line::{
    RequestStartLine, StartLineError, StatusLine, parse_request_start_line, parse_response_start_line,
};
pub use status::reason_phrase;
pub use url::{qs_to_qsl, url_concat};
