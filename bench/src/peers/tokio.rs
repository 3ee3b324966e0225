//! squall's floor: the raw server's answers from a task per connection on tokio's current-thread runtime.
//!
//! Settings: `runtime` = `local` (LocalRuntime) | `set` (LocalSet); `read` = `poll` | `try`;
//! `event_interval` and `global_queue_interval` as in tokio's builder.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::LocalSet;

use super::Settings;
use super::canned::Requests;
use crate::Result;

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    let mut builder = Builder::new_current_thread();
    builder.enable_io();
    let mut read = Read::Poll;
    let mut runtime = "local";
    for (key, value) in settings {
        match (key.as_str(), value.as_str()) {
            ("event_interval", value) => _ = builder.event_interval(value.parse()?),
            ("global_queue_interval", value) => _ = builder.global_queue_interval(value.parse()?),
            ("runtime", value) => runtime = value,
            ("read", "poll") => read = Read::Poll,
            ("read", "try") => read = Read::Try,
            _ => return Err(format!("tokio knows no setting {key}={value}").into()),
        }
    }
    listener.set_nonblocking(true)?;
    match runtime {
        "local" => builder.build_local(LocalOptions::default())?.block_on(accept(listener, read)),
        "set" => LocalSet::new().block_on(&builder.build()?, accept(listener, read)),
        _ => Err(format!("tokio knows no runtime {runtime}").into()),
    }
}

#[derive(Clone, Copy)]
enum Read {
    /// `poll_read`: a short read tells tokio that the socket is drained, so no read ever ends in EAGAIN.
    Poll,
    /// `poll_read_ready` and `try_read`: only an EAGAIN tells tokio that the socket is drained.
    Try,
}

/// One buffer of each kind for all connections: an idle connection owns none.
struct Buffers {
    input: Vec<u8>,
    answers: Vec<u8>,
}

async fn accept(listener: TcpListener, read: Read) -> Result {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let buffers = Rc::new(RefCell::new(Buffers { input: vec![0; 64 * 1024], answers: Vec::new() }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut connection =
            Connection { stream, requests: Requests::default(), buffers: Rc::clone(&buffers) };
        // Not an `async fn`, which would hold its arguments twice: an idle connection costs what its task's future weighs.
        tokio::task::spawn_local(poll_fn(move |context| connection.poll(context, read)));
    }
}

struct Connection {
    stream: TcpStream,
    requests: Requests,
    buffers: Rc<RefCell<Buffers>>,
}

impl Connection {
    /// Ready when the connection is over, for whatever reason.
    fn poll(&mut self, context: &mut Context, read: Read) -> Poll<()> {
        let Buffers { input, answers } = &mut *self.buffers.borrow_mut();
        loop {
            let count = match read {
                Read::Poll => {
                    let mut input = ReadBuf::new(input);
                    let outcome = ready!(Pin::new(&mut self.stream).poll_read(context, &mut input));
                    outcome.map(|()| input.filled().len())
                }
                Read::Try => {
                    if ready!(self.stream.poll_read_ready(context)).is_err() {
                        return Poll::Ready(());
                    }
                    match self.stream.try_read(input) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                        outcome => outcome,
                    }
                }
            };
            let Ok(count @ 1..) = count else { return Poll::Ready(()) };
            answers.clear();
            self.requests.answer(&input[..count], answers);
            // As in the raw server, a client that does not read its answers is dropped.
            let written = answers.is_empty()
                || self.stream.try_write(answers).is_ok_and(|count| count == answers.len());
            if !written {
                return Poll::Ready(());
            }
        }
    }
}
