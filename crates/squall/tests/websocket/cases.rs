//! The cases of the Autobahn test suite on the wire, under its numbers, in our own words: groups 1 to 7, 9 and 10
//! here, 12 and 13 in `compression.rs`. Cases that differ only in how their octets are cut are one here: small ones
//! are always sent both at once and octet by octet. `over_http2` runs them once more, over its carrier.

use squall::testing::TestServer;
use squall::websocket::{Message, WebSocket, WebSocketHandler, ws};
use squall::{Application, HttpServer, Result};

use super::support::{Client, close, raw_frame, server_close, server_frame};

#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

fn serve() -> TestServer {
    let server = HttpServer::new(|| Application::new([ws("/ws", Echo)]).websocket_max_message_size(32 << 20));
    #[cfg(feature = "http2")]
    let server = server.h2c(true);
    squall::testing::serve_on(server)
}

/// First byte and payload.
type Frame<'a> = (u8, &'a [u8]);

/// How a case ends: we close and are answered, or the server fails the connection with this code.
#[derive(Clone, Copy)]
enum End {
    Fine,
    Failed(u16),
}
use End::{Failed, Fine};

/// Sends frames, at once and octet by octet, and expects these and the end.
async fn case(server: &TestServer, number: &str, sent: &[Frame<'_>], expected: &[Frame<'_>], end: End) {
    let bytes: Vec<u8> = sent.iter().flat_map(|(first, payload)| raw_frame(*first, payload)).collect();
    for octets in [false, true] {
        println!("case {number}, octet by octet: {octets}"); // which one it was, should it fail
        let mut client = Client::open(server, "/ws").await;
        for chop in bytes.chunks(if octets { 1 } else { bytes.len() }) {
            client.send(chop).await;
        }
        for (first, payload) in expected {
            client.expect(server_frame(*first, payload)).await;
        }
        match end {
            Fine => ends_well(client).await,
            Failed(code) => {
                let (first, payload) = client.frame().await;
                assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]), "case {number}");
                client.shutdown().await;
                client.closed().await;
            }
        }
    }
}

async fn ends_well(mut client: Client) {
    client.send(close(1000, "")).await;
    client.expect(server_close(1000, "")).await;
    client.closed().await;
}

/// Sends one message in pieces of the connection or of the message, and expects it back.
async fn large(server: &TestServer, number: &str, first: u8, size: usize, fragment: usize, chop: usize) {
    println!("case {number}: {size} bytes, fragments of {fragment}, chops of {chop}");
    let payload: Vec<u8> = b"BAsd7&jh23".iter().copied().cycle().take(size).collect();
    let mut bytes = Vec::new();
    let last = size.div_ceil(fragment).max(1) - 1;
    for (at, piece) in (0..=last).map(|at| (at, &payload[at * fragment..size.min((at + 1) * fragment)])) {
        let opcode = if at == 0 { first } else { 0x00 };
        bytes.extend(raw_frame(opcode | if at == last { 0x80 } else { 0x00 }, piece));
    }
    let mut client = Client::open(server, "/ws").await;
    for chop in bytes.chunks(chop) {
        client.send(chop).await;
    }
    client.expect(server_frame(0x80 | first, &payload)).await;
    ends_well(client).await;
}

#[squall::test(timeout = 60)]
async fn group_1_framing() {
    let server = serve();
    for (group, first, byte) in [(1, 0x81, b'*'), (2, 0x82, 0xfe)] {
        for (at, size) in [0, 125, 126, 127, 128, 65_535, 65_536].into_iter().enumerate() {
            let payload = vec![byte; size];
            let mut client = Client::open(&server, "/ws").await;
            println!("case 1.{group}.{}", at + 1);
            client.send(raw_frame(first, &payload)).await;
            client.expect(server_frame(first, &payload)).await;
            ends_well(client).await;
        }
        large(&server, &format!("1.{group}.8"), first & 0x0f, 65_536, 65_536, 997).await;
    }
}

#[squall::test(timeout = 60)]
async fn group_2_pings_and_pongs() {
    let server = serve();
    let (binary, long) = ([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff], [0xfe; 125]);
    let hello: &[u8] = b"Hello, world!";
    for (number, payload) in [("2.1", &b""[..]), ("2.2", hello), ("2.3", &binary), ("2.4 and 2.6", &long)] {
        case(&server, number, &[(0x89, payload)], &[(0x8a, payload)], Fine).await;
    }
    case(&server, "2.5", &[(0x89, &[0xfe; 126])], &[], Failed(1002)).await;
    case(&server, "2.7", &[(0x8a, b"")], &[], Fine).await;
    case(&server, "2.8", &[(0x8a, b"unsolicited pong payload")], &[], Fine).await;
    case(&server, "2.9", &[(0x8a, b"unsolicited"), (0x89, b"ping")], &[(0x8a, b"ping")], Fine).await;
    let payloads: Vec<String> = (0..10).map(|number| format!("payload-{number}")).collect();
    let sent: Vec<Frame<'_>> = payloads.iter().map(|payload| (0x89, payload.as_bytes())).collect();
    let answers: Vec<Frame<'_>> = payloads.iter().map(|payload| (0x8a, payload.as_bytes())).collect();
    case(&server, "2.10 and 2.11", &sent, &answers, Fine).await;
}

#[squall::test(timeout = 60)]
async fn groups_3_and_4_reserved_bits_and_opcodes() {
    let server = serve();
    let hello = (0x81, &b"Hello, world!"[..]);
    case(&server, "3.1", &[(0x91, hello.1)], &[], Failed(1002)).await;
    for (number, rsv) in [("3.2", 2), ("3.3", 3), ("3.4", 4)] {
        let sent = [hello, (0x81 | rsv << 4, hello.1), (0x89, b"")];
        case(&server, number, &sent, &[hello], Failed(1002)).await;
    }
    case(&server, "3.5", &[(0xd2, &[0x00, 0xff, 0xfe])], &[], Failed(1002)).await;
    case(&server, "3.6", &[(0xe9, hello.1)], &[], Failed(1002)).await;
    case(&server, "3.7", &[(0xf8, b"")], &[], Failed(1002)).await;
    for (group, opcodes) in [(1, 3..=7), (2, 11..=15)] {
        for (at, opcode) in opcodes.enumerate() {
            let number = format!("4.{group}.{}", at + 1);
            // The first two of each alone, the others after a message and before a ping.
            match at {
                0 => case(&server, &number, &[(0x80 | opcode, b"")], &[], Failed(1002)).await,
                1 => case(&server, &number, &[(0x80 | opcode, b"reserved")], &[], Failed(1002)).await,
                _ => {
                    let payload: &[u8] = if at == 2 { b"" } else { b"reserved" };
                    let sent = [hello, (0x80 | opcode, payload), (0x89, b"")];
                    case(&server, &number, &sent, &[hello], Failed(1002)).await;
                }
            }
        }
    }
}

#[squall::test(timeout = 60)]
async fn group_5_fragmentation() {
    let server = serve();
    let (a, b): (&[u8], &[u8]) = (b"fragment1", b"fragment2");
    let joined = (0x81, &b"fragment1fragment2"[..]);
    let ping = (0x89, &b"ping payload"[..]);
    let pong = (0x8a, ping.1);
    case(&server, "5.1", &[(0x09, a), (0x80, b)], &[], Failed(1002)).await;
    case(&server, "5.2", &[(0x0a, a), (0x80, b)], &[], Failed(1002)).await;
    case(&server, "5.3 to 5.5", &[(0x01, a), (0x80, b)], &[joined], Fine).await;
    case(&server, "5.6 to 5.8", &[(0x01, a), ping, (0x80, b)], &[pong, joined], Fine).await;
    let hello = (0x81, &b"Hello, world!"[..]);
    case(&server, "5.9 to 5.11", &[(0x80, a), hello], &[], Failed(1002)).await;
    case(&server, "5.12 to 5.14", &[(0x00, a), hello], &[], Failed(1002)).await;
    let sent = [(0x01, a), (0x80, b), (0x00, a), (0x81, b)];
    case(&server, "5.15", &sent, &[joined], Failed(1002)).await;
    for (number, first) in [("5.16", 0x00), ("5.17", 0x80)] {
        let sent = [(first, a), (0x01, b), (0x80, a)].repeat(2);
        case(&server, number, &sent, &[], Failed(1002)).await;
    }
    case(&server, "5.18", &[(0x01, a), (0x81, b)], &[], Failed(1002)).await;
    // The pong is there before the rest of the message is sent.
    println!("cases 5.19 and 5.20");
    let mut client = Client::open(&server, "/ws").await;
    client.send([raw_frame(0x01, b"1"), raw_frame(0x00, b"2"), raw_frame(0x89, b"first")].concat()).await;
    client.expect(server_frame(0x8a, b"first")).await;
    let rest =
        [raw_frame(0x00, b"3"), raw_frame(0x00, b"4"), raw_frame(0x89, b"second"), raw_frame(0x80, b"5")];
    for frame in rest {
        client.send(frame).await;
    }
    client.expect([server_frame(0x8a, b"second"), server_frame(0x81, b"12345")].concat()).await;
    ends_well(client).await;
}

#[squall::test(timeout = 60)]
async fn group_6_utf8_in_fragments() {
    let server = serve();
    case(&server, "6.1.1", &[(0x81, b"")], &[(0x81, b"")], Fine).await;
    case(&server, "6.1.2", &[(0x01, b""), (0x00, b""), (0x80, b"")], &[(0x81, b"")], Fine).await;
    let middle = (0x81, &b"middle frame payload"[..]);
    case(&server, "6.1.3", &[(0x01, b""), (0x00, middle.1), (0x80, b"")], &[middle], Fine).await;
    let text = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    case(&server, "6.2.1", &[(0x81, text)], &[(0x81, text)], Fine).await;
    let (head, tail) = text.split_at("Hello-µ@ßöä".len());
    case(&server, "6.2.2", &[(0x01, head), (0x80, tail)], &[(0x81, text)], Fine).await;
    case(&server, "6.2.3", &single_bytes(text), &[(0x81, text)], Fine).await;
    let greek = "κόσμε".as_bytes();
    case(&server, "6.2.4", &single_bytes(greek), &[(0x81, greek)], Fine).await;
    let surrogate = [greek, b"\xed\xa0\x80edited"].concat();
    case(&server, "6.3.1", &[(0x81, &surrogate)], &[], Failed(1007)).await;
    case(&server, "6.3.2", &single_bytes(&surrogate), &[], Failed(1007)).await;
    // Failed at the first byte that is wrong: what would follow is never sent.
    let beyond = [greek, b"\xf4\x90\x80\x80"].concat();
    case(&server, "6.4.1", &[(0x01, greek), (0x00, b"\xf4\x90\x80\x80")], &[], Failed(1007)).await;
    case(&server, "6.4.2", &[(0x01, &beyond[..12]), (0x00, &beyond[12..13])], &[], Failed(1007)).await;
    let whole = raw_frame(0x81, &[&beyond[..], b"edited"].concat());
    let payload = whole.len() - beyond.len() - 6;
    for (number, sent) in [("6.4.3", payload + beyond.len()), ("6.4.4", payload + 13)] {
        println!("case {number}");
        let mut client = Client::open(&server, "/ws").await;
        client.send(&whole[..sent]).await;
        client.expect(server_close(1007, "text is not UTF-8")).await;
        client.shutdown().await;
        client.closed().await;
    }
}

/// A text message in frames of a byte.
fn single_bytes(payload: &[u8]) -> Vec<Frame<'_>> {
    let last = payload.len() - 1;
    let bytes = payload.chunks(1).enumerate();
    bytes.map(|(at, byte)| (u8::from(at == 0) | if at == last { 0x80 } else { 0x00 }, byte)).collect()
}

#[squall::test(timeout = 60)]
async fn group_6_utf8_sequences() {
    let server = serve();
    for (group, (valid, sequences)) in sequences().into_iter().enumerate() {
        for (at, sequence) in sequences.iter().enumerate() {
            let number = format!("6.{}.{}", group + 5, at + 1);
            let is_text = std::str::from_utf8(sequence).is_ok();
            assert!(valid.is_none_or(|valid| valid == is_text), "the table is wrong at {number}");
            if is_text {
                case(&server, &number, &[(0x81, sequence)], &[(0x81, sequence)], Fine).await;
            } else {
                case(&server, &number, &[(0x81, sequence)], &[], Failed(1007)).await;
            }
        }
    }
}

/// Markus Kuhn's sequences (6.5 to 6.23): whether they are right, `None` where some are.
fn sequences() -> Vec<(Option<bool>, Vec<Vec<u8>>)> {
    let list = |sequences: &[&[u8]]| sequences.iter().map(|sequence| sequence.to_vec()).collect::<Vec<_>>();
    let greek = "κόσμε".as_bytes();
    let spaced = |first: u8, end: u8| (first..end).flat_map(|byte| [byte, b' ']).collect::<Vec<u8>>();
    let incomplete: &[&[u8]] = &[
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let mut unexpected = list(&[
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\x80\xbf\x80",
        b"\x80\xbf\x80\xbf",
        b"\x80\xbf\x80\xbf\x80",
        b"\x80\xbf\x80\xbf\x80\xbf",
    ]);
    unexpected.push((0x80..0xbf).collect());
    let mut no_characters = list(&[b"\xef\xbf\xbe", b"\xef\xbf\xbf"]);
    for plane in 1..=16u32 {
        for low in [0xfffe, 0xffff] {
            no_characters.push(char::from_u32(plane << 16 | low).unwrap().to_string().into_bytes());
        }
    }
    let lonely = [(0xc0, 0xdf), (0xe0, 0xef), (0xf0, 0xf7), (0xf8, 0xfb), (0xfc, 0xfd)];
    vec![
        (
            Some(true),
            list(&[
                b"hello$world",
                "hello¢world".as_bytes(),
                "hello€world".as_bytes(),
                "hello\u{24b62}world".as_bytes(),
                greek,
            ]),
        ),
        (None, (1..=greek.len()).map(|end| greek[..end].to_vec()).collect()),
        (Some(true), list(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"])),
        (Some(false), list(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        (Some(true), list(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"])),
        (Some(false), list(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"])),
        (
            None,
            list(&[
                b"\xed\x9f\xbf",
                b"\xee\x80\x80",
                b"\xef\xbf\xbd",
                b"\xf4\x8f\xbf\xbf",
                b"\xf4\x90\x80\x80",
            ]),
        ),
        (Some(false), unexpected),
        (Some(false), lonely.iter().map(|&(first, end)| spaced(first, end)).collect()),
        (Some(false), list(incomplete)),
        (Some(false), vec![incomplete.concat()]),
        (Some(false), list(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
        (
            Some(false),
            list(&[
                b"\xc0\xaf",
                b"\xe0\x80\xaf",
                b"\xf0\x80\x80\xaf",
                b"\xf8\x80\x80\x80\xaf",
                b"\xfc\x80\x80\x80\x80\xaf",
            ]),
        ),
        (
            Some(false),
            list(&[
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf8\x87\xbf\xbf\xbf",
                b"\xfc\x83\xbf\xbf\xbf\xbf",
            ]),
        ),
        (
            Some(false),
            list(&[
                b"\xc0\x80",
                b"\xe0\x80\x80",
                b"\xf0\x80\x80\x80",
                b"\xf8\x80\x80\x80\x80",
                b"\xfc\x80\x80\x80\x80\x80",
            ]),
        ),
        (
            Some(false),
            list(&[
                b"\xed\xa0\x80",
                b"\xed\xad\xbf",
                b"\xed\xae\x80",
                b"\xed\xaf\xbf",
                b"\xed\xb0\x80",
                b"\xed\xbe\x80",
                b"\xed\xbf\xbf",
            ]),
        ),
        (
            Some(false),
            [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"]
                .into_iter()
                .flat_map(|high| [b"\xed\xb0\x80", b"\xed\xbf\xbf"].map(|low| [&high[..], low].concat()))
                .collect(),
        ),
        (Some(true), no_characters),
        (
            Some(true),
            (0xfff9..=0xffffu32).map(|c| char::from_u32(c).unwrap().to_string().into_bytes()).collect(),
        ),
    ]
}

#[squall::test(timeout = 60)]
async fn group_7_closing() {
    let server = serve();
    let normal = 1000u16.to_be_bytes();
    let hello = (0x81, &b"Hello World!"[..]);
    case(&server, "7.1.1", &[hello], &[hello], Fine).await;
    let long = "*".repeat(123);
    let (one, two) = ([&normal[..], b"Hello World!"].concat(), [&normal[..], long.as_bytes()].concat());
    for (number, sent, answer) in [
        ("7.1.2", vec![(0x88, &normal[..]), (0x88, &b""[..])], &normal[..]),
        ("7.1.3", vec![(0x88, &normal[..]), (0x89, b"")], &normal),
        ("7.1.4", vec![(0x88, &normal[..]), hello], &normal),
        ("7.1.5", vec![(0x01, b"fragment1"), (0x88, &normal), (0x80, b"fragment2")], &normal),
        ("7.3.1", vec![(0x88, b"")], b""),
        ("7.3.3", vec![(0x88, &normal)], &normal),
        ("7.3.4", vec![(0x88, &one)], &normal),
        ("7.3.5", vec![(0x88, &two)], &normal),
    ] {
        println!("case {number}");
        let mut client = Client::open(&server, "/ws").await;
        // What follows the close frame may come too late to be sent.
        client.send(sent.iter().flat_map(|(first, data)| raw_frame(*first, data)).collect::<Vec<_>>()).await;
        client.expect(server_frame(0x88, answer)).await;
        client.closed().await;
    }
    println!("case 7.1.6");
    let mut client = Client::open(&server, "/ws").await;
    let large = vec![b'x'; 256 * 1024];
    let frames = [raw_frame(0x81, &large), raw_frame(0x81, hello.1), close(1000, ""), raw_frame(0x89, b"")];
    client.send(frames.concat()).await;
    client.expect([server_frame(0x81, &large), server_frame(0x81, hello.1)].concat()).await;
    client.expect(server_close(1000, "")).await;
    client.closed().await;
    case(&server, "7.3.2", &[(0x88, b"a")], &[], Failed(1002)).await;
    case(&server, "7.3.6", &[(0x88, &[&two[..], b"*"].concat())], &[], Failed(1002)).await;
    let bad = [&normal[..], b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"].concat();
    case(&server, "7.5.1", &[(0x88, &bad)], &[], Failed(1007)).await;
}

#[squall::test(timeout = 60)]
async fn group_7_codes() {
    let server = serve();
    let right = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999u16];
    for (at, code) in right.into_iter().enumerate() {
        println!("case 7.7.{}", at + 1);
        let mut client = Client::open(&server, "/ws").await;
        client.send(close(code, "")).await;
        client.expect(server_close(code, "")).await;
        client.closed().await;
    }
    let wrong = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999u16];
    for (at, code) in wrong.into_iter().enumerate() {
        let number = format!("7.9.{}", at + 1);
        case(&server, &number, &[(0x88, &code.to_be_bytes())], &[], Failed(1002)).await;
    }
    for (number, code) in [("7.13.1", 5000u16), ("7.13.2", 65_535)] {
        case(&server, number, &[(0x88, &code.to_be_bytes())], &[], Failed(1002)).await;
    }
}

#[squall::test(timeout = 300)]
async fn groups_9_and_10_large_messages() {
    const K: usize = 1024;
    const M: usize = 1024 * K;
    let server = serve();
    for (kind, first) in [(0, 0x01), (1, 0x02)] {
        for (at, size) in [64 * K, 256 * K, M, 4 * M, 8 * M, 16 * M].into_iter().enumerate() {
            large(&server, &format!("9.{}.{}", 1 + kind, at + 1), first, size, size, size + 14).await;
        }
        for (at, fragment) in [64, 256, K, 4 * K, 16 * K, 64 * K, 256 * K, M, 4 * M].into_iter().enumerate() {
            large(&server, &format!("9.{}.{}", 3 + kind, at + 1), first, 4 * M, fragment, 5 * M).await;
        }
        for (at, chop) in [64, 128, 256, 512, K, 2 * K].into_iter().enumerate() {
            large(&server, &format!("9.{}.{}", 5 + kind, at + 1), first, M, M, chop).await;
        }
        for (at, size) in [0, 16, 64, 256, K, 4 * K].into_iter().enumerate() {
            println!("case 9.{}.{}", 7 + kind, at + 1);
            let payload = vec![b'x'; size];
            let mut client = Client::open(&server, "/ws").await;
            for _ in 0..1000 {
                client.send(raw_frame(0x80 | first, &payload)).await;
                client.expect(server_frame(0x80 | first, &payload)).await;
            }
            ends_well(client).await;
        }
    }
    large(&server, "10.1.1", 0x01, 65_536, 1300, 70_000).await;
}
