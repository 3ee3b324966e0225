//! What the fuzz targets in `fuzz/` call, and random tests below. Not a public interface.
//!
//! Each function takes any bytes whatever, and panics when what must hold of the machines does not.

use super::deflate::{DeflateSetting, Deflater, Inflater};
use super::extension::{Agreed, CompressionOptions};
use super::frame::Failure;
use super::handshake::{
    Asker, Refusal, accept_key, asker, check_key, check_response, check_upgrade, subprotocols,
};
use super::protocol::{Decoder, Event, Role};
use crate::httputil::{HttpHeaders, ows};

/// Most bytes of a message, of text in a control frame, and what a codec of the handshake's is tried on.
const LIMIT: usize = 4000;
const CONTROL: usize = 125;
const SAMPLE: &[u8] = b"a message, a message, and a message again: long enough to be compressed, a message";

/// The frame decoder: two bytes of settings, then what comes over the connection. How it is cut changes nothing, and
/// what comes out keeps to the limits.
///
/// # Panics
/// When it does not.
pub fn frames(data: &[u8]) {
    let &[settings, cut, ref bytes @ ..] = data else { return };
    let decoder = || {
        let role = if settings & 1 == 0 { Role::Server } else { Role::Client };
        let inflater = (settings & 2 != 0).then(|| Inflater::new(9 + (settings >> 4) % 7, settings & 4 != 0));
        Decoder::new(role, LIMIT, inflater)
    };
    let whole = decoded(decoder(), [bytes]);
    let cut = decoded(decoder(), bytes.chunks(usize::from(cut).max(1)));
    assert_eq!(whole.0, cut.0, "the events depend on how the bytes are cut");
    assert_eq!(whole.1.is_some(), cut.1.is_some(), "{:?} or {:?}, as the bytes are cut", whole.1, cut.1);
    for (number, event) in whole.0.iter().enumerate() {
        match event {
            Event::Message(message) => assert!(message.len() <= LIMIT),
            Event::Ping(data) | Event::Pong(data) => assert!(data.len() <= CONTROL),
            Event::Close(_) => assert_eq!(number + 1, whole.0.len(), "something follows a close frame"),
        }
    }
}

/// Feeds the pieces as a connection does: what is not taken stays in front of what comes next.
pub(super) fn decoded<'a>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Failure>) {
    let (mut events, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match decoder.next(&buffer[at..]) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    at += used;
                    events.extend(event);
                }
                Err(failure) => return (events, Some(failure)),
            }
        }
        buffer.drain(..at);
        if let Err(failure) = decoder.pause() {
            return (events, Some(failure));
        }
    }
    (events, None)
}

/// The deflate reader: a byte of settings, one that says how the rest is cut, then compressed data in two messages. It
/// never gives more than the limit, and reads back what the writer makes of the same bytes.
///
/// # Panics
/// When it does not.
pub fn deflate(data: &[u8]) {
    let &[settings, cut, ref bytes @ ..] = data else { return };
    let (keep, window_bits) = (settings & 1 != 0, 9 + (settings >> 4) % 7);
    let mut inflater = Inflater::new(window_bits, keep);
    for message in bytes.chunks(bytes.len().div_ceil(2).max(1)) {
        let mut out = Vec::new();
        let pieces = message.chunks(usize::from(cut).max(1));
        let mut read = pieces.map(|piece| inflater.inflate(piece, &mut out, LIMIT));
        let failed = read.find_map(Result::err).or_else(|| inflater.finish(&mut out, LIMIT).err());
        match failed {
            // The connection would be closed now.
            Some(failure) => {
                assert!(matches!(failure.code, 1007 | 1009), "{failure}");
                break;
            }
            None => assert!(out.len() <= LIMIT, "{} bytes", out.len()),
        }
        assert!(out.capacity() <= 2 * LIMIT + 2, "room for {} bytes", out.capacity());
    }
    let setting = DeflateSetting { level: (settings >> 1) % 10, window_bits };
    round_trip(Deflater::new(setting, keep, 0), Inflater::new(window_bits, keep), bytes);
}

/// Sends a message twice.
fn round_trip(mut deflater: Deflater, mut inflater: Inflater, message: &[u8]) {
    for _ in 0..2 {
        let (mut compressed, mut out) = (Vec::new(), Vec::new());
        deflater.deflate(message, &mut compressed);
        let limit = message.len();
        let read =
            inflater.inflate(&compressed, &mut out, limit).and_then(|()| inflater.finish(&mut out, limit));
        assert_eq!(read, Ok(()));
        assert!(out == message, "what is read is not what was written");
    }
}

/// Both ends of the handshake: a byte of settings, then header lines, as of a request and as of an answer.
///
/// # Panics
/// When something is accepted that must not be, or what was agreed on does not work.
pub fn handshake(data: &[u8]) {
    let Some((&settings, lines)) = data.split_first() else { return };
    let mut headers = HttpHeaders::new();
    for line in String::from_utf8_lossy(lines).lines() {
        if let Some((name, value)) = line.split_once(':') {
            // As the parser of requests refuses other names and values.
            let _ = headers.add(name, ows::trim(value));
        }
    }
    let verdict = check_upgrade(&headers, true).and_then(|()| check_key(&headers));
    match verdict {
        Ok(key) => {
            assert!(
                !key.is_empty() && headers.get("Upgrade").is_some() && headers.get("Connection").is_some()
            );
            assert_eq!(accept_key(key).len(), 28, "20 bytes in base64");
        }
        Err(refusal) => assert!(matches!(refusal.status(), 400 | 426), "{refusal:?}"),
    }
    assert!(check_upgrade(&headers, false).is_err(), "HTTP/1.0 is upgraded");
    match asker(&headers) {
        Asker::Ask(origin) => assert!(!origin.is_empty()),
        Asker::Allowed => assert_ne!(headers.get("Sec-Fetch-Site"), Some("cross-site")),
        Asker::Refused => assert_eq!(Refusal::Origin.status(), 403),
    }
    assert!(subprotocols(&headers).all(|name| !name.is_empty() && !name.contains(',')));
    if check_response(&headers, KEY).is_ok() {
        assert_eq!(headers.get("Sec-WebSocket-Accept"), Some(&*accept_key(KEY)));
    }
    extensions(&headers, settings);
}

/// The key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What is agreed on, by either side, works between the two.
fn extensions(headers: &HttpHeaders, settings: u8) {
    let Some(value) = headers.joined("Sec-WebSocket-Extensions") else { return };
    let options = CompressionOptions::new()
        .threshold(0)
        .server_no_context_takeover(settings & 1 != 0)
        .client_no_context_takeover(settings & 2 != 0)
        .server_max_window_bits(9 + (settings >> 2) % 7)
        .client_max_window_bits(9 + (settings >> 5) % 7);
    if let Some((agreed, answer)) = options.accept(&value) {
        assert!(answer.starts_with("permessage-deflate"), "{answer}");
        talk(&agreed, &agreed);
    }
    if let Ok(agreed) = options.confirm(&value) {
        talk(&agreed, &agreed);
    }
    // And our two ends always come to terms.
    let (accepted, answer) =
        CompressionOptions::new().accept(&options.offer()).expect("we take our own offers");
    talk(&accepted, &options.confirm(&answer).expect("and our own answers"));
}

fn talk(server: &Agreed, client: &Agreed) {
    let ((server_out, server_in), (client_out, client_in)) =
        (server.codecs(Role::Server), client.codecs(Role::Client));
    round_trip(server_out, client_in, SAMPLE);
    round_trip(client_out, server_in, SAMPLE);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Pieces of header lines, right ones and nearly right ones.
    fn line() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            Just("Upgrade"),
            Just("Connection"),
            Just("Host"),
            Just("Origin"),
            Just("Sec-Fetch-Site"),
            Just("Sec-WebSocket-Key"),
            Just("Sec-WebSocket-Version"),
            Just("Sec-WebSocket-Accept"),
            Just("Sec-WebSocket-Extensions"),
            Just("Sec-WebSocket-Protocol"),
        ];
        let piece = prop_oneof![
            Just("websocket".to_owned()),
            Just("Upgrade".to_owned()),
            Just("13".to_owned()),
            Just("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()),
            Just("permessage-deflate".to_owned()),
            Just("; server_max_window_bits=".to_owned()),
            Just("; client_max_window_bits".to_owned()),
            Just("; server_no_context_takeover".to_owned()),
            Just("; client_no_context_takeover".to_owned()),
            Just("same-origin".to_owned()),
            Just("https://localhost".to_owned()),
            Just(", ".to_owned()),
            Just("=".to_owned()),
            Just("\"".to_owned()),
            (7u8..17).prop_map(|bits| bits.to_string()),
            "\\PC{0,8}",
        ];
        (name, vec(piece, 0..6)).prop_map(|(name, pieces)| format!("{name}: {}\n", pieces.concat()))
    }

    proptest! {
        #[test]
        fn any_frames(data in vec(any::<u8>(), 0..800)) {
            frames(&data);
        }

        #[test]
        fn any_compressed_data(data in vec(any::<u8>(), 0..800)) {
            deflate(&data);
        }

        /// Compressed data of which a byte is wrong.
        #[test]
        fn nearly_right_compressed_data(
            settings in vec(any::<u8>(), 2),
            message in vec(0u8..8, 0..6000),
            at: prop::sample::Index,
            wrong: u8,
        ) {
            let mut data = settings;
            let setting = DeflateSetting { level: 6, window_bits: 15 };
            Deflater::alone(setting, &message, &mut data);
            let at = at.index(data.len());
            data[at] ^= wrong;
            deflate(&data);
        }

        #[test]
        fn any_header_lines(settings: u8, lines in vec(line(), 0..10)) {
            handshake(&[&[settings], lines.concat().as_bytes()].concat());
        }
    }
}
