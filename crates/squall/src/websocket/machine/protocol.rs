//! The receiving half of the protocol: bytes in, messages and control frames out. No I/O, no clock.

use bytes::Bytes;

use super::deflate::Inflater;
use super::frame::{Failure, FrameHead, OpCode};
use super::mask;
use super::message::{CloseFrame, Message, is_valid_code};
use super::slices::INFLATED_SLICE;
use crate::sys::utf8;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) enum Role {
    Server,
    Client,
}

/// What has been received.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::websocket) enum Event {
    Message(Message),
    Ping(Bytes),
    Pong(Bytes),
    /// Nothing follows it.
    Close(Option<CloseFrame>),
}

/// Reads frames and puts messages together.
///
/// Its memory is that of the message under way, which grows with the bytes that have come, never with a length that
/// was only announced. Between messages it owns none, except for a decompressor with context takeover.
pub(in crate::websocket) struct Decoder {
    role: Role,
    /// Most bytes of a message, compressed or not.
    max_message_size: usize,
    /// Compression has been agreed on.
    inflater: Option<Box<Inflater>>,
    /// The data frame whose payload is being read.
    frame: Option<DataFrame>,
    /// The message that it belongs to.
    under_way: Option<UnderWay>,
    closed: bool,
}

struct DataFrame {
    fin: bool,
    left: u64,
    mask: Option<[u8; 4]>,
    /// How many bytes of the payload have been unmasked, modulo 4.
    offset: u8,
}

struct UnderWay {
    is_text: bool,
    compressed: bool,
    data: Vec<u8>,
    /// Bytes on the wire, of all frames so far.
    received: u64,
    /// Bytes taken in and given out by the decompressor since the last pause.
    worked: usize,
    /// So many bytes of `data` are known to be whole characters.
    checked: usize,
}

/// Room beyond a frame, so that the read that drains the socket shows it (see `Transport::try_read`).
pub(in crate::websocket) const BEYOND: usize = 16;
/// A frame of which so much has not come is received without a copy.
const LARGE: u64 = 16 * 1024;
/// ... if so much of the message has, so that room is not made for what was only announced.
const SEEN: usize = 4 * 1024;
/// Compressed payload is unmasked in pieces of this size.
const PIECE: usize = 4096;

const TOO_BIG: Failure = Failure::too_big("message too big");
const BAD_TEXT: Failure = Failure::not_utf8("text is not UTF-8");

impl Decoder {
    pub(in crate::websocket) fn new(role: Role, max_message_size: usize, inflater: Option<Inflater>) -> Self {
        let inflater = inflater.map(Box::new);
        Self { role, max_message_size, inflater, frame: None, under_way: None, closed: false }
    }

    /// Takes what it can from the start of `input`: gives how many bytes that was, and what they amount to. When both are
    /// nothing, more is needed.
    pub(in crate::websocket) fn next(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Failure> {
        if self.closed {
            return Ok((input.len(), None));
        }
        if self.frame.is_some() {
            return self.take_payload(input);
        }
        if let &[first, second, ..] = input {
            self.check_masked(second & 0x80 != 0)?;
            // Before the rest of the head is there, which need never come.
            self.check_order(first)?;
        }
        let Some((head, size)) = FrameHead::parse(input)? else { return Ok((0, None)) };
        if head.opcode.is_control() {
            return self.take_control(head, size, &input[size..]);
        }
        let rest = &input[size..];
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if head.fin
            && !head.rsv1
            && self.under_way.is_none()
            && let Some(payload) = rest.get(..length)
        {
            return Ok((size + length, Some(self.take_whole(head, payload)?)));
        }
        self.start_frame(head, rest)?;
        let (used, event) = self.take_payload(rest)?;
        Ok((size + used, event))
    }

    /// A message that has come in one piece, as most do: it needs nothing of what puts pieces together.
    #[inline]
    fn take_whole(&self, head: FrameHead, payload: &[u8]) -> Result<Event, Failure> {
        if payload.len() > self.max_message_size {
            return Err(TOO_BIG);
        }
        let data = head.mask.map_or_else(|| payload.to_vec(), |key| mask::copy(payload, key));
        whole_message(head.opcode == OpCode::Text, data).map(Event::Message)
    }

    /// Whether a message has begun and not ended.
    pub(in crate::websocket) fn is_midway(&self) -> bool {
        self.under_way.is_some() || self.frame.is_some()
    }

    /// Whether others should be served before more is taken; then `true` once.
    pub(in crate::websocket) fn wants_pause(&mut self) -> bool {
        match &mut self.under_way {
            Some(message) if message.worked >= INFLATED_SLICE => {
                message.worked = 0;
                true
            }
            _ => false,
        }
    }

    /// Nothing more is there for now: a text that cannot become UTF-8 fails before its end. While the bytes of a frame keep
    /// coming they are not looked at one piece after the other.
    pub(in crate::websocket) fn pause(&mut self) -> Result<(), Failure> {
        self.under_way.as_mut().map_or(Ok(()), UnderWay::check_text)
    }

    /// Where the rest of a large frame may be received to without a copy: behind what is there, and how much of it there
    /// is. Follow with [`received`](Self::received).
    pub(in crate::websocket) fn room(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let (frame, message) = (self.frame.as_ref()?, self.under_way.as_mut()?);
        let large = frame.left >= LARGE && message.data.len() >= SEEN && !message.compressed;
        large.then_some((&mut message.data, usize::try_from(frame.left).unwrap_or(usize::MAX)))
    }

    /// Takes what has come to [`room`](Self::room), from `start` on. What is not of the frame is given back.
    pub(in crate::websocket) fn received(
        &mut self,
        start: usize,
    ) -> (Vec<u8>, Result<Option<Event>, Failure>) {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.under_way) else {
            return (Vec::new(), Ok(None));
        };
        let end = usize::try_from(frame.left).map_or(usize::MAX, |left| start.saturating_add(left));
        let beyond = if message.data.len() > end { message.data.split_off(end) } else { Vec::new() };
        frame.apply(&mut message.data[start..]);
        (beyond, self.take_payload(&[]).map(|(_, event)| event))
    }

    /// How many bytes the message under way has room for.
    #[cfg(test)]
    pub(in crate::websocket) fn capacity(&self) -> usize {
        self.under_way.as_ref().map_or(0, |message| message.data.capacity())
    }

    /// A client masks, a server does not (RFC 6455 §5.1).
    fn check_masked(&self, masked: bool) -> Result<(), Failure> {
        match self.role {
            Role::Server if !masked => Err(Failure::protocol("frame is not masked")),
            Role::Client if masked => Err(Failure::protocol("frame is masked")),
            _ => Ok(()),
        }
    }

    /// Whether a frame that begins with this byte may come now.
    fn check_order(&self, first: u8) -> Result<(), Failure> {
        let is_data = first & 0x08 == 0;
        let is_continuation = first & 0x0f == OpCode::Continuation as u8;
        if first & 0x40 != 0 && self.inflater.is_none() {
            return Err(Failure::protocol("reserved bits are set"));
        }
        if is_data && is_continuation && self.under_way.is_none() {
            return Err(Failure::protocol("continuation of nothing"));
        }
        if is_data && !is_continuation && self.under_way.is_some() {
            return Err(Failure::protocol("new message inside a fragmented one"));
        }
        Ok(())
    }

    /// Control frames are short: they are taken whole.
    fn take_control(
        &mut self,
        head: FrameHead,
        size: usize,
        rest: &[u8],
    ) -> Result<(usize, Option<Event>), Failure> {
        let Some(payload) = rest.get(..head.length as usize) else { return Ok((0, None)) };
        let mut payload = payload.to_vec();
        if let Some(key) = head.mask {
            mask::apply(&mut payload, key, 0);
        }
        let used = size + payload.len();
        let event = match head.opcode {
            OpCode::Ping => Event::Ping(payload.into()),
            OpCode::Pong => Event::Pong(payload.into()),
            _ => {
                self.closed = true;
                self.under_way = None;
                Event::Close(parse_close(payload)?)
            }
        };
        Ok((used, Some(event)))
    }

    fn start_frame(&mut self, head: FrameHead, available: &[u8]) -> Result<(), Failure> {
        let so_far = self.under_way.as_ref().map_or(0, |message| message.received);
        let total = so_far.saturating_add(head.length);
        if total > self.max_message_size as u64 {
            return Err(TOO_BIG);
        }
        let mask = head.mask;
        self.frame = Some(DataFrame { fin: head.fin, left: head.length, mask, offset: 0 });
        match &mut self.under_way {
            Some(message) => message.received = total,
            None => {
                let is_text = head.opcode == OpCode::Text;
                let length = usize::try_from(head.length).unwrap_or(usize::MAX);
                // A small multiple of what is there already; the rest as it comes.
                let room = match available.len() {
                    _ if head.rsv1 => 0,
                    here if here >= length => length,
                    here => (here * 5).min(length.saturating_add(BEYOND)),
                };
                let data = Vec::with_capacity(room);
                self.under_way = Some(UnderWay {
                    is_text,
                    compressed: head.rsv1,
                    data,
                    received: total,
                    worked: 0,
                    checked: 0,
                });
            }
        }
        Ok(())
    }

    fn take_payload(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Failure> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.under_way) else {
            return Ok((0, None));
        };
        let mut piece = &input[..input.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX))];
        match &mut self.inflater {
            Some(inflater) if message.compressed => {
                let used = frame.inflate(piece, inflater, message, self.max_message_size)?;
                piece = &piece[..used];
            }
            _ => frame.unmask(piece, &mut message.data),
        }
        let complete = frame.fin && frame.left == 0;
        if frame.left == 0 {
            self.frame = None;
        }
        if !complete {
            // Inside a frame that is not compressed nothing else can be wrong, so that may wait for `pause`.
            if self.frame.is_none() || message.compressed {
                message.check_text()?;
            }
            return Ok((piece.len(), None));
        }
        if message.compressed
            && let Some(inflater) = &mut self.inflater
        {
            inflater.finish(&mut message.data, self.max_message_size)?;
        }
        let message = self.under_way.take().map(UnderWay::finish).transpose()?;
        Ok((piece.len(), message.map(Event::Message)))
    }
}

impl DataFrame {
    fn unmask(&mut self, piece: &[u8], data: &mut Vec<u8>) {
        let start = data.len();
        data.extend_from_slice(piece);
        self.apply(&mut data[start..]);
    }

    /// Says how much of the input was used: all of it, or as much as is a slice of work.
    fn inflate(
        &mut self,
        input: &[u8],
        inflater: &mut Inflater,
        message: &mut UnderWay,
        limit: usize,
    ) -> Result<usize, Failure> {
        let (mut buffer, mut used) = ([0; PIECE], 0);
        for piece in input.chunks(PIECE) {
            let unmasked = &mut buffer[..piece.len()];
            unmasked.copy_from_slice(piece);
            self.apply(unmasked);
            let before = message.data.len();
            inflater.inflate(unmasked, &mut message.data, limit)?;
            message.worked += piece.len() + message.data.len() - before;
            used += piece.len();
            if message.worked >= INFLATED_SLICE {
                break;
            }
        }
        Ok(used)
    }

    /// Unmasks the next bytes of the payload.
    fn apply(&mut self, bytes: &mut [u8]) {
        if let Some(key) = self.mask {
            mask::apply(bytes, key, usize::from(self.offset));
        }
        self.offset = ((usize::from(self.offset) + bytes.len()) % 4) as u8;
        self.left -= bytes.len() as u64;
    }
}

impl UnderWay {
    /// Looks at what has come since the last time, so that a text that cannot become UTF-8 fails before its end.
    fn check_text(&mut self) -> Result<(), Failure> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            // The last character is not complete yet.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(BAD_TEXT),
        }
        Ok(())
    }

    fn finish(self) -> Result<Message, Failure> {
        whole_message(self.is_text, self.data)
    }
}

#[inline]
fn whole_message(is_text: bool, data: Vec<u8>) -> Result<Message, Failure> {
    if !is_text {
        return Ok(Message::Binary(data.into()));
    }
    utf8::string(data).map(Message::Text).ok_or(BAD_TEXT)
}

/// The body of a close frame (RFC 6455 §5.5.1).
fn parse_close(payload: Vec<u8>) -> Result<Option<CloseFrame>, Failure> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Failure::protocol("close frame of one byte")) };
    };
    let code = u16::from_be_bytes(*code);
    if !is_valid_code(code) {
        return Err(Failure::protocol("invalid close code"));
    }
    match String::from_utf8(reason.to_vec()) {
        Ok(reason) => Ok(Some(CloseFrame { code, reason })),
        Err(_) => Err(Failure::not_utf8("close reason is not UTF-8")),
    }
}
