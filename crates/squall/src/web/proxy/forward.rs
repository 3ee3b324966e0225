//! The way up: a request to the first upstream that can be reached.

use std::rc::Rc;
use std::time::Instant;

use super::Shared;
use super::onward::OnwardRequest;
use super::upload::Sent;
use crate::httpclient::{HttpClientError, HttpRequest, Relayed, RequestUrl, StreamingResponse};
use crate::log;

/// Is told of interim responses.
pub(super) type OnInterim = Rc<dyn Fn(&crate::http1::response::ResponseHead)>;

/// Sends a request to the upstreams, one after the other, until one can be reached.
pub(super) async fn send(
    shared: &Shared,
    onward: &mut OnwardRequest<'_>,
    body: &Sent,
    interim: Option<OnInterim>,
) -> Result<StreamingResponse, HttpClientError> {
    let mut tried = Vec::new();
    loop {
        let next = shared.upstreams.borrow_mut().next(Instant::now(), &tried);
        let Some(index) = next else {
            return Err(HttpClientError::Proxy("there is no upstream server to ask".to_owned()));
        };
        let is_last = shared.upstreams.borrow().len() == tried.len() + 1;
        let request = request(shared, index, onward, body, interim.as_ref(), is_last);
        match shared.client.fetch_stream(request).await {
            Ok(response) => {
                shared.upstreams.borrow_mut().answered(index);
                return Ok(response);
            }
            // Nothing has been sent yet, so another may be asked.
            Err(error) if error.is_connect() => {
                tracing::warn!(target: log::GENERAL, "upstream: {error}");
                shared.upstreams.borrow_mut().failed(index, Instant::now());
                tried.push(index);
                let others = shared.upstreams.borrow_mut().next(Instant::now(), &tried).is_some();
                if !others {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn request(
    shared: &Shared,
    index: usize,
    onward: &mut OnwardRequest<'_>,
    body: &Sent,
    interim: Option<&OnInterim>,
    is_last: bool,
) -> HttpRequest {
    let upstreams = shared.upstreams.borrow();
    let upstream = upstreams.get(index);
    let url = match &upstream.url {
        Some(url) => RequestUrl::from(url),
        None => RequestUrl::from(&upstream.base),
    };
    let target = match &*onward.target {
        "*" => "*".to_owned(),
        path => [upstream.prefix.as_str(), path].concat(),
    };
    // Whoever may be asked after this one needs them, too.
    let headers = if is_last { std::mem::take(&mut onward.headers) } else { onward.headers.clone() };
    let request = HttpRequest::relayed(Relayed {
        method: onward.method.clone(),
        url,
        target,
        headers,
        connect_timeout: shared.connect_timeout,
        send_timeout: shared.send_timeout,
        on_interim: interim.map(Rc::clone),
    })
    .websocket(onward.tunnel);
    match body {
        Sent::Nothing => request,
        Sent::Whole(bytes) => request.body(bytes.clone()),
        Sent::Pieces(pieces) => {
            let pieces = Rc::clone(pieces);
            request.body_producer(async move |writer| pieces.produce(writer).await)
        }
    }
}
