//! Files that the kernel sends: whole, at the borders of ranges, to slow readers, and cut short.

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;

use squall::iostream::FilePart;
use squall::web::StaticFileHandler;
use squall::{Application, Context, get, testing, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Files, get_and_head};
use crate::waiting::within;

const SIZE: usize = 10 * 1024 * 1024 + 17;

/// No two stretches of it are alike.
fn content(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut content = Vec::with_capacity(size + 8);
    while content.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        content.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    content.truncate(size);
    content
}

fn serve(files: &Files) -> testing::TestServer {
    testing::serve(Application::new([url(r"/files/(.*)", StaticFileHandler::new(files.root()))]))
}

#[squall::test(timeout = 60)]
async fn large_files_arrive_whole() {
    let files = Files::new();
    let content = content(SIZE);
    files.write("static/big", &content);
    let server = serve(&files);
    let response = get_and_head(&server, "/files/big", &[]).await;
    response.assert_status(200).assert_header("Content-Length", &SIZE.to_string());
    assert!(response.bytes() == content, "the bytes differ");
    // At once, over connections of their own.
    let downloads: Vec<_> = (0..8)
        .map(|_| {
            tokio::task::spawn_local({
                let request = server.get("/files/big");
                async move { request.await }
            })
        })
        .collect();
    for download in downloads {
        let response = within("download", download).await.unwrap();
        assert!(response.bytes() == content, "the bytes differ");
    }
}

#[squall::test(timeout = 60)]
async fn ranges_of_large_files() {
    let files = Files::new();
    let content = content(SIZE);
    files.write("static/big", &content);
    let server = serve(&files);
    let small = 32 * 1024;
    let stretch = 512 * 1024;
    for range in [
        0..1,
        0..small,
        0..small + 1,
        1..SIZE,
        SIZE - 1..SIZE,
        SIZE - small - 1..SIZE,
        stretch - 1..stretch + 1,
        stretch - 1..2 * stretch + 1,
        stretch..2 * stretch,
        4095..4097 + stretch,
        SIZE / 2..SIZE,
    ] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let response = get_and_head(&server, "/files/big", &[("Range", &header)]).await;
        response
            .assert_status(206)
            .assert_header("Content-Length", &range.len().to_string())
            .assert_header("Content-Range", &format!("bytes {}-{}/{SIZE}", range.start, range.end - 1));
        assert!(response.bytes() == &content[range], "{header}: the bytes differ");
    }
}

#[squall::test(timeout = 60)]
async fn files_around_the_border_of_small() {
    let files = Files::new();
    let server = serve(&files);
    for size in [1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 512 * 1024, 512 * 1024 + 1] {
        let content = content(size);
        files.write("static/file", &content);
        let response = get_and_head(&server, "/files/file", &[]).await;
        response.assert_status(200).assert_header("Content-Length", &size.to_string());
        assert!(response.bytes() == content, "{size}: the bytes differ");
    }
}

#[squall::test(timeout = 60)]
async fn answers_keep_their_order_behind_a_slow_reader() {
    let files = Files::new();
    let content = content(SIZE);
    files.write("static/big", &content);
    let server = serve(&files);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).await.unwrap();
    // Three requests in one packet: a large file, a small one, and the large one again.
    let request = |path: &str| format!("GET /files/{path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let all = [request("big"), request("robots.txt"), request("big")].concat();
    client.write_all(all.as_bytes()).await.unwrap();
    // Nothing is read yet: the server has a full socket, and serves others.
    for _ in 0..10 {
        server.get("/files/dir/index.html").await.assert_text("this is the index\n");
    }
    for expected in [&content[..], super::support::ROBOTS, &content[..]] {
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let mut body = vec![0; expected.len()];
        for piece in body.chunks_mut(100_000) {
            within("piece", client.read_exact(piece)).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(body == expected, "the bytes differ");
    }
}

async fn read_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("head", client.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[squall::test(timeout = 60)]
async fn a_file_that_shrinks_cuts_the_connection() {
    let files = Files::new();
    // Too large to be hashed, and nothing but a hole.
    let path = files.write("static/big", b"");
    let set_length = |length| File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
    set_length(100 << 20);
    let server = serve(&files);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).await.unwrap();
    // Two requests: the answer to the second must not be taken for the rest of the first.
    let request = "GET /files/big HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    client.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.contains("\r\nContent-Length: 104857600\r\n"), "{head}");
    assert!(!head.contains("Etag"), "{head}");
    set_length(1024);
    let mut got = Vec::new();
    // The end, orderly or not, comes before the promised length.
    let _ = within("end", client.read_to_end(&mut got)).await;
    assert!(got.len() < 104_857_600, "{}", got.len());
    assert!(!got.windows(9).any(|window| window == b"HTTP/1.1 "), "an answer follows");
    server.get("/files/dir/index.html").await.assert_text("this is the index\n");
}

#[squall::test(timeout = 60)]
async fn handlers_send_files_of_their_own() {
    let files = Files::new();
    let content = Arc::new(content(SIZE));
    let file = Arc::new(File::open(files.write("static/big", &content)).unwrap());
    let part = FilePart::new(file, 100..SIZE as u64);
    let with_length = part.len();
    let chunked = {
        let part = part.clone();
        get("/chunked", async move |ctx: &Context| {
            ctx.write("before ");
            ctx.write_file(part.clone()).await?;
            ctx.write(" between ");
            ctx.write_file(part.clone().split_front(5)).await?;
            ctx.write_file(part.clone().split_front(0)).await?;
            ctx.flush().await?;
            ctx.write(" after");
            Ok(())
        })
    };
    let too_long = {
        let part = part.clone();
        get("/too_long", async move |ctx: &Context| {
            ctx.set_header("Content-Length", 5)?;
            ctx.write_file(part.clone()).await
        })
    };
    let length = get("/length", async move |ctx: &Context| {
        ctx.set_header("Content-Length", with_length)?;
        ctx.write_file(part.clone()).await
    });
    let server = testing::serve(Application::new([chunked, length, too_long]));
    let expected = [b"before ", &content[100..], b" between ", &content[100..105], b" after"].concat();
    let response = server.get("/chunked").await;
    response.assert_header("Transfer-Encoding", "chunked");
    assert!(response.bytes() == expected, "the bytes differ");
    let response = server.get("/length").await;
    response.assert_header("Content-Length", &(SIZE - 100).to_string());
    assert!(response.bytes() == &content[100..], "the bytes differ");
    server
        .head("/length")
        .await
        .assert_status(200)
        .assert_header("Content-Length", &(SIZE - 100).to_string());
    let answer = server.raw("GET /too_long HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!answer.ends_with(&content[100..105]), "a body that is longer than its length was begun");
}
