//! The task of one connection: lets the machine work, and looks at the clock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

use super::heard::Heard;
use super::session::Link;
use super::settings::UNTOLD;
use crate::log;

/// How long the first request goes alone when the server does not say how many there may be ...
const SETTINGS_PATIENCE: Duration = Duration::from_secs(1);
/// ... and how many are taken for allowed then (RFC 9113 §6.5.2 recommends no smaller number).
const USUAL_STREAMS: usize = 100;
/// How long the answer to a PING may take.
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection without streams may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

pub(super) struct Driver {
    link: Rc<Link>,
    machine: h2::client::Connection<Heard, Bytes>,
    /// Not before there is something to wait for.
    timer: Option<Pin<Box<Sleep>>>,
    /// Until when the server is waited for to say how many streams there may be; `None` when it has.
    untold: Option<Instant>,
    pings: Option<PingPong>,
    /// When the answer to the last PING must have come.
    pong_due: Option<Instant>,
    next_ping: Option<Instant>,
    /// Since when it is to end and has no streams.
    farewell: Option<Instant>,
}

impl Driver {
    pub(super) fn new(link: Rc<Link>, mut machine: h2::client::Connection<Heard, Bytes>) -> Self {
        let pings = machine.ping_pong();
        Self {
            link,
            machine,
            timer: None,
            untold: Instant::now().checked_add(SETTINGS_PATIENCE),
            pings,
            pong_due: None,
            next_ping: None,
            farewell: None,
        }
    }

    /// Works until the connection is over, which it is when nobody has use for it any longer.
    pub(super) async fn run(mut self) {
        let ended = End(Rc::clone(&self.link));
        poll_fn(|cx| self.poll(cx)).await;
        drop(self);
        drop(ended);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.park(cx);
        loop {
            match Pin::new(&mut self.machine).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(target: log::GENERAL, "a connection of HTTP/2 has ended: {error}");
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            if self.link.is_spent(cx) {
                self.link.leave();
            }
            self.learn_most();
            self.poll_pong(cx);
            let now = Instant::now();
            if self.is_late(now) {
                // A reset: what the kernel still has for such a server is of no use.
                self.link.stream().abort();
                return Poll::Ready(());
            }
            if self.ping(now) {
                // It goes out when the machine works on.
                continue;
            }
            match self.poll_timer(cx) {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn learn_most(&mut self) {
        let told = self.machine.max_concurrent_send_streams();
        if told != UNTOLD {
            self.untold = None;
            self.link.set_most(told);
            self.link.tell_settings();
        } else if self.untold.is_some_and(|until| until <= Instant::now()) {
            self.untold = None;
            self.link.set_most(USUAL_STREAMS);
        }
    }

    /// Whether the server has used up its time.
    fn is_late(&mut self, now: Instant) -> bool {
        if self.link.is_open() || self.link.open() > 0 {
            self.farewell = None;
        } else {
            self.farewell.get_or_insert(now);
        }
        let farewell = self.farewell.is_some_and(|since| now.duration_since(since) >= FAREWELL);
        let silent = self.pong_due.is_some_and(|due| due <= now);
        if silent {
            tracing::info!(target: log::GENERAL, "a server of HTTP/2 does not answer a PING");
        }
        farewell || silent
    }

    /// Asks for a sign of life when it is time to; true if so.
    fn ping(&mut self, now: Instant) -> bool {
        let doubted = self.link.take_doubt();
        if self.link.open() == 0 {
            self.next_ping = None;
        } else if let Some(interval) = self.link.settings().keep_alive_interval {
            self.next_ping = self.next_ping.or_else(|| now.checked_add(interval));
        }
        let is_time = self.next_ping.is_some_and(|at| at <= now);
        if self.pong_due.is_some() || !(doubted || is_time) {
            return false;
        }
        self.next_ping = None;
        let sent = self.pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok());
        if sent {
            self.pong_due = now.checked_add(PING_PATIENCE);
        }
        sent
    }

    fn poll_pong(&mut self, cx: &mut Context<'_>) {
        if self.pong_due.is_some() && self.pings.as_mut().is_some_and(|pings| pings.poll_pong(cx).is_ready())
        {
            self.pong_due = None;
        }
    }

    /// Ready when there is something to be looked at.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let farewell = self.farewell.and_then(|since| since.checked_add(FAREWELL));
        let next_ping = self.next_ping.filter(|_| self.pong_due.is_none());
        let due = [self.untold, self.pong_due, next_ping, farewell].into_iter().flatten().min();
        let Some(due) = due else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

/// Tells everybody that the connection has ended, also when the loop drops the task.
struct End(Rc<Link>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}
