//! Long messages are compressed and decompressed in slices: others are served in between, and the order is kept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use squall::testing::TestServer;
use squall::websocket::{CompressionOptions, Message, PreparedMessage, WebSocket, WebSocketHandler, ws};
use squall::{Application, Context, Result};

use crate::compression::{OFFER, Peer};
use crate::support::{Client, close, raw_frame, server_close, within};

/// Keeps its sockets and what came.
#[derive(Clone, Default)]
struct Keeper {
    alone: bool,
    sockets: Rc<RefCell<Vec<WebSocket>>>,
    came: Rc<RefCell<Vec<Message>>>,
}

impl WebSocketHandler for Keeper {
    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        Some(CompressionOptions::new().level(1).server_no_context_takeover(self.alone))
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.sockets.borrow_mut().push(ws.clone());
        Ok(())
    }

    async fn on_message(&mut self, _ws: &WebSocket, message: Message) -> Result {
        self.came.borrow_mut().push(message);
        Ok(())
    }
}

impl Keeper {
    /// A server of it, and a client with the server's socket.
    async fn connect(alone: bool) -> ((Self, TestServer), Client, WebSocket) {
        let keeper = Self { alone, ..Self::default() };
        let server = squall::testing::serve(Application::new([ws("/ws", keeper.clone())]));
        let (client, head) = Client::open_with(&server, "/ws", OFFER).await;
        assert!(head.contains("permessage-deflate"), "{head}");
        let socket = within("the handler to open", async {
            loop {
                if let Some(socket) = keeper.sockets.borrow_mut().pop() {
                    return socket;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        ((keeper, server), client, socket)
    }
}

/// 1 MB that does not compress well, `seed` for seed.
fn long(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 28) as u8
    });
    bytes.take(1_000_000).collect()
}

/// Counts the turns of the loop that others get.
fn turns() -> Rc<Cell<u32>> {
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::downgrade(&turns);
    tokio::task::spawn_local(async move {
        while let Some(turns) = counted.upgrade() {
            turns.set(turns.get() + 1);
            drop(turns);
            tokio::task::yield_now().await;
        }
    });
    turns
}

#[squall::test(timeout = 120)]
async fn messages_stay_in_order_around_a_long_one() {
    for alone in [false, true] {
        let (_server, mut client, socket) = Keeper::connect(alone).await;
        let small = |n: u8| vec![b'0' + n; 100];
        socket.try_write(Message::from(small(0))).unwrap();
        socket.try_write(Message::from(long(1))).unwrap();
        assert!(socket.buffered_amount() >= 1_000_000);
        // A control frame need not wait for what has not begun.
        socket.ping("ahead").unwrap();
        for n in 1..4 {
            socket.try_write(Message::from(small(n))).unwrap();
        }
        let waiting = async {
            socket.write_message(Message::from(long(2))).await.unwrap();
            socket.write_message(PreparedMessage::new(Message::from(long(3)))).await.unwrap();
            socket.write_message(Message::from(small(4))).await.unwrap();
            socket.close(1000, "done");
        };
        let reading = async {
            let mut peer = Peer::new();
            let mut expected =
                [small(0), long(1), small(1), small(2), small(3), long(2), long(3), small(4)].into_iter();
            let (mut pings, mut before) = (0, 0);
            loop {
                match client.frame().await {
                    (0x89, data) => {
                        assert_eq!((data, before), (b"ahead".to_vec(), 1));
                        pings += 1;
                    }
                    (0x88, data) => {
                        assert_eq!(
                            [&[0x88, data.len() as u8], &data[..]].concat(),
                            server_close(1000, "done")
                        );
                        break;
                    }
                    (first, data) => {
                        assert_eq!(first, 0xc2);
                        if alone {
                            peer = Peer::new();
                        }
                        let expected = expected.next().unwrap();
                        assert!(peer.decompress(&data) == expected, "number {before}");
                        before += 1;
                    }
                }
            }
            assert_eq!((pings, before, expected.next()), (1, 8, None));
            client.send(close(1000, "done")).await;
            client.closed().await;
        };
        tokio::join!(waiting, reading);
    }
}

#[squall::test(timeout = 120)]
async fn a_message_is_sent_when_it_was_written() {
    let (_server, mut client, socket) = Keeper::connect(false).await;
    let writing = async {
        socket.write_message(Message::from(long(1))).await.unwrap();
        assert_eq!(socket.buffered_amount(), 0);
    };
    let reading = async {
        let (_, data) = client.frame().await;
        assert!(Peer::new().decompress(&data) == long(1));
    };
    tokio::join!(writing, reading);
}

#[squall::test(timeout = 120)]
async fn others_have_their_turns_while_a_long_message_is_compressed() {
    for prepared in [false, true] {
        let (_server, mut client, socket) = Keeper::connect(false).await;
        let turns = turns();
        tokio::task::yield_now().await;
        let message = Message::from(long(1));
        match prepared {
            true => socket.try_write(PreparedMessage::new(message)).unwrap(),
            false => socket.try_write(message).unwrap(),
        }
        let before = turns.get();
        // Everything is with the kernel, or waits for it, once the last of it has been compressed.
        within("the first byte", async { client.until_something().await }).await;
        assert!(turns.get() - before > 8, "{}", turns.get() - before);
        assert!(Peer::new().decompress(&client.frame().await.1) == long(1));
    }
}

#[squall::test(timeout = 120)]
async fn one_prepared_message_is_the_same_for_all() {
    let (_first, first, first_socket) = Keeper::connect(false).await;
    let (_second, second, second_socket) = Keeper::connect(false).await;
    let (_third, mut third, third_socket) = Keeper::connect(false).await;
    let prepared = PreparedMessage::new(Message::from(long(1)));
    first_socket.try_write(&prepared).unwrap();
    second_socket.try_write(&prepared).unwrap();
    third_socket.try_write(&prepared).unwrap();
    // Who began may leave.
    drop(first);
    first_socket.abort();
    drop((prepared, second));
    second_socket.close(1000, "");
    third_socket.try_write("afterwards, and compressed on its own, since it has more than 64 bytes").unwrap();
    let mut peer = Peer::new();
    assert!(peer.decompress(&third.frame().await.1) == long(1));
    let (_, data) = third.frame().await;
    assert!(peer.decompress(&data).starts_with(b"afterwards"));
}

#[squall::test(timeout = 120)]
async fn a_peer_that_closes_meanwhile_gets_its_answer() {
    let (_server, mut client, socket) = Keeper::connect(false).await;
    // Sent before, so that it comes while the message is being compressed, or at the latest behind it.
    client.send(close(1001, "")).await;
    socket.try_write(Message::from(long(1))).unwrap();
    loop {
        match client.frame().await {
            (0x88, data) => break assert_eq!(data, [3, 0xe9]),
            (first, _) => assert_eq!(first, 0xc2),
        }
    }
    client.closed().await;
    within("the end", socket.closed()).await;
}

#[squall::test(timeout = 120)]
async fn others_have_their_turns_while_a_long_message_is_decompressed() {
    let ((keeper, _server), mut client, _socket) = Keeper::connect(false).await;
    let frame = raw_frame(0xc2, &Peer::new().compress(&long(1)));
    let turns = turns();
    let before = turns.get();
    client.send(frame).await;
    within("the message", async {
        while keeper.came.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(turns.get() - before >= 2, "{}", turns.get() - before);
    assert!(keeper.came.borrow()[0] == Message::from(long(1)));
}
