//! One request and the head of its response on one connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http::Method;

use super::body::BodyWriter;
use super::error::{HttpClientError, TIMEOUT_SENDING};
use super::request::Body;
use super::wire::Outgoing;
use crate::http1::ParseError;
use crate::http1::response::{Asked, ResponseFacts, ResponseHead};
use crate::http1connection::{HeadError, ResponseHeads};
use crate::httputil::ConnectionLimits;
use crate::iostream::{IoStream, Stalled};

/// A response's head, and how its connection stands.
pub(super) struct Incoming {
    pub(super) head: ResponseHead,
    pub(super) facts: ResponseFacts,
    /// What is still to be sent of the request.
    pub(super) upload: Option<Upload>,
}

/// The rest of a request's body on its way.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<(), HttpClientError>>>>;

/// An exchange that came to nothing.
pub(super) struct Failed {
    pub(super) error: HttpClientError,
    /// Not a byte of a response had come: a connection that was kept open may just have been closed by the server.
    pub(super) unanswered: bool,
}

/// So long a body waits for the server to agree (RFC 9110 §10.1.1: not without end; curl's time).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// Bodies up to this size go out with their head, in one packet where it fits.
const SMALL_BODY: usize = 16 * 1024;

/// Sends the request and receives the head of its final response. A response may come before the body has been sent:
/// the rest of the body is then sent beside the reading of the response, or not at all if that is a redirect or an error
/// (RFC 9112 §9.3), and the connection then serves no other request.
pub(super) async fn exchange(
    stream: &IoStream,
    request: &Outgoing<'_>,
    limits: &ConnectionLimits,
) -> Result<Incoming, Failed> {
    let is_head = *request.method == Method::HEAD;
    let asked = match request.verbatim {
        Some(_) => Asked::Forwarded { is_head },
        None if is_head => Asked::Head,
        None => Asked::Other,
    };
    let refuse = |error| Failed { error, unanswered: false };
    let mut head = request.encode().map_err(refuse)?;
    let length = request.announced_length().map_err(refuse)?;
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
    let mut heads = ResponseHeads::new(stream, limits, asked);
    if request.expect_continue {
        match tokio::time::timeout(CONTINUE_PATIENCE, receive(&mut heads, request, true)).await {
            Ok(Ok(incoming)) if incoming.head.status == 100 => {}
            Ok(Ok(incoming)) => return Ok(Incoming { facts: closing(incoming.facts), ..incoming }),
            Ok(Err(failed)) => return Err(failed),
            Err(_over) => {}
        }
    }
    let Some(body) = rest_of_body else { return receive(&mut heads, request, false).await };
    let mut upload: Option<Upload> =
        Some(Box::pin(send_body(stream.clone(), body.clone(), length, request.send_timeout)));
    let mut receiving = pin!(receive(&mut heads, request, false));
    poll_fn(|cx| {
        if let Some(sending) = &mut upload
            && let Poll::Ready(result) = sending.as_mut().poll(cx)
        {
            upload = None;
            match result {
                // The connection failed; whether there is a response tells the other half.
                Ok(()) | Err(HttpClientError::Closed(_)) => {}
                Err(error) => return Poll::Ready(Err(Failed { error, unanswered: false })),
            }
        }
        let Poll::Ready(result) = receiving.as_mut().poll(cx) else { return Poll::Pending };
        Poll::Ready(result.map(|incoming| match upload.take() {
            None => incoming,
            Some(_) if incoming.head.status >= 300 => Incoming { facts: closing(incoming.facts), ..incoming },
            upload => Incoming { upload, ..incoming },
        }))
    })
    .await
}

fn closing(facts: ResponseFacts) -> ResponseFacts {
    ResponseFacts { keep_alive: false, ..facts }
}

async fn send_body(
    stream: IoStream,
    body: Body,
    length: Option<u64>,
    patience: Option<Duration>,
) -> Result<(), HttpClientError> {
    match body {
        Body::None => Ok(()),
        Body::Bytes(body) => match stream.taken_within(patience, stream.write_bytes(body)).await {
            Ok(sent) => Ok(sent?),
            Err(Stalled) => Err(HttpClientError::Timeout(TIMEOUT_SENDING)),
        },
        Body::Producer(producer) => {
            let writer = BodyWriter::new(stream, length, patience);
            let produced = producer(writer.clone()).await;
            writer.finish(produced).await
        }
    }
}

/// Reads heads until one is not interim (RFC 9110 §15.2), or, where it is waited for, a 100.
async fn receive(
    heads: &mut ResponseHeads<'_>,
    request: &Outgoing<'_>,
    wants_continue: bool,
) -> Result<Incoming, Failed> {
    // An interim response may have said so, too.
    let mut keep_alive = true;
    loop {
        let (head, mut facts) = match heads.next().await {
            Ok(received) => received,
            Err(error) => {
                let unanswered = matches!(error, HeadError::Closed(_)) && heads.is_unanswered();
                return Err(Failed { error: error.into(), unanswered });
            }
        };
        keep_alive &= facts.keep_alive;
        facts.keep_alive = keep_alive;
        match head.status {
            100 if wants_continue => return Ok(Incoming { head, facts, upload: None }),
            100 | 102..=199 => {
                if let Some(tell) = request.on_interim {
                    tell(&head);
                }
            }
            // What follows is no HTTP.
            101 if request.headers.contains("Upgrade") => {
                return Ok(Incoming { head, facts: closing(facts), upload: None });
            }
            101 => return Err(Failed { error: ParseError::UnaskedUpgrade.into(), unanswered: false }),
            _ => return Ok(Incoming { head, facts, upload: None }),
        }
    }
}
