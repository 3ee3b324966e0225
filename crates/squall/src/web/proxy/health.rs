//! Health checks of the upstreams.

use std::rc::Rc;

use super::Shared;
use crate::httpclient::HttpRequest;

/// Starts the checks with the first request: there is a loop then.
pub(super) fn start(shared: &Rc<Shared>) {
    let Some((path, interval)) = &shared.health else { return };
    if shared.checking.replace(true) {
        return;
    }
    let (path, interval, weak) = (path.clone(), *interval, Rc::downgrade(shared));
    tokio::task::spawn_local(async move {
        while let Some(shared) = weak.upgrade() {
            let bases: Vec<String> =
                shared.upstreams.borrow().iter().map(|upstream| upstream.base.clone()).collect();
            for base in bases {
                let request = HttpRequest::get(format!("{base}{path}"))
                    .request_timeout(shared.connect_timeout)
                    .raise_error(false);
                let healthy =
                    matches!(shared.client.fetch(request).await, Ok(response) if response.status() < 400);
                shared.upstreams.borrow_mut().checked(&base, healthy);
            }
            drop(shared);
            tokio::time::sleep(interval).await;
        }
    });
}
