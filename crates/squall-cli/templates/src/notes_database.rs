//! The notes, in SQLite.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use squall::{IoLoop, Result};

const LONGEST_NAME: usize = 60;
const LONGEST_TEXT: usize = 1000;

#[derive(Debug, Clone, Serialize)]
pub struct Note {
    pub id: i64,
    pub name: String,
    pub text: String,
}

impl Note {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, name: row.get(1)?, text: row.get(2)? })
    }
}

/// All that have it use the same connection. Queries run on a thread, so that the loop need not wait for the disk.
#[derive(Clone)]
pub struct Notes(Arc<Mutex<Connection>>);

#[allow(dead_code)]
impl Notes {
    /// Opens the file, or makes it; None is a database in memory.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let connection = match path {
            None => Connection::open_in_memory()?,
            Some(path) => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                Connection::open(path)?
            }
        };
        // Several processes read and write.
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, text TEXT NOT NULL)",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub fn accepts(name: &str, text: &str) -> bool {
        let fits = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most;
        fits(name, LONGEST_NAME) && fits(text, LONGEST_TEXT)
    }

    /// Whether it answers.
    pub async fn check(&self) -> Result {
        self.with(|connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await
    }

    /// The newest first.
    pub async fn latest(&self) -> Result<Vec<Note>> {
        self.with(|connection| {
            let mut query =
                connection.prepare_cached("SELECT id, name, text FROM notes ORDER BY id DESC LIMIT 100")?;
            query.query_map([], Note::of)?.collect()
        })
        .await
    }

    pub async fn find(&self, id: i64) -> Result<Option<Note>> {
        self.with(move |connection| {
            let found =
                connection.query_row("SELECT id, name, text FROM notes WHERE id = ?1", [id], Note::of);
            found.optional()
        })
        .await
    }

    pub async fn add(&self, name: &str, text: &str) -> Result<Note> {
        let (name, text) = (name.to_owned(), text.to_owned());
        self.with(move |connection| {
            // Values are bound, never put into the text of a query.
            connection.execute("INSERT INTO notes (name, text) VALUES (?1, ?2)", params![name, text])?;
            Ok(Note { id: connection.last_insert_rowid(), name, text })
        })
        .await
    }

    /// Whether there was one.
    pub async fn remove(&self, id: i64) -> Result<bool> {
        self.with(move |connection| Ok(connection.execute("DELETE FROM notes WHERE id = ?1", [id])? > 0))
            .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.0);
        let done = IoLoop::current().run_in_executor(None, move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&connection)
        });
        Ok(done.await??)
    }
}
