//! What is more than a page: a download that is sent as it is made, an upload, events, a WebSocket.

use std::time::Duration;

use squall::web::Event;
use squall::{Context, HttpError, Message, Result, WebSocket, WebSocketHandler};

use crate::board::Board;

pub(crate) async fn export(ctx: &Context) -> Result {
    ctx.require_user::<String>().await?;
    ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?;
    ctx.set_header("Content-Disposition", "attachment; filename=\"notes.txt\"")?;
    for note in ctx.setting::<Board>()?.load()?.notes {
        ctx.write(format!("{} {}: {}\n", note.id, note.by, note.text));
        ctx.flush().await?;
    }
    Ok(())
}

pub(crate) async fn upload(ctx: &Context) -> Result {
    ctx.require_user::<String>().await?;
    ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?;
    for file in ctx.files("file") {
        ctx.write(format!("{} {} {}\n", file.filename, file.content_type, file.body.len()));
    }
    let comment = ctx.body_arguments("comment")?;
    ctx.write(format!("comment: {}\n", comment.last().unwrap_or(&"")));
    Ok(())
}

pub(crate) async fn events(ctx: &Context) -> Result {
    ctx.require_user::<String>().await?;
    let events = ctx.event_stream()?;
    for number in 0..3 {
        let notes = ctx.setting::<Board>()?.load()?.notes.len();
        events.send(&Event::new().id(number.to_string()).data(notes.to_string())).await?;
        if events.while_open(tokio::time::sleep(Duration::from_millis(50))).await.is_none() {
            break;
        }
    }
    Ok(())
}

/// Greets the user and says everything back, in capitals.
#[derive(Clone, Default)]
pub(crate) struct Talk {
    user: String,
}

impl WebSocketHandler for Talk {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        let user = ctx.user::<String>().await?.ok_or_else(|| HttpError::new(403))?;
        self.user = user.as_str().to_owned();
        Ok(())
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        ws.write_message(format!("Hello, {}", self.user)).await
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        match message {
            Message::Text(text) if text == "bye" => ws.close(4000, "see you"),
            Message::Text(text) => ws.write_message(text.to_uppercase()).await?,
            Message::Binary(bytes) => ws.write_message(bytes.to_ascii_uppercase()).await?,
        }
        Ok(())
    }
}
