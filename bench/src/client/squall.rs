//! squall's client, with the pool as large as the load.

use std::rc::Rc;

use squall::IoLoop;
use squall::httpclient::{AsyncHttpClient, Url};

use super::Meter;
use crate::Result;

pub(super) fn fetch(url: &str, concurrency: usize, meter: &Rc<Meter>) -> Result {
    let client = AsyncHttpClient::builder().max_clients(concurrency).max_idle_per_host(concurrency).build();
    let url: Url = url.parse()?;
    let all = async {
        let workers: Vec<_> = (0..concurrency)
            .map(|_| {
                let (client, url, meter) = (client.clone(), url.clone(), Rc::clone(meter));
                tokio::task::spawn_local(async move {
                    loop {
                        let response = client.fetch(&url).await.expect("the server answers");
                        if !meter.seen(response.status(), response.body()) {
                            return;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.expect("a response is wrong");
        }
    };
    Ok(IoLoop::current().run_sync(all, None)?)
}
