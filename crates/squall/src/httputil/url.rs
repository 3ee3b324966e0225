//! URLs and their arguments.

use super::arguments::parse_qs;
use crate::escape::url_escape;

/// `url` with these arguments behind those that it has, before its fragment.
///
/// The query that is there is written anew, as in Tornado: `?x` becomes `?x=`, and what need not be escaped is not.
///
/// ```
/// use squall::httputil::url_concat;
/// assert_eq!(url_concat("http://a/b?c=d#e", [("f", "g h")]), "http://a/b?c=d&f=g+h#e");
/// ```
pub fn url_concat<N: AsRef<str>, V: AsRef<str>>(
    url: &str,
    arguments: impl IntoIterator<Item = (N, V)>,
) -> String {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_none() {
        return url.to_owned();
    }
    let (start, fragment) = url.find('#').map_or((url, ""), |at| url.split_at(at));
    let (start, query) = start.split_once('?').unwrap_or((start, ""));
    let mut result = start.to_owned();
    let mut add = |name: &str, value: &[u8]| {
        result.push(if result.len() == start.len() { '?' } else { '&' });
        result.push_str(&url_escape(name));
        result.push('=');
        result.push_str(&url_escape(value));
    };
    for (name, value) in parse_qs(query.as_bytes(), usize::MAX).unwrap_or_default().iter() {
        add(name, value);
    }
    for (name, value) in arguments {
        add(name.as_ref(), value.as_ref().as_bytes());
    }
    result + fragment
}

/// Names with lists of values, as names with a value each. [`Arguments`](super::Arguments) are of that form already.
pub fn qs_to_qsl<N: Clone, V>(
    qs: impl IntoIterator<Item = (N, impl IntoIterator<Item = V>)>,
) -> impl Iterator<Item = (N, V)> {
    qs.into_iter().flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)))
}
