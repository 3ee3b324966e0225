//! The driver of an exchange, over a protocol that is none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;

use super::*;

/// What has happened, in order.
type Log = Rc<RefCell<Vec<String>>>;

struct Fake {
    limits: ConnectionLimits,
    log: Log,
    is_open: Cell<bool>,
    handles: Cell<u32>,
    has_left: Cell<bool>,
}

impl Fake {
    fn new(max_body_size: u64) -> Self {
        let limits = ConnectionLimits { max_body_size, chunk_size: 4, ..ConnectionLimits::default() };
        Self {
            limits,
            log: Log::default(),
            is_open: Cell::new(true),
            handles: Cell::new(1),
            has_left: Cell::new(false),
        }
    }

    fn note(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }
}

impl Carrier for Fake {
    type Refusal = BodyRefusal;

    fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    fn max_body_size(&self) -> u64 {
        self.limits.max_body_size
    }

    fn is_open(&self) -> bool {
        self.is_open.get()
    }

    fn is_abandoned(&self) -> bool {
        self.handles.get() == 0
    }

    fn push_out(&self) {}

    fn abort(&self) {
        self.is_open.set(false);
        self.note("abort");
    }

    fn refuse(&self, refusal: BodyRefusal) {
        self.is_open.set(false);
        self.note(format!("{refusal:?}"));
    }

    fn want_body(&self) {
        self.note("want");
    }

    fn set_body_timeout(&self, _timeout: Option<Duration>) {}

    fn begin_wait(&self, at_most: Option<Duration>) {
        assert!(at_most.is_some(), "a body has to come forward");
        self.note("wait");
    }

    fn end_wait(&self) {}

    fn has_left(&self, _cx: &mut Context<'_>) -> bool {
        self.has_left.get()
    }

    async fn gone(&self) {
        poll_fn(|_| if self.has_left.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// `None` has to be waited for.
struct Events(VecDeque<Option<BodyEvent>>);

impl BodySource for Events {
    type Refusal = BodyRefusal;

    fn poll_next(&mut self, _: &mut Context<'_>, most: usize) -> Poll<Result<BodyEvent, BodyRefusal>> {
        assert_eq!(most, 4);
        match self.0.pop_front() {
            Some(Some(event)) => Poll::Ready(Ok(event)),
            Some(None) => Poll::Pending,
            None => panic!("nobody asked for more"),
        }
    }

    fn take_received(&mut self) -> usize {
        0
    }
}

/// Notes what it is called with, and takes a while over each piece.
struct Message {
    log: Log,
    /// Panics when it is called with this.
    panics_at: &'static str,
}

impl Message {
    fn note(&self, what: &str) {
        self.log.borrow_mut().push(what.to_owned());
        assert_ne!(what, self.panics_at, "on purpose");
    }
}

impl HttpMessageDelegate for Message {
    fn headers_received(&mut self) -> Pending<'_> {
        self.note("headers");
        None
    }

    fn data_received(&mut self, chunk: Bytes) -> Pending<'_> {
        self.note(std::str::from_utf8(&chunk).unwrap());
        let mut waited = false;
        Some(Box::pin(poll_fn(move |_| {
            if std::mem::replace(&mut waited, true) {
                self.log.borrow_mut().push("taken".to_owned());
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })))
    }

    fn trailers_received(&mut self, trailers: HttpHeaders) -> Pending<'_> {
        self.note(&trailers.iter().map(|(name, value)| format!("{name}={value}")).collect::<String>());
        None
    }

    fn poll_beside(&mut self, _cx: &mut Context<'_>) {
        self.note("beside");
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        self.note("finish");
        None
    }

    fn on_connection_close(self: Box<Self>) {
        self.note("left");
    }
}

/// Polls to the end, or until nothing more happens.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..100).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "in a list beside `None`, which is a pause")]
fn piece(data: &'static str, is_last: bool) -> Option<BodyEvent> {
    Some(BodyEvent::Piece { data: Bytes::from_static(data.as_bytes()), is_last })
}

fn drives(
    fake: &Fake,
    panics_at: &'static str,
    kind: BodyKind,
    events: impl IntoIterator<Item = Option<BodyEvent>>,
) -> (Option<End>, String) {
    let message = Box::new(Message { log: Rc::clone(&fake.log), panics_at });
    let incoming = Incoming { kind, source: Events(events.into_iter().collect()), inflater: None };
    let end = run(receive(fake, message, incoming));
    (end, fake.log.borrow().join(" "))
}

#[test]
fn a_body_is_delivered_or_refused() {
    let over = Some(End::Over);
    let dropped = "finish abort";
    for (kind, events, end, log) in [
        (BodyKind::None, vec![], over, format!("headers {dropped}")),
        (
            BodyKind::Length(4),
            vec![piece("ab", false), None, None, piece("cd", true)],
            over,
            format!("headers want ab taken wait beside cd taken {dropped}"),
        ),
        (BodyKind::Unknown, vec![None, piece("", true)], over, format!("headers want wait {dropped}")),
        (BodyKind::Length(7), vec![], over, "headers left TooLarge".into()),
        (
            BodyKind::Unknown,
            vec![piece("abcd", false), piece("efg", false)],
            over,
            "headers want abcd taken left TooLarge".into(),
        ),
        (BodyKind::Length(4), vec![None, Some(BodyEvent::Late)], over, "headers want wait left Late".into()),
        (BodyKind::Length(4), vec![Some(BodyEvent::Gone)], Some(End::Gone), "headers want left".into()),
    ] {
        let fake = Fake::new(6);
        fake.handles.set(0);
        assert_eq!(drives(&fake, "", kind, events), (end, log), "{kind:?}");
    }
}

#[test]
fn trailers_come_behind_the_body() {
    let trailers = |fields: &[(&str, &str)]| Some(BodyEvent::Trailers(fields.iter().copied().collect()));
    for (events, log) in [
        (vec![piece("ab", false), trailers(&[("X", "1"), ("Host", "h")]), piece("", true)], "ab taken X=1"),
        (vec![piece("ab", false), trailers(&[("Host", "h")]), piece("", true)], "ab taken"),
        (vec![trailers(&[("X", "1")]), None, piece("ab", true)], "wait ab taken X=1"),
    ] {
        let fake = Fake::new(6);
        fake.handles.set(0);
        let log = format!("headers want {log} finish abort");
        assert_eq!(drives(&fake, "", BodyKind::Unknown, events), (Some(End::Over), log));
    }
}

#[test]
fn a_panic_aborts_wherever_it_is() {
    for (panics_at, events, log) in [
        ("headers", vec![], "headers abort"),
        ("ab", vec![piece("ab", false)], "headers want ab abort"),
        ("beside", vec![None, None], "headers want wait beside abort"),
        ("finish", vec![piece("", true)], "headers want finish abort"),
        ("left", vec![Some(BodyEvent::Late)], "headers want left Late"),
    ] {
        let driven = drives(&Fake::new(6), panics_at, BodyKind::Unknown, events);
        assert_eq!(driven, (Some(End::Over), log.to_owned()), "{panics_at}");
    }
}

#[test]
fn an_answer_is_waited_for_while_it_can_come() {
    let ends = |change: fn(&Fake)| {
        let fake = Fake::new(6);
        change(&fake);
        (run(work(&fake, None)), fake.log.borrow().join(" "))
    };
    assert_eq!(ends(|_| {}), (None, String::new()), "somebody has the request");
    assert_eq!(ends(|fake| fake.is_open.set(false)), (Some(End::Over), String::new()));
    assert_eq!(ends(|fake| fake.handles.set(0)), (Some(End::Over), "abort".to_owned()));
    assert_eq!(ends(|fake| fake.has_left.set(true)), (Some(End::Over), "abort".to_owned()));
}
