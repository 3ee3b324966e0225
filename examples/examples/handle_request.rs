//! A server without an application: a function on each request writes the bytes of the response itself (seed 002,
//! Tornado's `HTTPServer(handle_request)`).
//!
//! `cargo run --example handle_request`, then `curl -i localhost:8080/`. Options: `--port`, `--address`, `--certfile` and
//! `--keyfile` (then https).

use squall::httputil::HttpServerRequest;
use squall::netutil::BindOptions;
use squall::{HttpServer, Result};
use squall_examples::{option, port_option, with_options};

fn handle_request(request: HttpServerRequest) {
    let message = "Hello World from Tornado Http Server";
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{message}", message.len());
    // The one thing that can go wrong is that the client has left; then there is nobody to tell.
    let _ = request.write(response).and_then(|()| request.finish());
}

fn main() -> Result {
    squall::log::enable_pretty_logging();
    let address: String = option("address").unwrap_or_default();
    let http_server = with_options(HttpServer::with_callback(handle_request).processes(1));
    http_server.bind_on(port_option(8080), &BindOptions::new().address(address))?;
    println!("listening on {}", squall_examples::addresses(&http_server));
    http_server.run()
}
