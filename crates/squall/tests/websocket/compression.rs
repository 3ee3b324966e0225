//! permessage-deflate on the wire.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use squall::websocket::{
    Broadcaster, CompressionOptions, Membership, Message, WebSocket, WebSocketHandler, ws,
};
use squall::{Application, Context, Result};

use crate::support::{Client, close, raw_frame, server_close, text};

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
pub(crate) struct Peer {
    deflate: Compress,
    inflate: Decompress,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self { deflate: Compress::new(Compression::new(9), false), inflate: Decompress::new(false) }
    }

    pub(crate) fn compress(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + data.len() / 100 + 100);
        self.deflate.compress_vec(data, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    }

    pub(crate) fn decompress(&mut self, data: &[u8]) -> Vec<u8> {
        let data = [data, &[0, 0, 0xff, 0xff]].concat();
        let mut out = Vec::with_capacity(5_000_000);
        self.inflate.decompress_vec(&data, &mut out, FlushDecompress::Sync).unwrap();
        out
    }
}

pub(crate) const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

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

/// Sizes of messages, and of the fragments they are sent in, of Autobahn's groups 12 and 13.
const SIZES: [(usize, usize); 18] = [
    (16, 0),
    (64, 0),
    (256, 0),
    (1024, 0),
    (4096, 0),
    (8192, 0),
    (16_384, 0),
    (32_768, 0),
    (65_536, 0),
    (131_072, 0),
    (8192, 256),
    (16_384, 256),
    (32_768, 256),
    (65_536, 256),
    (131_072, 256),
    (131_072, 1024),
    (131_072, 4096),
    (131_072, 32_768),
];

/// What a message is made of: text that repeats itself, text that hardly does, and noise.
fn content(kind: u8) -> Vec<u8> {
    let length = 132_072;
    let mut state = 2_654_435_761_u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut out = Vec::with_capacity(length + 32);
    while out.len() < length {
        match kind {
            0 => out.extend(format!("{{\"id\": {}, \"name\": \"squall\"}}, ", next() % 100).bytes()),
            1 => out.push(b' ' + (next() % 90) as u8),
            _ => out.push(next() as u8),
        }
    }
    out.truncate(length);
    out
}

/// Sends some messages of a size as one that keeps to the agreement, and expects them back.
async fn echoes(
    client: &mut Client,
    peer: &mut Peer,
    keeps: bool,
    is_text: bool,
    content: &[u8],
    (size, fragment): (usize, usize),
) {
    for start in [0, 1000] {
        let message = &content[start..start + size];
        if !keeps {
            peer.deflate.reset();
        }
        let data = peer.compress(message);
        let opcode = if is_text { 0x41 } else { 0x42 };
        let pieces: Vec<&[u8]> = data.chunks(if fragment == 0 { data.len() } else { fragment }).collect();
        let mut bytes = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let first = if at == 0 { opcode } else { 0x00 };
            bytes.extend(raw_frame(first | if at + 1 == pieces.len() { 0x80 } else { 0x00 }, piece));
        }
        client.send(bytes).await;
        let (first, payload) = client.frame().await;
        let answer = if first & 0x40 == 0 { payload } else { peer.decompress(&payload) };
        assert_eq!(first & 0x8f, opcode & 0x0f | 0x80);
        assert_eq!(first & 0x40 != 0, size >= 64, "small ones go out as they are");
        assert!(answer == message, "{size} bytes in fragments of {fragment}");
    }
}

/// Groups 12 and 13: each of 13's offers (12's is the first of them), each of the sizes.
#[squall::test(timeout = 120)]
async fn groups_12_and_13() {
    let app = app(CompressionOptions::new()).websocket_max_message_size(200_000);
    let server = squall::testing::serve(app);
    let offer = |server: &str| {
        format!("permessage-deflate; client_no_context_takeover; client_max_window_bits{server}")
    };
    let contents = [content(0), content(1), content(2)];
    let (alone, nine, fifteen) =
        ("; server_no_context_takeover", "; server_max_window_bits=9", "; server_max_window_bits=15");
    for (number, offers, agreed) in [
        ("12, 13.1", offer(""), String::new()),
        ("13.2", offer(alone), alone.to_owned()),
        ("13.3", offer(nine), nine.to_owned()),
        ("13.4", offer(fifteen), String::new()),
        ("13.5", offer(&[alone, nine].concat()), [alone, nine].concat()),
        ("13.6", offer(&[alone, fifteen].concat()), alone.to_owned()),
        (
            "13.7",
            [offer(&[alone, nine].concat()), offer(alone), offer("")].join(", "),
            [alone, nine].concat(),
        ),
        ("12 with contexts", "permessage-deflate".to_owned(), String::new()),
    ] {
        let lines = format!("Sec-WebSocket-Extensions: {offers}\r\n");
        let (mut client, head) = Client::open_with(&server, "/ws", &lines).await;
        // A server that takes an offer to forget contexts says so.
        let keeps = number == "12 with contexts";
        let forgets = if keeps { "" } else { "; client_no_context_takeover" };
        let answer = format!("\r\nSec-Websocket-Extensions: permessage-deflate{agreed}{forgets}\r\n");
        assert!(head.contains(&answer), "{number}: {head}");
        let mut peer = Peer::new();
        for (at, row) in SIZES.into_iter().enumerate() {
            // Large ones with one kind of content each, or this takes a minute.
            for kind in if row.0 > 20_000 { at % 3..at % 3 + 1 } else { 0..3 } {
                println!("case {number}: content {kind}, {row:?}");
                echoes(&mut client, &mut peer, keeps, kind < 2, &contents[kind], row).await;
            }
        }
        client.send(close(1000, "")).await;
        client.expect(server_close(1000, "")).await;
        client.closed().await;
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
