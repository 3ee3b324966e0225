//! HTTP messages apart from any protocol version: headers, requests, arguments, dates, and the two traits through
//! which a connection calls the application (Tornado's `tornado.httputil`).

mod arguments;
pub(crate) mod date;
mod delegate;
mod etag;
mod headers;
pub(crate) mod ranges;
mod request;
mod status;

pub(crate) use arguments::clean as clean_argument;
pub use arguments::{Arguments, parse_qs};
pub use date::format_timestamp;
pub use delegate::{
    HttpConnection, HttpMessageDelegate, HttpServerConnectionDelegate, HttpTransport, Pending, StreamId,
};
pub use etag::EntityTag;
pub use headers::{HeaderValue, HttpHeaders, InvalidHeader, is_token};
pub use ranges::{ByteRange, Selection};
pub use request::{HttpServerRequest, RequestContext, RequestHead, ResponseStartLine, split_host_and_port};
pub use status::reason_phrase;
