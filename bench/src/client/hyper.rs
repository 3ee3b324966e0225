//! hyper-util's legacy client: hyper 1 with a pool.

use std::rc::Rc;

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::Meter;
use crate::Result;

pub(super) fn fetch(url: &str, concurrency: usize, meter: &Rc<Meter>) -> Result {
    let (runtime, local) = super::runtime()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let url: Uri = url.parse()?;
    local.block_on(&runtime, async {
        let workers: Vec<_> = (0..concurrency)
            .map(|_| {
                let (client, url, meter) = (client.clone(), url.clone(), Rc::clone(meter));
                tokio::task::spawn_local(async move {
                    loop {
                        let response = client.get(url.clone()).await.expect("the server answers");
                        let status = response.status().as_u16();
                        let body = response.into_body().collect().await.expect("the body comes").to_bytes();
                        if !meter.seen(status, &body) {
                            return;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.expect("a response is wrong");
        }
    });
    Ok(())
}
