//! axum: extractors, cookies from axum-extra.

use std::net::TcpListener;

use axum::Router;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum_extra::extract::cookie::{Cookie, CookieJar};

use super::{Arguments, Page, items};
use crate::Result;
use crate::peers::Settings;
use crate::web::ROUTES;

async fn page(
    Path(id): Path<u64>,
    Query(Arguments { name, count }): Query<Arguments>,
    jar: CookieJar,
) -> impl IntoResponse {
    let theme = jar.get("theme").map_or("light", |cookie| cookie.value()).to_owned();
    let body = Json(Page { id, name: &name, theme: &theme, items: items(count) }).into_response();
    (jar.add(Cookie::build(("seen", "1")).path("/")), body)
}

pub(in crate::peers) fn serve(listener: TcpListener, _: &Settings) -> Result {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
            // A socket on which the option cannot be set is broken, and the next read says so.
            let _ = stream.set_nodelay(true);
        });
        let app =
            (0..ROUTES).fold(Router::new(), |app, n| app.route(&format!("/api/{n}/items/{{id}}"), get(page)));
        Ok(axum::serve(listener, app).await?)
    })
}
