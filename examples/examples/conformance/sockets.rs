//! WebSockets.

use squall::web::UrlSpec;
use squall::websocket::{CompressionOptions, Message, WebSocket, WebSocketHandler, ws};
use squall::{Context, Result};

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![ws("/ws", Echo)]
}

/// Sends back what it gets; `close` and `boom` end it in two ways.
#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    fn select_subprotocol(&mut self, _ctx: &Context, offered: &[&str]) -> Option<String> {
        offered.contains(&"chat.v2").then(|| "chat.v2".to_owned())
    }

    fn compression_options(&self, ctx: &Context) -> Option<CompressionOptions> {
        let wanted = ctx.argument_or("deflate", "").is_ok_and(|value| !value.is_empty());
        wanted.then(CompressionOptions::default)
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        match &message {
            Message::Text(text) if text == "close" => ws.close(4001, "bye"),
            Message::Text(text) if text == "boom" => return Err(std::io::Error::other("boom").into()),
            _ => ws.write_message(message).await?,
        }
        Ok(())
    }
}
