//! Frames, and the error that each leads to.

use super::{
    GET, POST, a_frame, begun, get, padded, post, requests, reset, sent_frames, setting, settings,
    window_update,
};
use crate::http2::Reason;
use crate::http2::frame::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, LARGEST_WINDOW,
    PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::http2::server::Machine;

/// What becomes of it.
#[derive(Debug, PartialEq)]
enum To {
    Nothing,
    Stream(u32, Reason),
    Connection(Reason),
}

/// With streams 1 (a body is to come), 3 (all has come), 5 (reset by its client) and 7 (reset by the server) behind the greeting.
fn with_streams() -> Machine {
    let mut machine = begun(settings());
    machine.read(&[post(1), get(3), post(5), reset(5), post(7)].concat());
    assert_eq!(requests(&mut machine), [1, 3, 7]);
    machine.reset(7, Reason::CANCEL);
    sent_frames(&mut machine);
    machine
}

fn outcome(machine: &mut Machine) -> To {
    let sent = sent_frames(machine);
    let code = |payload: &[u8]| Reason(frame::number(payload));
    if let Some(reason) = machine.fault() {
        let goaway = sent.iter().find(|(head, _)| head.kind == GOAWAY).expect("the client is told");
        assert_eq!(code(&goaway.1[4..]), reason);
        assert_eq!(machine.read(b"more"), 0, "nothing is read any more");
        return To::Connection(reason);
    }
    match sent.iter().find(|(head, _)| head.kind == RST_STREAM) {
        Some((head, payload)) => {
            assert!(!machine.is_known(head.stream));
            To::Stream(head.stream, code(payload))
        }
        None => To::Nothing,
    }
}

#[test]
fn frames_lead_to_errors() {
    const PROTOCOL: To = To::Connection(Reason::PROTOCOL_ERROR);
    const SIZE: To = To::Connection(Reason::FRAME_SIZE_ERROR);
    const FLOW: To = To::Connection(Reason::FLOW_CONTROL_ERROR);
    const CLOSED: To = To::Connection(Reason::STREAM_CLOSED);
    let whole = END_HEADERS | END_STREAM;
    let largest = LARGEST_WINDOW.to_be_bytes();
    #[rustfmt::skip] // one row, one line
    let rows = [
        // The sections are RFC 9113's.
        ("4.1 an unknown type", a_frame(0xbe, 0xff, 1, b"text"), To::Nothing),
        ("4.1 an unknown type on a stream that is not open", a_frame(0xbe, 0xff, 9, b"text"), To::Nothing),
        ("4.1 undefined flags", a_frame(PING, 0xfe, 0, b"12345678"), To::Nothing),
        ("4.1 the reserved bit", a_frame(DATA, END_STREAM, 0x8000_0001, b"text"), To::Nothing),
        ("4.2 too large", a_frame(DATA, 0, 1, &[0; 16_385]), SIZE),
        ("4.2 too large, of an unknown type", a_frame(0xbe, 0, 0, &[0; 16_385]), SIZE),
        ("4.2 as large as is allowed", a_frame(DATA, 0, 1, &[0; 16_384]), To::Nothing),
        ("4.3 a wrong block", a_frame(HEADERS, whole, 9, b"\x80"), To::Connection(Reason::COMPRESSION_ERROR)),
        ("4.3 a wrong block behind a body", a_frame(HEADERS, whole, 1, b"\xff"), To::Connection(Reason::COMPRESSION_ERROR)),
        ("4.3 another frame within a head", [a_frame(HEADERS, END_STREAM, 9, GET), a_frame(PING, 0, 0, b"12345678")].concat(), PROTOCOL),
        ("4.3 an unknown frame within a head", [a_frame(HEADERS, END_STREAM, 9, GET), a_frame(0xbe, 0, 0, b"")].concat(), PROTOCOL),
        ("5.1 idle: DATA", a_frame(DATA, 0, 9, b"text"), PROTOCOL),
        ("5.1 idle: RST_STREAM", reset(9), PROTOCOL),
        ("5.1 idle: WINDOW_UPDATE", window_update(9, 1), PROTOCOL),
        ("5.1 idle: PRIORITY", a_frame(PRIORITY, 0, 9, b"\0\0\0\0\x10"), To::Nothing),
        ("5.1 half-closed: DATA", a_frame(DATA, 0, 3, b"text"), CLOSED),
        ("5.1 half-closed: HEADERS", get(3), CLOSED),
        ("5.1 half-closed: WINDOW_UPDATE", window_update(3, 1), To::Nothing),
        ("5.1 half-closed: RST_STREAM", reset(3), To::Nothing),
        ("5.1 reset by the client: HEADERS", get(5), CLOSED),
        ("5.1 reset by the client: DATA", a_frame(DATA, 0, 5, b"text"), To::Stream(5, Reason::STREAM_CLOSED)),
        ("5.1 reset by the client: WINDOW_UPDATE", window_update(5, 1), To::Nothing),
        ("5.1 reset by the server: DATA", a_frame(DATA, 0, 7, b"text"), To::Nothing),
        ("5.1 reset by the server: trailers", a_frame(HEADERS, whole, 7, b"\0\x01a\x01b"), To::Nothing),
        ("5.1 reset by the server: RST_STREAM", reset(7), To::Nothing),
        ("5.1.1 an even number", get(2), PROTOCOL),
        ("5.1.1 a number that was passed over", [get(21), get(19)].concat(), PROTOCOL),
        ("5.1.2 too many", (0..10).flat_map(|i| post(9 + 2 * i)).collect(), To::Stream(25, Reason::REFUSED_STREAM)),
        ("5.3.2 a priority", a_frame(HEADERS, whole | HAS_PRIORITY, 9, &[b"\0\0\0\x01\x10", GET].concat()), To::Nothing),
        ("6.1 DATA on stream 0", a_frame(DATA, 0, 0, b"text"), PROTOCOL),
        ("6.1 DATA on an even stream", a_frame(DATA, 0, 2, b"text"), PROTOCOL),
        ("6.1 all padding", a_frame(DATA, PADDED, 1, &padded(b"", 9)), To::Nothing),
        ("6.1 more padding than frame", a_frame(DATA, PADDED, 1, b"\x05text"), PROTOCOL),
        ("6.1 no length of the padding", a_frame(DATA, PADDED, 1, b""), SIZE),
        ("6.1 no length of the padding, and another frame", [a_frame(DATA, PADDED, 1, b""), reset(1)].concat(), SIZE),
        ("6.2 HEADERS on stream 0", get(0), PROTOCOL),
        ("6.2 more padding than frame", a_frame(HEADERS, whole | PADDED, 9, b"\x07\x82\x86\x84"), PROTOCOL),
        ("6.2 no length of the padding", a_frame(HEADERS, whole | PADDED, 9, b""), SIZE),
        ("6.2 half a priority", a_frame(HEADERS, whole | HAS_PRIORITY, 9, b"\0\0\0\0"), SIZE),
        ("6.3 PRIORITY on stream 0", a_frame(PRIORITY, 0, 0, b"\0\0\0\x01\x10"), PROTOCOL),
        ("6.3 a short one", a_frame(PRIORITY, 0, 1, b"\0\0\0\x03"), SIZE),
        ("5.3.1 on itself", a_frame(PRIORITY, 0, 1, b"\0\0\0\x01\x10"), To::Stream(1, Reason::PROTOCOL_ERROR)),
        ("6.4 RST_STREAM on stream 0", reset(0), PROTOCOL),
        ("6.4 a short one", a_frame(RST_STREAM, 0, 1, b"\0\0\0"), SIZE),
        ("6.4 a long one", a_frame(RST_STREAM, 0, 1, b"\0\0\0\0\0"), SIZE),
        ("6.5 SETTINGS on a stream", a_frame(SETTINGS, 0, 1, b""), PROTOCOL),
        ("6.5 ACK with settings", a_frame(SETTINGS, ACK, 0, b"\0\x01\0\0\0\0"), SIZE),
        ("6.5 half a setting", a_frame(SETTINGS, 0, 0, b"\0\x01\0\0\0"), SIZE),
        ("6.5.2 ENABLE_PUSH", setting(2, 2), PROTOCOL),
        ("6.5.2 INITIAL_WINDOW_SIZE", setting(4, 1 << 31), FLOW),
        ("6.5.2 MAX_FRAME_SIZE, small", setting(5, 16_383), PROTOCOL),
        ("6.5.2 MAX_FRAME_SIZE, large", setting(5, 1 << 24), PROTOCOL),
        ("6.5.2 MAX_FRAME_SIZE, largest", setting(5, (1 << 24) - 1), To::Nothing),
        ("8441 3 ENABLE_CONNECT_PROTOCOL", setting(8, 2), PROTOCOL),
        ("6.5.2 an unknown one", setting(0xffff, u32::MAX), To::Nothing),
        ("6.5.3 an ACK too many", a_frame(SETTINGS, ACK, 0, b""), To::Nothing),
        ("6.6 PUSH_PROMISE", a_frame(PUSH_PROMISE, END_HEADERS, 1, &[b"\0\0\0\x02", GET].concat()), PROTOCOL),
        ("6.7 PING on a stream", a_frame(PING, 0, 1, b"12345678"), PROTOCOL),
        ("6.7 a short one", a_frame(PING, 0, 0, b"1234567"), SIZE),
        ("6.7 an answer to nothing", a_frame(PING, ACK, 0, b"12345678"), To::Nothing),
        ("6.8 GOAWAY on a stream", a_frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL),
        ("6.8 a short one", a_frame(GOAWAY, 0, 0, &[0; 7]), SIZE),
        ("6.8 GOAWAY", a_frame(GOAWAY, 0, 0, &[0; 8]), To::Nothing),
        ("6.9 of nothing", window_update(0, 0), PROTOCOL),
        ("6.9 of nothing on a stream", window_update(1, 0), To::Stream(1, Reason::PROTOCOL_ERROR)),
        ("6.9 a short one", a_frame(WINDOW_UPDATE, 0, 1, b"\0\0\0"), SIZE),
        ("6.9.1 too large", a_frame(WINDOW_UPDATE, 0, 0, &largest), FLOW),
        ("6.9.1 too large on a stream", a_frame(WINDOW_UPDATE, 0, 1, &largest), To::Stream(1, Reason::FLOW_CONTROL_ERROR)),
        ("6.9.1 as large as there is", window_update(0, LARGEST_WINDOW - 65_535), To::Nothing),
        ("6.9.1 more data than the stream's window", (0..5).flat_map(|_| a_frame(DATA, 0, 1, &[0; 16_384])).collect(), To::Stream(1, Reason::FLOW_CONTROL_ERROR)),
        ("6.9.2 a window is too large with the settings'", [window_update(1, 1 << 30), setting(4, LARGEST_WINDOW)].concat(), FLOW),
        ("6.10 of nothing", a_frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL),
        ("6.10 of another stream", [a_frame(HEADERS, 0, 9, GET), a_frame(CONTINUATION, END_HEADERS, 11, b"")].concat(), PROTOCOL),
        ("6.10 of a head that is whole", [get(9), a_frame(CONTINUATION, END_HEADERS, 9, b"")].concat(), PROTOCOL),
        ("6.10 of padded HEADERS", [a_frame(HEADERS, PADDED, 9, &padded(GET, 3)), a_frame(CONTINUATION, END_HEADERS, 9, b"")].concat(), To::Nothing),
        ("8.1 trailers that are not the end", a_frame(HEADERS, END_HEADERS, 1, b"\0\x01a\x01b"), To::Stream(1, Reason::PROTOCOL_ERROR)),
        ("8.1 pseudo-header fields in trailers", a_frame(HEADERS, whole, 1, GET), To::Stream(1, Reason::PROTOCOL_ERROR)),
        ("8.1.1 more than Content-Length", [a_frame(HEADERS, END_HEADERS, 9, &[POST, b"\x0f\x0d\x014"].concat()), a_frame(DATA, 0, 9, b"12345")].concat(), To::Stream(9, Reason::PROTOCOL_ERROR)),
        ("8.1.1 less than Content-Length", [a_frame(HEADERS, END_HEADERS, 9, &[POST, b"\x0f\x0d\x014"].concat()), a_frame(DATA, END_STREAM, 9, b"123")].concat(), To::Stream(9, Reason::PROTOCOL_ERROR)),
        ("8.1.1 none of it", a_frame(HEADERS, whole, 9, &[POST, b"\x0f\x0d\x014"].concat()), To::Stream(9, Reason::PROTOCOL_ERROR)),
        ("8.1.1 less, and trailers", [a_frame(HEADERS, END_HEADERS, 9, &[POST, b"\x0f\x0d\x014"].concat()), a_frame(HEADERS, whole, 9, b"\0\x01a\x01b")].concat(), To::Stream(9, Reason::PROTOCOL_ERROR)),
        ("8.1.1 the padding does not count", [a_frame(HEADERS, END_HEADERS, 9, &[POST, b"\x0f\x0d\x014"].concat()), a_frame(DATA, END_STREAM | PADDED, 9, &padded(b"1234", 9))].concat(), To::Nothing),
        ("10.5.1 a head that is too large", a_frame(HEADERS, whole, 9, &[GET, &b"\0\x01a\x01b".repeat(200)].concat()), To::Nothing),
        ("10.5.1 a head that is far too large", a_frame(HEADERS, whole, 9, &[GET, &b"\0\x01a\x01b".repeat(600)].concat()), To::Connection(Reason::ENHANCE_YOUR_CALM)),
    ];
    for (name, bytes, expected) in rows {
        let mut machine = with_streams();
        let taken = machine.read(&bytes);
        assert!(taken == bytes.len() || machine.fault().is_some(), "{name}: {taken} of {}", bytes.len());
        assert_eq!(outcome(&mut machine), expected, "{name}");
    }
}

#[test]
fn a_greeting_has_its_order() {
    let settings_frame = a_frame(SETTINGS, 0, 0, b"");
    for (bytes, is_wrong) in [
        (PREFACE.to_vec(), false),
        (PREFACE[..10].to_vec(), false),
        (b"GET / HTTP/1.1\r\n".to_vec(), true),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".to_vec(), true),
        ([PREFACE, &settings_frame].concat(), false),
        ([PREFACE, &get(1)].concat(), true),
        ([PREFACE, &a_frame(SETTINGS, ACK, 0, b"")].concat(), true),
        ([PREFACE, &settings_frame, &get(1)].concat(), false),
    ] {
        let mut machine = Machine::new(settings());
        machine.read(&bytes);
        let fault = is_wrong.then_some(Reason::PROTOCOL_ERROR);
        assert_eq!(machine.fault(), fault, "{}", bytes.escape_ascii());
    }
}

/// What costs a client little and the server something has a budget.
#[test]
fn budgets_end_a_connection() {
    let calm = Some(Reason::ENHANCE_YOUR_CALM);
    type Flood = fn(u32) -> Vec<u8>;
    let floods: [(&str, usize, Flood); 6] = [
        ("DATA without data", 101, |_| a_frame(DATA, 0, 1, b"")),
        ("DATA with padding only", 101, |_| a_frame(DATA, PADDED, 1, &padded(b"", 9))),
        ("streams that are reset at once", 21, |i| [post(9 + 2 * i), reset(9 + 2 * i)].concat()),
        ("malformed streams", 1_025, |i| a_frame(HEADERS, END_HEADERS, 9 + 2 * i, b"\x82")),
        ("streams beyond their number", 1_025 + 8, |i| post(9 + 2 * i)),
        ("a head in pieces", 32, |i| {
            if i == 0 { a_frame(HEADERS, 0, 9, b"") } else { a_frame(CONTINUATION, 0, 9, b"") }
        }),
    ];
    for (name, count, flood) in floods {
        let mut machine = with_streams();
        for i in 0..count as u32 {
            assert_eq!(machine.fault(), None, "{name}: {i}");
            machine.read(&flood(i));
            // Requests that are reset at once are so before anybody looks; the others are looked at.
            if count > 1_000 {
                requests(&mut machine);
                sent_frames(&mut machine);
            }
        }
        // One more, where the limit is that so many are allowed.
        machine.read(&flood(count as u32));
        assert_eq!(machine.fault(), calm, "{name}");
    }
}

/// A client that reads no answers is not read either: they do not grow without bound.
#[test]
fn who_takes_no_answers_is_not_read() {
    let mut machine = with_streams();
    let ping = a_frame(PING, 0, 0, b"12345678");
    let mut count = 0;
    while machine.read(&ping) > 0 {
        count += 1;
        assert!(count < 10_000);
    }
    assert!(machine.is_stopped() && machine.fault().is_none());
    machine.set_backlog(70_000);
    sent_frames(&mut machine);
    assert_eq!(machine.read(&ping), ping.len());
}

/// §6.8: streams behind the last that was served are not.
#[test]
fn after_a_farewell_no_stream_is_begun() {
    let mut machine = with_streams();
    machine.bid_farewell();
    assert!(!machine.is_done());
    machine.read(
        &[get(9), a_frame(PING, ACK, 0, b"farewell"), post(11), a_frame(DATA, 0, 11, b"text")].concat(),
    );
    assert_eq!(requests(&mut machine), [9]);
    let last: Vec<u32> = sent_frames(&mut machine)
        .into_iter()
        .filter(|(head, _)| head.kind == GOAWAY)
        .map(|(_, payload)| frame::number(&payload))
        .collect();
    assert_eq!(last, [LARGEST_WINDOW, 9]);
    assert_eq!(machine.inflow.held(), 0);
    for id in [1, 3, 9] {
        assert!(!machine.is_done());
        machine.let_go(id);
    }
    assert!(machine.is_done());
}
