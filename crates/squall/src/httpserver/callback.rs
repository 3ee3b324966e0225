//! A bare function on each request.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use crate::httputil::{
    BodyKind, HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest, Pending, Started,
};

/// A function on each complete request, as delegate: for rules, routes and [`HttpServer::new`](super::HttpServer::new).
///
/// The function may answer at once or keep the request and answer later. A request that is dropped without an answer
/// closes its connection, with a line in the log; so does a panic.
pub fn callback<F: Fn(HttpServerRequest) + 'static>(function: F) -> Callback<F> {
    Callback { function: Rc::new(function) }
}

/// Made by [`callback`].
pub struct Callback<F> {
    function: Rc<F>,
}

impl<F: Fn(HttpServerRequest) + 'static> HttpServerConnectionDelegate for Callback<F> {
    fn start_request(&self, request: HttpServerRequest, body: BodyKind) -> Started {
        if body == BodyKind::None {
            (self.function)(request);
            return Started::Work(None);
        }
        let function = Rc::clone(&self.function);
        Started::Message(Box::new(CallbackMessage { request, body: BytesMut::new(), function }))
    }
}

struct CallbackMessage<F> {
    request: HttpServerRequest,
    body: BytesMut,
    function: Rc<F>,
}

impl<F: Fn(HttpServerRequest)> HttpMessageDelegate for CallbackMessage<F> {
    fn data_received(&mut self, chunk: Bytes) -> Pending<'_> {
        self.body.extend_from_slice(&chunk);
        None
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        let Self { mut request, body, function } = *self;
        request.set_body(body.freeze());
        function(request);
        None
    }
}
