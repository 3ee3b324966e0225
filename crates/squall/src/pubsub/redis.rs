//! Channels over Redis: one connection to publish, one to receive, both made again when they are lost.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use tokio::sync::{Notify, mpsc};

use super::{Channels, PubSubError};
use crate::log;
use crate::netutil;

/// How long to wait before the first and the last attempt to connect again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A Redis that does not answer for so long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to Redis. Clones share it.
#[derive(Clone)]
pub(super) struct Redis(Rc<Inner>);

struct Inner {
    client: redis::Client,
    channels: Weak<Channels>,
    publisher: RefCell<Option<MultiplexedConnection>>,
    commands: RefCell<Option<mpsc::UnboundedSender<Command>>>,
    /// The channels for which Redis has confirmed the subscription, on the present connection.
    confirmed: RefCell<HashSet<String>>,
    confirmation: Notify,
    /// Whether the receiver was connected before: what it then misses is a gap.
    connected_before: Cell<bool>,
}

enum Command {
    Subscribe(String),
    Unsubscribe(String),
}

impl Redis {
    pub(super) fn new(url: &str, channels: &Rc<Channels>) -> Result<Self, PubSubError> {
        let client = redis::Client::open(url).map_err(|error| PubSubError(error.into()))?;
        Ok(Self(Rc::new(Inner {
            client,
            channels: Rc::downgrade(channels),
            publisher: RefCell::new(None),
            commands: RefCell::new(None),
            confirmed: RefCell::default(),
            confirmation: Notify::new(),
            connected_before: Cell::new(false),
        })))
    }

    pub(super) async fn publish(&self, channel: &str, message: &Bytes) -> Result<(), PubSubError> {
        let known = self.0.publisher.borrow().clone();
        let reused = known.is_some();
        match self.publish_on(known, channel, message).await {
            Ok(()) => Ok(()),
            // A connection that was kept may have died long ago; Redis then never saw the message.
            Err(error) if reused && error.is_connection_dropped() => {
                self.publish_on(None, channel, message).await.map_err(|error| PubSubError(error.into()))
            }
            Err(error) => Err(PubSubError(error.into())),
        }
    }

    async fn publish_on(
        &self,
        known: Option<MultiplexedConnection>,
        channel: &str,
        message: &Bytes,
    ) -> redis::RedisResult<()> {
        let publish = async {
            let mut connection = match known {
                Some(connection) => connection,
                None => {
                    let made = self.0.client.get_multiplexed_async_connection().await?;
                    self.0.publisher.replace(Some(made.clone()));
                    made
                }
            };
            let mut command = redis::cmd("PUBLISH");
            command.arg(channel).arg(&message[..]);
            command.query_async::<()>(&mut connection).await
        };
        let result = match tokio::time::timeout(PATIENCE, publish).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        if result.is_err() {
            self.0.publisher.replace(None);
        }
        result
    }

    /// A subscription was added; the first to its channel is told to Redis.
    pub(super) fn subscribe(&self, channel: &str, first: bool) {
        let started = self.0.commands.borrow().is_some();
        if !started {
            let (commands, receiver) = mpsc::unbounded_channel();
            self.0.commands.replace(Some(commands));
            drop(netutil::spawn(receive(Rc::downgrade(&self.0), receiver)));
            // The task subscribes to all channels there are when it connects.
        } else if first {
            self.tell(Command::Subscribe(channel.to_owned()));
        }
    }

    /// The last subscription to the channel is gone.
    pub(super) fn unsubscribe(&self, channel: &str) {
        self.0.confirmed.borrow_mut().remove(channel);
        self.tell(Command::Unsubscribe(channel.to_owned()));
    }

    pub(super) async fn ready(&self, channel: &str) {
        loop {
            let confirmation = self.0.confirmation.notified();
            if self.0.confirmed.borrow().contains(channel) {
                return;
            }
            confirmation.await;
        }
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &*self.0.commands.borrow() {
            // The task lives as long as this sender.
            let _ = commands.send(command);
        }
    }
}

impl Inner {
    fn confirm(&self, channels: impl IntoIterator<Item = String>) {
        self.confirmed.borrow_mut().extend(channels);
        self.confirmation.notify_waiters();
    }
}

/// Receives for as long as anybody holds the channels, connecting again and again.
async fn receive(redis: Weak<Inner>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut wait = FIRST_WAIT;
    loop {
        let Some(client) = redis.upgrade().map(|inner| inner.client.clone()) else { return };
        match tokio::time::timeout(PATIENCE, client.get_async_pubsub()).await {
            Ok(Ok(connection)) => {
                wait = FIRST_WAIT;
                let (sink, stream) = connection.split();
                let lost = deliver(&redis, &mut commands, sink, stream).await;
                let Some(inner) = redis.upgrade() else { return };
                inner.confirmed.borrow_mut().clear();
                tracing::warn!(target: log::GENERAL, "the connection to Redis is lost: {lost}");
            }
            Ok(Err(error)) => tracing::warn!(target: log::GENERAL, "Redis cannot be reached: {error}"),
            Err(_) => tracing::warn!(target: log::GENERAL, "Redis does not answer"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Hands on what one connection brings, until it ends; says why.
async fn deliver(
    redis: &Weak<Inner>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
) -> String {
    let gone = || "nobody is subscribed any more".to_owned();
    {
        let Some(inner) = redis.upgrade() else { return gone() };
        let Some(channels) = inner.channels.upgrade() else { return gone() };
        let names = channels.names();
        for name in &names {
            if let Err(error) = sink.subscribe(name).await {
                return error.to_string();
            }
        }
        // What was published since the last connection was lost went past everybody.
        if inner.connected_before.replace(true) {
            channels.interrupted();
        }
        inner.confirm(names);
    }
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(message) = message else { return "closed by Redis".to_owned() };
                let Some(channels) = redis.upgrade().and_then(|inner| inner.channels.upgrade()) else {
                    return gone();
                };
                channels.deliver(message.get_channel_name(), &Bytes::copy_from_slice(message.get_payload_bytes()));
            }
            command = commands.recv() => {
                let result = match command {
                    Some(Command::Subscribe(name)) => {
                        let subscribed = sink.subscribe(&name).await;
                        if subscribed.is_ok() && let Some(inner) = redis.upgrade() {
                            inner.confirm([name]);
                        }
                        subscribed
                    }
                    Some(Command::Unsubscribe(name)) => {
                        // Somebody may have subscribed again meanwhile.
                        let channels = redis.upgrade().and_then(|inner| inner.channels.upgrade());
                        match channels.is_none_or(|channels| channels.count(&name) == 0) {
                            true => sink.unsubscribe(&name).await,
                            false => Ok(()),
                        }
                    }
                    None => return gone(),
                };
                if let Err(error) = result {
                    return error.to_string();
                }
            }
        }
    }
}
