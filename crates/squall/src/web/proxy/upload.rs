//! A request's body on its way through the proxy.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::context::Context;
use super::super::error::Result;
use super::super::execute::ClientLeft;
use super::super::receive::{BodyChannel, Ready};
use super::onward::BodyKind;
use crate::httpclient::BodyWriter;
use crate::httputil::HttpHeaders;

/// A body of at most this length that has come with its head goes on in one piece with it; and so much of one is kept
/// that the request can be sent once more if a kept connection turns out to be dead.
const SMALL_BODY: usize = 64 * 1024;

/// How a request's body is sent on.
#[derive(Clone)]
pub(super) enum Sent {
    Nothing,
    Whole(Bytes),
    Pieces(Rc<Pieces>),
}

/// The end is told, so that a body that broke off is not taken for a whole one.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    /// With what stood behind the body.
    End(Option<Rc<HttpHeaders>>),
}

/// Takes the body's pieces from the connection, if they are not all there already.
pub(super) type Feed<'a> = Pin<Box<dyn Future<Output = Result<Fed>> + 'a>>;

/// How far the body has been taken from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    Going,
    Whole,
    /// The upstream wants no more of it.
    Unwanted,
}

/// Begins with what has come of the body; what is still to come is sent on as it comes.
///
/// # Errors
/// When the client has left.
pub(super) async fn begin(ctx: &Context, kind: BodyKind) -> Result<(Sent, Option<Feed<'_>>)> {
    let body = match (&ctx.body, kind) {
        (None, _) | (_, BodyKind::None) => return Ok((Sent::Nothing, None)),
        (_, BodyKind::Length(0)) => return Ok((Sent::Whole(Bytes::new()), None)),
        (Some(body), _) => &**body,
    };
    let mut first = Vec::new();
    while let BodyKind::Length(length) = kind
        && length <= SMALL_BODY as u64
    {
        match body.ready().await {
            Ready::Piece(piece) => first.extend_from_slice(&piece),
            Ready::End if body.is_cut_off() => return Err(ClientLeft.into()),
            Ready::End => return Ok((Sent::Whole(first.into()), None)),
            Ready::Later => break,
        }
    }
    let (sender, pieces) = mpsc::channel(1);
    let source = Source { pieces, taken: Some(Vec::new()), bytes: 0 };
    let feed: Feed<'_> = Box::pin(feed(body, sender, first.into()));
    Ok((Sent::Pieces(Rc::new(Pieces(RefCell::new(Some(source))))), Some(feed)))
}

async fn feed(body: &BodyChannel, sender: mpsc::Sender<Piece>, first: Bytes) -> Result<Fed> {
    let mut next = Some(first);
    while let Some(piece) = next {
        if !piece.is_empty() && sender.send(Piece::Data(piece)).await.is_err() {
            return Ok(Fed::Unwanted);
        }
        next = tokio::select! {
            biased;
            next = body.next() => next,
            () = sender.closed() => return Ok(Fed::Unwanted),
        };
    }
    if body.is_cut_off() {
        return Err(ClientLeft.into());
    }
    // Nobody listens any more when the upstream has answered already.
    let _ = sender.send(Piece::End(body.trailers.get().cloned().map(Rc::new))).await;
    Ok(Fed::Whole)
}

/// The pieces, for whoever sends the request.
pub(super) struct Pieces(RefCell<Option<Source>>);

struct Source {
    pieces: mpsc::Receiver<Piece>,
    /// What has been taken from it, until that is too much to be kept.
    taken: Option<Vec<Piece>>,
    bytes: usize,
}

impl Source {
    async fn next(&mut self) -> Option<Piece> {
        let piece = self.pieces.recv().await?;
        if let Piece::Data(data) = &piece {
            self.bytes += data.len();
        }
        if self.bytes > SMALL_BODY {
            self.taken = None;
        }
        if let Some(taken) = &mut self.taken {
            taken.push(piece.clone());
        }
        Some(piece)
    }
}

/// Gives the source back when a request comes to nothing, for the next try.
struct Borrowed<'a> {
    from: &'a Pieces,
    source: Option<Source>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.from.0.replace(self.source.take().filter(|source| source.taken.is_some()));
    }
}

impl Pieces {
    /// Passes the pieces on.
    ///
    /// # Errors
    /// When the client leaves before the end, or what has been sent before is not there to be sent again.
    pub(super) async fn produce(&self, writer: BodyWriter) -> Result<(), Box<dyn std::error::Error>> {
        let mut borrowed = Borrowed { from: self, source: self.0.borrow_mut().take() };
        let Some(source) = &mut borrowed.source else { return Err("the body cannot be sent twice".into()) };
        for piece in source.taken.clone().unwrap_or_default() {
            match piece {
                Piece::Data(bytes) => writer.write(bytes).await?,
                Piece::End(trailers) => return end(&writer, trailers),
            }
        }
        loop {
            match source.next().await {
                Some(Piece::Data(bytes)) => writer.write(bytes).await?,
                Some(Piece::End(trailers)) => return end(&writer, trailers),
                None => return Err("the client left in the middle of the body".into()),
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a producer returns")]
fn end(writer: &BodyWriter, trailers: Option<Rc<HttpHeaders>>) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(trailers) = trailers {
        writer.set_trailers((*trailers).clone());
    }
    Ok(())
}
