//! Heads of requests (RFC 9113 §8), and what comes of each.

use http::Method;

use super::{a_frame, begun, sent, settings};
use crate::http1::ParseError;
use crate::http2::frame::{END_HEADERS, END_STREAM, HEADERS};
use crate::http2::server::{Asked, Event, Settings};
use crate::httputil::BodyKind;

type Fields<'a> = &'a [(&'a str, &'a str)];

const GET: Fields<'static> =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/a?b"), (":authority", "h")];

fn ask(fields: Fields<'_>, is_all: bool, settings: Settings) -> (Result<Asked, &'static str>, String) {
    let mut block = Vec::new();
    for (name, value) in fields {
        // Literally: an encoder makes lower case of it.
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut machine = begun(settings);
    let end = if is_all { END_STREAM } else { 0 };
    machine.read(&a_frame(HEADERS, END_HEADERS | end, 1, &block));
    assert_eq!(machine.fault(), None);
    sent(&mut machine);
    match machine.next_event() {
        Some(Event::Request { id: 1, asked, mut request }) => {
            let head = request.head_mut();
            let mut text = format!("{} {}", head.method, head.target);
            for (name, value) in head.headers.iter() {
                text += &format!("|{name}: {value}");
            }
            (Ok(asked), text)
        }
        Some(Event::Malformed(what)) => (Err(what), String::new()),
        _ => panic!("nothing has come of it"),
    }
}

#[test]
fn heads_become_requests() {
    let none = Asked::Request(BodyKind::None);
    #[rustfmt::skip] // one row, one line
    let rows: &[(&[Fields<'_>], bool, Asked, &str)] = &[
        (&[GET], true, none.clone(), "GET /a?b|Host: h"),
        (&[GET], false, Asked::Request(BodyKind::Unknown), "GET /a?b|Host: h|Transfer-Encoding: chunked"),
        (&[GET, &[("content-length", "5")]], false, Asked::Request(BodyKind::Length(5)), "GET /a?b|Host: h|Content-Length: 5"),
        (&[GET, &[("content-length", "5"), ("content-length", "5, 5")]], false, Asked::Request(BodyKind::Length(5)), "GET /a?b|Host: h|Content-Length: 5"),
        (&[GET, &[("content-length", "0")]], true, none.clone(), "GET /a?b|Host: h|Content-Length: 0"),
        // §8.2.3
        (&[GET, &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")]], true, none.clone(), "GET /a?b|X: y|Cookie: a=b; c=d|Host: h"),
        (&[GET, &[("te", "trailers")]], true, none.clone(), "GET /a?b|Te: trailers|Host: h"),
        // §8.3.1
        (&[GET, &[("host", "H")]], true, none.clone(), "GET /a?b|Host: h"),
        (&[&[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "h:80")]], true, none.clone(), "GET /|Host: h:80"),
        (&[&[(":path", "*"), (":method", "OPTIONS"), (":authority", "h"), (":scheme", "https")]], true, none.clone(), "OPTIONS *|Host: h"),
        (&[&[(":method", "get"), (":scheme", "x+y-1.z"), (":path", "/"), (":authority", "[::1]:1")]], true, none.clone(), "get /|Host: [::1]:1"),
        // §8.5
        (&[&[(":method", "CONNECT"), (":authority", "h:443")]], false, none.clone(), "CONNECT h:443|Host: h:443"),
        // RFC 8441 §4, RFC 9220 §3
        (&[&[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"), (":authority", "h")]], false, Asked::Tunnel, "CONNECT /|Host: h"),
        (&[&[(":method", "CONNECT"), (":protocol", "chat"), (":scheme", "http"), (":path", "/"), (":authority", "h")]], false, Asked::UnknownProtocol, "CONNECT /|Host: h"),
    ];
    for (fields, is_all, asked, text) in rows {
        let told = ask(&fields.concat(), *is_all, settings());
        assert_eq!(told, (Ok(asked.clone()), (*text).to_owned()), "{fields:?}");
    }
}

#[test]
fn malformed_heads_are_refused() {
    let whole: &[&[Fields<'_>]] = &[
        // §8.2.1
        &[GET, &[("Upper", "x")]],
        &[GET, &[("", "x")]],
        &[GET, &[("a b", "x")]],
        &[GET, &[("a:", "x")]],
        &[GET, &[("a\u{7f}", "x")]],
        &[GET, &[("é", "x")]],
        &[GET, &[("a", " x")]],
        &[GET, &[("a", "x\t")]],
        &[GET, &[("a", "x\0y")]],
        &[GET, &[("a", "x\ry")]],
        &[GET, &[("a", "x\ny")]],
        &[GET, &[("cookie", "x\ny")]],
        &[GET, &[("cookie", " x")]],
        // §8.2.2
        &[GET, &[("connection", "close")]],
        &[GET, &[("keep-alive", "1")]],
        &[GET, &[("proxy-connection", "close")]],
        &[GET, &[("transfer-encoding", "chunked")]],
        &[GET, &[("upgrade", "h2c")]],
        &[GET, &[("te", "gzip")]],
        &[GET, &[("te", "trailers, gzip")]],
        // §8.3
        &[GET, &[("a", "b"), (":path", "/")]],
        &[GET, &[(":path", "/")]],
        &[GET, &[(":status", "200")]],
        &[GET, &[(":", "x")]],
        &[GET, &[(":PATH", "x")]],
        &[&GET[1..]],
        &[&GET[..2], &GET[3..]],
        &[&GET[..1], &GET[2..]],
        &[&[]],
        // §8.3.1
        &[&GET[..3]],
        &[&[(":method", "G T")], &GET[1..]],
        &[&[(":method", "")], &GET[1..]],
        &[&[(":scheme", "")], &GET[..1], &GET[2..]],
        &[&[(":scheme", "1http")], &GET[..1], &GET[2..]],
        &[&[(":scheme", "http:")], &GET[..1], &GET[2..]],
        &[&[(":path", "")], &GET[..2], &GET[3..]],
        &[&[(":path", "a")], &GET[..2], &GET[3..]],
        &[&[(":path", "*")], &GET[..2], &GET[3..]],
        &[&[(":path", "/a b")], &GET[..2], &GET[3..]],
        &[&[(":path", "/a#b")], &GET[..2], &GET[3..]],
        &[&[(":path", "/a\r\nb")], &GET[..2], &GET[3..]],
        &[&[(":path", "http://h/")], &GET[..2], &GET[3..]],
        &[&GET[..3], &[(":authority", "user@h")]],
        &[&GET[..3], &[(":authority", "h/")]],
        &[&GET[..3], &[(":authority", "a b")]],
        &[&GET[..3], &[("host", "a"), ("host", "a")]],
        &[GET, &[("host", "other")]],
        &[GET, &[("host", "h"), ("host", "h")]],
        // §8.1.1
        &[GET, &[("content-length", "5")]],
        &[GET, &[("content-length", "")]],
        &[GET, &[("content-length", "-0")]],
        &[GET, &[("content-length", "+0")]],
        &[GET, &[("content-length", "0x0")]],
        &[GET, &[("content-length", "0"), ("content-length", "1")]],
        &[GET, &[("content-length", "0, 1")]],
        &[GET, &[("content-length", "99999999999999999999999")]],
        // §8.5
        &[&[(":method", "CONNECT")]],
        &[&[(":method", "CONNECT"), (":authority", "")]],
        &[&[(":method", "CONNECT")], &GET[1..]],
        &[&[(":method", "CONNECT"), (":authority", "h:443"), (":scheme", "http")]],
        &[&[(":method", "CONNECT"), (":authority", "h:443"), (":path", "/")]],
        // RFC 8441 §4
        &[GET, &[(":protocol", "websocket")]],
        &[&[(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "h")]],
        &[&[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/")]],
        &[&[(":method", "CONNECT"), (":protocol", "websocket"), (":protocol", "websocket")], &GET[1..]],
    ];
    for fields in whole {
        let (asked, _) = ask(&fields.concat(), true, settings());
        assert!(asked.is_err(), "{fields:?}: {asked:?}");
    }
}

/// As over HTTP/1 they are answered, with what the method allows.
#[test]
fn large_heads_are_answered() {
    let small = Settings { max_header_size: 200, max_header_count: 2, ..settings() };
    let value = "x".repeat(120);
    let refused = |error, method| Ok(Asked::Refused(error, method));
    let many: Fields<'_> = &[("a", "1"), ("b", "2"), ("c", "3")];
    // Of 159 bytes with what HTTP/2 counts for each field.
    assert_eq!(ask(GET, true, small).0, Ok(Asked::Request(BodyKind::None)));
    assert_eq!(
        ask(&[GET, &[("a", &value)]].concat(), true, small).0,
        refused(ParseError::HeadTooLarge, Method::GET)
    );
    let head: Fields<'_> = &[(":method", "HEAD"), ("a", &value), ("b", &value)];
    assert_eq!(ask(head, true, small).0, refused(ParseError::HeadTooLarge, Method::HEAD));
    let roomy = Settings { max_header_size: 4_096, ..small };
    assert_eq!(ask(&[GET, many].concat(), true, roomy).0, refused(ParseError::TooManyHeaders, Method::GET));
    assert_eq!(ask(&[GET, &many[1..]].concat(), true, roomy).0, Ok(Asked::Request(BodyKind::None)));
}
