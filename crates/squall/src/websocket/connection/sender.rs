//! Writing from other threads.

use std::error::Error;
use std::fmt;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::socket::WebSocket;
use crate::netutil::spawn;
use crate::websocket::machine::message::Message;

impl WebSocket {
    /// A handle for other threads, which holds up to `capacity` messages (at least one) on their way to the loop. There
    /// they go through [`write_message`](Self::write_message), one after the other.
    ///
    /// ```
    /// # use squall::websocket::{Message, WebSocket, WebSocketHandler};
    /// # use squall::Result;
    /// # #[derive(Clone)]
    /// # struct Report;
    /// # impl WebSocketHandler for Report {
    /// async fn on_message(&mut self, ws: &WebSocket, _message: Message) -> Result {
    ///     let sender = ws.sender(4);
    ///     std::thread::spawn(move || {
    ///         for percent in [50, 100] {
    ///             // A long computation; then:
    ///             if sender.blocking_write_message(format!("{percent} %")).is_err() {
    ///                 break; // the peer has left
    ///             }
    ///         }
    ///     });
    ///     Ok(())
    /// }
    /// # }
    /// ```
    pub fn sender(&self, capacity: usize) -> WebSocketSender {
        let (sender, mut receiver) = mpsc::channel(capacity.max(1));
        let socket = self.clone();
        spawn(async move {
            loop {
                let message: Message = tokio::select! {
                    biased;
                    () = socket.closed() => return,
                    message = receiver.recv() => match message {
                        Some(message) => message,
                        None => return,
                    },
                };
                if socket.write_message(message).await.is_err() {
                    return;
                }
            }
        });
        WebSocketSender(sender)
    }
}

/// Writes messages from any thread. Made by [`WebSocket::sender`].
#[derive(Clone)]
pub struct WebSocketSender(mpsc::Sender<Message>);

impl WebSocketSender {
    /// Hands a message to the loop; waits while too many are on their way.
    ///
    /// Cancel safe: dropping the future before it is done sends nothing.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn write_message(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.0.send(message.into()).await.map_err(|_| SendError::Closed)
    }

    /// As [`write_message`](Self::write_message), blocking the thread.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Panics
    /// On a thread that runs a loop.
    #[track_caller]
    pub fn blocking_write_message(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.0.blocking_send(message.into()).map_err(|_| SendError::Closed)
    }

    /// Hands a message to the loop if there is room.
    ///
    /// # Errors
    /// [`SendError::Closed`], or [`SendError::Full`] while too many are on their way.
    pub fn try_write(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.0.try_send(message.into()).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// Whether the connection is closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl fmt::Debug for WebSocketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Why a message was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed.
    Closed,
    /// Too many messages are on their way.
    Full,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the WebSocket is closed",
            Self::Full => "too many messages are on their way to the WebSocket",
        })
    }
}

impl Error for SendError {}
