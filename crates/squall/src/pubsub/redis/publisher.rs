//! The connection on which messages are published: one task, so that any number of publishers share one attempt to
//! connect and keep their order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError, RedisResult};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};

use super::{PATIENCE, no_answer};
use crate::netutil;

/// So many messages are on their way at once; others wait.
const AT_ONCE: usize = 1024;

/// Publishes in the order in which it is asked.
pub(super) struct Publisher {
    client: Client,
    /// To the task, once it was needed; it lives as long as this.
    queue: RefCell<Option<mpsc::UnboundedSender<Publication>>>,
}

struct Publication {
    channel: String,
    message: Bytes,
    reply: oneshot::Sender<RedisResult<()>>,
}

impl Publisher {
    pub(super) fn new(client: Client) -> Self {
        Self { client, queue: RefCell::new(None) }
    }

    pub(super) async fn publish(&self, channel: &str, message: Bytes) -> RedisResult<()> {
        let (reply, answer) = oneshot::channel();
        // The receiver is gone only when the loop is, and then nobody waits for the reply.
        let _ = self.queue().send(Publication { channel: channel.to_owned(), message, reply });
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe).into())),
            Err(_) => Err(no_answer()),
        }
    }

    fn queue(&self) -> mpsc::UnboundedSender<Publication> {
        let mut queue = self.queue.borrow_mut();
        match &*queue {
            Some(queue) if !queue.is_closed() => queue.clone(),
            _ => {
                let (sender, receiver) = mpsc::unbounded_channel();
                drop(netutil::spawn(work(self.client.clone(), receiver)));
                queue.insert(sender).clone()
            }
        }
    }
}

/// Publishes what comes, for as long as anybody can ask for it.
async fn work(client: Client, mut queue: mpsc::UnboundedReceiver<Publication>) {
    let mut link: Option<Link> = None;
    loop {
        let has_room = link.as_ref().is_none_or(|link| link.in_flight.len() < AT_ONCE);
        let publication = tokio::select! {
            biased;
            () = ended(&mut link) => {
                link = None;
                continue;
            }
            publication = queue.recv(), if has_room => publication,
        };
        let Some(publication) = publication else { return };
        // Who has given up was told so, and is not to be published after all.
        if publication.reply.is_closed() {
            continue;
        }
        // A connection that has died in the meantime is found out before anything is sent on it. What was sent is
        // not sent again: Redis may have had it.
        if let Some(known) = &mut link
            && poll_fn(|cx| Poll::Ready(known.poll_ended(cx).is_ready())).await
        {
            link = None;
        }
        let known = match &mut link {
            Some(known) => known,
            None => {
                match timeout(PATIENCE, Link::connect(&client)).await.unwrap_or_else(|_| Err(no_answer())) {
                    Ok(made) => link.insert(made),
                    Err(error) => {
                        fail_all(publication, &mut queue, &error);
                        continue;
                    }
                }
            }
        };
        known.send(&publication.channel, &publication.message);
        known.replies.push_back((publication.reply, Instant::now()));
    }
}

/// All who waited for the connection share what became of it.
fn fail_all(first: Publication, queue: &mut mpsc::UnboundedReceiver<Publication>, error: &RedisError) {
    let mut next = Some(first);
    while let Some(publication) = next {
        let _ = publication.reply.send(Err(error.clone()));
        next = queue.try_recv().ok();
    }
}

/// Resolves when the connection is lost, or does not answer; there are no others without one.
async fn ended(link: &mut Option<Link>) {
    let Some(link) = link else { return pending().await };
    loop {
        let oldest = link.replies.front().map(|(_, since)| *since);
        let silent = async {
            match oldest {
                Some(since) => sleep_until(since + PATIENCE).await,
                None => pending().await,
            }
        };
        tokio::select! {
            ended = poll_fn(|cx| link.poll_progress(cx)) => if ended { return },
            () = silent => {
                for (reply, _) in link.replies.drain(..) {
                    let _ = reply.send(Err(no_answer()));
                }
                return;
            }
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = RedisResult<()>>>>;

/// A connection and what is on its way over it.
struct Link {
    connection: MultiplexedConnection,
    /// Moves bytes; ends with the connection.
    driver: Pin<Box<dyn Future<Output = ()>>>,
    in_flight: VecDeque<Answer>,
    /// Who waits for them, and since when.
    replies: VecDeque<(oneshot::Sender<RedisResult<()>>, Instant)>,
}

impl Link {
    async fn connect(client: &Client) -> RedisResult<Self> {
        // How long is waited is decided here, for all steps together.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(AT_ONCE);
        let info = client.get_connection_info();
        let settings = info.redis_settings();
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(settings, stream, config).await?;
                Ok(Self::new(connection, driver))
            }
            ConnectionAddr::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(settings, stream, config).await?;
                Ok(Self::new(connection, driver))
            }
            _ => Err(unsupported(info)),
        }
    }

    fn new(connection: MultiplexedConnection, driver: impl Future<Output = ()> + 'static) -> Self {
        Self { connection, driver: Box::pin(driver), in_flight: VecDeque::new(), replies: VecDeque::new() }
    }

    /// Puts a message behind those that are on their way.
    fn send(&mut self, channel: &str, message: &Bytes) {
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(&message[..]);
        let mut connection = self.connection.clone();
        let mut answer: Answer =
            Box::pin(unconstrained(async move { command.query_async::<()>(&mut connection).await }));
        // The first poll puts it into the connection's queue, which has room for all that may be in flight; the task
        // polls again for the answer. Should it fail at once, that is found out when it is its turn.
        let answer = match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => answer,
            Poll::Ready(result) => Box::pin(std::future::ready(result)),
        };
        self.in_flight.push_back(answer);
    }

    /// Whether the connection has ended; replies to those who wait.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.driver.as_mut().poll(cx);
        self.reply(cx);
        ended
    }

    /// Ready when something was answered, with whether the connection has ended.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let before = self.replies.len();
        let ended = self.poll_ended(cx).is_ready();
        if ended || self.replies.len() < before { Poll::Ready(ended) } else { Poll::Pending }
    }

    fn reply(&mut self, cx: &mut Context<'_>) {
        while let Some(answer) = self.in_flight.front_mut()
            && let Poll::Ready(result) = answer.as_mut().poll(cx)
        {
            self.in_flight.pop_front();
            if let Some((reply, _)) = self.replies.pop_front() {
                // Nobody may be waiting any more.
                let _ = reply.send(result);
            }
        }
    }
}

fn unsupported(info: &ConnectionInfo) -> RedisError {
    let what = format!("there is no way to {}", info.addr());
    io::Error::new(io::ErrorKind::Unsupported, what).into()
}
