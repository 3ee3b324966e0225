//! The way up: a request to the first upstream that can be reached.

use std::rc::Rc;
use std::time::Instant;

use super::Shared;
use super::onward::OnwardRequest;
use super::upload::Sent;
use crate::httpclient::{HttpClientError, HttpRequest, StreamingResponse};
use crate::log;

/// Is told of interim responses.
pub(super) type OnInterim = Rc<dyn Fn(&crate::http1::response::ResponseHead)>;

/// Sends a request to the upstreams, one after the other, until one can be reached.
pub(super) async fn send(
    shared: &Shared,
    onward: &OnwardRequest,
    body: &Sent,
    interim: Option<OnInterim>,
) -> Result<StreamingResponse, HttpClientError> {
    let mut tried = Vec::new();
    loop {
        let next = shared.upstreams.borrow_mut().next(Instant::now(), &tried);
        let Some(index) = next else {
            return Err(HttpClientError::Proxy("there is no upstream server to ask".to_owned()));
        };
        let request = request(shared, index, onward, body, interim.as_ref());
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
    onward: &OnwardRequest,
    body: &Sent,
    interim: Option<&OnInterim>,
) -> HttpRequest {
    let upstreams = shared.upstreams.borrow();
    let upstream = upstreams.get(index);
    let method = onward.method.as_str();
    let request = match &upstream.url {
        Some(url) => HttpRequest::new(method, url),
        None => HttpRequest::new(method, &upstream.base),
    };
    let target = match onward.target.as_str() {
        "*" => "*".to_owned(),
        path => format!("{}{path}", upstream.prefix),
    };
    let mut request =
        request.verbatim(target).with_headers(onward.headers.clone()).connect_timeout(shared.connect_timeout);
    request = request.send_timeout(shared.send_timeout);
    if let Some(interim) = interim {
        request = request.on_interim(Rc::clone(interim));
    }
    match body {
        Sent::Nothing => request,
        Sent::Whole(bytes) => request.body(bytes.clone()),
        Sent::Pieces(pieces) => {
            let pieces = Rc::clone(pieces);
            request.body_producer(async move |writer| pieces.produce(writer).await)
        }
    }
}
