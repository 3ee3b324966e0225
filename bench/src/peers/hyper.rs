//! hyper 1.x: `http1` with hyper-util's `TokioIo` on a current-thread runtime.
//!
//! `pipeline_flush`, off by default, lets it answer pipelined requests with one write; without it depth 16 costs several times
//! as much, which would flatter everyone else.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::Settings;
use crate::{Result, tls};

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let http2 = settings.contains_key("http2");
    let acceptor = match settings.contains_key("tls") {
        true => {
            let mut config = tls::server()?;
            if http2 {
                config.alpn_protocols = vec![b"h2".to_vec()];
            }
            Some(TlsAcceptor::from(Arc::new(config)))
        }
        false => None,
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match acceptor.clone() {
                None if http2 => drop(tokio::spawn(serve_http2(stream))),
                None => drop(tokio::spawn(serve_connection(stream))),
                Some(acceptor) => drop(tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        if http2 { serve_http2(stream).await } else { serve_connection(stream).await }
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

async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(json))
        .await;
}

async fn json(_: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(tls::JSON.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn hello(_: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello world!"))))
}
