//! The notes, in memory: they are gone when the program ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde::Serialize;
use squall::Result;

/// So many are kept, and so long may they be.
const KEPT: usize = 1000;
const LONGEST_NAME: usize = 60;
const LONGEST_TEXT: usize = 1000;

#[derive(Debug, Clone, Serialize)]
pub struct Note {
    pub id: i64,
    pub name: String,
    pub text: String,
}

/// All that have it have the same notes. There are no threads, so there is no lock.
#[derive(Clone, Default)]
pub struct Notes(Rc<RefCell<Shared>>);

#[derive(Default)]
struct Shared {
    last_id: i64,
    notes: VecDeque<Note>,
}

// They wait for nothing, as those of a database would.
#[allow(dead_code, clippy::unused_async)]
impl Notes {
    pub fn accepts(name: &str, text: &str) -> bool {
        let fits = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most;
        fits(name, LONGEST_NAME) && fits(text, LONGEST_TEXT)
    }

    /// The newest first.
    pub async fn latest(&self) -> Result<Vec<Note>> {
        Ok(self.0.borrow().notes.iter().rev().take(100).cloned().collect())
    }

    pub async fn find(&self, id: i64) -> Result<Option<Note>> {
        Ok(self.0.borrow().notes.iter().find(|note| note.id == id).cloned())
    }

    pub async fn add(&self, name: &str, text: &str) -> Result<Note> {
        let mut shared = self.0.borrow_mut();
        shared.last_id += 1;
        let note = Note { id: shared.last_id, name: name.to_owned(), text: text.to_owned() };
        if shared.notes.len() == KEPT {
            shared.notes.pop_front();
        }
        shared.notes.push_back(note.clone());
        Ok(note)
    }

    /// Whether there was one.
    pub async fn remove(&self, id: i64) -> Result<bool> {
        let notes = &mut self.0.borrow_mut().notes;
        let before = notes.len();
        notes.retain(|note| note.id != id);
        Ok(notes.len() < before)
    }
}
