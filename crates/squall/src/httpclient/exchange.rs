//! One request and the head of its response on one connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::Method;

use super::body::BodyWriter;
use super::error::HttpClientError;
use super::request::Body;
use super::wire::Outgoing;
use crate::http1::response::{self, Asked, ResponseFacts, ResponseHead};
use crate::http1::{Http1ConnectionParameters, ParseError};
use crate::iostream::IoStream;

/// A response's head, and how its connection stands.
pub(super) struct Incoming {
    pub(super) head: ResponseHead,
    pub(super) facts: ResponseFacts,
}

/// An exchange that came to nothing.
pub(super) struct Failed {
    pub(super) error: HttpClientError,
    /// Not a byte of a response had come: a connection that was kept open may just have been closed by the server.
    pub(super) unanswered: bool,
}

/// More 1xx responses than this before the final one are an error (Tornado's number). A server that sends nothing else
/// would otherwise keep the request going until its time limit.
const MOST_INTERIM: usize = 10;
/// So long a body waits for the server to agree (RFC 9110 §10.1.1: not without end; curl's time).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// Bodies up to this size go out with their head, in one packet where it fits.
const SMALL_BODY: usize = 16 * 1024;

/// Sends the request and receives the head of its final response. A response may come before the body has been sent:
/// the rest of the body is then not sent, and the connection serves no other request.
pub(super) async fn exchange(
    stream: &IoStream,
    request: &Outgoing<'_>,
    limits: &Http1ConnectionParameters,
) -> Result<Incoming, Failed> {
    let asked = if *request.method == Method::HEAD { Asked::Head } else { Asked::Other };
    let mut head = request.encode();
    let mut rest_of_body = None;
    match request.body {
        Body::Bytes(body) if !request.expect_continue && body.len() <= SMALL_BODY => {
            head.extend_from_slice(body);
        }
        Body::None => {}
        other => rest_of_body = Some(other),
    }
    // What becomes of it shows when the response is read; a response may be there although the write failed.
    drop(stream.write(head));
    if request.expect_continue {
        // Nothing is lost when the time is over: what came is in the stream's buffer.
        let answer = tokio::time::timeout(CONTINUE_PATIENCE, receive(stream, limits, asked, true)).await;
        match answer {
            Ok(Ok(incoming)) if incoming.head.status == 100 => {}
            Ok(Ok(incoming)) => return Ok(Incoming { facts: closing(incoming.facts), ..incoming }),
            Ok(Err(failed)) => return Err(failed),
            Err(_over) => {}
        }
    }
    let Some(body) = rest_of_body else { return receive(stream, limits, asked, false).await };
    let mut sending = pin!(send_body(stream, body, request.announced_length()));
    let mut receiving = pin!(receive(stream, limits, asked, false));
    let mut sent = false;
    poll_fn(|cx| {
        if !sent && let Poll::Ready(result) = sending.as_mut().poll(cx) {
            sent = true;
            match result {
                // The connection failed; whether there is a response tells the other half.
                Ok(()) | Err(HttpClientError::Closed(_)) => {}
                Err(error) => return Poll::Ready(Err(Failed { error, unanswered: false })),
            }
        }
        let Poll::Ready(result) = receiving.as_mut().poll(cx) else { return Poll::Pending };
        Poll::Ready(result.map(|incoming| match sent {
            true => incoming,
            false => Incoming { facts: closing(incoming.facts), ..incoming },
        }))
    })
    .await
}

fn closing(facts: ResponseFacts) -> ResponseFacts {
    ResponseFacts { keep_alive: false, ..facts }
}

async fn send_body(stream: &IoStream, body: &Body, length: Option<u64>) -> Result<(), HttpClientError> {
    match body {
        Body::None => Ok(()),
        Body::Bytes(body) => Ok(stream.write_bytes(body.clone()).await?),
        Body::Producer(producer) => {
            let writer = BodyWriter::new(stream.clone(), length);
            producer(writer.clone()).await.map_err(HttpClientError::Body)?;
            writer.finish().await
        }
    }
}

/// Reads heads until one is not interim (RFC 9110 §15.2), or, where it is waited for, a 100.
async fn receive(
    stream: &IoStream,
    limits: &Http1ConnectionParameters,
    asked: Asked,
    wants_continue: bool,
) -> Result<Incoming, Failed> {
    let mut unanswered = true;
    let (mut seen, mut interim) = (0, 0);
    loop {
        let parsed = {
            let buffer = stream.read_buffer();
            unanswered &= buffer.is_empty();
            if buffer.is_empty() || !worth_parsing(buffer.as_slice(), seen, limits.max_header_size) {
                None
            } else {
                seen = buffer.len();
                let parsed = response::parse(buffer.as_slice(), limits, asked);
                parsed.map_err(|error| Failed { error: error.into(), unanswered: false })?
            }
        };
        if let Some((length, head, facts)) = parsed {
            stream.read_buffer().consume(length);
            seen = 0;
            // 101 was not asked for, and is handed on as it is: what follows is no HTTP.
            match head.status {
                100 if wants_continue => return Ok(Incoming { head, facts }),
                100 | 102..=199 if interim < MOST_INTERIM => {
                    interim += 1;
                    continue;
                }
                100 | 102..=199 => {
                    return Err(Failed { error: ParseError::TooManyInterim.into(), unanswered: false });
                }
                101 => return Ok(Incoming { head, facts: closing(facts) }),
                _ => return Ok(Incoming { head, facts }),
            }
        }
        match stream.fill().await {
            Ok(1..) => {}
            Ok(0) => {
                let error = match stream.error() {
                    Some(error) => HttpClientError::closed_by(std::io::Error::other(error)),
                    None => HttpClientError::Closed(None),
                };
                return Err(Failed { error, unanswered });
            }
            Err(error) => return Err(Failed { error: HttpClientError::closed_by(error), unanswered }),
        }
    }
}

/// A head that arrives byte by byte is looked at when its end may be there, so that the work stays linear.
fn worth_parsing(bytes: &[u8], seen: usize, max_header_size: usize) -> bool {
    seen == 0
        || bytes.len() >= seen * 2
        || bytes.len() > max_header_size
        || memchr::memchr(b'\n', &bytes[seen..]).is_some()
}
