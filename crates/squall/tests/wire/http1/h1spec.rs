//! The 33 behaviours that uNetworking's h1spec looks for in an HTTP/1.1 server, against an application like the hello
//! example. h1spec has no licence and is on no package registry, so the requests here are ours. They are judged more
//! strictly: the whole answer counts, and what becomes of the connection. `scripts/ci-h1spec.sh` runs h1spec itself.

use std::time::Duration;

use squall::testing::{TestServer, serve};
use squall::{Application, Context, RequestHandler, Result, handler, url};

use super::support::{Case, Client, bad, closes, ok, ok_untagged, probe, stays, table};

/// How many cases h1spec has; the two tables below have as many together.
const ALL: usize = 33;

#[derive(Clone)]
struct Main;

#[handler]
impl RequestHandler for Main {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("Hello, world");
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(ctx.request().body());
        Ok(())
    }
}

fn server() -> TestServer {
    serve(Application::new([url("/", Main), probe()]))
}

/// Where the first piece of a request may end without the server saying anything.
const PIECES: [(&str, &str); 15] = [
    ("in the method", "G"),
    ("before the target", "GET "),
    ("in the target", "GET /?who"),
    ("after the target", "GET /?whole "),
    ("in the version", "GET /?whole HTTP/1"),
    ("after the version", "GET /?whole HTTP/1.1"),
    ("in the line end of the request line", "GET /?whole HTTP/1.1\r"),
    ("after the request line", "GET /?whole HTTP/1.1\r\n"),
    ("in a field name", "GET /?whole HTTP/1.1\r\nHo"),
    ("after the colon", "GET /?whole HTTP/1.1\r\nHost:"),
    ("before a field value", "GET /?whole HTTP/1.1\r\nHost: "),
    ("after a field value", "GET /?whole HTTP/1.1\r\nHost: squall.test"),
    ("in the line end of a field", "GET /?whole HTTP/1.1\r\nHost: squall.test\r"),
    ("after a field", "GET /?whole HTTP/1.1\r\nHost: squall.test\r\n"),
    ("in the empty line", "GET /?whole HTTP/1.1\r\nHost: squall.test\r\n\r"),
];

#[squall::test(timeout = 60)]
async fn part_of_a_request_is_waited_for() {
    let whole = "GET /?whole HTTP/1.1\r\nHost: squall.test\r\n\r\n";
    let server = server();
    for (place, piece) in PIECES {
        let rest = whole.strip_prefix(piece).unwrap_or_else(|| panic!("{place}: no piece of the request"));
        let mut client = Client::connect(&server).await;
        client.send(piece).await;
        // For the server to see the piece alone. One that answers it late is caught below: its answer comes first.
        assert!(!client.ended_early(Duration::from_millis(10)).await, "closed {place}");
        client.send(rest).await;
        client.expect(ok("Hello, world")).await;
        client.alive().await;
    }
}

#[squall::test(timeout = 60)]
async fn each_request_is_answered_or_refused() {
    let cases = cases();
    assert_eq!(PIECES.len() + cases.len(), ALL);
    table(&server(), cases).await;
}

fn cases() -> Vec<Case> {
    let version = bad("Unsupported HTTP version");
    let host = "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned();
    let length = bad("Invalid Content-Length");
    let hello = ok("Hello, world");
    let plain = |fields: &str| format!("GET / HTTP/1.1\r\nHost: squall.test\r\n{fields}\r\n");
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: squall.test\r\n{fields}\r\n{body}");
    vec![
        stays("a plain GET", plain(""), &*hello),
        stays(
            "any case, a tab, nothing",
            "GET / HTTP/1.1\r\nHOST:\tsquall.test\r\nNothing:\r\n\r\n",
            &*hello,
        ),
        stays("a field of blanks", plain("Blank: \r\n"), &*hello),
        // RFC 9110, 10.1.1: a request without body may be answered at once, with no 100.
        stays("an expectation without a body", plain("Expect: 100-continue\r\n"), &*hello),
        stays("a POST", post("Content-Length: 4\r\n", "echo"), ok_untagged("echo")),
        stays(
            "a chunked POST",
            post("Transfer-Encoding: chunked\r\n", "b\r\nround again\r\n0\r\n\r\n"),
            ok_untagged("round again"),
        ),
        // h1spec takes either answer. RFC 9112, 6.3, item 3: this ought to be handled as an error.
        closes(
            "a chunked POST with a length",
            post("conTENT-lenGTH: 4\r\ntransfer-ENCODING: chunked\r\n", "b\r\nround again\r\n0\r\n\r\n"),
            bad("Both Content-Length and Transfer-Encoding"),
        ),
        closes("no version", "GET / \r\n\r\n", &*version),
        closes("a version of the future", "GET / HTTP/7.3\r\nHost: squall.test\r\n\r\n", &*version),
        closes("a word before the method", "One moreGET / HTTP/1.1\r\nHost: squall.test\r\n\r\n", &*version),
        closes("no Host", "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", &*host),
        closes("two Hosts", plain("Host: other.test\r\n"), &*host),
        closes("brackets in a field name", plain("Of[0]: x\r\n"), bad("Malformed header line")),
        closes(
            "a bell in a field value",
            plain("Sound: ding\x07\r\n"),
            bad("Control character in a header value"),
        ),
        closes("a bare CR as a line end", plain("\rMore: x\r\n"), bad("Malformed line end in the header")),
        closes("a length that is no number", plain("Content-Length: ten\r\n"), &*length),
        closes("a negative length", plain("Content-Length: -10\r\n"), &*length),
        closes(
            "a negative length that no integer holds",
            plain("Content-Length: -98765432109876543210987654321\r\n"),
            &*length,
        ),
    ]
}
