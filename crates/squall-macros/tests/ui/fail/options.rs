//! Options that `#[handler]` does not have.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

#[handler(stream_bodi)]
impl RequestHandler for Story {}

#[handler(STREAM_BODY)]
impl RequestHandler for Story {}

#[handler(load)]
impl RequestHandler for Story {}

#[handler(add_slash, remove_slash)]
impl RequestHandler for Story {}

#[handler(add_slash)]
impl RequestHandler for Story {
    const TRAILING_SLASH: web::TrailingSlash = web::TrailingSlash::Remove;
}

#[handler(stream_body = true)]
impl RequestHandler for Story {}

#[handler(stream_body, stream_body)]
impl RequestHandler for Story {}

#[handler(stream_body)]
impl RequestHandler for Story {
    const STREAM_BODY: bool = true;
}

fn main() {}
