//! squall: the hello application, a class-based handler behind a route, with every default.

use std::net::TcpListener;

use serde::Serialize;
use squall::tls::SslOptions;
use squall::web::{StaticFileHandler, proxy};
use squall::{Application, Context, HttpServer, IoLoop, RequestHandler, handler, url};

use super::Settings;
use crate::{Result, static_files, tls};

#[derive(Clone)]
struct Hello;

#[handler]
impl RequestHandler for Hello {
    async fn get(&mut self, ctx: &Context) -> squall::Result {
        ctx.write("Hello world!");
        Ok(())
    }
}

#[derive(Clone)]
struct Json;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

#[handler]
impl RequestHandler for Json {
    async fn get(&mut self, ctx: &Context) -> squall::Result {
        ctx.write_json(&Message { message: "Hello, World!" })
    }
}

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    let files = settings.contains_key("files");
    let upstream = settings.get("upstream").map(|port| format!("http://127.0.0.1:{port}"));
    let mut server = HttpServer::new(move || {
        if let Some(upstream) = &upstream {
            return Application::new([]).fallback(proxy(upstream));
        }
        if files {
            return Application::new([url("/(.*)", StaticFileHandler::new(static_files::folder()))]);
        }
        Application::new([url("/", Hello), url("/json", Json)])
    });
    if settings.contains_key("tls") {
        server = server.ssl_options(SslOptions::new(tls::certfile(), tls::keyfile()));
    }
    server.add_sockets([listener.into()])?;
    Ok(IoLoop::current().start()?)
}
