//! Channels over Redis: one connection to publish, one to receive, both made again when they are lost.

mod publisher;
mod subscriber;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Client, RedisError};

use self::publisher::Publisher;
use self::subscriber::Subscriber;
use super::{Channels, PubSubError};

/// A Redis that does not answer for so long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to Redis. Clones share it.
#[derive(Clone)]
pub(super) struct Redis(Rc<Ends>);

struct Ends {
    publisher: Publisher,
    subscriber: Subscriber,
}

impl Redis {
    pub(super) fn new(url: &str, channels: &Rc<Channels>) -> Result<Self, PubSubError> {
        let client = Client::open(url).map_err(|error| PubSubError::new("connect", error))?;
        let ends =
            Ends { publisher: Publisher::new(client.clone()), subscriber: Subscriber::new(client, channels) };
        Ok(Self(Rc::new(ends)))
    }

    pub(super) async fn publish(&self, channel: &str, message: Bytes) -> Result<(), PubSubError> {
        let published = self.0.publisher.publish(channel, message).await;
        published.map_err(|error| PubSubError::new("publish", error))
    }

    /// A subscription was added.
    pub(super) fn subscribe(&self, channel: &str) {
        self.0.subscriber.subscribe(channel);
    }

    /// The last subscription to the channel is gone.
    pub(super) fn unsubscribe(&self, channel: &str) {
        self.0.subscriber.unsubscribe(channel);
    }

    pub(super) async fn ready(&self, channel: &str) -> Result<(), PubSubError> {
        let subscribed = self.0.subscriber.ready(channel).await;
        subscribed.map_err(|error| PubSubError::new("subscribe", error))
    }
}

fn no_answer() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "Redis does not answer").into()
}
