//! Connecting a stream.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use socket2::Socket;

use super::transport::{Link, Transport};
use super::{IoStream, StreamError};
use crate::netutil::Address;

impl IoStream {
    /// Connects a stream that was made from an unconnected socket by [`new`](Self::new).
    ///
    /// Data may be written before this completes, or is even polled; it is sent once connected. Names are not resolved
    /// here.
    ///
    /// Not cancel safe: dropping the future before it completes closes the stream.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] with the system's error (connection refused, …) as its real error. The stream is
    /// closed then. A stream that is connected already is left as it is (`EISCONN`).
    pub async fn connect(&self, address: impl Into<Address>) -> Result<(), StreamError> {
        let address = address.into();
        if !matches!(*self.0.link.borrow(), Link::Unconnected(_)) {
            let connected = io::Error::from_raw_os_error(libc::EISCONN);
            return Err(if self.is_closed() {
                self.closed_error()
            } else {
                StreamError::closed_by(connected)
            });
        }
        let mut guard = CloseUnlessDone { stream: self, done: false };
        let result = match self.start_connect(&address) {
            Ok(()) => poll_fn(|cx| self.poll_connected(cx)).await,
            Err(error) => {
                self.finish_close(Link::Closed, Some(Arc::new(error)));
                Err(io::ErrorKind::NotConnected.into())
            }
        };
        guard.done = true;
        if let Err(error) = result {
            // Without effect if the stream has been closed meanwhile: then it was not this that closed it.
            self.close_with(error);
            return Err(self.closed_error());
        }
        self.finish_connect();
        Ok(())
    }

    /// Waits until a connection that is being made is there, or given up.
    pub(super) async fn connected(&self) {
        poll_fn(|cx| {
            if !matches!(*self.0.link.borrow(), Link::Unconnected(_) | Link::Connecting(_)) {
                return Poll::Ready(());
            }
            self.0.write.borrow_mut().get_or_insert_default().wait(0, cx);
            Poll::Pending
        })
        .await;
    }

    fn start_connect(&self, address: &Address) -> io::Result<()> {
        let Link::Unconnected(socket) = self.0.link.replace(Link::Closed) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let result = begin(&socket, address).and_then(|()| Transport::register(socket));
        result.map(|transport| drop(self.0.link.replace(Link::Connecting(Rc::new(transport)))))
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = self.0.link.borrow();
        let Link::Connecting(transport) = &*link else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        self.0.write.borrow_mut().get_or_insert_default().park_driver(cx);
        ready!(transport.poll_write_ready(cx))?;
        Poll::Ready(transport.socket()?.take_error()?.map_or(Ok(()), Err))
    }

    fn finish_connect(&self) {
        let link = self.0.link.replace(Link::Closed);
        self.0.link.replace(match link {
            Link::Connecting(transport) => Link::Open(transport),
            other => other,
        });
        let mut slot = self.0.write.borrow_mut();
        // No write waits for position 0, only `connected` does.
        let waiting = slot.as_mut().map(|queue| queue.waiters_up_to(0)).unwrap_or_default();
        if slot.as_ref().is_some_and(|queue| queue.is_empty()) {
            *slot = None;
        }
        let queued = slot.is_some();
        drop(slot);
        if queued {
            self.spawn_flusher();
        }
        waiting.into_iter().for_each(Waker::wake);
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }
}

/// Starts to connect; that it takes time is no error.
fn begin(socket: &Socket, address: &Address) -> io::Result<()> {
    match socket.connect(&address.to_sock_addr()?) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        result => result,
    }
}

struct CloseUnlessDone<'a> {
    stream: &'a IoStream,
    done: bool,
}

impl Drop for CloseUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.stream.close();
        }
    }
}
