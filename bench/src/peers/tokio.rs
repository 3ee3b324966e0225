//! squall's floor: the raw server's answers from a task per connection on tokio's current-thread runtime.
//!
//! Settings: `runtime` = `local` (LocalRuntime) | `set` (LocalSet); `read` = `poll` | `try`;
//! `event_interval` and `global_queue_interval` as in tokio's builder.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::ready;

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
    /// `readable().await` and `try_read`: only an EAGAIN tells tokio that the socket is drained.
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
        let buffers = Rc::clone(&buffers);
        tokio::task::spawn_local(async move {
            // An error of one connection ends that connection.
            let _ = match read {
                Read::Poll => poll_reads(stream, &buffers).await,
                Read::Try => try_reads(stream, &buffers).await,
            };
        });
    }
}

async fn poll_reads(mut stream: TcpStream, buffers: &RefCell<Buffers>) -> std::io::Result<()> {
    let mut requests = Requests::default();
    poll_fn(|context| {
        loop {
            let Buffers { input, answers } = &mut *buffers.borrow_mut();
            let mut input = ReadBuf::new(input);
            ready!(Pin::new(&mut stream).poll_read(context, &mut input))?;
            if input.filled().is_empty() {
                return std::task::Poll::Ready(Ok(()));
            }
            write_answers(&stream, &mut requests, input.filled(), answers)?;
        }
    })
    .await
}

async fn try_reads(stream: TcpStream, buffers: &RefCell<Buffers>) -> std::io::Result<()> {
    let mut requests = Requests::default();
    loop {
        stream.readable().await?;
        let Buffers { input, answers } = &mut *buffers.borrow_mut();
        match stream.try_read(input) {
            Ok(0) => return Ok(()),
            Ok(count) => write_answers(&stream, &mut requests, &input[..count], answers)?,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// As in the raw server, a client that does not read its answers is dropped.
fn write_answers(
    stream: &TcpStream,
    requests: &mut Requests,
    input: &[u8],
    answers: &mut Vec<u8>,
) -> std::io::Result<()> {
    answers.clear();
    requests.answer(input, answers);
    if !answers.is_empty() && stream.try_write(answers)? != answers.len() {
        return Err(std::io::ErrorKind::WriteZero.into());
    }
    Ok(())
}
