//! Bytes in, bytes out: what the HTTP server does on a real socket, row by row of the wire behaviours that squall
//! promises (Tornado's, and the stricter one of the RFCs where Tornado has a quirk).
//!
//! Most tests are tables. A row has the name of the behaviour, the bytes of the request and the bytes of the answer;
//! what changes from run to run is replaced by markers: `<server>`, `<date>`, `<etag>`. Every row of a table is sent
//! twice, in one write and byte by byte, since no answer may depend on how the bytes arrive.

mod callbacks;
mod events;
mod expect;
mod framing;
mod h1spec;
mod informational;
mod limits;
mod proxy_headers;
mod request_line;
mod responses;
mod routing;
mod security;
mod streaming;
mod support;
mod trailers;
mod uploads;
