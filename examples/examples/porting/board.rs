//! The notes: a file that both processes read for each request and replace as a whole.
//!
//! It is small and in the page cache, so it is read without leaving the loop, as `app.py` does.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) by: String,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    last: u64,
    pub(crate) notes: Vec<Note>,
}

pub(crate) struct Board(PathBuf);

impl Board {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn load(&self) -> Result<Notes> {
        match std::fs::read(&self.0) {
            Ok(json) => {
                serde_json::from_slice(&json).map_err(|error| Error::new(ErrorKind::InvalidData, error))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Notes::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn save(&self, notes: &Notes) -> Result<()> {
        let new = self.0.with_extension("json.new");
        std::fs::write(&new, serde_json::to_vec(notes)?)?;
        std::fs::rename(new, &self.0)
    }

    pub(crate) fn add(&self, text: &str, by: &str) -> Result<Note> {
        let mut all = self.load()?;
        all.last += 1;
        let note = Note { id: all.last, text: text.to_owned(), by: by.to_owned() };
        all.notes.push(note.clone());
        self.save(&all)?;
        Ok(note)
    }
}
