//! Which compressed siblings a file has: `x.br`, `x.zst`, `x.gz` beside `x`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::open::{Kind, Links, Root};
use crate::web::negotiate::ContentCoding;

/// They are looked for so often: three names that are mostly not there cost a request as much as all the rest of
/// finding its file.
const KEPT: Duration = Duration::from_secs(1);
/// Files about which this is remembered; beyond, it is looked up anew for all of them.
const MOST: usize = 10_000;

/// What was found beside files a moment ago.
#[derive(Default, Clone)]
pub(super) struct Siblings(RefCell<HashMap<Box<str>, (Instant, Present)>>);

/// The codings for which there is a sibling.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present([bool; ContentCoding::SMALLEST_FIRST.len()]);

impl Siblings {
    /// Those of the file at a normalized path.
    pub(super) async fn of(&self, root: &Root, path: &str, links: &Links, now: Instant) -> Present {
        if let Some((found, present)) = self.0.borrow().get(path)
            && now.saturating_duration_since(*found) < KEPT
        {
            return *present;
        }
        // Boxed: it is rare, and need not make every request's future larger.
        let present = Box::pin(look(root, path, links)).await;
        let mut all = self.0.borrow_mut();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(path.into(), (now, present));
        present
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

async fn look(root: &Root, path: &str, links: &Links) -> Present {
    let mut present = Present::default();
    for (there, coding) in present.0.iter_mut().zip(ContentCoding::SMALLEST_FIRST) {
        let found = root.find(&format!("{path}{}", coding.extension()), links).await;
        *there = found.is_ok_and(|opened| opened.kind == Kind::File);
    }
    present
}

impl Present {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// What compresses best first.
    pub(super) fn iter(self) -> impl Iterator<Item = ContentCoding> {
        ContentCoding::SMALLEST_FIRST
            .into_iter()
            .zip(self.0)
            .filter(|(_, there)| *there)
            .map(|(coding, _)| coding)
    }

    pub(super) fn remove(&mut self, coding: ContentCoding) {
        for (there, at) in self.0.iter_mut().zip(ContentCoding::SMALLEST_FIRST) {
            *there &= at != coding;
        }
    }
}
