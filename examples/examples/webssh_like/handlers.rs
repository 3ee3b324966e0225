//! The page, the form that starts a shell, and the WebSocket that carries what it reads and writes.

use std::net::IpAddr;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use squall::escape::xhtml_escape;
use squall::{Context, Error, HttpError, Message, Result, Site, WebSocket, WebSocketHandler};
use subtle::ConstantTimeEq;

use crate::worker::{Worker, Workers};

pub(crate) struct Base;

impl Site for Base {
    type User = ();

    fn set_default_headers(&self, ctx: &Context) -> Result {
        ctx.set_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")?;
        Ok(ctx.set_header("X-Content-Type-Options", "nosniff")?)
    }

    /// What has come from the form's script is answered in JSON.
    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        let reason = ctx.reason();
        if ctx.method() == "POST" && ctx.route_pattern() == Some("/") {
            return ctx.write_json(&Failure { status: &reason });
        }
        let (status, reason) = (error.status(), xhtml_escape(&reason));
        ctx.write(format!("<!DOCTYPE html><title>{status}</title><h1>{status} {reason}</h1>\n"));
        Ok(())
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    status: &'a str,
}

/// Its hash, so that a comparison says nothing of its length.
pub(crate) struct Password([u8; 32]);

impl Password {
    pub(crate) fn new(password: &str) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// Takes as long for a wrong one.
    fn is(&self, password: &str) -> bool {
        self.0.ct_eq(&Self::new(password).0).into()
    }
}

#[derive(Default, Serialize)]
struct Connected {
    id: Option<String>,
    status: Option<String>,
    encoding: Option<&'static str>,
}

pub(crate) async fn connect(ctx: &Context) -> Result {
    let address = ctx.request().remote_ip();
    let workers = ctx.setting::<Rc<Workers>>()?;
    if workers.are_too_many(address) {
        return Err(HttpError::new(403).reason("Too many live connections.").into());
    }
    let mut result = Connected::default();
    let (hostname, password) = (value(ctx, "hostname")?, value(ctx, "password")?);
    if hostname != "localhost" {
        result.status = Some(format!("Unable to connect to {hostname}"));
    } else if !ctx.setting::<Password>()?.is(password) {
        result.status = Some("Authentication failed.".to_owned());
    } else {
        let worker = workers.start(address)?;
        (result.id, result.encoding) = (Some(worker.id.clone()), Some("utf-8"));
    }
    ctx.write_json(&result)
}

fn value<'a>(ctx: &'a Context, name: &str) -> Result<&'a str> {
    match ctx.body_argument_or(name, "")? {
        "" => Err(HttpError::new(400).reason(format!("Missing value {name}")).into()),
        value => Ok(value),
    }
}

#[derive(Clone)]
pub(crate) struct Terminal {
    workers: Rc<Workers>,
    /// From where, and for which shell.
    asked: Option<(IpAddr, String)>,
    worker: Option<Rc<Worker>>,
}

/// What the page sends.
#[derive(Deserialize)]
struct Input {
    data: String,
}

impl Terminal {
    pub(crate) fn new(workers: Rc<Workers>) -> Self {
        Self { workers, asked: None, worker: None }
    }
}

impl WebSocketHandler for Terminal {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.asked = Some((ctx.request().remote_ip(), ctx.query_argument_or("id", "")?.to_owned()));
        Ok(())
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.worker = self.asked.take().and_then(|(address, id)| self.workers.take(address, &id));
        let Some(worker) = &self.worker else {
            ws.close(1000, "Websocket authentication failed.");
            return Ok(());
        };
        ws.set_nodelay(true)?;
        worker.attach(ws.clone());
        Ok(())
    }

    /// `{"data": "what was typed"}`; the next message is read when the shell has taken this one.
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        let Some(worker) = &self.worker else { return Ok(()) };
        if let Ok(input) = serde_json::from_slice::<Input>(message.as_bytes()) {
            // A shell that waits for a program of its own takes nothing; who leaves meanwhile ends both.
            tokio::select! {
                () = worker.write(input.data) => {}
                () = ws.closed() => {}
            }
        }
        Ok(())
    }

    async fn on_close(&mut self, _ws: &WebSocket) -> Result {
        if let Some(worker) = self.worker.take() {
            worker.close();
        }
        Ok(())
    }
}
