//! What is handed to a WebSocket to be sent, and why it may not take it.

use std::error::Error;
use std::fmt;

use crate::websocket::machine::message::{Message, PreparedMessage};

/// What [`WebSocket::write_message`](crate::websocket::WebSocket::write_message) takes: text, bytes, a [`Message`] or a [`PreparedMessage`].
#[derive(Debug)]
pub struct Outgoing(pub(in crate::websocket) Payload);

#[derive(Debug)]
pub(in crate::websocket) enum Payload {
    Message(Message),
    Prepared(PreparedMessage),
    /// The payload of a close frame.
    Close(Vec<u8>),
}

impl Outgoing {
    pub(in crate::websocket) fn len(&self) -> usize {
        match &self.0 {
            Payload::Message(message) => message.len(),
            Payload::Prepared(prepared) => prepared.message().len(),
            Payload::Close(payload) => payload.len(),
        }
    }
}

impl<M: Into<Message>> From<M> for Outgoing {
    fn from(message: M) -> Self {
        Self(Payload::Message(message.into()))
    }
}

impl From<PreparedMessage> for Outgoing {
    fn from(prepared: PreparedMessage) -> Self {
        Self(Payload::Prepared(prepared))
    }
}

impl From<&PreparedMessage> for Outgoing {
    fn from(prepared: &PreparedMessage) -> Self {
        Self(Payload::Prepared(prepared.clone()))
    }
}

/// Why a message was not taken.
pub(in crate::websocket) enum Refused {
    Closed,
    Full(Outgoing),
}

/// The connection is closed, or closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketClosedError;

impl fmt::Display for WebSocketClosedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket is closed")
    }
}

impl Error for WebSocketClosedError {}

/// Why [`WebSocket::try_write`](crate::websocket::WebSocket::try_write) did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryWriteError {
    /// The connection is closed, or closing.
    Closed,
    /// The queue is full.
    Full,
}

impl fmt::Display for TryWriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the WebSocket is closed",
            Self::Full => "the WebSocket's queue is full",
        })
    }
}

impl Error for TryWriteError {}
