//! actix-web 4 with one worker.

use std::net::TcpListener;

use actix_web::{App, HttpServer, Responder, web};
use serde::Serialize;

use super::Settings;
use crate::{Result, tls};

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

async fn json() -> impl Responder {
    web::Json(Message { message: "Hello, World!" })
}

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    let app =
        || App::new().route("/", web::get().to(async || "Hello world!")).route("/json", web::get().to(json));
    let server = HttpServer::new(app).workers(1).disable_signals();
    let server = if settings.contains_key("tls") {
        server.listen_rustls_0_23(listener, tls::server()?)?
    } else if settings.contains_key("http2") {
        server.listen_auto_h2c(listener)?
    } else {
        server.listen(listener)?
    };
    let server = server.run();
    Ok(actix_web::rt::System::new().block_on(server)?)
}
