//! Taking what comes behind a head, and opening its window for more.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Machine;
use super::streams::Stream;
use crate::http2::frame;
use crate::httputil::HttpHeaders;

/// What comes next of a body.
pub(crate) enum Piece {
    Data(Bytes),
    /// The fields behind it, or an error if they are not taken.
    Trailers(Result<HttpHeaders, ()>),
    /// It is complete.
    End,
    /// The stream is there no longer.
    Gone,
}

impl Machine {
    /// Somebody takes the body from here on: its window opens as it is taken.
    pub(crate) fn want(&mut self, id: u32) {
        self.want_most(id, u32::MAX);
    }

    /// As [`want`](Self::want), of what is no body and may never end: its window does not grow with that of bodies.
    pub(crate) fn want_tunnel(&mut self, id: u32) {
        self.want_most(id, self.settings.stream_window);
    }

    fn want_most(&mut self, id: u32, most: u32) {
        if let Some(body) = self.streams.get_mut(id).and_then(|stream| stream.body.as_mut()) {
            body.most = most;
            self.open_window(id);
        }
    }

    /// What comes next, at most so many bytes.
    pub(crate) fn poll_piece(&mut self, id: u32, most: usize, cx: &Context<'_>) -> Poll<Piece> {
        let Some(stream) = self.streams.get_mut(id) else { return Poll::Ready(Piece::Gone) };
        let Some(body) = &mut stream.body else { return Poll::Ready(Piece::End) };
        if !body.data.is_empty() {
            let length = body.data.len().min(most);
            // Not `split`, which would leave a hold on the memory of what is taken.
            let is_all = length == body.data.len();
            let data = if is_all { std::mem::take(&mut body.data) } else { body.data.split_to(length) };
            return Poll::Ready(Piece::Data(data.freeze()));
        }
        if let Some(trailers) = body.trailers.take() {
            return Poll::Ready(Piece::Trailers(trailers));
        }
        if stream.is_received {
            return Poll::Ready(Piece::End);
        }
        stream.park_reader(cx);
        Poll::Pending
    }

    /// So much of what was given has been taken.
    pub(crate) fn release(&mut self, id: u32, bytes: usize) {
        let Some(body) = self.streams.get_mut(id).and_then(|stream| stream.body.as_mut()) else {
            // It was given back with the stream.
            return;
        };
        body.inflow.release(bytes);
        self.inflow.release(bytes);
        self.open_connection_window();
        self.open_window(id);
    }

    /// How much of each body that is taken may be under way from here on.
    pub(crate) fn set_window(&mut self, bytes: u32) {
        let is_larger = bytes > std::mem::replace(&mut self.window, bytes);
        if is_larger {
            let wanted = |(id, stream): (u32, &mut Stream)| {
                stream.body.as_ref().filter(|body| body.most > 0).map(|_| id)
            };
            let ids: Vec<u32> = self.streams.all_mut().filter_map(wanted).collect();
            ids.into_iter().for_each(|id| self.open_window(id));
        }
    }

    fn open_window(&mut self, id: u32) {
        let window = self.window;
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_received) else { return };
        if let Some(body) = stream.body.as_mut().filter(|body| body.most > 0)
            && let Some(increment) = body.inflow.grant(window.min(body.most))
        {
            frame::write_window_update(self.outgoing.frames(), id, increment);
        }
    }

    pub(super) fn open_connection_window(&mut self) {
        if let Some(increment) = self.inflow.grant(self.settings.connection_window) {
            frame::write_window_update(self.outgoing.frames(), 0, increment);
        }
    }
}
