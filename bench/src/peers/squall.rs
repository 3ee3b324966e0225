//! squall: the hello application, a class-based handler behind a route, with every default.

use std::net::TcpListener;

use squall::{Application, Context, HttpServer, IoLoop, RequestHandler, handler, url};

use super::Settings;
use crate::Result;

#[derive(Clone)]
struct Hello;

#[handler]
impl RequestHandler for Hello {
    async fn get(&mut self, ctx: &Context) -> squall::Result {
        ctx.write("Hello world!");
        Ok(())
    }
}

pub(super) fn serve(listener: TcpListener, _: &Settings) -> Result {
    let server = HttpServer::new(|| Application::new([url("/", Hello)]));
    server.add_sockets([listener.into()])?;
    Ok(IoLoop::current().start()?)
}
