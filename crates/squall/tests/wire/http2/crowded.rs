//! Several responses at once, and little room for them: none stands still, none takes all of it.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use squall::websocket::ws;
use squall::{Application, Context, get, post};

use super::hostile::Socket;
use super::support::{
    self, DATA, GET_ROOT, HEADERS, PING, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, code, frame, literals,
    serve,
};

/// More of a window than anything here takes.
const MUCH: &[u8] = b"\x3f\xff\0\0";

fn endless() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        loop {
            ctx.write([b'x'; 100_000]);
            ctx.flush().await?;
        }
    })])
}

/// A client whose windows are as large as these say, and that asks for so many streams.
async fn ask(port: u16, window: u32, streams: u32) -> Raw {
    let mut raw = Raw::new(port).await;
    raw.frame(SETTINGS, 0, 0, &[b"\0\x04", &window.to_be_bytes()[..]].concat()).await;
    let heads = (0..streams).flat_map(|i| frame(HEADERS, 5, 2 * i + 1, GET_ROOT));
    let heads: Vec<u8> = heads.collect();
    tokio::io::AsyncWriteExt::write_all(&mut raw.socket, &heads).await.unwrap();
    raw
}

/// How much of each stream comes before this much has come of all.
async fn shares(raw: &mut Raw, until: usize) -> HashMap<u32, usize> {
    let (mut all, mut shares) = (0, HashMap::new());
    while all < until {
        let (kind, _, stream, data) = raw.next().await.expect("the connection lives");
        if kind == DATA {
            *shares.entry(stream).or_default() += data.len();
            all += data.len();
        }
    }
    shares
}

#[squall::test(timeout = 60)]
async fn each_of_several_large_responses_has_its_share() {
    let (_server, port) = serve(endless, |server| server);
    for streams in [2, 3, 5, 20] {
        let mut raw = ask(port, 0x3fff_0000, streams).await;
        raw.frame(WINDOW_UPDATE, 0, 0, MUCH).await;
        let all = 1_000_000 * streams as usize;
        let shares = shares(&mut raw, all).await;
        for stream in (1..2 * streams).step_by(2) {
            let share = shares.get(&stream).copied().unwrap_or(0);
            assert!(share > 250_000, "{streams} streams: {shares:?}");
        }
    }
}

/// Those that have waited longer may have no use for the room that they are offered.
#[squall::test]
async fn room_that_others_cannot_use_is_offered_to_who_can() {
    let (_server, port) = serve(endless, |server| server);
    for streams in [2, 3, 4, 10] {
        // The first takes the window of the connection, and the others wait for more.
        let mut raw = ask(port, 100_000, streams).await;
        shares(&mut raw, 65_535).await;
        // Of those only the last has a window of its own now.
        let last = 2 * streams - 1;
        raw.frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0").await;
        raw.frame(WINDOW_UPDATE, 0, last, MUCH).await;
        sync(&mut raw).await;
        raw.frame(WINDOW_UPDATE, 0, 0, &10_000_u32.to_be_bytes()).await;
        let then = shares(&mut raw, 10_000).await;
        assert_eq!(then.get(&last), Some(&10_000), "{then:?}");
    }
}

async fn sync(raw: &mut Raw) {
    raw.frame(PING, 0, 0, b"seen it?").await;
    while !matches!(raw.find(PING).await, Some((1, ..))) {}
}

/// Nothing that a handler writes then is sent, or is as good as sent.
#[squall::test]
async fn a_client_that_leaves_while_output_waits_for_it_is_noticed() {
    for streams in [1, 5] {
        let written = Rc::new(Cell::new(0));
        let inner = Rc::clone(&written);
        let make = move || {
            let written = Rc::clone(&inner);
            Application::new([get("/", async move |ctx: &Context| {
                loop {
                    ctx.write([b'x'; 10_000]);
                    ctx.flush().await?;
                    written.set(written.get() + 10_000);
                }
            })])
        };
        let (server, port) = serve(make, |server| server);
        let mut raw = ask(port, 0x3fff_0000, streams).await;
        raw.frame(WINDOW_UPDATE, 0, 0, MUCH).await;
        raw.find(DATA).await.unwrap();
        // As much as the kernel takes: nothing more for a while, in which the server had its turns.
        let (mut before, mut quiet) = (0, 0);
        while quiet < 10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            quiet = if before < written.get() { 0 } else { quiet + 1 };
            before = written.get();
        }
        drop(raw);
        let left = async {
            while server.connection_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(support::DEADLINE, left).await.expect("it is noticed");
        let more = written.get() - before;
        assert!(more < 1_000_000, "{more} bytes were written to nobody");
    }
}

/// A refusal has its status, whether or not there is room for the text.
#[squall::test]
async fn a_refusal_needs_no_room() {
    let (_server, port) = serve(endless, |server| server);
    let mut raw = Raw::new(port).await;
    raw.frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0").await;
    let fields: [(&str, &[u8]); 5] = [
        (":method", b"CONNECT"),
        (":protocol", b"unheard-of"),
        (":scheme", b"http"),
        (":path", b"/"),
        (":authority", b"x"),
    ];
    raw.frame(HEADERS, 5, 1, &literals(&fields)).await;
    let flags = loop {
        match raw.next().await.expect("the connection lives") {
            (HEADERS, flags, 1, _) => break flags,
            (RST_STREAM, _, 1, payload) => panic!("it is reset: {}", code(&payload)),
            _ => {}
        }
    };
    assert_eq!(flags & 1, 1, "it is complete");
}

/// The window of a body that comes alone grows, and no other: the connection's has no room for a hundred that large.
#[squall::test]
async fn the_windows_of_websockets_do_not_grow_with_that_of_a_body() {
    let make = || Application::new([post("/", async |_: &Context| Ok(())), ws("/socket", Socket)]);
    let (_server, port) = serve(make, |server| server);
    let mut raw = Raw::new(port).await;
    let fields: [(&str, &[u8]); 6] = [
        (":method", b"CONNECT"),
        (":protocol", b"websocket"),
        (":scheme", b"http"),
        (":path", b"/socket"),
        (":authority", b"x"),
        ("sec-websocket-version", b"13"),
    ];
    raw.frame(HEADERS, 4, 1, &literals(&fields)).await;
    assert_eq!(raw.verdict(1).await, Ok(()));
    raw.frame(HEADERS, 4, 3, b"\x83\x86\x84\x41\x01x").await;
    let (mut room, mut largest, mut sent) = (65_536_i64, 0, 0);
    while sent < 1 << 21 {
        if room >= 16_384 {
            raw.frame(DATA, 0, 3, &[0; 16_384]).await;
            (room, sent) = (room - 16_384, sent + 16_384);
            continue;
        }
        match raw.next().await.expect("the connection lives") {
            (WINDOW_UPDATE, _, 1, payload) => panic!("the WebSocket has {} more", code(&payload)),
            (WINDOW_UPDATE, _, 3, payload) => room += i64::from(code(&payload)),
            _ => {}
        }
        largest = largest.max(room);
    }
    assert!(largest > 200_000, "{largest}");
}
