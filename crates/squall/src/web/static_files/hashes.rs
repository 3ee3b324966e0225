//! Hashes of files, each made once for each state of the file.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest, Sha512};
use tokio::sync::OnceCell;

use super::open::{RACY, Stamp};
use crate::httputil::date;
use crate::ioloop::IoLoop;
use crate::iostream::FilePart;

/// Files up to this size are hashed (Tornado's `MAX_VERSION_CONTENT_SIZE`); larger ones have no version.
const MAX_HASHED: u64 = 64 * 1024 * 1024;
/// Entries; the longest unused ones go first (Tornado's `MAX_CACHED_VERSIONS`).
const MAX_ENTRIES: usize = 10_000;
/// Files up to this size are hashed on the loop, if they are in the page cache: that takes some 40 µs.
const SMALL: u64 = 32 * 1024;

/// The hash as an entity tag: quoted, in hexadecimal. `None` for a file that has none.
pub(super) type Tag = Option<Rc<str>>;

/// Tornado's `_static_hashes`, and what it lacks: a file that changes gets a new hash.
#[derive(Default)]
pub(super) struct HashCache {
    entries: RefCell<HashMap<Box<str>, Entry>>,
    clock: Cell<u64>,
}

struct Entry {
    stamp: Stamp,
    /// To be made anew from this second on, since the file had just changed.
    until: Option<i64>,
    /// Whoever comes while it is being made waits for it, rather than making it again.
    tag: Rc<OnceCell<Tag>>,
    used: u64,
}

impl HashCache {
    /// The tag of an open file.
    pub(super) async fn tag(&self, path: &str, file: &Arc<std::fs::File>, stamp: Stamp) -> io::Result<Tag> {
        if stamp.size > MAX_HASHED {
            return Ok(None);
        }
        let cell = self.entry(path, stamp);
        if let Some(tag) = cell.get() {
            return Ok(tag.clone());
        }
        cell.get_or_try_init(|| hash(file, stamp.size)).await.cloned()
    }

    /// As [`tag`](Self::tag), reading the file right here.
    pub(super) fn tag_blocking(&self, path: &str, file: &std::fs::File, stamp: Stamp) -> io::Result<Tag> {
        if stamp.size > MAX_HASHED {
            return Ok(None);
        }
        let cell = self.entry(path, stamp);
        if let Some(tag) = cell.get() {
            return Ok(tag.clone());
        }
        let tag = Some(hash_blocking(file, stamp.size)?);
        // Somebody may be about to set the same.
        let _ = cell.set(tag.clone());
        Ok(tag)
    }

    /// Forgets all hashes.
    pub(super) fn clear(&self) {
        self.entries.borrow_mut().clear();
    }

    fn entry(&self, path: &str, stamp: Stamp) -> Rc<OnceCell<Tag>> {
        let tick = self.clock.get() + 1;
        self.clock.set(tick);
        let mut entries = self.entries.borrow_mut();
        let now = || i64::try_from(date::unix_seconds()).unwrap_or(i64::MAX);
        if let Some(entry) = entries.get_mut(path)
            && entry.stamp == stamp
            && entry.until.is_none_or(|until| now() < until)
        {
            entry.used = tick;
            return Rc::clone(&entry.tag);
        }
        if entries.len() >= MAX_ENTRIES {
            drop_oldest(&mut entries);
        }
        let settled = stamp.modified.saturating_add(RACY);
        let until = if now() < settled { Some(settled) } else { None };
        let entry = Entry { stamp, until, tag: Rc::default(), used: tick };
        let tag = Rc::clone(&entry.tag);
        entries.insert(path.into(), entry);
        tag
    }
}

/// A tenth at a time, so that a full cache does not look through all entries for each new one.
fn drop_oldest(entries: &mut HashMap<Box<str>, Entry>) {
    let mut used: Vec<u64> = entries.values().map(|entry| entry.used).collect();
    let (_, &mut limit, _) = used.select_nth_unstable(MAX_ENTRIES / 10);
    entries.retain(|_, entry| entry.used > limit);
}

async fn hash(file: &Arc<std::fs::File>, size: u64) -> io::Result<Tag> {
    if size <= SMALL {
        let part = FilePart::new(Arc::clone(file), 0..size);
        return Ok(Some(tag_of(&part.read().await?)));
    }
    let file = Arc::clone(file);
    let digest = IoLoop::current().run_in_executor(None, move || digest(&file, size)).await;
    Ok(Some(quoted(&digest.map_err(io::Error::other)??)))
}

fn hash_blocking(file: &std::fs::File, size: u64) -> io::Result<Rc<str>> {
    Ok(quoted(&digest(file, size)?))
}

/// The tag of a content in memory.
pub(super) fn tag_of(content: &[u8]) -> Rc<str> {
    quoted(&Sha512::digest(content).into())
}

/// The hexadecimal digits in a tag.
pub(super) fn version_of(tag: &str) -> &str {
    tag.trim_matches('"')
}

fn digest(file: &std::fs::File, size: u64) -> io::Result<[u8; 64]> {
    let mut hasher = Sha512::new();
    let mut block = vec![0; 64 * 1024];
    let mut at = 0;
    while at < size {
        let most = usize::try_from(size - at).map_or(block.len(), |left| left.min(block.len()));
        match file.read_at(&mut block[..most], at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                hasher.update(&block[..n]);
                at += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finalize().into())
}

fn quoted(digest: &[u8; 64]) -> Rc<str> {
    let mut text = String::with_capacity(130);
    text.push('"');
    for byte in digest {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text.push('"');
    text.into()
}
