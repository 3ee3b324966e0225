//! A slab: the numbers of one process, in words at fixed places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the buckets of all histograms but the last, which has none; in milliseconds.
pub(super) const BOUNDS: [f64; 13] =
    [1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0];
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// A number by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    BytesIn,
    BytesOut,
    HttpOpened,
    HttpsOpened,
    WebSocketsOpened,
    ClientWebSocketsOpened,
    MessagesIn,
    MessagesOut,
    /// From here on what goes up and down, which begins anew with a process.
    RequestsInFlight,
    HttpOpen,
    HttpsOpen,
    WebSocketsOpen,
    ClientWebSocketsOpen,
    FetchesInFlight,
    ClientConnectionsBusy,
    ClientConnectionsIdle,
    ExecutorJobs,
}

impl Value {
    pub(super) const COUNT: usize = Self::ExecutorJobs as usize + 1;

    pub(super) fn is_gauge(place: usize) -> bool {
        place >= Self::RequestsInFlight as usize
    }
}

/// 1 while somebody writes.
const LIVE: usize = 0;
const VALUES: usize = 8;
const LAG: usize = VALUES + Value::COUNT;
const _: () = assert!(LAG + BUCKETS < FETCHES.used);

/// Label sets with a histogram each. The first is for those that found no room.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// The word that says how many entries there are beyond the first.
    used: usize,
    first: usize,
    capacity: usize,
}

pub(super) const FETCHES: Table = Table { used: 62, first: 64, capacity: 64 };
pub(super) const REQUESTS: Table = Table { used: 63, first: FETCHES.end(), capacity: 1024 };
pub(super) const WORDS: usize = REQUESTS.end();

/// Of an entry: the parts of its label set that are numbers, the text, the buckets, the sum in nanoseconds.
const TEXT: usize = 1;
const TEXT_WORDS: usize = 14;
const HISTOGRAM: usize = TEXT + TEXT_WORDS;
const SUM: usize = HISTOGRAM + BUCKETS;
const ENTRY: usize = 32;
const _: () = assert!(SUM < ENTRY);

/// So much of a route's pattern is told from another's.
const LONGEST_TEXT: usize = TEXT_WORDS * 8;

impl Table {
    const fn end(self) -> usize {
        self.first + self.capacity * ENTRY
    }

    pub(super) fn rest(self) -> usize {
        self.first
    }
}

pub(super) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other"];
/// The last is that of a fetch without a response.
pub(super) const VERSIONS: [&str; 6] = ["1.1", "1.0", "0.9", "2", "3", "none"];

/// A label set.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) text: &'a str,
    /// Method, version and status, in a byte, a byte and two.
    pub(super) parts: u64,
}

impl<'a> Key<'a> {
    pub(super) fn request(route: &'a str, method: &str, status: u16, version: http::Version) -> Self {
        let version = version_number(version);
        Self { text: route, parts: method_number(method) | version << 8 | u64::from(status) << 16 }
    }

    #[cfg(feature = "client")]
    pub(super) fn fetch(method: &str, answer: Option<(u16, http::Version)>) -> Self {
        let none = VERSIONS.len() as u64 - 1;
        let (class, version) =
            answer.map_or((0, none), |(status, version)| (u64::from(status / 100), version_number(version)));
        Self { text: "", parts: method_number(method) | version << 8 | class << 16 }
    }

    fn cut(self) -> Self {
        let mut end = self.text.len().min(LONGEST_TEXT);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        Self { text: &self.text[..end], ..self }
    }

    /// As the first word of an entry has it, with the length of the text.
    fn word(self) -> u64 {
        self.parts | (self.text.len() as u64) << 32
    }
}

fn version_number(version: http::Version) -> u64 {
    match version {
        http::Version::HTTP_11 => 0,
        http::Version::HTTP_10 => 1,
        http::Version::HTTP_09 => 2,
        http::Version::HTTP_2 => 3,
        _ => 4,
    }
}

fn method_number(method: &str) -> u64 {
    let other = METHODS.len() - 1;
    METHODS[..other].iter().position(|known| *known == method).unwrap_or(other) as u64
}

/// The words of one process; a handle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slab(&'static [AtomicU64; WORDS]);

impl PartialEq for Slab {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Slab {
    /// One that only this process has. It is there for ever, and taken again when its thread has ended.
    pub(super) fn private() -> Self {
        let words: Vec<AtomicU64> = std::iter::repeat_with(AtomicU64::default).take(WORDS).collect();
        Self::new(Vec::leak(words)).expect("it has as many words")
    }

    pub(super) fn new(words: &'static [AtomicU64]) -> Option<Self> {
        words.try_into().ok().map(Self)
    }

    /// A process begins to write: nothing of what goes up and down is there yet.
    pub(super) fn begin(self) {
        for place in (0..Value::COUNT).filter(|place| Value::is_gauge(*place)) {
            self.0[VALUES + place].store(0, Ordering::Relaxed);
        }
        self.0[LIVE].store(1, Ordering::Release);
    }

    /// Nobody writes any more.
    pub(super) fn end(self) {
        // Not a store if it was nobody's: the memory may not exist yet.
        if self.is_live() {
            self.0[LIVE].store(0, Ordering::Release);
        }
    }

    pub(super) fn is_live(self) -> bool {
        self.0[LIVE].load(Ordering::Acquire) != 0
    }

    #[inline]
    pub(super) fn add(self, value: Value, amount: u64) {
        self.bump(VALUES + value as usize, amount);
    }

    pub(super) fn value(self, place: usize) -> u64 {
        self.0[VALUES + place].load(Ordering::Relaxed)
    }

    /// There is one writer, so nothing is lost between the load and the store.
    #[inline]
    fn bump(self, place: usize, amount: u64) {
        let word = &self.0[place];
        word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn observe(self, entry: usize, took: Duration) {
        self.observe_at(entry + HISTOGRAM, took);
    }

    pub(super) fn observe_lag(self, late: Duration) {
        self.observe_at(LAG, late);
    }

    #[inline]
    fn observe_at(self, histogram: usize, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanos <= (*bound * 1e6) as u64).unwrap_or(BUCKETS - 1);
        self.bump(histogram + bucket, 1);
        self.bump(histogram + BUCKETS, nanos);
    }

    /// The entry of a label set; `None` when there is no room.
    pub(super) fn find_or_add(self, table: Table, key: Key<'_>) -> Option<usize> {
        let key = key.cut();
        let used = self.used(table);
        let places = (1..=used).map(|index| table.first + index * ENTRY);
        let found = places.into_iter().find(|entry| {
            self.0[*entry].load(Ordering::Relaxed) == key.word() && self.text(*entry) == key.text.as_bytes()
        });
        if found.is_some() {
            return found;
        }
        if used + 1 >= table.capacity {
            return None;
        }
        let entry = table.first + (used + 1) * ENTRY;
        for (place, bytes) in key.text.as_bytes().chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.0[entry + TEXT + place].store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        self.0[entry].store(key.word(), Ordering::Relaxed);
        // Whoever sees the number sees the entry.
        self.0[table.used].store(used as u64 + 1, Ordering::Release);
        Some(entry)
    }

    fn used(self, table: Table) -> usize {
        (self.0[table.used].load(Ordering::Acquire) as usize).min(table.capacity - 1)
    }

    fn text(self, entry: usize) -> Vec<u8> {
        let length = (self.0[entry].load(Ordering::Relaxed) >> 32) as usize;
        let words = self.0[entry + TEXT..entry + HISTOGRAM].iter();
        let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// All entries of a table.
    pub(super) fn entries(self, table: Table) -> impl Iterator<Item = Entry> {
        (0..=self.used(table)).map(move |index| {
            let entry = table.first + index * ENTRY;
            let parts = self.0[entry].load(Ordering::Relaxed);
            Entry {
                // The first has no label set of its own.
                rest: index == 0,
                text: String::from_utf8_lossy(&self.text(entry)).into_owned(),
                method: METHODS.get(parts as u8 as usize).copied().unwrap_or("other"),
                version: VERSIONS.get((parts >> 8) as u8 as usize).copied().unwrap_or("other"),
                status: (parts >> 16) as u16,
                histogram: self.histogram(entry + HISTOGRAM),
            }
        })
    }

    pub(super) fn lag(self) -> Histogram {
        self.histogram(LAG)
    }

    fn histogram(self, place: usize) -> Histogram {
        let word = |at: usize| self.0[at].load(Ordering::Relaxed);
        Histogram {
            buckets: std::array::from_fn(|bucket| word(place + bucket)),
            nanos: word(place + BUCKETS),
        }
    }
}

pub(super) struct Entry {
    pub(super) rest: bool,
    pub(super) text: String,
    pub(super) method: &'static str,
    pub(super) version: &'static str,
    pub(super) status: u16,
    pub(super) histogram: Histogram,
}

/// How many took how long; each bucket without those below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    pub(super) buckets: [u64; BUCKETS],
    pub(super) nanos: u64,
}

impl Histogram {
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.nanos = self.nanos.wrapping_add(other.nanos);
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
    }
}
