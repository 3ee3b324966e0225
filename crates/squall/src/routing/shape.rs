//! The two shapes of pattern that need no regex engine: a plain path, and text between groups that are runs of one class
//! of bytes, such as `/stories/([^/]+)/(\d+)` or `/files/(.*)`. Nearly all routes have one of them. Finding the groups of
//! a run takes a quarter of the time of the one-pass DFA, and a pattern without one takes 10 KiB less.

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// The only path that the pattern matches, when there is only one and it has no groups.
pub(super) fn literal(hir: &Hir) -> Option<Box<str>> {
    match between_anchors(hir) {
        [] => Some(Box::from("")),
        [part] => match part.kind() {
            HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok().map(Box::from),
            _ => None,
        },
        _ => None,
    }
}

/// The names of a pattern's groups, in order; all `None` when they are positional.
pub(super) type GroupNames = Box<[Option<Box<str>>]>;

/// Text and runs in turn; a run ends where the path does or where a byte follows that is none of its class.
pub(super) struct Runs {
    parts: Box<[Part]>,
}

enum Part {
    Text(Box<[u8]>),
    Run { class: ByteSet, may_be_empty: bool },
}

impl Runs {
    /// The runs of a pattern with the names of its groups; `None` when it has another shape.
    ///
    /// The text after a run must start with a byte that the run cannot take: only then is the longest run the only
    /// one that can match, and a regex would never backtrack.
    pub(super) fn new(hir: &Hir) -> Option<(Runs, GroupNames)> {
        let mut parts: Vec<Part> = Vec::new();
        let mut names = Vec::new();
        for part in between_anchors(hir) {
            match part.kind() {
                HirKind::Literal(literal) => {
                    if let (Some(Part::Run { class, .. }), Some(&next)) = (parts.last(), literal.0.first())
                        && class.contains(next)
                    {
                        return None;
                    }
                    parts.push(Part::Text(literal.0.clone()));
                }
                HirKind::Capture(capture) if !matches!(parts.last(), Some(Part::Run { .. })) => {
                    parts.push(run(&capture.sub)?);
                    names.push(capture.name.clone());
                }
                _ => return None,
            }
        }
        Some((Runs { parts: parts.into() }, names.into()))
    }

    /// Whether the whole path matches; `group` is told where the groups are, also before it turns out that it does not.
    pub(super) fn matches(&self, path: &[u8], mut group: impl FnMut(Range<usize>)) -> bool {
        let mut at = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    if !path[at..].starts_with(text) {
                        return false;
                    }
                    at += text.len();
                }
                Part::Run { class, may_be_empty } => {
                    let length = path[at..].iter().take_while(|&&byte| class.contains(byte)).count();
                    if length == 0 && !may_be_empty {
                        return false;
                    }
                    group(at..at + length);
                    at += length;
                }
            }
        }
        at == path.len()
    }
}

/// The parts of a pattern without the `^` and `$` at its ends, whether written or implied.
fn between_anchors(hir: &Hir) -> &[Hir] {
    let mut parts = match hir.kind() {
        HirKind::Empty => &[],
        HirKind::Concat(parts) => &parts[..],
        _ => std::slice::from_ref(hir),
    };
    while let Some((first, rest)) = parts.split_first()
        && *first.kind() == HirKind::Look(Look::Start)
    {
        parts = rest;
    }
    while let Some((last, rest)) = parts.split_last()
        && *last.kind() == HirKind::Look(Look::End)
    {
        parts = rest;
    }
    parts
}

/// `[..]+` or `[..]*`, greedy.
fn run(hir: &Hir) -> Option<Part> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    let HirKind::Class(Class::Bytes(class)) = repetition.sub.kind() else { return None };
    let plain = repetition.greedy && repetition.min <= 1 && repetition.max.is_none();
    plain.then(|| {
        let mut set = ByteSet::default();
        for range in class.iter() {
            (range.start()..=range.end()).for_each(|byte| set.insert(byte));
        }
        Part::Run { class: set, may_be_empty: repetition.min == 0 }
    })
}

#[derive(Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
}
