//! The JSON API: `/api/notes` and `/api/notes/{id}`.

use serde::Deserialize;
use squall::web::UrlSpec;
use squall::{Context, Error, HttpError, OrStatus, RequestHandler, Result, Site, handler, url};

use crate::notes::Notes;

pub fn routes(notes: &Notes) -> Vec<UrlSpec> {
    vec![
        url("/notes", List { notes: notes.clone() }).name("api-notes"),
        url("/notes/{id}", One { notes: notes.clone() }).name("api-note"),
    ]
}

/// What is different here from the pages.
pub struct Api;

impl Site for Api {
    type User = String;

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        let message = error.message().unwrap_or(error.reason());
        ctx.write_json(&serde_json::json!({ "error": message }))
    }

    /// Nothing here goes by a cookie, which other sites could have a browser send. As soon as something does, or the API
    /// is asked by pages of this site, remove this function: requests then need the token.
    fn check_xsrf(&self, ctx: &Context) -> Result {
        // A form of another site cannot send this type without asking first.
        let sent = ctx.request().headers().get("Content-Type").unwrap_or_default();
        let is_json =
            sent.split(';').next().is_some_and(|sent| sent.trim().eq_ignore_ascii_case("application/json"));
        if is_json || ctx.method() == "DELETE" { Ok(()) } else { Err(HttpError::new(415).into()) }
    }
}

#[derive(Clone)]
struct List {
    notes: Notes,
}

#[derive(Deserialize)]
struct NewNote {
    name: String,
    text: String,
}

#[handler]
impl RequestHandler for List {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write_json(&self.notes.latest().await?)
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let new: NewNote = ctx.json()?; // 400 with the reason when it is none
        if !Notes::accepts(&new.name, &new.text) {
            return Err(HttpError::new(422).message("a name and a text, neither too long").into());
        }
        let note = self.notes.add(&new.name, &new.text).await?;
        ctx.set_status(201);
        ctx.set_header("Location", ctx.reverse_url("api-note", &[&note.id])?)?;
        ctx.write_json(&note)
    }
}

#[derive(Clone)]
struct One {
    notes: Notes,
}

#[handler]
impl RequestHandler for One {
    async fn get(&mut self, ctx: &Context, id: i64) -> Result {
        let note = self.notes.find(id).await?.or_404()?;
        ctx.write_json(&note)
    }

    async fn delete(&mut self, ctx: &Context, id: i64) -> Result {
        self.notes.remove(id).await?.then_some(()).or_404()?;
        ctx.set_status(204);
        Ok(())
    }
}
