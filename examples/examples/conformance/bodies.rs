//! Request bodies: forms, files, raw bytes, streams.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use squall::web::UrlSpec;
use squall::{Bytes, Context, RequestHandler, Result, handler, post, url};

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![post("/upload", upload), url("/echo", Echo), url("/stream", Stream::default())]
}

/// Describes the files and fields of a form.
async fn upload(ctx: &Context) -> Result {
    let mut answer: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, file) in ctx.request().files()?.iter() {
        let files = answer.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(files) = files {
            files.push(json!({
                "filename": file.filename,
                "type": file.content_type,
                "size": file.body.len(),
                "sha": hex(&Sha256::digest(&file.body)),
            }));
        }
    }
    let mut fields: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in ctx.request().body_arguments()?.iter() {
        fields.entry(name).or_default().push(String::from_utf8_lossy(value).into_owned());
    }
    answer.insert("args", json!(fields));
    ctx.write_json(&answer)
}

#[derive(Clone)]
struct Echo;

impl Echo {
    fn echo(ctx: &Context) -> Result {
        ctx.set_header("Content-Type", "application/octet-stream")?;
        ctx.write(ctx.request().body());
        Ok(())
    }
}

#[handler]
impl RequestHandler for Echo {
    async fn post(&mut self, ctx: &Context) -> Result {
        Self::echo(ctx)
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        Self::echo(ctx)
    }

    async fn patch(&mut self, ctx: &Context) -> Result {
        Self::echo(ctx)
    }

    async fn delete(&mut self, ctx: &Context) -> Result {
        Self::echo(ctx)
    }
}

/// Hashes a body that is never in memory as a whole.
#[derive(Clone, Default)]
struct Stream {
    sha: Sha256,
    bytes: usize,
}

#[handler(stream_body)]
impl RequestHandler for Stream {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.sha.update(&chunk);
        self.bytes += chunk.len();
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        let sha = std::mem::take(&mut self.sha).finalize();
        ctx.write_json(&json!({"bytes": self.bytes, "sha": hex(&sha)}))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
