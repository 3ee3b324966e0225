//! Sends files of any size without holding them in memory, as Tornado's demo of that name; `file_receiver` takes them.
//!
//! ```text
//! cargo run --release --example file_uploader -- a.jpg b.iso           one form with both, to /post
//! cargo run --release --example file_uploader -- --put a.jpg b.iso     each as it is, to /a.jpg and /b.iso
//! ```
//!
//! `--url` says where: http://localhost:8888 if not given.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use squall::escape::url_escape_path;
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpRequest};
use squall::options;
use squall_examples::fail;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// How much of a file is in memory at a time.
const PIECE: usize = 64 * 1024;

/// An hour for files that take long.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// Sends one file in pieces; the next is read when the kernel has taken the last.
async fn send_file(path: &Path, writer: &BodyWriter) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(path).await?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        writer.write(&piece[..count]).await?;
    }
}

/// All files in one multipart form. Its length is not reckoned beforehand: it goes out in chunks.
fn form(url: &str, files: Vec<PathBuf>) -> HttpRequest {
    // Not to be found in any file, or rather one time in 2^64.
    let boundary = format!("squall-{}", squall_examples::unique());
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let producer = async move |writer: BodyWriter| {
        for path in &files {
            // As browsers write names: a quote or a line end would end the name.
            let name = name(path).replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            writer.write(head).await?;
            send_file(path, &writer).await?;
            writer.write("\r\n").await?;
        }
        writer.write(format!("--{boundary}--\r\n")).await?;
        Ok::<(), Box<dyn Error>>(())
    };
    HttpRequest::post(format!("{url}/post")).header("Content-Type", content_type).body_producer(producer)
}

/// One file as it is, its length announced.
fn raw(url: &str, path: PathBuf) -> std::io::Result<HttpRequest> {
    let length = path.metadata()?.len();
    let url = format!("{url}/{}", url_escape_path(&*name(&path)));
    let producer = async move |writer: BodyWriter| send_file(&path, &writer).await;
    let request = HttpRequest::put(url).header("Content-Type", "application/octet-stream");
    Ok(request.header("Content-Length", length).body_producer(producer))
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[squall::main]
async fn main() -> squall::Result {
    let url = options::define("url", "http://localhost:8888".to_owned()).help("where to");
    let put = options::define("put", false).help("each as it is, instead of one form with all");
    let files: Vec<PathBuf> = options::parse_command_line()?.into_iter().map(PathBuf::from).collect();
    if files.is_empty() {
        fail("usage: file_uploader [--put] [--url URL] FILE...");
    }
    let url = url.get();
    let url = url.trim_end_matches('/');
    let requests = if put.get() {
        files
            .into_iter()
            .map(|path| raw(url, path.clone()).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display()))))
            .collect()
    } else {
        vec![form(url, files)]
    };
    let client = AsyncHttpClient::new();
    for request in requests {
        let response = client.fetch(request.request_timeout(TIMEOUT)).await?;
        print!("{}", response.text());
    }
    Ok(())
}
