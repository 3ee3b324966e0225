//! tokio-tungstenite on a current-thread runtime; the room is a broadcast channel, read by a task per member. Members
//! only write, which is less than they would have to do.

use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::refuse_compression;
use crate::Result;
use crate::peers::Settings;

pub(in crate::peers) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    refuse_compression(settings)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (room, _) = broadcast::channel(64);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream, room.clone()));
        }
    })
}

async fn connection(
    stream: tokio::net::TcpStream,
    room: broadcast::Sender<Message>,
) -> tokio_tungstenite::tungstenite::Result<()> {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "as the library wants it")]
    let note_path = |request: &Request, response: Response| -> std::result::Result<Response, ErrorResponse> {
        path = request.uri().path().to_owned();
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, note_path).await?;
    if path == "/room" {
        let mut messages = room.subscribe();
        while let Ok(message) = messages.recv().await {
            socket.send(message).await?;
        }
        return Ok(());
    }
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            if path == "/publish" {
                let _ = room.send(message);
            } else {
                socket.send(message).await?;
            }
        }
    }
    Ok(())
}
