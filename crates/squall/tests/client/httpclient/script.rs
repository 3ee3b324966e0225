//! A server that plays scripts: for each connection, what to wait for and what to answer.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One step on a connection.
#[derive(Clone)]
pub(crate) enum Step {
    /// Read until these bytes have come.
    Until(&'static str),
    /// Send these bytes.
    Send(Vec<u8>),
    /// Do nothing for a while.
    Pause(Duration),
    /// Send nothing more until the peer closes.
    Stall,
    /// Send these bytes again and again, a little later each time, until the peer closes.
    Forever(&'static str, Duration),
    /// Close with a reset.
    Reset,
}

pub(crate) use Step::{Forever, Pause, Reset, Stall, Until};

pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// A request without a body is read, then this is sent.
pub(crate) fn answer(bytes: impl AsRef<[u8]>) -> Vec<Step> {
    vec![Until("\r\n\r\n"), send(bytes)]
}

/// [`answer`], several times on one connection.
pub(crate) fn answers(bytes: &str, times: usize) -> Vec<Step> {
    vec![answer(bytes); times].concat()
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What was received on each connection so far.
    seen: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Server {
    /// Plays the scripts on connections in the order in which they come; the last one also on those after it.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        Self::listening("127.0.0.1:0", scripts).await
    }

    /// [`start`](Self::start), on another address.
    pub(crate) async fn listening(address: &str, scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
        let log = Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                log.borrow_mut().push(Vec::new());
                let script = scripts[number.min(scripts.len() - 1)].clone();
                tokio::task::spawn_local(play(stream, script, Rc::clone(&log), number));
            }
        });
        Self { address, seen }
    }

    /// One script for every connection.
    pub(crate) async fn playing(script: Vec<Step>) -> Self {
        Self::start(vec![script]).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was received on each connection.
    pub(crate) fn octets(&self) -> Vec<Vec<u8>> {
        self.seen.borrow().clone()
    }

    /// What was received on each connection, as text.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

async fn play(mut stream: TcpStream, script: Vec<Step>, log: Rc<RefCell<Vec<Vec<u8>>>>, number: usize) {
    let mut unread: Vec<u8> = Vec::new();
    for step in script {
        match step {
            Until(mark) => loop {
                let found = unread.windows(mark.len()).position(|window| window == mark.as_bytes());
                if let Some(at) = found {
                    unread.drain(..at + mark.len());
                    break;
                }
                let mut piece = [0; 4096];
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        unread.extend_from_slice(&piece[..count]);
                        log.borrow_mut()[number].extend_from_slice(&piece[..count]);
                    }
                }
            },
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Pause(time) => tokio::time::sleep(time).await,
            Forever(bytes, pause) => {
                while stream.write_all(bytes.as_bytes()).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return;
            }
            Stall => {
                let mut piece = [0; 4096];
                while matches!(stream.read(&mut piece).await, Ok(1..)) {}
                return;
            }
            Reset => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
    // An orderly end: the peer gets all that was sent, whatever it still sends itself.
    let _ = stream.shutdown().await;
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        log.borrow_mut()[number].extend_from_slice(&piece[..count]);
    }
}
