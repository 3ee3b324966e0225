//! What a client sends, frame by frame (RFC 9113 §6).

use bytes::BytesMut;

use super::request::{Asked, HeadReader, TrailersReader};
use super::streams::{Body, Ended, Stream};
use super::window::Inflow;
use super::{
    ALIVE, Event, FAREWELL, LARGEST_INCREMENT, MOST_BROKEN, MOST_CONTINUATIONS, MOST_EMPTY,
    MOST_UNBEGUN_RESETS, Machine,
};
use crate::http2::Reason;
use crate::http2::frame::{
    self, ACK, CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEAD,
    HEADERS, Head, LARGEST_FRAME_SIZE, LARGEST_WINDOW, PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, number,
};
use crate::httputil::{BodyKind, HttpServerRequest};

/// A head that comes in several frames.
pub(super) struct Block {
    stream: u32,
    ends_stream: bool,
    fields: Vec<u8>,
    frames: usize,
}

/// A frame of data, of which some is yet to come.
#[derive(Clone, Copy)]
pub(super) struct InData {
    stream: u32,
    left: usize,
    /// Behind the data.
    padding: usize,
    ends_stream: bool,
}

/// What is wrong with a frame: the connection ends.
type Checked = Result<(), Reason>;

impl Machine {
    /// Takes bytes, and says how many: what is left is the beginning of a frame, or comes too early: events are to be looked at
    /// first, or what was answered to be sent. Behind a fault nothing is taken.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while !self.is_stopped() {
            match self.step(&bytes[at..]) {
                Ok(0) => break,
                Ok(taken) => at += taken,
                Err(reason) => self.fail(reason),
            }
        }
        at
    }

    /// Takes a frame or a part of one; nothing when there is not enough of it.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        if self.greeted < PREFACE.len() {
            return self.preface(bytes);
        }
        if self.skipped > 0 {
            let passed = self.skipped.min(bytes.len());
            self.skipped -= passed;
            return Ok(passed);
        }
        if let Some(data) = self.data {
            return self.more_data(data, bytes);
        }
        let Some(head) = Head::read(bytes) else { return Ok(0) };
        if head.length > self.settings.max_frame_size as usize {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if !self.has_settings && (head.kind != SETTINGS || head.has(ACK)) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if self.block.is_some() && head.kind != CONTINUATION {
            return Err(Reason::PROTOCOL_ERROR);
        }
        match head.kind {
            DATA => self.begin_data(head, bytes),
            // None of them is looked at whole.
            kind if kind > CONTINUATION => {
                self.skipped = head.length;
                self.begun += 1;
                Ok(HEAD)
            }
            _ => {
                let Some(payload) = bytes.get(HEAD..HEAD + head.length) else { return Ok(0) };
                self.begun += u64::from(head.kind != CONTINUATION);
                self.frame(head, payload)?;
                Ok(HEAD + head.length)
            }
        }
    }

    fn preface(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let wanted = &PREFACE[self.greeted..];
        let length = wanted.len().min(bytes.len());
        if bytes[..length] != wanted[..length] {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.greeted += length;
        Ok(length)
    }

    fn frame(&mut self, head: Head, payload: &[u8]) -> Checked {
        match head.kind {
            HEADERS => self.headers(head, payload),
            PRIORITY => self.priority(head, payload),
            RST_STREAM => self.rst_stream(head, payload),
            SETTINGS => self.settings(head, payload),
            PING => self.pong(head, payload),
            GOAWAY if head.stream != 0 => Err(Reason::PROTOCOL_ERROR),
            GOAWAY if payload.len() < 8 => Err(Reason::FRAME_SIZE_ERROR),
            GOAWAY => {
                self.is_leaving = true;
                Ok(())
            }
            WINDOW_UPDATE => self.window_update(head, payload),
            CONTINUATION => self.continuation(head, payload),
            // A client cannot promise anything (§8.4).
            PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            _ => Ok(()),
        }
    }

    /// A frame has come that says nothing. An honest client has no use for many in a row.
    fn count_empty(&mut self) -> Checked {
        self.empty += 1;
        if self.empty > MOST_EMPTY { Err(Reason::ENHANCE_YOUR_CALM) } else { Ok(()) }
    }

    /// A stream has broken the protocol, or may not be there.
    fn break_stream(&mut self, id: u32, reason: Reason) -> Checked {
        self.forget(id);
        self.drop_unbegun(id);
        frame::write_reset(self.outgoing.frames(), id, reason);
        self.broken += 1;
        if self.broken > MOST_BROKEN { Err(Reason::ENHANCE_YOUR_CALM) } else { Ok(()) }
    }

    fn malformed(&mut self, id: u32, what: &'static str) -> Checked {
        self.events.push_back(Event::Malformed(what));
        self.break_stream(id, Reason::PROTOCOL_ERROR)
    }

    /// A request that nobody has begun is not begun. Says whether there was one.
    fn drop_unbegun(&mut self, id: u32) -> bool {
        let is_it = |event: &Event| matches!(event, Event::Request { id: asked, .. } if *asked == id);
        let found = self.events.iter().position(is_it);
        found.and_then(|at| self.events.remove(at)).is_some()
    }

    /// A frame on a stream that must have been opened (§5.1).
    fn check_opened(&self, id: u32) -> Checked {
        if id == 0 || id.is_multiple_of(2) || id > self.last_stream {
            Err(Reason::PROTOCOL_ERROR)
        } else {
            Ok(())
        }
    }

    // HEADERS and CONTINUATION (§6.2, §6.10)

    fn headers(&mut self, head: Head, payload: &[u8]) -> Checked {
        if head.stream.is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let mut fields = unpadded(head, payload)?;
        let mut depends_on_itself = false;
        if head.has(HAS_PRIORITY) {
            let priority = fields.split_off(..5).ok_or(Reason::FRAME_SIZE_ERROR)?;
            depends_on_itself = number(priority) == head.stream;
        }
        if self.is_ended(head.stream) {
            return Err(Reason::STREAM_CLOSED);
        }
        if depends_on_itself {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let ends_stream = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.block(head.stream, ends_stream, fields);
        }
        let fields = fields.to_vec();
        self.block = Some(Box::new(Block { stream: head.stream, ends_stream, fields, frames: 1 }));
        Ok(())
    }

    /// Whether the client has ended the stream before.
    fn is_ended(&self, id: u32) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.is_received)
            || id <= self.last_stream && self.streams.ended(id).is_some()
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Checked {
        let Some(mut block) = self.block.take().filter(|block| block.stream == head.stream) else {
            return Err(Reason::PROTOCOL_ERROR);
        };
        block.frames += 1;
        let most = self.settings.max_header_size.saturating_add(self.settings.max_frame_size as usize);
        let most_frames =
            MOST_CONTINUATIONS + self.settings.max_header_size / frame::DEFAULT_FRAME_SIZE as usize;
        if block.frames > most_frames || block.fields.len() + payload.len() > most {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        block.fields.extend_from_slice(payload);
        if head.has(END_HEADERS) {
            return self.block(block.stream, block.ends_stream, &block.fields);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A head, or what stands behind a body.
    fn block(&mut self, id: u32, ends_stream: bool, fields: &[u8]) -> Checked {
        self.empty = 0;
        if id > self.last_stream {
            return self.open(id, ends_stream, fields);
        }
        let mut trailers = TrailersReader::new(self.limits());
        let decoded = self.decoder.decode(fields, |field| trailers.field(field));
        decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
        let trailers = trailers.finish();
        let Some(body) = self.streams.get_mut(id).and_then(|stream| stream.body.as_mut()) else {
            // The server has ended the stream, and the client did not know that. But it knows which streams it has opened (§5.1.1).
            return if trailers.is_ok() { Ok(()) } else { Err(Reason::PROTOCOL_ERROR) };
        };
        match trailers {
            Ok(_) if !ends_stream => self.malformed(id, "trailers that are not the end"),
            Ok(fields) => {
                body.trailers = Some(fields);
                self.end_received(id)
            }
            Err(wrong) => self.malformed(id, wrong),
        }
    }

    fn open(&mut self, id: u32, ends_stream: bool, fields: &[u8]) -> Checked {
        self.last_stream = id;
        let mut request = HttpServerRequest::pooled();
        let limits = self.limits();
        let mut reader = HeadReader::new(request.head_mut(), &mut self.scratch, limits);
        let decoded = self.decoder.decode(fields, |field| reader.field(field));
        decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
        let asked = reader.finish(ends_stream);
        if ends_stream {
            self.streams.remember(id, Ended::Whole);
        }
        // The client was told that none behind that one is served (§6.8).
        if self.last_served.is_some() {
            return Ok(());
        }
        match asked {
            Asked::FarTooLarge => return Err(Reason::ENHANCE_YOUR_CALM),
            Asked::Malformed(wrong) => return self.malformed(id, wrong),
            _ if self.streams.open() >= self.settings.max_concurrent_streams as usize => {
                return self.break_stream(id, Reason::REFUSED_STREAM);
            }
            _ => {}
        }
        let length = match asked {
            Asked::Request(BodyKind::Length(length)) => Some(length),
            _ => None,
        };
        let body = (!ends_stream).then(|| self.body(length));
        self.streams.insert(id, Stream::new(self.peer_window, body));
        self.events.push_back(Event::Request { id, request, asked });
        Ok(())
    }

    fn body(&self, left: Option<u64>) -> Box<Body> {
        // Before the client has read our settings it may go by the window that it knew.
        let unread = if self.is_acknowledged { 0 } else { DEFAULT_WINDOW };
        Box::new(Body {
            inflow: Inflow::new(self.settings.stream_window.max(unread)),
            data: BytesMut::new(),
            left,
            trailers: None,
            most: 0,
        })
    }

    /// The client has said all of a stream.
    fn end_received(&mut self, id: u32) -> Checked {
        self.streams.remember(id, Ended::Whole);
        let Some(body) = self.streams.get(id).and_then(|stream| stream.body.as_ref()) else { return Ok(()) };
        if body.left.is_some_and(|left| left > 0) {
            return self.malformed(id, "Content-Length");
        }
        self.streams.end_side(id, |stream| &mut stream.is_received);
        self.call_reader(id);
        Ok(())
    }

    fn call_reader(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.call_reader(&mut self.woken);
        }
    }

    // DATA (§6.1)

    fn begin_data(&mut self, head: Head, bytes: &[u8]) -> Result<usize, Reason> {
        self.check_opened(head.stream)?;
        let (mut taken, mut left, mut padding) = (HEAD, head.length, 0);
        if head.has(PADDED) {
            if head.length == 0 {
                return Err(Reason::FRAME_SIZE_ERROR);
            }
            let Some(&length) = bytes.get(HEAD) else { return Ok(0) };
            padding = usize::from(length);
            taken += 1;
            left = head.length.checked_sub(1 + padding).ok_or(Reason::PROTOCOL_ERROR)?;
        }
        let is_ended = self.streams.get(head.stream).map_or_else(
            || self.streams.ended(head.stream) == Some(Ended::Whole),
            |stream| stream.is_received,
        );
        if is_ended {
            return Err(Reason::STREAM_CLOSED);
        }
        if !self.inflow.take(head.length) {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let ends_stream = head.has(END_STREAM);
        if left > 0 {
            self.empty = 0;
        } else if !ends_stream {
            self.count_empty()?;
        }
        self.admit(head, left)?;
        self.data = Some(InData { stream: head.stream, left, padding, ends_stream });
        self.end_data_if_whole()?;
        Ok(taken)
    }

    /// Takes so much of the windows. What is no data, or nobody's, gives its part back.
    fn admit(&mut self, head: Head, left: usize) -> Checked {
        let Some(body) = self.streams.get_mut(head.stream).and_then(|stream| stream.body.as_mut()) else {
            self.inflow.release(head.length);
            self.open_connection_window();
            // Who has reset a stream sends nothing behind that (§5.1); what the server has ended may have data on its way.
            let is_reset = self.streams.ended(head.stream) == Some(Ended::Reset);
            return if is_reset { self.break_stream(head.stream, Reason::STREAM_CLOSED) } else { Ok(()) };
        };
        if !body.inflow.take(head.length) {
            self.inflow.release(head.length);
            return self.break_stream(head.stream, Reason::FLOW_CONTROL_ERROR);
        }
        if let Some(length) = &mut body.left {
            match length.checked_sub(left as u64) {
                Some(rest) => *length = rest,
                None => return self.malformed(head.stream, "Content-Length"),
            }
        }
        if head.length > left {
            self.release(head.stream, head.length - left);
        }
        Ok(())
    }

    fn more_data(&mut self, mut data: InData, bytes: &[u8]) -> Result<usize, Reason> {
        let part = data.left.min(bytes.len());
        let padding = data.padding.min(bytes.len() - part);
        if part > 0 {
            // Nobody's if the stream has ended since: what it held was given back then.
            if let Some(stream) = self.streams.get_mut(data.stream)
                && let Some(body) = &mut stream.body
            {
                body.data.extend_from_slice(&bytes[..part]);
                stream.call_reader(&mut self.woken);
            }
        }
        data.left -= part;
        data.padding -= padding;
        self.data = Some(data);
        self.end_data_if_whole()?;
        Ok(part + padding)
    }

    fn end_data_if_whole(&mut self) -> Checked {
        let Some(data) = self.data.filter(|data| data.left == 0 && data.padding == 0) else { return Ok(()) };
        self.data = None;
        if data.ends_stream { self.end_received(data.stream) } else { Ok(()) }
    }

    // What is about streams and connections

    /// What clients thought of priorities once is read, and means nothing (§5.3.2).
    fn priority(&mut self, head: Head, payload: &[u8]) -> Checked {
        if head.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if payload.len() != 5 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if number(payload) != head.stream {
            return Ok(());
        }
        if self.is_known(head.stream) {
            self.break_stream(head.stream, Reason::PROTOCOL_ERROR)
        } else {
            Err(Reason::PROTOCOL_ERROR)
        }
    }

    fn rst_stream(&mut self, head: Head, payload: &[u8]) -> Checked {
        if payload.len() != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        self.check_opened(head.stream)?;
        self.streams.remember(head.stream, Ended::Reset);
        self.forget(head.stream);
        if self.drop_unbegun(head.stream) {
            self.unbegun_resets += 1;
            if self.unbegun_resets > MOST_UNBEGUN_RESETS {
                return Err(Reason::ENHANCE_YOUR_CALM);
            }
        }
        Ok(())
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Checked {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if head.has(ACK) {
            if !payload.is_empty() {
                return Err(Reason::FRAME_SIZE_ERROR);
            }
            self.acknowledged();
            return Ok(());
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        // Once for all that the frame says of it: to go through the streams for each would be 2,730 times as much work.
        let mut window = self.peer_window;
        for setting in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match name {
                frame::HEADER_TABLE_SIZE => self.encoder.set_max_size(value as usize),
                frame::ENABLE_PUSH | frame::ENABLE_CONNECT_PROTOCOL if value > 1 => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                frame::INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
                frame::INITIAL_WINDOW_SIZE => window = value,
                frame::MAX_FRAME_SIZE
                    if !(frame::DEFAULT_FRAME_SIZE..=LARGEST_FRAME_SIZE).contains(&value) =>
                {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                frame::MAX_FRAME_SIZE => self.peer_frame_size = value,
                _ => {}
            }
        }
        self.has_settings = true;
        self.change_peer_window(window)?;
        frame::write_head(self.outgoing.frames(), SETTINGS, ACK, 0, 0);
        Ok(())
    }

    /// The client has read our settings: its streams have the windows now that these say.
    fn acknowledged(&mut self) {
        let difference = i64::from(self.settings.stream_window) - i64::from(DEFAULT_WINDOW);
        if !std::mem::replace(&mut self.is_acknowledged, true) && difference < 0 {
            for (_, stream) in self.streams.all_mut() {
                if let Some(body) = &mut stream.body {
                    body.inflow.adjust(difference);
                }
            }
        }
    }

    /// The streams' windows have another size from the beginning (§6.9.2).
    fn change_peer_window(&mut self, window: u32) -> Checked {
        let difference = i64::from(window) - i64::from(self.peer_window);
        if difference == 0 {
            return Ok(());
        }
        self.peer_window = window;
        for (_, stream) in self.streams.all_mut() {
            stream.send_window += difference;
            if stream.send_window > LARGEST_INCREMENT {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            if difference > 0 && stream.send_window > 0 {
                stream.call_writer(&mut self.woken);
            }
        }
        Ok(())
    }

    fn pong(&mut self, head: Head, payload: &[u8]) -> Checked {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let data: [u8; 8] = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        match (head.has(ACK), data) {
            (false, _) => frame::write_ping(self.outgoing.frames(), ACK, data),
            (true, FAREWELL) if self.is_bidding_farewell => self.end_farewell(),
            (true, ALIVE) => self.is_alive = true,
            // It was not asked for.
            (true, _) => {}
        }
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Checked {
        if payload.len() != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let increment = i64::from(number(payload));
        if head.stream == 0 {
            self.send_window += increment;
            if increment == 0 {
                return Err(Reason::PROTOCOL_ERROR);
            }
            if self.send_window > LARGEST_INCREMENT {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            self.call_waiting();
            return Ok(());
        }
        self.check_opened(head.stream)?;
        if increment == 0 {
            return self.break_stream(head.stream, Reason::PROTOCOL_ERROR);
        }
        let Some(stream) = self.streams.get_mut(head.stream) else { return Ok(()) };
        stream.send_window += increment;
        if stream.send_window > LARGEST_INCREMENT {
            return self.break_stream(head.stream, Reason::FLOW_CONTROL_ERROR);
        }
        if stream.send_window > 0 {
            stream.call_writer(&mut self.woken);
        }
        Ok(())
    }
}

/// A payload without its padding.
fn unpadded(head: Head, payload: &[u8]) -> Result<&[u8], Reason> {
    if !head.has(PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Reason::FRAME_SIZE_ERROR)?;
    let length = rest.len().checked_sub(padding.into()).ok_or(Reason::PROTOCOL_ERROR)?;
    Ok(&rest[..length])
}
