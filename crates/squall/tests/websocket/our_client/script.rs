//! The server of a script: as the client of the cases, it sends and compares unmasked frames. It is only that its frames come
//! without masks, and that those of our client have theirs taken off on the way.

use std::rc::Rc;

use squall::websocket::{WebSocketOptions, WebSocketRequest, websocket_connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::support::{Carrier, Client};
pub(super) use crate::support::{server_close as close, server_frame as raw_frame};

/// Our client, which echoes what comes.
pub(super) fn echo(request: WebSocketRequest) {
    let options = WebSocketOptions::new().max_message_size(32 << 20);
    tokio::task::spawn_local(async move {
        let mut connection = websocket_connect(request.options(options)).await.expect("a handshake");
        while let Some(message) = connection.read_message().await {
            if connection.write_message(message).await.is_err() {
                return;
            }
        }
    });
}

/// The server's end of a connection whose handshake is done. It closes, as servers do, when a close frame has come.
pub(super) fn server(carrier: impl Carrier + 'static) -> Client {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut from_test, mut to_test) = tokio::io::split(theirs);
    let (mut from_client, mut to_client) = tokio::io::split(carrier);
    let over = Rc::new(Notify::new());
    let is_over = Rc::clone(&over);
    tokio::task::spawn_local(async move {
        let mut block = vec![0; 64 * 1024];
        let mut is_open = true;
        loop {
            tokio::select! {
                read = from_test.read(&mut block) => match read {
                    Ok(length @ 1..) if is_open => is_open = to_client.write_all(&block[..length]).await.is_ok(),
                    // What is sent after the end goes nowhere.
                    Ok(1..) => {}
                    _ => break,
                },
                () = is_over.notified(), if is_open => {
                    is_open = false;
                    let _ = to_client.shutdown().await;
                }
            }
        }
        let _ = to_client.shutdown().await;
    });
    tokio::task::spawn_local(async move {
        let mut block = vec![0; 64 * 1024];
        let mut frames = Unmasker::default();
        while let Ok(length @ 1..) = from_client.read(&mut block).await {
            if to_test.write_all(&frames.take_off(&block[..length])).await.is_err() {
                return;
            }
            if frames.is_closed {
                over.notify_one();
            }
        }
        let _ = to_test.shutdown().await;
    });
    Client::over(ours)
}

/// Takes the masks off frames that come in pieces.
#[derive(Default)]
struct Unmasker {
    /// Of a head that is not whole.
    head: Vec<u8>,
    mask: [u8; 4],
    /// How much of the payload has come, and how much there is.
    at: usize,
    length: usize,
    /// A close frame has come.
    is_closed: bool,
}

impl Unmasker {
    fn take_off(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len());
        let mut bytes = bytes;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.at < self.length {
                let (payload, rest) = bytes.split_at(bytes.len().min(self.length - self.at));
                let masks = self.mask.into_iter().cycle().skip(self.at % 4);
                plain.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
                self.at += payload.len();
                bytes = rest;
                continue;
            }
            bytes = rest;
            self.head.push(byte);
            let &[first, second, ref rest @ ..] = &self.head[..] else { continue };
            assert_eq!(second & 0x80, 0x80, "a client masks");
            let (wide, length) = match (second & 0x7f, rest) {
                (126, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
                (127, rest) if rest.len() >= 8 => {
                    (8, u64::from_be_bytes(*rest.first_chunk().unwrap()) as usize)
                }
                (126 | 127, _) => continue,
                (short, _) => (0, usize::from(short)),
            };
            let Some(mask) = rest.get(wide..wide + 4) else { continue };
            self.mask.copy_from_slice(mask);
            (self.at, self.length) = (0, length);
            plain.extend([first, second & 0x7f]);
            plain.extend_from_slice(&rest[..wide]);
            self.is_closed |= first & 0x0f == 8;
            self.head.clear();
        }
        plain
    }
}
