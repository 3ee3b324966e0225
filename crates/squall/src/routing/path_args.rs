//! What the groups of a pattern matched.

use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode;
use smallvec::SmallVec;

/// Where a pattern's groups are in the path it matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathArgs {
    pub(super) ranges: SmallVec<[Option<Range<usize>>; 3]>,
}

impl PathArgs {
    /// How many groups the pattern has, those that took no part in the match included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the pattern has no groups.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The byte range of a group in the path; `None` when it took no part in the match or does not exist.
    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        self.ranges.get(index).cloned().flatten()
    }

    /// Percent-decodes all groups out of `path`, which must be the path that was matched.
    ///
    /// `+` stays as it is, `%2F` becomes a slash, an escape that is none (`%zz`) stays too. Raw bytes above 127 are taken
    /// as UTF-8. One allocation, none without groups.
    ///
    /// # Errors
    ///
    /// A group that is not UTF-8 once decoded: the client's fault, a 400.
    pub fn decode(&self, path: impl AsRef<[u8]>) -> Result<PathValues, PathArgError> {
        let path = path.as_ref();
        let mut values = PathValues::default();
        values.text.reserve(self.ranges.iter().flatten().map(ExactSizeIterator::len).sum());
        for (index, range) in self.ranges.iter().enumerate() {
            let raw = range.as_ref().map(|range| path.get(range.clone()).unwrap_or_default());
            let range = match raw {
                None => None,
                Some(raw) => {
                    let start = values.text.len();
                    let text = percent_decode(raw).decode_utf8().map_err(|_| PathArgError { index })?;
                    values.text.push_str(&text);
                    Some(start..values.text.len())
                }
            };
            values.ranges.push(range);
        }
        Ok(values)
    }
}

/// The decoded values of a pattern's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathValues {
    text: String,
    ranges: SmallVec<[Option<Range<usize>>; 3]>,
}

impl PathValues {
    /// How many groups the pattern has, those that took no part in the match included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the pattern has no groups.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The value of a group; `None` when it took no part in the match (`(..)?`) or does not exist.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.ranges.get(index)?.clone().map(|range| &self.text[range])
    }

    /// All values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.ranges.iter().map(|range| range.clone().map(|range| &self.text[range]))
    }
}

/// A path argument that is not UTF-8 after percent-decoding; the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathArgError {
    index: usize,
}

impl PathArgError {
    /// The group, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The HTTP status that answers it: 400.
    pub fn status(&self) -> u16 {
        400
    }
}

impl fmt::Display for PathArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path argument {} is not valid UTF-8", self.index + 1)
    }
}

impl std::error::Error for PathArgError {}
