//! One request and the head of its response on one connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http::Method;

use super::body::{BodyWriter, Way};
use super::error::{HttpClientError, TimedOut};
use super::request::Body;
use super::wire::Outgoing;
use crate::http1::ParseError;
use crate::http1::response::{Asked, ResponseFacts, ResponseHead};
use crate::http1connection::{HeadError, ResponseHeads};
use crate::httputil::ConnectionLimits;
use crate::iostream::{IoStream, Stalled};

/// A response's head, and how it goes on.
pub(super) struct Answer<R> {
    pub(super) head: ResponseHead,
    pub(super) rest: R,
    /// What is still to be sent of the request.
    pub(super) upload: Option<Upload>,
}

impl<R> Answer<R> {
    pub(super) fn with_rest<T>(self, make: impl FnOnce(R) -> T) -> Answer<T> {
        Answer { head: self.head, rest: make(self.rest), upload: self.upload }
    }
}

/// The rest of a request's body on its way.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<(), HttpClientError>>>>;

/// An exchange that came to nothing.
pub(super) struct Failed {
    pub(super) error: HttpClientError,
    pub(super) again: Again,
}

/// Whether a request may be sent again.
#[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "as with the feature"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The server may have done what it asks for, and has said so or not.
    Never,
    /// Not a byte of a response had come: a connection that was kept open may just have been closed by the server.
    Unanswered,
    /// The server has not looked at it.
    Unprocessed,
    /// The server wants it over HTTP/1.1.
    OverHttp1,
}

impl From<HttpClientError> for Failed {
    fn from(error: HttpClientError) -> Self {
        Self { error, again: Again::Never }
    }
}

/// Gives the heads that answer one request.
pub(super) trait Heads {
    /// How what follows a head is found.
    type Rest;

    async fn next(&mut self) -> Result<(ResponseHead, Self::Rest), Failed>;

    /// The connection serves no other request.
    fn closing(rest: Self::Rest) -> Self::Rest;
}

/// Those of HTTP/1.1.
struct Lines<'a> {
    heads: ResponseHeads<'a>,
    /// An interim response may have said so, too.
    keep_alive: bool,
}

impl Heads for Lines<'_> {
    type Rest = ResponseFacts;

    async fn next(&mut self) -> Result<(ResponseHead, ResponseFacts), Failed> {
        match self.heads.next().await {
            Ok((head, mut facts)) => {
                self.keep_alive &= facts.keep_alive;
                facts.keep_alive = self.keep_alive;
                Ok((head, facts))
            }
            Err(error) => {
                let unanswered = matches!(error, HeadError::Closed(_)) && self.heads.is_unanswered();
                let again = if unanswered { Again::Unanswered } else { Again::Never };
                Err(Failed { error: error.into(), again })
            }
        }
    }

    fn closing(facts: ResponseFacts) -> ResponseFacts {
        ResponseFacts { keep_alive: false, ..facts }
    }
}

/// So long a body waits for the server to agree (RFC 9110 §10.1.1: not without end; curl's time).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// Bodies up to this size go out with their head, in one packet where it fits.
const SMALL_BODY: usize = 16 * 1024;

/// Sends the request over HTTP/1.1 and receives the head of its final response.
pub(super) async fn exchange(
    stream: &IoStream,
    request: &Outgoing<'_>,
    limits: &ConnectionLimits,
) -> Result<Answer<ResponseFacts>, Failed> {
    let is_head = *request.method == Method::HEAD;
    let asked = match request.verbatim {
        Some(_) => Asked::Forwarded { is_head },
        None if is_head => Asked::Head,
        None => Asked::Other,
    };
    let mut head = request.encode()?;
    let mut length = None;
    let mut rest_of_body = None;
    if !matches!(request.body, Body::None) {
        length = request.announced_length()?;
        match request.body {
            Body::Bytes(body) if !request.expect_continue && body.len() <= SMALL_BODY => {
                head.extend_from_slice(body);
            }
            other => rest_of_body = Some(other),
        }
    }
    // What becomes of it shows when the response is read; a response may be there although the write failed.
    drop(stream.write(head));
    let mut heads = Lines { heads: ResponseHeads::new(stream, limits, asked), keep_alive: true };
    let upload = rest_of_body.map(|body| -> Upload {
        let way = Way::Http1(stream.clone());
        Box::pin(send_body(way, body.clone(), length, request.send_timeout))
    });
    receive_while_sending(&mut heads, request, upload).await
}

/// Receives the head of the final response. It may come before the body has been sent: the rest of the body is then sent
/// beside the reading of the response, or not at all if that is a redirect or an error (RFC 9112 §9.3), and the connection
/// of HTTP/1.1 then serves no other request.
pub(super) async fn receive_while_sending<H: Heads>(
    heads: &mut H,
    request: &Outgoing<'_>,
    mut upload: Option<Upload>,
) -> Result<Answer<H::Rest>, Failed> {
    let closing = |answer: Answer<H::Rest>| Answer { rest: H::closing(answer.rest), ..answer };
    if request.expect_continue {
        match tokio::time::timeout(CONTINUE_PATIENCE, receive(heads, request, true)).await {
            Ok(Ok(answer)) if answer.head.status == 100 => {}
            Ok(Ok(answer)) => return Ok(closing(answer)),
            Ok(Err(failed)) => return Err(failed),
            Err(_over) => {}
        }
    }
    if upload.is_none() {
        return receive(heads, request, false).await;
    }
    let mut receiving = pin!(receive(heads, request, false));
    poll_fn(|cx| {
        if let Some(sending) = &mut upload
            && let Poll::Ready(result) = sending.as_mut().poll(cx)
        {
            upload = None;
            match result {
                // The connection failed; whether there is a response tells the other half.
                Ok(()) | Err(HttpClientError::Closed(_)) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let Poll::Ready(result) = receiving.as_mut().poll(cx) else { return Poll::Pending };
        Poll::Ready(result.map(|answer| match upload.take() {
            None => answer,
            Some(_) if answer.head.status >= 300 => closing(answer),
            upload => Answer { upload, ..answer },
        }))
    })
    .await
}

pub(super) async fn send_body(
    way: Way,
    body: Body,
    length: Option<u64>,
    patience: Option<Duration>,
) -> Result<(), HttpClientError> {
    match body {
        Body::None => Ok(()),
        Body::Bytes(body) => match way.finish(body, patience).await {
            Ok(sent) => sent,
            Err(Stalled) => Err(HttpClientError::Timeout(TimedOut::Sending)),
        },
        Body::Producer(producer) => {
            let writer = BodyWriter::new(way, length, patience);
            let produced = producer(writer.clone()).await;
            writer.finish(produced).await
        }
    }
}

/// Reads heads until one is not interim (RFC 9110 §15.2), or, where it is waited for, a 100.
async fn receive<H: Heads>(
    heads: &mut H,
    request: &Outgoing<'_>,
    wants_continue: bool,
) -> Result<Answer<H::Rest>, Failed> {
    loop {
        let (head, rest) = heads.next().await?;
        match head.status {
            100 if wants_continue => return Ok(Answer { head, rest, upload: None }),
            100 | 102..=199 => {
                if let Some(tell) = request.on_interim {
                    tell(&head);
                }
            }
            // What follows is no HTTP.
            101 if request.headers.contains("Upgrade") => {
                return Ok(Answer { head, rest: H::closing(rest), upload: None });
            }
            101 => return Err(HttpClientError::from(ParseError::UnaskedUpgrade).into()),
            _ => return Ok(Answer { head, rest, upload: None }),
        }
    }
}
