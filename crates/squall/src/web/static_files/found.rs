//! What was found at a path a moment ago: compressed siblings (`x.br`, `x.zst`, `x.gz` beside `x`), and the content of
//! small files.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::open::{Kind, Links, Root, Stamp};
use crate::web::negotiate::ContentCoding;

/// Everything is looked up anew so often. Three names that are mostly not there would cost a request as much as all
/// the rest of finding its file.
const TRUSTED: Duration = Duration::from_secs(1);
/// Paths and bytes that are remembered; beyond, everything is looked up anew.
const MOST_PATHS: usize = 10_000;
const MOST_BYTES: usize = 16 * 1024 * 1024;

const CODINGS: usize = ContentCoding::SMALLEST_FIRST.len();

/// What was found at each normalized path.
#[derive(Default)]
pub(super) struct FoundFiles {
    paths: RefCell<HashMap<Box<str>, Found>>,
    /// The sum of the lengths of all contents.
    bytes: Cell<usize>,
}

struct Found {
    since: Instant,
    /// The state of the file that is not compressed, to which all of this belongs.
    stamp: Stamp,
    present: Present,
    /// The content of the siblings, and last that of the file itself, where they are small.
    contents: [Option<Content>; CODINGS + 1],
}

/// A small content.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) tag: Rc<str>,
    /// That of the file itself, for a sibling whose version was asked for.
    pub(super) plain_tag: Option<Rc<str>>,
}

/// A small content as [`FoundFiles::held`] gives it out.
pub(super) struct Held {
    pub(super) content: Content,
    /// Of the content, which is then that of a sibling.
    pub(super) coding: Option<ContentCoding>,
    /// The state of the file itself.
    pub(super) stamp: Stamp,
    pub(super) present: Present,
}

/// The codings for which there is a sibling.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present([bool; CODINGS]);

impl FoundFiles {
    /// The siblings of a file that is open, in this state; none if there are no `links` to look through.
    pub(super) async fn siblings(
        &self,
        root: &Root,
        path: &str,
        links: Option<&Links>,
        stamp: Stamp,
        now: Instant,
    ) -> Present {
        if let Some(found) = self.paths.borrow_mut().get_mut(path)
            && found.is_fresh(now)
        {
            if found.stamp != stamp {
                self.forget_contents(found);
                found.stamp = stamp;
            }
            return found.present;
        }
        let present = match links {
            // Boxed: it is rare, and need not make every request's future larger.
            Some(links) => Box::pin(look(root, path, links)).await,
            None => Present::default(),
        };
        self.remember(path, stamp, present, now);
        present
    }

    fn remember(&self, path: &str, stamp: Stamp, present: Present, now: Instant) {
        let mut paths = self.paths.borrow_mut();
        if paths.len() >= MOST_PATHS {
            paths.clear();
            self.bytes.set(0);
        }
        let found = Found { since: now, stamp, present, contents: Default::default() };
        if let Some(mut former) = paths.insert(path.into(), found) {
            self.forget_contents(&mut former);
        }
    }

    /// What [`hold`](Self::hold) keeps for the client that `choose`s among the siblings, if the file is in the same
    /// state as then: this asks for its state, and opens nothing.
    ///
    /// What was opened once was allowed; the same file in the same state is the same content.
    pub(super) fn held(
        &self,
        root: &Root,
        path: &str,
        now: Instant,
        choose: impl FnOnce(Present) -> Option<ContentCoding>,
    ) -> Option<Held> {
        let held = {
            let paths = self.paths.borrow();
            let found = paths.get(path).filter(|found| found.is_fresh(now))?;
            let present = found.present;
            let coding = if present.is_empty() { None } else { choose(present) };
            let content = found.contents[place(coding)].clone()?;
            Held { content, coding, stamp: found.stamp, present }
        };
        (root.stamp_of(path) == Some(held.stamp)).then_some(held)
    }

    /// Keeps a small content for [`held`](Self::held).
    pub(super) fn hold(&self, path: &str, stamp: Stamp, coding: Option<ContentCoding>, content: Content) {
        let mut paths = self.paths.borrow_mut();
        let length = content.bytes.len();
        if self.bytes.get() + length > MOST_BYTES {
            paths.clear();
            self.bytes.set(0);
        }
        if let Some(found) = paths.get_mut(path).filter(|found| found.stamp == stamp) {
            let former = found.contents[place(coding)].replace(content);
            let former = former.map_or(0, |content| content.bytes.len());
            self.bytes.set(self.bytes.get() + length - former);
        }
    }

    pub(super) fn clear(&self) {
        self.paths.borrow_mut().clear();
        self.bytes.set(0);
    }

    fn forget_contents(&self, found: &mut Found) {
        for content in &mut found.contents {
            let length = content.take().map_or(0, |content| content.bytes.len());
            self.bytes.set(self.bytes.get() - length);
        }
    }
}

/// Where a content stands.
fn place(coding: Option<ContentCoding>) -> usize {
    let of = |coding| ContentCoding::SMALLEST_FIRST.iter().position(|at| *at == coding);
    coding.and_then(of).unwrap_or(CODINGS)
}

async fn look(root: &Root, path: &str, links: &Links) -> Present {
    let mut present = Present::default();
    for (there, coding) in present.0.iter_mut().zip(ContentCoding::SMALLEST_FIRST) {
        let found = root.find(&format!("{path}{}", coding.extension()), links).await;
        *there = found.is_ok_and(|opened| opened.kind == Kind::File);
    }
    present
}

impl Found {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < TRUSTED
    }
}

impl Clone for FoundFiles {
    /// Another directory starts with nothing: its links may be others.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Present {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// What compresses best first.
    pub(super) fn iter(self) -> impl Iterator<Item = ContentCoding> {
        let all = ContentCoding::SMALLEST_FIRST.into_iter().zip(self.0);
        all.filter(|(_, there)| *there).map(|(coding, _)| coding)
    }

    pub(super) fn remove(&mut self, coding: ContentCoding) {
        for (there, at) in self.0.iter_mut().zip(ContentCoding::SMALLEST_FIRST) {
            *there &= at != coding;
        }
    }
}
