//! fastwebsockets behind hyper, as in its echo example; the room is a broadcast channel, read by a task per member.
//! Members only write, which is less than they would have to do.

use std::net::TcpListener;

use bytestring::ByteString;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::broadcast;

use super::refuse_compression;
use crate::Result;
use crate::peers::Settings;

type Room = broadcast::Sender<ByteString>;

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
            let room = room.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, room.clone()));
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    })
}

async fn answer(
    mut request: Request<Incoming>,
    room: Room,
) -> std::result::Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    let path = request.uri().path().to_owned();
    tokio::spawn(async move {
        let _ = tokio::task::unconstrained(connection(upgraded, path, room)).await;
    });
    Ok(response)
}

async fn connection(
    upgraded: upgrade::UpgradeFut,
    path: String,
    room: Room,
) -> std::result::Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    if path == "/room" {
        let mut messages = room.subscribe();
        while let Ok(message) = messages.recv().await {
            socket.write_frame(Frame::text(Payload::Borrowed(message.as_bytes()))).await?;
        }
        return Ok(());
    }
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text if path == "/publish" => {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                let _ = room.send(text.into());
            }
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
