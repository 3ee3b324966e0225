//! `bench web`: one page of a small service, each server in turn: one of 100 routes, a path argument, two arguments of
//! the query, cookies read and one set, JSON out.

use crate::Result;
use crate::answer::Expected;
use crate::http;
use crate::options::Options;

/// The request: the 51st of 100 routes.
pub const REQUEST: &[u8] = b"GET /api/50/items/42?name=Ann&count=3 HTTP/1.1\r\n\
    Host: localhost:8888\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: identity\r\n\
    Cookie: session=4f2c1d77aa; theme=dark; lang=en\r\n\r\n";

/// Of `/api/0/items/{id}` to `/api/99/items/{id}`.
pub const ROUTES: usize = 100;

/// What the page says, in the order in which everybody's serde writes it.
pub const BODY: &[u8] = br#"{"id":42,"name":"Ann","theme":"dark","items":[{"number":0,"label":"item 0"},{"number":1,"label":"item 1"},{"number":2,"label":"item 2"}]}"#;

/// The servers that have this page, in the order of the table.
pub const PEERS: [&str; 3] = ["squall-web", "axum-web", "actix-web-web"];

pub fn run(options: &Options) -> Result {
    let names = PEERS.iter().map(|&name| name.to_owned()).collect();
    let what = format!("one of {ROUTES} routes, path and query arguments, cookies, JSON");
    http::compare(options, names, REQUEST, Expected(BODY), &what, PEERS[0])
}
