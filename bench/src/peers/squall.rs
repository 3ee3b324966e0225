//! squall: the hello application, a class-based handler behind a route, with every default.

use std::net::TcpListener;

use squall::web::{StaticFileHandler, proxy};
use squall::{Application, Context, HttpServer, IoLoop, RequestHandler, handler, url};

use super::Settings;
use crate::{Result, static_files};

#[derive(Clone)]
struct Hello;

#[handler]
impl RequestHandler for Hello {
    async fn get(&mut self, ctx: &Context) -> squall::Result {
        ctx.write("Hello world!");
        Ok(())
    }
}

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    let files = settings.contains_key("files");
    let upstream = settings.get("upstream").map(|port| format!("http://127.0.0.1:{port}"));
    let server = HttpServer::new(move || {
        if let Some(upstream) = &upstream {
            return Application::new([]).fallback(proxy(upstream));
        }
        Application::new([if files {
            url("/(.*)", StaticFileHandler::new(static_files::folder()))
        } else {
            url("/", Hello)
        }])
    });
    server.add_sockets([listener.into()])?;
    Ok(IoLoop::current().start()?)
}
