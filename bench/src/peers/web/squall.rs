//! squall: a class-based handler with a typed path argument.

use std::net::TcpListener;

use squall::{Application, Context, HttpServer, IoLoop, RequestHandler, handler, url};

use super::{Arguments, Page, items};
use crate::Result;
use crate::peers::Settings;
use crate::web::ROUTES;

#[derive(Clone)]
struct Items;

#[handler]
impl RequestHandler for Items {
    async fn get(&mut self, ctx: &Context, id: u64) -> squall::Result {
        let Arguments { name, count } = ctx.query()?;
        let theme = ctx.cookie("theme").unwrap_or("light");
        ctx.set_cookie("seen", "1")?;
        ctx.write_json(&Page { id, name: &name, theme, items: items(count) })
    }
}

pub(in crate::peers) fn serve(listener: TcpListener, _: &Settings) -> Result {
    let routes = || (0..ROUTES).map(|n| url(format!("/api/{n}/items/{{id}}"), Items));
    let server = HttpServer::new(move || Application::new(routes()));
    server.add_sockets([listener.into()])?;
    Ok(IoLoop::current().start()?)
}
