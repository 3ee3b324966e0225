//! ntex with its tokio runtime and one worker.

use std::net::TcpListener;

use ntex::web::{self, App, HttpServer};

use super::Settings;
use crate::Result;

pub(super) fn serve(listener: TcpListener, _: &Settings) -> Result {
    let app = async || App::new().route("/", web::get().to(async || "Hello world!"));
    let server =
        async move { HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run().await };
    Ok(ntex::rt::System::new("bench", ntex::rt::DefaultRuntime).block_on(server)?)
}
