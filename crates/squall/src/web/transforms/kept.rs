//! Compressed static files: each made once, by a thread of the executor, and kept while there is room.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::encoder::{Encoder, Levels};
use crate::ioloop::IoLoop;
use crate::web::negotiate::ContentCoding;

/// Compressed bytes that are kept at the most; the longest unused go first.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Entries at the most, however small.
const MOST_ENTRIES: usize = 4096;

/// What is to be compressed.
pub(in crate::web) enum Source {
    /// The first so many bytes of a file.
    File(Arc<File>, usize),
    Bytes(Bytes),
}

/// By entity tag, which has to be a hash of the content: the same content is the same entry, wherever it comes from.
#[derive(Default)]
pub(super) struct Kept {
    entries: RefCell<HashMap<(Rc<str>, ContentCoding), Entry>>,
    /// The sum of the lengths of what has been made.
    bytes: Cell<usize>,
    clock: Cell<u64>,
}

struct Entry {
    /// Whoever comes while it is being made waits for it, rather than making it again.
    content: Rc<OnceCell<Bytes>>,
    used: u64,
}

impl Kept {
    pub(super) async fn get(
        &self,
        tag: &Rc<str>,
        coding: ContentCoding,
        levels: Levels,
        source: Source,
    ) -> io::Result<Bytes> {
        let cell = self.entry(tag, coding);
        if let Some(content) = cell.get() {
            return Ok(content.clone());
        }
        let make = async {
            let made = IoLoop::current().run_in_executor(None, move || source.compress(coding, levels));
            let made: Bytes = made.await.map_err(io::Error::other)??.into();
            self.account(&cell, (tag, coding), made.len());
            Ok(made)
        };
        cell.get_or_try_init(|| make).await.cloned()
    }

    fn entry(&self, tag: &Rc<str>, coding: ContentCoding) -> Rc<OnceCell<Bytes>> {
        let used = self.clock.get() + 1;
        self.clock.set(used);
        let mut entries = self.entries.borrow_mut();
        let key = (Rc::clone(tag), coding);
        if entries.len() >= MOST_ENTRIES && !entries.contains_key(&key) {
            self.drop_oldest(&mut entries, MOST_ENTRIES * 3 / 4, usize::MAX);
        }
        let entry = entries.entry(key).or_insert_with(|| Entry { content: Rc::default(), used });
        entry.used = used;
        Rc::clone(&entry.content)
    }

    /// Counts what has been made, and makes room for it. An entry that went meanwhile is not counted.
    fn account(&self, cell: &Rc<OnceCell<Bytes>>, (tag, coding): (&Rc<str>, ContentCoding), made: usize) {
        let mut entries = self.entries.borrow_mut();
        let key = (Rc::clone(tag), coding);
        if !entries.get(&key).is_some_and(|entry| Rc::ptr_eq(&entry.content, cell)) {
            return;
        }
        if self.bytes.get() + made > MOST_BYTES {
            self.drop_oldest(&mut entries, usize::MAX, MOST_BYTES.saturating_sub(made) * 3 / 4);
        }
        // The one that is being made is the youngest; it is there unless it alone is too large.
        if entries.contains_key(&key) {
            self.bytes.set(self.bytes.get() + made);
        }
    }

    /// Keeps the youngest: so many, and so many bytes.
    fn drop_oldest(
        &self,
        entries: &mut HashMap<(Rc<str>, ContentCoding), Entry>,
        most: usize,
        most_bytes: usize,
    ) {
        let length = |entry: &Entry| entry.content.get().map_or(0, Bytes::len);
        let mut ages: Vec<_> = entries.values().map(|entry| (entry.used, length(entry))).collect();
        ages.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let (mut bytes, mut oldest) = (0, u64::MAX);
        for (used, length) in ages.into_iter().take(most) {
            if bytes + length > most_bytes {
                break;
            }
            bytes += length;
            oldest = used;
        }
        entries.retain(|_, entry| entry.used >= oldest);
        self.bytes.set(bytes);
    }
}

impl Source {
    fn compress(self, coding: ContentCoding, levels: Levels) -> io::Result<Vec<u8>> {
        let content = match self {
            Self::Bytes(content) => content,
            Self::File(file, size) => {
                let mut content = vec![0; size];
                file.read_exact_at(&mut content, 0)?;
                content.into()
            }
        };
        let mut made = Encoder::new(coding, levels, Some(content.len()))?.last(&content)?;
        made.shrink_to_fit();
        Ok(made)
    }
}

#[cfg(test)]
#[cfg(feature = "compression")]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels { gzip: 1, brotli: 0, zstd: 1 };

    /// What does not become smaller.
    fn noise(length: usize, seed: u64) -> Bytes {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(|_| next()).collect::<Vec<_>>().into()
    }

    #[test]
    fn each_is_made_once_and_the_longest_unused_goes_first() {
        IoLoop::current()
            .run_sync(
                async {
                    let kept = Kept::default();
                    let tag = |name: usize| Rc::<str>::from(format!("\"{name}\""));
                    let get = async |name, content| {
                        kept.get(&tag(name), ContentCoding::Zstd, LEVELS, Source::Bytes(content))
                            .await
                            .unwrap()
                    };
                    let first = get(0, noise(1000, 1)).await;
                    // The tag stands for the content: what comes with it is not looked at again.
                    assert_eq!(get(0, Bytes::new()).await, first);
                    let empty = Source::Bytes(Bytes::new());
                    let other = kept.get(&tag(0), ContentCoding::Gzip, LEVELS, empty).await.unwrap();
                    assert_ne!(other, first);
                    for name in 1..20 {
                        get(name, noise(4 * 1024 * 1024, name as u64)).await;
                        get(0, Bytes::new()).await;
                        let held: usize = kept
                            .entries
                            .borrow()
                            .values()
                            .filter_map(|e| e.content.get())
                            .map(Bytes::len)
                            .sum();
                        assert_eq!(held, kept.bytes.get());
                        assert!(held <= MOST_BYTES, "{held}");
                    }
                    assert_eq!(get(0, Bytes::new()).await, first, "it is in use");
                    assert!(!kept.entries.borrow().contains_key(&(tag(1), ContentCoding::Zstd)));
                    assert!(kept.entries.borrow().contains_key(&(tag(19), ContentCoding::Zstd)));
                    for name in 100..100 + 2 * MOST_ENTRIES {
                        kept.entry(&tag(name), ContentCoding::Gzip);
                    }
                    assert!(kept.entries.borrow().len() <= MOST_ENTRIES);
                },
                None,
            )
            .unwrap();
    }
}
