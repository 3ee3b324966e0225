//! Files of one's own (Tornado's `CustomStaticFileTest`), embedded files, slow disks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use squall::web::{Embedded, StaticContent, StaticFile, StaticFileHandler, StaticFiles, Version};
use squall::{Application, Bytes, Context, HttpError, Result, get, testing, url};
use tokio::sync::oneshot;

use super::support::{Files, ROBOTS, ROBOTS_HASH, get_and_head};

/// One file in memory, its version within its name.
struct Custom;

impl StaticFiles for Custom {
    fn parse_url_path<'a>(&self, url_path: &'a str) -> Result<Cow<'a, str>> {
        let not_found = || HttpError::new(404);
        let (rest, extension) = url_path.rsplit_once('.').ok_or_else(not_found)?;
        let (name, _version) = rest.rsplit_once('.').ok_or_else(not_found)?;
        Ok(format!("{name}.{extension}").into())
    }

    async fn open(&self, _ctx: &Context, path: &str) -> Result<StaticFile> {
        match path {
            "foo.txt" => Ok(StaticFile::from_bytes("bar")),
            _ => Err(HttpError::new(404).into()),
        }
    }

    fn version(&self, _path: &str) -> Result<Version> {
        Ok(Some("42".into()))
    }

    fn static_url(&self, prefix: &str, path: &str, _include_version: bool) -> Result<String> {
        let (name, extension) = path.rsplit_once('.').unwrap();
        Ok(format!("{prefix}{name}.{}.{extension}", self.version(path)?.unwrap()))
    }

    fn cache_time(&self, _ctx: &Context, _path: &str, content_type: &str, file: &StaticFile) -> Duration {
        assert_eq!((content_type, file.size()), ("text/x-custom", 3));
        Duration::from_secs(60)
    }

    fn content_type(&self, path: &str, file: &StaticFile) -> Cow<'static, str> {
        assert_eq!((path, &*file.content_type()), ("foo.txt", "text/plain"));
        "text/x-custom".into()
    }

    fn set_extra_headers(&self, ctx: &Context, path: &str) -> Result {
        ctx.set_header("X-Path", path)?;
        Ok(())
    }

    fn should_return_304(&self, ctx: &Context, etag: Option<&str>, modified: Option<SystemTime>) -> bool {
        assert_eq!((etag, modified), (None, None));
        ctx.request().headers().contains("X-Have-It")
    }
}

#[squall::test]
async fn hooks() {
    let app = Application::new([get("/static_url/{path}", async |ctx: &Context| {
        ctx.write(ctx.static_url(ctx.path_arg_str("path")?)?);
        Ok(())
    })]);
    let server = testing::serve(app.static_handler(StaticFileHandler::with(Custom)));
    let response = get_and_head(&server, "/static/foo.42.txt", &[]).await;
    response
        .assert_status(200)
        .assert_text("bar")
        .assert_header("Content-Type", "text/x-custom")
        .assert_header("Cache-Control", "max-age=60")
        .assert_header("X-Path", "foo.txt");
    assert_eq!(response.header("Etag"), None);
    assert_eq!(response.header("Last-Modified"), None);
    get_and_head(&server, "/static/foo.42.txt", &[("Range", "bytes=1-")])
        .await
        .assert_status(206)
        .assert_text("ar");
    get_and_head(&server, "/static/foo.42.txt", &[("X-Have-It", "1")]).await.assert_status(304);
    server.get("/static/none.42.txt").await.assert_status(404);
    server.get("/static/none").await.assert_status(404);
    server.get("/static_url/foo.txt").await.assert_text("/static/foo.42.txt");
}

#[squall::test]
async fn embedded() {
    let files = Embedded::new(&[("robots.txt", ROBOTS), ("a/b.css", b"css")]);
    let app = Application::new([get("/url", async |ctx: &Context| {
        ctx.write(ctx.static_url("robots.txt")?);
        Ok(())
    })]);
    let server = testing::serve(app.static_handler(StaticFileHandler::with(files)));
    let tag = format!("\"{ROBOTS_HASH}\"");
    for path in ["/robots.txt", "/static/robots.txt"] {
        let response = get_and_head(&server, path, &[]).await;
        response.assert_status(200).assert_header("Etag", &tag).assert_header("Content-Type", "text/plain");
        assert_eq!(response.bytes(), ROBOTS);
    }
    get_and_head(&server, "/static/robots.txt", &[("If-None-Match", &tag)]).await.assert_status(304);
    server.get("/static/a/b.css").await.assert_text("css").assert_header("Content-Type", "text/css");
    for path in ["/favicon.ico", "/static/a", "/static/", "/static/a/../robots.txt"] {
        server.get(path).await.assert_status(404);
    }
    server.get("/url").await.assert_text(&format!("/static/robots.txt?v={ROBOTS_HASH}"));
}

/// A disk on which each read waits until the test lets it go.
#[derive(Clone, Default)]
struct SlowDisk {
    waiting: Rc<RefCell<Vec<oneshot::Sender<()>>>>,
}

impl StaticContent for SlowDisk {
    fn read(&mut self, range: Range<u64>) -> Pin<Box<dyn Future<Output = io::Result<Bytes>> + '_>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        Box::pin(async move {
            receiver.await.unwrap();
            Ok((range.start..range.end.min(range.start + 1000)).map(|at| at as u8).collect::<Vec<_>>().into())
        })
    }
}

impl StaticFiles for SlowDisk {
    async fn open(&self, _ctx: &Context, _path: &str) -> Result<StaticFile> {
        Ok(StaticFile::from_content(self.clone(), 3500))
    }

    fn version(&self, _path: &str) -> Result<Version> {
        Ok(None)
    }
}

#[squall::test]
async fn a_slow_disk_stalls_only_who_waits_for_it() {
    let disk = SlowDisk::default();
    let files = Files::new();
    let server = testing::serve(Application::new([
        url(r"/slow/(.*)", StaticFileHandler::with(disk.clone())),
        url(r"/fast/(.*)", StaticFileHandler::new(files.root())),
    ]));
    let slow = tokio::task::spawn_local({
        let request = server.get("/slow/x").header("Range", "bytes=100-");
        async move { request.await }
    });
    // Four pieces of a thousand bytes at the most; while each of them is waited for, others are served.
    for _ in 0..4 {
        while disk.waiting.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        server.get("/fast/dir/index.html").await.assert_text("this is the index\n");
        assert!(!slow.is_finished());
        let next = disk.waiting.borrow_mut().pop().unwrap();
        next.send(()).unwrap();
    }
    let response = slow.await.unwrap();
    response.assert_status(206).assert_header("Content-Length", "3400");
    let expected: Vec<u8> = (100..3500_u64).map(|at| at as u8).collect();
    assert_eq!(response.bytes(), expected);
}
