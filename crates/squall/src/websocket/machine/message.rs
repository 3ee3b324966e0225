//! What is sent and received: messages, and why a connection was closed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

use super::deflate::{Alone, DeflateSetting, Deflater};
use super::frame::{FrameHead, OpCode};
use super::slices;
use crate::escape;

/// A message: text or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, which goes out as UTF-8.
    Text(String),
    /// Bytes; cheap to clone.
    Binary(Bytes),
}

impl Message {
    /// Any value as JSON text (what Tornado does with a `dict`), as [`json_encode`](escape::json_encode) writes it.
    ///
    /// # Errors
    /// When the value cannot be JSON.
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        escape::json_encode(value).map(Self::Text)
    }

    /// The text, when it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload, whatever it is.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// How many bytes the payload has.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Whether it is text.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    pub(in crate::websocket) fn opcode(&self) -> OpCode {
        if self.is_text() { OpCode::Text } else { OpCode::Binary }
    }

    pub(in crate::websocket) fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => Bytes::from(text),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Cow<'_, str>> for Message {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

/// A message for many sockets: framed once, and compressed at most once for each setting that they have agreed on. Cheap to
/// clone.
///
/// Sockets of clients, whose frames must be masked one by one, take it too, and frame it for themselves.
#[derive(Clone)]
pub struct PreparedMessage(Rc<Prepared>);

struct Prepared {
    message: Message,
    plain: OnceCell<Bytes>,
    /// One for each window size that zlib has (9 to 15 bits) would do, but levels differ too; there are few.
    compressed: std::cell::RefCell<Vec<(DeflateSetting, Bytes)>>,
    /// Whoever compresses it.
    turn: tokio::sync::Mutex<()>,
}

impl PreparedMessage {
    /// Prepares a message. Framing and compressing wait for the first socket that needs them.
    pub fn new(message: impl Into<Message>) -> Self {
        Self(Rc::new(Prepared {
            message: message.into(),
            plain: OnceCell::new(),
            compressed: std::cell::RefCell::default(),
            turn: tokio::sync::Mutex::const_new(()),
        }))
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// The frame as a server sends it uncompressed.
    pub(in crate::websocket) fn frame(&self) -> &Bytes {
        self.0.plain.get_or_init(|| {
            let message = &self.0.message;
            framed(FrameHead::whole(message.opcode(), message.len()), message.as_bytes())
        })
    }

    /// Whether [`compressed_frame`](Self::compressed_frame) need not compress much at once.
    pub(in crate::websocket) fn is_compressed(&self, setting: DeflateSetting) -> bool {
        self.0.message.len() < slices::LONG || self.0.compressed.borrow().iter().any(|(of, _)| *of == setting)
    }

    /// Compresses a long message for [`compressed_frame`](Self::compressed_frame), and lets others work in between: once,
    /// however many sockets wait for it.
    pub(in crate::websocket) async fn compress(&self, setting: DeflateSetting) {
        let _turn = self.0.turn.lock().await;
        if self.is_compressed(setting) {
            return;
        }
        let (mut alone, mut payload) = (Alone::default(), Vec::new());
        for (part, is_last) in slices::parts(self.0.message.as_bytes()) {
            alone.deflate_part(setting, part, is_last, &mut payload);
            tokio::task::yield_now().await;
        }
        self.keep_compressed(setting, &payload);
    }

    /// The frame as a server sends it compressed, on its own: with no reference to earlier messages.
    pub(in crate::websocket) fn compressed_frame(&self, setting: DeflateSetting) -> Bytes {
        let done = |(of, frame): &(DeflateSetting, Bytes)| (*of == setting).then(|| frame.clone());
        if let Some(frame) = self.0.compressed.borrow().iter().find_map(done) {
            return frame;
        }
        let mut payload = Vec::new();
        Deflater::alone(setting, self.0.message.as_bytes(), &mut payload);
        self.keep_compressed(setting, &payload)
    }

    fn keep_compressed(&self, setting: DeflateSetting, payload: &[u8]) -> Bytes {
        let head = FrameHead { rsv1: true, ..FrameHead::whole(self.0.message.opcode(), payload.len()) };
        let frame = framed(head, payload);
        self.0.compressed.borrow_mut().push((setting, frame.clone()));
        frame
    }
}

fn framed(head: FrameHead, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    head.encode(&mut frame);
    frame.extend_from_slice(payload);
    frame.into()
}

impl<M: Into<Message>> From<M> for PreparedMessage {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedMessage").field(&self.0.message).finish()
    }
}

/// What a close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::websocket) struct CloseFrame {
    pub(in crate::websocket) code: u16,
    pub(in crate::websocket) reason: String,
}

/// Whether a peer may send this code (RFC 6455 §7.4, and the registry's 1012 to 1014).
pub(in crate::websocket) fn is_valid_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// As much of a reason as a close frame holds (123 bytes beside the code), cut between characters.
pub(in crate::websocket) fn fitting_reason(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(123)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_valid_code(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!is_valid_code(code), "{code}");
        }
    }

    #[test]
    fn reasons_fit_their_frame() {
        assert_eq!(fitting_reason("bye"), "bye");
        assert_eq!(fitting_reason(&"x".repeat(200)).len(), 123);
        assert_eq!(fitting_reason(&"é".repeat(100)).len(), 122);
    }

    #[test]
    fn a_prepared_message_is_framed_once() {
        let prepared = PreparedMessage::new("hi");
        assert_eq!(&prepared.frame()[..], b"\x81\x02hi");
        assert_eq!(prepared.frame().as_ptr(), prepared.clone().frame().as_ptr());
    }
}
