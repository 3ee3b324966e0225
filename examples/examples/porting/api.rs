//! The JSON API, whose errors are JSON too.

use serde::Deserialize;
use serde_json::json;
use squall::{Context, Error, HttpError, OrStatus, RequestHandler, Result, handler};

use crate::board::{Board, Notes as All};

#[derive(Deserialize)]
struct Text {
    text: String,
}

fn write_error(ctx: &Context) -> Result {
    ctx.write_json(&json!({"error": ctx.reason()}))
}

/// As `Api.prepare` in app.py: no redirect to a login page.
async fn user(ctx: &Context) -> Result<String> {
    let user = ctx.user::<String>().await?.ok_or_else(|| HttpError::new(403))?;
    Ok(user.as_str().to_owned())
}

#[derive(Clone)]
pub(crate) struct Notes;

#[handler]
impl RequestHandler for Notes {
    async fn get(&mut self, ctx: &Context) -> Result {
        user(ctx).await?;
        ctx.write_json(&json!({"notes": ctx.setting::<Board>()?.load()?.notes}))
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let user = user(ctx).await?;
        let text = ctx.json::<Text>()?.text;
        let note = ctx.setting::<Board>()?.add(&text, &user)?;
        ctx.set_status(201);
        ctx.set_header("Location", ctx.reverse_url("note", &[&note.id])?)?;
        ctx.write_json(&note)
    }

    async fn write_error(&mut self, ctx: &Context, _error: &Error) -> Result {
        write_error(ctx)
    }
}

#[derive(Clone)]
pub(crate) struct Note;

fn find(all: &All, id: u64) -> Result<usize> {
    all.notes.iter().position(|note| note.id == id).or_status(404)
}

#[handler]
impl RequestHandler for Note {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        user(ctx).await?;
        Ok(())
    }

    async fn get(&mut self, ctx: &Context, id: u64) -> Result {
        let all = ctx.setting::<Board>()?.load()?;
        ctx.write_json(&all.notes[find(&all, id)?])
    }

    async fn put(&mut self, ctx: &Context, id: u64) -> Result {
        let board = ctx.setting::<Board>()?;
        let mut all = board.load()?;
        let at = find(&all, id)?;
        all.notes[at].text = ctx.json::<Text>()?.text;
        board.save(&all)?;
        ctx.write_json(&all.notes[at])
    }

    async fn delete(&mut self, ctx: &Context, id: u64) -> Result {
        let board = ctx.setting::<Board>()?;
        let mut all = board.load()?;
        let at = find(&all, id)?;
        all.notes.remove(at);
        board.save(&all)?;
        ctx.set_status(204);
        Ok(())
    }

    async fn write_error(&mut self, ctx: &Context, _error: &Error) -> Result {
        write_error(ctx)
    }
}
