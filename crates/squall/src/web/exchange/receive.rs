//! How the body of a request reaches its handler: collected first, or piece by piece.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

use crate::httputil::{HandlerWork, HttpHeaders, HttpMessageDelegate, Pending};
use crate::netutil::spawn_here;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::execute::{ClientLeft, Matched};

/// Collects the body, then runs the handler.
pub(in crate::web) struct BufferedRequest {
    pub(in crate::web) matched: Matched,
    pub(in crate::web) body: Collected,
}

/// A body usually comes in one piece, which then is not copied.
pub(in crate::web) enum Collected {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl HttpMessageDelegate for BufferedRequest {
    fn data_received(&mut self, chunk: Bytes) -> Pending<'_> {
        self.body = match std::mem::replace(&mut self.body, Collected::Nothing) {
            Collected::Nothing => Collected::One(chunk),
            Collected::One(first) => {
                let mut all = BytesMut::with_capacity((first.len() + chunk.len()) * 2);
                all.extend_from_slice(&first);
                all.extend_from_slice(&chunk);
                Collected::Many(all)
            }
            Collected::Many(mut all) => {
                all.extend_from_slice(&chunk);
                Collected::Many(all)
            }
        };
        None
    }

    fn trailers_received(&mut self, trailers: HttpHeaders) -> Pending<'_> {
        self.matched.request.set_trailers(trailers);
        None
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        let Self { mut matched, body } = *self;
        match body {
            Collected::Nothing => {}
            Collected::One(body) => matched.request.set_body(body),
            Collected::Many(body) => matched.request.set_body(body.freeze()),
        }
        Some(Box::pin(matched.start(None)))
    }
}

/// Runs the handler beside the reading of the body.
pub(in crate::web) struct StreamedRequest {
    pub(in crate::web) handler: Option<HandlerWork>,
    pub(in crate::web) body: Rc<BodyChannel>,
}

impl StreamedRequest {
    /// Runs the handler until it wants the next piece, or ends.
    fn run(&mut self) -> impl Future<Output = ()> + '_ {
        poll_fn(|cx| {
            let Some(handler) = &mut self.handler else { return Poll::Ready(()) };
            if Pin::new(handler).poll(cx).is_ready() {
                self.handler = None;
                return Poll::Ready(());
            }
            if self.body.wanted.get() { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl HttpMessageDelegate for StreamedRequest {
    fn headers_received(&mut self) -> Pending<'_> {
        Some(Box::pin(self.run()))
    }

    fn data_received(&mut self, chunk: Bytes) -> Pending<'_> {
        self.body.wanted.set(false);
        self.body.dry.set(false);
        *self.body.slot.borrow_mut() = Some(chunk);
        Some(Box::pin(self.run()))
    }

    fn trailers_received(&mut self, trailers: HttpHeaders) -> Pending<'_> {
        // Once for each request.
        let _ = self.body.trailers.set(trailers);
        None
    }

    fn poll_beside(&mut self, cx: &mut std::task::Context<'_>) {
        self.body.dry.set(true);
        if let Some(handler) = &mut self.handler
            && Pin::new(handler).poll(cx).is_ready()
        {
            self.handler = None;
        }
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        self.body.state.set(BodyState::Complete);
        self.handler.map(|handler| Box::pin(handler) as _)
    }

    fn on_connection_close(self: Box<Self>) {
        self.body.state.set(BodyState::CutOff);
        if let Some(handler) = self.handler {
            drop(spawn_here(handler));
        }
    }
}

/// Carries the pieces of a body from the connection to the handler, one at a time. Both run in one task, so nobody
/// need be woken.
#[derive(Default)]
pub(in crate::web) struct BodyChannel {
    slot: RefCell<Option<Bytes>>,
    wanted: Cell<bool>,
    /// Nothing has come since the last piece: the connection waits for the client.
    dry: Cell<bool>,
    state: Cell<BodyState>,
    /// What stood behind the body.
    pub(in crate::web) trailers: OnceCell<HttpHeaders>,
}

/// What there is of a body without waiting for the client.
#[cfg(feature = "client")]
pub(in crate::web) enum Ready {
    Piece(Bytes),
    /// The body has ended, or the connection has.
    End,
    Later,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    #[default]
    Coming,
    Complete,
    CutOff,
}

impl BodyChannel {
    /// That of a request without a body.
    pub(in crate::web) fn at_its_end() -> Self {
        Self { state: Cell::new(BodyState::Complete), ..Self::default() }
    }

    pub(in crate::web) async fn next(&self) -> Option<Bytes> {
        poll_fn(|_| self.poll_next()).await
    }

    /// What has arrived with the head, piece by piece.
    #[cfg(feature = "client")]
    pub(in crate::web) async fn ready(&self) -> Ready {
        poll_fn(|_| match self.poll_next() {
            Poll::Ready(Some(piece)) => Poll::Ready(Ready::Piece(piece)),
            Poll::Ready(None) => Poll::Ready(Ready::End),
            Poll::Pending if self.dry.get() => Poll::Ready(Ready::Later),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn poll_next(&self) -> Poll<Option<Bytes>> {
        if let Some(chunk) = self.slot.borrow_mut().take() {
            return Poll::Ready(Some(chunk));
        }
        if self.state.get() != BodyState::Coming {
            return Poll::Ready(None);
        }
        self.wanted.set(true);
        Poll::Pending
    }

    pub(in crate::web) fn is_cut_off(&self) -> bool {
        self.state.get() == BodyState::CutOff
    }
}

#[cfg_attr(not(feature = "tower"), allow(dead_code, reason = "what hands bodies to a service is not there"))]
impl Context {
    /// The next piece of the body, for a handler that [pulls](crate::web::options::HandlerOptions::pulls_body) it; `None` at its end, or
    /// when there is none. Cancel safe.
    ///
    /// # Errors
    /// When the client left before the end.
    pub(in crate::web) async fn next_piece(&self) -> Result<Option<Bytes>> {
        let Some(body) = &self.body else { return Ok(None) };
        match body.next().await {
            None if body.is_cut_off() => Err(ClientLeft.into()),
            piece => Ok(piece),
        }
    }

    /// Whether nothing of the body is left that has arrived. It is asked again after each piece, and before the
    /// connection waits for another.
    pub(in crate::web) fn is_body_at_rest(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.dry.get() || body.state.get() != BodyState::Coming)
    }
}
