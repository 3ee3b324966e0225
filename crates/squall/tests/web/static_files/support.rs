//! A folder of files to serve.

use std::fs;
use std::path::{Path, PathBuf};

use squall::testing::{TestResponse, TestServer};
use tempfile::TempDir;

/// Tornado's `robots.txt`, of 26 bytes, and its hash.
pub(crate) const ROBOTS: &[u8] = b"User-agent: *\nDisallow: /\n";
pub(crate) const ROBOTS_HASH: &str = "63a36e950e134b5217e33c763e88840c10a07d80e6057d92b9ac97508de7fb1f\
                                      a6f0e9b7531e169657165ea764e8963399cb6d921ffe6078425aaafe54c04563";

pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    /// A root `static` with Tornado's test files, and things outside of it.
    pub(crate) fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("static/robots.txt", ROBOTS);
        files.write("static/favicon.ico", b"icon");
        files.write("static/sample.xml", b"<?xml version=\"1.0\"?>");
        files.write("static/sample.xml.gz", b"gz");
        files.write("static/sample.xml.bz2", b"bz2");
        files.write("static/dir/index.html", b"this is the index\n");
        files.write("static/empty/x", b"");
        files.write("static/sp ace.txt", b"space");
        files.write("static/\u{e4}.txt", b"umlaut");
        files.write("static_foo.txt", b"sibling");
        files.write("outside/secret.txt", b"secret");
        files
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.at("static")
    }

    pub(crate) fn link(&self, target: impl AsRef<Path>, name: &str) {
        std::os::unix::fs::symlink(target, self.at(name)).unwrap();
    }
}

/// As Tornado's tests do: `GET` and `HEAD`, whose `Content-*` headers have to be the same.
pub(crate) async fn get_and_head(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let ask = |method: &'static str| {
        headers
            .iter()
            .fold(server.request(method, path), |request, (name, value)| request.add_header(name, value))
    };
    let (head, get) = (ask("HEAD").await, ask("GET").await);
    assert_eq!(head.status(), get.status(), "{path} {headers:?}");
    assert_eq!(head.bytes(), b"", "{path} {headers:?}");
    for name in
        ["Content-Length", "Content-Type", "Content-Range", "Content-Encoding", "Etag", "Last-Modified"]
    {
        // The body of an error page is not made for HEAD in another way, so this holds for those too.
        assert_eq!(head.header(name), get.header(name), "{name} of {path} {headers:?}");
    }
    get
}
