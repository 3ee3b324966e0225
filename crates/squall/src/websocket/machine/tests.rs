//! Tables of the receiving machine: what the groups of the Autobahn suite are about, as bytes in and events out. Every
//! row is fed whole, byte by byte, and in two pieces cut everywhere.

use bytes::Bytes;
use proptest::prelude::*;

use super::__fuzz::decoded;
use super::deflate::{DeflateSetting, Deflater, Inflater};
use super::frame::{FrameHead, OpCode};
use super::mask;
use super::message::{CloseFrame, Message};
use super::protocol::{Decoder, Event, Role};

const MAX: usize = 100_000;

/// A masked frame whose first byte is given, so that anything can be written.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = Vec::new();
    let head = FrameHead { mask: Some(key), ..FrameHead::whole(OpCode::Text, payload.len()) };
    head.encode(&mut out);
    out[0] = first;
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], key, 0);
    out
}

fn all(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

fn server() -> Decoder {
    Decoder::new(Role::Server, MAX, None)
}

/// What bytes amount to, however they come.
fn outcome(bytes: &[u8]) -> (Vec<Event>, Option<u16>) {
    let (events, failure) = decoded(server(), [bytes]);
    let whole = (events, failure.map(|failure| failure.code));
    let (events, failure) = decoded(server(), bytes.chunks(1));
    assert_eq!((events, failure.map(|failure| failure.code)), whole, "byte by byte");
    for cut in 0..bytes.len().min(200) {
        let (events, failure) = decoded(server(), [&bytes[..cut], &bytes[cut..]]);
        assert_eq!((events, failure.map(|failure| failure.code)), whole, "cut at {cut}");
    }
    whole
}

fn text(text: &str) -> Event {
    Event::Message(Message::from(text))
}

fn binary(bytes: &[u8]) -> Event {
    Event::Message(Message::from(bytes))
}

fn ping(data: &'static str) -> Event {
    Event::Ping(Bytes::from_static(data.as_bytes()))
}

fn closed(code: u16, reason: &str) -> Event {
    Event::Close(Some(CloseFrame { code, reason: reason.to_owned() }))
}

#[track_caller]
fn gives(frames: &[(u8, &[u8])], expected: &[Event]) {
    let (events, failure) = outcome(&all(frames));
    assert_eq!((&events[..], failure), (expected, None));
}

#[track_caller]
fn fails(frames: &[(u8, &[u8])], before: &[Event], code: u16) {
    let (events, failure) = outcome(&all(frames));
    assert_eq!((&events[..], failure), (before, Some(code)), "{frames:02x?}");
}

#[test]
fn group_1_framing() {
    for length in [0, 1, 124, 125, 126, 127, 128, 254, 255, 256, 65_534, 65_535, 65_536, 65_537] {
        let payload = vec![b'*'; length];
        let (events, failure) = decoded(server(), [&frame(0x81, &payload)[..]]);
        assert_eq!((events, failure), (vec![text(std::str::from_utf8(&payload).unwrap())], None));
        for piece in [1, 997, 20_000] {
            let (events, failure) = decoded(server(), frame(0x82, &payload).chunks(piece));
            assert_eq!(
                (events, failure),
                (vec![binary(&payload)], None),
                "{length} bytes in pieces of {piece}"
            );
        }
    }
}

#[test]
fn group_2_pings_and_pongs() {
    gives(&[(0x89, b"")], &[ping("")]);
    gives(&[(0x89, b"Hello, world!")], &[ping("Hello, world!")]);
    gives(&[(0x89, &[0x00, 0xff, 0xfe])], &[Event::Ping(Bytes::from_static(&[0x00, 0xff, 0xfe]))]);
    gives(&[(0x89, &[b'*'; 125])], &[Event::Ping(Bytes::from_static(&[b'*'; 125]))]);
    fails(&[(0x89, &[b'*'; 126])], &[], 1002);
    gives(
        &[(0x8a, b"unsolicited"), (0x89, b"x")],
        &[Event::Pong(Bytes::from_static(b"unsolicited")), ping("x")],
    );
    gives(&[(0x89, b"0"), (0x89, b"1"), (0x89, b"2")], &[ping("0"), ping("1"), ping("2")]);
}

#[test]
fn group_3_reserved_bits() {
    for bits in 1..=7u8 {
        fails(&[(0x81 | bits << 4, b"Hello")], &[], 1002);
        fails(&[(0x81, b"first"), (0x82 | bits << 4, b"second")], &[text("first")], 1002);
        fails(&[(0x89 | bits << 4, b"ping")], &[], 1002);
        fails(&[(0x88 | bits << 4, b"")], &[], 1002);
        fails(&[(0x01, b"part"), (0x80 | bits << 4, b"rest")], &[], 1002);
    }
}

#[test]
fn group_4_reserved_opcodes() {
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        fails(&[(0x80 | opcode, b"")], &[], 1002);
        fails(&[(0x81, b"first"), (0x80 | opcode, b"payload"), (0x89, b"")], &[text("first")], 1002);
    }
}

#[test]
fn group_5_fragmentation() {
    let (a, b): (&[u8], &[u8]) = (b"fragment1", b"fragment2");
    let joined = || text("fragment1fragment2");
    fails(&[(0x09, a), (0x80, b)], &[], 1002);
    fails(&[(0x0a, a), (0x80, b)], &[], 1002);
    fails(&[(0x08, b"")], &[], 1002);
    gives(&[(0x01, a), (0x80, b)], &[joined()]);
    gives(&[(0x01, a), (0x89, b"ping"), (0x80, b)], &[ping("ping"), joined()]);
    gives(&[(0x01, b""), (0x00, b""), (0x80, b"")], &[text("")]);
    gives(&[(0x02, b""), (0x00, b"middle"), (0x80, b"")], &[binary(b"middle")]);
    for first in [0x80, 0x00] {
        fails(&[(first, a)], &[], 1002);
        fails(&[(first, a), (0x81, b)], &[], 1002);
        fails(&[(0x01, a), (0x80, b), (first, b"more")], &[joined()], 1002);
    }
    fails(&[(0x01, a), (0x81, b)], &[], 1002);
    fails(&[(0x01, a), (0x02, b)], &[], 1002);
    fails(&[(0x01, a), (0x89, b"p"), (0x01, b)], &[ping("p")], 1002);
    gives(
        &[(0x01, b"1"), (0x00, b"2"), (0x89, b"p1"), (0x00, b"3"), (0x00, b"4"), (0x89, b"p2"), (0x80, b"5")],
        &[ping("p1"), ping("p2"), text("12345")],
    );
    gives(&[(0x01, a), (0x88, b"\x03\xe8")], &[closed(1000, "")]);
}

#[test]
fn group_6_utf8() {
    for good in [
        "",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{0}",
        "\u{80}",
        "\u{800}",
        "\u{10000}",
        "\u{7f}",
        "\u{7ff}",
        "\u{ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{10ffff}",
        "\u{fffe}\u{1fffe}\u{10ffff}",
    ] {
        gives(&[(0x81, good.as_bytes())], &[text(good)]);
        // Cut into frames in the middle of characters.
        let bytes = good.as_bytes();
        for at in 0..=bytes.len() {
            gives(&[(0x01, &bytes[..at]), (0x00, b""), (0x80, &bytes[at..])], &[text(good)]);
        }
        let bytewise: Vec<(u8, &[u8])> = std::iter::once((0x01, &b""[..]))
            .chain(bytes.chunks(1).map(|byte| (0x00, byte)))
            .chain([(0x80, &b""[..])])
            .collect();
        gives(&bytewise, &[text(good)]);
    }
    for bad in [
        &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"[..],
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc0 ",
        b"\xe0 ",
        b"\xf0 ",
        b"\xf8 ",
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",
        b"\xed\xaf\xbf",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ] {
        fails(&[(0x81, bad)], &[], 1007);
        fails(&[(0x01, bad), (0x80, b"")], &[], 1007);
        fails(&[(0x01, b"good "), (0x80, bad)], &[], 1007);
        gives(&[(0x82, bad)], &[binary(bad)]);
    }
}

#[test]
fn group_6_4_text_fails_at_its_first_wrong_byte() {
    let bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    let wrong = 12; // 0xf4 0x90 is more than U+10FFFF
    let whole = frame(0x81, bad);
    let payload = whole.len() - bad.len();
    let (events, failure) = decoded(server(), [&whole[..payload + wrong]]);
    assert_eq!((events, failure), (vec![], None));
    let (_, failure) = decoded(server(), [&whole[..payload + wrong + 1]]);
    assert_eq!(failure.map(|failure| failure.code), Some(1007));
    // Nor is the end of the message waited for when the frame is complete.
    let (_, failure) = decoded(server(), [&frame(0x01, &bad[..wrong + 1])[..]]);
    assert_eq!(failure.map(|failure| failure.code), Some(1007));
}

#[test]
fn group_7_closing() {
    gives(&[(0x88, b"")], &[Event::Close(None)]);
    fails(&[(0x88, b"\x03")], &[], 1002);
    gives(&[(0x88, b"\x03\xe8")], &[closed(1000, "")]);
    gives(&[(0x88, b"\x03\xe8Hello World!")], &[closed(1000, "Hello World!")]);
    let long = "*".repeat(123);
    gives(&[(0x88, &[b"\x03\xe8", long.as_bytes()].concat())], &[closed(1000, &long)]);
    fails(&[(0x88, &[b"\x03\xe8", long.as_bytes(), b"*"].concat())], &[], 1002);
    fails(&[(0x88, b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80")], &[], 1007);
}

#[test]
fn nothing_follows_a_close_frame() {
    for after in [(0x81, &b"text"[..]), (0x89, b"ping"), (0x88, b""), (0xff, b"garbage")] {
        gives(&[(0x88, b"\x03\xe8"), after], &[closed(1000, "")]);
    }
}

#[test]
fn group_7_codes() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999u16] {
        gives(&[(0x88, &code.to_be_bytes())], &[closed(code, "")]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535u16] {
        fails(&[(0x88, &code.to_be_bytes())], &[], 1002);
    }
}

#[test]
fn groups_9_and_10_large_messages() {
    let decoder = || Decoder::new(Role::Server, 16 << 20, None);
    let payload: Vec<u8> = (0..4 << 20).map(|i: u32| b'a' + (i % 26) as u8).collect();
    for piece in [64, 256, 1024, 65_536, 4 << 20] {
        let last = payload.len() / piece - 1;
        let mut bytes = Vec::new();
        for (i, part) in payload.chunks(piece).enumerate() {
            let first = if i == 0 { 0x01 } else { 0x00 } | if i == last { 0x80 } else { 0x00 };
            bytes.extend(frame(first, part));
        }
        let mut decoder = decoder();
        let (mut at, mut event) = (0, None);
        while event.is_none() {
            let (used, next) = decoder.next(&bytes[at..bytes.len().min(at + 16_384)]).unwrap();
            assert!(used > 0 || next.is_some());
            at += used;
            event = next;
        }
        assert_eq!(at, bytes.len());
        let Some(Event::Message(message)) = event else { panic!("{event:?}") };
        assert!(message.as_bytes() == payload);
    }
}

#[test]
fn masks_are_as_the_role_wants_them() {
    let unmasked = [0x81, 0x02, b'h', b'i'];
    assert_eq!(outcome(&unmasked), (vec![], Some(1002)));
    assert_eq!(decoded(server(), [&unmasked[..2]]).1.map(|f| f.code), Some(1002));
    let client = || Decoder::new(Role::Client, MAX, None);
    assert_eq!(decoded(client(), [&unmasked[..]]), (vec![text("hi")], None));
    assert_eq!(decoded(client(), [&frame(0x81, b"hi")[..]]).1.map(|f| f.code), Some(1002));
}

#[test]
fn too_big_is_known_from_the_head() {
    let decoder = || Decoder::new(Role::Server, 10, None);
    let code = |bytes: &[u8]| decoded(decoder(), [bytes]).1.map(|failure| (failure.code, failure.reason));
    let too_big = Some((1009, "message too big"));
    assert_eq!(code(&frame(0x81, b"0123456789")), None);
    assert_eq!(code(&frame(0x81, b"0123456789a")[..6]), too_big);
    assert_eq!(code(&[&frame(0x01, b"01234567")[..], &frame(0x80, b"89a")[..6]].concat()), too_big);
    assert_eq!(code(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), too_big);
    assert_eq!(code(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).map(|(code, _)| code), Some(1002));
}

#[test]
fn memory_grows_with_what_has_come() {
    let mut decoder = Decoder::new(Role::Server, 1 << 30, None);
    let head = &frame(0x82, &vec![0; 100_000])[..14];
    assert_eq!(decoder.next(head), Ok((14, None)));
    assert!(decoder.capacity() < 100, "{}", decoder.capacity());
    // Empty fragments take none at all.
    let mut decoder = server();
    assert_eq!(decoder.next(&frame(0x01, b"")), Ok((6, None)));
    for _ in 0..100_000 {
        assert_eq!(decoder.next(&frame(0x00, b"")), Ok((6, None)));
    }
    assert_eq!(decoder.capacity(), 0);
    // Nor do messages that are complete.
    let mut decoder = server();
    assert!(matches!(decoder.next(&frame(0x82, &[7; 1000])), Ok((_, Some(_)))));
    assert_eq!(decoder.capacity(), 0);
}

/// A compressed message as its payload.
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::alone(DeflateSetting { level: 6, window_bits: 15 }, message, &mut out);
    out
}

#[test]
fn a_long_message_is_inflated_in_slices() {
    let mut state = 1_u32;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    });
    let message: Vec<u8> = letters.take(2_000_000).collect();
    let bytes = frame(0xc2, &deflated(&message));
    let mut decoder = Decoder::new(Role::Server, 16 << 20, Some(Inflater::new(15, true)));
    let (mut at, mut pauses) = (0, 0);
    let event = loop {
        let (used, event) = decoder.next(&bytes[at..]).unwrap();
        assert!(used > 0);
        at += used;
        if let Some(event) = event {
            break event;
        }
        pauses += usize::from(decoder.wants_pause());
        assert!(!decoder.wants_pause(), "once");
    };
    assert_eq!(at, bytes.len());
    assert!(pauses >= 4, "{pauses}");
    assert_eq!(event, Event::Message(Message::Binary(message.into())));
}

#[test]
fn compressed_messages() {
    let decoder = || Decoder::new(Role::Server, MAX, Some(Inflater::new(15, true)));
    let message = "Héllo, ".repeat(2000);
    let data = deflated(message.as_bytes());
    let run = |frames: &[(u8, &[u8])]| {
        let bytes = all(frames);
        let whole = decoded(decoder(), [&bytes[..]]);
        assert_eq!(decoded(decoder(), bytes.chunks(1)), whole, "byte by byte");
        (whole.0, whole.1.map(|failure| failure.code))
    };
    assert_eq!(run(&[(0xc1, &data)]), (vec![text(&message)], None));
    let (a, b) = data.split_at(data.len() / 2);
    assert_eq!(run(&[(0x41, a), (0x89, b"p"), (0x80, b)]), (vec![ping("p"), text(&message)], None));
    assert_eq!(run(&[(0x81, b"plain"), (0xc1, &data)]), (vec![text("plain"), text(&message)], None));
    assert_eq!(run(&[(0x41, a), (0xc0, b)]), (vec![], Some(1002)));
    assert_eq!(run(&[(0xc9, b"")]), (vec![], Some(1002)));
    assert_eq!(run(&[(0xc1, b"\xff\xff\xff")]), (vec![], Some(1007)));
    assert_eq!(run(&[(0xc1, &deflated(b"\xff"))]), (vec![], Some(1007)));
    assert_eq!(run(&[(0xc1, &deflated(&vec![b'x'; MAX + 1]))]), (vec![], Some(1009)));
    assert_eq!(run(&[(0xc1, &deflated(&vec![b'x'; MAX]))]).1, None);
    // Without an agreement the bit is reserved.
    fails(&[(0xc1, &data)], &[], 1002);
}

/// Frames that are mostly right.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![Just(0x0u8), Just(0x1), Just(0x2), Just(0x8), Just(0x9), Just(0xa), 0u8..16];
    let payload = prop_oneof![
        "\\PC{0,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..300),
        Just(vec![0x03, 0xe8]),
    ];
    let flags = prop_oneof![Just(0x80u8), Just(0x00), (0u8..16).prop_map(|bits| bits << 4)];
    proptest::collection::vec((flags, opcode, payload), 0..8).prop_map(|frames| {
        frames.iter().flat_map(|(flags, opcode, payload)| frame(flags | opcode, payload)).collect()
    })
}

proptest! {
    #[test]
    fn splits_change_nothing(bytes in frames(), cuts: Vec<prop::sample::Index>, deflate: bool) {
        let decoder = || Decoder::new(Role::Server, 500, deflate.then(|| Inflater::new(15, true)));
        let (events, failure) = decoded(decoder(), [&bytes[..]]);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        let (split, split_failure) = decoded(decoder(), pieces);
        prop_assert_eq!(events, split);
        prop_assert_eq!(failure.map(|failure| failure.code), split_failure.map(|failure| failure.code));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), role: bool, deflate: bool) {
        let role = if role { Role::Server } else { Role::Client };
        decoded(Decoder::new(role, 500, deflate.then(|| Inflater::new(15, true))), bytes.chunks(7));
    }
}

#[test]
fn a_large_frame_may_be_received_in_place() {
    let payload: Vec<u8> = (0..100_003u32).map(|n| (n % 251) as u8).collect();
    let bytes = [frame(0x82, &payload), frame(0x81, b"next")].concat();
    for step in [20_000, 33_333, 200_000] {
        let mut decoder = Decoder::new(Role::Server, 1 << 20, None);
        let (mut at, event) = decoder.next(&bytes[..1000]).unwrap();
        assert_eq!((at, event), (1000, None));
        assert!(decoder.room().is_none(), "too little has come");
        at += decoder.next(&bytes[at..at + 5000]).unwrap().0;
        let mut events = Vec::new();
        while let Some((data, left)) = decoder.room() {
            assert!(left >= 16 * 1024 && data.capacity() <= 5 * data.len() + 16, "{left}");
            let start = data.len();
            let end = bytes.len().min(at + step);
            data.extend_from_slice(&bytes[at..end]);
            let (beyond, event) = decoder.received(start);
            at = end - beyond.len();
            events.extend(event.unwrap());
        }
        // The end of the frame, if it is small, and what follows.
        while at < bytes.len() {
            let (used, event) = decoder.next(&bytes[at..]).unwrap();
            at += used;
            events.extend(event);
        }
        assert_eq!(events, [binary(&payload), text("next")], "by {step}");
    }
}

/// As on a page: ASCII, and nothing that ends a script.
#[test]
fn json_is_written_as_tornado_writes_it() {
    let message = Message::json(&serde_json::json!({"a": [1, null, "é</b>"]})).unwrap();
    assert_eq!(Event::Message(message), text(r#"{"a":[1,null,"\u00e9<\/b>"]}"#));
}
