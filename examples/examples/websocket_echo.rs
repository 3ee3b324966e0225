//! A WebSocket echo server: what interoperation tests and the Autobahn suite talk to.
//!
//!     cargo run --release --example websocket_echo -- --port 8888
//!
//! `/echo` sends back what it gets, uncompressed; `/deflate` does so with permessage-deflate. With `--certfile` and
//! `--keyfile` over wss.

use squall::websocket::{CompressionOptions, Message, WebSocket, WebSocketHandler, ws};
use squall::{Application, Context, Result};
use squall_examples::{listen, port_option};

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

#[squall::main]
async fn main() -> Result {
    squall::log::enable_pretty_logging();
    let make_app = || {
        Application::new([
            ws("/echo", Echo { compression: None }),
            ws("/deflate", Echo { compression: Some(CompressionOptions::new()) }),
        ])
        .websocket_max_message_size(32 * 1024 * 1024)
    };
    listen(make_app, port_option(8888))?.serve().await
}
