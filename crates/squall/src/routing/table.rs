//! Many path patterns matched together, at a cost that does not grow with their number.
//!
//! Two structures answer a look-up. The patterns that are plain paths sit in a hash map; each knows from the start which
//! row of the table is the first to match it, since that cannot depend on the request. All others are compiled into one
//! anchored multi-pattern automaton. Its matches are leftmost-first, as if the patterns were the branches of one
//! alternation; every pattern starts at the path's first byte and ends at its last, so the branch that wins is the first
//! row that matches. The pattern's own regex then finds the groups: asking the automaton for them would be slower
//! by orders of magnitude.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;

use rapidhash::fast::RandomState;
use regex_automata::{Anchored, Input, MatchKind, PatternSet, meta};
use regex_syntax::hir::Hir;
use smallvec::SmallVec;

use super::pattern::PathPattern;

/// An ordered table of path patterns.
///
/// ```
/// use squall::routing::{PathPattern, PathTable};
///
/// let table = PathTable::new(vec![
///     PathPattern::new("/stories/new")?,
///     PathPattern::new("/stories/{id}")?,
/// ]);
/// assert_eq!(table.first_match("/stories/new"), Some(0));
/// assert_eq!(table.first_match("/stories/7"), Some(1));
/// assert_eq!(table.match_from("/stories/new", 1), Some(1));
/// assert_eq!(table.first_match("/"), None);
/// # Ok::<(), squall::routing::PatternError>(())
/// ```
pub struct PathTable {
    patterns: Vec<PathPattern>,
    literals: HashMap<Box<[u8]>, LiteralRows, RandomState>,
    /// The rows that are not literals. Several automata only when one would be too large; then each holds the
    /// rows after those of the one before it.
    automata: Vec<Automaton>,
    /// The same rows, for [`match_from`](Self::match_from); made when first needed, which is rarely.
    overlapping: OnceCell<Vec<Automaton>>,
}

struct LiteralRows {
    /// The first row that matches this path, whether it is a literal or not.
    first: usize,
    /// The rows that are this literal, ascending.
    rows: SmallVec<[usize; 1]>,
}

impl PathTable {
    /// Compiles the patterns; row numbers are indices into `patterns`. Equal patterns are fine: the first wins.
    ///
    /// Takes about 10 µs per pattern in a release build.
    pub fn new(patterns: Vec<PathPattern>) -> PathTable {
        PathTable::with_size_limit(patterns, AUTOMATON_SIZE_LIMIT)
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns, in the order of the table.
    pub fn patterns(&self) -> &[PathPattern] {
        &self.patterns
    }

    /// The first row whose pattern matches the whole of `path`, a raw path that is still percent-encoded.
    ///
    /// Its groups are `table.patterns()[row].captures(path)`.
    pub fn first_match(&self, path: impl AsRef<[u8]>) -> Option<usize> {
        let path = path.as_ref();
        if let Some(literal) = self.literals.get(path) {
            return Some(literal.first);
        }
        self.automata.iter().find_map(|automaton| automaton.first_match(path))
    }

    /// The first row from `start` on whose pattern matches `path`.
    ///
    /// This is for going on when the row that matched before declines. The first call with a `start` other than
    /// 0 compiles a second automaton, as [`new`](Self::new) did.
    pub fn match_from(&self, path: impl AsRef<[u8]>, start: usize) -> Option<usize> {
        let path = path.as_ref();
        if start == 0 {
            return self.first_match(path);
        }
        if start >= self.patterns.len() {
            return None;
        }
        let literal = self
            .literals
            .get(path)
            .and_then(|literal| literal.rows.iter().copied().find(|&row| row >= start));
        let overlapping = self
            .overlapping
            .get_or_init(|| build_automata(&self.patterns, MatchKind::All, AUTOMATON_SIZE_LIMIT));
        let other = overlapping.iter().find_map(|automaton| automaton.match_from(path, start));
        literal.into_iter().chain(other).min()
    }

    fn with_size_limit(patterns: Vec<PathPattern>, size_limit: usize) -> PathTable {
        let automata = build_automata(&patterns, MatchKind::LeftmostFirst, size_limit);
        let mut literals: HashMap<Box<[u8]>, LiteralRows, RandomState> = HashMap::default();
        for (row, pattern) in patterns.iter().enumerate() {
            let Some(path) = pattern.is_literal() else { continue };
            let known = literals.entry(path.as_bytes().into()).or_insert_with(|| {
                let other = automata.iter().find_map(|automaton| automaton.first_match(path.as_bytes()));
                LiteralRows { first: other.map_or(row, |other| other.min(row)), rows: SmallVec::new() }
            });
            known.rows.push(row);
        }
        PathTable { patterns, literals, automata, overlapping: OnceCell::new() }
    }
}

impl fmt::Debug for PathTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

/// 1,000 routes with two groups each take about 5 MiB; a set above the limit is split in halves.
const AUTOMATON_SIZE_LIMIT: usize = 64 << 20;

/// Transitions are found lazily and kept here. When it overflows, the automaton starts afresh, and when that happens
/// too often within one path, it goes on without tables.
const LAZY_CACHE_CAPACITY: usize = 8 << 20;

struct Automaton {
    regex: meta::Regex,
    /// Of our own, since the regex's pool of caches costs a synchronised access per match.
    cache: RefCell<meta::Cache>,
    /// The row of each of the automaton's patterns, ascending.
    rows: Box<[usize]>,
}

impl Automaton {
    /// `None` when the automaton would be larger than the limit.
    fn new(patterns: &[PathPattern], rows: &[usize], kind: MatchKind, limit: usize) -> Option<Self> {
        let config = meta::Config::new()
            .match_kind(kind)
            .utf8_empty(false)
            .auto_prefilter(false)
            .nfa_size_limit(Some(limit))
            .hybrid_cache_capacity(LAZY_CACHE_CAPACITY)
            // These would only serve groups, which are not asked for here.
            .onepass(false)
            .backtrack(false);
        let hirs: Vec<&Hir> = rows.iter().map(|&row| patterns[row].hir()).collect();
        let regex = meta::Regex::builder().configure(config).build_many_from_hir(&hirs).ok()?;
        let cache = RefCell::new(regex.create_cache());
        Some(Automaton { regex, cache, rows: rows.into() })
    }

    fn first_match(&self, path: &[u8]) -> Option<usize> {
        let input = Input::new(path).anchored(Anchored::Yes);
        let found = self.regex.search_half_with(&mut self.cache.borrow_mut(), &input)?;
        Some(self.rows[found.pattern().as_usize()])
    }

    fn match_from(&self, path: &[u8], start: usize) -> Option<usize> {
        if self.rows.last().is_none_or(|&last| last < start) {
            return None;
        }
        let input = Input::new(path).anchored(Anchored::Yes);
        let mut found = PatternSet::new(self.rows.len());
        self.regex.which_overlapping_matches_with(&mut self.cache.borrow_mut(), &input, &mut found);
        found.iter().map(|pattern| self.rows[pattern.as_usize()]).find(|&row| row >= start)
    }
}

fn build_automata(patterns: &[PathPattern], kind: MatchKind, limit: usize) -> Vec<Automaton> {
    let rows: Vec<usize> = (0..patterns.len()).filter(|&row| patterns[row].is_literal().is_none()).collect();
    let mut automata = Vec::new();
    if !rows.is_empty() {
        build_halves(patterns, &rows, kind, limit, &mut automata);
    }
    automata
}

fn build_halves(
    patterns: &[PathPattern],
    rows: &[usize],
    kind: MatchKind,
    limit: usize,
    automata: &mut Vec<Automaton>,
) {
    // One pattern has been compiled before, within the regex's own limit; it needs no other here.
    let limit = if rows.len() == 1 { usize::MAX } else { limit };
    match Automaton::new(patterns, rows, kind, limit) {
        Some(automaton) => automata.push(automaton),
        None => {
            let (front, back) = rows.split_at(rows.len() / 2);
            for half in [front, back] {
                if !half.is_empty() {
                    build_halves(patterns, half, kind, limit, automata);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_above_the_size_limit_is_split_and_matches_alike() {
        let patterns: Vec<PathPattern> =
            (0..50).map(|i| PathPattern::new(&format!("/r{}/{{id}}", i % 40)).expect("a pattern")).collect();
        let whole = PathTable::new(patterns.clone());
        let split = PathTable::with_size_limit(patterns, 4096);
        assert_eq!(whole.automata.len(), 1);
        assert!(split.automata.len() > 1, "the limit must bite");
        for i in 0..42 {
            let path = format!("/r{i}/x");
            let expected = (i < 40).then_some(i);
            assert_eq!(whole.first_match(&path), expected);
            assert_eq!(split.first_match(&path), expected);
            assert_eq!(split.match_from(&path, i + 1), (i < 10).then_some(i + 40));
        }
    }
}
