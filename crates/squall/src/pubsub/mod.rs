//! Messages to many: channels with any number of publishers and subscribers, on one loop or, over Redis, in any number
//! of processes and on any number of machines.
//!
//! ```
//! use squall::pubsub::{Event, PubSub};
//!
//! # squall::IoLoop::current().run_sync(async {
//! let pubsub = PubSub::in_process();
//! let mut subscription = pubsub.subscribe("room:7");
//! pubsub.publish("room:7", "hello").await.unwrap();
//! assert_eq!(subscription.recv().await, Event::Message("hello".into()));
//! # }, None).unwrap();
//! ```
//!
//! # What is promised
//!
//! Each message reaches each subscriber at most once. One publisher's messages on one channel arrive in the order in
//! which they were published. Messages are not stored: who subscribes later does not get them.
//!
//! A message may be lost, and then the subscriber is told, with [`Event::Missed`], before whatever comes after the gap:
//!
//! * when it falls more than [`QUEUE`] messages behind: the oldest are dropped, and counted;
//! * over Redis, when the connection was lost, or Redis was silent for too long: nobody knows how many were published
//!   meanwhile. It is told when the channel is subscribed to again, so that what is asked for elsewhere then leaves no
//!   second gap.
//!
//! Who must know everything keeps the messages elsewhere, numbered, and asks there after an `Event::Missed`.

#[cfg(feature = "redis")]
mod redis;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

/// So many messages wait for a subscriber at the most.
pub const QUEUE: usize = 1024;

/// Channels to publish on and subscribe to. Cheap to clone; clones are the same channels.
#[derive(Clone)]
pub struct PubSub {
    channels: Rc<Channels>,
    #[cfg(feature = "redis")]
    redis: Option<redis::Redis>,
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message on the channel.
    Message(Bytes),
    /// Messages were lost here: so many, or `None` when nobody knows whether any were.
    Missed(Option<u64>),
}

impl PubSub {
    /// Channels of this loop alone.
    pub fn in_process() -> Self {
        Self {
            channels: Rc::default(),
            #[cfg(feature = "redis")]
            redis: None,
        }
    }

    /// Channels of everybody who is connected to the same Redis, such as `redis://127.0.0.1:6379/0`.
    ///
    /// A connection is made when it is first needed, one to publish and one to subscribe, and again whenever it is lost.
    /// For subscribers that is after 0.1 s and then ever later, up to 5 s, until Redis has answered something again.
    ///
    /// A Redis that does not answer for 10 s, be it that it hangs or that the way to it is cut, is as good as gone;
    /// subscribers ask it for a sign of life when they have heard nothing for 5 s. Redis's channels are not parted by
    /// database.
    ///
    /// # Errors
    /// When the URL is none.
    #[cfg(feature = "redis")]
    pub fn redis(url: &str) -> Result<Self, PubSubError> {
        let channels = Rc::<Channels>::default();
        let redis = redis::Redis::new(url, &channels)?;
        Ok(Self { channels, redis: Some(redis) })
    }

    /// Sends a message to everybody who is subscribed to the channel.
    ///
    /// Resolves, in process at once, over Redis when Redis has taken it; subscribers may get it before or after that.
    /// Any number of publishers share one connection, and their messages go out in the order in which these futures are
    /// first polled. No message is sent twice, not even when its connection is lost before Redis has answered.
    ///
    /// Not cancel safe: a message whose future is dropped may be published or not.
    ///
    /// # Errors
    /// When Redis cannot be reached, refuses, or does not answer within 10 s. The message may then have been published or
    /// not.
    pub async fn publish(&self, channel: &str, message: impl Into<Bytes>) -> Result<(), PubSubError> {
        let message = message.into();
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return redis.publish(channel, message).await;
        }
        self.channels.deliver(channel, &message);
        Ok(())
    }

    /// Subscribes to a channel, until the subscription is dropped.
    ///
    /// In process, everything that is published from now on arrives. Over Redis the subscription takes a moment to
    /// become effective, see [`Subscription::ready`].
    pub fn subscribe(&self, channel: &str) -> Subscription {
        let queue = self.channels.subscribe(channel);
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            redis.subscribe(channel);
        }
        Subscription { pubsub: self.clone(), channel: channel.to_owned(), queue }
    }

    /// How many subscriptions this process has to a channel.
    pub fn subscribers(&self, channel: &str) -> usize {
        self.channels.count(channel)
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("channels", &self.channels.map.borrow().len()).finish_non_exhaustive()
    }
}

/// What one subscriber gets of one channel.
pub struct Subscription {
    pubsub: PubSub,
    channel: String,
    queue: Rc<Queue>,
}

impl Subscription {
    /// The next event. Waits for ever if nothing is published.
    ///
    /// Cancel safe.
    pub async fn recv(&mut self) -> Event {
        loop {
            if let Some(event) = self.queue.pop() {
                return event;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// The next event, if there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.pop()
    }

    /// Resolves when everything that is published from now on arrives: at once in process, over Redis when Redis has
    /// confirmed the subscription. It may then be lost again with the connection, and is made again by itself.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When Redis refuses this channel (`NOPERM`). It is asked again every 30 seconds, and when somebody else subscribes;
    /// other channels go on.
    pub async fn ready(&self) -> Result<(), PubSubError> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.pubsub.redis {
            redis.ready(&self.channel).await?;
        }
        Ok(())
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.channel
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let last = self.pubsub.channels.unsubscribe(&self.channel, &self.queue);
        #[cfg(feature = "redis")]
        if last && let Some(redis) = &self.pubsub.redis {
            redis.unsubscribe(&self.channel);
        }
        #[cfg(not(feature = "redis"))]
        let _ = last;
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Redis cannot be reached, or refuses.
#[derive(Debug)]
pub struct PubSubError {
    what: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl PubSubError {
    #[cfg(feature = "redis")]
    fn new(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self { what, source: Box::new(source) }
    }
}

impl fmt::Display for PubSubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)
    }
}

impl Error for PubSubError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The subscribers of this process.
#[derive(Default)]
struct Channels {
    map: RefCell<HashMap<String, Vec<Weak<Queue>>>>,
}

impl Channels {
    fn subscribe(&self, channel: &str) -> Rc<Queue> {
        let queue = Rc::<Queue>::default();
        self.map.borrow_mut().entry(channel.to_owned()).or_default().push(Rc::downgrade(&queue));
        queue
    }

    /// Whether that was the channel's last subscriber.
    fn unsubscribe(&self, channel: &str, queue: &Rc<Queue>) -> bool {
        let mut map = self.map.borrow_mut();
        let Some(subscribers) = map.get_mut(channel) else { return false };
        subscribers.retain(|other| !std::ptr::eq(other.as_ptr(), Rc::as_ptr(queue)));
        if subscribers.is_empty() {
            map.remove(channel);
            return true;
        }
        false
    }

    fn count(&self, channel: &str) -> usize {
        self.map.borrow().get(channel).map_or(0, Vec::len)
    }

    fn deliver(&self, channel: &str, message: &Bytes) {
        if let Some(subscribers) = self.map.borrow().get(channel) {
            for queue in subscribers.iter().filter_map(Weak::upgrade) {
                queue.push(message.clone());
            }
        }
    }

    /// Tells the subscribers of a channel that messages may have been lost.
    #[cfg(feature = "redis")]
    fn interrupted(&self, channel: &str) {
        for queue in self.map.borrow().get(channel).into_iter().flatten().filter_map(Weak::upgrade) {
            queue.interrupted();
        }
    }

    #[cfg(feature = "redis")]
    fn names(&self) -> Vec<String> {
        self.map.borrow().keys().cloned().collect()
    }
}

/// The messages that wait for one subscriber.
#[derive(Default)]
struct Queue {
    messages: RefCell<VecDeque<Bytes>>,
    /// What is missing in front of the messages.
    dropped: Cell<u64>,
    interrupted: Cell<bool>,
    arrived: Notify,
}

impl Queue {
    fn push(&self, message: Bytes) {
        let mut messages = self.messages.borrow_mut();
        if messages.len() == QUEUE {
            messages.pop_front();
            self.dropped.set(self.dropped.get() + 1);
        }
        messages.push_back(message);
        self.arrived.notify_one();
    }

    /// The gap is told before the messages that already wait, which came before it: earlier than necessary, never too
    /// late.
    #[cfg(feature = "redis")]
    fn interrupted(&self) {
        self.interrupted.set(true);
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Event> {
        let dropped = self.dropped.take();
        if self.interrupted.take() {
            return Some(Event::Missed(None));
        }
        if dropped > 0 {
            return Some(Event::Missed(Some(dropped)));
        }
        self.messages.borrow_mut().pop_front().map(Event::Message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        crate::ioloop::IoLoop::new()
            .unwrap()
            .run_sync(test, Some(std::time::Duration::from_secs(30)))
            .unwrap();
    }

    #[test]
    fn everybody_gets_everything_in_order() {
        run(async {
            let pubsub = PubSub::in_process();
            let (mut a, mut b, mut other) =
                (pubsub.subscribe("x"), pubsub.subscribe("x"), pubsub.subscribe("y"));
            for n in 0..3 {
                pubsub.publish("x", n.to_string()).await.unwrap();
            }
            for subscription in [&mut a, &mut b] {
                subscription.ready().await.unwrap();
                for n in 0..3 {
                    assert_eq!(subscription.recv().await, Event::Message(n.to_string().into()));
                }
                assert_eq!(subscription.try_recv(), None);
            }
            assert_eq!(other.try_recv(), None);
        });
    }

    #[test]
    fn a_subscription_ends_with_its_value() {
        run(async {
            let pubsub = PubSub::in_process();
            let (a, b) = (pubsub.subscribe("x"), pubsub.subscribe("x"));
            assert_eq!((pubsub.subscribers("x"), a.channel()), (2, "x"));
            drop(a);
            assert_eq!(pubsub.subscribers("x"), 1);
            drop(b);
            assert_eq!((pubsub.subscribers("x"), pubsub.channels.map.borrow().len()), (0, 0));
            pubsub.publish("x", "nobody").await.unwrap();
        });
    }

    #[test]
    fn who_is_slow_is_told_what_is_missing() {
        run(async {
            let pubsub = PubSub::in_process();
            let mut slow = pubsub.subscribe("x");
            for n in 0..QUEUE + 5 {
                pubsub.publish("x", n.to_string()).await.unwrap();
            }
            assert_eq!(slow.recv().await, Event::Missed(Some(5)));
            for n in 5..QUEUE + 5 {
                assert_eq!(slow.recv().await, Event::Message(n.to_string().into()));
            }
            assert_eq!(slow.try_recv(), None);
        });
    }

    #[test]
    fn waiting_ends_with_a_message() {
        run(async {
            let pubsub = PubSub::in_process();
            let mut subscription = pubsub.subscribe("x");
            let waiting = tokio::task::spawn_local(async move { subscription.recv().await });
            tokio::task::yield_now().await;
            pubsub.publish("x", "now").await.unwrap();
            assert_eq!(waiting.await.unwrap(), Event::Message("now".into()));
        });
    }
}
