//! Compressed responses and other transforms (Tornado's GzipTestCase, and what it leaves out).

use std::io::Read;

use squall::httputil::HttpHeaders;
use squall::testing::{TestResponse, TestServer, serve};
use squall::web::{Compression, ContentCoding, OutputTransform, any};
use squall::{Application, Context, Result, get};

fn body() -> String {
    format!("hello world{}", "!".repeat(1024))
}

/// `?type=`, `?length=`, `?status=`, `?header=name:value`, `?flush`.
async fn respond(ctx: &Context) -> Result {
    for vary in ctx.arguments("vary")? {
        ctx.add_header("Vary", vary)?;
    }
    for header in ctx.arguments("header")? {
        let (name, value) = header.split_once(':').unwrap();
        ctx.set_header(name, value)?;
    }
    if let Some(content_type) = ctx.argument_opt("type")? {
        ctx.set_header("Content-Type", content_type)?;
    }
    if let Some(status) = ctx.argument_opt("status")? {
        ctx.set_status(status.parse()?);
    }
    let body = match ctx.argument_opt("length")? {
        Some(length) => "x".repeat(length.parse()?),
        None => body(),
    };
    if ctx.argument_opt("flush")?.is_some() {
        for piece in body.as_bytes().chunks(300) {
            ctx.write(piece);
            ctx.flush().await?;
        }
        return Ok(());
    }
    ctx.write(body);
    Ok(())
}

fn serving(compression: Compression) -> TestServer {
    serve(Application::new([any("/", respond)]).compress_response(compression))
}

fn decoded(response: &TestResponse) -> String {
    let mut text = String::new();
    let mut reader: Box<dyn Read> = match response.header("Content-Encoding") {
        Some("gzip") => Box::new(flate2::read::GzDecoder::new(response.bytes())),
        Some("br") => Box::new(brotli::Decompressor::new(response.bytes(), 4096)),
        Some("zstd") => Box::new(zstd::stream::read::Decoder::new(response.bytes()).unwrap()),
        None => Box::new(response.bytes()),
        Some(other) => panic!("{other}"),
    };
    reader.read_to_string(&mut text).unwrap();
    text
}

async fn ask(server: &TestServer, path: &str, accept: &str) -> TestResponse {
    server.get(path).header("Accept-Encoding", accept).await
}

#[squall::test(timeout = 60)]
async fn tornados_gzip_cases() {
    let server = serving(Compression::new());
    let response = ask(&server, "/", "gzip").await;
    response.assert_header("Content-Encoding", "gzip").assert_header("Vary", "Accept-Encoding");
    response.assert_header("Content-Length", &response.bytes().len().to_string());
    assert_eq!(decoded(&response), body());
    assert!(response.bytes().len() < 100, "{} bytes", response.bytes().len());

    // Not requested: only what may vary is told.
    let response = server.get("/").await;
    assert_eq!(response.header("Content-Encoding"), None);
    response.assert_header("Vary", "Accept-Encoding").assert_text(&body());

    ask(&server, "/?vary=Accept-Language", "gzip")
        .await
        .assert_header("Content-Encoding", "gzip")
        .assert_header("Vary", "Accept-Language, Accept-Encoding");
    ask(&server, "/?vary=Accept-Language&vary=Cookie", "gzip")
        .await
        .assert_header("Vary", "Accept-Language,Cookie, Accept-Encoding");
}

#[squall::test(timeout = 60)]
async fn what_is_compressed() {
    let server = serving(Compression::new());
    for (path, compressed) in [
        ("/?length=1024", true),
        ("/?length=1023", false),
        ("/?length=1&flush", true),
        ("/?length=0", false),
        ("/?type=image/png", false),
        ("/?type=image/svg%2Bxml", true),
        ("/?type=application/json;%20charset=UTF-8", true),
        ("/?type=application/octet-stream", false),
        ("/?status=404", true),
        ("/?status=500", true),
        ("/?status=206", false),
        ("/?status=206&flush", false),
        ("/?header=Content-Encoding:br&length=2000", false),
        ("/?header=Content-Range:bytes%200-1034/9999", false),
        ("/?header=Cache-Control:max-age=5,%20no-transform", false),
        ("/?header=Cache-Control:no-transformers", true),
    ] {
        let response = ask(&server, path, "gzip").await;
        assert_eq!(response.header("Content-Encoding") == Some("gzip"), compressed, "{path}");
        response.assert_header("Vary", "Accept-Encoding");
        if compressed && !path.contains("length") {
            assert_eq!(decoded(&response), body(), "{path}");
        }
    }
    // Other methods too; Tornado asks about none.
    server.post("/").header("Accept-Encoding", "gzip").await.assert_header("Content-Encoding", "gzip");
    // HTTP/1.0 clients that ask for it get it.
    let raw = server.raw("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").await;
    assert!(String::from_utf8_lossy(&raw).contains("\r\nContent-Encoding: gzip\r\n"));
}

#[squall::test(timeout = 60)]
async fn the_client_chooses_the_coding() {
    let server = serving(Compression::new());
    for (accept, coding) in [
        ("gzip", Some("gzip")),
        ("gzip;q=0.5, br", Some("br")),
        ("gzip;q=0.5, zstd;q=0.6", Some("zstd")),
        ("gzip, deflate, br;q=0.9, zstd;q=0.9", Some("gzip")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("gzip")),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.1", None),
        ("*;q=0", None),
        ("br;q=0, zstd;q=0, *", Some("gzip")),
        ("", None),
    ] {
        for path in ["/", "/?flush"] {
            let response = ask(&server, path, accept).await;
            assert_eq!(response.header("Content-Encoding"), coding, "{accept} {path}");
            assert_eq!(decoded(&response), body(), "{accept} {path}");
        }
    }
    // Several lines are one list.
    let response =
        server.get("/").header("Accept-Encoding", "deflate").add_header("Accept-Encoding", "gzip").await;
    response.assert_header("Content-Encoding", "gzip");

    let server = serving(Compression::new().codings([ContentCoding::Gzip]));
    ask(&server, "/", "gzip, br, zstd").await.assert_header("Content-Encoding", "gzip");
    assert_eq!(ask(&server, "/", "br").await.header("Content-Encoding"), None);
}

#[squall::test(timeout = 60)]
async fn options() {
    let server = serving(Compression::new().min_length(10).content_type("application/wasm").gzip_level(0));
    let response = ask(&server, "/?length=10&type=application/wasm", "gzip").await;
    response.assert_header("Content-Encoding", "gzip");
    assert!(response.bytes().len() > 20, "level 0 stores");
    assert_eq!(ask(&server, "/?length=9", "gzip").await.header("Content-Encoding"), None);

    let error =
        Application::new([]).compress_response(Compression::new().gzip_level(10)).listen(0).unwrap_err();
    assert_eq!(error.to_string(), "compression: gzip has levels from 0 to 9, not 10");

    let off = serve(Application::new([any("/", respond)]).compress_response(true).compress_response(false));
    let response = ask(&off, "/", "gzip").await;
    assert_eq!((response.header("Content-Encoding"), response.header("Vary")), (None, None));
}

#[squall::test(timeout = 60)]
async fn entity_tags_are_those_before_compression() {
    let server = serving(Compression::new());
    let plain = server.get("/").await.header("Etag").unwrap().to_owned();
    let packed = ask(&server, "/", "gzip").await.header("Etag").unwrap().to_owned();
    assert_eq!(plain, packed);
    for accept in ["gzip", "identity"] {
        let response =
            server.get("/").header("Accept-Encoding", accept).header("If-None-Match", &plain).await;
        response.assert_status(304).assert_header("Vary", "Accept-Encoding").assert_text("");
        assert_eq!(response.header("Content-Encoding"), None);
    }
    // Where there are ranges a strong tag would promise the same bytes.
    let ranges = "/?header=Accept-Ranges:bytes";
    ask(&server, ranges, "gzip").await.assert_header("Etag", &format!("W/{plain}"));
    ask(&server, ranges, "identity").await.assert_header("Etag", &plain);
}

#[squall::test(timeout = 60)]
async fn head_has_the_headers_of_get() {
    let server = serving(Compression::new());
    let get = ask(&server, "/", "gzip").await;
    let head = server.head("/").header("Accept-Encoding", "gzip").await;
    for name in ["Content-Encoding", "Content-Length", "Vary", "Etag"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(head.bytes(), b"");
    let head = server.head("/?flush").header("Accept-Encoding", "gzip").await;
    head.assert_header("Content-Encoding", "gzip");
    assert_eq!(head.header("Content-Length"), None);
    // A handler of HEAD that tells a length tells that before compression.
    for (path, coding) in [
        ("/?length=0&header=Content-Length:1035", Some("gzip")),
        ("/?length=0&header=Content-Length:1035&type=image/png", None),
        ("/?length=0&header=Content-Length:12", None),
    ] {
        let head = server.head(path).header("Accept-Encoding", "gzip").await;
        head.assert_status(200);
        assert_eq!(head.header("Content-Encoding"), coding, "{path}");
        assert_eq!(head.header("Content-Length").is_some(), coding.is_none(), "{path}");
    }
}

#[squall::test(timeout = 60)]
async fn a_told_length_is_put_right_or_left_out() {
    let server = serving(Compression::new());
    let whole = ask(&server, "/?header=Content-Length:1035", "gzip").await;
    whole.assert_header("Content-Length", &whole.bytes().len().to_string());
    assert_eq!(decoded(&whole), body());
    let flushed = ask(&server, "/?header=Content-Length:1035&flush", "gzip").await;
    assert_eq!(flushed.header("Content-Length"), None);
    flushed.assert_header("Transfer-Encoding", "chunked");
    assert_eq!(decoded(&flushed), body());
}

#[squall::test(timeout = 60)]
async fn static_files() {
    let folder = tempfile::tempdir().unwrap();
    let text = "all work and no play\n".repeat(20_000);
    std::fs::write(folder.path().join("short.txt"), "short").unwrap();
    std::fs::write(folder.path().join("long.txt"), &text).unwrap();
    std::fs::write(folder.path().join("picture.png"), &text).unwrap();
    let server = serve(Application::new([]).static_path(folder.path()).compress_response(true));
    let short = ask(&server, "/static/short.txt", "gzip").await;
    short.assert_header("Content-Encoding", "gzip").assert_header("Vary", "Accept-Encoding");
    assert_eq!(decoded(&short), "short");
    let long = ask(&server, "/static/long.txt", "gzip").await;
    long.assert_header("Content-Encoding", "gzip").assert_header("Transfer-Encoding", "chunked");
    assert_eq!(decoded(&long), text);
    let tag = long.header("Etag").unwrap();
    assert!(tag.starts_with("W/\""), "{tag}");
    // A part of what is stored; never of what was made of it.
    let part =
        server.get("/static/long.txt").header("Accept-Encoding", "gzip").header("Range", "bytes=4-7").await;
    part.assert_status(206).assert_text("work").assert_header("Content-Length", "4");
    assert_eq!(part.header("Content-Encoding"), None);
    let stale = server.get("/static/long.txt").header("Range", "bytes=4-7").header("If-Range", tag).await;
    stale.assert_status(200).assert_text(&text);
    let picture = ask(&server, "/static/picture.png", "gzip").await;
    assert_eq!(picture.header("Content-Encoding"), None);
    picture.assert_header("Content-Length", &text.len().to_string()).assert_text(&text);
    server.get("/static/long.txt").header("If-None-Match", tag).await.assert_status(304);
}

/// GET, HEAD and 304 say the same of a representation (RFC 9110 §9.3.2, §15.4.5).
async fn agree(server: &TestServer, path: &str, headers: &[(&str, &str)], names: &[&str]) -> TestResponse {
    let ask = |method: &'static str, more: &[(&str, &str)]| {
        let headers = headers.iter().chain(more);
        headers.fold(server.request(method, path), |request, (name, value)| request.add_header(name, value))
    };
    let (get, head) = (ask("GET", &[]).await, ask("HEAD", &[]).await);
    assert_eq!((head.status(), head.bytes()), (get.status(), &b""[..]), "{path} {headers:?}");
    for name in names.iter().chain(&["Content-Length", "Content-Encoding", "Content-Type"]) {
        assert_eq!(head.header(name), get.header(name), "HEAD: {name} of {path} {headers:?}");
    }
    let Some(tag) = get.header("Etag").filter(|_| get.status() == 200) else { return get };
    for method in ["GET", "HEAD"] {
        let cached = ask(method, &[("If-None-Match", tag)]).await;
        cached.assert_status(304).assert_text("");
        for name in names {
            assert_eq!(cached.header(name), get.header(name), "304: {name} of {path} {headers:?}");
        }
        assert_eq!((cached.header("Content-Length"), cached.header("Content-Encoding")), (None, None));
    }
    get
}

#[squall::test(timeout = 60)]
async fn get_head_and_304_agree() {
    let folder = tempfile::tempdir().unwrap();
    let text = "all work and no play\n".repeat(20_000);
    for name in ["plain.txt", "both.txt", "picture.png"] {
        std::fs::write(folder.path().join(name), &text).unwrap();
    }
    std::fs::write(folder.path().join("short.txt"), "short").unwrap();
    std::fs::write(folder.path().join("both.txt.br"), "not really brotli").unwrap();
    let static_app = Application::new([any("/", respond)]).static_path(folder.path());
    let server = serve(static_app.compress_response(true));
    let names = ["Etag", "Vary", "Accept-Ranges", "Last-Modified", "Cache-Control"];
    for accepted in ["", "gzip", "zstd", "br", "gzip, deflate, br, zstd", "identity"] {
        let headers = [("Accept-Encoding", accepted)];
        for (path, coding) in [
            ("/static/plain.txt", accepted),
            ("/static/short.txt", accepted),
            ("/static/both.txt", if accepted.contains("br") { "br" } else { accepted }),
            ("/static/picture.png", ""),
            ("/", accepted),
            ("/?length=5", ""),
            ("/?header=Accept-Ranges:bytes", accepted),
        ] {
            let response = agree(&server, path, &headers, &names).await;
            response.assert_status(200).assert_header("Vary", "Accept-Encoding");
            let coding = match coding {
                "" | "identity" => None,
                "gzip, deflate, br, zstd" => Some("zstd"),
                one => Some(one),
            };
            assert_eq!(response.header("Content-Encoding"), coding, "{path} {accepted}");
            let stored = path.ends_with("/both.txt") && coding == Some("br");
            if path.starts_with("/static/") && coding.is_some() && !stored {
                response.assert_header("Transfer-Encoding", "chunked");
            } else {
                response.assert_header("Content-Length", &response.bytes().len().to_string());
            }
        }
        let ranged = [("Accept-Encoding", accepted), ("Range", "bytes=4-7")];
        agree(&server, "/static/plain.txt", &ranged, &names).await.assert_status(206).assert_text("work");
        let not_the_part = [("Accept-Encoding", accepted), ("Range", "bytes=4-7"), ("If-Range", "\"x\"")];
        let whole = agree(&server, "/static/plain.txt", &not_the_part, &names).await;
        assert_eq!(decoded(&whole), text, "{accepted}");
    }
}

#[squall::test(timeout = 60)]
async fn a_file_is_compressed_once() {
    // Text that compresses well and slowly: what is kept comes back at once, which is all that can be seen from here.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.txt");
    let text: String =
        (0..200_000_u32).map(|i| format!("line {} of many\n", i % 7919 * 7907 % 7919)).collect();
    std::fs::write(&path, &text).unwrap();
    let server = serve(Application::new([]).static_path(folder.path()).compress_response(true));
    let first = ask(&server, "/static/long.txt", "gzip").await;
    assert_eq!(decoded(&first), text);
    for _ in 0..5 {
        assert!(ask(&server, "/static/long.txt", "gzip").await.bytes() == first.bytes(), "they differ");
    }
    // Kept by its tag: a new content is another entry.
    std::fs::write(&path, "changed").unwrap();
    assert_eq!(decoded(&ask(&server, "/static/long.txt", "gzip").await), "changed");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(decoded(&ask(&server, "/static/long.txt", "gzip").await), text);
}

/// Those that are too large to be kept are compressed while they are sent.
#[squall::test(timeout = 60)]
async fn large_files_are_compressed_on_their_way() {
    let folder = tempfile::tempdir().unwrap();
    let text = "all work and no play\n".repeat(500_000);
    std::fs::write(folder.path().join("large.txt"), &text).unwrap();
    let server = serve(Application::new([]).static_path(folder.path()).compress_response(true));
    let headers = [("Accept-Encoding", "gzip")];
    let large = agree(&server, "/static/large.txt", &headers, &["Etag", "Vary", "Accept-Ranges"]).await;
    large.assert_header("Content-Encoding", "gzip").assert_header("Transfer-Encoding", "chunked");
    assert!(decoded(&large) == text, "the bytes differ");
}

#[squall::test(timeout = 120)]
async fn much_is_compressed_in_slices() {
    let server = serving(Compression::new());
    for coding in ["gzip", "zstd", "br"] {
        let headers = [("Accept-Encoding", coding)];
        let at_once = agree(&server, "/?length=262144", &headers, &["Etag", "Vary"]).await;
        at_once.assert_header("Content-Length", &at_once.bytes().len().to_string());
        assert_eq!(decoded(&at_once).len(), 262_144);
        for length in [262_145, 700_000] {
            let path = format!("/?length={length}");
            let sliced = agree(&server, &path, &headers, &["Etag", "Vary"]).await;
            sliced.assert_header("Content-Encoding", coding).assert_header("Transfer-Encoding", "chunked");
            assert_eq!(decoded(&sliced).len(), length, "{coding}");
            // A length that the handler tells is no hindrance.
            let told = format!("{path}&header=Content-Length:{length}");
            assert_eq!(decoded(&ask(&server, &told, coding).await).len(), length, "{coding}");
        }
        let image = ask(&server, "/?length=700000&type=image/png", coding).await;
        image.assert_header("Content-Length", "700000");
        // To HTTP/1.0 the end of the connection is the end.
        let raw =
            server.raw(format!("GET /?length=700000 HTTP/1.0\r\nAccept-Encoding: {coding}\r\n\r\n")).await;
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&raw[..end + 4]);
        assert!(head.contains(&format!("Content-Encoding: {coding}\r\n")), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
    }
}

/// While one client's large page is compressed, others are served: several of them before it is done.
#[squall::test(timeout = 120)]
async fn others_are_served_between_slices() {
    let app = Application::new([
        any("/", respond),
        get("/much", async |ctx: &Context| {
            ctx.write("all work and no play\n".repeat(50_000));
            ctx.flush().await?;
            ctx.write("all work and no play\n".repeat(50_000));
            Ok(())
        }),
        get("/quick", async |ctx: &Context| {
            ctx.write("quick");
            Ok(())
        }),
    ]);
    let server = serve(app.compress_response(Compression::new().gzip_level(9)));
    for path in ["/much", "/?length=2100000"] {
        let much = tokio::task::spawn_local({
            let request = server.get(path).header("Accept-Encoding", "gzip");
            async move { request.await }
        });
        for _ in 0..5 {
            server.get("/quick").await.assert_text("quick");
            assert!(!much.is_finished(), "{path}");
        }
        assert_eq!(decoded(&much.await.unwrap()).len(), 2_100_000);
    }
}

/// What is left when somebody stops waiting for a flush comes with the next.
#[squall::test(timeout = 60)]
async fn a_flush_of_much_may_be_dropped() {
    let app = Application::new([get("/", async |ctx: &Context| {
        ctx.write("all work and no play\n".repeat(50_000));
        // Polled once, in which the first slice goes out.
        let flush = std::pin::pin!(ctx.flush());
        tokio::select! {
            biased;
            flushed = flush => flushed?,
            () = std::future::ready(()) => {}
        }
        ctx.write("end");
        Ok(())
    })]);
    let server = serve(app.compress_response(true));
    for coding in ["gzip", "zstd", "br"] {
        let text = decoded(&ask(&server, "/", coding).await);
        assert_eq!(text.len(), 21 * 50_000 + 3, "{coding}");
        assert!(text.ends_with("no play\nend"), "{coding}");
    }
}

/// HEAD of 50 MB compresses nothing: the processor would be busy for most of a second.
#[squall::test(timeout = 60)]
async fn head_does_not_compress_much() {
    let server = serving(Compression::new().codings([ContentCoding::Brotli]).brotli_level(11));
    for path in ["/?length=50000000", "/?length=50000000&header=Content-Length:50000000"] {
        let head = server.head(path).header("Accept-Encoding", "br").await;
        head.assert_status(200)
            .assert_header("Content-Encoding", "br")
            .assert_header("Vary", "Accept-Encoding");
        assert_eq!((head.header("Content-Length"), head.bytes()), (None, &b""[..]), "{path}");
    }
}

#[squall::test(timeout = 60)]
async fn conditions_of_what_handlers_write() {
    let server = serve(Application::new([any("/", respond)]));
    let tag = server.get("/").await.header("Etag").unwrap().to_owned();
    let weak = format!("W/{tag}");
    #[rustfmt::skip] // one row, one line
    let table = [
        ("/", &[("If-None-Match", &*tag)][..], 304),
        ("/", &[("If-None-Match", &weak)], 304),
        ("/", &[("If-None-Match", "*")], 304),
        ("/", &[("If-None-Match", "\"x\""), ("If-None-Match", &tag)], 304),
        ("/", &[("If-None-Match", "\"x\""), ("If-None-Match", "\"y\"")], 200),
        ("/", &[("If-None-Match", tag.trim_matches('"'))], 200),
        ("/?header=Etag:%22a,b%22", &[("If-None-Match", "\"a,b\"")], 304),
        ("/?header=Etag:%22a,b%22", &[("If-None-Match", "\"x\", W/\"a,b\"")], 304),
        ("/?header=Etag:%22a,b%22", &[("If-None-Match", "\"a\", \"b\"")], 200),
        ("/?header=Etag:ab", &[("If-None-Match", "ab")], 200),
        ("/?header=Etag:ab", &[("If-None-Match", "\"ab\"")], 200),
        ("/", &[("If-Match", &tag)], 200),
        ("/", &[("If-Match", "*")], 200),
        ("/", &[("If-Match", &weak)], 412),
        ("/", &[("If-Match", "\"x\"")], 412),
        ("/", &[("If-Match", "\"x\""), ("If-None-Match", &tag)], 412),
        ("/", &[("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")], 200),
        ("/?status=201", &[("If-Match", "\"x\"")], 201),
    ];
    for (path, headers, status) in table {
        for method in ["GET", "HEAD"] {
            let request = server.request(method, path);
            let response =
                headers.iter().fold(request, |request, (name, value)| request.add_header(name, value)).await;
            assert_eq!(response.status(), status, "{method} {path} {headers:?}");
            assert_eq!(response.text().is_empty(), status >= 300 || method == "HEAD", "{headers:?}");
        }
        let post =
            headers.iter().fold(server.post(path), |request, (name, value)| request.add_header(name, value));
        assert!(matches!(post.await.status(), 200 | 201), "{headers:?}");
    }
}

/// Replaces each byte by two, and tells how often it was called.
struct Double(usize);

impl OutputTransform for Double {
    fn transform_first_chunk(
        &mut self,
        status: &mut u16,
        headers: &mut HttpHeaders,
        chunk: &mut Vec<u8>,
        finishing: bool,
    ) -> Result {
        if headers.contains("X-Fail") {
            return Err(squall::HttpError::new(503).into());
        }
        if headers.contains("X-Teapot") {
            *status = 418;
        }
        headers.set("X-Double", if finishing { "whole" } else { "parts" })?;
        self.transform_chunk(chunk, finishing)
    }

    fn transform_chunk(&mut self, chunk: &mut Vec<u8>, finishing: bool) -> Result {
        self.0 += 1;
        *chunk = chunk.iter().flat_map(|&b| [b, b]).collect();
        if finishing {
            chunk.extend(format!(" {}", self.0).into_bytes());
        }
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn transforms_of_ones_own() {
    let app = || {
        Application::new([
            get("/", respond),
            get("/fail", async |ctx: &Context| {
                ctx.set_header("X-Fail", "yes")?;
                ctx.write("never sent");
                Ok(())
            }),
        ])
        .add_transform(|_| Double(0))
    };
    let server = serve(app());
    let response = server.get("/?length=3").await;
    response.assert_text("xxxxxx 1").assert_header("X-Double", "whole").assert_header("Content-Length", "8");
    server.get("/?length=700&flush").await.assert_text(&format!("{} 4", "x".repeat(1400)));
    server.get("/?length=3&header=X-Teapot:1").await.assert_status(418);
    // Error pages go through it; its own errors are answered, without what was written.
    server.get("/none").await.assert_status(404).assert_header("X-Double", "whole");
    server.get("/fail").await.assert_status(503).assert_header("X-Double", "whole");
    // In the order they were added, compression last.
    let server = serve(app().add_transform(|_| Double(10)).compress_response(true));
    let response = ask(&server, "/?length=1000", "gzip").await;
    assert_eq!(decoded(&response), format!("{}  11 11", "x".repeat(4000)));
}

/// Keeps the length, as a transform of what has one must.
struct Upper;

impl OutputTransform for Upper {
    fn transform_first_chunk(
        &mut self,
        _status: &mut u16,
        _headers: &mut HttpHeaders,
        chunk: &mut Vec<u8>,
        finishing: bool,
    ) -> Result {
        self.transform_chunk(chunk, finishing)
    }

    fn transform_chunk(&mut self, chunk: &mut Vec<u8>, _finishing: bool) -> Result {
        chunk.make_ascii_uppercase();
        Ok(())
    }
}

/// Files come to a transform as they lie there, before any compression; a sibling would be gibberish to it.
#[squall::test(timeout = 60)]
async fn transforms_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let text = "all work and no play\n".repeat(20_000);
    std::fs::write(folder.path().join("short.txt"), "abc").unwrap();
    std::fs::write(folder.path().join("long.txt"), &text).unwrap();
    std::fs::write(folder.path().join("long.txt.gz"), "gzipped").unwrap();
    for compressed in [false, true] {
        let app = Application::new([]).static_path(folder.path()).add_transform(|_| Upper);
        let server = serve(app.compress_response(compressed));
        for (path, text) in [("/static/short.txt", "ABC"), ("/static/long.txt", &*text.to_uppercase())] {
            let response = ask(&server, path, "gzip").await;
            assert_eq!(response.header("Content-Encoding"), compressed.then_some("gzip"), "{path}");
            assert!(decoded(&response) == text, "{path}: the bytes differ");
        }
    }
}
