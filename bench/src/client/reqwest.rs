//! reqwest, without TLS and HTTP/2.

use std::rc::Rc;

use reqwest::{Client, Url};

use super::Meter;
use crate::Result;

pub(super) fn fetch(url: &str, concurrency: usize, meter: &Rc<Meter>) -> Result {
    let (runtime, local) = super::runtime()?;
    let client = Client::builder().tcp_nodelay(true).build()?;
    let url: Url = url.parse()?;
    local.block_on(&runtime, async {
        let workers: Vec<_> = (0..concurrency)
            .map(|_| {
                let (client, url, meter) = (client.clone(), url.clone(), Rc::clone(meter));
                tokio::task::spawn_local(async move {
                    loop {
                        let response = client.get(url.clone()).send().await.expect("the server answers");
                        let status = response.status().as_u16();
                        let body = response.bytes().await.expect("the body comes");
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
