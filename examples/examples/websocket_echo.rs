//! A WebSocket echo server: what interoperation tests and the Autobahn suite talk to.
//!
//!     cargo run --release --example websocket_echo -- --port 8888
//!
//! `/echo` sends back what it gets, uncompressed; `/deflate` does so with permessage-deflate. With `--certfile` and
//! `--keyfile` over wss.

use squall::websocket::{CompressionOptions, Message, WebSocket, WebSocketHandler, ws};
use squall::{Application, Context, HttpServer, Result, options};

#[derive(Clone)]
struct Echo {
    compression: Option<CompressionOptions>,
}

impl WebSocketHandler for Echo {
    fn check_origin(&self, _ctx: &Context, _origin: &str) -> bool {
        true // test tools send all kinds
    }

    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        self.compression
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

fn main() -> Result {
    options::parse_command_line()?;
    let make_app = || {
        Application::new([
            ws("/echo", Echo { compression: None }),
            ws("/deflate", Echo { compression: Some(CompressionOptions::new()) }),
        ])
        .websocket_max_message_size(32 * 1024 * 1024)
    };
    HttpServer::new(make_app).processes(1).run()
}
