//! actix-web 4 with one worker.

use std::net::TcpListener;

use actix_web::{App, HttpServer, web};

use super::Settings;
use crate::Result;

pub(super) fn serve(listener: TcpListener, _: &Settings) -> Result {
    let app = || App::new().route("/", web::get().to(async || "Hello world!"));
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run();
    Ok(actix_web::rt::System::new().block_on(server)?)
}
