//! Looks at the heads of the frames that a client sends, for what breaks the connection in a way that has an error code of its
//! own (RFC 9113 §5.1, §6), which the `h2` crate calls PROTOCOL_ERROR all alike; for what it does not mind; and for GOAWAY,
//! which it minds too much.
//!
//! The machine is pure; [`Watched`] puts it between the socket and `h2`.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::heads::{
    DATA, END_HEADERS, FIRST_FLAG, GOAWAY, HEAD, HEADERS, Head, Heads, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, UNKNOWN, WINDOW_UPDATE,
};
use super::trailers::FirstField;
use crate::iostream::IoStream;

const PREFACE: usize = 24;

/// `SETTINGS_INITIAL_WINDOW_SIZE`, and the largest window there is (RFC 9113 §6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;
const LARGEST_WINDOW: u32 = 0x7fff_ffff;

/// So many streams that the client has ended are remembered.
const REMEMBERED: usize = 16;
/// So many streams with malformed trailers may be without anybody who asks for them.
const MOST_MALFORMED: usize = 128;

/// How a client has ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// By END_STREAM.
    Whole,
    Reset,
}

/// What has been read of a client's frames.
pub(super) struct Frames {
    heads: Heads,
    /// A SETTINGS frame's payload is being read, of which this much is left, and one setting of it.
    settings: usize,
    setting: [u8; 6],
    in_setting: usize,
    /// The last streams that the client has ended; DATA and HEADERS on one of them are an error.
    ended: [(u32, Ended); REMEMBERED],
    next: usize,
    /// A head goes on in CONTINUATION frames.
    in_block: bool,
    /// The last frame is one of a body, for which there are other limits.
    in_data: bool,
    /// The first SETTINGS have begun to come.
    is_greeted: bool,
    /// It has said that it has read ours.
    is_acknowledged: bool,
    /// It has said that it opens no more streams.
    is_leaving: bool,
    /// How many frames have begun, without those that continue one.
    begun: u64,
    /// How many heads of requests may have been passed on that nobody has asked for: never too few.
    unasked: usize,
    /// Nothing is read for now: see [`pause`](Self::pause).
    is_paused: bool,
    /// The last stream that was opened: a head on an older one is what stands behind its body.
    last_stream: u32,
    /// Of that, what has been read. It goes on in CONTINUATION frames.
    trailers: Option<FirstField>,
    /// So much of the frame's payload belongs to it.
    block: usize,
    /// Streams with pseudo-header fields behind their bodies.
    malformed: Vec<u32>,
    fault: Option<Reason>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            heads: Heads::behind(PREFACE),
            settings: 0,
            setting: [0; 6],
            in_setting: 0,
            // No stream has this number.
            ended: [(u32::MAX, Ended::Reset); REMEMBERED],
            next: 0,
            in_block: false,
            in_data: false,
            is_greeted: false,
            is_acknowledged: false,
            is_leaving: false,
            begun: 0,
            unasked: 0,
            is_paused: false,
            last_stream: 0,
            trailers: None,
            block: 0,
            malformed: Vec::new(),
            fault: None,
        }
    }
}

impl Frames {
    /// What is wrong with the frames, from when it has been read.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// The number of what has begun to come and is not whole: the client's greeting, a head, any frame that is not a body's.
    pub(super) fn unfinished(&self) -> Option<u64> {
        let in_payload = self.heads.is_in_payload() && !self.in_data;
        let unfinished =
            in_payload || self.in_block || self.settings > 0 || self.heads.is_in_head() || !self.is_greeted;
        unfinished.then_some(self.begun)
    }

    /// A request was taken. True when no other can be there, so that asking for one would be in vain; asking costs as much
    /// as a tenth of a request.
    pub(super) fn was_last(&mut self) -> bool {
        self.unasked = self.unasked.saturating_sub(1);
        self.unasked == 0
    }

    /// Has the socket left alone while requests are taken that have been read already: `h2` looks for more input each time,
    /// which is as much work as to route a request. Nobody is woken meanwhile for what comes.
    pub(super) fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// All requests were taken: the other heads were trailers, or refused.
    pub(super) fn forget_heads(&mut self) {
        self.unasked = 0;
    }

    /// Whether the client has read our settings. Says so once for each.
    pub(super) fn take_acknowledgement(&mut self) -> bool {
        std::mem::take(&mut self.is_acknowledged)
    }

    /// Whether the client has said that it opens no more streams. Says so once.
    pub(super) fn take_goodbye(&mut self) -> bool {
        std::mem::take(&mut self.is_leaving)
    }

    /// Whether what stands behind this stream's body is malformed. Says so once.
    pub(super) fn take_malformed(&mut self, stream: u32) -> bool {
        let found = self.malformed.iter().position(|&malformed| malformed == stream);
        found.map(|at| self.malformed.swap_remove(at)).is_some()
    }

    /// Takes bytes that have come, and says how many of them may be passed on: all of them, or those before the fault.
    ///
    /// `h2` is not told that the client says GOAWAY: it would close the connection at once when no request is under way, and
    /// a PING that comes behind it would be answered or not as the packets come. That a client opens no more streams
    /// is nothing to a server that opens none. (A frame whose head comes in pieces has been passed on in part.)
    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.fault.is_none() {
            let rest = &bytes[at..];
            let payload = self.heads.payload(rest);
            if payload > 0 {
                if self.block > 0 {
                    self.read_trailers(&rest[..payload]);
                }
                at += payload;
            } else if self.settings > 0 {
                at += self.read_settings(rest);
            } else {
                let (taken, head) = self.heads.head(rest);
                self.fault = head.and_then(|head| self.check(head));
                if self.fault.is_some() {
                    break;
                }
                if taken == HEAD && head.is_some_and(|head| head.kind == GOAWAY) {
                    bytes[at + 3] = UNKNOWN;
                }
                at += taken;
            }
        }
        at
    }

    fn check(&mut self, Head { kind, flags, stream, length }: Head) -> Option<Reason> {
        if self.in_block {
            // Only CONTINUATION may come, which `h2` sees to.
            self.in_block = flags & END_HEADERS == 0;
            self.block = if self.trailers.is_some() { length } else { 0 };
            return None;
        }
        (self.trailers, self.block) = (None, 0);
        (self.begun, self.in_data) = (self.begun + 1, kind == DATA);
        match kind {
            PUSH_PROMISE => Some(Reason::PROTOCOL_ERROR),
            PRIORITY if length != 5 => Some(Reason::FRAME_SIZE_ERROR),
            RST_STREAM | WINDOW_UPDATE if length != 4 => Some(Reason::FRAME_SIZE_ERROR),
            PING if length != 8 => Some(Reason::FRAME_SIZE_ERROR),
            GOAWAY if stream != 0 => Some(Reason::PROTOCOL_ERROR),
            GOAWAY if length < 8 => Some(Reason::FRAME_SIZE_ERROR),
            GOAWAY => {
                self.is_leaving = true;
                None
            }
            SETTINGS if flags & FIRST_FLAG != 0 && length > 0 => Some(Reason::FRAME_SIZE_ERROR),
            SETTINGS if flags & FIRST_FLAG != 0 => {
                self.is_acknowledged = true;
                None
            }
            SETTINGS if length % 6 != 0 => Some(Reason::FRAME_SIZE_ERROR),
            SETTINGS => {
                self.settings = self.heads.take_payload();
                self.is_greeted = true;
                None
            }
            DATA | HEADERS if self.has_ended(kind, stream) => Some(Reason::STREAM_CLOSED),
            DATA if flags & FIRST_FLAG != 0 => self.end(stream, Ended::Whole),
            HEADERS => {
                self.in_block = flags & END_HEADERS == 0;
                self.unasked += 1;
                if stream > self.last_stream {
                    self.last_stream = stream;
                } else {
                    (self.trailers, self.block) = (Some(FirstField::new(stream, flags)), length);
                }
                if flags & FIRST_FLAG != 0 { self.end(stream, Ended::Whole) } else { None }
            }
            RST_STREAM => self.end(stream, Ended::Reset),
            _ => None,
        }
    }

    fn has_ended(&self, kind: u8, stream: u32) -> bool {
        // A client may have had data on its way when it reset the stream: `h2` passes that over.
        self.ended.iter().any(|&(id, how)| id == stream && (how == Ended::Whole || kind == HEADERS))
    }

    fn end(&mut self, stream: u32, how: Ended) -> Option<Reason> {
        self.ended[self.next] = (stream, how);
        self.next = (self.next + 1) % REMEMBERED;
        None
    }

    fn read_trailers(&mut self, bytes: &[u8]) {
        self.block -= bytes.len();
        let Some(first) = &mut self.trailers else { return };
        let stream = first.stream;
        let Some(is_pseudo) = first.read(bytes) else { return };
        (self.trailers, self.block) = (None, 0);
        if is_pseudo {
            if self.malformed.len() == MOST_MALFORMED {
                self.fault = Some(Reason::ENHANCE_YOUR_CALM);
            } else {
                self.malformed.push(stream);
            }
        }
    }

    /// Takes settings one by one; says how many bytes it has taken.
    fn read_settings(&mut self, bytes: &[u8]) -> usize {
        let taken = (6 - self.in_setting).min(bytes.len()).min(self.settings);
        self.setting[self.in_setting..self.in_setting + taken].copy_from_slice(&bytes[..taken]);
        self.in_setting += taken;
        self.settings -= taken;
        if self.in_setting == 6 {
            self.in_setting = 0;
            let [a, b, value @ ..] = self.setting;
            if u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE && u32::from_be_bytes(value) > LARGEST_WINDOW
            {
                self.fault = Some(Reason::FLOW_CONTROL_ERROR);
                // `h2` must not see the end of this frame, or it would be the first to answer it.
                return 0;
            }
        }
        taken
    }
}

/// A connection whose frames are looked at before `h2` gets them. Behind a fault nothing comes any more.
pub(super) struct Watched {
    stream: IoStream,
    frames: Rc<RefCell<Frames>>,
}

impl Watched {
    pub(super) fn new(stream: IoStream, frames: Rc<RefCell<Frames>>) -> Self {
        Self { stream, frames }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let frames = self.frames.borrow();
            if frames.fault.is_some() || frames.is_paused {
                // Whoever drives the connection looks after each poll, at the fault or for more.
                return Poll::Pending;
            }
        }
        let before = target.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, target))?;
        let new = &mut target.filled_mut()[before..];
        let passed = self.frames.borrow_mut().read(new);
        if passed == 0 && !new.is_empty() {
            target.set_filled(before);
            return Poll::Pending;
        }
        target.set_filled(before + passed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2connection::heads::frame;

    #[test]
    fn what_is_not_whole_is_known_by_its_number() {
        let mut frames = Frames::default();
        let mut seen = |bytes: &[u8]| {
            frames.read(&mut bytes.to_vec());
            frames.unfinished()
        };
        assert_eq!(seen(&[b'p'; PREFACE]), Some(0));
        assert_eq!(seen(&frame(SETTINGS, 0, 0, b"")), None);
        let head = frame(HEADERS, 1, 1, b"block");
        assert_eq!(seen(&head[..4]), Some(1));
        assert_eq!(seen(&head[4..12]), Some(2));
        assert_eq!(seen(&head[12..]), Some(2), "its block goes on");
        assert_eq!(seen(&frame(9, 0, 1, b"more")), Some(2));
        assert_eq!(seen(&frame(9, 4, 1, b"end")), None);
        let data = frame(DATA, 0, 3, b"data");
        assert_eq!(seen(&data[..10]), None, "bodies have limits of their own");
        assert_eq!(seen(&data[10..]), None);
        assert_eq!(seen(&frame(PING, 0, 0, &[0; 8])[..16]), Some(4));
    }

    #[test]
    fn what_is_passed_on_ends_before_the_fault_however_it_arrives() {
        let good = [
            frame(SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff\0\x09\xff\xff\xff\xff"),
            frame(SETTINGS, 1, 0, b""),
            frame(HEADERS, 4, 1, b"block"),
            frame(DATA, 0, 1, &[0; 300]),
            // Trailers, in two pieces.
            frame(HEADERS, 1, 1, b"block"),
            frame(9, 4, 1, b"block"),
            frame(HEADERS, 5, 3, b"block"),
            frame(PRIORITY, 0, 5, &[0; 5]),
            frame(RST_STREAM, 0, 5, &[0; 4]),
            frame(DATA, 0, 5, b"was on its way"),
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            frame(PING, 0, 0, &[0; 8]),
            frame(GOAWAY, 0, 0, &[0; 8]),
            frame(0xab, 0xff, 9, b"unknown"),
        ]
        .concat();
        let rows: &[(Vec<u8>, Option<Reason>)] = &[
            (vec![], None),
            (frame(PING, 0, 0, b"x"), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(SETTINGS, 1, 0, b"x"), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(SETTINGS, 0, 0, b"x"), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(PRIORITY, 0, 7, b""), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(RST_STREAM, 0, 3, b"12345"), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(WINDOW_UPDATE, 0, 3, b"12345"), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(GOAWAY, 0, 0, b"1234567"), Some(Reason::FRAME_SIZE_ERROR)),
            (frame(GOAWAY, 0, 1, &[0; 8]), Some(Reason::PROTOCOL_ERROR)),
            (frame(HEADERS, 5, 1, b"block"), Some(Reason::STREAM_CLOSED)),
            (frame(HEADERS, 5, 3, b"block"), Some(Reason::STREAM_CLOSED)),
            (frame(DATA, 1, 3, b"data"), Some(Reason::STREAM_CLOSED)),
            (frame(HEADERS, 5, 5, b"block"), Some(Reason::STREAM_CLOSED)),
            (frame(PUSH_PROMISE, 4, 1, b"block"), Some(Reason::PROTOCOL_ERROR)),
            (frame(SETTINGS, 0, 0, b"\0\x04\xff\xff\xff\xff"), Some(Reason::FLOW_CONTROL_ERROR)),
        ];
        for (bad, expected) in rows {
            let all = [&[b'p'; PREFACE][..], &good, bad, b"never seen"].concat();
            let all = &all[..all.len() - if expected.is_none() { 10 } else { 0 }];
            for size in [1, 2, 7, 64, all.len()] {
                let mut frames = Frames::default();
                let passed: usize = all.chunks(size).map(|piece| frames.read(&mut piece.to_vec())).sum();
                assert_eq!(frames.fault(), *expected, "{bad:?} in pieces of {size}");
                let least = PREFACE + good.len();
                assert!(
                    (least..=least + bad.len()).contains(&passed),
                    "{bad:?} in pieces of {size}: {passed}"
                );
                assert!(expected.is_none() || passed < least + bad.len(), "{bad:?} in pieces of {size}");
            }
        }
    }
}
