//! The connection on which messages are received: one task, which keeps what Redis was asked for in step with what is
//! wanted here.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg, RedisError, RedisResult};
use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::Channels;
use super::PATIENCE;
use crate::log;
use crate::netutil;

/// How long to wait before the first and the last attempt to connect again. Back to the first when Redis has answered
/// something: that it lets one connect is no success.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A connection on which nothing has come for so long is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(5);
/// A channel that Redis has refused is asked for again after so long.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// Subscribes to the channels that are wanted.
pub(super) struct Subscriber {
    client: Client,
    shared: Rc<Shared>,
    started: Cell<bool>,
}

/// What the task and those who ask it share.
struct Shared {
    channels: Weak<Channels>,
    /// What Redis was asked, and has answered, on the present connection. A channel that it was not asked about has none.
    states: RefCell<HashMap<String, State>>,
    /// Channels whose subscription was lost with a connection, or may have been: what they miss is a gap.
    gaps: RefCell<HashSet<String>>,
    /// Channels whose subscribers came or went; the task looks at them.
    changed: RefCell<HashSet<String>>,
    connected: Cell<bool>,
    /// Wakes the task. Apart, so that waiting for it keeps nothing alive.
    wake: Rc<Notify>,
    /// Wakes those who wait for an answer.
    answered: Notify,
}

enum State {
    Asked,
    Subscribed,
    Refused(RedisError),
    /// Redis was asked to unsubscribe.
    Leaving,
}

impl Subscriber {
    pub(super) fn new(client: Client, channels: &Rc<Channels>) -> Self {
        let shared = Shared {
            channels: Rc::downgrade(channels),
            states: RefCell::default(),
            gaps: RefCell::default(),
            changed: RefCell::default(),
            connected: Cell::new(false),
            wake: Rc::default(),
            answered: Notify::new(),
        };
        Self { client, shared: Rc::new(shared), started: Cell::new(false) }
    }

    pub(super) fn subscribe(&self, channel: &str) {
        let shared = &self.shared;
        if !self.started.replace(true) {
            let task = receive(Rc::downgrade(shared), Rc::clone(&shared.wake), self.client.clone());
            drop(netutil::spawn(task));
        }
        // Who subscribes now is not to hear what was said to others.
        let mut states = shared.states.borrow_mut();
        if matches!(states.get(channel), Some(State::Refused(_))) {
            states.remove(channel);
        }
        drop(states);
        shared.change(channel);
    }

    pub(super) fn unsubscribe(&self, channel: &str) {
        self.shared.gaps.borrow_mut().remove(channel);
        self.shared.change(channel);
    }

    pub(super) async fn ready(&self, channel: &str) -> RedisResult<()> {
        loop {
            let answered = self.shared.answered.notified();
            match self.shared.states.borrow().get(channel) {
                Some(State::Subscribed) => return Ok(()),
                Some(State::Refused(error)) => return Err(error.clone()),
                Some(State::Asked | State::Leaving) | None => {}
            }
            answered.await;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn change(&self, channel: &str) {
        // A new connection asks for all that is wanted then.
        if self.connected.get() {
            self.changed.borrow_mut().insert(channel.to_owned());
            self.wake.notify_one();
        }
    }

    fn is_wanted(&self, channel: &str) -> bool {
        self.channels.upgrade().is_some_and(|channels| channels.count(channel) > 0)
    }

    fn subscribed(&self, channel: &str) {
        self.states.borrow_mut().insert(channel.to_owned(), State::Subscribed);
        let had_gap = self.gaps.borrow_mut().remove(channel);
        if had_gap && let Some(channels) = self.channels.upgrade() {
            channels.interrupted(channel);
        }
        self.answered.notify_waiters();
    }

    fn refused(&self, channel: &str, error: RedisError) {
        tracing::warn!(target: log::GENERAL, "Redis refuses to subscribe to {channel:?}: {error}");
        self.states.borrow_mut().insert(channel.to_owned(), State::Refused(error));
        self.answered.notify_waiters();
    }

    /// The connection is lost, and with it all that was agreed on it.
    fn lost(&self) {
        self.connected.set(false);
        self.changed.borrow_mut().clear();
        let states = std::mem::take(&mut *self.states.borrow_mut());
        let gaps = states.into_iter().filter(|(_, state)| matches!(state, State::Asked | State::Subscribed));
        let gaps = gaps.map(|(channel, _)| channel).filter(|channel| self.is_wanted(channel));
        self.gaps.borrow_mut().extend(gaps);
    }
}

/// Receives for as long as anybody holds the channels, connecting again and again.
async fn receive(shared: Weak<Shared>, wake: Rc<Notify>, client: Client) {
    let mut wait = FIRST_WAIT;
    loop {
        match timeout(PATIENCE, client.get_async_pubsub()).await {
            Ok(Ok(connection)) => {
                let (sink, stream) = connection.split();
                let mut link = Link::new(sink, stream);
                let lost = link.serve(&shared, &wake).await;
                if link.answered {
                    wait = FIRST_WAIT;
                }
                let Some(shared) = shared.upgrade() else { return };
                shared.lost();
                tracing::warn!(target: log::GENERAL, "the connection to Redis is lost: {lost}");
            }
            Ok(Err(error)) => tracing::warn!(target: log::GENERAL, "Redis cannot be reached: {error}"),
            Err(_) => tracing::warn!(target: log::GENERAL, "Redis does not answer"),
        }
        if shared.strong_count() == 0 {
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One connection at work.
struct Link {
    sink: PubSubSink,
    stream: PubSubStream,
    /// What Redis was asked and has not answered; it answers in order.
    requests: VecDeque<Request>,
    /// Channels that were refused, and when they are asked for again, in order.
    retries: VecDeque<(Instant, String)>,
    /// When Redis was last heard.
    heard: Instant,
    /// Redis has done something that it was asked for.
    answered: bool,
}

struct Request {
    what: Asked,
    since: Instant,
    answer: Pin<Box<dyn Future<Output = RedisResult<()>>>>,
}

enum Asked {
    Subscribe(String),
    Unsubscribe(String),
    Ping,
}

enum Heard {
    Answer(RedisResult<()>),
    Message(Option<Msg>),
}

impl Link {
    fn new(sink: PubSubSink, stream: PubSubStream) -> Self {
        Self {
            sink,
            stream,
            requests: VecDeque::new(),
            retries: VecDeque::new(),
            heard: Instant::now(),
            answered: false,
        }
    }

    /// Hands on what comes, until it ends; says why.
    async fn serve(&mut self, shared: &Weak<Shared>, wake: &Notify) -> String {
        {
            let Some(shared) = shared.upgrade() else { return unwanted() };
            let Some(channels) = shared.channels.upgrade() else { return unwanted() };
            shared.connected.set(true);
            for name in channels.names() {
                self.look_at(&shared, name);
            }
        }
        loop {
            let deadline = self.next_deadline();
            let heard = tokio::select! {
                heard = poll_fn(|cx| self.poll_heard(cx)) => Some(heard),
                () = wake.notified() => None,
                () = sleep_until(deadline) => None,
            };
            let Some(shared) = shared.upgrade() else { return unwanted() };
            let ended = match heard {
                Some(heard) => self.take(&shared, heard),
                None => self.check(&shared),
            };
            if let Err(why) = ended {
                return why;
            }
        }
    }

    /// An answer comes before the messages that Redis sent after it: a gap is told before what follows it.
    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        if let Some(request) = self.requests.front_mut()
            && let Poll::Ready(answer) = request.answer.as_mut().poll(cx)
        {
            return Poll::Ready(Heard::Answer(answer));
        }
        self.stream.poll_next_unpin(cx).map(Heard::Message)
    }

    fn take(&mut self, shared: &Shared, heard: Heard) -> Result<(), String> {
        self.heard = Instant::now();
        match heard {
            Heard::Message(None) => Err("closed by Redis".to_owned()),
            Heard::Message(Some(message)) => {
                let channels = shared.channels.upgrade().ok_or_else(unwanted)?;
                let payload = Bytes::copy_from_slice(message.get_payload_bytes());
                channels.deliver(message.get_channel_name(), &payload);
                Ok(())
            }
            Heard::Answer(answer) => {
                let Some(request) = self.requests.pop_front() else { return Ok(()) };
                self.take_answer(shared, request.what, answer)
            }
        }
    }

    fn take_answer(&mut self, shared: &Shared, asked: Asked, answer: RedisResult<()>) -> Result<(), String> {
        match (asked, answer) {
            (_, Err(error)) if error.is_unrecoverable_error() => return Err(error.to_string()),
            // Whatever it says to a ping, it is alive.
            (Asked::Ping, _) => self.answered = true,
            (Asked::Subscribe(name), Ok(())) => {
                self.answered = true;
                shared.subscribed(&name);
                self.look_at(shared, name);
            }
            (Asked::Subscribe(name), Err(error)) => {
                shared.refused(&name, error);
                self.retries.push_back((Instant::now() + REFUSED_WAIT, name.clone()));
                self.look_at(shared, name);
            }
            (Asked::Unsubscribe(name), answer) => {
                self.answered |= answer.is_ok();
                shared.states.borrow_mut().remove(&name);
                self.look_at(shared, name);
            }
        }
        Ok(())
    }

    /// Does what is due: what was changed here, what Redis refused, and whether it is still there.
    fn check(&mut self, shared: &Shared) -> Result<(), String> {
        let changed = std::mem::take(&mut *shared.changed.borrow_mut());
        for name in changed {
            self.look_at(shared, name);
        }
        let now = Instant::now();
        while let Some((_, name)) = self.retries.pop_front_if(|(due, _)| *due <= now) {
            let mut states = shared.states.borrow_mut();
            if matches!(states.get(&name), Some(State::Refused(_))) {
                states.remove(&name);
            }
            drop(states);
            self.look_at(shared, name);
        }
        match self.requests.front() {
            Some(oldest) if oldest.since + PATIENCE <= now => return Err("Redis does not answer".to_owned()),
            None if self.heard + QUIET <= now => self.ask(Asked::Ping),
            _ => {}
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let alive = self.requests.front().map_or(self.heard + QUIET, |oldest| oldest.since + PATIENCE);
        self.retries.front().map_or(alive, |(due, _)| alive.min(*due))
    }

    /// Asks Redis for what is wanted of a channel, unless that is how it is, or an answer is still to come.
    fn look_at(&mut self, shared: &Shared, name: String) {
        let wanted = shared.is_wanted(&name);
        let mut states = shared.states.borrow_mut();
        match (states.get(&name), wanted) {
            (None, true) => {
                states.insert(name.clone(), State::Asked);
                self.ask(Asked::Subscribe(name));
            }
            (Some(State::Subscribed), false) => {
                states.insert(name.clone(), State::Leaving);
                self.ask(Asked::Unsubscribe(name));
            }
            (Some(State::Refused(_)), false) => {
                states.remove(&name);
            }
            (Some(State::Asked | State::Leaving), _)
            | (Some(State::Subscribed | State::Refused(_)), true)
            | (None, false) => {}
        }
    }

    fn ask(&mut self, what: Asked) {
        let mut sink = self.sink.clone();
        let mut answer: Request = match &what {
            Asked::Subscribe(name) => {
                let name = name.clone();
                Request::new(what, async move { sink.subscribe(name).await })
            }
            Asked::Unsubscribe(name) => {
                let name = name.clone();
                Request::new(what, async move { sink.unsubscribe(name).await })
            }
            Asked::Ping => Request::new(what, async move { sink.ping::<redis::Value>().await.map(drop) }),
        };
        // The first poll sends it; the task polls again for the answer.
        if let Poll::Ready(result) =
            answer.answer.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
        {
            answer.answer = Box::pin(std::future::ready(result));
        }
        self.requests.push_back(answer);
    }
}

impl Request {
    fn new(what: Asked, answer: impl Future<Output = RedisResult<()>> + 'static) -> Self {
        // Not to be put off for fairness: the order of answers and messages would be lost.
        Self { what, since: Instant::now(), answer: Box::pin(unconstrained(answer)) }
    }
}

fn unwanted() -> String {
    "nobody is subscribed any more".to_owned()
}
