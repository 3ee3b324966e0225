//! Conditional requests (RFC 9110 §13): one judge for files and for what handlers write.
//!
//! The order is that of §13.2.2: [`has_failed`] (412) comes before [`is_not_modified`] (304), and [`if_range_holds`]
//! is asked last.

use std::time::{SystemTime, UNIX_EPOCH};

use super::date::{self, format_timestamp};
use super::headers::{HttpHeaders, NameSet};

/// What a client may have of a content, and ask by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validators<'a> {
    /// The entity tag, quotes and all.
    pub(crate) etag: Option<&'a str>,
    pub(crate) modified: Option<SystemTime>,
}

/// Whether a request has any condition at all; most have none, and this is one look at its names.
#[inline]
pub(crate) fn is_conditional(headers: &HttpHeaders) -> bool {
    const NAMES: NameSet =
        NameSet::of(&["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"]);
    headers.may_have(NAMES) && headers.iter_bytes().any(|(name, _)| name.starts_with("If-"))
}

/// Whether `If-Match`, or without it `If-Unmodified-Since`, forbids the request: 412.
///
/// Tags are compared strongly. A date means nothing where it is not known when the content was modified.
pub(crate) fn has_failed(headers: &HttpHeaders, current: Validators<'_>) -> bool {
    if headers.contains("If-Match") {
        return !TagList::of(headers, "If-Match").has_strong(current.etag);
    }
    match (headers.get("If-Unmodified-Since"), current.modified) {
        (Some(header), Some(modified)) => {
            date::parse_lenient(header).is_some_and(|since| seconds(modified) > since)
        }
        _ => false,
    }
}

/// Whether the client has the content already, by `If-None-Match`, or without it `If-Modified-Since`: 304.
pub(crate) fn is_not_modified(headers: &HttpHeaders, current: Validators<'_>) -> bool {
    let wanted = TagList::of(headers, "If-None-Match");
    if !wanted.is_empty() {
        return wanted.has_weak(current.etag);
    }
    match (headers.get("If-Modified-Since"), current.modified) {
        (Some(header), Some(modified)) => not_modified_since(header, modified),
        _ => false,
    }
}

/// Whether a range may be served (RFC 9110 §13.1.5): there is no `If-Range`, or the content is what the client has a
/// part of. Tags are compared strongly, dates exactly.
pub(crate) fn if_range_holds(headers: &HttpHeaders, current: Validators<'_>) -> bool {
    let mut lines = headers.list("If-Range");
    let Some(header) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    match Tag::parse(header) {
        Some(tag) => !tag.weak && current.etag.and_then(Tag::parse) == Some(tag),
        // What is no tag is a date.
        None => current.modified.is_some_and(|modified| format_timestamp(modified) == header),
    }
}

/// Whether `modified` is not after the date of an `If-Modified-Since`. A header that is no date says no.
///
/// As lenient as Tornado: any zone, or none, which is UTC.
fn not_modified_since(header: &str, modified: SystemTime) -> bool {
    date::parse_lenient(header).is_some_and(|since| since >= seconds(modified))
}

fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// The list of an `If-Match` or `If-None-Match`, which may come on several lines.
///
/// Members that are no entity tags, as those without quotes, match nothing.
struct TagList<'a> {
    lines: smallvec::SmallVec<[&'a str; 2]>,
}

impl<'a> TagList<'a> {
    fn of(headers: &'a HttpHeaders, name: &str) -> Self {
        Self { lines: headers.list(name).filter(|line| !line.is_empty()).collect() }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Alone, it stands for whatever there is.
    fn is_any(&self) -> bool {
        self.lines.iter().all(|line| *line == "*") && !self.is_empty()
    }

    /// A list without a `*` needs a content that has a tag.
    fn has_strong(&self, etag: Option<&str>) -> bool {
        let found = |tag: Tag<'_>| !tag.weak && self.tags().any(|listed| listed == tag);
        self.is_any() || etag.and_then(Tag::parse).is_some_and(found)
    }

    /// Without a tag of one's own even a `*` says nothing.
    fn has_weak(&self, etag: Option<&str>) -> bool {
        let found = |tag: Tag<'_>| self.tags().any(|listed| listed.opaque == tag.opaque);
        etag.and_then(Tag::parse).is_some_and(|tag| self.is_any() || found(tag))
    }

    fn tags(&self) -> impl Iterator<Item = Tag<'a>> {
        self.lines.iter().flat_map(|line| Tags { rest: line })
    }
}

/// An entity tag (RFC 9110 §8.8.3) without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    opaque: &'a str,
}

impl<'a> Tag<'a> {
    /// A text that is one tag and nothing else.
    fn parse(text: &'a str) -> Option<Self> {
        let (tag, rest) = Self::split_off(text)?;
        rest.is_empty().then_some(tag)
    }

    /// The tag that a text begins with. Only a quote ends it: commas may stand in it.
    fn split_off(text: &'a str) -> Option<(Self, &'a str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        Some((Self { weak, opaque }, rest))
    }
}

/// The tags in one line of a list.
struct Tags<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            if self.rest.is_empty() {
                return None;
            }
            let (tag, after) = match Tag::split_off(self.rest) {
                Some((tag, after)) => (Some(tag), after),
                None => (None, self.rest),
            };
            let (between, rest) = after.split_once(',').unwrap_or((after, ""));
            self.rest = rest;
            // A tag with something behind it is none.
            if let Some(tag) = tag
                && between.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
            {
                return Some(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HttpHeaders {
        let mut headers = HttpHeaders::new();
        for (name, value) in fields {
            headers.add(name, *value).unwrap();
        }
        headers
    }

    fn tagged(etag: &str) -> Validators<'_> {
        Validators { etag: Some(etag), modified: None }
    }

    const NOTHING: Validators<'_> = Validators { etag: None, modified: None };

    #[test]
    fn lists_of_tags() {
        // The lines, the content's tag; whether If-None-Match finds it, whether If-Match does.
        #[rustfmt::skip] // one row, one line
        let table: &[(&[&str], &str, bool, bool)] = &[
            (&["\"a\""], "\"a\"", true, true),
            (&["W/\"a\""], "\"a\"", true, false),
            (&["\"a\""], "W/\"a\"", true, false),
            (&["W/\"a\""], "W/\"a\"", true, false),
            (&["\"b\", W/\"a\""], "\"a\"", true, false),
            (&["\"b\",\t\"a\""], "\"a\"", true, true),
            (&[",, \"b\" ,\"a\" ,"], "\"a\"", true, true),
            (&["\"b\"", "\"a\""], "\"a\"", true, true),
            (&["\"b\"", "\"c\""], "\"a\"", false, false),
            (&["\"a,b\""], "\"a,b\"", true, true),
            (&["\"x\", \"a, b\", \"y\""], "\"a, b\"", true, true),
            (&["\"x,\"a\",y\""], "\"a\"", false, false),
            (&["\"a,b\""], "\"a\"", false, false),
            (&["\"\""], "\"\"", true, true),
            (&["*"], "\"a\"", true, true),
            (&["*", "*"], "\"a\"", true, true),
            (&["\"b\", *"], "\"a\"", false, false),
            (&["\"*\""], "\"a\"", false, false),
            (&["a"], "\"a\"", false, false),
            (&["a"], "a", false, false),
            (&["a, \"a\""], "\"a\"", true, true),
            (&["w/\"a\""], "\"a\"", false, false),
            (&["W/ \"a\""], "\"a\"", false, false),
            (&["\"a\"b"], "\"a\"", false, false),
            (&["\"a"], "\"a\"", false, false),
            (&["\"a\"\u{a0}"], "\"a\"", false, false),
        ];
        for (lines, etag, weakly, strongly) in table {
            let asked = |name| headers(&lines.iter().map(|line| (name, *line)).collect::<Vec<_>>());
            assert_eq!(is_not_modified(&asked("If-None-Match"), tagged(etag)), *weakly, "{lines:?} {etag}");
            assert_eq!(has_failed(&asked("If-Match"), tagged(etag)), !strongly, "{lines:?} {etag}");
            assert!(!is_not_modified(&asked("If-None-Match"), NOTHING), "{lines:?}");
        }
        assert!(!has_failed(&headers(&[("If-Match", "*")]), NOTHING));
        assert!(has_failed(&headers(&[("If-Match", "\"a\"")]), NOTHING));
    }

    #[test]
    fn tags_go_before_dates() {
        let modified = Some(UNIX_EPOCH + Duration::from_millis(1_359_312_200_900));
        let (same, earlier) = ("Sun, 27 Jan 2013 18:43:20 GMT", "Sun, 27 Jan 2013 18:43:19 GMT");
        let current = Validators { etag: Some("\"a\""), modified };
        for (fields, failed, not_modified) in [
            (&[("If-None-Match", "\"b\""), ("If-Modified-Since", same)][..], false, false),
            (&[("If-None-Match", "\"a\""), ("If-Modified-Since", earlier)], false, true),
            (&[("If-None-Match", ""), ("If-Modified-Since", same)], false, true),
            (&[("If-Match", "\"a\""), ("If-Unmodified-Since", earlier)], false, false),
            (&[("If-Match", "\"b\""), ("If-Unmodified-Since", same)], true, false),
            (&[("If-Match", "")], true, false),
            (&[("If-Unmodified-Since", same)], false, false),
            (&[("If-Unmodified-Since", earlier)], true, false),
            (&[("If-Unmodified-Since", "soon")], false, false),
        ] {
            let headers = headers(fields);
            assert!(is_conditional(&headers));
            assert_eq!(has_failed(&headers, current), failed, "{fields:?}");
            assert_eq!(is_not_modified(&headers, current), not_modified, "{fields:?}");
        }
        assert!(!has_failed(&headers(&[("If-Unmodified-Since", earlier)]), tagged("\"a\"")));
        assert!(!is_conditional(&headers(&[("Host", "h"), ("Accept-Language", "de"), ("X-If-Not", "x")])));
    }

    #[test]
    fn if_range() {
        let modified = Some(UNIX_EPOCH + Duration::from_secs(1_359_312_200));
        for (header, holds) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("a", false),
            ("Sun, 27 Jan 2013 18:43:20 GMT", true),
            ("Sun, 27 Jan 2013 18:43:21 GMT", false),
            ("", false),
        ] {
            let headers = headers(&[("If-Range", header)]);
            assert_eq!(
                if_range_holds(&headers, Validators { etag: Some("\"a\""), modified }),
                holds,
                "{header}"
            );
            assert!(!if_range_holds(&headers, NOTHING), "{header}");
            assert!(!if_range_holds(&headers, tagged("W/\"a\"")), "{header}");
        }
        assert!(if_range_holds(&headers(&[]), NOTHING));
        assert!(!if_range_holds(&headers(&[("If-Range", "\"a\""), ("If-Range", "\"a\"")]), tagged("\"a\"")));
    }

    #[test]
    fn if_modified_since() {
        let modified = UNIX_EPOCH + Duration::from_millis(1_359_312_200_900);
        for (header, not_modified) in [
            ("Sun, 27 Jan 2013 18:43:20 GMT", true),
            ("Sun, 27 Jan 2013 18:43:19 GMT", false),
            ("Sunday, 27-Jan-13 18:43:20 GMT", true),
            ("Sun Jan 27 18:43:20 2013", true),
            ("Sun, 27 Jan 2013 18:43:20", true),
            ("Sun, 27 Jan 2013 20:43:20 +0200", true),
            ("Sun, 27 Jan 2013 18:43:20 +0200", false),
            ("27 Jan 2013 18:43:20 -0000", true),
            ("Fri, 01 Jan 2100 00:00:00 GMT", true),
            ("Fri, 01 Jan 1960 00:00:00 GMT", false),
            ("Thu, 01 Jan 1970 00:00:00 GMT", false),
            ("!nv@l!d", false),
            ("", false),
        ] {
            assert_eq!(not_modified_since(header, modified), not_modified, "{header}");
        }
    }
}
