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
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind, PatternSet};
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
        PathTable::with_size_limit(patterns, NFA_SIZE_LIMIT)
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
        self.automata.iter().find_map(|automaton| automaton.first_match(&self.patterns, path))
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
        let overlapping =
            self.overlapping.get_or_init(|| build_automata(&self.patterns, MatchKind::All, NFA_SIZE_LIMIT));
        let other =
            overlapping.iter().find_map(|automaton| automaton.match_from(&self.patterns, path, start));
        literal.into_iter().chain(other).min()
    }

    fn with_size_limit(patterns: Vec<PathPattern>, size_limit: usize) -> PathTable {
        let automata = build_automata(&patterns, MatchKind::LeftmostFirst, size_limit);
        let mut literals: HashMap<Box<[u8]>, LiteralRows, RandomState> = HashMap::default();
        for (row, pattern) in patterns.iter().enumerate() {
            let Some(path) = pattern.is_literal() else { continue };
            let known = literals.entry(path.as_bytes().into()).or_insert_with(|| {
                let other =
                    automata.iter().find_map(|automaton| automaton.first_match(&patterns, path.as_bytes()));
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

/// For the NFA, whose size does not depend on the traffic. A set above the limit is split in halves.
const NFA_SIZE_LIMIT: usize = 64 << 20;

/// The lazy DFA keeps the transitions that the traffic has shown here, and starts afresh when this is full; twice the size
/// of the NFA is added, which matters for large tables only.
const LAZY_CACHE_CAPACITY: usize = 4 << 20;

enum Automaton {
    /// Used directly rather than through `meta::Regex`: when a lazy DFA's cache overflows too often, that one turns to
    /// an engine that takes memory for every pair of pattern and state, which is gigabytes for 1,000 routes.
    Lazy {
        dfa: Box<DFA>,
        cache: Box<RefCell<Cache>>,
        /// The row of each of the automaton's patterns, ascending.
        rows: Box<[usize]>,
    },
    /// A row with something that no DFA knows, `(?u:\b)`; its own regex is asked.
    Single(usize),
}

impl Automaton {
    /// `None` when the automaton would be larger than the limit or cannot be made.
    fn new(patterns: &[PathPattern], rows: &[usize], kind: MatchKind, limit: usize) -> Option<Automaton> {
        let hirs: Vec<&Hir> = rows.iter().map(|&row| patterns[row].hir()).collect();
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(limit));
        let nfa = thompson::Compiler::new().configure(config).build_many_from_hir(&hirs).ok()?;
        let config = DFA::config()
            .match_kind(kind)
            .cache_capacity(LAZY_CACHE_CAPACITY + 2 * nfa.memory_usage())
            .skip_cache_capacity_check(true)
            // Never give up: there is nothing faster to turn to.
            .minimum_cache_clear_count(None);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let cache = RefCell::new(dfa.create_cache());
        Some(Automaton::Lazy { dfa: Box::new(dfa), cache: Box::new(cache), rows: rows.into() })
    }

    fn first_match(&self, patterns: &[PathPattern], path: &[u8]) -> Option<usize> {
        match self {
            Automaton::Lazy { dfa, cache, rows } => {
                let found =
                    dfa.try_search_fwd(&mut cache.borrow_mut(), &anchored(path)).expect(NEVER_FAILS)?;
                Some(rows[found.pattern().as_usize()])
            }
            &Automaton::Single(row) => patterns[row].is_match(path).then_some(row),
        }
    }

    /// For an automaton of [`MatchKind::All`].
    fn match_from(&self, patterns: &[PathPattern], path: &[u8], start: usize) -> Option<usize> {
        match self {
            Automaton::Lazy { dfa, cache, rows } => {
                if rows.last().is_none_or(|&last| last < start) {
                    return None;
                }
                let mut found = PatternSet::new(rows.len());
                dfa.try_which_overlapping_matches(&mut cache.borrow_mut(), &anchored(path), &mut found)
                    .expect(NEVER_FAILS);
                found.iter().map(|pattern| rows[pattern.as_usize()]).find(|&row| row >= start)
            }
            &Automaton::Single(row) => (row >= start && patterns[row].is_match(path)).then_some(row),
        }
    }
}

const NEVER_FAILS: &str = "the DFA has no quit bytes, does not give up, and supports anchored searches";

fn anchored(path: &[u8]) -> Input<'_> {
    Input::new(path).anchored(Anchored::Yes)
}

fn build_automata(patterns: &[PathPattern], kind: MatchKind, limit: usize) -> Vec<Automaton> {
    let rows: Vec<usize> = (0..patterns.len()).filter(|&row| patterns[row].is_literal().is_none()).collect();
    let mut automata = Vec::new();
    build_halves(patterns, &rows, kind, limit, &mut automata);
    automata
}

fn build_halves(
    patterns: &[PathPattern],
    rows: &[usize],
    kind: MatchKind,
    limit: usize,
    automata: &mut Vec<Automaton>,
) {
    if rows.is_empty() {
        return;
    }
    match (Automaton::new(patterns, rows, kind, limit), rows) {
        (Some(automaton), _) => automata.push(automaton),
        (None, &[row]) => automata.push(Automaton::Single(row)),
        (None, rows) => {
            let (front, back) = rows.split_at(rows.len() / 2);
            build_halves(patterns, front, kind, limit, automata);
            build_halves(patterns, back, kind, limit, automata);
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
    #[test]
    fn a_pattern_that_no_dfa_knows_is_tried_by_itself() {
        let patterns = [r"/(a)", r"/(?u:\b)(.*)", r"/(.*)", r"/[a-z]"];
        let patterns = patterns.map(|text| PathPattern::new(text).expect("a pattern")).to_vec();
        let table = PathTable::new(patterns);
        assert!(table.automata.iter().any(|automaton| matches!(automaton, Automaton::Single(1))));
        for (path, rows) in [("/a", &[0, 1, 2, 3][..]), ("/é", &[1, 2]), ("/-", &[2])] {
            for start in 0..=4 {
                let expected = rows.iter().copied().find(|&row| row >= start);
                assert_eq!(table.match_from(path, start), expected, "{path} from {start}");
            }
        }
    }

    /// Each of these paths makes states that no other has.
    #[test]
    fn a_flood_of_states_stays_within_the_cache() {
        let pattern = |i: usize| PathPattern::new(&format!(".*(a|{}).{{60}}", i % 7)).expect("a pattern");
        let table = PathTable::new((0..20).map(pattern).collect());
        let mut seed = 1u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 { 'a' } else { '0' }
        };
        for _ in 0..40 {
            let path: String = (0..200).map(|_| random()).collect();
            let expected = (0..20).find(|&row| table.patterns[row].is_match(&path));
            assert_eq!(table.first_match(&path), expected);
        }
        let Automaton::Lazy { dfa, cache, .. } = &table.automata[0] else { panic!("a lazy DFA") };
        let cache = cache.borrow();
        assert!(cache.clear_count() > 0, "the flood must overflow the cache");
        assert!(cache.memory_usage() <= 2 * dfa.get_config().get_cache_capacity());
    }
}
