//! squall: three handlers and a `Broadcaster`.

use std::net::TcpListener;
use std::rc::Rc;

use squall::websocket::{
    Broadcaster, CompressionOptions, Membership, Message, WebSocket, WebSocketHandler, WebSocketOptions,
    WhenFull, ws,
};
use squall::{Application, Context, HttpServer, IoLoop, Result};

use crate::peers::Settings;

const ROOM: &str = "all";

#[derive(Clone)]
struct Echo(bool);

impl WebSocketHandler for Echo {
    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        self.0.then(CompressionOptions::new)
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

#[derive(Clone)]
struct Member {
    deflate: bool,
    rooms: Broadcaster,
    membership: Option<Rc<Membership>>,
}

impl WebSocketHandler for Member {
    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        self.deflate.then(CompressionOptions::new)
    }

    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        defaults.queue(64 * 1024, WhenFull::DropOldest)
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.membership = Some(self.rooms.join(ROOM, ws).into());
        Ok(())
    }

    async fn on_message(&mut self, _ws: &WebSocket, _message: Message) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Publisher(Broadcaster);

impl WebSocketHandler for Publisher {
    async fn on_message(&mut self, _ws: &WebSocket, message: Message) -> Result {
        self.0.broadcast(ROOM, message);
        Ok(())
    }
}

pub(in crate::peers) fn serve(listener: TcpListener, settings: &Settings) -> crate::Result {
    let deflate = settings.contains_key("deflate");
    let server = HttpServer::new(move || {
        let rooms = Broadcaster::new();
        Application::new([
            ws("/", Echo(deflate)),
            ws("/publish", Publisher(rooms.clone())),
            ws("/room", Member { deflate, rooms, membership: None }),
        ])
    });
    server.add_sockets([listener.into()])?;
    Ok(IoLoop::current().start()?)
}
