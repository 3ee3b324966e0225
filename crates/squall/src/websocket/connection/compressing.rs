//! Long messages that are compressed on their way out, a slice at a time.
//!
//! Such a message holds back the ones behind it, as one does that the kernel has not taken, and goes out as one frame when
//! it is done. Control frames need not wait for it: nothing of the frame has been sent before.

use bytes::Bytes;

use super::outgoing::{Outgoing, Payload};
use super::socket::WebSocket;
use crate::websocket::machine::deflate::Alone;
use crate::websocket::machine::frame::{FrameHead, OpCode};
use crate::websocket::machine::message::{Message, PreparedMessage};
use crate::websocket::machine::slices;

/// A message that is being compressed.
#[derive(Clone)]
pub(super) enum Compressing {
    Message(OpCode, Bytes),
    Prepared(PreparedMessage),
}

impl Compressing {
    pub(super) fn of(message: Message) -> Self {
        Self::Message(message.opcode(), message.into_bytes())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(_, bytes) => bytes.len(),
            Self::Prepared(prepared) => prepared.message().len(),
        }
    }
}

impl WebSocket {
    /// Goes on with the message that is being compressed, if there is one, and sends it. Says whether there was.
    pub(super) async fn send_compressing(&self) -> bool {
        let Some(compressing) = self.compressing() else { return false };
        match compressing {
            Compressing::Message(opcode, message) => self.compress_and_send(opcode, &message).await,
            Compressing::Prepared(prepared) => {
                let setting = self.0.deflater.borrow().as_ref().map(|deflater| deflater.setting());
                if let Some(setting) = setting {
                    prepared.compress(setting).await;
                }
                // It may have been dropped meanwhile.
                if self.compressing().is_some() {
                    let _ = self.emit(Outgoing(Payload::Prepared(prepared)));
                }
            }
        }
        true
    }

    async fn compress_and_send(&self, opcode: OpCode, message: &[u8]) {
        let (mut alone, mut compressed) = (Alone::default(), Vec::new());
        for (part, is_last) in slices::parts(message) {
            if let Some(deflater) = &mut *self.0.deflater.borrow_mut() {
                deflater.deflate_part(&mut alone, part, is_last, &mut compressed);
            }
            tokio::task::yield_now().await;
            if self.compressing().is_none() || self.0.stream.is_closed() {
                // The connection closes; no further message refers to what was compressed of this one.
                return;
            }
        }
        compressed.shrink_to_fit();
        let head = FrameHead { rsv1: true, ..FrameHead::whole(opcode, compressed.len()) };
        self.emit_large(head, compressed.into());
    }
}
