//! A server without an application: a function on each request writes the bytes of the response itself (seed 002,
//! Tornado's `HTTPServer(handle_request)`).
//!
//! `cargo run --example handle_request`, then `curl -i localhost:8080/`. `--help` lists the
//! options.

use squall::httputil::HttpServerRequest;
use squall::{HttpServer, Result, options};

fn handle_request(request: HttpServerRequest) {
    let message = "Hello World from Tornado Http Server";
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{message}", message.len());
    // The one thing that can go wrong is that the client has left; then there is nobody to tell.
    let _ = request.write(response).and_then(|()| request.finish());
}

fn main() -> Result {
    options::define("port", 8080_u16);
    options::parse_command_line()?;
    HttpServer::with_callback(handle_request).processes(1).run()
}
