//! In place of `http2` without that feature: there are no such connections.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::error::HttpClientError;
use super::exchange::{Answer, Failed};
use super::wire::Outgoing;
use crate::httputil::HttpHeaders;
use crate::iostream::{IoStream, StreamError};

pub(super) const IS_SPOKEN: bool = false;

pub(crate) fn is_agreed(_: &IoStream) -> bool {
    false
}

#[expect(clippy::unused_async, reason = "as its counterpart")]
pub(super) async fn begin(_: IoStream, _: Settings) -> Result<Rc<Session>, HttpClientError> {
    Err(HttpClientError::Request("HTTP/2 is spoken with squall's feature `http2` only".to_owned()))
}

#[expect(dead_code, reason = "there is nobody to read them")]
pub(super) struct Settings {
    pub(super) max_header_size: usize,
    pub(super) max_header_count: usize,
    pub(super) stream_window: u32,
    pub(super) max_streams: usize,
    pub(super) keep_alive_interval: Option<Duration>,
    pub(super) keeps: bool,
}

pub(super) enum Arriving {}

impl Arriving {
    pub(super) fn hold(&mut self, _: Option<OwnedSemaphorePermit>) {
        match *self {}
    }

    pub(super) fn begin(&self, _: u64) -> Result<bool, HttpClientError> {
        match *self {}
    }

    pub(super) fn is_tunnel(&self) -> bool {
        match *self {}
    }

    pub(super) fn into_tunnel(self) -> Option<IoStream> {
        match self {}
    }

    pub(super) fn take_trailers(&mut self) -> Option<HttpHeaders> {
        match *self {}
    }

    pub(super) fn poll_piece(
        &mut self,
        _: &mut Context<'_>,
        _: usize,
    ) -> Poll<Result<Option<Bytes>, HttpClientError>> {
        match *self {}
    }
}

#[derive(Clone)]
pub(super) enum Sink {}

impl Sink {
    pub(super) async fn write(&self, _: Bytes, _: Option<Duration>) -> Result<Result<(), StreamError>, ()> {
        match *self {}
    }

    pub(super) async fn finish(&self, _: Bytes, _: Option<Duration>) -> Result<Result<(), StreamError>, ()> {
        match *self {}
    }

    pub(super) fn set_trailers(&self, _: &HttpHeaders) {
        match *self {}
    }

    pub(super) fn reset(&self) {
        match *self {}
    }
}

pub(super) enum Place {}

pub(super) enum Session {}

impl Session {
    pub(super) fn is_open(&self) -> bool {
        match *self {}
    }

    pub(super) fn try_place(&self) -> Option<Place> {
        match *self {}
    }

    pub(super) async fn place(&self) -> Option<Place> {
        match *self {}
    }

    pub(super) fn is_told(&self) -> bool {
        match *self {}
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match *self {}
    }
}

pub(super) async fn exchange(place: Place, _: &Outgoing<'_>) -> Result<Answer<Arriving>, Failed> {
    match place {}
}
