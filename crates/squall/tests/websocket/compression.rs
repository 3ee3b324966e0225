//! permessage-deflate on the wire.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use squall::websocket::{
    Broadcaster, CompressionOptions, Membership, Message, WebSocket, WebSocketHandler, ws,
};
use squall::{Application, Context, Result};

use crate::support::{Client, raw_frame, server_close, text};

#[derive(Clone)]
struct Echo {
    options: CompressionOptions,
    rooms: Broadcaster,
    member: Option<std::rc::Rc<Membership>>,
}

impl WebSocketHandler for Echo {
    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        Some(self.options)
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.member = Some(std::rc::Rc::new(self.rooms.join("all", ws)));
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        if message.as_text().is_some_and(|text| text.starts_with("all:")) {
            self.rooms.broadcast("all", message);
            return Ok(());
        }
        ws.write_message(message).await
    }
}

fn app(options: CompressionOptions) -> Application {
    let handler = Echo { options, rooms: Broadcaster::new(), member: None };
    Application::new([ws("/ws", handler)]).websocket_max_message_size(100_000)
}

/// The other end's codecs.
struct Peer {
    deflate: Compress,
    inflate: Decompress,
}

impl Peer {
    fn new() -> Self {
        Self { deflate: Compress::new(Compression::new(9), false), inflate: Decompress::new(false) }
    }

    fn compress(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 100);
        self.deflate.compress_vec(data, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    }

    fn decompress(&mut self, data: &[u8]) -> Vec<u8> {
        let data = [data, &[0, 0, 0xff, 0xff]].concat();
        let mut out = Vec::with_capacity(1_000_000);
        self.inflate.decompress_vec(&data, &mut out, FlushDecompress::Sync).unwrap();
        out
    }
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

#[squall::test]
async fn contexts_are_kept() {
    let server = squall::testing::serve(app(CompressionOptions::new()));
    let (mut client, head) = Client::open_with(&server, "/ws", OFFER).await;
    assert!(head.contains("\r\nSec-Websocket-Extensions: permessage-deflate\r\n"), "{head}");
    let mut peer = Peer::new();
    let message: String = (0..200).map(|i| format!("{} ", i * 7919 % 1000)).collect();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let data = peer.compress(message.as_bytes());
        client.send(raw_frame(0xc1, &data)).await;
        let (first, payload) = client.frame().await;
        assert_eq!(first, 0xc1);
        assert_eq!(peer.decompress(&payload), message.as_bytes());
        sizes.push(payload.len());
    }
    assert!(sizes[1] * 10 < sizes[0], "{sizes:?}: the second refers to the first");
    // Small messages are not worth it.
    client.send(text("small")).await;
    assert_eq!(client.frame().await, (0x81, b"small".to_vec()));
    // A message for everyone in between must not upset what refers to what.
    let everyone = format!("all: {message}");
    for _ in 0..2 {
        client.send(text(&everyone)).await;
        let (first, payload) = client.frame().await;
        assert_eq!((first, peer.decompress(&payload)), (0xc1, everyone.clone().into_bytes()));
        client.send(text(&message)).await;
        let (first, payload) = client.frame().await;
        assert_eq!((first, peer.decompress(&payload)), (0xc1, message.clone().into_bytes()));
    }
}

#[squall::test]
async fn contexts_are_not_kept_where_one_side_says_so() {
    let options = CompressionOptions::new().client_no_context_takeover(true);
    let server = squall::testing::serve(app(options));
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
    let (mut client, head) = Client::open_with(&server, "/ws", offer).await;
    let answer = "\r\nSec-Websocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(head.contains(answer), "{head}");
    let message = "the same message ".repeat(20);
    let mut seen = Vec::new();
    for _ in 0..2 {
        client.send(raw_frame(0xc2, &Peer::new().compress(message.as_bytes()))).await;
        let (first, payload) = client.frame().await;
        assert_eq!((first, Peer::new().decompress(&payload)), (0xc2, message.clone().into_bytes()));
        seen.push(payload);
    }
    assert_eq!(seen[0], seen[1]);
}

#[squall::test]
async fn offers_that_cannot_be_taken_are_declined() {
    let server = squall::testing::serve(app(CompressionOptions::new()));
    for offer in
        ["permessage-deflate; unknown=1", "permessage-deflate; server_max_window_bits=8", "x-deflate"]
    {
        let lines = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let (mut client, head) = Client::open_with(&server, "/ws", &lines).await;
        assert!(!head.contains("Extensions"), "{head}");
        client.send(raw_frame(0xc1, b"x")).await;
        client.expect(server_close(1002, "reserved bits are set")).await;
    }
}

#[squall::test]
async fn a_bomb_is_refused() {
    let server = squall::testing::serve(app(CompressionOptions::new()));
    let (mut client, _) = Client::open_with(&server, "/ws", OFFER).await;
    let mut bomb = Vec::with_capacity(100_000);
    Compress::new(Compression::best(), false)
        .compress_vec(&vec![0; 5_000_000], &mut bomb, FlushCompress::Sync)
        .unwrap();
    assert!(bomb.len() < 60_000, "it has to pass the limit on the wire");
    client.send(raw_frame(0xc2, &bomb)).await;
    client.expect(server_close(1009, "message too big after decompression")).await;
    client.shutdown().await;
    client.closed().await;
}
