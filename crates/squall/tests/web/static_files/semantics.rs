//! Headers, ranges, conditions, URLs: the rows of Tornado's behaviour.

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall::httputil::format_timestamp;
use squall::web::{StaticFileHandler, StaticUrl};
use squall::{Application, Context, Result, get, testing, url};

use super::support::{Files, ROBOTS, ROBOTS_HASH, get_and_head};

fn tag() -> String {
    format!("\"{ROBOTS_HASH}\"")
}

fn app(files: &Files) -> Application {
    async fn static_url(ctx: &Context, host: bool) -> Result {
        let version = ctx.argument_or("include_version", "1")? == "1";
        let options = StaticUrl::default().include_host(host).include_version(version);
        ctx.write(ctx.static_url_with(ctx.path_arg_str("path")?, options)?);
        Ok(())
    }
    Application::new([
        get(r"/static_url/(?P<path>.*)", async |ctx: &Context| static_url(ctx, false).await),
        get(r"/abs_static_url/(?P<path>.*)", async |ctx: &Context| static_url(ctx, true).await),
    ])
    .static_path(files.root())
}

#[squall::test]
async fn what_a_file_comes_with() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    let modified = UNIX_EPOCH + Duration::from_secs(1_359_312_200) + Duration::from_millis(999);
    File::options().write(true).open(files.at("static/robots.txt")).unwrap().set_modified(modified).unwrap();
    for path in ["/static/robots.txt", "/robots.txt", "/static/dir/../robots.txt"] {
        let response = get_and_head(&server, path, &[]).await;
        response
            .assert_status(200)
            .assert_header("Content-Type", "text/plain")
            .assert_header("Content-Length", "26")
            .assert_header("Accept-Ranges", "bytes")
            .assert_header("Last-Modified", "Sun, 27 Jan 2013 18:43:20 GMT")
            .assert_header("Etag", &tag());
        assert_eq!(response.bytes(), ROBOTS);
        assert_eq!(response.header("Cache-Control"), None);
        assert_eq!(response.header("Expires"), None);
        assert_eq!(response.header("Vary"), None);
        assert_eq!(response.header("Transfer-Encoding"), None);
    }
    server
        .get("/favicon.ico")
        .await
        .assert_text("icon")
        .assert_header("Content-Type", "image/vnd.microsoft.icon");
    server.get("/static/sp%20ace.txt").await.assert_text("space");
    server.get("/static/%C3%A4.txt").await.assert_text("umlaut");
    get_and_head(&server, "/static/empty/x", &[])
        .await
        .assert_status(200)
        .assert_header("Content-Length", "0");
    for (name, content_type) in [
        ("sample.xml", "text/xml"),
        ("sample.xml.gz", "application/gzip"),
        ("sample.xml.bz2", "application/octet-stream"),
    ] {
        let response = server.get(&format!("/static/{name}")).await;
        response.assert_status(200).assert_header("Content-Type", content_type);
        assert_eq!(response.header("Content-Encoding"), None);
    }
}

#[squall::test]
async fn versioned_files_are_kept() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    let version = format!("v={ROBOTS_HASH}");
    for path in ["/robots.txt?", "/static/robots.txt?", "/static/robots.txt?a=1&", "/robots.txt?v=1&"] {
        let response = get_and_head(&server, &format!("{path}{version}"), &[]).await;
        response.assert_status(200).assert_header("Cache-Control", "max-age=315360000");
        let expires = httpdate(response.header("Expires").unwrap());
        let away = expires.duration_since(SystemTime::now()).unwrap();
        let ten_years = Duration::from_secs(315_360_000);
        assert!(away <= ten_years && away > ten_years - Duration::from_secs(60), "{away:?}");
    }
    // Another version is another file's, such as that of the next release: this one must not be kept for it.
    let other = format!("v={}", ROBOTS_HASH.replace('6', "7"));
    for query in ["v=12345", "v=", "a=1&v", "V=1", &other, &format!("x={ROBOTS_HASH}")] {
        let response = get_and_head(&server, &format!("/static/robots.txt?{query}"), &[]).await;
        response.assert_status(200);
        assert_eq!((response.header("Cache-Control"), response.header("Expires")), (None, None), "{query}");
    }
    files.write("static/robots.txt", b"the next release");
    let response = get_and_head(&server, &format!("/static/robots.txt?{version}"), &[]).await;
    response.assert_text("the next release");
    assert_eq!(response.header("Cache-Control"), None);
}

/// A compressed sibling has another tag, but is the same version.
#[squall::test]
async fn siblings_have_the_version_of_the_file() {
    let files = Files::new();
    files.write("static/robots.txt.gz", b"gzipped");
    let server = testing::serve(app(&files));
    let path = format!("/static/robots.txt?v={ROBOTS_HASH}");
    for accepted in ["", "gzip"] {
        let response = get_and_head(&server, &path, &[("Accept-Encoding", accepted)]).await;
        response.assert_header("Cache-Control", "max-age=315360000").assert_header("Vary", "Accept-Encoding");
        assert_eq!(response.header("Content-Encoding"), (!accepted.is_empty()).then_some(accepted));
    }
}

#[squall::test]
async fn urls_are_escaped() {
    let files = Files::new();
    for name in ["a#b?c%d e.txt", "\"<>\\^`{|}.txt", "caf\u{e9}+&=;.txt", "dir/per%20cent.txt"] {
        files.write(&format!("static/{name}"), name.as_bytes());
    }
    let server = testing::serve(app(&files));
    for (name, escaped) in [
        ("a#b?c%d e.txt", "a%23b%3Fc%25d%20e.txt"),
        ("\"<>\\^`{|}.txt", "%22%3C%3E%5C%5E%60%7B%7C%7D.txt"),
        ("caf\u{e9}+&=;.txt", "caf%C3%A9%2B%26%3D%3B.txt"),
        ("dir/per%20cent.txt", "dir/per%2520cent.txt"),
    ] {
        let asked = format!("/static_url/{}", squall::escape::url_escape_path(name));
        let url = server.get(&asked).await.text().to_owned();
        assert!(url.starts_with(&format!("/static/{escaped}?v=")), "{url}");
        let response = server.get(&url).await;
        response.assert_text(name).assert_header("Cache-Control", "max-age=315360000");
    }
}

/// Nix and Bazel give all files such a time: a client's date would match whatever the content is.
#[squall::test]
async fn times_that_say_nothing() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    for seconds in [0, 1] {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(files.at("static/robots.txt")).unwrap().set_modified(time).unwrap();
        let stamp = format_timestamp(time);
        for headers in [
            &[][..],
            &[("If-Modified-Since", &*stamp)],
            &[("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")],
            &[("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            &[("If-Range", &stamp), ("Range", "bytes=1-2")],
        ] {
            let response = get_and_head(&server, "/static/robots.txt", headers).await;
            response.assert_status(200).assert_header("Etag", &tag());
            assert_eq!(response.header("Last-Modified"), None, "{headers:?}");
        }
        let known = [("If-None-Match", &*tag())];
        get_and_head(&server, "/static/robots.txt", &known).await.assert_status(304);
    }
}

/// Reads a date by looking for the second that is formatted so: the test needs no parser.
fn httpdate(text: &str) -> SystemTime {
    let about = SystemTime::now() + Duration::from_secs(315_360_000 + 5);
    let seconds = (0..120).map(|back| about - Duration::from_secs(back));
    seconds.into_iter().find(|&time| format_timestamp(time) == text).expect("a date in ten years")
}

#[squall::test]
async fn static_urls() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    let here = format!("http://127.0.0.1:{}", server.port());
    for (path, expected) in [
        ("/static_url/robots.txt", format!("/static/robots.txt?v={ROBOTS_HASH}")),
        ("/abs_static_url/robots.txt", format!("{here}/static/robots.txt?v={ROBOTS_HASH}")),
        ("/static_url/robots.txt?include_version=0", "/static/robots.txt".to_owned()),
        ("/abs_static_url/robots.txt?include_version=0", format!("{here}/static/robots.txt")),
        ("/static_url/nothere.txt", "/static/nothere.txt".to_owned()),
        ("/static_url/dir", "/static/dir".to_owned()),
    ] {
        server.get(path).await.assert_status(200).assert_text(&expected);
    }
    server.get("/static_url/../static_foo.txt").await.assert_status(403);
    // A new content is a new version.
    files.write("static/robots.txt", b"changed");
    let changed = server.get("/static_url/robots.txt").await.text().to_owned();
    assert!(changed.starts_with("/static/robots.txt?v=") && !changed.contains(ROBOTS_HASH), "{changed}");
    let etag = format!("\"{}\"", changed.split_once("v=").unwrap().1);
    server.get("/static/robots.txt").await.assert_text("changed").assert_header("Etag", &etag);

    let without = testing::serve(Application::new([get("/", async |ctx: &Context| {
        ctx.write(ctx.static_url("robots.txt")?);
        Ok(())
    })]));
    without.get("/").await.assert_status(500);
}

#[squall::test]
async fn conditions() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    let modified = SystemTime::now() - Duration::from_secs(86_400);
    File::options().write(true).open(files.at("static/robots.txt")).unwrap().set_modified(modified).unwrap();
    let stamp = format_timestamp(modified);
    let before = format_timestamp(modified - Duration::from_secs(1));
    let after = format_timestamp(modified + Duration::from_secs(1));
    let (tag, weak) = (tag(), format!("W/{}", tag()));
    let listed = format!("\"x\", {tag}");
    #[rustfmt::skip] // one row, one line
    let table: &[(&[(&str, &str)], u16)] = &[
        (&[("If-Modified-Since", &stamp)], 304),
        (&[("If-Modified-Since", &after)], 304),
        (&[("If-Modified-Since", &before)], 200),
        (&[("If-Modified-Since", stamp.trim_end_matches(" GMT"))], 304),
        (&[("If-Modified-Since", "!nv@l!d")], 200),
        (&[("If-Modified-Since", "Fri, 01 Jan 1960 00:00:00 GMT")], 200),
        (&[("If-Modified-Since", "Thursday, 01-Jan-70 00:00:00 GMT")], 200),
        (&[("If-None-Match", &tag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", &listed)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"MISMATCH\"")], 200),
        (&[("If-None-Match", "\"MISMATCH\""), ("If-Modified-Since", &stamp)], 200),
        (&[("If-None-Match", &tag), ("If-Modified-Since", &before)], 304),
        (&[("If-None-Match", &tag), ("Range", "bytes=1-4")], 304),
        (&[("If-None-Match", &tag), ("Range", "bytes=26-")], 304),
        (&[("If-Range", &tag), ("Range", "bytes=1-4")], 206),
        (&[("If-Range", &weak), ("Range", "bytes=1-4")], 200),
        (&[("If-Range", "\"x\""), ("Range", "bytes=1-4")], 200),
        (&[("If-Range", "\"x\""), ("Range", "bytes=26-")], 200),
        (&[("If-Range", &stamp), ("Range", "bytes=1-4")], 206),
        (&[("If-Range", &before), ("Range", "bytes=1-4")], 200),
        (&[("If-Range", &after), ("Range", "bytes=1-4")], 200),
        (&[("If-Range", &tag)], 200),
        (&[("If-None-Match", "\"x\""), ("If-None-Match", &tag)], 304),
        (&[("If-None-Match", &tag), ("If-None-Match", "\"x\"")], 304),
        (&[("If-None-Match", "\"a,b\", W/\"c\""), ("If-None-Match", "\"x\"")], 200),
        (&[("If-None-Match", tag.trim_matches('"'))], 200),
        (&[("If-Match", &tag)], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", "\"x\""), ("If-Match", &tag)], 200),
        (&[("If-Match", &tag), ("If-None-Match", &tag)], 304),
        (&[("If-Unmodified-Since", &stamp)], 200),
        (&[("If-Unmodified-Since", "!nv@l!d")], 200),
        (&[("If-Match", &tag), ("If-Unmodified-Since", &before)], 200),
        (&[("Range", "bytes=1-4"), ("Range", "bytes=1-4")], 200),
        (&[("If-Range", &tag), ("If-Range", &tag), ("Range", "bytes=1-4")], 200),
    ];
    for (headers, status) in table {
        let response = get_and_head(&server, "/static/robots.txt", headers).await;
        assert_eq!(response.status(), *status, "{headers:?}");
        response
            .assert_header("Etag", &tag)
            .assert_header("Last-Modified", &stamp)
            .assert_header("Accept-Ranges", "bytes");
        assert!(response.header("Date").is_some());
        match status {
            304 => {
                assert_eq!(response.bytes(), b"");
                assert_eq!(response.header("Content-Length"), None);
                assert_eq!(response.header("Content-Type"), None);
            }
            206 => assert_eq!(response.bytes(), &ROBOTS[1..5]),
            _ => assert_eq!(response.bytes(), ROBOTS),
        }
    }
    let table: &[&[(&str, &str)]] = &[
        &[("If-Match", "\"x\"")],
        &[("If-Match", &weak)],
        &[("If-Match", "x")],
        &[("If-Match", "\"x\""), ("If-None-Match", &tag)],
        &[("If-Match", "\"x\""), ("Range", "bytes=1-4")],
        &[("If-Unmodified-Since", &before)],
        &[("If-Match", "\"x\""), ("If-Unmodified-Since", &stamp)],
    ];
    for headers in table {
        let response = get_and_head(&server, "/static/robots.txt", headers).await;
        assert_eq!(response.status(), 412, "{headers:?}");
        assert!(!response.text().contains("Disallow"), "{headers:?}");
    }
}

#[squall::test]
async fn the_last_bytes_of_nothing() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    for (range, status) in [("bytes=-1", 200), ("bytes=-100", 200), ("bytes=0-", 416), ("bytes=-0", 416)] {
        let response = get_and_head(&server, "/static/empty/x", &[("Range", range)]).await;
        response.assert_status(status).assert_header("Content-Length", "0").assert_text("");
    }
}

#[squall::test]
async fn ranges() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    for (range, status, bytes) in [
        ("bytes=0-9", 206, 0..10),
        ("bytes=0-0", 206, 0..1),
        ("bytes=25-25", 206, 25..26),
        ("bytes=22-", 206, 22..26),
        ("bytes=-4", 206, 22..26),
        ("bytes=-1", 206, 25..26),
        ("bytes=1-10000000", 206, 1..26),
        ("bytes=0-", 200, 0..26),
        ("bytes=0-25", 200, 0..26),
        ("bytes=0-10000000", 200, 0..26),
        ("bytes=-26", 200, 0..26),
        ("bytes=-1000000", 200, 0..26),
        ("bytes=", 200, 0..26),
        ("asdf", 200, 0..26),
        ("chars=0-1", 200, 0..26),
        ("bytes=0-1,3-4", 200, 0..26),
        ("bytes=26-", 416, 0..0),
        ("bytes=26", 416, 0..0),
        ("bytes=10-3", 416, 0..0),
        ("bytes=-0", 416, 0..0),
    ] {
        let response = get_and_head(&server, "/static/robots.txt", &[("Range", range)]).await;
        assert_eq!(response.status(), status, "{range}");
        assert_eq!(response.bytes(), &ROBOTS[bytes.clone()], "{range}");
        response.assert_header("Etag", &tag()).assert_header("Content-Length", &bytes.len().to_string());
        let content_range = match status {
            206 => Some(format!("bytes {}-{}/26", bytes.start, bytes.end - 1)),
            416 => Some("bytes */26".to_owned()),
            _ => None,
        };
        assert_eq!(response.header("Content-Range"), content_range.as_deref(), "{range}");
        response.assert_header("Content-Type", "text/plain");
    }
}

#[squall::test]
async fn what_is_not_a_file() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    for (path, status) in [
        ("/static/blarg", 404),
        ("/static/robots.txt/x", 404),
        ("/static/dir/", 403),
        ("/static/dir", 403),
        ("/static/", 403),
    ] {
        assert_eq!(get_and_head(&server, path, &[]).await.status(), status, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let response = server.request(method, "/static/robots.txt").await;
        response.assert_status(405).assert_header("Allow", "GET, HEAD, OPTIONS");
    }
}

#[squall::test]
async fn default_filenames() {
    let files = Files::new();
    let handler = || StaticFileHandler::new(files.root()).default_filename("index.html");
    let server = testing::serve(Application::new([url(r"/files/(.*)", handler())]).static_handler(handler()));
    for prefix in ["/static", "/files"] {
        let response = get_and_head(&server, &format!("{prefix}/dir/"), &[]).await;
        response
            .assert_status(200)
            .assert_text("this is the index\n")
            .assert_header("Content-Type", "text/html");
        let response = server.get(&format!("{prefix}/dir")).await;
        response.assert_status(301).assert_header("Location", &format!("{prefix}/dir/"));
        let response = server.get(&format!("{prefix}/dir?x=1")).await;
        response.assert_status(301).assert_header("Location", &format!("{prefix}/dir/?x=1"));
        server.get(&format!("{prefix}/empty/")).await.assert_status(404);
    }
}

#[squall::test]
async fn redirects_stay_here() {
    let files = Files::new();
    let handler = StaticFileHandler::new(files.root()).default_filename("index.html");
    let server = testing::serve(Application::new([]).static_handler(handler).static_url_prefix("/"));
    let root = files.root();
    for path in
        [format!("//evil.com/..{}/dir", root.display()), "/\\evil.com/../dir".to_owned(), "//dir".to_owned()]
    {
        let response = server.get(&path).await;
        assert_eq!(response.status(), 403, "{path}");
        assert_eq!(response.header("Location"), None);
    }
    server.get("/dir").await.assert_status(301).assert_header("Location", "/dir/");
    server.get("/dir/").await.assert_text("this is the index\n");
}

#[squall::test]
async fn precompressed_siblings() {
    // Without a word about it, too.
    for set in [true, false] {
        siblings_are_served(set).await;
    }
    let files = Files::new();
    files.write("static/app.js", b"plain");
    files.write("static/app.js.gz", b"gzipped");
    let off = StaticFileHandler::new(files.root()).precompressed(false);
    let server = testing::serve(Application::new([]).static_handler(off));
    let response = get_and_head(&server, "/static/app.js", &[("Accept-Encoding", "gzip")]).await;
    response.assert_text("plain");
    assert_eq!((response.header("Content-Encoding"), response.header("Vary")), (None, None));
}

async fn siblings_are_served(set: bool) {
    let files = Files::new();
    files.write("static/app.js", b"plain");
    files.write("static/app.js.br", b"brotli");
    files.write("static/app.js.gz", b"gzipped");
    files.write("static/old.js", b"plain");
    let old = files.write("static/old.js.gz", b"stale");
    let past = SystemTime::now() - Duration::from_secs(100);
    File::options().write(true).open(old).unwrap().set_modified(past).unwrap();
    let mut handler = StaticFileHandler::new(files.root());
    if set {
        handler = handler.precompressed(true);
    }
    let server = testing::serve(Application::new([]).static_handler(handler));
    for (path, accepted, body, coding) in [
        ("app.js", "", "plain", None),
        ("app.js", "gzip", "gzipped", Some("gzip")),
        ("app.js", "gzip, br", "brotli", Some("br")),
        ("app.js", "gzip, br;q=0.5", "gzipped", Some("gzip")),
        ("app.js", "gzip;q=0, br;q=0", "plain", None),
        ("app.js", "zstd", "plain", None),
        ("old.js", "gzip", "plain", None),
    ] {
        let response =
            get_and_head(&server, &format!("/static/{path}"), &[("Accept-Encoding", accepted)]).await;
        response
            .assert_status(200)
            .assert_text(body)
            .assert_header("Vary", "Accept-Encoding")
            .assert_header("Content-Type", "text/javascript")
            .assert_header("Content-Length", &body.len().to_string());
        assert_eq!(response.header("Content-Encoding"), coding, "{path} {accepted}");
    }
    // Each encoding has a tag of its own, and ranges are of what is sent.
    let plain = server.get("/static/app.js").await.header("Etag").unwrap().to_owned();
    let headers: &[(&str, &str)] =
        &[("Accept-Encoding", "br"), ("If-None-Match", &plain), ("Range", "bytes=0-2")];
    let response = get_and_head(&server, "/static/app.js", headers).await;
    response.assert_status(206).assert_text("bro").assert_header("Content-Range", "bytes 0-2/6");
    assert_ne!(response.header("Etag"), Some(&*plain));
}

#[squall::test(timeout = 60)]
async fn a_new_sibling_is_noticed() {
    let files = Files::new();
    let server = testing::serve(app(&files));
    let ask = async || server.get("/static/robots.txt").header("Accept-Encoding", "br").await;
    assert_eq!(ask().await.header("Vary"), None);
    files.write("static/robots.txt.br", b"brotli");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while ask().await.header("Content-Encoding") != Some("br") {
        assert!(tokio::time::Instant::now() < deadline, "the sibling is not seen");
        tokio::task::yield_now().await;
    }
    // One that goes, or that a change of the file has made stale, is noticed at once.
    files.write("static/robots.txt", b"changed");
    let later = SystemTime::now() + Duration::from_secs(5);
    File::options().write(true).open(files.at("static/robots.txt")).unwrap().set_modified(later).unwrap();
    ask().await.assert_text("changed").assert_header("Vary", "Accept-Encoding");
    std::fs::remove_file(files.at("static/robots.txt.br")).unwrap();
    ask().await.assert_text("changed");
}

/// Small files that have not changed for a while are held in memory for a moment: what they are must show at once.
#[squall::test(timeout = 60)]
async fn held_files_are_what_lies_there() {
    let files = Files::new();
    let handler = || StaticFileHandler::new(files.root());
    let server = testing::serve(Application::new([url(r"/f/(.*)", handler())]).static_path(files.root()));
    let path = files.write("static/held.txt", b"before");
    files.write("static/held.txt.gz", b"packed");
    let begun = SystemTime::now();
    // Held are those whose last change is a few seconds ago, since the next would show in their stamp then.
    let ask = async |name: &str| {
        for _ in 0..3 {
            server.get(name).await.assert_text("before").assert_header("Vary", "Accept-Encoding");
            server.get(name).header("Accept-Encoding", "gzip").await.assert_text("packed");
            let part = server.get(name).header("Range", "bytes=1-2").await;
            part.assert_status(206).assert_text("ef").assert_header("Content-Range", "bytes 1-2/6");
        }
    };
    while begun.elapsed().unwrap() < Duration::from_secs(4) {
        ask("/static/held.txt").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ask("/f/held.txt").await;
    ask("/static/held.txt").await;
    let kept = server.get("/static/held.txt").await;
    let stamp = path.metadata().unwrap().modified().unwrap();
    // The same length, the same time of its last change: as a careless deployment would leave it.
    std::fs::write(&path, "after!").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(stamp).unwrap();
    let changed = server.get("/static/held.txt").await;
    changed.assert_text("after!");
    assert_ne!(changed.header("Etag"), kept.header("Etag"));
    // Nor is anything held that may no longer be seen.
    files.link(files.at("outside/secret.txt"), "static/link");
    std::fs::rename(files.at("static/link"), &path).unwrap();
    server.get("/static/held.txt").await.assert_status(403);
    std::fs::remove_file(&path).unwrap();
    server.get("/static/held.txt").await.assert_status(404);
}
