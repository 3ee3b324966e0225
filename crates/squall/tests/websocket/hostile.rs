//! Peers that mean ill: what they can make the server do is bounded, and the others do not notice.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use squall::testing::TestServer;
use squall::websocket::{CompressionOptions, Message, WebSocket, WebSocketHandler, WebSocketOptions, ws};
use squall::{Application, Context, HttpServer, Result};

use crate::support::{Client, handshake, raw_frame, server_close, server_frame, text, within};

/// Most bytes of a message.
const MAX: usize = 100_000;

/// Echoes; keeps its sockets for the test to look at, and tells how many connections have ended.
#[derive(Clone, Default)]
struct Echo {
    sockets: Rc<RefCell<Vec<WebSocket>>>,
    ended: Rc<RefCell<usize>>,
}

impl WebSocketHandler for Echo {
    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        Some(CompressionOptions::new())
    }

    fn options(&self, ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        let defaults = defaults.max_message_size(MAX).close_timeout(Duration::from_millis(200));
        if ctx.request().path() == "/pinging" {
            defaults.ping_interval(Duration::from_millis(50))
        } else {
            defaults
        }
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.sockets.borrow_mut().push(ws.clone());
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }

    async fn on_close(&mut self, _ws: &WebSocket) -> Result {
        *self.ended.borrow_mut() += 1;
        Ok(())
    }
}

impl Echo {
    fn serve(&self) -> TestServer {
        squall::testing::serve(Application::new([ws("/ws", self.clone()), ws("/pinging", self.clone())]))
    }

    async fn ends(&self, count: usize) {
        within("the connection to end", async {
            while *self.ended.borrow() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A client on a thread of its own that sends `first` once and `flood` again and again, and drops what comes back.
struct Flooder {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flooder {
    fn start(port: u16, first: Vec<u8>, flood: Vec<u8>, reads: bool) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(handshake("/ws", OFFER).as_bytes()).unwrap();
        let mut threads = Vec::new();
        if reads {
            let mut stream = stream.try_clone().unwrap();
            threads.push(std::thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
            }));
        }
        let (stopped, total) = (Arc::clone(&stop), Arc::clone(&sent));
        threads.push(std::thread::spawn(move || {
            let _ = stream.write_all(&first);
            // A server that reads no more is not waited for, beyond the end of the test.
            stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                match stream.write(&flood) {
                    Ok(n) if n == flood.len() => {
                        total.fetch_add(n as u64, Ordering::Relaxed);
                    }
                    // Not all of it: the rest has to follow, or the frames would be others.
                    Ok(n) => {
                        let mut rest = &flood[n..];
                        while !rest.is_empty() && !stopped.load(Ordering::Relaxed) {
                            match stream.write(rest) {
                                Ok(n) => rest = &rest[n..],
                                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                                Err(_) => return,
                            }
                        }
                        total.fetch_add(flood.len() as u64, Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return, // the server has had enough
                }
            }
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }));
        Self { stop, sent, threads }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.threads.iter().all(std::thread::JoinHandle::is_finished)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// While it lasts a second client is served, and nothing piles up.
#[squall::test(timeout = 120)]
async fn floods_starve_nobody() {
    for (row, first, frame, reads) in [
        ("empty fragments", raw_frame(0x01, b""), raw_frame(0x00, b""), true),
        ("pings between fragments", raw_frame(0x01, b"x"), raw_frame(0x89, b"p"), true),
        ("pings", Vec::new(), raw_frame(0x89, &[b'p'; 125]), true),
        ("pings whose pongs are not read", Vec::new(), raw_frame(0x89, &[b'p'; 125]), false),
        ("pongs", Vec::new(), raw_frame(0x8a, b""), true),
        ("tiny messages", Vec::new(), raw_frame(0x81, b"x"), true),
        ("tiny messages whose echoes are not read", Vec::new(), raw_frame(0x81, b"x"), false),
        ("tiny compressed messages", Vec::new(), raw_frame(0xc1, b"\x00"), true),
    ] {
        let handler = Echo::default();
        let server = handler.serve();
        let flooder = Flooder::start(server.port(), first, frame.repeat(1000), reads);
        within("the flood to begin", async {
            while flooder.sent() < 100_000 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let mut client = Client::open(&server, "/ws").await;
        for number in 0..20 {
            let message = format!("message {number}");
            client.send(text(&message)).await;
            client.expect(server_frame(0x81, message.as_bytes())).await;
            let waiting = handler.sockets.borrow()[0].buffered_amount();
            assert!(waiting < 3_000_000, "{row}: {waiting} bytes wait for the flooder");
        }
        assert!(!flooder.is_over(), "{row}: it was to go on");
        println!("{row}: {} bytes came in meanwhile", flooder.sent());
        flooder.stop();
        handler.ends(1).await;
    }
}

/// Who is refused and goes on sending is left.
#[squall::test(timeout = 60)]
async fn floods_that_are_refused_end() {
    for (row, first, flood) in [
        ("fragments", raw_frame(0x01, b"x"), raw_frame(0x00, b"xx").repeat(1000)),
        ("compressed fragments that amount to nothing", raw_frame(0x41, b""), {
            raw_frame(0x00, b"\x00\x00\x00\xff\xff").repeat(1000)
        }),
        ("garbage", Vec::new(), vec![0xff; 10_000]),
        ("messages after a close frame", raw_frame(0x88, b""), text("x").repeat(1000)),
    ] {
        let handler = Echo::default();
        let server = handler.serve();
        let flooder = Flooder::start(server.port(), first, flood, true);
        handler.ends(1).await;
        within("the flooder to be cut off", async {
            while !flooder.is_over() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        println!("{row}: over after {} bytes", flooder.sent());
        flooder.stop();
    }
}

#[squall::test]
async fn many_tiny_frames_are_all_answered() {
    const COUNT: usize = 50_000;
    let server = Echo::default().serve();
    let mut client = Client::open(&server, "/ws").await;
    // As many answers as the server's queue and the kernel hold at a time.
    for _ in 0..COUNT / 10_000 {
        client.send(text("x").repeat(10_000)).await;
        client.expect(server_frame(0x81, b"x").repeat(10_000)).await;
    }
    // One message in as many frames.
    let mut frames = raw_frame(0x01, b"");
    frames.extend(raw_frame(0x00, b"y").repeat(COUNT));
    client.send(frames).await;
    client.send(raw_frame(0x80, b"")).await;
    assert_eq!(client.frame().await, (0x81, vec![b'y'; COUNT]));
}

/// What inflates a thousandfold.
fn bomb(size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size / 500 + 1000);
    Compress::new(Compression::best(), false)
        .compress_vec(&vec![b'0'; size], &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

#[squall::test]
async fn bombs_go_off_at_the_limit() {
    let server = Echo::default().serve();
    let refused = server_close(1009, "message too big after decompression");
    let bomb_of_30_mb = bomb(30_000_000);
    assert!(bomb_of_30_mb.len() < MAX, "it has to pass the limit on the wire");
    let mut in_fragments = raw_frame(0x41, b"");
    for piece in bomb_of_30_mb.chunks(100) {
        in_fragments.extend(raw_frame(0x00, piece));
    }
    in_fragments.extend(raw_frame(0x80, b""));
    for (row, bytes) in [
        ("one frame", raw_frame(0xc1, &bomb_of_30_mb)),
        ("fragments", in_fragments),
        ("a byte too many", raw_frame(0xc1, &bomb(MAX + 1))),
    ] {
        let (mut client, _) = Client::open_with(&server, "/ws", OFFER).await;
        client.send(bytes).await;
        client.expect(&refused).await;
        client.shutdown().await;
        client.closed().await;
        println!("{row}: refused");
    }
    // The largest that may be.
    let (mut client, _) = Client::open_with(&server, "/ws", OFFER).await;
    for _ in 0..3 {
        client.send(raw_frame(0xc1, &bomb(MAX))).await;
        let (first, payload) = client.frame().await;
        assert_eq!(first, 0xc1);
        assert!(payload.len() < 1000, "{} bytes", payload.len());
    }
}

#[squall::test]
async fn half_a_handshake_is_not_waited_for() {
    let make_app = || Application::new([ws("/ws", Echo::default())]);
    let server = HttpServer::new(make_app).header_timeout(Duration::from_millis(100));
    let server = squall::testing::serve_on(server);
    let whole = handshake("/ws", "");
    for cut in [1, 20, whole.len() - 2] {
        let (mut client, head) = within("an answer", Client::ask(&server, &whole[..cut])).await;
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        client.rest().await;
    }
}

/// A connection that was opened, or half of a frame that was begun, and nothing more.
#[squall::test]
async fn half_open_connections_are_found_by_pings() {
    for (row, bytes) in [
        ("silence", Vec::new()),
        ("half a head", vec![0x81]),
        ("half a frame", raw_frame(0x81, &[b'x'; 100])[..50].to_vec()),
        ("half a message", raw_frame(0x01, b"x")),
    ] {
        let handler = Echo::default();
        let server = handler.serve();
        let mut client = Client::open(&server, "/pinging").await;
        client.send(bytes).await;
        client.expect(server_frame(0x89, b"")).await;
        handler.ends(1).await;
        let told = client.rest().await;
        assert!(told.ends_with(&server_close(1000, "ping timed out")), "{row}: {}", told.escape_ascii());
    }
}

#[squall::test]
async fn who_leaves_without_a_word_is_noticed() {
    for bytes in [Vec::new(), vec![0x81], raw_frame(0x01, b"x")] {
        let handler = Echo::default();
        let server = handler.serve();
        let mut client = Client::open(&server, "/ws").await;
        client.send(bytes).await;
        client.shutdown().await;
        handler.ends(1).await;
        assert_eq!(handler.sockets.borrow()[0].close_code(), None);
        client.rest().await;
    }
}
