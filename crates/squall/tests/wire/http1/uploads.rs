//! Forms and files: what a handler sees of them, and what becomes of those that are malformed,
//! too large, or left in the middle.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use squall::httputil::ParseBodyConfig;
use squall::testing::{TestServer, serve, serve_on};
use squall::web::MultipartReader;
use squall::{Application, Bytes, Context, HttpServer, RequestHandler, Result, Site, handler, post, url};

use super::support::{
    Client, body_too_large, closes, closes_early, closing, ok_untagged, page, page_saying, probe, refused,
    stays, table, within,
};

const MULTIPART: &str = "Content-Type: multipart/form-data; boundary=XyZ\r\n";
const URLENCODED: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn request(path: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn part(disposition: &str, content: &str) -> String {
    format!("--XyZ\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

fn body(parts: &[String]) -> String {
    parts.concat() + "--XyZ--\r\n"
}

fn alive() -> squall::web::UrlSpec {
    probe()
}

fn refusal(status: &str, message: &str) -> String {
    page_saying(status, "", message)
}

/// Counts how often `prepare` was called.
struct Prepared(Rc<Cell<usize>>);

impl Site for Prepared {
    type User = ();

    async fn prepare(&self, _ctx: &Context) -> Result {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Typed {
    x: u8,
    y: Option<String>,
}

fn forms() -> Application {
    Application::new([
        alive(),
        post("/show", async |ctx: &Context| {
            let request = ctx.request();
            for (name, value) in request.body_arguments()?.iter() {
                ctx.write(format!("{name}={:?};", String::from_utf8_lossy(value)));
            }
            for (name, file) in request.files()?.iter() {
                let (filename, content_type) = (&file.filename, &file.content_type);
                ctx.write(format!("{name}:{filename}:{content_type}:{};", file.body.len()));
            }
            ctx.write(format!("{} bytes", request.body().len()));
            Ok(())
        }),
        post("/text", async |ctx: &Context| {
            let (x, all) = (ctx.argument("x")?, ctx.body_arguments("x")?);
            ctx.write(format!("{x:?} {all:?} {:?}", ctx.untrimmed_arguments("x")?));
            Ok(())
        }),
        post("/file", async |ctx: &Context| {
            let file = ctx.file("f")?;
            let (count, none) = (ctx.files("f").len(), ctx.file_opt("g").is_none());
            ctx.write(format!("{} {:?} {count} {none}", file.filename, file.body));
            Ok(())
        }),
        post("/typed", async |ctx: &Context| {
            let typed: Typed = ctx.form()?;
            ctx.write(format!("{} {:?}", typed.x, typed.y));
            Ok(())
        }),
    ])
}

#[squall::test(timeout = 60)]
async fn forms_on_the_wire() {
    let server = serve(forms());
    let file = part("name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain", "abc");
    let two =
        body(&[part("name=x", " 1 "), file.clone(), part("name=x", "2"), part("name=f; filename=b", "")]);
    let show = |fields: &str, body: &str| request("/show", fields, body);
    let bytes = |shown: &str, body: &str| ok_untagged(&format!("{shown}{} bytes", body.len()));
    let utf8 = body(&[part("name=x; filename=\"\"; filename*=utf-8''%e2%82%ac.txt", "1")]);
    table(
        &server,
        [
            stays(
                "multipart",
                show(MULTIPART, &two),
                bytes("x=\" 1 \";x=\"2\";f:a.txt:text/plain:3;f:b:application/unknown:0;", &two),
            ),
            stays(
                "quoted boundary",
                show("Content-Type: multipart/form-data; boundary=\"XyZ\"\r\n", &two[..]),
                bytes("x=\" 1 \";x=\"2\";f:a.txt:text/plain:3;f:b:application/unknown:0;", &two),
            ),
            stays(
                "a file name of RFC 5987",
                show(MULTIPART, &utf8),
                bytes("x:€.txt:application/unknown:1;", &utf8),
            ),
            stays(
                "a file that was not chosen",
                show(MULTIPART, &body(&[part("name=f; filename=\"\"", "")])),
                bytes("f=\"\";", &body(&[part("name=f; filename=\"\"", "")])),
            ),
            stays("no parts", show(MULTIPART, "--XyZ--"), bytes("", "--XyZ--")),
            stays("what follows the end", show(MULTIPART, "--XyZ--\r\nmore"), bytes("", "--XyZ--\r\nmore")),
            stays(
                "JSON is not looked at",
                show("Content-Type: application/json\r\nContent-Encoding: x\r\n", "a=1"),
                bytes("", "a=1"),
            ),
            stays(
                "urlencoded",
                show(URLENCODED, "a=1&b=+&a="),
                bytes("a=\"1\";b=\" \";a=\"\";", "a=1&b=+&a="),
            ),
            stays(
                "values are trimmed and cleaned",
                request("/text?x=q", URLENCODED, "x=%20a%00b%09&x=+c+"),
                ok_untagged("\"c\" [\"a b\", \"c\"] [\"q\", \" a b\\t\", \" c \"]"),
            ),
            stays(
                "bad UTF-8",
                request("/text", URLENCODED, "x=%ff"),
                refusal("400 Bad Request", "Invalid unicode in x"),
            ),
            stays(
                "a missing argument",
                request("/text", URLENCODED, "y=1"),
                refusal("400 Bad Request", "Missing argument x"),
            ),
            stays("files", request("/file", MULTIPART, &two), ok_untagged("a.txt b\"abc\" 2 true")),
            stays(
                "a missing file",
                request("/file", MULTIPART, "--XyZ--"),
                refusal("400 Bad Request", "Missing file f"),
            ),
            stays(
                "typed, multipart",
                request("/typed", MULTIPART, body(&[part("name=x", "7"), part("name=y", "a&b")])),
                ok_untagged("7 Some(\"a&b\")"),
            ),
            stays("typed, urlencoded", request("/typed", URLENCODED, "x=7"), ok_untagged("7 None")),
            stays(
                "typed, does not fit",
                request("/typed", MULTIPART, body(&[part("name=x", "x")])),
                refusal("400 Bad Request", "Invalid form"),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn malformed_forms_are_refused_before_prepare() {
    let prepared = Rc::new(Cell::new(0));
    let server = serve(forms().site(Prepared(Rc::clone(&prepared))));
    let bad = |row: &str, fields: &str, body: &str, message: &str| {
        // The connection goes on: unlike with framing it is known where the next request begins.
        closes(
            row,
            [request("/show", fields, body), b"junk\r\n\r\n".to_vec()].concat(),
            refusal("400 Bad Request", &format!("Invalid body: {message}"))
                + &super::support::bad("Malformed request line"),
        )
    };
    let many: Vec<String> = (0..101).map(|_| part("name=a", "")).collect();
    let long = format!(
        "--XyZ\r\nContent-Disposition: form-data; name=a\r\nX: {}\r\n\r\n\r\n--XyZ--",
        "x".repeat(10_240)
    );
    table(
        &server,
        [
            bad("no name", MULTIPART, &body(&[part("x=1", "")]), "multipart/form-data missing name"),
            bad(
                "no final boundary",
                MULTIPART,
                &part("name=x", "1"),
                "multipart/form-data: no final boundary found",
            ),
            bad("no boundary", "Content-Type: multipart/form-data\r\n", "x", "multipart boundary not found"),
            bad(
                "another type",
                "Content-Type: multipart/form-dataxyz; boundary=XyZ\r\n",
                &body(&[]),
                "the Content-Type is not multipart/form-data",
            ),
            bad(
                "CR in a header",
                MULTIPART,
                &body(&[part("name=x\r; filename=a", "1")]),
                "multipart/form-data: malformed header of a part",
            ),
            bad(
                "101 parts",
                MULTIPART,
                &body(&many),
                "multipart/form-data has too many parts: the limit is 100",
            ),
            bad(
                "a long header",
                MULTIPART,
                &long,
                "multipart/form-data part header too large: the limit is 10240 bytes",
            ),
            bad(
                "an encoded multipart form",
                &format!("{MULTIPART}Content-Encoding: gzip\r\n"),
                &body(&[]),
                "unsupported Content-Encoding of a form",
            ),
            bad(
                "an encoded form",
                &format!("{URLENCODED}Content-Encoding: br\r\n"),
                "a=1",
                "unsupported Content-Encoding of a form",
            ),
            bad("1,001 arguments", URLENCODED, &"a&".repeat(1_001), "too many arguments: the limit is 1000"),
        ],
    )
    .await;
    assert_eq!(prepared.get(), 0);
    let as_many = body(&many[..100]);
    table(
        &server,
        [stays(
            "100 parts",
            request("/show", MULTIPART, &as_many),
            ok_untagged(&format!("{}{} bytes", "a=\"\";".repeat(100), as_many.len())),
        )],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn parse_body_config() {
    let mut config = ParseBodyConfig::default();
    config.multipart.max_part_size = 2;
    config.urlencoded.max_arguments = 1;
    let server = serve(forms().parse_body_config(config.clone()));
    table(
        &server,
        [
            stays(
                "more arguments than set",
                request("/show", URLENCODED, "a&b"),
                refusal("400 Bad Request", "Invalid body: too many arguments: the limit is 1"),
            ),
            stays(
                "a larger part than set",
                request("/show", MULTIPART, body(&[part("name=a", "123")])),
                refusal(
                    "413 Payload Too Large",
                    "Invalid body: multipart/form-data part too large: the limit is 2 bytes",
                ),
            ),
        ],
    )
    .await;
    config.multipart.enabled = false;
    config.urlencoded.enabled = false;
    let server = serve(forms().parse_body_config(config));
    table(
        &server,
        [
            stays(
                "urlencoded off",
                request("/show", URLENCODED, "a=1"),
                refusal(
                    "400 Bad Request",
                    "Invalid body: application/x-www-form-urlencoded parsing is disabled",
                ),
            ),
            stays(
                "multipart off",
                request("/show", MULTIPART, "--XyZ--"),
                refusal("400 Bad Request", "Invalid body: multipart/form-data parsing is disabled"),
            ),
            stays("other bodies", request("/show", "", "abc"), ok_untagged("3 bytes")),
        ],
    )
    .await;
}

#[derive(Deserialize)]
struct Story<'a> {
    title: &'a str,
    #[serde(default)]
    tags: Vec<u8>,
}

#[squall::test(timeout = 60)]
async fn json() {
    let read = |error: squall::Error| error.to_string();
    let server = serve(Application::new([
        alive(),
        post("/any", async move |ctx: &Context| {
            let story = ctx.json::<Story>();
            ctx.write(story.map_or_else(read, |story| format!("{} {}", story.title, story.tags.len())));
            Ok(())
        }),
        post("/strict", async |ctx: &Context| {
            ctx.write(ctx.require_json::<Story>()?.title);
            Ok(())
        }),
    ]));
    let typed = |content_type: &str| format!("Content-Type: {content_type}\r\n");
    let good = r#"{"title": "Rain", "tags": [1]}"#;
    table(
        &server,
        [
            stays("any type", request("/any", &typed("text/plain"), good), ok_untagged("Rain 1")),
            stays(
                "where it does not fit",
                request("/any", "", "{\"title\": \"Rain\",\n \"tags\": [1, 300]}"),
                ok_untagged(
                    "HTTP 400: Bad Request (Invalid JSON body in tags[1]: invalid value: integer `300`, \
                     expected u8 at line 2 column 16)",
                ),
            ),
            stays(
                "where it ends",
                request("/any", "", "{"),
                ok_untagged("HTTP 400: Bad Request (Invalid JSON body: EOF while parsing an object at line 1 column 1)"),
            ),
            stays("strict", request("/strict", &typed("Application/JSON; charset=utf-8"), good), ok_untagged("Rain")),
            stays("a +json type", request("/strict", &typed("application/problem+json"), good), ok_untagged("Rain")),
            stays("no type", request("/strict", "", good), refusal("415 Unsupported Media Type", "The Content-Type is not application/json")),
            stays("a form's type", request("/strict", &typed("text/plain"), good), refusal("415 Unsupported Media Type", "The Content-Type is not application/json")),
            stays("strict, malformed", request("/strict", &typed("application/json"), "{"), refusal("400 Bad Request", "Invalid JSON body: EOF while parsing an object at line 1 column 1")),
        ],
    )
    .await;
}

// --- Streamed ---

#[derive(Clone)]
struct Upload {
    form: MultipartReader,
    folder: Rc<Path>,
    /// Its count tells how many of these there are.
    _alive: Rc<()>,
}

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        if ctx.request().query() == "late" {
            return Ok(());
        }
        self.form.start(ctx)
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        self.form.data_received(ctx, chunk).await?;
        assert!(ctx.request().query() != "panic", "a handler panics in the middle of an upload");
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let form = self.form.finish()?;
        for (name, value) in form.fields().iter() {
            ctx.write(format!("{name}={:?};", String::from_utf8_lossy(value)));
        }
        for (name, file) in form.into_files() {
            let sum: u64 = file.bytes().await?.iter().map(|&b| u64::from(b)).sum();
            let (filename, spooled) = (file.filename(), file.is_spooled());
            ctx.write(format!("{name}:{filename}:{}:{}:{sum}:{spooled};", file.content_type(), file.len()));
            if let Some(name) = file.safe_filename() {
                file.persist(self.folder.join(name)).await?;
            }
        }
        Ok(())
    }
}

struct Uploads {
    server: TestServer,
    spool: tempfile::TempDir,
    kept: tempfile::TempDir,
    alive: Rc<()>,
}

fn uploads(server: impl FnOnce(HttpServer) -> HttpServer, form: MultipartReader) -> Uploads {
    let (spool, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let alive = Rc::new(());
    let upload =
        Upload { form: form.spool_dir(spool.path()), folder: kept.path().into(), _alive: Rc::clone(&alive) };
    let app = move || Application::new([self::alive(), url("/", upload.clone())]);
    Uploads { server: serve_on(server(HttpServer::new(app))), spool, kept, alive }
}

impl Uploads {
    /// Waits until no request is left of those that came, and looks for files.
    async fn nothing_left(&self) {
        // One here; one in the closure that makes the application, one in its table.
        within("handlers to be dropped", async {
            while Rc::strong_count(&self.alive) > 3 || open_files(self.spool.path()) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        for folder in [&self.spool, &self.kept] {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    /// Sends the start of an upload and waits until its file is on disk.
    async fn begin(&self, query: &str) -> Client {
        let mut client = Client::connect(&self.server).await;
        let body = part("name=f; filename=a", &"x".repeat(300_000));
        let head =
            format!("POST /?{query} HTTP/1.1\r\nHost: h\r\n{MULTIPART}Content-Length: 9999999\r\n\r\n");
        client.send(head + &body).await;
        if cfg!(target_os = "linux") {
            within("the file to be on disk", async {
                while open_files(self.spool.path()) == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }
        client
    }
}

/// How many files below `folder` this process has open, those without a name too.
fn open_files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    entries
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(folder)))
        .count()
}

#[squall::test(timeout = 60)]
async fn streamed_forms() {
    let uploads = uploads(|s| s, MultipartReader::new());
    let large = "x".repeat(200_000);
    let form = body(&[
        part("name=title", "A title"),
        part("name=f; filename=\"../small.txt\"\r\nContent-Type: text/plain", "abc"),
        part("name=f; filename=large.bin", &large),
        part("name=f; filename=..", ""),
    ]);
    let shown = format!(
        "title=\"A title\";f:../small.txt:text/plain:3:294:false;f:large.bin:application/unknown:200000:{}:true;\
         f:..:application/unknown:0:0:false;",
        200_000 * u64::from(b'x')
    );
    let mut client = Client::connect(&uploads.server).await;
    for path in ["/", "/?late"] {
        client.send(request(path, MULTIPART, &form)).await;
        client.expect(ok_untagged(&shown)).await;
    }
    client.alive().await;
    let kept = |name: &str| std::fs::read_to_string(uploads.kept.path().join(name)).unwrap();
    assert_eq!((kept("small.txt").as_str(), kept("large.bin")), ("abc", large));
    assert_eq!(std::fs::read_dir(uploads.kept.path()).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(uploads.spool.path()).unwrap().count(), 0);
}

#[squall::test(timeout = 60)]
async fn streamed_forms_that_are_refused() {
    let form = MultipartReader::new()
        .max_body_size(2_000)
        .max_part_size(1_000)
        .max_parts(3)
        .max_memory(500)
        .max_part_header_size(300)
        .accept(["a", "f"]);
    let uploads = uploads(|s| s.max_body_size(10), form);
    let send = |fields: &str, body: &str| request("/", fields, body);
    let file = |size: usize| part("name=f; filename=a", &"x".repeat(size));
    // What the last piece shows is answered in the handler's method, when all has been read.
    let bad = |message: &str| refusal("400 Bad Request", &format!("Invalid body: {message}"));
    table(
        &uploads.server,
        [
            stays(
                "within the limits",
                send(MULTIPART, &body(&[part("name=a", "1")])),
                ok_untagged("a=\"1\";"),
            ),
            closes_early(
                "a part too many",
                send(MULTIPART, &body(&vec![part("name=a", ""); 4])),
                bad("multipart/form-data has too many parts: the limit is 3"),
            ),
            closes_early(
                "a part too large",
                send(MULTIPART, &body(&[file(1_001)])),
                refusal(
                    "413 Payload Too Large",
                    "Invalid body: multipart/form-data part too large: the limit is 1000 bytes",
                ),
            ),
            closes_early(
                "fields too large",
                send(MULTIPART, &body(&[part("name=a", &"x".repeat(501))])),
                refusal("413 Payload Too Large", "The fields are larger than 500 bytes"),
            ),
            closes_early(
                "a name not expected",
                send(MULTIPART, &body(&[part("name=b", "")])),
                bad("a part with a name that is not expected"),
            ),
            closes_early(
                "a long header",
                send(MULTIPART, &body(&[part(&format!("name=a; x={}", "x".repeat(300)), "")])),
                bad("multipart/form-data part header too large: the limit is 300 bytes"),
            ),
            closes_early(
                "no name",
                send(MULTIPART, &body(&[part("x=a", "")])),
                bad("multipart/form-data missing name"),
            ),
            stays(
                "no end",
                send(MULTIPART, &part("name=a", "1")),
                bad("multipart/form-data: no final boundary found"),
            ),
            closes_early(
                "another type",
                send("Content-Type: text/plain\r\n", "abc"),
                refusal(
                    "415 Unsupported Media Type",
                    "Invalid body: the Content-Type is not multipart/form-data",
                ),
            ),
            closes_early(
                "no boundary",
                send("Content-Type: multipart/form-data\r\n", "abc"),
                bad("multipart boundary not found"),
            ),
            closes_early(
                "an encoding",
                send(&format!("{MULTIPART}Content-Encoding: br\r\n"), "abc"),
                bad("unsupported Content-Encoding of a form"),
            ),
            closes(
                "a body too large",
                send(MULTIPART, &body(&[file(900), file(900), file(900)])),
                body_too_large(2_000),
            ),
            closes(
                "a chunked body too large",
                format!(
                    "POST / HTTP/1.1\r\nHost: h\r\n{MULTIPART}Transfer-Encoding: chunked\r\n\r\n7d1\r\n{}",
                    "-".repeat(0x7d1)
                ),
                body_too_large(2_000),
            ),
        ],
    )
    .await;
    uploads.nothing_left().await;
}

#[squall::test(timeout = 60)]
async fn a_client_that_stops_in_the_middle_leaves_nothing() {
    let uploads = uploads(|s| s, MultipartReader::new());
    let client = uploads.begin("").await;
    client.leave().await;
    uploads.nothing_left().await;
}

#[squall::test(timeout = 60)]
async fn a_client_that_stalls_leaves_nothing_at_the_timeout() {
    let uploads = uploads(|s| s.body_timeout(Duration::from_millis(500)), MultipartReader::new());
    let mut client = uploads.begin("").await;
    client.expect(refused("408 Request Timeout", "Timeout while waiting for the request body")).await;
    client.closed().await;
    uploads.nothing_left().await;
}

#[squall::test(timeout = 60)]
async fn a_panic_in_the_middle_leaves_nothing() {
    let uploads = uploads(|s| s, MultipartReader::new());
    let mut client = Client::connect(&uploads.server).await;
    let head = format!("POST /?panic HTTP/1.1\r\nHost: h\r\n{MULTIPART}Content-Length: 9999999\r\n\r\n");
    client.send(head + &part("name=f; filename=a", &"x".repeat(300_000))).await;
    client.expect(closing(&page("500 Internal Server Error", ""))).await;
    client.closed().await;
    uploads.nothing_left().await;
}

#[squall::test(timeout = 60)]
async fn a_refusal_reaches_a_client_that_sends_all_of_a_large_body_first() {
    let server = serve_on(HttpServer::new(forms).max_body_size(1_000));
    let size = 64 << 20;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let answer = within("the answer", async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = stream;
        let head = format!("POST /show HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let block = vec![b'x'; 1 << 20];
        for _ in 0..size / block.len() {
            stream.write_all(&block).await.expect("the server to take it all");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    })
    .await;
    assert_eq!(answer, body_too_large(1_000));
}
