//! axum 0.8 with its own `serve`, on a current-thread runtime.

use std::net::TcpListener;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;

use super::Settings;
use crate::Result;

pub(super) fn serve(listener: TcpListener, _: &Settings) -> Result {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
            // A socket on which the option cannot be set is broken, and the next read says so.
            let _ = stream.set_nodelay(true);
        });
        let app = Router::new().route("/", get(async || "Hello world!"));
        Ok(axum::serve(listener, app).await?)
    })
}
