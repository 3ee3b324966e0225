//! `squall::httputil` as applications use it, after Tornado's `httputil_test.py`; and what a request knows of its connection.

use std::time::{Duration, UNIX_EPOCH};

use http::Version;
use squall::httputil::{
    HttpHeaders, ParseBodyConfig, ParseHeadersError, StartLineError, format_timestamp, parse_body_arguments,
    parse_request_start_line, parse_response_start_line, qs_to_qsl, split_host_and_port, url_concat,
};
use squall::testing::{serve, serve_on};
use squall::{Application, Context, HttpServer, get};

#[test]
fn url_concat_rows() {
    let yz: &[(&str, &str)] = &[("y", "y"), ("z", "z")];
    for (url, arguments, expected) in [
        ("https://localhost/path", yz, "https://localhost/path?y=y&z=z"),
        ("https://localhost/path", &[("y", "/y"), ("z", "z")], "https://localhost/path?y=%2Fy&z=z"),
        ("https://localhost/path?", yz, "https://localhost/path?y=y&z=z"),
        ("https://localhost/path?x", yz, "https://localhost/path?x=&y=y&z=z"),
        ("https://localhost/path?x&", yz, "https://localhost/path?x=&y=y&z=z"),
        ("https://localhost/path?a=1&b=2", yz, "https://localhost/path?a=1&b=2&y=y&z=z"),
        ("https://localhost/path?r=1&t=2", &[], "https://localhost/path?r=1&t=2"),
        ("https://localhost/path#tab", &[("y", "y")], "https://localhost/path?y=y#tab"),
        ("https://localhost/path", &[("y", "y1"), ("y", "y2")], "https://localhost/path?y=y1&y=y2"),
        ("https://localhost/path?r=1&r=2", &[("y", "y")], "https://localhost/path?r=1&r=2&y=y"),
        ("/a?b=%FF%20#?c", &[("ü", "a b&c")], "/a?b=%FF+&%C3%BC=a+b%26c#?c"),
    ] {
        assert_eq!(url_concat(url, arguments.iter().copied()), expected, "{url}");
    }
    assert_eq!(url_concat("/p", std::collections::BTreeMap::from([("y", "y")])), "/p?y=y");
}

#[test]
fn qs_to_qsl_gives_every_pair() {
    let qs = [("a", vec!["1", "3"]), ("b", vec!["2"]), ("c", vec![])];
    assert_eq!(qs_to_qsl(qs).collect::<Vec<_>>(), [("a", "1"), ("a", "3"), ("b", "2")]);
}

#[test]
fn request_start_lines() {
    let line = parse_request_start_line("GET /foo HTTP/1.1").unwrap();
    assert_eq!((line.method, line.path, line.version), ("GET", "/foo", Version::HTTP_11));
    assert_eq!(parse_request_start_line("PURGE * HTTP/1.0").unwrap().version, Version::HTTP_10);
    assert_eq!(parse_request_start_line("GET / HTTP/1.7").unwrap().version, Version::HTTP_11);
    for (line, error) in [
        ("", StartLineError::Malformed),
        ("GET /", StartLineError::Malformed),
        ("GET  / HTTP/1.1", StartLineError::Malformed),
        ("GET / HTTP/1.1 ", StartLineError::Malformed),
        ("G(T / HTTP/1.1", StartLineError::Malformed),
        ("GET /\r HTTP/1.1", StartLineError::Malformed),
        ("GET / HTTP/2.0", StartLineError::Version),
        ("GET / http/1.1", StartLineError::Version),
        ("GET / HTTP/1.10", StartLineError::Version),
        ("GET / HTTP/1.\u{661}", StartLineError::Version),
    ] {
        assert_eq!(parse_request_start_line(line), Err(error), "{line:?}");
    }
}

#[test]
fn response_start_lines() {
    for (line, version, status, reason) in [
        ("HTTP/1.1 200 OK", Version::HTTP_11, 200, "OK"),
        ("HTTP/1.0 404 Not Found", Version::HTTP_10, 404, "Not Found"),
        ("HTTP/1.1 204 ", Version::HTTP_11, 204, ""),
        ("HTTP/1.1 204", Version::HTTP_11, 204, ""),
    ] {
        let parsed = parse_response_start_line(line).unwrap();
        assert_eq!((parsed.version, parsed.status, parsed.reason), (version, status, reason), "{line}");
    }
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 099 No",
        "HTTP/1.1 200 O\rK",
        "HTTP/3 200 OK",
    ] {
        assert!(parse_response_start_line(line).is_err(), "{line:?}");
    }
}

#[test]
fn header_blocks() {
    let text = "Foo: bar\r\nBaz: qux\r\nFoo: even\r\n    more\r\n\tlines  \r\n\r\nNot: read";
    for text in [text.to_owned(), text.replace("\r\n", "\n")] {
        let headers = HttpHeaders::parse(&text).unwrap();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("Foo", "bar"), ("Baz", "qux"), ("Foo", "even more lines")]);
    }
    assert!(HttpHeaders::parse("").unwrap().is_empty());
    assert_eq!(HttpHeaders::parse("Empty:").unwrap().get("empty"), Some(""));
    assert_eq!(HttpHeaders::parse(" a: b").unwrap_err(), ParseHeadersError::Continuation);
    assert_eq!(HttpHeaders::parse("a: b\nc").unwrap_err(), ParseHeadersError::NoColon);
    for invalid in ["a b: c", ": c", "a : c", "a: b\0", "a: b\rc", "a: \u{2028}"] {
        assert!(matches!(HttpHeaders::parse(invalid), Err(ParseHeadersError::Invalid(_))), "{invalid:?}");
    }
    // A million continuations take no quadratic time.
    let long = format!("a: b{}", "\r\n c".repeat(1_000_000));
    assert_eq!(HttpHeaders::parse(&long).unwrap().get("a").map(str::len), Some(2_000_001));
}

#[test]
fn timestamps_and_hosts_and_bodies() {
    let time = UNIX_EPOCH + Duration::from_millis(1_359_312_200_503);
    assert_eq!(format_timestamp(time), "Sun, 27 Jan 2013 18:43:20 GMT");
    assert_eq!(split_host_and_port("localhost:8888"), ("localhost", Some(8888)));
    assert_eq!(split_host_and_port("[::1]:80"), ("[::1]", Some(80)));
    let form = "application/x-www-form-urlencoded";
    let body =
        parse_body_arguments(form, &"a=1&b=%C3%A9&a=".into(), None, &ParseBodyConfig::default()).unwrap();
    assert_eq!(body.arguments.values("a").collect::<Vec<_>>(), [&b"1"[..], b""]);
    assert_eq!(body.arguments.values("b").next(), Some("é".as_bytes()));
}

#[squall::test]
async fn a_request_knows_the_other_end_of_its_connection() {
    let app = || {
        Application::new([get("/", async |ctx: &Context| {
            let remote = ctx.request().connection().remote_address().unwrap();
            let summary = ctx.request_summary().to_string();
            ctx.write_json(&(remote.ip().to_string(), remote.port(), ctx.request().remote_ip(), summary))
        })])
    };
    let direct = serve(app());
    let (ip, port, remote, summary): (String, u16, String, String) = direct.get("/").await.json();
    assert_eq!(
        (ip.as_str(), remote.as_str(), summary.as_str()),
        ("127.0.0.1", "127.0.0.1", "GET / (127.0.0.1)")
    );
    assert!(port != 0 && port != direct.port(), "it is the client's");
    let behind = serve_on(HttpServer::new(app).xheaders(true));
    let (ip, _, remote, summary): (String, u16, String, String) =
        behind.get("/").header("X-Real-Ip", "4.4.4.4").await.json();
    assert_eq!((ip.as_str(), remote.as_str(), summary.as_str()), ("127.0.0.1", "4.4.4.4", "GET / (4.4.4.4)"));
}
