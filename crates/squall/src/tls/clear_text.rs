//! Peers that do not speak TLS to a port that does.

use std::io;
use std::time::Duration;

use crate::iostream::IoStream;

/// The first byte of every TLS connection: a record with handshake messages (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// How much is read of what a peer has sent before it saw the answer, and for how long.
const MAX_UNREAD: usize = 64 * 1024;
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What a peer speaks, by its first byte.
pub(super) enum Speech {
    /// Perhaps TLS; else rustls will say so.
    Tls,
    /// Text, such as a request by plain HTTP.
    ClearText,
    /// It has closed without a word.
    Nothing,
}

pub(super) async fn listen(stream: &IoStream) -> io::Result<Speech> {
    let mut first = [0];
    Ok(match stream.peek(&mut first).await? {
        0 => Speech::Nothing,
        _ if first[0] != HANDSHAKE_RECORD && first[0].is_ascii_alphabetic() => Speech::ClearText,
        _ => Speech::Tls,
    })
}

/// Answers in clear text and ends the connection, so that the answer arrives.
pub(super) async fn refuse(stream: &IoStream, answer: &'static [u8]) {
    if answer.is_empty() || stream.write(answer).await.is_err() || stream.shutdown_write().is_err() {
        return;
    }
    let drain = async {
        let mut left = MAX_UNREAD;
        while left > 0
            && let Ok(count @ 1..) = stream.fill().await
        {
            stream.read_buffer().consume(count);
            left = left.saturating_sub(count);
        }
    };
    // Late or not, the connection ends.
    let _ = tokio::time::timeout(ANSWER_TIME, drain).await;
}
