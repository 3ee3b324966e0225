//! actix-web: extractors, its own cookies.

use std::net::TcpListener;

use actix_web::cookie::Cookie;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use super::{Arguments, Page, items};
use crate::Result;
use crate::peers::Settings;
use crate::web::ROUTES;

async fn page(request: HttpRequest, id: web::Path<u64>, arguments: web::Query<Arguments>) -> HttpResponse {
    let Arguments { name, count } = arguments.into_inner();
    let cookie = request.cookie("theme");
    let theme = cookie.as_ref().map_or("light", |cookie| cookie.value());
    HttpResponse::Ok().cookie(Cookie::build("seen", "1").path("/").finish()).json(Page {
        id: id.into_inner(),
        name: &name,
        theme,
        items: items(count),
    })
}

pub(in crate::peers) fn serve(listener: TcpListener, _: &Settings) -> Result {
    let app = || {
        (0..ROUTES)
            .fold(App::new(), |app, n| app.route(&format!("/api/{n}/items/{{id}}"), web::get().to(page)))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run();
    Ok(actix_web::rt::System::new().block_on(server)?)
}
