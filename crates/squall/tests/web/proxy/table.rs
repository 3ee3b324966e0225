//! What a proxy must do, as rows: bytes in on one side, bytes out on the other.
//!
//! `|` is CR LF. In what is expected, `{f}` stands for the fields that tell the upstream about the client, `{v}` for `Via`
//! and the date. [`super::peers`] runs the same rows against other proxies, which need not write what is expected byte for
//! byte: there it is the messages that are compared.

use super::script::Reply;

/// One row.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) send: String,
    pub(crate) replies: Vec<Reply>,
    /// What comes to the upstream, request by request.
    pub(crate) up: Vec<String>,
    pub(crate) down: Down,
}

/// What the client gets.
pub(crate) enum Down {
    /// These bytes, and then the end of the connection.
    Bytes(String),
    /// A response of that status that is the proxy's own, and then the end.
    Status(u16),
    /// These bytes, and then the end although there should be more.
    BrokenOff(String),
}

const GET: &str = "GET / HTTP/1.1|Host: h|Connection: close||";
const UP: &str = "GET / HTTP/1.1|Host: h|{f}|";
pub(crate) const OK_DOWN: &str = "HTTP/1.1 200 OK|Content-Length: 2|{v}Connection: close||ok";

/// A request that goes on as `up`.
fn passes(name: impl Into<String>, send: impl Into<String>, up: impl Into<String>) -> Row {
    let (name, send) = (name.into(), send.into());
    Row { name, send, replies: vec![], up: vec![up.into()], down: Down::Bytes(OK_DOWN.to_owned()) }
}

/// A `GET` with these fields, which go on as `up`.
fn fields(name: impl Into<String>, fields: &str, up: &str) -> Row {
    passes(
        name,
        format!("GET / HTTP/1.1|Host: h|Connection: close|{fields}|"),
        format!("GET / HTTP/1.1|Host: h|{up}{{f}}|"),
    )
}

/// A request that goes on to nobody.
fn refused(name: impl Into<String>, send: impl Into<String>, status: u16) -> Row {
    Row { name: name.into(), send: send.into(), replies: vec![], up: vec![], down: Down::Status(status) }
}

/// A response that comes to the client of a `GET` as `down`.
fn responds(name: impl Into<String>, reply: Reply, down: impl Into<String>) -> Row {
    let down = Down::Bytes(down.into());
    Row { name: name.into(), send: GET.to_owned(), replies: vec![reply], up: vec![UP.to_owned()], down }
}

fn reply(text: impl AsRef<str>) -> Reply {
    Reply::new(text.as_ref())
}

/// A response that is not one.
fn bad(name: impl Into<String>, reply: Reply) -> Row {
    Row { down: Down::Status(502), ..responds(name, reply.then_close(), "") }
}

fn broken_off(name: impl Into<String>, reply: Reply, down: impl Into<String>) -> Row {
    Row { down: Down::BrokenOff(down.into()), ..responds(name, reply.then_close(), "") }
}

pub(crate) fn rows() -> Vec<Row> {
    [
        request_octets(),
        targets(),
        methods_and_versions(),
        request_framing(),
        request_smuggling(),
        hop_by_hop(),
        clients_told_of(),
        upgrades(),
        response_octets(),
        statuses(),
        response_framing(),
        interim_responses(),
        bad_responses(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What RFC 9110 §5.5 lets stand in a value.
fn every_octet() -> String {
    ('\u{20}'..='\u{7e}').chain('\u{80}'..='\u{ff}').map(|c| if c == '|' { '│' } else { c }).collect()
}

fn request_octets() -> Vec<Row> {
    let all = every_octet();
    let same = |name: &str, text: &str| fields(name, text, text);
    let mut rows = vec![
        same("every octet of a value", &format!("X-A: a{all}b|")),
        same("a tab inside", "X-A: a\tb|"),
        same("UTF-8", "Cookie: n=\u{c3}\u{a9}\u{e2}\u{82}\u{ac}|"),
        same("broken UTF-8", "X-A: \u{c3}(\u{ff}\u{fe}|"),
        same("UTF-8 cut short", "X-A: \u{e2}\u{82}|"),
        same("overlong UTF-8", "X-A: \u{c0}\u{8d}\u{c0}\u{8a}|"),
        same(
            "U+010D U+010A",
            "X-A: a\u{c4}\u{8d}\u{c4}\u{8a}\u{c4}\u{8d}\u{c4}\u{8a}GET /admin HTTP/1.1\u{c4}\u{8d}\u{c4}\u{8a}|",
        ),
        same("U+0100", "X-A: a\u{c4}\u{80}b|"),
        same("U+013A U+0120", "X-A: a\u{c4}\u{ba}\u{c4}\u{a0}b|"),
        same("U+560D U+560A", "X-A: a\u{e5}\u{98}\u{8d}\u{e5}\u{98}\u{8a}b|"),
        same("an empty value", "X-A: |"),
        fields("an empty value without a space", "X-A:|", "X-A: |"),
        fields("white space around", "X-A: \t b \t |", "X-A: b|"),
        same("white space inside", "X-A: b  \t  c|"),
        same("lists and quotes", "X-A: \"a, b\", c;d=\"\\\"\"|"),
        same("lines of one name keep their order", "X-A: 1|X-B: 2|X-A: 3|X-A: 1|"),
        same("two cookies", "Cookie: a=1|Cookie: b=2|"),
        same("a colon in the value", "X-A: :a:b|"),
        same("a long value", &format!("X-A: {}|", "v".repeat(6_000))),
        same("a long name", &format!("X-A{}: v|", "a".repeat(200))),
        same("many fields", &(0..80).map(|n| format!("X-{n}: {n}|")).collect::<String>()),
        same("no spelling of ours", "User-Agent: x|Accept: */*|Accept-Encoding: br|"),
        same("conditions and ranges", "If-None-Match: \"a\", W/\"b\"|Range: bytes=0-1|If-Range: \"a\"|"),
        same("credentials", "Authorization: Basic YTpi|"),
        passes(
            "line feeds only",
            "GET / HTTP/1.1\nHost: h\nConnection: close\nX-A: b\n\n",
            "GET / HTTP/1.1|Host: h|X-A: b|{f}|",
        ),
        passes("a line before", format!("|{GET}"), UP),
        refused("a folded line", "GET / HTTP/1.1|Host: h|X-A: b| c||", 400),
        refused("a space before the colon", "GET / HTTP/1.1|Host: h|X-A : b||", 400),
        refused("no colon", "GET / HTTP/1.1|Host: h|X-A||", 400),
        refused("no name", "GET / HTTP/1.1|Host: h|: b||", 400),
        refused("white space before the first field", "GET / HTTP/1.1| X: y|Host: h||", 400),
    ];
    for octet in ['\0', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{1f}', '\u{7f}', '\r'] {
        rows.push(refused(
            format!("{octet:?} in a value"),
            format!("GET / HTTP/1.1|Host: h|X-A: a{octet}b||"),
            400,
        ));
    }
    for octet in ['\0', '\t', '(', '/', '@', '[', '\u{80}', '\u{ff}'] {
        rows.push(refused(
            format!("{octet:?} in a name"),
            format!("GET / HTTP/1.1|Host: h|X{octet}A: b||"),
            400,
        ));
    }
    rows
}

fn targets() -> Vec<Row> {
    let target = |target: &str, up: &str| {
        passes(
            target,
            format!("GET {target} HTTP/1.1|Host: h|Connection: close||"),
            format!("GET {up} HTTP/1.1|Host: h|{{f}}|"),
        )
    };
    let same = |text: &str| target(text, text);
    let host = |name: &str, send: &str, host: &str| {
        passes(
            name,
            format!("GET {send}|Connection: close||"),
            format!("GET / HTTP/1.1|Host: {host}|{{f}}|").replace("{f}", &format!("{{f {host}}}")),
        )
    };
    let mut rows = vec![
        same("/public/../admin"),
        same("/public/%2e%2E/admin"),
        same("/a/./b//c"),
        same("//evil.example/x"),
        same("/\\x?y=\\&z=<'>"),
        same("/q?a=%00%2f&b"),
        same("/q?"),
        same("/?a?b??"),
        same("/a;b=c,d:e@f$g!h*i(j)~k"),
        same("/%"),
        same("/%zz%c4%8d%c4%8a"),
        same("/a+b%20c"),
        same("/?q=http://other/"),
        same("/http://other/"),
        target("http://h/absolute/../form?x=1", "/absolute/../form?x=1"),
        target("http://h", "/"),
        target("http://h?x", "/?x"),
        target("HTTP://h/X", "/X"),
        same(&format!("/{}", "long/".repeat(800))),
        host("Host from an absolute target", "http://new:8080/ HTTP/1.1|Host: old", "new:8080"),
        host("Host from an absolute target, without another", "http://new/ HTTP/1.1|Host: ", "new"),
        host("Host with a port", "/ HTTP/1.1|Host: h:81", "h:81"),
        host("Host in capitals", "/ HTTP/1.1|Host: EXAMPLE.com", "EXAMPLE.com"),
        host("an IPv6 Host", "/ HTTP/1.1|Host: [::1]:81", "[::1]:81"),
        refused("no Host", "GET / HTTP/1.1||", 400),
        refused("two Hosts", "GET / HTTP/1.1|Host: h|Host: h||", 400),
        refused("two Hosts in one", "GET / HTTP/1.1|Host: h, i||", 400),
        refused("a Host with a path", "GET / HTTP/1.1|Host: h/x||", 400),
        refused("a Host with a user", "GET / HTTP/1.1|Host: u@h||", 400),
        refused("a Host with a space", "GET / HTTP/1.1|Host: h i||", 400),
        refused("a user in the target", "GET http://u@h/ HTTP/1.1|Host: h||", 400),
        refused("an absolute target without a host", "GET http:///x HTTP/1.1|Host: h||", 400),
        refused("a fragment", "GET /a#b HTTP/1.1|Host: h|Connection: close||", 400),
        refused(
            "a fragment in an absolute target",
            "GET http://h/a#b HTTP/1.1|Host: h|Connection: close||",
            400,
        ),
        refused("another scheme", "GET ftp://h/ HTTP/1.1|Host: h|Connection: close||", 400),
        refused("a path without a slash", "GET a/b HTTP/1.1|Host: h|Connection: close||", 400),
        refused(
            "octets beyond ASCII",
            "GET /\u{c4}\u{8d}\u{c4}\u{8a} HTTP/1.1|Host: h|Connection: close||",
            400,
        ),
        refused("a space in the target", "GET /a b HTTP/1.1|Host: h||", 400),
        refused("a tab in the target", "GET /a\tb HTTP/1.1|Host: h||", 400),
        refused("NUL in the target", "GET /a\0b HTTP/1.1|Host: h||", 400),
        refused("GET of *", "GET * HTTP/1.1|Host: h|Connection: close||", 400),
    ];
    rows.push(passes(
        "a prefix of one letter",
        "GET /x HTTP/1.1|Host: h|Connection: close||",
        "GET /x HTTP/1.1|Host: h|{f}|",
    ));
    rows
}

fn methods_and_versions() -> Vec<Row> {
    let mut rows: Vec<_> = ["DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get", "X!#$%&'*+-.^_`~9"]
        .iter()
        .map(|method| {
            let rest = "/ HTTP/1.1|Host: h|";
            passes(*method, format!("{method} {rest}Connection: close||"), format!("{method} {rest}{{f}}|"))
        })
        .collect();
    let old_ok = "HTTP/1.1 200 OK|Content-Length: 2|{v}|ok";
    let old = |name: &str, send: &str, up: &str| Row {
        down: Down::Bytes(old_ok.to_owned()),
        ..passes(name, send, up)
    };
    rows.extend([
        old("HTTP/1.0", "GET / HTTP/1.0|Host: h||", "GET / HTTP/1.1|Host: h|{f 1.0}|"),
        old("HTTP/1.0 without Host", "GET /x HTTP/1.0|X-A: b||", "GET /x HTTP/1.1|Host: {upstream}|X-A: b|{f no host}|"),
        Row {
            down: Down::Bytes("HTTP/1.1 200 OK|{v}|ok".to_owned()),
            replies: vec![reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||")],
            ..old("no chunks for HTTP/1.0", "GET / HTTP/1.0|Host: h||", "GET / HTTP/1.1|Host: h|{f 1.0}|")
        },
        Row {
            down: Down::Bytes(
                "HTTP/1.1 200 OK|Content-Length: 2|{v}Connection: Keep-Alive||okHTTP/1.1 200 OK|Content-Length: 2|{v}|ok"
                    .to_owned(),
            ),
            up: vec!["GET /1 HTTP/1.1|Host: h|{f 1.0}|".to_owned(), "GET /2 HTTP/1.1|Host: h|{f 1.0}|".to_owned()],
            ..old("HTTP/1.0 that stays", "GET /1 HTTP/1.0|Host: h|Connection: keep-alive||GET /2 HTTP/1.0|Host: h||", "")
        },
        Row {
            up: (1..=3).map(|n| format!("GET /{n} HTTP/1.1|Host: h|{{f}}|")).collect(),
            down: Down::Bytes(
                "HTTP/1.1 200 OK|Content-Length: 2|{v}|ok".repeat(2) + OK_DOWN,
            ),
            ..passes(
                "three requests in one",
                "GET /1 HTTP/1.1|Host: h||GET /2 HTTP/1.1|Host: h||GET /3 HTTP/1.1|Host: h|Connection: close||",
                "",
            )
        },
        refused("CONNECT", "CONNECT other:443 HTTP/1.1|Host: other:443||GET /inner HTTP/1.1|Host: h||", 501),
        refused("CONNECT of a path", "CONNECT / HTTP/1.1|Host: h||", 501),
        refused("no version", "GET /||", 400),
        refused("the preface of HTTP/2", "PRI * HTTP/2.0||SM||", 400),
        refused("a version in small letters", "GET / http/1.1|Host: h||", 400),
        refused("two spaces", "GET  / HTTP/1.1|Host: h||", 400),
        refused("a method that is none", "G(T / HTTP/1.1|Host: h||", 400),
    ]);
    rows
}

fn request_framing() -> Vec<Row> {
    let post = |name: &str, send: &str, up: &str| {
        passes(
            name,
            format!("POST / HTTP/1.1|Host: h|Connection: close|{send}"),
            format!("POST / HTTP/1.1|Host: h|{{f}}{up}"),
        )
    };
    let length = "Content-Length: 3||abc";
    let chunks = "Transfer-Encoding: chunked||3|abc|0||";
    vec![
        post("a length", length, length),
        post("a length of zero", "Content-Length: 0||", "Content-Length: 0||"),
        post("no length", "|", "Content-Length: 0||"),
        post("zeros before", "Content-Length: 003||abc", length),
        post("two lengths in one", "Content-Length: 3, 3||abc", length),
        post("two equal lengths", "Content-Length: 3|Content-Length: 3||abc", length),
        post("three equal lengths", "Content-Length: 3|Content-Length: 3,3||abc", length),
        post("chunks", chunks, chunks),
        post("chunked in capitals", "Transfer-Encoding: CHUNKED||3|abc|0||", chunks),
        post("chunk extensions", "Transfer-Encoding: chunked||3;a=b;c=\"d\"|abc|0;x||", chunks),
        post(
            "trailers",
            "Transfer-Encoding: chunked|Trailer: X-T||3|abc|0|X-T: 1|Content-Length: 5||",
            "Trailer: X-T|Transfer-Encoding: chunked||3|abc|0|X-T: 1||",
        ),
        passes(
            "TE that Connection names",
            "GET / HTTP/1.1|Host: h|Connection: TE, close|TE: trailers, gzip||",
            "GET / HTTP/1.1|Host: h|{f}Connection: TE|Te: trailers||",
        )
        .closed_head(),
        post(
            "trailers that are not announced",
            "Transfer-Encoding: chunked||3|abc|0|X-A: 1|X-A: 2|Set-Cookie: a=b||",
            "Transfer-Encoding: chunked||3|abc|0|X-A: 1|X-A: 2||",
        ),
        post("zeros before a chunk's size", "Transfer-Encoding: chunked||0003|abc|000||", chunks),
        post("an empty body in chunks", "Transfer-Encoding: chunked||0||", "Transfer-Encoding: chunked||0||"),
        post(
            "a body that looks like a request",
            "Content-Length: 34||GET /x HTTP/1.1|Host: h|X: y||",
            "Content-Length: 34||GET /x HTTP/1.1|Host: h|X: y||",
        )
        .with_body_of(34),
        post(
            "all octets in a body",
            "Content-Length: 6||\0|\u{ff}\u{80}│",
            "Content-Length: 6||\0|\u{ff}\u{80}│",
        ),
        passes(
            "GET with a body",
            format!("GET / HTTP/1.1|Host: h|Connection: close|{length}"),
            format!("GET / HTTP/1.1|Host: h|{{f}}{length}"),
        ),
        passes(
            "DELETE with a body",
            format!("DELETE / HTTP/1.1|Host: h|Connection: close|{chunks}"),
            format!("DELETE / HTTP/1.1|Host: h|{{f}}{chunks}"),
        ),
        passes(
            "GET with a length of zero",
            "GET / HTTP/1.1|Host: h|Connection: close|Content-Length: 0||",
            "GET / HTTP/1.1|Host: h|{f}Content-Length: 0||",
        ),
        Row {
            down: Down::Bytes(format!("HTTP/1.1 100 Continue||{OK_DOWN}")),
            ..post("100-continue", "Expect: 100-continue|Content-Length: 3||", length)
        }
        .after_continue("abc"),
        post("100-continue with the body at once", &format!("Expect: 100-continue|{length}"), length),
        fields("100-continue without a body", "Expect: 100-continue|", ""),
        fields("100-continue in capitals", "Expect: 100-CONTINUE|", ""),
        fields("another expectation", "Expect: something=else|", "Expect: something=else|"),
        refused(
            "a length beyond the limit",
            "POST / HTTP/1.1|Host: h|Connection: close|Content-Length: 104857601||abc",
            413,
        ),
        refused(
            "a length beyond the limit, and a client that asks first",
            "POST / HTTP/1.1|Host: h|Expect: 100-continue|Content-Length: 104857601||",
            413,
        ),
        refused("a TRACE with a body", format!("TRACE / HTTP/1.1|Host: h|Connection: close|{length}"), 400),
    ]
}

impl Row {
    /// The body is said to be so long: it is.
    fn with_body_of(self, length: usize) -> Self {
        let body = super::script::octets(self.send.split_once("||").map_or("", |(_, body)| body));
        assert_eq!(body.len(), length, "{}", self.name);
        self
    }

    /// What is sent after a 100 has come. Rows are sent at once: so it is behind a mark.
    fn after_continue(mut self, body: &str) -> Self {
        self.send += "<100>";
        self.send += body;
        self
    }
}

fn request_smuggling() -> Vec<Row> {
    let post = |name: &str, rest: &str| {
        let inner = "GET /smuggled HTTP/1.1|Host: h||";
        refused(name, format!("POST / HTTP/1.1|Host: h|{rest}{inner}"), 400)
    };
    vec![
        post("CL.TE", "Content-Length: 6|Transfer-Encoding: chunked||0||"),
        post("TE.CL", "Transfer-Encoding: chunked|Content-Length: 4||0||"),
        post("two lengths that differ", "Content-Length: 3|Content-Length: 4||abc"),
        post("two lengths in one that differ", "Content-Length: 3, 4||abc"),
        post("a negative length", "Content-Length: -3||"),
        post("a length with a sign", "Content-Length: +3||abc"),
        post("a length in hexadecimal", "Content-Length: 0x3||abc"),
        post("an empty length", "Content-Length:||abc"),
        post("a length with a comma", "Content-Length: 3,||abc"),
        post("a length with a space", "Content-Length: 3 3||abc"),
        post("a length with an underscore", "Content-Length: 0_3||abc"),
        post("a length beyond 64 bits", "Content-Length: 18446744073709551619||abc"),
        post("gzip, chunked", "Transfer-Encoding: gzip, chunked||0||"),
        post("chunked, identity", "Transfer-Encoding: chunked, identity||0||"),
        post("chunked twice", "Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||"),
        post("xchunked", "Transfer-Encoding: xchunked||0||"),
        post("chunked in quotes", "Transfer-Encoding: \"chunked\"||0||"),
        post("identity", "Transfer-Encoding: identity||0||"),
        post("an empty coding", "Transfer-Encoding:||0||"),
        post("a vertical tab before chunked", "Transfer-Encoding: \u{b}chunked||0||"),
        post("a non-breaking space before chunked", "Transfer-Encoding: \u{a0}chunked||0||"),
        post("a space before the colon", "Transfer-Encoding : chunked||0||"),
        post("a folded coding", "Transfer-Encoding:| chunked||0||"),
        post("a line that only CR ends", "X: y\rTransfer-Encoding: chunked||0||"),
        refused(
            "chunks in HTTP/1.0",
            "POST / HTTP/1.0|Host: h|Transfer-Encoding: chunked||0||GET /x HTTP/1.0||",
            400,
        ),
        fields("a coding under another name", "Transfer_Encoding: chunked|", ""),
        fields("a length under another name", "Content_Length: 5|", ""),
    ]
}

fn hop_by_hop() -> Vec<Row> {
    let gone = |name: &str, text: &str| fields(name, text, "");
    let named = |field: &str, value: &str| {
        passes(
            format!("Connection: {field}"),
            format!("GET / HTTP/1.1|Host: h|Connection: close, {field}|{field}: {value}|"),
            format!("GET / HTTP/1.1|Host: h|{field}: {value}|{{f}}|"),
        )
        .closed_head()
    };
    vec![
        gone("Keep-Alive", "Keep-Alive: timeout=5|"),
        gone("Proxy-Connection", "Proxy-Connection: keep-alive|"),
        gone("Proxy-Authorization", "Proxy-Authorization: Basic YTpi|"),
        gone("TE", "TE: trailers|"),
        gone("Trailer", "Trailer: X-T|"),
        gone("Upgrade without Connection", "Upgrade: websocket|"),
        gone("HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__|"),
        gone("what Connection names", "Connection: x-mine , X-Other|X-Mine: 1|X-Other: 2|X-Mine: 3|"),
        fields("but not what it does not", "Connection: x-mine|X-Mine2: 1|X-Min: 2|", "X-Mine2: 1|X-Min: 2|"),
        gone("an empty Connection", "Connection: |"),
        gone("commas in Connection", "Connection: ,, ,x-a,|X-A: 1|"),
        gone("Connection of what is not there", "Connection: x-a|"),
        named("Cookie", "a=b"),
        named("Authorization", "Basic YTpi"),
        named("Content-Type", "a/b"),
        named("Cache-Control", "no-store"),
        named("Accept", "a/b"),
        named("Accept-Language", "de"),
        named("Range", "bytes=0-0"),
        named("Origin", "http://h"),
        named("Sec-Fetch-Site", "none"),
        named("User-Agent", "x"),
        fields("Connection: host", "Connection: host|", ""),
        fields(
            "Connection: x-forwarded-for",
            "Connection: x-forwarded-for|X-Forwarded-For: 1.1.1.1|",
            "{for 1.1.1.1}",
        ),
        fields("Connection: via", "Connection: via|Via: 1.0 fred|", "{via 1.0 fred}"),
        passes(
            "Connection: content-length",
            "POST / HTTP/1.1|Host: h|Connection: close, content-length|Content-Length: 3||abc",
            "POST / HTTP/1.1|Host: h|{f}Content-Length: 3||abc",
        ),
        passes(
            "Connection: transfer-encoding",
            "POST / HTTP/1.1|Host: h|Connection: close, transfer-encoding|Transfer-Encoding: chunked||3|abc|0||",
            "POST / HTTP/1.1|Host: h|{f}Transfer-Encoding: chunked||3|abc|0||",
        ),
    ]
}

impl Row {
    /// The fields of the row end the head.
    fn closed_head(mut self) -> Self {
        self.send += "|";
        self
    }
}

fn clients_told_of() -> Vec<Row> {
    let options = |name: &str, left: &str, up: &str| {
        passes(
            name,
            format!("OPTIONS / HTTP/1.1|Host: h|Connection: close|Max-Forwards: {left}||"),
            format!("OPTIONS / HTTP/1.1|Host: h|Max-Forwards: {up}|{{f}}|"),
        )
    };
    let own = |name: &str, send: &str, down: &str| Row {
        down: Down::Bytes(down.to_owned()),
        ..refused(name, send, 0)
    };
    let html = "Server: {server}|Content-Type: text/html; charset=UTF-8|Date: <date>|";
    vec![
        fields("X-Forwarded-For", "X-Forwarded-For: 1.1.1.1|", "{for 1.1.1.1}"),
        fields("two of them", "X-Forwarded-For: 1.1.1.1|X-Forwarded-For: 2.2.2.2|", "{for 1.1.1.1, 2.2.2.2}"),
        fields("X-Real-Ip", "X-Real-Ip: 6.6.6.6|", ""),
        fields("X-Forwarded-Proto", "X-Forwarded-Proto: https|", ""),
        fields("X-Forwarded-Host", "X-Forwarded-Host: evil|", ""),
        fields("X-Scheme", "X-Scheme: https|", ""),
        fields("X_Forwarded_For", "X_Forwarded_For: 6.6.6.6|", ""),
        fields("X-Forwarded_For", "X-Forwarded_For: 6.6.6.6|", ""),
        fields("X_Real_IP", "X_Real_IP: 6.6.6.6|", ""),
        fields("X_FORWARDED_PROTO", "X_FORWARDED_PROTO: https|", ""),
        fields(
            "Forwarded",
            "Forwarded: for=1.1.1.1|",
            "Forwarded: for=1.1.1.1, for=127.0.0.1;proto=http;host=\"h\"|",
        ),
        fields("Via", "Via: 1.0 fred|Via: 1.1 p|", "{via 1.0 fred, 1.1 p}"),
        options("Max-Forwards", "5", "4"),
        options("Max-Forwards of one", "1", "0"),
        fields("Max-Forwards of a GET", "Max-Forwards: 0|", "Max-Forwards: 0|"),
        own(
            "OPTIONS that goes no further",
            "OPTIONS / HTTP/1.1|Host: h|Connection: close|Max-Forwards: 0||",
            "HTTP/1.1 204 No Content|Server: {server}|Date: <date>|Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE|Connection: close||",
        ),
        own(
            "TRACE that goes no further",
            "TRACE /x HTTP/1.1|Host: h|Connection: close|Max-Forwards: 0|Cookie: secret|X-A: \u{ff}||",
            &format!(
                "HTTP/1.1 200 OK|{}Content-Length: 74|Connection: close||TRACE /x HTTP/1.1|Host: h|Connection: close|Max-Forwards: 0|X-A: \u{ff}||",
                html.replace("text/html; charset=UTF-8", "message/http"),
            ),
        ),
        refused(
            "Max-Forwards that is no number",
            "OPTIONS / HTTP/1.1|Host: h|Connection: close|Max-Forwards: x||",
            400,
        ),
        passes(
            "OPTIONS of *",
            "OPTIONS * HTTP/1.1|Host: h|Connection: close||",
            "OPTIONS * HTTP/1.1|Host: h|{f}|",
        ),
        passes(
            "OPTIONS of a host",
            "OPTIONS http://h HTTP/1.1|Host: h|Connection: close||",
            "OPTIONS * HTTP/1.1|Host: h|{f}|",
        ),
    ]
}

fn upgrades() -> Vec<Row> {
    let upgrade = |name: &str, protocol: &str| {
        fields(
            name,
            &format!(
                "Connection: Upgrade, HTTP2-Settings|Upgrade: {protocol}|HTTP2-Settings: AAMAAABkAAQAAP__|"
            ),
            "",
        )
    };
    let websocket = "Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|Sec-WebSocket-Version: 13|";
    let up = "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==|Sec-Websocket-Version: 13|{f}Connection: Upgrade|Upgrade: websocket|";
    let asks = |name: &str, replies: Reply, down: Down| Row {
        name: name.to_owned(),
        send: format!("GET /ws HTTP/1.1|Host: h|{websocket}|"),
        replies: vec![replies],
        up: vec![format!("GET /ws HTTP/1.1|Host: h|{up}|")],
        down,
    };
    let agreed = "HTTP/1.1 101 Switching Protocols|Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=|";
    let agreed_down = "HTTP/1.1 101 Switching Protocols|Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=|";
    let unasked = |name: &str, reply_text: &str| bad(name, reply(reply_text));
    let post = format!("POST / HTTP/1.1|Host: h|Connection: close|{websocket}Content-Length: 3||abc");
    let key = "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==|Sec-Websocket-Version: 13|";
    vec![
        upgrade("h2c", "h2c"),
        upgrade("h2c in capitals", "H2C"),
        upgrade("another protocol", "TLS/1.0"),
        upgrade("a version of websocket", "websocket/13"),
        passes("a POST that asks", post, format!("POST / HTTP/1.1|Host: h|{key}{{f}}Content-Length: 3||abc")),
        Row {
            down: Down::Bytes("HTTP/1.1 200 OK|Content-Length: 2|{v}|ok".to_owned()),
            ..passes(
                "HTTP/1.0 that asks",
                format!("GET / HTTP/1.0|Host: h|{websocket}|"),
                format!("GET / HTTP/1.1|Host: h|{key}{{f 1.0}}|"),
            )
        },
        asks(
            "websocket",
            reply(format!("{agreed}|hello")).then_close(),
            Down::Bytes(format!("{agreed_down}Via: 1.1 squall|Connection: Upgrade|Upgrade: websocket||hello")),
        ),
        asks(
            "websocket with more than it needs",
            reply(format!("{agreed}Keep-Alive: x|Set-Cookie: a=b|Transfer-Encoding: chunked|Sec-WebSocket-Protocol: chat||x")).then_close(),
            Down::Status(502),
        ),
        asks(
            "hop-by-hop fields of a 101",
            reply(format!("{agreed}Keep-Alive: x|Set-Cookie: a=b|Proxy-Authenticate: x|Sec-WebSocket-Protocol: chat||")).then_close(),
            Down::Bytes(format!(
                "{agreed_down}Set-Cookie: a=b|Sec-Websocket-Protocol: chat|Via: 1.1 squall|Connection: Upgrade|Upgrade: websocket||"
            )),
        ),
        asks(
            "a 101 to another protocol",
            reply("HTTP/1.1 101 Switching Protocols|Upgrade: h2c|Connection: Upgrade||").then_close(),
            Down::Status(502),
        ),
        asks("a 101 to nothing", reply("HTTP/1.1 101 Switching Protocols||").then_close(), Down::Status(502)),
        asks(
            "websocket refused",
            reply("HTTP/1.1 426 Upgrade Required|Connection: close|Sec-WebSocket-Version: 13|Content-Length: 0||").then_close(),
            Down::Bytes(
                "HTTP/1.1 426 Upgrade Required|Sec-Websocket-Version: 13|Content-Length: 0|{v}|".to_owned(),
            ),
        )
        .and_closes(),
        asks(
            "websocket refused for another protocol",
            reply("HTTP/1.1 426 Upgrade Required|Upgrade: h2c, foo/2|Connection: upgrade|Content-Length: 0||"),
            Down::Bytes(
                "HTTP/1.1 426 Upgrade Required|Upgrade: h2c, foo/2|Content-Length: 0|Via: 1.1 squall|Connection: Upgrade|Date: <date>||".to_owned(),
            ),
        )
        .and_closes(),
        responds(
            "a 407 and its challenge",
            reply("HTTP/1.1 407 Proxy Authentication Required|Proxy-Authenticate: Basic realm=\"x\"|Upgrade: h2c|Content-Length: 0||"),
            "HTTP/1.1 407 Proxy Authentication Required|Proxy-Authenticate: Basic realm=\"x\"|Content-Length: 0|{v}Connection: close||",
        ),
        unasked("a 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols|Upgrade: websocket|Connection: Upgrade||"),
        unasked("a 101 to h2c that nobody asked for", "HTTP/1.1 101 Switching Protocols|Upgrade: h2c|Connection: Upgrade||"),
    ]
}

impl Row {
    /// A request that does not ask for the end: the client sends a last one that does.
    fn and_closes(mut self) -> Self {
        self.send += GET;
        self.up.push(UP.to_owned());
        if let Down::Bytes(down) = &mut self.down {
            *down += OK_DOWN;
        }
        self
    }
}

fn response_octets() -> Vec<Row> {
    let all = every_octet();
    let with = |name: &str, fields: &str, down: &str| {
        responds(
            name,
            reply(format!("HTTP/1.1 200 OK|{fields}Content-Length: 2||ok")),
            format!("HTTP/1.1 200 OK|{down}Content-Length: 2|{{v}}Connection: close||ok"),
        )
    };
    let same = |name: &str, fields: &str| with(name, fields, fields);
    let gone = |name: &str, fields: &str| with(name, fields, "");
    vec![
        same("every octet of a value, down", &format!("X-A: a{all}b|")),
        same("a cookie with U+010D U+010A", "Set-Cookie: a=\u{c4}\u{8d}\u{c4}\u{8a}Set-Cookie: b=c|"),
        same("a file's name", "Content-Disposition: attachment; filename=\"\u{c3}\u{a9}.txt\"|"),
        same("two cookies, down", "Set-Cookie: a=1|Set-Cookie: b=2; Path=/|Set-Cookie: a=1|"),
        same("order, down", "X-B: 1|X-A: 2|X-B: 3|"),
        same("an empty value, down", "X-A: |"),
        same("a server's name", "Server: other|"),
        same("caching", "Etag: W/\"a\"|Vary: A, B|Age: 5|Cache-Control: private|Expires: 0|"),
        same("a challenge", "Www-Authenticate: Basic realm=\"a, b\"|"),
        same("types and codings", "Content-Type: a/b|Content-Encoding: br|Content-Language: de|"),
        same("a twin passes down", "X_a: 1|"),
        with("folded lines become one", "X-A: a| b|\tc|X-B: d|", "X-A: a b c|X-B: d|"),
        with("a space before the colon, down", "X-A : b|X-B\t: c|", "X-A: b|X-B: c|"),
        with("line feeds only, down", "X-A: b\nX-B: c\n", "X-A: b|X-B: c|"),
        gone("Keep-Alive, down", "Keep-Alive: timeout=5|"),
        gone("Proxy-Authenticate, down", "Proxy-Authenticate: Basic|"),
        gone("Upgrade, down", "Upgrade: h2c|"),
        gone("Trailer, down", "Trailer: X-T|"),
        gone("what Connection names, down", "Connection: X-Mine, close|X-Mine: 1|"),
        with(
            "what it cannot name, down",
            "Connection: set-cookie, content-length, etag|Set-Cookie: a=b|",
            "Set-Cookie: a=b|",
        ),
        responds(
            "Via, down",
            reply("HTTP/1.0 200 OK|Via: 1.1 p|Content-Length: 2||ok").then_close(),
            "HTTP/1.1 200 OK|Content-Length: 2|Via: 1.1 p, 1.0 squall|Date: <date>|Connection: close||ok",
        ),
        responds(
            "a date that is there",
            reply("HTTP/1.1 200 OK|Date: yesterday|Content-Length: 2||ok"),
            "HTTP/1.1 200 OK|Date: yesterday|Content-Length: 2|Via: 1.1 squall|Connection: close||ok",
        ),
        same("a long value, down", &format!("X-A: {}|", "v".repeat(30_000))),
        same("many fields, down", &(0..300).map(|n| format!("X-{n}: {n}|")).collect::<String>()),
    ]
}

fn statuses() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in [
        "200 OK",
        "201 Created",
        "202 Accepted",
        "203 Non-Authoritative Information",
        "206 Partial Content",
        "300 Multiple Choices",
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "407 Proxy Authentication Required",
        "418 Short and Stout",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "599 x",
        "999 y",
    ] {
        rows.push(responds(
            line,
            reply(format!("HTTP/1.1 {line}|Location: //x/y|Content-Length: 2||ok")),
            format!("HTTP/1.1 {line}|Location: //x/y|Content-Length: 2|{{v}}Connection: close||ok"),
        ));
    }
    let head = |name: &str, text: &str, down: &str| {
        let mut row = responds(name, reply(text), down);
        row.send = row.send.replace("GET", "HEAD");
        row.up = vec![UP.replace("GET", "HEAD")];
        row
    };
    rows.extend([
        responds("no reason", reply("HTTP/1.1 200|Content-Length: 2||ok"), OK_DOWN),
        responds("an empty reason of an unknown status", reply("HTTP/1.1 299 |Content-Length: 2||ok"), OK_DOWN.replace("200 OK", "299 ")),
        responds("no reason of an unknown status", reply("HTTP/1.1 299|Content-Length: 2||ok"), OK_DOWN.replace("200 OK", "299 ")),
        responds(
            "a reason in UTF-8",
            reply("HTTP/1.1 200 \u{c3}\u{a9}t\u{e2}\u{82}\u{ac}|Content-Length: 2||ok"),
            OK_DOWN.replace("OK", "\u{c3}\u{a9}t\u{e2}\u{82}\u{ac}"),
        ),
        responds("a reason in another coding", reply("HTTP/1.1 200 \u{e9}t|Content-Length: 2||ok"), OK_DOWN),
        responds("a reason like markup", reply("HTTP/1.1 200 <b>|Content-Length: 2||ok"), OK_DOWN.replace("OK", "<b>")),
        responds("an empty reason", reply("HTTP/1.1 200 |Content-Length: 2||ok"), OK_DOWN),
        responds("a 204", reply("HTTP/1.1 204 No Content|X-A: b||"), "HTTP/1.1 204 No Content|X-A: b|{v}Connection: close||"),
        responds(
            "a 204 with a length of zero",
            reply("HTTP/1.1 204 No Content|Content-Length: 0||"),
            "HTTP/1.1 204 No Content|{v}Connection: close||",
        ),
        responds(
            "a 204 with a length",
            reply("HTTP/1.1 204 No Content|Content-Length: 2|X-A: b||ok"),
            "HTTP/1.1 204 No Content|X-A: b|{v}Connection: close||",
        ),
        responds(
            "a 204 with chunks",
            reply("HTTP/1.1 204 No Content|Transfer-Encoding: chunked|X-A: b||2|ok|0||"),
            "HTTP/1.1 204 No Content|X-A: b|{v}Connection: close||",
        ),
        responds(
            "a 204 with lengths that differ",
            reply("HTTP/1.1 204 No Content|Content-Length: 2|Content-Length: 3||"),
            "HTTP/1.1 204 No Content|{v}Connection: close||",
        ),
        responds(
            "a 304 and what it tells",
            reply("HTTP/1.1 304 Not Modified|Etag: \"a\"|Content-Type: a/b|Content-Encoding: br|Content-Length: 12||"),
            "HTTP/1.1 304 Not Modified|Etag: \"a\"|Content-Type: a/b|Content-Encoding: br|Content-Length: 12|{v}Connection: close||",
        ),
        responds(
            "a 304 with its length twice",
            reply("HTTP/1.1 304 Not Modified|Content-Length: 12, 12||"),
            "HTTP/1.1 304 Not Modified|Content-Length: 12|{v}Connection: close||",
        ),
        head(
            "HEAD and its length",
            "HTTP/1.1 200 OK|Content-Length: 12||",
            "HTTP/1.1 200 OK|Content-Length: 12|{v}Connection: close||",
        ),
        head(
            "HEAD and its length twice",
            "HTTP/1.1 200 OK|Content-Length: 12|Content-Length: 12||",
            "HTTP/1.1 200 OK|Content-Length: 12|{v}Connection: close||",
        ),
        head("HEAD without a length", "HTTP/1.1 200 OK|X-A: b||", "HTTP/1.1 200 OK|X-A: b|{v}Connection: close||"),
        head("HEAD in chunks", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||", "HTTP/1.1 200 OK|{v}Connection: close||"),
        head("HEAD of a 404", "HTTP/1.1 404 Not Found|Content-Length: 9||", "HTTP/1.1 404 Not Found|Content-Length: 9|{v}Connection: close||"),
        Row {
            up: vec![UP.replace("{f}", "If-None-Match: \"a\"|{f}")],
            send: GET.replace("Connection", "If-None-Match: \"a\"|Connection"),
            ..responds(
                "a 200 that a condition does not change",
                reply("HTTP/1.1 200 OK|Etag: \"a\"|Content-Length: 0||"),
                "HTTP/1.1 200 OK|Etag: \"a\"|Content-Length: 0|{v}Connection: close||",
            )
        },
    ]);
    rows
}

fn response_framing() -> Vec<Row> {
    let chunked_down = "HTTP/1.1 200 OK|{v}Transfer-Encoding: chunked|Connection: close||2|ok|0||";
    vec![
        responds("a body until the end", reply("HTTP/1.1 200 OK||ok").then_close(), chunked_down),
        responds(
            "a body of HTTP/1.0",
            reply("HTTP/1.0 200 OK||ok").then_close(),
            chunked_down.replace("1.1 squall", "1.0 squall").replace("{v}", "Via: 1.0 squall|Date: <date>|"),
        ),
        responds("chunks, down", reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||"), chunked_down),
        responds(
            "chunk extensions, down",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2;a=b|ok|0;c||"),
            chunked_down,
        ),
        responds(
            "trailers, down",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0|Set-Cookie: a=b||"),
            chunked_down,
        ),
        responds(
            "trailers that nobody asked for",
            reply("HTTP/1.1 200 OK|Trailer: X-T|Transfer-Encoding: chunked||2|ok|0|X-T: 1||"),
            chunked_down,
        ),
        Row {
            send: GET.replace("Connection", "TE: trailers|Connection"),
            ..responds(
                "trailers that were asked for",
                reply(
                    "HTTP/1.1 200 OK|Trailer: X-T|Transfer-Encoding: chunked||2|ok|0|X-T: 1|Set-Cookie: a=b|Host: e||",
                ),
                "HTTP/1.1 200 OK|Via: 1.1 squall|Trailer: X-T|Date: <date>|Transfer-Encoding: chunked|Connection: close||2|ok|0|X-T: 1||",
            )
        },
        responds(
            "chunked in capitals, down",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: Chunked||2|ok|0||"),
            chunked_down,
        ),
        responds(
            "two equal lengths, down",
            reply("HTTP/1.1 200 OK|Content-Length: 2|Content-Length: 2||ok"),
            OK_DOWN,
        ),
        responds("two lengths in one, down", reply("HTTP/1.1 200 OK|Content-Length: 2, 2||ok"), OK_DOWN),
        responds(
            "no body",
            reply("HTTP/1.1 200 OK|Content-Length: 0||"),
            "HTTP/1.1 200 OK|Content-Length: 0|{v}Connection: close||",
        ),
        responds(
            "an empty body until the end",
            reply("HTTP/1.1 200 OK||").then_close(),
            "HTTP/1.1 200 OK|{v}Transfer-Encoding: chunked|Connection: close||0||",
        ),
        responds(
            "a body that looks like a response",
            reply("HTTP/1.1 200 OK|Content-Length: 20||HTTP/1.1 404 Not||"),
            "HTTP/1.1 200 OK|Content-Length: 20|{v}Connection: close||HTTP/1.1 404 Not||",
        ),
        responds(
            "bytes behind a body",
            reply("HTTP/1.1 200 OK|Content-Length: 2||okHTTP/1.1 404 Not Found||"),
            OK_DOWN,
        ),
        responds(
            "bytes behind chunks",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||more"),
            chunked_down,
        ),
        responds(
            "bytes behind a 304",
            reply("HTTP/1.1 304 Not Modified|Content-Length: 4||more"),
            "HTTP/1.1 304 Not Modified|Content-Length: 4|{v}Connection: close||",
        ),
        responds(
            "bytes behind a 204",
            reply("HTTP/1.1 204 No Content||more"),
            "HTTP/1.1 204 No Content|{v}Connection: close||",
        ),
        broken_off(
            "a body that breaks off",
            reply("HTTP/1.1 200 OK|Content-Length: 5||ok"),
            "HTTP/1.1 200 OK|Content-Length: 5|{v}Connection: close||ok",
        ),
        broken_off(
            "chunks that break off",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|"),
            "HTTP/1.1 200 OK|{v}Transfer-Encoding: chunked|Connection: close||2|ok|",
        ),
        broken_off(
            "chunks without an end",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0|"),
            "HTTP/1.1 200 OK|{v}Transfer-Encoding: chunked|Connection: close||2|ok|",
        ),
        broken_off(
            "a chunk that is none",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|xyz|"),
            "HTTP/1.1 200 OK|{v}Transfer-Encoding: chunked|Connection: close||2|ok|",
        ),
        broken_off(
            "a chunk without its line end",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|okX"),
            "HTTP/1.1 200 OK|{v}Transfer-Encoding: chunked|Connection: close||2|ok|",
        ),
    ]
}

fn interim_responses() -> Vec<Row> {
    let hints = "HTTP/1.1 103 Early Hints|Link: </a>; rel=preload|";
    let hints_down = format!("{hints}Via: 1.1 squall||");
    let old = "HTTP/1.1 200 OK|Content-Length: 2|{v}|ok";
    let ok = super::script::OK;
    vec![
        responds("a 103", reply(format!("{hints}|{ok}")), format!("{hints_down}{OK_DOWN}")),
        responds(
            "two of them",
            reply(format!("{hints}|{hints}|{ok}")),
            format!("{hints_down}{hints_down}{OK_DOWN}"),
        ),
        responds(
            "a 102",
            reply(format!("HTTP/1.1 102 Processing||{ok}")),
            format!("HTTP/1.1 102 Processing|Via: 1.1 squall||{OK_DOWN}"),
        ),
        responds(
            "a 100",
            reply(format!("HTTP/1.1 100 Continue||{ok}")),
            format!("HTTP/1.1 100 Continue|Via: 1.1 squall||{OK_DOWN}"),
        ),
        Row {
            send: "POST / HTTP/1.1|Host: h|Connection: close|Expect: 100-continue|Content-Length: 3||"
                .to_owned(),
            up: vec!["POST / HTTP/1.1|Host: h|{f}Content-Length: 3||abc".to_owned()],
            ..responds(
                "a 100 and one of ours",
                reply(format!("HTTP/1.1 100 Continue||{ok}")),
                format!("HTTP/1.1 100 Continue||{OK_DOWN}"),
            )
        }
        .after_continue("abc"),
        Row {
            send: "GET / HTTP/1.0|Host: h||".to_owned(),
            up: vec!["GET / HTTP/1.1|Host: h|{f 1.0}|".to_owned()],
            ..responds("no 100 for HTTP/1.0", reply(format!("HTTP/1.1 100 Continue||{ok}")), old)
        },
        responds(
            "a 103 with a length",
            reply(format!("{hints}Content-Length: 9||{ok}")),
            format!("{hints_down}{OK_DOWN}"),
        ),
        responds(
            "a 102 with chunks",
            reply(format!("HTTP/1.1 102 Processing|Transfer-Encoding: chunked||{ok}")),
            format!("HTTP/1.1 102 Processing|Via: 1.1 squall||{OK_DOWN}"),
        ),
        responds(
            "hop-by-hop fields of a 103",
            reply(format!("{hints}Connection: x-a|X-A: b|Keep-Alive: c||{ok}")),
            format!("{hints_down}{OK_DOWN}"),
        ),
        Row {
            send: "GET / HTTP/1.0|Host: h||".to_owned(),
            up: vec!["GET / HTTP/1.1|Host: h|{f 1.0}|".to_owned()],
            ..responds("no 103 for HTTP/1.0", reply(format!("{hints}|{ok}")), old)
        },
        bad("too many of them", reply("HTTP/1.1 100 Continue||".repeat(11) + ok)),
        bad("a 100 with a body", reply(format!("HTTP/1.1 100 Continue|Content-Length: 2||ok{ok}"))),
        bad("only a 103", reply(format!("{hints}|"))),
    ]
}

fn bad_responses() -> Vec<Row> {
    vec![
        bad("nothing", reply("")),
        bad("no status line", reply("hello||")),
        bad("HTTP/0.9", reply("<html>ok</html>")),
        bad("bytes before the status line", reply("xHTTP/1.1 200 OK|Content-Length: 2||ok")),
        bad("a line before the status line", reply("|HTTP/1.1 200 OK|Content-Length: 2||ok")),
        bad("HTTP/2", reply("HTTP/2 200 OK|Content-Length: 2||ok")),
        bad("HTTP/2.0", reply("HTTP/2.0 200 OK|Content-Length: 2||ok")),
        bad("no status", reply("HTTP/1.1 OK|Content-Length: 2||ok")),
        bad("a status of two digits", reply("HTTP/1.1 20 OK|Content-Length: 2||ok")),
        bad("a status of four digits", reply("HTTP/1.1 2000 OK|Content-Length: 2||ok")),
        bad("a status below 100", reply("HTTP/1.1 099 OK|Content-Length: 2||ok")),
        bad(
            "two lengths that differ, down",
            reply("HTTP/1.1 200 OK|Content-Length: 2|Content-Length: 3||ok!"),
        ),
        bad("two lengths in one that differ, down", reply("HTTP/1.1 200 OK|Content-Length: 2, 3||ok!")),
        bad("a length that is none", reply("HTTP/1.1 200 OK|Content-Length: x||ok")),
        bad("a negative length, down", reply("HTTP/1.1 200 OK|Content-Length: -2||ok")),
        bad("a length with a sign, down", reply("HTTP/1.1 200 OK|Content-Length: +2||ok")),
        bad(
            "a length and chunks",
            reply("HTTP/1.1 200 OK|Content-Length: 2|Transfer-Encoding: chunked||2|ok|0||"),
        ),
        bad("an unknown coding", reply("HTTP/1.1 200 OK|Transfer-Encoding: gzip, chunked||2|ok|0||")),
        bad(
            "chunks under a name with a space",
            reply("HTTP/1.1 200 OK|Content-Length: 2|Transfer-Encoding : chunked||2|ok|0||"),
        ),
        bad(
            "chunked twice, down",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked|Transfer-Encoding: chunked||2|ok|0||"),
        ),
        bad("chunks of HTTP/1.0", reply("HTTP/1.0 200 OK|Transfer-Encoding: chunked||2|ok|0||")),
        bad("no colon, down", reply("HTTP/1.1 200 OK|X-A|Content-Length: 2||ok")),
        bad("NUL in a value, down", reply("HTTP/1.1 200 OK|X-A: a\0b|Content-Length: 2||ok")),
        bad("a bare CR in a value, down", reply("HTTP/1.1 200 OK|X-A: a\rb|Content-Length: 2||ok")),
        bad("a head that breaks off", reply("HTTP/1.1 200 OK|Content-Length: 2|")),
        bad(
            "a head that is too large",
            reply(format!("HTTP/1.1 200 OK|X-A: {}|Content-Length: 2||ok", "v".repeat(70_000))),
        ),
        bad(
            "too many fields",
            reply(format!("HTTP/1.1 200 OK|{}Content-Length: 2||ok", "A: b|".repeat(1_100))),
        ),
        bad("a first chunk that is none", reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||xyz|ok|0||")),
        bad("a chunk size with a sign", reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||+2|ok|0||")),
        bad(
            "a chunk size beyond 64 bits",
            reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||10000000000000002|ok|0||"),
        ),
    ]
}
