//! hyper 1.x: `http1` with hyper-util's `TokioIo` on a current-thread runtime.
//!
//! `pipeline_flush`, off by default, lets it answer pipelined requests with one write; without it depth 16 costs several times
//! as much, which would flatter everyone else.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::Settings;
use crate::{Result, tls};

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let acceptor = match settings.contains_key("tls") {
        true => Some(TlsAcceptor::from(Arc::new(tls::server()?))),
        false => None,
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match acceptor.clone() {
                None => drop(tokio::spawn(serve_connection(stream))),
                Some(acceptor) => drop(tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve_connection(stream).await;
                    }
                })),
            }
        }
    })
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin) {
    // An error of one connection ends that connection.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service_fn(hello))
        .await;
}

async fn hello(_: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello world!"))))
}
