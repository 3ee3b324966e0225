//! Server-sent events: a response without an end, for the browser's `EventSource` (the HTML standard, §9.2).

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use http::Method;
use serde::Serialize;
use tokio::time::{Instant, Sleep};

use crate::escape;
use crate::ioloop::later;
use crate::web::context::{Context, misuse};
use crate::web::disconnected::Disconnected;
use crate::web::error::{Error, Result};

/// Keeps proxies from taking a quiet stream for a dead one: most wait for 60 s, some for 30.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Context {
    /// Starts a stream of server-sent events: the head is on its way when this returns.
    ///
    /// Content-Type is `text/event-stream`; Cache-Control `no-cache` and `X-Accel-Buffering: no` keep caches and nginx
    /// from holding events back, and can be set to something else before. Where responses are compressed so are the events,
    /// each on its own way at once. A `HEAD` ends here, by an error to pass on with `?`.
    ///
    /// ```
    /// use squall::web::{Event, EventStream};
    /// use squall::{Context, Result};
    /// use tokio::sync::broadcast::Receiver;
    ///
    /// async fn prices(ctx: &Context, mut prices: Receiver<f64>) -> Result {
    ///     let events = ctx.event_stream()?;
    ///     // Ends with the client, and with the prices.
    ///     while let Some(Ok(price)) = events.while_open(prices.recv()).await {
    ///         events.send(&Event::new().event("price").json(&price)?).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When the response has been begun, or has a status without a body: 204 is how a client is told not to come
    /// again.
    #[track_caller]
    pub fn event_stream(&self) -> Result<EventStream<'_>> {
        let caller = Location::caller();
        if self.headers_sent() {
            let message = "Cannot start an event stream after headers have been written".to_owned();
            return Err(misuse(message).blame(caller));
        }
        if self.has_no_body() {
            let message = format!("Cannot start an event stream with {}", self.status());
            return Err(misuse(message).blame(caller));
        }
        self.set_header("Content-Type", "text/event-stream")?;
        for (name, value) in [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")] {
            if self.response_header(name).is_none() {
                self.set_header(name, value)?;
            }
        }
        self.clear_header("Content-Length");
        self.send_part()?;
        if *self.method() == Method::HEAD {
            self.finish_now()?;
            return Err(Error::finish());
        }
        self.rare().heartbeat.set(Some(HEARTBEAT));
        Ok(EventStream { ctx: self, write_timeout: None })
    }

    /// The id of the last event that a returning `EventSource` has seen, if events have ids.
    pub fn last_event_id(&self) -> Option<&str> {
        self.request().headers().get("Last-Event-Id").filter(|id| !id.is_empty())
    }
}

/// A stream of server-sent events, made by [`Context::event_stream`]. It ends when the handler returns.
///
/// While the handler waits, for whatever, a comment goes out every 15 s without an event. Otherwise nobody would notice
/// a client that is gone without a word, and some proxies would end the stream.
pub struct EventStream<'a> {
    ctx: &'a Context,
    write_timeout: Option<Duration>,
}

impl EventStream<'_> {
    /// Sends a comment after so much time without an event; `None` for never. Default: 15 s.
    #[must_use]
    pub fn heartbeat(self, interval: impl Into<Option<Duration>>) -> Self {
        self.ctx.rare().heartbeat.set(interval.into());
        self
    }

    /// How long one event may wait for the client to take it, before the connection is cut; `None` for as long as the
    /// server's [`write_timeout`](crate::HttpServer::write_timeout) allows. Default: none.
    #[must_use]
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.write_timeout = timeout.into();
        self
    }

    /// Sends an event and waits until the kernel has it: a client that does not read makes this wait, and nothing piles
    /// up.
    ///
    /// Cancel safe: once polled, the event is on its way as a whole.
    ///
    /// # Errors
    /// [`Disconnected`] when the client has left; pass it on with `?`, it ends the handler without a line in the error
    /// log. 500 when the event's id or name holds what cannot be sent.
    #[track_caller]
    pub fn send(&self, event: &Event) -> impl Future<Output = Result> {
        self.ctx.assert_not_finished();
        let caller = Location::caller();
        async move {
            event.check().map_err(|error| error.blame(caller))?;
            self.send_text(|out| event.append_to(out), caller).await
        }
    }

    /// Sends an event of this data only.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_data(&self, data: impl AsRef<str>) -> impl Future<Output = Result> {
        self.ctx.assert_not_finished();
        let caller = Location::caller();
        self.send_text(move |out| Event::append_data(out, data.as_ref()), caller)
    }

    /// Sends a comment, which clients do not see.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn comment(&self, text: impl AsRef<str>) -> impl Future<Output = Result> {
        self.ctx.assert_not_finished();
        let write = move |out: &mut String| {
            for line in lines(text.as_ref()) {
                field(out, "", line);
            }
        };
        self.send_text(write, Location::caller())
    }

    /// Resolves when the client has left. Cancel safe.
    pub async fn closed(&self) {
        self.ctx.closed().await;
    }

    /// What `work` gives, or `None` as soon as the client has left or the [server drains](Context::shutdown): the next
    /// message of a channel, say.
    ///
    /// Cancel safe if `work` is.
    pub async fn while_open<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.ctx.closed() => None,
            () = self.ctx.shutdown() => None,
            done = work => Some(done),
        }
    }

    async fn send_text(&self, write: impl FnOnce(&mut String), caller: &'static Location<'static>) -> Result {
        let mut text = String::new();
        write(&mut text);
        text.push('\n');
        self.ctx.write(text);
        self.ctx.rare().heartbeat.restart();
        match self.write_timeout {
            None => self.ctx.flush_now().await.map_err(|error| error.blame_misuse(caller)),
            Some(timeout) => match tokio::time::timeout(timeout, self.ctx.flush_now()).await {
                Ok(flushed) => flushed.map_err(|error| error.blame_misuse(caller)),
                Err(_) => {
                    self.ctx.abort();
                    Err(Disconnected::slow().into())
                }
            },
        }
    }
}

impl Drop for EventStream<'_> {
    fn drop(&mut self) {
        self.ctx.rare().heartbeat.set(None);
    }
}

impl fmt::Debug for EventStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("write_timeout", &self.write_timeout).finish_non_exhaustive()
    }
}

/// One server-sent event.
///
/// ```
/// use std::time::Duration;
/// use squall::web::Event;
///
/// let event = Event::new().id("7").event("tick").retry(Duration::from_secs(5)).data("one\ntwo");
/// assert_eq!(event.to_string(), "event: tick\nid: 7\nretry: 5000\ndata: one\ndata: two\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    data: Option<String>,
}

impl Event {
    /// An event of nothing, which browsers do not show to the page until it has [data](Self::data).
    pub fn new() -> Self {
        Self::default()
    }

    /// Its name: what the page listens for, `message` if there is none. One line.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What [`Context::last_event_id`] gives when the client returns after this event. One line without NUL; empty
    /// to forget the last one.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// How long the client is to wait from now on before it returns, in whole milliseconds.
    #[must_use]
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = Some(time);
        self
    }

    /// Its data: any text. Line ends of all kinds reach the page as `\n`.
    #[must_use]
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// As [`data`](Self::data), a value as JSON.
    ///
    /// # Errors
    /// 500 when the value cannot be JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        Ok(self.data(escape::json_encode(value)?))
    }

    fn check(&self) -> Result {
        let broken =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(['\r', '\n', '\0']));
        if broken(&self.name) || broken(&self.id) {
            return Err(misuse("The id or name of an event holds a line end or NUL".to_owned()));
        }
        Ok(())
    }

    fn append_to(&self, out: &mut String) {
        if let Some(name) = &self.name {
            field(out, "event", name);
        }
        if let Some(id) = &self.id {
            field(out, "id", id);
        }
        if let Some(retry) = self.retry {
            field(out, "retry", itoa::Buffer::new().format(retry.as_millis()));
        }
        if let Some(data) = &self.data {
            Self::append_data(out, data);
        }
    }

    fn append_data(out: &mut String, data: &str) {
        for line in lines(data) {
            field(out, "data", line);
        }
    }
}

/// The lines of the event, without the empty one that ends it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    out.extend([name, ": ", value, "\n"]);
}

/// Lines as an `EventSource` tells them apart: they end with CR, LF, or both.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split("\r\n").flat_map(|part| part.split(['\r', '\n']))
}

/// The comments that go out while a handler waits. They are sent by what polls the handler, so that they go through the
/// response's transforms like everything else.
#[derive(Default)]
pub(in crate::web) struct Heartbeat(RefCell<Option<Box<Beat>>>);

struct Beat {
    interval: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Heartbeat {
    fn set(&self, interval: Option<Duration>) {
        let interval = interval.filter(|interval| !interval.is_zero());
        *self.0.borrow_mut() = interval
            .map(|interval| Box::new(Beat { interval, sleep: Box::pin(tokio::time::sleep(interval)) }));
    }

    /// Something has been sent.
    fn restart(&self) {
        if let Some(beat) = &mut *self.0.borrow_mut() {
            beat.restart();
        }
    }

    /// Called whenever the handler waits.
    #[inline]
    pub(in crate::web) fn poll(&self, ctx: &Context, cx: &mut TaskContext<'_>) {
        if self.0.borrow().is_some() {
            self.poll_beat(ctx, cx);
        }
    }

    fn poll_beat(&self, ctx: &Context, cx: &mut TaskContext<'_>) {
        let mut due = false;
        if let Some(beat) = &mut *self.0.borrow_mut() {
            while beat.sleep.as_mut().poll(cx).is_ready() {
                due = true;
                beat.restart();
            }
        }
        if !due || ctx.is_finished() {
            return;
        }
        // Whoever has not taken the last thing yet needs no other, and it would only pile up.
        let mut flushed = pin!(ctx.request().connection().flush());
        if flushed.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_ready() {
            ctx.write(":\n\n");
            // A client that has left is for the handler to notice.
            let _ = ctx.send_part();
        }
    }
}

impl Beat {
    fn restart(&mut self) {
        self.sleep.as_mut().reset(later(Instant::now(), self.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_split_at_every_kind_of_line_end() {
        for (data, expected) in [
            ("", "data: \n"),
            ("a", "data: a\n"),
            (" a", "data:  a\n"),
            ("a\nb", "data: a\ndata: b\n"),
            ("a\r\nb", "data: a\ndata: b\n"),
            ("a\rb", "data: a\ndata: b\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n"),
            ("a\r\r\nb\n", "data: a\ndata: \ndata: b\ndata: \n"),
            ("a\r", "data: a\ndata: \n"),
            ("a\0b\u{2028}c", "data: a\0b\u{2028}c\n"),
        ] {
            assert_eq!(Event::new().data(data).to_string(), expected, "{data:?}");
        }
    }

    #[test]
    fn id_and_name_are_one_line() {
        for broken in ["a\nb", "a\rb", "a\0b", "\n"] {
            assert_eq!(Event::new().id(broken).check().unwrap_err().status(), 500);
            assert_eq!(Event::new().event(broken).check().unwrap_err().status(), 500);
        }
        Event::new().id("").event("ä b").check().unwrap();
    }
}
