//! Slow peers: writers wait, or messages are dropped, or the connection is closed; memory is bounded.

use std::cell::RefCell;
use std::rc::Rc;

use squall::websocket::{
    Message, TryWriteError, WebSocket, WebSocketHandler, WebSocketOptions, WhenFull, ws,
};
use squall::{Application, Context, Result};

use crate::support::{Client, raw_frame, text, within};

/// Hands its socket out.
#[derive(Clone)]
struct Handout {
    sockets: Rc<RefCell<Vec<WebSocket>>>,
    when_full: WhenFull,
}

impl WebSocketHandler for Handout {
    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        defaults.queue(100_000, self.when_full)
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.sockets.borrow_mut().push(ws.clone());
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

/// A connection of which the server holds the socket.
async fn connected(when_full: WhenFull) -> (squall::testing::TestServer, Client, WebSocket) {
    let sockets = Rc::new(RefCell::new(Vec::new()));
    let handler = Handout { sockets: Rc::clone(&sockets), when_full };
    let server = squall::testing::serve(Application::new([ws("/ws", handler)]));
    let client = Client::open(&server, "/ws").await;
    let socket = within("the handler to open", async {
        loop {
            if let Some(socket) = sockets.borrow_mut().pop() {
                return socket;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    (server, client, socket)
}

/// 10,000 bytes that begin with a number.
fn numbered(number: usize) -> String {
    format!("{number:09}{}", " ".repeat(9_991))
}

fn number_of(payload: &[u8]) -> usize {
    std::str::from_utf8(&payload[..9]).unwrap().parse().unwrap()
}

#[squall::test]
async fn try_write_says_when_the_queue_is_full() {
    let (_server, mut client, socket) = connected(WhenFull::Wait).await;
    let mut taken = 0;
    let full = loop {
        match socket.try_write(numbered(taken)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10_000, "it never gets full");
    };
    assert_eq!(full, TryWriteError::Full);
    assert!(socket.buffered_amount() <= 100_000 + 10_014, "{}", socket.buffered_amount());
    for number in 0..taken {
        let (first, payload) = client.frame().await;
        assert_eq!((first, number_of(&payload)), (0x81, number));
    }
    // There is room again.
    socket.write_message("after").await.unwrap();
    assert_eq!(client.frame().await, (0x81, b"after".to_vec()));
}

#[squall::test]
async fn writers_wait_for_room() {
    let (_server, mut client, socket) = connected(WhenFull::Wait).await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let socket = socket.clone();
            tokio::task::spawn_local(async move {
                for number in 0..500 {
                    socket.write_message(numbered(writer * 1000 + number)).await.unwrap();
                }
            })
        })
        .collect();
    let mut next = [0, 1000, 2000, 3000];
    for _ in 0..2000 {
        let (_, payload) = client.frame().await;
        assert!(socket.buffered_amount() < 600_000);
        let number = number_of(&payload);
        assert_eq!(number, next[number / 1000], "each writer's messages keep their order");
        next[number / 1000] += 1;
    }
    for writer in writers {
        within("the writers to end", writer).await.unwrap();
    }
}

#[squall::test]
async fn the_oldest_are_dropped() {
    let (_server, mut client, socket) = connected(WhenFull::DropOldest).await;
    for number in 0..5000 {
        socket.write_message(numbered(number)).await.unwrap();
        assert!(socket.buffered_amount() <= 100_000 + 10_014);
    }
    socket.close(1000, "");
    let mut seen = Vec::new();
    loop {
        match client.frame().await {
            (0x81, payload) => seen.push(number_of(&payload)),
            (0x88, _) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.len() < 5000, "nothing was dropped");
    assert!(seen.is_sorted());
    assert_eq!(seen[seen.len() - 10..], (4990..5000).collect::<Vec<_>>(), "the newest come through");
}

#[squall::test]
async fn a_slow_reader_is_closed() {
    let (_server, mut client, socket) = connected(WhenFull::Close).await;
    let mut taken = 0;
    while socket.try_write(numbered(taken)).is_ok() {
        taken += 1;
        assert!(taken < 10_000, "it is never closed");
    }
    assert!(socket.is_closed());
    loop {
        match client.frame().await {
            (0x81, _) => {}
            (0x88, payload) => break assert_eq!(payload, b"\x03\xf0too slow a reader"),
            other => panic!("{other:?}"),
        }
    }
}

#[squall::test]
async fn a_flood_of_pings_fills_no_memory() {
    let (_server, mut client, socket) = connected(WhenFull::Wait).await;
    let flood: Vec<u8> = (0..1000).flat_map(|_| raw_frame(0x89, &[b'p'; 125])).collect();
    // The client reads nothing: its pongs fill the kernel's buffers, then only the last is kept.
    for _ in 0..100 {
        client.send(&flood).await;
    }
    client.send([raw_frame(0x89, b"last"), text("end")].concat()).await;
    let mut last = Vec::new();
    loop {
        assert!(socket.buffered_amount() < 200_000, "{}", socket.buffered_amount());
        match client.frame().await {
            (0x8a, payload) => last = payload,
            (0x81, payload) => break assert_eq!(payload, b"end"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(last, b"last");
}
