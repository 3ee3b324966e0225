//! The streams of a connection (RFC 9113 §5.1).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::task::{Context, Waker};

use bytes::BytesMut;

use super::window::Inflow;
use crate::httputil::HttpHeaders;

/// So many streams that the client has ended are remembered.
const REMEMBERED: usize = 16;

/// A stream that somebody answers, or may still come to its end.
pub(super) struct Stream {
    /// How much more of a response the client takes. Negative after it has made its windows smaller.
    pub(super) send_window: i64,
    /// What comes behind the head, unless the head is all.
    pub(super) body: Option<Box<Body>>,
    /// The client has said all.
    pub(super) is_received: bool,
    /// So has the server.
    pub(super) is_sent: bool,
    /// It waits for room to send, in the line of those that do.
    pub(super) is_waiting: bool,
    /// How much data was sent, or less than what others had by so much that it need not be made up for.
    pub(super) sent: u64,
    /// Where its last frame begins in what is to go out, and which that was: END_STREAM may still be set there.
    pub(super) last_frame: Option<(u64, usize)>,
    /// Who takes the body, and who sends the response; both are told of a reset.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What comes behind a head.
pub(super) struct Body {
    pub(super) inflow: Inflow,
    /// What has come and was not taken. In one piece, so that small frames take no more memory than their data.
    pub(super) data: BytesMut,
    /// How much is still to come, if the head has said that (RFC 9113 §8.1.1).
    pub(super) left: Option<u64>,
    /// What stands behind it; an error if that is malformed, or too much.
    pub(super) trailers: Option<Result<HttpHeaders, ()>>,
    /// How far its window may open: not at all until somebody takes it.
    pub(super) most: u32,
}

impl Stream {
    pub(super) fn new(send_window: u32, body: Option<Box<Body>>) -> Self {
        Self {
            send_window: send_window.into(),
            is_received: body.is_none(),
            body,
            is_sent: false,
            is_waiting: false,
            sent: 0,
            last_frame: None,
            reader: None,
            writer: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !(self.is_received && self.is_sent)
    }

    pub(super) fn park_reader(&mut self, cx: &Context<'_>) {
        park(&mut self.reader, cx);
    }

    pub(super) fn park_writer(&mut self, cx: &Context<'_>) {
        park(&mut self.writer, cx);
    }

    /// Something has come.
    pub(super) fn call_reader(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
    }

    /// There is room.
    pub(super) fn call_writer(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.writer.take());
    }
}

fn park(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *place = Some(cx.waker().clone()),
    }
}

/// How a client has ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By END_STREAM.
    Whole,
    Reset,
}

/// All streams of a connection.
pub(super) struct Streams {
    known: HashMap<u32, Stream, BuildHasherDefault<Spread>>,
    /// How many are open.
    open: usize,
    /// The last ones that the client has ended: what comes on one of them is an error of the connection.
    ended: [(u32, Ended); REMEMBERED],
    next: usize,
}

impl Default for Streams {
    fn default() -> Self {
        // No stream has this number.
        let ended = [(u32::MAX, Ended::Reset); REMEMBERED];
        Self { known: HashMap::default(), open: 0, ended, next: 0 }
    }
}

impl Streams {
    /// Whether there are none, open or with somebody who has not let go of them.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        self.open += usize::from(stream.is_open());
        self.known.insert(id, stream);
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.known.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.known.get_mut(&id)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.known.iter_mut().map(|(&id, stream)| (id, stream))
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.known.remove(&id)?;
        self.open -= usize::from(stream.is_open());
        Some(stream)
    }

    /// The client has said all, or the server has.
    pub(super) fn end_side(&mut self, id: u32, side: impl FnOnce(&mut Stream) -> &mut bool) {
        if let Some(stream) = self.known.get_mut(&id)
            && stream.is_open()
        {
            *side(stream) = true;
            self.open -= usize::from(!stream.is_open());
        }
    }

    pub(super) fn remember(&mut self, id: u32, how: Ended) {
        self.ended[self.next] = (id, how);
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// How the client has ended a stream, if that is not long ago.
    pub(super) fn ended(&self, id: u32) -> Option<Ended> {
        self.ended.iter().find(|&&(ended, _)| ended == id).map(|&(_, how)| how)
    }

    /// Gives back what a burst has taken.
    pub(super) fn shrink(&mut self) {
        if self.known.is_empty() {
            self.known = HashMap::default();
        }
    }
}

/// Spreads the numbers of streams, which grow by two. A client that chooses them badly has no more than are open at once.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 by the golden ratio. The table looks at the highest bits and the lowest.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_open_that_one_side_has_not_ended() {
        let mut streams = Streams::default();
        for id in [1, 3, 5] {
            streams.insert(id, Stream::new(10, None));
        }
        assert_eq!(streams.open(), 3);
        streams.end_side(1, |stream| &mut stream.is_sent);
        streams.end_side(1, |stream| &mut stream.is_sent);
        assert_eq!(streams.open(), 2);
        assert!(streams.remove(1).is_some() && streams.remove(1).is_none());
        assert!(streams.remove(3).is_some());
        assert_eq!((streams.open(), streams.is_empty()), (1, false));
        streams.remove(5);
        assert!(streams.is_empty() && streams.open() == 0);
    }

    #[test]
    fn the_last_ends_are_remembered() {
        let mut streams = Streams::default();
        for id in 1..=20 {
            streams.remember(id, Ended::Whole);
        }
        streams.remember(9, Ended::Reset);
        assert_eq!((streams.ended(5), streams.ended(20)), (None, Some(Ended::Whole)));
    }
}
