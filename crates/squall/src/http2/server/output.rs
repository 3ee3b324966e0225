//! What is sent: heads, data, ends, resets; and how much room there is for it.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::streams::Stream;
use super::{Machine, Outgoing};
use crate::http2::Reason;
use crate::http2::frame::{self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS};

/// A field of a head that is sent: its name in any case, its value.
pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

/// So much may wait for the client in all, at the least.
const LEAST_ROOM: usize = 65_536;
/// So much more may be answers to what is read: where data alone waits the client is still heard.
const CONTROL_ROOM: usize = 16_384;

impl Machine {
    /// What is to go out.
    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// How much of what went out waits for the kernel, in bytes: the end of a turn of the connection's task. Those who wait for room are
    /// called when there is some.
    pub(crate) fn set_backlog(&mut self, bytes: usize) {
        self.backlog = bytes;
        let streams = &mut self.streams;
        self.turns.advance(|id| {
            if let Some(stream) = streams.get_mut(id) {
                stream.is_waiting = false;
            }
        });
        self.call_waiting();
    }

    /// How much more data may wait to be sent.
    fn room(&self) -> usize {
        self.most_waiting().saturating_sub(self.outgoing.len() + self.backlog)
    }

    fn most_waiting(&self) -> usize {
        self.settings.send_buffer.max(LEAST_ROOM)
    }

    /// Whether so much waits that no more is read: each answer to a frame would be added to it.
    pub(super) fn is_full(&self) -> bool {
        self.outgoing.len() + self.backlog >= self.most_waiting() + CONTROL_ROOM
    }

    /// Whether a stream is there: neither side has reset it, and nobody has let it go.
    pub(crate) fn is_known(&self, id: u32) -> bool {
        self.streams.get(id).is_some()
    }

    /// Ready when the stream has been reset; else the task is woken when it is, or when something may be sent.
    pub(crate) fn poll_reset(&mut self, id: u32, cx: &Context<'_>) -> Poll<()> {
        let Some(stream) = self.streams.get_mut(id) else { return Poll::Ready(()) };
        stream.park_writer(cx);
        Poll::Pending
    }

    /// How many bytes of data there is room for; `None` when the stream is there no longer. None while those wait that have had less.
    pub(crate) fn room_of(&self, id: u32) -> Option<usize> {
        let stream = self.streams.get(id)?;
        Some(self.turns.share(id, stream, self.room_for(stream)))
    }

    /// Whether there is room for so many bytes of data, whoever else waits for it.
    pub(crate) fn has_room(&self, id: u32, bytes: usize) -> bool {
        self.streams.get(id).is_some_and(|stream| self.room_for(stream) >= bytes)
    }

    fn room_for(&self, stream: &Stream) -> usize {
        self.room_for_all().min(self.settings.send_buffer).min(positive(stream.send_window))
    }

    /// As [`room_of`](Self::room_of), when that is at least one byte; else the task is woken when it is.
    pub(crate) fn poll_room(&mut self, id: u32, cx: &Context<'_>) -> Poll<Option<usize>> {
        let room = self.room_of(id);
        if room != Some(0) {
            return Poll::Ready(room);
        }
        let Some(stream) = self.streams.get_mut(id) else { return Poll::Ready(None) };
        stream.park_writer(cx);
        // Who waits for its own window is called when that opens, and stands in nobody's way.
        if stream.send_window > 0 {
            self.turns.enter(id, stream);
        } else {
            self.turns.leave(id, stream);
        }
        Poll::Pending
    }

    /// Has as many go on who wait for room as there is a share for.
    pub(super) fn call_waiting(&mut self) {
        if !self.turns.is_anyone_waiting() {
            return;
        }
        let (room, streams, woken) = (self.room_for_all(), &mut self.streams, &mut self.woken);
        self.turns.call(room, |id| {
            let Some(stream) = streams.get_mut(id) else { return false };
            // Its window was made smaller, or its end was sent.
            stream.is_waiting = stream.send_window > 0 && !stream.is_sent;
            if stream.is_waiting {
                stream.call_writer(woken);
            }
            stream.is_waiting
        });
    }

    /// Whether streams wait though there is room: those that were called may have no use for theirs, and are forgotten when the
    /// connection's task has had [turns](Self::set_backlog).
    pub(crate) fn is_turn_due(&self) -> bool {
        self.turns.is_anyone_waiting() && self.room_for_all() > 0
    }

    fn room_for_all(&self) -> usize {
        self.room().min(positive(self.send_window))
    }

    /// The head of a response, or one before it (1xx). With `is_all` it is the end of the stream.
    pub(crate) fn send_head<'a>(
        &mut self,
        id: u32,
        status: u16,
        fields: impl Iterator<Item = Field<'a>>,
        is_all: bool,
    ) {
        self.send_block(id, Some(status), fields, is_all);
    }

    /// What stands behind a body, which is the end of the stream.
    pub(crate) fn send_trailers<'a>(&mut self, id: u32, fields: impl Iterator<Item = Field<'a>>) {
        self.send_block(id, None, fields, true);
    }

    fn send_block<'a>(
        &mut self,
        id: u32,
        status: Option<u16>,
        fields: impl Iterator<Item = Field<'a>>,
        ends: bool,
    ) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_sent) else { return };
        stream.last_frame = Some(self.outgoing.here());
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        let out = self.outgoing.frames();
        let start = out.len();
        frame::write_head(out, HEADERS, flags, id, 0);
        self.encoder.begin(out);
        if let Some(status) = status {
            self.encoder.status(status, out);
        }
        for (name, value) in fields {
            self.encoder.field(name, value, out);
        }
        frame::patch_length(out, start);
        if out.len() - start - frame::HEAD > self.peer_frame_size as usize {
            split(out, start, self.peer_frame_size as usize);
        }
        if ends {
            self.end_sent(id);
        }
    }

    /// Data, no more than there is [room](Self::poll_room) for. With `is_last` it is the end of the stream.
    pub(crate) fn send_data(&mut self, id: u32, mut data: Bytes, is_last: bool) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_sent) else { return };
        self.turns.book(id, stream, data.len());
        self.send_window -= data.len() as i64;
        loop {
            let part = data.split_to(data.len().min(self.peer_frame_size as usize));
            let flags = if is_last && data.is_empty() { END_STREAM } else { 0 };
            stream.last_frame = Some(self.outgoing.here());
            frame::write_head(self.outgoing.frames(), DATA, flags, id, part.len());
            self.outgoing.push(part);
            if data.is_empty() {
                break;
            }
        }
        if is_last {
            self.end_sent(id);
        }
    }

    /// As [`send_data`](Self::send_data), of what is copied.
    pub(crate) fn send_slice(&mut self, id: u32, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_sent) else { return };
        self.turns.book(id, stream, data.len());
        self.send_window -= data.len() as i64;
        for part in data.chunks(self.peer_frame_size as usize) {
            stream.last_frame = Some(self.outgoing.here());
            let out = self.outgoing.frames();
            frame::write_head(out, DATA, 0, id, part.len());
            out.extend_from_slice(part);
        }
    }

    /// The end of a stream whose data was all sent.
    pub(crate) fn send_end(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.is_sent) else { return };
        let is_set = stream.last_frame.is_some_and(|place| self.outgoing.set_flag(place, END_STREAM));
        if !is_set {
            frame::write_head(self.outgoing.frames(), DATA, END_STREAM, id, 0);
        }
        self.end_sent(id);
    }

    fn end_sent(&mut self, id: u32) {
        self.streams.end_side(id, |stream| &mut stream.is_sent);
    }

    /// Ends a stream at once.
    pub(crate) fn reset(&mut self, id: u32, reason: Reason) {
        if self.forget(id).is_some() {
            frame::write_reset(self.outgoing.frames(), id, reason);
        }
    }

    /// Nobody answers the stream any longer, or takes what still comes of it.
    pub(crate) fn let_go(&mut self, id: u32) {
        let Some(stream) = self.forget(id) else { return };
        if stream.is_open() {
            // A client may stop sending when all has been said (RFC 9113 §8.1).
            let reason = if stream.is_sent { Reason::NO_ERROR } else { Reason::CANCEL };
            frame::write_reset(self.outgoing.frames(), id, reason);
        }
    }

    /// Takes a stream out, and calls those who wait for it.
    pub(super) fn forget(&mut self, id: u32) -> Option<Stream> {
        let mut stream = self.streams.remove(id)?;
        self.turns.leave(id, &mut stream);
        // Who was called may have been this one.
        self.call_waiting();
        stream.call_reader(&mut self.woken);
        stream.call_writer(&mut self.woken);
        if let Some(body) = &stream.body {
            self.inflow.release(body.inflow.held());
            self.open_connection_window();
        }
        Some(stream)
    }
}

fn positive(window: i64) -> usize {
    usize::try_from(window).unwrap_or(0)
}

/// Cuts the frame of a head at `start`, the last of all, into frames that are small enough (RFC 9113 §6.10).
fn split(out: &mut Vec<u8>, start: usize, most: usize) {
    let Some(head) = frame::Head::read(&out[start..]) else { return };
    let block = out.split_off(start + frame::HEAD);
    out.truncate(start);
    let count = block.chunks(most).len();
    for (i, part) in block.chunks(most).enumerate() {
        let (kind, flags) = if i == 0 { (HEADERS, head.flags & !END_HEADERS) } else { (CONTINUATION, 0) };
        let last = if i + 1 == count { END_HEADERS } else { 0 };
        frame::write_head(out, kind, flags | last, head.stream, part.len());
        out.extend_from_slice(part);
    }
}
