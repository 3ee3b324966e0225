//! What honest clients never do, each bounded by a budget: the connection ends, others go on.

use std::net::Ipv4Addr;
use std::time::Duration;

use squall::{Application, Context, get, post};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::support::{
    CONTINUATION, Client, DATA, GET_ROOT, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    frame, serve,
};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write("Hello");
            Ok(())
        }),
        post("/", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
    ])
}

/// `POST /` for `x`.
const POST_ROOT: &[u8] = b"\x83\x86\x84\x41\x01x";

/// Sends a flood, and says with which error the connection ended.
async fn flood(port: u16, bytes: Vec<u8>) -> Option<u32> {
    let raw = Raw::new(port).await;
    let (read, mut write) = raw.socket.into_split();
    let sending = tokio::spawn(async move {
        // The server may close in the middle of it.
        let _ = write.write_all(&bytes).await;
        write
    });
    let mut reader = read;
    let mut all = Vec::new();
    let reading = async {
        // A reset may come instead of an end.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all).await;
    };
    tokio::time::timeout(super::support::DEADLINE, reading).await.expect("the server ends it");
    let _ = sending.await;
    let mut rest = &all[..];
    let mut code = None;
    while let Some((head, tail)) = rest.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, next)) = tail.split_at_checked(length) else { break };
        if head[3] == 7 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = next;
    }
    code
}

#[squall::test(timeout = 60)]
async fn floods_end_the_connection_and_nobody_else_s() {
    let (_server, port) = serve(app, |server| server);
    let mut other = Client::new(port).await;
    let streams =
        |count: u32, each: &dyn Fn(u32) -> Vec<u8>| (0..count).flat_map(|i| each(2 * i + 1)).collect();
    let rows: Vec<(&str, Vec<u8>, &[u32])> = vec![
        (
            "rapid reset",
            streams(20_000, &|id| {
                [frame(HEADERS, 4, id, POST_ROOT), frame(RST_STREAM, 0, id, b"\0\0\0\x08")].concat()
            }),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "an endless head",
            [
                frame(HEADERS, 0, 1, GET_ROOT),
                (0..5_000).flat_map(|_| frame(CONTINUATION, 0, 1, b"\0\x01x\x01y")).collect(),
            ]
            .concat(),
            &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR],
        ),
        (
            "empty frames of data",
            [frame(HEADERS, 4, 1, POST_ROOT), (0..200_000).flat_map(|_| frame(DATA, 0, 1, b"")).collect()]
                .concat(),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "resets that the server has to send",
            streams(20_000, &|id| frame(HEADERS, 5, id, b"\x82\x86\x84")),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "requests that are begun rightly, and then broken",
            streams(20_000, &|id| {
                [frame(HEADERS, 5, id, GET_ROOT), frame(WINDOW_UPDATE, 0, id, b"\0\0\0\0")].concat()
            }),
            &[PROTOCOL_ERROR, ENHANCE_YOUR_CALM],
        ),
        (
            "an endless head in empty frames",
            [frame(HEADERS, 1, 1, GET_ROOT), frame(CONTINUATION, 0, 1, b"").repeat(5_000)].concat(),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "one field of 1 MB",
            [
                frame(HEADERS, 1, 1, &[GET_ROOT, b"\0\x01a\x7f\xc1\x83\x3d"].concat()),
                frame(CONTINUATION, 0, 1, &[b'v'; 16_000]).repeat(62),
                frame(CONTINUATION, 4, 1, &[b'v'; 8_000]),
            ]
            .concat(),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "requests at once beyond the limit, whatever SETTINGS say",
            streams(20_000, &|id| frame(HEADERS, 4, id, POST_ROOT)),
            &[ENHANCE_YOUR_CALM],
        ),
        ("a frame beyond the limit", frame(DATA, 0, 1, &[0; 20_000]), &[FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        (
            "no HPACK",
            frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        (
            // 40 MB, were they written out.
            "one field in the table of HPACK, and 10,000 bytes that each stand for it",
            frame(
                HEADERS,
                5,
                1,
                &[GET_ROOT, b"\x40\x01x\x7f\xa1\x1e", &[b'y'; 4_000], &[0xbe; 10_000]].concat(),
            ),
            &[ENHANCE_YOUR_CALM],
        ),
        ("a stream of the server's", frame(HEADERS, 5, 2, GET_ROOT), &[PROTOCOL_ERROR]),
        ("a window too large", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), &[3]),
        ("settings of no size", frame(SETTINGS, 0, 0, b"123"), &[FRAME_SIZE_ERROR]),
        ("an acknowledgement with settings", frame(SETTINGS, 1, 0, b"\0\x03\0\0\0\x64"), &[FRAME_SIZE_ERROR]),
        ("a PING of no size", frame(PING, 0, 0, b"123"), &[FRAME_SIZE_ERROR]),
        ("a WINDOW_UPDATE of no size", frame(WINDOW_UPDATE, 0, 0, b"123"), &[FRAME_SIZE_ERROR]),
        (
            "a RST_STREAM of no size",
            [frame(HEADERS, 4, 1, POST_ROOT), frame(RST_STREAM, 0, 1, b"123")].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        ("a PRIORITY of no size", frame(PRIORITY, 0, 1, b"1234"), &[FRAME_SIZE_ERROR]),
        (
            "the second of two settings too large",
            frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64\0\x04\x80\0\0\0"),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "a head on a stream that was ended",
            [frame(HEADERS, 5, 1, GET_ROOT), frame(HEADERS, 5, 1, GET_ROOT)].concat(),
            &[STREAM_CLOSED],
        ),
        (
            "data on a stream that was ended",
            [frame(HEADERS, 5, 1, GET_ROOT), frame(DATA, 1, 1, b"x")].concat(),
            &[STREAM_CLOSED],
        ),
        (
            "data on streams that were reset",
            streams(20_000, &|id| {
                [
                    frame(HEADERS, 4, id, POST_ROOT),
                    frame(PING, 1, 0, b"12345678"),
                    frame(RST_STREAM, 0, id, b"\0\0\0\x08"),
                    frame(DATA, 0, id, b"x"),
                ]
                .concat()
            }),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "a head on a stream that was reset",
            [
                frame(HEADERS, 4, 1, POST_ROOT),
                frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
                frame(HEADERS, 5, 1, GET_ROOT),
            ]
            .concat(),
            &[STREAM_CLOSED],
        ),
    ];
    for (name, bytes, expected) in rows {
        let code = flood(port, bytes).await;
        assert!(code.is_some_and(|code| expected.contains(&code)), "{name}: {code:?}");
        assert_eq!(other.get("/").await.status(), 200, "{name}");
    }
}

/// Such a client may stay as long as an idle one.
#[squall::test]
async fn what_costs_next_to_nothing_goes_on() {
    let (_server, port) = serve(app, |server| server);
    let mut other = Client::new(port).await;
    for (name, frames) in [
        ("PRIORITY", frame(PRIORITY, 0, 5, b"\0\0\0\0\x10").repeat(20_000)),
        (
            "WINDOW_UPDATE",
            [frame(HEADERS, 4, 1, POST_ROOT), frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01").repeat(20_000)]
                .concat(),
        ),
    ] {
        let mut raw = Raw::new(port).await;
        raw.socket.write_all(&frames).await.unwrap();
        raw.frame(PING, 0, 0, b"12345678").await;
        assert!(raw.find(PING).await.is_some(), "{name}");
        assert_eq!(other.get("/").await.status(), 200, "{name}");
    }
    // An answer of which one byte at a time may come.
    let mut raw = Raw::new(port).await;
    raw.frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\x01").await;
    raw.frame(HEADERS, 5, 1, GET_ROOT).await;
    let mut body = Vec::new();
    loop {
        let (flags, _, data) = raw.find(DATA).await.expect("the connection lives");
        body.extend(data);
        if flags & 1 != 0 {
            break;
        }
        raw.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01").await;
    }
    assert_eq!(body, b"Hello");
    assert_eq!(other.get("/").await.status(), 200);
}

/// Each such frame is to be answered: a client that takes no answers is read no further, and given up in the end.
#[squall::test(timeout = 60)]
async fn floods_that_ask_for_answers_end_where_nobody_takes_them() {
    let (_server, port) = serve(app, |server| server.write_timeout(Duration::from_millis(200)));
    let mut other = Client::new(port).await;
    for (name, one) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64")),
        ("empty SETTINGS", frame(SETTINGS, 0, 0, b"")),
        ("PING", frame(PING, 0, 0, b"12345678")),
    ] {
        // Little room on the way back, so that it is soon full.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut raw = Raw::over(socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap()).await;
        let many = one.repeat(1_000);
        let mut sent = 0;
        let flooding = async {
            while raw.socket.write_all(&many).await.is_ok() {
                sent += many.len();
            }
        };
        let ended = tokio::time::timeout(super::support::DEADLINE, flooding).await;
        assert!(ended.is_ok(), "{name}: {sent} bytes");
        assert_eq!(other.get("/").await.status(), 200, "{name}");
    }
}
