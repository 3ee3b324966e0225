//! Nothing outside of the root is served, by whatever path or link.

use std::fs;
use std::time::Duration;

use squall::web::StaticFileHandler;
use squall::{Application, testing, url};

use super::support::Files;

#[squall::test]
async fn paths_that_lead_out() {
    let files = Files::new();
    // Something to find for those who ignore what looks odd to them.
    files.write("static/dir/%2e%2e/x", b"");
    let handler = StaticFileHandler::new(files.root()).default_filename("index.html");
    let app = Application::new([url(r"/f/(.*)", handler)]).static_path(files.root());
    let server = testing::serve(app);
    let absolute = files.at("outside/secret.txt");
    let absolute = absolute.to_str().unwrap();
    let corpus = [
        "../static_foo.txt",
        "../outside/secret.txt",
        "%2e%2e/static_foo.txt",
        "%2E%2E/static_foo.txt",
        "..%2fstatic_foo.txt",
        "%2e%2e%2fstatic_foo.txt",
        ".%2e/static_foo.txt",
        "%252e%252e/static_foo.txt",
        "..%252fstatic_foo.txt",
        "dir/../../static_foo.txt",
        "dir/%2e%2e/%2e%2e/static_foo.txt",
        "dir/..//../static_foo.txt",
        "./../static_foo.txt",
        "nothere/../../static_foo.txt",
        "..\\static_foo.txt",
        "..%5cstatic_foo.txt",
        "..%5c..%5coutside%5csecret.txt",
        "..;/static_foo.txt",
        "..%00/static_foo.txt",
        "robots.txt%00",
        "robots.txt%00.html",
        "%00",
        "..%c0%afstatic_foo.txt",
        "%c0%ae%c0%ae/static_foo.txt",
        "%u002e%u002e/static_foo.txt",
        "..%ef%bc%8fstatic_foo.txt",
        "../static/../static_foo.txt",
        "../static_foo.txt?v=1",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "/../static_foo.txt",
        "..",
        "../",
        "dir/../..",
        "~root/.profile",
        "file:///etc/passwd",
        "/proc/self/environ",
        "../../../../../../../../../../../../proc/self/environ",
        absolute,
    ];
    for prefix in ["/static/", "/f/"] {
        for path in corpus {
            let path = format!("{prefix}{path}");
            let answer = server.raw(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")).await;
            let status = String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse::<u16>().unwrap();
            assert!(matches!(status, 400 | 403 | 404), "{path}: {status}");
            for leak in ["sibling", "secret", "root:", "PATH="] {
                assert!(!String::from_utf8_lossy(&answer).contains(leak), "{path}");
            }
        }
    }
    // The plain forms are what Tornado calls them.
    for path in ["../static_foo.txt", "%2e%2e/static_foo.txt", "/etc/passwd", absolute] {
        server.get(&format!("/static/{path}")).await.assert_status(403);
    }
}

#[squall::test]
async fn links_stay_inside() {
    let files = Files::new();
    files.write("static/inside.txt", b"inside");
    files.write("static/index.html", b"root index");
    files.write("outside2/other.txt", b"other");
    files.write("elsewhere.txt", b"elsewhere");
    fs::create_dir(files.at("outside/realdir")).unwrap();
    fs::create_dir(files.at("static/dir2")).unwrap();
    for (target, name) in [
        (files.at("outside/secret.txt"), "static/link.txt"),
        (files.at("outside"), "static/linkdir"),
        (files.at("outside/realdir"), "static/link_exists"),
        (files.at("outside/nope"), "static/link_missing"),
        (files.at("static/inside.txt"), "static/internal.txt"),
        (files.at("outside2/other.txt"), "static/link2.txt"),
        (files.at("elsewhere.txt"), "static/link_elsewhere.txt"),
        (files.at("outside/secret.txt"), "static/dir2/index.html"),
        ("../outside/secret.txt".into(), "static/relative.txt"),
        ("../../static/inside.txt".into(), "static/dir/out_and_in.txt"),
        ("../inside.txt".into(), "static/dir/relative_inside.txt"),
        ("dir".into(), "static/dirlink"),
        ("loop".into(), "static/loop"),
        ("/proc/self/environ".into(), "static/environ"),
        ("/proc/self/fd/0".into(), "static/stdin"),
    ] {
        files.link(target, name);
    }
    let root = files.root();
    let everything = [root.clone(), files.at("outside"), files.at("outside2")];
    let server = testing::serve(Application::new([
        url(r"/default/(.*)", StaticFileHandler::new(&root)),
        url(r"/permissive/(.*)", StaticFileHandler::new(&root).allowed_symlink_directory([files.at("")])),
        url(r"/list/(.*)", StaticFileHandler::new(&root).allowed_symlink_directory(everything)),
        url(r"/follow/(.*)", StaticFileHandler::new(&root).follow_symlinks(true)),
        url(r"/index/(.*)", StaticFileHandler::new(&root).default_filename("index.html")),
    ]));
    for (path, status, body) in [
        ("/default/inside.txt", 200, "inside"),
        ("/default/internal.txt", 200, "inside"),
        ("/default/dir/relative_inside.txt", 200, "inside"),
        ("/default/dir/out_and_in.txt", 200, "inside"),
        ("/default/dirlink/index.html", 200, "this is the index\n"),
        ("/default/link.txt", 403, ""),
        ("/default/relative.txt", 403, ""),
        ("/default/linkdir/secret.txt", 403, ""),
        ("/default/linkdir/nothere.txt", 403, ""),
        ("/default/environ", 403, ""),
        ("/default/stdin", 403, ""),
        ("/index/", 200, "root index"),
        ("/index/dir2/", 403, ""),
        ("/index/link_exists", 403, ""),
        ("/index/link_missing", 403, ""),
        ("/permissive/link.txt", 200, "secret"),
        ("/permissive/linkdir/secret.txt", 200, "secret"),
        ("/permissive/inside.txt", 200, "inside"),
        ("/permissive/nothere.txt", 404, ""),
        ("/permissive/../static_foo.txt", 403, ""),
        ("/list/inside.txt", 200, "inside"),
        ("/list/link.txt", 200, "secret"),
        ("/list/link2.txt", 200, "other"),
        ("/list/link_elsewhere.txt", 403, ""),
        ("/follow/link.txt", 200, "secret"),
        ("/follow/relative.txt", 200, "secret"),
        ("/follow/../static_foo.txt", 403, ""),
    ] {
        let response = server.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        if status == 200 {
            assert_eq!(response.text(), body, "{path}");
        } else {
            assert!(!response.text().contains("secret"), "{path}");
        }
    }
    // A loop leads nowhere; it must not hang or be anything but an error of the client's.
    let status = server.get("/default/loop").await.status();
    assert!(matches!(status, 403 | 404), "{status}");
}

#[squall::test]
async fn special_files() {
    let files = Files::new();
    let pipe = files.at("static/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(files.at("static/socket")).unwrap();
    files.link("/dev/zero", "static/zero");
    let server = testing::serve(Application::new([
        url(r"/files/(.*)", StaticFileHandler::new(files.root())),
        url(r"/follow/(.*)", StaticFileHandler::new(files.root()).follow_symlinks(true)),
    ]));
    for path in ["/files/pipe", "/files/socket", "/files/zero", "/follow/pipe", "/follow/zero"] {
        let answer = tokio::time::timeout(Duration::from_secs(5), server.get(path)).await;
        assert_eq!(answer.expect("a pipe is not waited for").status(), 403, "{path}");
    }
}

#[squall::test]
async fn a_root_that_is_replaced_is_noticed() {
    let files = Files::new();
    files.write("one/x", b"one");
    files.write("two/x", b"two");
    files.link(files.at("one"), "current");
    let server =
        testing::serve(Application::new([url(r"/files/(.*)", StaticFileHandler::new(files.at("current")))]));
    server.get("/files/x").await.assert_text("one");
    files.link(files.at("two"), "next");
    fs::rename(files.at("next"), files.at("current")).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while server.get("/files/x").await.text() != "two" {
        assert!(tokio::time::Instant::now() < deadline, "the old release is still served");
        tokio::task::yield_now().await;
    }
}

#[squall::test]
async fn the_root_of_all() {
    let files = Files::new();
    let server = testing::serve(Application::new([url(r"/root/(.*)", StaticFileHandler::new("/"))]));
    let path = files.at("static/robots.txt");
    server
        .get(&format!("/root{}", path.display()))
        .await
        .assert_status(200)
        .assert_text_contains("Disallow: /");
}
