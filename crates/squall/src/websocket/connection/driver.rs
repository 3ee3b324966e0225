//! The task of a connection: reads, answers control frames, and calls whoever is interested.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::set::Registered;
use super::socket::{Phase, WebSocket};
use crate::ioloop::log_panic;
use crate::log;
use crate::metrics::{self, Value};
use crate::websocket::machine::frame::Failure;
use crate::websocket::machine::message::Message;
use crate::websocket::machine::protocol::{BEYOND, Decoder, Event};

/// What a connection calls. An error has been logged by the callee; it closes the connection with 1011, as does a panic.
pub(in crate::websocket) trait Events {
    async fn open(&mut self, _socket: &WebSocket) -> Result<(), Failed> {
        Ok(())
    }

    async fn message(&mut self, socket: &WebSocket, message: Message) -> Result<(), Failed>;

    async fn ping(&mut self, _socket: &WebSocket, _data: Bytes) -> Result<(), Failed> {
        Ok(())
    }

    async fn pong(&mut self, _socket: &WebSocket, _data: Bytes) -> Result<(), Failed> {
        Ok(())
    }

    /// Called once, whatever has happened.
    async fn closed(&mut self, socket: &WebSocket);
}

/// A callback failed, and has said so in the log.
pub(in crate::websocket) struct Failed;

/// Serves a connection to its end.
///
/// Callbacks are boxed while they run: as parts of this future they would be most of what an idle connection takes (992
/// bytes for an echo, against 232), and a box costs less than a hundredth of the system calls for a message.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep its argument twice")]
pub(in crate::websocket) fn run<E: Events>(mut task: Task<E>) -> impl Future<Output = ()> {
    async move {
        let opened = task.events.open(&task.socket);
        if guarded(&task.socket, "open", Box::pin(opened)).await.is_err() {
            task.socket.close(1011, "");
        }
        let clean = loop {
            let socket = &task.socket;
            let called = match (Next { socket, decoder: &mut task.decoder }).await {
                Incoming::Message(message) => {
                    guarded(socket, "on_message", Box::pin(task.events.message(socket, message))).await
                }
                Incoming::Ping(data) => {
                    guarded(socket, "on_ping", Box::pin(task.events.ping(socket, data))).await
                }
                Incoming::Pong(data) => {
                    guarded(socket, "on_pong", Box::pin(task.events.pong(socket, data))).await
                }
                Incoming::Pause => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Incoming::End { clean } => break clean,
            };
            if called.is_err() {
                task.socket.close(1011, "");
            }
        };
        task.socket.set_closed();
        task.socket.cork(false);
        Box::pin(task.end(clean)).await;
    }
}

/// A connection and who is interested in it.
pub(in crate::websocket) struct Task<E> {
    pub(in crate::websocket) socket: WebSocket,
    pub(in crate::websocket) decoder: Decoder,
    pub(in crate::websocket) events: E,
    /// Until the connection is closed.
    pub(in crate::websocket) place: Registered,
}

impl<E: Events> Task<E> {
    async fn end(self, clean: bool) {
        let Self { socket, mut events, place, .. } = self;
        let told = async {
            events.closed(&socket).await;
            Ok(())
        };
        // A panic has been logged.
        let _ = guarded(&socket, "on_close", Box::pin(told)).await;
        drop(events);
        finish(&socket, clean).await;
        drop(place);
    }
}

/// Polls a callback; output goes out whenever it waits, and a panic ends it.
async fn guarded(
    socket: &WebSocket,
    what: &str,
    mut callback: Pin<Box<impl Future<Output = Result<(), Failed>>>>,
) -> Result<(), Failed> {
    socket.set_in_callback(true);
    let mut has_waited = false;
    let result = poll_fn(|cx| {
        socket.cork(true);
        match catch_unwind(AssertUnwindSafe(|| callback.as_mut().poll(cx))) {
            Ok(Poll::Ready(result)) => Poll::Ready(result),
            Ok(Poll::Pending) => {
                socket.cork(false);
                if !has_waited {
                    has_waited = true;
                    // From now on nobody reads.
                    socket.wake_watchers();
                }
                Poll::Pending
            }
            Err(payload) => {
                log_panic(what, &*payload);
                Poll::Ready(Err(Failed))
            }
        }
    })
    .await;
    socket.set_in_callback(false);
    result
}

/// What a connection's task has to deal with.
enum Incoming {
    Message(Message),
    Ping(Bytes),
    Pong(Bytes),
    /// There is more to do, once others had their turn.
    Pause,
    /// There is nothing more to come; `clean` after both close frames.
    End {
        clean: bool,
    },
}

/// Resolves with what comes next.
struct Next<'a> {
    socket: &'a WebSocket,
    decoder: &'a mut Decoder,
}

impl Future for Next<'_> {
    type Output = Incoming;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            let decoded = match self.decode() {
                Ok((0, None)) => {
                    self.socket.cork(false);
                    match self.poll_more(cx) {
                        Poll::Ready(Received::Bytes) => continue,
                        Poll::Ready(Received::Directly(event)) => event,
                        Poll::Ready(Received::End) => return Poll::Ready(Incoming::End { clean: false }),
                        Poll::Pending => match self.decoder.pause() {
                            Ok(()) => {
                                self.socket.message_is_under_way(self.is_midway());
                                return Poll::Pending;
                            }
                            Err(failure) => Err(failure),
                        },
                    }
                }
                decoded => decoded.map(|(_, event)| event),
            };
            match decoded {
                Ok(Some(event)) => {
                    if !self.decoder.is_midway() {
                        self.socket.message_is_under_way(false);
                    }
                    if let Some(incoming) = self.deal_with(event) {
                        return Poll::Ready(incoming);
                    }
                }
                Ok(None) => {
                    if self.decoder.wants_pause() {
                        self.socket.cork(false);
                        return Poll::Ready(Incoming::Pause);
                    }
                }
                Err(failure) => {
                    tracing::info!(target: log::GENERAL, "Malformed WebSocket message received: {failure}");
                    self.socket.fail(failure);
                    return Poll::Ready(Incoming::End { clean: false });
                }
            }
        }
    }
}

/// What came of waiting.
enum Received {
    /// There is more in the stream's buffer.
    Bytes,
    /// A large frame was received where it stays.
    Directly(Result<Option<Event>, Failure>),
    /// There is nothing more to receive.
    End,
}

/// With less room than this for a large frame more is made.
const LEAST: usize = 4 * 1024;

impl Next<'_> {
    /// Receives once.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let stream = &self.socket.0.stream;
        let room = if stream.read_buffer().is_empty() { self.decoder.room() } else { None };
        let Some((data, left)) = room else {
            return Poll::Ready(match ready!(stream.poll_fill(cx)) {
                Ok(1..) => Received::Bytes,
                _ => Received::End,
            });
        };
        let start = data.len();
        // Five times what has come at the most: a length that was announced is no reason to hold memory, and room that
        // grows by a fixed step would be moved too often.
        let (least, most) = (left.min(LEAST) + BEYOND, left.min(4 * start) + BEYOND);
        let Ok(1..) = ready!(stream.poll_receive_more(cx, data, least, most)) else {
            return Poll::Ready(Received::End);
        };
        let (beyond, event) = self.decoder.received(start);
        stream.put_back(&beyond);
        Poll::Ready(Received::Directly(event))
    }

    /// Whether there is part of a message, or of a frame's head.
    fn is_midway(&self) -> bool {
        self.decoder.is_midway() || !self.socket.0.stream.read_buffer().is_empty()
    }

    /// What [`Decoder::next`] gives; nothing for nothing.
    fn decode(&mut self) -> Result<(usize, Option<Event>), Failure> {
        let mut buffer = self.socket.0.stream.read_buffer();
        if buffer.is_empty() {
            return Ok((0, None));
        }
        let (used, event) = self.decoder.next(buffer.as_slice())?;
        buffer.consume(used);
        Ok((used, event))
    }

    fn deal_with(&self, event: Event) -> Option<Incoming> {
        let open = self.socket.0.phase.get() == Phase::Open;
        match event {
            Event::Message(message) => {
                metrics::add(Value::MessagesIn, 1);
                open.then_some(Incoming::Message(message))
            }
            Event::Ping(data) => {
                self.socket.pong(data.clone());
                open.then_some(Incoming::Ping(data))
            }
            Event::Pong(data) => {
                self.socket.pong_received();
                open.then_some(Incoming::Pong(data))
            }
            Event::Close(frame) => {
                self.socket.answer_close(frame);
                Some(Incoming::End { clean: true })
            }
        }
    }
}

/// How much input is read and dropped at the end. Closing with input unread would reset the connection, and the reset can
/// overtake the close frame.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Lets the last output leave, then closes. The socket's deadline bounds it.
async fn finish(socket: &WebSocket, clean: bool) {
    let stream = &socket.0.stream;
    socket.drained().await;
    // After a closing handshake the server is the one to close the connection (RFC 6455 §7.1.1).
    let close_now = clean && socket.is_server();
    if !close_now && (clean || stream.shutdown_write().is_ok()) {
        let mut discarded = 0;
        while discarded < LINGER_BYTES {
            {
                let mut buffer = stream.read_buffer();
                let length = buffer.len();
                buffer.consume(length);
            }
            match stream.fill().await {
                Ok(n) if n > 0 => discarded += n,
                _ => break,
            }
        }
    }
    stream.close();
}
