//! actix-ws; the room is a list of sessions behind a lock, as in its chat example.

use std::net::TcpListener;
use std::sync::Mutex;

use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, web};
use actix_ws::{Message, Session};

use super::refuse_compression;
use crate::Result;
use crate::peers::Settings;

type Room = web::Data<Mutex<Vec<Session>>>;

async fn socket(
    request: HttpRequest,
    body: web::Payload,
    room: Room,
) -> std::result::Result<HttpResponse, Error> {
    let (response, mut session, messages) = actix_ws::handle(&request, body)?;
    let mut messages = messages.max_frame_size(1 << 20);
    let path = request.path().to_owned();
    if path == "/room" {
        lock(&room).push(session.clone());
    }
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            let Message::Text(text) = message else { continue };
            if path == "/publish" {
                let members = lock(&room).clone();
                for mut member in members {
                    let _ = member.text(text.clone()).await;
                }
            } else if session.text(text).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

fn lock(room: &Room) -> std::sync::MutexGuard<'_, Vec<Session>> {
    room.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(in crate::peers) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    refuse_compression(settings)?;
    let room: Room = web::Data::new(Mutex::new(Vec::new()));
    let app = move || {
        let routes = ["/", "/room", "/publish"];
        let app = App::new().app_data(room.clone());
        routes.into_iter().fold(app, |app, path| app.route(path, web::get().to(socket)))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().max_connections(100_000);
    let server = server.listen(listener)?.run();
    Ok(actix_web::rt::System::new().block_on(server)?)
}
