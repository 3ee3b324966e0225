//! Takes files of any size without holding them in memory, as Tornado's demo of that name:
//! `cargo run --release --example file_receiver -- --port=8888`, then
//!
//! ```text
//! curl -F files=@a.jpg -F files=@b.iso localhost:8888/post     a form; its files go to disk while they come
//! curl -T a.jpg localhost:8888/                                one file as it is
//! ```
//!
//! Nothing is kept unless `--folder` says where; then under the last part of the name that the client gave it.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use squall::web::MultipartReader;
use squall::{
    Application, Bytes, Context, HttpServer, OrStatus, RequestHandler, Result, handler, options, url,
};

const MAX_UPLOAD: u64 = 10 << 30;

/// A multipart form with files.
#[derive(Clone)]
struct Post {
    form: MultipartReader,
    folder: Option<Rc<PathBuf>>,
}

#[handler(stream_body)]
impl RequestHandler for Post {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_body_timeout(Some(Duration::from_secs(3_600)));
        self.form.start(ctx)
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        self.form.data_received(ctx, chunk).await
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?; // names are not HTML
        for (_, file) in self.form.finish()?.into_files() {
            // Never the client's name as it is: it may lead anywhere, or be longer than a name can be.
            let name = file.safe_filename().or_status(400)?;
            if let Some(folder) = &self.folder {
                file.persist(folder.join(name)).await?;
            }
            ctx.write(format!("{name} {} {} bytes\n", file.content_type(), file.len()));
        }
        Ok(())
    }
}

/// The body itself, of any type.
#[derive(Clone, Default)]
struct Put {
    bytes: u64,
}

#[handler(stream_body)]
impl RequestHandler for Put {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_max_body_size(MAX_UPLOAD);
        Ok(())
    }

    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.bytes += chunk.len() as u64; // the next piece is read when this returns
        Ok(())
    }

    async fn put(&mut self, ctx: &Context, name: String) -> Result {
        ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?;
        let content_type = ctx.request().headers().get("Content-Type").unwrap_or("application/unknown");
        ctx.write(format!("{name} {content_type} {} bytes\n", self.bytes));
        Ok(())
    }
}

fn make_app(folder: Option<PathBuf>) -> Application {
    let mut form = MultipartReader::new().max_body_size(MAX_UPLOAD).accept(["files"]);
    if let Some(folder) = &folder {
        // On the same file system, files need not be copied.
        form = form.spool_dir(folder);
    }
    Application::new([url("/post", Post { form, folder: folder.map(Rc::new) }), url("/(.*)", Put::default())])
}

fn main() -> Result {
    let folder = options::define_opt::<PathBuf>("folder").help("where files are kept");
    options::parse_command_line()?;
    HttpServer::new(move || make_app(folder.get())).processes(1).run()
}
