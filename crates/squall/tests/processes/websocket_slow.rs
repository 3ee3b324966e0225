//! Subscribers that stop reading: the others get everything, and what waits for the slow ones is bounded.
//!
//! Both ends are in this process. Nothing depends on time: the next message goes out when everybody who reads has the
//! one before.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use squall::websocket::{Broadcaster, Membership, Message, WebSocket, WebSocketHandler};
use squall::websocket::{WebSocketOptions, WhenFull, ws};
use squall::{Application, Context, HttpServer, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// As many as there are descriptors for, at two for each connection, up to this.
const MANY: usize = 10_000;
/// Bytes of a message, and of what may wait for one subscriber.
const MESSAGE: usize = 2000;
const QUEUE: usize = 10_000;
/// Of the kernel, each way; it doubles them. They are small so that a slow subscriber fills them soon.
const KERNEL_BUFFER: usize = 4096;
const ROOM: &str = "all";
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("who_reads_gets_everything_while_a_tenth_does_not", || {
        super::run(LIMIT, who_reads_gets_everything_while_a_tenth_does_not());
    }),
    ("who_does_not_read_is_closed_and_the_others_get_everything", || {
        super::run(LIMIT, who_does_not_read_is_closed_and_the_others_get_everything());
    }),
];
const LIMIT: Duration = Duration::from_secs(300);

async fn who_reads_gets_everything_while_a_tenth_does_not() {
    const ROUNDS: usize = 40;
    /// What only the slow ones are sent, so that their queues hold messages of their own, which nobody shares.
    const PERSONAL: usize = 10;

    let mut crowd = Crowd::gather(connections_possible(MANY), WhenFull::DropOldest).await;
    let before = resident();
    for round in 0..ROUNDS {
        assert_eq!(crowd.say(round), crowd.len(), "everybody's queue takes it");
        for slow in crowd.slow.borrow().iter() {
            for _ in 0..PERSONAL {
                slow.try_write(text(round)).unwrap();
            }
            // Beyond the queue: the message that is on its way to the kernel.
            let waiting = slow.buffered_amount();
            assert!(waiting <= QUEUE + MESSAGE + 4, "{waiting} bytes wait for one");
        }
        crowd.everyone_hears(round).await;
    }
    for slow in crowd.slow.borrow().iter() {
        assert!(slow.buffered_amount() > QUEUE - MESSAGE, "their queues are full, or this shows nothing");
        assert!(!slow.is_closed());
    }
    // Twice the bound of the queues, as an allocator rounds up, and some for the buffers of all others.
    let slow = crowd.slow.borrow().len();
    let (grown, allowed) = (resident().saturating_sub(before), 2 * slow * (QUEUE + MESSAGE) + 24_000_000);
    let sent = slow * ROUNDS * (PERSONAL + 1) * MESSAGE;
    println!("{} subscribers, {slow} slow: {sent} bytes for them, {grown} more in use", crowd.len());
    assert!(grown <= allowed, "{grown} bytes more than before are in use, allowed are {allowed}");
}

async fn who_does_not_read_is_closed_and_the_others_get_everything() {
    let mut crowd = Crowd::gather(200, WhenFull::Close).await;
    let readers = crowd.readers.len();
    let slow = crowd.slow.borrow().clone();
    let mut round = 0;
    while !slow.iter().all(WebSocket::is_closed) {
        assert!(crowd.say(round) >= readers);
        crowd.everyone_hears(round).await;
        round += 1;
        assert!(round < 1000, "they are never closed");
    }
    // They do not answer the close frame either: they are dropped, and leave the room.
    let left = async {
        while crowd.len() > readers {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, left).await.expect("the slow ones leave the room");
    for slow in slow {
        // The queue is gone; what was on its way to the kernel, and the close frame, need not be.
        assert!(slow.buffered_amount() <= MESSAGE + 4 + 127, "{} bytes still wait", slow.buffered_amount());
    }
    assert_eq!(crowd.say(round), readers);
    crowd.everyone_hears(round).await;
}

/// Subscribers of whom one in ten does not read.
struct Crowd {
    _server: HttpServer,
    room: Broadcaster,
    /// The server's ends of the slow connections.
    slow: Rc<RefCell<Vec<WebSocket>>>,
    /// The clients' ends of the slow connections, kept open.
    _idle: Vec<TcpStream>,
    readers: Vec<TcpStream>,
}

impl Crowd {
    async fn gather(count: usize, when_full: WhenFull) -> Self {
        let (room, slow) = (Broadcaster::new(), Rc::default());
        let subscriber = Subscriber {
            room: room.clone(),
            slow: Rc::clone(&slow),
            is_slow: false,
            when_full,
            member: None,
        };
        let server = HttpServer::new(move || Application::new([ws("/{kind}", subscriber.clone())]));
        // Accepted connections inherit the buffer's size.
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.set_send_buffer_size(KERNEL_BUFFER).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(128).unwrap();
        let listener: std::net::TcpListener = listener.into();
        let at = listener.local_addr().unwrap();
        server.add_sockets([listener.into()]).unwrap();
        let mut crowd = Self { _server: server, room, slow, _idle: Vec::new(), readers: Vec::new() };
        for number in 0..count {
            let is_slow = number % 10 == 0;
            let client = subscribe(at, if is_slow { "slow" } else { "fast" }).await;
            if is_slow { &mut crowd._idle } else { &mut crowd.readers }.push(client);
        }
        let joined = async {
            while crowd.len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, joined).await.expect("everybody joins");
        assert_eq!(crowd.slow.borrow().len(), count.div_ceil(10));
        crowd
    }

    fn len(&self) -> usize {
        self.room.len(ROOM)
    }

    /// Says it to everybody; gives how many took it.
    fn say(&self, round: usize) -> usize {
        self.room.broadcast(ROOM, text(round))
    }

    /// Everybody who reads has this message next.
    async fn everyone_hears(&mut self, round: usize) {
        let mut expected = vec![0x81, 126];
        expected.extend_from_slice(&(MESSAGE as u16).to_be_bytes());
        expected.extend_from_slice(text(round).as_bytes());
        let mut got = vec![0; expected.len()];
        for (number, reader) in self.readers.iter_mut().enumerate() {
            let read = tokio::time::timeout(DEADLINE, reader.read_exact(&mut got)).await;
            read.unwrap_or_else(|_| panic!("reader {number} waits for message {round}")).unwrap();
            assert!(got == expected, "reader {number} got something else than message {round}");
        }
    }
}

/// A message that tells its number.
fn text(round: usize) -> String {
    format!("{round:0MESSAGE$}")
}

async fn subscribe(at: SocketAddr, kind: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(KERNEL_BUFFER as u32).unwrap();
    let mut stream = socket.connect(at).await.unwrap();
    let request = format!(
        "GET /{kind} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(DEADLINE, stream.read_buf(&mut head)).await.expect("an answer");
        assert_ne!(read.unwrap(), 0, "the end after {}", head.escape_ascii());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    stream
}

/// The server's end.
#[derive(Clone)]
struct Subscriber {
    room: Broadcaster,
    slow: Rc<RefCell<Vec<WebSocket>>>,
    is_slow: bool,
    when_full: WhenFull,
    member: Option<Rc<Membership>>,
}

impl WebSocketHandler for Subscriber {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.is_slow = ctx.path_arg_str("kind")? == "slow";
        Ok(())
    }

    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        defaults.queue(QUEUE, self.when_full).close_timeout(Duration::from_millis(50))
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        if self.is_slow {
            self.slow.borrow_mut().push(ws.clone());
        }
        self.member = Some(Rc::new(self.room.join(ROOM, ws)));
        Ok(())
    }

    async fn on_message(&mut self, _ws: &WebSocket, _message: Message) -> Result {
        Ok(())
    }
}

/// Up to `wanted`, after the limit of descriptors was raised as far as it goes. Some are for everything else.
fn connections_possible(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = maximum.unwrap_or(u64::MAX).min(3 * wanted as u64);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    wanted.min((usize::try_from(current).unwrap_or(usize::MAX).saturating_sub(600)) / 2)
}

/// Bytes of memory that this process has in use.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}
