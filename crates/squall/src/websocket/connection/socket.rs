//! The handle on a connection: writing, closing, and what became of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::compressing::Compressing;
use super::outgoing::{Outgoing, Payload, Refused, TryWriteError, WebSocketClosedError};
use super::pool;
use super::queue::{Backlog, Ticket};
use super::random;
use super::set::{Millis, SocketSet};
use crate::iostream::IoStream;
use crate::log;
use crate::metrics::{self, Value};
use crate::websocket::machine::deflate::Deflater;
use crate::websocket::machine::frame::{Failure, FrameHead, MAX_CONTROL, OpCode};
use crate::websocket::machine::mask;
use crate::websocket::machine::message::{
    CloseFrame, Message, PreparedMessage, fitting_reason, is_valid_code,
};
use crate::websocket::machine::options::WebSocketOptions;
use crate::websocket::machine::protocol::Role;
use crate::websocket::machine::slices;

/// A WebSocket connection, of a server or a client.
///
/// A handle: clones are cheap and share the connection, and any task of its loop may write and close. Other threads use
/// a [`sender`](Self::sender). The connection ends when it is closed, not when handles are dropped.
///
/// Messages are put in the connection's output at once, in the order of the calls. What a slow peer does not take waits in
/// a bounded queue; [`WebSocketOptions::queue`] says what happens when that is full.
#[derive(Clone)]
pub struct WebSocket(pub(in crate::websocket) Rc<Shared>);

pub(in crate::websocket) struct Shared {
    pub(in crate::websocket) stream: IoStream,
    set: Rc<SocketSet>,
    pub(in crate::websocket) options: WebSocketOptions,
    role: Role,
    pub(in crate::websocket) phase: Cell<Phase>,
    /// Frames gather in `out` while there is more input to deal with.
    corked: Cell<bool>,
    /// Nothing is read until it returns.
    pub(super) in_callback: Cell<bool>,
    /// From the pool while there is something in it.
    out: RefCell<Vec<u8>>,
    pub(super) deflater: RefCell<Option<Box<Deflater>>>,
    /// What waits for a slow peer.
    pub(in crate::websocket) backlog: RefCell<Option<Box<Backlog>>>,
    /// What the peer's close frame said.
    close_frame: RefCell<Option<Box<CloseFrame>>>,
    /// Who waits for the end.
    pub(super) watchers: RefCell<Vec<Waker>>,
    subprotocol: Option<Box<str>>,
    next_ping: Cell<Option<Millis>>,
    pong_due: Cell<Option<Millis>>,
    close_due: Cell<Option<Millis>>,
    /// When the message that has begun must have ended.
    message_due: Cell<Option<Millis>>,
    /// When a peer that takes nothing is given up, and how much it had taken when that was set.
    give_up: Cell<Option<Millis>>,
    taken: Cell<u64>,
}

/// How far the closing handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) enum Phase {
    Open,
    /// Our close frame is on its way; the peer's has not come.
    Closing,
    /// Nothing more is sent or received.
    Closed,
}

/// Output is handed to the kernel at the latest when so much of it has gathered.
const OUT_MARK: usize = 64 * 1024;

/// A payload of this size is not copied behind its head but sent from where it is.
const LARGE: usize = 8 * 1024;

/// Nothing is left to wait for but the kernel.
const SENT: Ticket = Ticket(None);

/// What a connection is made of once the handshake is done.
pub(in crate::websocket) struct Parts {
    pub(in crate::websocket) stream: IoStream,
    pub(in crate::websocket) role: Role,
    pub(in crate::websocket) options: WebSocketOptions,
    pub(in crate::websocket) deflater: Option<Deflater>,
    pub(in crate::websocket) subprotocol: Option<String>,
}

impl WebSocket {
    pub(in crate::websocket) fn new(parts: Parts, set: &Rc<SocketSet>) -> Self {
        let Parts { stream, role, options, deflater, subprotocol } = parts;
        // Not a TCP socket is fine too.
        let _ = stream.set_nodelay(options.nodelay);
        let times = [
            options.ping_every(),
            options.pong_within(),
            options.message_within(),
            options.take_within(),
            options.close_within(),
        ];
        for time in times {
            set.allow_for(time.unwrap_or(Duration::MAX));
        }
        set.look_at_the_clock();
        let next_ping = options.ping_every().and_then(|time| set.deadline(time));
        Self(Rc::new(Shared {
            stream,
            set: Rc::clone(set),
            options,
            role,
            phase: Cell::new(Phase::Open),
            corked: Cell::new(false),
            in_callback: Cell::new(false),
            out: RefCell::default(),
            deflater: RefCell::new(deflater.map(Box::new)),
            backlog: RefCell::default(),
            close_frame: RefCell::default(),
            watchers: RefCell::default(),
            subprotocol: subprotocol.map(String::into_boxed_str),
            next_ping: Cell::new(next_ping),
            pong_due: Cell::new(None),
            close_due: Cell::new(None),
            message_due: Cell::new(None),
            give_up: Cell::new(None),
            taken: Cell::new(0),
        }))
    }

    /// Sends a message and waits until the kernel has taken it, so that a writer is no faster than its peer. With
    /// [`WhenFull::DropOldest`](crate::websocket::WhenFull::DropOldest) or `Close` it waits for nothing.
    ///
    /// Takes text, bytes, a [`Message`] or a [`PreparedMessage`].
    ///
    /// Dropping the future before it was polled sends nothing; while it waits for room in the queue the message is not
    /// sent either; after that it is sent in any case.
    ///
    /// # Errors
    /// [`WebSocketClosedError`] when the connection is or gets closed.
    pub async fn write_message(&self, message: impl Into<Outgoing>) -> crate::error::Result {
        let mut message = message.into();
        loop {
            match self.submit(message) {
                Ok(ticket) => return Ok(self.wait_until_sent(ticket).await?),
                Err(Refused::Closed) => return Err(WebSocketClosedError.into()),
                Err(Refused::Full(back)) => message = back,
            }
            self.wait_for_room().await;
        }
    }

    /// Sends a value as JSON text, as [`write_message`](Self::write_message).
    ///
    /// # Errors
    /// When the value cannot be JSON, or the connection is or gets closed ([`WebSocketClosedError`]).
    pub async fn write_json<T: serde::Serialize + ?Sized>(&self, value: &T) -> crate::error::Result {
        self.write_message(Message::json(value)?).await
    }

    /// Sends a message, or puts it in the queue, without waiting.
    ///
    /// # Errors
    /// [`TryWriteError::Closed`], and [`TryWriteError::Full`] with [`WhenFull::Wait`](crate::websocket::WhenFull::Wait).
    pub fn try_write(&self, message: impl Into<Outgoing>) -> Result<(), TryWriteError> {
        match self.submit(message.into()) {
            Ok(_) => Ok(()),
            Err(Refused::Closed) => Err(TryWriteError::Closed),
            Err(Refused::Full(_)) => Err(TryWriteError::Full),
        }
    }

    /// Sends a ping. The pong comes to `on_pong`.
    ///
    /// # Errors
    /// [`WebSocketClosedError`].
    ///
    /// # Panics
    /// When `data` has more than 125 bytes.
    #[track_caller]
    pub fn ping(&self, data: impl AsRef<[u8]>) -> Result<(), WebSocketClosedError> {
        let data = data.as_ref();
        assert!(data.len() <= MAX_CONTROL, "a ping has at most {MAX_CONTROL} bytes");
        if self.0.phase.get() != Phase::Open {
            return Err(WebSocketClosedError);
        }
        self.control(OpCode::Ping, data);
        Ok(())
    }

    /// Starts the closing handshake: what was written before is sent first, then a close frame. When the peer has
    /// answered, or after 5 s ([`WebSocketOptions::close_timeout`]), the connection is closed. Messages that come meanwhile are dropped. Does nothing on a
    /// connection that is closed already, or closing.
    ///
    /// A reason has at most 123 bytes; a longer one is cut. 1000 is an ordinary end, 1001 "going away", 3000 to 4999 are
    /// free for use.
    ///
    /// # Panics
    /// When `code` is not one that may be sent (RFC 6455 §7.4).
    #[track_caller]
    pub fn close(&self, code: u16, reason: &str) {
        assert!(is_valid_code(code), "{code} is no code to close a WebSocket with");
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(fitting_reason(reason).as_bytes());
        self.start_close(payload);
    }

    /// [`close`](Self::close) without a code, which the peer sees as 1005.
    pub fn close_without_code(&self) {
        self.start_close(Vec::new());
    }

    /// Drops the connection without a closing handshake, queued messages included. The peer sees 1006.
    pub fn abort(&self) {
        self.0.stream.abort();
    }

    /// The code of the peer's close frame; `None` when none has come, or one without a code.
    pub fn close_code(&self) -> Option<u16> {
        self.0.close_frame.borrow().as_ref().map(|frame| frame.code)
    }

    /// The reason in the peer's close frame; `None` where [`close_code`](Self::close_code) is.
    pub fn close_reason(&self) -> Option<String> {
        self.0.close_frame.borrow().as_ref().map(|frame| frame.reason.clone())
    }

    /// Whether nothing can be written any more: one side has begun to close.
    pub fn is_closed(&self) -> bool {
        self.0.phase.get() != Phase::Open
    }

    /// The subprotocol that was agreed on.
    #[doc(alias = "selected_subprotocol")]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.subprotocol.as_deref()
    }

    /// How many bytes have been written and not been taken by the kernel. 0 once the connection is gone, and they with it.
    pub fn buffered_amount(&self) -> usize {
        if self.0.stream.is_closed() {
            return 0;
        }
        let queued = self.0.backlog.borrow().as_ref().map_or(0, |backlog| backlog.bytes());
        queued + self.0.out.borrow().len() + self.0.stream.write_buffer_len()
    }

    /// Sends small messages at once (`TCP_NODELAY`) or gathers them.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn set_nodelay(&self, on: bool) -> std::io::Result<()> {
        self.0.stream.set_nodelay(on)
    }

    /// Whether this is the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// What the connection's task and the queue need.
impl WebSocket {
    /// Encodes and sends what has its turn, or has a long message compressed first.
    pub(in crate::websocket) fn emit(&self, outgoing: Outgoing) -> Ticket {
        if !matches!(outgoing.0, Payload::Close(_)) {
            metrics::add(Value::MessagesOut, 1);
        }
        let ticket = match outgoing.0 {
            Payload::Message(message) => self.emit_message(message),
            Payload::Prepared(prepared) if self.0.role == Role::Server => self.emit_prepared(&prepared),
            Payload::Prepared(prepared) => self.emit_message(prepared.message().clone()),
            Payload::Close(payload) => {
                self.emit_frame(FrameHead::whole(OpCode::Close, payload.len()), &payload);
                SENT
            }
        };
        if !self.0.corked.get() || self.0.out.borrow().len() >= OUT_MARK {
            self.push_out();
        }
        ticket
    }

    /// Sends a control frame ahead of the queue.
    pub(in crate::websocket) fn control(&self, opcode: OpCode, payload: &[u8]) {
        self.emit_frame(FrameHead::whole(opcode, payload.len()), payload);
        if !self.0.corked.get() || self.0.out.borrow().len() >= OUT_MARK {
            self.push_out();
        }
    }

    /// Answers a ping. While the peer takes nothing only the latest is answered (RFC 6455 §5.5.3), so that a flood of
    /// pings fills no memory.
    pub(in crate::websocket) fn pong(&self, payload: Bytes) {
        if self.0.phase.get() != Phase::Open {
            return;
        }
        if self.0.stream.is_writing() {
            self.pong_later(payload);
        } else {
            self.control(OpCode::Pong, &payload);
        }
    }

    pub(in crate::websocket) fn pong_received(&self) {
        self.0.pong_due.set(None);
    }

    /// While corked, frames gather until [`push_out`](Self::push_out).
    pub(in crate::websocket) fn cork(&self, on: bool) {
        self.0.corked.set(on);
        if !on {
            self.push_out();
        }
    }

    /// Hands gathered output to the stream.
    pub(in crate::websocket) fn push_out(&self) {
        if self.0.out.borrow().is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut *self.0.out.borrow_mut());
        // An error closes the stream, which its reader notices.
        let sent = self.0.stream.try_write(&out).unwrap_or(out.len());
        if sent < out.len() {
            drop(self.0.stream.write(&out[sent..]));
        }
        out.clear();
        pool::put(out);
    }

    /// The peer has sent its close frame: answer with the same code, unless ours is on its way already.
    pub(in crate::websocket) fn answer_close(&self, frame: Option<CloseFrame>) {
        let payload = frame.as_ref().map_or(Vec::new(), |frame| frame.code.to_be_bytes().to_vec());
        *self.0.close_frame.borrow_mut() = frame.map(Box::new);
        if self.0.phase.get() == Phase::Open {
            self.drop_queue();
            let _ = self.emit(Outgoing(Payload::Close(payload)));
        }
        self.0.phase.set(Phase::Closed);
    }

    /// Closes because of what the peer sent.
    pub(in crate::websocket) fn fail(&self, failure: Failure) {
        if self.0.phase.get() == Phase::Open {
            self.drop_queue();
            let mut payload = failure.code.to_be_bytes().to_vec();
            payload.extend_from_slice(failure.reason.as_bytes());
            let _ = self.emit(Outgoing(Payload::Close(payload)));
        }
        self.0.phase.set(Phase::Closed);
    }

    /// The connection has ended: nothing more is sent or received. Wakes those who wait for that.
    pub(in crate::websocket) fn set_closed(&self) {
        self.0.phase.set(Phase::Closed);
        self.0.next_ping.set(None);
        self.0.pong_due.set(None);
        self.0.message_due.set(None);
        self.0.close_due.set(self.deadline(self.0.options.close_within()));
        self.wake_watchers();
    }

    pub(in crate::websocket) fn is_server(&self) -> bool {
        self.0.role == Role::Server
    }

    /// Says whether a message has begun and not ended. The time that it may take counts from the first time on.
    #[inline]
    pub(in crate::websocket) fn message_is_under_way(&self, under_way: bool) {
        let due = &self.0.message_due;
        if !under_way {
            due.set(None);
        } else if due.get().is_none() && self.0.phase.get() == Phase::Open {
            due.set(self.deadline(self.0.options.message_within()));
        }
    }

    /// Of what begins now and may take so long.
    fn deadline(&self, timeout: Option<Duration>) -> Option<Millis> {
        self.0.set.deadline(timeout?)
    }

    /// Gives back memory that has not been used since the last call.
    pub(in crate::websocket) fn rest_deflater(&self) {
        // What is being compressed refers to it.
        if self.compressing().is_none()
            && let Some(deflater) = &mut *self.0.deflater.borrow_mut()
        {
            deflater.rest();
        }
    }

    pub(in crate::websocket) fn has_deadline_at(&self, now: Millis) -> bool {
        let Shared { next_ping, pong_due, close_due, message_due, .. } = &*self.0;
        [next_ping, pong_due, close_due, message_due].into_iter().any(|at| is_due(at, now))
            || self.takes_nothing(now)
    }

    /// Whether the peer has taken nothing of what waits for it for too long. Looked at by the set's sweep, so that a peer
    /// that does read costs nothing.
    fn takes_nothing(&self, now: Millis) -> bool {
        let shared = &*self.0;
        if !shared.stream.is_writing() {
            shared.give_up.set(None);
            return false;
        }
        let taken = shared.stream.flushed();
        if shared.give_up.get().is_none() || shared.taken.replace(taken) != taken {
            shared.taken.set(taken);
            shared.give_up.set(shared.options.take_within().and_then(|time| now.after(time)));
            return false;
        }
        is_due(&shared.give_up, now)
    }

    pub(in crate::websocket) fn look_at_the_clock(&self, now: Millis) {
        let shared = &*self.0;
        if self.takes_nothing(now) {
            tracing::info!(target: log::GENERAL, "{:?} takes no output", shared.stream);
            // A reset, since the kernel would keep what it has for such a peer much longer. It wakes whoever reads or writes.
            shared.stream.abort();
            return;
        }
        if is_due(&shared.message_due, now) {
            shared.message_due.set(None);
            self.close(1008, "message took too long");
            return;
        }
        if is_due(&shared.close_due, now) {
            shared.close_due.set(None);
            shared.stream.close();
            return;
        }
        if is_due(&shared.pong_due, now) {
            shared.pong_due.set(None);
            self.close(1000, "ping timed out");
            return;
        }
        if let Some(at) = shared.next_ping.get().filter(|at| at.is_due(now)) {
            let next = shared.options.ping_every().and_then(|interval| at.after(interval));
            shared.next_ping.set(next.map(|next| if next.is_due(now) { now } else { next }));
            // A peer that takes nothing need not be asked more than once.
            if shared.phase.get() == Phase::Open && !shared.stream.is_writing() {
                self.control(OpCode::Ping, &[]);
            }
            if shared.pong_due.get().is_none() {
                shared.pong_due.set(shared.options.pong_within().and_then(|time| now.after(time)));
            }
        }
    }

    fn start_close(&self, payload: Vec<u8>) {
        if self.0.phase.get() != Phase::Open {
            return;
        }
        self.0.phase.set(Phase::Closing);
        self.0.next_ping.set(None);
        self.0.pong_due.set(None);
        self.0.message_due.set(None);
        self.0.close_due.set(self.deadline(self.0.options.close_within()));
        self.submit_close(Outgoing(Payload::Close(payload)));
        self.0.stream.wake_reader();
    }

    fn emit_message(&self, message: Message) -> Ticket {
        let head = FrameHead::whole(message.opcode(), message.len());
        let mut deflater = self.0.deflater.borrow_mut();
        if let Some(deflater) = deflater.as_mut().filter(|deflater| message.len() >= deflater.threshold) {
            if message.len() >= slices::LONG {
                return self.start_compressing(Compressing::of(message));
            }
            let mut compressed = pool::take();
            deflater.deflate(message.as_bytes(), &mut compressed);
            drop(message);
            let head = FrameHead { rsv1: true, length: compressed.len() as u64, ..head };
            if compressed.len() >= LARGE {
                compressed.shrink_to_fit();
                self.emit_large(head, compressed.into());
            } else {
                self.emit_frame(head, &compressed);
                compressed.clear();
                pool::put(compressed);
            }
        } else if message.len() >= LARGE {
            drop(deflater);
            self.emit_large(head, message.into_bytes());
        } else {
            self.emit_frame(head, message.as_bytes());
        }
        SENT
    }

    fn emit_prepared(&self, prepared: &PreparedMessage) -> Ticket {
        let mut deflater = self.0.deflater.borrow_mut();
        let compressing = deflater.as_mut().filter(|d| prepared.message().len() >= d.threshold);
        let frame = match compressing {
            Some(deflater) if !prepared.is_compressed(deflater.setting()) => {
                return self.start_compressing(Compressing::Prepared(prepared.clone()));
            }
            Some(deflater) => {
                deflater.forget();
                prepared.compressed_frame(deflater.setting())
            }
            None => prepared.frame().clone(),
        };
        drop(deflater);
        if self.0.corked.get() && frame.len() < LARGE {
            self.with_out(|out| out.extend_from_slice(&frame));
            return SENT;
        }
        self.push_out();
        drop(self.0.stream.write_bytes(frame));
        SENT
    }

    /// Appends a frame to the output.
    fn emit_frame(&self, head: FrameHead, payload: &[u8]) {
        self.with_out(|out| match self.0.role {
            Role::Server => {
                head.encode(out);
                out.extend_from_slice(payload);
            }
            Role::Client => {
                let key = random::mask();
                FrameHead { mask: Some(key), ..head }.encode(out);
                let start = out.len();
                out.extend_from_slice(payload);
                mask::apply(&mut out[start..], key, 0);
            }
        });
    }

    /// Sends a frame without copying its payload, unless a client must mask what others have too: while a slow peer takes
    /// it, it is in memory once.
    pub(super) fn emit_large(&self, mut head: FrameHead, mut payload: Bytes) {
        if self.0.role == Role::Client {
            let key = random::mask();
            let mut masked = payload.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            mask::apply(&mut masked, key, 0);
            (head.mask, payload) = (Some(key), masked.freeze());
        }
        self.with_out(|out| head.encode(out));
        let mut out = std::mem::take(&mut *self.0.out.borrow_mut());
        let slices = [IoSlice::new(&out), IoSlice::new(&payload)];
        let sent = self.0.stream.try_write_vectored(&slices).unwrap_or(out.len() + payload.len());
        if sent < out.len() {
            drop(self.0.stream.write(&out[sent..]));
        }
        let rest = payload.slice(sent.saturating_sub(out.len())..);
        if !rest.is_empty() {
            drop(self.0.stream.write_bytes(rest));
        }
        out.clear();
        pool::put(out);
    }

    fn with_out(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.0.out.borrow_mut();
        if out.capacity() == 0 {
            *out = pool::take();
        }
        write(&mut out);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("phase", &self.0.phase.get())
            .field("close_code", &self.close_code())
            .finish_non_exhaustive()
    }
}

fn is_due(at: &Cell<Option<Millis>>, now: Millis) -> bool {
    at.get().is_some_and(|at| at.is_due(now))
}
